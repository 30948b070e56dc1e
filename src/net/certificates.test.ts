import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import type { SecureContext } from 'node:tls';
import { isFault } from '#base/fault.ts';
import { silentLog } from '#base/log.ts';
import { fingerprintOf, keyFingerprintOf } from '#model/fingerprint.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';
import { encodeCertificateRequest } from '#wire/pkcs10.ts';
import { handClock, handshake, memoryFiles } from '../../test/kit/tls-rooms.ts';
import { buildCertificates } from './certificates.ts';
import type { Certificates, CertificatesOptions } from './certificates.ts';

const dayMs = 24 * 3_600_000;
const agentId = '019a2b3c-4d5e-7f60-8123-456789abcdef';

interface Setup extends Partial<CertificatesOptions> {
  files?: ReturnType<typeof memoryFiles>;
  clock?: ReturnType<typeof handClock>;
}

async function setUp(setup: Setup = {}) {
  const files = setup.files ?? memoryFiles();
  const clock = setup.clock ?? handClock();
  const options = { log: silentLog, random: randomBytes, domains: () => ['gw.example.test'], isKnown: () => true, addresses: () => ['192.0.2.7', '2001:db8::7'], ...setup, files, clock };
  return { certificates: await buildCertificates(options), files, clock };
}

async function agentOf(certificates: Certificates) {
  const key = await privateKeyPemOf(await makeKeyPair());
  const made = await certificates.issueAgentCertificate(encodeCertificateRequest(key, 'x'), agentId);
  return { cert: made.pem, key, fingerprint: made.fingerprint };
}

test('names under a domain share its wildcard leaf; clients that trust the CA accept it', async () => {
  const known = ['wiki.elsewhere.test', 'deep.demo.gw.example.test'];
  const { certificates } = await setUp({ domains: () => ['gw.example.test', 'alt.gw.example.test'], isKnown: (name) => known.includes(name) });
  const wide = certificates.contextFor('gw.example.test');
  assert.equal(certificates.contextFor('demo.gw.example.test'), wide);
  assert.notEqual(certificates.contextFor('demo.alt.gw.example.test'), wide);
  assert.equal(certificates.contextFor('a.demo.gw.example.test'), certificates.contextFor(null));
  assert.equal(certificates.contextFor('elsewhere.test'), certificates.contextFor(null));
  assert.equal(certificates.contextFor('notgw.example.test'), certificates.contextFor(null));
  for (const servername of ['gw.example.test', 'demo.gw.example.test', 'demo.alt.gw.example.test', ...known]) {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const seen = await handshake(await certificates.contextFor(servername), { servername, ca: certificates.ca.pem, minVersion: version, maxVersion: version });
      assert.deepEqual([seen.authorized, seen.protocol], [true, version]);
    }
  }
  await assert.rejects(handshake(await certificates.contextFor(null), { servername: 'demo.gw.example.test', ca: certificates.ca.pem, maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }));
  certificates[Symbol.dispose]();
});

test('the default leaf names the domains and this machine', async () => {
  const { certificates } = await setUp();
  const { shown } = await handshake(await certificates.contextFor(null), { host: '192.0.2.7', ca: certificates.ca.pem });
  for (const name of ['gw.example.test', 'link.gw.example.test', 'localhost']) assert.ok(shown.checkHost(name), name);
  for (const address of ['127.0.0.1', '::1', '192.0.2.7', '2001:db8::7']) assert.ok(shown.checkIP(address), address);
});

test('a very long domain has a leaf too', async () => {
  const domain = `${'a'.repeat(60)}.${'b'.repeat(60)}.example.test`;
  const { certificates, files } = await setUp({ domains: () => [domain] });
  assert.equal((await handshake(await certificates.contextFor(`x.${domain}`), { servername: `x.${domain}`, ca: certificates.ca.pem })).authorized, true);
  for (const name of files.kept.keys()) assert.match(name, /^[a-z0-9][a-z0-9._-]{0,99}$/);
});

test('below a domain of one label each known name has a leaf, made once', async () => {
  const { certificates, files } = await setUp({ domains: () => ['localhost'], isKnown: (name) => name === 'demo.localhost' });
  assert.equal(certificates.contextFor('localhost'), certificates.contextFor(null));
  assert.equal(certificates.contextFor('unknown.localhost'), certificates.contextFor(null));
  assert.equal(certificates.contextFor('a.demo.localhost'), certificates.contextFor(null));
  const [first, second] = await Promise.all([certificates.contextFor('demo.localhost'), certificates.contextFor('demo.localhost')]);
  assert.equal(first, second);
  assert.equal(certificates.contextFor('demo.localhost'), first, 'no promise the second time');
  const seen = await handshake(first, { servername: 'demo.localhost', ca: certificates.ca.pem });
  assert.equal(seen.authorized, true);
  assert.deepEqual([...files.kept.keys()].sort(), ['ca.pem', 'leaf.demo.localhost.pem', 'leaf.pem', 'ticket-keys.json']);
});

test('CA, leaves and ticket keys outlive a restart', async () => {
  const first = await setUp();
  const before = await handshake(await first.certificates.contextFor('gw.example.test'), { servername: 'gw.example.test', ca: first.certificates.ca.pem });
  const second = await setUp({ files: first.files, clock: first.clock });
  const client = { servername: 'gw.example.test', ca: first.certificates.ca.pem };
  const after = await handshake(await second.certificates.contextFor('gw.example.test'), client);
  const again = await handshake(await second.certificates.contextFor('gw.example.test'), { ...client, session: before.session });
  assert.equal(second.certificates.ca.keyFingerprint, first.certificates.ca.keyFingerprint);
  assert.equal(fingerprintOf(after.shown), fingerprintOf(before.shown));
  assert.deepEqual([after.resumed, again.resumed], [false, true]);
});

test('ticket keys turn daily, so that old tickets are worth nothing', async () => {
  const { certificates, clock, files } = await setUp();
  const client = { servername: 'gw.example.test', ca: certificates.ca.pem };
  const { session } = await handshake(await certificates.contextFor('gw.example.test'), client);
  const kept = files.kept.get('ticket-keys.json');
  clock.move(dayMs / 2);
  await certificates.refresh();
  assert.equal((await handshake(await certificates.contextFor('gw.example.test'), { ...client, session })).resumed, true);
  clock.move(dayMs / 2);
  await certificates.refresh();
  assert.notEqual(files.kept.get('ticket-keys.json'), kept);
  assert.equal((await handshake(await certificates.contextFor('gw.example.test'), { ...client, session })).resumed, false);
});

test('leaves renew before they end, and when names or addresses change', async () => {
  let domains = ['gw.example.test'];
  let addresses = ['192.0.2.7'];
  const { certificates, clock } = await setUp({ domains: () => domains, addresses: () => addresses });
  const shown = () => certificates.leaves().map((leaf) => [leaf.name, leaf.notAfter]);
  const at = (await certificates.contextFor('gw.example.test')) as SecureContext;
  const before = shown();
  clock.move(300 * dayMs);
  await certificates.refresh();
  assert.deepEqual(shown(), before);
  assert.notEqual(await certificates.contextFor('gw.example.test'), at, 'turned ticket keys need a new context');
  clock.move(70 * dayMs);
  await certificates.refresh();
  for (const [name, notAfter] of shown()) assert.ok(Number(notAfter) > clock.nowMs() + 300 * dayMs, String(name));
  domains = ['gw.example.test', 'new.example.test'];
  addresses = ['192.0.2.8'];
  await certificates.refresh();
  const [standard] = certificates.leaves().filter((leaf) => leaf.names.includes('192.0.2.8'));
  assert.ok(standard?.names.includes('new.example.test') && !standard.names.includes('192.0.2.7'));
  assert.deepEqual(certificates.leaves().map((leaf) => leaf.names[0]).sort(), ['gw.example.test', 'gw.example.test', 'new.example.test']);
  const link = new X509Certificate((await handshake(certificates.linkContext(), { rejectUnauthorized: false })).shown.raw);
  assert.ok(link.checkIP('192.0.2.8'));
});

test('damaged files: leaves are made anew, the CA never is', async () => {
  const first = await setUp();
  first.files.kept.set('leaf.pem', Buffer.from('damaged'));
  first.files.kept.set('ticket-keys.json', Buffer.from('{"madeAt":'));
  const second = await setUp({ files: first.files, clock: first.clock });
  assert.equal(second.certificates.ca.keyFingerprint, first.certificates.ca.keyFingerprint);
  assert.equal(keyFingerprintOf(second.certificates.ca.pem), first.certificates.ca.keyFingerprint);
  first.files.kept.set('ca.pem', Buffer.from(first.certificates.ca.pem));
  await assert.rejects(setUp({ files: first.files }), (fault) => isFault(fault, 'internal') && /ca\.pem/.test(fault.message) && /backup/.test(fault.remedy ?? ''));
});

test('a full disk does not take TLS down', async () => {
  const { certificates, files } = await setUp({ domains: () => ['localhost'] });
  files.isFull = true;
  assert.equal((await handshake(await certificates.contextFor('demo.localhost'), { servername: 'demo.localhost', ca: certificates.ca.pem })).authorized, true);
});

test('the link endpoint shows the CA and learns who the agent is, in resumed handshakes too', async () => {
  const { certificates, clock } = await setUp();
  const agent = await agentOf(certificates);
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const client = { servername: 'link.gw.example.test', ca: certificates.ca.pem, cert: agent.cert, key: agent.key, minVersion: version, maxVersion: version };
    const full = await handshake(certificates.linkContext(), client, true);
    const resumed = await handshake(certificates.linkContext(), { ...client, session: full.session }, true);
    assert.deepEqual([full.resumed, resumed.resumed], [false, true]);
    assert.equal(keyFingerprintOf(full.shown.issuerCertificate ?? ''), certificates.ca.keyFingerprint);
    for (const { seen } of [full, resumed]) {
      const proof = certificates.verifyAgentCertificate(seen!);
      assert.ok(!isFault(proof));
      assert.deepEqual([proof.agentId, proof.fingerprint, proof.expired], [agentId, agent.fingerprint, false]);
    }
    // Without a certificate the handshake stands, but there is nobody.
    assert.equal((await handshake(certificates.linkContext(), { ca: certificates.ca.pem, servername: 'link.gw.example.test' }, true)).seen, null);
    // A ticket from where nobody was asked is no way in.
    const stranger = await handshake(await certificates.contextFor('gw.example.test'), { ...client, servername: 'link.gw.example.test' });
    const tried = await handshake(certificates.linkContext(), { ca: certificates.ca.pem, servername: 'link.gw.example.test', session: stranger.session, minVersion: version, maxVersion: version }, true);
    assert.deepEqual([tried.resumed, tried.seen], [false, null]);
  }
  clock.move(91 * dayMs);
  const late = certificates.verifyAgentCertificate(new X509Certificate(agent.cert));
  assert.ok(!isFault(late) && late.expired);
});

test("another gateway's agent is nobody here", async () => {
  const [here, there] = [await setUp(), await setUp()];
  const agent = await agentOf(there.certificates);
  const { seen } = await handshake(here.certificates.linkContext(), { rejectUnauthorized: false, cert: agent.cert, key: agent.key }, true);
  assert.ok(isFault(here.certificates.verifyAgentCertificate(seen!), 'unauthenticated'));
});
