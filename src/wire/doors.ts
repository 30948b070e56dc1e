// Messages of the service `doors` (docs/wire/tunnel.md §6): where an agent listens for the gateway, and how that went.
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';

/** A port in the agent's LAN. */
export interface DoorPlace {
  readonly id: string;
  readonly address: string;
  readonly port: number;
}

export type DoorSaid = { readonly id: string; readonly bound: true } | { readonly id: string; readonly bound: false; readonly why: string; readonly remedy: string };

export interface DoorBounds {
  readonly doorsPerAgentMax: number;
  readonly doorIdCharsMax: number;
}

const textCharsMax = 500;
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);

function placeOf(value: unknown, { doorIdCharsMax }: DoorBounds): DoorPlace {
  if (!isObject(value)) throw new Fault('bad-input', 'a door of the list is no object');
  const { id, address, port } = value;
  if (typeof id !== 'string' || id === '' || id.length > doorIdCharsMax) throw new Fault('bad-input', `a door's id has 1 to ${doorIdCharsMax} characters`);
  const canonical = typeof address === 'string' ? canonicalAddress(address) : null;
  if (canonical === null) throw new Fault('bad-input', "a door's address is not an IP address");
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) throw new Fault('bad-input', "a door's port is 1 to 65535");
  return { id, address: canonical, port };
}

/** The list of a `listen`. Fault `bad-input`. */
export function parseDoorList(value: unknown, bounds: DoorBounds): DoorPlace[] {
  if (!Array.isArray(value)) throw new Fault('bad-input', 'there is no list of doors');
  if (value.length > bounds.doorsPerAgentMax) throw new Fault('bad-input', `at most ${bounds.doorsPerAgentMax} doors are opened by one agent`);
  const doors = value.map((each) => placeOf(each, bounds));
  if (new Set(doors.map(({ id }) => id)).size < doors.length) throw new Fault('bad-input', 'two doors have one id');
  if (new Set(doors.map(({ address, port }) => `${address} ${port}`)).size < doors.length) throw new Fault('bad-input', 'two doors have one address and port');
  return doors;
}

/** What an agent said of its doors; what cannot be understood of it is left out. */
export function parseDoorStates(value: unknown, bounds: DoorBounds): DoorSaid[] {
  if (!Array.isArray(value)) return [];
  const text = (said: unknown, otherwise: string) => (typeof said === 'string' && said !== '' ? said.slice(0, textCharsMax) : otherwise);
  return value.slice(0, bounds.doorsPerAgentMax).flatMap((each: unknown): DoorSaid[] => {
    if (!isObject(each) || typeof each['id'] !== 'string' || each['id'].length > bounds.doorIdCharsMax) return [];
    if (each['bound'] === true) return [{ id: each['id'], bound: true }];
    if (each['bound'] !== false) return [];
    return [{ id: each['id'], bound: false, why: text(each['why'], 'the agent does not say why'), remedy: text(each['remedy'], '') }];
  });
}
