// Relays read into a buffer that they share (net/tapped-reads): whatever the sizes, however slow who reads, and whoever breaks off, each connection
// gets its own bytes and all of them. POSTERN_FUZZ_SEED makes another run.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { finishesCleanly, portOf, startGateway, startTcp } from '../kit/gateway.ts';

const seed = Number(process.env['POSTERN_FUZZ_SEED'] ?? 3);

/** mulberry32. */
function randomOf(from: number): () => number {
  let state = from >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What stands in connection `id` at `at`: no two places look alike for long. */
function bytesOf(id: number, at: number, count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  for (let i = 0; i < count; i++) bytes[i] = (Math.imul(at + i, 2_654_435_761) ^ Math.imul(id, 40_503) ^ ((at + i) >>> 11)) >>> 7;
  return bytes;
}

const isSlow = (id: number) => id % 3 === 0;
const breaksOff = (id: number) => id % 11 === 5;
/** More than the kernel takes for who does not read: only then anything waits in the gateway. */
const totalOf = (id: number) => (isSlow(id) ? 14_000_000 + id * 7_777 : 200_000 + id * 77_777);
const sizes = [1, 3, 17, 200, 1_460, 4_096, 8_191, 8_192, 8_193, 16_384, 30_000, 32_768, 33_000, 65_536, 100_000];
/** Reads of their own, several of which wait before a stream says stop: those may not be overwritten. */
const smallSizes = [1, 1_460, 4_096, 8_191, 8_192, 8_193, 12_000, 16_000, 20_000, 20_000];

/** Learns the number of a connection, and sends what belongs there. */
function answer(socket: Socket): void {
  let head = Buffer.alloc(0);
  const take = (bytes: Buffer) => {
    head = Buffer.concat([head, bytes]);
    if (head.length < 5) return;
    socket.off('data', take).resume();
    const id = head.readUInt32BE(1);
    const random = randomOf(seed * 1_000 + id);
    let at = 0;
    const send = () => {
      while (at < totalOf(id) && !socket.destroyed) {
        const some = isSlow(id) ? smallSizes : sizes;
        const count = Math.min(totalOf(id) - at, some[Math.floor(random() * some.length)]!);
        const more = socket.write(bytesOf(id, at, count));
        at += count;
        if (!more) return void socket.once('drain', send);
        if (isSlow(id) || random() < 0.3) return void setImmediate(send);
      }
      socket.end();
    };
    send();
  };
  socket.on('data', take);
}

test('of many connections through relays each gets its own bytes', async () => {
  await using upstream = await startTcp(answer);
  await using gateway = await startGateway({
    config: { listeners: [{ name: 'plain', address: '127.0.0.1', port: 0, tls: false, protocols: ['tcp'] }, { name: 'tls', address: '127.0.0.1', port: 0, tls: true, protocols: ['tcp'] }] },
    routes: [{ name: 'all', protocol: 'tcp', listeners: ['plain', 'tls'], target: { kind: 'tcp', host: '127.0.0.1', port: upstream.port } }],
  });
  const one = (id: number) =>
    new Promise<void>((done, failed) => {
      const random = randomOf(seed * 7 + id);
      const isTls = id % 2 === 0;
      const socket = isTls ? connectTls({ host: '127.0.0.1', port: portOf(gateway, 'tls'), rejectUnauthorized: false }) : connect({ host: '127.0.0.1', port: portOf(gateway, 'plain') });
      let at = 0;
      socket.on('error', failed);
      socket.once(isTls ? 'secureConnect' : 'connect', () => {
        const head = Buffer.alloc(5, 0xff);
        head.writeUInt32BE(id, 1);
        socket.write(head);
        for (let i = 0; i < 20; i++) socket.write(Buffer.alloc(Math.floor(random() * 9_000)));
      });
      socket.on('data', (bytes: Buffer) => {
        if (!bytesOf(id, at, bytes.length).equals(bytes)) {
          socket.destroy();
          return failed(new Error(`connection ${id}: other bytes than its own between ${at} and ${at + bytes.length}`));
        }
        at += bytes.length;
        if (breaksOff(id) && at > totalOf(id) / 2) {
          socket.destroy();
          return done();
        }
        if (!isSlow(id) || (at > bytes.length && random() >= 0.02)) return;
        socket.pause();
        setTimeout(() => socket.resume(), at === bytes.length ? 1_000 : random() * 60);
      });
      socket.on('end', () => {
        socket.end();
        if (at === totalOf(id)) done();
        else failed(new Error(`connection ${id}: ${at} of ${totalOf(id)} bytes`));
      });
    });
  await Promise.all(Array.from({ length: 24 }, (_, id) => one(id)));
  assert.ok(gateway.leftovers().heldBytes === 0);
  await finishesCleanly(gateway);
});
