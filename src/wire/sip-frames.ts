// One SIP message after the other out of a byte stream (RFC 3261 §18.3), and the keep-alives between them (RFC 5626 §4.4.1).
import { latin1Of, noBytes } from '#base/bytes.ts';
import { limits } from '#base/limits.ts';
import { parseSipMessage, readSipHead, sipContentLength, type BadSip, type SipHead, type SipRequest, type SipResponse } from './sip.ts';

export type SipFrame =
  /** CRLF CRLF: its sender waits for a CRLF. */
  | { readonly kind: 'ping' }
  | {
      readonly kind: 'message';
      readonly head: SipHead;
      /** What the head means; `bad` when it is refused though its end is known. */
      readonly message: SipRequest | SipResponse | BadSip;
      readonly body: Buffer;
    }
  /** Nobody knows where the next message begins: the connection ends. `head` is there when the sender can still be told. */
  | { readonly kind: 'broken'; readonly why: string; readonly status: number; readonly head: SipHead | null };

export interface SipFramer {
  /** What these bytes complete, in order; nothing more after `broken`. Frames do not depend on how the stream was cut. */
  push(piece: Buffer): SipFrame[];
  /** Bytes of a message that is not whole yet; at most one head and one body. */
  readonly heldBytes: number;
}

interface Started {
  readonly head: SipHead;
  readonly length: number;
  /** Of a body that came in pieces: one place for all of them, because a piece of one byte costs hundreds while it is kept as it came. */
  body: Buffer | null;
  have: number;
}

export function buildSipFramer(): SipFramer {
  /** Bytes that belong to a head, or to empty lines. */
  let held: Buffer = noBytes;
  let searched = 0;
  let emptyLine = false;
  let started: Started | null = null;
  let isBroken = false;

  const broken = (why: string, status = 400, head: SipHead | null = null): SipFrame => {
    isBroken = true;
    held = noBytes;
    started = null;
    return { kind: 'broken', why, status, head };
  };

  /** A whole body's message, or null while bytes are missing. */
  const takeBody = (): SipFrame | null => {
    const { head, length, have } = started!;
    let body = held.subarray(0, length - have);
    held = held.subarray(body.length);
    if (body.length < length) {
      started!.body ??= Buffer.allocUnsafeSlow(length);
      started!.have += body.copy(started!.body, have);
      if (started!.have < length) return null;
      ({ body } = started as { body: Buffer });
    }
    started = null;
    return { kind: 'message', head, message: parseSipMessage(head), body };
  };

  /** An empty line between messages; null: not one, or not whole. */
  const takeEmptyLine = (): SipFrame | 'passed' | null => {
    if (held.length < 2) return null;
    if (held[1] !== 0x0a) return broken('a bare CR between messages');
    held = held.subarray(2);
    emptyLine = !emptyLine;
    return emptyLine ? 'passed' : { kind: 'ping' };
  };

  /** Null while the head is not whole. */
  const takeHead = (): SipFrame | 'passed' | null => {
    if (held[0]! <= 0x20 || held[0]! >= 0x7f) return broken('no message begins here');
    const end = held.indexOf('\r\n\r\n', Math.max(0, searched - 3), 'latin1');
    searched = held.length;
    if (end < 0 ? held.length >= limits.sipHeadBytesMax : end + 4 > limits.sipHeadBytesMax) return broken(`a head of more than ${limits.sipHeadBytesMax} bytes`);
    if (end < 0) return null;
    const head = readSipHead(latin1Of(held, 0, end + 2));
    if (typeof head === 'string') return broken(head);
    const length = sipContentLength(head.fields);
    if (typeof length !== 'number') return broken(length.why, length.status, head);
    held = held.subarray(end + 4);
    searched = 0;
    emptyLine = false;
    started = { head, length, body: null, have: 0 };
    return 'passed';
  };

  return {
    push(piece) {
      const frames: SipFrame[] = [];
      if (isBroken) return frames;
      held = held.length === 0 ? piece : Buffer.concat([held, piece]);
      for (;;) {
        if (started === null && held.length === 0) break;
        const taken = started ? takeBody() : held[0] === 0x0d ? takeEmptyLine() : takeHead();
        if (taken === null) break;
        if (taken !== 'passed') frames.push(taken);
        if (isBroken) break;
      }
      return frames;
    },
    get heldBytes() {
      return held.length + (started?.have ?? 0);
    },
  };
}
