// Questions over a stream to an agent that answers in any order, in pieces, wrongly or not at all.
import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { test } from 'node:test';
import { handClock } from '#kit/hand-clock.ts';
import { isFault, type FaultCode } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { probeFaultOf } from '#model/probe/faults.ts';
import { buildMessageParser, encodeMessage, type Message } from '#wire/message.ts';
import { askOver } from './gateway-probe.ts';

const means = { version: 'v2c', credentials: 'default', user: null, from: '192.0.2.9', requests: 1 };
const certificate = { subject: 'CN=printer', issuer: 'CN=printer', serialNumber: '01', sha256: '5f', notBefore: '2020-01-01T00:00:00.000Z', notAfter: '2030-01-01T00:00:00.000Z', names: ['printer.example.test'] };
const address = '192.0.2.50';

function roomOf(signal?: AbortSignal) {
  const clock = handClock();
  const [ours, theirs] = duplexPair() as [Duplex, Duplex];
  const asked: Message[] = [];
  const parser = buildMessageParser(limits.messageBytesMax, (message) => void asked.push(message));
  theirs.on('data', (chunk: Buffer) => parser.push(chunk));
  theirs.on('error', () => {});
  const asking = askOver(ours, { clock, limits, ...(signal && { signal }) });
  const arrived = async (count: number) => {
    while (asked.length < count) await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    clock, ours, theirs, asked, asking, arrived,
    answer: (id: unknown, body: object) => void theirs.write(encodeMessage({ id, ...body }, limits.messageBytesMax)),
    async end() {
      asking.close();
      theirs.destroy();
      ours.destroy();
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(clock.timers, 0, 'timers are left');
    },
  };
}

const rejects = (promise: Promise<unknown>, code: FaultCode, why = /./) => assert.rejects(promise, (thrown) => isFault(thrown, code) && why.test(thrown.message));

test('answers find their questions in any order, byte by byte', async () => {
  const room = roomOf();
  const paced = room.asking.pace({ perSecond: 20, atOnce: 8 });
  const got = room.asking.get({ address, oids: ['1.3.6.1.2.1.1.2.0', '1.3.6.1.2.1.1.1.0', '1.3.6.1.2.1.1.5.0', '1.3.6.1.2.1.2.2.1.10.1'] });
  const mac = room.asking.mac({ address });
  await room.arrived(3);
  assert.deepEqual(room.asked, [
    { id: 1, do: 'pace', perSecond: 20, atOnce: 8 },
    { id: 2, do: 'get', address, oids: ['1.3.6.1.2.1.1.2.0', '1.3.6.1.2.1.1.1.0', '1.3.6.1.2.1.1.5.0', '1.3.6.1.2.1.2.2.1.10.1'] },
    { id: 3, do: 'mac', address },
  ]);
  const values = [
    { oid: '1.3.6.1.2.1.1.2.0', type: 'oid', value: '1.3.6.1.4.1.32473.1' },
    { oid: '1.3.6.1.2.1.1.1.0', type: 'octets', value: 'RXhhbXBsZQ==', text: 'Example' },
    { oid: '1.3.6.1.2.1.1.5.0', type: 'missing', value: null, why: 'noSuchInstance' },
    { oid: '1.3.6.1.2.1.2.2.1.10.1', type: 'counter64', value: '18446744073709551615' },
  ] as const;
  const bytes = Buffer.concat([
    { id: 3, ok: { mac: '00:00:5e:00:53:01', interface: 'eth0' } },
    { id: 2, ok: { ...means, values } },
    { id: 1, ok: { perSecond: 10, atOnce: 4 } },
  ].map((message) => encodeMessage(message, limits.messageBytesMax)));
  for (const byte of bytes) {
    room.theirs.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await paced, { perSecond: 10, atOnce: 4 });
  assert.deepEqual(await got, { ...means, values });
  assert.deepEqual(await mac, { mac: '00:00:5e:00:53:01', interface: 'eth0' });
  assert.ok(room.asking.isOpen);
  await room.end();
  assert.ok(!room.asking.isOpen);
  await rejects(room.asking.info(), 'closed');
});

test('each question, and its answer', async () => {
  const room = roomOf();
  const { asking } = room;
  const reach = asking.reach({ address, port: 1161 });
  const walk = asking.walk({ address, root: '1.3', max: 5, after: '1.3.1' });
  const ipp = asking.ipp({ address, tls: true, path: '/ipp/print', body: Buffer.from([1, 1]) });
  const http = asking.http({ address });
  const info = asking.info();
  const secret = { name: 'office', networks: ['192.0.2.0/24'], version: 'v3', user: 'postern', authProtocol: 'sha256', authKey: 'eight chars' } as const;
  const set = asking.setCredentials({ put: [secret], remove: ['old'] });
  await room.arrived(6);
  assert.deepEqual(room.asked.slice(2), [
    { id: 3, do: 'ipp', address, tls: true, path: '/ipp/print', body: 'AQE=' }, { id: 4, do: 'http', address }, { id: 5, do: 'info' }, { id: 6, do: 'set-credentials', put: [secret], remove: ['old'] },
  ]);
  const tried = [{ credentials: 'office', version: 'v3', outcome: 'unknown-user' }];
  const fault = { code: 'unknown-user', message: 'it does not know the user', remedy: 'look', from: '192.0.2.9', tried };
  room.answer(1, { ok: { snmp: 'answers', v3: { engineId: '8000', boots: 1, timeSeconds: 2 }, version: null, credentials: null, user: null, from: '192.0.2.9', requests: 3, tried, fault } });
  room.answer(2, { ok: { ...means, values: [], next: null, loop: true } });
  room.answer(3, { ok: { status: 200, body: 'AgA=', location: null, certificate, from: null } });
  room.answer(4, { ok: { status: 301, server: 'Example/1', title: null, location: 'https://192.0.2.50/', certificate: null, from: null } });
  const shown = { name: 'office', networks: ['192.0.2.0/24'], version: 'v3', user: 'postern', context: null, authProtocol: 'sha256', privProtocol: null };
  room.answer(5, { ok: { addresses: [{ interface: 'eth0', address: '192.0.2.9', network: '192.0.2.0/24', mac: '00:00:5e:00:53:09' }], gateways: [], resolvers: ['192.0.2.1'], credentials: [{ ...shown, authKey: 'leaked' }], defaultCredentials: false, perSecond: 20, atOnce: 8 } });
  room.answer(6, { ok: { credentials: [{ ...shown, community: 'leaked' }] } });
  assert.deepEqual(await reach, { snmp: 'answers', v3: { engineId: '8000', boots: 1, timeSeconds: 2 }, version: null, credentials: null, user: null, from: '192.0.2.9', requests: 3, tried, fault });
  assert.deepEqual(await walk, { ...means, values: [], next: null, loop: true });
  assert.deepEqual(await ipp, { status: 200, body: Buffer.from([2, 0]), location: null, certificate, from: null });
  assert.equal((await http).server, 'Example/1');
  assert.deepEqual((await info).credentials, [shown], 'nothing secret, whatever the agent sends');
  assert.deepEqual(await set, [shown]);
  await room.end();
});

test('what a resolver answers: addresses alone', async () => {
  const room = roomOf();
  const order = { resolver: 'system', name: 'scan.example.test', type: 'A' } as const;
  const seen = room.asking.dns(order);
  await room.arrived(1);
  assert.deepEqual(room.asked, [{ id: 1, do: 'dns', ...order }]);
  room.answer(1, { ok: { resolver: '192.0.2.1', rcode: 'NOERROR', answers: ['192.0.2.9', '2001:DB8::9'], ms: 3, more: 1 } });
  assert.deepEqual(await seen, { resolver: '192.0.2.1', rcode: 'NOERROR', answers: ['192.0.2.9', '2001:db8::9'], ms: 3 });
  const wrong = room.asking.dns(order);
  await room.arrived(2);
  room.answer(2, { ok: { resolver: '192.0.2.1', rcode: 'NOERROR', answers: ['scan.example.test'], ms: 3 } });
  await rejects(wrong, 'protocol');
  await room.end();
});

test('what the agent refuses concerns its own question', async () => {
  const room = roomOf();
  const refused = room.asking.http({ address });
  const good = room.asking.mac({ address });
  await room.arrived(2);
  room.answer(1, { fault: { code: 'policy', message: 'the local policy\u0007 does not allow it', remedy: 'add: reach tcp 192.0.2.50 80', from: null, tried: [] } });
  const thrown: unknown = await refused.catch((error: unknown) => error);
  assert.deepEqual(probeFaultOf(thrown), { code: 'policy', message: 'the local policy\\x07 does not allow it', remedy: 'add: reach tcp 192.0.2.50 80', from: null, tried: [] });
  assert.ok(isFault(thrown, 'forbidden'));
  room.answer(2, { ok: { mac: null, interface: null } });
  assert.deepEqual(await good, { mac: null, interface: null });
  const strange = room.asking.mac({ address });
  await room.arrived(3);
  room.answer(3, { fault: { code: 'not-known-yet', message: 'x' } });
  assert.equal(probeFaultOf(await strange.catch((error: unknown) => error))?.code, 'internal');
  await room.end();
});

const bad: readonly (readonly [string, (room: ReturnType<typeof roomOf>) => void, FaultCode])[] = [
  ['another question', ({ answer }) => answer(77, { ok: {} }), 'protocol'],
  ['no id', ({ answer }) => answer('1', { ok: {} }), 'protocol'],
  ['neither ok nor fault', ({ answer }) => answer(1, {}), 'protocol'],
  ['a MAC that is none', ({ answer }) => answer(1, { ok: { mac: '<script>', interface: null } }), 'protocol'],
  ['no JSON', ({ theirs }) => void theirs.write(Buffer.from([0, 0, 0, 2, 0x7b, 0x7b])), 'protocol'],
  ['a message without end', ({ theirs }) => void theirs.write(Buffer.from([0xff, 0xff, 0xff, 0xff])), 'protocol'],
  ['the end of the stream', ({ theirs }) => void theirs.end(), 'closed'],
  ['half a message', ({ theirs }) => void theirs.end(Buffer.from([0, 0, 0, 9, 0x7b])), 'closed'],
  ['silence', ({ clock }) => clock.advance(limits.probeAnswerTimeoutMs), 'timeout'],
];

for (const [what, run, code] of bad) {
  test(`an agent that answers with ${what}: all that waits is over`, async () => {
    const room = roomOf();
    const first = room.asking.mac({ address });
    const second = room.asking.info();
    await room.arrived(2);
    run(room);
    await Promise.all([rejects(first, code), rejects(second, code)]);
    assert.ok(!room.asking.isOpen);
    await room.end();
  });
}

test('damaged answers never do more than end the stream', async () => {
  const seed = 20_261_120;
  let state = seed;
  const dice = (sides: number) => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) % sides;
  const good = encodeMessage({ id: 1, ok: { ...means, values: [{ oid: '1.3', type: 'integer', value: 5 }] } }, limits.messageBytesMax);
  for (let round = 0; round < 300; round += 1) {
    const room = roomOf();
    const asked = room.asking.get({ address, oids: ['1.3'] });
    const bytes = Buffer.from(good);
    for (let flips = 0; flips <= dice(3); flips += 1) bytes[dice(bytes.length)]! ^= 1 << dice(8);
    room.theirs.end(bytes);
    await asked.then((got) => assert.equal(got.values.length, 1), (thrown) => assert.ok(isFault(thrown), `seed ${seed}, round ${round}: ${String(thrown)}`));
    await room.end();
  }
});

test('no more without an answer than the page allows; and who gives up is left at once', async () => {
  const given = new AbortController();
  const room = roomOf(given.signal);
  const all = Array.from({ length: limits.probeRequestsPerStreamMax + 2 }, () => room.asking.mac({ address }));
  await room.arrived(limits.probeRequestsPerStreamMax);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(room.asked.length, limits.probeRequestsPerStreamMax);
  room.answer(1, { ok: { mac: null, interface: null } });
  await room.arrived(limits.probeRequestsPerStreamMax + 1);
  given.abort();
  const results = await Promise.allSettled(all);
  assert.deepEqual([results[0]!.status, ...new Set(results.slice(1).map(({ status }) => status))], ['fulfilled', 'rejected']);
  await room.end();
});
