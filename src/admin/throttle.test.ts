import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handClock } from '#kit/admin-room.ts';
import { isFault } from '#base/fault.ts';
import { cookiesWork, readSignInCookie } from './cookies.ts';
import { buildThrottle } from '#model/throttle.ts';

const keys = [{ key: 'a', freeTries: 3, delayMaxMs: 8_000 }];

test('free tries, then waits that double up to the longest, and forgets', () => {
  const clock = handClock();
  const throttle = buildThrottle(clock);
  const wait = () => {
    try {
      throttle.attempt(keys);
    } catch (thrown) {
      assert.ok(isFault(thrown, 'too-many'));
      return Number(thrown.detail['retryAfterS']);
    }
    return 0;
  };
  const waits: number[] = [];
  for (let i = 0; i < 9; i++) {
    const seconds = wait();
    waits.push(seconds);
    clock.advance(seconds * 1_000);
    if (seconds > 0) assert.equal(wait(), 0, 'exactly then it may');
  }
  assert.deepEqual(waits, [0, 0, 0, 1, 2, 4, 8, 8, 8]);
  assert.equal(wait(), 8);
  throttle.succeeded(keys);
  assert.equal(wait(), 0);
  clock.advance(15 * 60_000);
  assert.equal(throttle.triesOf('a'), 0);
});

test('a refused try costs nothing, and any key may refuse', () => {
  const clock = handClock();
  const throttle = buildThrottle(clock);
  const both = [...keys, { key: 'b', freeTries: 100, delayMaxMs: 1_000 }];
  for (let i = 0; i < 3; i++) throttle.attempt(both);
  assert.throws(() => throttle.attempt(both), (thrown) => isFault(thrown, 'too-many'));
  assert.deepEqual([throttle.triesOf('a'), throttle.triesOf('b')], [3, 3]);
  throttle.attempt([both[1]!]);
});

test('memory is bounded: the keys touched least lately go', () => {
  const throttle = buildThrottle(handClock());
  const key = (n: number) => [{ key: String(n), freeTries: 3, delayMaxMs: 1_000 }];
  throttle.attempt(key(0));
  for (let n = 1; n < 20_000; n++) throttle.attempt(key(n));
  throttle.attempt(key(0));
  for (let n = 20_000; n < 20_100; n++) throttle.attempt(key(n));
  assert.deepEqual([throttle.triesOf('0'), throttle.triesOf('1'), throttle.triesOf('100'), throttle.triesOf('101')], [2, 0, 0, 1]);
});

test('our cookie among others; twice is none', () => {
  assert.equal(readSignInCookie('a=b; __Host-postern=xyz; c=d'), 'xyz');
  assert.equal(readSignInCookie('__Host-postern=a; __Host-postern=a'), null);
  assert.equal(readSignInCookie('__Host-postern='), null);
  assert.equal(readSignInCookie('x__Host-postern=a; __host-postern=b; __Host-postern'), null);
  assert.equal(readSignInCookie(undefined), null);
});

test('where a browser keeps a Secure cookie', () => {
  for (const host of ['localhost', 'LOCALHOST:8080', 'gw.localhost:8080', '127.0.0.1:8080', '127.9.9.9', '[::1]:8080']) assert.equal(cookiesWork(false, host), true, host);
  for (const host of ['gw.example.test', '192.0.2.1:8080', 'localhost.example.test', '127.0.0.1.example.test', '[::2]', 'notlocalhost']) assert.equal(cookiesWork(false, host), false, host);
  assert.equal(cookiesWork(true, 'gw.example.test'), true);
});
