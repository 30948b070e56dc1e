import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { defaultPolicyText, lineToListen, lineToReach, mayListen, mayReach, parseAddress, parsePolicy, ruleToInstall } from './policy.ts';

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
  const policy = parsePolicy('listen udp 192.0.2.1 514\nread /dev/ttyUSB0\nrun restart = /usr/bin/systemctl restart printer\ninstall firmware SHA256:abc');
  assert.equal(policy.listen.length, 1);
  assert.deepEqual(policy.read, ['/dev/ttyUSB0']);
  assert.deepEqual(policy.run.get('restart'), ['/usr/bin/systemctl', 'restart', 'printer']);
  assert.deepEqual(policy.install, [{ kind: 'firmware', key: 'SHA256:abc' }]);
});

test('where may it listen', () => {
  const policy = parsePolicy('listen tcp 192.0.2.1 80,8000-8100\nlisten tcp 2001:db8::/64 443\nlisten udp 192.0.2.1 514');
  for (const [address, port, may] of [
    ['192.0.2.1', 80, true], ['192.0.2.1', 8050, true], ['192.0.2.1', 81, false], ['192.0.2.2', 80, false], ['192.0.2.1', 514, false],
    ['2001:db8::5', 443, true], ['2001:db8:0:1::5', 443, false], ['0.0.0.0', 80, false], ['::', 443, false], ['::ffff:192.0.2.1', 80, true], ['printer.example.test', 80, false],
  ] as const) assert.equal(mayListen(policy, 'tcp', address, port), may, `${address} ${port}`);
  assert.equal(mayListen(policy, 'udp', '192.0.2.1', 514), true);
  const line = lineToListen('tcp', '192.0.2.7', 631);
  assert.equal(mayListen(parsePolicy(line), 'tcp', '192.0.2.7', 631), true);
});

test('mistakes are refused with their line', () => {
  const bad = ['allow tcp 192.0.2.1 80', 'reach 192.0.2.1 80', 'reach tcp 192.0.2.1', 'reach tcp 192.0.2.1 0', 'reach tcp 192.0.2.1 70000', 'reach tcp 192.0.2.1 9-8', 'reach tcp 192.0.2.1 80 443'];
  bad.push('reach tcp 192.0.2.999 80', 'reach tcp 192.0.2.0/33 80', 'reach tcp -x 80', 'listen tcp printer.example.test 80', 'read relative', 'run x', 'run x = /a\nrun x = /b', 'run x a', 'run x =', 'run x = a', 'run x = /a/../b', 'run x/y = /a', 'install y', 'install y a b');
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

const reload = 'run reload = /usr/sbin/nginx -s reload';
const whole = 'install certificate web cert=/etc/web/fullchain.pem key=/etc/web/privkey.pem run=reload';

test('a certificate: which files, and what to run', () => {
  const policy = parsePolicy(`${whole}\n${reload}\ninstall certificate app cert=/srv/a.pem key=/srv/k.pem pfx=/srv/a.pfx passphrase=/srv/pass mode=0640 owner=33:1001 run=reload # the other one`);
  const { rule, command } = ruleToInstall(policy, 'web');
  assert.deepEqual(rule, { name: 'web', cert: '/etc/web/fullchain.pem', key: '/etc/web/privkey.pem', pfx: null, passphrase: null, mode: 0o600, owner: null, run: 'reload' });
  assert.deepEqual(command, ['/usr/sbin/nginx', '-s', 'reload']);
  assert.deepEqual(ruleToInstall(policy, 'app').rule, { name: 'app', cert: '/srv/a.pem', key: '/srv/k.pem', pfx: '/srv/a.pfx', passphrase: '/srv/pass', mode: 0o640, owner: { uid: 33, gid: 1001 }, run: 'reload' });
  // The form of before, without the sign, means the same.
  assert.deepEqual(parsePolicy('run reload /usr/sbin/nginx -s reload').run, parsePolicy(reload).run);
});

test('by default nothing is installed, and the refusal names a line that would', () => {
  for (const text of [defaultPolicyText, `${whole}\n${reload}`]) {
    assert.throws(
      () => ruleToInstall(parsePolicy(text), 'mail'),
      (e) => {
        if (!(e instanceof Fault) || e.code !== 'forbidden') return false;
        const line = /add this line to the agent's policy file: (.*?) \(and what reload means, as in: (.*)\)$/.exec(e.remedy ?? '');
        if (!line) return false;
        return ruleToInstall(parsePolicy(`${line[1]}\n${line[2]}`), 'mail').rule.name === 'mail';
      },
    );
  }
});

test('each mistake about a certificate is refused', () => {
  const files = 'cert=/a/c key=/a/k';
  const bad: [line: string, why: RegExp][] = [
    ['install certificate', /names no certificate/],
    [`install certificate ../x ${files} run=reload`, /names no certificate/],
    [`install certificate x. ${files} run=reload`, /names no certificate/],
    [`install certificate x ${files}`, /no run=/],
    ['install certificate x cert=/a/c run=reload', /no key=/],
    ['install certificate x key=/a/c run=reload', /no cert=/],
    [`install certificate x ${files} run=other`, /runs "other", and no line says what that is/],
    [`install certificate x ${files} run=reload run=reload`, /run= twice/],
    [`install certificate x ${files} run=reload shell=yes`, /none of cert=/],
    [`install certificate x ${files} run=reload cert`, /none of cert=/],
    [`install certificate x ${files} run=reload mode=`, /none of cert=/],
    ['install certificate x cert=a/c key=/a/k run=reload', /no absolute path/],
    ['install certificate x cert=/a/ key=/a/k run=reload', /no absolute path/],
    ['install certificate x cert=/a/../c key=/a/k run=reload', /without \/\//],
    ['install certificate x cert=/a//c key=/a/k run=reload', /without \/\//],
    ['install certificate x cert=/a/.postern-y/current/cert.pem key=/a/k run=reload', /the agent's own/],
    ['install certificate x cert=/a/k key=/a/k run=reload', /one file for two things/],
    [`install certificate x ${files} pfx=/a/p run=reload`, /pfx= and passphrase= together/],
    [`install certificate x ${files} passphrase=/a/p run=reload`, /pfx= and passphrase= together/],
    [`install certificate x ${files} mode=0644 run=reload`, /0400, 0440, 0600 or 0640/],
    [`install certificate x ${files} mode=640 run=reload`, /0400, 0440, 0600 or 0640/],
    [`install certificate x ${files} owner=www-data run=reload`, /write numbers/],
    [`install certificate x ${files} owner=33 run=reload`, /write numbers/],
    [`install certificate x ${files} owner=4294967295:0 run=reload`, /write numbers/],
    [`install certificate x ${files} run=reload\ninstall certificate x cert=/b/c key=/b/k run=reload`, /a second time/],
    [`install certificate x ${files} run=reload\ninstall certificate y cert=/b/c key=/a/k run=reload`, /writes \/a\/k, as the line of "x" does/],
  ];
  for (const [line, why] of bad) {
    assert.throws(
      () => parsePolicy(`${reload}\n${line}`),
      (e) => e instanceof Fault && e.code === 'bad-input' && /line [23] of the policy/.test(e.message) && why.test(e.message),
      line,
    );
  }
});

test('a policy with any byte turned is read or refused, and what is read names whole paths', () => {
  const text = `${reload}\n${whole} mode=0640 owner=33:33\n`;
  let seed = 11;
  const next = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let i = 0; i < 3_000; i++) {
    const bytes = Buffer.from(text);
    for (let flips = 1 + next(3); flips > 0; flips--) bytes[next(bytes.length)] = next(256);
    let policy;
    try {
      policy = parsePolicy(bytes.toString());
    } catch (thrown) {
      assert.ok(thrown instanceof Fault && thrown.code === 'bad-input');
      continue;
    }
    for (const { cert, key, run, mode } of policy.certificates.values()) {
      assert.ok(cert.startsWith('/') && key.startsWith('/') && cert !== key && policy.run.has(run));
      assert.equal(mode & 0o137, 0);
    }
    for (const [program] of policy.run.values()) assert.ok(program!.startsWith('/'));
  }
});
