import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { parseConfig } from './config.ts';
import { buildLeases, type LeasesOptions, type RequestFacts } from './leases.ts';
import { compileRedirects, type Redirects } from './redirect.ts';
import type { Customer, DeviceNote, Lease } from './rows.ts';
import { buildTables } from './tables.ts';

const startMs = 1_800_000_000_000;
const acme: Customer = { id: 'c1', key: 'acme', name: 'Acme', createdAt: 0 };
const request: RequestFacts = { host: '', path: 'push/SN1/cdr', from: '192.0.2.7', hops: 0, by: 'sign', secure: true };
const lease = (serial: string, more: Partial<Lease> = {}): Lease => ({ customerId: 'c1', serial, server: 'a', rule: 'r', givenAt: startMs, until: startMs + 60_000, ...more });

function compiled(redirects: readonly object[], drain: Record<string, string> = {}): Redirects {
  const servers = ['a', 'b', 'c'].map((name) => ({ name, base: `https://${name}.example.test/v1`, drain: drain[name] ?? 'no', pins: [] }));
  const parsed = parseConfig({ version: 1, domains: [{ name: 'gw.example.test' }], listeners: [{ name: 'http', port: 8080, tls: false }], servers, redirects });
  assert.ok('config' in parsed, JSON.stringify(parsed));
  return compileRedirects(parsed.config, []);
}

/** Time and the store by hand. */
function room(redirects: Redirects, before: readonly Lease[] = []) {
  let monoMs = 0;
  const timers = new Set<{ at: number; periodMs: number; run: () => void }>();
  const clock: Clock = {
    nowMs: () => startMs + monoMs,
    monoMs: () => monoMs,
    after: () => ({ cancel() {} }),
    every(periodMs, run) {
      const timer = { at: monoMs + periodMs, periodMs, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
  };
  const tables = buildTables({ customers: [acme], sites: [], agents: [], agentCertificates: [], agentNotes: [], devices: [], oldLabels: [], people: [], rights: [], signIns: [], tokens: [], joinTokens: [], invites: [], certificates: [], deliveries: [], deviceKeys: [], waitingDevices: [], deviceNotes: [], leases: [...before], deviceTags: [], suspensions: [], sitePlaces: [], siteDoors: [], virtualAddresses: [], releasedAddresses: [], deviceProfiles: [], deviceTokens: [], evidence: [], jobSources: [] });
  const stored = new Map(before.map((row) => [row.serial, row]));
  const journal: string[] = [];
  const state = { redirects, fails: false, writes: 0 };
  const options: LeasesOptions = {
    tables, clock, limits,
    log: silentLog,
    redirects: () => state.redirects,
    pinsOf: (id) => tables.deviceNotes.get(id)?.pins ?? [],
    journal: { note: (event, fields) => void journal.push(`${event} ${fields?.['serial'] as string} ${fields?.['server'] as string}`) },
    operations: {
      async noteLeases(rows, ended) {
        state.writes += 1;
        if (state.fails) throw new Fault('busy', 'the store is down');
        for (const { serial } of ended) stored.delete(serial);
        for (const row of rows) stored.set(row.serial, row);
      },
    },
  };
  const leases = buildLeases(options);
  return {
    leases, tables, stored, journal, state, timers,
    subject: (serial: string, id = serial) => ({ id, serial, name: '', customer: acme }),
    async advance(ms: number) {
      const end = monoMs + ms;
      for (;;) {
        const next = [...timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
        if (!next) break;
        monoMs = next.at;
        next.at += next.periodMs;
        next.run();
        await new Promise(setImmediate);
      }
      monoMs = end;
    },
  };
}

const roundRobin = [{ name: 'r', strategy: 'round-robin', servers: ['a', 'b', 'c'], ttlSeconds: 600 }];

test('a choice is kept until it ends: in memory at once, in the store a few seconds later', async () => {
  const here = room(compiled(roundRobin));
  const where = (serial: string) => here.leases.decide(here.subject(serial), request).server?.name;
  assert.deepEqual(['SN1', 'SN2', 'SN3', 'SN1', 'SN2', 'SN4'].map(where), ['a', 'b', 'c', 'a', 'b', 'a']);
  assert.deepEqual(here.leases.useOf('a'), { leases: 2, failed: 0 });
  assert.deepEqual(here.journal, ['redirect.chosen SN1 a', 'redirect.chosen SN2 b', 'redirect.chosen SN3 c', 'redirect.chosen SN4 a'], 'each lease once, not each request');
  assert.equal(here.stored.size, 0);
  await here.advance(limits.leaseNotesEveryMs);
  assert.equal(here.stored.size, 4);
  assert.equal(here.stored.get('SN2')!.until, startMs + 600_000);
  await here.advance(60_000);
  assert.equal(here.state.writes, 1, 'nothing new, nothing written');
  await here.advance(600_000);
  assert.deepEqual([here.tables.leases.size, here.stored.size, here.leases.useOf('a').leases], [0, 0, 0], 'what has ended goes everywhere');
  assert.equal(where('SN1'), 'b', 'and is chosen anew');
  await here.leases.close();
  assert.equal(here.stored.size, 1, 'the end writes what is left');
  assert.equal(here.timers.size, 0);
});

test('what the store has counts after a start; what ended meanwhile does not', async () => {
  const here = room(compiled(roundRobin), [lease('SN1', { server: 'c' }), lease('SN2', { server: 'c', until: startMs - 1 })]);
  assert.deepEqual(here.leases.useOf('c'), { leases: 1, failed: 0 });
  assert.equal(here.leases.decide(here.subject('SN1'), request).server?.name, 'c');
  assert.equal(here.leases.decide(here.subject('SN2'), request).server?.name, 'a');
  await here.leases.close();
  assert.deepEqual([...here.stored.values()].map((row) => [row.serial, row.server]), [['SN1', 'c'], ['SN2', 'a']]);
});

test('a preview moves nothing', async () => {
  const here = room(compiled(roundRobin));
  for (let i = 0; i < 5; i++) assert.equal(here.leases.preview(here.subject('SN1'), request).decision.server?.name, 'a');
  assert.equal(here.tables.leases.size, 0);
  assert.equal(here.leases.decide(here.subject('SN9'), request).server?.name, 'a');
  const shown = here.leases.preview(here.subject('SN9'), request);
  assert.equal(shown.lease?.server, 'a');
  assert.deepEqual(shown.rules, [{ rule: 'r', state: 'taken', why: null }]);
  assert.deepEqual(here.journal, ['redirect.chosen SN9 a']);
  await here.leases.close();
});

test('a server that a device could not deliver at is left out for that device until its lease would have ended', async () => {
  const here = room(compiled([{ name: 'r', servers: ['a', 'b'], ttlSeconds: 600 }]));
  const where = (serial: string) => here.leases.decide(here.subject(serial), request).server?.name ?? 'here';
  assert.equal(where('SN1'), 'a');
  here.leases.failedAt(here.subject('SN1'), 'https://a.example.test/v1/acme');
  here.leases.failedAt(here.subject('SN1'), 'https://a.example.test/v1/acme');
  assert.deepEqual([where('SN1'), where('SN2')], ['b', 'a'], 'only for the one that says so');
  assert.deepEqual(here.leases.useOf('a'), { leases: 1, failed: 1 });
  assert.equal(here.journal.filter((line) => line.startsWith('redirect.failed')).length, 1);
  assert.deepEqual(here.leases.preview(here.subject('SN1'), request).failed, [{ server: 'a', until: startMs + 600_000 }]);
  here.leases.failedAt(here.subject('SN1'), 'https://b.example.test/v1/acme');
  assert.equal(where('SN1'), 'here');
  for (const base of ['https://a.example.test/v1/other', 'https://x.example.test/v1/acme', '', 'nonsense']) here.leases.failedAt(here.subject('SN3'), base);
  assert.equal(where('SN3'), 'a', 'bases that are none of ours change nothing');
  await here.advance(600_001);
  assert.equal(where('SN1'), 'a');
  assert.equal(here.leases.useOf('a').failed, 0);
  await here.leases.close();
});

test('failures that are remembered are bounded', async () => {
  const here = room(compiled([{ name: 'r', servers: ['a'] }]));
  const many = limits.redirectFailuresMax + 3;
  for (let i = 0; i < many; i++) here.leases.failedAt(here.subject(`SN${i}`), 'https://a.example.test/v1/acme');
  assert.equal(here.leases.useOf('a').failed, limits.redirectFailuresMax);
  await here.leases.close();
});

test('a store that is down loses no lease: what it did not take goes with the next batch', async () => {
  const here = room(compiled(roundRobin));
  here.leases.decide(here.subject('SN1'), request);
  here.state.fails = true;
  await here.advance(limits.leaseNotesEveryMs * 2);
  assert.equal(here.stored.size, 0);
  here.state.fails = false;
  await here.advance(limits.leaseNotesEveryMs);
  assert.equal(here.stored.get('SN1')?.server, 'a');
  await here.leases.close();
});

test('tags, suspension and fingerprints come from the tables as they are now', async () => {
  const here = room(compiled([{ name: 'tagged', tag: 'beta', servers: ['a'] }, { name: 'unpaid', suspended: true, servers: ['b'] }]));
  const decision = () => here.leases.decide(here.subject('SN1'), request);
  const where = () => decision().server?.name ?? 'here';
  assert.equal(where(), 'here');
  here.tables.suspensions.publish({ put: [{ customerId: 'c1', since: 0, why: '' }] });
  assert.equal(where(), 'b');
  here.tables.deviceTags.publish({ put: [{ deviceId: 'SN1', customerId: 'c1', tags: ['alpha', 'beta'] }] });
  assert.equal(where(), 'a');
  here.tables.deviceTags.publish({ removed: ['SN1'] });
  here.tables.suspensions.publish({ removed: ['c1'] });
  assert.equal(where(), 'here');
  here.tables.deviceTags.publish({ put: [{ deviceId: 'SN1', customerId: 'c1', tags: ['beta'] }] });
  const note: DeviceNote = { deviceId: 'SN1', customerId: 'c1', lastSeenAt: null, lastPushAt: null, lastCheckInAt: null, from: null, fw: null, hw: null, up: null, clockSkewMs: null, zone: null, pins: ['sha256//x'], facts: {} };
  here.tables.deviceNotes.publish({ put: [note] });
  const waits = decision();
  assert.ok(waits.kind === 'stay' && waits.why === 'pin');
  await here.leases.close();
});

test('another configuration counts at once, and begins counting anew', async () => {
  const here = room(compiled(roundRobin));
  const where = (serial: string) => here.leases.decide(here.subject(serial), request).server?.name;
  assert.deepEqual(['SN1', 'SN2'].map(where), ['a', 'b']);
  here.state.redirects = compiled(roundRobin, { a: 'now' });
  assert.deepEqual(['SN1', 'SN2', 'SN3'].map(where), ['b', 'b', 'c'], 'drained at once; the others stay');
  here.state.redirects = compiled([]);
  assert.equal(where('SN1'), undefined);
  await here.leases.close();
});
