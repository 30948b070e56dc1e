// The requests of an agent over a real node:http server; what signs and what stores are handed in.
import assert from 'node:assert/strict';
import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { silentLog, type Log } from '#base/log.ts';
import type { Agent, AgentCertificate } from '#model/rows.ts';
import { buildTables } from '#model/tables.ts';
import { buildJoin } from './join.ts';

const agent: Agent = { id: 'a1', customerId: 'c1', siteId: 's1', name: 'one', state: 'active', createdAt: 0 };
const kept: AgentCertificate = { fingerprint: 'f0', customerId: 'c1', agentId: 'a1', keyFingerprint: 'k', notBefore: 0, notAfter: 9e12, revokedAt: null };
const tables = buildTables({ customers: [], sites: [], agents: [agent], agentCertificates: [kept], agentNotes: [], devices: [], oldLabels: [], people: [], rights: [], signIns: [], tokens: [], joinTokens: [], invites: [], certificates: [], deliveries: [], deviceKeys: [], waitingDevices: [], deviceNotes: [], leases: [], deviceTags: [], suspensions: [], sitePlaces: [], siteDoors: [], virtualAddresses: [], releasedAddresses: [], deviceProfiles: [], deviceTokens: [], evidence: [], jobSources: [] });

let nowMs = 0;
let signatures = 0;
const errors: string[] = [];
const log: Log = { ...silentLog, error: (event) => void errors.push(event) };
const clock: Clock = { nowMs: () => nowMs, monoMs: () => nowMs, after: () => ({ cancel() {} }), every: () => ({ cancel() {} }) };
const server = createServer(
  buildJoin({
    tables, clock, log, limits: { devicesMax: 10 },
    operations: { join: async () => {}, addAgentCertificate: async () => {}, addAudit: async () => {} },
    inTurn: buildInTurn(100),
    journal: { note() {} },
    newId: () => 'x',
    caPem: 'CA',
    issue: async () => ({ pem: 'PEM', fingerprint: `f${++signatures}`, keyFingerprint: 'k', notBefore: 0, notAfter: 9e12 }),
    verify: () => ({ agentId: 'a1', fingerprint: 'f0', keyFingerprint: 'k', notBefore: 0, notAfter: 9e12, expired: false }),
    addresses: () => [],
    deviceUrl: () => '',
    askerOf: () => ({ from: '192.0.2.1', peerCertificate: {} as X509Certificate }),
  }),
);
let port = 0;
before(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
after(() => void server.close());

const renew = async () => (await fetch(`http://127.0.0.1:${port}/link/renew`, { method: 'POST', body: '{"csr":"x"}', headers: { connection: 'close' } })).status;

test('an agent that renews again and again is stopped, for an hour', async () => {
  for (let i = 0; i < 10; i++) assert.equal(await renew(), 200);
  for (let i = 0; i < 3; i++) assert.equal(await renew(), 429);
  assert.equal(signatures, 10);
  assert.equal(tables.agentCertificates.size, 11);
  nowMs += 3_600_000;
  assert.equal(await renew(), 200);
});

test('a request that breaks off is no failure of the gateway', async () => {
  const [[incoming]] = await Promise.all([
    once(server, 'request') as Promise<[IncomingMessage]>,
    new Promise<void>((done) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('POST /link/join HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{', () => setTimeout(() => (socket.destroy(), done()), 50)));
    }),
  ]);
  if (!incoming.closed) await new Promise<void>((done) => incoming.on('close', () => done()));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(errors, []);
});
