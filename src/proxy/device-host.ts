// A device's public name: who asks, may they, is it there; then its exchanges go through its agent with their heads translated.
// A device's page is hostile code on a neighbour name (DESIGN §3.8): what it could do to others is refused here.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { toFault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { visitorOfToken, visitorLives } from '#model/credentials.ts';
import { digestOf, newSecret } from '#base/secret.ts';
import { askedCookieName, findHostCookie, hostCookieName, makeHostCookie, readHostCookie } from '#model/host-cookie.ts';
import { mainPort, parseDeviceHost } from '#model/labels.ts';
import { subjectOfDevice, visitorMay } from '#model/rights.ts';
import type { Device, DevicePort } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';
import type { Visitor } from '#model/visitor.ts';
import type { Conn } from '#net/conn.ts';
import type { DialBy } from '#net/dial.ts';
import { fieldOf } from '#wire/http1-fields.ts';
import { fromDevice, originOf, ownAuthority, toDeviceOwnHost, toDevicePublicHost, type DeviceNames } from './device-edit.ts';
import type { Exchange } from './exchange.ts';
import { buildPlan, forward, type ForwardPlan, type ForwardRoom } from './forward.ts';
import type { HandOver } from './hand-over.ts';
import { encodePage } from './pages.ts';
import type { OpenVisit, Visits } from './visits.ts';

export interface DeviceHostOptions {
  readonly tables: Tables;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Limits;
  readonly visits: Visits;
  readonly room: ForwardRoom;
  /** Signs cookies of device hosts. */
  readonly cookieKey: Buffer;
  /** A stream to the device's port, TLS already made where the port speaks it. */
  dialDevice(device: Device, port: DevicePort, by: DialBy): Promise<Duplex>;
  /** Uses up a one-time code for this host. `gone`: unknown, used, too old or for another host; `not-asked`: made for another browser. */
  redeemHandOver(code: string, host: string, nonce: string): HandOver | 'gone' | 'not-asked';
  /** The console's origin for a client that came this way. */
  consoleOrigin(exchange: Exchange, domain: string): string;
  refuse(exchange: Exchange, refusal: Refusal): void;
  /** A sign-in or token was used; noted in batches. */
  onUsed(visitor: Visitor): void;
}

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly why: string;
  readonly remedy?: string;
  readonly rule: string;
  readonly link?: { readonly to: string; readonly text: string };
  readonly lines?: string;
}

interface PlannedVisit {
  readonly visit: OpenVisit;
  readonly device: Device;
  /** Counts the rows that the device has had during the visit. */
  readonly turn: number;
  readonly plans: Map<string, ForwardPlan<DeviceNames>>;
}

interface Passage {
  readonly fields: object;
  readonly method: string;
  readonly version: number;
  readonly untilMs: number;
  readonly visit: OpenVisit;
  readonly plan: ForwardPlan<DeviceNames>;
}

const OWN_PATH = '/.postern/';
const PASSAGE_MS = 2_000;
const VERIFIED_MAX = 10_000;

export interface DeviceHosts {
  serve(exchange: Exchange, host: string, domain: string, label: string): void;
}

export function buildDeviceHosts(options: DeviceHostOptions): DeviceHosts {
  const { tables, clock, limits, visits, room } = options;
  const planned = new WeakMap<OpenVisit, PlannedVisit>();
  /** Cookie values and tokens that were checked: the digest of each request's secret costs more than the rest of the decision. */
  const verified = new Map<string, Visitor>();
  let verifiedAt = -1;

  // Versions only grow, so an equal sum means that nothing has changed.
  const secretsVersion = () => tables.signIns.version + tables.tokens.version + tables.people.version;
  const tablesVersion = () => secretsVersion() + tables.devices.version + tables.agents.version + tables.rights.version + tables.oldLabels.version;
  /**
   * What was decided for a head on a connection holds for the next one with the same fields, while no table has changed and for no
   * longer than it takes to notice that a sign-in ran out. By connection, so that it goes when that goes.
   */
  const passages = new WeakMap<Conn, Passage>();
  const remember = (key: string, visitor: Visitor) => {
    if (verified.size >= VERIFIED_MAX) verified.clear();
    verified.set(key, visitor);
  };

  const identify = (exchange: Exchange, host: string): { visitor: Visitor | null; by: 'token' | 'cookie' | 'nothing' } => {
    const version = secretsVersion();
    if (version !== verifiedAt) {
      verified.clear();
      verifiedAt = version;
    }
    const { fields } = exchange.head;
    const token = fieldOf(fields, 'postern-token');
    if (token !== undefined) {
      const key = `t ${token}`;
      const known = verified.get(key);
      if (known && visitorLives(tables, known, clock.nowMs(), limits)) return { visitor: known, by: 'token' };
      const visitor = visitorOfToken(tables, token, clock.nowMs(), limits);
      if (visitor) remember(key, visitor);
      return { visitor, by: 'token' };
    }
    const cookies = fieldOf(fields, 'cookie');
    const value = cookies === undefined ? undefined : findHostCookie(cookies);
    if (value === undefined || value === null) return { visitor: null, by: 'nothing' };
    const key = `c ${host} ${value}`;
    const known = verified.get(key);
    if (known) return { visitor: visitorLives(tables, known, clock.nowMs(), limits) ? known : null, by: 'cookie' };
    const signInId = readHostCookie(options.cookieKey, value, host);
    const signIn = signInId === null ? undefined : tables.signIns.get(signInId);
    const person = signIn && tables.people.get(signIn.personId);
    if (!signIn || !person) return { visitor: null, by: 'nothing' };
    const visitor: Visitor = { person, signIn, token: null };
    if (!visitorLives(tables, visitor, clock.nowMs(), limits)) return { visitor: null, by: 'nothing' };
    remember(key, visitor);
    return { visitor, by: 'cookie' };
  };

  /** Another host's page must not be able to do anything here but be followed as a link (DESIGN §3.8). Null: fine. */
  const crossHost = (exchange: Exchange, publicOrigin: string): string | null => {
    const { head } = exchange;
    const site = fieldOf(head.fields, 'sec-fetch-site');
    if (site !== undefined) {
      if (site === 'same-origin' || site === 'none') return null;
      // Speculation rules fetch with the mode and destination of a followed link, cookies included, before anybody follows it.
      if (fieldOf(head.fields, 'sec-purpose') !== undefined) return `a page of another host (${site}) had this fetched ahead`;
      if (head.method === 'GET' && head.upgrade === '' && fieldOf(head.fields, 'sec-fetch-mode') === 'navigate' && fieldOf(head.fields, 'sec-fetch-dest') === 'document') return null;
      return `a page of another host (${site}) asked for this`;
    }
    // Browsers without fetch metadata, and WebSockets of some: Origin where it is sent, else Referer, else it must look like a followed link.
    const origin = fieldOf(head.fields, 'origin');
    if (origin !== undefined) return origin === publicOrigin ? null : 'a page of another host asked for this (Origin)';
    const referer = fieldOf(head.fields, 'referer');
    if (referer !== undefined && (referer === publicOrigin || referer.startsWith(`${publicOrigin}/`))) return null;
    if (head.method === 'GET' && head.upgrade === '' && (fieldOf(head.fields, 'accept') ?? '').includes('text/html')) return null;
    return 'nothing says that this came from a page of this host';
  };

  const ownCookie = (name: string, value: string, maxAgeS?: number) => `${name}=${value}; Path=/;${maxAgeS === undefined ? '' : ` Max-Age=${maxAgeS};`} Secure; HttpOnly; SameSite=Lax\r\n`;

  /** What this browser holds from an earlier question on this host. Kept rather than made anew, so that tabs do not spoil each other's. */
  const askedNonce = (exchange: Exchange): string | null => {
    const value = findHostCookie(fieldOf(exchange.head.fields, 'cookie') ?? '', askedCookieName);
    return value && /^[a-z2-9]{32}$/.test(value) ? value : null;
  };

  const originOfHost = (exchange: Exchange) => `${exchange.conn.facts.secure ? 'https' : 'http'}://${exchange.head.host.toLowerCase()}`;

  const enter = (exchange: Exchange, host: string, code: string) => {
    const done = options.redeemHandOver(code, host, askedNonce(exchange) ?? '');
    const link = { to: '/', text: 'Open the device' };
    if (done === 'gone') return options.refuse(exchange, { status: 410, code: 'gone', title: 'This link has been used', why: 'The one-time code in the address was used, is older than a minute, or belongs to another name.', remedy: 'Open the device again.', rule: 'hand-over', link });
    if (done === 'not-asked') return options.refuse(exchange, { status: 403, code: 'not-asked', title: 'Not asked for', why: 'This browser did not ask for the one-time code in the address, or keeps no cookies of this name; whoever sent you the address may want you to be signed in as them.', remedy: 'Open the device by its own address.', rule: 'hand-over', link });
    return exchange.respond(303, `Location: ${done.path}\r\nSet-Cookie: ${ownCookie(hostCookieName, makeHostCookie(options.cookieKey, done.signInId, host))}Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n`, '');
  };

  /**
   * Ends the sign-in on this host alone. It takes the press of a button on our own page here: a followed link would be anybody's to
   * send, also by a redirect behind an address that the person typed, which browsers call `Sec-Fetch-Site: none`.
   */
  const leave = (exchange: Exchange, host: string, domain: string) => {
    if (exchange.head.method === 'GET') {
      const page = encodePage({ status: 200, code: 'leave', title: 'Sign out here?', text: `This browser then has no sign-in at ${host} any more; the one at the console stays.`, remedy: '', requestId: exchange.requestId, button: { to: '/.postern/leave', text: 'Sign out' } }, true);
      return exchange.respond(200, page.lines, page.body);
    }
    const why = crossHost(exchange, originOfHost(exchange));
    if (why !== null) return options.refuse(exchange, { status: 403, code: 'cross-host', title: 'Refused', why: `Signing out takes the button on this host's own page: ${why}.`, rule: 'cross-host request' });
    const page = encodePage({ status: 200, code: 'left', title: 'Signed out here', text: `This browser has no sign-in at ${host} any more.`, remedy: '', requestId: exchange.requestId, link: { to: `${options.consoleOrigin(exchange, domain)}/`, text: 'Open the console' } }, true);
    return exchange.respond(200, `${page.lines}Set-Cookie: ${ownCookie(hostCookieName, '', 0)}`, page.body);
  };

  const ownPath = (exchange: Exchange, host: string, domain: string) => {
    const { head } = exchange;
    const url = new URL(head.target, 'http://host.invalid');
    const isLeave = url.pathname === '/.postern/leave';
    if (head.method !== 'GET' && !(isLeave && head.method === 'POST')) {
      const allowed = isLeave ? 'GET, POST' : 'GET';
      return options.refuse(exchange, { status: 405, code: 'method', title: 'Not like this', why: `this address takes ${allowed}`, rule: 'own path', lines: `Allow: ${allowed}\r\n` });
    }
    if (url.pathname === '/.postern/enter') return enter(exchange, host, url.searchParams.get('code') ?? '');
    if (isLeave) return leave(exchange, host, domain);
    return options.refuse(exchange, { status: 404, code: 'not-found', title: 'Not found', why: 'There is nothing at this address; paths under /.postern/ are the gateway\'s.', rule: 'own path' });
  };

  const signInFirst = (exchange: Exchange, domain: string) => {
    const { head } = exchange;
    const mode = fieldOf(head.fields, 'sec-fetch-mode');
    // The console cannot be shown inside a page: a frame gets the answer of a program.
    const dest = fieldOf(head.fields, 'sec-fetch-dest');
    const looksLikePerson = head.method === 'GET' && head.upgrade === '' && (fieldOf(head.fields, 'accept') ?? '').includes('text/html') && (mode === undefined || mode === 'navigate') && (dest === undefined || dest === 'document');
    if (!looksLikePerson) {
      return options.refuse(exchange, {
        status: 401, code: 'unauthenticated', title: 'Sign-in needed', why: 'Nobody is signed in for this request.', rule: 'sign-in',
        remedy: 'People open the address in a browser; programs send a token in the header Postern-Token.', lines: 'WWW-Authenticate: Postern-Token realm="postern"\r\n',
      });
    }
    const authority = exchange.head.host.toLowerCase();
    const nonce = askedNonce(exchange) ?? newSecret(options.random);
    const to = `${options.consoleOrigin(exchange, domain)}/open?host=${encodeURIComponent(authority)}&to=${encodeURIComponent(head.target)}&asked=${digestOf(nonce)}`;
    return exchange.respond(303, `Location: ${to}\r\nSet-Cookie: ${ownCookie(askedCookieName, nonce, limits.handOverAskedMs / 1000)}Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n`, '');
  };

  const planOf = (exchange: Exchange, planned: PlannedVisit, host: string, label: string, port: DevicePort): ForwardPlan<DeviceNames> => {
    const publicOrigin = originOfHost(exchange);
    const existing = planned.plans.get(publicOrigin);
    if (existing) return existing;
    const { device, visit } = planned;
    const scheme = port.kind === 'https' ? 'https' : 'http';
    const own = device.hostHeader === 'own';
    // `https://printer1--8080.gw.example.test:8443` with other ports in place of the one it was asked for.
    const suffix = publicOrigin.slice(publicOrigin.indexOf('://') + 3 + host.indexOf('.'));
    const publicScheme = exchange.conn.facts.secure ? 'https' : 'http';
    const main = mainPort(device);
    const base = parseDeviceHost(label)!.label;
    const names: DeviceNames = {
      publicOrigin,
      publicSecure: exchange.conn.facts.secure,
      ownOrigin: originOf(scheme, device.host, port.number),
      ownHost: device.host.toLowerCase(),
      publicHost: host,
      originOfPort(number) {
        if (number === port.number) return publicOrigin;
        const other = device.ports.find((each) => each.number === number && (each.kind === 'http' || each.kind === 'https'));
        return other ? `${publicScheme}://${base}${number === main ? '' : `--${number}`}${suffix}` : null;
      },
      translateOrigin: own,
    };
    const plan = buildPlan<DeviceNames>({
      // With the row's turn: a connection that was opened before a certificate was forgotten or accepted is not used after it.
      key: `visit ${visit.id} ${planned.turn} ${device.host} ${port.number} ${port.kind}`,
      name: `device "${device.name}", port ${port.number}`,
      authority: ownAuthority(device.host, port),
      dial: (exchange, signal) => options.dialDevice(device, port, { client: exchange.conn.from, visitId: visit.id, timeoutMs: limits.deviceDialTimeoutMs, signal }),
      requestEdit: own ? toDeviceOwnHost : toDevicePublicHost,
      answerEdit: fromDevice,
      context: names,
      requestLines: own ? `Host: ${ownAuthority(device.host, port)}\r\n` : '',
      answerLines: '',
      answerTimeoutMs: limits.answerHeadTimeoutMs,
      limits,
      forwarded: true,
      meter: visit.meter,
      onBegin: (running) => {
        visit.running.add(running);
        visit.lastUsedMs = room.sweep.nowMs;
      },
      onDone: (running) => {
        visit.running.delete(running);
        visit.lastUsedMs = room.sweep.nowMs;
      },
      onSwitched: (_, close) => {
        const running = { cut: close };
        visit.running.add(running);
        return () => void visit.running.delete(running);
      },
    });
    if (planned.plans.size >= 64) planned.plans.clear();
    planned.plans.set(publicOrigin, plan);
    return plan;
  };

  const serve = (exchange: Exchange, host: string, domain: string, label: string): void => {
    if (exchange.head.target.startsWith(OWN_PATH)) return ownPath(exchange, host, domain);
    const passage = passages.get(exchange.conn);
    if (passage !== undefined && passage.fields === exchange.head.fields && passage.method === exchange.head.method && passage.version === tablesVersion() && passage.untilMs > room.sweep.nowMs && !passage.visit.isClosed) {
      return forward(room, exchange, passage.plan);
    }
    const parsed = parseDeviceHost(label);
    const { visitor, by } = identify(exchange, host);
    if (!visitor) {
      if (by === 'token') return options.refuse(exchange, { status: 401, code: 'unauthenticated', title: 'Unknown token', why: 'The token in Postern-Token is unknown, expired or revoked.', rule: 'token', remedy: 'Make a new one under "My account".', lines: 'WWW-Authenticate: Postern-Token realm="postern"\r\n' });
      return signInFirst(exchange, domain);
    }
    if (by === 'cookie') {
      const why = crossHost(exchange, originOfHost(exchange));
      if (why !== null) return options.refuse(exchange, { status: 403, code: 'cross-host', title: 'Refused', why: `A device's address can be opened, but not used from another page: ${why}.`, rule: 'cross-host request' });
    }
    const device = parsed && tables.deviceByLabel(parsed.label);
    if (!parsed || !device) {
      const old = parsed && tables.oldLabel(parsed.label);
      const now = old && old.until > clock.nowMs() ? tables.devices.get(old.deviceId) : undefined;
      if (now && (exchange.head.method === 'GET' || exchange.head.method === 'HEAD')) {
        const authority = exchange.head.host.toLowerCase();
        const to = `${now.label}${parsed!.port === null ? '' : `--${parsed!.port}`}${authority.slice(authority.indexOf('.'))}`;
        return exchange.respond(308, `Location: ${exchange.conn.facts.secure ? 'https' : 'http'}://${to}${exchange.head.target}\r\nCache-Control: no-store\r\n`, '');
      }
      return options.refuse(exchange, { status: 404, code: 'not-found', title: 'No such device', why: `No device is called "${label}" here.`, remedy: 'It may have been renamed or removed; the console lists what there is.', rule: 'device label', link: { to: `${options.consoleOrigin(exchange, domain)}/`, text: 'Open the console' } });
    }
    // A person without the right learns no more than that there is nothing for them.
    if (!visitorMay(tables, visitor, 'open', subjectOfDevice(device))) return options.refuse(exchange, { status: 403, code: 'forbidden', title: 'No right to open this device', why: `${visitor.person.login} may not open this device.`, remedy: 'Whoever administers it can give you the right.', rule: 'right' });
    if (device.agentId === null) return options.refuse(exchange, { status: 404, code: 'unsupported', title: 'Nothing to open', why: `${device.name} has no agent: it brings its data by itself.`, remedy: 'Join an agent for it to open it from here.', rule: 'no agent' });
    if (device.locked || tables.agentOf(device)?.state !== 'active') return options.refuse(exchange, { status: 403, code: 'locked', title: 'Locked', why: `${device.name} is locked.`, remedy: 'Whoever administers it can unlock it in the console.', rule: 'lock' });
    const number = parsed.port ?? mainPort(device);
    const listed = device.ports.filter((each) => each.number === number);
    const port = listed.find((each) => each.kind !== 'udp') ?? listed[0];
    if (!port || (port.kind !== 'http' && port.kind !== 'https')) {
      const why = number === null ? `${device.name} has no port that a browser can open.` : port ? `Port ${number} of ${device.name} speaks ${port.kind}, not a web page.` : `Port ${number} of ${device.name} is not among its ports.`;
      return options.refuse(exchange, { status: 404, code: 'no-port', title: 'No such port', why, remedy: port ? `Use: postern forward ${device.label} ${number}${port.kind === 'udp' ? '/udp' : ''}` : 'Add the port on the device\'s page in the console.', rule: 'device port' });
    }
    const order = { visitor, device, port: port.number, kind: 'http' as const, from: exchange.conn.from };
    const visit = visits.find(order);
    if (visit) return go(exchange, visit, device, host, label, port);
    options.onUsed(visitor);
    exchange.expectWithin(limits.answerHeadTimeoutMs);
    exchange.pauseRequest();
    const version = tablesVersion();
    visits.open(order).then(
      (opened) => {
        exchange.resumeRequest();
        // A lock or a revocation that came while the store wrote has cut every visit but this one: the whole is judged again.
        if (tablesVersion() !== version) return serve(exchange, host, domain, label);
        go(exchange, opened, device, host, label, port);
      },
      (thrown: unknown) => {
        exchange.resumeRequest();
        const fault = toFault(thrown);
        if (fault.code === 'forbidden') return options.refuse(exchange, { status: 403, code: 'forbidden', title: 'Not any more', why: fault.message, rule: 'visit' });
        options.refuse(exchange, { status: 503, code: fault.code, title: 'Not now', why: `The visit cannot be recorded: ${fault.message}.`, remedy: fault.remedy ?? 'Every visit is written to the audit first; doctor says what is wrong with the store.', rule: 'audit' });
      },
    );
  };

  const go = (exchange: Exchange, visit: OpenVisit, device: Device, host: string, label: string, port: DevicePort) => {
    let known = planned.get(visit);
    // The row is replaced when the device changes; what was planned for the old one is void.
    if (!known || known.device !== device) planned.set(visit, (known = { visit, device, turn: (known?.turn ?? 0) + 1, plans: new Map() }));
    const plan = planOf(exchange, known, host, label, port);
    const { conn, head } = exchange;
    passages.set(conn, { fields: head.fields, method: head.method, version: tablesVersion(), untilMs: room.sweep.nowMs + PASSAGE_MS, visit, plan });
    forward(room, exchange, plan);
  };

  return { serve };
}
