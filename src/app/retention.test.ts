// Retention over a real store, with a clock that is moved by hand.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { limits } from '#base/limits.ts';
import { type Log, silentLog } from '#base/log.ts';
import { configSchema, type Config } from '#model/config.ts';
import { buildJournal } from '#model/journal.ts';
import { openStore } from '#store/open.ts';
import { pusherOn, randomEpoch } from '../../test/contracts/intake.ts';
import { newId, rowsFor } from '../../test/contracts/store.ts';
import { handClock } from '../../test/kit/admin-room.ts';
import { keepRetention, type RetentionOptions } from './retention.ts';

const root = await mkdtemp(join(tmpdir(), 'postern-retention-'));
after(() => rm(root, { recursive: true, force: true }));
const dayMs = 24 * 3_600_000;

async function room(config: { readonly [Name in 'retention' | 'feeds' | 'sinks']?: unknown }, more: Partial<RetentionOptions> = {}) {
  const parsed = configSchema.parse({ version: 1, domains: [{ name: 'gw.example.test' }], listeners: [{ name: 'https', port: 443, tls: true }], ...config }) as Config;
  const clock = handClock();
  const dataDir = await mkdtemp(join(root, 'store-'));
  const said: string[] = [];
  const log: Log = { ...silentLog, info: (event) => void said.push(event), warn: (event) => void said.push(event) };
  const store = await openStore({ dataDir, clock, random: randomBytes, log: silentLog });
  const rows = await rowsFor(store);
  const journal = buildJournal(() => clock.nowMs(), limits.journalLinesMax);
  const retention = keepRetention({
    operations: store, config: () => parsed, customerKey: () => 'default', customerId: rows.customerId, clock, log, journal, limits: { ...limits, retentionRowsPerStep: 7 }, isHeld: () => false, dropFiles: null, ...more,
  });
  return {
    clock, store, rows, journal, retention, said, dataDir,
    async [Symbol.asyncDispose]() {
      await retention.close();
      await store.close();
    },
  };
}

test('what nobody bounded stays, but for what the gateway keeps for itself', async () => {
  await using it = await room({});
  const device = await pusherOn(it.store);
  await device.send(0, 'one\n', { at: 5 });
  await it.store.addAudit([it.rows.audit('old', { at: 5 })]);
  it.journal.note('x', {});
  await it.retention.run();
  assert.deepEqual(Object.values(it.retention.dropped).filter((count) => count > 0), []);
  const { audit, visits, keys, records } = it.retention.bounds();
  assert.deepEqual([audit.days, visits.days, visits.count, keys.days, records], [730, 400, 50_000, 30, { days: null, count: null, bytes: null }]);
});

test('an audit that is cut says so in its own chain', async () => {
  await using it = await room({ retention: { auditDays: 10 } });
  const now = it.clock.nowMs();
  await it.store.addAudit(Array.from({ length: 250 }, (_, i) => it.rows.audit('line', { at: now - (i < 120 ? 11 : 9) * dayMs })));
  const before = (await it.store.listAudit({ limit: 500 })).find(({ seq }) => seq === 120)!;
  await it.retention.run();
  assert.equal(it.retention.dropped.audit, 120);
  const [newest] = await it.store.listAudit({ limit: 1 });
  assert.deepEqual([newest!.what, newest!.actor.kind, newest!.detail], ['audit.dropped', 'gateway', { lines: 120, through: 120, hash: before.hash }]);
  assert.deepEqual(await it.store.verifyAudit(), { lines: 131, brokenAt: null, why: null, droppedThrough: 120 });
  await it.retention.run();
  assert.equal((await it.store.listAudit({ limit: 1 }))[0]!.seq, newest!.seq, 'nothing more, so nothing more is said');
});

test('the first rule that means a feed says how long it is kept, else what holds for all', async () => {
  await using it = await room({
    retention: { recordsDays: 30 },
    feeds: [{ name: 'bulk', feeds: 'bulk*', keepBytes: 10 }, { name: 'one', devices: 'SN2', keepDays: 2 }, { name: 'other-customer', customer: 'acme', keepDays: 1 }],
  });
  const now = it.clock.nowMs();
  const send = async (feed: string, serial: string) => {
    const device = await pusherOn(it.store, feed, randomEpoch());
    for (const [i, days] of [40, 20, 3, 1].entries()) await device.send(i * 4, 'abc\n', { serial, at: now - days * dayMs });
    return device.deviceId;
  };
  const devices = [await send('cdr', 'SN1'), await send('bulk-a', 'SN1'), await send('cdr', 'SN2')];
  await it.retention.run();
  const firsts = await Promise.all(devices.map(async (deviceId) => (await it.store.listFeeds({ deviceId, limit: 1 }))[0]!.epochs[0]!.first));
  // 30 days · the last ten bytes, in whole chunks · 2 days
  assert.deepEqual(firsts, [4, 4, 12]);
  assert.equal(it.retention.dropped.records, 20);
  assert.deepEqual(it.journal.lines({ limit: 9 }).map(({ event, fields }) => [event, fields]), [['retention.dropped', { records: 20 }]]);
});

test('the bytes of a feed are those of all its epochs, and the newest stay', async () => {
  await using it = await room({ feeds: [{ name: 'all', keepBytes: 12 }] });
  const deviceId = newId();
  for (const epoch of ['0000000000000001', '0000000000000002', '0000000000000003']) {
    const device = await pusherOn(it.store, 'cdr', epoch, deviceId);
    for (const off of [0, 4]) await device.send(off, 'abc\n');
  }
  await it.retention.run();
  const [feed] = await it.store.listFeeds({ deviceId, limit: 1 });
  assert.deepEqual(feed!.epochs.map(({ number, first }) => [number, first]), [[3, 0], [2, 4], [1, 8]]);
  assert.equal(feed!.bytes, 12);
});

test('sinks that are behind hold records back, until the disk is low', async () => {
  await using it = await room({ retention: { recordsDays: 1 }, sinks: [{ name: 'hook', kind: 'webhook', url: 'https://hook.example.test/' }, { name: 'off', kind: 'webhook', url: 'https://hook.example.test/', enabled: false }] });
  const device = await pusherOn(it.store);
  for (const off of [0, 4, 8]) await device.send(off, 'abc\n', { at: 5 });
  const tamper = new DatabaseSync(join(it.dataDir, 'postern.db'));
  tamper.exec('create table if not exists sink_position (sink text, epoch bigint, off bigint, run bigint, unframed integer, at bigint)');
  tamper.exec("insert into sink_position (sink, epoch, off, run, unframed, at) values ('hook', 1, 4, 0, 0, 0)");
  tamper.close();
  const first = async () => (await it.store.readEpoch(1))!.first;
  await it.retention.run();
  assert.equal(await first(), 4);
  assert.ok(it.said.includes('records.held-by-sinks'));
  await it.retention.run(true);
  assert.equal(await first(), 12);
  assert.deepEqual(it.journal.lines({ limit: 1, event: 'records.dropped-unsent' })[0]?.fields, { feed: 'cdr', serial: 'SN1', epoch: 1, from: 4, to: 12, why: 'the disk is low' });
});

test('a clock that was set forward makes nothing old for a day', async () => {
  const clock = handClock();
  const shift = { ms: 0 };
  await using it = await room({ retention: { visitsDays: 10 } }, { clock: { ...clock, nowMs: () => clock.nowMs() + shift.ms } });
  const visit = it.rows.visit({ openedAt: clock.nowMs() - dayMs, closedAt: null });
  await it.store.openVisit(visit, it.rows.audit('visit.opened', { at: clock.nowMs() }));
  await it.store.closeVisits([{ visit: { ...visit, closedAt: visit.openedAt + 5 }, audit: it.rows.audit('visit.closed', { at: clock.nowMs() }) }]);
  shift.ms = 365 * dayMs;
  await it.retention.run();
  assert.ok(it.said.includes('retention.clock-set-forward'));
  await it.retention.run();
  assert.equal(it.retention.dropped.visits, 0);
  clock.advance(dayMs + 1);
  // The one that ran by itself began within the day.
  await it.retention.run();
  await it.retention.run();
  assert.equal(it.retention.dropped.visits, 1);
});

test('it runs by itself, callers share a run, and the journal is trimmed', async () => {
  await using it = await room({ retention: { journalLines: 100, journalDays: 1 } });
  for (let i = 0; i < 150; i += 1) it.journal.note('x', { i });
  it.clock.advance(60_000);
  await it.retention.run();
  assert.equal(it.journal.length, 101, 'and the line that says so');
  const [one, two] = [it.retention.run(), it.retention.run()];
  assert.equal(one, two);
  await one;
  it.clock.advance(2 * dayMs);
  await it.retention.run();
  await it.retention.run();
  assert.deepEqual(it.journal.lines({ limit: 9, event: 'x' }), []);
  assert.equal(it.retention.lastAt, it.clock.nowMs());
});
