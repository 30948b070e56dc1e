// What a person configures, as a plain JSON document: what `apply` and `export` carry. Reading it checks shapes only;
// whether it makes sense together is decided by compile (snapshot.ts).
import { z } from 'zod';
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

const target = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('tcp'), host: z.string().min(1).max(253), port: portNumber.min(1) }),
  z.strictObject({ kind: z.literal('device'), device: z.string().min(1).max(200), port: portNumber.min(1) }),
  z.strictObject({ kind: z.literal('redirect'), to: z.string().regex(/^(https?:\/\/|\/)[!-~]*$/, 'must be an http address or a path'), status: z.union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)]).default(308) }),
  z.strictObject({ kind: z.literal('respond'), status: z.int().min(200).max(599).default(200), body: z.string().max(65_536).default(''), contentType: z.string().max(200).regex(/^[ -~]*$/).default('text/plain; charset=utf-8') }),
]);

const route = z.strictObject({
  name,
  /** Names of listeners; every TLS listener when absent. */
  listeners: z.array(name).min(1).max(64).optional(),
  host: hostPattern.optional(),
  /** A prefix of whole segments. */
  path: z.string().regex(/^\/[!-~]*$/, 'must begin with "/"').max(2_048).default('/'),
  target,
  /** Heads up to 64 KiB instead of 16. */
  largeHeads: z.boolean().default(false),
});

const listener = z.strictObject({
  name,
  address: z.string().min(1).max(64).default('::'),
  port: portNumber,
  tls: z.boolean(),
});

export const configSchema = z.strictObject({
  version: z.literal(1),
  /** The first is primary. */
  domains: z.array(z.strictObject({ name: hostName })).min(1).max(100),
  /** Devices' names stand under this one instead of under the domains. */
  deviceDomain: hostName.nullable().default(null),
  listeners: z.array(listener).min(1).max(64),
  routes: z.array(route).max(limits.routesMax).default([]),
});

export type Config = z.infer<typeof configSchema>;
export type ConfigRoute = Config['routes'][number];
export type ConfigTarget = ConfigRoute['target'];

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

/** What a fresh gateway starts with (DESIGN: first run). */
export function firstConfig(options: { domain: string; httpPort: number; httpsPort: number; deviceDomain?: string | null }): Config {
  const local = options.domain === 'localhost';
  return {
    version: 1,
    domains: [{ name: options.domain }],
    deviceDomain: options.deviceDomain ?? null,
    listeners: [
      { name: 'http', address: local ? '127.0.0.1' : '::', port: options.httpPort, tls: false },
      { name: 'https', address: '::', port: options.httpsPort, tls: true },
    ],
    routes: [],
  };
}
