import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstConfig } from './config.ts';
import { decideExchange } from './decide.ts';
import { compile } from './snapshot.ts';

const built = compile(firstConfig({ domain: 'gw.example.test', httpPort: 80, httpsPort: 443 }), 1);
assert.ok('snapshot' in built);
const { snapshot } = built;
const plain = { listener: 'http', secure: false, link: false, loopback: false, serverName: null };
const secure = { ...plain, listener: 'https', secure: true };

test('over plain HTTP the way to /ca leads to nothing else of the console', () => {
  // The API resolves dot segments: "/ca/../api/v1/sign-in" would have been the API, without TLS.
  assert.equal(decideExchange(snapshot, plain, 'gw.example.test', '/ca').step, 'route');
  for (const target of ['/ca/../api/v1/sign-in', '/ca/%2e%2e/api/v1/sign-in', '/ca/.%2E/', '/ca/./x', '/ca\\..\\api']) assert.notEqual(decideExchange(snapshot, plain, 'gw.example.test', target).step, 'route', target);
  for (const target of ['/', '/api/v1/setup', '/stream', '/cat']) assert.equal(decideExchange(snapshot, plain, 'gw.example.test', target).step, 'secure', target);
});

test('dots in a query are no path', () => {
  assert.equal(decideExchange(snapshot, secure, 'gw.example.test', '/open?to=/../x&y=/./').step, 'route');
  assert.equal(decideExchange(snapshot, secure, 'x.gw.example.test', '/a/../b').step, 'device');
});
