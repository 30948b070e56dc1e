// Serves console/dist and answers the API from made-up data, for working on the console without a gateway:
//   node console/dev/fake-gateway.ts [--port 5180] [--few] [--signed-out] [--setup] [--slow MS] [--fail]
// It sends the policy headers that the gateway sends, so that what they forbid fails here too. Loopback only.
import type { Problem } from '#api/shapes.ts';
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { certificateRoutes } from './fake-certificates.ts';
import { fleetRoutes } from './fake-fleet.ts';
import { frontDoorRoutes } from './fake-front-door.ts';
import { fakeId, fakeState, HOUR, MINUTE, type FakeState } from './fake-data.ts';

export interface FakeOptions {
  readonly port: number;
  /** A gateway just set up. */
  readonly few?: boolean;
  readonly signedOut?: boolean;
  /** Nobody is there yet. */
  readonly setup?: boolean;
  readonly slowMs?: number;
  /** Every list fails. */
  readonly fail?: boolean;
}

const DIST = join(import.meta.dirname, '..', 'dist');
const TYPES: Readonly<Record<string, string>> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'";
const TICK_MS = 1_000;
const JOIN_AFTER_MS = 4_000;

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: Readonly<Record<string, unknown>>;
  /** What the wildcards of the route's path were. */
  readonly part: readonly string[];
}

type Answer = { readonly status?: number; readonly json: unknown };

class Refused extends Error {
  readonly problem: Problem;

  constructor(status: number, code: string, title: string, detail: string, remedy: string | null, cause: string | null = null) {
    super(title);
    this.problem = { type: `about:blank#${code}`, title, status, code, detail, cause, remedy, requestId: fakeId().slice(0, 18) };
  }
}

const page = <Item>(items: readonly Item[], query: URLSearchParams) => {
  const from = Number(query.get('cursor') ?? 0);
  const limit = Number(query.get('limit') ?? 100);
  return { items: items.slice(from, from + limit), next: from + limit < items.length ? String(from + limit) : null };
};

function find<Item>(items: readonly Item[], fits: (item: Item) => boolean, what: string): Item {
  const item = items.find(fits);
  if (!item) throw new Refused(404, 'not-found', `There is no such ${what}`, `No ${what} of that name is known here.`, 'It may have been removed, or you may have no right to see it.');
  return item;
}

interface Session {
  readonly state: FakeState;
  signedIn: boolean;
  needsSetup: boolean;
  readonly asked: Pick<Asked, 'method' | 'path' | 'body'>[];
  send(event: string, data: unknown): void;
}

type Route = readonly [method: string, path: RegExp, run: (asked: Asked, session: Session) => Answer];

const replace = <Item extends { readonly id: string }>(items: Item[], next: Item): Item => {
  const at = items.findIndex((item) => item.id === next.id);
  if (at >= 0) items[at] = next;
  return next;
};

const deviceOf = (session: Session, key: string) => find(session.state.devices, (device) => device.id === key || device.label === key, 'device');

function changeDevice(session: Session, key: string, part: object): Answer {
  const next = replace(session.state.devices, { ...deviceOf(session, key), ...part });
  session.send('devices', { ids: [next.id] });
  return { json: next };
}

function remove<Item extends { readonly id: string }>(items: Item[], id: string): Answer {
  const at = items.findIndex((item) => item.id === id);
  if (at >= 0) items.splice(at, 1);
  return { json: {} };
}

const routes: readonly Route[] = [
  ['GET', /^\/setup$/, (_, { signedIn, needsSetup }) => ({ json: { needed: needsSetup, version: '0.1.0', passwordCharsMin: 10, signedIn } })],
  ['POST', /^\/(?:setup|sign-in|invites\/accept)$/, (asked, session) => {
    if (asked.path === '/sign-in' && asked.body['password'] === 'wrong') throw new Refused(401, 'unauthenticated', 'That name and password do not fit together', 'The sign-in was refused.', 'Check both and try again. After ten failures in a minute you have to wait.');
    session.signedIn = true;
    session.needsSetup = false;
    return { json: session.state.me };
  }],
  ['DELETE', /^\/sign-in$/, (_, session) => {
    session.signedIn = false;
    return { json: {} };
  }],
  ['GET', /^\/me$/, (_, { state }) => ({ json: state.me })],
  ['PUT', /^\/me\/password$/, (asked) => {
    if (asked.body['current'] === 'wrong') throw new Refused(403, 'forbidden', 'That is not the current password', 'Nothing was changed.', 'Type the password that you sign in with now.');
    return { json: {} };
  }],
  ['GET', /^\/sign-ins$/, (asked, { state }) => ({ json: page(asked.query.get('personId') && asked.query.get('personId') !== state.me.person.id ? [] : state.signIns, asked.query) })],
  ['DELETE', /^\/sign-ins\/([^/]+)$/, (asked, { state }) => remove(state.signIns, asked.part[0]!)],
  ['GET', /^\/tokens$/, (asked, { state }) => ({ json: page(asked.query.get('personId') && asked.query.get('personId') !== state.me.person.id ? [] : state.tokens, asked.query) })],
  ['POST', /^\/tokens$/, (asked, { state }) => {
    const token = { id: fakeId(), personId: state.me.person.id, login: 'ada', name: String(asked.body['name']), createdAt: Date.now(), lastUsedAt: null, expiresAt: typeof asked.body['expiresAt'] === 'number' ? asked.body['expiresAt'] : null, rights: null };
    state.tokens.unshift(token);
    return { json: { token, secret: 'postern_0190b2c41000_Zm9yLXRoZS1kZXYtc2VydmVyLW9ubHk' } };
  }],
  ['DELETE', /^\/tokens\/([^/]+)$/, (asked, { state }) => remove(state.tokens, asked.part[0]!)],
  ['GET', /^\/cli-logins\/([^/]+)$/, (asked) => ({ json: { code: asked.part[0], from: '192.0.2.14', client: 'postern 0.1.0 on workstation', createdAt: Date.now() - 20_000, expiresAt: Date.now() + 10 * MINUTE, state: 'waiting' } })],
  ['POST', /^\/cli-logins\/([^/]+)\/(?:approve|refuse)$/, () => ({ json: {} })],
  ['GET', /^\/people$/, (asked, { state }) => ({ json: page(state.people.filter((person) => `${person.name} ${person.login}`.toLowerCase().includes((asked.query.get('search') ?? '').toLowerCase())), asked.query) })],
  ['POST', /^\/people\/([^/]+)\/(lock|unlock)$/, (asked, { state }) => ({ json: replace(state.people, { ...find(state.people, (person) => person.id === asked.part[0], 'person'), locked: asked.part[1] === 'lock' }) })],
  ['PUT', /^\/people\/([^/]+)\/rights$/, (asked, { state }) => ({ json: find(state.people, (person) => person.id === asked.part[0], 'person') })],
  ['DELETE', /^\/people\/([^/]+)$/, (asked, { state }) => remove(state.people, asked.part[0]!)],
  ['GET', /^\/invites$/, (asked, { state }) => ({ json: page(state.invites, asked.query) })],
  ['POST', /^\/invites$/, (asked, { state }) => {
    const invite = { id: fakeId(), name: String(asked.body['name']), rights: [{ action: 'open' as const, scopeKind: 'gateway' as const, scopeId: null, scopeName: 'everything' }], createdBy: 'ada', createdAt: Date.now(), expiresAt: Date.now() + 168 * HOUR, usedAt: null, state: 'waiting' as const };
    state.invites.unshift(invite);
    return { json: { invite, address: 'http://localhost:8080/#/invite/4qk7px2m9wtrhb3d' } };
  }],
  ['DELETE', /^\/invites\/([^/]+)$/, (asked, { state }) => remove(state.invites, asked.part[0]!)],
  ['POST', /^\/invites\/look$/, (asked) => {
    if (asked.body['code'] === 'USED') throw new Refused(410, 'gone', 'This invite was used already', 'An invite works once.', 'Ask whoever sent it for a new one.');
    return { json: { name: 'Katherine Johnson', invitedBy: 'Ada Lovelace', rights: [{ action: 'open', scopeName: 'site main' }, { action: 'see', scopeName: 'everything' }], expiresAt: Date.now() + 100 * HOUR, passwordCharsMin: 10 } };
  }],
  ['GET', /^\/customers$/, (asked, { state }) => ({ json: page(state.customers, asked.query) })],
  ['GET', /^\/sites$/, (asked, { state }) => ({ json: page(state.sites, asked.query) })],
  ['GET', /^\/devices$/, (asked, { state }) => {
    const search = (asked.query.get('search') ?? '').toLowerCase();
    const wanted = asked.query.get('state');
    return { json: page(state.devices.filter((device) => `${device.name} ${device.label} ${device.serial ?? ''}`.toLowerCase().includes(search) && (!wanted || (wanted === 'locked' ? device.locked : wanted === 'online' ? device.online : !device.online))), asked.query) };
  }],
  ['POST', /^\/devices$/, (asked, { state }) => {
    const agent = find(state.agents, (each) => each.id === asked.body['agentId'], 'agent');
    const beside = find(state.devices, (device) => device.agentId === agent.id, 'device');
    const name = String(asked.body['name']);
    const device = { ...beside, id: fakeId(), name, label: labelOf(name), host: String(asked.body['host']), serial: null, createdAt: Date.now() };
    state.devices.push(device);
    return { json: device };
  }],
  ['GET', /^\/devices\/([^/]+)$/, (asked, session) => ({ json: deviceOf(session, asked.part[0]!) })],
  ['PATCH', /^\/devices\/([^/]+)$/, (asked, session) => {
    const { ports, ...rest } = asked.body;
    if (rest['label'] === 'demo' && asked.part[0] !== session.state.devices[0]?.id) throw new Refused(409, 'conflict', 'That label is taken', 'The device “Demo device” has the label demo.', 'Choose another, or rename that device first.');
    const before = deviceOf(session, asked.part[0]!);
    return changeDevice(session, asked.part[0]!, { ...rest, ...(Array.isArray(ports) ? { ports: ports.map((port: { number: number; kind: string }) => ({ ...port, url: port.kind.startsWith('http') ? `http://${before.label}--${port.number}.localhost:8080/` : null, fingerprint: null })) } : {}) });
  }],
  ['POST', /^\/devices\/([^/]+)\/(lock|unlock)$/, (asked, session) => changeDevice(session, asked.part[0]!, { locked: asked.part[1] === 'lock' })],
  ['DELETE', /^\/devices\/([^/]+)$/, (asked, { state }) => remove(state.devices, asked.part[0]!)],
  ['PUT', /^\/devices\/([^/]+)\/ports\/(\d+)\/fingerprint$/, (asked, session) => changeDevice(session, asked.part[0]!, { ports: deviceOf(session, asked.part[0]!).ports.map((port) => (port.number === Number(asked.part[1]) ? { ...port, fingerprint: String(asked.body['fingerprint']) } : port)) })],
  ['DELETE', /^\/devices\/([^/]+)\/ports\/(\d+)\/fingerprint$/, (asked, session) => changeDevice(session, asked.part[0]!, { ports: deviceOf(session, asked.part[0]!).ports.map((port) => (port.number === Number(asked.part[1]) ? { ...port, fingerprint: null } : port)) })],
  ['GET', /^\/agents$/, (asked, { state }) => ({ json: page(state.agents, asked.query) })],
  ['GET', /^\/agents\/([^/]+)$/, (asked, { state }) => ({ json: find(state.agents, (agent) => agent.id === asked.part[0], 'agent') })],
  ['POST', /^\/agents\/([^/]+)\/(lock|unlock|revoke)$/, (asked, session) => {
    const next = asked.part[1] === 'lock' ? 'locked' : asked.part[1] === 'unlock' ? 'active' : 'revoked';
    const agent = replace(session.state.agents, { ...find(session.state.agents, (each) => each.id === asked.part[0], 'agent'), state: next });
    for (const device of agent.devices) changeDevice(session, device.id, { agentState: next, ...(next === 'active' ? {} : { online: false, link: null }) });
    return { json: agent };
  }],
  ['POST', /^\/agents\/([^/]+)\/close-link$/, () => ({ json: { closed: true } })],
  ['GET', /^\/join-tokens$/, (asked, { state }) => ({ json: page(state.joinTokens, asked.query) })],
  ['GET', /^\/join-tokens\/([^/]+)$/, (asked, { state }) => ({ json: find(state.joinTokens, (token) => token.id === asked.part[0], 'join token') })],
  ['POST', /^\/join-tokens$/, (asked, session) => ({ json: makeJoinToken(asked, session) })],
  ['DELETE', /^\/join-tokens\/([^/]+)$/, (asked, { state }) => remove(state.joinTokens, asked.part[0]!)],
  ['POST', /^\/hand-over$/, (asked) => {
    if (String(asked.body['host']).startsWith('boiler')) throw new Refused(403, 'forbidden', 'No right to open this device', 'You may see “Boiler controller” but not open it.', 'Ask whoever runs the gateway for the right “open”.');
    return { json: { to: `/devices?handed=${encodeURIComponent(String(asked.body['host']))}` } };
  }],
  ['GET', /^\/visits$/, (asked, { state }) => ({ json: page(state.visits.filter((visit) => !asked.query.get('deviceId') || visit.deviceId === asked.query.get('deviceId')), asked.query) })],
  ['POST', /^\/visits\/([^/]+)\/close$/, (asked, session) => {
    replace(session.state.visits, { ...find(session.state.visits, (visit) => visit.id === asked.part[0], 'visit'), live: false, closedAt: Date.now(), why: 'closed by ada' });
    session.send('visits', {});
    return { json: {} };
  }],
  ['GET', /^\/audit$/, (asked, { state }) => ({ json: page(state.audit.filter((line) => (!asked.query.get('what') || line.what.startsWith(asked.query.get('what')!)) && (!asked.query.get('actorId') || line.actor.id === asked.query.get('actorId')) && (!asked.query.get('subjectId') || line.subjectId === asked.query.get('subjectId'))), asked.query) })],
  ['POST', /^\/audit\/verify$/, (_, { state }) => ({ json: { lines: state.audit.length, brokenAt: null, why: null, headHash: state.audit[0]?.hash ?? '' } })],
  ['GET', /^\/journal$/, (asked, { state }) => ({ json: { ...page(state.journal.filter((line) => !asked.query.get('event') || line.event === asked.query.get('event')), asked.query), dropped: 0 } })],
  ['POST', /^\/explain$/, (asked) => ({ json: { verdict: 'refuse', rule: 'default deny', lines: [`${String(asked.body['url'])} from ${String(asked.body['from'] ?? '127.0.0.1')}`, 'admit: no ban, no limit', 'route: none fits the host', 'default: deny'], listener: 'https', proxyHeader: false, tls: null, route: null, cls: null, target: null } })],
  ...frontDoorRoutes,
  ...fleetRoutes,
  ...certificateRoutes,
  ['GET', /^\/config\/state$/, (_, { state }) => ({ json: { now: Date.now(), revision: state.status.revision, provisional: null, missing: [] } })],
  ['GET', /^\/status$/, (_, { state }) => ({ json: { ...state.status, now: Date.now() } })],
  ['POST', /^\/doctor$/, (_, { state }) => ({ json: { at: Date.now(), findings: state.findings } })],
];

const labelOf = (name: string) => name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'device';

function makeJoinToken(asked: Asked, session: Session): unknown {
  const { state } = session;
  const name = String(asked.body['deviceName']);
  const label = labelOf(name);
  const joinToken = { id: fakeId(), siteId: state.sites[0]!.id, deviceName: name, serial: null, host: '127.0.0.1', ports: [{ number: 80, name: '', kind: 'http' as const }], createdBy: 'ada', createdAt: Date.now(), expiresAt: Date.now() + HOUR, state: 'waiting' as const, device: null };
  state.joinTokens.unshift(joinToken);
  setTimeout(() => {
    const device = { id: fakeId(), label, name, url: `http://${label}.localhost:8080/`, online: true };
    replace(state.joinTokens, { ...joinToken, state: 'used', device });
    session.send('join', { id: joinToken.id, state: 'used', deviceId: device.id });
  }, JOIN_AFTER_MS).unref();
  const secret = 'pj1.0190b2c41000.kQ7vX2mP9wTrHb3D.8Zs1';
  const commands = ['https://198.51.100.4:8443', 'https://localhost:8443'].map((address) => ({ address, command: `npx postern join ${address} ${secret}` }));
  return { joinToken, secret, commands };
}

async function read(request: IncomingMessage): Promise<Record<string, unknown>> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return parts.length > 0 ? (JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>) : {};
}

const OPEN = /^\/(?:setup|sign-in|invites\/(?:look|accept))$/;

async function answerApi(request: IncomingMessage, response: ServerResponse, url: URL, session: Session, options: FakeOptions): Promise<void> {
  const path = url.pathname.slice('/api/v1'.length);
  const method = request.method ?? 'GET';
  const body = await read(request);
  session.asked.push({ method, path, body });
  if (options.slowMs) await new Promise((done) => setTimeout(done, options.slowMs));
  try {
    if (!session.signedIn && !OPEN.test(path)) throw new Refused(401, 'unauthenticated', 'Sign in first', 'Nobody is signed in.', 'Sign in and try again.');
    if (options.fail && method === 'GET' && !/^\/(?:me|setup)$/.test(path)) throw new Refused(503, 'busy', 'The store does not answer', 'The list could not be read.', 'Traffic goes on; changes wait. Look at the disk of the gateway, then at: postern doctor', 'disk full: /data');
    for (const [wanted, pattern, run] of routes) {
      const match = wanted === method ? pattern.exec(path) : null;
      if (!match) continue;
      const answer = run({ method, path, query: url.searchParams, body, part: match.slice(1).map(decodeURIComponent) }, session);
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      response.end(JSON.stringify(answer.json));
      return;
    }
    throw new Refused(404, 'not-found', 'No such route', `${method} ${path}`, null);
  } catch (thrown) {
    if (!(thrown instanceof Refused)) throw thrown;
    response.writeHead(thrown.problem.status, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify(thrown.problem));
  }
}

async function answerFile(response: ServerResponse, path: string): Promise<void> {
  const wanted = normalize(path).replace(/^(\.\.(\/|$))+/, '');
  const file = extname(wanted) ? wanted : '/index.html';
  try {
    const bytes = await readFile(join(DIST, file));
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'content-security-policy': POLICY, 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' });
    response.end(bytes);
  } catch {
    response.writeHead(404).end('not built? npm run console');
  }
}

export interface FakeGateway extends AsyncDisposable {
  readonly address: string;
  readonly state: FakeState;
  /** Open event streams. */
  readonly streams: number;
  /** What was asked of the API so far. */
  readonly asked: readonly Pick<Asked, 'method' | 'path' | 'body'>[];
  /** As when the sign-in was revoked elsewhere. */
  endSignIn(): void;
}

export async function startFakeGateway(options: FakeOptions): Promise<FakeGateway> {
  const streams = new Set<ServerResponse>();
  const send = (event: string, data: unknown) => {
    for (const stream of streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  const session: Session = { state: fakeState(Date.now(), options.few ?? false), signedIn: !options.signedOut && !options.setup, needsSetup: options.setup ?? false, asked: [], send };
  const tick = setInterval(() => {
    const wave = Math.sin(Date.now() / 4_000) + 1.2;
    session.state.devices = session.state.devices.map((device, at) => (device.link ? { ...device, link: { ...device.link, rttMs: 4 + ((at * 13) % 70) + wave * 3, bytesIn: device.link.bytesIn + Math.round(wave * 90_000 * ((at % 4) + 1)), bytesOut: device.link.bytesOut + Math.round(wave * 2_000) } } : device));
    send('links', { devices: session.state.devices.map((device) => ({ id: device.id, online: device.online, rttMs: device.link?.rttMs ?? null, streams: device.link?.streams ?? 0, bytesIn: device.link?.bytesIn ?? 0, bytesOut: device.link?.bytesOut ?? 0, lastSeenAt: device.lastSeenAt })), more: false });
  }, TICK_MS);
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (url.pathname === '/api/v1/events' && session.signedIn) {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
      response.write(`event: hello\ndata: ${JSON.stringify({ now: Date.now(), version: '0.1.0' })}\n\n`);
      streams.add(response);
      response.on('close', () => streams.delete(response));
    } else if (url.pathname.startsWith('/api/v1/')) void answerApi(request, response, url, session, options);
    else void answerFile(response, url.pathname);
  });
  await new Promise<void>((done) => server.listen(options.port, '127.0.0.1', done));
  const bound = server.address();
  return {
    address: `http://localhost:${typeof bound === 'object' && bound ? bound.port : options.port}`,
    asked: session.asked,
    get state() {
      return session.state;
    },
    get streams() {
      return streams.size;
    },
    endSignIn() {
      session.signedIn = false;
      for (const stream of streams) stream.end(`event: bye\ndata: ${JSON.stringify({ why: 'the sign-in was ended' })}\n\n`);
    },
    async [Symbol.asyncDispose]() {
      clearInterval(tick);
      if (!server.listening) return;
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    },
  };
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  const number = (name: string) => (args.includes(name) ? Number(args[args.indexOf(name) + 1]) : undefined);
  const slowMs = number('--slow');
  const fake = await startFakeGateway({ port: number('--port') ?? 5180, few: args.includes('--few'), signedOut: args.includes('--signed-out'), setup: args.includes('--setup'), fail: args.includes('--fail'), ...(slowMs ? { slowMs } : {}) });
  process.stdout.write(`made-up gateway on ${fake.address}\n`);
}
