// May this visitor use this device now? One answer for browsers, programs and the command line, asked when a visit opens and while it lasts.
import { Fault } from '#base/fault.ts';
import { visitorLives, type SignInLimits } from './credentials.ts';
import { subjectOfDevice, visitorMay } from './rights.ts';
import type { Device } from './rows.ts';
import type { Tables } from './tables.ts';
import type { Visitor } from './visitor.ts';

/** Null: yes. Faults: `unauthenticated` (sign-in or token ended), `not-found` (gone), `forbidden` (locked, no right). */
export function refusalToOpen(tables: Tables, visitor: Visitor, device: Device | undefined, nowMs: number, limits: SignInLimits): Fault | null {
  if (!visitorLives(tables, visitor, nowMs, limits)) return new Fault('unauthenticated', 'the sign-in or the token has ended', { remedy: 'Run postern login.' });
  if (!device || tables.devices.get(device.id) === undefined) return new Fault('not-found', 'the device was removed');
  if (!visitorMay(tables, visitor, 'open', subjectOfDevice(device))) return new Fault('forbidden', `${visitor.person.login} may not open ${device.name}`);
  if (device.agentId === null) return new Fault('unsupported', `${device.name} has no agent, so nobody can open it`, { remedy: 'It brings its data by itself. Join an agent for it to open it from here.' });
  if (device.locked || tables.agentOf(device)?.state !== 'active') return new Fault('forbidden', `${device.name} is locked`);
  return null;
}
