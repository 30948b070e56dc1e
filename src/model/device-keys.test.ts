import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { digestOf } from '#base/secret.ts';
import { emptySha256, parseRequestSignature, signRequest } from '#wire/device-sign.ts';
import { afterUse, findProved, keyTextRefusal, makeKeyText, openKey, readCertificateDigest, sealKey, sealingKeyBytes, withNext } from './device-keys.ts';
import type { DeviceKey } from './rows.ts';

const sealing = randomBytes(sealingKeyBytes);
const dayMs = 86_400_000;

function row(id: string, text: string, more: Partial<DeviceKey> = {}): DeviceKey {
  return { id, customerId: 'c', deviceId: 'd', kind: 'key', digest: digestOf(text), sealed: sealKey(text, sealing, 'd', randomBytes), state: 'current', createdAt: 1, usedAt: null, ...more };
}

/** What the table holds after a change. */
const changed = (rows: readonly DeviceKey[], change: ReturnType<typeof withNext>) => [...rows.filter((each) => !change.removed.includes(each.id) && !change.put.some((put) => put.id === each.id)), ...change.put];

test('a key is 256 random bits, prints as a secret, and is one that a device may bring', () => {
  const key = makeKeyText(randomBytes);
  assert.match(key.reveal(), /^pdk_[A-Za-z0-9_-]{43}$/);
  assert.notEqual(key.reveal(), makeKeyText(randomBytes).reveal());
  assert.equal(`${key} ${JSON.stringify({ key })}`, '[secret] {"key":"[secret]"}');
  assert.equal(keyTextRefusal(key.reveal()), null);
  assert.equal(keyTextRefusal(randomBytes(16).toString('hex')), null);
  for (const text of ['', 'short', 'a'.repeat(40), 'abcdefghij klmnopqrstuvwxyz', `${'abcdefgh'.repeat(26)}`, 'abcdefghijklmnopqrstuvwxyz\n', 'ключключключключключключ']) assert.notEqual(keyTextRefusal(text), null, text);
});

test('sealed keys open under their own key and for their own device alone', () => {
  const text = makeKeyText(randomBytes).reveal();
  const sealed = sealKey(text, sealing, 'd', randomBytes);
  assert.ok(!Buffer.from(sealed, 'base64').includes(text));
  assert.notEqual(sealed, sealKey(text, sealing, 'd', randomBytes), 'the nonce is new each time');
  assert.equal(openKey(sealed, sealing, 'd'), text);
  assert.equal(openKey(sealed, sealing, 'e'), null);
  assert.equal(openKey(sealed, randomBytes(32), 'd'), null);
  const bytes = Buffer.from(sealed, 'base64');
  for (let end = 0; end < bytes.length; end++) assert.equal(openKey(bytes.subarray(0, end).toString('base64'), sealing, 'd'), null, `cut at ${end}`);
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped[at]! ^= 1 << (at & 7);
    assert.equal(openKey(flipped.toString('base64'), sealing, 'd'), null, `flipped at ${at}`);
  }
});

test('proofs by header and by signature, of the current and of the next key', () => {
  const [one, two] = [makeKeyText(randomBytes).reveal(), makeKeyText(randomBytes).reveal()];
  const rows = [row('1', one), row('2', two, { state: 'next' })];
  assert.equal(findProved(rows, { by: 'key', text: one }, sealing)?.row.id, '1');
  assert.deepEqual({ ...findProved(rows, { by: 'key', text: two }, sealing), row: null }, { row: null, text: two });
  assert.equal(findProved(rows, { by: 'key', text: `${one} ` }, sealing), null);
  assert.equal(findProved([], { by: 'key', text: one }, sealing), null);
  const request = { method: 'POST', target: '/v1/default/push/SN1/cdr/5b1e0c77a1d2e3f4?o=0', unix: 1_700_000_000, nonce: 'n'.repeat(16), bodySha256: emptySha256 };
  const signature = parseRequestSignature(signRequest(two, request));
  assert.equal(findProved(rows, { by: 'sign', signature, request }, sealing)?.row.id, '2');
  for (const other of [{ ...request, method: 'GET' }, { ...request, target: `${request.target}1` }, { ...request, bodySha256: createHash('sha256').update('x').digest('hex') }]) assert.equal(findProved(rows, { by: 'sign', signature, request: other }, sealing), null);
  assert.equal(findProved(rows, { by: 'sign', signature: { ...signature, unix: 1 }, request }, sealing), null);
  assert.equal(findProved(rows, { by: 'sign', signature, request }, randomBytes(32)), null, 'a sealing key that was lost opens nothing');
  assert.equal(findProved(rows, { by: 'key', text: two }, randomBytes(32))?.row.id, '2', 'but the digest still knows the header');
});

test('a certificate proves itself, and nothing proves a certificate that is no certificate', () => {
  const spki = randomBytes(32).toString('hex');
  const rows = [row('1', 'k'.repeat(30)), row('2', '', { kind: 'certificate', digest: spki, sealed: null })];
  assert.deepEqual(findProved(rows, { by: 'certificate', spki }, sealing), { row: rows[1], text: null });
  assert.equal(findProved(rows, { by: 'certificate', spki: rows[0]!.digest }, sealing), null, "a key's digest is no certificate");
  assert.equal(findProved(rows, { by: 'certificate', spki: randomBytes(32).toString('hex') }, sealing), null);
});

test('at most one current and one next of a kind, whatever is made and used in whatever order', () => {
  let rows: DeviceKey[] = [];
  let seed = 7;
  const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) % below;
  let made = 0;
  let now = 1_000;
  for (let step = 0; step < 2_000; step++) {
    now += random(3) * dayMs;
    if (random(2) === 0 || rows.length === 0) {
      const kind = random(3) === 0 ? 'certificate' : 'key';
      rows = changed(rows, withNext(rows, { ...row(`k${(made += 1)}`, `text ${made}`), kind, state: 'next', createdAt: now }));
    } else {
      const used = rows[random(rows.length)]!;
      const change = afterUse(rows, used, now);
      if (change) rows = changed(rows, change);
      const after = rows.find((each) => each.id === used.id);
      assert.equal(after?.state, 'current', 'what was used is there, and current');
      assert.ok(after.usedAt !== null && now - after.usedAt < dayMs);
    }
    for (const kind of ['key', 'certificate']) for (const state of ['current', 'next']) assert.ok(rows.filter((each) => each.kind === kind && each.state === state).length <= 1, `step ${step}: ${kind} ${state}`);
  }
});

test('the old key counts until the new one was used; a use within a day writes nothing', () => {
  const old = row('1', 'one', { usedAt: 5 });
  let rows = changed([old], withNext([old], row('2', 'two', { state: 'next' })));
  assert.equal(findProved(rows, { by: 'key', text: 'one' }, sealing)?.row.id, '1');
  assert.equal(afterUse(rows, old, 6), null);
  rows = changed(rows, afterUse(rows, rows[1]!, 7)!);
  assert.equal(findProved(rows, { by: 'key', text: 'one' }, sealing), null);
  assert.deepEqual(rows.map(({ id, state, usedAt }) => [id, state, usedAt]), [['2', 'current', 7]]);
  assert.equal(afterUse(rows, rows[0]!, 7 + dayMs - 1), null);
  assert.equal(afterUse(rows, rows[0]!, 7 + dayMs)?.put[0]?.usedAt, 7 + dayMs);
  assert.equal(afterUse(rows, rows[0]!, 6)?.put[0]?.usedAt, 6, 'a clock that was set back');
});

test('a certificate is given as PEM or by the fingerprint of its key', () => {
  const digest = randomBytes(32);
  const hex = digest.toString('hex');
  assert.equal(readCertificateDigest(` ${hex.toUpperCase()}\n`), hex);
  assert.equal(readCertificateDigest(hex.replace(/..(?!$)/g, '$&:')), hex);
  assert.equal(readCertificateDigest(`sha256//${digest.toString('base64')}`), hex);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  for (const wrong of ['', hex.slice(1), `${hex}00`, 'sha256//AAAA', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()]) {
    assert.throws(() => readCertificateDigest(wrong), (thrown) => isFault(thrown, 'bad-input') && !thrown.message.includes('PRIVATE'));
  }
});
