// The man in the middle: he has a certificate that is good for the name under an authority that the device's system trusts, he stands on
// the way, and he rewrites what he likes. No byte of data reaches a place of his.
import assert from 'node:assert/strict';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { pinOfFingerprint } from '#wire/device.ts';
import { makeCertificate } from '../../test/kit/authority.ts';
import { openFieldRoom } from '../../test/kit/field-room.ts';
import { startTcp, until } from '../../test/kit/gateway.ts';
import { memoryBuffer } from '../../test/kit/memory-buffer.ts';
import { startPushServer } from '../../test/kit/push-server.ts';
import { buildContact } from './contact.ts';

async function cast() {
  const now = Date.now();
  const ca = await makeCertificate({ name: 'A public CA', ca: true, now });
  const leaf = () => makeCertificate({ name: '127.0.0.1', issuer: ca, now, names: [{ type: 'ip', value: '127.0.0.1' }] });
  return { ca, real: await leaf(), his: await leaf() };
}

/** His own server: takes every handshake and every byte, and answers that all of it was stored. */
async function startHis(made: { readonly keyPem: string; readonly pem: string }) {
  const heard = { bytes: 0, handshakes: 0, connections: 0 };
  const sockets = new Set<Socket>();
  const server = createTlsServer({ key: made.keyPem, cert: made.pem }, (socket) => {
    heard.handshakes += 1;
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      heard.bytes += piece.length;
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nnext=900000\n');
    });
  });
  server.on('connection', (socket: Socket) => {
    heard.connections += 1;
    sockets.add(socket);
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  return {
    base: `https://127.0.0.1:${(server.address() as AddressInfo).port}/v1/default`,
    heard,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Passes everything on, but what the server says goes through `rewrite`. */
function startMiddle(port: number, rewrite: (text: string) => string) {
  return startTcp((near) => {
    const far = connect(port, '127.0.0.1');
    near.pipe(far);
    far.on('data', (piece) => near.write(Buffer.from(rewrite(piece.toString('latin1')), 'latin1')));
    far.on('close', () => near.destroy());
    far.on('error', () => near.destroy());
    near.on('close', () => far.destroy());
  });
}

/** An answer with other values and the length that fits. */
function answerWith(text: string, change: (body: string) => string, fields = ''): string {
  const [head = '', body = ''] = text.split('\r\n\r\n');
  const next = change(body);
  return `${head.replace(/Content-Length: \d+/i, `Content-Length: ${next.length}`)}${fields}\r\n\r\n${next}`;
}

const refusals = (room: ReturnType<typeof openFieldRoom>, event: string) => room.log.lines.filter((line) => line.event === event);

test('in TLS, where the device dials him: his certificate is good, and he hears nothing', async () => {
  const { ca, real, his } = await cast();
  await using his1 = await startHis(his);
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main', 'trusting']);
  buffer.append('x'.repeat(200_000));
  const secrets = { keyText: 'the key', ca: ca.pem };
  room.deliver(await room.destination({ bases: [his1.base], pins: [pinOfFingerprint(real.keyFingerprint)] }, secrets), [buffer]);
  await until('several tries', () => his1.heard.connections >= 4);
  assert.equal(his1.heard.bytes, 0);
  assert.equal(buffer.position('main'), 0);
  // The certificate is as good as we say: who has no list believes it.
  room.deliver(await room.destination({ name: 'trusting', bases: [his1.base] }, secrets), [buffer]);
  await until('a trusting device', () => his1.heard.bytes > 0);
});

test('in TLS, a server on the list that redirects to one that is not: a handshake, then home again', async () => {
  const { ca, real, his } = await cast();
  await using his1 = await startHis(his);
  await using server = await startPushServer({ key: 'the key', tls: { key: real.keyPem, cert: real.pem } });
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  server.spoil.push({ status: 307, lines: { base: his1.base, ttl: 3_600 } });
  buffer.append('x\n');
  const destination = await room.destination({ bases: [server.base], pins: [pinOfFingerprint(real.keyFingerprint)] }, { keyText: 'the key', ca: ca.pem });
  room.deliver(destination, [buffer]);
  await until('it to arrive at home', () => buffer.position('main') === 2);
  assert.equal(server.epochOf('cdr')!.bytes.toString(), 'x\n');
  assert.equal(his1.heard.bytes, 0);
  assert.deepEqual(destination.state.pins, [pinOfFingerprint(real.keyFingerprint)], 'no redirect adds a fingerprint');
});

for (const [what, hasList] of [['without a list', false], ['with a list', true]] as const) {
  test(`in plain http, a 307 of his own, ${what}: he gets no byte`, async () => {
    const { ca, real, his } = await cast();
    await using his1 = await startHis(his);
    await using server = await startPushServer({ key: 'the key' });
    let lies = 0;
    await using middle = await startMiddle(server.port, (text) => {
      if (!text.includes('next=')) return text;
      lies += 1;
      if (lies > 3) return text;
      return answerWith(text.replace('200 OK', '307 Temporary Redirect'), () => `base=${his1.base}\nttl=3600\n`, `\r\nLocation: ${his1.base}/x`);
    });
    await using room = openFieldRoom();
    const buffer = memoryBuffer('cdr', ['main']);
    buffer.append('y'.repeat(300_000));
    const pins = hasList ? [pinOfFingerprint(real.keyFingerprint)] : [];
    room.deliver(await room.destination({ bases: [`http://127.0.0.1:${middle.port}/v1/default`], pins, identity: 'sign' }, { keyText: 'the key', ca: ca.pem }), [buffer]);
    await until('it to arrive all the same', () => buffer.position('main') === buffer.next);
    assert.equal(server.epochOf('cdr')!.bytes.length, buffer.next);
    assert.ok(lies >= 3, 'he did lie');
    assert.equal(his1.heard.bytes, 0);
    assert.equal(his1.heard.connections > 0, hasList, 'with a list an unsigned redirect to https may be tried, and the list refuses him');
  });
}

test('in plain http, a true 307 with his place in it: the signature covers both, and he gets no byte', async () => {
  const { ca, his } = await cast();
  await using his1 = await startHis(his);
  await using server = await startPushServer({ key: 'the key' });
  await using away = await startPushServer({ key: 'the key' });
  await using middle = await startMiddle(server.port, (text) => (text.includes(away.base) ? answerWith(text.replace(/Location: \S+/, `Location: ${his1.base}/push`), (body) => body.replaceAll(away.base, his1.base)) : text));
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  server.redirectTo = away.base;
  buffer.append('z\n');
  room.deliver(await room.destination({ bases: [`http://127.0.0.1:${middle.port}/v1/default`], identity: 'sign' }, { keyText: 'the key', ca: ca.pem }), [buffer]);
  await until('refusals', () => refusals(room, 'redirect.refused').length >= 2);
  assert.equal(his1.heard.connections, 0);
  assert.equal(away.counts.connections, 0);
  server.redirectTo = null;
  server.epochs.clear();
  await until('it to arrive at home', () => buffer.position('main') === 2);
});

test('in plain http, a check-in whose answer he rewrites: no pin, no base, no time, no setting is taken', async () => {
  await using server = await startPushServer({ key: 'the key' });
  server.checkIn = { poll: 60, pins: `sha256//${'A'.repeat(43)}=` };
  let isHe = true;
  await using middle = await startMiddle(server.port, (text) =>
    isHe ? answerWith(text, () => `time=1900000000.000\npoll=61\npins=sha256//${'B'.repeat(43)}=\nbase=http://192.0.2.66/v1/default\nprio=.\n`) : text);
  await using room = openFieldRoom();
  const destination = await room.destination({ bases: [`http://127.0.0.1:${middle.port}/v1/default`], identity: 'sign' }, { keyText: 'the key' });
  const abort = new AbortController();
  const contact = buildContact({
    destination, buffers: [], clock: room.clock, fieldClock: room.fieldClock, uptimeMs: () => 3_600_000, log: room.log,
    random: (bytes) => Buffer.alloc(bytes, 7), facts: { version: '1', platform: 'x', name: 'x', zone: null },
  });
  const ended = contact.run(abort.signal);
  await until('his answer', () => refusals(room, 'check-in.not-believed').length >= 1);
  assert.deepEqual(destination.state.pins, []);
  assert.equal(destination.now().redirect, null);
  assert.equal(room.fieldClock.trusted(), false);
  assert.equal(destination.state.asked.pollSeconds, null);
  assert.equal(contact.isUrgent(Buffer.from('x')), false);
  isHe = false;
  contact.soon();
  await until('the true one', () => destination.state.pins.length === 1 && room.fieldClock.trusted());
  assert.equal(destination.state.asked.pollSeconds, 60);
  abort.abort();
  await ended;
});
