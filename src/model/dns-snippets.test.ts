import assert from 'node:assert/strict';
import { test } from 'node:test';
import { insideOf, rebindSnippets, splitSnippets, type ResolverKind } from './dns-snippets.ts';

const linesOf = (list: ReturnType<typeof splitSnippets>, kind: ResolverKind) => list.find((each) => each.kind === kind)!.lines;

test('records for each resolver, IPv4 alone and with IPv6', () => {
  const four = splitSnippets({ name: 'scan.example.test', v4: '192.0.2.9', v6: null });
  const both = splitSnippets({ name: 'scan.example.test', v4: '192.0.2.9', v6: '2001:db8::9' });
  assert.deepEqual(four.map(({ kind }) => kind), ['dnsmasq', 'unbound', 'bind', 'windows', 'pihole', 'adguard', 'opnsense', 'mikrotik', 'openwrt', 'fritzbox']);
  assert.deepEqual(linesOf(both, 'dnsmasq'), ['local=/scan.example.test/', 'host-record=scan.example.test,192.0.2.9,2001:db8::9']);
  assert.deepEqual(linesOf(both, 'unbound').slice(1), ['  local-zone: "scan.example.test." redirect', '  local-data: "scan.example.test. 300 IN A 192.0.2.9"', '  local-data: "scan.example.test. 300 IN AAAA 2001:db8::9"']);
  assert.deepEqual(linesOf(four, 'windows'), ['Add-DnsServerPrimaryZone -Name "scan.example.test" -ReplicationScope "Domain" -DynamicUpdate None', 'Add-DnsServerResourceRecordA -ZoneName "scan.example.test" -Name "@" -IPv4Address "192.0.2.9" -TimeToLive 00:05:00']);
  assert.match(linesOf(both, 'windows')[2]!, /ResourceRecordAAAA .* -IPv6Address "2001:db8::9"/);
  assert.deepEqual(linesOf(four, 'mikrotik'), ['/ip dns static add name=scan.example.test type=A address=192.0.2.9 ttl=5m']);
  assert.deepEqual(linesOf(four, 'opnsense'), ['host scan, domain example.test, type A, address 192.0.2.9']);
  assert.deepEqual(linesOf(four, 'fritzbox'), []);
  // What a resolver does with AAAA is said of each that is not told both.
  for (const { kind, note } of four) assert.ok(/AAAA/.test(note) || kind === 'opnsense' || kind === 'fritzbox', kind);
});

test('what lets private answers through', () => {
  const rebind = rebindSnippets('scan.example.test');
  assert.deepEqual(linesOf(rebind, 'dnsmasq'), ['rebind-domain-ok=/scan.example.test/']);
  assert.deepEqual(linesOf(rebind, 'unbound'), ['server:', '  private-domain: "scan.example.test"']);
  assert.match(linesOf(rebind, 'openwrt')[0]!, /rebind_domain='scan\.example\.test'/);
  assert.deepEqual(linesOf(rebind, 'fritzbox'), ['scan.example.test']);
});

test('nothing but the name of a host gets into lines for shells and files', () => {
  for (const name of ['', '*.example.test', 'a b', 'a;reboot', "a'.test", 'a"b', 'a\nb', '-a.test', 'a..b', '$(x)', 'x'.repeat(254), 'A.test']) {
    assert.deepEqual(splitSnippets({ name, v4: '192.0.2.9', v6: null }), [], name);
    assert.deepEqual(rebindSnippets(name), [], name);
  }
  assert.deepEqual(splitSnippets({ name: 'scan.example.test', v4: null, v6: null }), []);
});

test('the address of each family that a LAN reaches', () => {
  assert.deepEqual(insideOf('n', ['127.0.0.1', '203.0.113.7', '192.168.1.9', 'fe80::1', 'fd00::5']), { name: 'n', v4: '192.168.1.9', v6: 'fd00::5' });
  assert.deepEqual(insideOf('n', ['::1']), { name: 'n', v4: null, v6: null });
});
