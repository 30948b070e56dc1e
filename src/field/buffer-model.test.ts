// A feed's buffer against a model, on a disk that loses power, lies, fills up and rots. What was flushed comes out again, once and
// unchanged, at every destination, or is reported as a gap; whatever happened, the buffer opens again and stores the next record.
// Each run follows from its seed, which is in its name: POSTERN_BUFFER_SEED=N repeats one, POSTERN_BUFFER_RUNS=N makes more.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import { silentLog } from '#base/log.ts';
import { SimulatedDisk, seeded } from '#kit/simulated-disk.ts';
import type { Roll } from '#kit/simulated-disk.ts';
import { openFeedBuffer } from './buffer.ts';
import type { FeedBuffer } from './feed-buffer.ts';

type Weather = 'cuts' | 'errors' | 'full' | 'rot' | 'bounds' | 'everything';
const weathers: readonly Weather[] = ['cuts', 'errors', 'full', 'rot', 'bounds', 'everything'];
/** Where nothing that was flushed may be missing, not even with a gap. */
const harmless: ReadonlySet<Weather> = new Set(['cuts', 'errors', 'full']);
const reasons: ReadonlySet<string> = new Set(['wrap', 'damaged', 'server-lost', 'full', 'failed', 'too-large']);

interface Truth {
  /** As the model counts: offset on the wire, and what earlier epochs had before this one. */
  readonly off: number;
  readonly end: number;
  /** Without the stamp where it was not known. */
  readonly bytes: Buffer;
  readonly isTrusted: boolean;
  isFlushed: boolean;
  /** Of a process that died before it was flushed: there or not. */
  isDoubtful: boolean;
}

interface Received {
  readonly shift: number;
  next: number;
  readonly runs: { readonly from: number; readonly bytes: Buffer }[];
  readonly gaps: { readonly from: number; readonly to: number; readonly reason: string }[];
}

const stampedBytes = 12;

class World {
  readonly roll: Roll;
  readonly disk: SimulatedDisk;
  readonly weather: Weather;
  readonly seed: number;
  readonly names: readonly string[];
  readonly format: string;
  readonly bytesMax: number;
  readonly segmentBytes: number;
  readonly keptTailBytes: number;
  readonly epochs = new Map<string, number>();
  readonly gateways = new Map<string, Map<string, Received>>();
  truth: Truth[] = [];
  buffer: FeedBuffer | null = null;
  /** What a restart that nobody saw the end of would have begun with. */
  expectedShift: number | null = null;
  timers: { run: () => void; isDone: boolean }[] = [];
  boot = 0;
  upMs = 0;
  clockKnown = false;
  made = 0;
  flushes = 0;

  constructor(seed: number, weather: Weather) {
    this.seed = seed;
    this.weather = weather;
    this.roll = seeded(seed);
    this.disk = new SimulatedDisk(seeded(seed ^ 0x5bd1e995));
    this.names = this.roll() < 0.5 ? ['home'] : ['home', 'spare'];
    this.format = this.roll() < 0.7 ? 'stamped' : 'lines';
    const isTight = weather === 'bounds' || (weather === 'everything' && this.roll() < 0.5);
    this.bytesMax = isTight ? 24_000 + this.below(60_000) : 64 * 1024 * 1024;
    this.segmentBytes = 4_000 + this.below(30_000);
    this.keptTailBytes = this.roll() < 0.5 ? 0 : this.below(20_000);
    for (const name of this.names) this.gateways.set(name, new Map());
  }

  below(count: number): number {
    return Math.floor(this.roll() * count);
  }

  clock: Clock = {
    nowMs: () => 1_800_000_000_000 + this.upMs,
    monoMs: () => this.upMs,
    after: (_, run) => {
      const timer = { run, isDone: false };
      this.timers.push(timer);
      return { cancel: () => (timer.isDone = true) };
    },
    every: () => ({ cancel() {} }),
  };

  get shift(): number {
    return this.epochs.get(this.buffer!.epoch)!;
  }

  get next(): number {
    return this.buffer!.next + this.shift;
  }

  setFaults(): void {
    const { faults } = this.disk;
    const rate = this.weather === 'errors' || this.weather === 'everything' ? (this.roll() < 0.5 ? 0.15 : 0) : 0;
    faults.write = faults.sync = faults.name = rate;
    faults.read = this.weather === 'rot' || this.weather === 'everything' ? (this.roll() < 0.3 ? 0.05 : 0) : 0;
    if (this.weather === 'full' || this.weather === 'everything') this.disk.capacity = this.roll() < 0.4 ? 20_000 + this.below(40_000) : Number.POSITIVE_INFINITY;
  }

  setNoFaults(): void {
    Object.assign(this.disk.faults, { write: 0, sync: 0, read: 0, name: 0 });
    this.disk.capacity = Number.POSITIVE_INFINITY;
    this.disk.dieAfter = Number.POSITIVE_INFINITY;
  }

  /** What a broken disk may answer; anything else is a failure of ours. A dead process answers nothing. */
  async allowed<Result>(work: Promise<Result>): Promise<Result | null> {
    try {
      const result = await work;
      return this.disk.isDead ? null : result;
    } catch (thrown) {
      if (thrown instanceof Fault && (thrown.code === 'busy' || this.disk.isDead)) return null;
      throw thrown;
    }
  }

  async open(): Promise<void> {
    for (let tries = 0; this.buffer === null; tries++) {
      assert.ok(tries < 200, 'the buffer never opens again');
      if (tries > 20) this.setNoFaults();
      const random = (bytes: number) => createHash('sha256').update(`${this.seed} ${this.made++}`).digest().subarray(0, bytes);
      const settings = { bytesMax: this.bytesMax, ageMaxMs: null, segmentBytes: this.segmentBytes, keptTailBytes: this.keptTailBytes };
      const options = { dir: '/feeds', feed: 'cdr', format: this.format, settings, destinations: this.names, bootId: `boot-${this.boot}`, uptimeMs: () => this.upMs, clock: this.clock, random, log: silentLog, disk: this.disk.mount() };
      this.timers = [];
      this.buffer = await this.allowed(openFeedBuffer(options));
      if (this.buffer === null && this.disk.isDead) this.die(true);
    }
    this.opened();
  }

  /** What was never flushed may be gone; what was may not. */
  opened(): void {
    const { epoch } = this.buffer!;
    if (!this.epochs.has(epoch)) {
      assert.ok(this.epochs.size === 0 || this.expectedShift !== null, 'an epoch of which nobody knows');
      this.epochs.set(epoch, this.expectedShift ?? 0);
    }
    this.expectedShift = null;
    const flushed = this.truth.findLast(({ isFlushed }) => isFlushed);
    assert.ok(flushed === undefined || flushed.end <= this.next, `flushed up to ${flushed?.end}, and it ends at ${this.next}`);
    this.truth = this.truth.filter(({ end }) => end <= this.next);
    // The source goes on behind the last record that is here: no later, which would lose one, and no earlier, which would double it.
    // (Where the end is a gap, or something rots, nobody here knows which record is the last.)
    const checkpoint = Number(this.buffer!.checkpoints().get('file') ?? 0);
    const here = this.truth.at(-1)?.end ?? 0;
    assert.ok(checkpoint <= this.next && (checkpoint >= here || here < this.next || !harmless.has(this.weather)), `the source stands at ${checkpoint}, the last record ends at ${here}, the buffer at ${this.next}`);
    for (const record of this.truth) record.isDoubtful = !record.isFlushed;
    for (const [name, epochs] of this.gateways) {
      const received = epochs.get(epoch);
      if (received) assert.ok(received.next <= this.next, `${name} has bytes up to ${received.next}, and the buffer ends at ${this.next}`);
    }
  }

  die(isCut: boolean): void {
    this.buffer = null;
    this.timers = [];
    if (isCut) {
      this.disk.cut();
      this.boot += 1;
      this.upMs = 0;
      this.clockKnown = false;
    } else this.disk.kill();
    if ((this.weather === 'rot' || this.weather === 'everything') && this.roll() < 0.5) {
      const files = this.disk.files().filter((path) => path.endsWith('.seg'));
      if (files.length > 0) this.disk.flip(files[this.below(files.length)]!);
    }
    this.setFaults();
  }

  append(): void {
    const buffer = this.buffer!;
    const size = this.roll() < 0.02 ? this.below(this.format === 'lines' ? 65_000 : 70_000) : this.below(700);
    const record = Buffer.alloc(size, `${this.made++} `);
    const off = this.next;
    const urgent = this.roll() < 0.1;
    this.upMs += this.below(1_000);
    const before = buffer.stats().lost;
    const checkpoint = { source: 'file', state: String(off + record.length + (this.format === 'lines' ? 1 : stampedBytes)) };
    if (this.format === 'lines') buffer.appendBytes(Buffer.concat([record, Buffer.from('\n')]), { urgent, checkpoint });
    else buffer.append(record, { checkpoint, atMs: 1_800_000_000_000 + this.upMs, uptimeMs: this.upMs, clockTrusted: this.clockKnown, urgent });
    const end = this.next;
    if (buffer.stats().lost > before) return;
    const head = Buffer.alloc(this.format === 'lines' ? 0 : stampedBytes);
    if (this.format === 'stamped') {
      head.writeUInt32BE(8 + record.length, 0);
      head.writeBigInt64BE(BigInt(1_800_000_000_000 + this.upMs), 4);
    }
    const bytes = Buffer.concat([head, record, Buffer.from(this.format === 'lines' ? '\n' : '')]);
    assert.equal(end - off, bytes.length);
    this.truth.push({ off, end, bytes, isTrusted: this.clockKnown || this.format === 'lines', isFlushed: false, isDoubtful: false });
  }

  async flush(): Promise<void> {
    const to = this.next;
    const done = await this.allowed(this.buffer!.flush().then(() => true));
    if (done !== true) return;
    this.flushes += 1;
    for (const record of this.truth) if (record.end <= to && !record.isDoubtful) record.isFlushed = true;
  }

  received(name: string): Received {
    const { epoch } = this.buffer!;
    const epochs = this.gateways.get(name)!;
    let received = epochs.get(epoch);
    if (!received) {
      received = { shift: this.shift, next: this.shift, runs: [], gaps: [] };
      epochs.set(epoch, received);
    }
    return received;
  }

  /** One batch, as delivery does it: where the gateway stands counts, not what we remember. */
  async deliver(name: string, max: number): Promise<boolean> {
    const buffer = this.buffer!;
    const gateway = this.received(name);
    const start = buffer.startOf(name) + this.shift;
    if (gateway.next < start) {
      gateway.gaps.push({ from: gateway.next, to: start, reason: 'moved' });
      gateway.next = start;
    }
    const found = await this.allowed(buffer.read(gateway.next - this.shift, max));
    if (found === null) return false;
    if (found.gap) {
      assert.equal(found.gap.from, gateway.next - this.shift);
      assert.ok(found.gap.to > found.gap.from && reasons.has(found.gap.reason), JSON.stringify(found.gap));
      gateway.gaps.push({ from: found.gap.from + this.shift, to: found.gap.to + this.shift, reason: found.gap.reason });
      gateway.next = found.gap.to + this.shift;
    } else {
      assert.ok(found.bytes.length <= max);
      if (found.bytes.length > 0) gateway.runs.push({ from: gateway.next, bytes: Buffer.from(found.bytes) });
      gateway.next += found.bytes.length;
      // The answer may be lost.
      if (this.roll() < 0.2) return found.bytes.length > 0;
    }
    await this.allowed(buffer.setPosition(name, gateway.next - this.shift));
    return found.gap !== null || found.bytes.length > 0;
  }

  /** Bytes that were handed out stay the same, also where they are asked for again. */
  async readAgain(): Promise<void> {
    const buffer = this.buffer!;
    const gateway = this.received(this.names[this.below(this.names.length)]!);
    const run = gateway.runs[this.below(gateway.runs.length)];
    if (!run) return;
    const skip = this.below(run.bytes.length);
    const found = await this.allowed(buffer.read(run.from + skip - this.shift, 1 + this.below(3_000)));
    if (found === null || found.gap) {
      if (found?.gap && found.gap.reason === 'damaged') assert.ok(!harmless.has(this.weather), 'damaged without damage');
      return;
    }
    const both = Math.min(found.bytes.length, run.bytes.length - skip);
    assert.deepEqual(found.bytes.subarray(0, both), run.bytes.subarray(skip, skip + both), `bytes at ${run.from + skip} changed`);
  }

  async restart(): Promise<void> {
    const buffer = this.buffer!;
    const { shift } = this;
    for (const name of this.names) {
      const done = await this.allowed(buffer.setPosition(name, this.received(name).next - shift).then(() => true));
      if (done !== true) return;
    }
    const begins = this.names.map((name) => {
      const next = Math.max(this.received(name).next, buffer.startOf(name) + shift);
      // In a gap, or at a boundary: there. Else at the record's begin.
      return { next, begin: this.truth.find(({ off, end }) => off < next && next < end)?.off ?? next };
    });
    const known = Math.min(...begins.map(({ begin }) => begin));
    const oldNext = this.next;
    this.expectedShift = known;
    const done = await this.allowed(buffer.restart('test').then(() => true));
    if (done !== true) {
      // Nothing is delivered before the buffer knows which of the two it is.
      this.disk.isDead = true;
      return;
    }
    this.expectedShift = null;
    const begin = oldNext - buffer.next;
    assert.ok(begins.some(({ next, begin: at }) => begin === next || begin === at), `the new epoch begins at ${begin}`);
    this.epochs.set(buffer.epoch, begin);
  }

  async step(): Promise<void> {
    const at = this.roll();
    if (at < 0.45) for (let count = this.below(12); count >= 0; count--) this.append();
    else if (at < 0.6) await this.flush();
    else if (at < 0.8) await this.deliver(this.names[this.below(this.names.length)]!, 1 + this.below(9_000));
    else if (at < 0.86) await this.readAgain();
    else if (at < 0.9) for (const timer of this.timers.splice(0)) if (!timer.isDone) timer.run();
    if (at >= 0.9 && at < 0.92 && !this.clockKnown) {
      this.clockKnown = true;
      await this.allowed(this.buffer!.setClock(1_800_000_000_000 + this.upMs, this.upMs));
    } else if (at >= 0.92 && at < 0.935) await this.restart();
    else if (at >= 0.935 && at < 0.95) this.die(false);
    else if (at >= 0.95 && at < 0.97) this.die(true);
    else if (at >= 0.97 && at < 0.99) this.disk.dieAfter = 1 + this.below(25);
    else if (at >= 0.99) this.setFaults();
    if (this.disk.isDead) this.die(this.roll() < 0.7);
    if (this.buffer === null) await this.open();
  }

  async finish(): Promise<void> {
    this.setNoFaults();
    if (this.disk.isDead || this.roll() < 0.5) this.die(this.roll() < 0.5);
    this.setNoFaults();
    if (this.buffer === null) await this.open();
    const before = this.truth.length;
    // Some are too long.
    while (this.truth.length === before) this.append();
    await this.flush();
    assert.ok(this.truth.at(-1)!.isFlushed, 'a fresh record is not stored');
    for (const name of this.names) {
      for (let batches = 0; await this.deliver(name, 20_000); batches++) assert.ok(batches < 5_000, 'delivery never ends');
      assert.equal(this.received(name).next, this.next, `${name} has not all`);
      this.check(name);
    }
    await this.buffer!.close();
  }

  check(name: string): void {
    const epochs = [...this.gateways.get(name)!.values()];
    for (const record of this.truth) {
      let times = 0;
      let isGap = false;
      for (const { runs, gaps } of epochs) {
        if (covers(runs, record)) times += 1;
        isGap ||= gaps.some(({ from, to, reason }) => reason !== 'moved' && from < record.end && to > record.off);
      }
      assert.ok(times <= 1, `${name} has the record at ${record.off} ${times} times`);
      assert.ok(times === 1 || isGap || !record.isFlushed, `${name} lacks the record at ${record.off}`);
      if (harmless.has(this.weather) && record.isFlushed) assert.equal(times, 1, `${name} lacks the record at ${record.off}, which was flushed: ${JSON.stringify(epochs.map(({ gaps }) => gaps))}`);
    }
    for (const { runs } of epochs) for (const run of runs) this.compare(name, run);
  }

  /** Every byte that came is one that was appended there. */
  compare(name: string, run: { readonly from: number; readonly bytes: Buffer }): void {
    let covered = 0;
    for (const { off, end, bytes, isTrusted } of this.truth) {
      const from = Math.max(off, run.from);
      const to = Math.min(end, run.from + run.bytes.length);
      if (from >= to) continue;
      covered += to - from;
      const got = Buffer.from(run.bytes.subarray(from - run.from, to - run.from));
      const want = Buffer.from(bytes.subarray(from - off, to - off));
      if (!isTrusted) for (let at = Math.max(from, off + 4); at < Math.min(to, off + stampedBytes); at++) got[at - from] = want[at - from]!;
      assert.deepEqual(got, want, `${name} got other bytes at ${from}`);
    }
    assert.equal(covered, run.bytes.length, `${name} got bytes at ${run.from} that nobody appended`);
  }
}

function covers(runs: readonly { readonly from: number; readonly bytes: Buffer }[], { off, end }: Truth): boolean {
  let at = off;
  for (const run of runs) if (run.from <= at && run.from + run.bytes.length > at) at = run.from + run.bytes.length;
  return at >= end;
}

async function live(seed: number, weather: Weather): Promise<World> {
  const world = new World(seed, weather);
  await world.open();
  for (let steps = 40 + world.below(80); steps > 0; steps--) await world.step();
  await world.finish();
  return world;
}

const first = Number(process.env['POSTERN_BUFFER_SEED'] ?? 1);
const runs = Number(process.env['POSTERN_BUFFER_RUNS'] ?? (process.env['POSTERN_BUFFER_SEED'] === undefined ? 25 : 1));
for (const weather of weathers) {
  test(`a buffer in bad weather: ${weather}, seeds ${first} to ${first + runs - 1}`, async () => {
    let flushes = 0;
    let records = 0;
    for (let seed = first; seed < first + runs; seed++) {
      try {
        const world = await live(seed, weather);
        flushes += world.flushes;
        records += world.truth.filter(({ isFlushed }) => isFlushed).length;
      } catch (thrown) {
        throw new Error(`seed ${seed}, weather ${weather}: ${thrown instanceof Error ? thrown.message : String(thrown)}`, { cause: thrown });
      }
    }
    // That something was tested at all.
    assert.ok(flushes >= runs * 2 && records >= runs * 20, `${flushes} flushes, ${records} records`);
  });
}
