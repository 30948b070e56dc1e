import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { explain, type ExplainQuery } from './explain.ts';

const nowMs = Date.parse('2026-11-20T12:00:00Z');
const tcp = (port: number) => ({ kind: 'tcp', host: '192.0.2.1', port });
const document = {
  version: 1,
  domains: [{ name: 'gw.example.test' }],
  listeners: [
    { name: 'http', port: 80, tls: false },
    { name: 'https', port: 443, tls: true, protocols: ['http', 'tls', 'ldap', 'sip'], plain: ['ssh'] },
    { name: 'ldap', port: 389, tls: false, protocols: ['ldap'], proxyProtocolFrom: ['198.51.100.0/24'] },
    { name: 'h323s', port: 1300, tls: true, protocols: ['h323'] },
    { name: 'mail', port: 25, tls: false, protocols: ['tcp'], serverFirst: true },
    { name: 'pass', port: 8443, tls: false, protocols: ['tls'] },
    { name: 'old', port: 444, tls: true },
  ],
  tlsPolicies: [
    { name: 'phones', listeners: ['h323s'], clientCertificates: { ca: 'private', required: false } },
    { name: 'staff', hosts: ['staff.example.test'], level: 'modern', clientCertificates: { ca: 'private' } },
    { name: 'printers', listeners: ['old'], legacyLane: { from: ['203.0.113.0/24'], until: '2027-06-30' } },
  ],
  trustedProxies: [{ from: '192.0.2.80' }],
  routes: [
    { name: 'directory', protocol: 'ldap', host: 'pbx.example.test', listeners: ['ldap', 'https'], target: { ...tcp(389), proxyProtocol: 'v2' } },
    { name: 'calls', protocol: 'sip', host: 'pbx.example.test', alias: '49*', target: tcp(5060) },
    { name: 'gatekeeper', protocol: 'h323', listeners: ['h323s'], target: { kind: 'tls', host: '192.0.2.1', port: 1300, verify: { by: 'fingerprint', sha256: 'ab'.repeat(32) }, checkCertificate: { otherwise: 1720 } } },
    { name: 'shell', protocol: 'ssh', listeners: ['https'], target: { kind: 'device', device: 'box1', port: 22 } },
    { name: 'post', protocol: 'tcp', listeners: ['mail'], target: tcp(2525) },
    { name: 'through', protocol: 'tls', host: 'app.example.test', listeners: ['https', 'pass'], target: tcp(8443) },
    { name: 'staff', host: 'staff.example.test', target: tcp(8080), onlyClasses: true, classes: [{ name: 'read', paths: ['/docs'], methods: ['GET'] }] },
  ],
};
const ask = (url: string, more: Omit<ExplainQuery, 'url' | 'nowMs'> = {}) => {
  const told = explain(document, { url, from: '203.0.113.5', nowMs, ...more });
  return { ...told, text: told.lines.join('\n') };
};

type Case = readonly [url: string, more: Omit<ExplainQuery, 'url' | 'nowMs'>, verdict: string, rule: string, text: RegExp];
const cases: readonly Case[] = [
  ['ldap://pbx.example.test', { user: 'anna' }, 'forward', 'directory', /listener ldap [^]*names pbx\.example\.test and anna[^]*PROXY header, v2[^]*forwarded to 192\.0\.2\.1:389/],
  ['ldap://pbx.example.test:443', {}, 'refuse', 'listener https', /ldap is not what this listener takes/],
  ['ldaps://pbx.example.test:443', {}, 'forward', 'directory', /TLS policy "default" serves a client of TLS 1\.3 with level intermediate/],
  ['ldap+starttls://pbx.example.test', {}, 'forward', 'directory', /StartTLS is answered by the gateway/],
  ['ldap://192.0.2.9', { user: 'pbx.example.test\\anna' }, 'forward', 'directory', /names pbx\.example\.test and anna/],
  ['ldap://192.0.2.9', { user: 'anna@other.example.test' }, 'refuse', 'unknown host', /no route leads anywhere for the domain/],
  ['ldap://anna%40pbx.example.test@192.0.2.9', {}, 'forward', 'directory', /anna/],
  ['ldap://192.0.2.9', {}, 'refuse', 'unknown host', /names no domain/],
  ['ldap://pbx.example.test', { from: '198.51.100.7' }, 'forward', 'directory', /listed sender: it must begin with a PROXY protocol header/],
  ['sips://pbx.example.test:443', { user: '4930123@pbx.example.test' }, 'forward', 'calls', /alias 49\*/],
  ['sips://pbx.example.test:443', { user: '33123' }, 'refuse', 'alias', /none of this route's/],
  ['sip://pbx.example.test', {}, 'refuse', 'no listener', /no plain listener has port 5060; there are http/],
  ['h323s://gk.example.test', { user: '4711', certificate: '4711' }, 'forward', 'gatekeeper', /asked for; that of 4711 is shown[^]*check certificate: 4711 is the user named[^]*its fingerprint abab[^]*forwarded to 192\.0\.2\.1:1300, TLS/],
  ['h323s://gk.example.test', { user: '4711', certificate: '4712' }, 'forward', 'gatekeeper', /not proved, so it is led to port 1720 without TLS/],
  ['ssh://192.0.2.9:443', {}, 'forward', 'shell', /device "box1", port 22, through its agent/],
  ['ssh+tls://192.0.2.9:443', {}, 'refuse', 'listener https', /ssh is not what this listener takes/],
  ['tcp://192.0.2.9:25', {}, 'forward', 'post', /the port alone decides/],
  ['rdp://192.0.2.9:389', {}, 'refuse', 'listener ldap', /rdp is not what/],
  ['tls://app.example.test', {}, 'forward', 'through', /TLS for app\.example\.test is passed through/],
  ['https://app.example.test/x', {}, 'forward', 'through', /passed through/],
  ['tls://app.example.test:8443', {}, 'forward', 'through', /passed through/],
  ['tls://other.example.test:8443', {}, 'refuse', 'unknown host', /no route passes TLS for this name through/],
  ['https://staff.example.test:389/', {}, 'refuse', 'plain listener', /TLS on a plain port/],
  ['tls://other.example.test', {}, 'terminate', 'listener https', /Taken are http, ldap, sip/],
  ['http://gw.example.test:443/', {}, 'refuse', 'listener https', /http is not what this listener takes without TLS/],
  ['http://gw.example.test:444/', {}, 'refuse', 'TLS listener', /nothing without TLS/],
  ['https://pbx.example.test:1300/', {}, 'refuse', 'listener h323s', /http is not what this listener takes inside TLS/],
  ['https://staff.example.test/docs/a', {}, 'refuse', 'TLS policy staff', /is needed; none is shown/],
  ['https://staff.example.test/docs/a', { certificate: 'Anna' }, 'forward', 'staff', /it is in class "read"/],
  ['https://staff.example.test/docs/a', { certificate: 'Anna', method: 'POST' }, 'refuse', 'staff: allowed addresses', /not on the list/],
  ['https://staff.example.test/docs/a', { certificate: 'Anna', serverName: 'gw.example.test' }, 'refuse', 'TLS policy', /another TLS policy/],
  ['https://staff.example.test/', { tls: '1.2' }, 'refuse', 'TLS policy staff', /refuses a client of TLS 1\.2: the client cannot do TLS 1\.3/],
  ['https://gw.example.test/', { tls: '1.0' }, 'refuse', 'TLS policy default', /cannot do TLS 1\.2/],
  ['https://gw.example.test:444/', { tls: '1.0' }, 'console', 'console of gw.example.test', /level legacy, through the legacy lane, open until 2027-06-30/],
  ['https://gw.example.test:444/', { tls: '1.0', from: '198.51.100.1' }, 'refuse', 'TLS policy printers', /its address is not in the legacy lane/],
  ['https://gw.example.test/', { from: '192.0.2.80' }, 'console', 'console of gw.example.test', /192\.0\.2\.80 is a trusted proxy/],
];
for (const [url, more, verdict, rule, text] of cases) {
  test(`${url} ${JSON.stringify(more)} → ${verdict} by "${rule}"`, () => {
    const told = ask(url, more);
    assert.deepEqual([told.verdict, told.rule], [verdict, rule], told.text);
    assert.match(told.text, text);
  });
}

test('what programs read of it', () => {
  const { lines: _, text: __, ...told } = ask('https://staff.example.test/docs/a', { certificate: 'Anna' });
  assert.deepEqual(told, { verdict: 'forward', rule: 'staff', listener: 'https', proxyHeader: false, tls: { policy: 'staff', level: 'modern', passedThrough: false }, route: 'staff', cls: 'read', target: '192.0.2.1:8080' });
  assert.deepEqual(ask('tls://app.example.test').tls, { policy: null, level: null, passedThrough: true });
  assert.equal(ask('ldap://pbx.example.test', { from: '198.51.100.7' }).proxyHeader, true);
});

test('the lane ends with its day', () => {
  const at = (nowMs: number) => explain(document, { url: 'https://gw.example.test:444/', from: '203.0.113.5', tls: '1.1', nowMs }).verdict;
  assert.equal(at(Date.parse('2027-06-30T23:59:59Z')), 'console');
  assert.equal(at(Date.parse('2027-07-01T00:00:00Z')), 'refuse');
});

test('what cannot be asked', () => {
  for (const [url, more, text] of [
    ['gopher://a.example.test/', {}, /known are http, https, tls, ldap/], ['tcp://a.example.test', {}, /say which/], ['toString://a.example.test', {}, /no protocol/],
    ['ldap://%zz@a.example.test', {}, /percent-encoded/], ['https://a.example.test/', { from: 'here' }, /not an IP address/],
  ] as const) assert.throws(() => ask(url, more), (thrown) => isFault(thrown, 'bad-input') && text.test(`${thrown.message} ${thrown.remedy}`), url);
});
