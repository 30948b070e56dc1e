// Two byte streams joined: each direction ends on its own FIN, a slow side stops the other, nothing is kept.
import type { Duplex } from 'node:stream';
import type { Sweep, Swept } from './sweep.ts';

export interface RelayOptions {
  readonly sweep: Sweep;
  readonly idleMs: number;
  /** Called as bytes pass, from `a` to `b` and back. */
  readonly onBytes?: (fromA: number, fromB: number) => void;
  /** Bytes of `a` and of `b` that were read before. */
  readonly leftoverA?: Buffer;
  readonly leftoverB?: Buffer;
}

/** Relays until both directions have ended or either side fails; resolves with why it ended. Both are closed then. */
export function relay(a: Duplex, b: Duplex, options: RelayOptions): Promise<{ why: string }> {
  const { sweep, idleMs, onBytes } = options;
  return new Promise((resolve) => {
    let open = 2;
    let settled = false;
    const swept: Swept = { deadlineMs: sweep.nowMs + idleMs, onDeadline: () => finish(`idle for ${Math.round(idleMs / 1000)} s`) };
    const finish = (why: string) => {
      if (settled) return;
      settled = true;
      sweep.remove(swept);
      a.destroy();
      b.destroy();
      resolve({ why });
    };
    const join = (source: Duplex, sink: Duplex, first: Buffer | undefined, count: ((bytes: number) => void) | undefined, name: string) => {
      source.on('data', (piece: Buffer) => {
        swept.deadlineMs = sweep.nowMs + idleMs;
        count?.(piece.length);
        if (!sink.write(piece)) source.pause();
      });
      sink.on('drain', () => {
        swept.deadlineMs = sweep.nowMs + idleMs;
        source.resume();
      });
      const onEnd = () => {
        if (!sink.writableEnded && !sink.destroyed) sink.end();
        if (--open === 0) whenWritten();
      };
      source.on('end', onEnd);
      source.on('error', (error: Error) => finish(`${name}: ${error.message}`));
      source.on('close', () => {
        // A close without an end is a reset.
        if (!source.readableEnded) finish(`${name} broke off`);
      });
      if (first !== undefined && first.length > 0) {
        count?.(first.length);
        sink.write(first);
      }
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
    join(a, b, options.leftoverA, onBytes && ((bytes) => onBytes(bytes, 0)), 'client');
    join(b, a, options.leftoverB, onBytes && ((bytes) => onBytes(0, bytes)), 'upstream');
  });
}
