import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { defaultPolicyText, lineToReach, mayReach, parseAddress, parsePolicy } from './policy.ts';

const reach = (text: string, address: string, port: number, asked = address, transport: 'tcp' | 'udp' = 'tcp') => mayReach(parsePolicy(text), transport, asked, address, port);

test('the default: this host at 80, 443 and 22', () => {
  for (const port of [80, 443, 22]) assert.equal(reach(defaultPolicyText, '127.0.0.1', port), true);
  assert.equal(reach(defaultPolicyText, '::1', 80), true);
  assert.equal(reach(defaultPolicyText, '::ffff:127.0.0.1', 80), true);
  assert.equal(reach(defaultPolicyText, '127.0.0.1', 5900), false);
  assert.equal(reach(defaultPolicyText, '127.0.0.2', 80), false);
  assert.equal(reach(defaultPolicyText, '192.0.2.1', 80), false);
  assert.equal(reach(defaultPolicyText, '127.0.0.1', 80, '127.0.0.1', 'udp'), false);
});

test('networks and port ranges', () => {
  const text = 'reach tcp 192.0.2.128/25 80,8000-8100 # the printers\n\n  reach udp 2001:db8:5::/48 *';
  assert.equal(reach(text, '192.0.2.129', 8050), true);
  assert.equal(reach(text, '192.0.2.127', 8050), false);
  assert.equal(reach(text, '192.0.2.129', 8101), false);
  assert.equal(reach(text, '2001:db8:5:9::1', 65_535, undefined, 'udp'), true);
  assert.equal(reach(text, '2001:db8:6::1', 1, undefined, 'udp'), false);
  assert.deepEqual(parsePolicy(text).lines, ['reach tcp 192.0.2.128/25 80,8000-8100', 'reach udp 2001:db8:5::/48 *']);
  assert.equal(reach('reach tcp 0.0.0.0/0 *', '2001:db8::1', 80), false);
});

test('a name is judged by where it leads', () => {
  const text = 'reach tcp printer.example.test 80';
  assert.equal(reach(text, '192.0.2.9', 80, 'Printer.example.test.'), true);
  assert.equal(reach(text, '192.0.2.9', 80, 'other.example.test'), false);
  assert.equal(reach(text, '192.0.2.9', 80), false);
  for (const address of ['127.0.0.1', '::1', '0.0.0.0', '169.254.169.254', '224.0.0.1', 'fe80::1', '::ffff:127.0.0.1']) {
    assert.equal(reach(text, address, 80, 'printer.example.test'), false, address);
  }
  // A network rule holds for whatever name led there.
  assert.equal(reach('reach tcp 192.0.2.9 80', '192.0.2.9', 80, 'anything.example.test'), true);
});

test('the other lists', () => {
  const policy = parsePolicy('listen udp 192.0.2.1 514\nread /dev/ttyUSB0\nrun restart systemctl restart printer\ninstall firmware SHA256:abc');
  assert.equal(policy.listen.length, 1);
  assert.deepEqual(policy.read, ['/dev/ttyUSB0']);
  assert.deepEqual(policy.run.get('restart'), ['systemctl', 'restart', 'printer']);
  assert.deepEqual(policy.install, [{ kind: 'firmware', key: 'SHA256:abc' }]);
});

test('mistakes are refused with their line', () => {
  const bad = ['allow tcp 192.0.2.1 80', 'reach 192.0.2.1 80', 'reach tcp 192.0.2.1', 'reach tcp 192.0.2.1 0', 'reach tcp 192.0.2.1 70000', 'reach tcp 192.0.2.1 9-8', 'reach tcp 192.0.2.1 80 443'];
  bad.push('reach tcp 192.0.2.999 80', 'reach tcp 192.0.2.0/33 80', 'reach tcp -x 80', 'listen tcp printer.example.test 80', 'read relative', 'run x', 'run x a\nrun x b', 'install y');
  for (const line of bad) {
    assert.throws(
      () => parsePolicy(`# first\nreach tcp 192.0.2.1 1\n${line}`),
      (e) => e instanceof Fault && e.code === 'bad-input' && /line [34] of the policy/.test(e.message),
      line,
    );
  }
});

test('the line that a refusal names allows it', () => {
  assert.equal(reach(lineToReach('tcp', '2001:db8::7', 631), '2001:db8::7', 631), true);
});

test('addresses', () => {
  for (const text of ['1.2.3', '1.2.3.4.5', '01.2.3.4', '1.2.3.256', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', 'g::1', '', 'localhost']) assert.equal(parseAddress(text), undefined, text);
  assert.deepEqual(parseAddress('::ffff:192.0.2.1'), parseAddress('192.0.2.1'));
  assert.deepEqual(parseAddress('::ffff:c000:201'), parseAddress('192.0.2.1'));
  assert.equal(parseAddress('fe80::1%eth0')?.base, (0xfe80n << 112n) | 1n);
});
