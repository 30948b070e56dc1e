import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ecKeys, makeCertificate, type Made, type Wanted } from '../../test/kit/authority.ts';
import { swapImpact, type SwapQuestion } from './certificate-impact.ts';
import { configSchema, type Config } from './config.ts';
import { fingerprintOf, keyFingerprintOf } from './fingerprint.ts';

const now = Date.UTC(2026, 5, 1);
const [rootA, rootB] = await Promise.all(['Root A', 'Root B'].map((name) => makeCertificate({ name, now, ca: true })));
const keys = await ecKeys();
const leaf = (more: Partial<Wanted> = {}) => makeCertificate({ name: 'gw.example.test', issuer: rootA!, now, keys, names: [{ type: 'dns', value: 'gw.example.test' }], ...more });
const old = await leaf();

const configOf = (change: object): Config => configSchema.parse({ version: 1, domains: [{ name: 'gw.example.test' }], listeners: [{ name: 'https', port: 443, tls: true }], ...change });

function impact(next: Made | null, change: object = {}, more: Partial<SwapQuestion> = {}) {
  const before = { id: 'c1', name: 'front', chainPem: old.pem };
  return swapImpact({ before, afterChainPem: next?.pem ?? null, config: configOf(change), caPem: rootB!.pem, served: [], devices: [], deliveries: [], agents: [], ...more });
}
const lines = (found: ReturnType<typeof swapImpact>) => found.trusts.map((each) => `${each.severity} ${each.kind} ${each.name} (${each.because.join(' ')})`);
const pbx = (more: object = {}) => ({ name: 'pbx', host: 'pbx.example.test', target: { kind: 'tls', host: '192.0.2.1', port: 636, ...more } });

test('the same certificate changes nothing and nobody', () => {
  assert.deepEqual(impact(old, { routes: [pbx({ certificate: 'front' })] }), { changes: [], trusts: [], omitted: 0 });
});

test('a server that it is shown to: by subject and issuer it must be told, by a pin it may have to be', async () => {
  const routes = [pbx({ certificate: 'front' }), { ...pbx({ certificate: 'other' }), name: 'else', host: 'else.example.test' }];
  assert.deepEqual(lines(impact(await leaf({ days: 200 }), { routes })), ['look upstream pbx (fingerprint)'], 'renewed with the same key');
  const other = await leaf({ keys: await ecKeys() });
  const [line] = impact(other, { routes }).trusts;
  assert.ok(line!.remedy.includes(other.keyFingerprint) && line!.remedy.includes(fingerprintOf(other.pem)), line!.remedy);
  assert.deepEqual(lines(impact(await leaf({ issuer: rootB! }), { routes })), ['change upstream pbx (issuer fingerprint)']);
  const renamed = impact(await leaf({ name: 'new.example.test' }), { routes });
  assert.deepEqual(lines(renamed), ['change upstream pbx (subject fingerprint)']);
  assert.match(renamed.trusts[0]!.remedy, /^On that server: change the subject that it expects \(proxy subject\) from gw\.example\.test to new\.example\.test;/);
  assert.equal(renamed.trusts[0]!.path, 'routes[0].target.certificate');
  assert.deepEqual(lines(impact(null, { routes })), ['change upstream pbx (subject issuer key fingerprint names)']);
});

test('places of the configuration that know somebody by the old subject', async () => {
  const change = {
    trustedProxies: [{ from: '198.51.100.1', subject: 'GW.EXAMPLE.TEST' }, { from: '198.51.100.2', subject: 'else' }],
    tlsPolicies: [{ name: 'mutual', clientCertificates: { ca: rootA!.pem } }],
    routes: [{ ...pbx(), clientCertificate: { subject: 'gw.example.test' } }],
  };
  const renamed = await leaf({ name: 'new.example.test' });
  const found = impact(renamed, change);
  assert.deepEqual(lines(found), ['look proxy-subject 198.51.100.1 (subject)', 'look route pbx (subject)']);
  assert.match(found.trusts[0]!.remedy, /trustedProxies\[0\]\.subject to new\.example\.test/);
  assert.deepEqual(lines(impact(await leaf({ issuer: rootB! }), change)), ['look tls-policy mutual (issuer)']);
  assert.deepEqual(lines(impact(await leaf({ issuer: rootB! }), { tlsPolicies: [{ name: 'mutual', clientCertificates: { ca: rootA!.pem + rootB!.pem } }] })), []);
});

test('a policy that asks for the private CA, when the old one was its', async () => {
  const tlsPolicies = [{ name: 'inside', clientCertificates: { ca: 'private' } }];
  assert.deepEqual(lines(impact(await leaf({ issuer: rootB! }), { tlsPolicies }, { caPem: rootA!.pem })), ['look tls-policy inside (issuer)']);
  assert.deepEqual(lines(impact(await leaf({ keys: await ecKeys() }), { tlsPolicies }, { caPem: rootA!.pem })), []);
});

test('upstreams that are recognised by it: fingerprint with and without colons, and CAs', async () => {
  const next = await leaf({ issuer: rootB! });
  const hex = fingerprintOf(old.pem);
  const pinned = (sha256: string) => impact(next, { routes: [pbx({ verify: { by: 'fingerprint', sha256 } })] });
  for (const form of [hex, hex.toUpperCase().match(/../g)!.join(':')]) {
    const found = pinned(form);
    assert.deepEqual(lines(found), ['change route pbx (fingerprint)']);
    assert.match(found.trusts[0]!.remedy, new RegExp(fingerprintOf(next.pem)));
  }
  assert.deepEqual(lines(pinned('0'.repeat(64))), []);
  const byCa = (ca: string, host = 'gw.example.test') => lines(impact(next, { routes: [pbx({ host, verify: { by: 'ca', ca } })] }));
  assert.deepEqual(byCa(rootA!.pem), ['change route pbx (issuer)']);
  assert.deepEqual(byCa(rootA!.pem + rootB!.pem), []);
  assert.deepEqual(byCa(rootA!.pem, '192.0.2.1'), [], 'another server of the same CA');
  assert.deepEqual(byCa(old.pem, '192.0.2.1'), ['change route pbx (issuer)'], 'the certificate itself');
});

test('devices with a copy, agents whose policy names it, names that are lost, clients that may have pinned it', async () => {
  const next = await leaf({ keys: await ecKeys(), names: [{ type: 'dns', value: 'other.example.test' }] });
  const served = ['gw.example.test', 'else.example.test'].map((host, index) => ({ host, routes: [], listeners: ['https'], policies: [], certificate: index === 0 ? ({ id: 'c1' } as never) : null }));
  const port = (number: number, fingerprint: string | null, kind: 'https' | 'http' = 'https') => ({ number, name: '', kind, fingerprint });
  const found = impact(next, {}, {
    served,
    devices: [{ name: 'Door', label: 'door', ports: [port(443, fingerprintOf(old.pem)), port(8443, '0'.repeat(64)), port(80, null, 'http')] }],
    deliveries: [{ agent: 'beside', asName: 'shop' }],
    agents: [{ name: 'one', policy: `install certificate ${keyFingerprintOf(old.pem)}` }, { name: 'two', policy: 'reach tcp 192.0.2.1 80' }, { name: 'three', policy: null }],
  });
  assert.deepEqual(lines(found), ['change agent one (key fingerprint)', 'change host gw.example.test (names)', 'look device door (fingerprint)', 'look agent beside (key fingerprint names)']);
  const kept = impact(await leaf({ keys: await ecKeys() }), {}, { served });
  assert.deepEqual(lines(kept), ['look clients gw.example.test (key fingerprint)']);
  assert.match(kept.trusts[0]!.remedy, /SPKI SHA-256/);
});
