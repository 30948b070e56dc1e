import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstConfig, parseConfig } from './config.ts';
import { buildForwarders, claimOf, judgeForwarders, trustLine } from './forwarders.ts';

test('for whom a request says that it comes', () => {
  for (const [forwardedFor, forwarded, claims] of [
    [undefined, undefined, null], ['192.0.2.1', undefined, '192.0.2.1'], ['198.51.100.1, 192.0.2.1', undefined, '192.0.2.1'], ['192.0.2.1:5000', undefined, '192.0.2.1'], ['[2001:db8::1]:5000', undefined, '2001:db8::1'],
    [undefined, 'for=192.0.2.1;proto=http', '192.0.2.1'], [undefined, 'for=198.51.100.1, For="[2001:DB8::1]:80"', '2001:db8::1'], [undefined, 'by=x', 'nobody'], ['', undefined, 'nobody'], ['unknown', undefined, 'unknown'],
  ] as const) assert.equal(claimOf(forwardedFor, forwarded), claims, `${forwardedFor} | ${forwarded}`);
  assert.ok(claimOf(`${'x'.repeat(5_000)}`, undefined)!.length <= 80);
  assert.doesNotMatch(claimOf('\u0007\u001b[2J', undefined)!, /[\0-\x1f]/);
});

test('one line of the journal in a window, a bounded list', () => {
  const lines: string[] = [];
  const forwarders = buildForwarders({ journal: { note: (event, fields) => void lines.push(`${event} ${String(fields['from'])} ${String(fields['claims'])}`) }, limits: { forwardersMax: 3, forwarderMs: 1_000, originWindowMs: 100 } });
  forwarders.note('203.0.113.1', '192.0.2.1', 0);
  forwarders.note('203.0.113.1', '192.0.2.2', 99);
  assert.deepEqual(lines, ['proxy.untrusted 203.0.113.1 192.0.2.1']);
  forwarders.note('203.0.113.1', '192.0.2.3', 100);
  assert.equal(lines.length, 2);
  assert.equal(forwarders.claimsOf('203.0.113.1', 100), '192.0.2.3');
  assert.deepEqual(forwarders.list(100).map(({ firstAt, lastAt }) => [firstAt, lastAt]), [[0, 100]]);
  for (let i = 2; i <= 4; i++) forwarders.note(`203.0.113.${i}`, 'x', 100 + i);
  assert.deepEqual(forwarders.list(110).map(({ address }) => address), ['203.0.113.4', '203.0.113.3', '203.0.113.2']);
  assert.equal(forwarders.claimsOf('203.0.113.2', 1_103), null);
  assert.equal(forwarders.list(2_000).length, 0);
});

test('addresses of one IPv6 network count as one place', () => {
  let lines = 0;
  const forwarders = buildForwarders({ journal: { note: () => void (lines += 1) }, limits: { forwardersMax: 10, forwarderMs: 1_000, originWindowMs: 100 } });
  for (let i = 1; i <= 50; i++) forwarders.note(`2001:db8:0:1::${i.toString(16)}`, 'x', i);
  assert.equal(lines, 1);
  assert.equal(forwarders.list(50).length, 1);
  assert.equal(forwarders.claimsOf('2001:db8:0:1::32', 50), 'x');
  assert.equal(forwarders.claimsOf('2001:db8:0:1::1', 50), null, 'of another machine nothing is said');
});

test('what doctor says', () => {
  const seen = [{ address: '203.0.113.1', claims: '192.0.2.1', firstAt: 0, lastAt: 1 }];
  assert.equal(judgeForwarders([], () => true).status, 'ok');
  assert.equal(judgeForwarders(seen, () => false).status, 'ok', 'whoever scans the internet is no proxy of ours');
  const told = judgeForwarders(seen, () => true);
  assert.equal(told.status, 'warning');
  assert.match(told.remedy!, /"trustedProxies" of the configuration: \{ "from": "203\.0\.113\.1\/32" \}/);
});

test('the line that is offered is one that the configuration takes', () => {
  for (const address of ['203.0.113.1', '2001:db8::1']) {
    const parsed = parseConfig({ ...firstConfig({ domain: 'gw.example.test', httpPort: 80, httpsPort: 443, deviceDomain: null }), trustedProxies: [JSON.parse(trustLine(address)) as unknown] });
    assert.ok('config' in parsed, JSON.stringify(parsed));
  }
});
