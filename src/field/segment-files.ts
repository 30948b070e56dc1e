// A segment's file: what its name says, and its bytes, as far as the disk gives them.
import { Fault, reasonOf } from '#base/fault.ts';
import { crc32c } from '#wire/crc32c.ts';
import { frameHeadBytes } from './buffer-frames.ts';
import { codeOf } from './disk.ts';
import type { Disk, DiskFile } from './disk.ts';

export interface SegmentIdentity {
  readonly epoch: string;
  readonly shift: number;
}

const nameForm = /^([0-9a-f]{16})-([0-9a-f]{14})-([0-9a-f]{14})-([0-9a-f]{8})\.seg$/;
const readBlockBytes = 64 * 1024;

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
export const segmentName = ({ epoch, shift }: SegmentIdentity, start: number, serial: number) => `${epoch}-${hex(shift, 14)}-${hex(start, 14)}-${hex(serial, 8)}.seg`;
export const saltOf = (name: string) => crc32c(Buffer.from(name));

export interface SegmentName extends SegmentIdentity {
  readonly name: string;
  readonly start: number;
  readonly serial: number;
}

/** null when it is not a segment's. */
export function parseSegmentName(name: string): SegmentName | null {
  const [, epoch, shift, start, serial] = nameForm.exec(name) ?? [];
  if (epoch === undefined || shift === undefined || start === undefined || serial === undefined) return null;
  return { name, epoch, shift: Number.parseInt(shift, 16), start: Number.parseInt(start, 16), serial: Number.parseInt(serial, 16) };
}

/** A shortage in this process, not the disk's: to be tried again, not to be taken for damage. */
export const isPassing = (thrown: unknown): boolean => ['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR'].includes(codeOf(thrown));

/** The file's bytes; what the disk does not give (not `isWhole`) is filled with 0xff, which no frame is. null: it cannot even be opened. */
export async function readFileThrough(disk: Disk, path: string): Promise<{ readonly bytes: Buffer; readonly isWhole: boolean } | null> {
  let file: DiskFile;
  try {
    file = await disk.open(path, 'read');
  } catch (thrown) {
    if (isPassing(thrown)) throw new Fault('busy', `${path} cannot be opened now: ${reasonOf(thrown)}`, { cause: thrown });
    return null;
  }
  try {
    const size = await file.size().catch(() => null);
    if (size === null) return null;
    const blocks: Buffer[] = [];
    let isWhole = true;
    for (let at = 0; at < size; at += readBlockBytes) {
      const want = Math.min(readBlockBytes, size - at);
      const block = await readTwice(file, at, want);
      if (block === null) isWhole = false;
      // Never so short that it could be taken for a torn head.
      blocks.push(block ?? Buffer.alloc(Math.max(want, frameHeadBytes), 0xff));
      if (block !== null && block.length < want) break;
    }
    return { bytes: Buffer.concat(blocks), isWhole };
  } finally {
    await file.close().catch(() => {});
  }
}

/** null when the disk does not give it, twice. */
export async function readTwice(file: DiskFile, position: number, length: number): Promise<Buffer | null> {
  for (let tries = 0; ; tries++) {
    try {
      return await file.read(position, length);
    } catch (thrown) {
      if (isPassing(thrown)) throw new Fault('busy', `the disk cannot be read now: ${reasonOf(thrown)}`, { cause: thrown });
      if (tries > 0) return null;
    }
  }
}
