// Keys, approval and pins from the command line, against real gateways.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import { digestOf } from '#base/secret.ts';
import { finishesCleanly, startGateway, temporaryFolder, type TestGateway } from '../kit/gateway.ts';
import { askRaw } from '../kit/raw-device.ts';

const epoch = '5b1e0c77a1d2e3f4';

suite('trust from the command line', { timeout: 90_000 }, () => {
  const folder = temporaryFolder();
  let main: TestGateway;
  let other: TestGateway;

  before(async () => {
    other = await startGateway();
    main = await startGateway({ domain: 'gw.example.test', config: { strangers: [{ policy: 'quarantine' }] } });
    for (const each of [main, other]) await each.owner();
  });
  after(async () => {
    await main?.close();
    await other?.close();
    folder[Symbol.dispose]();
  });

  async function run(gateway: TestGateway, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const text = { out: '', err: '' };
    const stream = (which: 'out' | 'err') => new PassThrough().on('data', (piece: Buffer) => void (text[which] += piece.toString()));
    const io: CommandIo = { stdin: new PassThrough().end(), stdout: stream('out'), stderr: stream('err'), env: { HOME: folder.path }, signal: new AbortController().signal, isTerminal: false, columns: 200 };
    const code = await dispatch([...args, '--data', gateway.dataDir], io);
    await new Promise((next) => setImmediate(next));
    return { code, ...text };
  }
  const on = (gateway: TestGateway) => async (...args: string[]) => {
    const ran = await run(gateway, ...args);
    assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
    return ran.out;
  };
  const push = (gateway: TestGateway, serial: string, offset: number, data: string, key?: string) =>
    askRaw(`https://127.0.0.1:${gateway.ports.https}/v1/default/push/${serial}/cdr/${epoch}?o=${offset}`, { method: 'POST', body: Buffer.from(data), headers: key === undefined ? {} : { 'x-postern-key': key } });
  const checkIn = (serial: string, key: string, pins: string) => askRaw(`https://127.0.0.1:${main.ports.https}/v1/default/check-in/${serial}`, { method: 'POST', body: Buffer.from(`pins=${pins}\n`), headers: { 'x-postern-key': key } });

  test('what waits is listed, approved with its key shown once, or refused', async () => {
    const operate = on(main);
    assert.match(await operate('waiting'), /^No device waits\./);
    for (const serial of ['SN1', 'SN2', 'SN3']) await push(main, serial, 0, `${serial}\n`);
    assert.match(await operate('waiting'), /^SERIAL .*\nSN1 .*127\.0\.0\.1.*4 B/m);
    assert.equal((JSON.parse(await operate('waiting', '--json', '--search', 'sn2')) as unknown[]).length, 1);
    const said = await operate('approve', 'SN1', 'SN2');
    const [, key] = /^SN1 is the device sn1\. Its key, shown this once: (pdk_\S+)$/m.exec(said) ?? assert.fail(said);
    assert.equal((await push(main, 'SN1', 4, 'more\n', key)).values.get('next'), '9');
    assert.equal((await push(main, 'SN1', 9, 'x\n')).status, 401);
    assert.match((await run(main, 'refuse', 'SN3')).err, /--yes/);
    assert.match(await operate('refuse', 'SN3', '--yes'), /^Refused: 1\.$/m);
    assert.equal((await run(main, 'approve', 'SN3')).code, 1);
    assert.equal((await run(main, 'approve')).code, 2);
    assert.match(await operate('device', 'get', 'sn1'), /agent +none: it pushes and checks in only/);
    assert.match(await operate('devices'), /^sn1 +SN1 +pushes/m);
  });

  test('keys: made, listed without their text, removed', async () => {
    const operate = on(main);
    const first = (await operate('device-key', 'sn2', '--new')).trim();
    assert.match(first, /^pdk_[\w-]{43}$/);
    assert.equal((await push(main, 'SN2', 4, 'x\n', first)).status, 200);
    const list = await operate('device-key', 'sn2');
    assert.ok(list.includes(digestOf(first).slice(0, 12)) && !list.includes(first.slice(4)));
    const spki = randomBytes(32).toString('hex');
    assert.match(await operate('device-key', 'sn2', '--certificate', spki), /^Taken\./);
    const keys = JSON.parse(await operate('device-key', 'sn2', '--json')) as { id: string; kind: string; digest: string }[];
    assert.equal(keys.find((each) => each.kind === 'certificate')!.digest, spki);
    for (const { id } of keys) await operate('device-key', 'sn2', '--remove', id);
    assert.match(await operate('device-key', 'sn2'), /^The device has no key/);
    assert.equal((await push(main, 'SN2', 6, 'x\n', first)).status, 401);
    assert.equal((await run(main, 'device-key', 'sn2', '--certificate', join(folder.path, 'missing.pem'))).code, 1);
  });

  test('a second gateway learns the same devices by the same keys', async () => {
    const made = await run(main, 'device', 'add', 'Far meter', '--serial', 'FM 7', '--new-key');
    const [, key] = /shown this once: (pdk_\S+)/.exec(made.err) ?? assert.fail(made.err);
    const [file, secret] = [join(folder.path, 'devices.sealed'), join(folder.path, 'passphrase')];
    writeFileSync(secret, 'correct horse battery\n');
    await on(main)('devices', 'export', '--with-keys', file, '--passphrase-file', secret);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.ok(!readFileSync(file, 'latin1').includes(key!.slice(4)));
    assert.equal((await run(main, 'devices', 'export', '--with-keys', file, '--passphrase-file', secret)).code, 1, 'never over a file that is there');
    const told = await on(other)('devices', 'import', file, '--passphrase-file', secret);
    assert.match(told, /^3 added, 0 with newer keys, 0 as they were\./);
    assert.equal((await push(other, 'FM%207', 0, 'x\n', key)).values.get('next'), '2');
    writeFileSync(secret, 'another one\n');
    assert.equal((await run(other, 'devices', 'import', file, '--passphrase-file', secret)).code, 4);
    assert.equal((await run(other, 'devices', 'import', secret, '--passphrase-file', secret)).code, 1);
  });

  test('pins: listed, prepared, refused, confirmed, switched, forced by their number', async () => {
    const operate = on(main);
    const key = (await operate('device-key', 'sn1', '--new')).trim();
    const list = async (pins: string) => (await checkIn('SN1', key, pins)).values.get('pins')!;
    const [present] = (await list('')).split(',');
    await list(present!);
    const leaf = () => operate('pins').then((text) => text.split('\n').filter((line) => / leaf +\(none\)/.test(line)));
    assert.match((await leaf())[0]!, new RegExp(`^${present!.replaceAll(/[+/]/g, '\\$&')} +present .* 1 +0$`));
    assert.match(await operate('pins', 'prepare', 'leaf'), /is announced from now on\. When devices have it: postern pins switch leaf/);
    assert.match((await leaf())[1]!, /next .* 0 +1$/);
    const early = await run(main, 'pins', 'switch', 'leaf');
    assert.deepEqual([early.code, /1 device would be shut out for good: not confirmed the new key have SN1 \(SN1\)/.test(early.err)], [1, true]);
    const forced = await run(main, 'pins', 'switch', 'leaf', '--force');
    assert.deepEqual([forced.code, /SN1 \(SN1\), seen/.test(forced.err), /--losing 1/.test(forced.err)], [2, true, true]);
    await list(await list(present!));
    assert.match(await operate('pins', 'devices', '--state', 'confirmed'), /^sn1 +SN1 +confirmed/m);
    assert.match(await operate('pins', 'switch', 'leaf', '--force'), /shows sha256\/\/\S+ from now on\.$/m, 'nobody is lost, nobody is asked');
    await operate('pins', 'prepare', 'leaf');
    assert.match(await operate('pins', 'drop', 'leaf'), /^Given up/);
    await operate('pins', 'prepare', 'leaf');
    assert.match(await operate('pins', 'switch', 'leaf', '--losing', '1'), /Lost: 1\.$/m);
    await finishesCleanly(main);
  });

  test('whatever stands in a key or a signature, the answer is a refusal, and never a fault of ours', async () => {
    let seed = 5;
    const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) % below;
    const good = (await on(main)('device-key', 'sn1', '--new')).trim();
    const target = `/v1/default/push/SN1/cdr/${epoch}?o=0`;
    const statuses = new Set<number>();
    for (let i = 0; i < 150; i++) {
      const base = ['', good, `v1,1,${'n'.repeat(20)},${'0'.repeat(64)}`, `v1,,,`, 'x'.repeat(random(3_000))][random(5)]!;
      const text = Buffer.from(base || '?');
      // Bytes that node:http lets through in a field: visible ones.
      for (let flips = 1 + random(4); flips > 0; flips--) text[random(text.length)] = 0x21 + random(94);
      const value = text.toString('latin1');
      if (value === good) continue;
      const answer = await askRaw(`https://127.0.0.1:${main.ports.https}${target}`, { method: 'POST', body: Buffer.from('x\n'), headers: { [random(2) === 0 ? 'x-postern-key' : 'x-postern-sign']: value } });
      statuses.add(answer.status);
      assert.ok([400, 401, 429].includes(answer.status), `${answer.status} ${answer.body} for ${value}`);
    }
    assert.ok(statuses.has(401) && statuses.has(429));
  });
});
