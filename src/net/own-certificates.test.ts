import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, connect as connectTcp } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, TLSSocket } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { buildIds } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { type Log, silentLog } from '#base/log.ts';
import { buildCertificateChanges } from '#model/certificate-changes.ts';
import { fingerprintOf } from '#model/fingerprint.ts';
import type { Actor, Certificate } from '#model/rows.ts';
import { buildTable, indexBy } from '#model/table.ts';
import { dayMs, ecKeys, makeCertificate, rsaKeys, type Made } from '../../test/kit/authority.ts';
import { certificateRow } from '../../test/kit/certificate-rows.ts';
import { handClock, handshake, memoryFiles } from '../../test/kit/tls-rooms.ts';
import { buildCertificates } from './certificates.ts';
import { buildContexts, newIdentity } from './contexts.ts';

const anna: Actor = { kind: 'person', id: 'p1', name: 'anna', from: '192.0.2.7' };
const now = Date.now();
const root = await makeCertificate({ name: 'Root', now, ca: true, days: 1_000 });
const middle = await makeCertificate({ name: 'Middle', issuer: root, now, ca: true, days: 1_000 });
const leafFor = (dns: string[], more: object = {}) => makeCertificate({ name: dns[0]!, issuer: middle, now, names: dns.map((value) => ({ type: 'dns' as const, value })), ...more });
const materialOf = (made: Made) => ({ chainPem: made.pem + middle.pem, keyPem: made.keyPem });

async function setUp({ files = memoryFiles(), clock = handClock(), rows = [] as Certificate[], log = silentLog as Log } = {}) {
  const table = buildTable<Certificate>({ name: 'certificates', kind: 'kept', keyOf: (row) => row.id, rows });
  const byName = indexBy(table, (row) => row.id, (row) => row.name);
  const certificates = await buildCertificates({ files, clock, log, random: randomBytes, domains: () => ['gw.example.test'], isKnown: () => false, addresses: () => [], own: table });
  const done = async () => {};
  const changes = buildCertificateChanges({
    tables: { certificates: table, certificateByName: (name) => byName.get(name) },
    operations: { addCertificate: done, changeCertificate: done, removeCertificate: done, noteCertificateAttempt: done },
    files, clock, log: silentLog, inTurn: buildInTurn(100), newId: buildIds(() => clock.nowMs(), randomBytes),
    issueLeaf: (names, spki) => certificates.issueLeaf(names, spki),
    applied: () => certificates.settled(),
  });
  const upload = (name: string, made: Made) => changes.upload({ name, customerId: 'c1', material: materialOf(made) }, anna);
  const shown = async (servername: string, use?: Parameters<typeof certificates.contextFor>[1]) => (await handshake(await certificates.contextFor(servername, use), { servername, ca: [root.pem, certificates.ca.pem] })).shown;
  return { certificates, changes, upload, shown, table, files, clock };
}

test("people's certificates come before the private CA's, the exact name before the wildcard", async () => {
  const { certificates, changes, upload, shown } = await setUp();
  const wide = await leafFor(['*.gw.example.test']);
  const exact = await leafFor(['a.gw.example.test'], { days: 10 });
  await upload('wide', wide);
  const row = await upload('exact', exact);
  assert.equal((await shown('b.gw.example.test')).fingerprint256, new X509Certificate(wide.pem).fingerprint256);
  assert.equal((await shown('a.gw.example.test')).fingerprint256, new X509Certificate(exact.pem).fingerprint256);
  assert.equal((await shown('gw.example.test')).issuer?.startsWith('CN=Postern CA'), true, 'a wildcard does not cover its own domain');
  assert.ok(!('then' in certificates.contextFor('a.gw.example.test')), 'no promise once it has settled');
  assert.equal(certificates.contextFor('b.gw.example.test'), certificates.contextFor('c.gw.example.test'), 'one context for all the names of a certificate');
  const link = (await handshake(certificates.linkContext(), { rejectUnauthorized: false })).shown;
  assert.match(link.issuer, /Postern CA/);
  assert.match((await handshake(await certificates.contextFor(null), { rejectUnauthorized: false })).shown.issuer, /Postern CA/);
  await changes.change(row.id, { enabled: false }, anna);
  assert.equal((await shown('a.gw.example.test')).fingerprint256, new X509Certificate(wide.pem).fingerprint256);
  certificates[Symbol.dispose]();
});

test('the chain is sent, and a swap is seen by the next handshake while a standing connection stays', async () => {
  const { certificates, changes, upload, shown } = await setUp();
  const first = await leafFor(['gw.example.test']);
  const row = await upload('front', first);
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  server.on('connection', (socket) => {
    void Promise.resolve(certificates.contextFor('gw.example.test')).then((secureContext) => new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {}).on('data', function (this: TLSSocket, bytes) { this.write(bytes); }));
  });
  // Without the intermediate this client could not go from leaf to root.
  const standing = connect({ socket: connectTcp((server.address() as AddressInfo).port, '127.0.0.1'), servername: 'gw.example.test', ca: root.pem });
  await once(standing, 'secureConnect');
  const second = await leafFor(['gw.example.test'], { days: 180 });
  const before = certificates.contextFor('gw.example.test');
  const changing = changes.replace(row.id, materialOf(second), anna);
  await changing;
  assert.notEqual(certificates.contextFor('gw.example.test'), before);
  assert.equal((await shown('gw.example.test')).fingerprint256, new X509Certificate(second.pem).fingerprint256);
  standing.write('still here');
  const [bytes] = await once(standing, 'data');
  assert.equal(String(bytes), 'still here');
  assert.equal(standing.getPeerX509Certificate()?.fingerprint256, new X509Certificate(first.pem).fingerprint256);
  await changes.goBack(row.id, anna);
  assert.equal((await shown('gw.example.test')).fingerprint256, new X509Certificate(first.pem).fingerprint256);
  await changes.remove(row.id, anna);
  assert.match((await shown('gw.example.test')).issuer, /Postern CA/);
  standing.destroy();
  server.close();
});

test('swaps under handshakes: every one succeeds, with the one or the other', async () => {
  const { certificates, changes, upload } = await setUp();
  const made = [await leafFor(['gw.example.test']), await leafFor(['gw.example.test'])];
  const row = await upload('front', made[0]!);
  const state = { swapping: true };
  const swaps = (async () => {
    for (let i = 1; i < 20; i++) await changes.replace(row.id, materialOf(made[i % 2]!), anna);
    state.swapping = false;
  })();
  let seen = 0;
  while (state.swapping) {
    const { authorized } = await handshake(await certificates.contextFor('gw.example.test'), { servername: 'gw.example.test', ca: root.pem });
    assert.equal(authorized, true);
    seen += 1;
  }
  await swaps;
  assert.ok(seen > 0);
});

test('a client identity is chain and key, and what is missing is null', async () => {
  const { certificates, changes, upload } = await setUp();
  const made = await leafFor(['gw.example.test'], { usages: ['1.3.6.1.5.5.7.3.2'] });
  const row = await upload('to-pbx', made);
  const identity = certificates.identityOf('to-pbx');
  assert.equal(identity?.certPem, made.pem + middle.pem);
  assert.equal(identity?.keyPem, made.keyPem);
  assert.equal(certificates.identityOf('nobody'), null);
  assert.match((await handshake(await certificates.contextFor('gw.example.test'), { servername: 'gw.example.test', ca: certificates.ca.pem })).shown.issuer, /Postern CA/, 'one for clients is shown under no name');
  const waiting = await changes.request({ name: 'waits', customerId: 'c1', keyKind: 'ec-p256', subject: { commonName: 'x' }, names: { dns: ['x.example.test'], ip: [] } }, anna);
  assert.equal(certificates.identityOf(waiting.name), null);
  await changes.change(row.id, { name: 'renamed' }, anna);
  assert.ok(certificates.identityOf('renamed') && certificates.identityOf('to-pbx') === null);
});

test('after a restart the keys come from their files; one that is missing takes nothing else down', async () => {
  const first = await setUp();
  const wide = await leafFor(['*.gw.example.test']);
  const exact = await leafFor(['a.gw.example.test']);
  const kept = [await first.upload('wide', wide), await first.upload('exact', exact)];
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (event) => void errors.push(event) };
  const second = await setUp({ files: first.files, clock: first.clock, rows: kept, log });
  assert.equal((await second.shown('a.gw.example.test')).fingerprint256, new X509Certificate(exact.pem).fingerprint256);
  const file = [...first.files.kept.keys()].find((name) => name.startsWith(`certificate.${kept[1]!.id}`))!;
  for (const damage of [null, Buffer.from('damaged'), first.files.kept.get([...first.files.kept.keys()].find((name) => name.startsWith(`certificate.${kept[0]!.id}`))!)!]) {
    if (damage) first.files.kept.set(file, damage);
    else first.files.kept.delete(file);
    errors.length = 0;
    const third = await setUp({ files: first.files, clock: first.clock, rows: kept, log });
    assert.equal((await third.shown('a.gw.example.test')).fingerprint256, new X509Certificate(wide.pem).fingerprint256, 'the next best that can be used');
    assert.deepEqual(errors, ['certificate.unusable']);
    assert.equal(third.certificates.identityOf('exact'), null);
    assert.deepEqual(third.certificates.describe().filter((each) => each.row).map((each) => [each.name, each.isUsable]), [['wide', true], ['exact', false]]);
  }
});

test('levels: who gets in, by which cipher and key', async () => {
  const { certificates, upload } = await setUp();
  await upload('front', await leafFor(['gw.example.test']));
  const tries = async (level: 'modern' | 'intermediate' | 'legacy', servername: string, client: object) => {
    try {
      const seen = await handshake(await certificates.contextFor(servername, { level, clientCaPem: null }), { servername, ca: [root.pem, certificates.ca.pem], ...client });
      return `${seen.protocol} ${seen.cipher} ${seen.shown.publicKey.asymmetricKeyType}`;
    } catch {
      return null;
    }
  };
  const only = (version: string) => ({ minVersion: version, maxVersion: version, ...(version < 'TLSv1.2' ? { ciphers: 'DEFAULT:@SECLEVEL=0' } : {}) });
  const old = { ...only('TLSv1'), ciphers: 'AES128-SHA:@SECLEVEL=0' };
  const rows: [string, object, string | null, string | null, string | null][] = [
    ['gw.example.test', only('TLSv1.3'), 'TLSv1.3 TLS_AES_128_GCM_SHA256 ec', 'TLSv1.3 TLS_AES_128_GCM_SHA256 ec', 'TLSv1.3 TLS_AES_128_GCM_SHA256 ec'],
    ['gw.example.test', { ...only('TLSv1.2'), ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256' }, null, 'TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 ec', 'TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 ec'],
    ['gw.example.test', { ...only('TLSv1.2'), ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256' }, null, 'TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305 ec', 'TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 ec'],
    ['gw.example.test', only('TLSv1.1'), null, null, 'TLSv1.1 ECDHE-ECDSA-AES128-SHA ec'],
    ['gw.example.test', only('TLSv1'), null, null, 'TLSv1 ECDHE-ECDSA-AES128-SHA ec'],
    ['gw.example.test', old, null, null, null],
    ['b.gw.example.test', only('TLSv1'), null, null, 'TLSv1 ECDHE-ECDSA-AES128-SHA ec'],
    ['b.gw.example.test', old, null, null, 'TLSv1 AES128-SHA rsa'],
    ['b.gw.example.test', { ...only('TLSv1.2'), ciphers: 'AES256-SHA:@SECLEVEL=0' }, null, null, 'TLSv1.2 AES256-SHA rsa'],
    ['gw.example.test', { ecdhCurve: 'X25519MLKEM768', ...only('TLSv1.3') }, 'TLSv1.3 TLS_AES_128_GCM_SHA256 ec', 'TLSv1.3 TLS_AES_128_GCM_SHA256 ec', 'TLSv1.3 TLS_AES_128_GCM_SHA256 ec'],
    ['gw.example.test', { ecdhCurve: 'secp521r1', ...only('TLSv1.3') }, null, null, null],
  ];
  for (const [name, client, ...expected] of rows) {
    const got = [await tries('modern', name, client), await tries('intermediate', name, client), await tries('legacy', name, client)];
    assert.deepEqual(got, expected, `${name} ${JSON.stringify(client)}`);
  }
});

test('at the legacy level an RSA certificate of people stands beside the one with another key', async () => {
  const { certificates, upload } = await setUp();
  const rsa = await leafFor(['gw.example.test'], { keys: await rsaKeys(2048), days: 30 });
  await upload('ec', await leafFor(['gw.example.test']));
  await upload('rsa', rsa);
  const context = await certificates.contextFor('gw.example.test', { level: 'legacy', clientCaPem: null });
  const client = { servername: 'gw.example.test', ca: root.pem };
  assert.equal((await handshake(context, { ...client, minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'AES128-SHA:@SECLEVEL=0' })).shown.fingerprint256, new X509Certificate(rsa.pem).fingerprint256);
  assert.equal((await handshake(context, client)).shown.publicKey.asymmetricKeyType, 'ec');
  assert.equal((await handshake(await certificates.contextFor('gw.example.test'), client)).shown.publicKey.asymmetricKeyType, 'ec');
});

test('a ticket of one policy is worth nothing at another', async () => {
  const { certificates, upload } = await setUp();
  await upload('front', await leafFor(['gw.example.test', '*.gw.example.test']));
  const clientCa = await makeCertificate({ name: 'Client CA', now, ca: true });
  const otherCa = await makeCertificate({ name: 'Other CA', now, ca: true });
  const person = await makeCertificate({ name: 'anna', issuer: clientCa, now, keys: await ecKeys(), usages: ['1.3.6.1.5.5.7.3.2'] });
  const contextOf = (level: 'modern' | 'intermediate' | 'legacy', clientCaPem: string | null): Promise<SecureContext> => Promise.resolve(certificates.contextFor('gw.example.test', { level, clientCaPem }));
  const policies = { open: await contextOf('intermediate', null), asks: await contextOf('intermediate', clientCa.pem), asksOther: await contextOf('intermediate', otherCa.pem), modern: await contextOf('modern', null), legacy: await contextOf('legacy', null) };
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    for (const [from, first] of Object.entries(policies)) {
      if (version === 'TLSv1.2' && from === 'modern') continue;
      const client = { servername: 'gw.example.test', ca: root.pem, minVersion: version, maxVersion: version, cert: person.pem, key: person.keyPem };
      const { session, clientAuthorized } = await handshake(first, client, from.startsWith('asks'));
      assert.equal(clientAuthorized, from === 'asks', `${from}: the client's certificate counts with its own CA alone`);
      for (const [to, second] of Object.entries(policies)) {
        if (version === 'TLSv1.2' && to === 'modern') continue;
        const { cert: _, key: __, ...stranger } = client;
        const seen = await handshake(second, { ...stranger, session }, to.startsWith('asks'));
        assert.equal(seen.resumed, from === to, `${version} from ${from} to ${to}`);
        if (from !== to) assert.equal(seen.seen, null, `${version}: who resumes from ${from} is nobody at ${to}`);
      }
    }
  }
});

test('names are answered anew when a certificate has ended, and the list says what there is', async () => {
  const { certificates, upload, shown, clock } = await setUp();
  const short = await leafFor(['gw.example.test'], { days: 0.01 });
  const long = await leafFor(['*.example.test', 'gw.example.test'], { days: 0.005, keys: await ecKeys('P-384') });
  const first = await upload('short', short);
  await upload('long', long);
  assert.equal((await shown('gw.example.test')).fingerprint256, new X509Certificate(short.pem).fingerprint256);
  clock.move(0.006 * dayMs);
  assert.equal(certificates.describe().find((each) => each.name === 'long')?.daysLeft, -1);
  const [listed] = certificates.describe();
  assert.deepEqual([listed?.row?.id, listed?.fingerprint, listed?.keyPin?.hex, listed?.keyPin?.base64], [first.id, fingerprintOf(short.pem), short.keyFingerprint, Buffer.from(short.keyFingerprint, 'hex').toString('base64')]);
  assert.ok(certificates.describe().some((each) => each.row === null && each.names.dns.includes('localhost')));
});

test('a table that says what cannot be is no reason to end', async () => {
  const rows = [certificateRow({ name: 'broken', chainPem: 'no chain', names: { dns: ['gw.example.test'], ip: [] } })];
  const { certificates, shown } = await setUp({ rows });
  assert.match((await shown('gw.example.test')).issuer, /Postern CA/);
  assert.equal(certificates.identityOf('broken'), null);
});

test('contexts are kept to a bound, each policy has its own, and a turn of the ticket keys forgets them', async () => {
  const { keyPem, pem } = await leafFor(['gw.example.test']);
  const [one, two] = [newIdentity(pem, keyPem), newIdentity(pem, keyPem)];
  const contexts = buildContexts(() => randomBytes(48), 3);
  const use = (clientCaPem: string | null, level: 'modern' | 'intermediate' = 'intermediate') => ({ level, clientCaPem });
  const first = contexts.of([one], use(null));
  assert.equal(contexts.of([one], use(null)), first);
  const others = [contexts.of([two], use(null)), contexts.of([one], use(root.pem)), contexts.of([one], use(null, 'modern'))];
  assert.equal(new Set([first, ...others]).size, 4);
  assert.equal(contexts.size, 3);
  assert.equal(contexts.of([one], use(root.pem)), others[1]);
  assert.notEqual(contexts.of([one], use(null)), first, 'the oldest has gone');
  contexts.clear();
  assert.equal(contexts.size, 0);
});
