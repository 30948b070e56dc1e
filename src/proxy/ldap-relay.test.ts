import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import { handClock } from '#kit/admin-room.ts';
import { until } from '#kit/gateway.ts';
import { buildSweep, type Sweep } from '#net/sweep.ts';
import { encodeLdapRefusal } from '#wire/ldap-answers.ts';
import { sniffLdap } from '#wire/ldap.ts';
import type { LdapFacts } from '#wire/ldap.ts';
import { relayLdap, type LdapAsked } from './ldap-relay.ts';

const clock = handClock();
let sweep: Sweep;
const open: Socket[] = [];
const servers: Server[] = [];
beforeEach(() => {
  sweep = buildSweep(clock);
});
afterEach(async () => {
  assert.equal(sweep.size, 0, 'nothing is watched any more');
  sweep.stop();
  for (const socket of open.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await new Promise((done) => server.close(done));
});

/** Two ends of one TCP connection. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
  servers.push(server);
  const accepted = new Promise<Socket>((done) => server.once('connection', done));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const far = await accepted;
  for (const each of [near, far]) each.on('error', () => {});
  open.push(near, far);
  return [near, far];
}
function read(socket: Socket) {
  const state = { bytes: Buffer.alloc(0), ended: false };
  socket.on('data', (piece: Buffer) => void (state.bytes = Buffer.concat([state.bytes, piece]))).on('end', () => void (state.ended = true));
  socket.resume();
  return state;
}
const turn = () => new Promise((done) => setImmediate(done));

const hex = (text: string) => Buffer.from(text, 'hex');
function tlv(tag: number, value: Buffer | string): Buffer {
  const body = Buffer.from(value);
  return Buffer.concat([body.length < 128 ? Buffer.from([tag, body.length]) : Buffer.from([tag, 0x82, body.length >> 8, body.length & 0xff]), body]);
}
const message = (id: number, op: Buffer) => tlv(0x30, Buffer.concat([Buffer.from([2, 1, id]), op]));
const bind = (id: number, name: string, proof = tlv(0x80, 'secret')) => message(id, tlv(0x60, Buffer.concat([Buffer.from([2, 1, 3]), tlv(4, name), proof])));
const search = (id: number, base: string) => message(id, tlv(0x63, Buffer.concat([tlv(4, base), hex('0a01020a0100')])));
const startTls = (id: number) => message(id, tlv(0x77, tlv(0x80, '1.3.6.1.4.1.1466.20037')));
const bound = (id: number) => message(id, hex('61070a010004000400'));
const entry = message(2, tlv(0x64, tlv(4, 'y'.repeat(500))));
const factsOf = (bytes: Buffer) => sniffLdap(bytes) as LdapFacts;

/** A relay over real sockets whose judge knows `example.test` only. */
async function start(first: Buffer) {
  const [client, a] = await pair();
  const [b, upstream] = await pair();
  const asked: LdapAsked[] = [];
  const refused: string[] = [];
  const atClient = read(client);
  const atUpstream = read(upstream);
  const over = relayLdap(a, b, {
    sweep,
    idleMs: 60_000,
    first,
    judge: (what) => {
      asked.push(what);
      return what.domain === null || what.domain === 'example.test' ? null : `asks for ${what.domain}, secretly`;
    },
    onRefused: (why) => void refused.push(why),
  });
  return { client, upstream, atClient, atUpstream, asked, refused, over };
}
const firstBind = bind(1, 'example.test\\ann');

test('a conversation passes both ways, and each direction ends on its own', async () => {
  const { client, upstream, atClient, atUpstream, asked, refused, over } = await start(firstBind);
  await until('the bind', () => atUpstream.bytes.equals(firstBind));
  upstream.write(bound(1));
  await until('its answer', () => atClient.bytes.equals(bound(1)));
  const rest = Buffer.concat([search(2, 'dc=example,dc=test'), message(3, hex('4200'))]);
  for (const byte of rest) client.write(Buffer.from([byte]));
  client.end();
  await until('the end', () => atUpstream.ended);
  assert.ok(atUpstream.bytes.equals(Buffer.concat([firstBind, rest])));
  assert.equal(atClient.ended, false);
  upstream.end(entry);
  assert.equal((await over).why, 'ended');
  await until('the entry', () => atClient.ended);
  assert.ok(atClient.bytes.equals(Buffer.concat([bound(1), entry])));
  assert.deepEqual(asked.map(({ op, domain, user, sasl }) => [op, domain, user, sasl]), [['bind', 'example.test', 'ann', null], ['search', 'example.test', null, null]]);
  assert.deepEqual(refused, []);
});

test('bound is who named himself and was taken, and nobody while a bind is on its way', async () => {
  const { client, upstream, atClient, atUpstream, asked, over } = await start(firstBind);
  await until('the bind', () => atUpstream.bytes.length === firstBind.length);
  const conversation: [Buffer, Buffer | null][] = [
    [search(2, 'dc=example,dc=test'), bound(1)],
    [search(3, 'dc=example,dc=test'), null],
    [bind(4, ''), null],
    [search(5, 'dc=example,dc=test'), message(4, hex('61070a010004000400'))],
    [search(6, 'dc=example,dc=test'), null],
    [bind(7, 'example.test\\bob'), null],
    [search(8, 'dc=example,dc=test'), message(7, hex('61070a013104000400'))],
    [search(9, 'dc=example,dc=test'), null],
  ];
  for (const [question, answer] of conversation) {
    const before = asked.length;
    client.write(question);
    await until('it to be asked', () => asked.length > before);
    if (answer === null) continue;
    const got = atClient.bytes.length;
    upstream.write(answer);
    await until('the answer', () => atClient.bytes.length === got + answer.length);
  }
  const bounds = asked.filter(({ op }) => op === 'search').map(({ isBound }) => isBound);
  assert.deepEqual(bounds, [false, true, false, false, false, false], 'before the answer, after it, during and after an anonymous bind, during and after a refused one');
  client.destroy();
  upstream.destroy();
  await over;
});

test('a second bind to another domain, cut at every byte: not a byte reaches the upstream, the client is told', async () => {
  const second = bind(0x55, 'uid=bob,dc=other,dc=test');
  const told = encodeLdapRefusal(factsOf(second));
  for (let at = 0; at < second.length; at++) {
    const { client, upstream, atClient, atUpstream, refused, over } = await start(firstBind);
    upstream.write(bound(1));
    await until('the answer to the first', () => atClient.bytes.length === bound(1).length);
    if (at > 0) client.write(second.subarray(0, at));
    for (let turns = 0; turns < 3; turns++) await turn();
    client.write(second.subarray(at));
    await until('both to be told', () => atClient.ended && atUpstream.ended);
    client.end();
    upstream.end();
    assert.equal((await over).why, 'asks for other.test, secretly');
    assert.ok(atUpstream.bytes.equals(firstBind), `cut at ${at}: ${atUpstream.bytes.toString('hex')}`);
    assert.ok(atClient.bytes.equals(Buffer.concat([bound(1), told])), `cut at ${at}`);
    assert.equal(atClient.bytes.includes('secretly'), false);
    assert.deepEqual(refused, ['asks for other.test, secretly']);
    while (open.length > 0) open.pop()!.destroy();
  }
});

test('the first message is judged like all others', async () => {
  const first = bind(7, 'bob@other.test');
  const { client, upstream, atClient, atUpstream, over } = await start(Buffer.concat([first, search(8, '')]));
  await until('both to be told', () => atClient.ended && atUpstream.ended);
  client.end();
  upstream.end();
  assert.match((await over).why, /other\.test/);
  assert.equal(atUpstream.bytes.length, 0);
  assert.ok(atClient.bytes.equals(encodeLdapRefusal(factsOf(first))));
});

test('StartTLS, a search elsewhere and what is no LDAP are refused in the words of LDAP', async () => {
  for (const [bad, facts] of [
    [startTls(3), factsOf(startTls(3))],
    [search(3, 'dc=other,dc=test'), factsOf(search(3, 'dc=other,dc=test'))],
    [Buffer.from('GET / HTTP/1.1\r\n'), null],
    [bind(3, 'a b\\bob'), null],
  ] as const) {
    const { client, upstream, atClient, atUpstream, refused, over } = await start(firstBind);
    client.write(bad);
    await until('both to be told', () => atClient.ended && atUpstream.ended);
    client.end();
    upstream.end();
    await over;
    assert.ok(atUpstream.bytes.equals(firstBind));
    assert.ok(atClient.bytes.equals(encodeLdapRefusal(facts)));
    assert.equal(refused.length, 1);
  }
});

test('nothing of ours lands inside a message of the upstream', async () => {
  const { client, upstream, atClient, atUpstream, over } = await start(firstBind);
  upstream.write(entry.subarray(0, 100));
  await until('half an entry', () => atClient.bytes.length === 100);
  client.write(bind(2, 'other.test\\bob'));
  await until('the end', () => atClient.ended && atUpstream.ended);
  client.end();
  upstream.end(entry.subarray(100));
  assert.match((await over).why, /other\.test/);
  assert.equal(atClient.bytes.length, 100);
});

test('a security layer passes when both ends speak it; when the upstream answers plainly, the client sees none of it', async () => {
  const gssapi = bind(2, '', tlv(0xa3, tlv(4, 'GSSAPI')));
  const wrapped = Buffer.concat([hex('00000020'), Buffer.alloc(32, 7)]);
  for (const upstreamSpeaksIt of [true, false]) {
    const { client, upstream, atClient, atUpstream, refused, over } = await start(gssapi);
    upstream.write(bound(2));
    await until('success', () => atClient.bytes.length === bound(2).length);
    client.write(wrapped);
    await until('the layer', () => atUpstream.bytes.equals(Buffer.concat([gssapi, wrapped])));
    if (upstreamSpeaksIt) {
      upstream.end(wrapped);
      client.end();
      assert.equal((await over).why, 'ended');
      await until('its answer', () => atClient.ended);
      assert.ok(atClient.bytes.equals(Buffer.concat([bound(2), wrapped])));
      assert.deepEqual(refused, []);
    } else {
      upstream.write(entry);
      await until('the end', () => atClient.ended && atUpstream.ended);
      client.end();
      upstream.end();
      assert.match((await over).why, /does not speak/);
      assert.ok(atClient.bytes.equals(bound(2)));
      assert.equal(refused.length, 1);
    }
  }
});

test('a flood of messages waits for a slow upstream', async () => {
  const [client, a] = await pair();
  const [b, upstream] = await pair();
  upstream.pause();
  const over = relayLdap(a, b, { sweep, idleMs: 60_000, first: firstBind, judge: () => null, onRefused: () => assert.fail('refused') });
  const piece = Buffer.concat(Array.from({ length: 1_000 }, (_, i) => message(i % 100 + 1, tlv(0x68, 'x'.repeat(1_000)))));
  for (let i = 0; i < 32; i++) client.write(piece);
  await until('the source not to be read', () => a.isPaused());
  assert.ok(b.writableLength < 2 * piece.length);
  let got = 0;
  upstream.on('data', (each: Buffer) => void (got += each.length)).on('end', () => upstream.end());
  client.end();
  client.resume();
  upstream.resume();
  assert.equal((await over).why, 'ended');
  assert.equal(got, firstBind.length + 32 * piece.length);
});
