// A seeded simulation: two sessions over a line with delay and random cuts, streams that write, read slowly, half-close and
// reset at random, flows beside them, and a line that breaks. POSTERN_SIM_SEED repeats one run, POSTERN_SIM_RUNS makes it longer.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { buildBudget } from '#tunnel/budget.ts';
import type { Budget } from '#tunnel/budget.ts';
import type { MuxSession } from '#tunnel/session.ts';
import { StreamFlow } from '#tunnel/stream-flow.ts';
import type { MuxStream } from '#tunnel/stream.ts';
import { buildEnd, testClock, until } from './ends.ts';
import { buildLine, seeded } from './line.ts';


const firstSeed = Number(process.env['POSTERN_SIM_SEED'] ?? Date.now() % 1_000_000);
const runs = Number(process.env['POSTERN_SIM_RUNS'] ?? (process.env['POSTERN_SIM_SEED'] === undefined ? 12 : 1));

interface Direction {
  sent: number;
  readonly sentHash: Hash;
  got: number;
  readonly gotHash: Hash;
  sentEnd: boolean;
  gotEnd: boolean;
}

interface Story {
  readonly opener: MuxStream;
  readonly there: Direction;
  readonly back: Direction;
  wasReset: boolean;
}

const direction = (): Direction => ({ sent: 0, sentHash: createHash('sha1'), got: 0, gotHash: createHash('sha1'), sentEnd: false, gotEnd: false });

function write(stream: MuxStream, into: Direction, random: () => number, bytes: number): void {
  let left = bytes;
  const step = () => {
    while (left > 0) {
      if (stream.destroyed) return;
      const piece = Buffer.alloc(Math.min(left, 1 + Math.floor(random() ** 3 * 90_000)), Math.floor(random() * 256));
      left -= piece.length;
      into.sent += piece.length;
      into.sentHash.update(piece);
      if (!stream.write(piece)) {
        stream.once('drain', step);
        return;
      }
    }
    into.sentEnd = true;
    stream.end();
  };
  step();
}

function read(stream: MuxStream, from: Direction, random: () => number): void {
  const isSlow = random() < 0.3;
  stream.on('data', (chunk: Buffer) => {
    from.got += chunk.length;
    from.gotHash.update(chunk);
    if (isSlow && random() < 0.2) {
      stream.pause();
      setTimeout(() => stream.resume(), random() * 4);
    }
  });
  stream.on('end', () => (from.gotEnd = true));
}

interface FlowStory {
  readonly near: StreamFlow;
  far: StreamFlow | undefined;
  given: number;
  /** Numbers of the datagrams, as they came. */
  readonly got: number[];
  isOver: boolean;
}

/** A number and as many bytes that follow from it. */
function datagramOf(number: number, bytes: number): Buffer {
  const datagram = Buffer.alloc(8 + bytes, number % 251);
  datagram.writeUInt32BE(number, 0);
  datagram.writeUInt32BE(bytes, 4);
  return datagram;
}

function take(story: FlowStory, datagram: Buffer): void {
  const number = datagram.readUInt32BE(0);
  assert.ok(datagram.equals(datagramOf(number, datagram.readUInt32BE(4))), 'a datagram is whole');
  story.got.push(number);
}

const newFlow = (stream: MuxStream, budget: Budget) => new StreamFlow(stream, { clock: testClock, limits, budget });

function flood(story: FlowStory, random: () => number): void {
  const step = () => {
    for (let i = Math.floor(random() * 40); i > 0 && story.given < 600; i--) story.near.send(datagramOf(story.given++, Math.floor(random() ** 6 * 60_000)));
    if (story.given < 600 && !story.near.isClosed) setTimeout(step, random() * 3);
    else story.isOver = true;
  };
  step();
}

async function simulate(seed: number): Promise<void> {
  const random = seeded(seed);
  const line = { delayMs: Math.floor(random() * 4), pieceBytesMax: 1 + Math.floor(random() ** 2 * 60_000) + 200, underWayBytesMax: 20_000 + Math.floor(random() * 400_000), random };
  const [near, far] = buildLine(line);
  const budget = buildBudget(512 * 1024 * 1024, () => {});
  const stories = new Map<number, Story>();
  const breaksLine = random() < 0.3;
  const sides: MuxSession[] = [];
  const flows = new Map<number, FlowStory>();
  const onStream = (stream: MuxStream) => {
    const flow = flows.get(stream.id);
    if (flow !== undefined) {
      flow.far = newFlow(stream, budget);
      return flow.far.onDatagram((datagram) => take(flow, datagram));
    }
    const story = stories.get(stream.id)!;
    read(stream, story.there, random);
    write(stream, story.back, random, Math.floor(random() ** 3 * 600_000));
    if (random() < 0.1) {
      story.wasReset = true;
      setTimeout(() => stream.destroy(), random() * 10);
    }
    stream.on('error', (error) => assert.ok(isFault(error), String(error)));
  };
  sides.push(buildEnd('client', near, { budget, onStream, isSecure: random() < 0.5 }), buildEnd('server', far, { budget, onStream }));

  for (let i = Math.floor(random() * 3); i > 0; i--) {
    const stream = sides[Math.floor(random() * 2)]!.open(Buffer.alloc(0));
    const flow: FlowStory = { near: newFlow(stream, budget), far: undefined, given: 0, got: [], isOver: false };
    flows.set(stream.id, flow);
    flood(flow, random);
  }
  for (let i = 0; i < 20; i++) {
    const stream = sides[Math.floor(random() * 2)]!.open(Buffer.alloc(0));
    const story: Story = { opener: stream, there: direction(), back: direction(), wasReset: false };
    stories.set(stream.id, story);
    read(stream, story.back, random);
    write(stream, story.there, random, Math.floor(random() ** 3 * 600_000));
    if (random() < 0.1) {
      story.wasReset = true;
      setTimeout(() => stream.destroy(), random() * 10);
    }
    if (random() < 0.3) await new Promise((resolve) => setTimeout(resolve, random() * 3));
  }
  if (breaksLine) {
    await new Promise((resolve) => setTimeout(resolve, random() * 30));
    near.destroy();
    await Promise.all(sides.map((side) => side.closed));
    await until(() => [...stories.values()].every(({ opener }) => opener.destroyed), 'every stream is over');
    await until(() => [...flows.values()].every(({ near, isOver }) => near.isClosed && isOver), 'every flow is over');
  } else {
    await until(() => [...stories.values()].every(({ opener, wasReset, there, back }) => (wasReset ? opener.destroyed : there.gotEnd && back.gotEnd)), 'every stream is done', 20_000);
    for (const [id, { there, back, wasReset }] of stories) {
      if (wasReset) continue;
      for (const way of [there, back]) {
        assert.equal(way.got, way.sent, `stream ${id}`);
        assert.equal(way.gotHash.digest('hex'), way.sentHash.digest('hex'), `stream ${id}`);
      }
    }
    for (const flow of flows.values()) {
      await until(() => flow.isOver, 'every datagram was given');
      flow.near.close('done');
      await until(() => flow.far?.isClosed === true, 'the flow is over');
      assert.equal(flow.got.length, flow.near.counts.sent, 'what was sent has come');
      assert.equal(flow.near.counts.sent + flow.near.counts.dropped, flow.given);
      assert.deepEqual(flow.got, flow.got.toSorted((a, b) => a - b));
    }
    await until(() => sides.every((side) => side.streams === 0), 'no stream is left');
    assert.ok(sides.every((side) => side.isOpen));
    sides[0]!.close('done');
    await Promise.all(sides.map((side) => side.closed));
  }
  await until(() => budget.heldBytes === 0, `nothing is held, not ${budget.heldBytes} bytes`);
}

for (let run = 0; run < runs; run++) {
  const seed = firstSeed + run;
  test(`simulation, POSTERN_SIM_SEED=${seed}`, async () => await simulate(seed));
}
