import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { digestOf } from '#base/secret.ts';
import { buildHandOvers } from './hand-over.ts';

const order = { signInId: 's1', host: 'v.gw.example.test', path: '/a?b', asked: digestOf('nonce') };

function build() {
  const clock = { ms: 1_000 };
  const handOvers = buildHandOvers(() => clock.ms, (bytes) => randomBytes(bytes), 60_000);
  return { clock, handOvers, redeem: (code: string, host = order.host, nonce = 'nonce') => handOvers.redeem(code, host, nonce) };
}

test('a code is good once, for a minute, on its host, for whoever asked', () => {
  const { clock, handOvers, redeem } = build();
  const code = handOvers.issue(order);
  assert.deepEqual(redeem(code), { signInId: 's1', path: '/a?b' });
  assert.equal(redeem(code), 'gone');
  assert.equal(redeem('never made'), 'gone');
  assert.equal(redeem('x'.repeat(101)), 'gone');
  assert.equal(redeem(handOvers.issue(order), 'x.gw.example.test'), 'gone');
  const late = handOvers.issue(order);
  clock.ms += 60_000;
  assert.equal(redeem(late), 'gone');
});

test('whoever did not ask gets nothing, and the code is used up', () => {
  const { handOvers, redeem } = build();
  const code = handOvers.issue(order);
  assert.equal(redeem(code, order.host, 'another'), 'not-asked');
  assert.equal(redeem(code), 'gone');
  assert.equal(redeem(handOvers.issue({ ...order, asked: digestOf('') }), order.host, ''), 'not-asked');
});

test('codes are bounded: the oldest goes', () => {
  const { handOvers, redeem } = build();
  const first = handOvers.issue(order);
  const second = handOvers.issue(order);
  for (let i = 0; i < 9_999; i++) handOvers.issue(order);
  assert.equal(redeem(first), 'gone');
  assert.notEqual(redeem(second), 'gone');
});
