// What is still kept of things that were handed over: a bound on bytes says nothing about pieces that keep whole blocks alive.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
/** Now, all of it. */
export const collect = runInNewContext('gc') as () => void;

/** Hands `count` buffers of one byte each, each with a block of its own, to `take`; answers how many of the blocks are still reachable afterwards. */
export async function keptOf(count: number, take: (piece: Buffer) => unknown): Promise<number> {
  const handed: WeakRef<ArrayBufferLike>[] = [];
  for (let i = 0; i < count; i++) {
    const piece = Buffer.alloc(1);
    handed.push(new WeakRef(piece.buffer));
    take(piece);
  }
  // A WeakRef holds what it refers to until the turn is over.
  await new Promise((done) => setImmediate(done));
  collect();
  return handed.filter((each) => each.deref() !== undefined).length;
}
