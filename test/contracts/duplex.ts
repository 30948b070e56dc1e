// What every byte stream of ours keeps to, whatever carries it: the contract of `Dial` and of a link's streams.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { until } from '../sim/ends.ts';


export interface DuplexPair {
  readonly near: Duplex;
  readonly far: Duplex;
  close(): Promise<void> | void;
}

export interface DuplexKind {
  readonly name: string;
  open(): Promise<DuplexPair>;
  /** The most that one end takes from a writer while the other end reads nothing. */
  readonly unreadBytesMax: number;
  /** Destroying one end is an error at the other, never an end of its data; TCP cannot always tell. */
  readonly brokenOnReset: boolean;
}

async function readAll(stream: Duplex): Promise<Buffer> {
  const parts: Buffer[] = [];
  stream.on('data', (part: Buffer) => parts.push(part));
  stream.resume();
  if (!stream.readableEnded) await once(stream, 'end');
  return Buffer.concat(parts);
}

const hashOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

export function duplexContract(kind: DuplexKind): void {
  const withPair = async (run: (pair: DuplexPair) => Promise<void>) => {
    const pair = await kind.open();
    for (const end of [pair.near, pair.far]) end.on('error', () => {});
    try {
      await run(pair);
    } finally {
      pair.near.destroy();
      pair.far.destroy();
      await pair.close();
    }
  };

  describe(`duplex contract: ${kind.name}`, () => {
    test('each direction ends by itself, the nearer first', () =>
      withPair(async ({ near, far }) => {
        near.end('question');
        assert.equal((await readAll(far)).toString(), 'question');
        assert.equal(far.writable, true);
        far.write('ans');
        await new Promise((resolve) => setTimeout(resolve, 10));
        far.end('wer');
        assert.equal((await readAll(near)).toString(), 'answer');
        await Promise.all([near, far].map((end) => (end.closed ? undefined : once(end, 'close'))));
      }));

    test('each direction ends by itself, the farther first', () =>
      withPair(async ({ near, far }) => {
        far.end('greeting');
        assert.equal((await readAll(near)).toString(), 'greeting');
        near.end('reply');
        assert.equal((await readAll(far)).toString(), 'reply');
      }));

    test('nothing but ends', () =>
      withPair(async ({ near, far }) => {
        near.end();
        far.end();
        assert.deepEqual(await Promise.all([readAll(near), readAll(far)]), [Buffer.alloc(0), Buffer.alloc(0)]);
      }));

    test('a big transfer both ways at once arrives as it was', () =>
      withPair(async ({ near, far }) => {
        const [there, back] = [randomBytes(5_000_000), randomBytes(3_000_000)];
        near.end(there);
        far.end(back);
        const [atFar, atNear] = await Promise.all([readAll(far), readAll(near)]);
        assert.equal(hashOf(atFar), hashOf(there));
        assert.equal(hashOf(atNear), hashOf(back));
      }));

    test('many small writes keep their order', () =>
      withPair(async ({ near, far }) => {
        let wanted = '';
        for (let i = 0; i < 5_000; i++) {
          near.write(`${i},`);
          wanted += `${i},`;
        }
        near.end();
        assert.equal((await readAll(far)).toString(), wanted);
      }));

    test('a reader that does not read stops the writer', () =>
      withPair(async ({ near, far }) => {
        far.pause();
        const piece = Buffer.alloc(64 * 1024, 'p');
        let written = 0;
        let rests = 0;
        while (rests < 15) {
          if (near.writableNeedDrain) {
            await new Promise((resolve) => setTimeout(resolve, 10));
            rests += 1;
            continue;
          }
          rests = 0;
          near.write(piece);
          written += piece.length;
          assert.ok(written < kind.unreadBytesMax, `${written} bytes taken that nobody reads`);
        }
        near.end();
        assert.equal((await readAll(far)).length, written);
      }));

    test('destroy on one side breaks the other', () =>
      withPair(async ({ near, far }) => {
        near.write('x');
        await once(far, 'data');
        // A TCP connection that is destroyed with nothing unread says FIN: then the other side has its own direction to end.
        far.on('end', () => far.end());
        const closed = new Promise((resolve) => void far.once('close', resolve));
        near.destroy();
        await closed;
        assert.equal(far.destroyed, true);
      }));

    test('destroy with an error tells the own side why, and calls every writer back', () =>
      withPair(async ({ near, far }) => {
        far.pause();
        const results: unknown[] = [];
        for (let i = 0; i < 400; i++) near.write(Buffer.alloc(64 * 1024), (error) => void results.push(error ?? null));
        const broken = once(near, 'error');
        near.destroy(new Error('on purpose'));
        const [error] = (await broken) as [Error];
        assert.equal(error.message, 'on purpose');
        await until(() => results.length === 400, 'all callbacks');
        assert.ok(results.some((result) => result !== null));
      }));

    if (kind.brokenOnReset) {
      test('what is cut in the middle is an error, not an end', () =>
        withPair(async ({ near, far }) => {
          far.resume();
          let ended = false;
          far.on('end', () => (ended = true));
          near.write(Buffer.alloc(100_000));
          const broken = once(far, 'error');
          setTimeout(() => near.destroy(), 5);
          await broken;
          assert.equal(ended, false);
        }));
    }
  });
}
