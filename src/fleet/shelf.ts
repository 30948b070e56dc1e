// Bytes of devices' files on the disk: `tmp/` what is on its way, `aa/<sha256>` what is there. What lies under a digest never changes.
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { link, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault, reasonOf } from '#base/fault.ts';

/** A file on its way. One user at a time. */
export interface Taking {
  readonly bytes: number;
  write(piece: Uint8Array): Promise<void>;
  /** Forgets what is behind `bytes`. */
  cutTo(bytes: number): Promise<void>;
  /** On the disk, when it resolves. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Shelf {
  /** What is on its way under `name`, from `at` bytes on: what is behind them is forgotten. Fault `gone` when there is less. */
  take(name: string, at: number): Promise<Taking>;
  digestOf(name: string): Promise<{ readonly sha256: string; readonly bytes: number }>;
  /** Also under its digest, on the disk when it resolves; under its name it stays until it is discarded, so that a failure loses nothing. */
  place(name: string, sha256: string): Promise<void>;
  /** The bytes; whoever asked closes it. Fault `not-found`. */
  open(sha256: string): Promise<FileHandle>;
  remove(sha256: string): Promise<void>;
  discard(name: string): Promise<void>;
  /** Names of what is on its way. */
  takings(): Promise<readonly string[]>;
  /** All digests, in portions. */
  digests(): AsyncIterable<readonly string[]>;
}

const readBytes = 256 * 1024;
const temporaryName = /^[a-z0-9-]{1,80}$/;

/** Makes the folders. */
export async function openShelf(dir: string): Promise<Shelf> {
  const tmp = join(dir, 'tmp');
  await mkdir(tmp, { recursive: true, mode: 0o700 });
  await syncFolder(dir);
  const onTheWay = (name: string): string => {
    if (!temporaryName.test(name)) throw new Error(`"${name}" is no name for a file on its way`);
    return join(tmp, name);
  };
  const folderOf = (sha256: string): string => {
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new Error('not a digest');
    return join(dir, sha256.slice(0, 2));
  };
  return {
    take: (name, at) => guarded(() => takeAt(onTheWay(name), at)),
    digestOf: (name) => guarded(() => digestOf(onTheWay(name))),
    place: (name, sha256) =>
      guarded(async () => {
        const folder = folderOf(sha256);
        // The folder's own name must be on the disk before what is in it counts.
        if ((await mkdir(folder, { recursive: true, mode: 0o700 })) !== undefined) await syncFolder(dir);
        await linkOrMove(onTheWay(name), join(folder, sha256));
        await syncFolder(folder);
      }),
    async open(sha256) {
      try {
        return await open(join(folderOf(sha256), sha256), 'r');
      } catch (thrown) {
        if (isMissing(thrown)) throw new Fault('not-found', 'the bytes of this file are not in the data folder', { remedy: 'restore the folder "files" from a backup', cause: thrown });
        throw thrown;
      }
    },
    remove: (sha256) => rm(join(folderOf(sha256), sha256), { force: true }),
    discard: (name) => rm(onTheWay(name), { force: true }),
    takings: () => readdir(tmp),
    async *digests() {
      for (const folder of (await readdir(dir)).filter((name) => /^[0-9a-f]{2}$/.test(name))) {
        const names = (await readdir(join(dir, folder))).filter((name) => /^[0-9a-f]{64}$/.test(name));
        for (let at = 0; at < names.length; at += 500) yield names.slice(at, at + 500);
      }
    },
  };
}

async function takeAt(path: string, at: number): Promise<Taking> {
  const file = await open(path, at === 0 ? 'w' : 'r+', 0o600);
  let bytes = at;
  try {
    if (at > 0) {
      if ((await file.stat()).size < at) throw new Fault('gone', 'a part of this upload is lost', { remedy: 'begin it again' });
      await file.truncate(at);
    }
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
  return {
    get bytes() {
      return bytes;
    },
    async write(piece) {
      await guarded(async () => {
        for (let from = 0; from < piece.length; ) {
          const { bytesWritten } = await file.write(piece, from, piece.length - from, bytes + from);
          from += bytesWritten;
        }
      });
      bytes += piece.length;
    },
    async cutTo(to) {
      await guarded(() => file.truncate(to));
      bytes = to;
    },
    sync: () => guarded(() => file.sync()),
    close: () => file.close(),
  };
}

async function digestOf(path: string): Promise<{ sha256: string; bytes: number }> {
  const file = await open(path, 'r');
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(readBytes);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, bytes);
      if (bytesRead === 0) return { sha256: hash.digest('hex'), bytes };
      hash.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
  } finally {
    await file.close();
  }
}

async function linkOrMove(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : '';
    if (code === 'EEXIST') return;
    // File systems without links. What moved is lost for an upload whose row then fails: the device begins again.
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP' && code !== 'EMLINK') throw thrown;
    await rename(from, to);
  }
}

const isMissing = (thrown: unknown): boolean => thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT';

/** A full or broken disk is the gateway's trouble, for which a device tries again later. */
async function guarded<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    if (isMissing(thrown)) throw new Fault('gone', 'what came before of this file is not there any more', { remedy: 'begin it again', cause: thrown });
    throw new Fault('busy', `a file cannot be written: ${reasonOf(thrown)}`, { remedy: 'look at free space and permissions of the data folder', cause: thrown });
  }
}

/** A new or renamed file is durable only when the folder that names it is. */
async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
