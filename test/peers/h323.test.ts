// H.323 through a whole gateway to scripted gatekeepers: registrations and calls arrive as they were sent, "check certificate" decides who gets TLS
// inward, and tshark reads what we say to those who are refused.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { makeCertificate, type Made } from '#kit/authority.ts';
import { journalSays, openTlsWire, openWire, readHexCorpus, type Wire } from '#kit/front.ts';
import { finishesCleanly, portOf, startGateway, startTcp, until, type TestGateway } from '#kit/gateway.ts';
import { facility, grq, q931, rrq, setup, urq } from '#kit/h323.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort } from '#kit/processes.ts';
import { readWithTshark } from '#kit/tshark.ts';

const peers = findPeers(['tshark']);
const corpus = new Map(readHexCorpus('h323').map((each) => [each.title, each.bytes]));
const discover = corpus.get('GRQ with a gatekeeper identifier')!;
const register = corpus.get('RRQ with a gatekeeper identifier and two aliases')!;
const nameless = corpus.get('RRQ without a gatekeeper identifier')!;
const call = corpus.get('SETUP with a number and an h323-ID')!;
/** What our gatekeepers say to everything: a message of theirs, that tshark and phones can read. */
const confirmation = facility([urq()]);

interface Gatekeeper {
  readonly port: number;
  /** Of its latest connection. */
  readonly heard: Buffer;
  readonly sockets: ReadonlySet<Socket>;
}

let gateway: TestGateway;
let [ca, phone]: (Made | undefined)[] = [];
let [plainKeeper, secureKeeper, fallback]: (Gatekeeper | undefined)[] = [];
const closers: (() => Promise<unknown>)[] = [];

/** Answers each message of a client with one of its own. */
function converse(socket: Pick<Socket, 'on' | 'write' | 'end'>): { heard: Buffer } {
  const state = { heard: Buffer.alloc(0) };
  let read = 0;
  socket.on('data', (piece: Buffer) => {
    state.heard = Buffer.concat([state.heard, piece]);
    while (state.heard.length >= read + 4 && state.heard.length >= read + state.heard.readUInt16BE(read + 2)) {
      const length = state.heard.readUInt16BE(read + 2);
      read += length;
      if (length > 4) socket.write(confirmation);
    }
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => {});
  return state;
}

async function startKeeper(): Promise<Gatekeeper> {
  let latest: { readonly heard: Buffer } = { heard: Buffer.alloc(0) };
  const server = await startTcp((socket) => (latest = converse(socket)));
  closers.push(() => server[Symbol.asyncDispose]());
  return { port: server.port, sockets: server.sockets, get heard() {
    return latest.heard;
  } };
}

async function startSecureKeeper(made: Made): Promise<Gatekeeper> {
  let latest: { readonly heard: Buffer } = { heard: Buffer.alloc(0) };
  const inner = createTlsServer({ cert: made.pem, key: made.keyPem }, (socket) => (latest = converse(socket)));
  const server = await startTcp((socket) => void inner.emit('connection', socket));
  closers.push(() => server[Symbol.asyncDispose]());
  return { port: server.port, sockets: server.sockets, get heard() {
    return latest.heard;
  } };
}

before(async () => {
  const now = Date.now();
  ca = await makeCertificate({ name: 'Phones', now, ca: true });
  phone = await makeCertificate({ name: '0090331A2B3C', now, issuer: ca });
  const keeper = await makeCertificate({ name: 'keeper', now, ca: true });
  [plainKeeper, secureKeeper, fallback] = [await startKeeper(), await startSecureKeeper(keeper), await startKeeper()];
  const tls = { kind: 'tls', host: '127.0.0.1', port: secureKeeper.port, verify: { by: 'ca', ca: keeper.pem } };
  const h323 = { protocol: 'h323' };
  gateway = await startGateway({
    config: {
      listeners: [
        { name: 'plain', tls: false, protocols: ['h323', 'rdp', 'ldap'] },
        { name: 'strict', tls: true, protocols: ['http', 'h323'] },
        { name: 'lenient', tls: true, protocols: ['h323'] },
      ],
      tlsPolicies: [{ name: 'phones', listeners: ['strict', 'lenient'], clientCertificates: { ca: ca.pem, required: false } }],
    },
    routes: [
      { name: 'pbx', ...h323, listeners: ['plain'], host: 'pbx.example.com', target: { kind: 'tcp', host: '127.0.0.1', port: plainKeeper.port } },
      { name: 'down', ...h323, listeners: ['plain'], host: 'down.example.com', target: { kind: 'tcp', host: '127.0.0.1', port: await freePort() } },
      { name: 'strict', ...h323, listeners: ['strict'], host: 'pbx.example.com', target: { ...tls, checkCertificate: { otherwise: 'refuse' } } },
      { name: 'lenient', ...h323, listeners: ['lenient'], host: 'pbx.example.com', target: { ...tls, checkCertificate: { otherwise: fallback.port } } },
      { name: 'by-alias', ...h323, listeners: ['lenient'], alias: 'ali*', target: { kind: 'tcp', host: '127.0.0.1', port: plainKeeper.port } },
    ],
  });
  closers.push(() => gateway.close());
});

after(async () => {
  for (const close of closers.reverse()) await close();
});

const options = { timeout: 60_000 };
const secured = (more: object = {}) => ({ servername: 'pbx.example.com', ca: gateway.caPem, checkServerIdentity: () => undefined, ...more });
const shown = (made: Made) => ({ cert: made.pem, key: made.keyPem });
const answered = (wire: Pick<Wire, 'bytes'>, times: number) => until(`${times} answers`, () => wire.bytes.equals(Buffer.concat(Array.from({ length: times }, () => confirmation))));

test('discovery, registration, a call and its keep-alives arrive as they were sent', options, async () => {
  const client = await openWire(portOf(gateway, 'plain'));
  const keepAlive = facility([rrq({ seq: 9 })]);
  const said = [discover, register, keepAlive, Buffer.from('03000004', 'hex'), call];
  client.socket.write(discover);
  await answered(client, 1);
  client.socket.write(register);
  await answered(client, 2);
  client.socket.write(Buffer.concat(said.slice(2)));
  await answered(client, 4);
  assert.ok(plainKeeper!.heard.equals(Buffer.concat(said)));
  const live = gateway.live.conns(10).find((each) => each.listener === 'plain')!;
  assert.deepEqual([live.protocol, live.route, live.name], ['h323', 'pbx', 'pbx.example.com']);
  client.socket.end();
  await client.gone();
  const cut = await openWire(portOf(gateway, 'plain'));
  for (const byte of Buffer.concat(said)) {
    cut.socket.write(Buffer.from([byte]));
    await new Promise((next) => setImmediate(next));
  }
  await answered(cut, 4);
  assert.ok(plainKeeper!.heard.equals(Buffer.concat(said)), 'byte by byte');
  cut.socket.destroy();
  await finishesCleanly(gateway);
});

test('"check certificate": TLS inward for who the certificate names, else refused or led to the other port', options, async () => {
  const right = await openTlsWire(portOf(gateway, 'strict'), secured(shown(phone!)));
  right.socket.write(discover);
  await answered(right, 1);
  right.socket.write(register);
  await answered(right, 2);
  assert.ok(secureKeeper!.heard.equals(Buffer.concat([discover, register])), 'letter case of the name does not matter');
  const other = await makeCertificate({ name: '0090331a2b3d', now: Date.now(), issuer: ca! });
  const stranger = await makeCertificate({ name: '0090331a2b3c', now: Date.now(), ca: true });
  for (const more of [{}, shown(other), shown(stranger)]) {
    const refused = await openTlsWire(portOf(gateway, 'strict'), secured(more));
    refused.socket.write(register);
    await refused.gone();
    assert.ok(refused.bytes.length > 20 && refused.bytes[0] === 3, 'it is told');
    await journalSays(gateway, { event: 'conn.refused', listener: 'strict', rule: 'strict: check certificate' });
    const led = await openTlsWire(portOf(gateway, 'lenient'), secured(more));
    led.socket.write(register);
    await answered(led, 1);
    assert.ok(fallback!.heard.equals(register));
    led.socket.destroy();
  }
  // A second registration on a connection that was proved, for somebody else.
  right.socket.write(facility([rrq({ seq: 77, gatekeeper: 'pbx.example.com', aliases: [{ h323: 'somebody-else' }] })]));
  await right.gone();
  assert.equal(secureKeeper!.heard.length, discover.length + register.length, 'nothing of it went on');
  await journalSays(gateway, { event: 'conn.refused', listener: 'strict', rule: 'strict: later packets' });
  // Nobody is named as the gatekeeper: the name in TLS stands in, and without a route for that the alias.
  for (const [servername, keeper] of [['pbx.example.com', fallback!], ['phones.example.com', plainKeeper!]] as const) {
    const wire = await openTlsWire(portOf(gateway, 'lenient'), secured({ servername }));
    wire.socket.write(nameless);
    await answered(wire, 1);
    assert.ok(keeper.heard.equals(nameless), servername);
    wire.socket.destroy();
  }
  await finishesCleanly(gateway);
});

const fields = { protocols: 'frame.protocols', malformed: '_ws.malformed', warning: '_ws.expert.message', message: 'q931.message_type', cause: 'q931.cause_value', reference: 'q931.call_ref', ras: 'h225.RasMessage', seq: 'h225.requestSeqNum', reject: 'h225.rejectReason', release: 'h225.reason' } as const;

/** Cuts what came into messages. */
function messagesOf(bytes: Buffer): Buffer[] {
  const all: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt16BE(at + 2)) all.push(bytes.subarray(at, at + bytes.readUInt16BE(at + 2)));
  return all;
}

test('refusals, as tshark reads them', { ...options, skip: peers.skip }, async () => {
  const asked: { what: string; sent: readonly Buffer[]; expected: Record<string, readonly string[]> }[] = [
    { what: 'GRQ for nobody here', sent: [facility([grq({ seq: 300, gatekeeper: 'nobody.example.com' })])], expected: { message: ['0x62'], ras: ['2'], seq: ['300'], reject: ['1'] } },
    { what: 'RRQ for nobody here', sent: [facility([rrq({ seq: 65_535, gatekeeper: 'nobody.example.com' })])], expected: { message: ['0x62'], ras: ['5'], seq: ['65535'], reject: ['6'] } },
    { what: 'RRQ that names nobody', sent: [nameless], expected: { message: ['0x62'], ras: ['5'], seq: ['1'], reject: ['6'] } },
    { what: 'SETUP to nobody here', sent: [q931(5, setup({ isExtended: true, destination: [{ h323: 'bob@nobody.example.com' }] }), { reference: 0x1234 })], expected: { message: ['0x5a'], cause: ['3'], release: ['2'] } },
    { what: 'GRQ, nobody answers', sent: [facility([grq({ seq: 2, gatekeeper: 'down.example.com' })])], expected: { message: ['0x62'], ras: ['2'], seq: ['2'], reject: ['0'] } },
    { what: 'RRQ, nobody answers', sent: [facility([rrq({ seq: 3, gatekeeper: 'down.example.com' })])], expected: { message: ['0x62'], ras: ['5'], seq: ['3'], reject: ['9'] } },
    { what: 'SETUP, nobody answers', sent: [q931(5, setup({ isExtended: true, destination: [{ h323: 'bob@down.example.com' }] }), { reference: 0x77 })], expected: { message: ['0x5a'], cause: ['42'], release: ['1'] } },
    { what: 'a registration anew elsewhere', sent: [register, facility([rrq({ seq: 4, gatekeeper: 'down.example.com' })])], expected: { message: ['0x62'], ras: ['5'], seq: ['4'], reject: ['11'] } },
    { what: 'a discovery anew elsewhere', sent: [discover, facility([grq({ seq: 5, gatekeeper: 'nobody.example.com' })])], expected: { message: ['0x62'], ras: ['2'], seq: ['5'], reject: ['1'] } },
    { what: 'a second call elsewhere', sent: [call, q931(5, setup({ isExtended: true, destination: [{ h323: 'bob@nobody.example.com' }] }), { reference: 0x1235 })], expected: { message: ['0x5a'], cause: ['21'], release: ['5'] } },
  ];
  const refusals = await Promise.all(asked.map(async ({ what, sent }) => {
    const client = await openWire(portOf(gateway, 'plain'));
    for (const [index, message] of sent.entries()) {
      client.socket.write(message);
      if (index < sent.length - 1) await answered(client, index + 1);
    }
    await client.gone();
    const said = messagesOf(client.bytes);
    assert.equal(said.length, sent.length, what);
    return said.at(-1)!;
  }));
  const seen = readWithTshark(peers.path('tshark'), refusals, 1_720, fields);
  for (const [index, { what, expected }] of asked.entries()) {
    const each = seen[index]!;
    assert.deepEqual([each.malformed, each.warning], [[], []], what);
    assert.ok(each.protocols[0]!.includes('h225'), what);
    for (const [name, value] of Object.entries(expected)) assert.deepEqual(each[name as keyof typeof fields], value, `${what}: ${name}`);
  }
  await journalSays(gateway, { event: 'conn.refused', rule: 'pbx: later packets' });
  await journalSays(gateway, { event: 'relay.failed', route: 'down' });
  await finishesCleanly(gateway);
});

test('what cannot be read ends the connection, and what is in the middle of a message is not answered into', options, async () => {
  const client = await openWire(portOf(gateway, 'plain'));
  client.socket.write(register);
  await answered(client, 1);
  // Half of a message of the gatekeeper is on its way when the client asks for something that is refused.
  const keeper = Array.from(plainKeeper!.sockets).at(-1)!;
  keeper.write(confirmation.subarray(0, 20));
  await until('the half', () => client.bytes.length === confirmation.length + 20);
  client.socket.write(facility([rrq({ seq: 4, gatekeeper: 'nobody.example.com' })]));
  await client.gone();
  assert.equal(client.bytes.length, confirmation.length + 20);
  for (const wrong of [Buffer.from('0300ffff080200006200', 'hex'), Buffer.concat([register.subarray(0, 12), Buffer.alloc(register.length - 12, 0xff)])]) {
    const bad = await openWire(portOf(gateway, 'plain'));
    bad.socket.write(Buffer.concat([register, wrong]));
    await bad.gone();
    await until('it to be counted', async () => (await journalSays(gateway, { event: 'conn.refused', rule: 'pbx: later packets' })) !== null);
  }
  await finishesCleanly(gateway);
});
