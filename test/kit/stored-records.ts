// What a gateway has of a feed in format `stamped`, read from its database by hand.
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** The records of all epochs of the feed, in order; fails when bytes are missing between two chunks of an epoch. */
export const splitRecords = (dataDir: string, feed: string): string[] => stampedRecords(dataDir, feed).map(({ text }) => text);

/** With their times, in milliseconds since 1970. */
export function stampedRecords(dataDir: string, feed: string): { readonly atMs: number; readonly text: string }[] {
  using database = new DatabaseSync(join(dataDir, 'postern.db'), { readOnly: true });
  const epochs = database.prepare('select e.number as number from feed_epoch e join feed f on f.id = e.feed_id where f.name = ? order by e.number').all(feed) as { number: number }[];
  const records: { atMs: number; text: string }[] = [];
  for (const { number } of epochs) {
    const chunks = database.prepare('select off, body from chunk where epoch = ? order by off').all(number) as { off: number; body: Uint8Array }[];
    for (const [i, chunk] of chunks.entries()) {
      const before = chunks[i - 1];
      if (before !== undefined && before.off + before.body.length !== chunk.off) throw new Error(`bytes ${before.off + before.body.length} to ${chunk.off} are missing`);
    }
    const bytes = Buffer.concat(chunks.map(({ body }) => body));
    for (let at = 0; at + 4 <= bytes.length; ) {
      const length = bytes.readUInt32BE(at);
      if (length < 8 || at + 4 + length > bytes.length) break;
      records.push({ atMs: Number(bytes.readBigInt64BE(at + 4)), text: bytes.toString('utf8', at + 12, at + 4 + length) });
      at += 4 + length;
    }
  }
  return records;
}
