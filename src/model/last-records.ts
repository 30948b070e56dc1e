// Where the last records of an epoch begin. Lengths that stand before records can only be read forwards, and no index of them is kept: a place is
// believed when splitting from there makes of every chunk as many records as were counted when it was stored, and ends where the epoch does.
import { type FeedRecord, parseFormat, RecordSplitter, type RecordFormat } from '#wire/records.ts';
import type { StoredChunk } from './intake.ts';
import type { FeedEpoch, FeedGap } from './rows.ts';

const LF = 10;
const placesMax = 500;

export interface EndOfEpoch {
  readonly epoch: Pick<FeedEpoch, 'format' | 'start' | 'first' | 'boundary' | 'unframed'>;
  /** In order, up to the epoch's end. */
  readonly chunks: readonly StoredChunk[];
  readonly gaps: readonly Pick<FeedGap, 'fromOff' | 'toOff'>[];
}

/** The offset of the record that has `wanted` - 1 behind it, or of the first in these chunks when they have fewer. null: it cannot be told. */
export function startOfLast(end: EndOfEpoch, wanted: number): number | null {
  const format = parseFormat(end.epoch.format) ?? { kind: 'raw' };
  const { chunks } = end;
  if (chunks.length === 0) return end.epoch.boundary;
  if (format.kind === 'raw') return chunks.at(-wanted)?.off ?? chunks[0]!.off;
  for (const place of placesFor(format, end)) {
    const offsets = recordsFrom(format, end, place);
    if (offsets !== null) return offsets.at(-wanted) ?? offsets[0] ?? end.epoch.boundary;
  }
  return null;
}

/** Where a record may begin, the earliest first. */
function placesFor(format: RecordFormat, { epoch, chunks, gaps }: EndOfEpoch): number[] {
  const from = chunks[0]!.off;
  const sure = [epoch.start, epoch.first, ...gaps.map((gap) => gap.toOff)].filter((place) => place >= from);
  if (format.kind === 'lines') {
    const ends = chunks.find((chunk) => chunk.body.includes(LF));
    if (ends) sure.push(ends.off + ends.body.indexOf(LF) + 1);
    return inOrder(sure);
  }
  if (format.kind === 'fixed') {
    // All of a stretch without gaps are as far apart as the last ones.
    const since = Math.max(from, ...gaps.map((gap) => gap.toOff));
    return inOrder([...sure, epoch.boundary - Math.floor(Math.max(0, epoch.boundary - since) / format.length) * format.length]);
  }
  return inOrder([...sure, ...chunks.map((chunk) => chunk.off)]);
}

const inOrder = (places: readonly number[]): number[] => [...new Set(places)].sort((a, b) => a - b).slice(0, placesMax);

/** The offsets of the records; null: none begins at this place. */
function recordsFrom(format: RecordFormat, { epoch, chunks, gaps }: EndOfEpoch, place: number): number[] | null {
  const splitter = new RecordSplitter(format, place);
  const offsets: number[] = [];
  const onRecord = ({ off }: FeedRecord) => void offsets.push(off);
  let isFirst = true;
  for (const { off, body, records } of chunks) {
    if (off + body.length <= place) continue;
    if (off > splitter.end) splitter.gap(off, onRecord);
    const before = offsets.length;
    splitter.push(off < place ? body.subarray(place - off) : body, onRecord);
    // A chunk in whose middle we begin has records that ended before.
    if (!(isFirst && off < place) && offsets.length - before !== records) return null;
    isFirst = false;
  }
  const trailing = gaps.find((gap) => gap.fromOff === splitter.end);
  if (trailing) splitter.gap(trailing.toOff, onRecord);
  return splitter.boundary === epoch.boundary && splitter.unframed === epoch.unframed ? offsets : null;
}
