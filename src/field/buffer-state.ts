// What a feed's buffer knows beside its bytes: epoch, positions, where it begins. One small file, replaced as a whole: written beside the
// old one, fsynced, renamed, the folder fsynced. Changes that come while one is being written share the next.
import { join } from 'node:path';
import { Fault, reasonOf } from '#base/fault.ts';
import { crc32c } from '#wire/crc32c.ts';
import { checkpointsName, checkpointsTemporary } from './buffer-checkpoints.ts';
import { codeOf, isFull } from './disk.ts';
import type { Disk } from './disk.ts';

/** How the times of one boot's `uptime` frames are told. Neither changes any more once bytes with it were handed out. */
export interface BootClock {
  /** 16 hex digits. */
  readonly tag: string;
  /** Time = uptime + this; null: not learned. */
  readonly deltaMs: number | null;
  /** Bytes below were handed out before it was learned. */
  readonly unknownTo: number;
  /** No later byte is of this boot; null: it is the one that runs. */
  readonly until: number | null;
}

/** Offsets here are the buffer's own, which never begin again; on the wire they are less `shift`. */
export interface BufferState {
  readonly epoch: string;
  readonly format: string;
  /** Where the epoch begins. */
  readonly shift: number;
  /** The oldest byte that is kept. Moved here before its segment is deleted. */
  readonly first: number;
  /** Bytes below were given up before all had them. */
  readonly forcedTo: number;
  /** So far it was flushed when this was written, at least. */
  readonly end: number;
  /** Bytes that somebody did not get and never will, of this epoch. */
  readonly lost: number;
  readonly positions: Readonly<Record<string, number>>;
  /** Where a destination began. */
  readonly starts: Readonly<Record<string, number>>;
  readonly boots: readonly BootClock[];
}

export type StatePatch = (state: BufferState) => Partial<BufferState>;

const stateName = 'state';
const reserveName = 'reserve';
const reserveBytes = 16 * 1024;
const temporarySuffix = '.tmp';

export const isOurTemporary = (name: string): boolean => name.endsWith(temporarySuffix) && (name.startsWith(`${stateName}.`) || name.includes('.seg.'));
export const isStateFile = (name: string): boolean => name === stateName || name === reserveName || name === checkpointsName || name === checkpointsTemporary;

export function encodeState(state: BufferState): Buffer {
  const text = Buffer.from(`${JSON.stringify({ version: 1, ...state })}\n`);
  return Buffer.concat([text, Buffer.from(`${crc32c(text).toString(16).padStart(8, '0')}\n`)]);
}

/** null when it is not what was written. */
export function parseState(bytes: Buffer): BufferState | null {
  if (bytes.length < 10) return null;
  const text = bytes.subarray(0, bytes.length - 9);
  if (bytes.subarray(text.length).toString('latin1') !== `${crc32c(text).toString(16).padStart(8, '0')}\n`) return null;
  // Whoever writes a right checksum is us: only the version is asked.
  const { version, ...state } = JSON.parse(text.toString()) as BufferState & { readonly version: number };
  return version === 1 ? state : null;
}

/** null: there is none. `damaged`: there is one that cannot be read. */
export async function readState(disk: Disk, folder: string): Promise<BufferState | 'damaged' | null> {
  let file;
  try {
    file = await disk.open(join(folder, stateName), 'read');
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return null;
    throw thrown;
  }
  try {
    return parseState(await file.read(0, await file.size())) ?? 'damaged';
  } finally {
    await file.close();
  }
}

export interface StateFile {
  /** What is durable. */
  readonly now: BufferState;
  /** Durable when it resolves. Fault `busy` when it cannot be: then `now` has not changed. */
  commit(patch: StatePatch): Promise<void>;
  /** After a failed commit nobody knows what the disk has: writes it again. Nothing may be handed out before. */
  settle(): Promise<void>;
}

interface Waiting {
  readonly patch: StatePatch;
  readonly done: (failure: Fault | null) => void;
}

/** `start` is what `readState` found, or what has to be committed before anything is given out. */
export function openStateFile(disk: Disk, folder: string, start: BufferState, names: readonly string[]): StateFile {
  let now = start;
  let waiting: Waiting[] = [];
  let running = false;
  let isUncertain = false;
  let hasReserve = names.includes(reserveName);
  const write = async (state: BufferState) => {
    isUncertain = true;
    try {
      await replace(disk, folder, encodeState(state));
    } catch (thrown) {
      if (!isFull(thrown) || !hasReserve) throw thrown;
      // A full disk must not stop positions: only by moving them is anything ever deleted.
      hasReserve = false;
      await disk.remove(join(folder, reserveName));
      await replace(disk, folder, encodeState(state));
    }
    now = state;
    isUncertain = false;
    if (!hasReserve) hasReserve = await keepReserve(disk, folder);
  };
  const run = async () => {
    running = true;
    while (waiting.length > 0) {
      const these = waiting;
      waiting = [];
      let failure: Fault | null = null;
      try {
        await write(these.reduce<BufferState>((state, { patch }) => ({ ...state, ...patch(state) }), now));
      } catch (thrown) {
        failure = new Fault('busy', `the buffer's state in ${folder} cannot be written: ${reasonOf(thrown)}`, { remedy: 'look at free space and health of the disk', cause: thrown });
      }
      for (const { done } of these) done(failure);
    }
    running = false;
  };
  const commit = (patch: StatePatch) =>
    new Promise<void>((resolve, reject) => {
      waiting.push({ patch, done: (failure) => (failure ? reject(failure) : resolve()) });
      if (!running) void run();
    });
  return {
    get now() {
      return now;
    },
    commit,
    async settle() {
      if (isUncertain) await commit(() => ({}));
    },
  };
}

async function replace(disk: Disk, folder: string, bytes: Buffer): Promise<void> {
  const temporary = join(folder, `${stateName}${temporarySuffix}`);
  await disk.remove(temporary);
  const file = await disk.open(temporary, 'create');
  try {
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(temporary, join(folder, stateName));
  await disk.syncFolder(folder);
}

/** Some blocks that can be given back when the disk is full. */
async function keepReserve(disk: Disk, folder: string): Promise<boolean> {
  const path = join(folder, reserveName);
  try {
    const file = await disk.open(path, 'create');
    try {
      await file.write(Buffer.alloc(reserveBytes, 0x52), 0);
    } finally {
      await file.close();
    }
    return true;
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') return true;
    await disk.remove(path).catch(() => {});
    return false;
  }
}
