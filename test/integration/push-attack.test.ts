// Whoever is on the way, or is a stranger, or is one device of many: what they must not be able to do to the others' data.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { fieldsToSign, sha256Hex, signRequest } from '#wire/device-sign.ts';
import { exchangeRaw, finishesCleanly, startGateway, type TestGateway } from '../kit/gateway.ts';
import { askRaw, knowDevice, storedRanges } from '../kit/raw-device.ts';

const key = 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';
let gateway: TestGateway;
before(async () => {
  gateway = await startGateway({ config: { strangers: [{ policy: 'quarantine', quarantineBytes: 2_000 }] } });
});
after(async () => {
  await finishesCleanly(gateway);
  await gateway.close();
});

/** A request as the device signs it, to be sent by somebody else. */
function captured(method: string, path: string, body: Buffer, said: Record<string, string> = {}) {
  const target = `/v1/default/${path}`;
  const fields = fieldsToSign((name) => said[name] ?? null);
  const sign = signRequest(key, { method, target, unix: 1, nonce: randomBytes(12).toString('hex'), bodySha256: sha256Hex(body), fields });
  return (more: Record<string, string> = {}, drop: readonly string[] = []) => {
    const headers = Object.fromEntries(Object.entries({ 'x-postern-sign': sign, 'content-length': String(body.length), ...said, ...more }).filter(([name]) => !drop.includes(name)));
    return askRaw(`http://127.0.0.1:${gateway.ports.http}${target}`, { method, headers, body });
  };
}

test('on the way over plain http: a signed push can be repeated, and not be made another', async () => {
  knowDevice(gateway, 'SN1', key);
  const epoch = '5b1e0c77a1d2e3f4';
  const send = captured('POST', `push/SN1/cdr/${epoch}?o=0`, Buffer.from('one\n'));
  assert.equal((await send()).values.get('next'), '4');
  const tried = [
    { 'x-postern-gap': '4-9007199254740991;reason=wrap' },
    { 'x-postern-start': '9007199254740991;from=' },
    { 'x-postern-format': 'u32' },
    { 'content-encoding': 'gzip' },
    { 'x-postern-failed': 'https://in2.example.test/v1/default' },
  ];
  for (const more of tried) assert.equal((await send(more)).status, 'content-encoding' in more ? 400 : 401, JSON.stringify(more));
  assert.deepEqual([(await send()).values.get('next'), (await send()).values.get('repeat')], ['4', '1']);

  const packed = captured('POST', `push/SN1/cdr/${epoch}?o=4`, gzipSync('two\n'), { 'content-encoding': 'gzip', 'x-postern-gap': '4-8;reason=wrap' });
  assert.equal((await packed({}, ['content-encoding'])).status, 401, 'what is packed is not stored as it is');
  assert.equal((await packed({}, ['x-postern-gap'])).status, 401);
  assert.equal((await packed({ 'x-postern-gap': '4-9;reason=wrap' })).status, 401);
  assert.equal((await packed()).values.get('next'), '8', 'it declares lost what it brings: the gap counts');
  assert.deepEqual(storedRanges(gateway, 'SN1', epoch).ranges.map(({ from, bytes }) => [from, bytes.toString()]), [[0, 'one\n']]);
});

test('a stranger in quarantine cannot make rows without end, nor ring bells', async () => {
  const ask = (epoch: string, query: string, body: string, more: Record<string, string> = {}) =>
    askRaw(`http://127.0.0.1:${gateway.ports.http}/v1/default/push/STRANGER/cdr/${epoch}?${query}`, { method: 'POST', headers: { 'content-length': String(body.length), ...more }, body: Buffer.from(body) });
  const statuses: number[] = [];
  for (let i = 0; i < 20; i++) statuses.push((await ask(`${i}`.padStart(16, '0'), 'o=0', '')).status);
  for (let i = 0; i < 20; i++) statuses.push((await ask('0'.repeat(16), `o=${i + 1}`, '', { 'x-postern-gap': `${i}-${i + 1};reason=wrap` })).status);
  assert.deepEqual([statuses.indexOf(403), statuses.lastIndexOf(200)], [32, 31], 'its 2,000 bytes are used up by rows');
});

test('no spelling of a path, method or field is a way to a device that is not one\'s own', async () => {
  knowDevice(gateway, 'OWN', key);
  knowDevice(gateway, 'THEIRS', 'pdk_zyxwvutsrqponmlkjihgfedcba9876543210ABCDEFG');
  const epoch = 'ffffffffffffffff';
  const signFor = (method: string, target: string) => signRequest(key, { method, target, unix: 1, nonce: randomBytes(12).toString('hex'), bodySha256: sha256Hex('x\n') });
  const raw = async (line: string, fields: readonly string[]) =>
    Number(/^HTTP\/1\.1 (\d+)/.exec(await exchangeRaw(gateway.ports.http, `${line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n${fields.map((each) => `${each}\r\n`).join('')}\r\nx\n`))?.[1]);
  const push = (serial: string) => `/v1/default/push/${serial}/cdr/${epoch}?o=0`;
  const own = push('OWN');
  const tried: [string, string, string[]][] = [
    ['its own signature at another serial', `POST ${push('THEIRS')}`, [`X-Postern-Sign: ${signFor('POST', push('THEIRS'))}`]],
    ['up and down', `POST /v1/default/push/OWN/../THEIRS/cdr/${epoch}?o=0`, [`X-Postern-Sign: ${signFor('POST', own)}`]],
    ['encoded up and down', `POST ${push('OWN%2f..%2fTHEIRS')}`, [`X-Postern-Sign: ${signFor('POST', own)}`]],
    ['an empty part', `POST /v1//default/push/THEIRS/cdr/${epoch}?o=0`, [`X-Postern-Sign: ${signFor('POST', own)}`]],
    ['another case', `POST /V1/DEFAULT/push/THEIRS/cdr/${epoch}?o=0`, [`X-Postern-Sign: ${signFor('POST', own)}`]],
    ['the customer encoded', `POST /v1/%64efault/push/THEIRS/cdr/${epoch}?o=0`, [`X-Postern-Sign: ${signFor('POST', own)}`]],
    ['another method', `PUT ${own}`, [`X-Postern-Sign: ${signFor('POST', own)}`]],
    ['the serial spelled otherwise', `POST ${push('%4fWN')}`, [`X-Postern-Sign: ${signFor('POST', own)}`]],
    ['a wrong signature before the right one', `POST ${own}`, [`X-Postern-Sign: v1,1,${'a'.repeat(16)},${'0'.repeat(64)}`, `X-Postern-Sign: ${signFor('POST', own)}`]],
    ['a key beside the signature', `POST ${own}`, [`X-Postern-Key: ${key}`, `X-Postern-Sign: ${signFor('POST', own)}`]],
    ['another digest said', `POST ${own}`, [`X-Postern-Sign: ${signFor('POST', own)}`, 'Content-Digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:']],
    ['an agent of its own making', `POST ${push('THEIRS')}`, ['X-Postern-Agent: a', 'X-Forwarded-Proto: https', `X-Postern-Key: ${key}`]],
  ];
  for (const [what, line, fields] of tried) {
    const status = await raw(line, fields);
    assert.ok(status >= 400 && status < 500, `${what}: ${status}`);
  }
  for (const serial of ['OWN', 'THEIRS']) assert.deepEqual(storedRanges(gateway, serial, epoch).ranges, []);
  // The throttle is for that serial from here alone, and the device's own request still counts.
  assert.equal(await raw(`POST ${own}`, [`X-Postern-Sign: ${signFor('POST', own)}`]), 200);
});
