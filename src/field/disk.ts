// The few things that a feed's buffer wants of a disk, so that a simulated one can lose power, lie and fill up in tests; and the real one.
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Fault } from '#base/fault.ts';

export interface DiskFile {
  /** Shorter than asked for at the file's end. */
  read(position: number, length: number): Promise<Buffer>;
  /** All of it, or it throws; then any part of it may be there. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  /** What was written is durable when it resolves. When it throws, nothing is known, now and later: the system may have thrown the bytes away and call them clean. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Errors are Node's, with `code` (ENOENT, ENOSPC, EIO …). Names in a folder (made, renamed, removed) are durable only after `syncFolder`. */
export interface Disk {
  /** Made, and durable, with those above it. */
  makeFolder(path: string): Promise<void>;
  list(path: string): Promise<string[]>;
  /** `create`: a new file, EEXIST when there is one. `change`: one that is there. */
  open(path: string, mode: 'read' | 'change' | 'create'): Promise<DiskFile>;
  rename(from: string, to: string): Promise<void>;
  /** No error when it is not there. */
  remove(path: string): Promise<void>;
  syncFolder(path: string): Promise<void>;
  /** One process at a time; a dead one holds nothing. Fault `conflict` when another has it. Gives back how to let go. */
  lock(path: string): Promise<() => void>;
}

const flags = { read: 'r', change: 'r+', create: 'wx+' } as const;

export const realDisk: Disk = {
  async makeFolder(path) {
    const first = await mkdir(path, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      await syncFolder(folder);
      if (folder === dirname(first) || folder === dirname(folder)) return;
    }
  },
  list: (path) => readdir(path),
  open: async (path, mode) => fileOf(await open(path, flags[mode], 0o600)),
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { force: true }),
  syncFolder,
  lock,
};

function fileOf(handle: FileHandle): DiskFile {
  return {
    async read(position, length) {
      const bytes = Buffer.allocUnsafe(length);
      let have = 0;
      while (have < length) {
        const { bytesRead } = await handle.read(bytes, have, length - have, position + have);
        if (bytesRead === 0) break;
        have += bytesRead;
      }
      return bytes.subarray(0, have);
    },
    async write(bytes, position) {
      // A disk that is nearly full takes less than it is given.
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
        if (bytesWritten === 0) throw Object.assign(new Error('the disk takes no more'), { code: 'ENOSPC' });
        done += bytesWritten;
      }
    },
    truncate: (length) => handle.truncate(length),
    size: async () => (await handle.stat()).size,
    // Not fdatasync: the file's length counts as well.
    sync: () => handle.sync(),
    close: () => handle.close(),
  };
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The operating system's lock, through SQLite: it goes with the process, however that ends, and no process number is compared. */
async function lock(path: string): Promise<() => void> {
  const held = new DatabaseSync(path, { timeout: 0 });
  try {
    held.exec('pragma journal_mode = memory; begin exclusive');
    return () => held.close();
  } catch (thrown) {
    held.close();
    if (!(thrown instanceof Error && 'errcode' in thrown && thrown.errcode === 5)) throw thrown;
    throw new Fault('conflict', `another process uses the buffer ${dirname(path)}`, { remedy: 'stop the other agent, or give this one a folder of its own', cause: thrown });
  }
}

/** Node's code of a failure of the system, or an empty text. */
export function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : '';
}

/** Says that there is no room, not that the disk is broken. */
export const isFull = (thrown: unknown): boolean => ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(codeOf(thrown));
