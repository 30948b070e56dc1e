import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { connectTapped, tapReads, TAKEN_BYTES_MAX, untapReads } from './tapped-reads.ts';

let server: Server;
let onSocket: (socket: Socket) => void;
before(async () => {
  server = createServer((socket) => onSocket(socket));
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
});
after(() => new Promise((done) => server.close(done)));

const dial = () => connectTapped({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, allowHalfOpen: true });
const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

test('tapped bytes come whole and in order, and several connections share a buffer without mixing', async () => {
  const sent = [randomBytes(3_000_000), randomBytes(3_000_000)];
  let n = 0;
  onSocket = (socket) => void socket.end(sent[n++]!);
  const got = await Promise.all(
    sent.map(
      () =>
        new Promise<string>((done) => {
          const socket = dial();
          const hash = createHash('sha256');
          const kept: Buffer[] = [];
          assert.equal(tapReads(socket, (bytes) => {
            // What is large may be kept, and must not change afterwards.
            if (bytes.length > TAKEN_BYTES_MAX) kept.push(bytes);
            else kept.push(Buffer.from(bytes));
          }), true);
          socket.on('end', () => {
            for (const bytes of kept) hash.update(bytes);
            socket.end();
            done(hash.digest('hex'));
          });
        }),
    ),
  );
  assert.deepEqual(got.sort(), sent.map(digest).sort());
});

test('a connection that nobody taps is an ordinary stream with backpressure, also after it was tapped', async () => {
  const first = Buffer.from('tapped');
  const rest = randomBytes(2_000_000);
  let far: Socket | undefined;
  onSocket = (socket) => void (far = socket).write(first);
  const socket = dial();
  const got = await new Promise<string>((done) => tapReads(socket, (bytes) => done(bytes.toString())));
  assert.equal(got, 'tapped');
  socket.pause();
  untapReads(socket);
  far!.end(rest);
  await new Promise((done) => setTimeout(done, 50));
  assert.ok(socket.readableLength <= 256 * 1024, `${socket.readableLength} bytes were taken while paused`);
  const hash = createHash('sha256');
  socket.on('data', (bytes) => void hash.update(bytes));
  socket.resume();
  await new Promise((done) => socket.once('end', done));
  socket.end();
  assert.equal(hash.digest('hex'), digest(rest));
});

test('who leaves the tap while it takes a large read has taken it: nothing comes twice', async () => {
  const sent = randomBytes(60_000);
  onSocket = (socket) => void socket.end(sent);
  const socket = dial();
  const got: Buffer[] = [];
  socket.on('data', (bytes: Buffer) => got.push(bytes));
  tapReads(socket, (bytes) => {
    got.push(Buffer.from(bytes));
    if (bytes.length > TAKEN_BYTES_MAX) untapReads(socket);
  });
  await new Promise((done) => socket.once('end', done));
  socket.end();
  assert.equal(digest(Buffer.concat(got)), digest(sent));
});

test('what is no such connection cannot be tapped', () => {
  onSocket = (socket) => socket.destroy();
  assert.equal(tapReads(server as never, () => {}), false);
});
