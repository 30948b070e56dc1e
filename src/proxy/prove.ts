// The proof of a route: one marked request to its server, as the data plane would send it for a device, and what the server says that it saw.
// Nobody's connection is used or kept: it is opened for this request and closed behind it.
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { assertionField, claimsIn } from '#model/device-assertion.ts';
import type { ConfigApplication } from '#model/config.ts';
import { addressSeen, judgeConnection, judgeProof, type ProofVerdict } from '#model/proof.ts';
import { provePath, seenField } from '#model/snippets.ts';
import type { DialBy } from '#net/dial.ts';
import { plainAddress } from '#net/conn.ts';
import { encodeForwarded } from '#wire/forwarded.ts';
import type { ResponseHead } from '#wire/http1.ts';
import { encodeProxyHeader, type Endpoint } from '#wire/proxy-protocol.ts';
import { Upstream, type UpstreamSink } from './http1-upstream.ts';

export interface ProofOrder {
  readonly tell: ConfigApplication['tell'];
  readonly isHttp: boolean;
  /** What Host says. */
  readonly host: string;
  /** Null: where servers with a snippet answer. With or without a query, never a fragment. */
  readonly path: string | null;
  readonly told: { readonly client: string; readonly local: string | null };
  /** The device's other address, for the verdict; null where it has none. */
  readonly other: string | null;
  /** X-Postern-Identity; '' without. */
  readonly assertion: string;
  /** At which the device would have reached us: what a PROXY header names as destination. */
  readonly reached: Endpoint;
  /** `[A-Za-z0-9_-]`, so that it can be found in a log. */
  readonly nonce: string;
}

export interface ProofSent {
  /** From which and to which address the connection went; null where the system does not say. */
  readonly local: string | null;
  readonly remote: string | null;
  /** Lines of the request's head; of the statement about the device only that it is there. Empty for what is no HTTP. */
  readonly head: readonly string[];
  readonly proxyHeader: { readonly version: 1 | 2; readonly source: string; readonly destination: string } | null;
  /** What the statement says; null without one. */
  readonly claims: Readonly<Record<string, unknown>> | null;
}

export interface ProofAnswer {
  readonly status: number;
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** The beginning of it, as text; what is no text shows as replacement characters. */
  readonly body: string;
}

export interface Proof extends ProofVerdict {
  readonly nonce: string;
  readonly path: string | null;
  readonly told: string;
  readonly sent: ProofSent;
  readonly answer: ProofAnswer | null;
  readonly seen: string | null;
}

export interface ProofDeps {
  /** Opens the route's server; the header goes before everything else. */
  dial(by: DialBy, header?: Buffer): Promise<Duplex>;
  readonly limits: Pick<Limits, 'dialTimeoutMs' | 'proofTimeoutMs' | 'proofBodyBytesMax' | 'proofQuietMs'>;
}

const textOf = ({ address, port }: Endpoint): string => `${address.includes(':') ? `[${address}]` : address}:${port}`;

function targetOf(path: string | null, nonce: string): string {
  const asked = path ?? provePath;
  if (!/^\/[!-"$-~]{0,1023}$/.test(asked)) throw new Fault('bad-input', 'a path begins with "/" and has up to 1024 printable characters without blanks and "#"');
  return `${asked}${asked.includes('?') ? '&' : '?'}postern-prove=${nonce}`;
}

interface Received {
  readonly answer: ProofAnswer | null;
  /** It ended without a whole head. */
  readonly cut: boolean;
}

/** One answer, the beginning of its body alone. A Fault of the upstream is a cut unless a head had come. */
function receive(stream: Duplex, head: string, limits: ProofDeps['limits']): Promise<Received> {
  return new Promise((resolve) => {
    let answered: ResponseHead | null = null;
    const pieces: Buffer[] = [];
    let bytes = 0;
    const settle = (cut: boolean) => {
      clearTimeout(timer);
      upstream.destroy();
      const answer = answered === null ? null : { status: answered.status, fields: answered.fields.names.map((name, i) => [name, answered!.fields.values[i]!] as const), body: Buffer.concat(pieces).subarray(0, limits.proofBodyBytesMax).toString('utf8') };
      resolve({ answer, cut: answer === null && cut });
    };
    const sink: UpstreamSink = {
      onInterim() {},
      onAnswerHead: (given) => void (answered = given),
      onAnswerPiece(piece) {
        // What it stands in is used again for the next read.
        if (bytes < limits.proofBodyBytesMax) pieces.push(Buffer.from(piece));
        bytes += piece.length;
        if (bytes >= limits.proofBodyBytesMax) settle(false);
      },
      onAnswerEnd: () => settle(false),
      onSwitched: (given, switched) => {
        answered = given;
        switched.destroy();
        settle(false);
      },
      onTurnEnd() {},
      onUpstreamDrain() {},
      onUpstreamFailed: () => settle(true),
    };
    const upstream = new Upstream(stream, () => {});
    const timer = setTimeout(() => settle(false), limits.proofTimeoutMs);
    upstream.begin(sink, 'GET', head, true);
  });
}

/** Whether the server ends the connection within a moment; most that dislike a PROXY header do. */
function staysOpen(stream: Duplex, quietMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (stays: boolean) => {
      clearTimeout(timer);
      stream.destroy();
      resolve(stays);
    };
    const timer = setTimeout(() => settle(true), quietMs);
    // What it says first (a banner) is read and passed over, so that its end is seen.
    stream.on('data', () => {}).once('end', () => settle(false)).once('close', () => settle(false)).on('error', () => settle(false));
  });
}

/** Faults: `bad-input` (the path), and those of dialling: then nothing was sent. */
export async function proveRoute(order: ProofOrder, { dial, limits }: ProofDeps): Promise<Proof> {
  const { tell, told, nonce, isHttp } = order;
  const path = isHttp ? targetOf(order.path, nonce) : null;
  const version = tell === 'proxy-v1' ? 1 : tell === 'proxy-v2' ? 2 : null;
  // A port that nobody has: the device's connection is only thought of.
  const source = { address: told.client, port: 0 };
  const header = version === null ? undefined : encodeProxyHeader({ version, source, destination: order.reached });
  const stream = await dial({ client: told.client, timeoutMs: limits.dialTimeoutMs, ...(told.local === null ? {} : { localAddress: told.local }) }, header);
  const place = placesOf(stream);
  const lines = path === null ? '' : encodeProof(order, path);
  const sent: ProofSent = {
    local: place.local === null ? null : textOf(place.local),
    remote: place.remote === null ? null : textOf(place.remote),
    head: lines.split('\r\n').filter((line) => line !== '').map((line) => (line.startsWith(`${assertionField}: `) ? `${assertionField}: (signed, shown as claims)` : line)),
    proxyHeader: version === null ? null : { version, source: textOf(source), destination: textOf(order.reached) },
    claims: order.assertion === '' || path === null ? null : claimsIn(order.assertion),
  };
  const base = { nonce, path, told: told.client, sent };
  if (path === null) {
    const cut = !(await staysOpen(stream, limits.proofQuietMs));
    return { ...base, answer: null, seen: null, ...judgeConnection({ tell, told: told.client, cut }) };
  }
  const { answer: received, cut } = await receive(stream, `${lines}\r\n`, limits);
  const answer = received === null ? null : withoutSecrets(received, order.assertion);
  const seen = answer === null ? null : addressSeen(answer.fields.find(([name]) => name === seenField.toLowerCase())?.[1]);
  const verdict = judgeProof({ tell, told: told.client, other: order.other, local: place.local?.address ?? null, nonce, path, answer: answer === null ? null : { status: answer.status, seen }, cut });
  return { ...base, answer, seen, ...verdict };
}

/** What lets others in is not shown: cookies of the application, and our own statement where the server repeats what it was asked. */
function withoutSecrets({ status, fields, body }: ProofAnswer, assertion: string): ProofAnswer {
  const hidden = (text: string) => (assertion === '' ? text : text.replaceAll(assertion, '(signed)').replaceAll(assertion.slice(assertion.lastIndexOf('.') + 1), '(signed)'));
  return { status, fields: fields.map(([name, value]) => [name, name === 'set-cookie' ? '(not shown)' : hidden(value)] as const), body: hidden(body) };
}

function encodeProof({ host, told, assertion, nonce }: ProofOrder, path: string): string {
  const identity = assertion === '' ? '' : `${assertionField}: ${assertion}\r\n`;
  const forwarded = encodeForwarded({ client: told.client, before: null, via: told.client, host, proto: 'https' });
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\nX-Postern-Prove: ${nonce}\r\n${forwarded}${identity}Connection: close\r\n`;
}

function placesOf(stream: Duplex): { readonly local: Endpoint | null; readonly remote: Endpoint | null } {
  if (!(stream instanceof Socket)) return { local: null, remote: null };
  const end = (address: string | undefined, port: number | undefined) => (address === undefined || port === undefined ? null : { address: plainAddress(address), port });
  return { local: end(stream.localAddress, stream.localPort), remote: end(stream.remoteAddress, stream.remotePort) };
}
