// WebSocket (RFC 6455), both roles: handshake heads, and frames whose payload is handed on as it arrives.
// No extension is ever negotiated, so every reserved bit is an error.
import { createHash } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import type { FaultOptions } from '#base/fault.ts';
import { fieldOf } from './http1-fields.ts';
import type { Fields } from './http1-fields.ts';
import type { RequestHead } from './http1.ts';

export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
export type ControlOpcode = 8 | 9 | 10;

/** RFC 6455 §7.4.1, and 4001 of docs/wire/tunnel.md §3. */
export const CloseCode = { normal: 1000, goingAway: 1001, protocol: 1002, unacceptable: 1003, refused: 1008, tooBig: 1009, internal: 1011, replaced: 4001 } as const;

/** Longest frame head: 2 bytes, 8 of length, 4 of mask. */
export const frameHeadBytesMax = 14;

export interface FrameSink {
  /** A piece of a data message as it arrived, a view of the pushed chunk; `last` with the message's end (the piece may be empty). */
  onData(bytes: Buffer, isText: boolean, last: boolean): void;
  onControl(opcode: ControlOpcode, payload: Buffer): void;
}

export interface FrameParser {
  /** Takes any cut of the byte stream and unmasks it in place. Fault `protocol`, whose detail has `closeCode`; dead after it. */
  push(chunk: Buffer): void;
}

export interface FrameParserOptions {
  /** A server takes only masked frames, a client only bare ones (RFC 6455 §5.1). */
  readonly expectMask: boolean;
  readonly frameBytesMax: number;
}

function protocolFault(message: string, closeCode: number = CloseCode.protocol, options: FaultOptions = {}): Fault {
  return new Fault('protocol', `WebSocket: ${message}`, { ...options, detail: { closeCode } });
}

/** The close code that a Fault of this file asks for. */
export function closeCodeOf(fault: Fault): number {
  return typeof fault.detail['closeCode'] === 'number' ? fault.detail['closeCode'] : CloseCode.protocol;
}

function headBytesOf(second: number): number {
  const short = second & 0x7f;
  return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + ((second & 0x80) === 0 ? 0 : 4);
}

/** XOR in place; `offset` is where in the frame these bytes begin. */
function unmask(bytes: Buffer, mask: number, offset: number): void {
  const turned = offset & 3;
  const key = [mask >>> 24, (mask >>> 16) & 0xff, (mask >>> 8) & 0xff, mask & 0xff];
  const a = key[turned]!;
  const b = key[(turned + 1) & 3]!;
  const c = key[(turned + 2) & 3]!;
  const d = key[(turned + 3) & 3]!;
  const whole = bytes.length & ~3;
  let i = 0;
  for (; i < whole; i += 4) {
    bytes[i]! ^= a;
    bytes[i + 1]! ^= b;
    bytes[i + 2]! ^= c;
    bytes[i + 3]! ^= d;
  }
  if (i < bytes.length) bytes[i]! ^= a;
  if (i + 1 < bytes.length) bytes[i + 1]! ^= b;
  if (i + 2 < bytes.length) bytes[i + 2]! ^= c;
}

/** Parses frames of one direction of one connection. */
export function buildFrameParser(options: FrameParserOptions, sink: FrameSink): FrameParser {
  const head = Buffer.alloc(frameHeadBytesMax);
  let headHave = 0;
  let inFrame = false;
  let opcode = 0;
  let isFinal = false;
  let left = 0;
  let length = 0;
  let mask = 0;
  /** Opcode of the message whose fragments are arriving; 0 between messages. */
  let message = 0;
  let control: Buffer | undefined;
  let ended = false;

  const checkFirst = (first: number, second: number) => {
    if ((first & 0x70) !== 0) throw protocolFault('a reserved bit is set');
    if (((second & 0x80) !== 0) !== options.expectMask) throw protocolFault(options.expectMask ? 'a client frame is not masked' : 'a server frame is masked');
    const code = first & 0x0f;
    const short = second & 0x7f;
    if (code >= 8) {
      if (code > 10) throw protocolFault(`opcode ${code} is reserved`);
      if ((first & 0x80) === 0) throw protocolFault('a control frame is fragmented');
      if (short > 125) throw protocolFault('a control frame is longer than 125 bytes');
    } else if (code > 2) throw protocolFault(`opcode ${code} is reserved`);
    else if (code === 0 && message === 0) throw protocolFault('a continuation without a message');
    else if (code !== 0 && message !== 0) throw protocolFault('a new message inside another');
  };

  const readHead = (bytes: Buffer, at: number) => {
    const first = bytes[at]!;
    const second = bytes[at + 1]!;
    checkFirst(first, second);
    const short = second & 0x7f;
    let next = at + 2;
    if (short < 126) length = short;
    else if (short === 126) {
      length = bytes.readUInt16BE(next);
      next += 2;
      if (length < 126) throw protocolFault('a length is not written in its shortest form');
    } else {
      const high = bytes.readUInt32BE(next);
      length = high * 0x1_0000_0000 + bytes.readUInt32BE(next + 4);
      next += 8;
      if (high === 0 && length < 0x1_0000) throw protocolFault('a length is not written in its shortest form');
    }
    if (length > options.frameBytesMax) throw protocolFault(`a frame of ${length} bytes is longer than ${options.frameBytesMax}`, CloseCode.tooBig);
    mask = (second & 0x80) === 0 ? 0 : bytes.readUInt32BE(next);
    opcode = first & 0x0f;
    isFinal = (first & 0x80) !== 0;
    if (opcode === Opcode.text || opcode === Opcode.binary) message = opcode;
    left = length;
    inFrame = true;
    if (length === 0) body(bytes, 0, 0);
  };

  const controlBody = (piece: Buffer) => {
    if (control === undefined && piece.length === length) {
      if (mask !== 0) unmask(piece, mask, 0);
      control = piece;
    } else {
      control ??= Buffer.alloc(length);
      const offset = length - left;
      piece.copy(control, offset);
      if (left === piece.length && mask !== 0) unmask(control, mask, 0);
    }
    left -= piece.length;
    if (left > 0) return;
    inFrame = false;
    const payload = control;
    control = undefined;
    if (opcode === Opcode.close) {
      if (length === 1) throw protocolFault('a close frame of one byte');
      ended = true;
    }
    sink.onControl(opcode as ControlOpcode, payload);
  };

  /** Consumes what of the frame is in the chunk and says where it stopped. */
  const body = (chunk: Buffer, at: number, end: number): number => {
    const stop = end - at > left ? at + left : end;
    const piece = at === 0 && stop === chunk.length ? chunk : chunk.subarray(at, stop);
    if (opcode >= 8) {
      controlBody(piece);
      return stop;
    }
    if (mask !== 0) unmask(piece, mask, length - left);
    left -= piece.length;
    const isText = message === Opcode.text;
    let last = false;
    if (left === 0) {
      inFrame = false;
      if (isFinal) {
        last = true;
        message = 0;
      }
    }
    sink.onData(piece, isText, last);
    return stop;
  };

  return {
    push(chunk) {
      const end = chunk.length;
      let at = 0;
      while (at < end) {
        // After a close frame nothing counts any more (RFC 6455 §5.5.1).
        if (ended) return;
        if (inFrame) {
          at = body(chunk, at, end);
          continue;
        }
        if (headHave === 0 && end - at >= 2) {
          const need = headBytesOf(chunk[at + 1]!);
          if (end - at >= need) {
            readHead(chunk, at);
            at += need;
            continue;
          }
        }
        head[headHave++] = chunk[at++]!;
        if (headHave === 2) checkFirst(head[0]!, head[1]!);
        if (headHave >= 2 && headHave === headBytesOf(head[1]!)) {
          headHave = 0;
          readHead(head, 0);
        }
      }
    },
  };
}

/**
 * Writes the head of an unfragmented frame so that it ends at `end`, and says where it starts. `mask` undefined: bare (a
 * server's). The 32-bit mask 0 is a mask like any other (RFC 6455 §5.3 wants it unpredictable to guard against caches that
 * read clear text; under TLS there are none).
 */
export function writeFrameHead(into: Buffer, end: number, opcode: number, length: number, mask: number | undefined): number {
  const maskBytes = mask === undefined ? 0 : 4;
  const start = end - maskBytes - (length < 126 ? 2 : length < 0x1_0000 ? 4 : 10);
  into[start] = 0x80 | opcode;
  const bit = mask === undefined ? 0 : 0x80;
  if (length < 126) into[start + 1] = bit | length;
  else if (length < 0x1_0000) {
    into[start + 1] = bit | 126;
    into.writeUInt16BE(length, start + 2);
  } else {
    into[start + 1] = bit | 127;
    into.writeUInt32BE(Math.floor(length / 0x1_0000_0000), start + 2);
    into.writeUInt32BE(length >>> 0, start + 6);
  }
  if (mask !== undefined) into.writeUInt32BE(mask, end - 4);
  return start;
}

/** Masks in place. */
export function applyMask(bytes: Buffer, mask: number): void {
  if (mask !== 0) unmask(bytes, mask, 0);
}

/** A whole frame, copied. For control frames and small messages. */
export function encodeFrame(opcode: number, payload: Buffer, mask?: number): Buffer {
  const frame = Buffer.allocUnsafe(frameHeadBytesMax + payload.length);
  const start = writeFrameHead(frame, frameHeadBytesMax, opcode, payload.length, mask);
  payload.copy(frame, frameHeadBytesMax);
  if (mask !== undefined) applyMask(frame.subarray(frameHeadBytesMax), mask);
  return frame.subarray(start);
}

/** Payload of a close frame; the reason is cut to what a control frame carries. */
export function encodeClose(code: number, reason: string): Buffer {
  let text = Buffer.from(reason);
  if (text.length > 123) {
    let cut = 123;
    while (cut > 0 && (text[cut]! & 0xc0) === 0x80) cut--;
    text = text.subarray(0, cut);
  }
  const payload = Buffer.allocUnsafe(2 + text.length);
  payload.writeUInt16BE(code, 0);
  text.copy(payload, 2);
  return payload;
}

/** Code 1005 when the frame had none (RFC 6455 §7.1.5). */
export function parseClose(payload: Buffer): { code: number; reason: string } {
  if (payload.length < 2) return { code: 1005, reason: '' };
  return { code: payload.readUInt16BE(0), reason: payload.toString('utf8', 2) };
}

/** RFC 6455 §4.2.2, 5.4. */
export function acceptKeyOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

type FieldLines = readonly (readonly [name: string, value: string])[];

function encodeHead(firstLine: string, fields: FieldLines): Buffer {
  let text = `${firstLine}\r\n`;
  for (const [name, value] of fields) {
    if (/[\r\n\0]/.test(name + value)) throw new Fault('bad-input', `the value of ${name} cannot stand in a header`);
    text += `${name}: ${value}\r\n`;
  }
  return Buffer.from(`${text}\r\n`, 'latin1');
}

export interface UpgradeRequest {
  readonly path: string;
  readonly host: string;
  /** Base64 of 16 random bytes. */
  readonly key: string;
  readonly protocol: string;
  readonly fields: FieldLines;
}

export function encodeUpgradeRequest(request: UpgradeRequest): Buffer {
  return encodeHead(`GET ${request.path} HTTP/1.1`, [
    ['Host', request.host],
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Version', '13'],
    ['Sec-WebSocket-Key', request.key],
    ['Sec-WebSocket-Protocol', request.protocol],
    ...request.fields,
  ]);
}

/** The 101. */
export function encodeUpgradeAnswer(key: string, protocol: string, fields: FieldLines): Buffer {
  return encodeHead('HTTP/1.1 101 Switching Protocols', [
    ['Upgrade', 'websocket'],
    ['Connection', 'Upgrade'],
    ['Sec-WebSocket-Accept', acceptKeyOf(key)],
    ['Sec-WebSocket-Protocol', protocol],
    ...fields,
  ]);
}

const listOf = (value: string | undefined) => (value ?? '').split(',').map((item) => item.trim());

/** The request's key. Faults: `bad-input` (not such a handshake), `unsupported` (version or protocol: 426). */
export function checkUpgradeRequest(head: Pick<RequestHead, 'method' | 'minorVersion'> & { readonly fields: Fields }, protocol: string): string {
  const is = (name: string, token: string) => listOf(fieldOf(head.fields, name)).some((item) => item.toLowerCase() === token);
  if (head.method !== 'GET' || head.minorVersion !== 1) throw new Fault('bad-input', 'a WebSocket handshake is a GET of HTTP/1.1');
  if (!is('upgrade', 'websocket') || !is('connection', 'upgrade')) throw new Fault('bad-input', 'only a WebSocket handshake is answered here');
  if (fieldOf(head.fields, 'sec-websocket-version') !== '13') throw new Fault('unsupported', 'the WebSocket version must be 13');
  if (!listOf(fieldOf(head.fields, 'sec-websocket-protocol')).includes(protocol)) throw new Fault('unsupported', `the protocol offered must be ${protocol}`);
  const key = fieldOf(head.fields, 'sec-websocket-key') ?? '';
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) throw new Fault('bad-input', 'Sec-WebSocket-Key must be 16 bytes in base64');
  return key;
}

export interface AnswerHead {
  readonly status: number;
  /** Lower-case names; repeated ones joined by ", ". */
  readonly fields: ReadonlyMap<string, string>;
  /** How many bytes the head took. */
  readonly bytes: number;
}

/** The head of the answer to our handshake; undefined while it is not whole. Fault `protocol`. */
export function parseAnswerHead(bytes: Buffer, headBytesMax: number): AnswerHead | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0 || end > headBytesMax) {
    if (end > headBytesMax || bytes.length > headBytesMax) throw protocolFault(`the answer's head is longer than ${headBytesMax} bytes`);
    return undefined;
  }
  const lines = bytes.toString('latin1', 0, end).split('\r\n');
  const status = /^HTTP\/1\.1 ([1-5][0-9][0-9])(?: |$)/.exec(lines[0]!)?.[1];
  if (status === undefined) throw protocolFault('the answer is not HTTP/1.1');
  const fields = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    // eslint-disable-next-line no-control-regex
    if (colon < 1 || !/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name) || /[\x00-\x08\x0a-\x1f\x7f]/.test(line)) throw protocolFault('the answer has a malformed header');
    const value = line.slice(colon + 1).trim();
    const before = fields.get(name);
    fields.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return { status: Number(status), fields, bytes: end + 4 };
}

/** Checks a 101 against what was asked (RFC 6455 §4.1). Fault `protocol`. */
export function checkUpgradeAnswer(answer: AnswerHead, key: string, protocol: string): void {
  if (answer.status !== 101) throw protocolFault(`the handshake was answered ${answer.status}`);
  if (answer.fields.get('upgrade')?.toLowerCase() !== 'websocket' || !listOf(answer.fields.get('connection')).some((item) => item.toLowerCase() === 'upgrade')) {
    throw protocolFault('the answer does not upgrade');
  }
  if (answer.fields.get('sec-websocket-accept') !== acceptKeyOf(key)) throw protocolFault('the answer is not for our key');
  if (answer.fields.get('sec-websocket-protocol') !== protocol) throw protocolFault(`the answer does not speak ${protocol}`);
  if (answer.fields.has('sec-websocket-extensions')) throw protocolFault('the answer names an extension that was not offered');
}
