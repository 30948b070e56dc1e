// The store alone, in a process of its own: batches of many devices through operations.intake, against the same rows committed by
// the bare driver in the same groups. Prints one JSON line at its end.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { realClock } from '#app/real.ts';
import { buildIds } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import type { Push } from '#model/intake.ts';
import { openStore } from '#store/open.ts';

interface Order {
  /** postgres://… of an empty database; absent: SQLite. */
  readonly store?: string;
  /** Another empty one, for the bare statements. */
  readonly bare?: string;
  readonly rounds: number;
  /** Bytes of a batch; lines of 150. */
  readonly sizes: readonly number[];
}

const order = JSON.parse(process.argv[2]!) as Order;
const folder = mkdtempSync(join(tmpdir(), 'postern-bench-store-'));
const newId = buildIds(() => Date.now(), randomBytes);
const devices = 256;
const line = Buffer.from(`${'x'.repeat(149)}\n`);

interface Cost {
  readonly perSecond: number;
  readonly cpuUs: number;
}

async function measured(batches: number, work: () => Promise<void>): Promise<Cost> {
  const cpu = process.cpuUsage();
  const from = performance.now();
  await work();
  const seconds = (performance.now() - from) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: batches / seconds, cpuUs: (user + system) / batches };
}

interface Bare {
  commit(body: Buffer): Promise<void>;
  close(): Promise<void>;
}

const schema = (blob: string) => `create table e (number bigint primary key, next bigint not null, records bigint not null, last_at bigint not null); create table chunk (epoch bigint not null, off bigint not null, len integer not null, at bigint not null, records integer not null, body ${blob} not null, primary key (epoch, off))`;

function bareSqlite(): Bare {
  const database = new DatabaseSync(join(folder, 'bare.db'));
  database.exec(`pragma journal_mode = wal; pragma synchronous = full; ${schema('blob')}`);
  const insert = database.prepare('insert into chunk values (?, ?, ?, ?, ?, ?)');
  const move = database.prepare('update e set next = ?, records = ?, last_at = ? where number = ?');
  for (let i = 0; i < devices; i++) database.prepare('insert into e values (?, 0, 0, 0)').run(i);
  let off = 0;
  return {
    async commit(body) {
      database.exec('begin immediate');
      for (let i = 0; i < devices; i++) {
        insert.run(i, off, body.length, Date.now(), 1, body);
        move.run(off + body.length, 1, Date.now(), i);
      }
      database.exec('commit');
      off += body.length;
    },
    async close() {
      database.close();
    },
  };
}

/** As somebody would write it who wants it fast: two statements for all rows of a group. */
async function barePostgres(address: string): Promise<Bare> {
  const { Client } = await import('pg');
  const client = new Client({ connectionString: address });
  await client.connect();
  await client.query(`${schema('bytea')}; alter table chunk alter column body set storage external`);
  await client.query('insert into e select i, 0, 0, 0 from generate_series(0, $1::bigint) i', [devices - 1]);
  const numbers = Array.from({ length: devices }, (_, i) => i);
  let off = 0;
  return {
    async commit(body) {
      const at = Date.now();
      const all = Buffer.concat(numbers.map(() => body));
      await client.query('begin');
      await client.query({ name: 'i', text: 'insert into chunk select n, $2::bigint, $3::int, $4::bigint, 1, substring($5::bytea from (n * $3::int + 1)::int for $3::int) from unnest($1::bigint[]) n', values: [numbers, off, body.length, at, all] });
      await client.query({ name: 'u', text: 'update e set next = $2::bigint, records = 1, last_at = $3::bigint where number = any($1::bigint[])', values: [numbers, off + body.length, at] });
      await client.query('commit');
      off += body.length;
    },
    close: () => client.end(),
  };
}

const store = await openStore({ dataDir: folder, clock: realClock, random: randomBytes, log: silentLog, ...(order.store === undefined ? {} : { store: order.store }) });
const customerId = (await store.loadEverything()).customers[0]!.id;
const bare = order.bare === undefined ? bareSqlite() : await barePostgres(order.bare);
const found: object[] = [];
try {
  for (const size of order.sizes) {
    const body = Buffer.concat(Array.from({ length: Math.max(1, Math.round(size / line.length)) }, () => line));
    const feeds = Array.from({ length: devices }, () => ({ deviceId: newId(), epoch: randomBytes(8).toString('hex'), next: 0 }));
    const none: Push['alerts'] = [];
    const group = (): Push[] =>
      feeds.map((feed) => {
        const push: Push = { customerId, deviceId: feed.deviceId, serial: 'SN1', feed: 'cdr', epoch: feed.epoch, offset: feed.next, bytes: body, format: 'lines', gap: null, start: null, at: Date.now(), alerts: none, quarantineMax: null };
        feed.next += body.length;
        return push;
      });
    await store.intake(group());
    const groups = Math.max(4, Math.min(60, Math.round(24_000_000 / (body.length * devices))));
    const ours: Cost[] = [];
    const theirs: Cost[] = [];
    for (let round = 0; round <= order.rounds; round++) {
      // Two under way, as the gateway has them: one waits for its fsync while the next is on its way.
      const mine = await measured(groups * devices, async () => {
        let before: Promise<unknown> = Promise.resolve();
        for (let i = 0; i < groups; i++) {
          const now = store.intake(group());
          await before;
          before = now;
        }
        await before;
      });
      const other = await measured(groups * devices, async () => {
        for (let i = 0; i < groups; i++) await bare.commit(body);
      });
      if (round === 0) continue;
      ours.push(mine);
      theirs.push(other);
    }
    found.push({ size: body.length, records: body.length / line.length, ours, bare: theirs });
  }
} finally {
  await store.close();
  await bare.close();
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`${JSON.stringify({ found })}\n`);
