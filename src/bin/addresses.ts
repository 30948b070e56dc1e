// `postern addresses`: virtual addresses of devices, and how the pool fares.
import { printable } from '#base/log.ts';
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern addresses [--search TEXT] [--limit N]

The pool of virtual addresses, whether its networks lead to this machine and its ports may be opened, and which device
has which address. Servers of applications call devices back there.

      --search TEXT   in name, label, serial or address
      --limit N       so many devices (default: 100)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { search: { type: 'string' }, limit: { type: 'string' } }, { min: 0, max: 0 });
  const limit = parseCount(values.limit, 'limit', 100);
  using client = await openGateway(io, values);
  const { signal } = io;
  const pool = await client.call('getAddressPool', { signal });
  const items = await collect(limit, (query) => client.call('listVirtualAddresses', { query: { ...query, ...(values.search === undefined ? {} : { search: values.search }) }, signal }));
  if (values.json) {
    printJson(io, { pool, items });
    return exitCodes.ok;
  }
  printTable(io, ['NETWORK', 'GIVEN', 'OF'], pool.networks.map((each) => [each.network, each.used, each.capacity]), 'There is no address pool: add "addressPool" to the configuration.');
  for (const { status, verdict, remedy } of pool.checks) {
    if (status === 'failure' || status === 'warning') printLine(io, `${status}: ${verdict}${remedy === null ? '' : `\n  ${remedy}`}`);
  }
  if (pool.without > 0) printLine(io, `${pool.without} devices should have an address and have none.`);
  printLine(io);
  const now = Date.now();
  printTable(
    io,
    ['ADDRESS', 'DEVICE', 'STATE', 'PORTS', 'CALLS', 'REFUSED', 'LAST', 'APPLICATIONS'],
    items.map((each) => [each.address, each.label, each.pinned ? `${each.state}, pinned` : each.state, `${each.ports.open}/${each.ports.wanted}`, each.calls, each.refused, each.lastCallAt === null ? 'never' : formatAgo(each.lastCallAt, now), each.applications.join(', ')]),
    'No device has a virtual address.',
  );
  for (const each of items.filter((one) => one.why !== null).slice(0, 10)) printLine(io, `${each.label}: ${printable(each.why!, 300)}`);
  return exitCodes.ok;
}
