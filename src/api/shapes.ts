// What the API shows and takes: the shapes of things. Views never hold secrets or digests. Times are milliseconds since 1970,
// lengths of time milliseconds, sizes bytes. No node: imports here, so that a browser bundle can take these.
import { z } from 'zod';
import { limits } from '#base/limits.ts';
import type { Config } from '#model/config.ts';
import { feedNews } from '#model/feed-meter.ts';

export const id = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/, 'is not an id').meta({ description: 'UUIDv7' });
export const time = z.int().min(0).meta({ description: 'milliseconds since 1970' });
const count = z.int().min(0);
// eslint-disable-next-line no-control-regex
const plainText = /^[^\x00-\x1f\x7f]*$/;
export const name = z.string().trim().min(1).max(100).regex(plainText, 'has control characters');
export const label = z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'is a-z, 0-9 and single hyphens').max(50);
export const portNumber = z.int().min(1).max(65_535);
export const fingerprint = z.string().regex(/^[0-9a-f]{64}$/, 'is a SHA-256 in 64 lower-case hex digits');
export const login = z.string().trim().min(1).max(100).regex(/^[^\x00-\x20\x7f/]+$/, 'has spaces, slashes or control characters');
export const hostText = z.string().min(1).max(253).regex(/^[A-Za-z0-9._:-]+$/, 'is a host name or an IP address, without a port');
export const serial = z.string().min(1).max(128).regex(plainText, 'has control characters');

/** A page of a list; `next` goes into `cursor` of the next question, null at the end. */
export const page = <Item extends z.ZodType>(item: Item) => z.object({ items: z.array(item), next: z.string().nullable() });
export const pageQuery = { cursor: z.string().max(200).optional(), limit: z.coerce.number<number>().int().min(1).max(500).default(100) };

// --- rights, people

export const action = z.enum(['see', 'open', 'administer']);
export const scopeKind = z.enum(['gateway', 'customer', 'site', 'device']);
export const grant = z.strictObject({ action, scopeKind, scopeId: id.nullable().meta({ description: 'null for the gateway' }) });
export type Grant = z.infer<typeof grant>;
export const grants = z.array(grant).max(100);
export const rightView = z.object({ action, scopeKind, scopeId: id.nullable(), scopeName: z.string() });
export type RightView = z.infer<typeof rightView>;

export const actorView = z.object({ kind: z.enum(['person', 'token', 'agent', 'operator', 'gateway', 'nobody']), id: z.string().nullable(), name: z.string(), from: z.string() });
export type ActorView = z.infer<typeof actorView>;

export const meView = z.object({
  person: z.object({ id, login: z.string(), name: z.string() }),
  rights: z.array(rightView),
  tokenRights: z.array(rightView).nullable().meta({ description: 'set when asked with a token that has narrower rights of its own' }),
  signInId: id.nullable(),
  tokenId: id.nullable(),
  may: z.object({
    administerGateway: z.boolean().meta({ description: 'configuration, status, doctor, journal' }),
    administerAnything: z.boolean().meta({ description: 'people, invites and audit of what is administered' }),
    joinDevices: z.boolean(),
  }),
  version: z.string().meta({ description: "the gateway's" }),
  domains: z.array(z.string()).meta({ description: 'the primary one first' }),
  console: z.string().meta({ description: "the console's address" }),
  devicePattern: z.string().meta({ description: 'a device\'s address: {label} is replaced by its label, or by label--port' }),
  severalCustomers: z.boolean(),
});
export type MeView = z.infer<typeof meView>;

export const signInView = z.object({ id, personId: id, login: z.string(), kind: z.enum(['browser', 'cli']), from: z.string(), userAgent: z.string(), createdAt: time, lastUsedAt: time, expiresAt: time, current: z.boolean() });
export type SignInView = z.infer<typeof signInView>;

export const tokenView = z.object({ id, personId: id, login: z.string(), name: z.string(), createdAt: time, lastUsedAt: time.nullable(), expiresAt: time.nullable(), rights: z.array(rightView).nullable().meta({ description: "null: all of its person's" }) });
export type TokenView = z.infer<typeof tokenView>;

export const personView = z.object({ id, customerId: id, login: z.string(), name: z.string(), locked: z.boolean(), createdAt: time, lastUsedAt: time.nullable(), rights: z.array(rightView), signIns: count, tokens: count, isMe: z.boolean() });
export type PersonView = z.infer<typeof personView>;

export const inviteView = z.object({ id, name: z.string(), rights: z.array(rightView), createdBy: z.string().meta({ description: 'login' }), createdAt: time, expiresAt: time, usedAt: time.nullable(), state: z.enum(['waiting', 'used', 'expired']) });
export type InviteView = z.infer<typeof inviteView>;

export const customerView = z.object({
  id, key: z.string(), name: z.string(), createdAt: time,
  suspended: z.object({ since: time, why: z.string() }).nullable().meta({ description: 'its account is; redirect rules can go by that' }),
});
export type CustomerView = z.infer<typeof customerView>;
export const siteView = z.object({ id, customerId: id, name: z.string(), createdAt: time });
export type SiteView = z.infer<typeof siteView>;
/** A line of the list. */
export const siteSummaryView = siteView.extend({
  place: z
    .object({ subnets: z.array(z.string()), egress: z.array(z.string()), overlaps: z.object({ egress: count, subnets: count }).meta({ description: 'networks of other sites that cannot be told from these' }), agents: count, agentsOnline: count, devices: count, doors: count, doorsOpen: count })
    .nullable()
    .meta({ description: 'null: you see only something in it' }),
});
export type SiteSummaryView = z.infer<typeof siteSummaryView>;

// --- devices, agents, joining

export const portKind = z.enum(['http', 'https', 'tcp', 'udp']);
export const portInput = z.strictObject({ number: portNumber, name: z.string().trim().max(50).regex(plainText, 'has control characters').default(''), kind: portKind });
export type PortInput = z.infer<typeof portInput>;
export const portsInput = z.array(portInput).min(1).max(limits.portsPerDeviceMax);
export const portView = z.object({
  number: portNumber,
  name: z.string(),
  kind: portKind,
  url: z.string().nullable().meta({ description: 'where a browser opens it; null for tcp and udp' }),
  fingerprint: fingerprint.nullable().meta({ description: 'https: the certificate accepted on first use' }),
});
export type PortView = z.infer<typeof portView>;

export const linkView = z.object({ from: z.string(), since: time, rttMs: z.number().nullable(), streams: count, bytesIn: count.meta({ description: 'from the agent' }), bytesOut: count.meta({ description: 'to the agent' }), version: z.string(), can: z.array(z.string()) });
export type LinkView = z.infer<typeof linkView>;

const presence = {
  online: z.boolean(),
  link: linkView.nullable(),
  lastSeenAt: time.nullable(),
  lastLeftWhy: z.string().nullable(),
  version: z.string().nullable().meta({ description: "the agent's, as it last said" }),
  policy: z.array(z.string()).nullable().meta({ description: "the agent's local policy, line by line; null when it never announced one" }),
};

export const deviceView = z.object({
  id,
  customerId: id,
  siteId: id,
  siteName: z.string(),
  agentId: id.nullable().meta({ description: 'null: it has no agent, only pushes and checks in, and cannot be opened' }),
  agentState: z.enum(['active', 'locked', 'revoked', 'none']),
  serial: z.string().nullable(),
  label: z.string(),
  name: z.string(),
  host: z.string().meta({ description: 'what the agent dials' }),
  hostHeader: z.enum(['own', 'public']),
  locked: z.boolean(),
  createdAt: time,
  url: z.string().nullable().meta({ description: 'address of its first port that a browser opens' }),
  ports: z.array(portView),
  ...presence,
  contact: z
    .object({
      lastPushAt: time.nullable(),
      lastCheckInAt: time.nullable(),
      from: z.string().nullable(),
      firmware: z.string().nullable(),
      hardware: z.string().nullable(),
      pins: z.boolean().meta({ description: 'it pins our keys' }),
      fingerprints: z.array(z.string()).meta({ description: 'on its list, as it last said' }),
      clockSkewMs: z.number().nullable().meta({ description: 'its clock less ours, before it heard the time' }),
      zone: z.string().nullable(),
      upSeconds: z.number().nullable().meta({ description: 'since its start, at its last check-in' }),
      facts: z.record(z.string(), z.string()).meta({ description: 'the other lines of its last check-in' }),
    })
    .nullable()
    .meta({ description: 'what it said of itself, when it pushed or checked in; null: it never did' }),
  visitsLive: count,
  may: z.array(action).meta({ description: 'what you may do with it' }),
});
export type DeviceView = z.infer<typeof deviceView>;

export const agentView = z.object({
  id,
  customerId: id,
  siteId: id,
  siteName: z.string(),
  name: z.string(),
  state: z.enum(['active', 'locked', 'revoked']),
  createdAt: time,
  ...presence,
  devices: z.array(z.object({ id, label: z.string(), name: z.string() })),
  certificateUntil: time.nullable(),
  may: z.array(action),
});
export type AgentView = z.infer<typeof agentView>;

export const joinTokenView = z.object({
  id,
  siteId: id,
  deviceName: z.string(),
  serial: z.string().nullable(),
  host: z.string(),
  ports: z.array(portView.omit({ url: true, fingerprint: true })),
  createdBy: z.string().meta({ description: 'login, or start command' }),
  createdAt: time,
  expiresAt: time,
  state: z.enum(['waiting', 'used', 'expired']),
  device: z.object({ id, label: z.string(), name: z.string(), url: z.string().nullable(), online: z.boolean() }).nullable().meta({ description: 'what joined with it' }),
});
export type JoinTokenView = z.infer<typeof joinTokenView>;

// --- what runs and what happened

export const visitView = z.object({
  id,
  deviceId: id,
  deviceName: z.string(),
  port: portNumber,
  kind: z.enum(['http', 'tcp', 'udp']),
  who: actorView,
  openedAt: time,
  closedAt: time.nullable(),
  live: z.boolean(),
  requests: count,
  bytesIn: count.meta({ description: 'towards the device' }),
  bytesOut: count.meta({ description: 'from the device' }),
  why: z.string().nullable(),
  mayClose: z.boolean(),
});
export type VisitView = z.infer<typeof visitView>;

const flatFacts = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]));
export const auditLineView = z.object({ seq: count, at: time, actor: actorView, what: z.string(), subjectKind: z.string(), subjectId: z.string().nullable(), subjectName: z.string(), detail: flatFacts, previousHash: z.string(), hash: z.string() });
export type AuditLineView = z.infer<typeof auditLineView>;
export const journalLineView = z.object({ seq: count, at: time, event: z.string(), fields: flatFacts });
export type JournalLineView = z.infer<typeof journalLineView>;

export const protocol = z.enum(['http', 'tls', 'ldap', 'sip', 'h323', 'ssh', 'rdp', 'tcp']);

export const connView = z.object({
  id: z.string(),
  from: z.string(),
  listener: z.string(),
  protocol: z.string().meta({ description: 'http, h2, ldap …; empty while nothing is known' }),
  tls: z.string().nullable().meta({ description: 'modern, intermediate, legacy, link; null without TLS of ours' }),
  name: z.string().nullable().meta({ description: 'the name in TLS, or the domain that the first packet named' }),
  route: z.string().nullable().meta({ description: 'of a relayed connection; of HTTP each request has its own' }),
  agentId: id.nullable().optional().meta({ description: 'the agent at whose door it was accepted, in whose LAN `from` is; null: accepted by the gateway itself' }),
  mac: z.string().nullable().optional().meta({ description: "the client's in that LAN, as its agent saw it; null: not known" }),
  since: time,
  bytesIn: count.meta({ description: 'from the client' }),
  bytesOut: count.meta({ description: 'to the client' }),
  mine: z.boolean().meta({ description: 'this very question came over it' }),
});
export type ConnView = z.infer<typeof connView>;

export const listenerView = z.object({
  name: z.string(),
  address: z.string(),
  port: z.int().min(0).max(65_535).meta({ description: 'as configured; 0: the system chose' }),
  tls: z.boolean(),
  protocols: z.array(protocol),
  plain: z.array(protocol),
  proxyProtocolFrom: z.array(z.string()),
  serverFirst: z.boolean(),
  bound: z.object({ address: z.string(), port: portNumber }).nullable().meta({ description: 'null: it is not open' }),
  why: z.string().nullable().meta({ description: 'why it is not open' }),
  open: count.meta({ description: 'connections now' }),
  accepted: count.meta({ description: 'connections since the process began' }),
  refused: count.meta({ description: 'refused at the door, or for what they asked later; requests that HTTP refuses are not among them' }),
});
export type ListenerView = z.infer<typeof listenerView>;

export const routeView = z.object({
  name: z.string(),
  protocol,
  tier: z.enum(['exact', 'wildcard', 'any']).meta({ description: 'by this very name, by a name above it, by none' }),
  host: z.string().nullable(),
  path: z.string(),
  alias: z.string().nullable(),
  certificate: z.boolean().meta({ description: 'only with a client certificate' }),
  listeners: z.array(z.string()).nullable(),
  classes: count,
  target: z.string(),
  builtIn: z.boolean(),
});
export type RouteView = z.infer<typeof routeView>;

export const legacyClientView = z.object({
  from: z.string(),
  serverName: z.string().nullable(),
  policy: z.string().meta({ description: 'the TLS policy whose lane let it in' }),
  bestVersion: z.string().nullable().meta({ description: 'the best that it offered: TLS 1.0 …' }),
  ja4: z.string().meta({ description: 'the kind of client' }),
  firstAt: time,
  lastAt: time,
  count,
});
export type LegacyClientView = z.infer<typeof legacyClientView>;

/** The configuration's document, for programs that change it. */
export type ConfigDocument = Config;

export const confirmWithinMs = z.int().min(limits.confirmWithinMinMs).max(limits.confirmWithinMaxMs);
export const revisionView = z.object({
  number: count,
  at: time,
  actor: actorView,
  summary: z.string().nullable().meta({ description: 'what differs from the one before, in a line; null for one that an older version wrote' }),
  restores: count.nullable().meta({ description: 'the revision whose document this one brought back' }),
  confirmBy: time.nullable().meta({ description: 'it was provisional until then' }),
  state: z.enum(['in-force', 'provisional', 'rolled-back', 'past']).meta({ description: 'provisional: in force, and taken back unless it is confirmed; rolled-back: it was taken back' }),
});
export type RevisionView = z.infer<typeof revisionView>;

export const configDiffView = z.object({
  differences: z.array(
    z.object({
      section: z.string().meta({ description: 'routes, listeners, deviceDomain …' }),
      name: z.string().nullable().meta({ description: 'of the route, listener …; null for what stands in the document itself' }),
      kind: z.enum(['added', 'removed', 'changed']),
      fields: z.array(z.object({ path: z.string(), before: z.unknown().optional(), after: z.unknown().optional() })).meta({ description: 'before or after is absent where the field was' }),
    }),
  ),
  omitted: count.meta({ description: 'differences beyond those listed' }),
});
export type ConfigDiffView = z.infer<typeof configDiffView>;

export const configStateView = z.object({
  now: time,
  revision: count,
  provisional: z.object({ revision: count, restores: count.meta({ description: 'what comes back unless it is confirmed' }), actor: actorView, since: time, confirmBy: time, summary: z.string() }).nullable(),
  missing: z.array(z.string()).meta({ description: 'listeners that could not be opened when it was rolled back; tried again by itself' }),
});
export type ConfigStateView = z.infer<typeof configStateView>;

export const explainView = z.object({
  verdict: z.string().meta({ description: 'forward, device (its page, or the device protocol), console, redirect, respond, link, stream, join, terminate (TLS ends here, what is inside decides), refuse' }),
  rule: z.string().meta({ description: 'the rule that wins' }),
  lines: z.array(z.string()).meta({ description: 'the way there, step by step' }),
  listener: z.string().nullable(),
  proxyHeader: z.boolean().meta({ description: 'the sender is listed: it must begin with a PROXY protocol header' }),
  tls: z.object({ policy: z.string().nullable(), level: z.string().nullable(), passedThrough: z.boolean() }).nullable(),
  route: z.string().nullable(),
  cls: z.string().nullable().meta({ description: 'the class of the route that the request is in' }),
  target: z.string().nullable(),
});
export type ExplainView = z.infer<typeof explainView>;

export const statusView = z.object({
  version: z.string(),
  runtime: z.string(),
  startedAt: time,
  now: time,
  revision: count,
  listeners: z.array(z.object({ address: z.string(), port: portNumber, secure: z.boolean() })),
  conns: count,
  links: count,
  streams: count,
  visitsLive: count,
  devices: count,
  devicesOnline: count,
  memory: z.object({ rssBytes: count, heldBytes: count, budgetBytes: count }),
  journalDropped: count,
  storeBytes: count,
  /** Anything of this size was said once at start, too: ports that are not 80/443, clocks, an unbuilt console. */
  remarks: z.array(z.string()),
});
export type StatusView = z.infer<typeof statusView>;

export const findingView = z.object({ id: z.string(), title: z.string(), status: z.enum(['ok', 'warning', 'failure', 'skipped']), evidence: z.array(z.string()), verdict: z.string(), remedy: z.string().nullable(), ms: z.number() });
export type FindingView = z.infer<typeof findingView>;

/** RFC 9457, media type application/problem+json. */
export const problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.string().meta({ description: 'for machines' }),
  detail: z.string().meta({ description: 'what went wrong, where' }),
  cause: z.string().nullable(),
  remedy: z.string().nullable().meta({ description: 'what to do about it' }),
  requestId: z.string(),
  problems: z.array(z.object({ path: z.string(), message: z.string() })).optional().meta({ description: 'each wrong field' }),
  retryAfterS: z.number().optional(),
});
export type Problem = z.infer<typeof problem>;

// --- the event stream (server-sent events; `event:` is the key, `data:` the JSON)

export const deviceLive = z.object({ id, online: z.boolean(), rttMs: z.number().nullable(), streams: count, bytesIn: count, bytesOut: count, lastSeenAt: time.nullable() });
export type DeviceLive = z.infer<typeof deviceLive>;
/** Each says what to read again; ids are only of things that the person may see, and an empty list means "many". */
export const eventShapes = {
  hello: z.object({ now: time, version: z.string() }),
  links: z.object({ devices: z.array(deviceLive).max(200), more: z.boolean().meta({ description: 'more changed than are listed: read the list again' }) }),
  devices: z.object({ ids: z.array(id) }),
  visits: z.object({}),
  people: z.object({}),
  audit: z.object({}),
  /** Connections came, went or were refused; at most once a second. */
  conns: z.object({ open: count, accepted: count, refused: count }),
  status: z.object({}),
  /** One was added, changed, removed or renewed, or an order went on. */
  certificates: z.object({}),
  config: z.object({}),
  /** A serial that is not known asked for the first time, or was approved or refused. */
  waiting: z.object({}),
  /** Feeds that got data or to which something happened; at most once a second. first: nothing had come of it since the gateway started, so it may be new. */
  feeds: z.object({ feeds: z.array(z.object({ deviceId: id, feed: z.string(), news: z.array(z.enum(feedNews)) })).max(200), more: z.boolean() }),
  /** Devices of which a probe began, went on or ended; at most once a second. An empty list means many. */
  probes: z.object({ ids: z.array(id) }),
  /** A site or a door was added, changed or removed, or a door opened or closed. */
  places: z.object({}),
  /** What devices may use, their URLs or sessions, or who waits to be assigned; at most once a second. */
  applications: z.object({}),
  join: z.object({ id, state: z.enum(['waiting', 'used', 'expired']), deviceId: id.nullable() }),
  /** The sign-in ended: the stream closes behind it. */
  bye: z.object({ why: z.string() }),
} as const;
export type EventName = keyof typeof eventShapes;
export type EventData<Name extends EventName> = z.infer<(typeof eventShapes)[Name]>;
