// One sink at work: which epochs have something for it, several of them at a time, and pauses that grow while its target does not take.
import type { Clock, Timer } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Config, ConfigSink } from '#model/config.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import type { RecordParser } from '#model/parsers/fields.ts';
import { meansFeed } from '#model/retention.ts';
import { buildBatch, type SinkSource } from '#model/sink-batch.ts';
import { reachOf, type SinkPosition, type SinkState, type SinkStatus, type SinkWork } from '#model/sinks.ts';
import { TargetBusy, TargetGone, type SinkTarget } from './sink-target.ts';

export interface SinksDeps {
  readonly operations: Pick<Operations, 'sinkWork' | 'sinkBacklog' | 'moveSinkPosition' | 'replaySink' | 'readChunks' | 'findFeed' | 'noteNumbers' | 'readNumbers'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  readonly config: () => Pick<Config, 'sinks'>;
  readonly customerKey: (id: Id) => string;
  /** Opens what the sink writes to. Throws when it cannot as it is configured (a secret is missing); it is tried again. */
  readonly openTarget: (sink: ConfigSink) => Promise<SinkTarget>;
}

export interface SinkRunDeps extends SinksDeps {
  readonly sink: ConfigSink;
  readonly parser: RecordParser | null;
  /** Of the store's number that says that the target wanted no more. */
  readonly goneName: string;
}

export interface RunningSink {
  wake(epoch: number): void;
  /** Looks in the store for what it lacks. */
  sweep(): void;
  /** Its position was moved by somebody else. */
  forget(epoch: number): void;
  retry(): void;
  status(): Pick<SinkStatus, 'state' | 'lastError' | 'nextTryAt' | 'lastAt' | 'records' | 'batches' | 'unparsed' | 'doubles'>;
  close(): Promise<void>;
}

const sweepPage = 500;

export function runSink(deps: SinkRunDeps): RunningSink {
  const { operations, clock, random, log, journal, limits, sink } = deps;
  const ending = new AbortController();
  /** Epochs that have something, and from when on it is taken. */
  const waiting = new Map<number, number>();
  const busy = new Set<number>();
  const positions = new Map<number, SinkPosition>();
  const tasks = new Set<Promise<void>>();
  const counts = { records: 0, batches: 0, unparsed: 0, doubles: 0 };
  let target: SinkTarget | null = null;
  let opening: Promise<void> | null = null;
  let state: SinkState = 'running';
  let lastError: string | null = null;
  let nextTryAt: number | null = null;
  let lastAt: number | null = null;
  let failures = 0;
  let timer: Timer | null = null;
  let sweeping = false;

  const track = (task: Promise<void>) => {
    tasks.add(task);
    void task.finally(() => tasks.delete(task));
  };
  const later = (delayMs: number) => {
    timer?.cancel();
    timer = clock.after(Math.max(0, delayMs), () => {
      timer = null;
      nextTryAt = null;
      look();
    });
  };
  const failed = (thrown: unknown, isOpening = false) => {
    if (ending.signal.aborted) return;
    failures += 1;
    const why = reasonOf(thrown).slice(0, 500);
    if (why !== lastError || failures === 1) {
      log.warn('sink.failed', { sink: sink.name, why });
      journal.note('sink.failed', { sink: sink.name, kind: sink.kind, why });
    }
    lastError = why;
    if (thrown instanceof TargetGone) {
      state = 'refused';
      operations.noteNumbers({ [deps.goneName]: clock.nowMs() }).catch(() => {});
      return;
    }
    state = isOpening ? 'broken' : 'waiting';
    // Full jitter: many sinks of one target that came back must not come at the same moment.
    const most = Math.min(limits.sinkRetryMaxMs, limits.sinkRetryMinMs * 2 ** Math.min(failures - 1, 20));
    const pause = thrown instanceof TargetBusy ? Math.min(thrown.retryAfterMs, limits.sinkRetryMaxMs) : most / 2 + (most / 2) * (random(2).readUInt16BE() / 65_535);
    nextTryAt = clock.nowMs() + pause;
    later(pause);
  };
  const worked = () => {
    if (failures > 0) {
      log.info('sink.works', { sink: sink.name, after: failures });
      journal.note('sink.works', { sink: sink.name, kind: sink.kind, after: failures });
    }
    failures = 0;
    lastError = null;
    state = 'running';
    lastAt = clock.nowMs();
  };

  const openTarget = () =>
    (opening ??= (async () => {
      try {
        const gone = await operations.readNumbers([deps.goneName]);
        if ((gone[deps.goneName] ?? 0) > 0) {
          state = 'refused';
          lastError ??= 'the target wanted no more';
          return;
        }
        const opened = await deps.openTarget(sink);
        if (ending.signal.aborted) return await opened.close();
        target = opened;
        if (state === 'broken') worked();
        sweep();
      } catch (thrown) {
        failed(thrown, true);
      } finally {
        opening = null;
        look();
      }
    })());

  /** Starts what is due and may be started. */
  function look(): void {
    if (ending.signal.aborted || state === 'refused' || nextTryAt !== null || opening) return;
    if (!target) return track(openTarget());
    const now = clock.nowMs();
    let first = Infinity;
    // After a failure one probe alone, until it gets through.
    const atOnce = failures > 0 ? 1 : target.atOnce;
    for (const [epoch, dueAt] of waiting) {
      if (busy.has(epoch)) continue;
      if (busy.size >= atOnce) return;
      if (dueAt > now) {
        first = Math.min(first, dueAt);
        continue;
      }
      waiting.delete(epoch);
      busy.add(epoch);
      track(work(epoch, target));
    }
    if (first < Infinity) later(first - now);
  }

  async function work(epoch: number, to: SinkTarget): Promise<void> {
    try {
      if ((await deliver(epoch, to)) && !ending.signal.aborted) waiting.set(epoch, clock.nowMs());
    } catch (thrown) {
      positions.delete(epoch);
      // Behind the others: what hinders one epoch need not hinder them.
      waiting.set(epoch, clock.nowMs());
      failed(thrown);
    } finally {
      busy.delete(epoch);
      look();
    }
  }

  const positionOf = async ({ epoch, position }: SinkWork, source: SinkSource, to: SinkTarget): Promise<SinkPosition> => {
    const own = position ?? { off: epoch.first, run: 0, unframed: false, data: null };
    const theirs = to.positionOf ? await to.positionOf(source) : null;
    return theirs && theirs.run >= own.run ? theirs : own;
  };

  /** One batch; resolves whether there is more. */
  async function deliver(number: number, to: SinkTarget): Promise<boolean> {
    const found = await operations.sinkWork(sink.name, number);
    if (!found) return false;
    const { epoch, feed } = found;
    const source = { customer: deps.customerKey(feed.customerId), serial: feed.serial, feed: feed.name, epoch: epoch.epoch };
    if (!meansFeed(sink, { name: feed.name, serial: feed.serial, customerKey: source.customer })) return false;
    const known = positions.get(number) ?? (await positionOf(found, source, to));
    const isBehind = known.run < (found.position?.run ?? 0);
    const position = isBehind ? found.position! : known;
    if (position.off >= reachOf(epoch) && position.off >= epoch.first) {
      if (position.off > (found.position?.off ?? 0)) await operations.moveSinkPosition({ sink: sink.name, epoch: number, ...position, at: clock.nowMs() });
      return false;
    }
    const page = await operations.readChunks(number, position.off, limits.sinkReadBytes);
    const planned = to.isPlanned ? plannedEnd(position) : null;
    const batch = buildBatch(source, epoch, position, page, deps.parser, { itemsMax: to.itemsMax, bytesMax: to.bytesMax, to: planned });
    if (batch.to <= position.off) return false;
    const move = { sink: sink.name, epoch: number, run: position.run };
    if (to.isPlanned && planned === null && batch.items.length > 0) {
      const plan = { ...move, off: position.off, unframed: position.unframed, data: JSON.stringify({ to: batch.to }), at: clock.nowMs() };
      if (!(await operations.moveSinkPosition(plan))) return again(number);
    }
    const taken = batch.items.length > 0 ? await to.take(batch, position.data, ending.signal) : { data: to.isPlanned ? null : position.data, doubles: 0 };
    const next: SinkPosition = { off: batch.to, run: position.run, unframed: batch.unframed, data: taken.data };
    if (!(await operations.moveSinkPosition({ ...move, ...next, at: clock.nowMs() }))) return again(number);
    if (positions.size >= limits.sinkPositionsMax) positions.clear();
    positions.set(number, next);
    counts.batches += 1;
    counts.records += batch.items.reduce((sum, { kind }) => sum + (kind === 'gap' ? 0 : 1), 0);
    counts.unparsed += batch.items.reduce((sum, { kind, error }) => sum + (kind === 'record' && error !== null ? 1 : 0), 0);
    counts.doubles += taken.doubles;
    worked();
    return batch.more || batch.to < reachOf(epoch);
  }

  /** It was ordered to begin again meanwhile, or the epoch is gone. */
  function again(epoch: number): true {
    positions.delete(epoch);
    return true;
  }

  function sweep(): void {
    if (sweeping || ending.signal.aborted) return;
    sweeping = true;
    const go = async () => {
      let after = 0;
      for (;;) {
        const works = await operations.sinkBacklog(sink.name, after, sweepPage);
        for (const { epoch, feed } of works) {
          after = epoch.number;
          if (!meansFeed(sink, { name: feed.name, serial: feed.serial, customerKey: deps.customerKey(feed.customerId) })) continue;
          if (waiting.size < limits.sinkWaitingMax && !waiting.has(epoch.number)) waiting.set(epoch.number, clock.nowMs());
        }
        if (works.length < sweepPage || waiting.size >= limits.sinkWaitingMax || ending.signal.aborted) break;
      }
      await target?.tidy?.();
    };
    track(go().catch((thrown: unknown) => log.warn('sink.not-swept', { sink: sink.name, why: reasonOf(thrown) })).finally(() => {
      sweeping = false;
      look();
    }));
  }

  look();
  return {
    wake(epoch) {
      // More than that are found again by the sweep.
      if (!waiting.has(epoch) && waiting.size < limits.sinkWaitingMax) waiting.set(epoch, clock.nowMs() + (target?.gatherMs ?? 0));
      look();
    },
    sweep,
    forget: (epoch) => void positions.delete(epoch),
    retry() {
      failures = 0;
      nextTryAt = null;
      if (state === 'refused') [state, lastError] = ['running', null];
      look();
    },
    status: () => ({ state, lastError, nextTryAt, lastAt, ...counts }),
    async close() {
      ending.abort();
      timer?.cancel();
      await Promise.all(tasks);
      await target?.close();
    },
  };
}

function plannedEnd({ off, data }: SinkPosition): number | null {
  if (data === null) return null;
  const { to } = JSON.parse(data) as { to?: number };
  return typeof to === 'number' && to > off ? to : null;
}
