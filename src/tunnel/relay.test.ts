import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { openTcp } from '../../test/sim/link-end.ts';
import { relayStreams } from './relay.ts';
import type { Relayed } from './relay.ts';

/** A client, a relay that accepts it paused, and a server behind the relay. */
async function through(onServer: (socket: Socket) => void) {
  const server = await openTcp(onServer);
  const done = Promise.withResolvers<Relayed>();
  const middle = await openTcp((socket) => {
    socket.pause();
    void relayStreams(socket, connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true })).then(done.resolve);
  });
  const client = connect({ port: middle.port, host: '127.0.0.1', allowHalfOpen: true });
  await once(client, 'connect');
  return {
    client,
    relayed: done.promise,
    async [Symbol.asyncDispose]() {
      client.destroy();
      await middle[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

test('each direction ends by itself; the bytes are counted', async () => {
  await using line = await through((socket) => {
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
    socket.on('end', () => socket.end(`${bytes} bytes`));
  });
  line.client.end(Buffer.alloc(1_000_000));
  let text = '';
  for await (const chunk of line.client as AsyncIterable<Buffer>) text += chunk.toString();
  assert.equal(text, '1000000 bytes');
  assert.deepEqual(await line.relayed, { bytesForth: 1_000_000, bytesBack: 13 });
});

test('a server that resets resets the client: a cut is not an end', async () => {
  await using line = await through((socket) => {
    socket.write('half of it');
    socket.once('data', () => socket.resetAndDestroy());
  });
  await once(line.client, 'data');
  line.client.write('x');
  const [error] = (await once(line.client, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNRESET');
  await line.relayed;
});

test('a client that goes away takes the server connection with it', async () => {
  const gone = Promise.withResolvers<void>();
  await using line = await through((socket) => {
    socket.on('close', () => gone.resolve());
    socket.write(Buffer.alloc(10_000_000));
  });
  await once(line.client, 'data');
  line.client.resetAndDestroy();
  await gone.promise;
  await line.relayed;
});

test('a slow reader stops the sender', async () => {
  const accepted = Promise.withResolvers<Socket>();
  await using line = await through((socket) => {
    accepted.resolve(socket);
    socket.end(Buffer.alloc(60_000_000));
  });
  line.client.pause();
  const sender = await accepted.promise;
  for (let before = -1; before !== sender.bytesWritten - sender.writableLength; ) {
    before = sender.bytesWritten - sender.writableLength;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(sender.writableLength > 0, 'not all of it was taken');
  let got = 0;
  line.client.on('data', (chunk: Buffer) => (got += chunk.length));
  line.client.resume();
  await once(line.client, 'end');
  assert.equal(got, 60_000_000);
});
