// Every recorded ClientHello, cut into segments and records, through every kind of listener: the name in it decides, and a piece of it never
// leads to where no name would.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeProxyHeader } from '#wire/proxy-protocol.ts';
import { finishesCleanly, portOf, root, startGateway, startTcp, until } from '../kit/gateway.ts';

interface Sample {
  readonly title: string;
  readonly name: string | null;
  readonly bytes: Buffer;
}

const samples: Sample[] = readFileSync(join(root, 'test', 'corpus', 'tls.md'), 'utf8')
  .split(/^## /m)
  .slice(1)
  .map((section) => ({
    title: section.slice(0, section.indexOf('\n')),
    name: (JSON.parse(/```json\n(.*?)```/s.exec(section)![1]!) as { serverName: string | null }).serverName,
    bytes: Buffer.from(/```hex\n(.*?)```/s.exec(section)![1]!.replace(/\s/g, ''), 'hex'),
  }));

/** The same numbers each time. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * below);
  };
}

/** The handshake message in records of these lengths, the rest in the last. */
function recut(bytes: Buffer, lengths: readonly number[]): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16BE(at + 3);
    pieces.push(bytes.subarray(at + 5, at + 5 + length));
    at += 5 + length;
  }
  const body = Buffer.concat(pieces);
  const parts: Buffer[] = [];
  let at = 0;
  for (const length of [...lengths, body.length]) {
    const part = body.subarray(at, at + length);
    if (part.length > 0) parts.push(Buffer.concat([bytes.subarray(0, 3), Buffer.from([part.length >> 8, part.length & 0xff]), part]));
    at += length;
  }
  return Buffer.concat(parts);
}

/** What is sent, in segments. */
function waysOf({ bytes, name }: Sample, random: (below: number) => number): Buffer[][] {
  const nameAt = name === null ? 60 : bytes.toString('latin1').toLowerCase().indexOf(name.slice(0, 8));
  const at = (offset: number) => [bytes.subarray(0, offset), bytes.subarray(offset)];
  const cuts = [1, 4, 5, 6, 9, nameAt, nameAt + 1, nameAt + 4, bytes.length - 1, ...Array.from({ length: 40 }, () => 1 + random(bytes.length - 1))].filter((offset) => offset > 0 && offset < bytes.length);
  const records = [[1], [5], [6], [nameAt - 5 + 3], [1, 1, 1, 1, 1], [random(bytes.length - 40) + 1, 20]].map((lengths) => recut(bytes, lengths.filter((length) => length > 0)));
  return [[bytes], ...cuts.map(at), ...records.map((whole) => [whole]), ...records.map((whole) => [whole.subarray(0, nameAt + 4), whole.subarray(nameAt + 4)])];
}

/** Each worker has an address of its own, by which the gateway's list of connections tells it from the others. */
async function eachFrom<Item>(items: readonly Item[], work: (item: Item, localAddress: string) => Promise<void>): Promise<void> {
  const queue = [...items];
  await Promise.all(Array.from({ length: 12 }, async (_, i) => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item, `127.0.1.${i + 1}`);
  }));
}

function send(port: number, localAddress: string, pieces: readonly Buffer[]): Promise<{ socket: Socket; heard(): Buffer; isOver(): boolean }> {
  return new Promise((done, failed) => {
    let heard = Buffer.alloc(0);
    let isOver = false;
    const socket = connect({ host: '127.0.0.1', port, localAddress, noDelay: true });
    socket.once('error', failed);
    socket.on('data', (piece: Buffer) => (heard = Buffer.concat([heard, piece]))).on('close', () => (isOver = true));
    socket.once('connect', () => {
      socket.off('error', failed).on('error', () => {});
      void (async () => {
        for (const [i, piece] of pieces.entries()) {
          if (i > 0) await new Promise((next) => setTimeout(next, 2));
          socket.write(piece);
        }
        done({ socket, heard: () => heard, isOver: () => isOver });
      })();
    });
  });
}

test('the name in the hello decides, however it comes', { timeout: 120_000 }, async () => {
  assert.ok(samples.length >= 10 && samples.some((each) => each.name === null));
  const names = [...new Set(samples.flatMap(({ name }) => (name === null ? [] : [name])))];
  /** Says who it is, then echoes. */
  const startEcho = (name: string) => startTcp((socket) => void (socket.write(`<${name}>`), socket.on('data', (piece: Buffer) => socket.write(piece)).on('end', () => socket.end())));
  await using stack = new AsyncDisposableStack();
  const echoes = new Map<string, number>();
  for (const name of [...names, 'any', 'no protocol']) echoes.set(name, stack.use(await startEcho(name)).port);
  const to = (name: string) => ({ kind: 'tcp', host: '127.0.0.1', port: echoes.get(name)! });
  const passing = ['passing', 'front', 'mixed', 'behind'];
  await using gateway = await startGateway({
    domain: 'gw.example.test',
    config: {
      listeners: [
        { name: 'passing', tls: false, protocols: ['tls'] },
        { name: 'front', tls: true, protocols: ['http', 'tls'] },
        { name: 'mixed', tls: false, protocols: ['http', 'tls', 'ldap', 'sip', 'h323', 'ssh', 'rdp', 'tcp'] },
        { name: 'behind', tls: true, protocols: ['http', 'tls'], plain: ['ldap', 'ssh'], proxyProtocolFrom: ['127.0.1.0/24'] },
        { name: 'ending', tls: true },
      ],
      tlsPolicies: [{ name: 'ending', listeners: ['ending'], legacyLane: { from: ['127.0.0.0/8'], until: '2099-12-31' } }],
    },
    routes: [
      ...names.map((name, i) => ({ name: `to-${i}`, protocol: 'tls', host: name, listeners: passing, target: to(name) })),
      // Where a piece of a hello, taken for a hello without a name, or for no hello at all, would go.
      { name: 'any', protocol: 'tls', listeners: ['passing', 'mixed'], target: to('any') },
      { name: 'nothing', protocol: 'tcp', listeners: ['mixed'], target: to('no protocol') },
    ],
  });
  const random = seeded(7);
  const orders = samples.flatMap((sample) => waysOf(sample, random).map((pieces) => ({ sample, pieces })));
  assert.ok(orders.length > 250, String(orders.length));

  for (const listener of passing) {
    await eachFrom(orders, async ({ sample, pieces }, localAddress) => {
      const expected = sample.name ?? (listener === 'passing' || listener === 'mixed' ? 'any' : null);
      const header = listener === 'behind' ? encodeProxyHeader({ version: 2, source: { address: localAddress, port: 1 }, destination: { address: '192.0.2.1', port: 443 } }) : Buffer.alloc(0);
      const sent = await send(portOf(gateway, listener), localAddress, [Buffer.concat([header, pieces[0]!]), ...pieces.slice(1)]);
      const all = Buffer.concat(pieces);
      const what = `${sample.title} in ${pieces.map((piece) => piece.length).join('+')} at ${listener}`;
      try {
        if (expected === null) {
          await until(`an answer of ours: ${what}`, () => sent.heard().length >= 7 || sent.isOver());
          assert.ok([0x15, 0x16].includes(sent.heard()[0] ?? 0), `${what}: ${sent.heard().toString('hex', 0, 40)}`);
          return;
        }
        const echoed = Buffer.concat([Buffer.from(`<${expected}>`), all]);
        await until(`the echo of ${expected}: ${what}`, () => sent.heard().length >= echoed.length || sent.isOver());
        assert.ok(sent.heard().equals(echoed), `${what}: ${sent.heard().toString('latin1', 0, 60)}`);
      } finally {
        sent.socket.destroy();
      }
    });
  }

  await eachFrom(orders.filter((_, i) => i % 2 === 0), async ({ sample, pieces }, localAddress) => {
    const sent = await send(portOf(gateway, 'ending'), localAddress, pieces);
    const what = `${sample.title} in ${pieces.map((piece) => piece.length).join('+')}, answered here`;
    const seen = await until(what, () => {
      const conn = gateway.live.conns(10_000).find((each) => each.from === localAddress && each.bytesIn >= pieces[0]!.length && each.name === sample.name);
      return conn !== undefined || sent.isOver() ? { conn } : null;
    });
    if (sent.heard().length > 0) assert.ok([0x15, 0x16].includes(sent.heard()[0]!), what);
    if (!sent.isOver()) assert.equal(seen.conn?.name, sample.name, what);
    sent.socket.destroy();
    await until('it to be gone', () => !gateway.live.conns(10_000).some((each) => each.from === localAddress));
  });
  await finishesCleanly(gateway);
});

test('what is not TLS, on a TLS port that takes it, may come in pieces as well', { timeout: 60_000 }, async () => {
  await using echo = await startTcp((socket) => void socket.on('data', (piece: Buffer) => socket.write(piece)).on('end', () => socket.end()));
  const to = { kind: 'tcp', host: '127.0.0.1', port: echo.port };
  await using gateway = await startGateway({
    domain: 'gw.example.test',
    config: { listeners: [{ name: 'front', tls: true, protocols: ['http', 'ldap'], plain: ['ldap', 'ssh'] }] },
    routes: [{ name: 'directory', protocol: 'ldap', host: 'pbx.example.test', listeners: ['front'], target: to }, { name: 'shell', protocol: 'ssh', listeners: ['front'], target: to }],
  });
  const op = Buffer.concat([Buffer.from([0x02, 1, 3, 0x04, 21]), Buffer.from('pbx.example.test\\anna'), Buffer.from([0x80, 1, 0x78])]);
  const bind = Buffer.concat([Buffer.from([0x30, op.length + 5, 2, 1, 1, 0x60, op.length]), op]);
  const orders = [bind, Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')].flatMap((bytes) => Array.from({ length: bytes.length - 1 }, (_, i) => [bytes.subarray(0, i + 1), bytes.subarray(i + 1)]));
  await eachFrom(orders, async (pieces, localAddress) => {
    const sent = await send(portOf(gateway, 'front'), localAddress, pieces);
    const all = Buffer.concat(pieces);
    await until('the echo', () => sent.heard().length >= all.length || sent.isOver());
    assert.ok(sent.heard().equals(all), `cut at ${pieces[0]!.length}: ${sent.heard().toString('latin1')}`);
    sent.socket.destroy();
  });
  await finishesCleanly(gateway);
});
