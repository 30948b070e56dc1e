// What the API shows of what devices bring: feeds, their epochs, records and gaps.
import { z } from 'zod';
import { id, page, pageQuery, time } from './shapes.ts';

const query = z.strictObject;
const count = z.int().min(0);
const epochName = z.string().regex(/^[0-9a-f]{16}$/, 'is 16 hex digits');
const offset = z.coerce.number<number>().int().min(0).max(Number.MAX_SAFE_INTEGER);

export const epochView = z.object({
  epoch: epochName,
  kind: z.enum(['offset', 'keyed']).meta({ description: 'offset: the device counts, exactly once · keyed: bodies with Idempotency-Key, at least once' }),
  format: z.string(),
  start: count.meta({ description: 'the offset that it began with here' }),
  first: count.meta({ description: 'the oldest offset that is kept' }),
  next: count.meta({ description: 'the first offset that is not here' }),
  boundary: count.meta({ description: 'where the record that is open begins' }),
  unframed: z.boolean().meta({ description: 'from the boundary on its bytes cannot be split into records' }),
  records: count,
  batches: count,
  repeats: count.meta({ description: 'batches that came once more: answered, and not stored again' }),
  gaps: count,
  lostBytes: count.meta({ description: 'that its device declared lost' }),
  conflicts: count,
  behindBytes: count.meta({ description: 'its device says that so much more was confirmed than is here: this gateway has less than it once had' }),
  sealedAt: time.nullable(),
  sealedTo: z.string().nullable().meta({ description: 'where it went on' }),
  createdAt: time,
  lastAt: time,
});
export type EpochView = z.infer<typeof epochView>;

export const feedView = z.object({
  id,
  customerId: id,
  customer: z.string().meta({ description: 'its key' }),
  deviceId: id,
  device: z.object({ name: z.string(), label: z.string() }).nullable().meta({ description: 'null: it is not there any more, or waits to be approved' }),
  waiting: z.boolean().meta({ description: 'in quarantine: its device waits to be approved' }),
  serial: z.string(),
  name: z.string(),
  createdAt: time,
  lastAt: time.nullable(),
  bytes: count.meta({ description: 'that are kept' }),
  records: count,
  batches: count,
  gaps: count,
  conflicts: count,
  behindBytes: count,
  unframed: z.boolean(),
  epoch: epochView.nullable().meta({ description: 'the newest' }),
  rate: z.object({ batchesPerMinute: z.number().min(0), bytesPerMinute: z.number().min(0) }).meta({ description: 'over the last minutes' }),
  recentBytes: z.array(count).meta({ description: 'that came in each quarter of a minute of the last five, the oldest first; empty: none' }),
  said: z
    .object({ epoch: epochName, next: count, pendingBytes: count, lostBytes: count, at: time.nullable() })
    .nullable()
    .meta({ description: 'what its device said of it at its last check-in: where it delivers on, what waits in its memory, what it has lost' }),
  mayRemove: z.boolean(),
});
export type FeedView = z.infer<typeof feedView>;

const gap = { from: count, to: count, reason: z.string(), at: time };
export const recordItem = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('record'),
    off: count.meta({ description: 'of its first byte: its identity in the epoch' }),
    end: count,
    receivedAt: time,
    atMs: z.number().nullable().meta({ description: 'as its device stamped it' }),
    broken: z.boolean().meta({ description: 'a gap came before its end' }),
    text: z.string().nullable().meta({ description: 'where it is UTF-8' }),
    hex: z.string().nullable().meta({ description: 'where it is not' }),
    bytes: count.meta({ description: 'that it has, without prefix and terminator' }),
    cut: z.boolean().meta({ description: 'more than are shown' }),
  }),
  z.object({ kind: z.literal('gap'), ...gap }),
]);
export type RecordItem = z.infer<typeof recordItem>;

const recordsView = z.object({
  epoch: epochName,
  format: z.string(),
  items: z.array(recordItem).meta({ description: 'records, and gaps where they are' }),
  reached: count.meta({ description: 'go on with from=reached' }),
  atEnd: z.boolean().meta({ description: 'nothing follows that is whole and here now' }),
});
export type RecordsView = z.infer<typeof recordsView>;

const gapView = z.object({ epoch: epochName, ...gap });
export type GapView = z.infer<typeof gapView>;

const ofEpoch = epochName.optional().meta({ description: 'default: the newest' });

export const feedRoutes = {
  listFeeds: {
    summary: 'Feeds of devices. A page may have fewer than `limit` while `next` says that there are more',
    query: query({ ...pageQuery, deviceId: id.optional(), customerId: id.optional(), search: z.string().max(100).optional().meta({ description: 'in its name, serial, or the name and label of its device' }) }),
    answer: page(feedView),
  },
  getFeed: { summary: 'One feed with its epochs', answer: feedView.extend({ epochs: z.array(epochView).meta({ description: 'the newest first, at most 100' }) }) },
  searchRecords: {
    summary: 'Records of a feed, in order, with the gaps between them. One question reads a bounded amount: go on from `reached` until `atEnd`',
    query: query({
      epoch: ofEpoch,
      from: offset.optional().meta({ description: "a record's offset; default: the oldest that is kept" }),
      last: z.coerce.number<number>().int().min(1).max(500).optional().meta({ description: 'instead of `from`: the last so many' }),
      pattern: z.string().min(1).max(1_000).optional().meta({ description: 'RE2; bytes are read as latin1' }),
      limit: pageQuery.limit,
    }),
    answer: recordsView,
  },
  readFeedBytes: {
    summary: 'Its bytes as they came, up to a gap or a bounded amount: Postern-From says where they begin, Postern-Next where to go on, Postern-End 1 that nothing follows now',
    query: query({ epoch: ofEpoch, from: offset.optional(), to: offset.optional() }),
    answer: z.string(),
  },
  listGaps: { summary: 'What is lost of a feed and known to be, the newest first', query: query({ limit: pageQuery.limit }), answer: z.object({ items: z.array(gapView) }) },
  removeFeed: { summary: 'Remove a feed with all its bytes, for good', answer: z.object({}) },
} as const;
