// TLS at the front door: which context answers a hello is decided by its name, its protocols, where it comes from and what it can do; then the
// handshake, at most so many at once.
import type { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { isFault, reasonOf } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Protocol } from '#model/config.ts';
import type { ConnFacts } from '#model/decide.ts';
import type { Journal } from '#model/live.ts';
import { isLinkName, type Snapshot } from '#model/snapshot.ts';
import { levelFor, tlsPolicyOf, type TlsLevel, type TlsPolicy } from '#model/tls-policy.ts';
import type { ContextUse } from '#net/certificates.ts';
import { isFromHere, type Accepted } from '#net/conn.ts';
import type { Sweep, Swept } from '#net/sweep.ts';
import { buildGate, unwrapTls, type Unwrapped } from '#net/unwrap.ts';
import { ja4Of } from '#wire/ja4.ts';
import { capabilityOf } from '#wire/tls-capability.ts';
import { linkAlpn, type ClientHello } from '#wire/tls.ts';
import { countRefused, type TrafficCounts } from './meter.ts';

export interface LegacyUse {
  readonly from: string;
  readonly serverName: string | null;
  readonly policy: string;
  /** The best that it offered: 0x0301 is TLS 1.0. */
  readonly bestVersion: number | null;
  readonly ja4: string;
}

export interface HandshakeOptions {
  readonly limits: Limits;
  readonly sweep: Sweep;
  readonly journal: Pick<Journal, 'note'>;
  readonly counts: TrafficCounts;
  readonly snapshot: () => Snapshot;
  readonly nowMs: () => number;
  readonly linkContext: () => SecureContext;
  readonly contextFor: (serverName: string | null, use: ContextUse) => SecureContext | Promise<SecureContext>;
  readonly challengeContext: (serverName: string) => SecureContext | null;
  readonly privateCaPem: string;
  /** It lets an agent's program onto the link endpoint, where it can be revoked; nobody else is proved by it. */
  readonly isAgentCertificate: (certificate: X509Certificate) => boolean;
  readonly onLegacyUse: (use: LegacyUse) => void;
  /** A mistake of ours in one connection; it has ended. */
  readonly onBroken: (thrown: unknown) => void;
}

export interface HandshakeOrder {
  readonly accepted: Accepted;
  readonly hello: ClientHello;
  /** Everything that was seen, the hello first. */
  readonly looked: Buffer;
  /** What may come inside. */
  readonly takes: ReadonlySet<Protocol>;
}

/** RFC 8737 §6.2. */
const acmeAlpn = 'acme-tls/1';
/** RFC 8446 §6: protocol_version, insufficient_security, unrecognized_name. */
const alertProtocolVersion = Buffer.from([21, 3, 1, 0, 2, 2, 70]);
const alertInsufficientSecurity = Buffer.from([21, 3, 1, 0, 2, 2, 71]);
const alertUnrecognizedName = Buffer.from([21, 3, 1, 0, 2, 2, 112]);
const TLS_1_2 = 0x0303;
const TLS_1_3 = 0x0304;
/** Who offers TLS 1.3 is not looked at any closer. */
const ableAtOnce = { tls13: true, needsLegacy: false } as const;
// curl --http1.0 offers that alone, and so do device stacks of its time.
const withHttp = ['h2', 'http/1.1', 'http/1.0'] as const;

/**
 * The common name; a subject of several is the last one's (RFC 6125 §6.4.4 knows only one). Node gives a relative name a line, joins its parts by
 * " + " and escapes as RFC 2253 does: a plus or comma of the name itself has a backslash before it.
 */
export function commonNameOf(certificate: Pick<X509Certificate, 'subject'>): string | null {
  const parts = certificate.subject.split('\n').flatMap((line) => line.split(' + '));
  const name = parts.findLast((part) => part.startsWith('CN='));
  return name === undefined ? null : name.slice(3).replace(/\\([^0-9A-Fa-f])/g, '$1');
}

/** What is offered by ALPN: a client that offers something else is told so by TLS itself. */
function alpnFor(takes: ReadonlySet<Protocol>): readonly string[] {
  const sip = takes.has('sip') ? ['sip/2'] : [];
  return takes.has('http') ? [...withHttp, ...sip] : sip;
}

export function buildHandshakes(options: HandshakeOptions): { begin(order: HandshakeOrder, then: (unwrapped: Unwrapped, facts: ConnFacts, level: string) => void): void } {
  const { limits, sweep, journal, counts } = options;
  const gate = buildGate(limits.tlsHandshakesMax, limits.tlsHandshakesWaitingMax);
  const offers = new WeakMap<ReadonlySet<Protocol>, readonly string[]>();
  const offerOf = (takes: ReadonlySet<Protocol>) => {
    let offer = offers.get(takes);
    if (!offer) offers.set(takes, (offer = alpnFor(takes)));
    return offer;
  };
  const useOf = (policy: TlsPolicy, level: TlsLevel): ContextUse => ({ level, clientCaPem: policy.clientCa === 'private' ? options.privateCaPem : policy.clientCa });

  const refuse = ({ accepted, hello }: HandshakeOrder, why: string, rule: string, alert: Buffer) => {
    countRefused(counts, accepted.listener);
    journal.note('tls.refused', { conn: accepted.id, from: accepted.from, listener: accepted.listener, name: hello.serverName ?? '', why, rule, ja4: ja4Of(hello) });
    accepted.raw.end(alert);
    accepted.raw.destroySoon();
  };

  /** One of at most so many; `what` makes the context. */
  const shake = async (order: HandshakeOrder, context: () => SecureContext | Promise<SecureContext>, alpn: readonly string[], requestCertificate: boolean): Promise<Unwrapped | null> => {
    const { accepted, hello, looked } = order;
    let leave: (() => void) | null = null;
    // What costs is done once our flight has left; who then says nothing must not keep the slot that the others wait for.
    const slot: Swept = { deadlineMs: 0, onDeadline: () => giveBack() };
    const giveBack = () => {
      sweep.remove(slot);
      leave?.();
      leave = null;
    };
    try {
      leave = await gate.enter();
      slot.deadlineMs = sweep.nowMs + limits.tlsHandshakeSlotMs;
      sweep.add(slot);
      const unwrapped = await unwrapTls(accepted.raw, looked, { context: await context(), alpn, requestCertificate, timeoutMs: limits.tlsHandshakeTimeoutMs });
      counts.handshakesDone += 1;
      return unwrapped;
    } catch (thrown) {
      counts.handshakesFailed += 1;
      accepted.raw.destroy();
      if (!isFault(thrown, 'closed')) journal.note('tls.failed', { conn: accepted.id, from: accepted.from, listener: accepted.listener, name: printable(hello.serverName ?? '', 100), why: reasonOf(thrown) });
      return null;
    } finally {
      giveBack();
    }
  };

  const guarded = ({ accepted }: HandshakeOrder, work: Promise<void>): void =>
    void work.catch((thrown: unknown) => {
      accepted.raw.destroy();
      options.onBroken(thrown);
    });

  const challenge = async (order: HandshakeOrder) => {
    const { hello } = order;
    const context = hello.serverName === null ? null : options.challengeContext(hello.serverName);
    if (context === null) return refuse(order, 'nobody was asked to look for this name by TLS-ALPN-01', 'ACME', alertUnrecognizedName);
    const unwrapped = await shake(order, () => context, [acmeAlpn], false);
    // RFC 8737 §3: the CA has seen what it came for, and no application data follows.
    unwrapped?.socket.end();
  };

  const link = async (order: HandshakeOrder, then: (unwrapped: Unwrapped, facts: ConnFacts, level: string) => void) => {
    const { accepted, hello } = order;
    const unwrapped = await shake(order, options.linkContext, [linkAlpn, 'http/1.1'], true);
    if (unwrapped) then(unwrapped, { listener: accepted.listener, secure: true, link: true, loopback: isFromHere(accepted), serverName: hello.serverName, policy: null, certificate: null }, 'link');
  };

  return {
    begin(order, then) {
      const { accepted, hello, takes } = order;
      const snapshot = options.snapshot();
      if (hello.alpn.includes(acmeAlpn)) return guarded(order, challenge(order));
      if (takes.has('http') && (hello.alpn.includes(linkAlpn) || (hello.serverName !== null && isLinkName(snapshot, hello.serverName)))) return guarded(order, link(order, then));
      const policy = tlsPolicyOf(snapshot.tlsPolicies, accepted.listener, hello.serverName);
      const chosen = levelFor(policy, accepted.from, hello.versions.includes(TLS_1_3) ? ableAtOnce : capabilityOf(hello), options.nowMs());
      if ('why' in chosen) {
        const isNewEnough = policy.level === 'intermediate' && (capabilityOf(hello).bestVersion ?? 0) >= TLS_1_2;
        return refuse(order, chosen.why, `TLS policy ${policy.name}`, isNewEnough ? alertInsufficientSecurity : alertProtocolVersion);
      }
      if (chosen.level === 'legacy') options.onLegacyUse({ from: accepted.from, serverName: hello.serverName, policy: policy.name, bestVersion: capabilityOf(hello).bestVersion, ja4: ja4Of(hello) });
      const meet = async () => {
        const unwrapped = await shake(order, () => options.contextFor(hello.serverName, useOf(policy, chosen.level)), offerOf(takes), policy.clientCa !== null);
        if (unwrapped === null) return;
        const shown = unwrapped.peerCertificate;
        then(
          unwrapped,
          {
            listener: accepted.listener, secure: true, link: false, loopback: isFromHere(accepted), serverName: hello.serverName, policy,
            certificate: shown === null ? null : { subject: commonNameOf(shown), verified: unwrapped.verified && !options.isAgentCertificate(shown) },
          },
          chosen.level,
        );
      };
      guarded(order, meet());
    },
  };
}
