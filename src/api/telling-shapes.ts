// What the API shows of how a server is told of devices' addresses: configuration for it, and proofs that it hears them.
import { z } from 'zod';
import { id } from './shapes.ts';

const server = z.enum(['nginx', 'apache', 'haproxy', 'iis', 'tomcat']);

export const snippetView = z.object({
  route: z.string(),
  server,
  tell: z.enum(['headers', 'proxy-v1', 'proxy-v2', 'virtual']),
  gateways: z.array(z.string()).meta({ description: 'addresses from which the server sees the gateway' }),
  parts: z.array(z.object({ where: z.string(), syntax: z.enum(['nginx', 'apache', 'haproxy', 'xml', 'jsp', 'sh', 'powershell']), text: z.string() })),
  notes: z.array(z.string()),
});
export type SnippetView = z.infer<typeof snippetView>;

export const proofView = z.object({
  route: z.string(),
  device: z.object({ id, name: z.string() }),
  verdict: z.enum(['equal', 'different', 'untold', 'refused', 'taken']).meta({ description: 'untold: the server does not say what it saw · refused: it did not take the request · taken: it took the connection, and speaks no HTTP' }),
  cause: z.string().nullable().meta({ description: 'what most likely happened on the way: HP-3, HP-5, HP-12' }),
  text: z.string(),
  remedy: z.string(),
  told: z.string().meta({ description: 'the address that the server was to see' }),
  seen: z.string().nullable().meta({ description: 'the address that it says it saw' }),
  nonce: z.string().meta({ description: "stands in the request's path and in X-Postern-Prove: to be found in the server's log" }),
  path: z.string().nullable(),
  sent: z.object({
    local: z.string().nullable(),
    remote: z.string().nullable(),
    head: z.array(z.string()),
    proxyHeader: z.object({ version: z.union([z.literal(1), z.literal(2)]), source: z.string(), destination: z.string() }).nullable(),
    claims: z.record(z.string(), z.unknown()).nullable().meta({ description: 'what X-Postern-Identity said' }),
  }),
  answer: z.object({ status: z.int(), fields: z.array(z.tuple([z.string(), z.string()])), body: z.string() }).nullable(),
  remarks: z.array(z.string()).meta({ description: "what would stop the device's own requests" }),
});
export type ProofView = z.infer<typeof proofView>;

export const tellingRoutes = {
  getSnippet: {
    summary: "Configuration for an application's server, so that it hears of devices' addresses",
    query: z.strictObject({ server, gateway: z.string().max(500).optional().meta({ description: 'addresses from which the server sees the gateway, with commas; default: what the system would choose' }) }),
    answer: snippetView,
  },
  proveRoute: {
    summary: "Send an application's server one marked request as for a device, and compare what it saw",
    body: z.strictObject({ deviceId: z.string().min(1).max(200).meta({ description: 'id, label or customer/name' }), path: z.string().max(1_024).optional().meta({ description: 'default: where servers with a snippet answer' }) }),
    answer: proofView,
  },
} as const;
