// `postern history`: the revisions of the configuration.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatTime, printJson, printLine, printTable } from './output.ts';
import { printWaiting } from './show-diff.ts';

export const usage = `Usage: postern history [--limit N]

Revisions of the configuration, the newest first. postern diff shows what one changed, postern rollback brings one back.

      --limit N       the newest N (20)
${commonUsage}`;

const states = { 'in-force': 'in force', provisional: 'waits to be confirmed', 'rolled-back': 'taken back', past: '' } as const;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { limit: { type: 'string' } }, { min: 0, max: 0 });
  using client = await openGateway(io, values);
  const revisions = await collect(parseCount(values.limit, 'limit', 20), (query) => client.call('listRevisions', { query, signal: io.signal }));
  if (values.json) {
    printJson(io, revisions);
    return exitCodes.ok;
  }
  const changeOf = ({ summary, restores }: (typeof revisions)[number]) => (restores === null ? summary : `back to ${restores}${summary ? `: ${summary}` : ''}`);
  printTable(io, ['REVISION', 'AT', 'WHO', 'STATE', 'CHANGE'], revisions.map((row) => [row.number, formatTime(row.at), row.actor.name || row.actor.kind, states[row.state], changeOf(row)]), 'No revisions.');
  const { provisional, missing, now } = await client.call('getConfigState', { signal: io.signal });
  if (provisional) {
    printLine(io);
    printLine(io, `Revision ${provisional.revision} is in force for the time being.`);
    printWaiting(io, provisional, now);
  }
  for (const line of missing) printLine(io, `Remark: ${line}; it is tried again every few seconds.`);
  return exitCodes.ok;
}
