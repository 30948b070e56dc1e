// Two byte streams joined: each direction ends on its own FIN, a slow side stops the other, nothing is kept.
// A protocol that has to be watched hands in an inspection: every piece passes through it before it is written on.
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { limits } from '#base/limits.ts';
import type { Sweep, Swept } from './sweep.ts';
import { TAKEN_BYTES_MAX, tapReads } from './tapped-reads.ts';

/**
 * Sees every piece in order, before a byte of it goes on; what it throws ends the relay. Returns what is written on now: the piece itself, less of it (the
 * inspection keeps the rest for a later piece, and bounds what it keeps), more, other bytes, or none. Or that the connection ends here.
 */
export type Inspect = (piece: Buffer) => Buffer | RelayRefusal;

/** Of the piece only `pass` goes on. Its sender gets `answer`, then FIN; the other side gets FIN; `why` is what the relay resolves with. */
export interface RelayRefusal {
  readonly why: string;
  readonly pass?: Buffer;
  readonly answer?: Buffer;
}

export interface RelayOptions {
  readonly sweep: Sweep;
  readonly idleMs: number;
  /** Called as bytes pass, from `a` to `b` and back. */
  readonly onBytes?: (fromA: number, fromB: number) => void;
  /** Bytes of `a` and of `b` that were read before. */
  readonly leftoverA?: Buffer;
  readonly leftoverB?: Buffer;
  /** For what `a` sends and for what `b` sends, leftovers included. */
  readonly inspectA?: Inspect;
  readonly inspectB?: Inspect;
}

const isPlain = (stream: Duplex): stream is Socket => stream instanceof Socket && !(stream instanceof TLSSocket);

/** Relays until both directions have ended or either side fails; resolves with why it ended, rejects with what an inspection threw. Both are closed then. */
export function relay(a: Duplex, b: Duplex, options: RelayOptions): Promise<{ why: string }> {
  const { sweep, idleMs, onBytes } = options;
  return new Promise((resolve, reject) => {
    let open = 2;
    let settled = false;
    let refused: { readonly by: Duplex; readonly why: string } | null = null;
    const swept: Swept = { deadlineMs: sweep.nowMs + idleMs, onDeadline: () => finish(refused?.why ?? `idle for ${Math.round(idleMs / 1000)} s`) };
    const close = () => {
      settled = true;
      sweep.remove(swept);
      a.destroy();
      b.destroy();
    };
    const finish = (why: string) => {
      if (settled) return;
      close();
      resolve({ why });
    };
    const inspected = (inspect: Inspect, piece: Buffer): Buffer | RelayRefusal => {
      try {
        return inspect(piece);
      } catch (thrown) {
        close();
        reject(thrown);
        return { why: 'broken' };
      }
    };
    // What its sender still sends is read and thrown away: a socket closed over unread bytes is reset, and the answer lost with them.
    const refuse = (source: Duplex, sink: Duplex, refusal: RelayRefusal) => {
      refused = { by: source, why: refusal.why };
      swept.deadlineMs = sweep.nowMs + limits.halfClosedMs;
      if (!sink.writableEnded && !sink.destroyed) sink.end(refusal.pass ?? Buffer.alloc(0));
      const whenBoth = () => {
        if (source.writableFinished && source.readableEnded) finish(refusal.why);
      };
      source.once('finish', whenBoth);
      source.once('end', whenBoth);
      if (source.writableEnded) return whenBoth();
      source.end(refusal.answer ?? Buffer.alloc(0));
    };
    const join = (source: Duplex, sink: Duplex, first: Buffer | undefined, count: ((bytes: number) => void) | undefined, inspect: Inspect | undefined, name: string) => {
      const pass = (piece: Buffer) => {
        if (refused || settled) return;
        count?.(piece.length);
        if (inspect) {
          const passed = inspected(inspect, piece);
          if (settled) return;
          if ('why' in passed) return refuse(source, sink, passed);
          piece = passed;
          if (piece.length === 0) return;
        }
        if (!sink.write(piece)) source.pause();
      };
      const brokeOff = (why: string) => {
        if (!refused) finish(why);
        else if (refused.by === source) finish(refused.why);
      };
      const take = (piece: Buffer) => {
        if (!refused) swept.deadlineMs = sweep.nowMs + idleMs;
        pass(piece);
      };
      // Where a socket has written all of it already, the next read may go to the same place.
      const isHeld = sink instanceof Socket ? () => sink.writableLength > 0 : () => true;
      const isTapped = !inspect && tapReads(source, (piece) => {
        take(piece.length <= TAKEN_BYTES_MAX ? Buffer.from(piece) : piece);
        return isHeld();
      });
      if (!isTapped) source.on('data', take);
      sink.on('drain', () => {
        if (!refused) swept.deadlineMs = sweep.nowMs + idleMs;
        source.resume();
      });
      const onEnd = () => {
        if (refused) return;
        open -= 1;
        // The last direction ends by closing: what was written is with the kernel, and its FIN needs no call of its own.
        if (open === 0 && isPlain(sink) && sink.writableLength === 0 && source.writableFinished) return finish('ended');
        if (!sink.writableEnded && !sink.destroyed) sink.end();
        if (open === 0) whenWritten();
      };
      source.on('end', onEnd);
      source.on('error', (error: Error) => brokeOff(`${name}: ${error.message}`));
      source.on('close', () => {
        // A close without an end is a reset.
        if (!source.readableEnded) brokeOff(`${name} broke off`);
      });
      if (first !== undefined && first.length > 0) pass(first);
      // Ended before it was handed over: it says so only once.
      if (source.readableEnded) onEnd();
      else source.resume();
    };
    const whenWritten = () => {
      let left = 2;
      for (const side of [a, b]) {
        const done = () => {
          if (--left === 0) finish('ended');
        };
        if (side.writableFinished || side.destroyed) done();
        else {
          side.once('finish', done);
          side.once('close', () => finish('ended'));
        }
      }
    };
    sweep.add(swept);
    if (a.destroyed || b.destroyed) return finish('ended');
    join(a, b, options.leftoverA, onBytes && ((bytes) => onBytes(bytes, 0)), options.inspectA, 'client');
    join(b, a, options.leftoverB, onBytes && ((bytes) => onBytes(0, bytes)), options.inspectB, 'upstream');
  });
}
