// What gateways have of a feed, read from their databases by hand and put together: each byte at its offset, each hole held against the gaps that
// were reported, the bytes cut into records by what docs/wire/device.md §3 says and none of our code.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';

/** A SQLite store in a data folder, or a PostgreSQL database by its address. */
export type StorePlace = { readonly dataDir: string } | { readonly address: string };

export interface StoredGap {
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

export interface StoredEpoch {
  readonly epoch: string;
  readonly format: string;
  readonly start: number;
  readonly repeats: number;
  readonly conflicts: number;
  readonly chunks: readonly { readonly off: number; readonly bytes: Buffer }[];
  readonly gaps: readonly StoredGap[];
}

type Ask = (text: string, values: readonly (string | number)[]) => Promise<Record<string, unknown>[]>;

async function withStore<Result>(place: StorePlace, run: (ask: Ask) => Promise<Result>): Promise<Result> {
  if ('dataDir' in place) {
    using database = new DatabaseSync(join(place.dataDir, 'postern.db'), { readOnly: true, timeout: 5_000 });
    return await run(async (text, values) => database.prepare(text).all(...values) as Record<string, unknown>[]);
  }
  const client = new Client({ connectionString: place.address });
  await client.connect();
  try {
    return await run(async (text, values) => {
      let at = 0;
      return (await client.query<Record<string, unknown>>(text.replace(/\?/g, () => `$${(at += 1)}`), [...values])).rows;
    });
  } finally {
    await client.end();
  }
}

export function readStored(place: StorePlace, serial: string, feed: string): Promise<StoredEpoch[]> {
  return withStore(place, async (ask) => {
    const epochs = await ask('select e.number as number, e.epoch as epoch, e.format as format, e.start as start, e.repeats as repeats, e.conflicts as conflicts from feed_epoch e join feed f on f.id = e.feed_id where f.serial = ? and f.name = ? order by e.number', [serial, feed]);
    const found: StoredEpoch[] = [];
    for (const row of epochs) {
      const number = Number(row['number']);
      const chunks = await ask('select off, body from chunk where epoch = ? order by off', [number]);
      const gaps = await ask('select from_off, to_off, reason from feed_gap where epoch = ? order by from_off', [number]);
      found.push({
        epoch: String(row['epoch']), format: String(row['format']), start: Number(row['start']), repeats: Number(row['repeats']), conflicts: Number(row['conflicts']),
        chunks: chunks.map(({ off, body }) => ({ off: Number(off), bytes: Buffer.from(body as Uint8Array) })),
        gaps: gaps.map(({ from_off: from, to_off: to, reason }) => ({ from: Number(from), to: Number(to), reason: String(reason) })),
      });
    }
    return found;
  });
}

/** Enough to know whether all has arrived, without reading it. */
export function countBytes(place: StorePlace, serial: string, feed: string): Promise<number> {
  return withStore(place, async (ask) => Number((await ask('select coalesce(sum(c.len), 0) as bytes from chunk c join feed_epoch e on e.number = c.epoch join feed f on f.id = e.feed_id where f.serial = ? and f.name = ?', [serial, feed]))[0]!['bytes']));
}

export function countRecords(place: StorePlace, serial: string, feed: string): Promise<number> {
  return withStore(place, async (ask) => Number((await ask('select coalesce(sum(e.records), 0) as records from feed_epoch e join feed f on f.id = e.feed_id where f.serial = ? and f.name = ?', [serial, feed]))[0]!['records']));
}

export interface StoredRecord {
  readonly text: string;
  readonly epoch: string;
  readonly from: number;
  readonly to: number;
}

export interface Joined {
  readonly records: readonly StoredRecord[];
  /** Of all epochs, those that no server has bytes for. */
  readonly gaps: readonly StoredGap[];
  /** Sentences: holes that nobody reported, bytes that differ, ends of records that are none. */
  readonly faults: readonly string[];
  /** Bytes that two servers have, at the same offsets. */
  readonly twice: number;
  readonly repeats: number;
  readonly epochs: number;
}

interface Run {
  readonly from: number;
  readonly bytes: Buffer;
}

function joinChunks(epoch: string, servers: readonly StoredEpoch[], faults: string[]): { runs: Run[]; twice: number } {
  const chunks = servers.flatMap((server, at) => server.chunks.map((chunk) => ({ ...chunk, at }))).sort((a, b) => a.off - b.off);
  const runs: { from: number; pieces: Buffer[]; end: number }[] = [];
  const reached = servers.map(() => 0);
  let twice = 0;
  for (const { off, bytes, at } of chunks) {
    if (off < reached[at]!) faults.push(`epoch ${epoch}: one server has ${off} to ${reached[at]} twice`);
    reached[at] = off + bytes.length;
    const run = runs.at(-1);
    if (run === undefined || off > run.end) {
      runs.push({ from: off, pieces: [bytes], end: off + bytes.length });
      continue;
    }
    const known = Math.min(bytes.length, run.end - off);
    if (known > 0) {
      twice += known;
      const whole = Buffer.concat(run.pieces);
      if (!whole.subarray(off - run.from, off - run.from + known).equals(bytes.subarray(0, known))) faults.push(`epoch ${epoch}: two servers have different bytes at ${off}`);
      run.pieces.splice(0, run.pieces.length, whole);
    }
    if (known < bytes.length) {
      run.pieces.push(bytes.subarray(known));
      run.end = off + bytes.length;
    }
  }
  return { runs: runs.map(({ from, pieces }) => ({ from, bytes: Buffer.concat(pieces) })), twice };
}

/** Is every byte of it in some gap? */
export function isReported(gaps: readonly StoredGap[], from: number, to: number): boolean {
  let reached = from;
  for (const gap of [...gaps].sort((a, b) => a.from - b.from)) if (gap.from <= reached && gap.to > reached) reached = gap.to;
  return reached >= to;
}

/** Records of a run; `isOpen`: it may begin and end in the middle of one, because a gap is beside it. */
function splitRun(format: string, { from, bytes }: Run, isOpen: boolean, epoch: string, faults: string[]): StoredRecord[] {
  const records: StoredRecord[] = [];
  let at = 0;
  while (at < bytes.length) {
    const isLine = format === 'lines';
    const length = isLine ? bytes.indexOf(0x0a, at) - at : at + 4 <= bytes.length ? bytes.readUInt32BE(at) : Number.NaN;
    if (!isLine && (length < 8 || length > 70_000)) {
      faults.push(`epoch ${epoch}: no record begins at ${from + at}`);
      break;
    }
    const end = isLine ? at + length + 1 : at + 4 + length;
    if (!(length >= 0) || end > bytes.length) {
      if (!isOpen) faults.push(`epoch ${epoch}: the record at ${from + at} has no end`);
      break;
    }
    records.push({ text: bytes.toString('utf8', isLine ? at : at + 12, isLine ? end - 1 : end), epoch, from: from + at, to: from + end });
    at = end;
  }
  return records;
}

/** Of all servers that may have a part of the feed, in any order. */
export function joinStored(servers: readonly (readonly StoredEpoch[])[]): Joined {
  const faults: string[] = [];
  const records: StoredRecord[] = [];
  const holes: StoredGap[] = [];
  const names = [...new Set(servers.flatMap((server) => server.map(({ epoch }) => epoch)))];
  let twice = 0;
  for (const name of names) {
    const of = servers.flatMap((server) => server.filter(({ epoch }) => epoch === name));
    const gaps = of.flatMap((each) => each.gaps);
    const joined = joinChunks(name, of, faults);
    twice += joined.twice;
    let reached = 0;
    for (const [at, run] of joined.runs.entries()) {
      if (run.from > reached) {
        if (!isReported(gaps, reached, run.from)) faults.push(`epoch ${name}: ${reached} to ${run.from} is missing, and no gap says so`);
        holes.push({ from: reached, to: run.from, reason: gaps.filter(({ from, to }) => from < run.from && to > reached).map(({ reason }) => reason).join(' ') });
      }
      reached = run.from + run.bytes.length;
      records.push(...splitRun(of[0]!.format, run, at + 1 < joined.runs.length || gaps.some(({ from, to }) => from <= reached && to > reached), name, faults));
    }
  }
  const all = servers.flat();
  for (const { epoch, conflicts } of all) if (conflicts > 0) faults.push(`epoch ${epoch}: ${conflicts} conflicts`);
  return { records, gaps: holes, faults, twice, repeats: all.reduce((sum, { repeats }) => sum + repeats, 0), epochs: names.length };
}
