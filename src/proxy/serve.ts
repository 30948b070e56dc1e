// The front door: accepted sockets are bounded, looked at, unwrapped where they speak TLS or begin with a PROXY header, and given to HTTP or
// to a relay. What may come is the listener's; what comes decides the rest; everything else is refused.
import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { noBytes } from '#base/bytes.ts';
import type { Limits } from '#base/limits.ts';
import { isInNetworks } from '#base/networks.ts';
import type { Protocol } from '#model/config.ts';
import type { ConnFacts } from '#model/decide.ts';
import { tlsShapeOf } from '#model/identity-marks.ts';
import { namelessPacket, packetFactsOf } from '#model/packet.ts';
import { passThrough } from '#model/decide-connection.ts';
import type { Journal, Live, LiveConn } from '#model/live.ts';
import type { Doorway, Snapshot } from '#model/snapshot.ts';
import type { ContextUse } from '#net/certificates.ts';
import { isFromHere, type Accepted, type Conn, type RawStream, type Via } from '#net/conn.ts';
import type { Sweep } from '#net/sweep.ts';
import type { Unwrapped } from '#net/unwrap.ts';
import { http2Preface, lookAtFirst, type FirstPacket } from '#wire/first-packet.ts';
import { encodeLdapRefusal, encodeStartTlsAnswer } from '#wire/ldap-answers.ts';
import { readProxyHeader } from '#wire/proxy-protocol.ts';
import { sniffClientHello, type ClientHello } from '#wire/tls.ts';
import { buildAdmission } from './admission.ts';
import type { ConnEntry } from './conn-entry.ts';
import type { Exchange } from './exchange.ts';
import { buildHandshakes, type LegacyUse } from './handshake.ts';
import { buildHttpClients } from './http-clients.ts';
import { countRefused, listenerCounts, type TrafficCounts } from './meter.ts';
import { peek } from './peek.ts';
import type { Relays } from './relays.ts';

export interface FrontDoorOptions {
  readonly limits: Limits;
  readonly sweep: Sweep;
  readonly journal: Pick<Journal, 'note'>;
  readonly counts: TrafficCounts;
  readonly snapshot: () => Snapshot;
  readonly nowMs: () => number;
  readonly newConnId: () => string;
  readonly newRequestId: () => string;
  readonly onExchange: (exchange: Exchange) => void;
  /** A mistake of ours in one connection; it has ended. */
  readonly onBroken: (thrown: unknown) => void;
  /** May the head of a request to this host grow beyond 16 KiB? */
  readonly mayGrow: (headSoFar: string, facts: ConnFacts) => boolean;
  /** An over-large head for one of our own names: cookies that a neighbour planted are to be dropped. */
  readonly isOwnHost: (headSoFar: string, facts: ConnFacts) => boolean;
  readonly linkContext: () => SecureContext;
  readonly contextFor: (serverName: string | null, use: ContextUse) => SecureContext | Promise<SecureContext>;
  /** What answers a CA that looks by TLS-ALPN-01 (RFC 8737); null: nobody was asked to look for this name. */
  readonly challengeContext: (serverName: string) => SecureContext | null;
  /** The private CA, where a policy names it. */
  readonly privateCaPem: string;
  /** An agent's, of our own CA. */
  readonly isAgentCertificate: (certificate: X509Certificate) => boolean;
  readonly onLegacyUse: (use: LegacyUse) => void;
  /** Somebody who is no trusted proxy says for whom they come; once for a connection. */
  readonly onForwarded?: ((from: string, claims: string) => void) | undefined;
  readonly relays: Relays;
}

export interface FrontDoor {
  /** `via`: it was accepted at a door in a site's LAN, and `from` is an address there. */
  accept(socket: RawStream, from: string, listener: { readonly name: string }, via?: Via | null): void;
  readonly open: number;
  conns(limit: number): LiveConn[];
  /** The newest of those that are wanted. */
  findConns: Live['findConns'];
  /** False: it is not there any more. */
  closeConn(id: string): boolean;
  /** No further requests; idle connections end now. */
  drain(): void;
  close(): void;
}

/** RFC 8446 §6: fatal, with its description. */
const alert = (description: number) => Buffer.from([21, 3, 1, 0, 2, 2, description]);
const alertDecodeError = alert(50);
const alertHandshakeFailure = alert(40);
const isPrefaceSoFar = (bytes: Buffer) => bytes.subarray(0, http2Preface.length).equals(http2Preface.subarray(0, bytes.length));

const viewOf = ({ raw, via, ...entry }: ConnEntry): LiveConn => ({ ...entry, agentId: via?.agentId ?? null, mac: via?.mac ?? null, bytesIn: raw.bytesRead, bytesOut: raw.bytesWritten });

export function buildFrontDoor(options: FrontDoorOptions): FrontDoor {
  const { limits, sweep, journal, counts } = options;
  const entries = new Map<string, ConnEntry>();
  const clients = buildHttpClients(options);
  const handshakes = buildHandshakes(options);
  const admission = buildAdmission(limits);

  const refused = (accepted: Pick<Accepted, 'id' | 'from' | 'listener' | 'via'>, why: string, rule: string) => {
    countRefused(counts, accepted.listener);
    journal.note('conn.refused', { conn: accepted.id, from: accepted.from, listener: accepted.listener, why, rule, ...(accepted.via && { agent: accepted.via.agentId }) });
  };
  const entryOf = (accepted: Accepted): ConnEntry => entries.get(accepted.id)!;
  const isGone = (accepted: Accepted) => !entries.has(accepted.id);

  /** A mistake of ours in one connection ends that connection, not everybody's. */
  const guarded = (accepted: Accepted, act: () => void): void => {
    try {
      act();
    } catch (thrown) {
      accepted.raw.destroy();
      options.onBroken(thrown);
    }
  };

  const look = (accepted: Accepted, doorway: Doorway, socket: Duplex, seen: Buffer, enough: (bytes: Buffer) => boolean, then: (bytes: Buffer) => void, whenSilent?: () => void) =>
    peek({
      socket, sweep, seen,
      enough(bytes) {
        let isEnough = false;
        guarded(accepted, () => void (isEnough = enough(bytes)));
        return isEnough;
      },
      found: (bytes) => guarded(accepted, () => then(bytes)),
      bytesMax: limits.sniffBytesMax,
      timeoutMs: doorway.sniffTimeoutMs ?? limits.sniffTimeoutMs,
      refuse(why) {
        refused(accepted, why, 'first bytes');
        socket.destroy();
      },
      silence: whenSilent && doorway.silentMs !== null ? { afterMs: doorway.silentMs, passed: () => guarded(accepted, whenSilent) } : undefined,
    });

  const plainFacts = (accepted: Accepted): ConnFacts => ({ listener: accepted.listener, secure: false, link: false, loopback: isFromHere(accepted), serverName: null, policy: null, certificate: null });
  const connOf = (accepted: Accepted, socket: Duplex, facts: ConnFacts, unwrapped: Unwrapped | null, hello: ClientHello | null = null): Conn => ({
    id: accepted.id, socket, from: accepted.from, facts, accepted, peerCertificate: unwrapped?.peerCertificate ?? null, tlsShape: hello !== null && options.snapshot().hasApplications ? tlsShapeOf(hello) : null, forwardedBefore: null, forwardedHost: null, forwardedLines: '',
  });

  const openHttp = (conn: Conn, leftover: Buffer, h2: boolean) => {
    const entry = entryOf(conn.accepted);
    entry.protocol = h2 ? 'h2' : 'http';
    if (h2) clients.openHttp2(conn, leftover);
    else clients.openHttp1(conn, leftover);
  };

  const relay = (conn: Conn, first: FirstPacket | null, bytes: Buffer, protocol: Protocol) => {
    const entry = entryOf(conn.accepted);
    entry.protocol = protocol;
    options.relays.take(conn, entry, first, (first && packetFactsOf(first)) ?? namelessPacket(protocol), bytes);
  };

  // --- TLS

  const unwrap = (accepted: Accepted, doorway: Doorway, hello: ClientHello, looked: Buffer, takes: ReadonlySet<Protocol>) => {
    const entry = entryOf(accepted);
    entry.name = hello.serverName;
    const shaken = (unwrapped: Unwrapped, facts: ConnFacts, level: string) => {
      if (isGone(accepted)) return void unwrapped.socket.destroy();
      entry.tls = level;
      const conn = connOf(accepted, unwrapped.socket, facts, unwrapped, hello);
      if (facts.link || unwrapped.alpn === 'http/1.1') return openHttp(conn, noBytes, false);
      if (unwrapped.alpn === 'h2') return openHttp(conn, noBytes, true);
      if (doorway.serverFirst) return relay(conn, null, noBytes, 'tcp');
      if (takes.size === 1 && takes.has('http')) return openHttp(conn, noBytes, false);
      lookInside(conn, doorway, takes, noBytes);
    };
    handshakes.begin({ accepted, hello, looked, takes }, shaken);
  };

  const lookForHello = (accepted: Accepted, doorway: Doorway, seen: Buffer) => {
    let sniffed: ReturnType<typeof sniffClientHello> = { kind: 'more' };
    const enough = (bytes: Buffer) => {
      sniffed = sniffClientHello(bytes);
      return sniffed.kind !== 'more';
    };
    const silent = doorway.plain.has('ssh') || doorway.plain.has('tcp') ? () => relay(connOf(accepted, accepted.raw, plainFacts(accepted), null), null, noBytes, doorway.plain.has('ssh') ? 'ssh' : 'tcp') : undefined;
    const then = (bytes: Buffer) => {
      if (sniffed.kind === 'hello') {
        const through = passThrough(options.snapshot(), accepted.listener, sniffed.serverName);
        if (through === null) return unwrap(accepted, doorway, sniffed, bytes, doorway.protocols);
        return passOn(accepted, sniffed, bytes, through);
      }
      if (sniffed.kind === 'malformed') return malformedHello(accepted, sniffed.why);
      if (doorway.plain.size > 0) return lookInside(connOf(accepted, accepted.raw, plainFacts(accepted), null), doorway, doorway.plain, bytes);
      refused(accepted, 'not TLS', 'TLS listener');
      if (/^[A-Z]{3,10} /.test(bytes.toString('latin1', 0, 11))) accepted.raw.end('HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 44\r\nConnection: close\r\n\r\nThis port speaks TLS: use https:// with it.\n');
      accepted.raw.destroySoon();
    };
    look(accepted, doorway, accepted.raw, seen, enough, then, silent);
  };

  /** In its own words, where it has some. */
  const sayMalformed = ({ socket }: Conn, protocol: string) => {
    const last = protocol === 'tls' ? alertDecodeError : protocol === 'ldap' ? encodeLdapRefusal(null) : null;
    if (last === null) return void socket.destroy();
    socket.end(last, () => socket.destroy());
  };

  const malformedHello = (accepted: Accepted, why: string) => {
    refused(accepted, `malformed ClientHello: ${why}`, 'TLS listener');
    accepted.raw.end(alertDecodeError);
    accepted.raw.destroySoon();
  };

  const passOn = (accepted: Accepted, hello: ClientHello, bytes: Buffer, verdict: NonNullable<ReturnType<typeof passThrough>>) => {
    const entry = entryOf(accepted);
    entry.protocol = 'tls';
    entry.name = hello.serverName;
    options.relays.carry(connOf(accepted, accepted.raw, { ...plainFacts(accepted), serverName: hello.serverName }, null), entry, hello, bytes, verdict);
  };

  // --- LDAP's StartTLS (RFC 4511 §4.14): answered by us, and nothing that came before TLS survives

  const startTls = (conn: Conn, doorway: Doorway, messageId: number) => {
    const { accepted } = conn;
    accepted.raw.write(encodeStartTlsAnswer(messageId));
    let sniffed: ReturnType<typeof sniffClientHello> = { kind: 'more' };
    look(
      accepted, doorway, accepted.raw, noBytes,
      (bytes) => {
        sniffed = sniffClientHello(bytes);
        return sniffed.kind !== 'more';
      },
      (bytes) => {
        if (sniffed.kind === 'hello') return unwrap(accepted, doorway, sniffed, bytes, new Set(['ldap']));
        if (sniffed.kind === 'malformed') return malformedHello(accepted, sniffed.why);
        refused(accepted, 'something else than TLS behind StartTLS', 'StartTLS');
        accepted.raw.destroy();
      },
    );
  };

  // --- what is not TLS, or inside it

  const lookInside = (conn: Conn, doorway: Doorway, takes: ReadonlySet<Protocol>, seen: Buffer) => {
    const { accepted, socket } = conn;
    let first: ReturnType<typeof lookAtFirst> = { kind: 'more' };
    const enough = (bytes: Buffer) => {
      first = lookAtFirst(bytes);
      return first.kind !== 'more';
    };
    const silent = takes.has('ssh') || takes.has('tcp') ? () => relay(conn, null, noBytes, takes.has('ssh') ? 'ssh' : 'tcp') : undefined;
    const then = (bytes: Buffer) => {
      switch (first.kind) {
        case 'more':
          return;
        case 'malformed':
          refused(accepted, `malformed ${first.protocol}: ${first.why}`, 'first bytes');
          return sayMalformed(conn, first.protocol);
        case 'unknown':
          if (takes.has('tcp')) return relay(conn, null, bytes, 'tcp');
          refused(accepted, 'the first bytes are of no protocol that is known here', `listener ${accepted.listener}`);
          return void socket.destroy();
        case 'http':
          if (takes.has('http')) return openHttp(conn, bytes, first.h2);
          break;
        case 'hello':
          return helloInside(conn, takes, first, bytes);
        case 'ldap':
          if (first.op !== 'start-tls' || conn.facts.secure || !takes.has('ldap')) break;
          if (bytes.length === first.pduBytes) return startTls(conn, doorway, first.messageId);
          refused(accepted, 'bytes behind StartTLS, before TLS', 'StartTLS');
          return void socket.destroy();
        default:
      }
      if (first.kind !== 'http') return relay(conn, first, bytes, first.kind);
      refused(accepted, 'http is not what this listener takes', `listener ${accepted.listener}`);
      socket.destroy();
    };
    look(accepted, doorway, socket, seen, enough, then, silent);
  };

  /** A ClientHello where TLS is not terminated. */
  const helloInside = (conn: Conn, takes: ReadonlySet<Protocol>, hello: ClientHello, bytes: Buffer) => {
    const { accepted } = conn;
    const through = !conn.facts.secure && takes.has('tls') ? passThrough(options.snapshot(), accepted.listener, hello.serverName) : null;
    if (through !== null) return passOn(accepted, hello, bytes, through);
    refused(accepted, conn.facts.secure ? 'TLS within TLS' : 'TLS on a plain port', 'plain listener');
    conn.socket.end(alertHandshakeFailure);
    accepted.raw.destroySoon();
  };

  /** A plain listener that takes nothing but HTTP: the parser sees for itself what a request is. */
  const lookForHttp = (accepted: Accepted, doorway: Doorway, seen: Buffer) =>
    look(
      accepted, doorway, accepted.raw, seen,
      (bytes) => bytes.length >= http2Preface.length || !isPrefaceSoFar(bytes),
      (bytes) => {
        if (bytes[0] === 0x16) {
          refused(accepted, 'TLS on a plain port', 'plain listener');
          accepted.raw.end(alertHandshakeFailure);
          return void accepted.raw.destroySoon();
        }
        openHttp(connOf(accepted, accepted.raw, plainFacts(accepted), null), bytes, isPrefaceSoFar(bytes));
      },
    );

  const begin = (accepted: Accepted, doorway: Doorway, seen: Buffer) => {
    if (doorway.tls) return lookForHello(accepted, doorway, seen);
    if (doorway.serverFirst) return relay(connOf(accepted, accepted.raw, plainFacts(accepted), null), null, seen, 'tcp');
    if (doorway.httpOnly) return lookForHttp(accepted, doorway, seen);
    lookInside(connOf(accepted, accepted.raw, plainFacts(accepted), null), doorway, doorway.protocols, seen);
  };

  /** From a listed sender a PROXY header must come first; whether one is there is never guessed. */
  const readHeader = (accepted: Accepted, doorway: Doorway, release: (address: string) => boolean) => {
    let header: ReturnType<typeof readProxyHeader> = { kind: 'more' };
    look(
      accepted, doorway, accepted.raw, noBytes,
      (bytes) => {
        header = readProxyHeader(bytes);
        return header.kind !== 'more';
      },
      (bytes) => {
        if (header.kind !== 'proxy') {
          refused(accepted, header.kind === 'malformed' ? `malformed PROXY header: ${header.why}` : 'a listed sender did not begin with a PROXY header', 'PROXY protocol');
          return void accepted.raw.destroy();
        }
        const from = header.local || header.source === null ? accepted.from : header.source.address;
        entryOf(accepted).from = from;
        if (!release(from)) {
          refused({ ...accepted, from }, 'too many connections from this address', 'connection limit');
          return void accepted.raw.destroy();
        }
        begin({ ...accepted, from, proxied: header }, doorway, bytes.subarray(header.bytes));
      },
    );
  };

  return {
    accept(socket, from, listener, via = null) {
      const accepted: Accepted = { id: options.newConnId(), raw: socket, from, listener: listener.name, proxied: null, via };
      const snapshot = options.snapshot();
      const doorway = snapshot.doorways.get(listener.name);
      // Between a new configuration and the closing of its predecessor's listeners.
      if (!doorway) return void socket.destroy();
      // Lists of networks mean the gateway's own; in a site's LAN the same address is somebody else's.
      const behindHeader = via === null && isInNetworks(doorway.proxyProtocolFrom, from);
      const slot = via === null ? admission.enter(from, behindHeader || isInNetworks(snapshot.trustedProxies.all, from)) : admission.enter(from, false, `${via.agentId} `);
      if (typeof slot === 'string') {
        refused(accepted, slot, 'connection limit');
        return void socket.destroy();
      }
      counts.connsAccepted += 1;
      counts.connsOpen += 1;
      const tally = listenerCounts(counts, listener.name);
      tally.accepted += 1;
      tally.open += 1;
      entries.set(accepted.id, { id: accepted.id, listener: listener.name, since: options.nowMs(), raw: socket, via, from, protocol: '', tls: null, name: null, route: null });
      socket.on('error', () => {}); // `close` follows, and whoever owns the connection hears that
      socket.on('close', () => {
        entries.delete(accepted.id);
        counts.connsOpen -= 1;
        tally.open -= 1;
        slot.leave();
      });
      if (behindHeader) readHeader(accepted, doorway, slot.alsoFrom);
      else begin(accepted, doorway, noBytes);
    },
    get open() {
      return entries.size;
    },
    conns: (limit) =>
      Array.from(entries.values().take(limit), viewOf),
    findConns(wanted, limit) {
      const matching = Array.from(entries.values()).filter(wanted);
      return { conns: matching.slice(-limit).reverse().map(viewOf), matching: matching.length };
    },
    closeConn(id) {
      const entry = entries.get(id);
      entry?.raw.destroy();
      return entry !== undefined;
    },
    drain: () => clients.drain(),
    close() {
      clients.close();
      for (const entry of entries.values()) entry.raw.destroy();
    },
  };
}
