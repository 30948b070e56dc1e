import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutBlanks } from './blanks.ts';

test('spaces and tabs go from both ends, nothing else does', () => {
  assert.equal(withoutBlanks(' \t a b\t '), 'a b');
  assert.equal(withoutBlanks(''), '');
  assert.equal(withoutBlanks(' \t '), '');
  assert.equal(withoutBlanks('\u00a0a\v'), '\u00a0a\v');
});

test('a long run of blanks is looked at once', () => {
  // Quadratic, this would take the better part of an hour.
  const text = `a${' '.repeat(4_000_000)}b`;
  assert.equal(withoutBlanks(text), text);
});
