// SIP between a client and its upstream over two byte streams: cuts them into messages, asks `sip-pass` about each, answers keep-alives, and ends what
// is broken or too slow (docs/wire/sip.md). One upstream connection for each client connection; they end together.
import type { Duplex } from 'node:stream';
import { limits } from '#base/limits.ts';
import { relay, type Inspect, type RelayRefusal } from '#net/relay.ts';
import type { Sweep, Swept } from '#net/sweep.ts';
import { buildSipFramer } from '#wire/sip-frames.ts';
import { refuseSipHead } from '#wire/sip-refusal.ts';
import { buildSipPass, type SipPassOptions, type SipSide } from './sip-pass.ts';

export interface SipRelayOptions extends SipPassOptions {
  readonly sweep: Sweep;
  /** Without a byte in either direction; registrations want 180 s and more. */
  readonly idleMs: number;
  /** What the client sent before, from its first byte. */
  readonly first: Buffer;
  readonly onBytes?: (fromClient: number, fromUpstream: number) => void;
}

/** Relays until either side ends; both are closed then. Resolves with why it ended. */
export function relaySip(client: Duplex, upstream: Duplex, options: SipRelayOptions): Promise<{ why: string }> {
  const { sweep } = options;
  const pass = buildSipPass(options);
  let refusals = 0;
  /** Why we ended it ourselves. */
  let ended: string | null = null;

  const watchOf = (name: SipSide, stream: Duplex) =>
    watchWhole(sweep, stream, () => {
      ended ??= `${name}: a message was not whole within ${limits.sipMessageTimeoutMs / 1000} s`;
      stream.destroy();
    });

  const inspect = (name: SipSide, from: Duplex, to: Duplex, watch: WholeInTime): Inspect => {
    const framer = buildSipFramer();
    return (piece) => {
      const out: Buffer[] = [];
      const answers: Buffer[] = [];
      // What was whole before the fault is delivered.
      const end = (why: string, answer: Buffer | null = null): RelayRefusal => {
        ended = `${name}: ${why}`;
        watch.look(0, true);
        say(to, out);
        say(from, answers);
        return answer ? { why: ended, answer } : { why: ended };
      };
      const frames = framer.push(piece);
      watch.look(framer.heldBytes, frames.length > 0);
      for (const frame of frames) {
        if (frame.kind === 'ping') answers.push(pong);
        else if (frame.kind === 'broken') {
          if (name === 'client') options.onRefused(frame.why, null);
          return end(frame.why, frame.head && refuseSipHead(frame.head, frame.status));
        } else {
          const passed = pass(frame, name);
          if (passed.forward) out.push(passed.forward);
          if (passed.answer) answers.push(passed.answer);
          if (passed.refused && name === 'client') refusals += 1;
        }
        if (refusals >= limits.sipRefusedPerConnMax) return end(`${refusals} refused messages`);
      }
      if (answers.length > 0) {
        say(from, answers);
        // Nothing stops a sender who is only answered by us, so what it leaves unread has a bound.
        if (from.writableLength > limits.sipUnreadBytesMax) return end('does not read its answers');
      }
      return out.length === 1 ? out[0]! : Buffer.concat(out);
    };
  };

  const ofClient = watchOf('client', client);
  const ofUpstream = watchOf('upstream', upstream);
  return relay(client, upstream, {
    sweep,
    idleMs: options.idleMs,
    leftoverA: options.first,
    inspectA: inspect('client', client, upstream, ofClient),
    inspectB: inspect('upstream', upstream, client, ofUpstream),
    ...(options.onBytes && { onBytes: options.onBytes }),
  })
    .finally(() => {
      ofClient.stop();
      ofUpstream.stop();
    })
    .then(({ why }) => ({ why: ended ?? why }));
}

const pong = Buffer.from('\r\n');

/** All in one write, and said once. */
function say(to: Duplex, words: Buffer[]): void {
  if (words.length > 0 && to.writable) to.write(Buffer.concat(words));
  words.length = 0;
}

interface WholeInTime {
  /** `heldBytes` of a message are here; `moved`: something was completed since the last look. */
  look(heldBytes: number, moved: boolean): void;
  stop(): void;
}

/** A message that was begun has to be whole in time, or a few bytes would keep a connection for as long as its idle time. */
function watchWhole(sweep: Sweep, stream: Duplex, onLate: () => void): WholeInTime {
  const swept: Swept = {
    deadlineMs: 0,
    onDeadline() {
      // Not read because the other side is slow: not its sender's fault.
      if (stream.isPaused()) swept.deadlineMs = sweep.nowMs + limits.sipMessageTimeoutMs;
      else onLate();
    },
  };
  sweep.add(swept);
  return {
    look(heldBytes, moved) {
      if (heldBytes === 0) swept.deadlineMs = 0;
      else if (moved || swept.deadlineMs === 0) swept.deadlineMs = sweep.nowMs + limits.sipMessageTimeoutMs;
    },
    stop: () => sweep.remove(swept),
  };
}
