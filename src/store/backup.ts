// Backups: one gzip'd tar that people can look into. Its first file is manifest.json, its last digests.txt as `sha256sum -c` reads it, so
// that what is cut off or damaged is noticed before it replaces anything. Between them postern.db, the store of one moment in one file,
// and the files of the data folder below `data/`.
import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readdir, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { createGzip } from 'node:zlib';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { backupFormat, type BackupManifest } from '#model/keeping.ts';
import { encodeTarHeader, tarEnd, tarPaddingOf, type TarEntry } from '#wire/tar.ts';
import type { CopyOrder, CopyReport } from './backup-copy.ts';
import { unpackFailure } from './failure.ts';
import type { StoreLocation } from './location.ts';

/** Of the data folder: what is only good while the gateway runs, or stands in the backup in another form. */
const leftOut: ReadonlySet<string> = new Set(['lock', 'lock.pid', 'operator.json', 'restored.json', 'postern.db', 'postern.db-wal', 'postern.db-shm']);
/** Folders of the data folder that are backed up whole: commands for DNS, drivers of devices, files of and for devices, the demo's agent. */
export const backedUpFolders: readonly string[] = ['hooks', 'drivers', 'files', 'demo-agent'];
/** Where the store's copy is made; openDataFolder clears away what a crash left of it. */
const temporaryName = '.backup.tmp';
export const manifestName = 'manifest.json';
export const storeName = 'postern.db';
export const filesPrefix = 'data/';
export const digestsName = 'digests.txt';
/** What the disk must have left beside the store's copy. */
const spareBytes = 2 * limits.diskFullFreeBytes;
const readBytes = 256 * 1024;

export interface BackupOptions {
  /** The data folder, held by this process. */
  readonly dataDir: string;
  readonly version: string;
  readonly location: StoreLocation;
  readonly at: number;
  readonly log: Log;
  /** Holds changes of files and the rows that name them back while it runs: for the moment that the backup is of. */
  readonly still: <Result>(run: () => Promise<Result>) => Promise<Result>;
  readonly onProgress: (phase: 'copying' | 'sending', done: number, total: number) => void;
  /** When it ends, whoever is in the middle of it stops. */
  readonly signal: AbortSignal;
}

export interface Backup {
  readonly manifest: BackupManifest;
  /** The archive, compressed. Read or destroyed, it takes its temporary files with it. */
  readonly stream: Readable;
  /** Resolves when the temporary files are gone, whether all was read or not; true: all of it was. */
  readonly ended: Promise<boolean>;
}

interface SmallFile {
  readonly name: string;
  readonly mode: number;
  readonly at: number;
  readonly bytes: Buffer;
}

/** Faults: `busy` (no room for the store's copy, or the store cannot be read), `closed` (given up). */
export async function openBackup(options: BackupOptions): Promise<Backup> {
  const temporary = join(options.dataDir, temporaryName);
  const copy = join(temporary, storeName);
  const cleanUp = () => rm(temporary, { recursive: true, force: true });
  try {
    await cleanUp();
    await mkdir(temporary, { mode: 0o700 });
    const copying = startCopy({ from: options.location, to: copy, nowMs: options.at }, options);
    const small = await options.still(async () => {
      await copying.snapshot;
      return readSmallFiles(options.dataDir);
    }).catch(async (thrown: unknown) => {
      await copying.cancel();
      throw thrown;
    });
    const { schema, audit, bytes } = await copying.copied;
    const manifest: BackupManifest = { format: backupFormat, program: 'postern', version: options.version, at: options.at, schema, store: options.location.kind, storeBytes: bytes, audit };
    const ended = Promise.withResolvers<boolean>();
    const gzip = createGzip({ level: 3 });
    pipeline(Readable.from(pack(options, manifest, copy, small), { objectMode: false, highWaterMark: readBytes }), gzip, (fault) => {
      if (fault && !isFault(fault, 'closed') && fault.code !== 'ERR_STREAM_PREMATURE_CLOSE' && fault.name !== 'AbortError') options.log.warn('backup.broke-off', { why: fault.message });
      void cleanUp().then(() => ended.resolve(!fault), () => ended.resolve(!fault));
    });
    const abort = () => gzip.destroy(new Fault('closed', 'the backup was given up'));
    options.signal.addEventListener('abort', abort, { once: true });
    void ended.promise.then(() => options.signal.removeEventListener('abort', abort));
    if (options.signal.aborted) abort();
    return { manifest, stream: gzip, ended: ended.promise };
  } catch (thrown) {
    await cleanUp();
    throw thrown;
  }
}

interface Copying {
  readonly snapshot: Promise<void>;
  readonly copied: Promise<Extract<CopyReport, { kind: 'copied' }>>;
  cancel(): Promise<void>;
}

function startCopy(order: CopyOrder, { onProgress, signal }: Pick<BackupOptions, 'onProgress' | 'signal'>): Copying {
  const snapshot = Promise.withResolvers<void>();
  const copied = Promise.withResolvers<Extract<CopyReport, { kind: 'copied' }>>();
  const worker = new Worker(new URL('./backup-copy.ts', import.meta.url), { workerData: order, name: 'store backup', execArgv: [] });
  const ended = Promise.withResolvers<void>();
  const fail = (reason: Error) => {
    snapshot.reject(reason);
    copied.reject(reason);
  };
  worker.on('message', (report: CopyReport) => {
    if (report.kind === 'snapshot') snapshot.resolve();
    else if (report.kind === 'progress') onProgress('copying', report.done, report.total);
    else if (report.kind === 'failed') fail(unpackFailure(report.failure));
    else copied.resolve(report);
  });
  worker.on('error', (error) => fail(new Fault('busy', `the store could not be copied: ${reasonOf(error)}`, { cause: error })));
  worker.on('exit', () => {
    fail(new Fault('closed', 'the backup was given up'));
    signal.removeEventListener('abort', stop);
    ended.resolve();
  });
  const stop = () => void worker.terminate();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  // Only when the thread has let go of the copy.
  const done = copied.promise.then((report) => ended.promise.then(() => report));
  // Whoever waits for one of the two hears of it; the other must not end the process.
  for (const each of [snapshot.promise, done]) each.catch(() => {});
  return {
    snapshot: snapshot.promise,
    copied: done,
    async cancel() {
      await worker.terminate();
      await ended.promise;
    },
  };
}

/** Fault `busy` unless the data folder's disk has room for a copy of so many bytes. */
export async function mustHaveRoom(dataDir: string, bytes: number): Promise<void> {
  const disk = await statfs(dataDir);
  const free = disk.bavail * disk.bsize;
  if (free >= bytes + spareBytes) return;
  throw new Fault('busy', `a backup needs ${Math.ceil((bytes + spareBytes) / 1e6)} MB beside the store for a while, and the disk of the data folder has ${Math.floor(free / 1e6)} MB`, { remedy: 'make room there' });
}

async function readSmallFiles(dataDir: string): Promise<SmallFile[]> {
  const found: SmallFile[] = [];
  let sum = 0;
  for (const name of (await readdir(dataDir)).sort()) {
    if (leftOut.has(name) || name.startsWith('.')) continue;
    const about = await lstat(join(dataDir, name)).catch(() => null);
    if (!about?.isFile()) continue;
    if (about.size > limits.backupFileBytesMax || (sum += about.size) > limits.backupFilesBytesMax) {
      throw new Fault('too-large', `${name} in the data folder is too large to be one of the gateway's own files`, { remedy: 'move it elsewhere' });
    }
    // One that went in between (a setup code that was used) is not needed.
    const bytes = await readFile(join(dataDir, name)).catch(() => null);
    if (bytes) found.push({ name: filesPrefix + name, mode: about.mode & 0o777, at: about.mtimeMs, bytes });
  }
  return found;
}

async function* pack(options: BackupOptions, manifest: BackupManifest, copy: string, small: readonly SmallFile[]): AsyncGenerator<Buffer> {
  const { dataDir, at } = options;
  const digests: string[] = [];
  let done = 0;
  let total = manifest.storeBytes + small.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const sent = (bytes: number) => options.onProgress('sending', (done += bytes), Math.max(total, done));
  const whole = function* (entry: Omit<TarEntry, 'size' | 'kind'>, bytes: Buffer): Generator<Buffer> {
    digests.push(`${createHash('sha256').update(bytes).digest('hex')}  ${entry.name}\n`);
    yield Buffer.concat([encodeTarHeader({ ...entry, size: bytes.length, kind: 'file' }), bytes, Buffer.alloc(tarPaddingOf(bytes.length))]);
    sent(bytes.length);
  };
  const streamed = async function* (name: string, path: string): AsyncGenerator<Buffer> {
    const file = await open(path, 'r').catch((thrown: NodeJS.ErrnoException) => {
      // Files of devices come and go while the others are sent.
      if (thrown.code === 'ENOENT' && path !== copy) return null;
      throw thrown;
    });
    if (!file) return;
    try {
      const about = await file.stat();
      const hash = createHash('sha256');
      yield encodeTarHeader({ name, size: about.size, mode: about.mode & 0o777, at: about.mtimeMs, kind: 'file' });
      for (let left = about.size; left > 0; ) {
        const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(Math.min(left, readBytes)));
        if (bytesRead === 0) throw new Fault('conflict', `${name} became shorter while it was backed up`, { remedy: 'try again' });
        const piece = buffer.subarray(0, bytesRead);
        hash.update(piece);
        left -= bytesRead;
        yield piece;
        sent(bytesRead);
      }
      yield Buffer.alloc(tarPaddingOf(about.size));
      digests.push(`${hash.digest('hex')}  ${name}\n`);
    } finally {
      await file.close();
    }
  };

  yield* whole({ name: manifestName, mode: 0o600, at }, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  yield* streamed(storeName, copy);
  for (const { bytes, ...entry } of small) yield* whole(entry, bytes);
  for (const folder of backedUpFolders) {
    for await (const { name, path, size } of filesBelow(dataDir, folder, options.log)) {
      total += size;
      yield* streamed(filesPrefix + name, path);
    }
  }
  const text = Buffer.from(digests.join(''));
  yield Buffer.concat([encodeTarHeader({ name: digestsName, size: text.length, mode: 0o600, at, kind: 'file' }), text, Buffer.alloc(tarPaddingOf(text.length)), tarEnd]);
}

/** Only plain files; those whose names begin with a dot are half-written ones. */
async function* filesBelow(dataDir: string, folder: string, log: Log): AsyncGenerator<{ name: string; path: string; size: number }> {
  const names = await readdir(join(dataDir, folder)).catch(() => []);
  for (const each of names.sort()) {
    const name = `${folder}/${each}`;
    const path = join(dataDir, name);
    const about = await lstat(path).catch(() => null);
    if (!about || each.startsWith('.')) continue;
    if (about.isDirectory()) yield* filesBelow(dataDir, name, log);
    // The list of digests is one line a file.
    else if (about.isFile() && !/[\\\p{Cc}]/u.test(each)) yield { name, path, size: about.size };
    else log.warn('backup.left-out', { name, why: about.isFile() ? 'its name has a control character or a backslash' : 'it is not a plain file' });
  }
}
