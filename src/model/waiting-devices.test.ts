import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import { buildIds } from '#base/ids.ts';
import { digestOf } from '#base/secret.ts';
import { emptySha256, parseRequestSignature, signRequest } from '#wire/device-sign.ts';
import { findProved } from './device-keys.ts';
import type { Device, WaitingDevice } from './rows.ts';
import { buildTable, indexBy } from './table.ts';
import { buildWaitingDevices, keyOfWaiting, type Knock } from './waiting-devices.ts';

const keyText = 'a-key-that-the-device-made';

function build(limits = {}) {
  let now = 1_800_000_000_000;
  const waitingDevices = buildTable<WaitingDevice>({ name: 'waitingDevices', kind: 'kept', keyOf: (row) => row.id });
  const index = indexBy(waitingDevices, (row) => row.id, (row) => `${row.customerId} ${row.serial}`);
  const written: string[] = [];
  const noted: string[] = [];
  let failing: Fault | null = null;
  let known: Device | undefined;
  let onWrite = () => {};
  const write = async (what: string) => {
    await new Promise((resolve) => setImmediate(resolve));
    if (failing) throw failing;
    onWrite();
    written.push(what);
  };
  const sealingKey = randomBytes(32);
  const waiting = buildWaitingDevices({
    tables: { waitingDevices, waitingBySerial: (customerId, serial) => index.get(`${customerId} ${serial}`), deviceBySerial: () => known },
    operations: { addWaitingDevice: (row, dropped) => write(`add ${row.serial}${dropped ? ' for another' : ''}`), noteWaitingDevice: (row) => write(`note ${row.serial}`) },
    clock: { nowMs: () => now },
    limits: { waitingDevicesMax: 6, waitingDevicesPerCustomerMax: 4, waitingDevicesPerAddressMax: 2, waitingReplacedAfterMs: 600_000, waitingNotedMs: 60_000, waitingAtOnceMax: 3, ...limits },
    journal: { note: (event, fields) => void noted.push(`${event} ${fields['serial']}`) },
    newId: buildIds(() => now, randomBytes),
    random: randomBytes,
    sealingKey,
  });
  const knock = (serial: string, more: Partial<Knock> = {}) => waiting.knock({ customerId: 'c', serial, from: '192.0.2.1', product: 'logger/1', name: '', keyText: null, proved: false, ...more });
  return { waitingDevices, written, noted, knock, sealingKey, pass: (ms: number) => void (now += ms), fail: (fault: Fault | null) => void (failing = fault), whenWritten: (run: () => void) => void (onWrite = run), know: () => void (known = {} as Device) };
}

const refused = (code: Fault['code']) => (thrown: unknown) => isFault(thrown, code);

test('the first knock is written, the next ones at most once a minute; what it says of itself is bounded', async () => {
  const room = build();
  const first = await room.knock('SN1', { product: `evil\n${'x'.repeat(500)}` });
  assert.equal(first.product.length, 200);
  assert.ok(first.product.startsWith('evil x'));
  assert.equal((await room.knock('SN1')).id, first.id);
  room.pass(59_999);
  await room.knock('SN1');
  assert.deepEqual(room.written, ['add SN1']);
  room.pass(1);
  const later = await room.knock('SN1', { from: '192.0.2.9', product: '' });
  assert.deepEqual([later.from, later.product, later.lastSeenAt - later.firstSeenAt], ['192.0.2.9', first.product, 60_000]);
  assert.deepEqual(room.written, ['add SN1', 'note SN1']);
  assert.deepEqual(room.noted, ['device.waiting SN1']);
});

test('knocks side by side make one row', async () => {
  const room = build();
  const rows = await Promise.all([room.knock('SN1'), room.knock('SN1'), room.knock('SN1')]);
  assert.equal(new Set(rows.map((row) => row.id)).size, 1);
  assert.deepEqual(room.written, ['add SN1']);
});

test('its key: brought once, kept as digest and sealed, and nobody else is that serial then', async () => {
  const room = build();
  const plain = await room.knock('SN1');
  assert.equal(keyOfWaiting(plain), null);
  const keyed = await room.knock('SN1', { keyText });
  assert.equal(keyed.keyDigest, digestOf(keyText));
  assert.deepEqual(room.written, ['add SN1', 'note SN1'], 'a key is written at once');
  await assert.rejects(room.knock('SN1', { keyText: 'another-key-of-another-device' }), refused('unauthenticated'));
  await assert.rejects(room.knock('SN1'), refused('unauthenticated'));
  assert.equal((await room.knock('SN1', { keyText })).id, keyed.id);
  const request = { method: 'GET', target: '/v1/c/check-in/SN1', unix: 1, nonce: 'n'.repeat(20), bodySha256: emptySha256 };
  const proved = findProved([keyOfWaiting(keyed)!], { by: 'sign', signature: parseRequestSignature(signRequest(keyText, request)), request }, room.sealingKey);
  assert.equal(proved?.text, keyText);
  assert.equal((await room.knock('SN1', { proved: true })).id, keyed.id);
  for (const wrong of ['short', 'has spaces and is long enough', 'a'.repeat(30)]) await assert.rejects(room.knock('SN2', { keyText: wrong }), refused('bad-input'));
  assert.equal(room.waitingDevices.size, 1);
});

test('bounded by address and by customer; the oldest without data makes room, but not at once', async () => {
  const room = build();
  await room.knock('A1');
  room.pass(1_000);
  await room.knock('A2');
  await assert.rejects(room.knock('A3'), (thrown) => isFault(thrown, 'too-many') && thrown.detail['retryAfterS'] === 599);
  await room.knock('B1', { from: '192.0.2.2' });
  await room.knock('B2', { from: '192.0.2.2' });
  await assert.rejects(room.knock('C1', { from: '192.0.2.3' }), refused('too-many'), 'the customer is full');
  await room.knock('C1', { from: '192.0.2.3', customerId: 'other' });
  room.pass(600_000);
  const kept = [...room.waitingDevices.values()].find((row) => row.serial === 'A1')!;
  room.waitingDevices.publish({ put: [{ ...kept, bytes: 10 }] });
  await room.knock('A3');
  assert.deepEqual([...room.waitingDevices.values()].map((row) => row.serial).sort(), ['A1', 'A3', 'B1', 'B2', 'C1'], 'A1 has data, so A2 went');
  for (const row of room.waitingDevices.values()) room.waitingDevices.publish({ put: [{ ...row, bytes: 1 }] });
  room.pass(10 * 600_000);
  await assert.rejects(room.knock('A4'), refused('too-many'), 'all have data');
});

test('what cannot be written is not there, and a queue that is full says so', async () => {
  const room = build();
  room.fail(new Fault('busy', 'the disk is full'));
  await assert.rejects(room.knock('SN1'), refused('busy'));
  assert.equal(room.waitingDevices.size, 0);
  assert.deepEqual(room.noted, []);
  room.fail(null);
  const told = await Promise.allSettled(['1', '2', '3', '4'].map((serial, i) => room.knock(serial, { from: `192.0.2.${i}` })));
  assert.deepEqual(told.map((each) => each.status), ['fulfilled', 'fulfilled', 'fulfilled', 'rejected']);
});

test('one that was approved while its knock was being written does not come back', async () => {
  const room = build();
  const { id } = await room.knock('SN1');
  room.pass(60_000);
  room.whenWritten(() => room.waitingDevices.publish({ removed: [id] }));
  await room.knock('SN1');
  assert.equal(room.waitingDevices.size, 0);
  room.know();
  await assert.rejects(room.knock('SN1'), refused('busy'), 'nor does one that was looked up just before');
  assert.equal(room.waitingDevices.size, 0);
});

test('the gateway has a bound of its own, whoever the customers are', async () => {
  const room = build();
  for (let i = 0; i < 6; i++) await room.knock('SN', { customerId: `c${i}` });
  await assert.rejects(room.knock('SN', { customerId: 'c6' }), refused('too-many'));
});
