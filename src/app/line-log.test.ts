import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '#base/secret.ts';
import { buildLineLog } from './line-log.ts';

test('one line an event, peer data escaped, secrets hidden, what is below the level left out', () => {
  const lines: string[] = [];
  const log = buildLineLog((line) => lines.push(line), () => 0, 'info');
  log.debug('stream.opened');
  log.warn('link.refused', { why: 'two words', peer: 'a\nb', code: 403, token: new Secret('hidden'), nothing: undefined });
  assert.deepEqual(lines, ['1970-01-01T00:00:00.000Z warn  link.refused why="two words" peer=a\\x0ab code=403 token=[secret]\n']);
});
