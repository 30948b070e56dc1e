// Files of devices: bytes on the shelf and their rows, kept in step. A row never names bytes that are not on the disk; bytes that no
// row names go, after a crash at the next start.
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Clock, Timer } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable, type Log } from '#base/log.ts';
import type { DeviceFile, FileOperations } from '#model/files.ts';
import type { Journal } from '#model/live.ts';
import type { AuditEntry, Device } from '#model/rows.ts';
import type { Table } from '#model/table.ts';
import { openShelf, type Shelf } from './shelf.ts';

export interface FilesDeps {
  /** `files` of the data folder. */
  readonly dir: string;
  readonly operations: FileOperations;
  readonly clock: Clock;
  readonly random: Random;
  readonly newId: () => Id;
  readonly log: Log;
  readonly journal: Journal;
  readonly limits: Limits;
  /** With a device its rows go; what only they named goes a while later. */
  readonly devices: Pick<Table<Device>, 'watch'>;
  /** A reason to store nothing now: a full disk. */
  readonly mayStore: () => Fault | null;
}

/** A file as it comes. */
export interface Incoming {
  readonly device: Device;
  readonly name: string;
  readonly type: string;
  readonly from: string;
}

export interface StoredFile {
  readonly kind: 'stored' | 'replaced' | 'repeat';
  readonly file: DeviceFile;
}

export interface Files extends FilesDeps {
  readonly shelf: Shelf;
  /** A place among those that bring bytes at the same time, and among those of one device: it must not take all of them by bringing slowly. Fault `busy` when there is none, or the disk is nearly full; give it back by calling what it returns. */
  enter(deviceId: Id): () => void;
  /** Takes a whole file in. `expected`: digests (hex) that it must have. Faults: `too-large`, `closed` (it was cut), `bad-input` with detail `digest`, `busy`, `too-many`. */
  takeWhole(incoming: Incoming, pieces: AsyncIterable<Uint8Array>, expected: readonly string[]): Promise<StoredFile>;
  /** What lies on the shelf under a temporary name becomes a version of the file. */
  settle(incoming: Incoming, temporary: string, found: { readonly sha256: string; readonly bytes: number }, uploadId: string | null): Promise<StoredFile>;
  open(sha256: string): Promise<FileHandle>;
  remove(id: Id, audit: AuditEntry): Promise<void>;
  /** Retention: what came before, and the oldest of what is over the bound. Resolves what went. */
  drop(bounds: { readonly before?: number; readonly bytesMax?: number }): Promise<{ readonly files: number; readonly bytes: number }>;
  /** Resolves when the sweep of the start is over. */
  readonly swept: Promise<void>;
  /** Removes bytes that no row names; resolves how many files that were. */
  sweep(): Promise<number>;
  close(): Promise<void>;
}

const dropAtOnce = 500;
const sweepAfterMs = 60_000;
/** As uploads name theirs: what comes whole has another name, and goes with its request. */
const uploadName = /^[0-9a-f]{32}$/;

/** Clears away what a crash left: what was on its way and is no upload's, then, beside everything else, bytes that no row names. */
export async function openFiles(deps: FilesDeps): Promise<Files> {
  const { operations, limits, log } = deps;
  const shelf = await openShelf(deps.dir);
  const resumable = new Set(await operations.openUploads());
  for (const name of await shelf.takings()) if (!resumable.has(name)) await shelf.discard(name);
  const turns = buildTurns();
  let entered = 0;
  const enteredOf = new Map<Id, number>();
  let closed = false;
  const removeUnnamed = async (digests: readonly string[]): Promise<number> => {
    let removed = 0;
    for (const sha256 of digests) {
      await turns(sha256, async () => {
        // Somebody may have brought it again since.
        if ((await operations.unnamedDigests([sha256])).length === 0) return;
        await shelf.remove(sha256);
        removed += 1;
      });
    }
    return removed;
  };
  const sweep = async (): Promise<number> => {
    let removed = 0;
    // First the names, then the rows: an upload has its row before it has a file.
    const takings = (await shelf.takings()).filter((name) => uploadName.test(name));
    const open = new Set(takings.length > 0 ? await operations.openUploads() : []);
    for (const name of takings.filter((each) => !open.has(each))) await shelf.discard(name);
    for await (const digests of shelf.digests()) {
      if (closed) break;
      removed += await removeUnnamed(await operations.unnamedDigests(digests));
    }
    return removed;
  };
  const sweepAndSay = () =>
    sweep().then(
      (removed) => void (removed > 0 && log.info('files.swept', { removed })),
      (thrown: unknown) => log.warn('files.not-swept', { why: reasonOf(thrown) }),
    );
  const swept = sweepAndSay();
  let later: Timer | undefined;
  let sweeping: Promise<void> = swept;
  const unwatch = deps.devices.watch(({ removed }) => {
    if (removed.length === 0 || closed) return;
    later ??= deps.clock.after(sweepAfterMs, () => {
      later = undefined;
      sweeping = sweeping.then(sweepAndSay);
    });
  });
  const settle: Files['settle'] = async (incoming, temporary, { sha256, bytes }, uploadId) => {
    const { device, name, type, from } = incoming;
    const file: DeviceFile = { id: deps.newId(), customerId: device.customerId, deviceId: device.id, name, bytes, sha256, type, from, createdAt: deps.clock.nowMs(), replacedAt: null };
    const bounds = { filesPerDeviceMax: limits.filesPerDeviceMax, bytesPerDeviceMax: limits.fileBytesPerDeviceMax, bytesPerCustomerMax: limits.fileBytesPerCustomerMax };
    let unnamed: readonly string[] = [sha256];
    try {
      const added = await turns(sha256, async () => {
        await shelf.place(temporary, sha256);
        return operations.addFile(file, bounds, uploadId);
      });
      unnamed = added.unnamed;
      if (added.kind !== 'repeat') deps.journal.note('file.stored', { device: device.name, serial: device.serial, file: printable(name), bytes, version: added.kind === 'replaced' ? 'new' : 'first' });
      return { kind: added.kind, file: added.file };
    } finally {
      await removeUnnamed(unnamed).catch((thrown: unknown) => log.warn('files.not-swept', { why: reasonOf(thrown) }));
    }
  };
  return {
    ...deps,
    shelf,
    settle,
    swept,
    sweep,
    enter(deviceId) {
      if (closed) throw new Fault('busy', 'the gateway is going down');
      const full = deps.mayStore();
      if (full) throw full;
      if (entered >= limits.filesAtOnceMax) throw new Fault('busy', `${entered} files are on their way already`);
      const mine = enteredOf.get(deviceId) ?? 0;
      if (mine >= limits.filesPerDeviceAtOnceMax) throw new Fault('busy', `${mine} files of this device are on their way already`);
      entered += 1;
      enteredOf.set(deviceId, mine + 1);
      let left = false;
      return () => {
        if (left) return;
        left = true;
        entered -= 1;
        const still = enteredOf.get(deviceId)! - 1;
        if (still > 0) enteredOf.set(deviceId, still);
        else enteredOf.delete(deviceId);
      };
    },
    async takeWhole(incoming, pieces, expected) {
      const temporary = `whole-${deps.random(16).toString('hex')}`;
      const taking = await shelf.take(temporary, 0);
      try {
        const hash = createHash('sha256');
        let looked = 0;
        for await (const piece of pieces) {
          // Many large ones together fill a disk that had room when each began.
          if (taking.bytes - looked >= limits.uploadNoteBytes) {
            looked = taking.bytes;
            const full = deps.mayStore();
            if (full) throw full;
          }
          if (taking.bytes + piece.length > limits.fileBytesMax) throw new Fault('too-large', `a file has at most ${limits.fileBytesMax} bytes here`);
          hash.update(piece);
          await taking.write(piece);
        }
        const sha256 = hash.digest('hex');
        if (expected.some((digest) => digest !== sha256)) throw digestFault();
        await taking.sync();
        const { bytes } = taking;
        await taking.close();
        return await settle(incoming, temporary, { sha256, bytes }, null);
      } finally {
        await taking.close().catch(() => {});
        await shelf.discard(temporary);
      }
    },
    open: (sha256) => shelf.open(sha256),
    async remove(id, audit) {
      await removeUnnamed(await operations.removeFile(id, audit));
    },
    async drop(bounds) {
      const dropped = { files: 0, bytes: 0 };
      for (;;) {
        const some = await operations.dropFiles(bounds, dropAtOnce);
        dropped.files += some.dropped;
        dropped.bytes += some.bytes;
        await removeUnnamed(some.unnamed);
        if (some.dropped < dropAtOnce || closed) return dropped;
      }
    },
    async close() {
      closed = true;
      unwatch();
      later?.cancel();
      await sweeping;
    },
  };
}

export const digestFault = (): Fault => new Fault('bad-input', 'the bytes do not have the digest that was announced', { detail: { digest: true } });

/** One after the other for each key. */
function buildTurns(): <Result>(key: string, work: () => Promise<Result>) => Promise<Result> {
  const last = new Map<string, Promise<unknown>>();
  return async (key, work) => {
    const before = last.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    const settled = mine.then(() => {}, () => {});
    last.set(key, settled);
    void settled.then(() => last.get(key) === settled && last.delete(key));
    return mine;
  };
}
