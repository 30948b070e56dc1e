// The names around a file that is followed: what the pattern finds, what was rotated away, and which bytes are known already.
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { matchesGlob } from '#model/pattern.ts';
import { crc32c } from '#wire/crc32c.ts';

export interface FoundFile {
  readonly path: string;
  /** Device and inode: what stays when a file is renamed. */
  readonly key: string;
  readonly bytes: number;
  readonly changedMs: number;
  /** When it was made; where the file system does not know, when it was last written. */
  readonly bornMs: number;
  readonly isMatch: boolean;
}

/** What stands at two places of the first `at` bytes: a file that has the same is the same file, or a copy of it. */
export interface Fingerprint {
  readonly at: number;
  readonly head: string;
  readonly back: string;
}

export const headBytes = 256;
export const backBytes = 64;
/** A fingerprint of fewer bytes does not tell two files apart: many begin with the same line of titles. */
export const tellingBytes = headBytes + backBytes;

export function fingerprintOf(at: number, head: Uint8Array, back: Uint8Array): Fingerprint {
  return { at, head: createHash('sha256').update(head).digest('hex').slice(0, 16), back: crc32c(back).toString(16) };
}

/** `length` bytes from `from`; fewer at the file's end. */
export async function readAt(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let got = 0;
  while (got < length) {
    const { bytesRead } = await file.read(bytes, got, length - got, from + got);
    if (bytesRead === 0) break;
    got += bytesRead;
  }
  return bytes.subarray(0, got);
}

export async function hasFingerprint(file: FileHandle, { at, head, back }: Fingerprint): Promise<boolean> {
  const first = await readAt(file, 0, Math.min(at, headBytes));
  const last = await readAt(file, Math.max(0, at - backBytes), Math.min(at, backBytes));
  if (first.length < Math.min(at, headBytes) || last.length < Math.min(at, backBytes)) return false;
  const found = fingerprintOf(at, first, last);
  return found.head === head && found.back === back;
}

const bornOf = ({ birthtimeNs, mtimeNs }: BigIntStats): number => Number(birthtimeNs > 0n ? birthtimeNs : mtimeNs) / 1e6;

/** Fault of the file system (`ENOENT`) as it is. */
export async function openFound(path: string, isMatch: boolean): Promise<{ readonly handle: FileHandle; readonly found: FoundFile }> {
  // O_NONBLOCK: a named pipe of that name must not hold us up.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const facts = await handle.stat({ bigint: true });
  return { handle, found: { path, isMatch, key: `${facts.dev}:${facts.ino}`, bytes: Number(facts.size), changedMs: Number(facts.mtimeMs), bornMs: bornOf(facts) } };
}

/** All files of the pattern's folder, the oldest first. A folder that is not there is empty. Fault `too-many`. */
export async function listFolder(pattern: string): Promise<readonly FoundFile[]> {
  const folder = dirname(pattern);
  const glob = basename(pattern);
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw thrown;
  }
  if (names.length > limits.feedFilesSeenMax) throw new Fault('too-many', `${folder} has ${names.length} names; at most ${limits.feedFilesSeenMax} are looked through`, { remedy: 'Let old files be moved to a folder of their own.' });
  const found: FoundFile[] = [];
  for (const name of names) {
    const path = join(folder, name);
    try {
      const facts = await stat(path, { bigint: true });
      if (!facts.isFile()) continue;
      found.push({ path, isMatch: matchesGlob(glob, name), key: `${facts.dev}:${facts.ino}`, bytes: Number(facts.size), changedMs: Number(facts.mtimeMs), bornMs: bornOf(facts) });
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
    }
  }
  // Made in the same millisecond: the one that was written last is the newer.
  return found.sort((a, b) => a.bornMs - b.bornMs || a.changedMs - b.changedMs);
}

/** As `listFolder`, of one moment: names that move on while they are asked for one after the other hide a file. Fault `conflict` when they do not come to rest. */
export async function listSettled(pattern: string): Promise<readonly FoundFile[]> {
  const textOf = (files: readonly FoundFile[]) => files.map(({ path, key }) => `${key} ${path}`).join('\n');
  let last = await listFolder(pattern);
  for (let tries = 0; tries < 10; tries++) {
    const next = await listFolder(pattern);
    if (textOf(next) === textOf(last)) return next;
    last = next;
  }
  throw new Fault('conflict', `${dirname(pattern)} is another each time it is listed`);
}

/** Whether `name` is what rotation makes of `base`: `app.log.1`, `app.log-20261120`, `app-20261120.log`; nothing compressed, no `app.log.bak`. */
export function isRotatedName(name: string, base: string): boolean {
  const dot = base.lastIndexOf('.');
  const [stem, extension] = dot > 0 ? [base.slice(0, dot), base.slice(dot)] : [base, ''];
  const middle = name.startsWith(base) ? name.slice(base.length) : extension !== '' && name.startsWith(stem) && name.endsWith(extension) ? name.slice(stem.length, -extension.length) : '';
  return /^[.-]\d[\dT._:-]*$/.test(middle);
}
