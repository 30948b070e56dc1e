// Joins two byte streams: each direction ends on its own FIN, a break of either breaks both.
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export interface Relayed {
  /** From `a` to `b`. */
  readonly bytesForth: number;
  readonly bytesBack: number;
}

/** A TCP connection that is given up is reset, so that its peer does not take the cut for the end of the data. */
function breakOff(stream: Duplex): void {
  if (stream.destroyed) return;
  if (stream instanceof Socket && stream.constructor === Socket) stream.resetAndDestroy();
  else stream.destroy();
}

/** Resolves when both are closed. Never rejects: how a stream ended is the business of whoever watches it. */
export function relayStreams(a: Duplex, b: Duplex): Promise<Relayed> {
  let bytesForth = 0;
  let bytesBack = 0;
  const pump = (from: Duplex, to: Duplex, count: (bytes: number) => void) => {
    // Under TLS a stream's bytes come 16 KiB at a time, several in one turn: together they cost one system call.
    const gathers = to instanceof Socket;
    let isCorked = false;
    const uncork = () => {
      isCorked = false;
      to.uncork();
    };
    from.on('data', (chunk: Buffer) => {
      count(chunk.length);
      if (gathers && !isCorked) {
        isCorked = true;
        to.cork();
        setImmediate(uncork);
      }
      if (!to.destroyed && !to.write(chunk)) from.pause();
    });
    to.on('drain', () => from.resume());
    from.on('end', () => {
      if (!to.destroyed) to.end();
    });
    // A connection that was accepted paused stays so until told otherwise.
    from.resume();
  };
  return new Promise((resolve) => {
    let open = 2;
    const watch = (stream: Duplex, other: Duplex) => {
      const onClose = () => {
        // Closed without error after both FINs: the other one is ending by itself.
        if (!stream.readableEnded || !stream.writableFinished) breakOff(other);
        open -= 1;
        if (open === 0) resolve({ bytesForth, bytesBack });
      };
      stream.on('error', () => breakOff(other));
      if (stream.closed) onClose();
      else stream.on('close', onClose);
    };
    watch(a, b);
    watch(b, a);
    pump(a, b, (bytes) => (bytesForth += bytes));
    pump(b, a, (bytes) => (bytesBack += bytes));
  });
}
