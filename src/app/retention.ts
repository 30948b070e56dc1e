// Retention: what is past it goes, kind by kind and in small steps, so that nothing waits long for a commit. Every few minutes, when
// somebody asks, and at once when the disk is low.
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Config } from '#model/config.ts';
import { keptKinds, type KeepBounds, type KeepingOperations, type KeptEpochOfFeed, type KeptKind } from '#model/keeping.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import { boundsOf, boundsOfFeed, bytesKept, clockJumpMs, meansFeed, tooManyBelow } from '#model/retention.ts';
import type { Actor } from '#model/rows.ts';

export interface RetentionOptions {
  readonly operations: KeepingOperations & Pick<Operations, 'addAudit' | 'dropSamples'>;
  readonly config: () => Pick<Config, 'retention' | 'feeds' | 'sinks'>;
  readonly customerKey: (id: Id) => string;
  readonly customerId: Id;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'> & { trim(linesMax: number, before: number): number };
  readonly limits: Limits;
  /** A backup is being made: files that its copy of the store names must not go meanwhile. */
  readonly isHeld: () => boolean;
  /** Files of devices, their bytes too; resolves how many went. */
  readonly dropFiles: ((bounds: { readonly before: number; readonly bytesMax: number | null }) => Promise<number>) | null;
}

export interface RetentionKeeper {
  /** `forced`: the disk is low, and sinks that are behind hold nothing back. Callers at the same time share a run. */
  run(forced?: boolean): Promise<void>;
  bounds(): Readonly<Record<KeptKind, KeepBounds>>;
  readonly dropped: Readonly<Record<KeptKind, number>>;
  readonly running: boolean;
  readonly lastAt: number | null;
  readonly failed: string | null;
  close(): Promise<void>;
}

const dayMs = 24 * 3_600_000;
const firstAfterMs = 60_000;
const epochsPerPage = 500;
const gateway: Actor = { kind: 'gateway', id: null, name: 'postern', from: '' };

export function keepRetention(options: RetentionOptions): RetentionKeeper {
  const { operations, clock, log, journal, limits } = options;
  const dropped = Object.fromEntries(keptKinds.map((kind) => [kind, 0])) as Record<KeptKind, number>;
  const rows = limits.retentionRowsPerStep;
  const ending = new AbortController();
  let running: Promise<void> | null = null;
  let again = false;
  let lastAt: number | null = null;
  let failed: string | null = null;
  // Where both clocks were at the last run, and until when ages are not believed because the one was set forward.
  let seen = { nowMs: clock.nowMs(), monoMs: clock.monoMs() };
  let doubtUntilMono = -1;

  const looksForward = (): boolean => {
    const now = { nowMs: clock.nowMs(), monoMs: clock.monoMs() };
    if (now.nowMs - seen.nowMs - (now.monoMs - seen.monoMs) > clockJumpMs) {
      doubtUntilMono = now.monoMs + dayMs;
      log.warn('retention.clock-set-forward', { hours: Math.round((now.nowMs - seen.nowMs) / 3_600_000), remedy: 'nothing is dropped by age for a day; correct the clock if it is wrong' });
    }
    seen = now;
    return now.monoMs < doubtUntilMono;
  };

  /** Repeats a step until it has no more to do; how many went. */
  const repeat = async (kind: KeptKind, step: () => Promise<number>): Promise<void> => {
    for (let steps = 0; steps < limits.retentionStepsMax && !ending.signal.aborted; steps += 1) {
      const gone = await step();
      dropped[kind] += gone;
      if (gone < rows) return;
    }
  };

  const dropAudit = async (before: number, bytes: number | null): Promise<void> => {
    const through = bytes === null ? 0 : await operations.auditBeyond(bytes);
    let lines = 0;
    let last: { seq: number; hash: string } | null = null;
    await repeat('audit', async () => {
      const step = await operations.dropAudit(before, through, rows);
      lines += step.dropped;
      last = step.anchor ?? last;
      return step.dropped;
    });
    const anchor = last as { seq: number; hash: string } | null;
    if (!anchor) return;
    // In the chain itself: who rewrites the place where it begins has to rewrite this, too.
    await operations.addAudit([
      { at: clock.nowMs(), customerId: options.customerId, actor: gateway, what: 'audit.dropped', subjectKind: 'gateway', subjectId: null, subjectName: 'gateway', detail: { lines, through: anchor.seq, hash: anchor.hash } },
    ]);
  };

  const dropOfEpoch = async (epoch: KeptEpochOfFeed, before: number, below: number, sinks: readonly string[], forced: boolean): Promise<void> => {
    let from = epoch.first;
    for (let steps = 0; steps < limits.retentionStepsMax && !ending.signal.aborted; steps += 1) {
      let plan = await operations.planDrop({ epoch: epoch.number, before, below, sinks });
      if (plan.held && forced) {
        const without = await operations.planDrop({ epoch: epoch.number, before, below, sinks: [] });
        const fields = { feed: epoch.name, serial: epoch.serial, epoch: epoch.number, from: plan.first, to: without.first, why: 'the disk is low' };
        journal.note('records.dropped-unsent', fields);
        log.warn('records.dropped-unsent', fields);
        plan = without;
      } else if (plan.held) log.info('records.held-by-sinks', { feed: epoch.name, serial: epoch.serial, epoch: epoch.number, at: plan.first });
      if (plan.first <= from) return;
      let step: { dropped: number; more: boolean };
      do step = await operations.dropChunks(epoch.number, plan.first, rows);
      while (step.more && !ending.signal.aborted);
      dropped.records += plan.first - from;
      from = plan.first;
      if (!plan.more) return;
    }
  };

  const dropRecords = async (all: KeepBounds, isDoubtful: boolean, forced: boolean): Promise<void> => {
    const { feeds: rules = [], sinks = [] } = options.config();
    let after: { feedId: string; number: number } | null = null;
    let newer = { feedId: '', bytes: 0 };
    for (;;) {
      const page: readonly KeptEpochOfFeed[] = await operations.keptEpochs(after, epochsPerPage);
      for (const epoch of page) {
        if (ending.signal.aborted) return;
        const feed = { name: epoch.name, serial: epoch.serial, customerKey: options.customerKey(epoch.customerId) };
        const keep = boundsOfFeed(rules, all, feed);
        if (newer.feedId !== epoch.feedId) newer = { feedId: epoch.feedId, bytes: 0 };
        const below = keep.bytes === null ? 0 : tooManyBelow(epoch, newer.bytes, keep.bytes);
        newer.bytes += bytesKept(epoch);
        const before = keep.days === null || isDoubtful ? 0 : clock.nowMs() - keep.days * dayMs;
        if (before <= 0 && below <= epoch.first) continue;
        const waiting = sinks.filter((sink) => sink.enabled && meansFeed(sink, feed)).map(({ name }) => name);
        await dropOfEpoch(epoch, before, below, waiting, forced);
      }
      const last = page.at(-1);
      if (!last || page.length < epochsPerPage) return;
      after = { feedId: last.feedId, number: last.number };
    }
  };

  const runOnce = async (forced: boolean): Promise<void> => {
    const bounds = boundsOf(options.config().retention, limits);
    const isDoubtful = looksForward();
    const before = ({ days }: KeepBounds) => (days === null || isDoubtful ? 0 : clock.nowMs() - days * dayMs);
    dropped.journal += journal.trim(bounds.journal.count ?? limits.journalLinesMax, before(bounds.journal));
    const kinds: readonly (readonly [KeptKind, () => Promise<void>])[] = [
      ['records', () => dropRecords(bounds.records, isDoubtful, forced)],
      ['gaps', () => repeat('gaps', () => operations.dropGaps(before(bounds.gaps), rows))],
      ['alerts', () => repeat('alerts', () => operations.dropAlerts(before(bounds.alerts), rows))],
      ['keys', () => repeat('keys', () => operations.dropIntakeKeys(before(bounds.keys), rows))],
      ['samples', () => repeat('samples', () => operations.dropSamples(before(bounds.samples), rows))],
      ['visits', () => repeat('visits', () => operations.dropVisits(before(bounds.visits), bounds.visits.count ?? limits.visitsKeptMax, rows))],
      ['audit', () => dropAudit(before(bounds.audit), bounds.audit.bytes)],
      [
        'files',
        async () => {
          const asked = { before: before(bounds.files), bytesMax: bounds.files.bytes };
          if (options.dropFiles && !options.isHeld() && (asked.before > 0 || asked.bytesMax !== null)) dropped.files += await options.dropFiles(asked);
        },
      ],
      // Recordings have a row in the configuration and none in the store yet: their step belongs here.
    ];
    failed = null;
    for (const [kind, drop] of kinds) {
      if (ending.signal.aborted) return;
      try {
        await drop();
      } catch (thrown) {
        failed = `${kind}: ${reasonOf(thrown)}`;
        log.warn('retention.failed', { kind, why: reasonOf(thrown) });
      }
    }
    lastAt = clock.nowMs();
  };

  const run = (forced = false): Promise<void> => {
    if (ending.signal.aborted) return Promise.resolve();
    if (running) {
      // Who comes in the middle may want what the run has passed already.
      again ||= forced;
      return running;
    }
    const before = { ...dropped };
    running = (async () => {
      try {
        await runOnce(forced);
        if (again) {
          again = false;
          await runOnce(true);
        }
      } finally {
        running = null;
        const gone = Object.fromEntries(keptKinds.filter((kind) => dropped[kind] > before[kind]).map((kind) => [kind, dropped[kind] - before[kind]]));
        if (Object.keys(gone).length > 0) {
          log.info('retention.dropped', gone);
          journal.note('retention.dropped', gone);
        }
      }
    })();
    return running;
  };
  const timers = [clock.after(firstAfterMs, () => void run()), clock.every(limits.retentionEveryMs, () => void run())];
  return {
    run,
    bounds: () => boundsOf(options.config().retention, limits),
    dropped,
    get running() {
      return running !== null;
    },
    get lastAt() {
      return lastAt;
    },
    get failed() {
      return failed;
    },
    async close() {
      ending.abort();
      for (const timer of timers) timer.cancel();
      await running;
    },
  };
}
