import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressRestMs, buildAddressPool, chooseAddress, type AddressesKnown } from './address-pool.ts';

interface Release {
  readonly address: string;
  readonly deviceId: string;
  readonly releasedAt: number;
}

const whom = (deviceId: string, siteId = 's1') => ({ customerId: 'c1', siteId, deviceId });
const knownOf = (taken: ReadonlySet<string>, releases: readonly Release[] = []): AddressesKnown => ({
  isTaken: (address) => taken.has(address),
  releaseOf: (address) => releases.find((each) => each.address === address) ?? null,
  formerOf: (deviceId) => releases.find((each) => each.deviceId === deviceId)?.address ?? null,
  released: () => releases,
});
const allOf = (...networks: string[]): string[] => {
  const pool = buildAddressPool(networks);
  return pool.networks.flatMap((each) => Array.from({ length: each.capacity }, (_, place) => pool.addressAt(each, place)));
};

test('which addresses of a network may be given', () => {
  assert.deepEqual(allOf('192.0.2.0/29'), ['192.0.2.2', '192.0.2.3', '192.0.2.4', '192.0.2.5', '192.0.2.6']);
  assert.deepEqual(allOf('192.0.2.8/30'), ['192.0.2.10']);
  assert.deepEqual(allOf('192.0.2.8/31'), ['192.0.2.8', '192.0.2.9']);
  assert.deepEqual(allOf('192.0.2.9'), ['192.0.2.9']);
  assert.deepEqual(allOf('2001:db8::/125'), ['2001:db8::2', '2001:db8::3', '2001:db8::4', '2001:db8::5', '2001:db8::6', '2001:db8::7']);
  const two = allOf('198.51.100.0/23');
  assert.equal(two.length, 2 * 254 - 1);
  assert.deepEqual([two[0], two[252], two[253], two.at(-1)], ['198.51.100.2', '198.51.100.254', '198.51.101.1', '198.51.101.254']);
  for (const network of ['127.72.0.0/16', '100.64.0.0/14', '198.51.100.0/24', '198.51.100.128/25']) {
    const pool = buildAddressPool([network]);
    const all = allOf(network);
    assert.equal(new Set(all).size, all.length, `${network}: every place another address`);
    for (const address of all) if (pool.usable(address) !== address || (!network.endsWith('/25') && /\.(0|255)$/.test(address))) assert.fail(`${address} of ${network}`);
  }
});

test('which addresses a person may choose', () => {
  const pool = buildAddressPool(['100.72.0.0/16', 'fd00:72::/64']);
  for (const good of ['100.72.0.2', '100.72.255.254', 'fd00:72::2']) assert.equal(pool.usable(good), good);
  assert.equal(pool.usable('FD00:0072:0::0A'), 'fd00:72::a');
  assert.equal(pool.usable('::ffff:100.72.3.4'), '100.72.3.4');
  for (const bad of ['100.72.0.0', '100.72.0.1', '100.72.255.255', '100.72.7.0', '100.72.7.255', '100.73.0.5', 'fd00:72::', 'fd00:72::1', 'fd00:73::5', '100.72.0', '', 'x', '100.72.0.5/32']) assert.equal(pool.usable(bad), null, bad);
  assert.equal(pool.networkOf('100.72.0.1'), '100.72.0.0/16');
  assert.equal(pool.networkOf('192.0.2.1'), null);
  assert.equal(pool.networkOf('nonsense'), null);
});

test('networks inside others count once, and nonsense not at all', () => {
  const pool = buildAddressPool(['192.0.2.0/28', '192.0.2.8/29', '192.0.2.0/28', 'nonsense', '2001:db8::/32']);
  assert.deepEqual(pool.networks.map((each) => each.text), ['192.0.2.0/28', '2001:db8::/32']);
  assert.equal(pool.networks[0]!.capacity, 13);
  assert.ok(Number.isSafeInteger(pool.capacity) && pool.capacity > 2 ** 47);
  assert.equal(buildAddressPool([]).capacity, 0);
  assert.equal(chooseAddress(buildAddressPool([]), whom('d1'), knownOf(new Set()), 0), null);
});

test('stable, spread, and never the same twice, whatever comes and goes', () => {
  const pool = buildAddressPool(['127.72.0.0/16']);
  const given = new Map<string, string>();
  for (let i = 0; i < 2_000; i++) {
    const address = chooseAddress(pool, whom(`d${i}`, `s${i % 7}`), knownOf(new Set(given.keys())), 0)!;
    assert.ok(!given.has(address) && pool.usable(address) === address, address);
    given.set(address, `d${i}`);
  }
  const thirds = Map.groupBy(given.keys(), (address) => address.split('.')[2]!);
  assert.ok(thirds.size > 240, `${thirds.size} of 256 blocks are used`);
  assert.ok(Math.max(...[...thirds.values()].map((each) => each.length)) < 30);
  for (const order of [['d1', 'd2'], ['d2', 'd1']]) {
    const alone = new Map(order.map((id) => [id, chooseAddress(pool, whom(id), knownOf(new Set()), 0)]));
    assert.equal(alone.get('d1'), chooseAddress(pool, whom('d1'), knownOf(new Set()), 5));
    assert.notEqual(alone.get('d1'), alone.get('d2'));
  }
});

test('a network fills to its last address, then the next one', () => {
  const pool = buildAddressPool(['192.0.2.0/28', '2001:db8::/126']);
  const taken = new Set<string>(['192.0.2.7']);
  for (let i = 0; i < 12 + 2; i++) {
    const address = chooseAddress(pool, whom(`d${i}`), knownOf(taken), 0)!;
    assert.equal(address.startsWith('192.'), i < 12, `${i}: ${address}`);
    taken.add(address);
  }
  assert.equal(chooseAddress(pool, whom('late'), knownOf(taken), 0), null);
});

test('what was released rests for 30 days while others are free, and its own device has it back', () => {
  const pool = buildAddressPool(['192.0.2.0/28']);
  const wish = chooseAddress(pool, whom('d1'), knownOf(new Set()), 0)!;
  const release = { address: wish, deviceId: 'd1', releasedAt: 1_000 };
  // Whoever would have begun at the same place gets the next one while it rests.
  const twin = [...Array(1_000).keys()].map((i) => `x${i}`).find((id) => chooseAddress(pool, whom(id), knownOf(new Set()), 0) === wish)!;
  assert.notEqual(chooseAddress(pool, whom(twin), knownOf(new Set(), [release]), 1_000 + addressRestMs - 1), wish);
  assert.equal(chooseAddress(pool, whom(twin), knownOf(new Set(), [release]), 1_000 + addressRestMs), wish);
  assert.equal(chooseAddress(pool, whom('d1'), knownOf(new Set(), [release]), 2_000), wish);
  // Nothing but released ones is left: the one that rested longest.
  const all = allOf('192.0.2.0/28');
  const releases = all.slice(0, 3).map((address, i) => ({ address, deviceId: `gone${i}`, releasedAt: [50, 20, 30][i]! }));
  assert.equal(chooseAddress(pool, whom('d1'), knownOf(new Set(all.slice(3)), releases), 60), all[1]);
  assert.equal(chooseAddress(pool, whom('d1'), knownOf(new Set(all), releases), 60), null, 'a release of what is taken again is none');
  assert.equal(chooseAddress(pool, whom('d1'), knownOf(new Set(all), [{ address: '198.51.100.9', deviceId: 'd1', releasedAt: 0 }]), 60), null, 'outside of the pool');
});
