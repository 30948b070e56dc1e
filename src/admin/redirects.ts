// Which server a device belongs to, over the API: rules, servers and leases shown, the decision tried out, servers drained, and what
// rules go by set: tags of devices, suspended customers.
import type { LeaseView, PreviewView, ServerView } from '#api/redirect-shapes.ts';
import { Fault } from '#base/fault.ts';
import type { RedirectServer } from '#model/redirect.ts';
import type { Customer, Device, Lease } from '#model/rows.ts';
import { leaseKey } from '#model/tables.ts';
import { actorOfAsked, auditOf, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
import { deviceFor } from './devices.ts';
import { viewCustomer } from './gateway.ts';
import { keepSorted, pageOf } from './pages.ts';
import { defaultCustomer, type Room } from './room.ts';

type Names = 'listRedirects' | 'previewRedirect' | 'listLeases' | 'drainServer' | 'getDeviceTags' | 'setDeviceTags' | 'suspendCustomer' | 'resumeCustomer';

export function buildRedirectActs(room: Room): Acts<Names> {
  const { tables } = room;
  const maySee = (asked: Anyone) => mustMay(asked, 'see', 'gateway', 'see which devices are sent where');
  const order = { keyOf: (row: Lease) => leaseKey(row.customerId, row.serial) };
  const leases = keepSorted(tables.leases, order);
  // With the device its row is gone from the store.
  tables.devices.watch(({ removed }) => {
    const gone = removed.filter((id) => tables.deviceTags.get(id) !== undefined);
    if (gone.length > 0) tables.deviceTags.publish({ removed: gone });
  });
  return {
    listRedirects(asked) {
      maySee(asked);
      const { rules, servers } = room.control.snapshot().redirects;
      return {
        rules: rules.map(({ name, conditions, strategy, servers: to, ttlMs }) => ({
          name, strategy, conditions: conditions.map(({ field, wanted }) => ({ field, wanted })), servers: to.map((each) => each.name), ttlSeconds: ttlMs / 1000,
        })),
        servers: Array.from(servers.values(), (server) => viewServer(room, server)),
      };
    },
    async previewRedirect(asked) {
      maySee(asked);
      return await preview(room, asked.body);
    },
    listLeases(asked) {
      maySee(asked);
      const { server } = asked.query;
      const now = room.clock.nowMs();
      return pageOf(leases(), order, asked.query, (row) => row.until > now && (server === undefined || row.server === server), (row) => viewLease(room, row));
    },
    async drainServer(asked) {
      mustMay(asked, 'administer', 'gateway', 'drain a server');
      return await drainServer(room, asked);
    },
    getDeviceTags: (asked) => viewTags(room, deviceFor(room, asked, asked.params.device, 'see', 'see this device')),
    setDeviceTags: (asked) => room.inTurn(() => setTags(room, asked)),
    suspendCustomer: (asked) =>
      room.inTurn(async () => {
        const customer = customerToSuspend(room, asked);
        if (tables.suspensions.get(customer.id)) throw new Fault('conflict', `customer ${customer.key} is suspended already`);
        const suspension = { customerId: customer.id, since: room.clock.nowMs(), why: asked.body.why };
        await room.operations.suspendCustomer(suspension, auditOf(room, asked, 'customer.suspended', subjectOf(customer), { why: asked.body.why }));
        tables.suspensions.publish({ put: [suspension] });
        return viewCustomer(room, customer);
      }),
    resumeCustomer: (asked) =>
      room.inTurn(async () => {
        const customer = customerToSuspend(room, asked);
        if (!tables.suspensions.get(customer.id)) throw new Fault('conflict', `customer ${customer.key} is not suspended`);
        await room.operations.resumeCustomer(customer.id, auditOf(room, asked, 'customer.resumed', subjectOf(customer)));
        tables.suspensions.publish({ removed: [customer.id] });
        return viewCustomer(room, customer);
      }),
  };
}

const subjectOf = (customer: Customer) => ({ customerId: customer.id, kind: 'customer', id: customer.id, name: customer.key });

/** By key or id. Whoever administers a customer alone must not end its suspension. */
function customerToSuspend({ tables }: Room, asked: Anyone & { readonly params: { readonly customer: string } }): Customer {
  mustMay(asked, 'administer', 'gateway', "suspend a customer's account");
  const customer = tables.customerByKey(asked.params.customer) ?? tables.customers.get(asked.params.customer);
  if (!customer) throw new Fault('not-found', `there is no customer "${asked.params.customer.slice(0, 40)}"`);
  return customer;
}

async function setTags(room: Room, asked: Asked<'setDeviceTags'>) {
  const device = deviceFor(room, asked, asked.params.device, 'administer', 'tag this device');
  const tags = [...new Set(asked.body.tags)].sort();
  const before = tagsOf(room, device);
  if (tags.join('\n') === before.join('\n')) return viewTags(room, device);
  const row = { deviceId: device.id, customerId: device.customerId, tags };
  const subject = { customerId: device.customerId, kind: 'device', id: device.id, name: device.name };
  await room.operations.setDeviceTags(row, auditOf(room, asked, 'device.tagged', subject, { before: before.join(', '), after: tags.join(', ') }));
  room.tables.deviceTags.publish(tags.length === 0 ? { removed: [device.id] } : { put: [row] });
  return viewTags(room, device);
}

const tagsOf = ({ tables }: Room, device: Device): readonly string[] => tables.deviceTags.get(device.id)?.tags ?? [];
const viewTags = (room: Room, device: Device) => ({ deviceId: device.id, tags: [...tagsOf(room, device)] });

function viewServer({ control, leases }: Room, server: RedirectServer): ServerView {
  const { rules } = control.snapshot().redirects;
  const { name, pins, weight, drain } = server;
  const leading = rules.filter((rule) => rule.servers.some((each) => each.name === name)).map((rule) => rule.name);
  return { name, base: server.base ?? '', pins: [...pins], weight, drain, ...leases.useOf(name), rules: leading };
}

function viewLease({ tables }: Room, { customerId, serial, server, rule, givenAt, until }: Lease): LeaseView {
  return { customer: tables.customers.get(customerId)?.key ?? '', serial, server, rule, givenAt, until };
}

/** The drain is a field of the configuration: history, export and a second gateway see it, too. */
async function drainServer(room: Room, asked: Asked<'drainServer'>): Promise<ServerView> {
  const { control } = room;
  const name = asked.params.server;
  const { revision, config } = control.config();
  const document = config as { readonly servers?: readonly { readonly name: string }[] };
  if (!document.servers?.some((each) => each.name === name)) throw new Fault('not-found', `there is no server "${name.slice(0, 64)}" in the configuration`, { remedy: 'postern redirects lists them' });
  const servers = document.servers.map((each) => (each.name === name ? { ...each, drain: asked.body.drain } : each));
  const result = await control.change({ actor: actorOfAsked(asked), against: revision, config: { ...document, servers }, dryRun: false });
  if ('problems' in result) throw new Fault('conflict', `the configuration does not compile: ${result.problems[0]?.message ?? ''}`, { detail: { problems: result.problems } });
  return viewServer(room, control.snapshot().redirects.servers.get(name)!);
}

async function preview(room: Room, { customer: key, serial, ...request }: Asked<'previewRedirect'>['body']): Promise<PreviewView> {
  const { tables, leases, operations } = room;
  const customer = key === undefined ? defaultCustomer(room) : tables.customerByKey(key);
  if (!customer) throw new Fault('not-found', `there is no customer "${key}"`);
  const device = tables.deviceBySerial(customer.id, serial);
  const subject = { id: device?.id ?? null, serial, name: device?.name ?? '', customer };
  const { decision, rules, lease, failed } = leases.preview(subject, { ...request, host: request.host.toLowerCase(), path: request.path || `push/${encodeURIComponent(serial)}` });
  const epochs = device ? await operations.epochsOfDevice(device.id) : [];
  const isSent = decision.kind === 'send';
  return {
    known: device !== undefined,
    device: device ? { id: device.id, name: device.name, label: device.label, tags: [...tagsOf(room, device)] } : null,
    decision: {
      kind: decision.kind, why: isSent ? null : decision.why, text: decision.text, rule: decision.rule?.name ?? null, server: decision.server?.name ?? null,
      base: isSent ? decision.base : null, ttlSeconds: isSent ? Math.max(1, Math.ceil((decision.lease.until - room.clock.nowMs()) / 1000)) : null,
    },
    rules: [...rules],
    lease: lease && viewLease(room, lease),
    failed: [...failed],
    epochs: epochs.map(({ feed, epoch, start, next, sealedAt, sealedTo }) => ({ feed, epoch, start, next, sealedAt, sealedTo })),
  };
}
