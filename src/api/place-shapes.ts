// What the API shows and takes of places in the network: sites with their networks, and doors in them.
import { z } from 'zod';
import { parseAddress, parseNetwork } from '#base/cidr.ts';
import { limits } from '#base/limits.ts';
import { action, agentView, deviceView, id, name, page, pageQuery, portNumber, siteView, time } from './shapes.ts';

const query = z.strictObject;
const body = z.strictObject;
const count = z.int().min(0);
const nothing = z.object({});

const network = z.string().max(49).refine((text) => parseNetwork(text) !== null, 'is not a network like 192.0.2.0/24, or bits behind its prefix are set');
const networks = z.array(network).max(limits.siteNetworksMax);
const address = z.string().max(45).refine((text) => parseAddress(text) !== null, 'is not an IP address');

export const doorView = z.object({
  id,
  customerId: id,
  siteId: id,
  siteName: z.string(),
  agentId: id,
  agentName: z.string(),
  address: z.string().meta({ description: "of the agent's machine in its LAN" }),
  port: portNumber,
  listener: z.string().meta({ description: 'of the gateway: what comes in at the door is a connection of this listener' }),
  createdAt: time,
  bound: z.boolean().meta({ description: 'the agent accepts connections there now' }),
  why: z.string().nullable().meta({ description: 'why it is not open' }),
  remedy: z.string().nullable().meta({ description: 'what to do about it' }),
  since: time.nullable().meta({ description: 'since when it is so, as far as this process knows' }),
  open: count.meta({ description: 'connections now' }),
  accepted: count.meta({ description: 'connections since the process began' }),
  refused: count.meta({ description: 'connections that the gateway refused' }),
});
export type DoorView = z.infer<typeof doorView>;

export const observedEgressView = z.object({
  address: z.string(),
  agentId: id,
  agentName: z.string(),
  at: time.nullable().meta({ description: 'when the link was seen last' }),
  isListed: z.boolean().meta({ description: "it is in the site's egress" }),
  isPublic: z.boolean().meta({ description: 'false: the agent reaches the gateway without leaving private networks, and this says nothing of other traffic' }),
});

export const lanView = z.object({
  agentId: id,
  agentName: z.string(),
  subnets: z.array(z.string()),
  gateways: z.array(z.string()),
  resolvers: z.array(z.string()),
  addresses: z.array(z.string()),
});
export type LanView = z.infer<typeof lanView>;

export const siteDetailView = siteView.extend({
  subnets: z.array(z.string()).meta({ description: 'networks inside; other sites may have the same' }),
  egress: z.array(z.string()).meta({ description: 'public addresses that its traffic comes from' }),
  agents: z.array(z.object({ id, name: z.string(), state: agentView.shape.state, online: z.boolean() })),
  devices: count,
  doors: z.array(doorView),
  observed: z.array(observedEgressView).meta({ description: 'where the links of its agents come from: what to put into `egress`' }),
  overlaps: z.array(z.object({ kind: z.enum(['egress', 'subnet']), siteId: id, siteName: z.string().meta({ description: 'empty: a site that you do not see' }), network: z.string() })).meta({ description: 'other sites whose addresses cannot be told from these' }),
  may: z.array(action).meta({ description: 'what you may do with it' }),
  lan: z.array(lanView).meta({ description: "what the site's agents say of their LAN; only when asked for" }),
});
export type SiteDetailView = z.infer<typeof siteDetailView>;

export const placeRoutes = {
  addSite: {
    summary: 'Add a site to a customer',
    body: body({ name, customerId: id.optional().meta({ description: 'default: the first' }), subnets: networks.default([]), egress: networks.default([]) }),
    answer: siteDetailView,
  },
  getSite: {
    summary: 'A site, by id, name or customer/name: networks, agents, doors, and where its links come from',
    query: query({ lan: z.enum(['true', 'false']).default('false').meta({ description: 'ask its agents about their LAN now' }) }),
    answer: siteDetailView,
  },
  changeSite: { summary: 'Change a site: lists are replaced whole', body: body({ name: name.optional(), subnets: networks.optional(), egress: networks.optional() }), answer: siteDetailView },
  removeSite: { summary: 'Remove a site that has no agents, devices or doors any more', answer: nothing },
  moveAgent: { summary: 'Move an agent to another site of its customer, with its devices and doors', body: body({ siteId: id }), answer: agentView },
  moveDevice: { summary: 'Move a device without an agent to another site of its customer', body: body({ siteId: id }), answer: deviceView },
  listDoors: { summary: "Ports in sites' LANs at which agents accept connections for the gateway", query: query({ ...pageQuery, siteId: id.optional(), agentId: id.optional() }), answer: page(doorView) },
  getDoor: { summary: 'One door', answer: doorView },
  addDoor: {
    summary: "Open a door: the agent's local policy decides whether it may",
    body: body({ agentId: id, address, port: portNumber, listener: z.string().min(1).max(64) }),
    answer: doorView,
  },
  changeDoor: {
    summary: 'Put a door elsewhere at its agent, or behind another listener; what came through it stays',
    body: body({ address: address.optional(), port: portNumber.optional(), listener: z.string().min(1).max(64).optional() }),
    answer: doorView,
  },
  removeDoor: { summary: 'Close a door; what came through it ends', answer: nothing },
};
