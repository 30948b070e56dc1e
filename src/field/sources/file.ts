// Files that others write and rotate, followed so that each record goes on once: across renaming, across copying and truncating, across
// our own restarts and crashes. Where a file was left is kept by the buffer in one piece with the records (intake.ts).
//
// A *turn* is what a file has between two truncations. Everything of a turn is in the buffers, durably, before the next begins, so that a
// place is found again by file, turn and bytes, and by a fingerprint of the bytes before it, whatever the file is called by then.
import { sleep } from '#base/clock.ts';
import { isFault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { KeptMark, Mark } from '../intake.ts';
import type { FileSettings, Framing } from '../source-settings.ts';
import { listFolder, listSettled } from './folder.ts';
import type { FoundFile } from './folder.ts';
import { begunKey, findAgain, followMissed, freshTurn, isAsNoted, isContentOf, isTelling, readToEnd, recoverTurn, restOlder, startTail } from './missed.ts';
import type { Following } from './missed.ts';
import { newTally } from './source.ts';
import type { Source, SourceDeps } from './source.ts';
import type { Tail } from './tail.ts';

/** A file that is still there under its name is kept open longer than one that was rotated away. */
const idleMs = 10 * 60_000;
const troubleMs = 1_000;

function bornIn(mark: Mark): number {
  return Number(mark.more['born']);
}

async function beginNextTurn(on: Following, tail: Tail): Promise<void> {
  const last = tail.lastMark();
  const isRecovered = await recoverTurn(on, { ...last, from: last }, tail);
  // What waits for its end was in the copy, or is all there is.
  if (!isRecovered) tail.cut();
  await on.deps.intake.flush();
  on.deps.log.info('source.file-truncated', { feed: on.deps.feed, file: tail.path, readBytes: tail.readBytes(), copy: isRecovered });
  tail.beginAgain();
  tail.grewMs = on.deps.clock.monoMs();
}

/** One whose number has a mark. */
async function followKnown(on: Following, file: FoundFile, mark: KeptMark, all: readonly FoundFile[]): Promise<Tail | null> {
  if (await isContentOf(file, mark)) return startTail(on, file, mark);
  // Truncated since, or another file with the number of one that was deleted.
  await recoverTurn(on, mark);
  await on.deps.intake.flush();
  if (file.bornMs !== bornIn(mark)) return followNew(on, file, all, false);
  const tail = await startTail(on, file, null, { turn: mark.turn + 1 });
  tail.mark(true);
  return tail;
}

/** One that looks new. */
async function followNew(on: Following, file: FoundFile, all: readonly FoundFile[], fromEnd: boolean): Promise<Tail | null> {
  const { intake } = on.deps;
  for (const mark of intake.marks().values()) {
    const holder = all.find(({ key }) => key === mark.key);
    // One that was rotated away and is there itself says nothing of the one that took its name: lines may be the same all day.
    if (holder?.isMatch === false) continue;
    if (mark.key === begunKey || mark.key === file.key || mark.at === 0 || !isTelling(mark, file) || !(await isContentOf(file, mark))) continue;
    if (holder !== undefined) {
      on.copies.set(file.key, file);
      return null;
    }
    // The same bytes, and the file that had them is gone: an editor wrote it anew.
    const tail = await startTail(on, file, mark);
    intake.rename(mark.key, file.key);
    return tail;
  }
  const tail = await startTail(on, file, null, { turn: freshTurn(on, file) });
  if (fromEnd) await tail.skipToEnd();
  // What the number had before counts no more.
  tail.mark(true);
  return tail;
}

/** Marks of files that nobody follows: rotated away, gone, or finished. */
async function settleMarks(on: Following): Promise<void> {
  const { intake, log, feed } = on.deps;
  const marks = [...intake.marks().values()].sort((a, b) => bornIn(a) - bornIn(b));
  // Listed after the marks were made: one that is forgotten while its file is there would have it read again.
  const all = await listSettled(on.settings.path);
  for (const mark of marks) {
    if (mark.key === begunKey || on.tails.has(mark.key)) continue;
    const path = String(mark.more['path']);
    const file = all.find(({ key }) => key === mark.key);
    if (file === undefined) {
      const again = await findAgain(on, mark, all);
      // One that is written is taken up by `followNew`; the rest of one that was not read to its end is recovered from it.
      if (again?.isMatch === true) continue;
      if (again !== null && mark.more['rest'] === 1) {
        intake.rename(mark.key, again.key);
        continue;
      }
      if (mark.more['rest'] !== 1 && !(await recoverTurn(on, mark))) log.warn('source.file-gone', { feed, file: path, readBytes: mark.at });
      intake.forget(mark.key);
      on.atRest.delete(mark.key);
      continue;
    }
    if (file.isMatch || mark.more['older'] === file.bornMs || isAsNoted(file, on.atRest.get(file.key))) continue;
    if (!(await isContentOf(file, mark))) {
      // Its number is another file's by now, or its bytes were written over.
      if (mark.more['rest'] === 1) continue;
      if (!(await recoverTurn(on, mark))) log.warn('source.file-gone', { feed, file: path, readBytes: mark.at });
      if (!on.tails.has(mark.key)) intake.markAll({ ...mark, more: { ...mark.more, rest: 1 } });
      continue;
    }
    const tail = file.bytes > mark.from.at ? await startTail(on, file, mark) : null;
    if (tail === null) on.atRest.set(file.key, file);
    else {
      on.tails.set(file.key, tail);
      await readToEnd(tail);
    }
  }
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
    if ((await readToEnd(tail)) === 'truncated') await beginNextTurn(on, tail);
  }
}

/** What the folder has now. Fault `conflict`: look again. */
async function lookAtFolder(on: Following, { isFirst, fromEnd }: { readonly isFirst: boolean; readonly fromEnd: boolean }): Promise<readonly FoundFile[]> {
  const all = await listFolder(on.settings.path);
  await followRenamed(on, all);
  const marks = on.deps.intake.marks();
  const isCopy = (file: FoundFile) => on.copies.get(file.key)?.bornMs === file.bornMs;
  const isNew = (file: FoundFile) => file.isMatch && !on.tails.has(file.key) && !isCopy(file);
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
    if (mark !== undefined && isNew(file) && !isAsNoted(file, on.atRest.get(file.key))) await add(file, () => followKnown(on, file, mark, all));
  }
  const fresh = all.filter((file) => isNew(file) && !marks.has(file.key));
  if (isFirst || fresh.length > 0) await settleMarks(on);
  // At the very first start nothing was missed.
  if (marks.has(begunKey)) await followMissed(on, all);
  for (const file of fresh) await add(file, () => followNew(on, file, all, fromEnd));
  on.tally.connected = on.tails.size;
  return all;
}

/** What is new in one of them; true when there was something. */
async function readFile(on: Following, tail: Tail): Promise<boolean> {
  const { clock } = on.deps;
  // Of a file that had nothing nobody can tell whether it was filled, copied and truncated since.
  if (tail.readBytes() === 0 && !tail.isRotated && (await tail.hasChanged())) await followMissed(on, await listFolder(on.settings.path));
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
  on.atRest.set(tail.key, { ...(await tail.facts()), bornMs: tail.bornMs });
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
async function begin(on: Following, all: readonly FoundFile[]): Promise<void> {
  const { intake } = on.deps;
  const more = intake.marks().get(begunKey)?.more ?? (await restOlder(on, all));
  for (const tail of on.tails.values()) tail.mark(tail.readBytes() === 0);
  intake.markAll({ key: begunKey, turn: 1, at: 0, more });
  await intake.flush();
}

export async function openFile(settings: FileSettings, framing: Framing, deps: SourceDeps): Promise<Source> {
  const tally = newTally(deps);
  const end = new AbortController();
  const on: Following = { settings, framing, deps, tally, tails: new Map(), atRest: new Map(), copies: new Map(), known: new Map() };
  const { clock, intake } = deps;
  let lookedMs = -Infinity;
  let isFirst = true;
  const hasBegun = intake.marks().has(begunKey);
  const look = async () => {
    const isDue = clock.monoMs() - lookedMs >= limits.feedTailFolderLookMs;
    if (isDue || (await hasMoved(on))) {
      const all = await lookAtFolder(on, { isFirst, fromEnd: isFirst && !hasBegun && settings.from === 'end' });
      if (isFirst) await begin(on, all);
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
