// What the API shows and takes of virtual addresses: the pool, who has what, how its ports fare.
import { z } from 'zod';
import { parseAddress } from '#base/cidr.ts';
import { findingView, id, page, pageQuery, time } from './shapes.ts';

const count = z.int().min(0);
const transport = z.enum(['tcp', 'udp']);

export const addressPoolView = z.object({
  networks: z.array(z.object({ network: z.string(), capacity: count.meta({ description: 'addresses that may be given' }), used: count })),
  capacity: count,
  used: count,
  free: count,
  resting: count.meta({ description: 'of the free ones, those that were taken back lately: they are given last' }),
  outside: count.meta({ description: 'devices whose address the pool does not have any more' }),
  without: count.meta({ description: 'devices that should have an address and have none' }),
  ports: z.array(z.object({ transport, port: count })).meta({ description: 'at which applications call devices back' }),
  callers: z.object({
    networks: z.array(z.string()).meta({ description: 'who may call, beside this machine' }),
    machine: z.boolean().meta({ description: 'programs on this machine may' }),
    unresolved: z.array(z.string()).meta({ description: 'names of servers that have no address' }),
  }),
  listening: z.object({
    wanted: count.meta({ description: 'ports of virtual addresses that are to be open' }),
    open: count,
    beyond: count.meta({ description: 'that wait because there are as many as one gateway opens' }),
    max: count,
    running: count.meta({ description: 'calls now' }),
  }),
  failed: z.array(z.object({ transport, port: count, network: z.string(), code: z.string().meta({ description: 'as the system says it: EADDRNOTAVAIL, EACCES, EADDRINUSE …' }), count, address: z.string().meta({ description: 'one of them' }), since: time, why: z.string() })),
  checks: z.array(findingView).meta({ description: 'as doctor makes them, now' }),
});
export type AddressPoolView = z.infer<typeof addressPoolView>;

export const virtualAddressView = z.object({
  deviceId: id,
  customerId: id,
  siteId: id,
  name: z.string(),
  label: z.string(),
  address: z.string(),
  pinned: z.boolean().meta({ description: 'chosen by a person; never given away by itself' }),
  createdAt: time,
  state: z.enum(['open', 'partly', 'closed', 'idle', 'outside']).meta({ description: 'open: every port is · partly, closed: some, none are · idle: no application calls the device back · outside: the pool does not have the address any more' }),
  why: z.string().nullable(),
  applications: z.array(z.string()).meta({ description: 'routes whose servers may call the device' }),
  ports: z.object({ wanted: count, open: count }),
  calls: count.meta({ description: 'since the start' }),
  running: count,
  refused: count,
  lastCallAt: time.nullable(),
});
export type VirtualAddressView = z.infer<typeof virtualAddressView>;

const address = z.string().max(45).refine((text) => parseAddress(text) !== null, 'is no IP address');

export const virtualRoutes = {
  getAddressPool: { summary: 'The pool of virtual addresses: networks, what is given, what is listened at, and whether it all leads here', answer: addressPoolView },
  listVirtualAddresses: { summary: 'Devices with a virtual address', query: z.strictObject({ ...pageQuery, search: z.string().max(128).optional() }), answer: page(virtualAddressView) },
  getVirtualAddress: { summary: "A device's virtual address", answer: virtualAddressView },
  setVirtualAddress: {
    summary: "Give a device this virtual address, and keep it there; or the pool's choice",
    body: z.strictObject({ address: address.nullable().meta({ description: "null: the pool's choice, and it is no longer pinned" }) }),
    answer: virtualAddressView,
  },
  releaseVirtualAddress: { summary: "Take a device's virtual address back. It gets one again when an application needs it, the same while that is free", answer: z.object({}) },
} as const;
