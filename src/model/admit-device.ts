// Whether a device may go on to an application, and as what it appears there: asked by the data plane for each connection, and by whoever explains it.
import type { Id } from '#base/ids.ts';
import type { ConfigApplication } from './config.ts';
import type { Identity } from './identity.ts';
import { ownAddressOf } from './own-address.ts';
import type { JobSource } from './place-rows.ts';

/** The addresses of a device as the application hears of them. */
export interface Told {
  /** What headers and PROXY headers name. */
  readonly client: string;
  /** From which the connection comes; null: from whatever the system chooses. */
  readonly local: string | null;
}

export type NotAdmitted = 'locked' | 'ambiguous' | 'unknown' | 'not-verified' | 'not-assigned';

/** Why a device may not go on; null: it may. */
export function whyNotAdmitted({ require, assigned }: Pick<ConfigApplication, 'require' | 'assigned'>, identity: Identity, source: JobSource | null): NotAdmitted | null {
  // Whoever else may come: this one was shut out.
  if (identity.device?.locked) return 'locked';
  if (require === 'any' && !assigned) return null;
  if (identity.state === 'ambiguous') return 'ambiguous';
  if (identity.device === null) return 'unknown';
  if (require === 'verified' && identity.state !== 'verified') return 'not-verified';
  return assigned && source === null ? 'not-assigned' : null;
}

/** For journal and people. `route`: the application's name. */
export function refusalText(why: NotAdmitted, route: string, identity: Identity): string {
  if (why === 'locked') return 'the device is locked';
  return why === 'not-assigned' ? `the device is no job source of ${route}` : why === 'not-verified' ? `the device is known by its address only, and ${route} asks for more` : identity.why;
}

/** `from`: the connection's; `addressOf`: the device's virtual address; `isInLan`: it came through a door of the device's own site. null: it has no virtual address yet, and needs one. */
export function toldOf(from: string, { tell, address }: Pick<ConfigApplication, 'tell' | 'address'>, { device, state }: Identity, source: JobSource | null, addressOf: (deviceId: Id) => string | null, isInLan = false): Told | null {
  if (device === null || state === 'ambiguous') return { client: from, local: null };
  const isVirtual = tell === 'virtual' || address === 'virtual';
  const chosen = source?.as ?? (isVirtual ? addressOf(device.id) : null);
  if (chosen === null && isVirtual) return null;
  // In its LAN it is where it came from, whatever its row says: it may have moved, and proved itself by its URL. Behind NAT its row says where it is.
  return { client: chosen ?? (isInLan ? ownAddressOf(from) : null) ?? ownAddressOf(device.host) ?? from, local: tell === 'virtual' ? chosen : null };
}
