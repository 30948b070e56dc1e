// `postern journal`: what traffic did, and what was refused and why.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatFields, formatTime, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern journal [--event EVENT] [--limit N]

What traffic did, the newest first: refusals with their reason, links, resets. It is kept in memory, bounded.

      --event EVENT   only these: conn.refused, exchange.refused, link.opened …
      --limit N       the newest N (50)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { event: { type: 'string' }, limit: { type: 'string' } }, { min: 0, max: 0 });
  const { event } = values;
  using client = await openGateway(io, values);
  let dropped = 0;
  const lines = await collect(parseCount(values.limit, 'limit', 50), async (query) => {
    const page = await client.call('listJournal', { query: { ...query, ...(event === undefined ? {} : { event }) }, signal: io.signal });
    ({ dropped } = page);
    return page;
  });
  if (values.json) printJson(io, lines);
  else {
    printTable(io, ['AT', 'EVENT', 'FIELDS'], lines.map((line) => [formatTime(line.at), line.event, formatFields(line.fields)]), 'Nothing yet.');
    if (dropped > 0) printLine(io, `${dropped} older lines were dropped.`);
  }
  return exitCodes.ok;
}
