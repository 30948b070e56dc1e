// What a sink takes in one go: chunks of an epoch as items in their order, records, gaps and bytes that are no records. The same
// position and the same end give the same items, whatever the batches were that the device sent and whatever happened in between.
import { isUtf8 } from 'node:buffer';
import { type FeedRecord, parseFormat, RecordSplitter } from '#wire/records.ts';
import type { ChunkPage } from './intake.ts';
import type { FieldValue, RecordParser } from './parsers/fields.ts';
import type { FeedEpoch, FeedGap } from './rows.ts';
import type { SinkPosition } from './sinks.ts';

/** record · broken: a gap came before its end · bytes: of a feed without records, or behind a length that cannot be · gap: bytes that are lost. */
export type SinkItemKind = 'record' | 'broken' | 'bytes' | 'gap';

export interface SinkItem {
  readonly kind: SinkItemKind;
  /** Of its first byte: with the epoch it is its identity. */
  readonly off: number;
  readonly end: number;
  /** Milliseconds since 1970; of a gap, when it was declared. */
  readonly receivedAt: number;
  /** As the device stamped it. */
  readonly atMs: number | null;
  /** null of a gap. */
  readonly bytes: Uint8Array | null;
  readonly fields: Readonly<Record<string, FieldValue>> | null;
  readonly key: string | null;
  /** Why it was not understood; of a gap its reason. */
  readonly error: string | null;
}

/** Whose items they are, in words that hold across gateways and restores. */
export interface SinkSource {
  /** The customer's key. */
  readonly customer: string;
  readonly serial: string;
  readonly feed: string;
  /** 16 hex digits. */
  readonly epoch: string;
}

export interface SinkBatch {
  readonly source: SinkSource;
  readonly from: number;
  /** Everything before it is in this batch or was in one before. */
  readonly to: number;
  readonly run: number;
  /** At `to`. */
  readonly unframed: boolean;
  /** Lines that `skip` left out are not among them. */
  readonly items: readonly SinkItem[];
}

export interface BatchBounds {
  readonly itemsMax: number;
  readonly bytesMax: number;
  /** Exactly up to there; null: as far as the bounds allow. */
  readonly to: number | null;
}

/** Rows of gaps in one page of the store. */
const gapsPerPage = 1_000;

interface Gathered {
  readonly items: SinkItem[];
  /** Behind the last item. */
  to: number;
  bytes: number;
  full: boolean;
}

/** `more`: the bounds ended it, or the page did. A batch whose `to` is the position's has nothing whole in it yet. */
export function buildBatch(source: SinkSource, epoch: Pick<FeedEpoch, 'format' | 'first'>, position: SinkPosition, page: ChunkPage, parser: RecordParser | null, bounds: BatchBounds): SinkBatch & { readonly more: boolean } {
  const { off: from, run } = position;
  const splitter = new RecordSplitter(parseFormat(epoch.format) ?? { kind: 'raw' }, from, position.unframed);
  const gathered: Gathered = { items: [], to: from, bytes: 0, full: false };
  const gaps = page.gaps.map((gap) => ({ ...gap, fromOff: Math.max(gap.fromOff, from) })).filter((gap) => gap.toOff > gap.fromOff);
  // More gaps than one page has rows for: what lies behind the last of them would seem to be lost without a reason.
  const known = page.gaps.length >= gapsPerPage ? page.gaps.at(-1)!.fromOff : Infinity;
  let unframed = position.unframed;
  const add = (item: SinkItem, size: number) => {
    if (gathered.full) return;
    if (bounds.to !== null ? item.off >= bounds.to : gathered.items.length >= bounds.itemsMax || (gathered.bytes > 0 && gathered.bytes + size > bounds.bytesMax)) {
      gathered.full = true;
      return;
    }
    gathered.items.push(item);
    gathered.bytes += size;
    gathered.to = item.end;
  };
  let receivedAt = 0;
  const onRecord = (record: FeedRecord) => {
    if (gathered.full) return;
    const item = itemOf(record, receivedAt, parser);
    // A line that is left out has been dealt with all the same.
    if (item) add(item, record.bytes.length + 64);
    else if (bounds.to === null || record.off < bounds.to) gathered.to = record.end;
    else gathered.full = true;
  };
  const passGap = (to: number) => {
    const at = splitter.end;
    splitter.gap(to, onRecord);
    for (const gap of gapItems(gaps, at, to, receivedAt)) add(gap, 64);
    if (!gathered.full) unframed = false;
  };
  for (const chunk of page.chunks) {
    if (gathered.full || chunk.off >= known) break;
    const off = Math.max(chunk.off, from);
    const body = chunk.off < from ? chunk.body.subarray(from - chunk.off) : chunk.body;
    if (off > splitter.end) passGap(off);
    if (gathered.full) break;
    receivedAt = chunk.at;
    const held = splitter.boundary;
    splitter.push(body, onRecord);
    if (splitter.format.kind === 'raw') add(bytesItem(off, body, receivedAt), body.length);
    else if (splitter.unframed && !gathered.full) {
      // Once, from where the length stands that cannot be; after that chunk by chunk.
      const start = unframed ? off : Math.max(held, splitter.boundary);
      add(bytesItem(start, tailOf(page, start, off + body.length), receivedAt), off + body.length - start);
      if (!gathered.full) unframed = true;
    }
  }
  for (let more = page.atEnd; more && !gathered.full; ) {
    const trailing = gaps.find((gap) => gap.fromOff <= splitter.end && gap.toOff > splitter.end);
    if (trailing) passGap(trailing.toOff);
    more = trailing !== undefined;
  }
  return { source, from, to: gathered.to, run, unframed, items: gathered.items, more: gathered.full || !page.atEnd };
}

/** Bytes of the page from there to there; they lie in neighbouring chunks. */
function tailOf(page: ChunkPage, from: number, to: number): Buffer {
  return Buffer.concat(page.chunks.filter((chunk) => chunk.off < to && chunk.off + chunk.body.length > from).map((chunk) => chunk.body.subarray(Math.max(0, from - chunk.off), to - chunk.off)));
}

const bytesItem = (off: number, bytes: Uint8Array, receivedAt: number): SinkItem => ({ kind: 'bytes', off, end: off + bytes.length, receivedAt, atMs: null, bytes: Uint8Array.from(bytes), fields: null, key: null, error: null });

/** What is not there and not declared either was dropped by retention before it was taken. */
function gapItems(gaps: readonly FeedGap[], from: number, to: number, receivedAt: number): SinkItem[] {
  const items: SinkItem[] = [];
  const gapItem = (off: number, end: number, at: number, reason: string): SinkItem => ({ kind: 'gap', off, end, receivedAt: at, atMs: null, bytes: null, fields: null, key: null, error: reason });
  let at = from;
  for (const gap of gaps) {
    if (gap.toOff <= at || gap.fromOff >= to) continue;
    if (gap.fromOff > at) items.push(gapItem(at, gap.fromOff, receivedAt, 'dropped'));
    const end = Math.min(gap.toOff, to);
    items.push(gapItem(Math.max(gap.fromOff, at), end, gap.at, gap.reason));
    at = end;
  }
  if (at < to) items.push(gapItem(at, to, receivedAt, 'dropped'));
  return items;
}

function itemOf(record: FeedRecord, receivedAt: number, parser: RecordParser | null): SinkItem | null {
  const common = { off: record.off, end: record.end, receivedAt, atMs: record.atMs, bytes: Uint8Array.from(record.bytes) };
  if (record.broken) return { ...common, kind: 'broken', fields: null, key: null, error: 'a gap came before its end' };
  if (!parser) return { ...common, kind: 'record', fields: null, key: null, error: null };
  const parsed = parser.parse(textOf(record.bytes));
  return parsed && { ...common, kind: 'record', fields: parsed.fields, key: parsed.key, error: parsed.error };
}

/** As people read it: UTF-8 where it is, else each byte a character. */
export function textOf(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return isUtf8(buffer) ? buffer.toString('utf8') : buffer.toString('latin1');
}

/** The item in JSON, as files, webhooks and streams carry it. */
export function itemDocument(source: SinkSource, item: SinkItem): Record<string, unknown> {
  const { kind, off, end, receivedAt, atMs, bytes, fields, key, error } = item;
  const buffer = bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    ...source, off, end, kind,
    receivedAt: new Date(receivedAt).toISOString(),
    ...(atMs === null ? {} : { at: timeText(atMs), atMs }),
    ...(buffer === null ? {} : isUtf8(buffer) ? { text: buffer.toString('utf8') } : { hex: buffer.toString('hex') }),
    ...(fields === null ? {} : { fields }),
    ...(key === null ? {} : { key }),
    ...(error === null ? {} : kind === 'gap' ? { reason: error } : { error }),
  };
}

/** null: not a time since 1970 (docs/wire/device.md §3), or none that a calendar has. */
export function timeText(atMs: number): string | null {
  return atMs >= 0 && atMs <= 8.64e15 ? new Date(atMs).toISOString() : null;
}
