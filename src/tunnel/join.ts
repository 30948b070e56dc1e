// The gateway's side of joining and renewing: two small requests on the link endpoint, the only ones there that need no link.
// docs/wire/tunnel.md §1.
import type { X509Certificate } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, toFault, type FaultCode } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import { printable, type Log } from '#base/log.ts';
import { digestOf } from '#base/secret.ts';
import { keyFingerprintOf, type AgentProof } from '#model/fingerprint.ts';
import { labelTaken, makeLabel } from '#model/labels.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import type { Actor, Agent, AgentCertificate, Device } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';

/** A certificate just issued; times in ms since 1970. */
export interface Issued {
  readonly pem: string;
  readonly fingerprint: string;
  readonly keyFingerprint: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface JoinOptions {
  readonly tables: Tables;
  readonly operations: Pick<Operations, 'join' | 'addAgentCertificate' | 'addAudit'>;
  readonly inTurn: InTurn;
  readonly clock: Clock;
  readonly limits: Pick<Limits, 'devicesMax'>;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly newId: () => Id;
  readonly caPem: string;
  issue(csrPem: string, agentId: Id): Promise<Issued>;
  verify(certificate: X509Certificate): AgentProof | Fault;
  /** Where agents dial from now on. */
  addresses(): readonly string[];
  deviceUrl(device: Device): string;
  /** From where, and with what certificate, a request came. */
  askerOf(request: IncomingMessage): { readonly from: string; readonly peerCertificate: X509Certificate | null };
}

const BODY_BYTES_MAX = 32 * 1024;
const FAILURES_PER_MINUTE_MAX = 20;
const ADDRESSES_MAX = 10_000;
/** An agent renews every sixty days; each renewal is a signature, a row kept for ever and a line of the audit. */
const RENEWALS_PER_HOUR_MAX = 10;
const HOUR_MS = 3_600_000;
const STATUS: Readonly<Partial<Record<FaultCode, number>>> = { 'bad-input': 400, unauthenticated: 401, forbidden: 403, conflict: 409, gone: 410, 'too-large': 413, 'too-many': 429, busy: 503 };

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > BODY_BYTES_MAX) throw new Fault('too-large', `the request is larger than ${BODY_BYTES_MAX / 1024} KiB`);
    pieces.push(piece);
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch (cause) {
    throw new Fault('bad-input', 'the request is not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Fault('bad-input', 'the request is not a JSON object');
  return value as Record<string, unknown>;
}

function textOf(body: Record<string, unknown>, name: string, charsMax: number, need = true): string {
  const value = body[name];
  if (value === undefined && !need) return '';
  if (typeof value !== 'string' || value.length === 0 || value.length > charsMax) throw new Fault('bad-input', `"${name}" must be a text of 1 to ${charsMax} characters`);
  return value;
}

/** For `server.on('request', …)` of the service `join`. */
export function buildJoin(options: JoinOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const { tables, operations, clock, journal } = options;
  // Passing state of the gateway: wrong tokens per address, forgotten each minute.
  let failures = new Map<string, number>();
  let failuresSinceMs = clock.monoMs();

  /** Times of each agent's renewals in the last hour. */
  const renewals = new Map<Id, number[]>();

  const checkRenewals = (agentId: Id) => {
    const now = clock.monoMs();
    const recent = (renewals.get(agentId) ?? []).filter((at) => now - at < HOUR_MS);
    if (recent.length >= RENEWALS_PER_HOUR_MAX) throw new Fault('too-many', 'this agent has renewed its certificate too often', { remedy: 'Wait an hour; if it does so again, revoke the agent.' });
    renewals.set(agentId, [...recent, now]);
  };

  const failed = (from: string) => {
    if (failures.size >= ADDRESSES_MAX) failures.clear();
    failures.set(from, (failures.get(from) ?? 0) + 1);
  };
  const checkRate = (from: string) => {
    if (clock.monoMs() - failuresSinceMs > 60_000) {
      failures = new Map();
      failuresSinceMs = clock.monoMs();
    }
    if ((failures.get(from) ?? 0) >= FAILURES_PER_MINUTE_MAX) throw new Fault('too-many', 'too many tries with wrong tokens from this address', { remedy: 'Wait a minute.' });
  };

  const certificateRow = (agent: Agent, issued: Issued): AgentCertificate => ({
    fingerprint: issued.fingerprint, customerId: agent.customerId, agentId: agent.id, keyFingerprint: issued.keyFingerprint, notBefore: issued.notBefore, notAfter: issued.notAfter, revokedAt: null,
  });

  const join = (body: Record<string, unknown>, from: string) =>
    options.inTurn(async () => {
      checkRate(from);
      const token = tables.joinTokenByDigest(digestOf(textOf(body, 'token', 200)));
      const csr = textOf(body, 'csr', 8_192);
      const name = printable(textOf(body, 'name', 200, false), 100);
      if (!token) {
        failed(from);
        throw new Fault('unauthenticated', 'this join token is not known here', { remedy: 'Is it whole, and for this gateway? Make a new one under "Add a device".' });
      }
      if (token.usedAt !== null) throw new Fault('gone', 'this join token has been used', { remedy: 'A token is good once. Make a new one under "Add a device".' });
      if (token.expiresAt <= clock.nowMs()) throw new Fault('gone', 'this join token has expired', { remedy: 'A token is good for an hour. Make a new one under "Add a device".' });
      // Tokens that wait were made while there was room; the count is looked at again where the row is made.
      if (tables.devices.size >= options.limits.devicesMax) throw new Fault('too-many', `the gateway has ${options.limits.devicesMax} devices already`, { remedy: 'Remove some; this token stays good within its hour.' });
      const now = clock.nowMs();
      const agentId = options.newId();
      const issued = await options.issue(csr, agentId);
      const agent: Agent = { id: agentId, customerId: token.customerId, siteId: token.siteId, name: name || token.deviceName, state: 'active', createdAt: now };
      const device: Device = {
        id: options.newId(), customerId: token.customerId, siteId: token.siteId, agentId, serial: token.serial, label: makeLabel(token.deviceName, (label) => labelTaken(tables, label, now)),
        name: token.deviceName, host: token.host, ports: token.ports, hostHeader: 'own', locked: false, createdAt: now,
      };
      const certificate = certificateRow(agent, issued);
      const actor: Actor = { kind: 'agent', id: agentId, name: agent.name, from };
      await operations.join(token.id, agent, certificate, device, {
        at: now, customerId: agent.customerId, actor, what: 'agent.joined', subjectKind: 'device', subjectId: device.id, subjectName: device.name,
        detail: { agent: agentId, label: device.label, joinToken: token.id, keyFingerprint: issued.keyFingerprint },
      });
      tables.agents.publish({ put: [agent] });
      tables.agentCertificates.publish({ put: [certificate] });
      tables.devices.publish({ put: [device] });
      tables.joinTokens.publish({ put: [{ ...token, usedAt: now, usedByAgentId: agentId }] });
      options.log.info('agent.joined', { agent: agentId, device: device.id, label: device.label, from });
      return { agentId, certificate: issued.pem, ca: options.caPem, addresses: options.addresses(), device: { id: device.id, label: device.label, name: device.name, url: options.deviceUrl(device) }, now };
    });

  const renew = (body: Record<string, unknown>, from: string, shown: X509Certificate | null) =>
    options.inTurn(async () => {
      if (!shown) throw new Fault('unauthenticated', 'a renewal needs the present certificate in the TLS handshake');
      const proof = options.verify(shown);
      if (isFault(proof)) throw proof;
      const kept = tables.agentCertificates.get(proof.fingerprint);
      const agent = tables.agents.get(proof.agentId);
      if (!kept || !agent) throw new Fault('unauthenticated', 'this certificate belongs to no agent of this gateway', { remedy: 'Join again.' });
      if (agent.state !== 'active' || kept.revokedAt !== null) throw new Fault('forbidden', `this agent is ${agent.state === 'locked' ? 'locked' : 'revoked'}`);
      checkRenewals(agent.id);
      const issued = await options.issue(textOf(body, 'csr', 8_192), agent.id);
      // An expired certificate still says whose key it is; a new key needs one that is still good (DESIGN §3.9).
      if (proof.expired && issued.keyFingerprint !== keyFingerprintOf(shown)) throw new Fault('forbidden', 'an expired certificate renews only with its own key');
      const certificate = certificateRow(agent, issued);
      const now = clock.nowMs();
      await operations.addAgentCertificate(certificate, {
        at: now, customerId: agent.customerId, actor: { kind: 'agent', id: agent.id, name: agent.name, from }, what: 'agent.certificate-renewed', subjectKind: 'agent', subjectId: agent.id, subjectName: agent.name,
        detail: { notAfter: issued.notAfter, expired: proof.expired },
      });
      tables.agentCertificates.publish({ put: [certificate] });
      return { agentId: agent.id, certificate: issued.pem, ca: options.caPem, addresses: options.addresses(), now };
    });

  return (request, response) => {
    const { from, peerCertificate } = options.askerOf(request);
    const answer = (status: number, value: object, type: string) => {
      const text = JSON.stringify(value);
      response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(text), 'Cache-Control': 'no-store' });
      response.end(text);
    };
    void (async () => {
      try {
        if (request.method !== 'POST') throw new Fault('bad-input', 'this address takes POST');
        const body = await readJson(request);
        const path = (request.url ?? '').split('?', 1)[0];
        answer(200, path === '/link/renew' ? await renew(body, from, peerCertificate) : await join(body, from), 'application/json');
      } catch (thrown) {
        if (request.destroyed && !request.complete) return; // it left before it had said all: there is nobody to answer
        const fault = toFault(thrown);
        const status = STATUS[fault.code] ?? 500;
        if (status === 500) options.log.error('join.failed', { from, why: fault.message, stack: fault.stack });
        journal.note('join.refused', { from, code: fault.code, why: printable(fault.message) });
        const shown = status === 500 ? 'something went wrong in the gateway; its log says what' : fault.message;
        answer(status, { type: 'about:blank', title: 'Join refused', status, code: fault.code, detail: shown, remedy: fault.remedy ?? null }, 'application/problem+json');
      }
    })();
  };
}
