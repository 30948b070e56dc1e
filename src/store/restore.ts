// Restoring a backup into a data folder that no gateway uses. All of it is unpacked and proved first; only then does anything take its place.
import { chown, mkdir, open, type FileHandle, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { BackupManifest, RestoredNote } from '#model/keeping.ts';
import { openBackupFile, readBackup, type BackupTaker } from './backup-read.ts';
import { filesPrefix, storeName } from './backup.ts';
import { openDataFolder, restoredName } from './data-folder.ts';
import { asFault } from './failure.ts';
import { migrations } from './migrate.ts';
import { syncFolder } from './private-file.ts';

export interface RestoreOptions {
  readonly file: string;
  readonly dataDir: string;
  readonly passphrase: string | null;
  /** Moves what is in the folder aside. */
  readonly force: boolean;
  readonly nowMs: number;
  /** Where the store goes instead of the data folder; gets the file that holds it. */
  readonly putStore: ((file: string) => Promise<void>) | null;
  readonly onProgress?: (bytes: number, total: number) => void;
}

export interface Restored {
  readonly manifest: BackupManifest;
  /** Where the former data folder is now. */
  readonly aside: string | null;
}

const temporaryName = '.restore.tmp';
/** Of an empty data folder. */
const harmless: ReadonlySet<string> = new Set(['lock', 'lock.pid', 'lost+found', temporaryName]);

/** Faults: `conflict` (in use, or not empty), `bad-input` (damaged), `unsupported` (of a newer Postern), `forbidden` (passphrase), `busy` (no room). */
export async function restoreBackup(options: RestoreOptions): Promise<Restored> {
  const dir = resolve(options.dataDir);
  const names = await readdir(dir).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return [];
    throw new Fault('forbidden', `${dir} cannot be read: ${reasonOf(thrown)}`, { cause: thrown });
  });
  const isUsed = names.some((name) => !harmless.has(name));
  if (isUsed && !options.force) throw new Fault('conflict', `${dir} is not empty`, { remedy: 'Name a new or empty folder with --data, or move what is there aside with --force.' });
  const owner = await ownerFor(dir);
  let folder = await openDataFolder(dir);
  try {
    let source = join(dir, temporaryName);
    await mkdir(source, { mode: 0o700 });
    let aside: string | null = null;
    try {
      const manifest = await unpack(options, source);
      checkStore(join(source, storeName), manifest);
      if (options.putStore) {
        await options.putStore(join(source, storeName));
        await rm(join(source, storeName));
      }
      const note: RestoredNote = { backupAt: manifest.at, restoredAt: options.nowMs, version: manifest.version, notedAt: null };
      await writeFile(join(source, restoredName), `${JSON.stringify(note)}\n`, { mode: 0o600, flush: true });
      if (isUsed) {
        aside = await moveAside(dir, options.nowMs);
        source = join(aside, temporaryName);
        await folder.close();
        folder = await openDataFolder(dir);
      }
      await moveIn(source, dir, owner);
      return { manifest, aside };
    } finally {
      await rm(source, { recursive: true, force: true });
    }
  } catch (thrown) {
    throw roomFault(thrown, dir);
  } finally {
    await folder.close();
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Run by root for a gateway that is somebody else: the files belong to whom the folder, or the one above it, belongs to. */
async function ownerFor(dir: string): Promise<Owner | null> {
  if (process.getuid?.() !== 0) return null;
  const { uid, gid } = await stat(dir).catch(() => stat(dirname(dir)).catch(() => ({ uid: 0, gid: 0 })));
  return uid === 0 ? null : { uid, gid };
}

function roomFault(thrown: unknown, dir: string): unknown {
  if (isFault(thrown) || !(thrown instanceof Error) || !('code' in thrown)) return thrown;
  if (thrown.code === 'ENOSPC' || thrown.code === 'EDQUOT') return new Fault('busy', `the disk of ${dir} is full; nothing was replaced`, { remedy: 'Make room there, and restore again.', cause: thrown });
  return thrown;
}

async function unpack({ file, passphrase, onProgress }: RestoreOptions, into: string): Promise<BackupManifest> {
  let current: FileHandle | undefined;
  let bytes = 0;
  let total = 0;
  const taker: BackupTaker = {
    manifest({ schema, storeBytes, version }) {
      total = storeBytes;
      if (schema > migrations.length) {
        throw new Fault('unsupported', `the backup was made by a newer Postern (${version}): its schema is number ${schema}, this program knows ${migrations.length}`, { remedy: 'Restore it with that Postern, or a newer one.' });
      }
    },
    async begin(name, mode) {
      const path = join(into, name === storeName ? name : name.slice(filesPrefix.length));
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      current = await open(path, 'wx', mode & 0o700);
    },
    async data(piece) {
      await current!.writeFile(piece);
      onProgress?.((bytes += piece.length), Math.max(total, bytes));
    },
    async end() {
      await current!.sync();
      await current!.close();
      current = undefined;
    },
  };
  try {
    return await readBackup(await openBackupFile(file, passphrase), taker);
  } finally {
    await current?.close();
  }
}

/** The digests prove that it is what was backed up; this, that what was backed up was a store in order. */
function checkStore(file: string, manifest: BackupManifest): void {
  const refuse = (why: string, cause?: unknown) => new Fault('bad-input', `the store in the backup is not in order: ${why}`, { remedy: 'Take an older backup.', cause });
  let store: DatabaseSync | undefined;
  try {
    store = new DatabaseSync(file);
    const { quick_check: found } = store.prepare('pragma quick_check(1)').get() as { quick_check: string };
    if (found !== 'ok') throw refuse(found);
    const { schema } = store.prepare('select max(number) as schema from schema_migration').get() as { schema: number };
    if (schema !== manifest.schema) throw refuse(`its schema is number ${schema}, not ${manifest.schema}`);
  } catch (thrown) {
    throw isFault(thrown) ? thrown : refuse(reasonOf(asFault(thrown)), thrown);
  } finally {
    store?.close();
  }
}

async function moveAside(dir: string, nowMs: number): Promise<string> {
  const stamp = new Date(nowMs).toISOString().replace(/\.\d+Z$/, '').replaceAll(/[-:]/g, '').replace('T', '-');
  const aside = `${dir}.before-restore-${stamp}`;
  try {
    await rename(dir, aside);
    await syncFolder(dirname(dir));
    return aside;
  } catch (thrown) {
    throw new Fault('forbidden', `${dir} cannot be moved aside: ${reasonOf(thrown)}`, { remedy: 'It may be the root of a mounted disk: move what is in it elsewhere by hand, then restore without --force.', cause: thrown });
  }
}

/** The store last: a folder without it is not taken for a data folder, should this be cut off. */
async function moveIn(source: string, dir: string, owner: Owner | null): Promise<void> {
  if (owner) await giveAll(source, owner);
  const names = (await readdir(source)).sort((a, b) => Number(a === storeName) - Number(b === storeName));
  for (const name of names) await rename(join(source, name), join(dir, name));
  await syncFolder(dir);
  if (owner) for (const path of [dir, join(dir, 'lock')]) await chown(path, owner.uid, owner.gid);
}

async function giveAll(dir: string, { uid, gid }: Owner): Promise<void> {
  for (const each of await readdir(dir, { withFileTypes: true, recursive: true })) await chown(join(each.parentPath, each.name), uid, gid);
}
