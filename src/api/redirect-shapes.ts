// What the API shows and takes of devices that belong to another server: rules, servers, leases, and what rules go by.
import { z } from 'zod';
import { limits } from '#base/limits.ts';
import { customerView, id, page, pageQuery, serial, time } from './shapes.ts';

const query = z.strictObject;
const body = z.strictObject;
const count = z.int().min(0);
const customerKey = z.string().min(1).max(32);
const drain = z.enum(['no', 'new', 'now']);

export const serverView = z.object({
  name: z.string(),
  base: z.string().meta({ description: "where it ends in /v1, the key of the device's customer follows" }),
  pins: z.array(z.string()),
  weight: count,
  drain: drain.meta({ description: 'new: it gets no new devices, those that it has leave as their leases end · now: they leave at their next request' }),
  leases: count.meta({ description: 'devices that were sent there and are to stay there for now' }),
  failed: count.meta({ description: 'devices that said that they could not deliver there, and are not sent there for now' }),
  rules: z.array(z.string()).meta({ description: 'rules that lead there' }),
});
export type ServerView = z.infer<typeof serverView>;

export const redirectView = z.object({
  name: z.string(),
  conditions: z.array(z.object({ field: z.string(), wanted: z.string() })).meta({ description: 'all must hold; none: every device' }),
  strategy: z.enum(['first', 'round-robin', 'weights', 'least-loaded', 'hash', 'stay']),
  servers: z.array(z.string()).meta({ description: '"here" is this gateway' }),
  ttlSeconds: count,
});
export type RedirectView = z.infer<typeof redirectView>;

export const leaseView = z.object({ customer: z.string(), serial: z.string(), server: z.string(), rule: z.string(), givenAt: time, until: time });
export type LeaseView = z.infer<typeof leaseView>;

const decisionView = z.object({
  kind: z.enum(['stay', 'send']),
  why: z.string().nullable().meta({ description: 'why it stays: no-rule, hops, rule, here, no-server, pin, disbelief, key; null where it is sent' }),
  text: z.string(),
  rule: z.string().nullable(),
  server: z.string().nullable(),
  base: z.string().nullable(),
  ttlSeconds: count.nullable(),
});

export const previewView = z.object({
  known: z.boolean().meta({ description: 'false: nobody knows this serial; what is said is how it would be once it is approved' }),
  device: z.object({ id, name: z.string(), label: z.string(), tags: z.array(z.string()) }).nullable(),
  decision: decisionView,
  rules: z.array(z.object({ rule: z.string(), state: z.enum(['taken', 'behind', 'not']), why: z.string().nullable() })),
  lease: leaseView.nullable(),
  failed: z.array(z.object({ server: z.string(), until: time })),
  epochs: z.array(z.object({ feed: z.string(), epoch: z.string(), start: count, next: count, sealedAt: time.nullable(), sealedTo: z.string().nullable() })).meta({ description: 'what is here of it' }),
});
export type PreviewView = z.infer<typeof previewView>;

const tag = z.string().trim().min(1).max(64).regex(/^[^\p{Cc}]+$/u, 'has control characters');
const tagsView = z.object({ deviceId: id, tags: z.array(z.string()) });

export const redirectRoutes = {
  listRedirects: { summary: 'The rules that send devices to other servers, in order, and the servers', answer: z.object({ rules: z.array(redirectView), servers: z.array(serverView) }) },
  previewRedirect: {
    summary: 'Where a device would be sent, and why; nothing changes',
    body: body({
      customer: customerKey.optional().meta({ description: "its customer's key; default: the first customer" }),
      serial,
      from: z.string().max(45).default('').meta({ description: 'the address that it comes from' }),
      host: z.string().max(253).default('').meta({ description: 'the name that it dials' }),
      path: z.string().max(500).default('').meta({ description: 'behind the customer; default: push/SERIAL' }),
      hops: z.int().min(0).max(1_000).default(0),
      by: z.enum(['key', 'sign', 'certificate', 'agent', 'nothing']).default('sign').meta({ description: 'what it proves itself by' }),
      secure: z.boolean().default(true).meta({ description: 'over TLS' }),
    }),
    answer: previewView,
  },
  listLeases: { summary: 'Which device was sent where', query: query({ ...pageQuery, server: z.string().max(64).optional() }), answer: page(leaseView) },
  drainServer: { summary: 'Let a server run empty, or take devices again; a change of the configuration', body: body({ drain }), answer: serverView },
  getDeviceTags: { summary: "A device's tags", answer: tagsView },
  setDeviceTags: { summary: "Replace a device's tags: words that rules can go by", body: body({ tags: z.array(tag).max(limits.tagsPerDeviceMax) }), answer: tagsView },
  suspendCustomer: { summary: "Mark a customer's account as suspended, for rules that go by it", body: body({ why: z.string().max(200).regex(/^[^\p{Cc}]*$/u, 'has control characters').default('') }), answer: customerView },
  resumeCustomer: { summary: "End the suspension of a customer's account", answer: customerView },
} as const;
