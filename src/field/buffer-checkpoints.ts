// How far a feed's sources had come when each of its bytes was appended (intake.ts), so that after a crash a file is read on exactly
// behind what the buffer has of it. A log beside the segments, of lines `CRC32C JSON`, in the order of offsets. An entry is durable before
// the frame that has its bytes is written: so what is recovered has its entry, and entries of bytes that were not recovered are cut off
// before their offsets are used again.
import { join } from 'node:path';
import { crc32c } from '#wire/crc32c.ts';
import { codeOf } from './disk.ts';
import type { Disk, DiskFile } from './disk.ts';
import type { Checkpoint } from './intake.ts';

interface Entry extends Checkpoint {
  /** Behind the bytes that it was appended with. */
  readonly offset: number;
}

export const checkpointsName = 'checkpoints';
export const checkpointsTemporary = `${checkpointsName}.tmp`;
/** A log that has grown so far beyond what it says is written anew. */
const slackBytes = 256 * 1024;

function encode(entries: readonly Entry[]): Buffer {
  return Buffer.from(
    entries
      .map(({ offset, source, state }) => {
        const json = JSON.stringify([offset, source, state]);
        return `${crc32c(Buffer.from(json)).toString(16).padStart(8, '0')} ${json}\n`;
      })
      .join(''),
  );
}

/** What is whole, up to `end`, and how many bytes of the log that is. Never throws. */
export function parseCheckpoints(bytes: Buffer, end: number): { readonly entries: readonly Entry[]; readonly length: number } {
  const entries: Entry[] = [];
  let length = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, length)) {
    const line = bytes.toString('utf8', length, at);
    if (line.slice(0, 9) !== `${crc32c(Buffer.from(line.slice(9))).toString(16).padStart(8, '0')} `) break;
    // Whoever writes a right checksum is us.
    const [offset, source, state] = JSON.parse(line.slice(9)) as [number, string, string | null];
    if (offset > end) break;
    entries.push({ offset, source, state });
    length = at + 1;
  }
  return { entries, length };
}

export class CheckpointLog {
  readonly #disk: Disk;
  readonly #folder: string;
  #file: DiskFile | null;
  #bytes: number;
  /** Of bytes that are durable. */
  readonly #settled = new Map<string, Entry>();
  /** Of later ones, in order; so many at the front are in the log. */
  #ahead: Entry[] = [];
  #written = 0;

  constructor(disk: Disk, folder: string, { file, bytes, entries }: { readonly file: DiskFile | null; readonly bytes: number; readonly entries: readonly Entry[] }) {
    this.#disk = disk;
    this.#folder = folder;
    this.#file = file;
    this.#bytes = bytes;
    for (const entry of entries) this.#settle(entry);
  }

  #settle(entry: Entry): void {
    if (entry.state === null) this.#settled.delete(entry.source);
    else this.#settled.set(entry.source, entry);
  }

  newest(): ReadonlyMap<string, string> {
    const all = new Map<string, string>();
    for (const { source, state } of [...this.#settled.values(), ...this.#ahead]) {
      if (state === null) all.delete(source);
      else all.set(source, state);
    }
    return all;
  }

  add(offset: number, { source, state }: Checkpoint): void {
    this.#ahead.push({ offset, source, state });
  }

  /** Those of frames that end at these offsets are durable when it resolves; of each frame the newest of a source. Errors are the disk's. */
  async write(ends: readonly number[]): Promise<void> {
    if (this.#ahead.length === this.#written) return;
    const fresh: Entry[] = [];
    let taken = this.#written;
    for (const end of ends) {
      const ofFrame = new Map<string, Entry>();
      for (let entry = this.#ahead[taken]; entry !== undefined && entry.offset <= end; entry = this.#ahead[++taken]) {
        ofFrame.delete(entry.source);
        ofFrame.set(entry.source, entry);
      }
      fresh.push(...ofFrame.values());
    }
    if (fresh.length === 0) return;
    const bytes = encode(fresh);
    try {
      if (this.#file === null || this.#bytes + bytes.length > slackBytes + 4 * this.#liveBytes()) await this.#replace(fresh);
      else {
        await this.#file.write(bytes, this.#bytes);
        await this.#file.sync();
        this.#bytes += bytes.length;
      }
    } catch (thrown) {
      // After an fsync that failed nobody knows what the file has: the next write makes a new one.
      await this.close();
      throw thrown;
    }
    this.#ahead.splice(this.#written, taken - this.#written, ...fresh);
    this.#written += fresh.length;
  }

  /** Bytes up to here are durable. */
  settle(end: number): void {
    let count = 0;
    while (count < this.#written && this.#ahead[count]!.offset <= end) this.#settle(this.#ahead[count++]!);
    this.#ahead.splice(0, count);
    this.#written -= count;
  }

  #liveBytes(): number {
    let bytes = 0;
    for (const { source, state } of this.#settled.values()) bytes += 40 + source.length + (state?.length ?? 0);
    return bytes;
  }

  async #replace(fresh: readonly Entry[]): Promise<void> {
    const temporary = join(this.#folder, checkpointsTemporary);
    const entries = [...[...this.#settled.values()].sort((a, b) => a.offset - b.offset), ...this.#ahead.slice(0, this.#written), ...fresh];
    const bytes = encode(entries);
    await this.close();
    await this.#disk.remove(temporary);
    const file = await this.#disk.open(temporary, 'create');
    try {
      await file.write(bytes, 0);
      await file.sync();
      await this.#disk.rename(temporary, join(this.#folder, checkpointsName));
      await this.#disk.syncFolder(this.#folder);
    } catch (thrown) {
      await file.close().catch(() => {});
      throw thrown;
    }
    this.#file = file;
    this.#bytes = bytes.length;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close().catch(() => {});
  }
}

/** What an earlier process left; entries of bytes beyond `end`, which are not there, are cut off durably. Errors are the disk's. */
export async function openCheckpointLog(disk: Disk, folder: string, end: number): Promise<CheckpointLog> {
  let file: DiskFile;
  try {
    file = await disk.open(join(folder, checkpointsName), 'change');
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return new CheckpointLog(disk, folder, { file: null, bytes: 0, entries: [] });
    throw thrown;
  }
  try {
    const size = await file.size();
    const { entries, length } = parseCheckpoints(await file.read(0, size), end);
    if (length < size) {
      // Shortening needs no room, so that a full disk keeps no feed from being opened.
      await file.truncate(length);
      await file.sync();
    }
    // Not written on: an fsync of the earlier process may have failed, and then what was read here is on no disk. The next write makes a new one.
    return new CheckpointLog(disk, folder, { file: null, bytes: 0, entries });
  } finally {
    await file.close().catch(() => {});
  }
}
