import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstConfig, type Config } from './config.ts';
import { compile } from './snapshot.ts';

const base = firstConfig({ domain: 'gw.example.test', httpPort: 80, httpsPort: 443 });
const route = (name: string, more: Partial<Config['routes'][number]> = {}): Config['routes'][number] => ({ name, protocol: 'http', path: '/', ignoreCase: false, classes: [], onlyClasses: false, target: { kind: 'tcp', host: '192.0.2.1', port: 80 }, largeHeads: false, ...more });
const listener = (name: string, port: number, tls: boolean): Config['listeners'][number] => ({ ...base.listeners[0]!, name, address: '::', port, tls });
const problemsOf = (config: Config) => {
  const compiled = compile(config, 1);
  return 'problems' in compiled ? compiled.problems : [];
};

test('a fresh gateway has the routes it needs and no other', () => {
  const compiled = compile(base, 7);
  assert.ok('snapshot' in compiled);
  const { snapshot } = compiled;
  assert.equal(snapshot.revision, 7);
  assert.equal(snapshot.local, false);
  assert.equal(snapshot.any, null);
  assert.deepEqual([...snapshot.exact.keys()], ['gw.example.test']);
  assert.deepEqual([...snapshot.wildcards.keys()], ['gw.example.test']);
  assert.deepEqual(snapshot.exact.get('gw.example.test')!.routes.map((each) => each.path), ['/stream', '/ca', '/v1', '/']);
  assert.ok(Object.isFrozen(snapshot));
});

test('every problem is named with its place, not only the first', () => {
  const problems = problemsOf({
    ...base,
    domains: [{ name: 'gw.example.test' }, { name: 'gw.example.test' }],
    listeners: [listener('a', 80, false), listener('a', 81, false), listener('b', 80, true)],
    routes: [route('x', { host: 'h.example.test' }), route('x', { host: 'i.example.test' }), route('y', { listeners: ['nowhere'] })],
  });
  const paths = problems.map((each) => each.path);
  for (const path of ['domains[1].name', 'listeners[1].name', 'listeners[2].port', 'routes[1].name', 'routes[2].listeners']) assert.ok(paths.includes(path), `${path} in ${paths.join()}`);
  for (const { message } of problems) assert.ok(message.length > 10);
});

test('two equal routes do not compile; equal places on different listeners do', () => {
  assert.match(problemsOf({ ...base, routes: [route('a', { host: 'h.example.test', path: '/p' }), route('b', { host: 'h.example.test', path: '/p' })] })[0]!.message, /"b" and "a" are equal/);
  assert.match(problemsOf({ ...base, routes: [route('a', { listeners: ['http', 'https'] }), route('b', { listeners: ['https'] })] })[0]!.message, /equal/);
  assert.deepEqual(problemsOf({ ...base, routes: [route('a', { listeners: ['http'] }), route('b', { listeners: ['https'] }), route('c')] }), []);
});

test('a route cannot take a place of the gateway\'s own', () => {
  assert.equal(problemsOf({ ...base, routes: [route('a', { host: 'gw.example.test' })] }).length, 1);
  assert.equal(problemsOf({ ...base, routes: [route('a', { host: '*.gw.example.test' })] }).length, 1);
  assert.equal(problemsOf({ ...base, routes: [route('a', { host: 'gw.example.test', path: '/ca' })] }).length, 1);
  assert.deepEqual(problemsOf({ ...base, routes: [route('a', { host: 'gw.example.test', path: '/shop' })] }), []);
});

test('devices under a domain of their own, or under each of the gateway\'s', () => {
  const apart = compile({ ...base, deviceDomain: 'devices.example.net' }, 1);
  assert.ok('snapshot' in apart);
  assert.deepEqual(apart.snapshot.deviceDomains, ['devices.example.net']);
  assert.equal(apart.snapshot.wildcards.has('gw.example.test'), false);
  assert.equal(problemsOf({ ...base, deviceDomain: 'gw.example.test' })[0]!.path, 'deviceDomain');
  const two = compile({ ...base, domains: [{ name: 'gw.example.test' }, { name: 'gw.example.net' }] }, 1);
  assert.ok('snapshot' in two);
  assert.deepEqual([...two.snapshot.wildcards.keys()], ['gw.example.test', 'gw.example.net']);
  assert.equal(two.snapshot.primaryDomain, 'gw.example.test');
});

test('a port that the system picks is nobody\'s twice', () => {
  assert.deepEqual(problemsOf({ ...base, listeners: [listener('a', 0, false), listener('b', 0, true)] }), []);
});
