import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstConfig, parseConfig } from './config.ts';

const document = (more: object = {}) => ({ version: 1, domains: [{ name: 'gw.example.test' }], listeners: [{ name: 'https', port: 443, tls: true }], ...more });
const problemsOf = (given: unknown) => {
  const parsed = parseConfig(given);
  return 'problems' in parsed ? parsed.problems : [];
};
const routeProblems = (route: object) => problemsOf(document({ routes: [{ name: 'r', target: { kind: 'tcp', host: '192.0.2.1', port: 80 }, ...route }] })).map((each) => each.path);

test('what is left out has its default, names are lower case', () => {
  const parsed = parseConfig(document({ domains: [{ name: 'GW.Example.Test' }], routes: [{ name: 'r', host: '*.Example.NET', target: { kind: 'respond' } }] }));
  assert.ok('config' in parsed, JSON.stringify(parsed));
  assert.deepEqual(parsed.config, {
    version: 1, domains: [{ name: 'gw.example.test' }], deviceDomain: null, publicAddress: null, listeners: [{ name: 'https', address: '::', port: 443, tls: true, protocols: ['http'], plain: [], proxyProtocolFrom: [], serverFirst: false }],
    tlsPolicies: [], trustedProxies: [],
    routes: [{ name: 'r', protocol: 'http', host: '*.example.net', path: '/', ignoreCase: false, classes: [], onlyClasses: false, target: { kind: 'respond', status: 200, body: '', contentType: 'text/plain; charset=utf-8' }, largeHeads: false }],
  });
});

test('what was written is read again as the same', () => {
  for (const domain of ['localhost', 'gw.example.test']) {
    const first = firstConfig({ domain, httpPort: 8080, httpsPort: 8443 });
    assert.deepEqual(parseConfig(JSON.parse(JSON.stringify(first))), { config: first });
  }
  assert.equal(firstConfig({ domain: 'localhost', httpPort: 1, httpsPort: 2 }).listeners[0]!.address, '127.0.0.1', 'plain HTTP of this machine stays on it');
});

test('every problem is named with its path', () => {
  const problems = problemsOf({ version: 1, domains: [{ name: 'a b' }], listeners: [{ name: 'X', port: 70_000, tls: 'no' }], routes: [{ name: 'r', target: { kind: 'nothing' } }], extra: 1 });
  const paths = problems.map((each) => each.path);
  for (const path of ['domains[0].name', 'listeners[0].name', 'listeners[0].port', 'listeners[0].tls', 'routes[0].target.kind']) assert.ok(paths.includes(path), `${path} in ${paths.join(' ')}`);
  assert.ok(problems.some((each) => each.message.includes('extra')), 'what is unknown is not passed over in silence');
  for (const nothing of [null, [], 'x', 1, {}]) assert.ok(problemsOf(nothing).length > 0);
});

test('the zone of check-ins is one that the runtime knows', () => {
  const problems = (zone: string) => problemsOf({ ...firstConfig({ domain: 'localhost', httpPort: 1, httpsPort: 2 }), checkIn: { zone } }).map((each) => each.path);
  for (const zone of ['Mars/Olympus', '', '+01:00', 'GMT0BST,M3.5.0/1,M10.5.0']) assert.deepEqual(problems(zone), ['checkIn.zone'], zone);
  assert.ok('config' in parseConfig({ ...firstConfig({ domain: 'localhost', httpPort: 1, httpsPort: 2 }), checkIn: { zone: 'Europe/London' } }));
});

test('texts that go into heads cannot end them', () => {
  const wrong: object[] = [
    { target: { kind: 'redirect', to: 'https://a.example.test/\r\nSet-Cookie: a=b' } }, { target: { kind: 'redirect', to: 'javascript:alert(1)' } }, { target: { kind: 'respond', contentType: 'text/plain\r\nX: y' } }, { target: { kind: 'respond', status: 101 } }, { target: { kind: 'redirect', to: '/', status: 200 } },
    { path: 'no-slash' }, { path: '/a b' }, { path: '/a\nb' }, { host: 'a/b' }, { host: '*' }, { host: 'a.*.b' }, { host: 'a..b' }, { listeners: [] }, { target: { kind: 'tcp', host: '192.0.2.1', port: 0 } },
  ];
  for (const route of wrong) assert.equal(routeProblems(route).length > 0, true, JSON.stringify(route));
  assert.deepEqual(routeProblems({ target: { kind: 'redirect', to: '/elsewhere' } }), []);
});
