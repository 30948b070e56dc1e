// Where processes are killed or let down by their disk, without a line for it in them: strace holds the thread that makes a certain call to a
// certain file, before the call or behind it, until the oracle has sent SIGKILL; or it answers the call with an error.
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Dice } from './dice.ts';

export interface Point {
  readonly name: string;
  readonly side: 'server' | 'client';
  /** System calls, as strace names them. */
  readonly calls: string;
  /** None: any file. */
  readonly paths: (folder: string) => readonly string[];
  /** Where the file has another name each time: what it has to look like. Else the point is another one, and is tried again. */
  readonly looksLike?: RegExp;
  readonly act: 'before' | 'behind' | { readonly error: 'EIO' | 'ENOSPC'; /** So many calls in a row. */ readonly times: number };
  /** Which call of the thread it is: behind those of a start, at most so many. */
  readonly within: number;
}

const wal = (dataDir: string) => [join(dataDir, 'postern.db-wal')];
const feedFile = (name: string) => (stateDir: string) => [join(stateDir, 'feeds', 'cdr', name)];
const segment = { paths: () => [], looksLike: /\.seg(?:\.tmp)?$/ } as const;

export const serverPoints: readonly Point[] = [
  { name: 'server: before a write to the WAL', side: 'server', calls: 'pwrite64', paths: wal, act: 'before', within: 40 },
  { name: 'server: before the commit\'s fsync', side: 'server', calls: 'fsync,fdatasync', paths: wal, act: 'before', within: 8 },
  { name: 'server: after the commit\'s fsync, before the answer', side: 'server', calls: 'fsync,fdatasync', paths: wal, act: 'behind', within: 8 },
];

/** When a WAL of a thousand pages is copied into the database: it takes some megabytes. */
export const rareServerPoints: readonly Point[] = [
  { name: 'server: in a checkpoint of the WAL', side: 'server', calls: 'pwrite64', paths: (dataDir) => [join(dataDir, 'postern.db')], act: 'before', within: 30 },
  { name: 'server: before the fsync of a checkpoint', side: 'server', calls: 'fsync,fdatasync', paths: (dataDir) => [join(dataDir, 'postern.db')], act: 'before', within: 1 },
];

export const serverFailures: readonly Point[] = [
  { name: 'server: fsync fails', side: 'server', calls: 'fsync,fdatasync', paths: wal, act: { error: 'EIO', times: 1 }, within: 10 },
  { name: 'server: disk full', side: 'server', calls: 'pwrite64', paths: wal, act: { error: 'ENOSPC', times: 40 }, within: 60 },
];

export const clientPoints: readonly Point[] = [
  { name: 'client: before the fsync of its records', side: 'client', calls: 'fsync,fdatasync', ...segment, act: 'before', within: 6 },
  { name: 'client: after the fsync of its records', side: 'client', calls: 'fsync,fdatasync', ...segment, act: 'behind', within: 6 },
  { name: 'client: before the fsync of where its source is', side: 'client', calls: 'fsync,fdatasync', paths: (stateDir) => [...feedFile('checkpoints')(stateDir), ...feedFile('checkpoints.tmp')(stateDir)], act: 'before', within: 2 },
  { name: 'client: before the fsync of its position', side: 'client', calls: 'fsync,fdatasync', paths: feedFile('state.tmp'), act: 'before', within: 1 },
  { name: 'client: before the rename of its position', side: 'client', calls: 'rename,renameat,renameat2', paths: feedFile('state.tmp'), act: 'before', within: 2 },
  { name: 'client: after the rename of its position', side: 'client', calls: 'rename,renameat,renameat2', paths: feedFile('state.tmp'), act: 'behind', within: 2 },
];

export const clientFailures: readonly Point[] = [
  { name: 'client: fsync fails', side: 'client', calls: 'fsync,fdatasync', paths: () => [], act: { error: 'EIO', times: 3 }, within: 6 },
  { name: 'client: disk full', side: 'client', calls: 'pwrite64', paths: () => [], act: { error: 'ENOSPC', times: 20 }, within: 6 },
];

/** Long enough for the oracle to see it, with two cores for everything. */
const heldMs = 20_000;

/** Options of strace; `before` calls of the thread are those of the start. */
export function straceOptions(point: Point, folder: string, log: string, dice: Dice, before: number): string[] {
  const first = before + dice.between(1, point.within);
  const how = point.act === 'before' ? `delay_enter=${heldMs * 1_000}:when=${first}` : point.act === 'behind' ? `delay_exit=${heldMs * 1_000}:when=${first}` : `error=${point.act.error}:when=${first}..${first + point.act.times - 1}`;
  return [
    // The process is our child, not strace's: what is killed by its pid is the process itself.
    '-D', '-f', '--seccomp-bpf', '-qq', '-y', '-o', log,
    ...point.paths(folder).flatMap((path) => ['-P', path]),
    '-e', `trace=${point.calls}`, '-e', `inject=${point.calls}:${how}`,
  ];
}

export const readText = (path: string): string => (existsSync(path) ? readFileSync(path, 'latin1') : '');

/** How often strace answered with the error. */
export const countInjected = (log: string): number => readText(log).match(/\(INJECTED\)$/gm)?.length ?? 0;

/** The most calls of one thread so far. */
export function countCalls(log: string): number {
  const byThread = new Map<string, number>();
  for (const [, thread] of readText(log).matchAll(/^(\d+) +[a-z0-9_]+\(/gm)) byThread.set(thread!, (byThread.get(thread!) ?? 0) + 1);
  return Math.max(0, ...byThread.values());
}

/** Its number, and the file that the call is about, as far as the system tells. */
function heldThread(pid: number): { readonly thread: string; readonly file: string } | null {
  try {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const place = `/proc/${pid}/task/${thread}`;
      const text = readFileSync(`${place}/stat`, 'latin1');
      if (text.slice(text.lastIndexOf(')') + 2, text.lastIndexOf(')') + 3) !== 't') continue;
      return { thread, file: fileOfCall(pid, place) };
    }
  } catch {
    // It ended while we looked.
  }
  return null;
}

function fileOfCall(pid: number, place: string): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${Number(readFileSync(`${place}/syscall`, 'latin1').split(' ')[1])}`);
  } catch {
    return '';
  }
}

/** Of the process that traces it; 0: none. */
export function tracerOf(pid: number): number {
  try {
    return Number(/^TracerPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

const lookMs = 15;
/** A thread that strace only looks at is let go within microseconds; where two cores are everybody's, within some more. */
const heldLooks = 12;

/** The file of the call once a thread is being held; null when the signal aborts. */
export async function untilHeld(pid: number, signal: AbortSignal): Promise<string | null> {
  let last: string | null = null;
  let looks = 0;
  while (!signal.aborted) {
    const held = heldThread(pid);
    looks = held !== null && held.thread === last ? looks + 1 : 0;
    last = held?.thread ?? null;
    if (held !== null && looks >= heldLooks) return held.file;
    await new Promise((next) => setTimeout(next, lookMs));
  }
  return null;
}
