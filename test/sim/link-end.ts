// A link endpoint for tests: TLS, the head of one request, and the hub behind it. With a CA and agents' identities.
import { randomBytes } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createTcpServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { writeAgentState } from '#app/agent-state.ts';
import type { AgentState } from '#app/agent-state.ts';
import { Fault } from '#base/fault.ts';
import { buildIds } from '#base/ids.ts';
import { limits as allLimits } from '#base/limits.ts';
import type { Limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { issueAgentCertificate, issueServerLeaf, makeCa } from '#model/certificate.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';
import type { AgentNote } from '#model/rows.ts';
import type { Budget } from '#tunnel/budget.ts';
import { buildHub } from '#tunnel/hub.ts';
import type { Hub } from '#tunnel/hub.ts';
import { isBad, parseRequestHead } from '#wire/http1.ts';
import { encodeCertificateRequest } from '#wire/pkcs10.ts';
import { bigBudget, testClock } from './ends.ts';

export const newId = buildIds(() => Date.now(), randomBytes);

export interface TestCa {
  readonly caPem: string;
  readonly caFingerprint: string;
  readonly leafPem: string;
  readonly leafKey: string;
  /** An agent's identity as the state folder keeps it, and its certificate's fingerprint. */
  issue(agentId: string): Promise<{ state: AgentState; fingerprint: string }>;
  /** Another certificate for a request. */
  reissue(agentId: string, csrPem: string): Promise<{ pem: string; fingerprint: string }>;
}

export async function buildTestCa(): Promise<TestCa> {
  const keys = await makeKeyPair();
  const now = Date.now();
  const made = await makeCa({ name: 'test', keys, now, random: randomBytes });
  const ca = { certificatePem: made.pem, signingKey: keys.privateKey };
  const leafKeys = await makeKeyPair();
  const leaf = await issueServerLeaf({ ca, names: { dns: ['link.gw.example.test', 'link.localhost'], ip: [] }, publicKey: leafKeys.publicKey, now, random: randomBytes });
  return {
    caPem: made.pem,
    caFingerprint: made.keyFingerprint,
    leafPem: leaf.pem,
    leafKey: await privateKeyPemOf(leafKeys),
    reissue: (agentId, csrPem) => issueAgentCertificate({ ca, csrPem, agentId, now, random: randomBytes }),
    async issue(agentId) {
      const agentKeys = await makeKeyPair();
      const key = await privateKeyPemOf(agentKeys);
      const issued = await issueAgentCertificate({ ca, csrPem: encodeCertificateRequest(key, 'test'), agentId, now, random: randomBytes });
      const state: AgentState = {
        agentId,
        addresses: [],
        caFingerprint: made.keyFingerprint,
        key,
        certificate: issued.pem,
        ca: made.pem,
        device: { id: agentId, label: 'test', name: 'test', url: '' },
      };
      return { state, fingerprint: issued.fingerprint };
    },
  };
}

export interface LinkEnd extends AsyncDisposable {
  readonly hub: Hub;
  readonly address: string;
  readonly port: number;
  readonly notes: AgentNote[];
  readonly journal: { event: string; fields: Readonly<Record<string, unknown>> }[];
  /** By the certificate's fingerprint. */
  readonly agents: Map<string, string | Fault>;
  /** The next handshakes are answered with this instead. */
  answerWith: string | undefined;
  /** What `POST /link/renew` answers with. */
  renew: ((csrPem: string) => Promise<Readonly<Record<string, unknown>>>) | undefined;
  /** As a crash does: every connection is cut without a word. */
  kill(): Promise<void>;
}

export async function openLinkEnd(ca: TestCa, options: { port?: number; limits?: Partial<Limits>; agents?: Map<string, string | Fault>; addresses?: readonly string[]; budget?: Budget } = {}): Promise<LinkEnd> {
  const notes: AgentNote[] = [];
  const journal: LinkEnd['journal'] = [];
  const agents = options.agents ?? new Map<string, string | Fault>();
  const hub = buildHub({
    clock: testClock,
    log: silentLog,
    journal: { note: (event, fields) => void journal.push({ event, fields }) },
    limits: { ...allLimits, ...options.limits },
    random: randomBytes,
    newId,
    budget: options.budget ?? bigBudget(),
    judgeAgent(fingerprint) {
      const found = agents.get(fingerprint) ?? new Fault('unauthenticated', 'unknown certificate');
      return typeof found === 'string' ? { agentId: found } : found;
    },
    onAgentSeen: (note) => void notes.push(note),
    noteOf: () => undefined,
    addresses: () => options.addresses ?? [],
  });
  const sockets = new Set<Socket>();
  const server = createServer({ key: ca.leafKey, cert: ca.leafPem + ca.caPem, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['postern-link/1'] }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    readHead(socket, (text, leftover) => {
      if (end.answerWith !== undefined) return void socket.end(end.answerWith);
      const head = parseRequestHead(text);
      if (isBad(head)) throw new Error(head.bad);
      if (head.method === 'POST') return void answerRenewal(socket, leftover, end);
      const certificate = (socket.getPeerX509Certificate() as X509Certificate | undefined) ?? null;
      hub.takeover({ socket, leftover, head, from: '198.51.100.9', secure: true, peerCertificate: certificate, connId: 'c1' });
    });
  });
  server.on('tlsClientError', () => {});
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const kill = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => void server.close(() => resolve()));
  };
  const end: LinkEnd = {
    hub,
    port,
    address: `https://127.0.0.1:${port}`,
    notes,
    journal,
    agents,
    answerWith: undefined,
    renew: undefined,
    kill,
    async [Symbol.asyncDispose]() {
      hub.close();
      await kill();
    },
  };
  return end;
}

async function answerRenewal(socket: TLSSocket, leftover: Buffer, end: LinkEnd): Promise<void> {
  let text = leftover.toString();
  socket.resume();
  while (!text.endsWith('}')) text += String((await once(socket, 'data'))[0]);
  const { csr } = JSON.parse(text) as { csr: string };
  const body = JSON.stringify(await end.renew?.(csr));
  socket.end(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
}

function readHead(socket: TLSSocket, onHead: (text: string, leftover: Buffer) => void): void {
  let bytes = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    const at = bytes.indexOf('\r\n\r\n');
    if (at < 0) return;
    socket.off('data', onData);
    socket.pause();
    onHead(bytes.toString('latin1', 0, at + 4), bytes.subarray(at + 4));
  };
  socket.on('data', onData);
}

/** A state folder of its own, with the identity in it. */
export async function makeStateDir(state: AgentState, address: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-agent-'));
  await writeAgentState(folder, { ...state, addresses: [address] });
  return folder;
}

export async function removeDir(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

export interface TestServer extends AsyncDisposable {
  readonly port: number;
}

export async function openTcp(onSocket: (socket: Socket) => void): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    onSocket(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}
