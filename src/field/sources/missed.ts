// What was rotated away while we looked elsewhere: the rest of a turn in the copy that was made before its file was truncated, and whole
// files that came and went unseen. Which file is known is told by what it has, by its number only together with that: numbers are used
// again. And never by the time of day, which steps on machines that boot without one.
import { basename, dirname, join } from 'node:path';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { KeptMark, Mark } from '../intake.ts';
import type { FileSettings, Framing } from '../source-settings.ts';
import { backBytes, hasFingerprint, headBytes, isRotatedName, listSettled, openFound, readAt, tellingBytes } from './folder.ts';
import type { Fingerprint, FoundFile } from './folder.ts';
import type { SourceDeps, Tally } from './source.ts';
import { fingerprintIn, openTail } from './tail.ts';
import type { Tail } from './tail.ts';

/** A mark of its own says that the source has been here before: `from` counts at its very first start. */
export const begunKey = 'begun';
/** A copy of a few bytes tells little: it must at least have been written about when the bytes were read, or later. */
const copyTimeSlackMs = 60_000;
/** So many files that were rotated away before the very first start are known each by itself; what is older still, by its age. */
const olderMax = 100;

/** How a file was: one that is so still needs no second look. */
export type Noted = Pick<FoundFile, 'bytes' | 'changedMs' | 'bornMs'>;

export interface Following {
  readonly settings: FileSettings;
  readonly framing: Framing;
  readonly deps: SourceDeps;
  readonly tally: Tally;
  readonly tails: Map<string, Tail>;
  /** Read to their ends and closed: how they were then. */
  readonly atRest: Map<string, Noted>;
  /** Copies of a turn that is still followed under its own name, which the pattern finds, too. */
  readonly copies: Map<string, FoundFile>;
  /** Rotated away, and found to be known: how they were then. */
  readonly known: Map<string, Noted>;
}

type Opened = Awaited<ReturnType<typeof openFound>>;

const isGone = (thrown: unknown): boolean => (thrown as NodeJS.ErrnoException).code === 'ENOENT';

/** Fault `conflict`: a name leads elsewhere than when the folder was listed. Whatever was being decided is decided anew by the next look. */
async function openExactly(file: FoundFile): Promise<Opened> {
  const moved = () => new Fault('conflict', `${file.path} was renamed while it was looked at`);
  const opened = await openFound(file.path, file.isMatch).catch((thrown: unknown) => {
    throw isGone(thrown) ? moved() : thrown;
  });
  if (opened.found.key === file.key) return opened;
  await opened.handle.close();
  throw moved();
}

/** Opened for a question only. Fault `conflict`. */
async function ask<T>(file: FoundFile, question: (opened: Opened) => Promise<T>): Promise<T> {
  const opened = await openExactly(file);
  try {
    return await question(opened);
  } finally {
    await opened.handle.close();
  }
}

export async function isContentOf(file: FoundFile, mark: Mark): Promise<boolean> {
  return file.bytes >= mark.at && (await ask(file, ({ handle }) => hasFingerprint(handle, fingerprintIn(mark))));
}

/** Whether it is as it was when `then` was noted of its number. */
export function isAsNoted(file: Noted, then: Noted | undefined): boolean {
  return then !== undefined && then.bytes === file.bytes && then.changedMs === file.changedMs && then.bornMs === file.bornMs;
}

export interface TailStart {
  readonly turn?: number;
  readonly key?: string;
  readonly path?: string;
}

export async function startTail(on: Following, file: FoundFile, from: KeptMark | null, { turn = 1, key = file.key, path = file.isMatch || from === null ? file.path : String(from.more['path']) }: TailStart = {}): Promise<Tail> {
  const opened = await openExactly(file);
  const { deps, framing, tally } = on;
  try {
    const tail = await openTail({ handle: opened.handle, key, path, bornMs: file.bornMs, framing, intake: deps.intake, tally, nowMs: () => deps.clock.nowMs() }, from, turn);
    tail.grewMs = deps.clock.monoMs();
    tail.isRotated = !file.isMatch;
    return tail;
  } catch (thrown) {
    await opened.handle.close().catch(() => {});
    throw thrown;
  }
}

/** To its end, as far as nobody truncates it meanwhile. */
export async function readToEnd(tail: Tail): Promise<'end' | 'truncated'> {
  for (;;) {
    const found = await tail.readOn();
    if (found !== 'some') return found;
  }
}

/** Behind whatever was kept under the file's number, which may have been another file's: places are compared within a turn. */
export function freshTurn(on: Following, file: FoundFile): number {
  return (on.deps.intake.marks().get(file.key)?.turn ?? 0) + 1;
}

/** The rest of a turn out of a copy, which is known from then on, also where the pattern finds it. */
async function readCopy(on: Following, file: FoundFile, mark: KeptMark): Promise<void> {
  const tail = await startTail(on, file, mark, { key: mark.key });
  try {
    await readToEnd(tail);
    tail.cut();
    tail.mark(true);
    // Only when what was in it cannot be lost any more.
    await on.deps.intake.flush();
    tail.restAs(file.key, freshTurn(on, file));
  } finally {
    await tail.close();
  }
}

/** Enough bytes to know them again under another number. A disk that was numbered anew gives the inode another device, one that was copied another inode. */
export function isTelling(mark: Mark, file: FoundFile): boolean {
  return mark.at >= tellingBytes || mark.key.split(':')[1] === file.key.split(':')[1];
}

/** The file of a mark whose number nobody has any more. */
export async function findAgain(on: Following, mark: Mark, all: readonly FoundFile[]): Promise<FoundFile | null> {
  const marks = on.deps.intake.marks();
  const base = basename(String(mark.more['path']));
  for (const file of all) {
    const name = basename(file.path);
    if (mark.at === 0 || marks.has(file.key) || on.tails.has(file.key) || !(name === base || isRotatedName(name, base)) || !isTelling(mark, file)) continue;
    if (await isContentOf(file, mark)) return file;
  }
  return null;
}

/** By what it has: one that was read, or is read, or whose rest waits for its turn. */
async function isKnown(on: Following, file: FoundFile, all: readonly FoundFile[]): Promise<boolean> {
  if (isAsNoted(file, on.known.get(file.key))) return true;
  const marks = on.deps.intake.marks();
  const own = marks.get(file.key);
  if (own?.more['older'] === file.bornMs) return true;
  return ask(file, async ({ handle, found }) => {
    const has = async (mark: Mark) => mark.at > 0 && found.bytes >= mark.at && (await hasFingerprint(handle, fingerprintIn(mark)));
    if (own !== undefined && (await has(own))) {
      on.known.set(file.key, found);
      return true;
    }
    for (const mark of marks.values()) {
      // One that was rotated away and is there itself says nothing of others: lines may be the same all day.
      const holder = all.find(({ key }) => key === mark.key);
      if (mark !== own && mark.key !== begunKey && holder?.isMatch !== false && isTelling(mark, file) && (await has(mark))) return true;
    }
    return false;
  });
}

/** A copy is the business of the turn whose file is truncated after it was made; it may be in the making. */
async function isCopyOfFollowed(on: Following, file: FoundFile, all: readonly FoundFile[]): Promise<boolean> {
  return ask(file, async ({ handle, found: { bytes } }) => {
    const name = basename(file.path);
    // Truncated perhaps, and it was not noticed yet.
    // Two files may have the same lines, but a copy is not older than what it is a copy of.
    for (const tail of on.tails.values()) if (!tail.isRotated && file.bornMs >= tail.bornMs && isRotatedName(name, basename(tail.path)) && (await tail.isCopied(handle, bytes))) return true;
    for (const written of all) {
      if (!written.isMatch || written.key === file.key || file.bornMs < written.bornMs || !isRotatedName(name, basename(written.path))) continue;
      const head = await readAt(handle, 0, Math.min(bytes, headBytes));
      const back = await readAt(handle, Math.max(0, bytes - backBytes), Math.min(bytes, backBytes));
      const isSame = await ask(written, async ({ handle: other }) => (await readAt(other, 0, head.length)).equals(head) && (await readAt(other, Math.max(0, bytes - backBytes), back.length)).equals(back));
      if (isSame) return true;
    }
    return false;
  });
}

/** What the files that are, or were, followed are called. */
function followedNames({ settings, deps, tails }: Following): ReadonlySet<string> {
  const paths = [settings.path, ...[...tails.values()].map(({ path }) => path), ...[...deps.intake.marks().values()].flatMap(({ more }) => (more['path'] === undefined ? [] : [String(more['path'])]))];
  return new Set(paths.map((path) => basename(path)));
}

/** Files that were made, and rotated away, while we looked elsewhere; how many. Fault `conflict`: look again. */
export async function followMissed(on: Following, all: readonly FoundFile[]): Promise<number> {
  const marks = on.deps.intake.marks();
  const olderMs = Number(marks.get(begunKey)?.more['older'] ?? -Infinity);
  const names = [...followedNames(on)];
  let count = 0;
  for (const file of all) {
    // An empty one may be a copy that is just being made.
    if (file.isMatch || file.bytes === 0 || file.bornMs <= olderMs || on.tails.has(file.key) || on.tails.size >= limits.feedFilesMax) continue;
    const base = names.find((name) => isRotatedName(basename(file.path), name));
    if (base === undefined) continue;
    try {
      if ((await isKnown(on, file, all)) || (await isCopyOfFollowed(on, file, all))) continue;
      const tail = await startTail(on, file, null, { path: join(dirname(file.path), base), turn: freshTurn(on, file) });
      on.deps.log.info('source.missed-file', { feed: on.deps.feed, file: file.path });
      on.tails.set(file.key, tail);
      count += 1;
      await readToEnd(tail);
    } catch (thrown) {
      if (isFault(thrown)) throw thrown;
      // One that cannot be read does not hold up the others.
      on.tally.failed(new Error(`${file.path}: ${reasonOf(thrown)}`));
    }
  }
  return count;
}

/** What was rotated away before the very first start is left out, then and later. Returns what is said of it with `begunKey`. */
export async function restOlder(on: Following, all: readonly FoundFile[]): Promise<Mark['more']> {
  const names = [...followedNames(on)];
  const older = all.filter((file) => !file.isMatch && !on.tails.has(file.key) && names.some((name) => isRotatedName(basename(file.path), name)));
  for (const file of older.slice(-olderMax)) {
    const tail = await startTail(on, file, null).catch((thrown: unknown) => {
      if (isFault(thrown)) throw thrown;
      return null;
    });
    if (tail === null) {
      // It may not be read, now.
      on.deps.intake.markAll({ key: file.key, turn: 1, at: 0, more: { path: file.path, born: file.bornMs, ms: on.deps.clock.nowMs(), rest: 1, older: file.bornMs } });
      continue;
    }
    try {
      await tail.skipToEnd();
      // A copy of what is about to be followed may have what we shall not find there any more.
      if (file.bytes === 0 || !(await isCopyOfFollowed(on, file, all))) tail.rest();
    } finally {
      await tail.close();
    }
  }
  const oldest = older.at(-olderMax - 1);
  return oldest === undefined ? {} : { older: oldest.bornMs };
}

/** The copy of a turn of which we had read more than it has: nothing is missing, and it is known by now. */
async function settleOvertaken(on: Following, candidates: readonly FoundFile[], mark: Mark, read: Fingerprint, live: Tail | null): Promise<void> {
  for (const file of candidates) {
    if (file.bytes >= read.at || file.bytes === 0) continue;
    const tail = await startTail(on, file, null, { turn: freshTurn(on, file) });
    try {
      await tail.skipToEnd();
      const isOfTurn = live !== null ? await ask(file, ({ handle, found }) => live.isCopied(handle, found.bytes)) : file.bytes >= headBytes && tail.lastMark().more['head'] === mark.more['head'];
      if (!isOfTurn) continue;
      await on.deps.intake.flush();
      tail.rest();
      return;
    } finally {
      await tail.close();
    }
  }
}

/** The rest of a turn that its file does not have any more: out of the copy that was made before the file was truncated, and what came behind
 *  it. `live`: the tail that it had, which knows more of it than its mark. Fault `conflict`: look again. */
export async function recoverTurn(on: Following, mark: KeptMark, live: Tail | null = null): Promise<boolean> {
  const all = await listSettled(on.settings.path);
  const base = basename(String(mark.more['path']));
  const read = live?.readPrint() ?? fingerprintIn(mark);
  // A place at the beginning has no bytes that a copy could be known by.
  if (read.at === 0) return (await followMissed(on, all)) > 0;
  const candidates: FoundFile[] = [];
  for (const file of all.toReversed()) {
    if (file.key === mark.key || on.tails.has(file.key) || !(on.copies.has(file.key) || isRotatedName(basename(file.path), base))) continue;
    const own = on.deps.intake.marks().get(file.key);
    // One that was read to its end, as a copy of a turn before, is none of this one.
    if (own === undefined || own.at === 0 || own.at < file.bytes || !(await isContentOf(file, own))) candidates.push(file);
  }
  for (const file of candidates) {
    if (file.bytes < read.at) continue;
    if (read.at < tellingBytes && Math.max(file.bornMs, file.changedMs) < Number(mark.more['ms']) - copyTimeSlackMs) continue;
    if (!(await ask(file, ({ handle }) => hasFingerprint(handle, read)))) continue;
    await readCopy(on, file, mark);
    await followMissed(on, all);
    return true;
  }
  await settleOvertaken(on, candidates, mark, read, live);
  return false;
}
