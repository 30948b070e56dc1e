// Connections that are not HTTP: where each goes is decided once, by its first packet, and held to on the way; then bytes go socket to socket.
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { isFault, reasonOf } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Told } from '#model/admit-device.ts';
import type { ConnVerdict, PacketFacts } from '#model/decide-connection.ts';
import { decideConnection } from '#model/decide-connection.ts';
import type { Journal } from '#model/live.ts';
import { ldapPacketFacts, packetFactsOf, sipPacketFacts } from '#model/packet.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { TlsTarget } from '#model/target.ts';
import { placesOf, type Conn } from '#net/conn.ts';
import { dialTappedTcp, type DialBy } from '#net/dial.ts';
import { buildTlsDial, type Identity } from '#net/dial-tls.ts';
import { relay } from '#net/relay.ts';
import type { Sweep } from '#net/sweep.ts';
import type { FirstPacket } from '#wire/first-packet.ts';
import { encodeH323Refusal, type H323RefusalReason } from '#wire/h323-refusal.ts';
import { encodeLdapRefusal } from '#wire/ldap-answers.ts';
import { encodeSipRefusal } from '#wire/sip-refusal.ts';
import type { Applications } from './application.ts';
import type { ConnEntry } from './conn-entry.ts';
import { relayH323 } from './h323-relay.ts';
import { relayLdap } from './ldap-relay.ts';
import { countRefused, type TrafficCounts } from './meter.ts';
import { proxyHeaderFor } from './proxy-header.ts';
import { relaySip } from './sip-relay.ts';

export interface RelaysOptions {
  /** Routes whose servers know devices by their address. */
  readonly applications: () => Applications;
  readonly limits: Limits;
  readonly sweep: Sweep;
  readonly journal: Pick<Journal, 'note'>;
  readonly counts: TrafficCounts;
  readonly snapshot: () => Snapshot;
  /** A plain byte stream to the port of a device that a route names. */
  readonly dialNamedDevice: (device: string, port: number, by: DialBy) => Promise<Duplex>;
  /** A certificate of ours by its name, to be shown to servers. */
  readonly identityOf: (name: string) => Identity | null;
  /** Of the gateway, the same over restarts: proves which domain a SIP dialog was admitted for. */
  readonly sipDialogKey: Buffer;
  readonly newSipBranch: () => string;
  /** A mistake of ours in one connection; it has ended. */
  readonly onBroken: (thrown: unknown) => void;
}

type Relayed = Extract<ConnVerdict, { step: 'relay' }>;
type Goodbye = 'not-here' | 'unreachable';

export interface Relays {
  /** Decides by the first packet, and carries. */
  take(conn: Conn, entry: ConnEntry, first: FirstPacket | null, packet: PacketFacts, bytes: Buffer): void;
  /** Carries what was decided already. */
  carry(conn: Conn, entry: ConnEntry, first: FirstPacket | null, bytes: Buffer, verdict: ConnVerdict): void;
  /** Ends what runs over routes that name a device for which this says yes; `device` as the route names it. */
  cutNamed(matches: (device: string) => boolean, why: string): void;
  /** Ends everything. */
  close(why: string): void;
}

/** RFC 8446 §6: unrecognized_name, and what a server says that is not there. */
const alertUnrecognizedName = Buffer.from([21, 3, 1, 0, 2, 2, 112]);
const alertInternalError = Buffer.from([21, 3, 1, 0, 2, 2, 80]);

const authorityOf = (host: string, port: number) => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** What the client's protocol has for a refusal; null: an end of the connection says as much. */
function goodbyeOf(first: FirstPacket | null, bytes: Buffer, why: Goodbye): Buffer | null {
  switch (first?.kind) {
    case 'hello':
      return why === 'not-here' ? alertUnrecognizedName : alertInternalError;
    case 'ldap':
      return encodeLdapRefusal(first, why);
    case 'sip':
      return encodeSipRefusal(bytes.subarray(0, first.headBytes), why === 'not-here' ? 403 : 503);
    case 'h323': {
      const reason: H323RefusalReason = why === 'not-here' ? 'not-here' : 'unreachable';
      return encodeH323Refusal(first, reason);
    }
    default:
      return null;
  }
}

/** The same port of the same server, shown the same certificate of ours: another one would speak for somebody else. */
function samePlace(a: Relayed['target'], b: Relayed['target']): boolean {
  if (a.kind !== b.kind || a.port !== b.port) return false;
  if (a.kind === 'named-device' || b.kind === 'named-device') return a.kind === 'named-device' && b.kind === 'named-device' && a.device === b.device;
  if (a.host !== b.host || a.proxyProtocol !== b.proxyProtocol) return false;
  return a.kind !== 'tls' || b.kind !== 'tls' || (a.certificate === b.certificate && a.serverName === b.serverName);
}

export function buildRelays(options: RelaysOptions): Relays {
  const { limits, sweep, journal, counts } = options;
  /** What stands, and the device that its route names. */
  const standing = new Map<(why: string) => void, string | null>();
  const tlsDials = new WeakMap<TlsTarget, ReturnType<typeof buildTlsDial>>();

  const leave = (conn: Conn, first: FirstPacket | null, bytes: Buffer, why: Goodbye) => {
    const goodbye = goodbyeOf(first, bytes, why);
    const { socket } = conn;
    if (goodbye === null || goodbye.length === 0) return void socket.destroy();
    socket.end(goodbye);
    // What still comes is read and thrown away: a socket closed over unread bytes is reset, and the goodbye lost with them.
    socket.resume();
    const end = { deadlineMs: sweep.nowMs + limits.halfClosedMs, onDeadline: () => void socket.destroy() };
    sweep.add(end);
    socket.once('close', () => sweep.remove(end));
    socket.once('end', () => void socket.destroy());
  };

  const refuse = (conn: Conn, entry: ConnEntry, first: FirstPacket | null, bytes: Buffer, why: string, rule: string) => {
    countRefused(counts, conn.facts.listener);
    journal.note('conn.refused', { conn: conn.id, from: conn.from, listener: conn.facts.listener, protocol: entry.protocol, name: printable(entry.name ?? '', 100), why: printable(why, 200), rule });
    leave(conn, first, bytes, 'not-here');
  };

  /** A PROXY header of ours, where the target wants one. */
  const headerFor = (conn: Conn, target: Relayed['target']): Buffer | undefined => {
    if (target.kind === 'named-device' || target.proxyProtocol === undefined) return undefined;
    return proxyHeaderFor(conn, target.proxyProtocol);
  };

  const dial = async (conn: Conn, { route, target }: Relayed, signal: AbortSignal | undefined): Promise<Duplex> => {
    const { application } = route;
    const told: Told = application === null ? { client: conn.from, local: null } : await options.applications().admit(conn, route);
    const header = application === null ? headerFor(conn, target) : application.tell === 'virtual' ? undefined : proxyHeaderFor(conn, application.tell === 'proxy-v1' ? 'v1' : 'v2', told.client);
    const by: DialBy = { client: told.client, ...(told.local === null ? {} : { localAddress: told.local }), timeoutMs: target.kind === 'named-device' ? limits.deviceDialTimeoutMs : limits.dialTimeoutMs, ...(signal ? { signal } : {}) };
    if (target.kind === 'named-device') return options.dialNamedDevice(target.device, target.port, by);
    if (target.kind === 'tcp') {
      const stream = await dialTappedTcp(target, by);
      if (header !== undefined) stream.write(header);
      return stream;
    }
    let tlsDial = tlsDials.get(target);
    if (!tlsDial) tlsDials.set(target, (tlsDial = buildTlsDial({ target, identityOf: options.identityOf })));
    return tlsDial(by, header);
  };

  /** Later packets of a connection lead where its first one did, or nowhere. */
  const judgeOf = (conn: Conn, pinned: Relayed) => (packet: PacketFacts): string | null => {
    const verdict = decideConnection(options.snapshot(), conn.facts, { ...packet, host: packet.host ?? pinned.host });
    if (verdict.step === 'refuse') return verdict.why;
    const { target } = verdict;
    return samePlace(target, pinned.target) ? null : 'a later packet asks for something that leads elsewhere';
  };

  const join = (conn: Conn, entry: ConnEntry, first: FirstPacket | null, bytes: Buffer, pinned: Relayed, upstream: Duplex): Promise<{ why: string }> => {
    const judge = judgeOf(conn, pinned);
    const onRefused = (why: string) => {
      countRefused(counts, conn.facts.listener);
      journal.note('conn.refused', { conn: conn.id, from: conn.from, listener: conn.facts.listener, protocol: entry.protocol, name: printable(entry.name ?? '', 100), why: printable(why, 200), rule: `${pinned.route.name}: later packets` });
    };
    const common = {
      sweep, idleMs: limits.relayIdleMs, first: bytes, onRefused,
      onBytes(fromClient: number, fromUpstream: number) {
        counts.bytesIn += fromClient;
        counts.bytesOut += fromUpstream;
      },
    };
    switch (first?.kind) {
      case 'ldap':
        return relayLdap(conn.socket, upstream, {
          ...common,
          // Who has bound searches where the server lets him; a search before that is what the route was chosen by.
          judge: (asked) => (asked.op === 'search' && (asked.isBound || asked.domain === null) ? null : judge(ldapPacketFacts(asked))),
        });
      case 'h323':
        return relayH323(conn.socket, upstream, { ...common, judge: (asked) => judge(packetFactsOf(asked)!) });
      case 'sip':
        return relaySip(conn.socket, upstream, { ...common, ...sipPlaces(conn, pinned, upstream), judge: (asked) => judge(sipPacketFacts(asked, asked.method)) });
      default:
        return relay(conn.socket, upstream, { sweep, idleMs: common.idleMs, leftoverA: bytes, onBytes: common.onBytes });
    }
  };

  const sipPlaces = (conn: Conn, { target }: Relayed, upstream: Duplex) => {
    const { source, destination } = placesOf(conn.accepted);
    const { publicAddress, domains } = options.snapshot().config;
    const transport = conn.facts.secure ? ('tls' as const) : ('tcp' as const);
    const near = upstream as Partial<Socket>;
    return {
      us: {
        host: publicAddress ?? destination.address, port: destination.port, transport,
        upstreamHost: near.localAddress ?? publicAddress ?? destination.address, upstreamPort: near.localPort ?? destination.port, upstreamTransport: target.kind === 'tls' ? ('tls' as const) : ('tcp' as const),
      },
      ourNames: [destination.address, ...(publicAddress === null ? [] : [publicAddress]), ...domains.map((each) => each.name)],
      client: source,
      ...(target.kind === 'named-device' ? {} : { upstream: { address: near.remoteAddress ?? target.host, port: target.port } }),
      newBranch: options.newSipBranch,
      dialogKey: options.sipDialogKey,
    };
  };

  const carry: Relays['carry'] = (conn, entry, first, bytes, verdict) => {
    if (verdict.step === 'refuse') return refuse(conn, entry, first, bytes, verdict.why, verdict.rule);
    const { route, target } = verdict;
    entry.route = route.name;
    if (verdict.host !== null) entry.name = verdict.host;
    const to = target.kind === 'named-device' ? `device "${target.device}", port ${target.port}` : authorityOf(target.host, target.port);
    const { socket } = conn;
    // A TCP dial ends soon by itself; a signal for each would cost more than the few that are given up.
    const dialing = target.kind === 'tcp' ? null : new AbortController();
    const giveUp = () => dialing?.abort();
    if (dialing) socket.once('close', giveUp);
    counts.upstreamDials += 1;
    dial(conn, verdict, dialing?.signal).then(
      async (upstream) => {
        if (dialing) socket.off('close', giveUp);
        if (socket.destroyed) return void upstream.destroy();
        const { raw } = conn.accepted;
        let cutWhy: string | null = null;
        const cut = (why: string) => {
          cutWhy = why;
          socket.destroy();
          upstream.destroy();
        };
        standing.set(cut, target.kind === 'named-device' ? target.device : null);
        let why: string;
        try {
          ({ why } = await join(conn, entry, first, bytes, verdict, upstream));
        } finally {
          standing.delete(cut);
          upstream.destroy();
        }
        journal.note('relay.ended', { conn: conn.id, from: conn.from, listener: conn.facts.listener, protocol: entry.protocol, name: printable(entry.name ?? '', 100), route: route.name, to, bytesIn: raw.bytesRead, bytesOut: raw.bytesWritten, why: printable(cutWhy ?? why, 200) });
      },
      (thrown: unknown) => {
        if (dialing) socket.off('close', giveUp);
        if (socket.destroyed) return;
        // Its server was never asked: the device may not go there.
        if (isFault(thrown, 'forbidden') && thrown.detail['step'] === 'identity') return refuse(conn, entry, first, bytes, thrown.message, route.name);
        counts.upstreamFailures += 1;
        journal.note('relay.failed', { conn: conn.id, from: conn.from, listener: conn.facts.listener, protocol: entry.protocol, route: route.name, to, why: printable(reasonOf(thrown), 300) });
        leave(conn, first, bytes, 'unreachable');
      },
    ).catch((thrown: unknown) => {
      // A mistake of ours in one connection ends that connection, not everybody's.
      socket.destroy();
      options.onBroken(thrown);
    });
  };

  return {
    carry,
    cutNamed(matches, why) {
      for (const [cut, device] of Array.from(standing)) if (device !== null && matches(device)) cut(why);
    },
    close(why) {
      for (const cut of Array.from(standing.keys())) cut(why);
    },
    take: (conn, entry, first, packet, bytes) => carry(conn, entry, first, bytes, decideConnection(options.snapshot(), conn.facts, packet)),
  };
}
