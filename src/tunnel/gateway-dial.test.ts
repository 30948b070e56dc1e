import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { before, describe, test } from 'node:test';
import { createServer } from 'node:tls';
import { isFault } from '#base/fault.ts';
import { issueServerLeaf } from '#model/certificate.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';
import { buildTestCa } from '../../test/sim/link-end.ts';
import type { TestCa } from '../../test/sim/link-end.ts';
import { dialGateway } from './gateway-dial.ts';

const dayMs = 24 * 3_600_000;
let ca: TestCa;
before(async () => {
  ca = await buildTestCa();
});

async function openServer(key: string, cert: string) {
  const server = createServer({ key, cert, ALPNProtocols: ['postern-link/1'] }, (socket) => {
    socket.on('error', () => {});
    socket.resume();
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

async function dial(address: string, change: { nowMs?: number; builtAtMs?: number; caFingerprint?: string } = {}): Promise<void> {
  const options = { caFingerprint: ca.caFingerprint, timeoutMs: 5_000, builtAtMs: Date.now() - 10 * dayMs, ...change, nowMs: () => change.nowMs ?? Date.now() };
  (await dialGateway(address, options)).destroy();
}

const isRefused = (text: RegExp) => (thrown: unknown) => isFault(thrown, 'unauthenticated') && text.test(thrown.message);

describe('the gateway is known by the key of its CA', () => {
  test('the right one is taken, whatever it is called', async () => {
    await using server = await openServer(ca.leafKey, ca.leafPem + ca.caPem);
    await dial(server.address);
  });

  test('another fingerprint, a chain without the CA, a leaf alone', async () => {
    await using server = await openServer(ca.leafKey, ca.leafPem + ca.caPem);
    await assert.rejects(dial(server.address, { caFingerprint: 'ab'.repeat(32) }), isRefused(/not the gateway/));
    await using alone = await openServer(ca.leafKey, ca.leafPem);
    await assert.rejects(dial(alone.address), isRefused(/not the gateway/));
  });

  test('a forged leaf of the same name beside the true CA certificate', async () => {
    const forger = await makeKeyPair();
    const leafKeys = await makeKeyPair();
    // Issued in the name of the CA, signed by another key.
    const forged = await issueServerLeaf({ ca: { certificatePem: ca.caPem, signingKey: forger.privateKey }, names: { dns: ['link.gw.example.test'], ip: [] }, publicKey: leafKeys.publicKey, now: Date.now(), random: randomBytes });
    await using server = await openServer(await privateKeyPemOf(leafKeys), forged.pem + ca.caPem);
    await assert.rejects(dial(server.address), isRefused(/not the gateway/));
  });

  test('dates count, but not for a clock that cannot be right', async () => {
    await using server = await openServer(ca.leafKey, ca.leafPem + ca.caPem);
    await assert.rejects(dial(server.address, { nowMs: Date.now() + 500 * dayMs }), isRefused(/this machine's clock/));
    await assert.rejects(dial(server.address, { nowMs: Date.now() - 5 * dayMs }), isRefused(/this machine's clock/));
    await dial(server.address, { nowMs: 0 });
  });

  test('nobody answers', async () => {
    const { address } = await openServer(ca.leafKey, ca.leafPem).then(async (server) => {
      await server[Symbol.asyncDispose]();
      return server;
    });
    await assert.rejects(dial(address), (thrown) => isFault(thrown, 'unreachable'));
  });
});
