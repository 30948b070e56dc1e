import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { findNeighbour, parseArp, parseResolvers, parseRoutes, parseRoutes6, readSurroundings } from './neighbours.ts';

test('the neighbour table', () => {
  const table = parseArp(`IP address       HW type     Flags       HW address            Mask     Device
192.0.2.50       0x1         0x2         00:00:5E:00:53:01     *        eth0
192.0.2.51       0x1         0x0         00:00:00:00:00:00     *        eth0
192.0.2.52       0x1         0x6         00:00:5e:00:53:02     *        eth0.7
192.0.2.53       0x1         0x2         00:00:00:00:00:00     *        eth0
`);
  assert.deepEqual([...table], [['192.0.2.50', { mac: '00:00:5e:00:53:01', interface: 'eth0' }], ['192.0.2.52', { mac: '00:00:5e:00:53:02', interface: 'eth0.7' }]]);
  assert.equal(parseArp('').size, 0);
});

test('gateways', () => {
  assert.deepEqual(
    parseRoutes(`Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
ppp0\t00000000\t00000000\t0001\t0\t0\t9\t00000000\t0\t0\t0
`),
    [{ interface: 'eth0', address: '192.0.2.1' }],
  );
  assert.deepEqual(
    parseRoutes6(`00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
`),
    [{ interface: 'eth0', address: '2001:db8::1' }],
  );
});

test('name servers', () => {
  assert.deepEqual(parseResolvers('# made by hand\nsearch example.test\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n nameserver 2001:db8::1 # second\nnameserver nobody\n'), ['192.0.2.1', 'fe80::1%eth0', '2001:db8::1']);
});

test('this machine: no loopback, no neighbour that cannot be', async () => {
  const { addresses, resolvers } = await readSurroundings();
  const outer = Object.values(networkInterfaces()).flat().filter((each) => each?.internal === false);
  assert.equal(addresses.length, outer.length);
  for (const { address, network } of addresses) assert.ok(!address.startsWith('127.') && network.includes('/'));
  assert.ok(Array.isArray(resolvers));
  assert.deepEqual(await findNeighbour('203.0.113.250'), { mac: null, interface: null });
});
