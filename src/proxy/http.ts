// Each exchange judged and sent on its way: redirect, respond, a service of ours, a tcp target, a device. The verdict comes from
// model/decide; what is done about it is here.
import type { Duplex } from 'node:stream';
import { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import { tokenIn } from '#model/acme-answers.ts';
import { decideExchange } from '#model/decide.ts';
import type { Journal } from '#model/live.ts';
import { parsePrefix, pathShown, type Prefix } from '#model/secret-path.ts';
import type { Route, Snapshot } from '#model/snapshot.ts';
import type { ServiceName, TcpTarget, TlsTarget } from '#model/target.ts';
import type { DialBy } from '#net/dial.ts';
import { buildServerDial } from '#net/dial-server.ts';
import type { Identity } from '#net/dial-tls.ts';
import { setAsker } from '#net/service-pair.ts';
import type { Takeover } from '#net/takeover.ts';
import { fieldOf, is, type HeadEdit } from '#wire/http1-fields.ts';
import type { Applications, DialServer, Panel } from './application.ts';
import type { DeviceHosts, Refusal } from './device-host.ts';
import type { Exchange } from './exchange.ts';
import { buildPlan, forward, type ForwardPlan, type ForwardRoom } from './forward.ts';
import { encodePage, wantsHtml } from './pages.ts';
import { encodePanelPage } from './panel-pages.ts';
import { proxyHeaderFor } from './proxy-header.ts';

export interface HttpOptions {
  readonly snapshot: () => Snapshot;
  readonly limits: Limits;
  readonly journal: Pick<Journal, 'note'>;
  readonly room: ForwardRoom;
  readonly devices: () => DeviceHosts;
  /** Routes whose servers know devices by their address. */
  readonly applications: () => Applications;
  /** Opens our end of a service's pair. */
  dialService(name: ServiceName): Duplex;
  /** Services that take the connection whole, by service name and exact path. */
  readonly takeovers: Readonly<Partial<Record<ServiceName, Takeover>>>;
  /** The device protocol. */
  answerDevice(exchange: Exchange): void;
  /** A stream to the port of a device that a route names; Fault `not-found`, `offline` … */
  dialNamedDevice(device: string, port: number, by: DialBy): Promise<Duplex>;
  /** A certificate of ours by its name, to be shown to servers. */
  readonly identityOf: (name: string) => Identity | null;
  /** Counts changes of devices: what a name means, which certificate was accepted. */
  devicesVersion(): number;
  /** The port people reach TLS on. */
  httpsPort(): number;
  /** What answers an ACME authority that asks for this token (RFC 8555 §8.3); null: nobody waits for it, and the path is whoever's it was. */
  challengeAnswer(token: string): string | null;
}

const plain: HeadEdit<null> = { drop: is.hop | is.forwarded | is.ours, ask: 0, value: undefined };
const back: HeadEdit<null> = { drop: is.hop, ask: 0, value: undefined };
/** To our own services heads go as they came: they know who asks from beside the request, and may want to see that it was forwarded. */
const toService: HeadEdit<null> = { drop: is.hop, ask: 0, value: undefined };

const authorityOf = (target: { readonly host: string; readonly port: number }) => `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;

export interface HttpFront {
  onExchange(exchange: Exchange): void;
  refuse(exchange: Exchange, refusal: Refusal): void;
  /** The page and journal line of a failed forwarding. */
  failed(exchange: Exchange, plan: { readonly name: string; readonly panel?: string | undefined }, why: Fault): { status: number; lines: string; body: string };
  /** Ends what runs over routes that name a device for which this says yes; `device` as the route names it. There is no visit to end. */
  cutNamed(matches: (device: string) => boolean, why: string): void;
}

const STATUS_OF: Readonly<Partial<Record<Fault['code'], number>>> = { timeout: 504, unreachable: 502, closed: 502, protocol: 502, offline: 503, busy: 503, 'too-many': 503, forbidden: 403, 'not-found': 404, unsupported: 502 };
const TITLE_OF: Readonly<Partial<Record<Fault['code'], string>>> = { timeout: 'No answer in time', unreachable: 'Cannot be reached', closed: 'The connection broke', protocol: 'Not a proper answer', offline: 'Offline', busy: 'Busy', forbidden: 'Refused', unsupported: 'Not offered' };
const REMEDY_OF: Readonly<Partial<Record<Fault['code'], string>>> = {
  timeout: 'Try again; if it stays so, see whether the device or server is overloaded.',
  unreachable: 'Check that the program on that port runs there.',
  closed: 'Try again.',
  protocol: 'The port may speak something other than HTTP; its kind can be set on the device\'s page.',
  offline: 'It comes back by itself when its agent can dial out again; the device\'s page says why it left.',
  busy: 'Try again in a moment.',
};

export function buildHttpFront(options: HttpOptions): HttpFront {
  const { limits, journal, room } = options;
  const plans = new WeakMap<Route, ForwardPlan<null>>();
  const applicationPlans = new WeakMap<Route, ReturnType<typeof applicationPlan>>();
  const named = new Map<{ cut(why: string): void }, string>();

  const refuse = (exchange: Exchange, refusal: Refusal) => {
    room.counts.refusals += 1;
    room.counts.answers[Math.floor(refusal.status / 100)]! += 1;
    const { conn, head, requestId } = exchange;
    journal.note('exchange.refused', { conn: conn.id, request: requestId, from: conn.from, host: printable(head.host, 100), method: head.method, path: printable(pathShown(head.target), 200), status: refusal.status, why: refusal.why, rule: refusal.rule });
    const page = encodePage({ status: refusal.status, code: refusal.code, title: refusal.title, text: refusal.why, remedy: refusal.remedy ?? '', requestId, ...(refusal.link ? { link: refusal.link } : {}) }, wantsHtml(head.fields));
    exchange.respond(refusal.status, page.lines + (refusal.lines ?? ''), page.body);
  };

  const failed: HttpFront['failed'] = (exchange, plan, why) => {
    const { conn, head, requestId } = exchange;
    journal.note('exchange.failed', { conn: conn.id, request: requestId, from: conn.from, host: printable(head.host, 100), method: head.method, path: printable(pathShown(head.target), 200), to: plan.name, code: why.code, why: printable(why.message, 300) });
    const said = why.detail['status'];
    const status = said === 408 || said === 502 ? said : (STATUS_OF[why.code] ?? 502);
    room.counts.answers[Math.floor(status / 100)]! += 1;
    if (plan.panel !== undefined) {
      const again = head.method === 'GET' ? { again: head.target } : {};
      const shown = encodePanelPage({ kind: 'unreachable', application: plan.panel, address: conn.from, device: null, code: null, why: why.message, requestId, ...again }, fieldOf(head.fields, 'accept'));
      return { status, lines: shown.lines + (status === 503 ? 'Retry-After: 5\r\n' : ''), body: shown.body };
    }
    const page = encodePage({ status, code: why.code, title: TITLE_OF[why.code] ?? 'It did not work', text: `${why.message}.`, remedy: why.remedy ?? REMEDY_OF[why.code] ?? '', requestId }, wantsHtml(head.fields));
    return { status, lines: page.lines + (status === 503 ? 'Retry-After: 5\r\n' : ''), body: page.body };
  };

  const servicePlan = (name: ServiceName): ForwardPlan<null> => buildPlan({
    key: `service ${name}`,
    name: `the gateway's ${name}`,
    authority: 'localhost',
    dial: () => Promise.resolve(options.dialService(name)),
    requestEdit: toService,
    answerEdit: back,
    context: null,
    requestLines: '',
    answerLines: '',
    answerTimeoutMs: limits.answerHeadTimeoutMs,
    limits,
    forwarded: false,
    meter: null,
    onSend: (stream, exchange) => {
      const { conn } = exchange;
      setAsker(stream, { from: conn.from, secure: conn.facts.secure, loopback: conn.facts.loopback, listener: conn.facts.listener, connId: conn.id, requestId: exchange.requestId, conn });
    },
  });
  const consolePlan = servicePlan('console');
  const joinPlan = servicePlan('join');

  const common = { requestEdit: plain, answerEdit: back, context: null, requestLines: '', answerLines: '', answerTimeoutMs: limits.answerHeadTimeoutMs, limits, forwarded: true, meter: null };

  const serverPlan = (target: TcpTarget | TlsTarget): ForwardPlan<null> => {
    const name = authorityOf(target);
    const dial = buildServerDial(target, options.identityOf);
    const key = target.kind === 'tls' ? `tls ${JSON.stringify(target)}` : `tcp ${target.host} ${target.port}`;
    const { proxyProtocol } = target;
    return {
      ...common, key, name, authority: name,
      // A PROXY header speaks for everything behind it: such a connection serves one client's connection and no other (its specification, §2).
      ...(proxyProtocol === undefined ? {} : { freshKey: (exchange: Exchange) => `${key} for ${exchange.conn.id} ${exchange.conn.from}` }),
      dial: (exchange, signal) => dial({ client: exchange.conn.from, timeoutMs: limits.dialTimeoutMs, signal }, proxyProtocol === undefined ? undefined : proxyHeaderFor(exchange.conn, proxyProtocol)),
    };
  };

  const applicationPlan = (panel: string, target: TcpTarget | TlsTarget): { plan: ForwardPlan<Panel>; dial: DialServer } => {
    const name = authorityOf(target);
    const dial = buildServerDial(target, options.identityOf);
    const edits: HeadEdit<Panel> = { drop: is.hop, ask: 0, value: undefined };
    // What differs from exchange to exchange is in their passages.
    const plan = buildPlan<Panel>({ ...common, key: '', name, panel, authority: name, requestEdit: edits, answerEdit: edits, context: { prefix: '', host: '' }, dial: (exchange, signal) => dial({ client: exchange.conn.from, timeoutMs: limits.dialTimeoutMs, signal }) });
    return { plan, dial };
  };

  const devicePlan = (target: Extract<Route['target'], { kind: 'named-device' }>): ForwardPlan<null> => ({
    ...common,
    key: '',
    freshKey: () => `named ${target.device} ${target.port} ${options.devicesVersion()}`,
    name: `device "${target.device}", port ${target.port}`, authority: 'localhost',
    dial: (exchange, signal) => options.dialNamedDevice(target.device, target.port, { client: exchange.conn.from, timeoutMs: limits.deviceDialTimeoutMs, signal }),
    onBegin: (running) => void named.set(running, target.device),
    onDone: (running) => void named.delete(running),
    onSwitched: (_, close) => {
      const running = { cut: close };
      named.set(running, target.device);
      return () => void named.delete(running);
    },
  });

  const planOf = (route: Route): ForwardPlan<null> => {
    let plan = plans.get(route);
    if (plan) return plan;
    const { target } = route;
    if (target.kind !== 'tcp' && target.kind !== 'tls' && target.kind !== 'named-device') throw new Error(`route ${route.name} has no upstream`);
    const made = target.kind === 'named-device' ? devicePlan(target) : serverPlan(target);
    plan = buildPlan(made);
    plans.set(route, plan);
    return plan;
  };

  const serveApplication = (exchange: Exchange, route: Route, target: TcpTarget | TlsTarget, prefix: Prefix | null) => {
    let made = applicationPlans.get(route);
    if (!made) applicationPlans.set(route, (made = applicationPlan(route.name, target)));
    options.applications().serve(exchange, route, made.plan, made.dial, prefix);
  };

  const takeOver = (exchange: Exchange, takeover: Takeover) => {
    const { conn, head } = exchange;
    const { leftover } = exchange.takeSocket();
    room.counts.requests += 1;
    takeover({ socket: conn.socket, leftover, head, from: conn.from, secure: conn.facts.secure, peerCertificate: conn.peerCertificate, connId: conn.id });
  };

  const link = (exchange: Exchange) => {
    const path = exchange.head.target.split('?', 1)[0]!;
    const takeover = options.takeovers.link;
    if (path === '/link' && takeover) return takeOver(exchange, takeover);
    // With the agent's certificate, which no other address asks for.
    if (path.startsWith('/v1/')) return options.answerDevice(exchange);
    if (path === '/link/join' || path === '/link/renew') return forward(room, exchange, joinPlan);
    return refuse(exchange, { status: 404, code: 'not-found', title: 'Not found', why: 'this is the endpoint for links of agents', rule: 'link endpoint' });
  };

  const leads = (prefix: Prefix): boolean => {
    const { config, hasApplications } = options.snapshot();
    return hasApplications && options.applications().isLive(prefix, config.routes.flatMap(({ name, application }) => (application ? [name] : [])));
  };

  const onExchange = (exchange: Exchange): void => {
    const { head, conn } = exchange;
    const token = tokenIn(head.target);
    const answer = token === null ? null : options.challengeAnswer(token);
    if (answer !== null) {
      room.counts.requests += 1;
      room.counts.answers[2]! += 1;
      return exchange.respond(200, 'Content-Type: application/octet-stream\r\nCache-Control: no-store\r\n', answer);
    }
    // A device's own address, or a session's, on an application's name: judged as what stands behind it.
    const prefix = parsePrefix(head.target);
    if (prefix !== null) {
      const inside = decideExchange(options.snapshot(), conn.facts, head.host, prefix.rest, head.method);
      if (inside.step === 'route' && inside.route.application !== null && (inside.route.target.kind === 'tcp' || inside.route.target.kind === 'tls')) return serveApplication(exchange, inside.route, inside.route.target, prefix);
    }
    const verdict = decideExchange(options.snapshot(), conn.facts, head.host, head.target, head.method);
    if (prefix !== null && verdict.step === 'route' && leads(prefix)) {
      return refuse(exchange, { status: 404, code: 'no-route', title: 'Nothing here', why: 'this address begins with the secret of a device or of a session, and what stands behind that is no application: no other server is told it', rule: 'secret of an application' });
    }
    switch (verdict.step) {
      case 'device':
        return options.devices().serve(exchange, verdict.host, verdict.domain, verdict.label);
      case 'link':
        return link(exchange);
      case 'secure': {
        const port = options.httpsPort();
        const name = head.host === '' ? options.snapshot().primaryDomain : head.host.replace(/:\d+$/, '');
        return exchange.respond(308, `Location: https://${name}${port === 443 ? '' : `:${port}`}${head.target === '*' ? '/' : head.target}\r\n`, '');
      }
      case 'refuse': {
        const title = verdict.status === 421 ? 'Not one of our names' : verdict.status === 403 ? 'Not allowed' : verdict.status === 404 ? 'Nothing here' : 'Bad request';
        return refuse(exchange, { status: verdict.status, code: verdict.status === 421 ? 'unknown-host' : verdict.status === 403 ? 'forbidden' : verdict.status === 404 ? 'no-route' : 'bad-input', title, why: verdict.why, rule: verdict.rule, remedy: verdict.status === 400 ? '' : 'postern explain shows which names and paths lead where.' });
      }
      case 'route': {
        const { route } = verdict;
        const { target } = route;
        switch (target.kind) {
          case 'tcp':
          case 'tls':
            return route.application === null ? forward(room, exchange, planOf(route)) : serveApplication(exchange, route, target, null);
          case 'named-device':
            return forward(room, exchange, planOf(route));
          case 'redirect':
            room.counts.requests += 1;
            room.counts.answers[3]! += 1;
            return exchange.respond(target.status, `Location: ${target.to}\r\n`, '');
          case 'respond':
            room.counts.requests += 1;
            room.counts.answers[Math.floor(target.status / 100)]! += 1;
            return exchange.respond(target.status, `Content-Type: ${target.contentType}\r\n`, target.body);
          case 'service': {
            const takeover = options.takeovers[target.name];
            if (takeover) return takeOver(exchange, takeover);
            if (target.name === 'device') {
              room.counts.requests += 1;
              return options.answerDevice(exchange);
            }
            return forward(room, exchange, consolePlan);
          }
          case 'devices':
            return refuse(exchange, { status: 404, code: 'no-route', title: 'Nothing here', why: 'this name belongs to no device', rule: route.name });
        }
      }
    }
  };
  return {
    onExchange, refuse, failed,
    cutNamed(matches, why) {
      for (const [running, device] of Array.from(named)) if (matches(device)) running.cut(why);
    },
  };
}
