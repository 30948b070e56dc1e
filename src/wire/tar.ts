// Tar archives as POSIX.1-2017 `pax` describes them: 512-byte headers of ustar, and pax records before the files that ustar has no
// room for (names over 100 bytes, sizes of 8 GiB and more). Written and read piece by piece; only files and folders.
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';

export interface TarEntry {
  /** With slashes, never absolute when we wrote it; who unpacks decides which names it takes. */
  readonly name: string;
  readonly size: number;
  readonly mode: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly kind: 'file' | 'folder';
}

const blockBytes = 512;
const ustarSizeMax = 0o77777777777;
const nameBytesMax = 100;

/** How many zero bytes follow a file of this size. */
export const tarPaddingOf = (size: number): number => (blockBytes - (size % blockBytes)) % blockBytes;

/** Two blocks of zeros. */
export const tarEnd: Buffer = Buffer.alloc(2 * blockBytes);

/** The bytes before a file's own: its header, with a pax header before it where one is needed. */
export function encodeTarHeader(entry: TarEntry): Buffer {
  const records: string[] = [];
  const isPlainName = Buffer.byteLength(entry.name) <= nameBytesMax && /^[ -~]*$/.test(entry.name);
  if (!isPlainName) records.push(paxRecord('path', entry.name));
  if (entry.size > ustarSizeMax) records.push(paxRecord('size', String(entry.size)));
  const own = ustarHeader({ ...entry, name: isPlainName ? entry.name : 'long-name', size: entry.size > ustarSizeMax ? 0 : entry.size }, entry.kind === 'folder' ? '5' : '0');
  if (records.length === 0) return own;
  const body = Buffer.from(records.join(''));
  return Buffer.concat([ustarHeader({ ...entry, name: 'pax-header', size: body.length, mode: 0o600 }, 'x'), body, Buffer.alloc(tarPaddingOf(body.length)), own]);
}

/** `LENGTH KEY=VALUE\n`; the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  if (String(length).length > String(rest).length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function ustarHeader(entry: Pick<TarEntry, 'name' | 'size' | 'mode' | 'at'>, type: string): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, width: number) => block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');
  block.write(entry.name, 0, 'latin1');
  octal(entry.mode & 0o7777, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(entry.size, 124, 12);
  octal(Math.max(0, Math.floor(entry.at / 1000)), 136, 12);
  block.write(type, 156, 'latin1');
  block.write('ustar', 257, 'latin1');
  block.write('00', 263, 'latin1');
  block.fill(0x20, 148, 156);
  block.write(`${sumOf(block).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function sumOf(block: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < blockBytes; i += 1) sum += i >= 148 && i < 156 ? 0x20 : block[i]!;
  return sum;
}

export type TarEvent = { readonly kind: 'entry'; readonly entry: TarEntry } | { readonly kind: 'data'; readonly bytes: Buffer } | { readonly kind: 'end' };

export interface TarReader {
  /** What the bytes say, in order: an entry, its bytes, its end. Fault `bad-input` for what is no archive of ours. */
  push(bytes: Uint8Array): TarEvent[];
  /** Fault `bad-input` unless the archive came to its end. */
  finish(): void;
}

const damaged = (why: string): Fault => new Fault('bad-input', `the archive is damaged: ${why}`);

/** Numbers are octal digits, ended or preceded by spaces or NUL; base-256 (GNU) is not written by us and not taken. */
function octalOf(block: Buffer, at: number, width: number, what: string): number {
  const text = block.toString('latin1', at, at + width).replace(/^[ \0]+/, '').replace(/[ \0].*$/s, '');
  if (!/^[0-7]*$/.test(text)) throw damaged(`its ${what} is no number`);
  return text === '' ? 0 : Number.parseInt(text, 8);
}

interface Pax {
  readonly path?: string;
  readonly size?: number;
}

function parsePax(body: Buffer): Pax {
  const pax: { path?: string; size?: number } = {};
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 ? '' : body.toString('latin1', at, space);
    const length = /^[1-9]\d{0,5}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length <= digits.length + 2 || end > body.length || body[end - 1] !== 0x0a) throw damaged('a pax record has the wrong length');
    const text = body.toString('utf8', space + 1, end - 1);
    const mark = text.indexOf('=');
    if (mark < 1) throw damaged('a pax record has no value');
    const value = text.slice(mark + 1);
    if (text.startsWith('path=')) pax.path = value;
    if (text.startsWith('size=')) {
      if (!/^\d{1,16}$/.test(value) || !Number.isSafeInteger(Number(value))) throw damaged('a pax size is no number');
      pax.size = Number(value);
    }
    at = end;
  }
  return pax;
}

function parseHeader(block: Buffer): { readonly entry: Omit<TarEntry, 'kind'>; readonly type: string } {
  if (octalOf(block, 148, 8, 'checksum') !== sumOf(block)) throw damaged('a header does not match its checksum');
  if (block.toString('latin1', 257, 262) !== 'ustar') throw damaged('a header is not one of ustar');
  const text = (at: number, width: number) => block.toString('utf8', at, at + width).replace(/\0.*$/s, '');
  const prefix = text(345, 155);
  const name = text(0, 100);
  return {
    type: String.fromCharCode(block[156]!),
    entry: { name: prefix === '' ? name : `${prefix}/${name}`, size: octalOf(block, 124, 12, 'size'), mode: octalOf(block, 100, 8, 'mode') & 0o7777, at: octalOf(block, 136, 12, 'time') * 1000 },
  };
}

/** Holds at most one block, or one pax header, at a time. */
export function buildTarReader(): TarReader {
  let state: 'header' | 'pax' | 'data' | 'padding' | 'ended' = 'header';
  let held: Buffer = Buffer.alloc(0);
  let left = 0;
  let paxBytes = 0;
  let isGlobal = false;
  let pax: Pax = {};
  let zeroBlocks = 0;
  const toHeader = () => {
    state = 'header';
    left = 0;
  };

  const takeHeader = (block: Buffer, events: TarEvent[]) => {
    if (block.every((byte) => byte === 0)) {
      zeroBlocks += 1;
      if (zeroBlocks === 2) state = 'ended';
      return;
    }
    if (zeroBlocks > 0) throw damaged('something follows its end');
    const { entry, type } = parseHeader(block);
    if (type === 'x' || type === 'g') {
      if (entry.size > limits.tarPaxBytesMax) throw damaged('a pax header is too long');
      isGlobal = type === 'g';
      paxBytes = entry.size;
      state = 'pax';
      return;
    }
    // '\0' is how archives before POSIX wrote a file.
    if (type !== '0' && type !== '5' && type !== '\0') throw damaged(`it holds something that is neither a file nor a folder (type ${JSON.stringify(type)})`);
    const size = pax.size ?? entry.size;
    const kind = type === '5' ? 'folder' : 'file';
    if (kind === 'folder' && size > 0) throw damaged('a folder has bytes');
    events.push({ kind: 'entry', entry: { ...entry, name: pax.path ?? entry.name, size, kind } });
    pax = {};
    left = size;
    if (size > 0) state = 'data';
    else events.push({ kind: 'end' });
    paxBytes = tarPaddingOf(size);
  };

  return {
    push(bytes) {
      const events: TarEvent[] = [];
      let rest: Buffer = held.length > 0 ? Buffer.concat([held, bytes]) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      held = Buffer.alloc(0);
      while (rest.length > 0) {
        if (state === 'ended') {
          if (!rest.every((byte) => byte === 0)) throw damaged('something follows its end');
          return events;
        }
        if (state === 'data') {
          const piece = rest.subarray(0, left);
          events.push({ kind: 'data', bytes: piece });
          left -= piece.length;
          rest = rest.subarray(piece.length);
          if (left > 0) continue;
          events.push({ kind: 'end' });
          left = paxBytes;
          if (left === 0) toHeader();
          else state = 'padding';
        } else if (state === 'padding') {
          const skipped = Math.min(left, rest.length);
          left -= skipped;
          rest = rest.subarray(skipped);
          if (left === 0) toHeader();
        } else {
          const wanted = state === 'header' ? blockBytes : paxBytes + tarPaddingOf(paxBytes);
          if (rest.length < wanted) {
            held = Buffer.from(rest);
            return events;
          }
          const part = rest.subarray(0, wanted);
          rest = rest.subarray(wanted);
          if (state === 'header') takeHeader(part, events);
          else {
            const found = parsePax(part.subarray(0, paxBytes));
            if (!isGlobal) pax = found;
            toHeader();
          }
        }
      }
      return events;
    },
    finish() {
      if (state !== 'ended') throw damaged('it ends too early');
    },
  };
}
