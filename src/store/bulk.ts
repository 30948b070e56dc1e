// The rows of many batches in few statements: on SQLite a prepared statement for each row, which is a call in this process; on
// PostgreSQL one statement for all rows of a table, because each is a round trip.
import { randomBytes } from 'node:crypto';
import { buildIds } from '#base/ids.ts';
import type { FeedEpoch, FeedGap } from '#model/rows.ts';
import type { Connection } from './connection.ts';
import type { Schema } from './schema.ts';
import type { Unit } from './unit.ts';

export interface Bulk {
  chunk(row: Schema['chunk']): void;
  gap(row: FeedGap): void;
  alert(row: { readonly customerId: string; readonly epoch: number; readonly off: number; readonly rule: string; readonly record: string; readonly at: number }): void;
  /** What moves of an epoch. */
  epoch(row: FeedEpoch): void;
  /** Writes what was given so far. */
  flush(): Promise<void>;
}

interface Statement {
  /** With `?` for each column. */
  readonly one: string;
  /** With an array for each column, `$1` and so on. */
  readonly many: string;
}

const numbered = (text: string) => {
  let index = 0;
  return text.replaceAll('?', () => `$${++index}`);
};

const insert = (table: string, columns: readonly (readonly [string, string])[], end = ''): Statement => {
  const names = columns.map(([name]) => `"${name}"`).join(', ');
  return {
    one: `insert into ${table} (${names}) values (${columns.map(() => '?').join(', ')})${end}`,
    many: `insert into ${table} (${names}) select * from unnest(${columns.map(([, type], index) => `$${index + 1}::${type}[]`).join(', ')})${end}`,
  };
};

const chunkInsert: Statement = {
  one: 'insert into chunk (epoch, off, len, at, records, body) values (?, ?, ?, ?, ?, ?)',
  // Bodies as one, which the server cuts: an array of them would travel as text, twice as long. Measured: twice the rows a second at 2 kB.
  many: 'insert into chunk (epoch, off, len, at, records, body) select e, o, l, t, r, substring($7::bytea from s for l::int) from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[]) as x (e, o, l, t, r, s)',
};
const gapInsert = insert('feed_gap', [['epoch', 'bigint'], ['from_off', 'bigint'], ['to_off', 'bigint'], ['reason', 'text'], ['at', 'bigint']]);
const alertInsert = insert(
  'feed_alert',
  [['id', 'text'], ['customer_id', 'text'], ['epoch', 'bigint'], ['off', 'bigint'], ['rule', 'text'], ['record', 'text'], ['at', 'bigint'], ['due_at', 'bigint'], ['tries', 'bigint']],
  ' on conflict (epoch, off, rule) do nothing',
);
const moving = [
  ['next', 'bigint'], ['boundary', 'bigint'], ['unframed', 'integer'], ['records', 'bigint'], ['batches', 'bigint'], ['repeats', 'bigint'], ['gaps', 'bigint'], ['lost_bytes', 'bigint'], ['conflicts', 'bigint'],
  ['claimed', 'bigint'], ['sealed_at', 'bigint'], ['sealed_to', 'text'], ['last_at', 'bigint'],
] as const;
const epochUpdate: Statement = {
  one: `update feed_epoch set ${moving.map(([name]) => `"${name}" = ?`).join(', ')} where "number" = ?`,
  many: `update feed_epoch set ${moving.map(([name]) => `"${name}" = moved."${name}"`).join(', ')} from unnest(${moving.map(([, type], index) => `$${index + 1}::${type}[]`).join(', ')}, $${moving.length + 1}::bigint[]) as moved (${moving.map(([name]) => `"${name}"`).join(', ')}, "number") where feed_epoch."number" = moved."number"`,
};

/** The columns of many chunks, for `chunkInsert.many`. */
function joined(rows: readonly (readonly unknown[])[]): unknown[] {
  const bodies = rows.map((row) => row[5] as Uint8Array);
  let from = 1;
  const starts = bodies.map((body) => {
    const start = from;
    from += body.length;
    return start;
  });
  return [...[0, 1, 2, 3, 4].map((column) => rows.map((row) => row[column])), starts, Buffer.concat(bodies)];
}

async function write(connection: Connection, statement: Statement, rows: readonly (readonly unknown[])[]): Promise<void> {
  if (connection.kind === 'sqlite') {
    for (const row of rows) await connection.query(statement.one, row);
    return;
  }
  if (rows.length === 1) return void (await connection.query(numbered(statement.one), rows[0]!));
  const columns = rows[0]!.map((_, column) => rows.map((row) => row[column]));
  await connection.query(statement.many, statement === chunkInsert ? joined(rows) : columns);
}

/** Ids made in this thread. */
export const newId = buildIds(() => Date.now(), randomBytes);

export function buildBulk({ connection }: Pick<Unit, 'connection'>): Bulk {
  let chunks: (readonly unknown[])[] = [];
  let gaps: (readonly unknown[])[] = [];
  let alerts: (readonly unknown[])[] = [];
  let epochs = new Map<number, readonly unknown[]>();
  return {
    chunk: ({ epoch, off, len, at, records, body }) => void chunks.push([epoch, off, len, at, records, body]),
    gap: ({ epoch, fromOff, toOff, reason, at }) => void gaps.push([epoch, fromOff, toOff, reason, at]),
    alert: ({ customerId, epoch, off, rule, record, at }) => void alerts.push([newId(), customerId, epoch, off, rule, record, at, at, 0]),
    epoch: (row) =>
      void epochs.set(row.number, [
        row.next, row.boundary, Number(row.unframed), row.records, row.batches, row.repeats, row.gaps, row.lostBytes, row.conflicts, row.claimed, row.sealedAt, row.sealedTo, row.lastAt, row.number,
      ]),
    async flush() {
      const [c, g, a, e] = [chunks, gaps, alerts, [...epochs.values()]];
      chunks = [];
      gaps = [];
      alerts = [];
      epochs = new Map();
      if (c.length > 0) await write(connection, chunkInsert, c);
      if (g.length > 0) await write(connection, gapInsert, g);
      if (a.length > 0) await write(connection, alertInsert, a);
      if (e.length > 0) await write(connection, epochUpdate, e);
    },
  };
}
