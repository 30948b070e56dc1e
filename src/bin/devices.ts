// `postern devices`: the list.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printTable } from './output.ts';

export const usage = `Usage: postern devices [OPTIONS]

      --search TEXT   only those with it in name, label or serial
      --state STATE   online, offline or locked
      --limit N       at most so many (1000)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { search: { type: 'string' }, state: { type: 'string' }, limit: { type: 'string' } }, { min: 0, max: 0 });
  const { state, search } = values;
  if (state !== undefined && state !== 'online' && state !== 'offline' && state !== 'locked') throw usageFault('--state is online, offline or locked');
  using client = await openGateway(io, values);
  const devices = await collect(parseCount(values.limit, 'limit', 1_000), (query) =>
    client.call('listDevices', { query: { ...query, ...(state === undefined ? {} : { state }), ...(search === undefined ? {} : { search }) }, signal: io.signal }),
  );
  if (values.json) printJson(io, devices);
  else {
    const now = Date.now();
    printTable(
      io,
      ['LABEL', 'NAME', 'STATE', 'SEEN', 'PORTS', 'ADDRESS'],
      devices.map((device) => [
        device.label,
        device.name,
        device.locked || device.agentState !== 'active' ? (device.locked ? 'locked' : `agent ${device.agentState}`) : device.online ? 'online' : 'offline',
        device.online ? 'now' : formatAgo(device.lastSeenAt, now),
        device.ports.map((port) => port.number).join(','),
        device.url,
      ]),
      'No devices. Add one with: postern join-token NAME',
    );
  }
  return exitCodes.ok;
}
