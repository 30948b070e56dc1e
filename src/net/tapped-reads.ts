// Reads without a stream in between: the bytes of an outgoing TCP connection are handed to a function as they come, in a buffer that all such
// connections share. Node's stream makes an ArrayBuffer, a Buffer, an event and a tick of each read, which costs a proxied exchange about
// a tenth of its CPU (docs/benchmarks.md). A connection that nobody taps is an ordinary Duplex.
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import type { Duplex } from 'node:stream';

/** Up to here a taker must be done with the bytes when it returns; more than this is the taker's to keep. */
export const TAKEN_BYTES_MAX = 8 * 1024;

const READ_BYTES = 64 * 1024;
/** A connection that fills reads like this gets buffers of its own, so that nothing is copied. */
const BULK_BYTES = 32 * 1024;

/** False: nothing refers to the bytes any more, so that the next read may go to the same place. Anything else: they are the taker's. */
export type Take = (bytes: Buffer) => boolean | void;

interface Tap {
  take: Take | null;
}
const taps = new WeakMap<Duplex, Tap>();
// Filled and emptied within one call of libuv's, never between two: sharing it is safe whoever reads.
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** A connecting socket whose reads may be tapped. */
export function connectTapped(place: TcpNetConnectOpts): Socket {
  const tap: Tap = { take: null };
  let buffer = shared;
  const socket: Socket = connect({
    ...place,
    onread: {
      buffer: () => buffer,
      callback: (bytes, from): boolean => {
        const read = Buffer.from(from.buffer, from.byteOffset, bytes);
        // Who takes may leave the tap while it does, and has taken these bytes all the same.
        const { take } = tap;
        if (take !== null && bytes <= TAKEN_BYTES_MAX) {
          buffer = shared;
          take(read);
          return true;
        }
        const kept = from === shared ? Buffer.from(read) : read;
        const isFree = take !== null && take(kept) === false;
        // A buffer that is filled again while its pages are in the cache costs half of what a new one does.
        if (isFree) buffer = from === shared ? Buffer.allocUnsafeSlow(READ_BYTES) : buffer;
        else buffer = bytes >= BULK_BYTES ? Buffer.allocUnsafeSlow(READ_BYTES) : shared;
        return take !== null || socket.push(kept);
      },
    },
  });
  taps.set(socket, tap);
  return socket;
}

/** From now on `take` gets the bytes instead of `data` events. False: this stream cannot be tapped. `end` is emitted as ever. */
export function tapReads(stream: Duplex, take: Take): boolean {
  const tap = taps.get(stream);
  if (tap === undefined || stream.readableLength > 0) return false;
  tap.take = take;
  return true;
}

/** An ordinary stream again. */
export function untapReads(stream: Duplex): void {
  const tap = taps.get(stream);
  if (tap !== undefined) tap.take = null;
}
