// What the gateway keeps, put together: backups, retention, the disk's watch, and what a restored data folder has to say.
import { join } from 'node:path';
import type { KeepingDeps } from '#admin/deps.ts';
import type { Clock } from '#base/clock.ts';
import type { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Config } from '#model/config.ts';
import { isWorse } from '#model/disk-level.ts';
import type { buildJournal } from '#model/journal.ts';
import type { DiskState, KeepingState, KeptFigures, KeptView, RestoredNote } from '#model/keeping.ts';
import { keptKinds } from '#model/keeping.ts';
import type { Operations } from '#model/operations.ts';
import type { DataFolder } from '#store/data-folder.ts';
import { parsePostgres } from '#store/location.ts';
import { keepBackups } from './backups.ts';
import { keepDiskWatch } from './disk-watch.ts';
import { readRestored } from './restored.ts';
import { keepRetention, type RetentionOptions } from './retention.ts';

export interface KeepingOptions {
  readonly folder: DataFolder;
  /** As the store was opened with. */
  readonly store: string | undefined;
  readonly operations: Operations;
  readonly inTurn: InTurn;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: ReturnType<typeof buildJournal>;
  readonly limits: Limits;
  readonly version: string;
  readonly customerId: Id;
  readonly customerKey: (id: Id) => string;
  readonly config: () => Pick<Config, 'retention' | 'feeds' | 'sinks'>;
  readonly dropFiles: RetentionOptions['dropFiles'];
  /** Instead of the data folder's disk: for tests. */
  readonly disk?: (() => Promise<{ readonly freeBytes: number; readonly usedBytes: number }>) | undefined;
}

export interface Keeping {
  /** Why nothing new is stored now; null: it is. */
  mayStore(): Fault | null;
  /** The same operations, of which what begins something new asks first, and what fails for want of room is heard of. */
  readonly guarded: Pick<Operations, 'openVisit' | 'closeVisits' | 'intake' | 'intakeKeyed'>;
  readonly deps: KeepingDeps;
  /** For the status. */
  remarks(): string[];
  /** For doctor and metrics. */
  disk(): DiskState;
  restored(): RestoredNote | null;
  dropped(): Readonly<Record<string, number>>;
  close(): Promise<void>;
}

const lastBackupAt = 'backup made at';
const lastBackupBytes = 'backup bytes';
const nothing: KeptFigures = { count: 0, oldestAt: null, bytes: 0 };
/** How much of the journal stays when the disk is low. */
const journalPart = 10;
/** How often retention runs while the disk stays low. */
const hurryEveryMs = 60_000;

export async function buildKeeping(options: KeepingOptions): Promise<Keeping> {
  const { folder, operations, clock, log, journal, limits } = options;
  const restored = await readRestored({ folder, operations, journal, customerId: options.customerId, clock, log });
  const numbers = await operations.readNumbers([lastBackupAt, lastBackupBytes]);
  const at = numbers[lastBackupAt];
  const backups = keepBackups({
    dataDir: folder.path, location: options.store === undefined ? { kind: 'sqlite', file: join(folder.path, 'postern.db') } : parsePostgres(options.store, `postern backup ${process.pid}`), operations, inTurn: options.inTurn, clock, log, version: options.version,
    last: at === undefined ? null : { at, bytes: numbers[lastBackupBytes] ?? 0 },
    noteLast: ({ at: madeAt, bytes }) => void operations.noteNumbers({ [lastBackupAt]: madeAt, [lastBackupBytes]: bytes }).catch(() => {}),
  });
  const retention = keepRetention({
    operations, config: options.config, customerKey: options.customerKey, customerId: options.customerId, clock, log, journal, limits,
    isHeld: () => backups.state().running !== null,
    dropFiles: options.dropFiles,
  });
  let hurriedAtMono = Number.NEGATIVE_INFINITY;
  const disk = keepDiskWatch({
    disk: options.disk ?? (() => folder.disk()), storeRoom: () => operations.storeRoom(), clock, log, journal, limits,
    storeBytesMax: () => options.config().retention?.storeBytes ?? null,
    onLook: (level, before) => {
      if (!isWorse(level, 'warn')) return;
      if (!isWorse(before, 'warn')) journal.trim(Math.ceil(journal.length / journalPart), 0);
      else if (clock.monoMs() - hurriedAtMono < hurryEveryMs) return;
      hurriedAtMono = clock.monoMs();
      void retention.run(true);
    },
  });
  await disk.look();

  const heard = <Args extends readonly unknown[], Result>(run: (...args: Args) => Promise<Result>) => async (...args: Args): Promise<Result> => {
    try {
      return await run(...args);
    } catch (thrown) {
      disk.notice(thrown);
      throw thrown;
    }
  };
  const asked = <Args extends readonly unknown[], Result>(run: (...args: Args) => Promise<Result>) => {
    const listening = heard(run);
    return async (...args: Args): Promise<Result> => {
      const refusal = disk.mayStore();
      if (refusal) throw refusal;
      return listening(...args);
    };
  };

  const state = async (): Promise<KeepingState> => {
    const stored = await operations.keptFigures();
    const bounds = retention.bounds();
    const inMemory: KeptFigures = { count: journal.length, oldestAt: journal.oldestAt, bytes: null };
    const figures = { ...stored, journal: inMemory, recordings: nothing };
    return {
      now: clock.nowMs(),
      kinds: keptKinds.map((kind): KeptView => ({ kind, ...figures[kind], keep: bounds[kind], dropped: retention.dropped[kind] })),
      disk: disk.state(),
      retention: { running: retention.running, lastAt: retention.lastAt, failed: retention.failed },
      backup: backups.state(),
      restored: restored.note(),
    };
  };

  return {
    mayStore: () => disk.mayStore(),
    guarded: {
      openVisit: asked(operations.openVisit),
      closeVisits: heard(operations.closeVisits),
      intake: asked(operations.intake),
      intakeKeyed: asked(operations.intakeKeyed),
    },
    deps: { state, run: () => retention.run(), acknowledgeRestore: (actor, customerId) => restored.acknowledge(actor, customerId), backup: { state: () => backups.state(), make: (actor, customerId, signal) => backups.make(actor, customerId, signal) } },
    remarks() {
      const { level, why } = disk.state();
      const note = restored.note();
      return [
        ...(level === 'ok' ? [] : [`The disk is ${level === 'full' ? 'full: new visits and pushes are refused' : level === 'low' ? 'nearly full: the journal was cut, and what is past its retention goes' : 'filling up'} (${why}).`]),
        ...(note ? [`The data folder was restored from a backup of ${new Date(note.backupAt).toISOString()}: what happened since is not known here. When you have seen to it: postern keeping ok`] : []),
      ];
    },
    disk: () => disk.state(),
    restored: () => restored.note(),
    dropped: () => retention.dropped,
    async close() {
      disk.close();
      await Promise.all([retention.close(), backups.close()]);
    },
  };
}
