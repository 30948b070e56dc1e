// `postern identity`: who a device is to applications, and what that rests on.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern identity DEVICE

Whether the gateway would know the device by its address alone, why or why not, how it was judged last, what the last probe
read at its address, and every fact that its identity rests on, with when it was seen first and last.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, {}, { min: 1, max: 1 });
  using client = await openGateway(io, values);
  const view = await client.call('getDeviceIdentity', { params: { device: positionals[0]! }, signal: io.signal });
  if (values.json) {
    printJson(io, view);
    return exitCodes.ok;
  }
  const now = Date.now();
  const { last, confirmation } = view;
  printLine(io, `${view.name}${view.serial === null ? ', without a serial' : `, serial ${view.serial}`}`);
  printLine(io, `${view.now.state}${view.now.by === null ? '' : ` by ${view.now.by}`}: ${view.now.why}`);
  if (last !== null) printLine(io, `last seen ${formatAgo(last.at, now)} from ${last.address} at ${last.application}: ${last.state}${last.by === null ? '' : ` by ${last.by}`}`);
  printLine(io, confirmation === null ? 'no probe has read it' : `probe: ${confirmation.by === 'snmp' ? 'SNMP' : 'IPP'} read the serial ${confirmation.serial ?? '(none)'} at ${confirmation.address} ${formatAgo(confirmation.at, now)}${confirmation.fresh ? '' : ', too long ago to count'}`);
  if (view.virtualAddress !== null) printLine(io, `virtual address ${view.virtualAddress}`);
  printLine(io, view.sources.length === 0 ? 'job source of no application' : `job source of ${view.sources.map((each) => (each.as === null ? each.application : `${each.application} as ${each.as}`)).join(', ')}`);
  printLine(io, `${view.urls.length} URLs of its own, ${view.sessions.length} sessions`);
  printLine(io, '');
  printTable(io, ['EVIDENCE', 'VALUE', 'FIRST', 'LAST', 'TIMES', 'HOW'], view.evidence.map((each) => [each.kind, printable(each.value, 64), formatAgo(each.firstAt, now), formatAgo(each.lastAt, now), each.count, printable(each.how, 120)]), 'Nothing has been seen of it yet.');
  return exitCodes.ok;
}
