import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildNetworkSet } from '#base/networks.ts';
import type { TrustedProxies } from './snapshot.ts';
import { clientBehind, isTrustedPeer } from './trusted.ts';

const trusted: TrustedProxies = {
  all: buildNetworkSet(['192.0.2.0/24', '198.51.100.5', '2001:db8::1']),
  entries: [{ from: buildNetworkSet(['192.0.2.0/24']), subject: null }, { from: buildNetworkSet(['198.51.100.5']), subject: 'edge' }, { from: buildNetworkSet(['2001:db8::1']), subject: null }],
};

test('walked from the right to the first that is not trusted', () => {
  const of = (text: string | null) => clientBehind(trusted, '192.0.2.1', text);
  assert.equal(of(null), '192.0.2.1');
  assert.equal(of('203.0.113.7'), '203.0.113.7');
  assert.equal(of('203.0.113.99, 203.0.113.7'), '203.0.113.7', 'what a client wrote itself stands to the left');
  assert.equal(of('203.0.113.99, 203.0.113.7, 192.0.2.2'), '203.0.113.7');
  assert.equal(of('203.0.113.7:4711,[2001:db8::1]:80'), '203.0.113.7');
  assert.equal(of('::ffff:203.0.113.7'), '203.0.113.7');
  assert.equal(of('2001:DB8:0::9'), '2001:db8::9');
  assert.equal(of('203.0.113.7, unknown'), '192.0.2.1', 'what is no address proves nothing about what is left of it');
  assert.equal(of('203.0.113.7, 127.1'), '192.0.2.1');
  assert.equal(of('unknown, 192.0.2.2'), '192.0.2.2');
  assert.equal(of(''), '192.0.2.1');
  assert.equal(of(`203.0.113.1,${'192.0.2.9,'.repeat(5_000)}192.0.2.9`), '192.0.2.9', 'nobody makes us walk for ever');
});

test('by address, and where it is asked for by certificate too', () => {
  assert.equal(isTrustedPeer(trusted, '192.0.2.200', null), true);
  assert.equal(isTrustedPeer(trusted, '203.0.113.1', 'edge'), false);
  assert.equal(isTrustedPeer(trusted, '198.51.100.5', null), false);
  assert.equal(isTrustedPeer(trusted, '198.51.100.5', 'other'), false);
  assert.equal(isTrustedPeer(trusted, '198.51.100.5', 'Edge'), true);
});
