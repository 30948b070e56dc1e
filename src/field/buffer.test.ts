// What a feed's buffer promises, one by one. All of it at once, at random and on a failing disk: buffer-model.test.ts.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { isFault } from '#base/fault.ts';
import { silentLog } from '#base/log.ts';
import { SimulatedDisk, seeded } from '#kit/simulated-disk.ts';
import { encodeStamped } from '#wire/records.ts';
import { listFeeds } from './buffer-open.ts';
import { openFeedBuffer } from './buffer.ts';
import type { AppendOptions, FeedBuffer } from './feed-buffer.ts';
import type { BufferSettings } from './settings.ts';

const startMs = 1_800_000_000_000;
const roomy: BufferSettings = { bytesMax: 64 * 1024 * 1024, ageMaxMs: null, segmentBytes: 16 * 1024, keptTailBytes: 0 };

/** A device: its disk, its clock, and what it was told. Without more ado nothing fails and no timer runs. */
class Device {
  readonly disk = new SimulatedDisk(seeded(1));
  format = 'stamped';
  settings = roomy;
  destinations: string[] = ['home'];
  boot = 1;
  upMs = 0;
  made = 0;
  timers: (() => void)[] = [];
  minute: (() => void)[] = [];
  readonly clock: Clock = {
    nowMs: () => 0,
    monoMs: () => 0,
    after: (_, run) => {
      this.timers.push(run);
      return { cancel: () => void this.timers.splice(0, this.timers.length, ...this.timers.filter((other) => other !== run)) };
    },
    every: (_, run) => {
      this.minute.push(run);
      return { cancel() {} };
    },
  };

  open(): Promise<FeedBuffer> {
    this.timers = [];
    this.minute = [];
    const random = (bytes: number) => createHash('sha256').update(`${this.made++}`).digest().subarray(0, bytes);
    const { format, settings, destinations, boot, clock, disk } = this;
    return openFeedBuffer({ dir: '/feeds', feed: 'cdr', format, settings, destinations, bootId: `boot ${boot}`, uptimeMs: () => this.upMs, clock, random, log: silentLog, disk: disk.mount() });
  }

  /** The power goes, and comes back. */
  cut(): Promise<FeedBuffer> {
    this.disk.cut();
    this.boot += 1;
    this.upMs = 0;
    return this.open();
  }
}

const at = (atMs: number): AppendOptions => ({ atMs, uptimeMs: 0, clockTrusted: true, urgent: false });
const up = (uptimeMs: number): AppendOptions => ({ atMs: 17, uptimeMs, clockTrusted: false, urgent: false });
const record = (size: number, mark: string) => Buffer.alloc(size, `${mark} `);

/** All that is there, with gaps as [from, to, reason]. */
async function all(buffer: FeedBuffer, from = 0): Promise<(Buffer | [number, number, string])[]> {
  const found: (Buffer | [number, number, string])[] = [];
  for (let offset = from; ; ) {
    const { bytes, gap } = await buffer.read(offset, 1024 * 1024);
    if (gap) {
      assert.equal(gap.from, offset);
      found.push([gap.from, gap.to, gap.reason]);
      offset = gap.to;
    } else if (bytes.length === 0) return found;
    else {
      const last = found.at(-1);
      if (Buffer.isBuffer(last)) found[found.length - 1] = Buffer.concat([last, bytes]);
      else found.push(bytes);
      offset += bytes.length;
    }
  }
}

const refusedAs = (code: Parameters<typeof isFault>[1]) => (thrown: unknown) => isFault(thrown, code);
const settled = async () => {
  for (let turns = 0; turns < 500; turns++) await Promise.resolve();
};

test('records come out as stamped bytes, in order, from any offset and in any portion', async () => {
  const device = new Device();
  const buffer = await device.open();
  const want: Buffer[] = [];
  for (let count = 0; count < 300; count++) {
    const bytes = record(count * 3, `${count}`);
    want.push(encodeStamped(bytes, startMs + count));
    buffer.append(bytes, at(startMs + count));
  }
  const whole = Buffer.concat(want);
  assert.equal(buffer.next, whole.length);
  await buffer.flush();
  assert.deepEqual(await all(buffer), [whole]);
  for (const offset of [0, 1, 11, 12, 4_095, 16_400, 99_999, whole.length - 1]) {
    for (const max of [1, 100, 5_000]) assert.deepEqual((await buffer.read(offset, max)).bytes, whole.subarray(offset, offset + max).subarray(0, (await buffer.read(offset, max)).bytes?.length));
  }
  await assert.rejects(buffer.read(whole.length + 1, 10), refusedAs('bad-input'));
  await buffer.close();
  assert.deepEqual(await all(await device.open()), [whole]);
});

test('read gives out nothing that a power cut could take back', async () => {
  const device = new Device();
  const buffer = await device.open();
  buffer.append(record(50, 'a'), at(startMs));
  // Not flushed by anybody else: reading does it.
  const { bytes } = await buffer.read(0, 1_000);
  assert.deepEqual(await all(await device.cut()), [bytes]);
});

test('an urgent record is on the disk before any timer runs; others wait for theirs', async () => {
  const device = new Device();
  const buffer = await device.open();
  const told: boolean[] = [];
  buffer.onAppended((urgent) => told.push(urgent));
  buffer.append(record(50, 'a'), at(startMs));
  await settled();
  assert.deepEqual([told, device.timers.length], [[], 1]);
  device.timers[0]!();
  await settled();
  assert.deepEqual(told, [false]);
  buffer.append(record(50, 'b'), { ...at(startMs), urgent: true });
  await settled();
  assert.deepEqual(told, [false, true]);
  assert.equal((await device.cut()).next, 2 * 62);
});

test('positions are durable and each its own; a byte goes when all have it, but for the tail that is kept', async () => {
  const device = new Device();
  device.destinations = ['home', 'spare'];
  device.settings = { ...roomy, keptTailBytes: 30_000 };
  let buffer = await device.open();
  for (let count = 0; count < 200; count++) buffer.append(record(988, `${count}`), at(startMs));
  await buffer.flush();
  await all(buffer);
  await buffer.setPosition('home', 150_000);
  await settled();
  assert.equal(buffer.first, 0);
  await buffer.setPosition('spare', 100_500);
  await settled();
  assert.ok(buffer.first > 50_000 && buffer.first <= 70_500, `first is ${buffer.first}`);
  assert.ok(buffer.stats().bytes < 160_000);
  assert.deepEqual(buffer.stats().pending, { home: 50_000, spare: 99_500 });
  const { first } = buffer;
  buffer = await device.cut();
  assert.deepEqual([buffer.position('home'), buffer.position('spare'), buffer.first, buffer.next], [150_000, 100_500, first, 200_000]);
  // A gateway that was restored asks for what it had confirmed.
  assert.deepEqual((await all(buffer, 1_000))[0], [1_000, first, 'server-lost']);
  await buffer.setPosition('home', first);
  assert.equal(buffer.position('home'), first);
  assert.throws(() => buffer.position('other'), refusedAs('not-found'));
  await assert.rejects(buffer.setPosition('home', -1), refusedAs('bad-input'));
});

test('the oldest whole segments go when there are too many bytes: each destination that lacks them is told so, after a restart too', async () => {
  const device = new Device();
  device.destinations = ['home', 'spare'];
  device.settings = { ...roomy, bytesMax: 100_000 };
  let buffer = await device.open();
  for (let count = 0; count < 500; count++) {
    buffer.append(record(988, `${count}`), at(startMs + count));
    if (count % 10 === 0) await buffer.flush();
    if (count === 50) {
      await all(buffer);
      await buffer.setPosition('home', 40_000);
    }
  }
  await buffer.flush();
  assert.ok(buffer.stats().bytes <= 100_000, `${buffer.stats().bytes} bytes`);
  const { first } = buffer;
  assert.ok(first >= 400_000 && first % 1_000 === 0, 'whole records go');
  assert.equal(buffer.stats().lost, first);
  buffer = await device.cut();
  assert.deepEqual((await all(buffer, buffer.position('home')))[0], [40_000, first, 'wrap']);
  assert.deepEqual((await all(buffer, buffer.position('spare')))[0], [0, first, 'wrap']);
  assert.equal(buffer.stats().lost, first);
});

test('what is too old goes, by the time that is known; without one nothing is old', async () => {
  const device = new Device();
  device.settings = { ...roomy, ageMaxMs: 3_600_000 };
  const buffer = await device.open();
  for (let count = 0; count < 40; count++) buffer.append(record(988, `${count}`), up(device.upMs));
  await buffer.flush();
  device.upMs += 10 * 3_600_000;
  device.minute[0]!();
  await settled();
  assert.equal(buffer.first, 0, 'nobody knows the time');
  await buffer.setClock(startMs + device.upMs, device.upMs);
  for (let count = 0; count < 40; count++) buffer.append(record(988, `${count}`), at(startMs));
  await buffer.flush();
  device.minute[0]!();
  await settled();
  assert.equal(buffer.first, 0, 'the newest is new');
  device.upMs += 2 * 3_600_000;
  device.minute[0]!();
  await settled();
  assert.deepEqual([buffer.first, buffer.next], [80_000, 80_000]);
  assert.deepEqual(await all(buffer), [[0, 80_000, 'wrap']]);
});

test('records from before the time was known get their stamps when it is, also those of an earlier process', async () => {
  const device = new Device();
  let buffer = await device.open();
  buffer.append(Buffer.from('one'), up(5_000));
  await buffer.flush();
  device.disk.kill();
  buffer = await device.open();
  buffer.append(Buffer.from('two'), up(9_000));
  await buffer.setClock(startMs + 60_000, 60_000);
  buffer.append(Buffer.from('three'), up(70_000));
  const want = [Buffer.concat([encodeStamped(Buffer.from('one'), startMs + 5_000), encodeStamped(Buffer.from('two'), startMs + 9_000), encodeStamped(Buffer.from('three'), startMs + 70_000)])];
  assert.deepEqual(await all(buffer), want);
  // A better time later changes nothing that was given out, and neither does the next boot.
  await buffer.setClock(startMs + 99_000, 80_000);
  assert.deepEqual(await all(buffer), want);
  assert.deepEqual(await all(await device.cut()), want);
});

test('what was given out before the time was known keeps its mark; what was not is right', async () => {
  const device = new Device();
  let buffer = await device.open();
  buffer.append(Buffer.from('one'), up(5_000));
  assert.deepEqual(await all(buffer), [encodeStamped(Buffer.from('one'), -5_001)]);
  buffer.append(Buffer.from('two'), up(6_000));
  await buffer.flush();
  await buffer.setClock(startMs + 60_000, 60_000);
  const want = [Buffer.concat([encodeStamped(Buffer.from('one'), -5_001), encodeStamped(Buffer.from('two'), startMs + 6_000)])];
  assert.deepEqual(await all(buffer), want);
  device.disk.kill();
  buffer = await device.open();
  await buffer.setClock(startMs + 61_000, 60_000);
  assert.deepEqual(await all(buffer), want);
});

test('records of a boot that ended without the time say so, for ever', async () => {
  const device = new Device();
  let buffer = await device.open();
  buffer.append(Buffer.from('one'), up(5_000));
  await buffer.flush();
  buffer = await device.cut();
  buffer.append(Buffer.from('two'), up(1_000));
  await buffer.setClock(startMs + 2_000, 2_000);
  assert.deepEqual(await all(buffer), [Buffer.concat([encodeStamped(Buffer.from('one'), -5_001), encodeStamped(Buffer.from('two'), startMs + 1_000)])]);
});

test('a disk without room: records are counted and become a gap, what came before and after is there', async () => {
  const device = new Device();
  device.settings = { ...roomy, segmentBytes: 8 * 1024 * 1024 };
  let buffer = await device.open();
  buffer.append(record(100, 'before'), at(startMs));
  await buffer.flush();
  device.disk.capacity = 30_000;
  for (let count = 0; count < 400; count++) buffer.append(record(60_000, `${count}`), at(startMs));
  await assert.rejects(buffer.flush(), refusedAs('busy'));
  const { lost } = buffer.stats();
  assert.ok(lost >= 60_012 * 100, `${lost} bytes lost`);
  // What is there can be delivered, and the position moves: only so is room ever made.
  assert.equal((await buffer.read(0, 1_000)).bytes?.length, 112);
  await buffer.setPosition('home', 112);
  device.disk.capacity = Number.POSITIVE_INFINITY;
  device.timers[0]!();
  await buffer.flush();
  buffer.append(record(100, 'after'), at(startMs));
  await buffer.flush();
  buffer = await device.cut();
  const [first, gap, last] = await all(buffer, buffer.position('home'));
  assert.ok(Buffer.isBuffer(first) && Array.isArray(gap) && Buffer.isBuffer(last));
  assert.deepEqual([gap[1] - gap[0], gap[2]], [lost, 'full']);
  assert.deepEqual(last, encodeStamped(record(100, 'after'), startMs));
  assert.equal(buffer.stats().lost, lost);
});

test('a position moves even when the disk has no byte left', async () => {
  const device = new Device();
  let buffer = await device.open();
  buffer.append(record(100, 'a'), at(startMs));
  await all(buffer);
  await buffer.setPosition('home', 1);
  device.disk.capacity = device.disk.files().reduce((sum, path) => sum + device.disk.get(path)!.length, 0);
  await buffer.setPosition('home', 112);
  buffer = await device.cut();
  assert.equal(buffer.position('home'), 112);
});

test('after an fsync that failed, the next one is not believed for the same bytes', async () => {
  const device = new Device();
  let buffer = await device.open();
  for (let round = 0; round < 5; round++) {
    buffer.append(record(100, `${round}`), at(startMs + round));
    device.disk.faults.sync = 1;
    await assert.rejects(buffer.flush(), refusedAs('busy'));
    device.disk.faults.sync = 0;
    await buffer.flush();
  }
  buffer = await device.cut();
  assert.deepEqual(await all(buffer), [Buffer.concat([0, 1, 2, 3, 4].map((round) => encodeStamped(record(100, `${round}`), startMs + round)))]);
});

test('damage in the middle costs what it hit, is told to everybody, and stops nothing', async () => {
  const device = new Device();
  device.destinations = ['home', 'spare'];
  let buffer = await device.open();
  for (let count = 0; count < 100; count++) buffer.append(record(988, `${count}`), at(startMs));
  await buffer.close();
  const path = device.disk.files().find((name) => name.endsWith('.seg'))!;
  const bytes = Buffer.from(device.disk.get(path)!);
  bytes[6_000]! ^= 4;
  device.disk.put(path, bytes);
  buffer = await device.open();
  const found = await all(buffer);
  assert.deepEqual(found.map((part) => (Buffer.isBuffer(part) ? part.length : part)), [4_000, [4_000, 8_000, 'damaged'], 92_000]);
  assert.deepEqual(await all(buffer), found);
  await buffer.setPosition('home', 100_000);
  buffer.append(record(100, 'fresh'), at(startMs));
  assert.equal((await all(buffer, 100_000)).length, 1);
});

test('any one file may be gone, empty or full of noise: the buffer opens, and a fresh record passes', async () => {
  const template = async () => {
    const device = new Device();
    const buffer = await device.open();
    for (let count = 0; count < 60; count++) {
      buffer.append(record(988, `${count}`), at(startMs));
      if (count % 7 === 0) await buffer.flush();
    }
    await all(buffer);
    await buffer.setPosition('home', 20_000);
    await settled();
    await buffer.close();
    return { device, epoch: buffer.epoch };
  };
  const files = (await template()).device.disk.files().length;
  assert.ok(files > 4, `${files} files`);
  const noise = createHash('shake256', { outputLength: 9_000 }).update('noise').digest();
  for (let which = 0; which < files; which++) {
    for (const content of [null, Buffer.alloc(0), Buffer.alloc(5_000), noise]) {
      const { device, epoch } = await template();
      const path = device.disk.files()[which]!;
      if (content) device.disk.put(path, content);
      else device.disk.drop(path);
      const buffer = await device.open();
      assert.equal(buffer.epoch, epoch, `${path} is no reason for a new epoch`);
      assert.ok(buffer.next >= 60_000 || path.endsWith('/state'), `${path}: ends at ${buffer.next}`);
      const { next } = buffer;
      buffer.append(record(100, 'fresh'), at(startMs));
      await buffer.flush();
      assert.deepEqual((await all(buffer, next)).at(-1), encodeStamped(record(100, 'fresh'), startMs));
      for (const part of await all(buffer, buffer.first)) assert.ok(Buffer.isBuffer(part) || part[2] === 'damaged');
      await buffer.close();
    }
  }
});

test('strange files are left alone, leftovers of ours are not', async () => {
  const device = new Device();
  await (await device.open()).close();
  const strange = ['/feeds/cdr/notes.txt', '/feeds/cdr/0000.seg', '/feeds/cdr/lost+found'];
  for (const path of [...strange, '/feeds/cdr/state.tmp']) device.disk.put(path, Buffer.from('x'));
  const buffer = await device.open();
  for (const path of strange) assert.equal(device.disk.get(path)?.toString(), 'x');
  assert.ok(device.disk.get('/feeds/cdr/state.tmp')?.toString() !== 'x');
  await buffer.close();
});

test('a record over 64 KiB is a gap, not an error', async () => {
  const buffer = await new Device().open();
  buffer.append(Buffer.alloc(65_536), at(startMs));
  buffer.append(Buffer.alloc(65_537), at(startMs));
  buffer.append(Buffer.from('next'), at(startMs));
  const [first, gap, last] = await all(buffer);
  assert.equal(Buffer.isBuffer(first) && first.length, 65_548);
  assert.deepEqual(gap, [65_548, 65_548 + 65_549, 'too-large']);
  assert.deepEqual(last, encodeStamped(Buffer.from('next'), startMs));
  assert.equal(buffer.stats().lost, 65_549);
});

test('bytes of other formats go through as they are', async () => {
  const device = new Device();
  device.format = 'raw';
  const buffer = await device.open();
  const bytes = createHash('shake256', { outputLength: 200_000 }).update('raw').digest();
  for (let from = 0; from < bytes.length; from += 70_000) buffer.appendBytes(bytes.subarray(from, from + 70_000));
  assert.deepEqual(await all(buffer), [bytes]);
  assert.throws(() => buffer.append(bytes, at(startMs)), refusedAs('unsupported'));
});

test('another format waits until nothing of the old one is left, and then has an epoch of its own', async () => {
  const device = new Device();
  let buffer = await device.open();
  const { epoch } = buffer;
  buffer.append(Buffer.from('one'), at(startMs));
  await buffer.close();
  device.format = 'lines';
  buffer = await device.open();
  assert.deepEqual([buffer.format, buffer.epoch], ['stamped', epoch]);
  await buffer.setPosition('home', buffer.next);
  await buffer.close();
  buffer = await device.open();
  assert.deepEqual([buffer.format, buffer.next, buffer.position('home')], ['lines', 0, 0]);
  assert.notEqual(buffer.epoch, epoch);
  buffer.appendBytes(Buffer.from('line\n'));
  assert.deepEqual(await all(buffer), [Buffer.from('line\n')]);
});

test('a new epoch begins with what the slowest lacks, at a record\'s begin; others are not given theirs again', async () => {
  const device = new Device();
  device.destinations = ['home', 'spare'];
  let buffer = await device.open();
  for (let count = 0; count < 100; count++) buffer.append(record(88, `${count}`), at(startMs + count));
  await all(buffer);
  await buffer.setPosition('home', 5_050);
  await buffer.setPosition('spare', 3_099);
  const before = (await all(buffer))[0] as Buffer;
  const { epoch } = buffer;
  await buffer.restart('conflict');
  const look = () => [buffer.next, buffer.first, buffer.position('home'), buffer.startOf('home'), buffer.position('spare'), buffer.startOf('spare')];
  assert.notEqual(buffer.epoch, epoch);
  assert.deepEqual(look(), [7_000, 0, 2_000, 2_000, 0, 0]);
  assert.deepEqual(await all(buffer), [before.subarray(3_000)]);
  buffer.append(Buffer.from('x'), at(startMs));
  await buffer.flush();
  const now = buffer.epoch;
  buffer = await device.cut();
  assert.deepEqual([buffer.epoch, ...look()], [now, 7_013, 0, 2_000, 2_000, 0, 0]);
  assert.deepEqual(buffer.stats().pending, { home: 5_013, spare: 7_013 });
});

test('what is confirmed while a new epoch is being made is not carried into it', async () => {
  const device = new Device();
  const buffer = await device.open();
  for (let count = 0; count < 10; count++) buffer.append(record(88, `${count}`), at(startMs));
  await all(buffer);
  const confirming = buffer.setPosition('home', 700);
  await Promise.all([confirming, buffer.restart('test')]);
  assert.deepEqual([buffer.next, buffer.position('home')], [300, 0]);
});

test('a position never passes what was given out', async () => {
  const device = new Device();
  const buffer = await device.open();
  for (let count = 0; count < 10; count++) buffer.append(record(88, `${count}`), at(startMs));
  await buffer.read(0, 250);
  await buffer.setPosition('home', 600);
  assert.equal(buffer.position('home'), 250);
});

test('a destination that comes later begins with what is kept, one that goes keeps nothing', async () => {
  const device = new Device();
  let buffer = await device.open();
  for (let count = 0; count < 60; count++) buffer.append(record(988, `${count}`), at(startMs));
  await all(buffer);
  await buffer.setPosition('home', 50_000);
  await settled();
  await buffer.close();
  device.destinations = ['other'];
  buffer = await device.open();
  assert.ok(buffer.first > 0);
  assert.deepEqual([buffer.position('other'), buffer.startOf('other')], [buffer.first, buffer.first]);
  assert.throws(() => buffer.position('home'), refusedAs('not-found'));
});

test('feeds are listed from what was last noted', async () => {
  const device = new Device();
  const buffer = await device.open();
  buffer.append(record(88, 'a'), at(startMs));
  await all(buffer);
  await buffer.setPosition('home', 50);
  assert.deepEqual(await listFeeds('/feeds', device.disk.mount()), [{ feed: 'cdr', epoch: buffer.epoch, format: 'stamped', next: 100, first: 0, positions: { home: 50 }, lost: 0 }]);
  assert.deepEqual(await listFeeds('/nothing', device.disk.mount()), []);
});

/** Some days' work, of which each step is told before and after; the power goes after so many steps of the disk. */
async function workedUntil(steps: number): Promise<{ readonly device: Device; readonly flushed: Buffer; readonly positions: readonly number[]; readonly epochs: readonly string[]; readonly isThrough: boolean }> {
  const device = new Device();
  device.settings = { ...roomy, segmentBytes: 5_000, bytesMax: 40_000 };
  device.disk.dieAfter = steps;
  const flushed: Buffer[] = [];
  const epochs: string[] = [];
  let positions = [0];
  try {
    const buffer = await device.open();
    epochs.push(buffer.epoch);
    for (let count = 0; count < 6; count++) {
      const mine = [0, 1, 2].map((more) => record(1_000, `${count} ${more}`));
      for (const bytes of mine) buffer.append(bytes, at(startMs + count));
      await buffer.flush();
      flushed.push(...mine.map((bytes) => encodeStamped(bytes, startMs + count)));
      const confirmed = positions.at(-1)!;
      const { bytes } = await buffer.read(confirmed, 2_000);
      positions = [confirmed, confirmed + bytes!.length];
      await buffer.setPosition('home', positions[1]!);
      positions = [positions[1]!];
      await settled();
    }
    await buffer.restart('test');
    epochs.push(buffer.epoch);
  } catch (thrown) {
    assert.ok(device.disk.isDead, String(thrown));
  }
  return { device, flushed: Buffer.concat(flushed), positions, epochs, isThrough: !device.disk.isDead };
}

test('the power goes at every single step of a day: what was confirmed is there, and nothing twice', async () => {
  for (let steps = 1; ; steps++) {
    const { device, flushed, positions, epochs, isThrough } = await workedUntil(steps);
    const buffer = await device.cut();
    // The new epoch begins with what is left, at a record's begin; there is no third way.
    const position = buffer.position('home');
    const begin = Math.floor(positions[0]! / 1_012) * 1_012;
    const isNew = epochs.length > 0 && buffer.epoch !== epochs[0];
    if (isThrough) assert.equal(buffer.epoch, epochs[1]);
    assert.ok(isNew ? position === 0 : positions.includes(position), `step ${steps}: ${position}, not ${positions.join(' or ')}`);
    const want = flushed.subarray(isNew ? begin : position);
    const [rest] = await all(buffer, position);
    assert.ok(want.length === 0 || (Buffer.isBuffer(rest) && rest.subarray(0, want.length).equals(want)), `step ${steps}`);
    if (isThrough) return;
  }
});
