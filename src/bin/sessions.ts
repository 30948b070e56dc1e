// `postern sessions`: sessions of devices with applications; ending one, or having its device verified again.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern sessions [--application ROUTE] [--device DEVICE] [--limit N]
       postern sessions kill ID
       postern sessions reverify ID

Sessions join the requests of devices that keep no cookies. kill ends one: its cookies and addresses are worth nothing
any more. reverify lets it wait until its device shows a certificate or its own URL, or a probe finds it where it is.

      --application ROUTE  only those with that application
      --device DEVICE      only those of that device
      --limit N            the newest N (100)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { application: { type: 'string' }, device: { type: 'string' }, limit: { type: 'string' } }, { min: 0, max: 2 });
  const [act, id] = positionals;
  if (act !== undefined && ((act !== 'kill' && act !== 'reverify') || id === undefined)) throw usageFault('it is: postern sessions kill ID, or postern sessions reverify ID');
  const { signal } = io;
  using client = await openGateway(io, values);
  if (id !== undefined) {
    if (act === 'kill') await client.call('killDeviceSession', { params: { id }, signal });
    else await client.call('reverifyDeviceSession', { params: { id }, signal });
    if (values.json) printJson(io, { [act === 'kill' ? 'killed' : 'waits']: id });
    else printLine(io, act === 'kill' ? 'Ended.' : 'It waits until its device is verified again.');
    return exitCodes.ok;
  }
  const deviceId = values.device === undefined ? undefined : (await client.call('getDevice', { params: { device: values.device }, signal })).id;
  const { application } = values;
  const sessions = await collect(parseCount(values.limit, 'limit', 100), (query) =>
    client.call('listDeviceSessions', { query: { ...query, ...(application === undefined ? {} : { application }), ...(deviceId === undefined ? {} : { deviceId }) }, signal }),
  );
  if (values.json) {
    printJson(io, sessions);
    return exitCodes.ok;
  }
  const now = Date.now();
  printTable(
    io,
    ['APPLICATION', 'DEVICE', 'SERIAL', 'ADDRESS', 'IDENTITY', 'REQUESTS', 'LAST', 'COOKIES', 'ID'],
    sessions.map((each) => [
      each.application, each.device.label, each.serial, each.virtualAddress === null ? each.address : `${each.address} as ${each.virtualAddress}`, each.pausedAt === null ? `${each.state}${each.by === null ? '' : ` by ${each.by}`}` : 'waits to be verified',
      String(each.requests), formatAgo(each.lastAt, now), each.cookies === null ? '-' : String(each.cookies.length), each.id,
    ]),
    'No sessions.',
  );
  return exitCodes.ok;
}
