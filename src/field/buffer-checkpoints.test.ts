// A source that reads on behind its checkpoint has each record in the buffer once, however often the power goes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { SimulatedDisk, seeded } from '#kit/simulated-disk.ts';
import { CheckpointLog, checkpointsName, openCheckpointLog, parseCheckpoints } from './buffer-checkpoints.ts';
import { openFeedBuffer } from './buffer.ts';
import type { FeedBuffer } from './feed-buffer.ts';

const clock: Clock = { nowMs: () => 0, monoMs: () => 0, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
let made = 0;
const open = (disk: SimulatedDisk, boot: number) =>
  openFeedBuffer({
    dir: '/feeds',
    feed: 'cdr',
    format: 'stamped',
    settings: { bytesMax: 64 * 1024 * 1024, ageMaxMs: null, segmentBytes: 16 * 1024, keptTailBytes: 0 },
    destinations: ['home'],
    bootId: `boot ${boot}`,
    uptimeMs: () => 0,
    clock,
    random: (bytes) => createHash('sha256').update(`${made++}`).digest().subarray(0, bytes),
    log: silentLog,
    disk: disk.mount(),
  });

const append = (buffer: FeedBuffer, text: string, state: string | null, source = 'file') => buffer.append(Buffer.from(text), { atMs: 1, uptimeMs: 0, clockTrusted: true, urgent: false, checkpoint: { source, state } });

async function numbersIn(buffer: FeedBuffer): Promise<{ readonly numbers: number[]; readonly gaps: number }> {
  const numbers: number[] = [];
  let gaps = 0;
  let held = Buffer.alloc(0);
  for (let at = 0; at < buffer.next; ) {
    const { bytes, gap } = await buffer.read(at, 1024 * 1024);
    if (gap) {
      gaps += 1;
      at = gap.to;
      held = Buffer.alloc(0);
      continue;
    }
    at += bytes.length;
    held = Buffer.concat([held, bytes]);
    while (held.length >= 4 && held.length >= 4 + held.readUInt32BE()) {
      const end = 4 + held.readUInt32BE();
      numbers.push(Number.parseInt(held.toString('latin1', 12, end), 10));
      held = held.subarray(end);
    }
  }
  return { numbers, gaps };
}

test('the newest of each source, forgotten ones left out; a new epoch and a restart keep them', async () => {
  const disk = new SimulatedDisk(seeded(1));
  let buffer = await open(disk, 1);
  append(buffer, '1', 'a');
  append(buffer, '2', 'b');
  append(buffer, '3', 'x', 'other');
  buffer.mark({ source: 'third', state: 'y' });
  buffer.mark({ source: 'other', state: null });
  assert.deepEqual([...buffer.checkpoints()], [['file', 'b'], ['third', 'y']]);
  await buffer.restart('test');
  await buffer.close();
  buffer = await open(disk, 1);
  assert.deepEqual([...buffer.checkpoints()].sort(), [['file', 'b'], ['third', 'y']]);
  buffer.mark({ source: 'file', state: null });
  await buffer.flush();
  disk.cut();
  buffer = await open(disk, 2);
  assert.deepEqual([...buffer.checkpoints()], [['third', 'y']]);
});

for (let seed = 1; seed <= 60; seed++) {
  test(`power cuts${seed % 3 === 0 ? ', failing writes and fsyncs' : ''}, seed ${seed}: what the checkpoint says is there, and no more`, async () => {
    const roll = seeded(seed);
    const below = (count: number) => Math.floor(roll() * count);
    const disk = new SimulatedDisk(seeded(seed + 1_000));
    let boot = 1;
    let buffer = await open(disk, boot);
    let next = 0;
    for (let step = 0; step < 120; step++) {
      const kind = below(12);
      try {
        if (kind < 7) {
          for (let count = below(40); count >= 0; count--) append(buffer, `${next} ${'.'.repeat(below(300))}`, String(++next));
        } else if (kind < 10) await buffer.flush();
        else if (kind === 10 && seed % 3 === 0) {
          disk.faults.write = disk.faults.sync = 0.3;
          await buffer.flush().finally(() => (disk.faults.write = disk.faults.sync = 0));
        } else if (kind === 11) {
          const flushed = below(2) === 0 ? buffer.flush().catch(() => {}) : null;
          if (below(2) === 0) disk.dieAfter = below(6);
          await flushed;
          disk.cut();
          disk.dieAfter = Number.POSITIVE_INFINITY;
          buffer = await open(disk, ++boot);
          next = Number(buffer.checkpoints().get('file') ?? 0);
        }
      } catch {
        // A disk that fails is tried again by the next flush.
      }
    }
    await buffer.flush();
    const { numbers, gaps } = await numbersIn(buffer);
    assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
    assert.equal(new Set(numbers).size, numbers.length, 'nothing is there twice');
    if (gaps === 0) assert.equal(numbers.length, next, 'nothing is missing');
    assert.ok(numbers.length <= next);
  });
}

test('the log at every truncation, and with every byte flipped: never throws, never says what was not written', async () => {
  const disk = new SimulatedDisk(seeded(3));
  const log = new CheckpointLog(disk.mount(), '/feeds', { file: null, bytes: 0, entries: [] });
  const states = ['one', 'zwei', 'три', '4'];
  for (const [index, state] of states.entries()) {
    log.add((index + 1) * 10, { source: 'file', state });
    await log.write([(index + 1) * 10]);
    log.settle((index + 1) * 10);
  }
  const bytes = disk.get(`/feeds/${checkpointsName}`)!;
  assert.equal(parseCheckpoints(bytes, 40).entries.length, 4);
  assert.deepEqual(parseCheckpoints(bytes, 25).entries.map(({ state }) => state), ['one', 'zwei']);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const { entries, length } = parseCheckpoints(bytes.subarray(0, cut), 40);
    assert.deepEqual(entries.map(({ state }) => state), states.slice(0, entries.length));
    assert.ok(length <= cut);
  }
  for (let at = 0; at < bytes.length; at++) {
    const other = Buffer.from(bytes);
    other[at]! ^= 1 << (at % 8);
    const { entries } = parseCheckpoints(other, 40);
    assert.deepEqual(entries.map(({ state }) => state), states.slice(0, entries.length), `byte ${at}`);
    assert.ok(entries.length < 4);
  }
});

test('a log that grew is written anew, with what is ahead of the durable bytes', async () => {
  const disk = new SimulatedDisk(seeded(4));
  const log = new CheckpointLog(disk.mount(), '/feeds', { file: null, bytes: 0, entries: [] });
  for (let offset = 1; offset <= 5_000; offset++) {
    log.add(offset, { source: `file ${offset % 3}`, state: `${offset} ${'.'.repeat(100)}` });
    if (offset % 10 === 0) await log.write([offset]);
    if (offset % 10 === 0 && offset < 4_980) log.settle(offset);
  }
  assert.ok(disk.get(`/feeds/${checkpointsName}`)!.length < 300 * 1024);
  await log.close();
  const back = await openCheckpointLog(disk.mount(), '/feeds', 4_975);
  assert.deepEqual([...back.newest().values()].map((state) => Number.parseInt(state, 10)).sort(), [4_968, 4_969, 4_970]);
  await back.close();
});
