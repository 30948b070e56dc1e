// What the API shows of devices' sessions with applications, and what can be done to them.
import { z } from 'zod';
import { id, page, pageQuery, time } from './shapes.ts';

const query = z.strictObject;
const nothing = z.object({});

export const deviceSessionView = z.object({
  id,
  application: z.string().meta({ description: "the route's name" }),
  device: z.object({ id, name: z.string(), label: z.string() }),
  serial: z.string().nullable(),
  address: z.string().meta({ description: 'where its last request came from' }),
  site: z.string().nullable().meta({ description: 'the site through whose door it came' }),
  virtualAddress: z.string().nullable(),
  state: z.enum(['verified', 'address-only']),
  by: z.string().nullable().meta({ description: 'what it was known by: certificate, token, serial, mac, address' }),
  pausedAt: time.nullable().meta({ description: 'it waits since then for its device to be verified again' }),
  openedAt: time,
  lastAt: time,
  requests: z.int().min(0),
  inAddresses: z.boolean().meta({ description: 'it lives in its addresses: /s/…/' }),
  cookies: z.array(z.string()).nullable().meta({ description: 'names of the cookies that are kept for it; null: its device keeps them' }),
  user: z.string().nullable(),
  mayEnd: z.boolean(),
});
export type DeviceSessionView = z.infer<typeof deviceSessionView>;

export const sessionRoutes = {
  listDeviceSessions: { summary: 'Sessions of devices with applications, the newest first', query: query({ ...pageQuery, application: z.string().max(64).optional(), deviceId: id.optional() }), answer: page(deviceSessionView) },
  killDeviceSession: { summary: 'End a session now: its cookies and addresses are worth nothing any more', answer: nothing },
  reverifyDeviceSession: { summary: 'Let a session wait until its device is verified again, by certificate, URL or probe; it is probed at once where that is possible', answer: deviceSessionView },
} as const;
