// Backups of the running gateway: one at a time, in the audit before its first byte, sent while it is made.
import { gzipSync } from 'node:zlib';
import type { Clock } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Log } from '#base/log.ts';
import type { BackupState } from '#model/keeping.ts';
import type { Operations } from '#model/operations.ts';
import type { Actor } from '#model/rows.ts';
import { mustHaveRoom, openBackup } from '#store/backup.ts';
import type { StoreLocation } from '#store/location.ts';

export interface BackupsOptions {
  readonly dataDir: string;
  readonly location: StoreLocation;
  readonly operations: Pick<Operations, 'addAudit' | 'storeRoom'>;
  /** Changes of files and the rows that name them go through it; it is held for the moment that a backup is of. */
  readonly inTurn: InTurn;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** The last whole one, as it was noted; and notes one. */
  readonly last: BackupState['last'];
  readonly noteLast: (last: NonNullable<BackupState['last']>) => void;
}

export interface Backups {
  state(): BackupState;
  make(actor: Actor, customerId: Id, signal: AbortSignal): Promise<{ readonly name: string; readonly stream: ReadableStream<Uint8Array> }>;
  close(): Promise<void>;
}

/** While the store is copied nothing else can be sent; this keeps the connection from being taken for a dead one. An archive may begin with any number of them. */
const emptyGzip = gzipSync('');
const beatEveryMs = 5_000;

export function keepBackups(options: BackupsOptions): Backups {
  const { clock, log, dataDir, location } = options;
  const closing = new AbortController();
  let running: BackupState['running'] = null;
  let last = options.last;
  let failed: BackupState['failed'] = null;
  let ended: Promise<void> = Promise.resolve();

  const open = (at: number, signal: AbortSignal) =>
    openBackup({
      dataDir, at, log, signal, location,
      version: options.version,
      still: (run) => options.inTurn(run),
      onProgress: (phase, done, total) => {
        if (running) running = { ...running, phase, done, total };
      },
    });

  /** The archive, with beats while it is not there yet. */
  async function* pieces(at: number, signal: AbortSignal, settled: () => void): AsyncGenerator<Buffer> {
    let sent = 0;
    let whole = false;
    const opening = open(at, signal);
    try {
      const opened = opening.then(() => true, () => true);
      do {
        sent += emptyGzip.length;
        yield emptyGzip;
      } while (!(await Promise.race([opened, beat(clock, signal)])));
      const backup = await opening;
      for await (const piece of backup.stream as AsyncIterable<Buffer>) {
        sent += piece.length;
        yield piece;
      }
      whole = await backup.ended;
    } catch (thrown) {
      failed = { at, why: reasonOf(thrown) };
      throw thrown;
    } finally {
      const begun = await opening.catch(() => null);
      begun?.stream.destroy();
      // Only when nothing of it is left in the folder.
      await begun?.ended;
      if (whole) {
        last = { at, bytes: sent };
        failed = null;
        options.noteLast(last);
        log.info('backup.made', { bytes: sent, ms: clock.nowMs() - at });
      } else {
        failed ??= { at, why: 'who asked for it went away' };
        log.warn('backup.not-made', { why: failed.why });
      }
      running = null;
      settled();
    }
  }

  return {
    state: () => ({ running, last, failed }),
    async make(actor, customerId, gone) {
      if (closing.signal.aborted) throw new Fault('closed', 'the gateway is going down');
      if (running) throw new Fault('conflict', 'a backup is being made already', { remedy: 'wait for its end' });
      const at = clock.nowMs();
      running = { phase: 'copying', done: 0, total: 0, startedAt: at };
      try {
        await mustHaveRoom(dataDir, (await options.operations.storeRoom()).bytes);
        await options.operations.addAudit([{ at, customerId, actor, what: 'backup.made', subjectKind: 'gateway', subjectId: null, subjectName: 'gateway', detail: {} }]);
      } catch (thrown) {
        running = null;
        throw thrown;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      ended = promise;
      const enough = new AbortController();
      const over = AbortSignal.any([closing.signal, gone, enough.signal]);
      const archive = pieces(at, over, resolve);
      // It may stand still because nobody reads: then only this ends it.
      over.addEventListener('abort', () => void archive.return(undefined).catch(() => {}), { once: true });
      const stream = new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { done, value } = await archive.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: () => enough.abort(),
      });
      return { name: `postern-${new Date(at).toISOString().slice(0, 16).replaceAll(/[-:]/g, '')}Z.tgz`, stream };
    },
    async close() {
      closing.abort();
      if (running) await ended;
    },
  };
}

/** Resolves false when it is time for the next one. */
function beat(clock: Clock, signal: AbortSignal): Promise<false> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false);
    const timer = clock.after(beatEveryMs, () => resolve(false));
    signal.addEventListener('abort', () => {
      timer.cancel();
      resolve(false);
    }, { once: true });
  });
}
