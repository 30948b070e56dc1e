// What the API shows and takes of probes: profiles of devices, readings, what runs, drivers, and credentials that are written and never read.
import { z } from 'zod';
import { limits } from '#base/limits.ts';
import { id, page, pageQuery, time } from './shapes.ts';

const count = z.int().min(0);
const address = z.string().max(253);

const supply = z.object({
  key: z.string().meta({ description: 'what its readings are kept by: series `supply KEY` or `tray KEY`' }),
  name: z.string(),
  type: z.string().meta({ description: 'toner, ink, drum, waste, tray …' }),
  colour: z.string().nullable(),
  percent: z.number().nullable().meta({ description: 'null: not known' }),
  state: z.enum(['ok', 'low', 'empty', 'some', 'unknown']),
  level: z.number().nullable(),
  max: z.number().nullable(),
  unit: z.string().nullable(),
  fills: z.boolean().meta({ description: 'it fills instead of emptying: waste' }),
});
export type SupplyView = z.infer<typeof supply>;

const failure = z.object({
  code: z.string().meta({ description: 'off, silent, unreachable, credentials, policy, offline, no-agent, no-address, unsupported, unknown-device (no driver), partial, different (another device answers there) …' }),
  question: z.string().meta({ description: 'the one that was not answered' }),
  address,
  agent: z.string(),
  from: z.string().nullable().meta({ description: 'the address that the agent asked from' }),
  message: z.string(),
  remedy: z.string(),
});
export type ProbeFailureView = z.infer<typeof failure>;

const known = z.boolean().nullable().meta({ description: 'null: nothing told' });
const profile = z.object({
  vendor: z.string().nullable(),
  enterpriseId: z.number().nullable(),
  model: z.string().nullable(),
  serial: z.string().nullable(),
  macs: z.array(z.string()),
  addresses: z.array(z.string()),
  firmware: z.string().nullable(),
  hostNames: z.array(z.string()),
  location: z.string().nullable(),
  functions: z.object({ print: known, copy: known, scan: known, fax: known }),
  colour: known,
  duplex: known,
  languages: z.array(z.string()),
  protocols: z.array(z.string()).meta({ description: 'what answered' }),
  supplies: z.array(supply),
  trays: z.array(supply),
  counters: z.record(z.string(), z.number()),
  status: z.string().nullable(),
  errors: z.array(z.string()),
  upSeconds: z.number().nullable(),
  driver: z.string().nullable(),
  confidence: z.number(),
  evidence: z.array(z.object({ question: z.string(), value: z.string(), at: time })),
});

const reason = z.enum(['asked', 'opening', 'first', 'schedule']).meta({ description: 'asked: somebody wants it now · opening: it opens an application and its profile is old · first: nothing was known of it · schedule: its turn' });
const run = z.object({ reason, state: z.enum(['waiting', 'running']), since: time, asked: count, answered: count, last: z.string().nullable().meta({ description: 'what was asked last' }) });
export type ProbeRunView = z.infer<typeof run>;

const trust = z.enum(['verified', 'different', 'unread']).meta({ description: "verified: the serial that was read is the device's · different: another device answers at its address · unread: none was read, or the device has none to compare with" });

const explained = z.object({
  driver: z.object({ key: z.string(), own: z.boolean(), by: z.string(), matched: z.string() }).nullable(),
  asked: z.array(z.object({ question: z.string(), value: z.string().nullable(), why: z.string().nullable() })),
  gaps: z.array(failure),
  requests: count.meta({ description: 'datagrams by SNMP' }),
});

export const profileView = z.object({
  deviceId: id,
  device: z.string().meta({ description: 'its name' }),
  profile: profile.nullable().meta({ description: 'the last good one; null: there is none yet' }),
  readAt: time.nullable(),
  address: z.string().nullable().meta({ description: 'where it was read' }),
  agentId: id.nullable(),
  trust,
  mac: z.string().nullable(),
  triedAt: time.nullable().meta({ description: 'null: it was never asked' }),
  failure: failure.nullable().meta({ description: 'why the last try had no profile (readAt is older than triedAt), or what of it could not be had' }),
  offeredSerial: z.string().nullable().meta({ description: 'it was read, and the device has none: takeProbedSerial makes it the device\'s' }),
  run: run.nullable(),
  explained: explained.nullable().meta({ description: 'when asked for, and the device is among the last that were asked' }),
});
export type ProfileView = z.infer<typeof profileView>;

const profileRow = z.object({
  deviceId: id,
  device: z.string(),
  siteId: id,
  vendor: z.string().nullable(),
  model: z.string().nullable(),
  serial: z.string().nullable(),
  trust,
  readAt: time.nullable(),
  triedAt: time,
  failure: z.string().nullable().meta({ description: 'its code' }),
  errors: z.array(z.string()),
  identity: z.object({ state: z.enum(['verified', 'address-only', 'ambiguous', 'unknown']), why: z.string() }).nullable().meta({ description: 'what its address alone makes of it now; null: no applications are served here' }),
  lowest: supply.nullable().meta({ description: 'the supply that ends first' }),
});

const credentialsName = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,39}$/, 'is 1–40 of a-z, 0-9, - _ . and begins with a letter or digit').refine((text) => text !== 'default', 'is the built-in one');
const secretKey = z.string().min(8).max(128);
const credentialsSent = z.strictObject({
  name: credentialsName,
  networks: z.array(z.string().max(64)).max(limits.probeNetworksPerCredentialsMax).default([]).meta({ description: 'CIDR: where it is used; empty: wherever the agent may ask' }),
  version: z.enum(['v1', 'v2c', 'v3']),
  community: z.string().min(1).max(128).optional(),
  user: z.string().min(1).max(32).optional(),
  context: z.string().max(64).optional(),
  authProtocol: z.enum(['md5', 'sha', 'sha224', 'sha256', 'sha384', 'sha512']).optional(),
  authKey: secretKey.optional(),
  privProtocol: z.enum(['des', 'aes', 'aes256b', 'aes256r']).optional(),
  privKey: secretKey.optional(),
});
const credentialsShown = z.object({
  name: z.string(),
  networks: z.array(z.string()),
  version: z.enum(['v1', 'v2c', 'v3']),
  user: z.string().nullable(),
  context: z.string().nullable(),
  authProtocol: z.enum(['md5', 'sha', 'sha224', 'sha256', 'sha384', 'sha512']).nullable(),
  privProtocol: z.enum(['des', 'aes', 'aes256b', 'aes256r']).nullable(),
});
export type CredentialsView = z.infer<typeof credentialsShown>;

const driver = z.object({
  key: z.string(),
  name: z.string(),
  own: z.boolean().meta({ description: "the owner's; else it comes with the gateway" }),
  replaced: z.boolean().meta({ description: "not used, because one of the owner's has its key" }),
  prefixes: z.array(z.string()).meta({ description: 'of sysObjectID' }),
  problem: z.string().nullable().meta({ description: 'why it cannot be used' }),
});
export type DriverView = z.infer<typeof driver>;

const query = z.strictObject;

export const probeRoutes = {
  probeDevice: {
    summary: 'Ask a device what it is, now; answers when that is over, or at least when the time to wait is',
    body: z.strictObject({ waitMs: z.int().min(0).max(limits.probeWaitMaxMs).default(25_000), explain: z.boolean().default(false) }),
    answer: profileView,
  },
  getProfile: { summary: 'What a device said that it is, and what became of the last probe', query: query({ explain: z.enum(['true', 'false']).default('false') }), answer: profileView },
  listProfiles: { summary: 'Devices that were asked, with what matters most', query: query({ ...pageQuery, siteId: id.optional(), trust: trust.optional(), failed: z.enum(['true', 'false']).optional() }), answer: page(profileRow) },
  takeProbedSerial: { summary: "Make the serial that was read the device's", answer: profileView },
  listSeries: {
    summary: 'Series of readings that there are of a device',
    answer: z.object({ items: z.array(z.object({ series: z.string().meta({ description: 'supply KEY, tray KEY or counter NAME' }), at: time, value: z.number() })) }),
  },
  listSamples: {
    summary: 'Readings of one series, the oldest first; those of equal stretches of time become one where there are too many',
    query: query({ series: z.string().min(1).max(200), from: z.coerce.number<number>().int().min(0).optional().meta({ description: 'default: 30 days before `to`' }), to: z.coerce.number<number>().int().min(0).optional().meta({ description: 'default: now' }), points: z.coerce.number<number>().int().min(2).max(2_000).default(300) }),
    answer: z.object({ series: z.string(), from: time, to: time, points: z.array(z.object({ at: time, value: z.number(), min: z.number(), max: z.number() })) }),
  },
  listProbes: {
    summary: 'Who is asked now, who waits, and how fast agents ask',
    answer: z.object({
      items: z.array(run.extend({ deviceId: id, device: z.string(), agentId: id.nullable() })).max(500),
      more: count,
      agents: z.array(z.object({ agentId: id, agent: z.string(), running: count, waiting: count, asked: count, perSecond: z.number().nullable(), atOnce: z.number().nullable() })),
      counts: z.object({ succeeded: count, failed: count, dropped: count, missed: count }).nullable().meta({ description: 'since the gateway started; for who sees the gateway' }),
    }),
  },
  listDrivers: { summary: 'Drivers: how devices of a vendor are asked and understood', answer: z.object({ items: z.array(driver) }) },
  putDriver: { summary: "Add a driver of one's own, or replace it; it goes before one of the same key that comes with the gateway", body: z.strictObject({ driver: z.record(z.string(), z.unknown()).meta({ description: 'docs/operate/drivers.md has its fields' }) }), answer: driver },
  removeDriver: { summary: "Remove a driver of one's own", answer: z.object({}) },
  getProbeCredentials: { summary: 'Which credentials the agent has for asking devices: names, and nothing secret', answer: z.object({ items: z.array(credentialsShown), isDefault: z.boolean().meta({ description: 'none is there: the community "public" is tried' }) }) },
  setProbeCredentials: {
    summary: 'Hand credentials to the agent, which alone keeps them',
    body: z.strictObject({ put: z.array(credentialsSent).max(limits.probeCredentialsMax).default([]), remove: z.array(z.string().max(40)).max(limits.probeCredentialsMax).default([]) }),
    answer: z.object({ items: z.array(credentialsShown) }),
  },
} as const;
