// Files that others write and rotate, followed so that each record goes on once: across renaming, across copying and truncating, across
// our own restarts and crashes. Where a file was left is kept by the buffer in one piece with the records (intake.ts).
//
// A *turn* is what a file has between two truncations. Everything of a turn is in the buffers, durably, before the next begins, so that a
// place is found again by file, turn and bytes, and by a fingerprint of the bytes before it, whatever the file is called by then.
import { basename } from 'node:path';
import { sleep } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { KeptMark, Mark } from '../intake.ts';
import type { FileSettings, Framing } from '../source-settings.ts';
import { hasFingerprint, headBytes, isRotatedName, listFolder, openFound, tellingBytes } from './folder.ts';
import type { FoundFile } from './folder.ts';
import { newTally } from './source.ts';
import type { Source, SourceDeps, Tally } from './source.ts';
import { fingerprintIn, openTail } from './tail.ts';
import type { Tail } from './tail.ts';

/** A mark of its own says that the source has been here before: `from` counts at its very first start. */
const begunKey = 'begun';
/** A copy of a few bytes tells little: it must at least have been written about when the bytes were read, or later. */
const copyTimeSlackMs = 60_000;
const searchesAfter = 2;
/** Times of files are of the kernel's last tick. */
const fileTimeSlackMs = 20;
/** A file that is still there under its name is kept open longer than one that was rotated away. */
const idleMs = 10 * 60_000;
const troubleMs = 1_000;

interface Following {
  readonly settings: FileSettings;
  readonly framing: Framing;
  readonly deps: SourceDeps;
  readonly tally: Tally;
  readonly tails: Map<string, Tail>;
  /** Read to their ends and closed: how they were then. */
  readonly atRest: Map<string, { readonly bytes: number; readonly changedMs: number }>;
  /** Copies of a turn that is still followed under its own name. */
  readonly copies: Set<string>;
  /** Looks at the folder that are still to search for what was rotated away unseen: a list is never of one moment. */
  searches: number;
}

const isGone = (thrown: unknown): boolean => (thrown as NodeJS.ErrnoException).code === 'ENOENT';

function bornIn(mark: Mark): number {
  return Number(mark.more['born']);
}

/** Fault `conflict`: a name leads elsewhere than when the folder was listed. Whatever was being decided is decided anew by the next look. */
async function openExactly(file: FoundFile): Promise<Awaited<ReturnType<typeof openFound>>> {
  const moved = () => new Fault('conflict', `${file.path} was renamed while it was looked at`);
  const opened = await openFound(file.path, file.isMatch).catch((thrown: unknown) => {
    throw isGone(thrown) ? moved() : thrown;
  });
  if (opened.found.key === file.key) return opened;
  await opened.handle.close();
  throw moved();
}

async function isContentOf(file: FoundFile, mark: Mark): Promise<boolean> {
  if (file.bytes < mark.at) return false;
  const opened = await openExactly(file);
  try {
    return await hasFingerprint(opened.handle, fingerprintIn(mark));
  } finally {
    await opened.handle.close();
  }
}

async function startTail(on: Following, file: FoundFile, from: KeptMark | null, { turn = 1, key = file.key, path = file.isMatch || from === null ? file.path : String(from.more['path']) } = {}): Promise<Tail> {
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
async function readToEnd(tail: Tail): Promise<'end' | 'truncated'> {
  for (;;) {
    const found = await tail.readOn();
    if (found !== 'some') return found;
  }
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
    tail.restAs(file.key);
  } finally {
    await tail.close();
  }
}

/** Files that were made, and rotated away, later than `after`, while we looked elsewhere; how many. `path`: what they were called. */
async function followMissed(on: Following, all: readonly FoundFile[], path: string, after: { readonly key: string; readonly bornMs: number }): Promise<number> {
  const marks = on.deps.intake.marks();
  let count = 0;
  for (const file of all) {
    if (file.isMatch || file.key === after.key || file.bornMs < after.bornMs || on.tails.has(file.key) || marks.has(file.key) || !isRotatedName(basename(file.path), basename(path))) continue;
    if (await isCopyOfFollowed(on, file)) continue;
    const tail = await startTail(on, file, null, { path });
    on.deps.log.info('source.missed-file', { feed: on.deps.feed, file: file.path });
    on.tails.set(file.key, tail);
    await readToEnd(tail);
    count += 1;
  }
  return count;
}

/** A copy is the business of the turn whose file is truncated after it was made. */
async function isCopyOfFollowed(on: Following, file: FoundFile): Promise<boolean> {
  const opened = await openExactly(file);
  try {
    for (const tail of on.tails.values()) if (!tail.isRotated && (await tail.isCopied(opened.handle, file.bytes))) return true;
    return false;
  } finally {
    await opened.handle.close();
  }
}

/** The copy of a turn of which we had read more than it has: nothing is missing, and it is known by now. */
async function settleOvertaken(on: Following, candidates: readonly FoundFile[], mark: Mark): Promise<void> {
  for (const file of candidates) {
    if (file.bytes >= mark.at || file.bytes < headBytes) continue;
    const tail = await startTail(on, file, null);
    try {
      await tail.skipToEnd();
      if (tail.lastMark().more['head'] !== mark.more['head']) continue;
      await on.deps.intake.flush();
      tail.rest();
      return;
    } finally {
      await tail.close();
    }
  }
}

/** A place at the beginning has no bytes that a copy could be known by: it is one that was made since. */
function sinceMark(mark: Mark): { readonly key: string; readonly bornMs: number } {
  return { key: mark.key, bornMs: Number(mark.more['ms']) - fileTimeSlackMs };
}

/** The rest of a turn that its file does not have any more: out of the copy that was made before the file was truncated. */
async function recoverTurn(on: Following, mark: KeptMark): Promise<boolean> {
  const all = await listFolder(on.settings.path);
  const path = String(mark.more['path']);
  if (mark.at === 0) return (await followMissed(on, all, path, sinceMark(mark))) > 0;
  const marks = on.deps.intake.marks();
  const candidates = all.toReversed().filter(({ key, path: name }) => key !== mark.key && !on.tails.has(key) && !marks.has(key) && (on.copies.has(key) || isRotatedName(basename(name), basename(path))));
  for (const file of candidates) {
    if (mark.at < tellingBytes && Math.max(file.bornMs, file.changedMs) < Number(mark.more['ms']) - copyTimeSlackMs) continue;
    if (!(await isContentOf(file, mark))) continue;
    await readCopy(on, file, mark);
    await followMissed(on, all, path, file);
    return true;
  }
  await settleOvertaken(on, candidates, mark);
  return false;
}

async function beginNextTurn(on: Following, tail: Tail): Promise<void> {
  const last = tail.lastMark();
  const isRecovered = await recoverTurn(on, { ...last, from: last });
  // What waits for its end was in the copy, or is all there is.
  if (!isRecovered) tail.cut();
  await on.deps.intake.flush();
  on.deps.log.info('source.file-truncated', { feed: on.deps.feed, file: tail.path, readBytes: tail.readBytes(), copy: isRecovered });
  tail.beginAgain();
  on.searches = searchesAfter;
  tail.grewMs = on.deps.clock.monoMs();
}

/** One with a mark of its own. */
async function followKnown(on: Following, file: FoundFile, mark: KeptMark, all: readonly FoundFile[]): Promise<Tail> {
  if (mark.at === 0) await followMissed(on, all, file.path, sinceMark(mark));
  if (await isContentOf(file, mark)) return startTail(on, file, mark);
  // Truncated since, or another file with the number of one that was deleted.
  await recoverTurn(on, mark);
  await on.deps.intake.flush();
  const tail = await startTail(on, file, null, { turn: mark.turn + 1 });
  tail.mark(true);
  return tail;
}

/** One that looks new. */
async function followNew(on: Following, file: FoundFile, all: readonly FoundFile[], fromEnd: boolean): Promise<Tail | null> {
  const { intake } = on.deps;
  for (const mark of intake.marks().values()) {
    // A disk that was numbered anew gives the inode another device.
    const isSameInode = mark.key.split(':')[1] === file.key.split(':')[1];
    if (mark.key === begunKey || mark.at === 0 || (mark.at < tellingBytes && !isSameInode) || !(await isContentOf(file, mark))) continue;
    if (all.some(({ key }) => key === mark.key)) {
      on.copies.add(file.key);
      return null;
    }
    // The same bytes, and the file that had them is gone: an editor wrote it anew.
    const tail = await startTail(on, file, mark);
    intake.rename(mark.key, file.key);
    return tail;
  }
  const tail = await startTail(on, file, null);
  if (fromEnd) {
    await tail.skipToEnd();
    tail.mark(true);
  }
  return tail;
}

/** Marks of files that nobody follows: rotated away, gone, or finished. */
async function settleMarks(on: Following, all: readonly FoundFile[]): Promise<void> {
  const { intake, log, feed } = on.deps;
  for (const mark of [...intake.marks().values()].sort((a, b) => bornIn(a) - bornIn(b))) {
    if (mark.key === begunKey || on.tails.has(mark.key)) continue;
    const path = String(mark.more['path']);
    const file = all.find(({ key }) => key === mark.key);
    if (file === undefined) {
      if (mark.more['rest'] !== 1 && !(await recoverTurn(on, mark))) log.warn('source.file-gone', { feed, file: path, readBytes: mark.at });
      intake.forget(mark.key);
      on.atRest.delete(mark.key);
      continue;
    }
    if (file.isMatch || isAsLeft(on, file) || !(await isContentOf(file, mark))) continue;
    const tail = file.bytes > mark.from.at ? await startTail(on, file, mark) : null;
    if (tail === null) on.atRest.set(file.key, file);
    else {
      on.tails.set(file.key, tail);
      await readToEnd(tail);
    }
  }
}

/** Behind every file that was rotated away and is known by itself. */
async function searchMissed(on: Following, all: readonly FoundFile[]): Promise<void> {
  const marks = on.deps.intake.marks();
  for (const file of all) {
    if (file.isMatch) continue;
    const mark = marks.get(file.key);
    const tail = on.tails.get(file.key);
    if (tail !== undefined) await followMissed(on, all, tail.path, file);
    else if (mark !== undefined && (isAsLeft(on, file) || (await isContentOf(file, mark)))) await followMissed(on, all, String(mark.more['path']), file);
  }
}

function isAsLeft(on: Following, file: FoundFile): boolean {
  const rest = on.atRest.get(file.key);
  return rest !== undefined && rest.bytes === file.bytes && rest.changedMs === file.changedMs;
}

/** Names that lead to other files now: the old ones to their ends first, then whatever came between them and the new ones. */
async function followRenamed(on: Following, all: readonly FoundFile[]): Promise<void> {
  for (const tail of on.tails.values()) {
    const file = all.find(({ key }) => key === tail.key);
    const isRotated = file?.isMatch !== true;
    if (!isRotated) tail.path = file.path;
    if (isRotated === tail.isRotated) continue;
    tail.isRotated = isRotated;
    if (!isRotated) continue;
    on.searches = searchesAfter;
    if ((await readToEnd(tail)) === 'truncated') await beginNextTurn(on, tail);
    await followMissed(on, all, tail.path, tail);
  }
}

/** What the folder has now. */
async function lookAtFolder(on: Following, { isFirst, fromEnd }: { readonly isFirst: boolean; readonly fromEnd: boolean }): Promise<void> {
  const all = await listFolder(on.settings.path);
  await followRenamed(on, all);
  const marks = on.deps.intake.marks();
  const isNew = (file: FoundFile) => file.isMatch && !on.tails.has(file.key) && !on.copies.has(file.key);
  const add = async (file: FoundFile, open: () => Promise<Tail | null>) => {
    if (on.tails.size >= limits.feedFilesMax) {
      on.tally.failed(`more than ${limits.feedFilesMax} files change at once; the others wait`);
      return;
    }
    const tail = await open();
    if (tail === null) return;
    on.atRest.delete(file.key);
    on.tails.set(file.key, tail);
  };
  // Those that are known go first: what looks new may be a copy of one of them.
  for (const file of all) {
    const mark = marks.get(file.key);
    if (mark !== undefined && isNew(file) && !isAsLeft(on, file)) await add(file, () => followKnown(on, file, mark, all));
  }
  const fresh = all.filter((file) => isNew(file) && !marks.has(file.key));
  if (isFirst || fresh.length > 0) {
    await settleMarks(on, all);
    on.searches = searchesAfter;
  }
  if (on.searches > 0) {
    on.searches -= 1;
    await searchMissed(on, all);
  }
  for (const file of fresh) await add(file, () => followNew(on, file, all, fromEnd));
  on.tally.connected = on.tails.size;
}

/** What is new in one of them; true when there was something. */
async function readFile(on: Following, tail: Tail): Promise<boolean> {
  const { clock } = on.deps;
  // Of a file that had nothing nobody can tell whether it was filled, copied and truncated since.
  if (tail.readBytes() === 0 && !tail.isRotated && (await tail.hasChanged())) await followMissed(on, await listFolder(on.settings.path), tail.path, sinceMark(tail.lastMark()));
  const found = await tail.readOn();
  if (found === 'truncated') await beginNextTurn(on, tail);
  if (found !== 'end') {
    tail.grewMs = clock.monoMs();
    return true;
  }
  tail.mark();
  const quietMs = clock.monoMs() - tail.grewMs;
  if (tail.isRotated ? quietMs < limits.feedTailQuietMs : quietMs < idleMs || !tail.isAtRest()) return false;
  if (tail.isRotated) tail.cut();
  await on.deps.intake.flush();
  tail.rest();
  on.tails.delete(tail.key);
  on.atRest.set(tail.key, await tail.facts());
  await tail.close();
  return false;
}

async function readFiles(on: Following): Promise<boolean> {
  let hasRead = false;
  // Old ones first, so that a feed has its records in their order as far as files can tell.
  for (const tail of [...on.tails.values()].sort((a, b) => Number(b.isRotated) - Number(a.isRotated) || a.bornMs - b.bornMs)) {
    try {
      if (await readFile(on, tail)) hasRead = true;
    } catch (thrown) {
      if (isFault(thrown, 'closed') || isFault(thrown, 'conflict')) throw thrown;
      // One bad file does not hold up the others.
      on.tally.failed(new Error(`${tail.path}: ${reasonOf(thrown)}`));
    }
  }
  return hasRead;
}

/** Whether a name leads to another file than a moment ago. Cheaper than the folder, and looked at more often. */
async function hasMoved(on: Following): Promise<boolean> {
  for (const tail of on.tails.values()) if (!tail.isRotated && !(await tail.isAtItsName())) return true;
  return false;
}

/** What is followed is known durably before the first line goes on: what is rotated away from here on is not lost to a crash. */
async function begin({ deps: { intake }, tails }: Following): Promise<void> {
  for (const tail of tails.values()) tail.mark(tail.readBytes() === 0);
  intake.markAll({ key: begunKey, turn: 1, at: 0, more: {} });
  await intake.flush();
}

export async function openFile(settings: FileSettings, framing: Framing, deps: SourceDeps): Promise<Source> {
  const tally = newTally(deps);
  const end = new AbortController();
  const on: Following = { settings, framing, deps, tally, tails: new Map(), atRest: new Map(), copies: new Set(), searches: 0 };
  const { clock, intake } = deps;
  let lookedMs = -Infinity;
  let isFirst = true;
  const hasBegun = intake.marks().has(begunKey);
  const look = async () => {
    const isDue = clock.monoMs() - lookedMs >= limits.feedTailFolderLookMs;
    if (isDue || (await hasMoved(on))) {
      await lookAtFolder(on, { isFirst, fromEnd: isFirst && !hasBegun && settings.from === 'end' });
      if (isFirst) await begin(on);
      isFirst = false;
      lookedMs = clock.monoMs();
    }
    if (!(await readFiles(on))) await sleep(clock, limits.feedTailLookMs, end.signal);
    tally.worked();
  };
  const done = (async () => {
    while (!end.signal.aborted) {
      try {
        await look();
      } catch (thrown) {
        if (end.signal.aborted) break;
        if (isFault(thrown, 'conflict')) {
          // In the midst of a rotation.
          await sleep(clock, limits.feedTailLookMs, end.signal);
          continue;
        }
        tally.failed(new Error(`${settings.path}: ${reasonOf(thrown)}`));
        await sleep(clock, troubleMs, end.signal);
      }
    }
    for (const tail of on.tails.values()) {
      tail.mark();
      await tail.close();
    }
    tally.connected = 0;
  })();
  return {
    status: () => tally.status(`file ${settings.path}`),
    async close() {
      end.abort();
      deps.intake.release();
      await done;
    },
  };
}
