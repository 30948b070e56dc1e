import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { compilePattern, matchesGlob } from './pattern.ts';

test('patterns find, group, and take linear time', () => {
  const emergency = compilePattern('\\b9?911\\b');
  assert.equal(emergency.test('10:00 201 9911 00:05'), true);
  assert.equal(emergency.test(Buffer.from('10:00 201 911')), true);
  assert.equal(emergency.test('19110'), false);
  const call = compilePattern('(?P<from>\\d+) -> (?<to>\\d+)(x)?');
  assert.deepEqual(call.groups('call 201 -> 911.'), { all: ['201 -> 911', '201', '911', null], named: { from: '201', to: '911' } });
  assert.equal(call.groups('nothing'), null);
  // A backtracking engine would need 2^40 steps here.
  assert.equal(compilePattern('^(a+)+$').test(`${'a'.repeat(40)}b`), false);
});

test('what is no pattern says why', () => {
  for (const text of ['(', '(?=a)', '', 'a{2000}', 'x'.repeat(2_000)]) assert.throws(() => compilePattern(text), (thrown: unknown) => isFault(thrown, 'bad-input'), text);
});

test('globs', () => {
  for (const [glob, value, fits] of [['*', '', true], ['a*', 'abc', true], ['*c', 'abc', true], ['a?c', 'abc', true], ['a?c', 'ac', false], ['a*b*c', 'a-b-b-c', true], ['a*b', 'abc', false], ['abc', 'ABC', false], ['', '', true], ['', 'a', false], ['**', 'x', true], ['SN1*', 'SN123', true]] as const) {
    assert.equal(matchesGlob(glob, value), fits, `${glob} ${value}`);
  }
  assert.equal(matchesGlob('*a'.repeat(500), 'a'.repeat(5_000)), true);
});
