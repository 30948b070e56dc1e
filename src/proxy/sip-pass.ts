// What becomes of one SIP message between a client and its upstream: a proxy that keeps no transactions, stays on the path of dialogs, and lets only
// requests for admitted domains through (RFC 3261 §16.11; docs/wire/sip.md). No sockets here.
import { addOurVia, addPath, addRecordRoute, dialogClaim, encodeSip, isOurClaim, noteSource, ourUri, popRoutes, sentByOf, sipTokens, takeOurVia, withField, withoutIdentity, type SipPlace, type SipSource } from '#wire/sip-edits.ts';
import type { SipFrame } from '#wire/sip-frames.ts';
import { refuseSipHead, sipReasonOf } from '#wire/sip-refusal.ts';
import { canonicalSipHost, type SipUri } from '#wire/sip-uri.ts';
import { dialogDomainOf, dialogParam, sipAskedOf, sipField, topRoute, type SipField, type SipHead, type SipRequest, type SipResponse } from '#wire/sip.ts';

export interface SipUs {
  /** How clients reach us: public name or address. */
  readonly host: string;
  readonly port: number;
  readonly transport: 'tcp' | 'tls';
  /** Our end of the connection to the upstream, as the upstream sees it: what it looks up when it sends requests back over it. */
  readonly upstreamHost: string;
  readonly upstreamPort: number;
  readonly upstreamTransport: 'tcp' | 'tls';
}

export interface SipJudged {
  readonly domain: string | null;
  readonly user: string | null;
  /** Who sends it, as From says. */
  readonly fromUser: string | null;
  readonly method: string;
}

export interface SipPassOptions {
  readonly us: SipUs;
  /** Other names of ours in Route, for instance those that phones have as their outbound proxy. */
  readonly ourNames: readonly string[];
  readonly client: SipSource;
  readonly upstream?: SipSource;
  /** An unpredictable string; asked once for each connection, branches are made from it. */
  newBranch(): string;
  /** Of the gateway, the same over connections and restarts: proves which domain a dialog was admitted for. */
  readonly dialogKey: Buffer;
  /** For every request of the client; null: it may go on, else why not. */
  judge(asked: SipJudged): string | null;
  /** A request of the client was refused or malformed; `why` holds no bytes of the peer. */
  onRefused(why: string, domain: string | null): void;
  /** A message went on. */
  readonly onMessage?: (passed: { readonly from: SipSide; readonly method: string | null; readonly status: number | null }) => void;
}

export type SipSide = 'client' | 'upstream';

export interface SipPassed {
  /** For the other side. */
  readonly forward?: Buffer;
  /** For its sender. */
  readonly answer?: Buffer;
  /** It was refused, malformed, or an answer to nothing. */
  readonly refused: boolean;
}

export type SipPass = (frame: SipFrame & { readonly kind: 'message' }, from: SipSide) => SipPassed;

interface Places {
  readonly client: SipPlace;
  readonly upstream: SipPlace;
}

/** A request that makes a dialog, or may refresh one; all others need no Record-Route. */
const DIALOG_METHODS = new Set(['INVITE', 'SUBSCRIBE', 'REFER', 'NOTIFY']);

const other = (side: SipSide): SipSide => (side === 'client' ? 'upstream' : 'client');

/** For the messages of one client connection and its upstream connection, both directions, in order. */
export function buildSipPass(options: SipPassOptions): SipPass {
  const { us, dialogKey, onMessage } = options;
  const key = options.newBranch();
  const places: Places = {
    client: { host: us.host, port: us.port, transport: us.transport },
    upstream: { host: us.upstreamHost, port: us.upstreamPort, transport: us.upstreamTransport },
  };
  const isUs = buildIsUs(places, options.ourNames);
  /** Of the client's last admitted request. */
  let domain: string | null = null;

  const isAdmitted = (request: SipRequest): boolean => {
    const asked = sipAskedOf(request, provenDomain(request, dialogKey));
    const why = options.judge({ domain: asked.domain, user: asked.user, fromUser: asked.fromUser, method: request.method });
    if (why === null) domain = asked.domain;
    else options.onRefused(why, asked.domain);
    return why === null;
  };

  const passRequest = (request: SipRequest, body: Buffer, from: SipSide): Buffer | { readonly status: number; readonly more?: SipField } => {
    const hops = sipField(request.fields, 'max-forwards');
    if (hops !== undefined && Number(hops) === 0) return { status: 483 };
    const required = request.method === 'ACK' || request.method === 'CANCEL' ? [] : sipTokens(request.fields, 'proxy-require');
    if (required.length > 0) return { status: 420, more: { name: 'unsupported', shown: 'Unsupported', value: required.join(', ') } };
    if (from === 'client' && !isAdmitted(request)) return { status: 403 };
    const secure = request.target.scheme === 'sips';
    let fields = withoutIdentity(popRoutes(request.fields, isUs), other(from));
    fields = withField(fields, 'Max-Forwards', String(hops === undefined ? 70 : Number(hops) - 1));
    if (DIALOG_METHODS.has(request.method)) {
      const claim = domain === null ? '' : dialogClaim(dialogKey, domain, sipField(fields, 'call-id')!);
      fields = addRecordRoute(fields, recordRoutes(places, other(from), secure, claim));
    }
    if (request.method === 'REGISTER' && from === 'client') fields = withPath(fields, places.upstream, secure);
    const ready = addOurVia(fields, places[other(from)], key);
    return ready ? encodeSip(request, ready, body) : { status: 400 };
  };

  const passAnswer = (answer: SipResponse, body: Buffer, from: SipSide): SipPassed => {
    const fields = takeOurVia(answer.fields, places[from], key);
    if (!fields) return { refused: true };
    onMessage?.({ from, method: null, status: answer.status });
    return { forward: encodeSip(answer, withoutIdentity(fields, other(from)), body), refused: false };
  };

  return ({ head, message, body }, from) => {
    if (message.kind === 'response') return passAnswer(message, body, from);
    const source = from === 'client' ? options.client : options.upstream;
    const noted = source ? noteSource(head.fields, source) : head.fields;
    const here: SipHead = { start: head.start, fields: noted ?? head.fields };
    if (message.kind === 'bad' || noted === null) {
      const { why, status } = message.kind === 'bad' ? message : { why: 'an unreadable via', status: 400 };
      if (from === 'client') options.onRefused(why, null);
      return refused(here, status);
    }
    const passed = passRequest({ ...message, fields: here.fields }, body, from);
    if (!Buffer.isBuffer(passed)) return refused(here, passed.status, passed.more);
    onMessage?.({ from, method: message.method, status: null });
    return { forward: passed, refused: false };
  };
}

function refused(head: SipHead, status: number, more?: SipField): SipPassed {
  const answer = refuseSipHead(head, status, sipReasonOf(status), more ? [more] : []);
  return answer ? { answer, refused: true } : { refused: true };
}

/** The domain that our own Route says, if its proof is right. No dialog has a REGISTER in it. */
function provenDomain(request: SipRequest, key: Buffer): string | null {
  const claimed = request.method === 'REGISTER' ? null : dialogDomainOf(request);
  if (claimed === null) return null;
  const claim = topRoute(request.fields)?.params.get(dialogParam) ?? '';
  return isOurClaim(key, claim, claimed, sipField(request.fields, 'call-id')!) ? claimed : null;
}

/** The receiver's side on top (RFC 5658 §4); one when both sides are one place. Only the client is given the claim. */
function recordRoutes({ client, upstream }: Places, to: SipSide, secure: boolean, claim: string): string[] {
  const ofClient = ourUri(client, secure, claim);
  if (sentByOf(client) === sentByOf(upstream) && client.transport === upstream.transport) return [ofClient];
  const ofUpstream = ourUri(upstream, secure);
  return to === 'client' ? [ofClient, ofUpstream] : [ofUpstream, ofClient];
}

/** Whether a Route value is ours: on the public side with our port or none, on the upstream's side with exactly our port. */
function buildIsUs({ client, upstream }: Places, names: readonly string[]): (uri: SipUri) => boolean {
  const hostOf = (text: string) => canonicalSipHost(text.includes(':') && !text.startsWith('[') ? `[${text}]` : text);
  const publicHosts = new Set([client.host, ...names].map(hostOf));
  const upstreamHost = hostOf(upstream.host);
  return ({ host, port }) => host !== null && ((publicHosts.has(host) && (port === null || port === client.port)) || (host === upstreamHost && port === upstream.port));
}

/** RFC 3327 §5.1: only for clients that know of it; `ob` where RFC 5626 §5.1 has an edge proxy write it. */
function withPath(fields: readonly SipField[], place: SipPlace, secure: boolean): readonly SipField[] {
  const supported = sipTokens(fields, 'supported');
  if (!supported.includes('path')) return fields;
  const isFirstHop = fields.filter((field) => field.name === 'via').length === 1;
  const isOutbound = isFirstHop && supported.includes('outbound') && fields.some((field) => field.name === 'contact' && /;[ \t]*reg-id[ \t]*=/i.test(field.value));
  return addPath(fields, ourUri(place, secure, isOutbound ? ';ob' : ''));
}
