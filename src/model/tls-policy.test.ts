import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig, type ConfigProblem } from './config.ts';
import { compileTlsPolicies, defaultTlsPolicy, isMisdirected, tlsPolicyOf, type TlsPolicies } from './tls-policy.ts';

const ca = '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n';
function policiesOf(...tlsPolicies: object[]): TlsPolicies {
  const parsed = parseConfig({ version: 1, domains: [{ name: 'gw.example.test' }], listeners: [{ name: 'https', port: 0, tls: true }], tlsPolicies });
  assert.ok('config' in parsed, JSON.stringify(parsed));
  const problems: ConfigProblem[] = [];
  const policies = compileTlsPolicies(parsed.config, new Set(['https']), problems);
  assert.deepEqual(problems, []);
  return policies;
}
const lane = { from: ['192.0.2.0/24'], until: '2027-06-30' };
const [a, b] = ['a.example.test', 'b.example.test'];

test('a connection is good for the names that ask the same', () => {
  const policies = policiesOf({ name: 'a', hosts: [a] }, { name: 'modern', hosts: ['m.example.test'], level: 'modern' }, { name: 'lane', hosts: ['l.example.test'], legacyLane: lane }, { name: 'strict', hosts: ['s.example.test'], clientCertificates: { ca } }, { name: 'mild', hosts: ['i.example.test'], clientCertificates: { ca, required: false } });
  const made = (name: string) => tlsPolicyOf(policies, 'https', name);
  const misdirected = (from: string, to: string) => isMisdirected(policies, 'https', to, made(from), from);
  assert.equal(misdirected(a, b), false, 'spelled out, it is still what the default asks');
  assert.equal(misdirected(b, a), false);
  for (const other of ['m', 's', 'i', 'l']) {
    assert.equal(misdirected(a, `${other}.example.test`), true, other);
    assert.equal(misdirected(`${other}.example.test`, a), true, `who came in by ${other}`);
  }
  assert.equal(misdirected('i.example.test', 's.example.test'), true);
});

test('for its own name a changed level waits for the next handshake, a certificate does not', () => {
  const at = (...policies: object[]) => isMisdirected(policiesOf(...policies), 'https', a, defaultTlsPolicy, a);
  assert.equal(at({ name: 'a', hosts: [a], level: 'modern' }), false);
  assert.equal(at({ name: 'a', hosts: [a], legacyLane: lane }), false);
  assert.equal(at({ name: 'a', hosts: [a], clientCertificates: { ca } }), true);
  assert.equal(isMisdirected(policiesOf({ name: 'a', hosts: [a], level: 'modern' }), 'https', a, defaultTlsPolicy, b), true);
  assert.equal(isMisdirected(policiesOf({ name: 'a', hosts: [a], level: 'modern' }), 'https', a, defaultTlsPolicy, null), true);
  assert.equal(isMisdirected(policiesOf(), 'https', a, defaultTlsPolicy, b), false);
});
