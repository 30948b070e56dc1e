// What a person configures, as a plain JSON document: what `apply` and `export` carry. Reading it checks shapes only;
// whether it makes sense together is decided by compile (snapshot.ts).
import { z } from 'zod';
import { parseNetwork } from '#base/cidr.ts';
import { limits } from '#base/limits.ts';

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
});

export type Config = z.infer<typeof configSchema>;
export type ConfigRoute = Config['routes'][number];
export type ConfigTarget = ConfigRoute['target'];
export type ConfigListener = Config['listeners'][number];
export type ConfigTlsPolicy = Config['tlsPolicies'][number];

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
