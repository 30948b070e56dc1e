// What a flow drops, when, and that a neighbour's bytes do not wait for it: over sessions on a line that the test blocks.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { FlowEnd } from '#net/flow.ts';
import { bigBudget, buildEnd, testClock, until } from '../../test/sim/ends.ts';
import { buildLine, seeded } from '../../test/sim/line.ts';
import { buildBudget } from './budget.ts';
import type { Budget } from './budget.ts';
import type { MuxSession } from './session.ts';
import { buildDropNote, newFlowTally, StreamFlow } from './stream-flow.ts';
import type { StreamFlowOptions } from './stream-flow.ts';
import type { MuxStream } from './stream.ts';

/** Time stands still until it is moved; timers run on the real one. */
function handClock(): Clock & { now: number } {
  return {
    now: 1_000,
    nowMs: () => Date.now(),
    monoMs() {
      return this.now;
    },
    after: testClock.after,
    every: testClock.every,
  };
}

interface Ends {
  readonly near: StreamFlow;
  readonly stream: MuxStream;
  readonly far: MuxStream;
  /** Every stream that was opened towards the far end, the flow's first. */
  readonly arrived: readonly MuxStream[];
  readonly client: MuxSession;
  readonly line: Duplex;
  readonly farLine: Duplex;
  close(): Promise<void>;
}

async function openEnds(options: { clock?: Clock; budget?: Budget; line?: { delayMs: number; underWayBytesMax: number }; flow?: Partial<StreamFlowOptions> } = {}): Promise<Ends> {
  const [line, farLine] = buildLine({ delayMs: 0, pieceBytesMax: 9_000, underWayBytesMax: 100_000, random: seeded(3), ...options.line });
  const arrived: MuxStream[] = [];
  const server = buildEnd('server', farLine, { onStream: (stream) => void arrived.push(stream) });
  const client = buildEnd('client', line, options.budget === undefined ? {} : { budget: options.budget });
  const stream = client.open(Buffer.alloc(0));
  await until(() => arrived.length === 1, 'the stream');
  const near = new StreamFlow(stream, { clock: options.clock ?? testClock, limits, budget: options.budget ?? bigBudget(), ...options.flow });
  return {
    near, stream, client, line, farLine, arrived,
    far: arrived[0]!,
    async close() {
      client.close('done');
      server.close('done');
      await Promise.all([client.closed, server.closed]);
      line.destroy();
      farLine.destroy();
    },
  };
}

/** The records that arrive, as text; the flow at the far end, reading. */
function readFar(far: MuxStream): { flow: StreamFlow; got: string[] } {
  const got: string[] = [];
  const flow = new StreamFlow(far, { clock: testClock, limits, budget: bigBudget() });
  flow.onDatagram((datagram) => void got.push(datagram.toString()));
  return { flow, got };
}

/** Fills the window: the far end reads nothing of this stream. */
async function shut(stream: MuxStream, near: StreamFlow): Promise<number> {
  let fillers = 0;
  while (stream.sendWindowBytes >= 10_002) {
    near.send(Buffer.alloc(10_000));
    fillers += 1;
    await until(() => near.counts.sent === fillers, 'it has left');
  }
  return fillers;
}

describe('what a flow drops', () => {
  test('without window a datagram waits 500 ms and no longer; the young ones go when the window opens', async () => {
    const clock = handClock();
    const ends = await openEnds({ clock });
    const { near, stream } = ends;
    const fillers = await shut(stream, near);
    const room = stream.sendWindowBytes;
    const old = Buffer.alloc(room, 'o'); // with its length two bytes too long for what is left
    near.send(old);
    clock.now += 300;
    near.send(Buffer.from('young'));
    clock.now += 200; // 500 for the first, 200 for the second
    assert.equal(near.counts.dropped, 0, 'nobody has looked yet');
    const { got } = readFar(ends.far);
    await until(() => got.at(-1) === 'young', 'the young one');
    assert.equal(got.length, fillers + 1);
    assert.equal(near.counts.dropped, 1);
    await ends.close();
  });

  test('of more than the queue holds the oldest go, in datagrams and in bytes', async () => {
    const clock = handClock();
    const ends = await openEnds({ clock });
    const { near, stream } = ends;
    const fillers = await shut(stream, near);
    const long = stream.sendWindowBytes; // none of these fits
    for (let i = 0; i < limits.flowQueueDatagramsMax + 5; i++) near.send(Buffer.alloc(Math.min(900, long), 48 + (i % 10)));
    const held = near.heldBytes;
    assert.ok(held <= limits.flowQueueBytesMax);
    near.send(Buffer.alloc(60_000, 'x'));
    near.send(Buffer.alloc(60_000, 'y'));
    near.send(Buffer.alloc(60_000, 'z'));
    assert.ok(near.heldBytes <= limits.flowQueueBytesMax, `${near.heldBytes} bytes wait`);
    const { got } = readFar(ends.far);
    await until(() => got.at(-1)?.startsWith('z') === true, 'the youngest');
    const kept = got.slice(fillers).filter((each) => each.length === 60_000).map((each) => each[0]);
    assert.deepEqual(kept, ['y', 'z']);
    assert.equal(near.counts.sent + near.counts.dropped, fillers + limits.flowQueueDatagramsMax + 5 + 3);
    await ends.close();
  });

  test('what waits for its turn on a line that stands still is dropped as well, and the next goes', async () => {
    const clock = handClock();
    const ends = await openEnds({ clock, line: { delayMs: 0, underWayBytesMax: 1_000 } });
    const { near, client, farLine } = ends;
    const { got } = readFar(ends.far);
    near.send(Buffer.from('before'));
    await until(() => got.length === 1, 'the line moves');
    // Another stream's bytes fill the line, and nobody takes them off it.
    farLine.pause();
    const bulk = client.open(Buffer.alloc(0));
    bulk.write(Buffer.alloc(200_000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    near.send(Buffer.from('stale'));
    clock.now += 499;
    near.send(Buffer.from('fresh'));
    clock.now += 1;
    farLine.resume();
    await until(() => got.length === 2, 'what is young');
    assert.deepEqual(got, ['before', 'fresh']);
    assert.equal(near.counts.dropped, 1);
    await ends.close();
  });

  test('a long datagram that has begun is sent to its end, and the stream stays in step', async () => {
    const clock = handClock();
    const ends = await openEnds({ clock });
    const { got } = readFar(ends.far);
    const long = 'l'.repeat(65_000);
    ends.near.send(Buffer.from(long));
    await until(() => ends.near.counts.sent === 1, 'it has begun');
    clock.now += 10_000;
    ends.near.send(Buffer.from('after'));
    await until(() => got.length === 2, 'both');
    assert.deepEqual(got, [long, 'after']);
    await ends.close();
  });
});

describe('a flow among its neighbours', () => {
  test('a flood of datagrams on a slow line starves no byte stream, and holds no more than its queue', async () => {
    const budget = bigBudget();
    const ends = await openEnds({ budget, line: { delayMs: 2, underWayBytesMax: 60_000 } });
    const { near, client } = ends;
    const { got } = readFar(ends.far);
    const bulk = client.open(Buffer.alloc(0));
    const body = randomBytes(3_000_000);
    const hash = createHash('sha256');
    let isOver = false;
    const flood = setInterval(() => {
      for (let i = 0; i < 200; i++) near.send(Buffer.alloc(1_200, 'u'));
      assert.ok(near.heldBytes <= limits.flowQueueBytesMax);
    }, 1);
    bulk.end(body);
    await until(() => ends.arrived.length === 2, 'the byte stream at the far end');
    const arrivedFar = ends.arrived[1]!;
    arrivedFar.on('data', (chunk: Buffer) => hash.update(chunk));
    arrivedFar.on('end', () => (isOver = true));
    await until(() => isOver, 'the byte stream', 30_000);
    clearInterval(flood);
    assert.equal(hash.digest('hex'), createHash('sha256').update(body).digest('hex'));
    assert.ok(got.length > 0, 'datagrams went beside it');
    assert.ok(near.counts.dropped > 0, 'the line was too slow for all of them');
    await ends.close();
    await until(() => budget.heldBytes === 0, 'nothing is held');
  });
});

describe('how a flow ends', () => {
  test('the memory budget gives it up: what waits is let go, and both ends hear why', async () => {
    const clock = handClock();
    const budget = buildBudget(400_000, () => {});
    const ends = await openEnds({ clock, budget });
    await shut(ends.stream, ends.near);
    const heard: FlowEnd[] = [];
    ends.near.onClosed((end) => void heard.push(end));
    for (let i = 0; i < 100; i++) ends.near.send(Buffer.alloc(1_000, 'w'));
    assert.ok(budget.heldBytes >= 100_000, 'what waits is counted');
    ends.near.giveUp('the memory budget is used up');
    assert.match(heard[0]!.why, /budget/);
    assert.ok(isFault(heard[0]!.fault, 'closed'));
    const { flow } = readFar(ends.far);
    await until(() => flow.isClosed, 'the far end');
    await ends.close();
    await until(() => budget.heldBytes === 0, 'nothing is held');
  });

  test('what is kept of a datagram that has not come whole is counted, and let go at the end', async () => {
    const budget = bigBudget();
    for (const isClosedByUs of [true, false]) {
      const ends = await openEnds({ budget });
      ends.near.onDatagram(() => assert.fail('it never comes whole'));
      ends.far.write(Buffer.from([0xea, 0x60, 1, 2, 3]));
      await until(() => ends.near.heldBytes === 60_000, 'room for the rest');
      assert.ok(budget.heldBytes >= 60_000);
      if (isClosedByUs) ends.near.close('done');
      else ends.far.destroy();
      await until(() => ends.near.isClosed && budget.heldBytes === 0, 'nothing is held');
      await ends.close();
    }
  });

  test('a stream that breaks off within a datagram, and one that carries something else', async () => {
    for (const [bytes, code] of [[Buffer.from([0, 9, 1]), 'protocol'], [Buffer.from([0xff, 0xfe]), 'protocol'], [Buffer.from([0, 1, 1]), undefined]] as const) {
      const ends = await openEnds();
      ends.far.end(bytes);
      ends.near.onDatagram(() => {});
      const ended = await new Promise<FlowEnd>((resolve) => ends.near.onClosed(resolve));
      assert.equal(ended.fault?.code, code);
      await ends.close();
    }
  });

  test('a link that is cut ends it with the reason', async () => {
    const tally = newFlowTally();
    const ends = await openEnds({ flow: { tally } });
    assert.equal(tally.open, 1);
    const ended = new Promise<FlowEnd>((resolve) => ends.near.onClosed(resolve));
    ends.client.close('the device was locked');
    assert.match((await ended).why, /locked/);
    assert.equal(tally.open, 0);
    assert.equal(ends.near.send(Buffer.from('x')), false);
    assert.equal(tally.dropped, 1);
    await ends.close();
  });

  test('one end is closed and the other neither reads nor answers: the stream goes all the same', async () => {
    const ends = await openEnds({ flow: { limits: { ...limits, refusedStreamMs: 20 } } });
    await shut(ends.stream, ends.near);
    ends.near.send(Buffer.alloc(60_000));
    ends.near.close('done');
    await until(() => ends.stream.destroyed, 'it is torn down');
    assert.equal(ends.near.heldBytes, 0);
    await ends.close();
  });
});

test('drops are told at once, then together and seldom', () => {
  const clock = handClock();
  const told: number[] = [];
  const note = buildDropNote(clock, 60_000, (datagrams) => void told.push(datagrams));
  note.flush();
  note.add(1);
  for (let i = 0; i < 10; i++) note.add(2);
  assert.deepEqual(told, [1]);
  clock.now += 60_000;
  note.add(1);
  assert.deepEqual(told, [1, 21]);
  note.add(3);
  note.flush();
  assert.deepEqual(told, [1, 21, 3]);
});
