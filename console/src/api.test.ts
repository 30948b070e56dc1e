import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiProblem, problemOf } from './api.ts';

const shown = (remedy: string | null, retryAfterS: number | undefined) =>
  problemOf(new ApiProblem({ type: 'about:blank', title: 'Too many requests', status: 429, code: 'too-many', detail: 'too many tries', cause: null, remedy, requestId: 'r-1', ...(retryAfterS === undefined ? {} : { retryAfterS }) })).remedy;

test('how long to wait is said once', () => {
  assert.equal(shown('wait 1 s and try again', 1), 'Wait 1 s and try again.');
  assert.equal(shown('close some windows of the console', 10), 'Close some windows of the console. Wait 10 seconds before the next try.');
  assert.equal(shown(null, 1), 'Wait 1 second before the next try.');
  assert.equal(shown('ask the owner', undefined), 'Ask the owner.');
});
