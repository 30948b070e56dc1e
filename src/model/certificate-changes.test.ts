import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { Fault, isFault, type FaultCode } from '#base/fault.ts';
import { buildIds } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { silentLog } from '#base/log.ts';
import { dayMs, ecKeys, makeCertificate, type Made } from '../../test/kit/authority.ts';
import { issueServerLeaf, makeCa, requestKeyFingerprintOf } from './certificate.ts';
import { buildCertificateChanges, type CertificateChangesOptions } from './certificate-changes.ts';
import { keyOf } from './certificate-key.ts';
import { makeKeyPair } from './key-pair.ts';
import type { Actor, AuditEntry, Certificate } from './rows.ts';
import { buildTable, indexBy } from './table.ts';

const start = Date.UTC(2026, 5, 1);
const anna: Actor = { kind: 'person', id: 'p1', name: 'anna', from: '192.0.2.7' };
const names = { dns: ['gw.example.test'], ip: [] };
const leafNames = [{ type: 'dns' as const, value: 'gw.example.test' }];

/** A store of one map: whatever is committed is committed, and a failure is one. */
async function setUp(more: Partial<CertificateChangesOptions> = {}) {
  const committed = new Map<string, Certificate>();
  const audit: AuditEntry[] = [];
  const kept = new Map<string, Buffer>();
  const state = { now: start, failsNext: false, applied: 0, atApplied: [] as (string | null)[] };
  const certificates = buildTable<Certificate>({ name: 'certificates', kind: 'kept', keyOf: (row) => row.id });
  const byName = indexBy(certificates, (row) => row.id, (row) => row.name);
  const commit = async (row: Certificate, entry: AuditEntry) => {
    if (state.failsNext) {
      state.failsNext = false;
      throw new Error('disk full');
    }
    // The rule that matters: no row is committed whose keys are not on the disk.
    for (const fingerprint of [row.keyFingerprint, row.csrKeyFingerprint, row.previousKeyFingerprint]) {
      if (fingerprint !== null) assert.ok(kept.has(`certificate.${row.id}.${fingerprint.slice(0, 16)}.key`), `${entry.what}: ${fingerprint}`);
    }
    committed.set(row.id, row);
    audit.push(entry);
  };
  const caKeys = await makeKeyPair();
  const ca = { certificatePem: (await makeCa({ name: 'CA', keys: caKeys, now: start, random: randomBytes })).pem, signingKey: caKeys.privateKey };
  const changes = buildCertificateChanges({
    tables: { certificates, certificateByName: (name) => byName.get(name) },
    operations: {
      addCertificate: commit,
      changeCertificate: commit,
      removeCertificate: async (id, entry) => void (committed.delete(id), audit.push(entry)),
      noteCertificateAttempt: async ({ id, ...attempt }) => void committed.set(id, { ...committed.get(id)!, ...attempt }),
    },
    files: {
      read: async (name) => kept.get(name) ?? null,
      write: async (name, bytes) => void kept.set(name, bytes),
      remove: async (name) => void kept.delete(name),
    },
    inTurn: buildInTurn(100),
    clock: { nowMs: () => state.now },
    log: silentLog,
    newId: buildIds(() => state.now, randomBytes),
    issueLeaf: (wanted, spki) => issueServerLeaf({ ca, names: wanted, publicKey: spki, now: state.now, random: randomBytes }),
    applied: async () => void (state.applied += 1),
    ...more,
  });
  /** The table, the store and the disk agree. */
  const inStep = () => {
    assert.deepEqual([...certificates.values()], [...committed.values()]);
    const wanted = [...committed.values()].flatMap((row) => [row.keyFingerprint, row.csrKeyFingerprint, row.previousKeyFingerprint].filter((each) => each !== null).map((each) => `certificate.${row.id}.${each.slice(0, 16)}.key`));
    assert.deepEqual([...kept.keys()].sort(), [...new Set(wanted)].sort());
  };
  return { changes, certificates, kept, audit, state, inStep };
}

const rejects = (promise: Promise<unknown>, code: FaultCode, why: RegExp) => assert.rejects(promise, (thrown) => isFault(thrown, code) && why.test(thrown.message), String(why));
const root = await makeCertificate({ name: 'Root', now: start, ca: true });
const leafFor = (more: object = {}) => makeCertificate({ name: 'gw.example.test', issuer: root, now: start, names: leafNames, ...more });
const materialOf = (made: Made, withKey = true) => ({ chainPem: made.pem, keyPem: withKey ? made.keyPem : null });

test('uploaded, replaced, back again, removed; keys come and go with their rows', async () => {
  const { changes, audit, kept, state, inStep } = await setUp();
  const first = await leafFor();
  const row = await changes.upload({ name: 'front', customerId: 'c1', material: materialOf(first) }, anna);
  assert.deepEqual([row.state, row.source, row.keyKind, row.names.dns, row.subject, row.issuer], ['ready', 'uploaded', 'ec-p256', ['gw.example.test'], 'CN=gw.example.test', 'CN=Root']);
  assert.equal(row.keyFingerprint, first.keyFingerprint);
  assert.equal(keyOf(createPrivateKey((await changes.keyPemOf(row.id))!)).fingerprint, first.keyFingerprint);
  inStep();
  const second = await leafFor({ days: 180 });
  state.now += dayMs;
  const renewed = await changes.replace(row.id, materialOf(second), anna);
  assert.deepEqual([renewed.keyFingerprint, renewed.previousKeyFingerprint, renewed.renewedAt, renewed.createdAt], [second.keyFingerprint, first.keyFingerprint, state.now, start]);
  inStep();
  const third = await leafFor();
  await changes.replace(row.id, materialOf(third), anna);
  assert.equal(kept.size, 2, 'one previous is kept, not two');
  inStep();
  const back = await changes.goBack(row.id, anna);
  assert.deepEqual([back.keyFingerprint, back.previousKeyFingerprint], [second.keyFingerprint, third.keyFingerprint]);
  inStep();
  await changes.remove(row.id, anna);
  assert.equal(kept.size, 0);
  inStep();
  assert.deepEqual(audit.map((each) => each.what), ['certificate.added', 'certificate.replaced', 'certificate.replaced', 'certificate.went-back', 'certificate.removed']);
  assert.equal(state.applied, 5);
  assert.doesNotMatch(JSON.stringify(audit), /PRIVATE|BEGIN/);
});

test('a request, its answer, and the next request beside what is in use', async () => {
  const { changes, inStep } = await setUp();
  const row = await changes.request({ name: 'front', customerId: 'c1', keyKind: 'rsa-2048', subject: { commonName: 'gw.example.test', organization: 'Example' }, names }, anna);
  assert.deepEqual([row.state, row.keyKind, row.subject, row.keyFingerprint, row.chainPem], ['waiting', 'rsa-2048', 'O=Example, CN=gw.example.test', null, null]);
  assert.equal(await requestKeyFingerprintOf(row.csrPem!), row.csrKeyFingerprint);
  assert.equal(await changes.keyPemOf(row.id), null);
  inStep();
  const answer = await signed(row, root);
  await rejects(changes.replace(row.id, materialOf(await leafFor(), false), anna), 'conflict', /key of this certificate is not here/);
  const ready = await changes.replace(row.id, { chainPem: answer, keyPem: null }, anna);
  assert.deepEqual([ready.state, ready.csrPem, ready.csrKeyFingerprint, ready.keyFingerprint], ['ready', null, null, row.csrKeyFingerprint]);
  inStep();
  const again = await changes.requestAgain(row.id, { keyKind: 'ec-p384', subject: { commonName: 'gw.example.test' }, names }, anna);
  assert.deepEqual([again.state, again.keyKind, again.chainPem === ready.chainPem], ['ready', 'rsa-2048', true], 'what is in use stays');
  inStep();
  const other = await changes.requestAgain(row.id, { keyKind: 'ec-p256', subject: { commonName: 'gw.example.test' }, names }, anna);
  assert.notEqual(other.csrKeyFingerprint, again.csrKeyFingerprint);
  inStep();
  const done = await changes.replace(row.id, { chainPem: await signed(other, root), keyPem: null }, anna);
  assert.deepEqual([done.keyKind, done.previousKeyFingerprint, done.csrPem], ['ec-p256', ready.keyFingerprint, null]);
  inStep();
});

/** What an authority sends back for the row's request. */
async function signed(row: Certificate, issuer: Made): Promise<string> {
  const { signRequest } = await import('./certificate.ts');
  return (await signRequest({ ca: { certificatePem: issuer.pem, signingKey: issuer.keys.privateKey }, csrPem: row.csrPem!, kind: 'server', now: start, random: randomBytes })).pem;
}

test('of the private CA: at once, renewed in time, and what fails is noted', async () => {
  const { changes, certificates, state, inStep } = await setUp();
  const row = await changes.issue({ name: 'own', customerId: 'c1', keyKind: 'ec-p256', names: { dns: ['a.example.test'], ip: ['192.0.2.7'] } }, anna);
  assert.deepEqual([row.state, row.names], ['ready', { dns: ['a.example.test'], ip: ['192.0.2.7'] }]);
  assert.equal(await changes.renewPrivate(), 0);
  state.now = row.notAfter! - 29 * dayMs;
  assert.equal(await changes.renewPrivate(), 1);
  const renewed = certificates.get(row.id)!;
  assert.ok(renewed.notAfter! > row.notAfter! + 300 * dayMs && renewed.keyFingerprint !== row.keyFingerprint);
  inStep();
  state.now = renewed.notAfter! - dayMs;
  state.failsNext = true;
  assert.equal(await changes.renewPrivate(), 0);
  assert.deepEqual([certificates.get(row.id)!.lastError, certificates.get(row.id)!.lastTriedAt], ['disk full', state.now]);
  inStep();
  assert.equal(await changes.renewPrivate(), 1);
  assert.equal(certificates.get(row.id)!.lastError, null);
  inStep();
});

test('by ACME: waiting, a failure, the certificate; other names count from the next order on', async () => {
  const { changes, inStep } = await setUp();
  const acme = { directoryUrl: 'https://acme.example.test/dir', names, keyKind: 'ec-p256', challenge: 'http-01', dns: null } as const;
  const row = await changes.order({ name: 'front', customerId: 'c1', acme }, anna);
  assert.deepEqual([row.state, row.names, row.acme], ['waiting', names, acme]);
  await changes.failed(row.id, `the name does not lead here ${'x'.repeat(900)}`);
  const ready = await changes.replace(row.id, materialOf(await leafFor()), { kind: 'gateway', id: null, name: 'postern', from: '' });
  assert.deepEqual([ready.state, ready.lastError, ready.lastTriedAt], ['ready', null, start]);
  const wider = { ...acme, names: { dns: ['gw.example.test', 'b.example.test'], ip: [] } };
  const changed = await changes.change(row.id, { acme: wider, enabled: false, name: 'door' }, anna);
  assert.deepEqual([changed.names, changed.acme, changed.enabled, changed.name], [names, wider, false, 'door']);
  await changes.failed('gone', 'x');
  inStep();
});

test('what is refused changes nothing', async () => {
  const { changes, certificates, state, kept, inStep } = await setUp();
  const first = await leafFor();
  const other = await leafFor();
  const row = await changes.upload({ name: 'front', customerId: 'c1', material: materialOf(first) }, anna);
  const before = [...certificates.values()];
  const upload = (name: string, material = materialOf(other)) => changes.upload({ name, customerId: 'c1', material }, anna);
  await rejects(upload('front'), 'conflict', /name front already/);
  await rejects(upload('no name'), 'bad-input', /no name for a certificate/);
  await rejects(upload('x', { chainPem: other.pem, keyPem: first.keyPem }), 'bad-input', /do not belong together/);
  await rejects(upload('x', materialOf(other, false)), 'bad-input', /key of the certificate is missing/);
  await rejects(upload('x', { chainPem: 'text', keyPem: other.keyPem }), 'bad-input', /no certificate in PEM/);
  await rejects(upload('x', { chainPem: other.pem, keyPem: 'text' }), 'bad-input', /not a private key/);
  await rejects(changes.replace(row.id, { chainPem: other.pem, keyPem: first.keyPem }, anna), 'bad-input', /do not belong together/);
  await rejects(changes.replace('none', materialOf(other), anna), 'not-found', /certificate none/);
  await rejects(changes.goBack(row.id, anna), 'conflict', /nothing to go back to/);
  await rejects(changes.issueAgain(row.id, { keyKind: 'ec-p256', names }, anna), 'conflict', /private CA/);
  await rejects(changes.issue({ name: 'x', customerId: 'c1', keyKind: 'ec-p256', names: { dns: ['*.test'], ip: [] } }, anna), 'bad-input', /too much/);
  await rejects(changes.issue({ name: 'x', customerId: 'c1', keyKind: 'ec-p256', names: { dns: [], ip: [] } }, anna), 'bad-input', /at least one name/);
  await rejects(changes.change(row.id, { acme: { directoryUrl: 'x', names, keyKind: 'ec-p256', challenge: 'http-01', dns: null } }, anna), 'conflict', /ACME/);
  state.failsNext = true;
  await assert.rejects(changes.replace(row.id, materialOf(other), anna), /disk full/);
  state.failsNext = true;
  await assert.rejects(upload('y'), /disk full/);
  assert.deepEqual([...certificates.values()], before);
  assert.equal(kept.size, 1);
  inStep();
  const better = await changes.replace(row.id, { chainPem: first.pem + root.pem, keyPem: null }, anna);
  assert.equal(better.previousChainPem, null, 'the same leaf with its chain is nothing to go back from');
  assert.equal(better.chainPem!.match(/BEGIN/g)!.length, 2);
  inStep();
});

test('two at the same time: one name, one certificate', async () => {
  const { changes, certificates, inStep } = await setUp();
  const made = await leafFor({ keys: await ecKeys() });
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => changes.upload({ name: 'front', customerId: 'c1', material: materialOf(made) }, anna)));
  assert.equal(outcomes.filter((each) => each.status === 'fulfilled').length, 1);
  assert.equal(certificates.size, 1);
  assert.equal(new X509Certificate(certificates.values().next().value!.chainPem!).subject, 'CN=gw.example.test');
  inStep();
});

/** Pins as the tests of pins have them: here only whether each way asks, and keeps to the answer. */
function pinned() {
  const asked: string[] = [];
  const state = { lost: 0, pinned: new Set<string>() };
  const lostByRow = (before: Certificate | null, after: Certificate | null) => {
    asked.push(`${before?.keyFingerprint ?? 'none'} ${after?.keyFingerprint ?? 'none'}`);
    const gone = before?.keyFingerprint !== after?.keyFingerprint || before?.enabled !== after?.enabled;
    return gone && !state.pinned.has(`${after?.keyFingerprint} confirmed`) ? Array.from({ length: state.lost }, (_, i) => ({ deviceId: `d${i}`, pins: new Set<string>(), lastSeenAt: 0, isActive: true })) : [];
  };
  const refuseLoss = (lost: readonly unknown[], losing: number | null) => {
    if (lost.length !== (losing ?? 0)) throw new Fault('conflict', `${lost.length} would be lost`);
  };
  return { asked, state, pins: { lostByRow, refuseLoss, isPinned: (fingerprint: string) => state.pinned.has(fingerprint) } };
}

test('every way to another key is refused while devices have not confirmed it, and goes with their number', async () => {
  const { pins, state } = pinned();
  const { changes, certificates, audit, kept } = await setUp({ pins });
  const own = await changes.issue({ name: 'front', customerId: 'c1', keyKind: 'ec-p256', names }, anna);
  await changes.replace(own.id, materialOf(await leafFor()), anna);
  state.lost = 3;
  const before = certificates.get(own.id)!;
  const files = [...kept.keys()];
  const lines = audit.length;
  const given = materialOf(await leafFor());
  const ways: Record<string, (losing?: number) => Promise<unknown>> = {
    upload: (losing) => changes.upload({ name: 'second', customerId: 'c1', material: given }, anna, losing),
    issue: (losing) => changes.issue({ name: 'third', customerId: 'c1', keyKind: 'ec-p256', names }, anna, losing),
    replace: (losing) => changes.replace(own.id, given, anna, losing),
    goBack: (losing) => changes.goBack(own.id, anna, losing),
    disable: (losing) => changes.change(own.id, { enabled: false }, anna, losing),
    remove: (losing) => changes.remove(own.id, anna, losing),
  };
  for (const [name, way] of Object.entries(ways)) {
    for (const losing of [undefined, 0, 2, 4]) await assert.rejects(way(losing), (thrown) => isFault(thrown, 'conflict'), `${name} ${losing}`);
  }
  await assert.rejects(changes.issueAgain(own.id, { keyKind: 'ec-p256', names }, anna), (thrown) => isFault(thrown, 'conflict'));
  assert.deepEqual([certificates.get(own.id), [...kept.keys()], audit.length], [before, files, lines], 'nothing was changed, nothing is left');
  for (const [name, way] of Object.entries(ways)) {
    await way(3);
    assert.ok(audit.length > lines, name);
  }
});

test('renewals keep the key that devices pin, and take the one that was prepared once they have confirmed it', async () => {
  const { pins, state } = pinned();
  const { changes, kept } = await setUp({ pins });
  const own = await changes.issue({ name: 'front', customerId: 'c1', keyKind: 'ec-p256', names }, anna);
  assert.equal(await changes.renewalKey(own.id, names), null, 'nobody pins: a new key each time');
  state.lost = 2;
  state.pinned.add(own.keyFingerprint!);
  const again = await changes.issueAgain(own.id, { keyKind: 'rsa-2048', names }, anna);
  assert.equal(again.keyFingerprint, own.keyFingerprint);
  assert.notEqual(again.certificateFingerprint, own.certificateFingerprint);
  const asked = await changes.requestAgain(own.id, { keyKind: 'ec-p256', names, subject: { commonName: null } }, anna);
  assert.equal(keyFingerprintOfPem(await changes.renewalKey(own.id, names)), own.keyFingerprint, 'not confirmed yet');
  state.pinned.add(`${asked.csrKeyFingerprint} confirmed`);
  assert.equal(keyFingerprintOfPem(await changes.renewalKey(own.id, names)), asked.csrKeyFingerprint);
  const swapped = await changes.issueAgain(own.id, { keyKind: 'ec-p256', names }, anna);
  assert.deepEqual([swapped.keyFingerprint, swapped.csrPem, swapped.previousKeyFingerprint], [asked.csrKeyFingerprint, null, own.keyFingerprint]);
  const dropped = await changes.requestAgain(own.id, { keyKind: 'ec-p256', names, subject: { commonName: null } }, anna);
  const file = `certificate.${own.id}.${dropped.csrKeyFingerprint!.slice(0, 16)}.key`;
  assert.ok(kept.has(file));
  await changes.dropRequest(own.id, anna);
  assert.ok(!kept.has(file));
  await assert.rejects(changes.dropRequest(own.id, anna), (thrown) => isFault(thrown, 'conflict'));
});

test('a loss that was allowed ahead holds for that key alone, and for fewer', async () => {
  const { pins, state } = pinned();
  const { changes } = await setUp({ pins });
  const own = await changes.issue({ name: 'front', customerId: 'c1', keyKind: 'ec-p256', names }, anna);
  state.lost = 2;
  state.pinned.add(own.keyFingerprint!);
  const { csrKeyFingerprint } = await changes.requestAgain(own.id, { keyKind: 'ec-p256', names, subject: { commonName: null } }, anna);
  changes.allowLoss(csrKeyFingerprint!, 1);
  assert.equal(keyFingerprintOfPem(await changes.renewalKey(own.id, names)), own.keyFingerprint);
  changes.allowLoss(csrKeyFingerprint!, 3);
  assert.equal((await changes.issueAgain(own.id, { keyKind: 'ec-p256', names }, anna)).keyFingerprint, csrKeyFingerprint);
});

const keyFingerprintOfPem = (pem: string | null): string | null => (pem === null ? null : keyOf(createPrivateKey(pem)).fingerprint);
