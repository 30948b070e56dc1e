import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failedAt, firstRoute, judgePins, judgeRedirect, mayBelieve, mayConnect, mayTakeNext, parseBase, redirected, routeAt } from './trust.ts';
import type { Believing } from './trust.ts';

const pin = (letter: string) => `sha256//${letter.repeat(43)}=`;
const [ours, next, foreign] = [pin('A'), pin('B'), pin('C')];
const plain: Believing = { over: 'plain', pin: null, chainGood: false, signed: false };
const tls = (of: string, chainGood = false): Believing => ({ over: 'tls', pin: of, chainGood, signed: false });
const suffix = '/push/SN1/cdr/0011223344556677?o=0';
const offer = { base: 'https://in2.example.test:8443/v1/acme', location: null, suffix, ttl: '60', hops: 0 };

test('with a list its keys alone count, without one the trust store', () => {
  assert.equal(mayConnect([ours], ours, false), true);
  assert.equal(mayConnect([ours, next], next, false), true);
  assert.equal(mayConnect([ours], foreign, true), false, 'a public certificate is no pin');
  assert.equal(mayConnect([], foreign, true), true);
  assert.equal(mayConnect([], foreign, false), false);
});

test('believed is who is known by list or signature, over plain http nobody else', () => {
  assert.equal(mayBelieve(tls(ours), [ours]), true);
  assert.equal(mayBelieve(tls(foreign, true), [ours]), false);
  assert.equal(mayBelieve(tls(foreign, true), []), true);
  assert.equal(mayBelieve(plain, []), false);
  assert.equal(mayBelieve(plain, [ours]), false);
  assert.equal(mayBelieve({ ...plain, signed: true }, [ours]), true);
  assert.equal(mayBelieve({ ...plain, over: 'link' }, []), true);
});

test('next over plain http: a device without a key takes it, one with a key waits for the signature', () => {
  assert.equal(mayTakeNext(plain, [], false), true);
  assert.equal(mayTakeNext(plain, [], true), false);
  assert.equal(mayTakeNext({ ...plain, signed: true }, [], true), true);
  assert.equal(mayTakeNext(tls(foreign, true), [ours], true), false);
});

test('where an answer may send a device', () => {
  const to = { base: 'https://in2.example.test:8443/v1/acme', ttlMs: 60_000, hops: 1 };
  assert.deepEqual(judgeRedirect(offer, tls(ours), [ours]), to);
  assert.deepEqual(judgeRedirect({ ...offer, base: null, location: `${offer.base}${suffix}` }, tls(ours), [ours]), to);
  assert.deepEqual(judgeRedirect({ ...offer, base: null, location: `${offer.base}${suffix}&start=5000` }, tls(ours), [ours]), to);
  assert.deepEqual(judgeRedirect({ ...offer, base: 'http://192.0.2.7/v1/acme/' }, { ...plain, signed: true }, []), { ...to, base: 'http://192.0.2.7/v1/acme' });
  // Unsigned over plain http: to https, and only where a list will judge the server.
  assert.deepEqual(judgeRedirect(offer, plain, [ours]), to);
  for (const [what, given, answer, pins] of [
    ['unsigned to plain http', { ...offer, base: 'http://in2.example.test/v1/acme' }, plain, [ours]],
    ['unsigned without a list', offer, plain, []],
    ['a server that is not believed', offer, tls(foreign, true), [ours]],
    ['the sixth hop', { ...offer, hops: 5 }, tls(ours), [ours]],
    ['another path', { ...offer, base: null, location: 'https://in2.example.test/elsewhere' }, tls(ours), [ours]],
    ['no place', { ...offer, base: null }, tls(ours), [ours]],
    ['another scheme', { ...offer, base: 'ftp://in2.example.test/' }, tls(ours), [ours]],
    ['a name and password', { ...offer, base: 'https://a:b@in2.example.test/v1/acme' }, tls(ours), [ours]],
  ] as const) assert.equal(typeof judgeRedirect(given, answer, pins), 'string', what);
});

test('times to live are bounded and have a standard', () => {
  const ttl = (text: string | null) => {
    const judged = judgeRedirect({ ...offer, ttl: text }, tls(ours), [ours]);
    return typeof judged === 'string' ? judged : judged.ttlMs / 1000;
  };
  assert.deepEqual([ttl('1'), ttl('0'), ttl(null), ttl('x'), ttl('999999999')], [1, 1, 3_600, 3_600, 30 * 86_400]);
});

test('bases have one spelling', () => {
  assert.equal(parseBase('HTTPS://GW.example.test:443/v1/acme//'), 'https://gw.example.test/v1/acme');
  assert.equal(parseBase('http://[2001:db8::1]:8080/v1/acme'), 'http://[2001:db8::1]:8080/v1/acme');
  for (const bad of ['', 'gw.example.test', 'https://', 'https://gw.example.test/v1?x=1', 'https://gw.example.test/#a', 'https://gw.example.test/a;from=b', 'https://gw.example.test/ x', 'file:///etc/passwd', `https://gw.example.test/${'x'.repeat(500)}`]) assert.equal(parseBase(bad), null, bad);
});

test('a list is replaced by who is believed, never by nothing, and never so that it shuts its sender out', () => {
  assert.deepEqual(judgePins([ours, next], tls(ours), [ours]), { pins: [ours, next] });
  assert.deepEqual(judgePins([next], { ...plain, signed: true }, [ours]), { pins: [next] });
  assert.deepEqual(judgePins([ours], tls(ours, true), []), { pins: [ours] });
  assert.equal(judgePins([ours], tls(ours), [ours]), null);
  assert.equal(judgePins([], tls(ours), [ours]), null);
  assert.ok('refused' in judgePins([foreign], plain, [ours])!);
  assert.ok('refused' in judgePins([foreign], tls(foreign, true), [ours])!);
  assert.ok('refused' in judgePins([next], tls(ours), [ours])!);
});

test('the base in use: redirect, its end, failures, names of the programmed server', () => {
  const homes = ['https://a.example.test/v1/x', 'https://b.example.test/v1/x'];
  const sent = redirected(firstRoute, { base: 'https://c.example.test/v1/x', ttlMs: 1_000, hops: 2 }, 10_000);
  assert.deepEqual(sent.redirect, { base: 'https://c.example.test/v1/x', untilMs: 11_000, hops: 2 });
  assert.equal(routeAt(sent, 10_999), sent);
  assert.equal(routeAt(sent, 11_000).redirect, null);
  const failed = failedAt(sent, 'https://c.example.test/v1/x', homes);
  assert.deepEqual(failed, { home: 0, redirect: null, failed: { base: 'https://c.example.test/v1/x', untilMs: 11_000 } });
  assert.equal(routeAt(failed, 11_000).failed, null);
  assert.equal(failedAt(firstRoute, homes[0]!, homes).home, 1);
  assert.equal(failedAt({ ...firstRoute, home: 1 }, homes[1]!, homes).home, 0);
  assert.equal(failedAt(firstRoute, 'https://elsewhere.example.test', homes), firstRoute);
});
