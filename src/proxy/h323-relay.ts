// A pinned H.323 connection. Registrations and calls share it for hours (H.460.17), so the decision about the first message is not enough: what a
// client sends is read message by message, each one passed on only when it is whole and judged (docs/wire/h323.md).
import type { Duplex } from 'node:stream';
import { noBytes } from '#base/bytes.ts';
import { isFault, reasonOf } from '#base/fault.ts';
import { relay } from '#net/relay.ts';
import type { Inspect, RelayRefusal } from '#net/relay.ts';
import type { Sweep } from '#net/sweep.ts';
import { lookAtTpkt, tpktEmptyBytes } from '#wire/h323-q931.ts';
import { encodeH323Refusal } from '#wire/h323-refusal.ts';
import { parseH323 } from '#wire/h323.ts';
import type { H323Facts } from '#wire/h323.ts';

export interface H323RelayOptions {
  readonly sweep: Sweep;
  readonly idleMs: number;
  /** What was read of the client before, from the connection's first byte on; it is judged as well. */
  readonly first: Buffer;
  /**
   * Asked for each GRQ and RRQ (but for those behind the first that name nobody) and for each SETUP until the first GRQ or RRQ has passed: null
   * lets it pass, else why not. A refused message is answered, the connection ends, and nothing of the message reaches the upstream.
   */
  readonly judge: (asked: H323Facts) => string | null;
  /** Called once, for a refusal by `judge` and for what cannot be read. */
  readonly onRefused: (why: string) => void;
  readonly onBytes?: (fromClient: number, fromUpstream: number) => void;
}

/** Relays until both directions have ended, either side fails, or a message is refused. Both are closed then. */
export function relayH323(client: Duplex, upstream: Duplex, options: H323RelayOptions): Promise<{ why: string }> {
  const { sweep, idleMs, first, judge, onRefused, onBytes } = options;
  const answers = watchBorders();
  return relay(client, upstream, {
    sweep,
    idleMs,
    leftoverA: first,
    inspectA: inspectClient(judge, onRefused, answers.isAtBorder),
    inspectB: answers.inspect,
    ...(onBytes ? { onBytes } : {}),
  });
}

const PIECES_MAX = 32;

/** Holds back the message that is not whole; never more than one of them. */
function inspectClient(judge: H323RelayOptions['judge'], onRefused: (why: string) => void, isAtBorder: () => boolean): Inspect {
  let held: Buffer[] = [];
  let heldBytes = 0;
  /** With fewer bytes than these, nothing new can be said: one byte at a time must not mean joining them each time. */
  let wantedBytes = 0;
  let isRegistered = false;

  /** Why this message ends the connection; null lets it pass. */
  const judgeMessage = (facts: H323Facts): string | null => {
    const isRequest = facts.message === 'gatekeeper-request' || facts.message === 'registration';
    if (!isRequest && (facts.message !== 'setup' || isRegistered)) return null;
    // A registration is kept alive by requests that need not repeat who it is for: they ask for nobody else.
    if (isRequest && isRegistered && facts.gatekeeperId === null && facts.aliases.length === 0) return null;
    const why = judge(facts);
    if (why === null && isRequest) isRegistered = true;
    return why;
  };
  const refuse = (why: string, pass: Buffer, answer: Buffer): RelayRefusal => {
    onRefused(why);
    return { why, pass, answer };
  };

  return (piece) => {
    held.push(piece);
    heldBytes += piece.length;
    if (heldBytes < wantedBytes) {
      // A piece of one byte costs hundreds while it is kept as it came.
      if (held.length >= PIECES_MAX) held = [Buffer.concat(held, heldBytes)];
      return noBytes;
    }
    const bytes = held.length === 1 ? piece : Buffer.concat(held, heldBytes);
    let at = 0;
    try {
      for (;;) {
        const start = lookAtTpkt(bytes, at);
        if (start.kind === 'no') return refuse('a message that is no TPKT with Q.931', bytes.subarray(0, at), noBytes);
        const end = start.kind === 'more' ? bytes.length + 1 : at + start.length;
        wantedBytes = end - at;
        if (end > bytes.length) break;
        const facts = start.kind === 'signalling' ? parseH323(bytes.subarray(at + tpktEmptyBytes, end), end - at) : null;
        const why = facts && judgeMessage(facts);
        if (facts && why !== null) return refuse(why, bytes.subarray(0, at), isAtBorder() ? encodeH323Refusal(facts, 'not-allowed') : noBytes);
        at = end;
      }
    } catch (thrown) {
      if (!isFault(thrown, 'protocol')) throw thrown;
      return refuse(reasonOf(thrown), bytes.subarray(0, at), noBytes);
    }
    // Copied, because a view would keep alive the whole block that was read.
    held = at < bytes.length ? [Buffer.from(bytes.subarray(at))] : [];
    heldBytes = bytes.length - at;
    return bytes.subarray(0, at);
  };
}

/** Follows the upstream's messages by their lengths: an answer of ours must not land inside one of them. */
function watchBorders(): { readonly inspect: Inspect; isAtBorder(): boolean } {
  const head = Buffer.alloc(tpktEmptyBytes);
  let headBytes = 0;
  let leftBytes = 0;
  let isLost = false;
  const inspect: Inspect = (piece) => {
    let at = 0;
    while (at < piece.length && !isLost) {
      if (leftBytes > 0) {
        const step = Math.min(leftBytes, piece.length - at);
        leftBytes -= step;
        at += step;
        continue;
      }
      head[headBytes++] = piece[at++]!;
      if (headBytes < tpktEmptyBytes) continue;
      headBytes = 0;
      const length = head.readUInt16BE(2);
      // Not TPKT: it flows on, but nobody knows its borders any more.
      if (head[0] !== 3 || length < tpktEmptyBytes) isLost = true;
      leftBytes = length - tpktEmptyBytes;
    }
    return piece;
  };
  return { inspect, isAtBorder: () => !isLost && headBytes === 0 && leftBytes === 0 };
}
