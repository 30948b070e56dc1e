import assert from 'node:assert/strict';
import { BlockList, isIP, SocketAddress } from 'node:net';
import { test } from 'node:test';
import { canonicalAddress, formatNetwork, isLoopback, isPrivate, isPrivateNetwork, networkOf, networkContains, parseAddress, parseNetwork } from './cidr.ts';

test('addresses have one spelling', () => {
  for (const [text, canonical] of [
    ['192.0.2.1', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['64:ff9b::192.0.2.1', '64:ff9b::c000:201'],
    ['::192.0.2.1', '::c000:201'],
  ] as const) {
    assert.equal(canonicalAddress(text), canonical, text);
    assert.equal(canonicalAddress(canonical), canonical);
  }
});

test('what is no address', () => {
  for (const text of ['', ' ', '192.0.2', '192.0.2.1.1', '192.0.2.256', '192.0.02.1', '0x7f.0.0.1', '2130706433', '192.0.2.1 ', '[::1]', ':', ':::', '1:::2', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7:8::', '12345::', 'g::', 'fe80::1%eth0', '::ffff:192.0.2', '::ffff:192.0.2.01', '192.0.2.1:80', '::1/128', 'a.example.test']) {
    assert.equal(parseAddress(text), null, text);
    if (!text.includes('%')) assert.equal(isIP(text), 0, `${text}: Node disagrees`);
  }
});

test('networks', () => {
  for (const [text, canonical] of [['192.0.2.0/24', '192.0.2.0/24'], ['192.0.2.7', '192.0.2.7/32'], ['0.0.0.0/0', '0.0.0.0/0'], ['::/0', '::/0'], ['2001:DB8::/32', '2001:db8::/32'], ['::ffff:192.0.2.0/120', '192.0.2.0/24'], ['2001:db8::1', '2001:db8::1/128']] as const) {
    assert.equal(formatNetwork(parseNetwork(text)!), canonical);
  }
  for (const text of ['192.0.2.1/24', '192.0.2.0/33', '192.0.2.0/-1', '192.0.2.0/', '192.0.2.0/024', '192.0.2.0/24/8', '/24', '2001:db8::1/64', '::/129', '::ffff:192.0.2.0/24']) assert.equal(parseNetwork(text), null, text);
});

test('what a network contains, compared with Node', () => {
  const inside = (network: string, address: string) => networkContains(parseNetwork(network)!, parseAddress(address)!);
  assert.ok(inside('192.0.2.0/24', '::ffff:192.0.2.255'));
  assert.ok(!inside('0.0.0.0/0', '2001:db8::1'));
  assert.ok(!inside('::/0', '192.0.2.1'));
  for (const [network, family] of [['198.51.100.64/26', 'ipv4'], ['2001:db8:ab00::/40', 'ipv6']] as const) {
    const [first, prefix] = network.split('/') as [string, string];
    const list = new BlockList();
    list.addSubnet(first, Number(prefix), family);
    const near = family === 'ipv4' ? ['198.51.100.63', '198.51.100.64', '198.51.100.127', '198.51.100.128'] : ['2001:db8:aaff:ffff::', '2001:db8:ab00::', '2001:db8:abff:ffff:ffff:ffff:ffff:ffff', '2001:db8:ac00::'];
    assert.deepEqual(near.map((address) => inside(network, address)), [false, true, true, false]);
    for (const address of near) assert.equal(inside(network, address), list.check(new SocketAddress({ address, family })), address);
  }
});

test('loopback and private', () => {
  for (const text of ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1']) assert.ok(isLoopback(text) && isPrivate(text), text);
  for (const [text, is] of [['10.0.0.0/8', true], ['192.168.7.0/24', true], ['fd00::/48', true], ['192.0.0.0/8', false], ['10.0.0.0/7', false], ['0.0.0.0/0', false], ['203.0.113.0/24', false]] as const) assert.equal(isPrivateNetwork(parseNetwork(text)!), is, text);
  for (const text of ['10.1.2.3', '172.31.0.1', '192.168.1.1', '100.127.0.1', '169.254.1.1', 'fd00::1', 'fe80::1']) assert.ok(!isLoopback(text) && isPrivate(text), text);
  for (const text of ['192.0.2.1', '172.32.0.1', '128.0.0.1', '2001:db8::1', '::2', 'localhost', '']) assert.ok(!isLoopback(text) && !isPrivate(text), text);
});

test('one place: an IPv4 address, an IPv6 /64', () => {
  assert.equal(networkOf('192.0.2.1'), '192.0.2.1');
  assert.equal(networkOf('::ffff:192.0.2.1'), '192.0.2.1');
  assert.equal(networkOf('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2::/64');
  assert.equal(networkOf('2001:0db8:1:2::9'), '2001:db8:1:2::/64');
  assert.equal(networkOf('2001:db8::1'), '2001:db8:0:0::/64');
  assert.equal(networkOf('fe80::1%eth0'), 'fe80:0:0:0::/64');
  assert.equal(networkOf('::1'), '0:0:0:0::/64');
});
