// Reading a backup: every byte is held against its digest, and the whole against its list, before anybody uses it.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Fault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { backupFormat, type BackupManifest } from '#model/keeping.ts';
import { buildUnsealer, sealedMagic } from '#wire/sealed.ts';
import { buildTarReader, type TarEntry } from '#wire/tar.ts';
import { digestsName, filesPrefix, manifestName, storeName } from './backup.ts';

/** Where a backup's files go; each is begun, gets its bytes, and ends. */
export interface BackupTaker {
  /** Everything before this was the manifest, which this one may refuse. */
  manifest(manifest: BackupManifest): void;
  begin(name: string, mode: number): Promise<void>;
  data(bytes: Buffer): Promise<void>;
  end(): Promise<void>;
}

/** For who only wants to know whether it is whole. */
export const lookOnly: BackupTaker = { manifest() {}, async begin() {}, async data() {}, async end() {} };

const damaged = (why: string, cause?: unknown): Fault => new Fault('bad-input', `the backup is damaged: ${why}`, { remedy: 'Take another copy of it, or an older backup.', ...(cause === undefined ? {} : { cause }) });

/**
 * Reads all of it; resolves its manifest. Faults: `bad-input` (cut off, damaged, no backup), `unsupported` (a newer format),
 * `forbidden` (sealed, and this is not its passphrase), and what the taker throws.
 */
export async function readBackup(pieces: AsyncIterable<Buffer>, taker: BackupTaker): Promise<BackupManifest> {
  const tar = buildTarReader();
  const sums = new Map<string, string>();
  let manifest: BackupManifest | undefined;
  let entry: TarEntry | undefined;
  let hash: Hash | undefined;
  let held: Buffer[] = [];
  let list: string | undefined;
  const isOwn = (name: string) => name === manifestName || name === digestsName;

  const begin = async (next: TarEntry) => {
    const { name } = next;
    if (list !== undefined) throw damaged(`${name} stands behind the list of digests`);
    if (!manifest && name !== manifestName) throw new Fault('bad-input', 'this is not a backup of Postern: it does not begin with a manifest');
    if (sums.has(name)) throw damaged(`${name} is there twice`);
    if (next.kind !== 'file' || !(isOwn(name) || name === storeName || isDataName(name))) throw damaged(`it holds ${JSON.stringify(name)}, which no backup has`);
    if (isOwn(name) && next.size > (name === manifestName ? limits.backupManifestBytesMax : limits.backupDigestsBytesMax)) throw damaged(`${name} is too large`);
    entry = next;
    hash = createHash('sha256');
    held = [];
    if (!isOwn(name)) await taker.begin(name, next.mode);
  };
  const end = async ({ name }: TarEntry) => {
    if (name === digestsName) {
      list = Buffer.concat(held).toString();
      return;
    }
    sums.set(name, hash!.digest('hex'));
    if (name === manifestName) {
      manifest = parseManifest(Buffer.concat(held).toString());
      taker.manifest(manifest);
    } else await taker.end();
  };

  try {
    for await (const bytes of pieces) {
      for (const event of tar.push(bytes)) {
        if (event.kind === 'entry') await begin(event.entry);
        else if (event.kind === 'end') await end(entry!);
        else {
          hash!.update(event.bytes);
          if (isOwn(entry!.name)) held.push(Buffer.from(event.bytes));
          else await taker.data(event.bytes);
        }
      }
    }
    tar.finish();
  } catch (thrown) {
    // zlib: Z_DATA_ERROR, Z_BUF_ERROR (cut off) …
    if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' && thrown.code.startsWith('Z_')) throw damaged(`it cannot be unpacked (${thrown.message})`, thrown);
    throw thrown;
  }
  if (!manifest || list === undefined) throw damaged('it ends before its list of digests');
  if (!sums.has(storeName)) throw damaged('it holds no store');
  checkList(sums, list);
  return manifest;
}

/** Below `data/`, without a way out of it. */
function isDataName(name: string): boolean {
  if (!name.startsWith(filesPrefix)) return false;
  return name.slice(filesPrefix.length).split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !part.startsWith('.') && !/[\\\p{Cc}]/u.test(part));
}

function parseManifest(text: string): BackupManifest {
  let found: Partial<BackupManifest>;
  try {
    found = JSON.parse(text) as Partial<BackupManifest>;
  } catch (thrown) {
    throw damaged('its manifest is no JSON', thrown);
  }
  if (found === null || typeof found !== 'object' || found.program !== 'postern' || typeof found.format !== 'number') throw new Fault('bad-input', 'this is not a backup of Postern');
  if (found.format > backupFormat) throw new Fault('unsupported', `the backup has format ${found.format}; this program knows ${backupFormat}`, { remedy: 'Restore it with the Postern that made it, or a newer one.' });
  if (typeof found.schema !== 'number' || typeof found.at !== 'number' || typeof found.version !== 'string') throw damaged('its manifest lacks something');
  return found as BackupManifest;
}

function checkList(sums: ReadonlyMap<string, string>, list: string): void {
  const listed = new Set<string>();
  for (const line of list.split('\n')) {
    if (line === '') continue;
    const [, sum, name = ''] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? [];
    if (sum === undefined) throw damaged('its list of digests cannot be read');
    if (sums.get(name) !== sum) throw damaged(sums.has(name) ? `${name} is not what was backed up` : `${name} is missing`);
    listed.add(name);
  }
  for (const name of sums.keys()) if (!listed.has(name)) throw damaged(`${name} is not in its list of digests`);
}

/** A backup's tar out of its file: unsealed where it is sealed, unpacked. Destroy it when done. */
export async function openBackupFile(path: string, passphrase: string | null): Promise<AsyncIterable<Buffer>> {
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  await new Promise<void>((resolve, reject) => {
    file.once('open', () => resolve());
    file.once('error', (cause) => reject(new Fault('bad-input', `${path} cannot be read: ${reasonOf(cause)}`, { cause })));
  });
  return unpacked(file, passphrase);
}

/** The same of one that comes in. */
export const openBackupStream = (pieces: Readable): AsyncIterable<Buffer> => unpacked(pieces, null);

async function* unpacked(file: Readable, passphrase: string | null): AsyncGenerator<Buffer> {
  const gunzip = createGunzip();
  const feeding = feed(file, gunzip, passphrase).catch((thrown: unknown) => void gunzip.destroy(thrown as Error));
  try {
    for await (const piece of gunzip as AsyncIterable<Buffer>) yield piece;
  } finally {
    file.destroy();
    gunzip.destroy();
    await feeding;
  }
}

async function feed(file: Readable, gunzip: ReturnType<typeof createGunzip>, passphrase: string | null): Promise<void> {
  let unsealer: ReturnType<typeof buildUnsealer> | null = null;
  let isFirst = true;
  for await (const piece of file as AsyncIterable<Buffer>) {
    if (isFirst) {
      isFirst = false;
      const isSealed = piece.subarray(0, sealedMagic.length).equals(sealedMagic);
      if (isSealed && passphrase === null) throw new Fault('forbidden', 'the backup is sealed with a passphrase', { remedy: 'Give it with --passphrase-file.' });
      if (!isSealed && (piece[0] !== 0x1f || piece[1] !== 0x8b)) throw new Fault('bad-input', 'this is not a backup of Postern');
      if (isSealed) unsealer = buildUnsealer(passphrase!);
    }
    const bytes = unsealer ? unsealer.push(piece) : piece;
    if (gunzip.destroyed) return;
    if (bytes.length > 0 && !gunzip.write(bytes)) await drained(gunzip);
  }
  if (isFirst) throw new Fault('bad-input', 'the backup is empty');
  unsealer?.finish();
  gunzip.end();
}

/** Also when it is destroyed: whoever reads it has had enough, or it found damage. */
function drained(gunzip: ReturnType<typeof createGunzip>): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      gunzip.off('drain', go);
      gunzip.off('close', go);
      resolve();
    };
    gunzip.once('drain', go);
    gunzip.once('close', go);
  });
}

