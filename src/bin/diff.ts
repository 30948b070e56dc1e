// `postern diff`: what differs between two revisions of the configuration.
import { Fault } from '#base/fault.ts';
import { commonUsage, openGateway, parseCommand, parseRevision } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';
import { printDiff } from './show-diff.ts';

export const usage = `Usage: postern diff [A] [B]

What differs from revision A to revision B, by the names of listeners, routes and domains. Without B: to the one in
force. Without both: what the one in force changed.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, {}, { min: 0, max: 2 });
  const [from, to] = positionals.map(parseRevision);
  using client = await openGateway(io, values);
  const other = to ?? (await client.call('getConfigState', { signal: io.signal })).revision;
  const number = from ?? other - 1;
  if (number < 1) throw new Fault('not-found', 'there is one revision only, nothing to compare it with');
  const diff = await client.call('diffRevisions', { params: { number, other }, signal: io.signal });
  if (values.json) printJson(io, diff);
  else {
    printLine(io, `From revision ${diff.from} to ${diff.to}${diff.differences.length === 0 ? ': nothing differs.' : ':'}`);
    printDiff(io, diff);
  }
  return exitCodes.ok;
}
