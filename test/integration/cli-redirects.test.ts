// Redirects from the command line, against two real gateways and a device that follows them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, suite, test } from 'node:test';
import { openCommandLine } from '#kit/command-line.ts';
import { finishesCleanly, startGateway, temporaryFolder, type TestGateway } from '../kit/gateway.ts';
import { knowDevice, RawDevice } from '../kit/raw-device.ts';

const key = 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';
const plain = (gateway: TestGateway) => `http://127.0.0.1:${gateway.ports.http}/v1`;

suite('redirects from the command line', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  let main: TestGateway;
  let other: TestGateway;
  let device: RawDevice;

  before(async () => {
    other = await startGateway();
    const servers = [{ name: 'other', base: plain(other), pins: [], weight: 1, drain: 'no' }];
    const rule = { strategy: 'first', servers: ['other'], ttlSeconds: 600, status: 307 };
    main = await startGateway({ config: { servers, redirects: [{ ...rule, name: 'beta', tag: 'beta' }, { ...rule, name: 'numbers', serials: ['SN100..SN199'] }] } });
    for (const each of [main, other]) knowDevice(each, 'SN150', key, 'Lobby');
    device = new RawDevice({ serial: 'SN150', key, home: `${plain(main)}/default`, bytes: randomBytes(5_000) });
    await main.owner();
  });
  after(async () => {
    await main?.close();
    await other?.close();
    folder[Symbol.dispose]();
  });

  const { run, operate } = openCommandLine(() => main.dataDir, () => folder.path);

  test('where would SN150 go, and why; asking changes nothing', async () => {
    for (let i = 0; i < 2; i++) {
      const out = await operate('redirect', 'SN150', '--from', '192.0.2.7');
      assert.match(out, new RegExp(`^SN150 goes to other at ${plain(other)}/default for 600 s: rule "numbers" leads to other; chosen anew: the first\n`));
      assert.match(out, /^device {2}Lobby \(device-sn150\)$/m);
      assert.match(out, /^lease {3}none$/m);
      assert.match(out, /^beta +does not match {2}tag: is "beta", not there: the device has no tags$/m);
      assert.match(out, /^numbers +decides/m);
    }
    assert.match(await operate('redirect', 'SN99'), /^SN99 is answered here: no rule matches\n[^]*not known here/);
    assert.match(await operate('redirect', 'SN150', '--plain', '--by', 'nothing'), /^SN150 is answered here: over plain http without a signature/);
    assert.equal((JSON.parse(await operate('redirect', 'SN150', '--json')) as { decision: { server: string } }).decision.server, 'other');
    assert.match(await operate('redirects', '--leases'), /^No device is at another server/);
  });

  test('what it brought is shown with its seal, and its lease', async () => {
    const { token } = await main.owner();
    const { json } = await main.api('GET', '/config', { token });
    const config = json['config'] as { redirects: unknown[] };
    const put = (revision: unknown, redirects: unknown[]) => main.api('PUT', '/config', { token, headers: { 'if-match': `"${String(revision)}"` }, body: { ...config, redirects } });
    await put(json['revision'], []);
    await device.push(2_000);
    await put(Number(json['revision']) + 1, config.redirects);
    await device.push(1_000);
    await device.push(1_000);
    assert.equal(device.next, 3_000);
    const out = await operate('redirect', 'SN150');
    assert.match(out, /its lease there lasts for another \d+ s/);
    assert.match(out, /^lease {3}other, by rule numbers, since \d+ s ago, for another \d+ (?:s|min)$/m);
    assert.match(out, new RegExp(`^cdr +${device.epoch} +0–2000 +\\d+ s ago, went to ${plain(other)}/default$`, 'm'));
    assert.match(await operate('redirects', '--leases', '--server', 'other'), /^default +SN150 +other +numbers /m);
    assert.match(await operate('redirects'), /^beta +tag is "beta" +first +other +600 s$[^]*^numbers +serials are SN100\.\.SN199 +first +other +600 s$[^]*^other +http:\S+ +takes devices +1 +1 +0 +none$/m);
  });

  test('a server is drained, and takes devices again', async () => {
    assert.match(await operate('server', 'drain', 'other'), /^other gets no new devices; 1 is there and leave/);
    assert.match(await operate('redirects'), /draining: no new ones/);
    assert.match(await operate('redirect', 'SN150'), /^SN150 goes to other/);
    assert.match(await operate('redirect', 'SN151'), /^SN151 is answered here: [^]*other takes no new devices/);
    await operate('server', 'drain', 'other', '--now');
    assert.match(await operate('redirect', 'SN150'), /^SN150 is answered here: [^]*other is drained/);
    assert.match(await operate('server', 'drain', 'other', '--undo'), /^other takes devices again/);
    assert.match(await operate('history'), /servers?/);
    assert.equal((await run('server', 'drain', 'nobody')).code, 1);
    assert.equal((await run('server', 'drain', 'other', '--now', '--undo')).code, 2);
  });

  test('tags and accounts', async () => {
    assert.equal(await operate('tags', 'device-sn150'), 'no tags\n');
    // The kit made the device in memory alone: the store does not know it, and says so.
    assert.match((await run('tags', 'device-sn150', 'beta')).err, /does not exist/);
    assert.match(await operate('customer', 'suspend', 'default', '--why', 'unpaid'), /suspended/);
    assert.match(await operate('customer', 'list'), /^default +Default +\d+ s ago +unpaid$/m);
    assert.match((await run('customer', 'suspend', 'default')).err, /suspended already/);
    assert.match(await operate('customer', 'resume', 'default'), /resumed/);
    assert.equal((await run('customer', 'resume')).code, 2);
    assert.equal((await run('tags', 'device-sn150', '--none', 'x')).code, 2);
    await finishesCleanly(main);
  });
});
