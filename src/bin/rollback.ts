// `postern rollback`: an earlier configuration as the new one.
import { Fault, isFault } from '#base/fault.ts';
import { commonUsage, openGateway, parseCommand, parseConfirm, parseRevision } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';
import { printDiff, printWaiting } from './show-diff.ts';

export const usage = `Usage: postern rollback [N] [--confirm TIME]

Brings the configuration of revision N back, as a new revision. Without N: takes back at once what was applied with
--confirm and is not confirmed yet.

      --confirm TIME  only for the time being, as in postern apply (10s to 1h)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { confirm: { type: 'string' } }, { min: 0, max: 1 });
  const [wanted] = positionals.map(parseRevision);
  const confirmWithinMs = parseConfirm(values.confirm);
  using client = await openGateway(io, values);
  const state = await client.call('getConfigState', { signal: io.signal });
  const to = wanted ?? state.provisional?.restores;
  if (to === undefined) throw new Fault('bad-input', 'nothing waits to be confirmed, so say which revision to go back to: postern rollback N', { remedy: 'postern history lists them, postern diff N shows what would come back.' });
  const diff = await client.call('diffRevisions', { params: { number: state.revision, other: to }, signal: io.signal });
  const done = await client.call('rollBackConfig', { body: { to, against: state.revision, confirmWithinMs }, signal: io.signal }).catch((thrown: unknown) => {
    // Compiled by an older version, it may no longer be what this one understands.
    const problems = isFault(thrown) ? thrown.detail['problems'] : undefined;
    if (!isFault(thrown) || !Array.isArray(problems)) throw thrown;
    const list = (problems as { path: string; message: string }[]).map(({ path, message }) => `${path}: ${message}`).join('; ');
    throw new Fault(thrown.code, `revision ${to} cannot come back, nothing was changed: ${list.slice(0, 1_000)}`);
  });
  if (values.json) {
    printJson(io, done);
    return exitCodes.ok;
  }
  if (!done.changed) {
    printLine(io, `Nothing to change: revision ${done.revision} says the same as revision ${to}.`);
    return exitCodes.ok;
  }
  printDiff(io, diff);
  printLine(io, `Revision ${to} is back, as revision ${done.revision}${done.confirmBy === null ? '' : ', for the time being'}.`);
  if (done.confirmBy !== null) printWaiting(io, { restores: state.revision, confirmBy: done.confirmBy }, state.now);
  for (const line of done.missing) printLine(io, `Remark: ${line}; it is tried again every few seconds.`);
  return exitCodes.ok;
}
