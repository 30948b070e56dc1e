// The data folder: it belongs to one gateway at a time, and holds the secret files beside the database.
// The lock is one of the operating system's (SQLite's lock on the file `lock`), so a dead gateway holds none, whatever
// process has its number now, and two containers that share a volume see each other. The file `lock.pid` only says who.
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Fault, reasonOf } from '#base/fault.ts';
import { makePrivateFile, syncFolder } from './private-file.ts';

export interface DataFolder {
  readonly path: string;
  /** The file's bytes; made, written and then given back when it does not exist. */
  readOrMake(name: string, make: () => Promise<Buffer> | Buffer): Promise<Buffer>;
  /** null when there is none. */
  read(name: string): Promise<Buffer | null>;
  /** Whole or not at all, and durable when it resolves; only the owner may read it. */
  write(name: string, bytes: Buffer): Promise<void>;
  remove(name: string): Promise<void>;
  /** What the folder's disk has left for us. */
  freeBytes(): Promise<number>;
  /** `usedBytes` by anybody; free and used are not all of a disk that keeps a part for root. */
  disk(): Promise<{ readonly freeBytes: number; readonly usedBytes: number }>;
  /** Gives the folder free. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Tells the gateway at its next start that its folder was restored from a backup. */
export const restoredName = 'restored.json';
const lockName = 'lock';
const pidName = 'lock.pid';
const temporarySuffix = '.tmp';

/** Fault `conflict` when another gateway has the folder, or when it is somebody else's; `forbidden` when it cannot be used. */
export async function openDataFolder(dir: string): Promise<DataFolder> {
  const path = resolve(dir);
  await makeFolder(path);
  const lock = await takeLock(path);
  try {
    for (const name of await readdir(path)) if (name.startsWith('.') && name.endsWith(temporarySuffix)) await rm(join(path, name), { force: true, recursive: true });
  } catch (thrown) {
    lock.close();
    throw thrown;
  }
  return folderAt(path, lock);
}

function folderAt(path: string, lock: DatabaseSync): DataFolder {
  // One file is read, made, written and removed in turn; a crash leaves the old one or the new one.
  const turns = new Map<string, Promise<unknown>>();
  let closed = false;
  const inTurn = <Result>(name: string, work: (file: string) => Promise<Result>): Promise<Result> => {
    if (closed) return Promise.reject(new Fault('closed', 'the data folder is closed'));
    if (!/^[a-z0-9][a-z0-9._-]{0,99}$/.test(name)) return Promise.reject(new Fault('bad-input', `"${name}" is no name for a file in the data folder`));
    const turn = (turns.get(name) ?? Promise.resolve()).then(() => work(join(path, name)));
    const settled = turn.then(() => {}, () => {});
    turns.set(name, settled);
    void settled.then(() => turns.get(name) === settled && turns.delete(name));
    return turn;
  };
  const close = async () => {
    if (closed) return;
    closed = true;
    await Promise.all(turns.values());
    // Before the lock: afterwards the file may be another gateway's.
    await rm(join(path, pidName), { force: true });
    lock.close();
  };
  return {
    path,
    readOrMake: (name, make) =>
      inTurn(name, async (file) => {
        const found = await readIfThere(file);
        if (found) return found;
        const made = await make();
        await writeWhole(path, name, made);
        return made;
      }),
    read: (name) => inTurn(name, readIfThere),
    write: (name, bytes) => inTurn(name, () => writeWhole(path, name, bytes)),
    remove: (name) =>
      inTurn(name, async (file) => {
        await rm(file, { force: true });
        await syncFolder(path);
      }),
    async freeBytes() {
      const disk = await statfs(path);
      return disk.bavail * disk.bsize;
    },
    async disk() {
      const disk = await statfs(path);
      return { freeBytes: disk.bavail * disk.bsize, usedBytes: (disk.blocks - disk.bfree) * disk.bsize };
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Ours alone to read. A folder with other people's files in it is refused, not taken over: `--data /tmp` must not lock everyone out of /tmp. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const names = (await readdir(path)).filter((name) => name !== 'lost+found');
    // A restored backup has the database, but no lock.
    if (names.length > 0 && !names.includes(lockName) && !names.includes('postern.db')) {
      throw new Fault('conflict', `${path} is not empty and is not a data folder of Postern`, { remedy: 'name a new or empty folder with --data' });
    }
    if (((await stat(path)).mode & 0o777) !== 0o700) await chmod(path, 0o700);
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault('forbidden', `the data folder ${path} cannot be used: ${reasonOf(thrown)}`, { remedy: 'name a folder that this user owns with --data', cause: thrown });
  }
}

async function takeLock(path: string): Promise<DatabaseSync> {
  const file = join(path, lockName);
  await makePrivateFile(file);
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    // Held until the database is closed or the process ends, however it ends.
    lock.exec('pragma journal_mode = memory; begin exclusive');
    await writeFile(join(path, pidName), `${process.pid} ${hostname()}\n`, { mode: 0o600 });
    return lock;
  } catch (thrown) {
    lock.close();
    if (!(thrown instanceof Error && 'errcode' in thrown && thrown.errcode === 5)) throw thrown;
    throw new Fault('conflict', `${await holderOf(path)} uses the data folder ${path}`, { remedy: 'stop it, or name another folder with --data', cause: thrown });
  }
}

async function holderOf(path: string): Promise<string> {
  const [, pid, host] = /^(\d+) (\S+)/.exec((await readIfThere(join(path, pidName)))?.toString() ?? '') ?? [];
  if (pid === undefined) return 'another process';
  if (host !== hostname()) return `process ${pid} on ${host}`;
  return Number(pid) === process.pid ? `this process (${pid})` : `process ${pid}`;
}

async function readIfThere(file: string): Promise<Buffer | null> {
  try {
    return await readFile(file);
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return null;
    throw thrown;
  }
}

async function writeWhole(dir: string, name: string, bytes: Buffer): Promise<void> {
  const temporary = join(dir, `.${name}${temporarySuffix}`);
  try {
    // Removed first: an old one with another mode would keep it.
    await rm(temporary, { force: true });
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(dir, name));
    await syncFolder(dir);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw new Fault('busy', `the file ${name} in the data folder cannot be written: ${reasonOf(thrown)}`, { remedy: 'look at free space and permissions of the data folder', cause: thrown });
  }
}
