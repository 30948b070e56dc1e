import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Got, Reached, SnmpValue, Walked } from '#model/probe/asking.ts';
import { handClock } from '#kit/hand-clock.ts';
import { openProbeStream, startProbing } from '#kit/probing.ts';
import type { ProbeStream, ProbingOptions } from '#kit/probing.ts';
import { encodeReply, encodeReport, openSnmpDevice } from '#kit/snmp-device.ts';
import type { SnmpDevice } from '#kit/snmp-device.ts';
import { derAt, derParts, integer, octets, sequence, tagged } from '#wire/der.ts';
import { encodeMessage } from '#wire/message.ts';

const a = '1.3.6.1.2.1.1.1.0';
const table = '1.3.6.1.4.1.99.1';
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
/** Files and sockets take their time, whatever the clock by hand says. */
async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; !isSo(); i++) {
    assert.ok(i < 1_000, 'it never came to that');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function open(t: TestContext, options: Partial<ProbingOptions> = {}): { readonly probe: ProbeStream; readonly serve: ReturnType<typeof startProbing> } {
  const stateDir = mkdtempSync(join(tmpdir(), 'postern-probe-'));
  t.after(() => rmSync(stateDir, { recursive: true, force: true }));
  const serve = startProbing({ stateDir, policy: 'reach udp 127.0.0.1 1024-65535\nreach udp ::1 1024-65535', ...options, limits: { probeQuestionTimeoutMs: 100, ...options.limits } });
  return { serve, probe: openProbeStream(serve) };
}

const at = ({ address, port }: SnmpDevice) => ({ address, port });
const plain = (value: unknown) => value as SnmpValue[];

test('the local policy comes first: nothing is sent, and the line to add is told', async (t) => {
  await using device = await openSnmpDevice(({ oids }) => ({ values: oids.map((each) => [each, 1]) }));
  await using probe = open(t, { policy: 'reach udp 192.0.2.0/24 161\nreach tcp device.example.test 80' }).probe;
  for (const what of ['reach', 'get', 'walk']) {
    const fault = await probe.refused(what, { ...at(device), oids: [a], root: a });
    assert.deepEqual([fault.code, fault.from], ['policy', null]);
    assert.match(fault.remedy, new RegExp(`: reach udp 127\\.0\\.0\\.1 ${device.port}$`));
  }
  assert.match((await probe.refused('http', { address: '192.0.2.5' })).remedy, /: reach tcp 192\.0\.2\.5 80$/);
  assert.match((await probe.refused('http', { address: '192.0.2.5', tls: true })).remedy, /: reach tcp 192\.0\.2\.5 443$/);
  assert.match((await probe.refused('ipp', { address: '192.0.2.5', body: 'AAAA' })).remedy, /: reach tcp 192\.0\.2\.5 631$/);
  assert.match((await probe.refused('reach', { address: '2001:db8::1' })).remedy, /: reach udp 2001:db8::1 161$/);
  assert.equal((await probe.refused('mac', { address: '198.51.100.1' })).code, 'policy');
  assert.deepEqual(await probe.ask('mac', { address: '192.0.2.250' }), { mac: null, interface: null });
  assert.equal(device.heard.length, 0);
});

test('what is asked is checked', async (t) => {
  await using probe = open(t, { policy: 'reach udp 0.0.0.0/0 *\nreach udp ::/0 *\nreach tcp 0.0.0.0/0 *' }).probe;
  const address = '127.0.0.1';
  for (const [what, fields] of [
    ['reach', {}],
    ['reach', { address: 'printer.example.test' }],
    ['reach', { address: 'fe80::1%eth0' }],
    ['reach', { address: '224.0.0.251' }],
    ['reach', { address: '255.255.255.255' }],
    ['reach', { address: 'ff02::fb' }],
    ['reach', { address: '0.0.0.0' }],
    ['reach', { address, port: 0 }],
    ['reach', { address, port: 65_536 }],
    ['reach', { address, withinMs: 5 }],
    ['get', { address }],
    ['get', { address, oids: [] }],
    ['get', { address, oids: Array.from({ length: 65 }, () => a) }],
    ['get', { address, oids: ['.1.3.6'] }],
    ['get', { address, oids: ['1.3.6.1.4294967296'] }],
    ['get', { address, oids: [`1.3${'.1'.repeat(128)}`] }],
    ['walk', { address, root: 'iso' }],
    ['walk', { address, root: table, after: '1.3.6' }],
    ['walk', { address, root: table, max: 2_001 }],
    ['ipp', { address, body: 'no base64!' }],
    ['ipp', { address, body: 'AAAA', path: 'ipp' }],
    ['ipp', { address, body: 'AAAA', path: '/a\r\nX: y' }],
    ['ipp', { address, body: Buffer.alloc(limits.probeIppRequestBytesMax + 1).toString('base64') }],
    ['pace', { perSecond: 0 }],
    ['set-credentials', { put: 'all' }],
    ['set-credentials', { put: [{ name: 'x' }] }],
    ['set-credentials', { remove: [1] }],
  ] as const) {
    const fault = await probe.refused(what, fields);
    assert.equal(fault.code, 'bad-input', `${what} ${JSON.stringify(fields)}`);
  }
  assert.equal((await probe.refused('dance')).code, 'unsupported');
});

test('a device that answers the default community; what is remembered; IPv6', async (t) => {
  const { probe } = open(t);
  await using _ = probe;
  for (const address of ['127.0.0.1', '::1']) {
    await using device = await openSnmpDevice(({ oids }) => ({ values: oids.map((each) => [each, 7]) }), encodeReport, address);
    const reached = (await probe.ask('reach', at(device))) as unknown as Reached;
    assert.deepEqual(reached, {
      snmp: 'answers', v3: { engineId: '8000000001020304', boots: 1, timeSeconds: 100 },
      version: 'v2c', credentials: 'default', user: null, from: address, requests: 2, tried: [{ credentials: 'default', version: 'v2c', outcome: 'ok' }], fault: null,
    });
    assert.deepEqual(await probe.ask('get', { ...at(device), oids: [a] }), { values: [{ oid: a, type: 'integer', value: 7 }], version: 'v2c', credentials: 'default', user: null, from: address, requests: 1 });
  }
});

test('what worked last and works no more is left for the whole order', async (t) => {
  await using probe = open(t).probe;
  let isOld = false;
  await using device = await openSnmpDevice(({ version, oids }) => (isOld && version === 1 ? null : { values: oids.map((each) => [each, 7]) }));
  assert.equal(((await probe.ask('get', { ...at(device), oids: [a] })) as unknown as Got).version, 'v2c');
  isOld = true;
  assert.equal(((await probe.ask('get', { ...at(device), oids: [a] })) as unknown as Got).version, 'v1');
});

test('tooBig: fewer at once', async (t) => {
  await using probe = open(t).probe;
  await using device = await openSnmpDevice(({ oids, kind, count }) => (oids.length > 3 || (kind === 'bulk' && count > 4) ? { status: 1, values: [] } : { values: oids.map((each) => [each, 7]) }));
  const oids = Array.from({ length: 20 }, (_, i) => `${table}.${i + 1}`);
  const got = (await probe.ask('get', { ...at(device), oids })) as unknown as Got;
  assert.deepEqual(got.values.map(({ oid, type }) => [oid, type]), oids.map((oid) => [oid, 'integer']));
  assert.ok(device.questions.every((each) => each.oids.length <= 16));
  assert.equal(device.questions.length, 13, '16, 8, 4 are too big, then ten of two');
});

test('one by one where one OID spoils all, values in another order, values left out', async (t) => {
  await using probe = open(t).probe;
  let mood: 'genErr' | 'turned' | 'short' = 'genErr';
  await using device = await openSnmpDevice(({ oids }) => {
    if (mood === 'genErr') return oids.includes(`${table}.2`) ? { status: 5, values: oids.map((each) => [each, null]) } : { values: oids.map((each) => [each, 7]) };
    const values = oids.map((each, i): [string, number] => [each, i]);
    return { values: mood === 'turned' ? values.reverse() : values.slice(1).concat([['1.3.9.9', 1]]) };
  });
  const ask = async () => plain((await probe.ask('get', { ...at(device), oids: [1, 2, 3].map((i) => `${table}.${i}`) }))['values']);
  assert.deepEqual((await ask()).map(({ type, value }) => [type, value]), [['integer', 7], ['missing', null], ['integer', 7]]);
  assert.equal((await ask()).find(({ type }) => type === 'missing')?.oid, `${table}.2`);
  mood = 'turned';
  assert.deepEqual((await ask()).map(({ oid, value }) => [oid, value]), [[`${table}.1`, 0], [`${table}.2`, 1], [`${table}.3`, 2]]);
  mood = 'short';
  assert.deepEqual((await ask()).map(({ oid, type }) => [oid, type]), [[`${table}.1`, 'missing'], [`${table}.2`, 'integer'], [`${table}.3`, 'integer']]);
});

test('walks: silent to GETBULK, in a circle, longer than a message, beyond the table', async (t) => {
  await using probe = open(t).probe;
  const rows = 3_000;
  let mood: 'deaf' | 'circle' | 'good' = 'good';
  await using device = await openSnmpDevice(({ kind, oids, count }) => {
    if (kind === 'get') return { values: [[oids[0]!, null]] };
    if (kind === 'bulk' && mood === 'deaf') return null;
    const last = oids[0] === table ? 0 : Number(oids[0]!.split('.').at(-1));
    const next = (i: number): [string, number] => {
      const n = mood === 'circle' && last + i >= 5 ? 2 : last + i;
      return n <= rows ? [`${table}.${n}`, n] : ['1.3.6.1.4.1.99.2.1', 1];
    };
    return { values: Array.from({ length: kind === 'bulk' ? count : 1 }, (_, i) => next(i + 1)) };
  });
  const walk = async (fields = {}) => (await probe.ask('walk', { ...at(device), root: table, ...fields })) as unknown as Walked;
  await probe.ask('pace', { perSecond: 200 });
  const first = await walk({ max: 20 });
  assert.deepEqual([first.values.length, first.next, first.loop], [20, `${table}.20`, false]);
  assert.deepEqual((await walk({ after: `${table}.${rows - 3}` })).values.map(({ value }) => value), [rows - 2, rows - 1, rows]);
  const long = await walk({ max: 2_000 });
  assert.ok(long.values.length < 2_000 && long.values.length > 500, 'ends where the message would get too long');
  assert.equal((await walk({ max: 1, after: long.next })).values[0]?.value, long.values.length + 1);
  mood = 'deaf';
  assert.equal((await walk({ max: 10 })).values.length, 10);
  mood = 'circle';
  const circle = await walk();
  assert.deepEqual([circle.values.map(({ value }) => value), circle.next, circle.loop], [[1, 2, 3, 4], null, true]);
});

/** The scoped message of an answer that the question has not the keys for. */
function answer3(datagram: Buffer, flags: number): Buffer {
  const [, global] = derParts(derAt(datagram)!.value)!;
  const [id] = derParts(global!.value)!;
  const engineId = octets(Buffer.from('8000000001020304', 'hex'));
  const number = integer(id!.value.readIntBE(0, id!.value.length));
  const binding = derParts(derAt(encodeReply({ version: 1, community: '', id: 1 }, { values: [[a, 666]] }))!.value)![2]!;
  const list = derParts(binding.value)![3]!;
  return sequence(
    integer(3),
    sequence(number, integer(65_507), octets(Buffer.from([flags])), integer(3)),
    octets(sequence(engineId, integer(1), integer(100), octets(Buffer.from('u')), octets(Buffer.alloc(flags & 1 ? 24 : 0)), octets(Buffer.alloc(flags & 2 ? 8 : 0)))),
    flags & 2 ? octets(Buffer.alloc(64, 7)) : sequence(engineId, octets(), tagged(2, number, integer(0), integer(0), sequence(list.value))),
  );
}

test('an answer without the protection of the question is none, and what says that it is signed ends nothing', async (t) => {
  await using probe = open(t).probe;
  const signed = { name: 's', networks: [], version: 'v3', user: 'u', authProtocol: 'sha256', authKey: 'correct horse' };
  const sealed = { ...signed, privProtocol: 'aes', privKey: 'battery staple' };
  const bare = { name: 's', networks: [], version: 'v3', user: 'u' };
  for (const [set, flags] of [[signed, 0], [sealed, 0], [sealed, 1], [bare, 1], [bare, 3], [signed, 3]] as const) {
    let asked = 0;
    await using device = await openSnmpDevice(() => null, (datagram) => (derParts(derAt(derParts(derAt(datagram)!.value)![2]!.value)!.value)![3]!.value.length === 0 ? encodeReport(datagram) : (asked++, answer3(datagram, flags))));
    await probe.ask('set-credentials', { put: [set] });
    const fault = await probe.refused('get', { ...at(device), oids: [a] });
    assert.ok(['damaged', 'wrong-key'].includes(fault.code), `${JSON.stringify(set)} ${flags}: ${fault.code}`);
    assert.ok(asked > 0);
  }
  // The same answer where no protection was asked for is one.
  await using device = await openSnmpDevice(() => null, (datagram) => (derParts(derAt(derParts(derAt(datagram)!.value)![2]!.value)!.value)![3]!.value.length === 0 ? encodeReport(datagram) : answer3(datagram, 0)));
  await probe.ask('set-credentials', { put: [bare] });
  assert.equal(plain((await probe.ask('get', { ...at(device), oids: [a] }))['values'])[0]?.value, 666);
});

test('a device that answers nonsense ends nothing (seed 5)', async (t) => {
  await using probe = open(t, { limits: { probeQuestionTimeoutMs: 15 } }).probe;
  await probe.ask('pace', { perSecond: 200 });
  let seed = 5;
  const random = () => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) >> 8;
  const bend = (bytes: Buffer) => {
    const bent = Buffer.from(random() % 4 === 0 ? bytes.subarray(0, random() % bytes.length) : bytes);
    for (let flips = 1 + (random() % 3); flips > 0 && bent.length > 0; flips--) bent[random() % bent.length] = random() & 0xff;
    return bent;
  };
  await using device = await openSnmpDevice((question) => bend(encodeReply(question, { values: question.oids.map((each) => [each, 7]) })), (datagram) => bend(random() % 2 ? encodeReport(datagram) : answer3(datagram, random() % 4)));
  await probe.ask('set-credentials', { put: [{ name: 'v3', version: 'v3', user: 'u' }, { name: 'v2c', version: 'v2c', community: 'c' }] });
  const outcomes = new Set<string>();
  for (let i = 0; i < 60; i++) {
    try {
      const { values } = (await probe.ask(i % 2 ? 'get' : 'walk', { ...at(device), oids: [a], root: '1.3.6.1.2.1.1', withinMs: 20_000 })) as unknown as Got;
      assert.ok(values.every(({ oid }) => /^[\d.]+$/.test(oid)));
      outcomes.add('ok');
    } catch (thrown) {
      outcomes.add(String((thrown as Error).message).split(':')[0]!);
    }
  }
  // A question that the library forgot would wait until its time is over.
  assert.ok(!outcomes.has('internal') && !outcomes.has('timeout'), [...outcomes].join());
  assert.ok(outcomes.has('damaged') || outcomes.has('silent'));
});

test('every datagram waits for its turn, also behind another stream', async (t) => {
  const clock = handClock();
  const { probe, serve } = open(t, { clock });
  await using first = probe;
  await using second = openProbeStream(serve);
  await using one = await openSnmpDevice(({ oids }) => ({ values: oids.map((each) => [each, 1]) }), encodeReport);
  await using two = await openSnmpDevice(({ oids }) => ({ values: oids.map((each) => [each, 2]) }), encodeReport);
  assert.deepEqual(await first.ask('pace', { perSecond: 1, atOnce: 2 }), { perSecond: 1, atOnce: 2 });
  const answers = Promise.all([first.ask('get', { ...at(one), oids: [a] }), second.ask('get', { address: '127.0.0.1', port: two.port, oids: [a] })]);
  const sum = () => one.heard.length + two.heard.length;
  for (let sent = 1; sent <= 4; sent++) {
    await until(() => sum() >= sent);
    for (let i = 0; i < 20; i++) await turn();
    assert.equal(sum(), sent);
    // The next question stands in line only when the answer was read.
    await until(() => clock.timers > 0);
    clock.advance(1_000);
  }
  const [got] = await answers;
  assert.equal(plain(got['values'])[0]?.value, 1);
  assert.deepEqual([(await second.ask('info'))['perSecond'], (await second.ask('info'))['atOnce']], [1, 2]);
});

test('a request is given up when its time is over, and with its stream', async (t) => {
  const clock = handClock();
  const { probe, serve } = open(t, { clock });
  await using deaf = await openSnmpDevice(() => null);
  const refused = probe.refused('reach', { ...at(deaf), withinMs: 1_000 });
  await until(() => deaf.heard.length > 0);
  clock.advance(1_000);
  assert.equal((await refused).code, 'timeout');
  const before = deaf.heard.length;
  const lost = probe.ask('reach', at(deaf));
  await until(() => deaf.heard.length > before);
  probe.reset();
  await assert.rejects(lost, /ended before/);
  await probe.served;
  // What waited in line is gone, and the next stream has its turn at once.
  await using next = openProbeStream(serve);
  await using device = await openSnmpDevice(({ oids }) => ({ values: oids.map((each) => [each, 1]) }), encodeReport);
  assert.equal(((await next.ask('reach', at(device))) as unknown as Reached).version, 'v2c');
});

test('the stream: every cut of its bytes, ids, unfinished requests, an idle one, one too many', async (t) => {
  const clock = handClock();
  const { probe, serve } = open(t, { clock, limits: { probeStreamsMax: 3 } });
  const bytes = Buffer.concat([encodeMessage({ id: 'x', do: 'pace', perSecond: 3 }, 65_536), encodeMessage({ id: 'y', do: 'dance' }, 65_536)]);
  for (let cut = 1; cut < bytes.length; cut++) {
    await using stream = openProbeStream(serve);
    const heard: Buffer[] = [];
    stream.stream.on('data', (chunk: Buffer) => heard.push(chunk));
    stream.stream.write(bytes.subarray(0, cut));
    await turn();
    stream.stream.end(bytes.subarray(cut));
    await stream.served;
    const text = Buffer.concat(heard).toString('latin1');
    assert.ok(text.includes('{"id":"x","ok":{"perSecond":3,"atOnce":8}}') && text.includes('"id":"y","fault":{"code":"unsupported"'), `${cut}: ${text}`);
  }
  for (const bad of [encodeMessage({ do: 'info' }, 65_536), encodeMessage({ id: 'i'.repeat(65), do: 'info' }, 65_536), Buffer.from([0, 0, 0, 0]), Buffer.from([0, 1, 0, 1]), Buffer.from('\0\0\0\u0002[]'), Buffer.concat([bytes, bytes])]) {
    const broken = openProbeStream(serve);
    broken.stream.write(bad);
    await broken.served;
  }
  await using second = openProbeStream(serve);
  await using third = openProbeStream(serve);
  const fourth = openProbeStream(serve);
  await fourth.served;
  await assert.rejects(fourth.ask('info'), /ended before/);
  clock.advance(limits.probeStreamIdleMs);
  await Promise.all([probe.served, second.served, third.served]);
});

test('more requests than may be open wait, and each has its answer', async (t) => {
  await using probe = open(t).probe;
  await probe.ask('pace', { perSecond: 200, atOnce: 4 });
  await using device = await openSnmpDevice(({ oids }) => ({ values: oids.map((each) => [each, 1]) }), encodeReport);
  await probe.ask('reach', at(device));
  const answers = await Promise.all(Array.from({ length: 150 }, (_, i) => probe.ask('get', { ...at(device), oids: [`${table}.${i + 1}`] })));
  assert.deepEqual(answers.map((each) => plain(each['values'])[0]?.oid), Array.from({ length: 150 }, (_, i) => `${table}.${i + 1}`));
});

test('credentials go in and never come out, nor into the log', async (t) => {
  const lines: string[] = [];
  const note = (event: string, fields: unknown) => void lines.push(`${event} ${JSON.stringify(fields)}`);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  await using probe = open(t, { log }).probe;
  const answers = [await probe.ask('set-credentials', { put: [{ name: 'office', version: 'v2c', community: 'swordfish-7' }, { name: 'v3', version: 'v3', user: 'u', authProtocol: 'sha', authKey: 'swordfish-8' }] })];
  answers.push(await probe.ask('info'));
  const refused = await probe.refused('set-credentials', { put: [{ name: 'office', version: 'v2c', community: 'swordfish-9'.repeat(30) }] });
  await using deaf = await openSnmpDevice(() => null);
  const silent = await probe.refused('get', { ...at(deaf), oids: [a] });
  assert.equal(deaf.questions[0]?.community, 'swordfish-7');
  assert.doesNotMatch(JSON.stringify([answers, refused, silent, lines]), /swordfish/);
  assert.deepEqual((answers[1]!['credentials'] as { name: string }[]).map(({ name }) => name), ['office', 'v3']);
  assert.ok(lines.some((line) => line.startsWith('probe.credentials-set') && line.includes('office')));
  assert.deepEqual(await probe.ask('set-credentials', { remove: ['office', 'v3'] }), { credentials: [] });
  assert.equal((await probe.ask('info'))['defaultCredentials'], true);
});
