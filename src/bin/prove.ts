// `postern prove`: whether an application's server sees the address of a device.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern prove ROUTE DEVICE [--path PATH]

Sends the server of an application one marked request, with the address of a device as a request of that device would have it, and
compares what the server says that it saw. DEVICE is an id, a label or CUSTOMER/NAME. Exit code 0: equal, or a port that speaks no HTTP
took the connection; 1: everything else.

      --path PATH            default /.postern-prove, where servers answer that have what postern snippet prints
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { path: { type: 'string' } }, { min: 2, max: 2 });
  const [route, device] = positionals as [string, string];
  using client = await openGateway(io, values);
  const proof = await client.call('proveRoute', { params: { route }, body: { deviceId: device, ...(values.path === undefined ? {} : { path: values.path }) }, signal: io.signal });
  const code = proof.verdict === 'equal' || proof.verdict === 'taken' ? exitCodes.ok : exitCodes.failed;
  if (values.json) {
    printJson(io, proof);
    return code;
  }
  const { sent, answer } = proof;
  printLine(io, `sent      from ${sent.local ?? '?'} to ${sent.remote ?? '?'}, to be seen as ${proof.told}`);
  if (sent.proxyHeader) printLine(io, `          PROXY version ${sent.proxyHeader.version}: ${sent.proxyHeader.source} to ${sent.proxyHeader.destination}`);
  for (const line of sent.head) printLine(io, `          ${printable(line, 300)}`);
  if (sent.claims) printLine(io, `          claims ${printable(JSON.stringify(sent.claims), 600)}`);
  if (answer) printLine(io, `answered  ${answer.status}${proof.seen === null ? '' : `, saw ${proof.seen}`}`);
  printLine(io, `=> ${proof.verdict}${proof.cause === null ? '' : ` (${proof.cause})`}: ${printable(proof.text, 500)}`);
  if (proof.remedy !== '') printLine(io, `   ${printable(proof.remedy, 500)}`);
  for (const remark of proof.remarks) printLine(io, `!  ${printable(remark, 300)}`);
  return code;
}
