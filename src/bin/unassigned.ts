// `postern unassigned`: devices that an application refused, by the code that their panel shows.
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern unassigned [--application ROUTE] [--limit N]
       postern unassigned assign CODE DEVICE [--stay]
       postern unassigned assign CODE --new NAME [--serial SERIAL] [--agent ID]

Devices that wanted an application within the last ten minutes and might not. assign says which device shows the code: it
may use the application from then on, and is expected at the address that it came from.

      --application ROUTE  only those of that application
      --limit N            the newest N (100)
      --stay               the device's row keeps its address
      --new NAME           a device that nobody knew, behind the agent whose door it came through
      --serial SERIAL      of the new device
      --agent ID           another agent than that
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const options = { application: { type: 'string' }, limit: { type: 'string' }, stay: { type: 'boolean' }, new: { type: 'string' }, serial: { type: 'string' }, agent: { type: 'string' } } as const;
  const { values, positionals } = parseCommand(args, options, { min: 0, max: 3 });
  const [act, code, device] = positionals;
  if (act !== undefined && act !== 'assign') throw usageFault(`there is no "unassigned ${act}"`);
  if (act !== undefined && code === undefined) throw usageFault('the code is missing');
  if (act !== undefined && (device === undefined) === (values.new === undefined)) throw usageFault('name a device that there is, or a new one with --new NAME');
  const { signal } = io;
  using client = await openGateway(io, values);
  if (code !== undefined) {
    const newDevice = values.new === undefined ? undefined : { name: values.new, ...(values.serial === undefined ? {} : { serial: values.serial }), ...(values.agent === undefined ? {} : { agentId: values.agent }) };
    const done = await client.call('assignDevice', { params: { code }, body: { ...(device === undefined ? {} : { device }), ...(newDevice === undefined ? {} : { newDevice }), moveHere: !values.stay }, signal });
    if (values.json) printJson(io, done);
    else {
      printLine(io, `${done.device.name} may use ${done.source.application}${done.moved ? `, and is expected at ${done.device.host} from now on` : ''}.`);
      printLine(io, `By its address alone it is ${done.identity.state}: ${done.identity.why}`);
    }
    return exitCodes.ok;
  }
  const { application } = values;
  const items = await collect(parseCount(values.limit, 'limit', 100), (query) => client.call('listUnassigned', { query: { ...query, ...(application === undefined ? {} : { application }) }, signal }));
  if (values.json) {
    printJson(io, items);
    return exitCodes.ok;
  }
  const now = Date.now();
  printTable(
    io,
    ['CODE', 'APPLICATION', 'ADDRESS', 'SITE', 'DEVICE', 'SAYS ITS SERIAL IS', 'LAST', 'WHY'],
    items.map((each) => [each.code, each.application, each.address, each.siteName, each.device?.label ?? (each.candidates.map(({ label }) => label).join(' or ') || null), each.claimedSerial, formatAgo(each.lastAt, now), printable(each.misRoute === null ? each.why : `${each.misRoute.code}: ${each.why}`, 500)]),
    'Nobody waits.',
  );
  return exitCodes.ok;
}
