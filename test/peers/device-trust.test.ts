// Who a device is and whom it trusts, by curl: strangers approved and refused, keys and certificates changed, pins prepared, confirmed and switched.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { makeKey } from '#model/certificate-key.ts';
import { parseLines } from '#wire/device.ts';
import { emptySha256, sha256Hex, signRequest } from '#wire/device-sign.ts';
import { encodeRequest } from '#wire/pkcs10.ts';
import { finishesCleanly, startGateway, temporaryFolder, type ApiAnswer, type TestGateway } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';

const peers = findPeers(['curl']);
const epoch = '5b1e0c77a1d2e3f4';
const domain = 'gw.example.test';

interface Curled {
  readonly exit: number;
  readonly status: number;
  readonly values: ReadonlyMap<string, string>;
}

function curl(...args: string[]): Promise<Curled> {
  return new Promise((done) => {
    execFile(peers.path('curl'), ['-sS', '--max-time', '20', '-w', '\n%{http_code}', ...args], (error, out) => {
      const at = out.lastIndexOf('\n');
      done({ exit: error ? Number(error.code) : 0, status: Number(out.slice(at + 1)), values: parseLines(out.slice(0, Math.max(at, 0))) });
    });
  });
}

const secure = (gateway: TestGateway, path: string) => `https://127.0.0.1:${gateway.ports.https}/v1/default/${path}`;
const plain = (gateway: TestGateway, path: string) => `http://127.0.0.1:${gateway.ports.http}/v1/default/${path}`;

async function owned(gateway: TestGateway) {
  const { token } = await gateway.owner();
  const api = (method: string, path: string, body?: unknown) => gateway.api(method, path, { token, ...(body === undefined ? {} : { body }) });
  const ok = async (method: string, path: string, body?: unknown): Promise<ApiAnswer['json']> => {
    const answer = await api(method, path, body);
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer.json;
  };
  const waiting = async () => (await ok('GET', '/waiting-devices'))['items'] as { id: string; serial: string; bytes: number; hasKey: boolean; from: string; product: string }[];
  return { api, ok, waiting };
}

suite('trust by curl', { skip: peers.skip, timeout: 120_000 }, () => {
  test('a stranger waits with its data and its key, is approved, and changes its key', async () => {
    await using gateway = await startGateway({ config: { strangers: [{ policy: 'quarantine', quarantineBytes: 100 }] } });
    const { ok, waiting } = await owned(gateway);
    const push = (offset: number, data: string, key: string, where = secure) => curl('-k', '-H', `X-Postern-Key: ${key}`, '--data-binary', data, where(gateway, `push/SN1/cdr/${epoch}?o=${offset}`));
    const own = randomBytes(20).toString('hex');
    const first = await push(0, 'one\n', own);
    assert.deepEqual([first.status, first.values.get('next'), first.values.get('waiting')], [200, '4', '1']);
    const other = await push(4, 'xxx\n', randomBytes(20).toString('hex'));
    assert.deepEqual([other.status, other.values.get('error')], [401, 'unauthenticated'], 'another device with its serial');
    assert.equal((await push(4, 'x\n', own, plain)).values.get('error'), 'plain-key');
    assert.equal((await push(4, 'y'.repeat(100), own)).status, 403, 'the quarantine is full');
    const [row] = await waiting();
    assert.deepEqual([row!.serial, row!.bytes, row!.hasKey, row!.from, row!.product.startsWith('curl/')], ['SN1', 4, true, '127.0.0.1', true]);

    const approved = await ok('POST', `/waiting-devices/${row!.id}/approve`, { name: 'Logger' });
    assert.deepEqual([(approved['device'] as { id: string }).id, approved['key']], [row!.id, null]);
    const second = await push(4, 'two\n', own);
    assert.deepEqual([second.status, second.values.get('next'), second.values.get('waiting')], [200, '8', undefined]);
    assert.equal((await push(0, 'one\n', own)).values.get('repeat'), '1', 'what came in quarantine is its data, at its offsets');
    assert.deepEqual(await waiting(), []);

    const { secret } = (await ok('POST', `/devices/${row!.id}/keys`, {})) as { secret: string };
    assert.equal((await push(8, 'three\n', own)).values.get('next'), '14', 'the old key counts until the new one is used');
    assert.equal((await push(14, 'four\n', secret)).values.get('next'), '19');
    assert.equal((await push(19, 'x\n', own)).status, 401, 'and no longer');
    const keys = (await ok('GET', `/devices/${row!.id}/keys`))['items'] as { state: string; usedAt: number | null }[];
    assert.deepEqual(keys.map((each) => [each.state, each.usedAt !== null]), [['current', true]]);
    await finishesCleanly(gateway);
  });

  test('refused: its data is gone, and it may ask again', async () => {
    await using gateway = await startGateway({ config: { strangers: [{ policy: 'quarantine' }] } });
    const { ok, waiting } = await owned(gateway);
    const push = (data: string) => curl('-k', '--data-binary', data, secure(gateway, `push/SN2/cdr/${epoch}?o=0`));
    assert.equal((await push('first\n')).values.get('next'), '6');
    await ok('POST', `/waiting-devices/${(await waiting())[0]!.id}/refuse`);
    const again = await push('again and more\n');
    assert.deepEqual([again.status, again.values.get('next')], [200, '15'], 'from the beginning');
    assert.equal((await waiting())[0]!.bytes, 15);
    assert.equal((await curl('-k', secure(gateway, `push/SN3/cdr/${epoch}`))).status, 200);
  });

  test('by a signature over plain http, and by a client certificate', async () => {
    await using gateway = await startGateway({ config: { tlsPolicies: [{ name: 'devices', clientCertificates: { ca: 'private', required: false } }] } });
    const { ok } = await owned(gateway);
    using folder = temporaryFolder();
    const device = (await ok('POST', '/devices', { name: 'Meter', serial: 'M 1' })) as { id: string };
    const { secret } = (await ok('POST', `/devices/${device.id}/keys`, {})) as { secret: string };
    const target = '/v1/default/push/M%201/cdr/5b1e0c77a1d2e3f4?o=0';
    const signed = (body: string, key: string) => signRequest(key, { method: 'POST', target, unix: 1, nonce: randomBytes(12).toString('hex'), bodySha256: body === '' ? emptySha256 : sha256Hex(body) });
    const push = (body: string, header: string) => curl('-H', `X-Postern-Sign: ${header}`, '--data-binary', body, `http://127.0.0.1:${gateway.ports.http}${target}`);
    assert.equal((await push('one\n', signed('one\n', secret))).values.get('next'), '4');
    assert.equal((await push('two\n', signed('one\n', secret))).status, 401, 'another body');
    assert.equal((await push('one\n', signed('one\n', `${secret}x`))).status, 401);

    const key = await makeKey('ec-p256');
    const { pem } = (await ok('POST', '/certificates/sign', { csr: encodeRequest(key.pem, { subject: { commonName: 'M 1' }, dns: [], ip: [] }), kind: 'client', names: null })) as { pem: string };
    writeFileSync(join(folder.path, 'cert.pem'), pem);
    writeFileSync(join(folder.path, 'key.pem'), key.pem);
    const shown = ['-k', '--cert', join(folder.path, 'cert.pem'), '--key', join(folder.path, 'key.pem')];
    assert.equal((await curl(...shown, secure(gateway, `push/M%201/cdr/${epoch}`))).status, 401, 'a certificate that nobody gave it');
    await ok('POST', `/devices/${device.id}/keys`, { certificate: pem });
    assert.equal((await curl(...shown, secure(gateway, `push/M%201/cdr/${epoch}`))).values.get('next'), '4');
    assert.equal((await curl('-k', secure(gateway, `push/M%201/cdr/${epoch}`))).status, 401, 'and without it nothing');
  });

  test('guessing a key waits; the device elsewhere does not', async () => {
    await using gateway = await startGateway();
    const { ok } = await owned(gateway);
    const device = (await ok('POST', '/devices', { name: 'Meter', serial: 'SN1' })) as { id: string };
    const { secret } = (await ok('POST', `/devices/${device.id}/keys`, {})) as { secret: string };
    const ask = (key: string) => curl('-k', '-H', `X-Postern-Key: ${key}`, secure(gateway, `push/SN1/cdr/${epoch}`));
    const statuses = [];
    for (let i = 0; i < 12; i++) statuses.push((await ask(`pdk_!${i}${secret.slice(6)}`)).status);
    assert.deepEqual(statuses, [...Array.from({ length: 10 }, () => 401), 429, 429]);
    const held = await ask(secret);
    assert.equal(held.status, 429, 'from the same address the right one waits, too: it could be the next guess');
    assert.ok(Number(held.values.get('retry')) >= 1);
    assert.equal((await curl('-k', '--interface', '127.0.0.2', '-H', `X-Postern-Key: ${secret}`, secure(gateway, `push/SN1/cdr/${epoch}`))).status, 200);
  });

  test('pins: announced, confirmed, switched; a switch too early is refused, a forced one names its loss', async () => {
    await using gateway = await startGateway({ domain, config: { strangers: [{ policy: 'wait', keyless: true }] } });
    const { api, ok } = await owned(gateway);
    for (const serial of ['SN1', 'SN2']) await ok('POST', '/devices', { name: serial, serial });
    const named = (path: string) => `https://${domain}:${gateway.ports.https}/v1/default/${path}`;
    const resolved = ['--resolve', `${domain}:${gateway.ports.https}:127.0.0.1`];
    const checkIn = async (serial: string, pins: readonly string[]) => {
      const { values, status } = await curl('-k', ...resolved, '--data-binary', `why=poll fw=1\npins=${pins.join(',')}\n`, named(`check-in/${serial}`));
      assert.equal(status, 200);
      return values.get('pins')!.split(',');
    };
    const face = `leaf:${domain}`;
    const [first] = await checkIn('SN1', []);
    const pinned = (pin: string) => curl('-k', ...resolved, '--pinnedpubkey', pin, named(`push/SN1/cdr/${epoch}`));
    assert.deepEqual([(await pinned(first!)).status, (await pinned(`sha256//${'A'.repeat(43)}=`)).exit], [200, 90]);
    await checkIn('SN1', [first!]);
    await checkIn('SN2', [first!]);

    await ok('POST', '/pins/prepare', { certificate: face });
    const list = await checkIn('SN1', [first!]);
    const items = (await ok('GET', '/pins'))['items'] as { pin: string; state: string; certificate: string; confirmed: number; missing: number }[];
    const next = items.find((each) => each.certificate === face && each.state === 'next')!;
    assert.deepEqual([list[0], list[1], next.confirmed, next.missing], [first, next.pin, 0, 2]);
    assert.deepEqual([(await pinned(first!)).status, (await pinned(next.pin)).exit], [200, 90], 'announced, not shown');
    const early = await api('POST', '/pins/switch', { certificate: face });
    assert.deepEqual([early.status, String(early.json['detail']).startsWith('2 devices would be shut out')], [409, true]);

    await checkIn('SN1', list);
    await checkIn('SN2', list);
    assert.equal((await ok('POST', '/pins/switch', { certificate: face }))['lost'], 0);
    assert.deepEqual([(await pinned(first!)).exit, (await pinned(next.pin)).status], [90, 200]);
    assert.equal((await checkIn('SN1', list))[0], next.pin);
    assert.ok(!(await checkIn('SN1', list)).includes(first!), 'and the old one is on no list any more');

    // By a certificate of somebody: the same guard.
    const issued = await api('POST', '/certificates/issue', { name: 'front', names: [domain] });
    assert.equal(issued.status, 409, issued.text);
    assert.equal((await api('POST', '/certificates/issue', { name: 'front', names: [domain], losing: 1 })).status, 409);
    assert.equal((await pinned(next.pin)).status, 200);
    await ok('POST', '/certificates/issue', { name: 'front', names: [domain], losing: 2 });
    assert.equal((await pinned(next.pin)).exit, 90, 'the two are lost, as was said');
    await finishesCleanly(gateway);
  });
});
