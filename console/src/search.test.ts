import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseQuery, stringifyQuery, without } from './search.ts';

test('what is in the address comes back as it was typed', () => {
  for (const value of ['1e5', 'true', '007', '"quoted"', 'a b+c&d=e#f', '{"a":1}', 'ü']) {
    assert.deepEqual(parseQuery(stringifyQuery({ q: value, none: undefined })), { q: value });
  }
  assert.equal(stringifyQuery({}), '');
  assert.equal(stringifyQuery({ add: true }), '?add=true');
});

test('a name that is taken out leaves the rest and the original alone', () => {
  const search = { q: 'a', sort: 'name' };
  assert.deepEqual(without(search, 'q'), { sort: 'name' });
  assert.deepEqual(search, { q: 'a', sort: 'name' });
});
