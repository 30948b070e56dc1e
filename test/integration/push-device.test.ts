// Our agent's side of push against real gateways: over plain http with signatures, over TLS with a list of fingerprints, over redirects.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect as connectTls } from 'node:tls';
import { test } from 'node:test';
import { buildContact } from '#field/contact.ts';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import { pinOfFingerprint } from '#wire/device.ts';
import { openFieldRoom } from '../kit/field-room.ts';
import { finishesCleanly, startGateway, until, type TestGateway } from '../kit/gateway.ts';
import { memoryBuffer } from '../kit/memory-buffer.ts';
import { knowDevice, storedRanges } from '../kit/raw-device.ts';

const key = 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';
const plain = (gateway: TestGateway) => `http://127.0.0.1:${gateway.ports.http}/v1/default`;
const secure = (gateway: TestGateway) => `https://127.0.0.1:${gateway.ports.https}/v1/default`;

function pinShown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(pinOfFingerprint(keyFingerprintOf(socket.getPeerX509Certificate()!)));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

async function configure(gateway: TestGateway, sections: object): Promise<void> {
  const { token } = await gateway.owner();
  const { json } = await gateway.api('GET', '/config', { token });
  const done = await gateway.api('PUT', '/config', { token, headers: { 'if-match': `"${json['revision'] as number}"` }, body: { ...(json['config'] as object), ...sections } });
  assert.equal(done.status, 200, done.text);
}

const stopped = (abort: AbortController, ended: Promise<void>) => ({
  async [Symbol.asyncDispose]() {
    abort.abort();
    await ended;
  },
});

/** All that the gateways have of an epoch, in order, each byte once. */
function together(gateways: readonly TestGateway[], epoch: string): Buffer {
  const ranges = gateways.flatMap((gateway) => storedRanges(gateway, 'SN1', epoch).ranges).sort((a, b) => a.from - b.from);
  let at = 0;
  for (const { from, bytes } of ranges) {
    assert.equal(from, at, 'no byte is missing or there twice');
    at += bytes.length;
  }
  return Buffer.concat(ranges.map(({ bytes }) => bytes));
}

test('signed over plain http: stored as it was, compressed on the way, and believed', async () => {
  await using gateway = await startGateway();
  knowDevice(gateway, 'SN1', key);
  await using room = openFieldRoom({ factor: 10 });
  const destination = await room.destination({ bases: [plain(gateway)], serial: 'SN1', identity: 'sign' }, { keyText: key });
  const buffer = memoryBuffer('cdr', ['main']);
  const text = Array.from({ length: 20_000 }, (_, i) => `call ${i} from 200 to 9${i}\n`).join('');
  buffer.append(text);
  room.deliver(destination, [buffer]);
  await until('all to arrive', () => buffer.position('main') === buffer.next);
  assert.equal(together([gateway], buffer.epoch).toString(), text);
  assert.equal(room.fieldClock.trusted(), true, 'its time was believed');
  assert.ok(Math.abs(room.fieldClock.nowMs() - Date.now()) < 5_000);
  await room[Symbol.asyncDispose]();
  await finishesCleanly(gateway);
});

test('over TLS with the fingerprint on its list, and not with another', async () => {
  await using gateway = await startGateway();
  knowDevice(gateway, 'SN1', key);
  await using room = openFieldRoom({ factor: 10 });
  const pin = await pinShown(gateway.ports.https);
  const [good, bad] = [memoryBuffer('cdr', ['main']), memoryBuffer('cdr', ['wrong'])];
  for (const buffer of [good, bad]) buffer.append(randomBytes(300_000));
  room.deliver(await room.destination({ bases: [secure(gateway)], serial: 'SN1', pins: [pin] }, { keyText: key }), [good]);
  room.deliver(await room.destination({ name: 'wrong', bases: [secure(gateway)], serial: 'SN1', pins: [`sha256//${'A'.repeat(43)}=`] }, { keyText: key }), [bad]);
  await until('all to arrive', () => good.position('main') === good.next);
  assert.equal(together([gateway], good.epoch).length, 300_000);
  assert.deepEqual(storedRanges(gateway, 'SN1', bad.epoch).ranges, []);
});

test('sent away in the middle, and home again when the rule is gone: nothing lost, nothing twice', async () => {
  await using b = await startGateway();
  await using a = await startGateway();
  for (const each of [a, b]) knowDevice(each, 'SN1', key);
  await using room = openFieldRoom({ factor: 10 });
  const destination = await room.destination({ bases: [plain(a)], serial: 'SN1', identity: 'sign' }, { keyText: key });
  const buffer = memoryBuffer('cdr', ['main']);
  const sent: Buffer[] = [];
  const append = (bytes: number) => {
    sent.push(randomBytes(bytes));
    buffer.append(sent.at(-1)!);
  };
  append(5_000);
  room.deliver(destination, [buffer]);
  await until('the first to arrive', () => buffer.position('main') === buffer.next);
  const rules = { servers: [{ name: 'b', base: plain(b).replace(/\/default$/, ''), pins: [], weight: 1, drain: 'no' }], redirects: [{ name: 'all', strategy: 'first', servers: ['b'], ttlSeconds: 30, status: 307 }] };
  await configure(a, rules);
  append(400_000);
  await until('the second to arrive', () => buffer.position('main') === buffer.next);
  assert.equal(storedRanges(a, 'SN1', buffer.epoch).sealedTo, plain(b));
  assert.equal(storedRanges(b, 'SN1', buffer.epoch).ranges[0]?.from, 5_000);
  await configure(a, { redirects: [] });
  const end = room.clock.monoMs() + 31_000;
  await until('the lease to end', () => room.clock.monoMs() > end);
  append(3_000);
  await until('the third to arrive', () => buffer.position('main') === buffer.next);
  assert.deepEqual(storedRanges(a, 'SN1', buffer.epoch).gaps, [{ from: 5_000, to: 405_000, reason: 'moved' }]);
  assert.ok(together([a, b], buffer.epoch).equals(Buffer.concat(sent)));
});

test('a check-in tells the gateway the list, and brings period and urgency', async () => {
  await using gateway = await startGateway({ config: { checkIn: { pollSeconds: 600, jitterSeconds: 5, pushSeconds: 60 }, feeds: [{ name: 'calls', feeds: 'cdr*', prio: '9?911' }] } });
  const device = knowDevice(gateway, 'SN1', key);
  await using room = openFieldRoom({ factor: 10 });
  const pin = await pinShown(gateway.ports.https);
  const destination = await room.destination({ bases: [secure(gateway)], serial: 'SN1', pins: [pin] }, { keyText: key });
  const abort = new AbortController();
  const contact = buildContact({
    destination, buffers: [memoryBuffer('cdr', ['main'])], clock: room.clock, fieldClock: room.fieldClock, uptimeMs: () => 3_600_000, random: randomBytes, log: room.log,
    facts: { version: '1.2', platform: 'test', name: 'Lobby printer', zone: 'Europe/London' },
  });
  await using _ = stopped(abort, contact.run(abort.signal));
  await until('the answer', () => destination.state.asked.pollSeconds !== null);
  assert.deepEqual([destination.state.asked.pollSeconds, destination.state.asked.jitterSeconds, destination.state.asked.pushSeconds], [600, 5, 60]);
  assert.equal(contact.isUrgent(Buffer.from('to 911')), true);
  assert.match(destination.state.asked.zone ?? '', /^GMT0BST/);
  const note = await until('the note', () => gateway.tables.deviceNotes.get(device.id));
  assert.deepEqual(note.pins, [pin]);
});
