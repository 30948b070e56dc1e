import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from './config.ts';
import { decideConnection, passThrough, type ConnVerdict, type PacketFacts } from './decide-connection.ts';
import { decideExchange, type ConnFacts } from './decide.ts';
import { compile, type Snapshot } from './snapshot.ts';
import { defaultTlsPolicy, levelFor, tlsPolicyOf } from './tls-policy.ts';

const tcp = (port: number) => ({ kind: 'tcp', host: '192.0.2.1', port });
const ca = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n';
const listeners = [
  { name: 'http', port: 80, tls: false },
  { name: 'https', port: 443, tls: true, protocols: ['http', 'tls', 'ldap', 'sip', 'h323'], plain: ['ssh'] },
  { name: 'ldap', port: 389, tls: false, protocols: ['ldap', 'tls'] },
  { name: 'h323s', port: 1300, tls: true, protocols: ['h323'] },
  { name: 'first', port: 25, tls: false, protocols: ['tcp'], serverFirst: true },
];
const tlsPolicies = [
  { name: 'phones', listeners: ['h323s'], clientCertificates: { ca: 'private', required: false } },
  { name: 'staff', hosts: ['staff.example.test', '*.staff.example.test'], clientCertificates: { ca, required: false } },
];

const compiled = (routes: readonly object[], more: object = {}) => {
  const parsed = parseConfig({ version: 1, domains: [{ name: 'gw.example.test' }], listeners, tlsPolicies, routes, ...more });
  assert.ok('config' in parsed, JSON.stringify(parsed));
  return compile(parsed.config, 1);
};
function snapshotOf(routes: readonly object[], more: object = {}): Snapshot {
  const made = compiled(routes, more);
  assert.ok('snapshot' in made, JSON.stringify(made));
  return made.snapshot;
}
const problemsOf = (routes: readonly object[], more: object = {}): string[] => {
  const made = compiled(routes, more);
  return 'problems' in made ? made.problems.map((each) => `${each.path}: ${each.message}`) : [];
};
const factsOf = (snapshot: Snapshot, listener: string, serverName: string | null = null, subject?: string, verified = true): ConnFacts => {
  const secure = listener !== 'ldap' && listener !== 'first' && listener !== 'http';
  return { listener, secure, link: false, loopback: false, serverName, policy: secure ? tlsPolicyOf(snapshot.tlsPolicies, listener, serverName) : null, certificate: subject === undefined ? null : { subject, verified } };
};
const says = (verdict: ConnVerdict | null) => (verdict === null ? 'terminate' : verdict.step === 'refuse' ? `refuse: ${verdict.rule}` : `${verdict.route.name} ${verdict.target.kind} ${'port' in verdict.target ? verdict.target.port : ''}`);
const packet = (protocol: PacketFacts['protocol'], host: string | null, ...users: string[]): PacketFacts => ({ protocol, host, users, claims: users });

test('by protocol, listener and domain; default deny', () => {
  const snapshot = snapshotOf([
    { name: 'pbx', protocol: 'ldap', host: 'pbx.example.test', listeners: ['ldap', 'https'], target: tcp(389) },
    { name: 'others', protocol: 'ldap', host: '*.example.test', listeners: ['ldap'], target: tcp(390) },
    { name: 'phones', protocol: 'h323', listeners: ['h323s'], target: tcp(1720) },
    { name: 'mail', protocol: 'tcp', listeners: ['first'], target: tcp(2525) },
    { name: 'shell', protocol: 'ssh', listeners: ['https'], target: tcp(22) },
  ]);
  const at = (listener: string, what: PacketFacts, name: string | null = null) => says(decideConnection(snapshot, factsOf(snapshot, listener, name), what));
  assert.equal(at('ldap', packet('ldap', 'pbx.example.test', 'anna')), 'pbx tcp 389');
  assert.equal(at('https', packet('ldap', 'pbx.example.test', 'anna')), 'pbx tcp 389');
  assert.equal(at('https', packet('ldap', null), 'pbx.example.test'), 'pbx tcp 389', 'the name in TLS stands in for one that the packet lacks');
  assert.equal(at('ldap', packet('ldap', 'x.example.test')), 'others tcp 390');
  assert.equal(at('https', packet('ldap', 'x.example.test')), 'refuse: unknown host');
  assert.equal(at('ldap', packet('ldap', null)), 'refuse: unknown host');
  assert.equal(at('h323s', packet('h323', null, '4711')), 'phones tcp 1720');
  assert.equal(at('ldap', packet('sip', 'pbx.example.test')), 'refuse: listener ldap');
  assert.equal(at('first', packet('tcp', null)), 'mail tcp 2525');
  assert.equal(says(decideConnection(snapshot, { ...factsOf(snapshot, 'https'), secure: false, policy: null }, packet('ssh', null))), 'shell tcp 22');
  assert.equal(says(decideConnection(snapshot, factsOf(snapshot, 'https'), packet('ssh', null))), 'refuse: listener https', 'ssh may come beside TLS, not inside');
});

test('aliases: exact, by prefix, and nobody falls to a broader name', () => {
  const snapshot = snapshotOf([
    { name: 'one', protocol: 'h323', listeners: ['h323s'], host: 'gk.example.test', alias: '0090331A2B3C', target: tcp(1) },
    { name: 'numbers', protocol: 'h323', listeners: ['h323s'], host: 'gk.example.test', alias: '49*', target: tcp(2) },
    { name: 'munich', protocol: 'h323', listeners: ['h323s'], host: 'gk.example.test', alias: '4989*', target: tcp(3) },
    { name: 'all', protocol: 'h323', listeners: ['h323s'], target: tcp(4) },
  ], { tlsPolicies: [] });
  const at = (...users: string[]) => says(decideConnection(snapshot, factsOf(snapshot, 'h323s'), packet('h323', 'gk.example.test', ...users)));
  assert.equal(at('0090331a2b3c'), 'one tcp 1');
  assert.equal(at('49711'), 'numbers tcp 2');
  assert.equal(at('498912'), 'munich tcp 3');
  assert.equal(at('33'), 'refuse: alias');
  assert.equal(says(decideConnection(snapshot, factsOf(snapshot, 'h323s'), packet('h323', 'other.example.test'))), 'all tcp 4');
});

test('check certificate: TLS inside only for who is the user that the certificate names', () => {
  const target = (otherwise: unknown) => ({ kind: 'tls', host: '192.0.2.1', port: 1300, verify: { by: 'ca', ca }, checkCertificate: { otherwise } });
  const snapshot = snapshotOf([
    { name: 'strict', protocol: 'h323', listeners: ['h323s'], host: 'a.example.test', target: target('refuse') },
    { name: 'lenient', protocol: 'h323', listeners: ['h323s'], host: 'b.example.test', target: target(1720) },
  ], { tlsPolicies: [tlsPolicies[0]] });
  const there = (host: string, subject?: string, verified = true) => says(decideConnection(snapshot, factsOf(snapshot, 'h323s', null, subject, verified), packet('h323', host, ...names)));
  let names = ['0090331a2b3c'];
  assert.equal(there('a.example.test', '0090331A2B3C'), 'strict tls 1300');
  assert.equal(there('a.example.test', 'somebody else'), 'refuse: strict: check certificate');
  assert.equal(there('a.example.test', '0090331a2b3c', false), 'refuse: strict: check certificate');
  assert.equal(there('a.example.test'), 'refuse: strict: check certificate');
  assert.equal(there('b.example.test', '0090331a2b3c'), 'lenient tls 1300');
  assert.equal(there('b.example.test', '4712'), 'lenient tcp 1720');
  assert.equal(there('b.example.test'), 'lenient tcp 1720');
  for (names of [['0090331a2b3c', 'boss'], ['boss', '0090331a2b3c'], []]) {
    assert.equal(there('a.example.test', '0090331A2B3C'), 'refuse: strict: check certificate', 'who says to be two proves neither');
    assert.equal(there('b.example.test', '0090331A2B3C'), 'lenient tcp 1720');
  }
});

test('a policy that asks for certificates holds where TLS is left out', () => {
  const snapshot = snapshotOf([
    { name: 'pbx', protocol: 'ldap', host: 'pbx.example.test', listeners: ['https', 'ldap'], target: tcp(389) },
    { name: 'shell', protocol: 'ssh', listeners: ['https'], target: tcp(22) },
    { name: 'web', host: 'pbx.example.test', target: tcp(80) },
    { name: 'meant', host: 'pbx.example.test', path: '/meant', listeners: ['http'], target: tcp(81) },
  ], { tlsPolicies: [{ name: 'strict', hosts: ['pbx.example.test'], clientCertificates: { ca } }, { name: 'nameless', listeners: ['https'], clientCertificates: { ca } }] });
  const bare = (listener: string, more: object = {}) => ({ ...factsOf(snapshot, listener), secure: false, policy: null, certificate: null, ...more });
  assert.equal(says(decideConnection(snapshot, bare('https'), packet('ssh', null))), 'refuse: TLS policy nameless');
  assert.equal(says(decideConnection(snapshot, bare('ldap'), packet('ldap', 'pbx.example.test', 'anna'))), 'pbx tcp 389', 'a route that names a plain listener is meant');
  const web = (more: object, path = '/') => {
    const verdict = decideExchange(snapshot, bare('http', more), 'pbx.example.test', path);
    return verdict.step === 'route' ? verdict.route.name : verdict.step === 'refuse' ? verdict.status : verdict.step;
  };
  assert.equal(web({ secure: true }), 403, 'a proxy in front that says "https" shows no certificate');
  assert.equal(web({}), 'secure');
  assert.equal(web({ secure: true }, '/meant'), 'meant');
});

test('a client certificate that a route asks for has no way around', () => {
  const snapshot = snapshotOf([
    { name: 'open', host: 'staff.example.test', target: tcp(1) },
    { name: 'admin', host: 'staff.example.test', path: '/admin', clientCertificate: {}, target: tcp(2) },
    { name: 'boss', host: 'staff.example.test', path: '/admin', clientCertificate: { subject: 'Boss' }, target: tcp(3) },
    { name: 'wide', host: '*.example.test', target: tcp(4) },
    { name: 'only', host: 'x.staff.example.test', clientCertificate: {}, target: tcp(5) },
  ]);
  const at = (host: string, path: string, name: string | null = host, subject?: string, verified = true) => {
    const verdict = decideExchange(snapshot, factsOf(snapshot, 'https', name, subject, verified), host, path);
    return verdict.step === 'route' ? verdict.route.name : verdict.step === 'refuse' ? verdict.status : verdict.step;
  };
  assert.equal(at('staff.example.test', '/'), 'open');
  assert.equal(at('staff.example.test', '/admin'), 403, 'the shorter path is no way around');
  assert.equal(at('staff.example.test', '/%61dmin/x'), 403);
  assert.equal(at('staff.example.test', '/admin', 'staff.example.test', 'Somebody'), 'admin');
  assert.equal(at('staff.example.test', '/admin', 'staff.example.test', 'Somebody', false), 403);
  assert.equal(at('staff.example.test', '/admin', 'staff.example.test', 'BOSS'), 'boss');
  const proxys = { ...factsOf(snapshot, 'https', 'staff.example.test', 'Boss'), certificate: { subject: 'Boss', verified: true, isProxys: true as const } };
  assert.equal(decideExchange(snapshot, proxys, 'staff.example.test', '/admin').step, 'refuse', 'a trusted proxy proves itself, not the clients behind it');
  assert.equal(at('x.staff.example.test', '/', 'x.staff.example.test'), 403, 'nor a broader name');
  assert.equal(at('staff.example.test', '/admin', 'other.example.test', 'Boss'), 421, 'nor another name in TLS');
  assert.equal(at('staff.example.test', '/', null), 421, 'nor none');
  assert.equal(at('STAFF.example.test.', '/admin', 'staff.example.test', 'Boss'), 'boss');
  assert.equal(at('other.example.test', '/', 'staff.example.test'), 421);
  assert.equal(at('y.staff.example.test', '/', 'staff.example.test'), 'wide', 'equal demands');
});

test('TLS is passed through by name; of both ways the more specific wins', () => {
  const snapshot = snapshotOf([
    { name: 'through', protocol: 'tls', host: '*.example.test', listeners: ['https'], target: tcp(8443) },
    { name: 'here', host: 'app.example.test', target: tcp(80) },
    { name: 'deep', protocol: 'tls', host: 'x.gw.example.test', target: tcp(9443) },
    { name: 'directory', protocol: 'tls', host: 'ldap.example.test', listeners: ['ldap'], target: tcp(636) },
  ]);
  const at = (name: string | null, listener = 'https') => says(passThrough(snapshot, listener, name));
  assert.equal(at('a.example.test'), 'through tcp 8443');
  assert.equal(at('app.example.test'), 'terminate');
  assert.equal(at('gw.example.test'), 'terminate', 'the console');
  assert.equal(at('y.gw.example.test'), 'terminate', 'a device: *.gw.example.test is longer');
  assert.equal(at('x.gw.example.test'), 'deep tcp 9443');
  assert.equal(at('link.gw.example.test'), 'terminate');
  assert.equal(at(null), 'terminate');
  assert.equal(at('elsewhere.example.net'), 'terminate');
  assert.equal(at('ldap.example.test', 'ldap'), 'directory tcp 636');
  assert.equal(at('a.example.test', 'ldap'), 'refuse: unknown host', 'a plain listener has nothing to terminate with');
  assert.equal(at(null, 'ldap'), 'refuse: unknown host');
  assert.equal(at('a.example.test', 'h323s'), 'terminate');
});

test('classes: the list of allowed addresses, with methods, whatever the letter case', () => {
  const snapshot = snapshotOf([
    { name: 'rmm', host: 'rmm.example.test', ignoreCase: true, onlyClasses: true, classes: [{ name: 'agents', paths: ['/LabTech/Agent.aspx', '/LabTech/Updates'] }, { name: 'deploy', paths: ['/LabTech/Deployment.aspx'], methods: ['GET', 'HEAD'] }], target: tcp(80) },
    { name: 'several', host: 's.example.test', path: ['/a', '/b/c'], target: tcp(81) },
  ]);
  const at = (host: string, path: string, method = 'GET') => {
    const verdict = decideExchange(snapshot, factsOf(snapshot, 'https', host), host, path, method);
    return verdict.step === 'route' ? `${verdict.route.name} ${verdict.cls}` : verdict.step === 'refuse' ? verdict.status : verdict.step;
  };
  assert.equal(at('rmm.example.test', '/labtech/AGENT.aspx?x=1', 'POST'), 'rmm agents');
  assert.equal(at('rmm.example.test', '/LabTech/Updates/1/2.zip'), 'rmm agents');
  assert.equal(at('rmm.example.test', '/labtech/deployment.aspx', 'POST'), 403);
  assert.equal(at('rmm.example.test', '/labtech/deployment.aspx', 'HEAD'), 'rmm deploy');
  for (const path of ['/', '/labtech', '/labtech/agent.aspxx', '/Admin', '/x?/LabTech/Agent.aspx']) assert.equal(at('rmm.example.test', path), 403, path);
  assert.equal(at('rmm.example.test', '/labtech/updates/../../admin'), 400);
  assert.equal(at('s.example.test', '/a/x'), 'several null');
  assert.equal(at('s.example.test', '/b/c'), 'several null');
  assert.equal(at('s.example.test', '/b'), 404);
});

test('what cannot hold together is named', () => {
  const has = (routes: readonly object[], pattern: RegExp, more: object = {}) => {
    const problems = problemsOf(routes, more);
    assert.ok(problems.some((each) => pattern.test(each)), `${pattern} in ${problems.join(' | ')}`);
  };
  has([{ name: 'a', protocol: 'ldap', listeners: ['http'], target: tcp(1) }], /does not take ldap/);
  has([{ name: 'a', protocol: 'rdp', target: tcp(1) }], /no TLS listener takes rdp/);
  has([{ name: 'a', protocol: 'sip', path: '/x', target: tcp(1) }], /no paths/);
  has([{ name: 'a', protocol: 'sip', target: { kind: 'respond' } }], /can lead to/);
  has([{ name: 'a', clientCertificate: {}, host: 'nobody.example.test', target: tcp(1) }], /no TLS policy asks/);
  has([{ name: 'a', protocol: 'tls', host: 'gw.example.test', target: tcp(1) }], /both passed through/);
  has([{ name: 'a', target: { kind: 'tls', host: 'x', port: 1, checkCertificate: { otherwise: 'refuse' } } }], /names no user/);
  has([{ name: 'a', onlyClasses: true, target: tcp(1) }], /no classes/);
  has([{ name: 'a', host: 'gw.example.test', clientCertificate: {}, target: tcp(1) }], /equal/, { tlsPolicies: [{ name: 'p', clientCertificates: { ca: 'private' } }] });
  has([], /both say/, { tlsPolicies: [{ name: 'p' }, { name: 'q' }] });
  has([], /is for TLS listeners/, { listeners: [{ name: 'x', port: 1, tls: false, plain: ['ssh'] }], tlsPolicies: [] });
});

test('the lane for old clients: listed, unable, and not over yet', () => {
  const snapshot = snapshotOf([], { tlsPolicies: [{ name: 'old', hosts: ['old.example.test'], legacyLane: { from: ['192.0.2.0/24'], until: '2027-06-30' } }, { name: 'new', hosts: ['new.example.test'], level: 'modern' }] });
  const old = tlsPolicyOf(snapshot.tlsPolicies, 'https', 'old.example.test');
  const last = Date.parse('2027-06-30T23:59:59Z');
  const weak = { tls13: false, needsLegacy: true };
  const able = { tls13: false, needsLegacy: false };
  assert.deepEqual(levelFor(old, '192.0.2.9', weak, last), { level: 'legacy' });
  assert.deepEqual(levelFor(old, '192.0.2.9', able, last), { level: 'intermediate' }, 'who can do better does better');
  assert.match(JSON.stringify(levelFor(old, '198.51.100.1', weak, last)), /not in the legacy lane/);
  assert.match(JSON.stringify(levelFor(old, '192.0.2.9', weak, last + 1_000)), /ended on 2027-06-30/);
  assert.match(JSON.stringify(levelFor(defaultTlsPolicy, '192.0.2.9', weak, last)), /TLS 1.2 with an ECDHE/);
  const modern = tlsPolicyOf(snapshot.tlsPolicies, 'https', 'new.example.test');
  assert.match(JSON.stringify(levelFor(modern, '192.0.2.9', able, last)), /TLS 1.3/);
  assert.deepEqual(levelFor(modern, '192.0.2.9', { tls13: true, needsLegacy: false }, last), { level: 'modern' });
});
