import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkContains, parseAddress, parseNetwork } from './cidr.ts';
import { buildNetworkSet, isInNetworks } from './networks.ts';

test('edges of networks, both families, mapped forms', () => {
  const set = buildNetworkSet(['192.0.2.0/24', '198.51.100.7', '2001:db8::/32', '192.0.3.0/24', '192.0.2.128/25']);
  assert.equal(set.four.length, 2, 'neighbours and overlaps are joined');
  for (const inside of ['192.0.2.0', '192.0.2.255', '192.0.3.255', '198.51.100.7', '::ffff:192.0.2.9', '2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff']) assert.equal(isInNetworks(set, inside), true, inside);
  for (const outside of ['192.0.1.255', '192.0.4.0', '198.51.100.6', '198.51.100.8', '2001:db7:ffff::', '2001:db9::', '::1', '', 'x', '192.0.2.1/32']) assert.equal(isInNetworks(set, outside), false, outside);
  assert.equal(isInNetworks(buildNetworkSet([]), '192.0.2.1'), false);
  assert.equal(isInNetworks(buildNetworkSet(['0.0.0.0/0']), '255.255.255.255'), true);
  assert.equal(isInNetworks(buildNetworkSet(['0.0.0.0/0']), '::1'), false);
});

test('agrees with one comparison after the other', () => {
  let seed = 7;
  const next = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) % below;
  const list = Array.from({ length: 300 }, () => {
    const prefix = 8 + next(25);
    const value = ((next(256) << 24) | (next(256) << 16) | (next(256) << 8) | next(256)) >>> 0;
    const base = prefix === 32 ? value : (value >>> (32 - prefix)) * 2 ** (32 - prefix);
    return `${base >>> 24}.${(base >>> 16) & 255}.${(base >>> 8) & 255}.${base & 255}/${prefix}`;
  });
  const set = buildNetworkSet(list);
  const networks = list.map((text) => parseNetwork(text)!);
  for (let i = 0; i < 3_000; i++) {
    const text = `${next(256)}.${next(256)}.${next(256)}.${next(256)}`;
    assert.equal(isInNetworks(set, text), networks.some((network) => networkContains(network, parseAddress(text)!)), text);
  }
});
