import assert from 'node:assert/strict';
import { test } from 'node:test';
import { builtAtMs } from '#base/about.ts';
import type { Clock } from '#base/clock.ts';
import { wantedDigest } from '#model/deliveries.ts';
import type { Finding } from '#model/doctor.ts';
import type { Delivery } from '#model/rows.ts';
import { certificateRow } from '../../test/kit/certificate-rows.ts';
import { runDoctor } from './doctor.ts';
import type { DoctorDeps } from './doctor.ts';

const dayMs = 24 * 3_600_000;
const now = builtAtMs + 100 * dayMs;

/** Time stands; what was to run after a while runs when `elapse` is called. */
function standingClock(): Clock & { elapse(): void } {
  const due = new Set<() => void>();
  return {
    nowMs: () => now,
    monoMs: () => 5_000,
    after(_, run) {
      due.add(run);
      return { cancel: () => void due.delete(run) };
    },
    every: () => ({ cancel() {} }),
    elapse: () => due.forEach((run) => run()),
  };
}

function healthy(): DoctorDeps {
  return {
    clock: standingClock(),
    startedAt: { nowMs: now - 4_000, monoMs: 1_000 },
    domains: () => ['gw.example.test'],
    deviceDomains: () => ['gw.example.test'],
    listeners: () => [{ address: '::', port: 80, secure: false }, { address: '::', port: 443, secure: true }],
    certificates: () => ({ leaves: [{ name: 'gw.example.test', notAfter: now + 300 * dayMs }], caNotAfter: now + 3_000 * dayMs }),
    checkStore: async () => ({ fsyncMs: 2, fileBytes: 1e6, integrity: 'ok' }),
    freeBytes: async () => 50e9,
    devices: () => [{ label: 'demo', online: true, lastSeenAt: now, lastLeftWhy: null }],
    routes: () => [],
    configuredAt: async () => now - dayMs,
    resolve: async () => ['192.0.2.7'],
    isSynchronised: async () => true,
  };
}

async function findingOf(id: string, change: Partial<DoctorDeps>): Promise<Finding> {
  const found = (await runDoctor({ ...healthy(), ...change })).find((finding) => finding.id === id);
  return found ?? assert.fail(`no finding ${id}`);
}

test('everything in order', async () => {
  const findings = await runDoctor(healthy());
  assert.deepEqual(findings.map(({ id, status, remedy }) => [id, status, remedy]), ['names', 'ports', 'certificates', 'deliveries', 'clock', 'store', 'disk', 'links', 'routes'].map((id) => [id, 'ok', null]));
});

const leaf = (days: number) => () => ({ leaves: [{ name: 'gw.example.test', notAfter: now + days * dayMs }], caNotAfter: now + 3_000 * dayMs });
const cases: [string, string, Finding['status'], RegExp, Partial<DoctorDeps>][] = [
  ['only localhost', 'names', 'ok', /this machine only/, { domains: () => ['localhost'], deviceDomains: () => ['localhost'], resolve: () => assert.fail('nothing to resolve') }],
  ['no record', 'names', 'failure', /has no address/, { resolve: async () => [] }],
  ['no wildcard', 'names', 'failure', /devices below it have none/, { resolve: async (name) => (name === 'gw.example.test' ? ['192.0.2.7'] : []) }],
  ['hosts file', 'names', 'warning', /this machine itself/, { resolve: async () => ['127.0.0.1'] }],
  ['wildcard elsewhere', 'names', 'warning', /lead elsewhere/, { resolve: async (name) => (name === 'gw.example.test' ? ['192.0.2.7'] : ['198.51.100.1']) }],
  ['domain without devices', 'names', 'ok', /1 domain/, { deviceDomains: () => [], resolve: async (name) => (name === 'gw.example.test' ? ['192.0.2.7'] : []) }],
  ['other ports', 'ports', 'warning', /port 8443/, { listeners: () => [{ address: '0.0.0.0', port: 8443, secure: true }] }],
  ['443 on loopback does not count', 'ports', 'warning', /port 8443/, { listeners: () => [{ address: '127.0.0.1', port: 443, secure: true }, { address: '::', port: 8443, secure: true }] }],
  ['TLS on loopback only', 'ports', 'failure', /this machine only/, { listeners: () => [{ address: '127.0.0.1', port: 443, secure: true }, { address: '::', port: 80, secure: false }] }],
  ['no TLS', 'ports', 'failure', /nothing listens with TLS/, { listeners: () => [{ address: '::', port: 80, secure: false }] }],
  ['renewal is due', 'certificates', 'ok', /28 days left/, { certificates: leaf(28) }],
  ['not renewed', 'certificates', 'warning', /20 days/, { certificates: leaf(20) }],
  ['expired', 'certificates', 'failure', /has expired/, { certificates: leaf(-1) }],
  ['own, ends soon', 'certificates', 'failure', /certificate front ends in 5 days/, { certificates: () => ({ ...leaf(300)(), own: [certificateRow({ name: 'front', notAfter: now + 5 * dayMs })] }) }],
  ['own, ends', 'certificates', 'warning', /certificate front ends in 20 days/, { certificates: () => ({ ...leaf(300)(), own: [certificateRow({ name: 'front', notAfter: now + 20 * dayMs })] }) }],
  ['own, not renewed', 'certificates', 'warning', /front could not be renewed: no such name/, { certificates: () => ({ ...leaf(300)(), own: [certificateRow({ name: 'front', notAfter: now + 80 * dayMs, lastError: 'no such name' })] }) }],
  ['own, in order', 'certificates', 'ok', /300 days left/, { certificates: () => ({ ...leaf(300)(), own: [certificateRow({ notAfter: now + 80 * dayMs }), certificateRow({ state: 'waiting', notAfter: null })] }) }],
  ['old CA', 'certificates', 'warning', /private CA ends in 100 days/, { certificates: () => ({ leaves: [], caNotAfter: now + 100 * dayMs }) }],
  ['expired CA', 'certificates', 'failure', /private CA has expired/, { certificates: () => ({ leaves: [], caNotAfter: now }) }],
  ['clock set', 'clock', 'warning', /set by 96 seconds/, { startedAt: { nowMs: now - 100_000, monoMs: 1_000 } }],
  ['clock in the past', 'clock', 'failure', /before this version/, { clock: { ...standingClock(), nowMs: () => builtAtMs - 1 } }],
  ['not synchronised', 'clock', 'warning', /synchronised/, { isSynchronised: async () => false }],
  ['nobody says', 'clock', 'ok', /./, { isSynchronised: async () => null }],
  ['damaged', 'store', 'failure', /damaged/, { checkStore: async () => ({ fsyncMs: 2, fileBytes: 1, integrity: 'row 3 missing' }) }],
  ['slow', 'store', 'warning', /slow/, { checkStore: async () => ({ fsyncMs: 400, fileBytes: 1, integrity: 'ok' }) }],
  ['store down', 'store', 'failure', /could not be made: database is locked/, { checkStore: () => Promise.reject(new Error('database is locked')) }],
  ['disk low', 'disk', 'warning', /500 MB left/, { freeBytes: async () => 500e6 }],
  ['disk full', 'disk', 'failure', /only 3 MB/, { freeBytes: async () => 3e6 }],
  ['disk watched: warn', 'disk', 'warning', /fills up/, { disk: () => ({ level: 'warn', freeBytes: 1e9, usedBytes: 9e9, reusableBytes: 0, since: 0, why: 'so much is left' }) }],
  ['disk watched: low', 'disk', 'failure', /nearly full/, { disk: () => ({ level: 'low', freeBytes: 1e9, usedBytes: 9e9, reusableBytes: 0, since: 0, why: 'so much is left' }) }],
  ['disk watched: full', 'disk', 'failure', /pushes are refused/, { disk: () => ({ level: 'full', freeBytes: 1e9, usedBytes: 9e9, reusableBytes: 0, since: 0, why: 'so much is left' }) }],
  ['restored', 'restored', 'warning', /restored from a backup/, { restored: () => ({ backupAt: 0, restoredAt: 1, version: '1.0.0', notedAt: 2 }) }],
  ['by a name that nothing has', 'routes', 'warning', /1 route leads to no device/, { routes: () => [{ route: 'panel', device: 'gone', found: null }, { route: 'pump', device: 'pump', found: { label: 'pump', createdAt: now - 2 * dayMs } }] }],
  ['by a label that passed on', 'routes', 'warning', /1 route leads to a device that came after/, { routes: () => [{ route: 'panel', device: 'pump', found: { label: 'pump', createdAt: now - dayMs + 1 } }] }],
  ['to devices of that time', 'routes', 'ok', /each of 1 route/, { routes: () => [{ route: 'panel', device: 'pump', found: { label: 'pump', createdAt: now - 2 * dayMs } }] }],
  ['nobody joined', 'links', 'skipped', /no device/, { devices: () => [] }],
];
for (const [title, id, status, verdict, change] of cases) {
  test(`${id}: ${title}`, async () => {
    const finding = await findingOf(id, change);
    assert.equal(finding.status, status);
    assert.match(finding.verdict, verdict);
    if (status === 'warning' || status === 'failure') assert.ok(finding.remedy, 'says what to do');
  });
}

test('links: says which devices are away, the latest first, and bounds the list', async () => {
  const devices = Array.from({ length: 8 }, (_, i) => ({ label: `d${i}`, online: i === 0, lastSeenAt: i === 1 ? null : now - i * dayMs, lastLeftWhy: i === 2 ? 'the link was lost' : null }));
  const finding = await findingOf('links', { devices: () => devices });
  assert.equal(finding.verdict, '7 of 8 devices are offline');
  assert.deepEqual(finding.evidence.map((line) => line.split(':')[0]), ['d2', 'd3', 'd4', 'd5', 'd6', 'and 2 more']);
  assert.match(finding.evidence[0]!, /left: the link was lost$/);
});

test('a check that hangs is a finding, and holds up nobody for ever', async () => {
  const clock = standingClock();
  const running = runDoctor({ ...healthy(), clock, resolve: () => new Promise(() => {}) });
  await new Promise(setImmediate);
  clock.elapse();
  const findings = await running;
  assert.match(findings[0]!.verdict, /longer than 8 s/);
  assert.deepEqual(findings.slice(1).map((finding) => finding.status), Array.from({ length: 8 }, () => 'ok'));
});

test('certificates at agents: what failed comes before what waits', async () => {
  const certificate = certificateRow({ name: 'front' });
  const seen = (state: Delivery['state'], online = true, more: Partial<Delivery> = {}) => {
    const row: Delivery = { id: 'd', customerId: 'c1', certificateId: certificate.id, agentId: 'a', asName: 'web', state, digest: wantedDigest(certificate), deliveredAt: null, triedAt: null, why: null, exitCode: null, output: null, createdAt: 0, ...more };
    return { row, certificate, agent: 'server', online };
  };
  const finding = (...all: ReturnType<typeof seen>[]) => findingOf('deliveries', { deliveries: () => all });
  assert.deepEqual([(await finding(seen('delivered'))).status, (await finding(seen('delivered'))).verdict], ['ok', '1 certificate is in place at agents']);
  const stale = await finding(seen('delivered', false, { digest: 'another' }));
  assert.deepEqual([stale.status, stale.verdict, stale.evidence], ['warning', '1 certificate waits for an agent', ['front to server as web: waits; the agent is offline']]);
  const bad = await finding(seen('pending'), seen('failed', true, { why: 'exit code 1' }), seen('delivered'), seen('refused', true, { why: 'add this line' }));
  assert.deepEqual([bad.status, bad.verdict], ['warning', '2 certificates are not in place at an agent']);
  assert.deepEqual(bad.evidence, ['front to server as web: failed: exit code 1', 'front to server as web: refused: add this line', 'front to server as web: waits']);
  assert.match(bad.remedy ?? '', /postern deliveries shows/);
  assert.match((await finding(seen('refused'))).remedy ?? '', /add the line to its agent's policy/);
  assert.match((await finding(seen('unsupported'))).remedy ?? '', /newer agent/);
});
