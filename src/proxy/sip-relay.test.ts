// Phones and a PBX of a few lines over real TCP pairs, with the relay between them.
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, test } from 'node:test';
import { handClock } from '#kit/admin-room.ts';
import { until } from '#kit/gateway.ts';
import { limits } from '#base/limits.ts';
import { buildSweep, type Sweep } from '#net/sweep.ts';
import { buildSipFramer, type SipFrame } from '#wire/sip-frames.ts';
import { topVia } from '#wire/sip-edits.ts';
import { sipField, type SipRequest, type SipResponse } from '#wire/sip.ts';
import { relaySip, type SipRelayOptions } from './sip-relay.ts';

let clock = handClock();
let sweep: Sweep;
const open: Socket[] = [];
const servers: Server[] = [];
beforeEach(() => {
  clock = handClock();
  sweep = buildSweep(clock);
});
afterEach(async () => {
  assert.equal(sweep.size, 0, 'nothing is watched any more');
  sweep.stop();
  for (const socket of open.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) await new Promise((done) => server.close(done));
});

async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  servers.push(server);
  const accepted = new Promise<Socket>((done) => server.once('connection', done));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const far = await accepted;
  for (const each of [near, far]) each.on('error', () => {});
  open.push(near, far);
  return [near, far];
}

type Message = SipRequest | SipResponse;

/** One end of a connection: sends text, reads messages. */
interface End {
  readonly socket: Socket;
  readonly got: SipFrame[];
  readonly state: { raw: string; ended: boolean; closed: boolean };
  send(text: string): void;
  /** The next message; the ones before are passed over by those who took them. */
  next(what: string): Promise<Message>;
}

function endOf(socket: Socket): End {
  const framer = buildSipFramer();
  const end: End = {
    socket,
    got: [],
    state: { raw: '', ended: false, closed: false },
    send: (text) => void socket.write(text, 'latin1'),
    async next(what) {
      const frame = await until(what, () => end.got[0]);
      end.got.shift();
      assert.ok(frame.kind === 'message' && frame.message.kind !== 'bad', `${what}: ${JSON.stringify(frame)}`);
      return frame.message;
    },
  };
  socket.on('data', (piece: Buffer) => {
    end.state.raw += piece.toString('latin1');
    end.got.push(...framer.push(piece));
  });
  socket.on('end', () => void (end.state.ended = true)).on('close', () => void (end.state.closed = true));
  socket.resume();
  return end;
}

interface Joined {
  readonly phone: End;
  readonly pbx: End;
  readonly over: Promise<{ why: string }>;
  readonly refused: [string, string | null][];
  readonly passed: string[];
  readonly judged: string[];
}

const dialogKey = Buffer.alloc(32, 7);
async function join(first = '', options: Partial<SipRelayOptions> = {}): Promise<Joined> {
  const [near, a] = await pair();
  const [b, far] = await pair();
  const phone = endOf(near);
  const pbx = endOf(far);
  const refused: Joined['refused'] = [];
  const passed: string[] = [];
  const judged: string[] = [];
  const over = relaySip(a, b, {
    sweep,
    idleMs: 180_000,
    first: Buffer.from(first, 'latin1'),
    us: { host: 'gw.example.test', port: 5061, transport: 'tls', upstreamHost: '192.0.2.1', upstreamPort: 40_000, upstreamTransport: 'tcp' },
    ourNames: ['sip.gw.example.test'],
    client: { address: '198.51.100.7', port: 50_123 },
    upstream: { address: '192.0.2.10', port: 5060 },
    newBranch: () => 'a key of this test',
    dialogKey,
    judge({ domain, user, method }) {
      judged.push(`${method} ${user}@${domain}`);
      return domain === 'a.example.test' ? null : 'another domain';
    },
    onRefused: (why, domain) => void refused.push([why, domain]),
    onMessage: ({ from, method, status }) => void passed.push(`${from} ${method ?? status}`),
    ...options,
  });
  return { phone, pbx, over, refused, passed, judged };
}

interface Parts {
  readonly uri?: string;
  readonly branch?: string;
  readonly from?: string;
  readonly to?: string;
  readonly more?: readonly string[];
  readonly callId?: string;
  readonly cseq?: string;
  readonly via?: string;
  readonly body?: string;
}
const alice = '<sip:alice@a.example.test>';
const bob = '<sip:bob@a.example.test>';
function request(method: string, parts: Parts = {}): string {
  const { uri = 'sip:a.example.test', branch = 'z9hG4bK1', from = `${alice};tag=f1`, to = bob, more = [], callId = 'call-1', cseq = `1 ${method}`, via = `SIP/2.0/TLS 10.0.0.5:50123;rport;branch=${branch}`, body = '' } = parts;
  const lines = [`${method} ${uri} SIP/2.0`, `Via: ${via}`, 'Max-Forwards: 70', ...more, `From: ${from}`, `To: ${to}`, `Call-ID: ${callId}`, `CSeq: ${cseq}`, `Content-Length: ${body.length}`];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}
/** As a server answers: Via, Record-Route, From, To, Call-ID and CSeq come back. */
function answer(message: Message, status: number, more: readonly string[] = [], tag = 't1'): string {
  const back = ['via', 'record-route', 'from', 'to', 'call-id', 'cseq'];
  const lines = message.fields.filter((field) => back.includes(field.name)).map((field) => `${field.shown}: ${field.value}${field.name === 'to' && !field.value.includes('tag=') ? `;tag=${tag}` : ''}`);
  return `SIP/2.0 ${status} Whatever\r\n${[...lines, ...more].join('\r\n')}\r\nContent-Length: 0\r\n\r\n`;
}
const all = (message: Message, name: string) => message.fields.filter((field) => field.name === name).map((field) => field.value);
const methodOf = (message: Message) => (message.kind === 'request' ? message.method : String(message.status));

test('REGISTER: our Via, whence it came, one hop less; the answer loses our Via', async () => {
  const { phone, pbx, over, passed, judged } = await join(request('REGISTER', { to: alice, more: ['Contact: <sip:alice@10.0.0.5:50123;transport=tls>'] }));
  const register = await pbx.next('the REGISTER');
  assert.match(all(register, 'via')[0]!, /^SIP\/2\.0\/TCP 192\.0\.2\.1:40000;branch=z9hG4bK[0-9a-f]{32}$/);
  assert.equal(all(register, 'via')[1], 'SIP/2.0/TLS 10.0.0.5:50123;rport=50123;branch=z9hG4bK1;received=198.51.100.7');
  assert.deepEqual(all(register, 'max-forwards'), ['69']);
  assert.deepEqual([all(register, 'record-route'), all(register, 'path')], [[], []]);
  assert.deepEqual(all(register, 'contact'), ['<sip:alice@10.0.0.5:50123;transport=tls>']);
  pbx.send(answer(register, 200));
  const ok = await phone.next('the answer');
  assert.deepEqual(all(ok, 'via'), ['SIP/2.0/TLS 10.0.0.5:50123;rport=50123;branch=z9hG4bK1;received=198.51.100.7']);
  assert.deepEqual(passed, ['client REGISTER', 'upstream 200']);
  assert.deepEqual(judged, ['REGISTER alice@a.example.test']);
  phone.socket.end();
  await until('the end to arrive', () => pbx.state.ended);
  pbx.socket.end();
  assert.equal((await over).why, 'ended');
});

test('Path for those who know it, ob for those who do outbound', async () => {
  const { phone, pbx, over } = await join();
  const pathOf = async (more: string[]) => {
    phone.send(request('REGISTER', { more }));
    return all(await pbx.next('the REGISTER'), 'path');
  };
  assert.deepEqual(await pathOf(['k: gruu']), []);
  assert.deepEqual(await pathOf(['Supported: gruu, path']), ['<sip:192.0.2.1:40000;transport=tcp;lr>']);
  assert.deepEqual(await pathOf(['k: path, outbound', 'm: <sip:alice@10.0.0.5>;+sip.instance="<urn:x>";reg-id=1']), ['<sip:192.0.2.1:40000;transport=tcp;lr;ob>']);
  phone.socket.resetAndDestroy();
  await over;
});

test('a call of the phone, from INVITE to a BYE of either side', async () => {
  for (const who of ['phone', 'pbx'] as const) {
    const { phone, pbx, over, refused, judged } = await join(request('INVITE', { uri: 'sip:bob@a.example.test', body: 'v=0\r\n', more: ['Route: <sip:sip.gw.example.test;lr>', 'Contact: <sip:alice@10.0.0.5:50123>', 'Content-Type: application/sdp'] }));
    const invite = await pbx.next('the INVITE');
    assert.deepEqual(all(invite, 'route'), [], 'the preloaded Route named us');
    const routes = all(invite, 'record-route');
    assert.equal(routes[0], '<sip:192.0.2.1:40000;transport=tcp;lr>');
    assert.match(routes[1]!, /^<sip:gw\.example\.test:5061;transport=tls;lr;postern=a\.example\.test~[0-9a-f]{32}>$/);
    for (const status of [100, 180]) pbx.send(answer(invite, status));
    pbx.send(answer(invite, 200, ['Contact: <sip:bob@10.9.9.9:5060;transport=tcp>']));
    assert.deepEqual([methodOf(await phone.next('100')), methodOf(await phone.next('180'))], ['100', '180']);
    const ok = await phone.next('200');
    assert.deepEqual(all(ok, 'record-route'), routes);
    // The route set of who called: Record-Route from the bottom up (RFC 3261 §12.1.2).
    const inDialog = { uri: 'sip:bob@10.9.9.9:5060;transport=tcp', to: all(ok, 'to')[0]!, more: [`Route: ${routes.toReversed().join(', ')}`] };
    phone.send(request('ACK', { ...inDialog, branch: 'z9hG4bK2' }));
    const ack = await pbx.next('the ACK');
    assert.deepEqual([methodOf(ack), all(ack, 'route')], ['ACK', []], 'both values of ours are gone');
    if (who === 'phone') {
      phone.send(request('BYE', { ...inDialog, branch: 'z9hG4bK3', cseq: '2 BYE' }));
      const bye = await pbx.next('the BYE');
      assert.equal(bye.kind === 'request' && bye.uri, 'sip:bob@10.9.9.9:5060;transport=tcp');
      pbx.send(answer(bye, 200));
      assert.equal(methodOf(await phone.next('200 for BYE')), '200');
      assert.deepEqual(judged, ['INVITE bob@a.example.test', 'ACK bob@a.example.test', 'BYE bob@a.example.test'], 'by the domain of the dialog, not by the contact');
    } else {
      pbx.send(request('BYE', { uri: 'sip:alice@10.0.0.5:50123', via: 'SIP/2.0/TCP 192.0.2.10;branch=z9hG4bKp', from: all(ok, 'to')[0]!, to: all(ok, 'from')[0]!, more: routes.map((route) => `Route: ${route}`) }));
      const bye = await phone.next('the BYE');
      assert.deepEqual(all(bye, 'route'), []);
      assert.match(all(bye, 'via')[0]!, /^SIP\/2\.0\/TLS gw\.example\.test:5061;branch=z9hG4bK/);
      phone.send(answer(bye, 200));
      const done = await pbx.next('200 for BYE');
      assert.deepEqual(all(done, 'via'), ['SIP/2.0/TCP 192.0.2.10;branch=z9hG4bKp']);
    }
    assert.deepEqual(refused, []);
    phone.socket.resetAndDestroy();
    assert.match((await over).why, /client/);
  }
});

test('a call to the phone comes over the connection that it registered on; the phone hangs up', async () => {
  const { phone, pbx, over, refused } = await join(request('REGISTER', { to: alice, more: ['Supported: path'] }));
  const [path] = all(await pbx.next('the REGISTER'), 'path');
  pbx.send(request('INVITE', { uri: 'sip:alice@10.0.0.5:50123;transport=tls', via: 'SIP/2.0/TCP 192.0.2.10:5060;rport;branch=z9hG4bKq', from: `${bob};tag=b`, to: alice, more: [`Route: ${path}`, 'Contact: <sip:bob@192.0.2.10>'] }));
  const invite = await phone.next('the INVITE');
  assert.deepEqual(all(invite, 'route'), []);
  const routes = all(invite, 'record-route');
  assert.match(routes[0]!, /^<sip:gw\.example\.test:5061;transport=tls;lr;postern=a\.example\.test~/);
  assert.equal(routes[1], '<sip:192.0.2.1:40000;transport=tcp;lr>');
  assert.equal(all(invite, 'via')[1], 'SIP/2.0/TCP 192.0.2.10:5060;rport=5060;branch=z9hG4bKq;received=192.0.2.10');
  phone.send(answer(invite, 200));
  const ok = await pbx.next('200');
  assert.deepEqual(all(ok, 'record-route'), routes);
  phone.send(request('BYE', { uri: 'sip:bob@192.0.2.10', from: `${alice};tag=t1`, to: `${bob};tag=b`, more: [`Route: ${routes.join(', ')}`] }));
  const bye = await pbx.next('the BYE');
  assert.deepEqual(all(bye, 'route'), []);
  assert.deepEqual(refused, []);
  pbx.socket.resetAndDestroy();
  assert.match((await over).why, /upstream/);
});

test('CANCEL and the ACK of a refusal have the branch of their INVITE, others have not', async () => {
  const { phone, pbx, over } = await join();
  const branches: string[] = [];
  for (const [method, branch, to] of [['INVITE', 'z9hG4bK1', bob], ['CANCEL', 'z9hG4bK1', bob], ['ACK', 'z9hG4bK1', `${bob};tag=x`], ['INVITE', 'z9hG4bK1', bob], ['INVITE', 'z9hG4bK2', bob]] as const) {
    phone.send(request(method, { branch, to }));
    branches.push(topVia((await pbx.next(method)).fields)!.params.get('branch')!);
  }
  assert.equal(new Set(branches.slice(0, 4)).size, 1);
  assert.notEqual(branches[4], branches[0]);
  phone.socket.resetAndDestroy();
  await over;
});

test('a dialog goes on over a new connection; a forged claim does not', async () => {
  const first = await join(request('INVITE', { uri: 'sip:bob@a.example.test' }));
  const routes = all(await first.pbx.next('the INVITE'), 'record-route').toReversed();
  first.phone.socket.resetAndDestroy();
  await first.over;
  const inDialog = (parts: Parts = {}) => request('BYE', { uri: 'sip:bob@10.9.9.9', to: `${bob};tag=t`, more: [`Route: ${routes.join(', ')}`], ...parts });
  const { phone, pbx, over, refused } = await join(inDialog());
  assert.equal(methodOf(await pbx.next('the BYE')), 'BYE');
  const forged = routes[0]!.replace(/~([0-9a-f])/, (_, digit: string) => `~${digit === '0' ? '1' : '0'}`);
  for (const text of [inDialog({ callId: 'call-2' }), inDialog({ to: bob }), inDialog({ more: [`Route: ${forged}`] }), inDialog({ more: [] }), inDialog().replaceAll('BYE', 'REGISTER').replaceAll(bob, '<sip:bob@10.9.9.9>')]) {
    phone.send(text);
    assert.equal(methodOf(await phone.next('the refusal')), '403', text);
  }
  assert.deepEqual(refused, Array.from({ length: 5 }, () => ['another domain', '10.9.9.9']));
  assert.equal(pbx.got.length, 0);
  phone.socket.resetAndDestroy();
  await over;
});

test('another domain is refused, request by request; the tenth ends it', async () => {
  const { phone, pbx, over, refused } = await join(request('REGISTER'));
  await pbx.next('the REGISTER');
  phone.send(request('INVITE', { uri: 'sip:bob@B.Example.Test:5061', from: '<sip:a@a.example.test>;tag=1' }));
  const no = await phone.next('403');
  assert.equal(methodOf(no), '403');
  assert.deepEqual(all(no, 'via'), ['SIP/2.0/TLS 10.0.0.5:50123;rport=50123;branch=z9hG4bK1;received=198.51.100.7']);
  assert.match(all(no, 'to')[0]!, /;tag=[0-9a-f]+$/);
  assert.deepEqual([all(no, 'call-id'), all(no, 'cseq'), all(no, 'from')], [['call-1'], ['1 INVITE'], ['<sip:a@a.example.test>;tag=1']]);
  phone.send(request('ACK', { uri: 'sip:bob@b.example.test' }));
  phone.send(request('OPTIONS'));
  assert.equal(methodOf(await pbx.next('what is allowed')), 'OPTIONS');
  assert.equal(phone.got.length, 0, 'ACK is never answered');
  for (let i = 2; i < limits.sipRefusedPerConnMax; i++) phone.send(request('MESSAGE', { uri: 'sip:bob@b.example.test' }));
  await until('the end', () => phone.state.ended);
  phone.socket.end();
  assert.equal((await over).why, `client: ${limits.sipRefusedPerConnMax} refused messages`);
  assert.equal(refused.length, limits.sipRefusedPerConnMax);
  assert.ok(refused.every(([why, domain]) => why === 'another domain' && domain === 'b.example.test'));
  assert.equal(pbx.got.length, 0);
});

test('keep-alives are answered by us and go no further', async () => {
  const { phone, pbx, over } = await join('\r\n');
  phone.send('\r\n\r\n\r\n');
  await until('two answers', () => phone.state.raw === '\r\n\r\n');
  pbx.send('\r\n\r\n');
  await until('an answer there', () => pbx.state.raw === '\r\n');
  phone.send(`\r\n${request('OPTIONS')}`);
  await until('the request', () => pbx.state.raw.length > 10);
  assert.match(pbx.state.raw, /^\r\nOPTIONS /);
  phone.socket.resetAndDestroy();
  await over;
});

test('byte by byte, and two at once', async () => {
  const { phone, pbx, over } = await join();
  phone.socket.setNoDelay(true);
  for (const byte of request('MESSAGE', { body: 'hello' })) {
    phone.send(byte);
    await new Promise((done) => setImmediate(done));
  }
  assert.equal(methodOf(await pbx.next('the message')), 'MESSAGE');
  phone.send(request('OPTIONS') + request('MESSAGE', { body: 'a\r\n\r\nb' }));
  assert.deepEqual([methodOf(await pbx.next('the first')), methodOf(await pbx.next('the second'))], ['OPTIONS', 'MESSAGE']);
  assert.match(pbx.state.raw, /\r\n\r\na\r\n\r\nb$/);
  phone.socket.resetAndDestroy();
  await over;
});

test('what is wrong with one request is told to its sender, and the connection goes on', async () => {
  const { phone, pbx, over, refused } = await join();
  const wrong: [string, string][] = [
    ['400', request('OPTIONS', { cseq: '1 INVITE' })],
    ['400', request('OPTIONS', { via: 'nonsense' })],
    ['416', request('OPTIONS', { uri: 'foo:bar' })],
    ['505', request('OPTIONS').replace('SIP/2.0\r\n', 'SIP/3.0\r\n')],
    ['483', request('OPTIONS').replace('Max-Forwards: 70', 'Max-Forwards: 0')],
    ['420', request('OPTIONS', { more: ['Proxy-Require: nothingSupportsThis, norThis'] })],
  ];
  for (const [status, text] of wrong) {
    phone.send(text);
    const told = await phone.next(status);
    assert.equal(methodOf(told), status);
    if (status === '420') assert.deepEqual(all(told, 'unsupported'), ['nothingsupportsthis, northis']);
  }
  phone.send(request('OPTIONS').replace('Max-Forwards: 70\r\n', ''));
  const plain = await pbx.next('a request without Max-Forwards');
  assert.equal(sipField(plain.fields, 'max-forwards'), '70');
  assert.deepEqual(refused.map(([why]) => why), ['cseq of another method', 'an unreadable via', 'an unknown scheme in the Request-URI', 'another SIP version']);
  phone.socket.resetAndDestroy();
  await over;
});

test('what cannot be cut into messages ends it; what was whole before goes on', async () => {
  const { phone, pbx, over, refused } = await join();
  phone.send(request('OPTIONS') + request('MESSAGE').replace('Content-Length: 0', 'Content-Length: 0\r\nContent-Length: 5') + request('OPTIONS'));
  assert.equal(methodOf(await pbx.next('the whole one')), 'OPTIONS');
  assert.equal(methodOf(await phone.next('the refusal')), '400');
  await until('the end on both sides', () => phone.state.ended && pbx.state.ended);
  assert.equal(pbx.got.length, 0);
  phone.socket.end();
  assert.equal((await over).why, 'client: no readable Content-Length');
  assert.deepEqual(refused, [['no readable Content-Length', null]]);
});

test('an answer that belongs to no request of ours is dropped', async () => {
  const { phone, pbx, over, passed } = await join(request('OPTIONS'));
  const options = await pbx.next('the request');
  const good = answer(options, 200);
  const own = all(options, 'via')[0]!;
  pbx.send(good.replace(`Via: ${own}\r\n`, ''));
  pbx.send(good.replace(/branch=z9hG4bK[0-9a-f]/, 'branch=z9hG4bKx'));
  pbx.send(good.replace('branch=z9hG4bK1;', 'branch=z9hG4bK2;'));
  pbx.send(good.replace('192.0.2.1:40000', '192.0.2.2:40000'));
  pbx.send(good);
  assert.equal(methodOf(await phone.next('the good one')), '200');
  assert.deepEqual(passed, ['client OPTIONS', 'upstream 200']);
  assert.equal(phone.got.length, 0);
  for (let i = 0; i < limits.sipRefusedPerConnMax; i++) phone.send(good);
  await until('the end', () => phone.state.ended);
  phone.socket.end();
  assert.match((await over).why, /refused messages/);
});

test('one place on both sides: one Record-Route', async () => {
  const us = { host: '192.0.2.1', port: 5060, transport: 'tcp', upstreamHost: '192.0.2.1', upstreamPort: 5060, upstreamTransport: 'tcp' } as const;
  const { phone, pbx, over } = await join(request('INVITE'), { us });
  const routes = all(await pbx.next('the INVITE'), 'record-route');
  assert.equal(routes.length, 1);
  assert.match(routes[0]!, /^<sip:192\.0\.2\.1:5060;transport=tcp;lr;postern=/);
  // A PBX beside us has the same address and another port: its Route is not ours.
  phone.send(request('INVITE', { more: ['Route: <sip:192.0.2.1:5080;lr>'] }));
  assert.deepEqual(all(await pbx.next('the second'), 'route'), ['<sip:192.0.2.1:5080;lr>']);
  phone.socket.resetAndDestroy();
  await over;
});

test('sips: goes on as sips, and keeps its scheme where TLS is', async () => {
  const { phone, pbx, over } = await join(request('INVITE', { uri: 'sips:bob@a.example.test' }));
  const routes = all(await pbx.next('the INVITE'), 'record-route');
  assert.equal(routes[0], '<sip:192.0.2.1:40000;transport=tcp;lr>');
  assert.match(routes[1]!, /^<sips:gw\.example\.test:5061;lr;postern=/);
  phone.socket.resetAndDestroy();
  await over;
});

test('who a caller is, only the upstream may say, and only to those who may know', async () => {
  const said = 'P-Asserted-Identity: <sip:boss@a.example.test>';
  const { phone, pbx, over } = await join(request('INVITE', { more: [said, 'P-Preferred-Identity: <sip:alice@a.example.test>'] }));
  const invite = await pbx.next('the INVITE');
  assert.deepEqual([all(invite, 'p-asserted-identity').length, all(invite, 'p-preferred-identity').length], [0, 1]);
  for (const more of [[said], [said, 'Privacy: header; Id']]) {
    pbx.send(answer(invite, 180, more));
    assert.equal(all(await phone.next('180'), 'p-asserted-identity').length, 2 - more.length);
    pbx.send(request('INVITE', { via: 'SIP/2.0/TCP 192.0.2.10;branch=z9hG4bKp', more }));
    const call = await phone.next('an INVITE');
    assert.equal(all(call, 'p-asserted-identity').length, 2 - more.length);
    phone.send(answer(call, 180, [said]));
    assert.equal(all(await pbx.next('its 180'), 'p-asserted-identity').length, 0);
  }
  phone.socket.resetAndDestroy();
  await over;
});

test('a message has to be whole in time, a quiet connection may stay until it is idle', async () => {
  const late = await join(request('OPTIONS').slice(0, 100));
  clock.advance(limits.sipMessageTimeoutMs - 1_000);
  assert.equal(late.phone.state.closed, false);
  clock.advance(2_000);
  assert.equal((await late.over).why, 'client: a message was not whole within 15 s');
  const idle = await join(request('OPTIONS'));
  await idle.pbx.next('the request');
  clock.advance(170_000);
  idle.phone.send('\r\n\r\n');
  await until('the answer', () => idle.phone.state.raw === '\r\n');
  clock.advance(170_000);
  assert.equal(idle.phone.state.ended, false);
  clock.advance(20_000);
  assert.equal((await idle.over).why, 'idle for 180 s');
});

test('each direction ends by itself', async () => {
  const { phone, pbx, over } = await join(request('OPTIONS'));
  const options = await pbx.next('the request');
  phone.socket.end();
  await until('the end to arrive', () => pbx.state.ended);
  pbx.send(answer(options, 200));
  assert.equal(methodOf(await phone.next('the answer')), '200');
  pbx.socket.end();
  assert.equal((await over).why, 'ended');
});

test('who asks and never reads is cut off; memory stays bounded', async () => {
  const { phone, pbx, over } = await join();
  phone.socket.pause();
  const pings = Buffer.from('\r\n\r\n'.repeat(64 * 1024));
  const feed = () => {
    while (!phone.socket.destroyed && phone.socket.write(pings));
  };
  phone.socket.on('drain', feed);
  feed();
  const ended = until('the relay to end it', () => pbx.state.ended, 30_000);
  await ended;
  phone.socket.resetAndDestroy();
  assert.equal((await over).why, 'client: does not read its answers');
});

test('a slow upstream stops the client', async () => {
  const { phone, pbx, over } = await join(request('OPTIONS'));
  await pbx.next('the request');
  pbx.socket.pause();
  const piece = Buffer.from(request('MESSAGE', { body: 'x'.repeat(60_000) }));
  for (let i = 0; i < 1_000; i++) phone.socket.write(piece);
  await new Promise((done) => setTimeout(done, 300));
  assert.ok(phone.socket.writableLength > 20_000_000, `${phone.socket.writableLength} bytes are still with the client`);
  // Longer than a message may take: the other side was slow, not the sender.
  clock.advance(2 * limits.sipMessageTimeoutMs);
  pbx.socket.resume();
  phone.socket.end();
  await until('all of it', () => pbx.state.ended);
  assert.equal(pbx.got.length, 1_000);
  pbx.socket.end();
  assert.equal((await over).why, 'ended');
});
