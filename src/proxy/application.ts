// Routes to applications that know devices by their address: who the device is, whether it may use the application, as what it appears
// there, and its session. Decided once for a connection while nothing changes; a request then costs a few lines of its head.
import type { Duplex } from 'node:stream';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import { type NotAdmitted, refusalText, type Told, toldOf, whyNotAdmitted } from '#model/admit-device.ts';
import type { CookieJar } from '#model/cookie-jar.ts';
import type { DeviceSession, DeviceSessions, SessionEnd, SessionRefusal } from '#model/device-sessions.ts';
import type { Identity } from '#model/identity.ts';
import type { JobSource } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import { type Prefix, unprefix } from '#model/secret-path.ts';
import type { Route } from '#model/snapshot.ts';
import { type Conn, toldFrom } from '#net/conn.ts';
import type { DialBy } from '#net/dial.ts';
import { encodeForwarded } from '#wire/forwarded.ts';
import { fieldOf, type Fields, is, type HeadEdit } from '#wire/http1-fields.ts';
import type { ResponseHead } from '#wire/http1.ts';
import type { Exchange } from './exchange.ts';
import { forward, type ForwardPlan, type ForwardRoom, type Passage } from './forward.ts';
import { encodePanelPage, type PanelPage } from './panel-pages.ts';
import { proxyHeaderFor } from './proxy-header.ts';
import { buildRewrite, prefixOfReferer, rewriteKindOf, rewriteLocation, rewriteRefresh, rewriteSetCookiePath, unprefixReferer } from './rewrite.ts';

/** What a connection, or a request on it, shows of the device behind it. */
export interface Shown {
  readonly conn: Conn;
  /** Of the request; null for what is no HTTP. */
  readonly fields: Fields | null;
  /** The secret of the device's own URL, as it stood in the path. */
  readonly token: string | null;
  /** The session that the path names, if there is one. */
  readonly session: DeviceSession | null;
}

export interface ApplicationsOptions {
  readonly limits: Limits;
  readonly room: ForwardRoom;
  readonly sessions: DeviceSessions;
  readonly nowMs: () => number;
  /** Rises whenever something changed that a decision here rests on. */
  version(): number;
  deviceById(deviceId: Id): Device | undefined;
  isToken(secret: string): boolean;
  /** Also notes what was shown, and has a device probed where that is due. */
  identify(shown: Shown, route: Route): Identity;
  sourceFor(route: Route, device: Device, shown: Shown): JobSource | null;
  /** An entry for administrators about a device that cannot go on; its code. */
  pending(shown: Shown, route: Route, identity: Identity, why: string): string;
  /** For the test page. `site`: the one that it comes from, where that is one; `verdict`: what its way here says, without naming any other device. Both null: nothing to say. */
  placeOf(shown: Shown, identity: Identity): { readonly site: string | null; readonly verdict: string | null };
  addressOf(deviceId: Id): string | null;
  /** Faults: the pool is full, the store does not take it. */
  ensureAddress(deviceId: Id): Promise<string>;
  /** The value of X-Postern-Identity; '' when it cannot be signed. */
  assertion(route: Route, device: Device, identity: Identity, told: Told): string;
  refused(exchange: Exchange, route: Route, status: number, why: string): void;
}

/** What edits of heads know of one exchange. */
export interface Panel {
  /** `/s/SID`; '' without. */
  readonly prefix: string;
  readonly host: string;
}

/** Opens the route's server. `header` goes before everything else. */
export type DialServer = (by: DialBy, header?: Buffer) => Promise<Duplex>;

export interface Applications {
  serve(exchange: Exchange, route: Route, plan: ForwardPlan<Panel>, dial: DialServer, prefix: Prefix | null): void;
  /** For what is no HTTP: as whom the connection goes on. Fault `forbidden`. */
  admit(conn: Conn, route: Route): Promise<Told>;
  /** It is a secret that lets somebody in: a device's token, or a standing session with one of these applications. */
  isLive(prefix: Prefix, applications: readonly string[]): boolean;
  /** A device was locked or removed, or is no job source any more: its connections end, whatever runs on them. */
  judgeAgain(): void;
  /** Ends the connections of a device to the application of that name, or to all: a session was ended, or what the device proved itself by withdrawn. */
  cut(deviceId: Id, application: string | null): void;
}

interface Known {
  readonly route: Route;
  readonly version: number;
  readonly atMs: number;
  readonly userAgent: string | undefined;
  readonly secret: string | null;
  readonly identity: Identity;
  readonly source: JobSource | null;
  /** null until the device's virtual address is there. */
  told: Told | null;
  host: string;
  /** That tell the address, and the signed statement; for `host`. */
  lines: string;
  /** Of connections to the server. */
  key: string;
  /** Joined by the last request. */
  session: DeviceSession | null;
  /** One object as long as nothing of it changes: heads that were encoded for it are not encoded again. */
  panel: Panel;
}

/** Longer than that a decision is not believed, whatever changed or did not: marks grow old. */
const knownMs = 2_000;

const noPanel: Panel = { prefix: '', host: '' };
const strip = is.hop | is.forwarded | is.ours;
const stagedAsk = is.location | is.refresh;
/** No secret of an address reaches the application. */
const refererOf = (_name: string, value: string) => unprefixReferer(value);
const requestPlain: HeadEdit<Panel> = { drop: strip, ask: is.referer, value: refererOf };
const requestJar: HeadEdit<Panel> = { drop: strip | is.cookie, ask: is.referer, value: refererOf };
// A page that is to be rewritten has to come as it is written: without compression.
const requestPrefix: HeadEdit<Panel> = { drop: strip | is.acceptEncoding, ask: is.referer, value: refererOf };
const requestPrefixJar: HeadEdit<Panel> = { drop: strip | is.acceptEncoding | is.cookie, ask: is.referer, value: refererOf };

const answerPlain: HeadEdit<Panel> = { drop: is.hop, ask: 0, value: undefined };
const answerJar: HeadEdit<Panel> = { drop: is.hop | is.setCookie, ask: 0, value: undefined };
const addressesOf = (name: string, value: string, { prefix, host }: Panel) =>
  name === 'refresh' ? rewriteRefresh(value, prefix, host) : name === 'set-cookie' ? rewriteSetCookiePath(value, prefix) : rewriteLocation(value, prefix, host);
const answerPrefix: HeadEdit<Panel> = { drop: is.hop, ask: stagedAsk | is.setCookie, value: addressesOf };
const answerPrefixJar: HeadEdit<Panel> = { drop: is.hop | is.setCookie, ask: stagedAsk, value: addressesOf };
const answerStaged: HeadEdit<Panel> = { drop: is.hop | is.contentLength, ask: stagedAsk | is.setCookie, value: addressesOf };
const answerStagedJar: HeadEdit<Panel> = { drop: is.hop | is.contentLength | is.setCookie, ask: stagedAsk, value: addressesOf };

/** Links of a page lead elsewhere, too: nobody there is told the secret that stands in the page's address. Here it is needed (prefixOfReferer). */
const noReferrerElsewhere = 'Referrer-Policy: same-origin\r\n';

const pathOf = (target: string) => {
  const end = target.indexOf('?');
  return end < 0 ? target : target.slice(0, end);
};

/** Compressed all the same, or a part by its offsets (RFC 9110 §15.3.7), it goes on as it is. */
const rewriteKind = ({ fields, status }: ResponseHead) => (status !== 206 && /^(?:identity)?$/i.test(fieldOf(fields, 'content-encoding') ?? '') ? rewriteKindOf(fieldOf(fields, 'content-type')) : null);

interface PassageOrder {
  readonly target: string;
  readonly key: string;
  readonly requestLines: string;
  readonly panel: Panel;
  readonly jar: CookieJar | null;
  /** The address that the device asked for has one: a token, or a session's. */
  readonly hasSecret: boolean;
  readonly isSecure: boolean;
  readonly dial: DialServer;
  readonly told: Told;
  readonly proxyHeader: 'v1' | 'v2' | null;
  readonly dialTimeoutMs: number;
  readonly nowMs: () => number;
}

/** Of one exchange. A class, because there is one for each and closures would cost more than what they carry. */
class ApplicationPassage implements Passage<Panel> {
  readonly target: string;
  readonly key: string;
  readonly requestEdit: HeadEdit<Panel>;
  readonly context: Panel;
  readonly requestLines: string;
  readonly #order: PassageOrder;

  constructor(order: PassageOrder) {
    this.target = order.target;
    this.key = order.key;
    this.requestLines = order.requestLines;
    this.context = order.panel;
    const withoutCookies = order.jar !== null;
    this.requestEdit = order.panel.prefix === '' ? (withoutCookies ? requestJar : requestPlain) : withoutCookies ? requestPrefixJar : requestPrefix;
    this.#order = order;
  }

  dial(exchange: Exchange, signal: AbortSignal): Promise<Duplex> {
    const { dial, told, proxyHeader, dialTimeoutMs } = this.#order;
    const header = proxyHeader === null ? undefined : proxyHeaderFor(exchange.conn, proxyHeader, told.client);
    return dial({ client: told.client, timeoutMs: dialTimeoutMs, signal, ...(told.local === null ? {} : { localAddress: told.local }) }, header);
  }

  onAnswer(answer: ResponseHead) {
    const { jar, panel, hasSecret } = this.#order;
    if (jar !== null) this.#keepCookies(answer, jar);
    const lines = hasSecret ? noReferrerElsewhere : '';
    if (panel.prefix === '') return { edit: jar === null ? answerPlain : answerJar, lines, stage: null };
    const kind = rewriteKind(answer);
    if (kind === null) return { edit: jar === null ? answerPrefix : answerPrefixJar, lines, stage: null };
    return { edit: jar === null ? answerStaged : answerStagedJar, lines, stage: buildRewrite({ prefix: panel.prefix, host: panel.host, isCss: kind === 'css' }) };
  }

  #keepCookies({ fields }: ResponseHead, jar: CookieJar): void {
    let given: string[] | null = null;
    for (let i = 0; i < fields.names.length; i++) if (fields.names[i] === 'set-cookie') (given ??= []).push(fields.values[i]!);
    if (given !== null) jar.take(given, pathOf(this.target), this.#order.isSecure, this.#order.nowMs());
  }
}

export function buildApplications(options: ApplicationsOptions): Applications {
  const { limits, room, sessions, nowMs } = options;
  const known = new WeakMap<Conn['accepted'], Known>();

  const show = (exchange: Exchange, status: number, route: Route, page: Omit<PanelPage, 'application' | 'address' | 'device' | 'requestId' | 'again'>, identity: Identity | null, lines = '') => {
    const { head, conn, requestId } = exchange;
    room.counts.requests += 1;
    room.counts.answers[Math.floor(status / 100)]! += 1;
    const device = identity === null || identity.device === null ? null : { name: identity.device.name, serial: identity.device.serial };
    // Only what can be asked again without doing it again. A session that is over stays so: who is known without it begins anew.
    const path = page.kind === 'session' && page.why !== 'paused' ? (device === null ? null : unprefix(head.target)) : head.target;
    const again = head.method === 'GET' && status !== 200 && path !== null ? { again: path } : {};
    const encoded = encodePanelPage({ ...page, application: route.name, address: conn.from, device, requestId, ...again }, fieldOf(head.fields, 'accept'));
    exchange.respond(status, encoded.lines + lines, encoded.body);
  };

  /** What was opened stands longer than a decision: relays, and what a server switched to. Behind a trusted proxy a connection is nobody's own. */
  const standing = new Map<Conn['accepted'], { readonly route: Route; readonly shown: Shown; readonly deviceId: Id }>();
  const stand = ({ conn }: Shown, route: Route, { device }: Identity) => {
    const { accepted, forwardedBefore } = conn;
    if (device === null || forwardedBefore !== null || accepted.raw.destroyed) return;
    if (!standing.has(accepted)) accepted.raw.once('close', () => standing.delete(accepted));
    // Without its head, which may be large, and without secrets.
    standing.set(accepted, { route, shown: { conn, fields: null, token: null, session: null }, deviceId: device.id });
  };
  const mayStand = ({ route, shown, deviceId }: { readonly route: Route; readonly shown: Shown; readonly deviceId: Id }) => {
    const device = options.deviceById(deviceId);
    return device !== undefined && !device.locked && (!route.application!.assigned || options.sourceFor(route, device, shown) !== null);
  };

  const toldAs = (conn: Conn, route: Route, identity: Identity, source: JobSource | null) => toldOf(toldFrom(conn), route.application!, identity, source, options.addressOf, identity.device !== null && conn.accepted.via?.siteId === identity.device.siteId);

  const look = (shown: Shown, route: Route, secret: string | null, userAgent: string | undefined): Known => {
    const version = options.version();
    const before = known.get(shown.conn.accepted);
    const now = nowMs();
    if (before !== undefined && before.route === route && before.version === version && now - before.atMs < knownMs && before.userAgent === userAgent && before.secret === secret && shown.conn.forwardedBefore === null) return before;
    const identity = options.identify(shown, route);
    const source = identity.device === null ? null : options.sourceFor(route, identity.device, shown);
    const found: Known = { route, version: options.version(), atMs: now, userAgent, secret, identity, source, told: toldAs(shown.conn, route, identity, source), host: '', lines: '', key: '', session: null, panel: noPanel };
    known.set(shown.conn.accepted, found);
    stand(shown, route, identity);
    return found;
  };

  const refuse = (exchange: Exchange, shown: Shown, found: Known, why: NotAdmitted) => {
    const { route, identity } = found;
    const code = why === 'locked' ? null : options.pending(shown, route, identity, why);
    const reason = refusalText(why, route.name, identity);
    options.refused(exchange, route, 403, printable(reason, 200));
    show(exchange, 403, route, { kind: why, code, why: reason }, identity);
  };

  const passageOf = (exchange: Exchange, found: Known, told: Told, session: DeviceSession | null, named: Prefix | null, rest: string, dial: DialServer): Passage<Panel> => {
    const { route, identity } = found;
    const { conn, head } = exchange;
    const application = route.application!;
    const { jar: usesJar, urlPrefix } = application.session;
    const jar = usesJar ? (session?.jar ?? null) : null;
    const prefix = urlPrefix && session !== null && session.sid !== null ? `/s/${session.sid}` : '';
    const proxyHeader = application.tell === 'proxy-v1' ? 'v1' : application.tell === 'proxy-v2' ? 'v2' : null;
    if (found.lines === '' || found.host !== head.host) {
      found.host = head.host;
      found.lines = encodeForwarded({ client: told.client, before: conn.forwardedBefore, via: conn.accepted.from, host: head.host, proto: conn.facts.secure ? 'https' : 'http' });
      if (application.tell === 'headers' && identity.device !== null) {
        const assertion = options.assertion(route, identity.device, identity, told);
        if (assertion !== '') found.lines += `X-Postern-Identity: ${assertion}\r\n`;
      }
      // With the server itself: a route of the same name may lead elsewhere after a change of the configuration.
      const server = `app ${route.name} ${JSON.stringify(route.target)}`;
      found.key = proxyHeader !== null ? `${server} ${told.client} for ${conn.id}` : told.local === null ? server : `${server} ${told.local}`;
    }
    if (found.panel.prefix !== prefix || (prefix !== '' && found.panel.host !== head.host)) found.panel = { prefix, host: head.host };
    // It is told how the device came to us, and takes its own cookies for safe by that.
    const isSecure = route.target.kind === 'tls' || conn.facts.secure;
    let lines = found.lines;
    if (jar !== null) {
      const cookies = jar.cookieLine(pathOf(rest), isSecure, nowMs(), fieldOf(head.fields, 'cookie') ?? null);
      if (cookies !== '') lines += `Cookie: ${cookies}\r\n`;
    }
    return new ApplicationPassage({ target: rest, key: found.key, requestLines: lines, panel: found.panel, jar, hasSecret: prefix !== '' || named !== null, isSecure, dial, told, proxyHeader, dialTimeoutMs: limits.dialTimeoutMs, nowMs });
  };

  const refuseSession = (exchange: Exchange, { route, identity }: Pick<Known, 'route' | 'identity'>, why: SessionRefusal | SessionEnd): 'answered' => {
    options.refused(exchange, route, 403, `its session: ${why}`);
    show(exchange, 403, route, { kind: 'session', code: null, why }, identity);
    return 'answered';
  };

  /** The session that the exchange belongs to, or a page that it was answered with. */
  const sessionOf = (exchange: Exchange, shown: Shown, found: Known, prefix: Prefix | null, rest: string): DeviceSession | null | 'answered' => {
    const { route, identity } = found;
    const { session: wanted } = route.application!;
    if (identity.device === null || identity.state === 'ambiguous') return null;
    if (found.session !== null && !wanted.urlPrefix && sessions.touch(found.session, nowMs())) return found.session;
    const joined = sessions.join(route.name, identity, wanted, { address: shown.conn.from, siteId: shown.conn.accepted.via?.siteId ?? null, virtualAddress: found.told!.local, host: exchange.head.host }, nowMs());
    if (typeof joined === 'string') return refuseSession(exchange, found, joined);
    found.session = joined;
    if (!wanted.urlPrefix || joined.sid === null || (prefix?.kind === 'session' && shown.session === joined)) return joined;
    // Into the session's own addresses; what has a body keeps it (RFC 9110 §15.4.8).
    const { method } = exchange.head;
    room.counts.requests += 1;
    room.counts.answers[3]! += 1;
    exchange.respond(method === 'GET' || method === 'HEAD' ? 302 : 307, `Location: /s/${joined.sid}${rest}\r\nCache-Control: no-store\r\n`, '');
    return 'answered';
  };

  const go = (exchange: Exchange, found: Known, shown: Shown, plan: ForwardPlan<Panel>, dial: DialServer, prefix: Prefix | null, rest: string): void => {
    const session = sessionOf(exchange, shown, found, prefix, rest);
    if (session !== 'answered') forward(room, exchange, plan, passageOf(exchange, found, found.told!, session, prefix, rest, dial));
  };

  return {
    serve(exchange, route, plan, dial, named) {
      const { conn, head } = exchange;
      if (named?.isBare) {
        // Relative addresses of the page would lead beside it.
        room.counts.requests += 1;
        room.counts.answers[3]! += 1;
        return exchange.respond(302, `Location: /${named.kind === 'token' ? 'd' : 's'}/${named.secret}${named.rest}\r\nCache-Control: no-store\r\n`, '');
      }
      const rest = named === null ? head.target : named.rest;
      const referer = named === null && route.application!.session.urlPrefix ? fieldOf(head.fields, 'referer') : undefined;
      // A page's script put the address together: the page itself was one of a session.
      const prefix = referer === undefined ? named : prefixOfReferer(referer, head.host);
      const session = prefix?.kind === 'session' ? (sessions.bySid(prefix.secret, route.name, nowMs()) ?? null) : null;
      const shown: Shown = { conn, fields: head.fields, token: prefix?.kind === 'token' ? prefix.secret : null, session };
      const found = look(shown, route, prefix?.secret ?? null, fieldOf(head.fields, 'user-agent'));
      if (pathOf(rest) === '/.postern/test') return show(exchange, 200, route, { kind: 'test', code: null, why: found.identity.why, state: found.identity.state, virtualAddress: found.told?.local ?? null, ...options.placeOf(shown, found.identity) }, found.identity);
      // Its address is of a session that is over: whoever the device is, it begins anew at the application's own address.
      if (named?.kind === 'session' && session === null) return void refuseSession(exchange, found, sessions.whyEnded(named.secret) ?? 'ended');
      const why = whyNotAdmitted(route.application!, found.identity, found.source);
      if (why !== null) return refuse(exchange, shown, found, why);
      if (found.told !== null) return go(exchange, found, shown, plan, dial, prefix, rest);
      options.ensureAddress(found.identity.device!.id).then(
        () => {
          found.told = toldAs(conn, route, found.identity, found.source);
          if (!exchange.isGone) go(exchange, found, shown, plan, dial, prefix, rest);
        },
        (thrown: unknown) => {
          if (exchange.isGone) return;
          options.refused(exchange, route, 503, printable(reasonOf(thrown), 200));
          show(exchange, 503, route, { kind: 'unreachable', why: reasonOf(thrown), code: null }, null, 'Retry-After: 5\r\n');
        },
      );
    },
    async admit(conn, route) {
      const shown: Shown = { conn, fields: null, token: null, session: null };
      const identity = options.identify(shown, route);
      const source = identity.device === null ? null : options.sourceFor(route, identity.device, shown);
      const why = whyNotAdmitted(route.application!, identity, source);
      if (why !== null) {
        const code = why === 'locked' ? '' : ` (${options.pending(shown, route, identity, why)})`;
        throw new Fault('forbidden', `${why === 'not-assigned' || why === 'locked' ? refusalText(why, route.name, identity) : identity.why}${code}`, { detail: { step: 'identity' } });
      }
      stand(shown, route, identity);
      const told = toldAs(conn, route, identity, source);
      if (told !== null) return told;
      await options.ensureAddress(identity.device!.id);
      return toldAs(conn, route, identity, source)!;
    },
    isLive: ({ kind, secret }, applications) => (kind === 'token' ? options.isToken(secret) : applications.some((name) => sessions.bySid(secret, name, nowMs()) !== undefined)),
    judgeAgain() {
      for (const [accepted, each] of Array.from(standing)) if (!mayStand(each)) accepted.raw.destroy();
    },
    cut(deviceId, application) {
      for (const [accepted, each] of Array.from(standing)) if (each.deviceId === deviceId && (application === null || each.route.name === application)) accepted.raw.destroy();
    },
  };
}
