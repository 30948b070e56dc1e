// Who devices are that push: their keys, serials that wait, devices taken from one gateway to another; and pins, by which they know us.
import { z } from 'zod';
import { limits } from '#base/limits.ts';
import { losing } from './certificate-shapes.ts';
import { deviceView, fingerprint, id, name, page, pageQuery, serial, time } from './shapes.ts';

const query = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject(shape);
const body = query;
const nothing = z.object({});
const count = z.int().min(0);

export const deviceKeyView = z.object({
  id,
  kind: z.enum(['key', 'certificate']),
  state: z.enum(['next', 'current']).meta({ description: 'next: handed out, and not used yet; its first use makes it current, and the one before is worth nothing' }),
  digest: z.string().meta({ description: 'of a certificate: SHA-256 of its public key, hex; of a key the first digits of its SHA-256, to tell two apart' }),
  createdAt: time,
  usedAt: time.nullable().meta({ description: 'to the day' }),
});
export type DeviceKeyView = z.infer<typeof deviceKeyView>;

export const waitingDeviceView = z.object({
  id: id.meta({ description: "the device's, once it is approved" }),
  customerId: id,
  serial: z.string(),
  name: z.string(),
  from: z.string().meta({ description: 'where it came from last' }),
  product: z.string(),
  firstSeenAt: time,
  lastSeenAt: time,
  hasKey: z.boolean().meta({ description: 'it brought the key that it wants to be known by' }),
  bytes: count.meta({ description: 'of its data, in quarantine' }),
  mayDecide: z.boolean(),
});
export type WaitingDeviceView = z.infer<typeof waitingDeviceView>;

const secret = z.string().nullable().meta({ description: "the new key; shown this once. null: none was made" });
const approval = { siteId: id.optional().meta({ description: "default: the customer's first" }), newKey: z.boolean().optional().meta({ description: 'default: when it brought none, and its customer wants one' }) };
const ids = z.array(id).min(1).max(limits.devicesPerImportMax);
const decided = z.object({ id, serial: z.string(), device: deviceView.nullable(), key: secret, why: z.string().nullable().meta({ description: 'why not; null: it was' }) });
const passphrase = z.string().min(8).max(1_024);

/** What a sealed page of an export holds. */
export const exportedDevices = z.strictObject({
  format: z.literal('postern devices 1'),
  devices: z
    .array(
      z.strictObject({
        customer: z.string().max(32),
        serial,
        name,
        keys: z.array(z.strictObject({ kind: z.enum(['key', 'certificate']), state: z.enum(['next', 'current']), digest: fingerprint, text: z.string().max(200).nullable().meta({ description: 'null: a certificate, or a key of which the gateway had the digest alone' }), createdAt: time, usedAt: time.nullable() })).max(4),
      }),
    )
    .max(limits.devicesPerImportMax),
});
export type ExportedDevice = z.infer<typeof exportedDevices>['devices'][number];

const pinState = z.enum(['present', 'next', 'old']);
export const pinView = z.object({
  pin: z.string().meta({ description: 'as curl writes it: sha256//…' }),
  hex: z.string(),
  state: pinState.meta({ description: 'present: shown now · next: announced, and shown later · old: shown until lately, and still announced' }),
  hosts: z.array(z.string().nullable()).meta({ description: 'names under which it is shown; null: to clients that name none' }),
  certificate: z.string().meta({ description: 'id of the certificate, or leaf… of what the private CA made by itself' }),
  name: z.string(),
  confirmed: count.meta({ description: 'active devices that have it on their list' }),
  missing: count.meta({ description: 'active devices that pin what is shown, and have this one not' }),
});
export type PinView = z.infer<typeof pinView>;

export const pinsView = z.object({
  items: z.array(pinView),
  pinning: count.meta({ description: 'active devices that pin' }),
  silent: count.meta({ description: 'devices that pin, and were not seen for too long to be waited for' }),
  notPinning: count.meta({ description: 'devices that check in and pin nothing' }),
  activeDays: z.number(),
});
export type PinsView = z.infer<typeof pinsView>;

export const pinDeviceView = z.object({ id, name: z.string(), label: z.string(), serial: z.string().nullable(), state: z.enum(['confirmed', 'missing', 'other', 'silent', 'none']), pins: z.array(z.string()), lastSeenAt: time.nullable() });
export type PinDeviceView = z.infer<typeof pinDeviceView>;

export const identityRoutes = {
  listDeviceKeys: { summary: 'Keys and certificates that a device proves itself by; never the keys themselves', answer: z.object({ items: z.array(deviceKeyView) }) },
  makeDeviceKey: {
    summary: 'Make a key for a device, shown this once; or take a client certificate that it has. The one before counts until the new one is used',
    body: body({ certificate: z.string().min(1).max(limits.certificateUploadBytesMax).optional().meta({ description: "PEM, or the SHA-256 of its public key (hex, or sha256//…); without it a key is made" }) }),
    answer: z.object({ key: deviceKeyView, secret }),
  },
  removeDeviceKey: { summary: 'Remove a key or certificate: it is worth nothing at once', answer: nothing },

  listWaitingDevices: { summary: 'Serials that are not known and ask to be', query: query({ ...pageQuery, search: z.string().max(128).optional(), customerId: id.optional() }), answer: page(waitingDeviceView) },
  approveWaitingDevice: { summary: 'Make it a device: its data in quarantine becomes its data', body: body({ name: name.optional(), ...approval }), answer: z.object({ device: deviceView, key: secret }) },
  refuseWaitingDevice: { summary: 'Refuse it: its data in quarantine is deleted. It may ask again', answer: nothing },
  approveWaitingDevices: { summary: 'Approve several', body: body({ ids, ...approval }), answer: z.object({ items: z.array(decided) }) },
  refuseWaitingDevices: { summary: 'Refuse several', body: body({ ids }), answer: z.object({ refused: count }) },

  exportDevices: {
    summary: 'Devices with their keys, sealed with a passphrase, for another gateway; page by page',
    query: query({ ...pageQuery, customerId: id.optional() }),
    body: body({ passphrase }),
    answer: z.object({ sealed: z.string().meta({ description: 'base64' }), devices: count, next: z.string().nullable() }),
  },
  importDevices: {
    summary: 'What another gateway exported: devices that are new here are added, keys that are new are taken',
    body: body({ passphrase, sealed: z.base64().max(limits.apiBodyBytesMax), siteId: id.optional() }),
    answer: z.object({ added: count, changed: count, same: count, refused: z.array(z.object({ serial: z.string(), why: z.string() })) }),
  },

  listPins: { summary: 'Keys that devices see here, now and next, and how many have confirmed each', answer: pinsView },
  listPinDevices: {
    summary: 'Devices, and how they stand to a pin',
    query: query({ ...pageQuery, pin: z.string().max(200).optional().meta({ description: 'sha256//… or hex; without it: whether they pin at all' }), state: pinDeviceView.shape.state.optional() }),
    answer: page(pinDeviceView),
  },
  preparePin: { summary: 'Make the next key ahead; devices are told of it when they check in', answer: z.object({ items: z.array(z.object({ certificate: z.string(), name: z.string(), pin: z.string(), request: z.string().nullable().meta({ description: 'the request (CSR) to be signed, where the certificate comes from outside' }) })) }), body: body({ certificate: z.string().min(1).max(300).nullable().default(null).meta({ description: 'id or name; null: everything that devices see' }) }) },
  switchPin: { summary: 'Show the prepared key from now on; refused while an active device has not confirmed it', body: body({ certificate: z.string().min(1).max(300), losing, dryRun: z.boolean().default(false) }), answer: z.object({ name: z.string(), pin: z.string(), lost: count, devices: z.array(pinDeviceView).meta({ description: 'that are shut out, at most 100' }) }) },
  dropPin: { summary: 'Give a prepared key up', body: body({ certificate: z.string().min(1).max(300) }), answer: nothing },
} as const;
