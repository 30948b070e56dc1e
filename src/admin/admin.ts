// The admin room: REST API and console behind one function. Every route comes from the contract; here requests are
// checked against it, in one place and in one order: who asks, from where, whether they may ask, what they say.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Hono } from 'hono';
import { contract, type Shapes } from '#api/contract.ts';
import { buildOpenApi } from '#api/openapi.ts';
import { apiRoot, paths, type RouteName } from '#api/paths.ts';
import { problemOf, problemType } from '#api/problem.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { signInCookie } from '#model/credentials.ts';
import { actorOf, type Visitor } from '#model/visitor.ts';
import { buildAgentActs, buildJoinActs } from './agents.ts';
import { checkNeeds, checkOrigin, findKnown, isGuarded, rightsOf, type Acts, type Asked, type Known, type Reply } from './asked.ts';
import { buildAssets } from './assets.ts';
import { buildAcmeActs } from './certificate-acme.ts';
import { buildSwapActs } from './certificate-swaps.ts';
import { buildCertificateActs } from './certificates.ts';
import type { AdminDeps, Asker } from './deps.ts';
import { buildConfigActs } from './config.ts';
import { buildDeliveryActs } from './deliveries.ts';
import { buildDeviceKeyActs, buildWaitingActs } from './device-identity.ts';
import { buildDeviceMoveActs } from './device-moves.ts';
import { buildDeviceSessionActs } from './device-sessions.ts';
import { buildDeviceActs } from './devices.ts';
import { keepEvents } from './events.ts';
import { buildFeedActs, readFeedBytes } from './feeds.ts';
import { buildSinkActs } from './sinks.ts';
import { buildFileActs, downloadFile } from './files.ts';
import { buildFrontDoorActs } from './front-door.ts';
import { buildGatewayActs, buildPlaceActs } from './gateway.ts';
import { buildRequestListener, type Beside } from './listener.ts';
import { buildKeepingActs, makeBackup } from './keeping.ts';
import { buildInviteActs, buildPeopleActs } from './people.ts';
import { buildPinActs } from './pins.ts';
import { buildSiteActs } from './places.ts';
import { buildSiteDoctorActs } from './site-doctor.ts';
import { buildProbeActs } from './probes.ts';
import { buildRedirectActs } from './redirects.ts';
import { buildDeviceUrlActs } from './device-tokens.ts';
import { buildSourceActs, buildSourceBook } from './sources.ts';
import { buildUnassignedActs } from './unassigned.ts';
import { buildTellingActs } from './telling.ts';
import { buildRoom, type Room } from './room.ts';
import { buildRecordActs, buildVisitActs } from './seen.ts';
import { buildSignInActs } from './sign-in.ts';
import { buildCliLoginActs, buildTokenActs } from './tokens.ts';
import { buildVirtualActs } from './virtual.ts';

const apiHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

type PlainRoute = Exclude<RouteName, 'getEvents' | 'getOpenApi' | 'makeBackup' | 'readFeedBytes' | 'downloadFile'>;

function buildActs(room: Room): Acts<PlainRoute> {
  const sources = buildSourceBook(room);
  return {
    ...buildSignInActs(room),
    ...buildTokenActs(room),
    ...buildCliLoginActs(room),
    ...buildPeopleActs(room),
    ...buildInviteActs(room),
    ...buildPlaceActs(room),
    ...buildSiteActs(room),
    ...buildSiteDoctorActs(room),
    ...buildDeviceActs(room),
    ...buildDeviceKeyActs(room),
    ...buildWaitingActs(room),
    ...buildDeviceMoveActs(room),
    ...buildPinActs(room),
    ...buildAgentActs(room),
    ...buildJoinActs(room),
    ...buildVisitActs(room),
    ...buildDeviceSessionActs(room),
    ...buildRecordActs(room),
    ...buildConfigActs(room),
    ...buildFrontDoorActs(room),
    ...buildCertificateActs(room),
    ...buildSwapActs(room),
    ...buildAcmeActs(room),
    ...buildDeliveryActs(room),
    ...buildGatewayActs(room),
    ...buildKeepingActs(room),
    ...buildRedirectActs(room),
    ...buildProbeActs(room),
    ...buildTellingActs(room),
    ...buildFeedActs(room),
    ...buildFileActs(room),
    ...buildSinkActs(room),
    ...buildVirtualActs(room),
    ...buildDeviceUrlActs(room),
    ...buildSourceActs(room, sources),
    ...buildUnassignedActs(room, sources),
  };
}

interface Issue {
  readonly code?: string;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly keys?: readonly string[];
}

/** Each wrong field by its path; unknown ones by their names. */
function shapeFault(where: 'body' | 'query', issues: readonly Issue[]): Fault {
  const problems = issues.slice(0, 50).flatMap(({ code, path, message, keys }) => {
    const at = path.map(String).join('.');
    if (code === 'unrecognized_keys') return (keys ?? []).slice(0, 50).map((key) => ({ path: at ? `${at}.${key}` : key, message: 'is not known here' }));
    return [{ path: at, message }];
  });
  const named = problems.slice(0, 3).map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ');
  return new Fault('bad-input', `the ${where} is not as expected: ${named}`, { remedy: `the shapes are in ${apiRoot}/openapi.json`, detail: { problems } });
}

async function readBody(request: Request, shape: Shapes['body']): Promise<unknown> {
  const text = await request.text();
  if (!shape) {
    if (text.trim() !== '' && text.trim() !== '{}') throw new Fault('bad-input', 'this takes no body');
    return undefined;
  }
  // A form of another site cannot send this type without asking first (Fetch, CORS-safelisted request headers).
  const type = request.headers.get('content-type')?.split(';')[0]!.trim().toLowerCase();
  if (type !== 'application/json') throw new Fault('unsupported', 'a body is JSON here', { remedy: 'send it with Content-Type: application/json' });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new Fault('bad-input', 'the body is not JSON', { cause: thrown });
  }
  const parsed = shape.safeParse(value);
  if (!parsed.success) throw shapeFault('body', parsed.error.issues);
  return parsed.data;
}

function readQuery(request: Request, shape: Shapes['query']): unknown {
  const given = new URL(request.url).searchParams;
  const value: Record<string, string> = {};
  for (const [key, text] of given) {
    if (Object.hasOwn(value, key)) throw shapeFault('query', [{ path: [key], message: 'is there twice' }]);
    value[key] = text;
  }
  if (!shape) {
    const keys = Object.keys(value);
    if (keys.length > 0) throw shapeFault('query', [{ code: 'unrecognized_keys', path: [], message: '', keys }]);
    return undefined;
  }
  const parsed = shape.safeParse(value);
  if (!parsed.success) throw shapeFault('query', parsed.error.issues);
  return parsed.data;
}

/** A problem document with the headers that its status asks for. */
function problemResponse(thrown: unknown, requestId: string, status?: number): Response {
  const problem = problemOf(thrown, requestId, status);
  const headers = new Headers({ ...apiHeaders, 'content-type': problemType, 'postern-request': requestId });
  if (problem.status === 401) headers.set('www-authenticate', 'Bearer realm="postern"');
  if (problem.retryAfterS !== undefined) headers.set('retry-after', String(problem.retryAfterS));
  return new Response(JSON.stringify(problem), { status: problem.status, headers });
}

/** Who was refused what goes into the journal, what failed in us into the log. Being merely not signed in is neither. */
function noteRefusal(room: Room, route: RouteName, thrown: unknown, by: { readonly requestId: string; readonly from: string; readonly who: string | null }): void {
  if (!isFault(thrown)) {
    room.log.error('api.failed', { ...by, route, why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
    return;
  }
  if (thrown.code === 'internal' || thrown.code === 'busy') room.log.warn('api.refused', { ...by, route, code: thrown.code, why: thrown.message, cause: thrown.cause === undefined ? undefined : reasonOf(thrown.cause) });
  const origin = thrown.detail['crossOrigin'] === true ? { origin: printable(String(thrown.detail['origin'] ?? ''), 200) } : {};
  if (thrown.code === 'forbidden' || thrown.code === 'too-many' || thrown.detail['hidden'] === true) room.journal.note('api.refused', { route, code: thrown.code, why: printable(thrown.message), ...by, ...origin });
}

/** Everything that is looked at before an act runs. Faults: `unauthenticated`, `forbidden`, `bad-input`, `unsupported`. */
async function prepare(room: Room, name: RouteName, request: Request, { asker }: Beside, requestId: string, reply: Reply, params: Record<string, string>): Promise<Asked> {
  const host = new URL(request.url).host;
  const guarded = isGuarded(name);
  let known: Known | null = null;
  try {
    known = findKnown(room, request.headers);
  } catch (thrown) {
    // A stale token in a profile must not keep anybody from signing in anew.
    if (paths[name].needs !== 'none') throw thrown;
  }
  if (known) reply.who = actorOf(known.visitor, asker.from).name;
  checkOrigin(known, guarded, request.headers, asker, host);
  checkNeeds(name, known);
  const shapes: Shapes = contract[name];
  const query = readQuery(request, shapes.query);
  const body = guarded && request.method !== 'GET' ? await readBody(request, shapes.body) : undefined;
  if (known) room.uses.note(known.visitor);
  const asked = {
    requestId, from: asker.from, countedAs: asker.countedAs ?? asker.from, secure: asker.secure, conn: asker.conn, host, known, params, query, body, reply, signal: request.signal,
    get rights() {
      return rightsOf(room, known);
    },
    header: (field: string) => request.headers.get(field),
  };
  // The shapes were checked against the contract of this very route just above.
  return asked as unknown as Asked;
}

export interface Admin {
  /** `beside` says who is at the other end; it never comes from the request itself. */
  fetch(request: Request, beside: { readonly asker: Asker }): Promise<Response>;
  /** For node:http; `request` events of any server. */
  readonly requestListener: (request: IncomingMessage, response: ServerResponse) => void;
  /** The data plane and the CLI's streams say here that a sign-in or token was used. */
  noteUse(visitor: Visitor): void;
  /** Ends event streams, writes what was noted. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export function buildAdmin(deps: AdminDeps): Admin {
  const room = buildRoom(deps);
  const acts = buildActs(room);
  const events = keepEvents(room);
  const assets = buildAssets(deps.assetsDir);
  let openApi: string | undefined;

  const act = async (name: RouteName, asked: Asked): Promise<Response> => {
    if (name === 'getEvents') return events.open(asked as unknown as Asked<'getEvents'>);
    if (name === 'makeBackup') return makeBackup(room, asked as unknown as Asked<'makeBackup'>);
    if (name === 'downloadFile') return downloadFile(room, asked as unknown as Asked<'downloadFile'>);
    if (name === 'readFeedBytes') return readFeedBytes(room, asked as unknown as Asked<'readFeedBytes'>);
    if (name === 'getOpenApi') return new Response((openApi ??= JSON.stringify(buildOpenApi(room.version, signInCookie))), { headers: { 'content-type': 'application/json' } });
    const run = acts[name] as (asked: Asked) => unknown;
    const answer = await run(asked);
    return new Response(JSON.stringify(answer), { headers: { 'content-type': 'application/json' } });
  };

  const respond = async (name: RouteName, request: Request, beside: Beside, params: Record<string, string>): Promise<Response> => {
    const requestId = room.newId();
    const reply: Reply = {};
    let response: Response;
    try {
      response = await act(name, await prepare(room, name, request, beside, requestId, reply, params));
    } catch (thrown) {
      response = problemResponse(thrown, requestId, reply.faultStatus);
      noteRefusal(room, name, thrown, { requestId, from: beside.asker.from, who: reply.who ?? null });
    }
    // What an answer says of itself is stricter.
    for (const [key, value] of Object.entries(apiHeaders)) if (!response.headers.has(key)) response.headers.set(key, value);
    response.headers.set('postern-request', requestId);
    if (reply.cookie) response.headers.append('set-cookie', reply.cookie);
    if (reply.etag) response.headers.set('etag', reply.etag);
    return response;
  };

  // Also for HEAD, which the router takes for GET: an event stream without a body would stand for ever.
  const nothingHere = ({ method, url }: Request) => problemResponse(new Fault('not-found', `the API has no ${method} ${new URL(url).pathname.slice(0, 200)}`, { remedy: `what there is: ${apiRoot}/openapi.json` }), room.newId());
  const hono = new Hono<{ Bindings: Beside }>();
  for (const name of Object.keys(paths) as RouteName[]) {
    const { method, path } = paths[name];
    hono.on(method, `${apiRoot}${path.replace(/\{(\w+)\}/g, ':$1')}`, (c) => (c.req.raw.method === method ? respond(name, c.req.raw, c.env, c.req.param()) : nothingHere(c.req.raw)));
  }
  hono.all('/api/*', (c) => nothingHere(c.req.raw));
  hono.on(['GET', 'HEAD'], '*', (c) => assets.serve(c.req.raw));
  hono.notFound(() => problemResponse(new Fault('not-found', 'there is nothing of this method here'), room.newId()));
  hono.onError((error) => {
    const requestId = room.newId();
    room.log.error('api.failed', { requestId, why: reasonOf(error), stack: error.stack });
    return problemResponse(error, requestId);
  });

  const fetch = async (request: Request, beside: Beside) => await hono.fetch(request, beside);
  const close = async () => {
    events.close();
    await room.uses.close();
  };
  return {
    fetch,
    requestListener: buildRequestListener({ fetch, refuse: (fault) => problemResponse(fault, room.newId()), askerOf: deps.askerOf, bodyBytesMax: deps.limits.apiBodyBytesMax, strangerBodyBytesMax: deps.limits.apiStrangerBodyBytesMax, isKnown: (headers) => findKnown(room, headers) !== null, log: deps.log }),
    noteUse: (visitor) => room.uses.note(visitor),
    close,
    [Symbol.asyncDispose]: close,
  };
}
