// `postern apply`: makes a file the configuration, whole or not at all.
import { readFile } from 'node:fs/promises';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand, parseConfirm } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';
import { printDiff, printWaiting } from './show-diff.ts';

export const usage = `Usage: postern apply -f FILE [--confirm TIME] [--dry-run]

Makes FILE (JSON, as postern export writes it; "-": standard input) the configuration, and shows what that changes.
A file that does not compile changes nothing, and every problem is named with its place.

  -f, --file FILE
      --confirm TIME  in force at once, but taken back by itself unless postern confirm says within TIME (10s to 1h)
                      that it is well; also when the gateway restarts meanwhile
      --dry-run       only check, and show what would change
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { file: { type: 'string', short: 'f' }, confirm: { type: 'string' }, 'dry-run': { type: 'boolean' } }, { min: 0, max: 0 });
  if (values.file === undefined) throw usageFault('apply takes a file: -f FILE');
  const confirmWithinMs = parseConfirm(values.confirm);
  const wanted = await readConfigFile(io, values.file);
  const dryRun = values['dry-run'] === true;
  using client = await openGateway(io, values);
  const { revision, now } = await client.call('getConfigState', { signal: io.signal });
  try {
    const query = { dryRun: dryRun ? 'true' : 'false', diff: 'true', ...(confirmWithinMs === null || dryRun ? {} : { confirmWithinMs }) } as const;
    const done = await client.call('putConfig', { query, body: wanted, headers: { 'if-match': `"${revision}"` }, signal: io.signal });
    if (values.json) printJson(io, done);
    else if (!done.changed) printLine(io, `Nothing to change: revision ${done.revision} is the same.`);
    else {
      if (done.diff) printDiff(io, done.diff);
      if (dryRun) printLine(io, `It compiles. Revision ${revision} would be replaced; nothing was changed.`);
      else printLine(io, `Applied as revision ${done.revision}${done.confirmBy === undefined ? '' : ', for the time being'}.`);
      if (done.confirmBy !== undefined) printWaiting(io, { restores: revision, confirmBy: done.confirmBy }, now);
    }
    return exitCodes.ok;
  } catch (thrown) {
    const problems = isFault(thrown) ? thrown.detail['problems'] : undefined;
    if (!Array.isArray(problems)) throw thrown;
    io.stderr.write(`postern apply: nothing was changed: ${reasonOf(thrown)}\n`);
    for (const { path, message } of problems as { path: string; message: string }[]) io.stderr.write(`  ${printable(path)}: ${printable(message, 500)}\n`);
    return exitCodes.failed;
  }
}

/** Faults: `bad-input`, which says what is wrong with the file. */
export async function readConfigFile(io: Pick<CommandIo, 'stdin'>, file: string): Promise<Record<string, unknown>> {
  let text = '';
  try {
    if (file === '-') for await (const part of io.stdin) text += String(part);
    else text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new Fault('bad-input', `${file} cannot be read: ${reasonOf(cause)}`, { cause });
  }
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw new Fault('bad-input', `${file} is not JSON: ${reasonOf(cause)}`, { cause });
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) throw new Fault('bad-input', `${file} holds no configuration: it is not a JSON object`);
  return config as Record<string, unknown>;
}
