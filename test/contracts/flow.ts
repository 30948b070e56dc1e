// What every flow keeps to, whatever carries it: the contract of `Flow`.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { Fault } from '#base/fault.ts';
import type { Flow, FlowEnd } from '#net/flow.ts';
import { datagramBytesMax } from '#wire/datagrams.ts';
import { until } from '../sim/ends.ts';

export interface FlowPair {
  readonly near: Flow;
  readonly far: Flow;
  close(): Promise<void> | void;
}

export interface FlowKind {
  readonly name: string;
  /** Nothing was sent over it that its ends have not counted as received. */
  open(): Promise<FlowPair>;
  /** The other end hears of an end, and of a Fault. */
  readonly tellsEnd: boolean;
}

const numbered = (i: number) => Buffer.from(`datagram ${i}`);

function gather(flow: Flow): Buffer[] {
  const got: Buffer[] = [];
  flow.onDatagram((datagram) => void got.push(Buffer.from(datagram)));
  return got;
}

export function flowContract(kind: FlowKind): void {
  const withPair = async (run: (pair: FlowPair) => Promise<void>) => {
    const pair = await kind.open();
    try {
      await run(pair);
    } finally {
      pair.near.close('done');
      pair.far.close('done');
      await pair.close();
    }
  };

  describe(`flow contract: ${kind.name}`, () => {
    test('datagrams keep their boundaries, both ways, empty ones too', () =>
      withPair(async ({ near, far }) => {
        const [atNear, atFar] = [gather(near), gather(far)];
        const there = [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(1_400, 'b'), Buffer.from([0xff, 0xff]), Buffer.alloc(0)];
        for (const each of there) assert.equal(near.send(each), true);
        await until(() => atFar.length === there.length, 'all there');
        assert.deepEqual(atFar, there);
        far.send(Buffer.from('back'));
        far.send(Buffer.alloc(0));
        await until(() => atNear.length === 2, 'both back');
        assert.deepEqual(atNear, [Buffer.from('back'), Buffer.alloc(0)]);
      }));

    test('the longest datagram passes; a longer one is dropped and counted', () =>
      withPair(async ({ near, far }) => {
        const [atNear, atFar] = [gather(near), gather(far)];
        const longest = randomBytes(datagramBytesMax);
        assert.equal(near.send(longest), true);
        await until(() => atFar.length === 1, 'the longest, there');
        far.send(longest);
        await until(() => atNear.length === 1, 'the longest, back');
        assert.ok(atFar[0]!.equals(longest) && atNear[0]!.equals(longest));
        const before = near.counts.dropped;
        assert.equal(near.send(Buffer.alloc(datagramBytesMax + 1)), false);
        assert.equal(near.counts.dropped, before + 1);
      }));

    test('a flood: what arrives is whole and in order, what does not is counted, and the flow goes on', () =>
      withPair(async ({ near, far }) => {
        const got = gather(far);
        const before = { ...near.counts };
        const total = 5_000;
        for (let i = 0; i < total; i++) near.send(numbered(i));
        await until(() => near.counts.sent - before.sent + (near.counts.dropped - before.dropped) === total, 'each was sent or dropped');
        // As often as it takes: an earlier one may have been dropped on the way.
        await until(() => {
          near.send(Buffer.from('last'));
          return got.at(-1)?.toString() === 'last';
        }, 'the flow goes on');
        const order = got.map((each) => each.toString()).filter((text) => text !== 'last').map((text) => Number(/^datagram (\d+)$/.exec(text)?.[1]));
        assert.ok(order.length > 0);
        assert.deepEqual(order, order.toSorted((a, b) => a - b));
        assert.ok(order.every((each) => Number.isInteger(each)));
      }));

    test('counts: datagrams and bytes, of both ends', () =>
      withPair(async ({ near, far }) => {
        const [nearBefore, farBefore] = [{ ...near.counts }, { ...far.counts }];
        const got = gather(far);
        near.send(Buffer.alloc(100));
        near.send(Buffer.alloc(23));
        await until(() => got.length === 2, 'both');
        assert.equal(near.counts.sent - nearBefore.sent, 2);
        assert.equal(near.counts.sentBytes - nearBefore.sentBytes, 123);
        assert.equal(far.counts.received - farBefore.received, 2);
        assert.equal(far.counts.receivedBytes - farBefore.receivedBytes, 123);
        assert.equal(near.counts.dropped, nearBefore.dropped);
      }));

    test('it ends once; who asks late is told too, and what is sent then is dropped', () =>
      withPair(async ({ near }) => {
        const ends: FlowEnd[] = [];
        near.onClosed((end) => void ends.push(end));
        assert.equal(near.isClosed, false);
        near.close('enough');
        near.close(new Fault('closed', 'again'));
        assert.equal(near.isClosed, true);
        near.onClosed((end) => void ends.push(end));
        assert.deepEqual(ends.map(({ why, fault }) => [why, fault]), [['enough', undefined], ['enough', undefined]]);
        const before = near.counts.dropped;
        assert.equal(near.send(Buffer.from('late')), false);
        assert.equal(near.counts.dropped, before + 1);
      }));

    test('nothing is given after the end', () =>
      withPair(async ({ near, far }) => {
        const got = gather(far);
        let after = 0;
        far.onClosed(() => (after = got.length));
        for (let i = 0; i < 50; i++) near.send(numbered(i));
        far.close('enough');
        await new Promise((resolve) => setTimeout(resolve, 30));
        assert.equal(got.length, after);
      }));

    if (kind.tellsEnd) {
      test('the other end hears of the end, after what was sent before it', () =>
        withPair(async ({ near, far }) => {
          const got = gather(far);
          const ended = Promise.withResolvers<FlowEnd>();
          far.onClosed(ended.resolve);
          gather(near);
          for (let i = 0; i < 20; i++) near.send(numbered(i));
          near.close('done');
          assert.equal((await ended.promise).fault, undefined);
          assert.equal(got.length, 20);
        }));

      test('the other end hears why', () =>
        withPair(async ({ near, far }) => {
          gather(far);
          const ended = Promise.withResolvers<FlowEnd>();
          far.onClosed(ended.resolve);
          near.send(Buffer.from('x'));
          near.close(new Fault('unreachable', 'nobody listens on UDP port 161 of 192.0.2.1'));
          const { why, fault } = await ended.promise;
          assert.equal(why, 'nobody listens on UDP port 161 of 192.0.2.1');
          assert.equal(fault?.code, 'unreachable');
        }));
    }
  });
}
