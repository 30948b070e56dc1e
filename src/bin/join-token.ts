// `postern join-token`: adds a device from the shell. Prints the command that joins it, and waits for it when asked to.
import type { Client } from '#api/client.ts';
import { Fault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatTime, printJson, printLine, printTable } from './output.ts';
import { parsePorts, portUsage } from './ports.ts';

export const usage = `Usage: postern join-token NAME [--port PORT]… [--host HOST] [--serial SERIAL] [--wait] [--quiet]
       postern join-token --list
       postern join-token --remove ID

Makes a one-time token, good for an hour, and prints the command to run on the device.

      --port PORT     what the device offers; default 80. ${portUsage}
      --host HOST     what its agent dials; default 127.0.0.1
      --wait          stay until the device is online
      --quiet         print only the token, for scripts
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const options = { port: { type: 'string', multiple: true }, host: { type: 'string' }, serial: { type: 'string' }, wait: { type: 'boolean' }, quiet: { type: 'boolean' }, list: { type: 'boolean' }, remove: { type: 'string' } } as const;
  const { values, positionals } = parseCommand(args, options, { min: 0, max: 1 });
  const [name] = positionals;
  if (Number(name !== undefined) + Number(values.list === true) + Number(values.remove !== undefined) !== 1) throw usageFault('join-token takes the name of the new device');
  using client = await openGateway(io, values);
  if (values.list) return list(io, client, values.json === true);
  if (values.remove !== undefined) {
    await client.call('removeJoinToken', { params: { id: values.remove }, signal: io.signal });
    printLine(io, 'Removed.');
    return exitCodes.ok;
  }
  const body = {
    deviceName: name!,
    ...(values.host === undefined ? {} : { host: values.host }),
    ...(values.serial === undefined ? {} : { serial: values.serial }),
    ...(values.port === undefined ? {} : { ports: parsePorts(values.port) }),
  };
  const made = await client.call('createJoinToken', { body, signal: io.signal });
  if (values.json) printJson(io, made);
  else if (values.quiet) printLine(io, made.secret);
  else {
    const [first, ...others] = made.commands;
    printLine(io, `Run this on ${printable(name!)}, until ${formatTime(made.joinToken.expiresAt)}:\n\n  ${first?.command ?? made.secret}\n`);
    if (others.length > 0) printLine(io, `Where ${first!.address} cannot be reached from there, put in its place one of: ${others.map((other) => other.address).join(' ')}`);
  }
  if (values.wait) await waitFor(io, client, made.joinToken.id);
  return exitCodes.ok;
}

async function list(io: CommandIo, client: Client, asJson: boolean): Promise<number> {
  const tokens = await collect(10_000, (query) => client.call('listJoinTokens', { query, signal: io.signal }));
  if (asJson) printJson(io, tokens);
  else printTable(io, ['ID', 'DEVICE', 'STATE', 'BY', 'UNTIL', 'JOINED AS'], tokens.map((token) => [token.id, token.deviceName, token.state, token.createdBy, formatTime(token.expiresAt), token.device?.label]), 'No join tokens.');
  return exitCodes.ok;
}

const lookEveryMs = 1_000;

/** Until the device that used the token is online. Faults: `gone`, `closed`. */
async function waitFor(io: CommandIo, client: Client, id: string): Promise<void> {
  io.stderr.write('Waiting for the device …\n');
  for (;;) {
    const token = await client.call('getJoinToken', { params: { id }, signal: io.signal });
    if (token.device?.online) {
      io.stderr.write(`${printable(token.device.name)} is online: ${token.device.url ?? token.device.label}\n`);
      return;
    }
    if (token.state === 'expired') throw new Fault('gone', 'the token expired before anything joined', { remedy: 'Make another one.' });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, lookEveryMs);
      io.signal.addEventListener('abort', () => (clearTimeout(timer), reject(new Fault('closed', 'given up'))), { once: true });
    });
  }
}
