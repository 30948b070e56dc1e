// What the API shows and takes of who devices are and what they may use: identity with its evidence, URLs of devices, job sources, and devices
// that wait to be assigned.
import { z } from 'zod';
import { limits } from '#base/limits.ts';
import { misRouteView } from './doctor-shapes.ts';
import { deviceView, id, name, page, pageQuery, portsInput, serial, time } from './shapes.ts';

const count = z.int().min(0);
const nothing = z.object({});
const application = z.string().min(1).max(100).meta({ description: "the route's name" });
// eslint-disable-next-line no-control-regex
const note = z.string().trim().max(300).regex(/^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$/, 'has control characters').default('');
const state = z.enum(['verified', 'address-only', 'ambiguous', 'unknown']);
const by = z.enum(['certificate', 'token', 'session', 'serial', 'mac', 'address']).nullable();

export const deviceUrlView = z.object({ id, note: z.string(), createdAt: time, usedAt: time.nullable() });
export type DeviceUrlView = z.infer<typeof deviceUrlView>;

export const evidenceView = z.object({
  kind: z.enum(['certificate', 'token', 'serial-snmp', 'serial-ipp', 'claimed-serial', 'mac', 'address', 'shape']),
  value: z.string(),
  how: z.string(),
  firstAt: time,
  lastAt: time,
  count,
});
export type EvidenceView = z.infer<typeof evidenceView>;

export const identityView = z.object({
  deviceId: id,
  name: z.string(),
  serial: z.string().nullable(),
  now: z.object({ state, by, why: z.string(), address: z.string().nullable().meta({ description: 'of its row; null: it has none, or a name' }), conflict: z.array(id) }).meta({ description: 'what its address alone would make of a request now' }),
  last: z.object({ state, by, why: z.string(), at: time, address: z.string(), siteId: id.nullable(), mac: z.string().nullable(), application }).nullable().meta({ description: 'how it was judged last, since the gateway started' }),
  confirmation: z.object({ serial: z.string().nullable(), mac: z.string().nullable(), address: z.string(), at: time, by: z.enum(['snmp', 'ipp']), agent: z.string().nullable().meta({ description: 'through whom' }), fresh: z.boolean() }).nullable().meta({ description: 'what the last probe read at its address' }),
  virtualAddress: z.string().nullable(),
  urls: z.array(deviceUrlView),
  sources: z.array(z.object({ id, application, as: z.string().nullable() })),
  sessions: z.array(z.object({ id, application, address: z.string(), state: z.enum(['verified', 'address-only']), by, openedAt: time, lastAt: time, requests: count })),
  evidence: z.array(evidenceView).meta({ description: 'the latest first' }),
});
export type IdentityView = z.infer<typeof identityView>;

export const jobSourceView = z.object({
  id,
  customerId: id,
  application,
  deviceId: id.nullable(),
  serial: z.string().nullable(),
  siteId: id.nullable(),
  siteName: z.string().nullable(),
  address: z.string().nullable(),
  as: z.string().nullable().meta({ description: "the address as which it appears; null: the route's choice" }),
  note: z.string(),
  createdAt: time,
  device: z.object({ id, name: z.string(), label: z.string(), serial: z.string().nullable() }).nullable().meta({ description: 'the one device that it names now' }),
  appears: z.string().nullable().meta({ description: 'the address that the application hears, where that is settled' }),
  mayChange: z.boolean(),
});
export type JobSourceView = z.infer<typeof jobSourceView>;

export const sourceConflictView = z.object({
  kind: z.enum(['no-application', 'no-device', 'many-devices', 'twice', 'same-address', 'as-taken', 'as-outside-pool', 'moved']),
  application,
  sourceIds: z.array(id).meta({ description: 'those of the rows that you may see' }),
  deviceIds: z.array(id),
  message: z.string(),
  remedy: z.string(),
});
export type SourceConflictView = z.infer<typeof sourceConflictView>;

export const applicationView = z.object({
  name: z.string().meta({ description: "the route's name" }),
  host: z.string().nullable().meta({ description: 'null: any' }),
  protocol: z.string(),
  tell: z.enum(['headers', 'proxy-v1', 'proxy-v2', 'virtual']).meta({ description: 'how it hears the address of a device' }),
  address: z.enum(['own', 'virtual']).meta({ description: 'which one it hears' }),
  require: z.enum(['verified', 'address', 'any']).meta({ description: 'what a device has to be' }),
  assigned: z.boolean().meta({ description: 'only its job sources may use it' }),
});
export type ApplicationView = z.infer<typeof applicationView>;

const sourceInput = {
  application,
  device: z.string().min(1).max(200).optional().meta({ description: 'by id, label or customer/name' }),
  serial: serial.optional(),
  siteId: id.optional().meta({ description: 'with `address`' }),
  address: z.string().min(1).max(45).optional(),
  customerId: id.optional().meta({ description: 'of a row by serial; default: the first' }),
  as: z.string().min(1).max(45).nullable().default(null).meta({ description: 'needs the right to administer the gateway, unless it is the device\'s own virtual address: an application may serve several customers' }),
  note,
};
const sourceAnswer = z.object({ source: jobSourceView, conflicts: z.array(sourceConflictView) });

const draftView = z.object({ application, who: z.string(), as: z.string().nullable(), note: z.string() });
export const sourceImportView = z.object({
  problems: z.array(z.object({ line: z.int().min(1), message: z.string() })).meta({ description: 'with any of them nothing is changed' }),
  added: z.array(draftView),
  changed: z.array(draftView),
  removed: z.array(draftView),
  same: count,
  done: z.boolean(),
  conflicts: z.array(sourceConflictView).meta({ description: 'of what stands after it' }),
});
export type SourceImportView = z.infer<typeof sourceImportView>;

const siteCode = z.string().regex(/^[0-9]{6}$/, 'is six digits');
export const unassignedView = z.object({
  code: siteCode,
  application,
  address: z.string(),
  siteId: id.nullable(),
  siteName: z.string().nullable(),
  customerId: id.nullable(),
  mac: z.string().nullable(),
  userAgent: z.string().nullable(),
  claimedSerial: z.string().nullable().meta({ description: 'what it says; anybody can say that' }),
  state,
  why: z.string(),
  misRoute: misRouteView.nullable().meta({ description: 'what the way that it took says; null: nothing' }),
  device: z.object({ id, name: z.string(), label: z.string() }).nullable().meta({ description: 'which one it was taken for' }),
  candidates: z.array(z.object({ id, name: z.string(), label: z.string() })).meta({ description: 'which ones it may be' }),
  firstAt: time,
  lastAt: time,
  count,
});
export type UnassignedView = z.infer<typeof unassignedView>;

export const sourceRoutes = {
  getDeviceIdentity: { summary: 'Who a device is: state, why, and the evidence with its history', answer: identityView },

  listDeviceUrls: { summary: 'URLs that say which device opens them; never their secrets', answer: z.object({ items: z.array(deviceUrlView) }) },
  makeDeviceUrl: {
    summary: "Make a device's own URL of an application, shown this once: whoever opens it is that device",
    body: z.strictObject({ application, note, host: z.string().max(253).regex(/^[A-Za-z0-9.-]+$/, 'is no host name').optional().meta({ description: 'where the route takes several names' }) }),
    answer: z.object({ url: deviceUrlView, address: z.string() }),
  },
  removeDeviceUrl: { summary: 'Withdraw a URL of a device: it is worth nothing at once', answer: nothing },

  listApplications: { summary: 'Applications that know devices by their address; for who administers something', answer: z.object({ items: z.array(applicationView) }) },
  listJobSources: { summary: 'Job sources: which device may use which application', query: z.strictObject({ ...pageQuery, application: application.optional(), search: z.string().max(128).optional(), customerId: id.optional() }), answer: page(jobSourceView) },
  addJobSource: { summary: 'Let a device use an application: named by device, by serial, or by site and address', body: z.strictObject(sourceInput), answer: sourceAnswer },
  changeJobSource: { summary: 'Change what a row says', body: z.strictObject({ as: sourceInput.as, note }), answer: sourceAnswer },
  removeJobSource: { summary: 'Take an application from a device', answer: nothing },
  listJobSourceConflicts: { summary: 'What contradicts among job sources, and what leads nowhere', answer: z.object({ items: z.array(sourceConflictView) }) },
  exportJobSources: { summary: 'Job sources as CSV', query: z.strictObject({ customerId: id.optional() }), answer: z.object({ text: z.string(), sources: count }) },
  importJobSources: {
    summary: "Take a customer's job sources from CSV: whole, or with any problem not at all",
    body: z.strictObject({
      text: z.string().max(limits.apiBodyBytesMax),
      customerId: id.optional(),
      replace: z.boolean().default(false).meta({ description: 'what the file does not have goes' }),
      dryRun: z.boolean().default(false).meta({ description: 'only say what would change' }),
    }),
    answer: sourceImportView,
  },

  listUnassigned: { summary: 'Devices that an application refused lately, by the code on their panel', query: z.strictObject({ ...pageQuery, application: application.optional() }), answer: page(unassignedView) },
  assignDevice: {
    summary: 'Say which device it is that shows this code, and let it use the application',
    body: z.strictObject({
      device: z.string().min(1).max(200).optional().meta({ description: 'by id, label or customer/name' }),
      newDevice: z.strictObject({ name, serial: serial.nullable().default(null), agentId: id.optional().meta({ description: 'default: the agent of the door that it came through' }), ports: portsInput.optional() }).optional(),
      moveHere: z.boolean().default(true).meta({ description: "where it came through a door of the device's site: its row has this address from now on" }),
    }),
    answer: z.object({ device: deviceView, source: jobSourceView, moved: z.boolean(), identity: z.object({ state, why: z.string() }).meta({ description: 'what its address alone makes of it now' }) }),
  },
} as const;
