import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig, type Config } from './config.ts';
import { decideExchange, type ConnFacts, type Verdict } from './decide.ts';
import { compile, type Snapshot } from './snapshot.ts';

const tcp = (port: number) => ({ kind: 'tcp', host: '192.0.2.1', port });

function snapshotOf(routes: readonly object[], more: Partial<Config> = {}): Snapshot {
  const parsed = parseConfig({
    version: 1, domains: [{ name: 'gw.example.test' }], listeners: [{ name: 'http', port: 80, tls: false }, { name: 'https', port: 443, tls: true }, { name: 'extra', port: 8444, tls: true }], routes, ...more,
  });
  assert.ok('config' in parsed, JSON.stringify(parsed));
  const compiled = compile(parsed.config, 1);
  assert.ok('snapshot' in compiled, JSON.stringify(compiled));
  return compiled.snapshot;
}

const tls: ConnFacts = { listener: 'https', secure: true, link: false, loopback: false, serverName: null, policy: null, certificate: null };
const plain: ConnFacts = { ...tls, listener: 'http', secure: false };

/** The name of the route that wins, or what is done instead. */
const says = (verdict: Verdict): string => (verdict.step === 'route' ? verdict.route.name : verdict.step === 'device' ? `device ${verdict.label} of ${verdict.domain}` : verdict.step === 'refuse' ? String(verdict.status) : verdict.step);

test('the more specific host wins, then the longer path, whatever the order', () => {
  const routes = [
    { name: 'any', target: tcp(1) },
    { name: 'any-deep', path: '/deep', target: tcp(2) },
    { name: 'wild', host: '*.example.net', target: tcp(3) },
    { name: 'longer-wild', host: '*.a.example.net', target: tcp(4) },
    { name: 'exact', host: 'x.a.example.net', target: tcp(5) },
    { name: 'exact-path', host: 'x.a.example.net', path: '/p', target: tcp(6) },
    { name: 'exact-longer', host: 'x.a.example.net', path: '/p/q', target: tcp(7) },
  ];
  for (const order of [routes, routes.toReversed()]) {
    const snapshot = snapshotOf(order);
    const at = (host: string, path = '/') => says(decideExchange(snapshot, tls, host, path));
    assert.equal(at('x.a.example.net'), 'exact');
    assert.equal(at('X.A.Example.NET:8443', '/pq'), 'exact');
    assert.equal(at('x.a.example.net.', '/p'), 'exact-path');
    assert.equal(at('x.a.example.net', '/p/'), 'exact-path');
    assert.equal(at('x.a.example.net', '/p?q'), 'exact-path');
    assert.equal(at('x.a.example.net', '/p/q/r'), 'exact-longer');
    assert.equal(at('y.a.example.net', '/p'), 'longer-wild');
    assert.equal(at('y.example.net'), 'wild');
    assert.equal(at('b.c.example.net'), 'wild');
    assert.equal(at('example.net'), 'any', 'a wildcard stands for at least one label');
    assert.equal(at('198.51.100.1', '/deep/er'), 'any-deep');
    assert.equal(at('[2001:db8::1]:8443'), 'any');
  }
});

test('default is deny: unknown names are 421, unknown paths of known names 404, what is no name 400', () => {
  const snapshot = snapshotOf([{ name: 'only', host: 'a.example.test', path: '/x', target: tcp(1) }]);
  assert.equal(says(decideExchange(snapshot, tls, 'b.example.test', '/x')), '421');
  assert.equal(says(decideExchange(snapshot, tls, 'a.example.test', '/y')), '404');
  assert.equal(says(decideExchange(snapshot, tls, 'a.example.test', '*')), '404');
  assert.equal(says(decideExchange(snapshot, tls, 'a b', '/')), '400');
  assert.equal(says(decideExchange(snapshot, tls, '', '/')), '421');
  assert.equal(says(decideExchange(snapshot, tls, '198.51.100.1', '/')), '421');
});

test('a plain listener answers routes that name it and leads to https for the rest', () => {
  const snapshot = snapshotOf([
    { name: 'both', host: 'a.example.test', listeners: ['http', 'https'], target: tcp(1) },
    { name: 'tls', host: 'b.example.test', target: tcp(2) },
    { name: 'extra', host: 'c.example.test', listeners: ['extra'], target: tcp(3) },
  ]);
  assert.equal(says(decideExchange(snapshot, plain, 'a.example.test', '/')), 'both');
  assert.equal(says(decideExchange(snapshot, plain, 'b.example.test', '/')), 'secure');
  assert.equal(says(decideExchange(snapshot, tls, 'b.example.test', '/')), 'tls');
  assert.equal(says(decideExchange(snapshot, plain, 'c.example.test', '/')), '404', 'leading to a listener that does not have it helps nobody');
  assert.equal(says(decideExchange(snapshot, { ...tls, listener: 'extra' }, 'c.example.test', '/')), 'extra');
  for (const [host, path] of [['gw.example.test', '/'], ['gw.example.test', '/api/v1/me'], ['x.gw.example.test', '/'], ['x.gw.example.test', '/ca'], ['gw.example.test', '/stream']] as const) assert.equal(says(decideExchange(snapshot, plain, host, path)), 'secure', host + path);
  assert.equal(says(decideExchange(snapshot, plain, 'gw.example.test', '/ca')), 'certificate authority of gw.example.test');
});

test('a gateway of this machine serves everything on plain HTTP', () => {
  const snapshot = snapshotOf([{ name: 'tls', host: 'b.example.test', target: tcp(2) }], { domains: [{ name: 'localhost' }] });
  assert.equal(says(decideExchange(snapshot, plain, 'b.example.test', '/')), 'tls');
  assert.equal(says(decideExchange(snapshot, plain, 'demo.localhost:8080', '/')), 'device demo of localhost');
});

test('names of this machine are the console\'s only for who is on it', () => {
  const snapshot = snapshotOf([]);
  for (const host of ['localhost:8080', '127.0.0.1', '[::1]:8443']) {
    assert.equal(says(decideExchange(snapshot, { ...tls, loopback: true }, host, '/')), 'console of gw.example.test');
    assert.equal(says(decideExchange(snapshot, tls, host, '/')), '421', 'asked for from elsewhere, the same name is nobody\'s');
  }
});

test('a device is one label under a domain for devices', () => {
  const snapshot = snapshotOf([{ name: 'own', host: 'shop.gw.example.test', target: tcp(1) }]);
  assert.equal(says(decideExchange(snapshot, tls, 'printer1--8080.gw.example.test', '/any/../path')), 'device printer1--8080 of gw.example.test', 'its paths are its own');
  assert.equal(says(decideExchange(snapshot, tls, 'a.b.gw.example.test', '/')), '421');
  assert.equal(says(decideExchange(snapshot, tls, 'shop.gw.example.test', '/')), 'own', 'a route by name is more specific');
  const apart = snapshotOf([], { deviceDomain: 'devices.example.net' });
  assert.equal(says(decideExchange(apart, tls, 'x.devices.example.net', '/')), 'device x of devices.example.net');
  assert.equal(says(decideExchange(apart, tls, 'x.gw.example.test', '/')), '421');
});

test('on the link endpoint Host is not looked at', () => {
  const snapshot = snapshotOf([{ name: 'a', host: 'a.example.test', target: tcp(1) }]);
  for (const host of ['a.example.test', 'gw.example.test', '', 'nonsense host']) assert.equal(says(decideExchange(snapshot, { ...tls, link: true }, host, '/')), 'link');
});

test('where paths decide, dot segments are refused in every spelling; a query may hold anything', () => {
  const snapshot = snapshotOf([{ name: 'all', host: 'a.example.test', target: tcp(1) }, { name: 'sub', host: 'a.example.test', path: '/sub', target: tcp(2) }, { name: 'free', host: 'b.example.test', target: tcp(3) }]);
  const at = (path: string, host = 'a.example.test') => says(decideExchange(snapshot, tls, host, path));
  for (const path of ['/..', '/.', '/../sub', '/x/../sub', '/x/./sub', '/x/%2e%2e/sub', '/x/%2E./sub', '/x%2f..%2fsub', '/x%2F%2e%2e/sub', '/x\\..\\sub', '/x%5c..%5csub', '/x/..;a=b/sub', '/x/..?q', '/x/..']) assert.equal(at(path), '400', path);
  for (const path of ['/...', '/x/..y', '/x/.well-known', '/a..b', '/?p=/../sub', '/x?next=../y', '/x/%2e%2ex', '/sub.']) assert.equal(at(path), 'all', path);
  assert.equal(at('/x/../y', 'b.example.test'), 'free', 'one route for the whole host: nothing to get past');
});

test('what is remembered for a name is a snapshot\'s own and depends on where it was asked', () => {
  const before = snapshotOf([{ name: 'old', host: 'a.example.test', target: tcp(1) }]);
  const later = snapshotOf([{ name: 'new', host: 'a.example.test', target: tcp(2) }]);
  for (let i = 0; i < 3; i++) {
    assert.equal(says(decideExchange(before, tls, 'a.example.test', '/')), 'old');
    assert.equal(says(decideExchange(later, tls, 'a.example.test', '/')), 'new');
    assert.equal(says(decideExchange(later, { ...tls, loopback: true }, 'localhost', '/')), 'console of gw.example.test');
    assert.equal(says(decideExchange(later, tls, 'localhost', '/')), '421');
  }
  // A flood of names pushes the good ones out and brings nothing else in.
  for (let i = 0; i < 12_000; i++) assert.equal(says(decideExchange(later, tls, `n${i}.example.org`, '/')), '421');
  assert.equal(says(decideExchange(later, tls, 'a.example.test', '/')), 'new');
});

test('devices that know an address and no name reach the device protocol, and nothing else', () => {
  const snapshot = snapshotOf([]);
  const path = '/v1/default/push/SN1/cdr/0123456789abcdef?o=0';
  for (const facts of [tls, plain]) {
    for (const host of ['', '192.0.2.1', '192.0.2.1:8080', '[2001:db8::1]:80']) {
      assert.equal(says(decideExchange(snapshot, facts, host, path, 'POST')), 'device protocol of gw.example.test', host);
      for (const other of ['/v1x', '/api/v1/me', '/']) assert.equal(says(decideExchange(snapshot, facts, host, other)), '421', host);
    }
    assert.equal(says(decideExchange(snapshot, facts, 'evil.example.test', path, 'POST')), '421');
    assert.equal(says(decideExchange(snapshot, facts, 'gw.example.test', path, 'POST')), 'device protocol of gw.example.test');
  }
});
