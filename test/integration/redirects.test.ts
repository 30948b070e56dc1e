import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { test } from 'node:test';
import { realClock } from '#app/real.ts';
import type { Clock } from '#base/clock.ts';
import { finishesCleanly, startGateway, temporaryFolder, until, type TestGateway } from '../kit/gateway.ts';
import { askRaw, assertOnce, knowDevice, RawDevice, storedRanges } from '../kit/raw-device.ts';

const key = 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';
const plain = (gateway: TestGateway) => `http://127.0.0.1:${gateway.ports.http}/v1/default`;
const secure = (gateway: TestGateway) => `https://127.0.0.1:${gateway.ports.https}/v1/default`;

/** For whatever customer: the key is added. */
const server = (name: string, base: string, more: object = {}) => ({ name, base: base.replace(/\/default$/, ''), pins: [], weight: 1, drain: 'no', ...more });
const rule = (name: string, servers: readonly string[], more: object = {}) => ({ name, strategy: 'first', servers, ttlSeconds: 600, status: 307, ...more });

/** Time that a test moves. */
function movedClock(): Clock & { ahead: number } {
  return { ...realClock, ahead: 0, nowMs() { return realClock.nowMs() + this.ahead; } };
}

/** Replaces sections of the configuration that is in force. */
async function configure(gateway: TestGateway, sections: object): Promise<void> {
  const { token } = await gateway.owner();
  const { json } = await gateway.api('GET', '/config', { token });
  const done = await gateway.api('PUT', '/config', { token, headers: { 'if-match': `"${json['revision'] as number}"` }, body: { ...(json['config'] as object), ...sections } });
  assert.equal(done.status, 200, done.text);
}

function device(home: string, serial = 'SN1', more: { signs?: boolean; bytes?: Buffer } = {}): RawDevice {
  return new RawDevice({ serial, key, home, bytes: randomBytes(20_000), ...more });
}

async function deliver(one: RawDevice, size = 1_500, most = 200): Promise<void> {
  for (let i = 0; i < most && !one.done; i++) {
    const answer = await one.push(size);
    if (answer?.status === 503) await new Promise((next) => setTimeout(next, 20));
  }
  assert.ok(one.done, `after ${most} requests it is at ${one.next}: ${JSON.stringify(one.seen.slice(-6))}`);
}

test('a device is sent away in the middle of its feed: sealed here, gone on there, each byte once', async () => {
  await using b = await startGateway();
  await using a = await startGateway();
  for (const each of [a, b]) knowDevice(each, 'SN1', key);
  const one = device(plain(a));
  for (let i = 0; i < 5; i++) await one.push(1_000);
  await configure(a, { servers: [server('b', plain(b))], redirects: [rule('all', ['b'])] });
  const sent = await one.push(1_000);
  assert.equal(sent?.status, 307);
  assert.deepEqual([sent.values.get('next'), sent.values.get('base'), sent.values.get('hops')], ['5000', plain(b), '1']);
  assert.ok(Number(sent.values.get('ttl')) > 595 && Number(sent.values.get('ttl')) <= 600);
  assert.equal(sent.headers.location, `${plain(b)}/push/SN1/cdr/${one.epoch}?o=5000`);
  await deliver(one);
  assertOnce([a, b], one);
  assert.equal(storedRanges(a, 'SN1', one.epoch).sealedTo, plain(b));
  assert.equal(storedRanges(b, 'SN1', one.epoch).ranges[0]?.from, 5_000);
  // Asked again, it is the same answer, and asking changes nothing.
  const again = device(plain(a));
  Object.assign(again, { epoch: one.epoch, next: 5_000 });
  assert.deepEqual([(await again.push(10))?.status, again.next], [307, 5_000]);
  const url = `${plain(a)}/push/SN1/cdr/${one.epoch}`;
  const where = await askRaw(url, { headers: one.headers('GET', new URL(url).pathname, Buffer.alloc(0)) });
  assert.deepEqual([where.status, where.values.get('error'), where.values.get('next'), where.values.get('base')], [410, 'sealed', '5000', plain(b)]);
  await finishesCleanly(a);
  await finishesCleanly(b);
});

test('a batch that is under way when the rule comes is stored here, and nothing goes elsewhere before it is', async () => {
  await using b = await startGateway();
  await using a = await startGateway({ config: { strangers: [{ policy: 'refuse', keyless: true, quarantineBytes: 0 }] } });
  for (const each of [a, b]) knowDevice(each, 'SN1', key);
  const one = device(plain(a), 'SN1', { bytes: randomBytes(9_000) });
  const first = one.options.bytes.subarray(0, 3_000);
  const target = `/v1/default/push/SN1/cdr/${one.epoch}?o=0`;
  const fields = Object.entries(one.headers('POST', target, first)).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const socket = connect(a.ports.http, '127.0.0.1');
  let heard = '';
  socket.on('data', (piece) => (heard += piece.toString('latin1')));
  socket.write(`POST ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3000\r\n${fields}\r\n`);
  socket.write(first.subarray(0, 1_000));
  await until('the batch is under way', async () => a.live.connCounts().open > 0);
  await configure(a, { servers: [server('b', plain(b))], redirects: [rule('all', ['b'])] });
  // The device gave up waiting and comes once more, while the first is still open: its epoch is not even known.
  const busy = await one.push(3_000);
  assert.deepEqual([busy?.status, busy?.values.get('error'), busy?.values.get('retry')], [503, 'busy', '1']);
  socket.write(first.subarray(1_000));
  await until('its answer', () => heard.includes('next='));
  assert.match(heard, /^HTTP\/1\.1 200 [^]*next=3000\n/);
  socket.destroy();
  await deliver(one, 3_000);
  assert.deepEqual(one.seen.map(({ status, next }) => [status, next]), [[503, undefined], [307, '3000'], [200, '6000'], [200, '9000']]);
  assertOnce([a, b], one);
});

test('Expect: 100-continue is answered by the redirect, and no byte of the body is sent', async () => {
  await using b = await startGateway();
  await using a = await startGateway({ config: { servers: [server('b', plain(b))], redirects: [rule('all', ['b'])] } });
  knowDevice(a, 'SN1', key);
  const one = device(plain(a));
  const body = one.options.bytes;
  const target = `/v1/default/push/SN1/cdr/${one.epoch}?o=0`;
  const fields = Object.entries(one.headers('POST', target, body)).map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const socket = connect(a.ports.http, '127.0.0.1');
  let heard = '';
  socket.on('data', (piece) => (heard += piece.toString('latin1')));
  socket.on('error', () => {});
  socket.write(`POST ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\n${fields}\r\n`);
  await until('the answer', () => heard.includes('base='));
  assert.match(heard, /^HTTP\/1\.1 307 /);
  assert.doesNotMatch(heard, /100 Continue|next=/);
  socket.destroy();
});

test('a server that is dead: the device comes back and is taken here until its lease there would have ended, then goes there again', async () => {
  const clock = movedClock();
  let b = await startGateway();
  const port = b.ports.http;
  await using a = await startGateway({ clock, config: { servers: [server('b', plain(b))], redirects: [rule('all', ['b'])] } });
  for (const each of [a, b]) knowDevice(each, 'SN1', key);
  const one = device(plain(a), 'SN1', { bytes: randomBytes(12_000) });
  for (let i = 0; i < 4; i++) await one.push(1_000);
  assert.deepEqual([one.base, one.next], [plain(b), 3_000]);
  const kept = storedRanges(b, 'SN1', one.epoch).ranges;
  await b.close();
  assert.equal(await one.push(1_000), null, 'nobody answers there');
  assert.equal(one.base, plain(a));
  for (let i = 0; i < 4; i++) await one.push(1_000);
  assert.deepEqual(one.seen.slice(-4).map(({ base, status }) => [base, status]), Array.from({ length: 4 }, () => [plain(a), 200]), 'it is not sent to the dead server again');
  assert.equal(storedRanges(a, 'SN1', one.epoch).ranges[0]?.from, 3_000, 'nothing of it was here, so the epoch begins where the other has it up to');
  clock.ahead += 601_000;
  b = await startGateway({ httpPort: port });
  knowDevice(b, 'SN1', key);
  try {
    one.failed = null;
    await deliver(one, 1_000);
    assert.equal(one.base, plain(b), 'the lease has ended, and a new one leads there');
    const ranges = [...kept, ...storedRanges(a, 'SN1', one.epoch).ranges, ...storedRanges(b, 'SN1', one.epoch).ranges].sort((x, y) => x.from - y.from);
    let reached = 0;
    for (const { from, bytes } of ranges) {
      assert.equal(from, reached);
      assert.ok(bytes.equals(one.options.bytes.subarray(from, from + bytes.length)));
      reached += bytes.length;
    }
    assert.equal(reached, 12_000);
  } finally {
    await b.close();
  }
});

test('two gateways that send to each other: the fifth hop ends it, and the data is there once', async () => {
  await using a = await startGateway();
  await using b = await startGateway();
  for (const each of [a, b]) knowDevice(each, 'SN1', key);
  await configure(a, { servers: [server('b', plain(b))], redirects: [rule('all', ['b'])] });
  await configure(b, { servers: [server('a', plain(a))], redirects: [rule('all', ['a'])] });
  const one = device(plain(a));
  const statuses: number[] = [];
  for (let i = 0; i < 6; i++) statuses.push((await one.push(2_000))!.status);
  assert.deepEqual(statuses, [307, 307, 307, 307, 307, 200]);
  await deliver(one, 2_000);
  assertOnce([a, b], one);
});

test('servers: drained ones keep whom they have, or lose them at once', async () => {
  await using b = await startGateway();
  await using c = await startGateway();
  const servers = (drain: string) => [server('b', plain(b), { drain }), server('c', plain(c))];
  await using a = await startGateway({ config: { servers: servers('no'), redirects: [rule('all', ['b', 'c'])] } });
  for (const each of [a, b, c]) for (const serial of ['SN1', 'SN2']) knowDevice(each, serial, key);
  const [one, two] = [device(plain(a), 'SN1'), device(plain(a), 'SN2')];
  await one.push(1_000);
  assert.equal(one.base, plain(b));
  await configure(a, { servers: servers('new') });
  await two.push(1_000);
  assert.equal(two.base, plain(c), 'no new device');
  const stays = device(plain(a), 'SN1');
  await stays.push(1);
  assert.equal(stays.base, plain(b), 'who is there stays');
  await one.push(1_000);
  await configure(a, { servers: servers('now') });
  one.goTo(plain(a));
  await one.push(1_000);
  assert.equal(one.base, plain(c));
  await deliver(one);
  await deliver(two);
  assertOnce([a, b, c], one);
  assertOnce([a, b, c], two);
  assert.deepEqual(Array.from(a.tables.leases.values(), ({ serial, server: at }) => [serial, at]).sort(), [['SN1', 'c'], ['SN2', 'c']]);
});

test('from http to https, from a public address into the LAN; and never a shown key in the open', async () => {
  await using b = await startGateway();
  await using a = await startGateway({
    config: { servers: [server('tls', secure(b)), server('lan', plain(b))], redirects: [rule('up', ['tls'], { serials: ['SN1..SN5'] }), rule('rest', ['lan'])] },
  });
  for (const each of [a, b]) for (const serial of ['SN1', 'SN6', 'SN7', 'SN8']) knowDevice(each, serial, key);
  const up = device(plain(a), 'SN1');
  await deliver(up);
  assert.equal(up.base, secure(b));
  const lan = device(secure(a), 'SN6');
  await deliver(lan);
  assert.equal(lan.base, plain(b));
  const shows = device(secure(a), 'SN7', { signs: false });
  await deliver(shows);
  assert.equal(shows.base, secure(a), 'it is answered here');
  assertOnce([a, b], up);
  assertOnce([a, b], lan);
  assertOnce([a], shows);
});

test('wherever a device goes with the same feed, whatever leases say: three servers, each byte once', async (t) => {
  const gateways = await Promise.all([startGateway(), startGateway(), startGateway()]);
  try {
    for (const each of gateways) knowDevice(each, 'SN1', key);
    const bases = gateways.map(plain);
    // All three believe that the device is theirs, or another's: rules that contradict each other, changed on the way.
    const names = ['x', 'y', 'z'];
    const apply = (at: number, to: number) => configure(gateways[at]!, { servers: bases.map((base, i) => server(names[i]!, base)), redirects: to === at ? [] : [rule('all', [names[to]!])] });
    let seed = Number(process.env['POSTERN_SIM_SEED'] ?? 42);
    t.diagnostic(`POSTERN_SIM_SEED=${seed}`);
    const next = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) % below;
    const one = device(bases[0]!, 'SN1', { bytes: randomBytes(60_000) });
    for (let step = 0; step < 150 && !one.done; step++) {
      if (step % 12 === 5) await apply(next(3), next(3));
      if (next(4) === 0) {
        one.hops = 0;
        one.goTo(bases[next(3)]!);
      }
      // What it sent last may come again: an answer that was lost.
      const before = one.next;
      const answer = await one.push(1 + next(900));
      if (answer?.status === 200 && next(5) === 0) {
        one.next = before;
        assert.equal((await one.push(1 + next(900)))?.status, 200);
      }
    }
    for (let i = 0; i < 3; i++) await apply(i, i);
    await deliver(one, 5_000);
    assertOnce(gateways, one);
    assert.ok(gateways.every((each) => storedRanges(each, 'SN1', one.epoch).ranges.length > 0), 'each has a part');
  } finally {
    for (const each of gateways) await each.close();
  }
});

test('a device that pins waits here until it has confirmed the fingerprint, and a check-in tells it where to go', async () => {
  const [own, theirs] = ['A', 'B'].map((letter) => `sha256//${letter.repeat(43)}=`) as [string, string];
  await using b = await startGateway();
  await using a = await startGateway({ config: { servers: [server('b', secure(b), { pins: [theirs] })], redirects: [rule('all', ['b'])] } });
  for (const each of [a, b]) knowDevice(each, 'SN1', key);
  const one = device(secure(a));
  const checkIn = async (lines: string) => {
    const url = new URL(`${secure(a)}/check-in/SN1`);
    const body = Buffer.from(lines);
    const headers = one.headers('POST', url.pathname, body);
    const answer = await askRaw(url.href, { method: 'POST', body, headers: { ...headers, 'content-length': String(body.length) } });
    assert.equal(answer.status, 200, answer.body);
    return answer.values;
  };
  const feed = () => `feed.cdr=${one.epoch}:${one.next}:9:0`;
  const told = await checkIn(`pins=${own}\n${feed()}\n`);
  assert.equal(told.get('base'), undefined);
  assert.ok(told.get('pins')?.split(',').includes(theirs), 'and here is the list to have');
  assert.equal((await one.push(1_000))?.status, 200, 'it is answered here meanwhile');
  const sent = await checkIn(`pins=${own},${theirs}\n${feed()}\n`);
  assert.deepEqual([sent.get('base'), sent.get('next.cdr')], [secure(b), '1000']);
  assert.equal(storedRanges(a, 'SN1', one.epoch).sealedTo, secure(b), 'sealed before it was told');
  one.goTo(secure(b));
  await deliver(one);
  assertOnce([a, b], one);
  const later = await checkIn(`pins=${own},${theirs}\n${feed()}\n`);
  assert.equal(later.get('next.cdr'), undefined, 'what is at the other server is for that one to say');
});

test('files go with their device; what counts by keys, and what only asks, stays', async () => {
  await using b = await startGateway();
  await using a = await startGateway({ config: { servers: [server('b', plain(b))], redirects: [rule('all', ['b'])] } });
  for (const each of [a, b]) knowDevice(each, 'SN1', key);
  const one = device(plain(a));
  const ask = (method: string, target: string, body = Buffer.alloc(0)) =>
    askRaw(`http://127.0.0.1:${a.ports.http}${target}`, { method, ...(body.length === 0 ? {} : { body }), headers: { ...one.headers(method, target, body), 'content-length': String(body.length) } });
  const file = await ask('PUT', '/v1/default/file/SN1/report%20one.txt', Buffer.from('hello'));
  assert.deepEqual([file.status, file.headers.location], [307, `${plain(b)}/file/SN1/report%20one.txt`]);
  assert.equal((await ask('GET', '/v1/default/file/SN1/report%20one.txt')).status, 404);
  assert.equal((await ask('POST', '/v1/default/in/SN1/cdr', Buffer.from('line\n'))).status, 200);
});

test('a gateway that is started again knows who is where, and goes on with its seals', async () => {
  using folder = temporaryFolder();
  const dataDir = `${folder.path}/data`;
  await using b = await startGateway();
  knowDevice(b, 'SN1', key);
  const one = device('', 'SN1');
  for (const life of [1, 2]) {
    await using a = await startGateway({ dataDir, config: { servers: [server('b', plain(b))], redirects: life === 1 ? [] : [rule('all', ['b'])] } });
    knowDevice(a, 'SN1', key);
    one.goTo(plain(a));
    await one.push(1_000);
    if (life === 2) assert.equal(one.base, plain(b));
  }
  await using a = await startGateway({ dataDir, config: { servers: [server('b', plain(b))], redirects: [rule('all', ['b'])] } });
  knowDevice(a, 'SN1', key);
  assert.deepEqual(Array.from(a.tables.leases.values(), ({ serial, server: at }) => [serial, at]), [['SN1', 'b']]);
  const again = device(plain(a));
  Object.assign(again, { epoch: one.epoch });
  assert.deepEqual([(await again.push(10))?.status, again.next], [307, 1_000], 'it stands where it stood');
  await deliver(one);
  assertOnce([a, b], one);
});
