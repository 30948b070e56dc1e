import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isInNetworks, buildNetworkSet } from '#base/networks.ts';
import { seeded } from '../../test/sim/line.ts';
import type { SitePlace } from './place-rows.ts';
import { buildPlaces, doorName, networkOfOne } from './places.ts';
import { buildTable } from './table.ts';

const place = (siteId: string, subnets: readonly string[], egress: readonly string[] = []): SitePlace => ({ siteId, customerId: 'c', subnets, egress });
const tableOf = (...rows: SitePlace[]) => buildTable<SitePlace>({ name: 'sitePlaces', kind: 'kept', keyOf: (row) => row.siteId, rows });

test('an address by egress and by network inside; several sites may have it', () => {
  const sitePlaces = tableOf(
    place('a', ['192.168.1.0/24', '2001:db8:1::/48'], ['198.51.100.7/32']),
    place('b', ['192.168.1.0/24', '10.0.0.0/8'], ['198.51.100.7/32', '203.0.113.0/28']),
    place('c', ['10.1.0.0/16'], []),
  );
  const places = buildPlaces({ sitePlaces });
  assert.deepEqual(places.sitesOfAddress('198.51.100.7'), { egress: ['a', 'b'], inside: [] });
  assert.deepEqual(places.sitesOfAddress('203.0.113.15').egress, ['b']);
  assert.deepEqual(places.sitesOfAddress('203.0.113.16').egress, []);
  assert.deepEqual(places.sitesOfAddress('192.168.1.50').inside, ['a', 'b']);
  assert.deepEqual(places.sitesOfAddress('10.1.2.3').inside, ['b', 'c']);
  assert.deepEqual(places.sitesOfAddress('10.2.2.3').inside, ['b']);
  assert.deepEqual(places.sitesOfAddress('2001:db8:1:2::9').inside, ['a']);
  assert.deepEqual(places.sitesOfAddress('2001:db8:2::9').inside, []);
  assert.deepEqual(places.sitesOfAddress('::ffff:192.168.1.50').inside, ['a', 'b']);
  assert.deepEqual(places.sitesOfAddress('printer'), { egress: [], inside: [] });
  assert.deepEqual(places.overlapsOf('a'), [{ kind: 'egress', siteId: 'b', network: '198.51.100.7/32' }, { kind: 'subnet', siteId: 'b', network: '192.168.1.0/24' }]);
  assert.deepEqual(places.overlapsOf('c'), [{ kind: 'subnet', siteId: 'b', network: '10.0.0.0/8' }]);
  assert.deepEqual(places.overlapsOf('nobody'), []);
  sitePlaces.publish({ put: [place('c', [], ['198.51.100.7/32'])], removed: ['b'] });
  assert.deepEqual(places.sitesOfAddress('198.51.100.7').egress, ['a', 'c'], 'rebuilt when a row changed');
  assert.deepEqual(places.sitesOfAddress('10.1.2.3').inside, []);
});

test('as one would find it by looking at every network', () => {
  const random = seeded(11);
  const number = (max: number) => Math.floor(random() * max);
  const rows = Array.from({ length: 60 }, (_, i) => place(`s${i}`, Array.from({ length: 1 + number(4) }, () => `10.${number(4)}.${number(256)}.0/${8 + number(25)}`)));
  const places = buildPlaces({ sitePlaces: tableOf(...rows) });
  for (let i = 0; i < 500; i++) {
    const address = `10.${number(5)}.${number(256)}.${number(256)}`;
    const slow = rows.filter(({ subnets }) => isInNetworks(buildNetworkSet(subnets), address)).map(({ siteId }) => siteId).sort();
    assert.deepEqual(places.sitesOfAddress(address).inside, slow, address);
  }
});

test('names of places', () => {
  assert.equal(networkOfOne('192.0.2.1'), '192.0.2.1/32');
  assert.equal(networkOfOne('2001:db8::1'), '2001:db8::1/128');
  assert.equal(doorName({ address: '2001:db8::1', port: 443 }, { name: 'Hamburg' }), 'Hamburg [2001:db8::1]:443');
});
