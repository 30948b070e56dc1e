// What a person configures, as a plain JSON document: what `apply` and `export` carry. Reading it checks shapes only;
// whether it makes sense together is decided by compile (snapshot.ts).
import { z } from 'zod';
import { parseNetwork } from '#base/cidr.ts';
import { limits } from '#base/limits.ts';
import { fieldTypes } from './parsers/fields.ts';
import { presetNames } from './parsers/preset-names.ts';
import { isZone } from './zone.ts';

const hostName = z
  .string()
  .toLowerCase()
  .regex(/^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*$/, 'is not a host name');
const hostPattern = z
  .string()
  .toLowerCase()
  .regex(/^(?=.{1,255}$)(\*\.)?[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*$/, 'is not a host name, nor one with "*." before it');
const portNumber = z.int().min(0).max(65_535);
const name = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/, 'must be 1–64 of a-z, 0-9, ".", "-", "_" and begin with a letter or digit');

const network = z.string().max(64).refine((text) => parseNetwork(text) !== null, 'is not an address or network like 192.0.2.0/24');
const networkList = z.array(network).max(limits.networksPerListMax);
const pem = z.string().max(262_144).regex(/-----BEGIN CERTIFICATE-----/, 'is not a PEM certificate');
const host = z.string().min(1).max(253);
const subject = z.string().min(1).max(200);

/** What a first packet can be. `tls` is passed through undecrypted; `http` is HTTP/1 and HTTP/2; `tcp` whatever no reader knows, and ports where the server speaks first. */
export const protocols = ['http', 'tls', 'ldap', 'sip', 'h323', 'ssh', 'rdp', 'tcp'] as const;
const protocol = z.enum(protocols);
export type Protocol = (typeof protocols)[number];

const proxyProtocolOut = z.enum(['v1', 'v2']);

const verify = z.discriminatedUnion('by', [
  /** The name in the certificate, and a chain to the system's roots or to the CA given. `name` when it differs from the host dialled. */
  z.strictObject({ by: z.literal('name'), name: host.optional(), ca: pem.optional() }),
  /** A chain to this CA, whatever the name. */
  z.strictObject({ by: z.literal('ca'), ca: pem }),
  /** The certificate's SHA-256, hex with or without colons. */
  z.strictObject({ by: z.literal('fingerprint'), sha256: z.string().regex(/^([0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}$/, 'is not a SHA-256 fingerprint (64 hex digits)') }),
]);

const target = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('tcp'), host, port: portNumber.min(1), proxyProtocol: proxyProtocolOut.optional() }),
  z.strictObject({
    kind: z.literal('tls'), host, port: portNumber.min(1),
    verify: verify.default({ by: 'name' }),
    /** SNI; the host, or the name verified, when absent. */
    serverName: hostName.optional(),
    /** A certificate of the gateway, by its name, presented to the server. */
    certificate: z.string().min(1).max(100).optional(),
    proxyProtocol: proxyProtocolOut.optional(),
    /** TLS only for who proved to be the user named in the protocol; others are refused, or led to this port without TLS. */
    checkCertificate: z.strictObject({ otherwise: z.union([z.literal('refuse'), portNumber.min(1)]) }).optional(),
  }),
  z.strictObject({ kind: z.literal('device'), device: z.string().min(1).max(200), port: portNumber.min(1) }),
  z.strictObject({ kind: z.literal('redirect'), to: z.string().regex(/^(https?:\/\/|\/)[!-~]*$/, 'must be an http address or a path'), status: z.union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)]).default(308) }),
  z.strictObject({ kind: z.literal('respond'), status: z.int().min(200).max(599).default(200), body: z.string().max(65_536).default(''), contentType: z.string().max(200).regex(/^[ -~]*$/).default('text/plain; charset=utf-8') }),
]);

const urlPath = z.string().regex(/^\/[!-~]*$/, 'must begin with "/"').max(2_048);

const urlClass = z.strictObject({
  name,
  paths: z.array(urlPath).min(1).max(limits.pathsPerClassMax),
  methods: z.array(z.string().regex(/^[A-Z][A-Z-]{0,31}$/, 'is not a method like GET')).min(1).max(32).optional(),
});

/** The route leads to an application that knows devices by their address. */
const application = z.strictObject({
  /** How the application hears it. headers: X-Forwarded-For and its kin · proxy-v1, proxy-v2: a PROXY header · virtual: the connection comes from the device's virtual address. */
  tell: z.enum(['headers', 'proxy-v1', 'proxy-v2', 'virtual']).default('headers'),
  /** Which one headers name: the device's in its LAN, or its virtual one (where LANs of several sites overlap). */
  address: z.enum(['own', 'virtual']).default('own'),
  /** What a device has to be: verified, known at least by its address, or anybody. */
  require: z.enum(['verified', 'address', 'any']).default('address'),
  /** Only devices that are job sources of this application. */
  assigned: z.boolean().default(true),
  session: z.strictObject({
    /** Cookies of the application are kept here and not given to the device. */
    jar: z.boolean().default(false),
    /** Every link leads through /s/SESSION/, for devices that share an address and keep no cookies. */
    urlPrefix: z.boolean().default(false),
    idleMinutes: z.number().positive().max(1_440).default(30),
    absoluteHours: z.number().positive().max(720).default(12),
  }).prefault({}),
  /** Ports of the virtual address at which the application reaches the device; `to` when the device's port differs. */
  callbacks: z.array(z.strictObject({ transport: z.enum(['tcp', 'udp']), port: portNumber.min(1), to: portNumber.min(1).optional() })).max(limits.callbacksPerApplicationMax).default([]),
  /** Signs X-Postern-Identity with this secret (HS256); without it, with the gateway's own key (EdDSA). */
  signed: name.optional(),
});

const route = z.strictObject({
  name,
  /** Names of listeners; every TLS listener when absent. */
  listeners: z.array(name).min(1).max(64).optional(),
  protocol: protocol.default('http'),
  /** http: Host; tls: SNI; ldap: domain of the bind; sip: domain of the request; h323: gatekeeper or alias domain; else SNI. */
  host: hostPattern.optional(),
  /** A prefix of whole segments, or several. http only. */
  path: z.union([urlPath, z.array(urlPath).min(1).max(limits.pathsPerClassMax)]).default('/'),
  /** Paths of route and classes are compared without regard to letter case. */
  ignoreCase: z.boolean().default(false),
  /** The user, alias or number named in the protocol; `*` at its end stands for anything. Not for http. */
  alias: z.string().min(1).max(200).optional(),
  /** Only with a client certificate that its TLS policy has verified; `subject`: and this common name. */
  clientCertificate: z.strictObject({ subject: subject.optional() }).optional(),
  classes: z.array(urlClass).max(limits.classesPerRouteMax).default([]),
  /** What is in no class is refused. */
  onlyClasses: z.boolean().default(false),
  target,
  /** Heads up to 64 KiB instead of 16. */
  largeHeads: z.boolean().default(false),
  application: application.optional(),
});

const listener = z.strictObject({
  name,
  address: z.string().min(1).max(64).default('::'),
  port: portNumber,
  tls: z.boolean(),
  /** What may come here; behind TLS where the listener speaks TLS. Everything else is refused. */
  protocols: z.array(protocol).min(1).max(protocols.length).default(['http']),
  /** On a TLS listener: what may also come without TLS. */
  plain: z.array(protocol).max(protocols.length).default([]),
  /** Senders that must begin with a PROXY protocol header; from others it is never looked for. */
  proxyProtocolFrom: networkList.default([]),
  /** The server speaks first: nothing is looked at, the port alone decides. */
  serverFirst: z.boolean().default(false),
  /** A client that is silent for so long is taken for one whose server speaks first. */
  silentMs: z.int().min(200).max(10_000).optional(),
  sniffTimeoutMs: z.int().min(1_000).max(60_000).optional(),
});

export const tlsLevels = ['modern', 'intermediate'] as const;

const tlsPolicy = z.strictObject({
  name,
  /** Host names and patterns; absent: every name that no other policy has, and clients that name none. */
  hosts: z.array(hostPattern).min(1).max(1_000).optional(),
  listeners: z.array(name).min(1).max(64).optional(),
  level: z.enum(tlsLevels).default('intermediate'),
  clientCertificates: z.strictObject({ ca: z.union([z.literal('private'), pem]), required: z.boolean().default(true) }).optional(),
  /** Old TLS for these sources only, and only for clients that cannot do better; until the end of that day (UTC). */
  legacyLane: z.strictObject({ from: networkList.min(1), until: z.string().regex(/^\d{4}-\d{2}-\d{2}$/, 'is not a date like 2027-06-30').refine((text) => !Number.isNaN(Date.parse(text)), 'is not a date') }).optional(),
});

const trustedProxy = z.strictObject({
  from: network,
  /** And it must show a client certificate with this common name. */
  subject: subject.optional(),
});

/** Certificates by ACME without anybody ordering them. Secrets are not here: accounts and TSIG keys are in the data folder. */
const acme = z.strictObject({
  /** An https address, or `lets-encrypt`, `lets-encrypt-staging`, `zerossl`, `google`. */
  directory: z.string().min(1).max(500).default('lets-encrypt'),
  /** A mail address for the authority's warnings. */
  contact: z.string().max(254).regex(/^[^\s@]+@[^\s@]+$/, 'is not a mail address').optional(),
  termsAgreed: z.boolean().default(false),
  challenge: z.enum(['http-01', 'tls-alpn-01', 'dns-01']).default('http-01'),
  keyKind: z.enum(['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096']).default('ec-p256'),
  /** For dns-01. */
  dns: z.record(z.string().max(50), z.union([z.string().max(300), z.number(), z.boolean(), z.null()])).optional(),
  /** Root of a private ACME server's own certificate. */
  root: pem.optional(),
  /** Order for each known name at its first visit; by dns-01 one wildcard for all labels of its domain. */
  onDemand: z.boolean().default(false),
});

const glob = z.string().min(1).max(200);
const customerKey = z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'is not a customer\'s key').max(32);
const days = z.number().positive().max(36_500);
const bytes = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const pin = z.string().regex(/^sha256\/\/[A-Za-z0-9+/]{43}=$/, 'is not a fingerprint like sha256//…= (curl\'s --pinnedpubkey)');
/** Bases of servers end in the customer's part, `…/v1/acme`, or with `/v1`, and the device's customer is added. */
const base = z.string().max(500).regex(/^https?:\/\/[^/?#\s]+\/v1(\/[a-z0-9]+(-[a-z0-9]+)*)?\/?$/, 'is not a base like https://in.example.test/v1 or …/v1/acme');
const pattern = z.string().min(1).max(1_000);

/** What becomes of serials that nobody knows. */
const strangers = z.strictObject({
  /** Every customer without an entry of its own, when absent. */
  customer: customerKey.optional(),
  policy: z.enum(['refuse', 'wait', 'quarantine']),
  /** So many bytes for each waiting device. */
  quarantineBytes: bytes.default(limits.quarantineBytes),
  /** Devices that are known may push with nothing but their serial. */
  keyless: z.boolean().default(false),
});

/** How feeds are kept; the first that matches counts. */
const feedRule = z.strictObject({
  name,
  /** Of the feed's name, with `*`. */
  feeds: glob.default('*'),
  /** Of the device's serial. */
  devices: glob.optional(),
  customer: customerKey.optional(),
  /** When the device does not say. */
  format: z.string().regex(/^(raw|lines|u16|u32|stamped|fixed:[1-9]\d{0,4})$/, 'is not raw, lines, u16, u32, stamped or fixed:N').optional(),
  keepDays: days.optional(),
  keepBytes: bytes.optional(),
  alerts: z.array(z.strictObject({ name, pattern, webhook: z.string().max(500).regex(/^https?:\/\/[^\s]+$/, 'is not an http address').optional(), secret: name.optional() })).max(limits.alertsPerFeedMax).default([]),
  /** A record that this finds is pushed at once; sent to devices at check-in. */
  prio: pattern.optional(),
});

const checkIn = z.strictObject({
  pollSeconds: z.int().min(60).max(30 * 86_400).default(86_400),
  jitterSeconds: z.int().min(0).max(86_400).default(600),
  pushSeconds: z.int().min(1).max(86_400).default(300),
  /** IANA name, for devices that name none. */
  zone: z.string().max(64).refine(isZone, 'is not a time zone like Europe/London').optional(),
});

/** Devices that know us by our keys. */
const pins = z.strictObject({
  /** A device that was not seen for so long is waited for no more when a key changes. */
  activeDays: days.default(45),
  /** A key that was replaced stays on devices' lists for so long, so that one can go back to it. */
  keepOldDays: days.default(30),
});

const server = z.strictObject({
  name,
  base,
  /** What its certificate's key is; announced to devices before one is sent there. */
  pins: z.array(pin).max(8).default([]),
  /** Its share among others; 0: none, except where the order decides. */
  weight: z.int().min(0).max(1_000).default(1),
  /** new: gets no new devices, those that it has leave as their leases end; now: they leave at their next request. */
  drain: z.enum(['no', 'new', 'now']).default('no'),
});

/** Which devices' data goes to which server; the first that matches counts. Every condition that is there must hold. */
const redirect = z.strictObject({
  name,
  customer: customerKey.optional(),
  /** A serial, `SN*`, or a range `SN100..SN199`; one of them. */
  serials: z.array(z.string().min(1).max(300)).min(1).max(1_000).optional(),
  /** Of the device's name. */
  deviceName: glob.optional(),
  /** The name that the device dialled. */
  host: hostPattern.optional(),
  /** What the request's path begins with, behind the customer, in whole parts: `push`, `push/SN1/cdr` … */
  path: z.string().regex(/^[!-.0-~]+(\/[!-.0-~]+)*$/, 'is parts of a path behind the customer, like push/SN1').max(500).optional(),
  from: networkList.min(1).optional(),
  tag: z.string().min(1).max(64).optional(),
  /** Whether the device's customer is suspended. */
  suspended: z.boolean().optional(),
  /** stay: it is answered here. */
  strategy: z.enum(['first', 'round-robin', 'weights', 'least-loaded', 'hash', 'stay']).default('first'),
  /** `here` is this gateway. */
  servers: z.array(name).max(100).default([]),
  /** How long a device stays where it was sent. */
  ttlSeconds: z.int().min(10).max(30 * 86_400).default(3_600),
  status: z.union([z.literal(307), z.literal(308)]).default(307),
});

const fieldName = z.string().min(1).max(63);
const zone = z.string().max(64).refine(isZone, 'is not a time zone like Europe/London');
/** What a column holds; text when nothing is said. */
const columnType = {
  type: z.enum(fieldTypes).optional(),
  /** time: `iso`, `unix`, `unix-ms`, or a pattern of %Y %y %m %d %b %H %I %M %S %f %p %z; duration: `seconds`, `ms`, `minutes`, `tenths`, `h:m:s`, `h:m's`, `hmmss`, `hmmt`. */
  format: z.string().min(1).max(100).optional(),
  /** Of times that name none; without it they are UTC. */
  zone: zone.optional(),
};
const column = z.union([fieldName, z.strictObject({ name: fieldName, ...columnType })]);
const parserCommon = {
  /** Lines that this finds are no records: headings, page ends. */
  skip: pattern.optional(),
  /** Columns that name the same thing at its source: a record that comes again under another offset is known by them. */
  key: z.array(fieldName).min(1).max(10).optional(),
};
const parser = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('csv'), delimiter: z.string().length(1).default(','), quote: z.string().length(1).default('"'), columns: z.array(column).min(1).max(200), ...parserCommon }),
  /** `start` counts from 1. */
  z.strictObject({ kind: z.literal('columns'), columns: z.array(z.strictObject({ name: fieldName, start: z.int().min(1).max(65_536), length: z.int().min(1).max(65_536), ...columnType })).min(1).max(200), ...parserCommon }),
  /** Named groups are the columns; `columns` says what they hold. */
  z.strictObject({ kind: z.literal('regex'), pattern, columns: z.array(column).max(200).optional(), ...parserCommon }),
  /** `path`: names with dots between them; the column's name when absent. Without columns, all that is at the top. */
  z.strictObject({ kind: z.literal('json'), columns: z.array(z.union([fieldName, z.strictObject({ name: fieldName, path: z.string().min(1).max(200).optional(), ...columnType })])).min(1).max(200).optional(), ...parserCommon }),
  /** Call records of a known telephone system; `zone` is where its clock is. */
  z.strictObject({ kind: z.literal('preset'), preset: z.enum(presetNames), zone: zone.optional() }),
]);

const sinkCommon = { name, feeds: glob.default('*'), devices: glob.optional(), customer: customerKey.optional(), enabled: z.boolean().default(true), parser: parser.optional() };
/** Where records go from here, each with its own position. */
const sink = z.discriminatedUnion('kind', [
  z.strictObject({ ...sinkCommon, kind: z.literal('files'), /** A folder below `sinks` of the data folder. */ folder: name, rotateBytes: bytes.default(64 * 1024 * 1024), rotateHours: z.number().positive().max(8_760).default(24), gzip: z.boolean().default(true), keepDays: days.optional() }),
  z.strictObject({ ...sinkCommon, kind: z.literal('sql'), /** A file of the data folder's `sinks`, or postgres://…; the secret is its password. */ database: z.string().max(500).regex(/^(postgres(ql)?:\/\/[!-~]+|[a-z0-9][a-z0-9_.-]{0,63})$/, 'is neither a file\'s name of a-z, 0-9, ".", "-", "_" nor postgres://…'), table: z.string().regex(/^[a-z_][a-z0-9_]{0,62}$/, 'is not a table\'s name'), secret: name.optional() }),
  z.strictObject({ ...sinkCommon, kind: z.literal('webhook'), url: z.string().max(500).regex(/^https?:\/\/[^\s]+$/, 'is not an http address'), secret: name.optional(), batchRecords: z.int().min(1).max(10_000).default(500), batchMs: z.int().min(0).max(3_600_000).default(1_000), ca: pem.optional() }),
  z.strictObject({ ...sinkCommon, kind: z.literal('nats'), servers: z.array(z.string().max(500)).min(1).max(16), /** {customer}, {serial}, {feed} stand for the record's own. */ subject: z.string().regex(/^[^\s*>]{1,200}$/, 'is not a subject'), user: z.string().max(200).optional(), secret: name.optional(), ca: pem.optional() }),
  z.strictObject({ ...sinkCommon, kind: z.literal('kafka'), brokers: z.array(z.string().max(260)).min(1).max(16), topic: z.string().regex(/^[a-zA-Z0-9._-]{1,249}$/, 'is not a topic\'s name'), tls: z.boolean().default(false), user: z.string().max(200).optional(), secret: name.optional(), ca: pem.optional() }),
]);

/** Virtual addresses of devices. */
const addressPool = z.strictObject({
  networks: networkList.min(1),
  /** Who may call devices back; without it, the servers of the applications that hear virtual addresses, and this machine. */
  callers: networkList.optional(),
});

/** Asking devices what they are. */
const probes = z.strictObject({
  /** Devices of applications, and those that have a profile, are asked so often; 0: only when somebody wants it. */
  everyMinutes: z.number().min(0).max(10_080).default(15),
  /** A profile that is older is read again when its device opens an application. */
  freshMinutes: z.number().positive().max(10_080).default(60),
  /** Requests that one agent sends in a second, and devices that it asks at once. */
  perSecond: z.int().min(1).max(limits.probePerSecondMax).default(20),
  atOnce: z.int().min(1).max(limits.probeAtOnceMax).default(8),
});

/** How long what grows is kept; the age, and a bound whatever the age. Records: of each feed for which `feeds` says nothing else. */
const retention = z.strictObject({
  auditDays: days.optional(), auditBytes: bytes.optional(),
  visitsDays: days.optional(), visitsMax: z.int().min(1).optional(),
  journalDays: days.optional(), journalLines: z.int().min(100).optional(),
  recordsDays: days.optional(), recordsBytes: bytes.optional(),
  filesDays: days.optional(), filesBytes: bytes.optional(),
  recordingsDays: days.optional(), recordingsBytes: bytes.optional(),
  /** Series that probes keep of supplies and counters. */
  samplesDays: days.optional(),
  /** What the store may take in all; without it, all of the data folder's disk. PostgreSQL's disk cannot be seen from here. */
  storeBytes: z.int().min(64 * 1024 * 1024).max(Number.MAX_SAFE_INTEGER).optional(),
});

export const configSchema = z.strictObject({
  version: z.literal(1),
  /** The first is primary. */
  domains: z.array(z.strictObject({ name: hostName })).min(1).max(100),
  /** Devices' names stand under this one instead of under the domains. */
  deviceDomain: hostName.nullable().default(null),
  /** What clients outside dial, where the gateway itself stands behind NAT: written into SIP. */
  publicAddress: host.nullable().default(null),
  listeners: z.array(listener).min(1).max(64),
  tlsPolicies: z.array(tlsPolicy).max(limits.tlsPoliciesMax).default([]),
  /** Whose forwarding headers are kept. */
  trustedProxies: z.array(trustedProxy).max(limits.trustedProxiesMax).default([]),
  routes: z.array(route).max(limits.routesMax).default([]),
  acme: acme.optional(),
  // data of devices
  strangers: z.array(strangers).max(1_000).optional(),
  feeds: z.array(feedRule).max(1_000).optional(),
  checkIn: checkIn.optional(),
  pins: pins.optional(),
  servers: z.array(server).max(1_000).optional(),
  redirects: z.array(redirect).max(10_000).optional(),
  sinks: z.array(sink).max(100).optional(),
  retention: retention.optional(),
  // devices known by their address
  addressPool: addressPool.optional(),
  probes: probes.optional(),
});

export type Config = z.infer<typeof configSchema>;
export type ConfigRoute = Config['routes'][number];
export type ConfigApplication = NonNullable<ConfigRoute['application']>;
export type ConfigTarget = ConfigRoute['target'];
export type ConfigListener = Config['listeners'][number];
export type ConfigTlsPolicy = Config['tlsPolicies'][number];

export type ConfigServer = NonNullable<Config['servers']>[number];
export type ConfigRedirect = NonNullable<Config['redirects']>[number];
export type ConfigFeedRule = NonNullable<Config['feeds']>[number];
export type ConfigStrangers = NonNullable<Config['strangers']>[number];
export type ConfigSink = NonNullable<Config['sinks']>[number];
export type ConfigParser = NonNullable<ConfigSink['parser']>;
export type ConfigRetention = NonNullable<Config['retention']>;

export interface ConfigProblem {
  /** `routes[3].host` */
  readonly path: string;
  readonly message: string;
}

/** A document from outside, checked for shape; or every problem with its path. */
export function parseConfig(document: unknown): { config: Config } | { problems: ConfigProblem[] } {
  const parsed = configSchema.safeParse(document);
  if (parsed.success) return { config: parsed.data };
  return {
    problems: parsed.error.issues.slice(0, 200).map((issue) => ({
      path: issue.path.map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i ? '.' : ''}${String(part)}`)).join('') || '(document)',
      message: issue.message,
    })),
  };
}

const plainDoor: Pick<ConfigListener, 'protocols' | 'plain' | 'proxyProtocolFrom' | 'serverFirst'> = { protocols: ['http'], plain: [], proxyProtocolFrom: [], serverFirst: false };

/** What a fresh gateway starts with (DESIGN: first run). */
export function firstConfig(options: { domain: string; httpPort: number; httpsPort: number; deviceDomain?: string | null }): Config {
  const local = options.domain === 'localhost';
  return {
    version: 1,
    domains: [{ name: options.domain }],
    deviceDomain: options.deviceDomain ?? null,
    publicAddress: null,
    listeners: [
      { ...plainDoor, name: 'http', address: local ? '127.0.0.1' : '::', port: options.httpPort, tls: false },
      { ...plainDoor, name: 'https', address: '::', port: options.httpsPort, tls: true },
    ],
    tlsPolicies: [],
    trustedProxies: [],
    routes: [],
  };
}
