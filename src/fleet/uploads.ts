// Resumable uploads of devices' files (draft-ietf-httpbis-resumable-upload-12): what arrived is on the disk before anybody is told so,
// and survives cuts of the connection and of the gateway.
import { createHash } from 'node:crypto';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Upload } from '#model/files.ts';
import type { Device } from '#model/rows.ts';
import { digestFault, type Files, type Incoming, type StoredFile } from './files.ts';
import type { Taking } from './shelf.ts';

export interface Append {
  /** Where the device believes that it stands. Fault `conflict` with detail `expected` when it does not. */
  readonly offset: number;
  /** What comes, from where the upload stands. */
  readonly pieces: AsyncIterable<Buffer>;
  /** These are its last bytes. */
  readonly completes: boolean;
  /** Of the whole, if this request says so. Fault `bad-input` (detail `length`) when it was another before. */
  readonly length: number | null;
  /** Hex, of these bytes alone; null: not said. */
  readonly sha256: string | null;
  /** Only whole, or not at all: a signature covers all of it, so of a part nobody knows who sent it. */
  readonly onlyWhole: boolean;
  /** So many bytes are on the disk now. */
  readonly progress: (received: number) => void;
}

export interface Appended {
  /** On the disk. */
  readonly received: number;
  /** null: it is not complete. */
  readonly stored: StoredFile | null;
}

export interface Uploads {
  begin(incoming: Incoming, announced: { readonly length: number | null; readonly sha256: string | null }): Promise<Upload>;
  /** As it stands now; whatever was still bringing bytes to it is ended first. null: there is none for this device and name. */
  find(id: string, device: Device, name: string): Promise<Upload | null>;
  append(id: string, device: Device, from: string, append: Append): Promise<Appended>;
  cancel(upload: Upload): Promise<void>;
  dropExpired(): Promise<void>;
  close(): Promise<void>;
}

export const lengthFault = (why: string): Fault => new Fault('bad-input', why, { detail: { length: true } });

export const completedFault = (upload: Upload): Fault => new Fault('gone', 'this upload is complete', { detail: { completed: true, length: upload.received } });

interface Running {
  readonly end: PromiseWithResolvers<never>;
  readonly done: Promise<void>;
}

const ended = () => new Fault('closed', 'another request went on with this upload');
const expireEveryMs = 60_000;

export function keepUploads(files: Files): Uploads {
  const { operations, shelf, limits, clock, log } = files;
  const running = new Map<string, Running>();

  /** The earlier request is dead for its device, which would not come again otherwise (§4.6 of the draft). */
  const endRunning = async (id: string): Promise<void> => {
    for (let other = running.get(id); other; other = running.get(id)) {
      other.end.reject(ended());
      await other.done;
    }
  };

  const alone = async <Result>(id: string, work: (end: Promise<never>) => Promise<Result>): Promise<Result> => {
    await endRunning(id);
    const end = Promise.withResolvers<never>();
    const done = Promise.withResolvers<void>();
    end.promise.catch(() => {});
    const mine: Running = { end, done: done.promise };
    running.set(id, mine);
    try {
      return await work(end.promise);
    } finally {
      running.delete(id);
      done.resolve();
    }
  };

  const discard = async (id: string): Promise<void> => {
    await operations.removeUpload(id);
    await shelf.discard(id);
  };

  const complete = async (upload: Upload, device: Device, from: string): Promise<StoredFile> => {
    const found = await shelf.digestOf(upload.id);
    const incoming: Incoming = { device, name: upload.name, type: upload.type, from };
    try {
      if (upload.sha256 !== null && upload.sha256 !== found.sha256) throw digestFault();
      const stored = await files.settle(incoming, upload.id, found, upload.id);
      await shelf.discard(upload.id);
      return stored;
    } catch (thrown) {
      // What may go well later may be tried again; the rest never will.
      if (isFault(thrown) && thrown.code !== 'busy') await discard(upload.id);
      throw thrown;
    }
  };

  const take = async (upload: Upload, taking: Taking, append: Append, end: Promise<never>): Promise<void> => {
    const iterator = append.pieces[Symbol.asyncIterator]();
    const eager = append.onlyWhole || append.sha256 !== null;
    const hash = append.sha256 === null ? null : createHash('sha256');
    let noted = taking.bytes;
    try {
      for (;;) {
        const next = await Promise.race([iterator.next(), end]);
        if (next.done) break;
        const total = taking.bytes + next.value.length;
        if (append.length !== null && total > append.length) throw lengthFault(`more than the ${append.length} bytes came that were announced`);
        if (total > limits.fileBytesMax) throw new Fault('too-large', `a file has at most ${limits.fileBytesMax} bytes here`);
        hash?.update(next.value);
        await taking.write(next.value);
        if (eager || taking.bytes - noted < limits.uploadNoteBytes) continue;
        const full = files.mayStore();
        if (full) throw full;
        await keep(upload, taking, append.length);
        noted = taking.bytes;
        append.progress(noted);
      }
      if (hash !== null && hash.digest('hex') !== append.sha256) throw digestFault();
    } catch (thrown) {
      iterator.return?.()?.catch(() => {});
      throw thrown;
    }
  };

  /** On the disk first, then in the row: what the row says is never more than what is there. */
  const keep = async (upload: Upload, taking: Taking, length: number | null): Promise<void> => {
    await taking.sync();
    await operations.noteUpload(upload.id, taking.bytes, length);
  };

  const appendNow = async (upload: Upload, device: Device, from: string, append: Append, end: Promise<never>): Promise<Appended> => {
    const length = append.length ?? upload.length;
    if (upload.length !== null && append.length !== null && upload.length !== append.length) throw lengthFault(`the upload was announced with ${upload.length} bytes, now with ${append.length}`);
    const taking = await shelf.take(upload.id, upload.received);
    try {
      await take(upload, taking, { ...append, length }, end);
      if (append.completes && length !== null && taking.bytes !== length) throw lengthFault(`${length} bytes were announced, ${taking.bytes} came`);
      await keep(upload, taking, append.completes ? taking.bytes : length);
    } catch (thrown) {
      if (isFault(thrown) && (thrown.code === 'too-large' || thrown.detail['length'] === true)) await discard(upload.id);
      else if ((isFault(thrown, 'closed') || isFault(thrown, 'timeout') || isFault(thrown, 'busy')) && !append.onlyWhole) await keep(upload, taking, null).catch((failed: unknown) => log.debug('upload.not-kept', { why: reasonOf(failed) }));
      throw thrown;
    } finally {
      await taking.close();
    }
    return { received: taking.bytes, stored: append.completes ? await complete({ ...upload, received: taking.bytes }, device, from) : null };
  };

  const dropExpired = async (): Promise<void> => {
    for (const id of await operations.dropUploads(clock.nowMs())) {
      await endRunning(id);
      await shelf.discard(id);
    }
  };
  const timer = clock.every(expireEveryMs, () => void dropExpired().catch((thrown: unknown) => log.warn('uploads.not-dropped', { why: reasonOf(thrown) })));

  return {
    async begin({ device, name, type, from }, { length, sha256 }) {
      const at = clock.nowMs();
      const upload: Upload = {
        id: files.random(16).toString('hex'), customerId: device.customerId, deviceId: device.id, name, type, from, sha256, length,
        received: 0, createdAt: at, expiresAt: at + limits.uploadMs, completedAt: null,
      };
      for (const id of await operations.addUpload(upload, limits.uploadsPerDeviceMax)) {
        await endRunning(id);
        await shelf.discard(id);
      }
      return upload;
    },
    async find(id, device, name) {
      if (!/^[0-9a-f]{32}$/.test(id)) return null;
      const isOf = (row: Upload | null, deviceId: Id): row is Upload => row !== null && row.deviceId === deviceId && row.name === name && row.expiresAt > clock.nowMs();
      // Looked up before anything is ended: another device's upload is none of its business.
      if (!isOf(await operations.readUpload(id), device.id)) return null;
      await endRunning(id);
      const row = await operations.readUpload(id);
      return isOf(row, device.id) ? row : null;
    },
    append: (id, device, from, append) =>
      alone(id, async (end) => {
        const upload = await operations.readUpload(id);
        if (upload?.deviceId !== device.id) throw new Fault('gone', 'this upload was cancelled meanwhile');
        if (upload.completedAt !== null) throw completedFault(upload);
        if (upload.received !== append.offset) throw new Fault('conflict', `the upload stands at ${upload.received}, not at ${append.offset}`, { detail: { expected: upload.received, provided: append.offset } });
        return appendNow(upload, device, from, append, end);
      }),
    async cancel(upload) {
      await endRunning(upload.id);
      await discard(upload.id);
    },
    dropExpired,
    async close() {
      timer.cancel();
      for (const id of Array.from(running.keys())) await endRunning(id);
    },
  };
}
