// A request body in pieces of one byte: what is held of it for a retry costs what it weighs.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { collect } from '#kit/collect.ts';
import { finishesCleanly, startGateway, startTcp, until } from '../kit/gateway.ts';

const count = 30_000;

test('a body that is held costs what it weighs, not what its pieces do', async () => {
  const arrived = { bytes: 0 };
  await using upstream = await startTcp((socket) => socket.on('data', (bytes) => (arrived.bytes += bytes.length)));
  await using gateway = await startGateway({ routes: [{ name: 'slow', host: 'slow.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: upstream.port } }] });
  const client = connect({ host: '127.0.0.1', port: gateway.ports.http, noDelay: true });
  client.write(`PUT / HTTP/1.1\r\nHost: slow.example.test\r\nContent-Length: ${count + 1}\r\n\r\n`);
  await until('the request to be there', () => arrived.bytes > 0);
  const { bytes: before } = arrived;
  collect();
  const usedBefore = process.memoryUsage().heapUsed;
  for (let sent = 1; sent <= count; sent++) {
    client.write('x');
    while (arrived.bytes < before + sent) await new Promise((done) => setImmediate(done));
  }
  collect();
  const perByte = (process.memoryUsage().heapUsed - usedBefore) / count;
  assert.ok(perByte < 40, `${Math.round(perByte)} bytes of heap for each byte that is held`);
  client.destroy();
  await finishesCleanly(gateway);
});
