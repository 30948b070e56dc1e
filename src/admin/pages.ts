// Lists in pages: sorted by a key that ends in the id; the cursor is the key of the last item shown, so that rows that
// come and go between two questions neither repeat nor hide others.
import { Fault } from '#base/fault.ts';
import type { Table } from '#model/table.ts';

export interface PageOrder<Row> {
  readonly keyOf: (row: Row) => string;
  readonly newestFirst?: boolean;
}

/** The rows of a table in order, sorted again only when the table has changed. */
export function keepSorted<Row>(table: Table<Row>, order: PageOrder<Row>): () => readonly Row[] {
  let at = -1;
  let rows: readonly Row[] = [];
  return () => {
    if (at !== table.version) {
      rows = sorted(table.values(), order);
      at = table.version;
    }
    return rows;
  };
}

export function sorted<Row>(rows: Iterable<Row>, { keyOf, newestFirst = false }: PageOrder<Row>): Row[] {
  const keyed = Array.from(rows, (row) => ({ row, key: keyOf(row) }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  if (newestFirst) keyed.reverse();
  return keyed.map(({ row }) => row);
}

export const byName = (row: { readonly name: string; readonly id: string }) => `${row.name.toLowerCase()}\0${row.id}`;
/** Ids grow with time. */
export const byId = (row: { readonly id: string }) => row.id;

export function parseCursor(cursor: string): string {
  const key = Buffer.from(cursor, 'base64url').toString();
  if (key === '' || Buffer.from(key).toString('base64url') !== cursor) throw new Fault('bad-input', 'this cursor is not one of ours', { remedy: 'start the list again without a cursor' });
  return key;
}

export const writeCursor = (key: string): string => Buffer.from(key).toString('base64url');

export function pageOf<Row, View>(rows: readonly Row[], order: PageOrder<Row>, { cursor, limit }: { readonly cursor?: string | undefined; readonly limit: number }, wanted: (row: Row) => boolean, view: (row: Row) => View): { items: View[]; next: string | null } {
  let start = 0;
  if (cursor !== undefined) {
    const key = parseCursor(cursor);
    const behind = (row: Row) => (order.newestFirst ? order.keyOf(row) < key : order.keyOf(row) > key);
    let end = rows.length;
    while (start < end) {
      const middle = (start + end) >> 1;
      if (behind(rows[middle]!)) end = middle;
      else start = middle + 1;
    }
  }
  const items: View[] = [];
  let last: Row | undefined;
  for (let i = start; i < rows.length; i++) {
    const row = rows[i]!;
    if (!wanted(row)) continue;
    if (items.length === limit) return { items, next: writeCursor(order.keyOf(last!)) };
    items.push(view(row));
    last = row;
  }
  return { items, next: null };
}
