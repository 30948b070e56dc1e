// `postern visits`: who used which device, and ending a visit.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatBytes, formatLength, formatTime, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern visits [--device DEVICE] [--live] [--limit N]
       postern visits close ID

      --live          only those that last
      --limit N       the newest N (50)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { device: { type: 'string' }, live: { type: 'boolean' }, limit: { type: 'string' } }, { min: 0, max: 2 });
  const [act, id] = positionals;
  if (act !== undefined && (act !== 'close' || id === undefined)) throw usageFault('it is: postern visits close ID');
  using client = await openGateway(io, values);
  if (id !== undefined) {
    await client.call('closeVisit', { params: { id }, signal: io.signal });
    printLine(io, 'Closed.');
    return exitCodes.ok;
  }
  const deviceId = values.device === undefined ? undefined : (await client.call('getDevice', { params: { device: values.device }, signal: io.signal })).id;
  const visits = await collect(parseCount(values.limit, 'limit', 50), (query) =>
    client.call('listVisits', { query: { ...query, state: values.live ? 'live' : 'all', ...(deviceId === undefined ? {} : { deviceId }) }, signal: io.signal }),
  );
  if (values.json) printJson(io, visits);
  else {
    const now = Date.now();
    printTable(
      io,
      ['OPENED', 'LASTED', 'WHO', 'FROM', 'DEVICE', 'PORT', 'TO DEVICE', 'FROM DEVICE', 'ID', 'ENDED'],
      visits.map((visit) => [formatTime(visit.openedAt), formatLength((visit.closedAt ?? now) - visit.openedAt), visit.who.name, visit.who.from, visit.deviceName, visit.port, formatBytes(visit.bytesIn), formatBytes(visit.bytesOut), visit.id, visit.live ? 'still open' : visit.why]),
      'No visits.',
    );
  }
  return exitCodes.ok;
}
