// SIPp as phones and as the PBX, with a whole gateway between them, over TCP and TLS: registrations, calls that either side ends, a domain that is not
// to be had, keep-alives; and tshark reads what we wrote on both sides.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { journalSays, openTlsWire, openWire, startTlsFront } from '#kit/front.ts';
import { finishesCleanly, portOf, startGateway, startTcp, until, type TestGateway } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses, type Processes, type Started } from '#kit/processes.ts';
import { writeScenarios, type SippScenarios } from '#kit/sipp.ts';
import { readWithTshark } from '#kit/tshark.ts';

const peers = findPeers(['sipp', 'tshark']);
const options = { skip: peers.skip, timeout: 90_000 };
const [domain, other, publicAddress] = ['pbx.example.test', 'other.example.test', '203.0.113.5'];
const calls = 20;

let processes: Processes;
let gateway: TestGateway;
let scenarios: SippScenarios;
/** Between the gateway and the PBX: notes what each says. */
let tap: Awaited<ReturnType<typeof startTcp>>;
let pbxPort = 0;
const toPbx: Buffer[] = [];
const toClient: Buffer[] = [];

before(async () => {
  if (peers.skip !== false) return;
  processes = openProcesses();
  scenarios = writeScenarios(processes.folder, domain, other);
  tap = await startTcp((socket) => {
    const onward = connect({ host: '127.0.0.1', port: pbxPort, allowHalfOpen: true });
    onward.on('error', () => socket.destroy());
    socket.on('data', (piece: Buffer) => void toPbx.push(piece));
    socket.on('close', () => onward.destroy());
    onward.on('close', () => socket.destroy());
    socket.pipe(onward).pipe(socket);
  });
  const target = { kind: 'tcp', host: '127.0.0.1', port: tap.port };
  gateway = await startGateway({
    config: { publicAddress, listeners: [{ name: 'sip', tls: false, protocols: ['sip'] }, { name: 'front', tls: true, protocols: ['http', 'sip'] }] },
    routes: [
      { name: 'pbx', protocol: 'sip', listeners: ['sip', 'front'], host: domain, target },
      { name: 'other', protocol: 'sip', listeners: ['sip'], host: 'elsewhere.example.test', target: { ...target, port: await freePort() } },
      { name: 'web', host: 'web.example.test', listeners: ['front'], target: { kind: 'respond', body: 'a page' } },
    ],
  });
});

after(async () => {
  await gateway?.close();
  await tap?.[Symbol.asyncDispose]();
  await processes?.[Symbol.asyncDispose]();
});

async function sipp(scenario: string, port: number, args: readonly string[]): Promise<Started> {
  const common = ['-sf', scenario, '-i', '127.0.0.1', '-p', String(port), '-mp', String(await freePort()), '-nostdin', '-timeout', '40s', '-timeout_error', '-max_socket', '500', '-trace_err', '-error_file', `${scenario}.${port}.err`];
  return processes.start(peers.path('sipp'), [...common, ...args], { env: { TERM: 'dumb' } });
}

async function startPbx(scenario: string, count: number): Promise<Started> {
  pbxPort = await freePort();
  const pbx = await sipp(scenario, pbxPort, ['-t', 't1', '-m', String(count)]);
  await until('the PBX to listen', () => new Promise<boolean>((resolve) => {
    const socket: Socket = connect(pbxPort, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true))).once('error', () => resolve(false));
  }));
  return pbx;
}

/** Both scenarios to their end, each call a success. */
async function converse(phone: string, pbx: string, through: number, transport: 't1' | 'tn', count = calls): Promise<void> {
  const there = await startPbx(pbx, count);
  const here = await sipp(phone, await freePort(), ['-t', transport, '-m', String(count), '-r', '50', '-l', String(count), '-s', '100', `127.0.0.1:${through}`]);
  const ended = await here.ended;
  assert.equal(ended.code, 0, `the phone: ${here.stdout.slice(-2_500)}\n${here.stderr.slice(-1_500)}`);
  assert.equal((await there.ended).code, 0, `the PBX: ${there.stdout.slice(-2_500)}\n${there.stderr.slice(-1_500)}`);
}

const secure = () => startTlsFront(portOf(gateway, 'front'), { servername: domain, ca: gateway.caPem, checkServerIdentity: () => undefined });

test('registrations, over TCP and TLS', options, async () => {
  await converse(scenarios.registering, scenarios.registrar, portOf(gateway, 'sip'), 't1', 5);
  await using front = await secure();
  await converse(scenarios.registering, scenarios.registrar, front.port, 't1', 5);
  const text = Buffer.concat(toPbx).toString('latin1');
  assert.match(text, /^Path: <sip:127\.0\.0\.1:\d+;[^>\r]*lr[^>\r]*>\r$/m);
  assert.match(text, /^Via: SIP\/2\.0\/TCP 127\.0\.0\.1:\d+;branch=z9hG4bK/m);
  await finishesCleanly(gateway);
});

test('twenty calls that the caller ends, in one connection and in one each, over TCP and TLS', options, async () => {
  await converse(scenarios.caller, scenarios.callee, portOf(gateway, 'sip'), 't1');
  await converse(scenarios.caller, scenarios.callee, portOf(gateway, 'sip'), 'tn');
  await using front = await secure();
  await converse(scenarios.caller, scenarios.callee, front.port, 't1');
  await finishesCleanly(gateway);
});

test('twenty calls that the called ends, over TCP and TLS', options, async () => {
  await converse(scenarios.callerWaiting, scenarios.calleeEnding, portOf(gateway, 'sip'), 't1');
  await using front = await secure();
  await converse(scenarios.callerWaiting, scenarios.calleeEnding, front.port, 't1');
  await finishesCleanly(gateway);
});

test('another domain: 403 to a first request and to a later one', options, async () => {
  const before = toPbx.length;
  const phone = await sipp(scenarios.refused, await freePort(), ['-t', 't1', '-m', '1', '-s', '100', `127.0.0.1:${portOf(gateway, 'sip')}`]);
  await phone.ended;
  await journalSays(gateway, { event: 'conn.refused', listener: 'sip', rule: 'unknown host' });
  assert.equal((await phone.ended).code, 0, phone.stdout.slice(-2_000) + phone.stderr);
  assert.equal(toPbx.length, before, 'nothing went on');

  // It ends after as many calls as it was told, and its connections with it: one more than come.
  const pbx = await startPbx(scenarios.registrar, 2);
  const client = await openWire(portOf(gateway, 'sip'));
  client.socket.write(register(domain, 1));
  await client.says(/^SIP\/2\.0 200 OK\r\n/);
  client.socket.write(register(other, 2));
  await client.says(/SIP\/2\.0 403 [\s\S]*CSeq: 2 REGISTER\r\n/);
  await journalSays(gateway, { event: 'conn.refused', rule: 'pbx: later packets' });
  assert.doesNotMatch(Buffer.concat(toPbx).toString('latin1'), new RegExp(`REGISTER sip:${other}`));
  client.socket.write('\r\n\r\n');
  await client.says(/\r\n\r\n\r\n$/);
  client.socket.destroy();
  await pbx.stop('SIGKILL');
  await finishesCleanly(gateway);
});

test('a PBX that is down, and HTTP on the same port', options, async () => {
  const client = await openWire(portOf(gateway, 'sip'));
  client.socket.write(register('elsewhere.example.test', 1));
  await client.says(/^SIP\/2\.0 503 /);
  await client.gone();
  await journalSays(gateway, { event: 'relay.failed', route: 'other' });
  const web = await openTlsWire(portOf(gateway, 'front'), { servername: 'web.example.test', ca: gateway.caPem, checkServerIdentity: () => undefined });
  web.socket.write('GET / HTTP/1.1\r\nHost: web.example.test\r\nConnection: close\r\n\r\n');
  await web.says(/a page$/);
  await web.gone();
  await finishesCleanly(gateway);
});

const register = (of: string, cseq: number) =>
  [`REGISTER sip:${of} SIP/2.0`, 'Via: SIP/2.0/TCP 192.0.2.7:5060;branch=z9hG4bKx1', `From: <sip:ann@${of}>;tag=1`, `To: <sip:ann@${of}>`, 'Call-ID: keep@192.0.2.7', `CSeq: ${cseq} REGISTER`, 'Contact: <sip:ann@192.0.2.7;transport=tcp>', 'Max-Forwards: 70', 'Content-Length: 0', '', ''].join('\r\n');

/** Cuts a stream of SIP into messages. */
function messagesOf(bytes: Buffer): Buffer[] {
  const all: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const head = bytes.indexOf('\r\n\r\n', at);
    if (head < 0) break;
    const end = head + 4 + Number(/^Content-Length: (\d+)/im.exec(bytes.toString('latin1', at, head))![1]);
    all.push(bytes.subarray(at, end));
    at = end;
  }
  return all;
}

test('tshark reads what we wrote, to the PBX and to the phone', options, async () => {
  const pbx = await startPbx(scenarios.callee, 1);
  toPbx.length = 0;
  // Between phone and gateway, too: what the phone is sent.
  await using ear = await startTcp((socket) => {
    const onward = connect({ host: '127.0.0.1', port: portOf(gateway, 'sip'), allowHalfOpen: true });
    onward.on('error', () => socket.destroy()).on('data', (piece: Buffer) => void toClient.push(piece));
    onward.on('close', () => socket.destroy());
    socket.on('close', () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  });
  const phone = await sipp(scenarios.caller, await freePort(), ['-t', 't1', '-m', '1', '-s', '100', `127.0.0.1:${ear.port}`]);
  assert.equal((await phone.ended).code, 0, phone.stdout.slice(-2_000));
  assert.equal((await pbx.ended).code, 0);
  const [sent, received] = [messagesOf(Buffer.concat(toPbx)), messagesOf(Buffer.concat(toClient))];
  const fields = { protocols: 'frame.protocols', malformed: '_ws.malformed', warning: '_ws.expert.message', method: 'sip.Method', status: 'sip.Status-Code', recordRoute: 'sip.Record-Route', via: 'sip.Via', route: 'sip.Route', hops: 'sip.Max-Forwards' } as const;
  const seen = readWithTshark(peers.path('tshark'), [...sent, ...received], 5_060, fields);
  for (const [index, each] of seen.entries()) {
    assert.deepEqual(each.malformed, [], String(index));
    assert.ok(each.protocols[0]!.includes('sip'), each.protocols.join());
    // "Request INVITE" and the like are notes of its own, no complaints.
    assert.deepEqual(each.warning.filter((note) => /malform|unknown|missing|invalid|error|unrecogni/i.test(note)), [], String(index));
  }
  const [invite, ack, bye] = seen.slice(0, sent.length);
  assert.deepEqual([invite!.method, ack!.method, bye!.method], [['INVITE'], ['ACK'], ['BYE']]);
  assert.equal(invite!.recordRoute.length, 2);
  assert.match(invite!.recordRoute[0]!, /^<sip:127\.0\.0\.1:\d+;[^>]*lr/, 'the side of the PBX on top');
  assert.match(invite!.recordRoute[1]!, new RegExp(`^<sip:${publicAddress.replaceAll('.', '\\.')}:${portOf(gateway, 'sip')};`), 'then where clients reach us');
  for (const each of [invite!, ack!, bye!]) {
    assert.equal(each.via.length, 2, 'ours above the phone\'s');
    assert.deepEqual(each.hops, ['69']);
    assert.deepEqual(each.route, [], 'our own are taken off');
  }
  assert.deepEqual(seen.slice(sent.length).map((each) => each.status[0]).filter((status) => status !== '100'), ['180', '200', '200']);
  for (const each of seen.slice(sent.length)) assert.equal(each.via.length, 1, 'the phone\'s alone');
  await finishesCleanly(gateway);
});
