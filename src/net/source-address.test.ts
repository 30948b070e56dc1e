import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourceTowards } from './source-address.ts';

test('towards this machine it is the address that was asked for', async () => {
  assert.deepEqual(await sourceTowards('127.0.0.1', 9), { source: '127.0.0.1', target: '127.0.0.1' });
  assert.equal((await sourceTowards('localhost', 9))?.source, (await sourceTowards('localhost', 9))?.target);
});

test('a name without an address is nowhere', async () => {
  assert.equal(await sourceTowards('nowhere.invalid', 9), null);
});
