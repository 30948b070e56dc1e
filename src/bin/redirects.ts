// `postern redirects`: the rules that send devices to other servers, the servers, and who is where.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatLength, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern redirects
       postern redirects --leases [--server NAME] [--limit N]

The rules in their order, the first that matches counts, and the servers that they lead to. postern redirect SERIAL says
what becomes of one device; postern server drain empties a server.

      --leases        which device was sent where
      --server NAME   only those at this server
      --limit N       at most so many (1000)
${commonUsage}`;

const drains = { no: 'takes devices', new: 'draining: no new ones', now: 'drained' } as const;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { leases: { type: 'boolean' }, server: { type: 'string' }, limit: { type: 'string' } }, { min: 0, max: 0 });
  const { server } = values;
  if (server !== undefined && !values.leases) throw usageFault('--server goes with --leases');
  using client = await openGateway(io, values);
  if (values.leases) {
    const leases = await collect(parseCount(values.limit, 'limit', 1_000), (query) => client.call('listLeases', { query: { ...query, ...(server === undefined ? {} : { server }) }, signal: io.signal }));
    const now = Date.now();
    if (values.json) printJson(io, leases);
    else printTable(io, ['CUSTOMER', 'SERIAL', 'SERVER', 'RULE', 'SINCE', 'FOR ANOTHER'], leases.map((each) => [each.customer, each.serial, each.server, each.rule, formatAgo(each.givenAt, now), formatLength(each.until - now)]), 'No device is at another server.');
    return exitCodes.ok;
  }
  const all = await client.call('listRedirects', { signal: io.signal });
  if (values.json) {
    printJson(io, all);
    return exitCodes.ok;
  }
  printTable(
    io,
    ['RULE', 'DEVICES', 'STRATEGY', 'SERVERS', 'STAYS FOR'],
    all.rules.map((rule) => [rule.name, rule.conditions.length === 0 ? 'every one' : rule.conditions.map(({ field, wanted }) => `${field} ${wanted}`).join('; '), rule.strategy, rule.servers.join(', '), rule.strategy === 'stay' ? null : `${rule.ttlSeconds} s`]),
    'There are no rules: every device stays here.',
  );
  if (all.servers.length === 0) return exitCodes.ok;
  printLine(io);
  printTable(io, ['SERVER', 'BASE', 'STATE', 'WEIGHT', 'DEVICES', 'FAILED', 'PINS'], all.servers.map((each) => [each.name, each.base, drains[each.drain], each.weight, each.leases, each.failed, each.pins.length === 0 ? 'none' : each.pins.length]), '');
  return exitCodes.ok;
}
