// Who an agent takes for its gateway: real handshakes with certificates of the same CA.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { before, test } from 'node:test';
import { createServer } from 'node:tls';
import { isFault } from '#base/fault.ts';
import { issueAgentCertificate, issueServerLeaf, makeCa } from '#model/certificate.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';
import { encodeCertificateRequest } from '#wire/pkcs10.ts';
import { dialGateway } from './gateway-dial.ts';

const random = (bytes: number) => randomBytes(bytes);
const now = Date.now();
const agentId = '01890a5d-ac96-774b-bcce-b302099a8057';
let ca: Awaited<ReturnType<typeof makeCa>>;
let server: { key: string; cert: string };
/** Of the same CA, for whoever brought a request. */
let other: { key: string; cert: string };
let agent: { key: string; cert: string };

before(async () => {
  const caKeys = await makeKeyPair();
  ca = await makeCa({ name: 'test', keys: caKeys, now, random });
  const authority = { certificatePem: ca.pem, signingKey: caKeys.privateKey };
  const serverKeys = await makeKeyPair();
  const serverFor = async (dns: string[]) => ({ key: await privateKeyPemOf(serverKeys), cert: (await issueServerLeaf({ ca: authority, names: { dns, ip: ['127.0.0.1'] }, publicKey: serverKeys.publicKey, now, random })).pem });
  server = await serverFor(['gw.example.test', 'link.localhost']);
  other = await serverFor(['link.gw.example.test', 'xlink.localhost', '*.localhost']);
  const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  agent = { key, cert: (await issueAgentCertificate({ ca: authority, csrPem: encodeCertificateRequest(key, 'agent'), agentId, now, random })).pem };
});

async function dialOne(shown: { key: string; cert: string }, caFingerprint: string): Promise<unknown> {
  const listening = createServer({ key: shown.key, cert: shown.cert + ca.pem, ALPNProtocols: ['postern-link/1'] });
  listening.on('tlsClientError', () => {});
  await new Promise<void>((done) => listening.listen(0, '127.0.0.1', () => done()));
  const { port } = listening.address() as AddressInfo;
  try {
    const socket = await dialGateway(`https://127.0.0.1:${port}`, { caFingerprint, timeoutMs: 5_000, nowMs: () => now, builtAtMs: 0 });
    socket.destroy();
    return 'linked';
  } catch (thrown) {
    return thrown;
  } finally {
    await new Promise((done) => listening.close(done));
  }
}

test('the gateway is known by its CA', async () => assert.equal(await dialOne(server, ca.keyFingerprint), 'linked'));

test('another CA is not the gateway', async () => {
  const fault = await dialOne(server, 'ab'.repeat(32));
  assert.ok(isFault(fault, 'unauthenticated'));
  assert.match(fault.message, /not the gateway that this agent was joined to/);
});

test('an agent of the same CA cannot pose as the gateway', async () => {
  const fault = await dialOne(agent, ca.keyFingerprint);
  assert.ok(isFault(fault, 'unauthenticated'), String(fault));
  assert.match(fault.message, /not a gateway's/);
});

test('a server of the same CA cannot either, whatever it is called', async () => {
  const fault = await dialOne(other, ca.keyFingerprint);
  assert.ok(isFault(fault, 'unauthenticated'), String(fault));
  assert.match(fault.message, /not a gateway's/);
});
