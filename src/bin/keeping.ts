// `postern keeping`: what the gateway keeps, how much of it and for how long; the disk below.
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatBytes, formatTime, printFacts, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern keeping
       postern keeping run
       postern keeping ok

What grows, how much there is, and how long it is kept (retention in the configuration). run drops at once what is past it.
ok takes note that the data folder was restored from a backup: status and doctor say it no more.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, {}, { min: 0, max: 1 });
  const [act] = positionals;
  if (act !== undefined && act !== 'run' && act !== 'ok') throw usageFault(`there is no "keeping ${act}"`);
  using client = await openGateway(io, values);
  if (act === 'ok') {
    await client.call('acknowledgeRestore', { signal: io.signal });
    if (values.json) printJson(io, {});
    else printLine(io, 'Noted.');
    return exitCodes.ok;
  }
  const state = await client.call(act === 'run' ? 'runRetention' : 'getKeeping', { signal: io.signal });
  if (values.json) {
    printJson(io, state);
    return exitCodes.ok;
  }
  const bytes = (count: number | null) => (count === null ? null : formatBytes(count));
  const bounds = ({ days, count, bytes: size }: (typeof state.kinds)[number]['keep']) => [days === null ? null : `${days} d`, count, bytes(size)].filter((each) => each !== null).join(', ') || 'for ever';
  printTable(
    io,
    ['KIND', 'COUNT', 'BYTES', 'OLDEST', 'KEPT', 'DROPPED'],
    state.kinds.map(({ kind, count, bytes: size, oldestAt, keep, dropped }) => [kind, count, bytes(size), oldestAt === null ? null : formatAgo(oldestAt, state.now), bounds(keep), kind === 'records' ? bytes(dropped) : dropped]),
    'Nothing.',
  );
  const { disk, retention, backup, restored } = state;
  printLine(io);
  printFacts(io, [
    ['disk', `${disk.level}${disk.why === null ? '' : `: ${disk.why}`}${disk.freeBytes === null ? '' : `; ${formatBytes(disk.freeBytes)} free, ${formatBytes(disk.reusableBytes)} more inside the store`}`],
    ['retention', retention.running ? 'runs now' : retention.lastAt === null ? 'has not run yet' : `ran ${formatAgo(retention.lastAt, state.now)}${retention.failed === null ? '' : `; failed: ${retention.failed}`}`],
    ['backup', backup.running ? 'is being made' : backup.last ? `${formatAgo(backup.last.at, state.now)}, ${formatBytes(backup.last.bytes)}` : 'never'],
    ...(backup.failed ? [['', `failed ${formatAgo(backup.failed.at, state.now)}: ${backup.failed.why}`] as const] : []),
    ...(restored ? [['restored', `${formatTime(restored.restoredAt)}, from a backup of ${formatTime(restored.backupAt)}`] as const] : []),
  ]);
  return exitCodes.ok;
}
