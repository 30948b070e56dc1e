// Opening a feed's buffer, whatever was left behind: a power cut's leftovers, damaged files, files that nobody knows. None of them may
// keep the agent from storing what comes next.
import { join } from 'node:path';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { openCheckpointLog } from './buffer-checkpoints.ts';
import type { CheckpointLog } from './buffer-checkpoints.ts';
import { Segments } from './buffer-segments.ts';
import { isOurTemporary, isStateFile, openStateFile, readState } from './buffer-state.ts';
import type { BootClock, BufferState, StateFile } from './buffer-state.ts';
import { codeOf, realDisk } from './disk.ts';
import type { Disk } from './disk.ts';
import type { BufferSettings } from './settings.ts';
import { parseSegmentName } from './segment-files.ts';
import type { SegmentName } from './segment-files.ts';

export interface BufferFolderOptions {
  readonly folder: string;
  readonly feed: string;
  readonly format: string;
  readonly settings: BufferSettings;
  readonly destinations: readonly string[];
  readonly bootTag: string;
  readonly random: Random;
  readonly log: Log;
  readonly disk: Disk;
}

export interface BufferFolder {
  readonly state: StateFile;
  readonly segments: Segments;
  readonly checkpoints: CheckpointLog;
  readonly unlock: () => void;
}

const feedForm = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const isLock = (name: string) => name === 'lock' || name.startsWith('lock-');

export async function openBufferFolder(options: BufferFolderOptions): Promise<BufferFolder> {
  const { disk, folder, feed } = options;
  if (!feedForm.test(feed)) throw new Fault('bad-input', `"${feed}" is no name for a feed`);
  if (options.destinations.length > limits.feedDestinationsMax) throw new Fault('too-many', `feed ${feed} has more than ${limits.feedDestinationsMax} destinations`);
  let unlock: (() => void) | null = null;
  try {
    await disk.makeFolder(folder);
    unlock = await disk.lock(join(folder, 'lock'));
    return { ...(await openIn(options)), unlock };
  } catch (thrown) {
    unlock?.();
    if (isFault(thrown)) throw thrown;
    throw new Fault('busy', `the buffer in ${folder} cannot be opened: ${reasonOf(thrown)}`, { remedy: 'look at free space, permissions and health of the disk', cause: thrown });
  }
}

async function openIn(options: BufferFolderOptions): Promise<Omit<BufferFolder, 'unlock'>> {
  const { disk, folder, feed, log } = options;
  const names = await disk.list(folder);
  const segmentNames = names.flatMap((name) => parseSegmentName(name) ?? []);
  for (const name of names.filter(isOurTemporary)) await disk.remove(join(folder, name)).catch(() => {});
  const unknown = names.filter((name) => !isOurTemporary(name) && !isStateFile(name) && !isLock(name) && parseSegmentName(name) === null);
  if (unknown.length > 0) log.warn('feed.unknown-files', { feed, count: unknown.length, one: unknown[0] });
  const found = await readState(disk, folder);
  if (found === 'damaged' || (found === null && segmentNames.length > 0)) log.error('feed.state-lost', { feed, segments: segmentNames.length });
  const start = found === null || found === 'damaged' ? stateFrom(segmentNames, options) : found;
  const segments = new Segments({ disk, folder, log, segmentBytes: Math.min(options.settings.segmentBytes, Math.ceil(options.settings.bytesMax / 2)) }, start, start.first);
  await segments.recover(segmentNames, start.first);
  // Offsets that were used are not used again, even where the disk has nothing of them any more.
  const used = Math.max(start.first, start.end, ...Object.values(start.positions));
  if (used > segments.end) {
    log.error('feed.shorter', { feed, found: segments.end, was: used });
    await segments.skipTo(used);
  }
  const state = openStateFile(disk, folder, start, names);
  const opened = openedState(start, segments.end, options);
  let checkpoints: CheckpointLog;
  try {
    checkpoints = await openCheckpointLog(disk, folder, segments.end);
    // Not for nothing: a disk may be full, and what it has can be delivered all the same.
    if (start !== found || isOther(start, opened)) await state.commit(() => opened);
  } catch (thrown) {
    await segments.close();
    throw thrown;
  }
  segments.identity = state.now;
  if (state.now.format !== options.format) log.warn('feed.format-kept', { feed, format: state.now.format, wanted: options.format });
  return { state, segments, checkpoints };
}

/** Without a state: the names of segments tell the epoch; every gateway knows how far it is, and says so when it is asked. */
function stateFrom(names: readonly SegmentName[], { format, random }: BufferFolderOptions): BufferState {
  const last = names.toSorted((a, b) => a.serial - b.serial).at(-1);
  const first = names.reduce((least, { start }) => Math.min(least, start), last?.start ?? 0);
  return { epoch: last?.epoch ?? random(8).toString('hex'), format, shift: last?.shift ?? 0, first, forcedTo: 0, end: first, lost: 0, positions: {}, starts: {}, boots: [] };
}

/** Destinations as they are named now, clocks of boots that are over, and the format that was asked for as soon as nothing of another waits. */
function openedState(old: BufferState, end: number, options: BufferFolderOptions): BufferState {
  const begin = Math.max(old.first, old.shift);
  const positions = Object.fromEntries(options.destinations.map((name) => [name, old.positions[name] ?? begin]));
  const starts = Object.fromEntries(options.destinations.map((name) => [name, old.positions[name] === undefined ? begin : (old.starts[name] ?? 0)]));
  const boots: BootClock[] = old.boots.filter(({ until }) => until === null || until > old.first).map((boot) => (boot.tag === options.bootTag || boot.until !== null ? boot : { ...boot, until: end }));
  const state = { ...old, end, positions, starts, boots };
  if (old.format === options.format) return state;
  if (end > old.first && Object.values(positions).some((position) => position < end)) return state;
  const all = Object.fromEntries(options.destinations.map((name) => [name, end]));
  return { ...state, format: options.format, epoch: options.random(8).toString('hex'), shift: end, positions: all, starts: all, lost: 0 };
}

const isOther = (a: BufferState, b: BufferState): boolean => [a, b].map(({ epoch, format, positions, starts, boots }) => JSON.stringify([epoch, format, positions, starts, boots])).some((text, _, [first]) => text !== first);

export interface FeedSummary {
  readonly feed: string;
  readonly epoch: string;
  readonly format: string;
  /** So far it was durable when something was last noted. */
  readonly next: number;
  readonly first: number;
  readonly positions: Readonly<Record<string, number>>;
  readonly lost: number;
}

/** The feeds that have a buffer below `dir`, also while another process has them open. Those whose state cannot be read are left out. */
export async function listFeeds(dir: string, disk: Disk = realDisk): Promise<readonly FeedSummary[]> {
  let names: string[];
  try {
    names = await disk.list(dir);
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return [];
    throw thrown;
  }
  const feeds: FeedSummary[] = [];
  for (const feed of names.filter((name) => feedForm.test(name)).toSorted()) {
    const state = await readState(disk, join(dir, feed)).catch(() => null);
    if (state === null || state === 'damaged') continue;
    const { epoch, format, shift, end, first, positions, lost } = state;
    feeds.push({ feed, epoch, format, next: end - shift, first: Math.max(0, first - shift), positions: Object.fromEntries(Object.entries(positions).map(([name, position]) => [name, position - shift])), lost });
  }
  return feeds;
}
