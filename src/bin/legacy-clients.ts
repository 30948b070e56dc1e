// `postern legacy-clients`: who would be left outside if the lane for old TLS were closed.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printTable } from './output.ts';

export const usage = `Usage: postern legacy-clients [--limit N]

Who still needs TLS older than level intermediate, last seen first: whoever is listed is left outside when the legacy
lane ends.

      --limit N       at most so many (1000)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { limit: { type: 'string' } }, { min: 0, max: 0 });
  using client = await openGateway(io, values);
  const clients = await collect(parseCount(values.limit, 'limit', 1_000), (query) => client.call('listLegacyClients', { query, signal: io.signal }));
  if (values.json) printJson(io, clients);
  else {
    const now = Date.now();
    printTable(
      io,
      ['FROM', 'BEST', 'POLICY', 'LAST', 'FIRST', 'TIMES', 'NAME', 'KIND (JA4)'],
      clients.map((each) => [each.from, each.bestVersion, each.policy, formatAgo(each.lastAt, now), formatAgo(each.firstAt, now), each.count, each.serverName, each.ja4]),
      'Nobody has used the legacy lane.',
    );
  }
  return exitCodes.ok;
}
