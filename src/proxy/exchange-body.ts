// A request's body for a service of ours that is called and not dialled: whole and decoded, or piece by piece.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, inflate, inflateRaw } from 'node:zlib';
import { networkOf } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { fieldOf, is, type HeadEdit } from '#wire/http1-fields.ts';
import { isBad, parseResponseHead } from '#wire/http1.ts';
import type { Exchange } from './exchange.ts';

export interface ExchangeBody {
  /** Once. Faults: `too-large`, `bad-input` (not what Content-Encoding says), `closed` (the client went in the middle), `busy` (all bodies together are too much). */
  whole(max: number): Promise<{ readonly bytes: Buffer; readonly rawSha256: string; readonly rawBytes: number }>;
  /** What was held for it is no longer counted: its act is over. */
  release(): void;
  /** Once, instead. */
  pieces(): AsyncGenerator<Buffer, void, undefined>;
  /** A 1xx answer; its fields as given. */
  interim(status: number, fields: Readonly<Record<string, string>>): void;
}

/** What bodies of all requests together hold in memory; the process's. */
export interface BodyBudget {
  heldBytes: number;
  /** What each place (base/cidr.ts `networkOf`) or agent has of it: nobody takes all of it from the others by bringing slowly. */
  readonly byPlace: Map<string, number>;
}

export const newBodyBudget = (): BodyBudget => ({ heldBytes: 0, byPlace: new Map() });

export interface BodyHold {
  /** So many bytes more are held. A Fault `busy`: that is too many, of the place or of all. */
  add(bytes: number): Fault | null;
  release(): void;
}

export function holdBody(budget: BodyBudget, limits: Pick<Limits, 'bodiesHeldBytesMax' | 'bodiesHeldPerPlaceBytesMax'>, place: string): BodyHold {
  let held = 0;
  return {
    add(bytes) {
      held += bytes;
      budget.heldBytes += bytes;
      const here = (budget.byPlace.get(place) ?? 0) + bytes;
      budget.byPlace.set(place, here);
      return budget.heldBytes > limits.bodiesHeldBytesMax || here > limits.bodiesHeldPerPlaceBytesMax ? new Fault('busy', 'more is arriving than can be held', { remedy: 'Repeat it later: nothing of it was stored.' }) : null;
    },
    release() {
      budget.heldBytes -= held;
      const left = (budget.byPlace.get(place) ?? 0) - held;
      if (left > 0) budget.byPlace.set(place, left);
      else budget.byPlace.delete(place);
      held = 0;
    },
  };
}

const back: HeadEdit<null> = { drop: is.hop, ask: 0, value: undefined };
const placedBytesMax = 256 * 1024;
/** So many bytes of a body that is taken piece by piece wait for their taker; then the client waits. */
const piecesHeldBytes = 256 * 1024;

export function bodyOf(exchange: Exchange, limits: Limits, budget: BodyBudget): ExchangeBody {
  const hold = holdBody(budget, limits, networkOf(exchange.conn.from));
  const interim = (status: number, fields: Readonly<Record<string, string>>) => {
    if (exchange.isGone || exchange.answered) return;
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join('');
    const head = parseResponseHead(`HTTP/1.1 ${status} ${status === 100 ? 'Continue' : 'Upload Resumption Supported'}\r\n${lines}\r\n`, 'POST');
    if (isBad(head)) throw new Error(`not a head: ${head.bad}`);
    exchange.interim(head, back, null);
  };
  const gone = () => new Fault('closed', 'the client went away in the middle of its request');

  /** Hands over pieces until the end; rejects when the client goes. `onPiece` must not keep what it is lent. */
  const read = (onPiece: (piece: Buffer) => void, stopped: { now: boolean }): Promise<void> =>
    new Promise((resolve, reject) => {
      if (exchange.isGone) return reject(gone());
      // Nobody asked for it until now, so nobody has told the client to go on (RFC 9110 §10.1.1).
      if (exchange.head.expectsContinue && !exchange.requestDone) interim(100, {});
      exchange.sink = {
        onRequestPiece: (piece) => {
          if (stopped.now) return;
          onPiece(piece);
        },
        onRequestEnd: () => resolve(),
        onAnswerDrain: () => {},
        onAborted: () => reject(gone()),
        onLate: () => reject(new Fault('timeout', 'the body did not arrive in time')),
      };
      if (exchange.requestDone) resolve();
      exchange.resumeRequest();
    });

  return {
    interim,
    async whole(max) {
      const encoding = encodingOf(fieldOf(exchange.head.fields, 'content-encoding') ?? '');
      const plain = encoding === 'identity';
      const most = plain ? Math.min(max, limits.pushBodyBytesMax) : limits.pushBodyBytesMax;
      const said = Number(fieldOf(exchange.head.fields, 'content-length') ?? 0);
      if (said > most) throw new Fault('too-large', `the body has ${said} bytes, and ${most} are the most`);
      const pieces: Buffer[] = [];
      // Where its length is known and small it has one place from the start; a large one is believed only as it comes.
      const place = said > 0 && said <= placedBytesMax ? Buffer.allocUnsafe(said) : null;
      let rawBytes = 0;
      const stopped = { now: false };
      const { promise: refused, reject: refuse } = Promise.withResolvers<never>();
      refused.catch(() => {});
      const reading = read((piece) => {
        const from = rawBytes;
        rawBytes += piece.length;
        const full = hold.add(piece.length);
        const fault = rawBytes > most ? new Fault('too-large', `the body has more than ${most} bytes`) : full;
        if (fault !== null) {
          stopped.now = true;
          pieces.length = 0;
          refuse(fault);
        } else if (place !== null && rawBytes <= place.length) piece.copy(place, from);
        else pieces.push(Buffer.from(piece));
      }, stopped);
      await Promise.race([reading, refused]);
      const raw = place !== null && rawBytes === place.length ? place : pieces.length === 1 && place === null ? pieces[0]! : Buffer.concat(place === null ? pieces : [place.subarray(0, rawBytes - lengthOf(pieces)), ...pieces]);
      const bytes = await decode(raw, encoding, max);
      if (!plain) hold.add(bytes.length);
      let digest: string | null = null;
      // Only where somebody signed or said a digest.
      return { bytes, rawBytes, get rawSha256() { return (digest ??= createHash('sha256').update(raw).digest('hex')); } };
    },
    release: () => hold.release(),
    async *pieces() {
      const queue: Buffer[] = [];
      let held = 0;
      let state: 'open' | 'ended' | 'failed' = 'open';
      let failure: unknown;
      let wake: (() => void) | null = null;
      const stopped = { now: false };
      void read((piece) => {
        queue.push(Buffer.from(piece));
        held += piece.length;
        if (held > piecesHeldBytes) exchange.pauseRequest();
        wake?.();
      }, stopped).then(
        () => (state = 'ended'),
        (thrown: unknown) => {
          failure = thrown;
          state = 'failed';
        },
      ).finally(() => wake?.());
      try {
        for (;;) {
          const next = queue.shift();
          if (next) {
            const wasOver = held > piecesHeldBytes;
            held -= next.length;
            if (wasOver && held <= piecesHeldBytes) exchange.resumeRequest();
            yield next;
            continue;
          }
          // Assigned in callbacks, which the compiler does not see.
          const now = state as 'open' | 'ended' | 'failed';
          if (now === 'failed') throw failure;
          if (now === 'ended') return;
          await new Promise<void>((resolve) => (wake = resolve));
          wake = null;
        }
      } finally {
        stopped.now = true;
      }
    },
  };
}

const lengthOf = (pieces: readonly Buffer[]): number => pieces.reduce((sum, piece) => sum + piece.length, 0);

const [gunzipped, inflated, inflatedRaw] = [promisify(gunzip), promisify(inflate), promisify(inflateRaw)];

export type BodyEncoding = 'identity' | 'gzip' | 'deflate';

/** Of `Content-Encoding`; '' without. Fault `bad-input`. */
export function encodingOf(field: string): BodyEncoding {
  const encoding = field.trim().toLowerCase();
  if (encoding === '' || encoding === 'identity') return 'identity';
  if (encoding === 'gzip' || encoding === 'x-gzip') return 'gzip';
  if (encoding === 'deflate') return 'deflate';
  throw new Fault('bad-input', `the encoding "${encoding.slice(0, 40)}" is not understood: gzip, deflate or none`);
}

/** `deflate` means zlib (RFC 9110 §8.4.1.2), and several clients send it raw. Faults `too-large`, `bad-input`. */
export async function decode(raw: Buffer, encoding: BodyEncoding, max: number): Promise<Buffer> {
  if (encoding === 'identity') return raw;
  const options = { maxOutputLength: max };
  try {
    if (encoding !== 'deflate') return await gunzipped(raw, options);
    const isZlib = raw.length >= 2 && (raw[0]! & 0x0f) === 8 && raw.readUInt16BE(0) % 31 === 0;
    return await (isZlib ? inflated(raw, options) : inflatedRaw(raw, options));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new Fault('too-large', `the body has more than ${max} bytes when it is unpacked`);
    throw new Fault('bad-input', `the body is not what its encoding says: ${(thrown as Error).message}`);
  }
}
