import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownAddressOf } from './own-address.ts';

test('an address that others can know', () => {
  assert.equal(ownAddressOf('192.0.2.50'), '192.0.2.50');
  assert.equal(ownAddressOf('2001:DB8:0::1'), '2001:db8::1');
});

test('a name, nothing, and this very machine are none', () => {
  for (const host of ['printer.lan', 'localhost', '', '127.0.0.1', '::1', '::ffff:127.0.0.1', '0:0:0:0:0:0:0:1']) assert.equal(ownAddressOf(host), null, host);
});
