// Where sources put records, as small as it can be: a list with the checkpoints in it, which can lose what was not flushed, as a buffer
// does when the power is cut. And what a source needs beside it, with a clock that runs faster.
import { randomBytes } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import { silentLog } from '#base/log.ts';
import { openIntake } from '#field/intake.ts';
import type { Checkpoint, RecordStore } from '#field/intake.ts';
import type { FeedSettings } from '#field/settings.ts';
import type { SourceDeps } from '#field/sources/source.ts';

interface Entry {
  readonly bytes: Buffer | null;
  readonly urgent: boolean;
  readonly checkpoint: Checkpoint | null;
}

export class ListStore implements RecordStore {
  #entries: Entry[] = [];
  #durable = 0;
  /** Flushes wait for it. */
  gate: Promise<void> = Promise.resolve();
  flushes = 0;
  isBroken = false;
  refusals = 0;

  append(record: Uint8Array, { urgent, checkpoint }: { readonly urgent: boolean; readonly checkpoint?: Checkpoint }): void {
    this.#entries.push({ bytes: Buffer.from(record), urgent, checkpoint: checkpoint ?? null });
  }
  appendBytes(bytes: Uint8Array, { checkpoint }: { readonly checkpoint?: Checkpoint } = {}): void {
    this.append(bytes, { urgent: false, ...(checkpoint === undefined ? {} : { checkpoint }) });
  }
  mark(checkpoint: Checkpoint): void {
    this.#entries.push({ bytes: null, urgent: false, checkpoint });
  }
  checkpoints(): ReadonlyMap<string, string> {
    const all = new Map<string, string>();
    for (const { checkpoint } of this.#entries) {
      if (checkpoint === null) continue;
      if (checkpoint.state === null) all.delete(checkpoint.source);
      else all.set(checkpoint.source, checkpoint.state);
    }
    return all;
  }
  async flush(): Promise<void> {
    const end = this.#entries.length;
    this.flushes += 1;
    if (this.isBroken) {
      this.refusals += 1;
      throw new Fault('busy', 'the disk takes nothing');
    }
    await this.gate;
    this.#durable = Math.max(this.#durable, end);
  }

  get records(): string[] {
    return this.#entries.flatMap(({ bytes }) => (bytes === null ? [] : [bytes.toString('latin1')]));
  }
  get urgent(): string[] {
    return this.#entries.flatMap(({ bytes, urgent }) => (bytes !== null && urgent ? [bytes.toString('latin1')] : []));
  }
  /** The power was cut: of what was not flushed, so many entries are there. */
  crash(keep: (unflushed: number) => number): void {
    this.#entries.length = this.#durable + keep(this.#entries.length - this.#durable);
    this.#durable = this.#entries.length;
  }
}

/** So many times faster than the one on the wall. */
export function fastClock(factor: number): Clock {
  return {
    nowMs: () => Date.now(),
    monoMs: () => performance.now() * factor,
    after(delayMs, run) {
      const timer = setTimeout(run, delayMs / factor);
      return { cancel: () => clearTimeout(timer) };
    },
    every(periodMs, run) {
      const timer = setInterval(run, periodMs / factor);
      return { cancel: () => clearInterval(timer) };
    },
  };
}

const plainFeed: Pick<FeedSettings, 'urgent' | 'split' | 'format' | 'destinations' | 'buffer'> = { urgent: [], split: [], format: 'stamped', destinations: ['home'], buffer: { bytesMax: 1 << 28, ageMaxMs: null, segmentBytes: 1 << 20, keptTailBytes: 0 } };

export function sourceDeps(stores: Readonly<Record<string, ListStore>>, { feed = {}, factor = 1 }: { readonly feed?: Partial<FeedSettings>; readonly factor?: number } = {}): SourceDeps {
  const clock = fastClock(factor);
  const settings: FeedSettings = { ...plainFeed, name: 'cdr', source: null, framing: { kind: 'lines', end: 'any', keepEmpty: false }, ...feed };
  const intake = openIntake(settings, { clock, log: silentLog, stamp: () => ({ atMs: clock.nowMs(), uptimeMs: 0, clockTrusted: true }), isUrgent: () => false, storeOf: (name) => stores[name]! });
  return { feed: settings.name, clock, log: silentLog, random: (bytes) => randomBytes(bytes), intake };
}

/** Fails after ten seconds, which is no measure of anything: it is what a test that hangs costs. */
export async function until(what: string, isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    if (tries > 2_000) throw new Error(`it never came to pass: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
