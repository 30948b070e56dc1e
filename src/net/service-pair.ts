// How a request of ours reaches a service of ours: node:http gets one end of an in-process pair, the proxy uses the other like
// a pooled upstream. Who asks travels beside the bytes as a value, so that no header can claim it.
import { duplexPair, type Duplex } from 'node:stream';
import { limits } from '#base/limits.ts';
import type { Conn } from './conn.ts';

/** What a service may know of the connection behind a request. */
export interface Asker {
  readonly from: string;
  readonly secure: boolean;
  readonly loopback: boolean;
  readonly listener: string;
  readonly connId: string;
  readonly requestId: string;
  readonly conn: Conn;
}

interface Pair {
  asker: Asker | undefined;
}
const pairs = new WeakMap<Duplex, Pair>();

/** A new pair: `near` is the proxy's, `far` goes to `server.emit('connection', far)`. */
export function openServicePair(): { near: Duplex; far: Duplex } {
  const [near, far] = duplexPair({ readableHighWaterMark: limits.writeHighWaterBytes, writableHighWaterMark: limits.writeHighWaterBytes, allowHalfOpen: true });
  const pair: Pair = { asker: undefined };
  pairs.set(near, pair);
  pairs.set(far, pair);
  return { near, far };
}

/** Set before each request is written: one pair carries one exchange at a time. */
export function setAsker(near: Duplex, asker: Asker): void {
  const pair = pairs.get(near);
  if (pair) pair.asker = asker;
}

/** Who asks, from a request's socket; undefined when the socket is not an end of a pair. */
export function askerOf(far: object): Asker | undefined {
  return pairs.get(far as Duplex)?.asker;
}
