// Real TLS over a pair in this process, and a device that lies in the middle of it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { createServer, type SecureVersion } from 'node:tls';
import { isFault } from '#base/fault.ts';
import { makeCa } from '#model/certificate.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';
import { openDeviceTls } from './device-tls.ts';

async function startDevice(version: SecureVersion) {
  const keys = await makeKeyPair();
  const { pem, fingerprint } = await makeCa({ name: 'device', keys, now: Date.now(), random: randomBytes });
  const server = createServer({ key: await privateKeyPemOf(keys), cert: pem, minVersion: version, maxVersion: version }, (socket) => socket.on('error', () => {}).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, port: (server.address() as AddressInfo).port, fingerprint };
}

/** A way to the device that adds `behind` to its nth piece. */
function wayTo(port: number, behind?: { readonly piece: number; readonly bytes: Buffer }) {
  const [near, far] = duplexPair();
  const wire = connect(port, '127.0.0.1');
  let pieces = 0;
  wire.on('data', (piece: Buffer) => void far.write(++pieces === behind?.piece ? Buffer.concat([piece, behind.bytes]) : piece));
  far.on('data', (piece: Buffer) => void wire.write(piece));
  near.on('error', () => {}).on('close', () => wire.destroy());
  wire.on('error', () => {}).on('close', () => far.destroy());
  far.on('error', () => {});
  return near;
}

for (const [version, piece] of [['TLSv1.3', 1], ['TLSv1.2', 2]] as const) {
  test(`${version}: garbage right behind the device's handshake is a Fault, not the end of the process`, async () => {
    const device = await startDevice(version);
    const uncaught: unknown[] = [];
    const onUncaught = (thrown: unknown) => void uncaught.push(thrown);
    process.on('uncaughtException', onUncaught);
    try {
      const near = wayTo(device.port, { piece, bytes: Buffer.alloc(40, 9) });
      await assert.rejects(openDeviceTls(near, { host: '127.0.0.1', fingerprint: null, onFirst: (seen) => seen, timeoutMs: 5_000 }), (thrown) => isFault(thrown, 'protocol'));
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(uncaught, []);
    } finally {
      process.off('uncaughtException', onUncaught);
      device.server.close();
    }
  });
}

test('the certificate of the first use is told, another one later refused', async () => {
  const device = await startDevice('TLSv1.3');
  try {
    let seen = '';
    const first = await openDeviceTls(wayTo(device.port), { host: '127.0.0.1', fingerprint: null, onFirst: (fingerprint) => (seen = fingerprint), timeoutMs: 5_000 });
    assert.equal(seen, device.fingerprint);
    first.write('hello');
    const [answer] = (await once(first, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'hello');
    first.destroy();
    await assert.rejects(openDeviceTls(wayTo(device.port), { host: '127.0.0.1', fingerprint: 'a'.repeat(64), onFirst: (seen) => seen, timeoutMs: 5_000 }), (thrown) => isFault(thrown, 'forbidden'));
    await assert.rejects(openDeviceTls(wayTo(device.port), { host: '127.0.0.1', fingerprint: null, onFirst: () => 'b'.repeat(64), timeoutMs: 5_000 }), (thrown) => isFault(thrown, 'forbidden') && /bbbb/.test(thrown.message), 'another connection was first');
  } finally {
    device.server.close();
  }
});
