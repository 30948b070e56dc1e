// The one list of what the API offers. Server, CLI, console (types only) and the OpenAPI document derive from it.
import { z } from 'zod';
import { certificateRoutes } from './certificate-shapes.ts';
import { deliveryRoutes } from './delivery-shapes.ts';
import { doctorRoutes } from './doctor-shapes.ts';
import { fileRoutes } from './file-shapes.ts';
import { feedRoutes } from './feed-shapes.ts';
import { sessionRoutes } from './session-shapes.ts';
import { sinkRoutes } from './sink-shapes.ts';
import { sourceRoutes } from './source-shapes.ts';
import { virtualRoutes } from './virtual-shapes.ts';
import { identityRoutes } from './identity-shapes.ts';
import { keepingRoutes } from './keeping-shapes.ts';
import { placeRoutes } from './place-shapes.ts';
import { probeRoutes } from './probe-shapes.ts';
import { redirectRoutes } from './redirect-shapes.ts';
import { tellingRoutes } from './telling-shapes.ts';
import { paths, type ParamsOf, type RouteName } from './paths.ts';
import {
  action, agentView, auditLineView, configDiffView, configStateView, confirmWithinMs, connView, customerView, deviceView, explainView, findingView, fingerprint, grants, hostText, id, inviteView, joinTokenView, journalLineView, label, legacyClientView, listenerView, login, meView, name, page,
  pageQuery, personView, portNumber, portsInput, protocol, revisionView, routeView, serial, signInView, siteSummaryView, statusView, time, tokenView, visitView,
} from './shapes.ts';

export interface Shapes {
  readonly summary: string;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  readonly answer: z.ZodType;
}

const password = z.string().min(1).max(1_024);
const code = z.string().min(1).max(100);
const nothing = z.object({});
const query = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject(shape);
const body = query;
const list = { ...pageQuery };

const shapes = {
  getSetup: { summary: 'Whether the gateway still waits for its first person', answer: z.object({ needed: z.boolean(), version: z.string(), passwordCharsMin: z.int(), signedIn: z.boolean() }) },
  setUp: { summary: 'Make the owner, with the code of the setup address; signs in', body: body({ code, login, name, password }), answer: meView },
  signIn: { summary: 'Sign in; sets the cookie', body: body({ login: z.string().max(100), password }), answer: meView },
  signOut: { summary: 'End this sign-in and what runs under it', answer: nothing },
  getMe: { summary: 'Who I am and what I may do', answer: meView },
  changePassword: { summary: 'Change my password; other sign-ins of mine end', body: body({ current: password, next: password }), answer: nothing },
  listSignIns: { summary: 'Sign-ins: mine, or those of people that I administer', query: query({ ...list, personId: id.optional() }), answer: page(signInView) },
  revokeSignIn: { summary: 'End a sign-in at once, with its visits', answer: nothing },
  listTokens: { summary: 'Access tokens: mine, or those of people that I administer', query: query({ ...list, personId: id.optional() }), answer: page(tokenView) },
  createToken: {
    summary: 'Make an access token; its text is shown this once',
    body: body({ name, expiresAt: time.nullable().default(null), rights: grants.min(1).nullable().default(null).meta({ description: 'narrower than mine; null: all that I may' }) }),
    answer: z.object({ token: tokenView, secret: z.string() }),
  },
  revokeToken: { summary: 'End an access token at once, with its visits', answer: nothing },

  startCliLogin: {
    summary: 'Start a sign-in of the CLI: shows a code that a person approves in the console',
    body: body({ client: z.string().max(200).default('').meta({ description: 'what asks, for the person who approves: program and host name' }) }),
    answer: z.object({ code: z.string(), pollSecret: z.string(), address: z.string().meta({ description: 'to open in a browser' }), expiresAt: time, intervalMs: z.int() }),
  },
  pollCliLogin: {
    summary: 'Ask whether it was approved; the secret is given once and then used as a bearer token',
    body: body({ pollSecret: code }),
    answer: z.object({ state: z.enum(['waiting', 'approved', 'refused']), secret: z.string().nullable(), login: z.string().nullable(), expiresAt: time.nullable() }),
  },
  getCliLogin: { summary: 'What asks to be signed in as me', answer: z.object({ code: z.string(), from: z.string(), client: z.string(), createdAt: time, expiresAt: time, state: z.enum(['waiting', 'approved', 'refused']) }) },
  approveCliLogin: { summary: 'Sign it in as me', answer: nothing },
  refuseCliLogin: { summary: 'Refuse it', answer: nothing },

  listPeople: { summary: 'People', query: query({ ...list, search: z.string().max(100).optional() }), answer: page(personView) },
  getPerson: { summary: 'One person', answer: personView },
  lockPerson: { summary: 'Lock a person: everything of theirs ends at once', answer: personView },
  unlockPerson: { summary: 'Unlock a person', answer: personView },
  removePerson: { summary: 'Remove a person, with rights, sign-ins and tokens', answer: nothing },
  setRights: { summary: "Replace a person's rights", body: body({ rights: grants }), answer: personView },
  listInvites: { summary: 'Invites', query: query(list), answer: page(inviteView) },
  createInvite: {
    summary: 'Invite a person; the one-time address is shown this once',
    body: body({ name, rights: grants.min(1), customerId: id.optional() }),
    answer: z.object({ invite: inviteView, address: z.string() }),
  },
  removeInvite: { summary: 'Take an invite back', answer: nothing },
  lookInvite: { summary: 'What an invite offers', body: body({ code }), answer: z.object({ name: z.string(), invitedBy: z.string(), rights: z.array(z.object({ action, scopeName: z.string() })), expiresAt: time, passwordCharsMin: z.int() }) },
  acceptInvite: { summary: 'Become a person of the gateway; signs in', body: body({ code, login, name, password }), answer: meView },
  listCustomers: { summary: 'Customers of which I see anything', query: query(list), answer: page(customerView) },
  listSites: { summary: 'Sites of which I see anything', query: query(list), answer: page(siteSummaryView) },

  listDevices: {
    summary: 'Devices',
    query: query({ ...list, search: z.string().max(100).optional(), siteId: id.optional(), agentId: id.optional(), state: z.enum(['online', 'offline', 'locked']).optional() }),
    answer: page(deviceView),
  },
  getDevice: { summary: 'One device, by id, label or customer/name', answer: deviceView },
  addDevice: {
    summary: 'Add a device behind an agent that has joined already; or without one, a device that only pushes and checks in: it needs a serial',
    body: body({ agentId: id.nullable().default(null), siteId: id.optional().meta({ description: 'of a device without an agent; default: the first' }), name, label: label.optional(), serial: serial.nullable().default(null), host: hostText.default('127.0.0.1'), ports: portsInput.optional().meta({ description: 'behind an agent' }), hostHeader: z.enum(['own', 'public']).default('own') }),
    answer: deviceView,
  },
  changeDevice: {
    summary: 'Change a device; a former label redirects for 30 days',
    body: body({ name: name.optional(), label: label.optional(), serial: serial.nullable().optional(), host: hostText.optional(), ports: portsInput.optional(), hostHeader: z.enum(['own', 'public']).optional() }),
    answer: deviceView,
  },
  lockDevice: { summary: 'Lock a device: its visits end at once and none begins', answer: deviceView },
  unlockDevice: { summary: 'Unlock a device', answer: deviceView },
  removeDevice: { summary: 'Remove a device; with its last device an agent goes too', answer: nothing },
  acceptFingerprint: { summary: "Accept a certificate of the device's https port", body: body({ fingerprint }), answer: deviceView },
  forgetFingerprint: { summary: "Forget the accepted certificate: the next one shown is accepted", answer: deviceView },
  listAgents: { summary: 'Agents', query: query({ ...list, search: z.string().max(100).optional() }), answer: page(agentView) },
  getAgent: { summary: 'One agent', answer: agentView },
  lockAgent: { summary: 'Lock an agent: its link and its visits end at once', answer: agentView },
  unlockAgent: { summary: 'Unlock an agent', answer: agentView },
  revokeAgent: { summary: 'Revoke an agent for ever: its certificates are worth nothing', answer: agentView },
  closeAgentLink: { summary: 'Close its link; the agent dials again', answer: z.object({ closed: z.boolean() }) },
  listJoinTokens: { summary: 'Join tokens', query: query(list), answer: page(joinTokenView) },
  getJoinToken: { summary: 'One join token: waiting, used (with the device) or expired', answer: joinTokenView },
  createJoinToken: {
    summary: 'Make a one-time join token; its text is shown this once',
    body: body({ deviceName: name, serial: serial.nullable().default(null), host: hostText.default('127.0.0.1'), ports: portsInput.optional().meta({ description: 'default: 80 http' }), siteId: id.optional() }),
    answer: z.object({ joinToken: joinTokenView, secret: z.string(), commands: z.array(z.object({ address: z.string(), command: z.string() })) }),
  },
  removeJoinToken: { summary: 'Take a join token back', answer: nothing },
  createHandOver: {
    summary: "A one-time code that signs this browser in at a device's host",
    body: body({ host: hostText, port: portNumber.optional().meta({ description: 'of the address in the browser' }), path: z.string().min(1).max(8_192).regex(/^\/(?![/\\])[\x21-\x7e]*$/, 'is a path').default('/'), asked: z.string().regex(/^[0-9a-f]{64}$/).optional().meta({ description: "what the device's host sent along when it sent the browser here; without it the answer leads to the device's host, which asks" }) }),
    answer: z.object({ to: z.string() }),
  },

  listVisits: { summary: 'Visits, the newest first', query: query({ ...list, deviceId: id.optional(), state: z.enum(['live', 'all']).default('all') }), answer: page(visitView) },
  closeVisit: { summary: 'End a visit now', answer: nothing },
  listConns: {
    summary: 'Connections of clients, the newest first; `matching` and `open` say how many there are beyond those listed',
    query: query({ listener: z.string().max(64).optional(), protocol: z.string().max(20).optional(), search: z.string().max(100).optional().meta({ description: 'in address, name, route or id' }), limit: pageQuery.limit }),
    answer: z.object({ items: z.array(connView), matching: z.int(), open: z.int(), now: time }),
  },
  closeConn: { summary: 'End a connection now', answer: nothing },
  listLegacyClients: { summary: 'Who still needs the lane for old TLS, last seen first', query: query(list), answer: page(legacyClientView) },
  listAudit: { summary: 'The audit, the newest first', query: query({ ...list, what: z.string().max(100).optional(), actorId: id.optional(), subjectId: z.string().max(200).optional() }), answer: page(auditLineView) },
  verifyAudit: { summary: 'Walk the chain of the audit', answer: z.object({ lines: z.int(), brokenAt: z.int().nullable(), why: z.string().nullable(), headHash: z.string(), droppedThrough: z.int().optional().meta({ description: 'lines up to this one were dropped by retention; the first that is left continues it' }) }) },
  listJournal: { summary: 'The journal, the newest first', query: query({ ...list, event: z.string().max(100).optional() }), answer: page(journalLineView).extend({ dropped: z.int() }) },
  getEvents: { summary: 'Server-sent events: what changed', answer: z.string() },

  ...certificateRoutes,
  ...deliveryRoutes,
  ...fileRoutes,
  ...feedRoutes,
  ...sinkRoutes,
  ...identityRoutes,
  ...keepingRoutes,
  ...placeRoutes,
  ...doctorRoutes,
  ...redirectRoutes,
  ...probeRoutes,
  ...virtualRoutes,
  ...sourceRoutes,
  ...sessionRoutes,
  ...tellingRoutes,

  getConfig: { summary: 'The configuration; ETag is the revision', answer: z.object({ revision: z.int(), config: z.unknown() }) },
  putConfig: {
    summary: 'Replace the configuration; If-Match names the revision it was made against',
    query: query({
      dryRun: z.enum(['true', 'false']).default('false'),
      confirmWithinMs: z.coerce.number<number>().pipe(confirmWithinMs).optional().meta({ description: 'in force at once, and rolled back by itself unless it is confirmed within so many milliseconds' }),
      diff: z.enum(['true', 'false']).default('false').meta({ description: 'answer what differs, too' }),
    }),
    body: z.record(z.string(), z.unknown()),
    answer: z.object({
      revision: z.int(),
      dryRun: z.boolean(),
      changed: z.boolean().meta({ description: 'false: it is the present configuration, and no revision was made' }),
      confirmBy: time.optional().meta({ description: 'when it is rolled back unless confirmed' }),
      diff: configDiffView.optional(),
    }),
  },
  getConfigState: { summary: 'Which revision is in force, and whether it waits to be confirmed', answer: configStateView },
  confirmConfig: { summary: 'Confirm the provisional revision: it stays', body: body({ revision: z.int().min(1) }), answer: z.object({ revision: z.int() }) },
  rollBackConfig: {
    summary: 'Bring the document of an earlier revision back, as a new revision',
    body: body({
      to: z.int().min(1).nullable().default(null).meta({ description: 'null: take the provisional revision back' }),
      against: z.int().min(1).nullable().default(null).meta({ description: 'the revision in force as the caller knows it; null: whatever is in force' }),
      confirmWithinMs: confirmWithinMs.nullable().default(null),
    }),
    answer: z.object({ revision: z.int(), changed: z.boolean(), confirmBy: time.nullable(), missing: z.array(z.string()) }),
  },
  listRevisions: { summary: 'Revisions, the newest first', query: query(list), answer: page(revisionView) },
  getRevision: { summary: 'A revision with its document', answer: revisionView.extend({ config: z.unknown() }) },
  diffRevisions: { summary: 'What differs from one revision to another, by the names of listeners, routes and domains', answer: configDiffView.extend({ from: z.int(), to: z.int() }) },
  listListeners: { summary: 'Listeners as configured, and as they are', answer: z.object({ items: z.array(listenerView) }) },
  listRoutes: {
    summary: 'Routes, built-in ones too, in the order in which they are looked at for a host: the first that fits wins',
    query: query({ protocol: protocol.default('http'), host: z.string().max(255).optional().meta({ description: 'without it, routes for any name alone' }), limit: pageQuery.limit }),
    answer: z.object({ items: z.array(routeView), matching: z.int() }),
  },
  explain: {
    summary: 'Which rule decides what happens to a request, or to a connection by its first packet',
    body: body({
      url: z.string().min(1).max(4_096).meta({ description: 'its scheme names the protocol: https, ldap, ldaps, ldap+starttls, sip, sips, h323, h323s, ssh, rdp, tcp, tls …' }),
      from: z.string().max(100).default('127.0.0.1'),
      method: z.string().regex(/^[A-Z]{1,20}$/).default('GET'),
      certificate: z.string().min(1).max(200).optional().meta({ description: 'common name of the client certificate that would be shown' }),
      user: z.string().min(1).max(200).optional().meta({ description: 'user, alias or number that the first packet names' }),
      tls: z.enum(['1.0', '1.1', '1.2', '1.3']).optional().meta({ description: 'the best that the client can do' }),
      serverName: z.string().min(1).max(253).optional().meta({ description: 'the name in TLS, where it is not the host of the address' }),
    }),
    answer: explainView,
  },
  getStatus: { summary: 'What the gateway is doing', answer: statusView },
  runDoctor: { summary: 'Run the checks', answer: z.object({ at: time, findings: z.array(findingView) }) },
  getOpenApi: { summary: 'This contract as OpenAPI 3.1', answer: z.record(z.string(), z.unknown()) },
} as const satisfies Record<RouteName, Shapes>;

type ShapesOf = typeof shapes;
export type Contract = { readonly [Name in RouteName]: (typeof paths)[Name] & ShapesOf[Name] };

/** Method, path, who may ask, and the shapes of query, body and answer, by route name. */
export const contract = Object.fromEntries(Object.entries(paths).map(([key, path]) => [key, { ...path, ...shapes[key as RouteName] }])) as unknown as Contract;

type SchemaOf<Name extends RouteName, Part extends 'query' | 'body'> = ShapesOf[Name] extends { readonly [Key in Part]: infer Schema extends z.ZodType } ? Schema : never;
/** What a caller gives: fields with defaults may be left out. */
export type Query<Name extends RouteName> = [SchemaOf<Name, 'query'>] extends [never] ? undefined : z.input<SchemaOf<Name, 'query'>>;
export type Body<Name extends RouteName> = [SchemaOf<Name, 'body'>] extends [never] ? undefined : z.input<SchemaOf<Name, 'body'>>;
/** What the server has after parsing: defaults filled in. */
export type ParsedQuery<Name extends RouteName> = [SchemaOf<Name, 'query'>] extends [never] ? undefined : z.output<SchemaOf<Name, 'query'>>;
export type ParsedBody<Name extends RouteName> = [SchemaOf<Name, 'body'>] extends [never] ? undefined : z.output<SchemaOf<Name, 'body'>>;
export type Params<Name extends RouteName> = ParamsOf<(typeof paths)[Name]['path']>;
export type Answer<Name extends RouteName> = z.output<ShapesOf[Name]['answer']>;
