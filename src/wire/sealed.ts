// A file sealed with a passphrase: scrypt makes the key, AES-256-GCM seals piece by piece, so that files of any size are read and
// written in a stream and none of their bytes is believed before it was proved (the STREAM construction of Hoang, Reyhanitabar,
// Rogaway and Vizár 2015: the nonce counts pieces and marks the last, so that pieces can be neither swapped nor left out).
//
//   head   `postern sealed 1\n` · log2 N, r, p (a byte each) · salt (16) · nonce prefix (7) · key check (16)
//   piece  length of its text (4, big-endian, at most 64 KiB; the highest bit: the last one) · text, sealed · tag (16)
//
// The nonce is the prefix, the piece's number (4, big-endian) and 1 for the last, else 0; the head is authenticated with every piece.
// scrypt (RFC 7914) gives 48 bytes: 32 are the key, 16 the key check, which tells a wrong passphrase from a damaged file.
import { createCipheriv, createDecipheriv, scryptSync, timingSafeEqual } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';

export const sealedMagic: Buffer = Buffer.from('postern sealed 1\n');
const saltBytes = 16;
const prefixBytes = 7;
const checkBytes = 16;
const tagBytes = 16;
const pieceBytesMax = 64 * 1024;
const piecesMax = 0xffff_ffff;
const lastBit = 0x8000_0000;
const saltAt = sealedMagic.length + 3;
export const sealedHeadBytes: number = saltAt + saltBytes + prefixBytes + checkBytes;

/** 64 MiB and about a tenth of a second for each guess. */
const standardCost = { log2N: 16, r: 8, p: 1 } as const;
type Cost = { readonly log2N: number; readonly r: number; readonly p: number };

function keyOf(passphrase: string, salt: Uint8Array, { log2N, r, p }: Cost): { readonly key: Buffer; readonly check: Buffer } {
  const N = 2 ** log2N;
  const made = scryptSync(passphrase.normalize('NFC'), salt, 32 + checkBytes, { N, r, p, maxmem: 256 * N * r + 1024 * 1024 });
  return { key: made.subarray(0, 32), check: made.subarray(32) };
}

function nonceOf(prefix: Uint8Array, number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(prefixBytes + 5);
  nonce.set(prefix);
  nonce.writeUInt32BE(number, prefixBytes);
  nonce[prefixBytes + 4] = isLast ? 1 : 0;
  return nonce;
}

export interface Sealer {
  /** To be written before anything else. */
  readonly head: Buffer;
  /** What became whole pieces by these bytes; may be empty. */
  push(bytes: Uint8Array): Buffer;
  /** The last piece. */
  finish(): Buffer;
}

export function buildSealer(passphrase: string, random: Random, cost: Cost = standardCost): Sealer {
  const salt = random(saltBytes);
  const prefix = random(prefixBytes);
  const { key, check } = keyOf(passphrase, salt, cost);
  const head = Buffer.concat([sealedMagic, Buffer.from([cost.log2N, cost.r, cost.p]), salt, prefix, check]);
  let number = 0;
  let held: Buffer = Buffer.alloc(0);
  const seal = (text: Buffer, isLast: boolean): Buffer => {
    if (number > piecesMax) throw new Fault('too-large', 'the file is too large to be sealed');
    const cipher = createCipheriv('aes-256-gcm', key, nonceOf(prefix, number++, isLast));
    cipher.setAAD(head);
    const length = Buffer.alloc(4);
    length.writeUInt32BE((text.length | (isLast ? lastBit : 0)) >>> 0);
    return Buffer.concat([length, cipher.update(text), cipher.final(), cipher.getAuthTag()]);
  };
  return {
    head,
    push(bytes) {
      let rest = Buffer.concat([held, bytes]);
      const sealed: Buffer[] = [];
      // The last piece is known only at the end, so one is always held back.
      while (rest.length > pieceBytesMax) {
        sealed.push(seal(rest.subarray(0, pieceBytesMax), false));
        rest = rest.subarray(pieceBytesMax);
      }
      held = Buffer.from(rest);
      return Buffer.concat(sealed);
    },
    finish: () => seal(held, true),
  };
}

export interface Unsealer {
  /** What these bytes prove. Faults: `forbidden` (another passphrase), `bad-input` (damaged, or not a sealed file). */
  push(bytes: Uint8Array): Buffer;
  /** Fault `bad-input` unless the last piece was there. */
  finish(): void;
}

interface Opened {
  readonly head: Buffer;
  readonly key: Buffer;
  readonly prefix: Buffer;
}

function openHead(head: Buffer, passphrase: string): Opened {
  if (!head.subarray(0, sealedMagic.length).equals(sealedMagic)) throw new Fault('bad-input', 'this is not a sealed file');
  const [log2N = 0, r = 0, p = 0] = head.subarray(sealedMagic.length);
  // What a stranger's file may ask of us: 1 GiB at most.
  if (log2N < 10 || log2N > 20 || r !== 8 || p !== 1) throw new Fault('bad-input', 'the sealed file is damaged: its head makes no sense');
  const prefixAt = saltAt + saltBytes;
  const { key, check } = keyOf(passphrase, head.subarray(saltAt, prefixAt), { log2N, r, p });
  if (!timingSafeEqual(check, head.subarray(prefixAt + prefixBytes))) throw new Fault('forbidden', 'this is not the passphrase that the file was sealed with', { remedy: 'Give the right one with --passphrase-file.' });
  return { head, key, prefix: head.subarray(prefixAt, prefixAt + prefixBytes) };
}

export function buildUnsealer(passphrase: string): Unsealer {
  let held: Buffer = Buffer.alloc(0);
  let opened: Opened | undefined;
  let number = 0;
  let ended = false;
  const openPiece = ({ head, key, prefix }: Opened, sealed: Buffer, isLast: boolean): Buffer => {
    const cipher = createDecipheriv('aes-256-gcm', key, nonceOf(prefix, number, isLast));
    cipher.setAAD(head);
    cipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
    try {
      const text = Buffer.concat([cipher.update(sealed.subarray(0, sealed.length - tagBytes)), cipher.final()]);
      number += 1;
      return text;
    } catch (thrown) {
      throw new Fault('bad-input', `the sealed file is damaged in its piece ${number + 1}`, { cause: thrown });
    }
  };
  return {
    push(bytes) {
      let rest = Buffer.concat([held, bytes]);
      const texts: Buffer[] = [];
      if (!opened) {
        if (rest.length < sealedHeadBytes) {
          held = rest;
          return Buffer.alloc(0);
        }
        opened = openHead(Buffer.from(rest.subarray(0, sealedHeadBytes)), passphrase);
        rest = rest.subarray(sealedHeadBytes);
      }
      while (rest.length >= 4) {
        if (ended) throw new Fault('bad-input', 'the sealed file is damaged: something follows its end');
        const word = rest.readUInt32BE();
        const isLast = word >= lastBit;
        const length = word & 0x7fff_ffff;
        if (length > pieceBytesMax) throw new Fault('bad-input', `the sealed file is damaged in its piece ${number + 1}`);
        const end = 4 + length + tagBytes;
        if (rest.length < end) break;
        texts.push(openPiece(opened, rest.subarray(4, end), isLast));
        ended = isLast;
        rest = rest.subarray(end);
      }
      if (ended && rest.length > 0) throw new Fault('bad-input', 'the sealed file is damaged: something follows its end');
      held = Buffer.from(rest);
      return Buffer.concat(texts);
    },
    finish() {
      if (!ended) throw new Fault('bad-input', 'the sealed file ends too early');
    },
  };
}
