import './reflect-metadata.ts';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509';
import { isFault } from '#base/fault.ts';
import { encodeCertificateRequest, encodeRequest } from '#wire/pkcs10.ts';
import { issueAgentCertificate, issueServerLeaf, makeCa, requestKeyFingerprintOf, signRequest } from './certificate.ts';
import type { Ca, IssuedCertificate, KeyPair } from './certificate.ts';
import { makeKey } from './certificate-key.ts';
import { fingerprintOf, judgeAgentCertificate, keyFingerprintOf } from './fingerprint.ts';
import { privateKeyPemOf } from './key-pair.ts';

const now = Date.UTC(2026, 5, 1, 12, 0, 0, 123);
const dayMs = 24 * 3_600_000;
const agentId = '019a2b3c-4d5e-7f60-8123-456789abcdef';
const ecKeys = (curve = 'P-256') => crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: curve }, true, ['sign', 'verify']) as Promise<KeyPair>;
const rsaKeys = (bits: number) =>
  crypto.subtle.generateKey({ name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: bits, publicExponent: new Uint8Array([1, 0, 1]) }, true, ['sign', 'verify']) as Promise<KeyPair>;

const requestOf = async (keys: KeyPair, name = 'x') => encodeCertificateRequest(await privateKeyPemOf(keys), name);

async function newCa(name = 'Postern CA of gw.example.test'): Promise<{ ca: Ca; made: IssuedCertificate }> {
  const keys = await ecKeys();
  const made = await makeCa({ name, keys, now, random: randomBytes });
  return { ca: { certificatePem: made.pem, signingKey: keys.privateKey }, made };
}

test('the CA certifies leaves and nothing else', async () => {
  const { made } = await newCa();
  const certificate = new X509Certificate(made.pem);
  assert.equal(certificate.ca, true);
  assert.equal(certificate.subject, 'CN=Postern CA of gw.example.test\nO=Postern');
  assert.ok(certificate.verify(certificate.publicKey));
  assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  assert.equal(certificate.validToDate.getTime() - certificate.validFromDate.getTime(), 3650 * dayMs);
  assert.ok(certificate.validFromDate.getTime() < now);
  assert.equal(made.keyFingerprint, keyFingerprintOf(made.pem));
  assert.equal(made.fingerprint, fingerprintOf(certificate.raw));
  assert.equal(made.fingerprint, certificate.fingerprint256.replaceAll(':', '').toLowerCase());
});

test("a server's leaf has its names and addresses and at most 397 days", async () => {
  const { ca } = await newCa();
  const keys = await ecKeys();
  const leaf = await issueServerLeaf({ ca, names: { dns: ['gw.example.test', '*.gw.example.test'], ip: ['192.0.2.7', '2001:db8::7'] }, publicKey: keys.publicKey, now, random: randomBytes });
  const certificate = new X509Certificate(leaf.pem);
  const authority = new X509Certificate(ca.certificatePem);
  assert.ok(certificate.checkIssued(authority) && certificate.verify(authority.publicKey));
  assert.equal(certificate.ca, false);
  assert.equal(certificate.checkHost('gw.example.test'), 'gw.example.test');
  assert.equal(certificate.checkHost('demo.gw.example.test'), '*.gw.example.test');
  assert.equal(certificate.checkHost('a.demo.gw.example.test'), undefined);
  assert.equal(certificate.checkIP('192.0.2.7'), '192.0.2.7');
  assert.equal(certificate.checkIP('2001:db8::7'), '2001:db8::7');
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  assert.ok(leaf.notAfter - leaf.notBefore <= 397 * dayMs && leaf.notAfter - leaf.notBefore > 390 * dayMs);
  assert.ok(leaf.notBefore < now && leaf.notAfter === certificate.validToDate.getTime());
});

test('a leaf without a short name has no subject; one without any name is refused', async () => {
  const { ca } = await newCa();
  const { publicKey } = await ecKeys();
  const long = `${'a'.repeat(60)}.gw.example.test`;
  const leaf = new X509Certificate((await issueServerLeaf({ ca, names: { dns: [long], ip: [] }, publicKey, now, random: randomBytes })).pem);
  assert.equal(leaf.checkHost(long), long);
  assert.ok(!leaf.subject);
  await assert.rejects(issueServerLeaf({ ca, names: { dns: [], ip: [] }, publicKey, now, random: randomBytes }), (fault) => isFault(fault, 'bad-input'));
});

test('a leaf never outlives the CA, and an expired CA signs nothing', async () => {
  const { ca, made } = await newCa();
  const { publicKey } = await ecKeys();
  const names = { dns: ['gw.example.test'], ip: [] };
  const late = await issueServerLeaf({ ca, names, publicKey, now: made.notAfter - 10 * dayMs, random: randomBytes });
  assert.equal(late.notAfter, made.notAfter);
  await assert.rejects(issueServerLeaf({ ca, names, publicKey, now: made.notAfter, random: randomBytes }), /has expired/);
});

test('an agent gets a certificate for the key of its request, whatever the request says', async () => {
  const { ca } = await newCa();
  const authority = new X509Certificate(ca.certificatePem);
  const ed25519 = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as KeyPair;
  const rsa = await rsaKeys(2048);
  const p384 = await ecKeys('P-384');
  const requests = [
    await requestOf(await ecKeys(), 'anything, even CN=root'),
    (await Pkcs10CertificateRequestGenerator.create({ name: 'CN=x', keys: p384, signingAlgorithm: { name: 'ECDSA', hash: 'SHA-384' } })).toString('pem'),
    (await Pkcs10CertificateRequestGenerator.create({ name: 'CN=x', keys: ed25519, signingAlgorithm: { name: 'Ed25519' } })).toString('pem'),
    (await Pkcs10CertificateRequestGenerator.create({ name: 'CN=x', keys: rsa, signingAlgorithm: { name: 'RSASSA-PKCS1-v1_5' } })).toString('pem'),
  ];
  for (const csrPem of requests) {
    const made = await issueAgentCertificate({ ca, csrPem, agentId, now, random: randomBytes });
    const certificate = new X509Certificate(made.pem);
    assert.equal(certificate.subject, `CN=${agentId}`);
    assert.equal(certificate.subjectAltName, undefined);
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    assert.equal(made.keyFingerprint, await requestKeyFingerprintOf(csrPem));
    assert.equal(made.notAfter, Math.floor(now / 1000) * 1000 + 90 * dayMs);
    const proof = { agentId, fingerprint: made.fingerprint, keyFingerprint: made.keyFingerprint, notBefore: made.notBefore, notAfter: made.notAfter };
    assert.deepEqual(judgeAgentCertificate(certificate, authority, now), { ...proof, expired: false });
    assert.deepEqual(judgeAgentCertificate(certificate, authority, made.notAfter + 1), { ...proof, expired: true });
  }
});

test('requests that are refused', async () => {
  const { ca } = await newCa();
  const good = await requestOf(await ecKeys());
  const bent = Buffer.from(good.replace(/-----.*-----|\n/g, ''), 'base64');
  bent[bent.length - 3] = bent[bent.length - 3]! ^ 1;
  const pem = (der: Buffer) => `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  const p521 = (await Pkcs10CertificateRequestGenerator.create({ name: 'CN=x', keys: await ecKeys('P-521'), signingAlgorithm: { name: 'ECDSA', hash: 'SHA-512' } })).toString('pem');
  const rsa1024 = (await Pkcs10CertificateRequestGenerator.create({ name: 'CN=x', keys: await rsaKeys(1024), signingAlgorithm: { name: 'RSASSA-PKCS1-v1_5' } })).toString('pem');
  const cases: [string, string, RegExp][] = [
    ['nothing', '', /not a certificate request/],
    ['text', 'hello', /not a certificate request/],
    ['a certificate', ca.certificatePem, /not a certificate request/],
    ['cut short', pem(bent.subarray(0, 60)), /not a certificate request/],
    ['a wrong signature', pem(bent), /signature is wrong/],
    ['P-521', p521, /not P-256 or P-384/],
    ['RSA 1024', rsa1024, /RSA key of 1024 bits/],
    ['far too long', 'x'.repeat(20_000), /longer than/],
  ];
  for (const [title, csrPem, why] of cases) {
    await assert.rejects(issueAgentCertificate({ ca, csrPem, agentId, now, random: randomBytes }), (fault) => isFault(fault, 'bad-input') && why.test(fault.message), title);
  }
});

test('a request that somebody brings: its names, its organisation and its key, and nothing else of it', async () => {
  const { ca } = await newCa();
  const authority = new X509Certificate(ca.certificatePem);
  const sign = (csrPem: string, more: object = {}) => signRequest({ ca, csrPem, kind: 'server', now, random: randomBytes, ...more });
  const ec = (await makeKey('ec-p384')).pem;
  const rsa = (await makeKey('rsa-2048')).pem;
  const asked = { subject: { commonName: 'pbx.example.test', organization: 'Example', country: 'DE' }, dns: ['PBX.example.test', '*.pbx.example.test'], ip: ['2001:db8::7'] };
  for (const [pem, bits] of [[ec, 0x80], [rsa, 0xa0]] as const) {
    const made = await sign(encodeRequest(pem, asked));
    const certificate = new X509Certificate(made.pem);
    assert.ok(certificate.checkIssued(authority) && certificate.verify(authority.publicKey) && certificate.checkPrivateKey(createPrivateKey(pem)));
    assert.equal(certificate.subject, 'C=DE\nO=Example\nCN=pbx.example.test');
    assert.equal(certificate.subjectAltName, 'DNS:pbx.example.test, DNS:*.pbx.example.test, IP Address:2001:DB8:0:0:0:0:0:7');
    assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1']);
    assert.ok(made.notAfter - made.notBefore <= 397 * dayMs);
    // Key usage, as its last byte: RSA is also used to encrypt.
    assert.ok(Buffer.from(certificate.raw).includes(Buffer.from([0x55, 0x1d, 0x0f, 1, 1, 0xff, 4, 4, 3, 2, bits === 0x80 ? 7 : 5, bits])), String(pemKind(pem)));
  }
  const bare = { subject: { commonName: 'Old.example.test' }, dns: [], ip: [] };
  assert.equal(new X509Certificate((await sign(encodeRequest(ec, bare))).pem).subjectAltName, 'DNS:old.example.test');
  assert.equal(new X509Certificate((await sign(encodeRequest(ec, { ...bare, subject: { commonName: '192.0.2.7' } }))).pem).subjectAltName, 'IP Address:192.0.2.7');
  const other = new X509Certificate((await sign(encodeRequest(ec, asked), { names: { dns: ['a.example.test'], ip: [] }, days: 10 })).pem);
  assert.deepEqual([other.subjectAltName, other.subject], ['DNS:a.example.test', 'C=DE\nO=Example\nCN=a.example.test']);
  assert.equal(other.validToDate.getTime(), Math.floor(now / 1000) * 1000 + 10 * dayMs);
  const client = new X509Certificate((await sign(encodeRequest(ec, { subject: { commonName: 'Anna Example' }, dns: [], ip: [] }), { kind: 'client', days: 9_999 })).pem);
  assert.deepEqual([client.subject, client.subjectAltName, client.keyUsage], ['CN=Anna Example', undefined, ['1.3.6.1.5.5.7.3.2']]);
  assert.equal(client.validToDate.getTime(), Math.floor(now / 1000) * 1000 + 396 * dayMs);
});

const pemKind = (pem: string) => createPrivateKey(pem).asymmetricKeyType;

test('requests that people bring and that are refused', async () => {
  const { ca } = await newCa();
  const key = (await makeKey('ec-p256')).pem;
  const request = (commonName: string, dns: string[] = [], ip: string[] = []) => encodeRequest(key, { subject: { commonName }, dns, ip });
  const cases: [string, string, 'server' | 'client', RegExp][] = [
    ['no name', request(''), 'server', /names no host/],
    ['a sentence', request('my server'), 'server', /"my server" is not a host name/],
    ['a wildcard for a top level', request('x', ['*.test']), 'server', /stands for too much/],
    ['a wildcard inside', request('x', ['a.*.example.test']), 'server', /not a host name/],
    ['a number', request('x', ['1.2.3']), 'server', /neither a host name nor an address/],
    ["the gateway's mark", request('x', ['pbx.example.test', 'link.localhost']), 'server', /no certificate is given for it/],
    ['the gateway\'s mark as the common name', request('Link.localhost'), 'server', /no certificate is given for it/],
    ['a wildcard over the mark', request('x', ['*.localhost']), 'server', /no certificate is given for it/],
    ['too many', request('x', Array.from({ length: 101 }, (_, i) => `n${i}.example.test`)), 'server', /at most 100/],
    ['an agent', request(agentId), 'client', /by which agents are known/],
    ['an agent as a server', request(agentId), 'server', /by which agents are known/],
    ['a client without a name', request('', ['a.example.test']), 'client', /no common name/],
  ];
  for (const [title, csrPem, kind, why] of cases) {
    await assert.rejects(signRequest({ ca, csrPem, kind, now, random: randomBytes }), (fault) => isFault(fault, 'bad-input') && why.test(fault.message), title);
  }
  const bent = Buffer.from(request('a.example.test').replace(/-----.*-----|\n/g, ''), 'base64');
  bent[bent.length - 3] = bent[bent.length - 3]! ^ 1;
  const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${bent.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  await assert.rejects(signRequest({ ca, csrPem: pem, kind: 'server', now, random: randomBytes }), /signature is wrong/);
});

test('certificates that are no proof of an agent', async () => {
  const { ca } = await newCa();
  // Same name, another key: what an impostor would make.
  const { ca: other } = await newCa();
  const authority = new X509Certificate(ca.certificatePem);
  const keys = await ecKeys();
  const csrPem = await requestOf(keys);
  const foreign = await issueAgentCertificate({ ca: other, csrPem, agentId, now, random: randomBytes });
  const server = await issueServerLeaf({ ca, names: { dns: [agentId], ip: [] }, publicKey: keys.publicKey, now, random: randomBytes });
  const noId = await issueAgentCertificate({ ca, csrPem, agentId: 'root', now, random: randomBytes });
  for (const [pem, why] of [[foreign.pem, /not issued by/], [server.pem, /not an agent's/], [noId.pem, /not an agent's/], [ca.certificatePem, /not an agent's/]] as const) {
    const judged = judgeAgentCertificate(new X509Certificate(pem), authority, now);
    assert.ok(isFault(judged, 'unauthenticated') && why.test(judged.message), JSON.stringify(judged));
  }
});

test('openssl agrees', { skip: spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed' }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'postern-certificate-'));
  try {
    const { ca } = await newCa();
    const keys = await ecKeys();
    const server = await issueServerLeaf({ ca, names: { dns: ['gw.example.test'], ip: ['192.0.2.7'] }, publicKey: keys.publicKey, now, random: randomBytes });
    const agent = await issueAgentCertificate({ ca, csrPem: await requestOf(keys), agentId, now, random: randomBytes });
    writeFileSync(join(dir, 'ca.pem'), ca.certificatePem);
    writeFileSync(join(dir, 'server.pem'), server.pem);
    writeFileSync(join(dir, 'agent.pem'), agent.pem);
    const verify = (...args: string[]) => spawnSync('openssl', ['verify', '-x509_strict', '-check_ss_sig', '-attime', String(Math.floor(now / 1000)), '-CAfile', join(dir, 'ca.pem'), ...args], { encoding: 'utf8' });
    for (const args of [
      ['-purpose', 'sslserver', '-verify_hostname', 'gw.example.test', join(dir, 'server.pem')],
      ['-purpose', 'sslserver', '-verify_ip', '192.0.2.7', join(dir, 'server.pem')],
      ['-purpose', 'sslclient', join(dir, 'agent.pem')],
    ]) {
      const done = verify(...args);
      assert.equal(done.status, 0, `${args.join(' ')}: ${done.stdout}${done.stderr}`);
    }
    assert.notEqual(verify('-purpose', 'sslserver', join(dir, 'agent.pem')).status, 0);
    assert.notEqual(verify('-purpose', 'sslclient', join(dir, 'server.pem')).status, 0);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
