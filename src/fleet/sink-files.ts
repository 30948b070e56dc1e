// Files as a sink: one line of JSON an item, one file at a time for each epoch. The position is kept with the length that the file then
// has, so that what a crash left behind it is cut off and written again: a file that is finished has every item once.
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { reasonOf } from '#base/fault.ts';
import { buildInTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { ConfigSink } from '#model/config.ts';
import { itemDocument, type SinkBatch, type SinkSource } from '#model/sink-batch.ts';
import type { SinkTarget } from './sink-target.ts';

export interface FilesSinkDeps {
  readonly sink: Extract<ConfigSink, { readonly kind: 'files' }>;
  /** `sinks` of the data folder. */
  readonly dir: string;
  readonly nowMs: () => number;
  readonly log: Log;
  readonly limits: Limits;
}

/** What the position keeps. */
interface Place {
  /** Of the file that is written. */
  readonly name: string;
  readonly bytes: number;
  readonly openedAt: number;
}

interface Written {
  readonly path: string;
  readonly file: FileHandle;
  usedAt: number;
}

export function openFilesSink({ sink, dir, nowMs, log, limits }: FilesSinkDeps): SinkTarget {
  const root = join(dir, sink.folder);
  const opened = new Map<string, Written>();
  const gathering = new Set<Promise<void>>();
  const inTurn = buildInTurn(1_000);

  const closeOne = async (path: string) => {
    const written = opened.get(path);
    opened.delete(path);
    await written?.file.close();
  };
  /** At exactly that length: what is behind it was never confirmed. */
  const fileAt = async (path: string, bytes: number): Promise<FileHandle> => {
    const known = opened.get(path);
    if (known) {
      known.usedAt = nowMs();
      return known.file;
    }
    if (opened.size >= limits.sinkFilesOpenMax) await closeOne(opened.keys().next().value!);
    const isNew = bytes === 0;
    if (isNew) await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(path, isNew ? 'w' : 'r+', 0o600);
    try {
      const { size } = await file.stat();
      if (size < bytes) throw new Error(`${path} has ${size} bytes, and had ${bytes}: somebody shortened it`);
      if (size > bytes) await file.truncate(bytes);
      if (isNew) await syncFolders(dirname(path), dir);
    } catch (thrown) {
      await file.close();
      throw thrown;
    }
    opened.set(path, { path, file, usedAt: nowMs() });
    return file;
  };
  /** The file as it is with `.gz`, then it goes: whatever ends in between, one of the two is whole. */
  const finish = async (path: string): Promise<void> => {
    await closeOne(path);
    if (!sink.gzip) return;
    const temporary = `${path}.gz.tmp`;
    try {
      await pipeline(createReadStream(path), createGzip(), createWriteStream(temporary, { mode: 0o600 }));
      const file = await open(temporary, 'r+');
      await file.sync().finally(() => file.close());
      await rename(temporary, `${path}.gz`);
      await syncFolders(dirname(path), dirname(path));
      await rm(path, { force: true });
    } catch (thrown) {
      log.warn('sink.not-compressed', { sink: sink.name, why: reasonOf(thrown) });
    }
  };

  return {
    positionOf: null,
    isPlanned: false,
    itemsMax: 10_000,
    bytesMax: limits.sinkBatchBytes,
    gatherMs: 20,
    atOnce: 4,
    async take(batch, data) {
      const folder = join(root, ...foldersOf(batch.source));
      let place = data === null ? null : (JSON.parse(data) as Place);
      if (place && !opened.has(join(folder, place.name))) place = await found(folder, batch, place);
      const isDue = place !== null && (place.bytes >= sink.rotateBytes || nowMs() - place.openedAt >= sink.rotateHours * 3_600_000);
      // Only now: until this batch is confirmed, the old one is where the position says it ends.
      const old = isDue ? place : null;
      if (isDue) place = null;
      const { name, bytes, openedAt } = place ?? { name: nameOf(batch), bytes: 0, openedAt: nowMs() };
      const path = join(folder, name);
      // A new one was perhaps begun before a crash: it is begun anew.
      if (place === null) await closeOne(path);
      const lines = Buffer.from(batch.items.map((item) => `${JSON.stringify(itemDocument(batch.source, item))}\n`).join(''));
      try {
        const file = await fileAt(path, bytes);
        let at = 0;
        while (at < lines.length) at += (await file.write(lines, at, lines.length - at, bytes + at)).bytesWritten;
        await file.datasync();
      } catch (thrown) {
        // Whatever was written is cut off when it is opened again.
        await closeOne(path).catch(() => {});
        throw thrown;
      }
      if (old) {
        const oldPath = join(folder, old.name);
        // One that is finished has its confirmed length.
        await (await fileAt(oldPath, old.bytes)).datasync();
        const task = inTurn(() => finish(oldPath));
        gathering.add(task);
        void task.finally(() => gathering.delete(task)).catch(() => {});
      }
      return { data: JSON.stringify({ name, bytes: bytes + lines.length, openedAt } satisfies Place), doubles: 0 };
    },
    async tidy() {
      const idleBefore = nowMs() - 60_000;
      for (const { path, usedAt } of opened.values()) if (usedAt < idleBefore) await closeOne(path);
      if (sink.keepDays === undefined) return;
      const before = nowMs() - sink.keepDays * 86_400_000;
      for (const entry of await readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])) {
        if (!entry.isFile() || !/\.ndjson(\.gz)?$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        if (opened.has(path)) continue;
        const { mtimeMs } = await stat(path);
        if (mtimeMs < before) await rm(path, { force: true });
      }
    },
    async close() {
      await Promise.all(gathering);
      for (const path of opened.keys()) await closeOne(path);
    },
  };
}

/**
 * The file that the position names, after a restart. It may have been finished already by a step to the next one that was never
 * confirmed; and what that step began must not stay beside what is written now.
 */
async function found(folder: string, batch: SinkBatch, place: Place): Promise<Place | null> {
  const names = new Set(await readdir(folder).catch(() => []));
  const [stem, run] = [`${safeName(batch.source.epoch)}-`, batch.run === 0 ? '.ndjson' : `-r${batch.run}.ndjson`];
  for (const name of names) {
    // Compressed, and ended before the one that it was made of had gone: whole beside whole, each item twice. Or ended in the middle of it.
    if (name.startsWith(stem) && names.has(`${name}.gz`)) {
      await rm(join(folder, name), { force: true });
      names.delete(name);
      continue;
    }
    if (name.startsWith(stem) && name.endsWith('.gz.tmp')) await rm(join(folder, name), { force: true });
    if (name === place.name || !name.startsWith(stem) || !name.endsWith(run)) continue;
    const from = /^\d{16}(?=\.|-r\d+\.)/.exec(name.slice(stem.length))?.[0];
    if (from !== undefined && `${stem}${from}${run}` === name && Number(from) >= batch.from) await rm(join(folder, name), { force: true });
  }
  return !names.has(place.name) && names.has(`${place.name}.gz`) ? null : place;
}

const foldersOf = ({ customer, serial, feed }: SinkSource): string[] => [customer, serial, feed].map(safeName);

/** Where the epoch's offset begins: so names are in order, and a file that is written again has the same one. */
function nameOf({ source, from, run }: SinkBatch): string {
  return `${safeName(source.epoch)}-${String(from).padStart(16, '0')}${run === 0 ? '' : `-r${run}`}.ndjson`;
}

/** Serials hold anything: `..`, slashes, 300 characters. */
export function safeName(text: string): string {
  const escaped = text.replace(/[^A-Za-z0-9_-]/g, (char) => (char === '.' && text[0] !== '.' ? '.' : [...Buffer.from(char)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')));
  return escaped.length <= 120 && escaped !== '' ? escaped : `${escaped.slice(0, 100)}~${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
}

/** So that the names survive a power cut, too. */
async function syncFolders(from: string, until: string): Promise<void> {
  for (let folder = from; ; folder = dirname(folder)) {
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
    if (folder === until || folder === dirname(folder)) return;
  }
}
