// The disk below the data folder: looked at every few seconds. The fuller it is, the less is done; nothing that was taken is lost.
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { judgeLevel, type Judged } from '#model/disk-level.ts';
import type { DiskLevel, DiskState } from '#model/keeping.ts';
import type { Journal } from '#model/live.ts';

export interface DiskWatchOptions {
  readonly disk: () => Promise<{ readonly freeBytes: number; readonly usedBytes: number }>;
  readonly storeRoom: () => Promise<{ readonly bytes: number; readonly reusableBytes: number }>;
  /** What the store may take; null: all of the disk. */
  readonly storeBytesMax: () => number | null;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  /** Called at each look, also while nothing changes. */
  readonly onLook: (level: DiskLevel, before: DiskLevel) => void;
}

export interface DiskWatch {
  state(): DiskState;
  /** Why nothing new is taken now; null: it is. Asked for each visit and each push: no more than a comparison. */
  mayStore(): Fault | null;
  /** Of an operation that failed: a store that says its disk is full is believed before the disk is looked at. */
  notice(thrown: unknown): void;
  look(): Promise<void>;
  close(): void;
}

/** SQLITE_FULL; disk_full of PostgreSQL. */
function saysFull(thrown: unknown): boolean {
  if (!isFault(thrown, 'busy')) return false;
  const { sqlite, postgres } = thrown.detail;
  return (typeof sqlite === 'number' && (sqlite & 0xff) === 13) || postgres === '53100';
}

export function keepDiskWatch(options: DiskWatchOptions): DiskWatch {
  const { clock, log, journal, limits } = options;
  let state: DiskState = { level: 'ok', freeBytes: null, usedBytes: null, reusableBytes: 0, since: clock.nowMs(), why: null };
  let refusedUntilMono = -1;
  let refusedWhy = '';
  let refusal: Fault | null = null;
  let looking: Promise<void> | null = null;

  const refuse = (why: string) =>
    new Fault('busy', `the gateway takes nothing new until there is room: ${why}`, { remedy: 'Free space on its disk, or keep less: postern keeping says what takes it.', detail: { retryAfterS: 30 } });

  const settle = (judged: Judged, seen: Partial<DiskState>) => {
    const before = state.level;
    // The store said that it is full, whatever the disk looks like from here.
    const { level, why }: Judged = clock.monoMs() < refusedUntilMono ? { level: 'full', why: refusedWhy } : judged;
    state = { ...state, ...seen, level, why, since: level === before ? state.since : clock.nowMs() };
    refusal = level === 'full' ? refuse(why ?? 'the disk is full') : null;
    if (level !== before) {
      const fields = { level, before, why: why ?? 'there is room again', freeBytes: state.freeBytes };
      journal.note('disk.level', fields);
      if (level === 'full') log.error('disk.level', fields);
      else if (level === 'ok') log.info('disk.level', fields);
      else log.warn('disk.level', fields);
    }
    options.onLook(level, before);
  };

  const lookOnce = async () => {
    try {
      const [disk, store] = await Promise.all([options.disk(), options.storeRoom().catch(() => ({ bytes: 0, reusableBytes: state.reusableBytes }))]);
      const seen = { ...disk, reusableBytes: store.reusableBytes, storeBytes: store.bytes };
      settle(judgeLevel(seen, limits, state.level, options.storeBytesMax()), { freeBytes: disk.freeBytes, usedBytes: disk.usedBytes, reusableBytes: store.reusableBytes });
    } catch (thrown) {
      // A disk that cannot be asked refuses nobody: writing will say what is wrong.
      log.warn('disk.not-seen', { why: reasonOf(thrown) });
      settle({ level: state.level === 'full' ? 'low' : state.level, why: state.why }, {});
    }
  };
  const look = () => (looking ??= lookOnce().finally(() => (looking = null)));
  const timer = clock.every(limits.diskLookEveryMs, () => void look());
  return {
    state: () => state,
    mayStore: () => refusal,
    notice(thrown) {
      if (!saysFull(thrown)) return;
      refusedUntilMono = clock.monoMs() + limits.diskRefusedMs;
      refusedWhy = reasonOf(thrown);
      settle({ level: 'full', why: refusedWhy }, {});
    },
    look,
    close: () => timer.cancel(),
  };
}
