// `postern alerts`: records that a pattern found, and whether somebody was told.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, printJson, printTable } from './output.ts';

export const usage = `Usage: postern alerts [--limit N]

Records that a pattern of the configuration found, the newest first, and whether the alert's web address took them.

      --limit N       at most so many (100)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { limit: { type: 'string' } }, { min: 0, max: 0 });
  using client = await openGateway(io, values);
  const alerts = await collect(parseCount(values.limit, 'limit', 100), (query) => client.call('listAlerts', { query, signal: io.signal }));
  if (values.json) {
    printJson(io, alerts);
    return exitCodes.ok;
  }
  const now = Date.now();
  printTable(
    io,
    ['WHEN', 'ALERT', 'DEVICE', 'FEED', 'STATE', 'TRIES', 'RECORD', 'WHY'],
    alerts.map((each) => [formatAgo(each.at, now), each.alert, each.serial, each.feed, each.state, each.tries, each.record.slice(0, 80), each.why]),
    'No alert was raised.',
  );
  return exitCodes.ok;
}
