// HTTP/1.1 bodies (RFC 9112 §6, §7): where they end. Pieces are handed on as they arrive, never copied, never collected.
import { withoutBlanks } from '#base/blanks.ts';
import { latin1Of } from '#base/bytes.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { nameOf } from './http1-fields.ts';
import type { Framing } from './http1.ts';

/** Where a body's pieces go. */
export interface BodySink {
  onBodyPiece(piece: Buffer): void;
}

type Phase = 'size' | 'size-blank' | 'extension' | 'size-lf' | 'data' | 'data-cr' | 'data-lf' | 'trailer' | 'done';

/** One body being read. A plain record, reused from message to message. */
export interface BodyReader {
  framing: Framing;
  /** Bytes of the length or of the current chunk that have not come. */
  remaining: number;
  phase: Phase;
  /** Bytes of the chunk line or of the trailer section so far. */
  lineBytes: number;
  digits: number;
  /** The trailer section as received, latin1. */
  trailers: string;
  done: boolean;
}

export function newBodyReader(): BodyReader {
  return { framing: 'none', remaining: 0, phase: 'done', lineBytes: 0, digits: 0, trailers: '', done: true };
}

export function startBody(reader: BodyReader, framing: Framing, bodyBytes: number): void {
  reader.framing = framing;
  reader.remaining = framing === 'length' ? bodyBytes : 0;
  reader.phase = framing === 'chunked' ? 'size' : 'data';
  reader.lineBytes = 0;
  reader.digits = 0;
  reader.trailers = '';
  reader.done = framing === 'none';
}

/**
 * Reads body bytes from `bytes` at `at`, hands pieces to the sink, and returns the index of the first byte that is not the body's.
 * `reader.done` says whether it is whole; a `close` body never is. Throws Fault `protocol` for broken chunks.
 */
export function readBody(reader: BodyReader, bytes: Buffer, at: number, sink: BodySink): number {
  switch (reader.framing) {
    case 'none':
      return at;
    case 'close':
      if (at < bytes.length) sink.onBodyPiece(at === 0 ? bytes : bytes.subarray(at));
      return bytes.length;
    case 'length': {
      const have = bytes.length - at;
      if (have <= 0) return at;
      if (have >= reader.remaining) {
        const end = at + reader.remaining;
        reader.remaining = 0;
        reader.done = true;
        sink.onBodyPiece(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
        return end;
      }
      reader.remaining -= have;
      sink.onBodyPiece(at === 0 ? bytes : bytes.subarray(at));
      return bytes.length;
    }
    case 'chunked':
      return readChunked(reader, bytes, at, sink);
  }
}

function hexValue(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

function broken(why: string): Fault {
  return new Fault('protocol', `the chunked body is broken: ${why} (RFC 9112 §7.1)`);
}

function readChunked(reader: BodyReader, bytes: Buffer, from: number, sink: BodySink): number {
  let at = from;
  while (at < bytes.length && !reader.done) {
    const byte = bytes[at]!;
    switch (reader.phase) {
      case 'size': {
        const digit = hexValue(byte);
        if (digit >= 0) {
          // 2^48 is beyond any body, and below where numbers lose their last digits.
          if (++reader.digits > 12) throw broken('a chunk size has too many digits');
          reader.remaining = reader.remaining * 16 + digit;
        } else if (reader.digits === 0) throw broken('a chunk has no size');
        else if (byte === 13) reader.phase = 'size-lf';
        else if (byte === 59) reader.phase = 'extension';
        else if (byte === 32 || byte === 9) reader.phase = 'size-blank';
        else throw broken('a chunk size is not a hexadecimal number');
        at += 1;
        break;
      }
      case 'size-blank':
        // Old servers pad the size with blanks. Nothing but an extension may follow them: `5 5` is five bytes to one reader and 0x55 to another.
        if (byte === 13) reader.phase = 'size-lf';
        else if (byte === 59) reader.phase = 'extension';
        else if (byte !== 32 && byte !== 9) throw broken('a chunk size is not a hexadecimal number');
        if (++reader.lineBytes > limits.chunkLineBytesMax) throw broken('a chunk line is too long');
        at += 1;
        break;
      case 'extension':
        // Extensions mean nothing to us and are not forwarded (RFC 9112 §7.1.1), but what hides in them must not end the line early.
        if (byte === 13) reader.phase = 'size-lf';
        else if ((byte < 32 && byte !== 9) || byte === 127) throw broken('a chunk extension has control characters');
        if (++reader.lineBytes > limits.chunkLineBytesMax) throw broken('a chunk line is too long');
        at += 1;
        break;
      case 'size-lf':
        if (byte !== 10) throw broken('a chunk line does not end with CRLF');
        reader.lineBytes = 0;
        reader.digits = 0;
        reader.phase = reader.remaining === 0 ? 'trailer' : 'data';
        at += 1;
        break;
      case 'data': {
        const have = bytes.length - at;
        const take = have < reader.remaining ? have : reader.remaining;
        reader.remaining -= take;
        if (reader.remaining === 0) reader.phase = 'data-cr';
        sink.onBodyPiece(bytes.subarray(at, at + take));
        at += take;
        break;
      }
      case 'data-cr':
        if (byte !== 13) throw broken('a chunk is longer than its size');
        reader.phase = 'data-lf';
        at += 1;
        break;
      case 'data-lf':
        if (byte !== 10) throw broken('a chunk does not end with CRLF');
        reader.phase = 'size';
        at += 1;
        break;
      case 'trailer':
        at = readTrailers(reader, bytes, at);
        break;
      case 'done':
        return at;
    }
  }
  return at;
}

// eslint-disable-next-line no-control-regex
const TRAILER_FORBIDDEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r[^\n]|[^\r]\n|\n[ \t]|^[ \t\n]/;

/** The trailer section ends with an empty line; without trailers it is just that line. */
function readTrailers(reader: BodyReader, bytes: Buffer, at: number): number {
  while (at < bytes.length) {
    const lf = bytes.indexOf(10, at);
    const end = lf < 0 ? bytes.length : lf + 1;
    reader.lineBytes += end - at;
    if (reader.lineBytes > limits.trailerBytesMax) throw broken('the trailers are too long');
    reader.trailers += latin1Of(bytes, at, end);
    at = end;
    if (lf < 0) return at;
    if (reader.trailers === '\r\n' || reader.trailers.endsWith('\r\n\r\n')) {
      if (TRAILER_FORBIDDEN.test(reader.trailers)) throw broken('a trailer line is malformed');
      reader.trailers = reader.trailers === '\r\n' ? '' : reader.trailers.slice(0, -2);
      reader.phase = 'done';
      reader.done = true;
      return at;
    }
    // A lone LF as an empty line would otherwise keep us waiting for its CRLF.
    if (reader.trailers === '\n' || reader.trailers.endsWith('\n\n')) throw broken('a trailer line does not end with CRLF');
  }
  return at;
}

const NEVER_TRAILERS = new Set(['trailer', 'content-encoding', 'content-type', 'content-range', 'cache-control', 'www-authenticate', 'range', 'date', 'age', 'vary', 'expires']);

/** Trailer lines that may be forwarded (RFC 9110 §6.5.1: nothing that frames, routes or authenticates), each with its CRLF. */
export function encodeTrailers(trailers: string): string {
  if (trailers === '') return '';
  let out = '';
  for (const line of trailers.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const name = nameOf(line.slice(0, colon));
    // A name that means something to a proxy means nothing good here.
    if (name === undefined || name.flags !== 0 || NEVER_TRAILERS.has(name.lower)) continue;
    out += `${line.slice(0, colon)}: ${withoutBlanks(line.slice(colon + 1))}\r\n`;
  }
  return out;
}
