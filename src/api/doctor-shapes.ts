// What the API shows and takes of addresses that go wrong: findings about a site or a device, and what to write where.
import { z } from 'zod';
import { parseAddress } from '#base/cidr.ts';
import { limits } from '#base/limits.ts';
import { findingView, time } from './shapes.ts';

const code = z.string().nullable().meta({ description: 'HP-1 … HP-12 of the page "Addresses that go wrong"; null: none of them' });
const snippet = z.object({
  kind: z.enum(['dnsmasq', 'unbound', 'bind', 'windows', 'pihole', 'adguard', 'opnsense', 'mikrotik', 'openwrt', 'fritzbox']),
  title: z.string().meta({ description: 'what it is, and where the lines go' }),
  lines: z.array(z.string()).meta({ description: 'empty: it cannot be done there' }),
  note: z.string(),
});
export type DnsSnippetView = z.infer<typeof snippet>;

export const misRouteView = z.object({ code: z.string(), status: findingView.shape.status, verdict: z.string(), remedy: z.string().nullable(), snippets: z.array(snippet) });
export type MisRouteView = z.infer<typeof misRouteView>;

export const placeFindingView = findingView.extend({ code, ranOn: z.string().meta({ description: 'gateway, or the name of the agent' }), snippets: z.array(snippet) });
export type PlaceFindingView = z.infer<typeof placeFindingView>;

const address = z.string().max(45).refine((text) => parseAddress(text) !== null, 'is no IP address');
const asked = { body: z.strictObject({ resolvers: z.array(address).max(limits.doctorResolversMax).default([]).meta({ description: 'resolvers of the LAN that devices use, beside those of the agents and the routers' }) }), answer: z.object({ at: time, findings: z.array(placeFindingView) }) };

export const doctorRoutes = {
  doctorSite: { summary: 'Look why devices of a site do not arrive as themselves: names, ways, doors, policies', ...asked },
  doctorDevice: { summary: 'The same for one device, with its call-backs, its virtual address and its profile', ...asked },
} as const;
