// Which device is this? What a request shows and what is known of the place that it comes from, judged in one order: certificate, URL token, URL
// session, a serial that a probe confirms, the address. An address by itself is a hint: routers hide many devices behind one, and DHCP moves them.
import { isLoopback } from '#base/cidr.ts';
import type { Id } from '#base/ids.ts';
import type { Device } from './rows.ts';

export type IdentityState = 'verified' | 'address-only' | 'ambiguous' | 'unknown';
export type IdentityBy = 'certificate' | 'token' | 'session' | 'serial' | 'mac' | 'address';

export interface Identity {
  readonly state: IdentityState;
  /** null where it is ambiguous or unknown. */
  readonly device: Device | null;
  readonly by: IdentityBy | null;
  /** A sentence for people, with what to do where something is to be done. */
  readonly why: string;
  /** Devices that it may be as well, or that something here speaks for, too. */
  readonly conflict: readonly Id[];
}

/** Where a connection comes from. */
export interface Origin {
  /** The site whose door it came through; null: it came to us directly. */
  readonly siteId: Id | null;
  /** The site's customer; null without a site. */
  readonly customerId: Id | null;
  /** IPv4-mapped forms folded to IPv4. */
  readonly address: string;
  /** The agent whose door it was. */
  readonly viaAgentId: Id | null;
  /** Seen at the door, lower case with colons; null where it cannot be known. */
  readonly mac: string | null;
}

/** What a request shows of its device; the composition has checked each of them. */
export interface Marks {
  /** The device whose key the client's certificate has. */
  readonly certificateDeviceId: Id | null;
  /** The device whose URL token stood in the path. */
  readonly tokenDeviceId: Id | null;
  /** The device of the session that the path names. */
  readonly sessionDeviceId: Id | null;
  /** The session was begun by a device that was verified. */
  readonly sessionVerified: boolean;
  /** What the request says that its device's serial is; anybody can say that. */
  readonly claimedSerial: string | null;
  /** Of `shapeOf`. */
  readonly shape: string | null;
}

export interface Asked {
  readonly origin: Origin;
  readonly marks: Marks;
}

/** The last probe that read a serial, or a MAC, at a device's address. */
export interface Confirmation {
  /** As it was read; null: it said none. */
  readonly serial: string | null;
  /** That the site's agent saw at the address. */
  readonly mac: string | null;
  readonly address: string;
  readonly at: number;
  readonly by: 'snmp' | 'ipp';
}

/** A device that showed a strong mark at an origin lately. */
export interface StrongSeen {
  readonly deviceId: Id;
  readonly shapes: readonly string[];
}

/** Sites whose networks have an address. */
export interface AddressPlaces {
  /** Their traffic comes from it: all of their devices look alike. */
  readonly egress: readonly Id[];
  /** It is inside their LAN. */
  readonly inside: readonly Id[];
}

export interface Known {
  /** Devices whose address it is: by their row, or because a fresh probe read their serial there. null: of all sites. */
  devicesAt(siteId: Id | null, address: string): readonly Device[];
  deviceById(deviceId: Id): Device | undefined;
  deviceBySerial(customerId: Id, serial: string): Device | undefined;
  confirmationOf(deviceId: Id): Confirmation | null;
  /** Within the window of `model/origins`. */
  strongAt(originKey: string, nowMs: number): readonly StrongSeen[];
  shapesAt(originKey: string, nowMs: number): readonly string[];
  sitesOfAddress(address: string): AddressPlaces;
  /** Both shapes are programs that the device's driver lists: a panel's browser and what uploads its scans. */
  sameProgram(deviceId: Id, a: string, b: string): boolean;
  /** A confirmation counts for so long. */
  readonly freshMs: number;
}

const nobody: readonly Id[] = [];

/** The key by which marks of an origin are remembered. */
export const originKeyOf = (origin: Origin): string => `${origin.siteId ?? '-'} ${origin.address}`;

/** Serials as people and makers write them: `cn-12 ab` is `CN12AB`. */
const bareSerial = (serial: string): string => serial.replace(/[^0-9A-Za-z]/g, '').toUpperCase();

const containedCharsMin = 5;

/** Headers often have a serial with a maker's prefix, or without its check digit: only what has nothing in common speaks against a device. */
function speaksAgainst(claimed: string, serial: string): boolean {
  const [a, b] = [bareSerial(claimed), bareSerial(serial)];
  if (a === b) return false;
  return Math.min(a.length, b.length) < containedCharsMin || !(a.includes(b) || b.includes(a));
}

const isFresh = (confirmation: Confirmation, known: Known, nowMs: number): boolean => nowMs - confirmation.at <= known.freshMs;

/** The device may be at this origin at all: its customer's, its site's. */
const belongs = (device: Device, { siteId, customerId }: Origin): boolean => (siteId === null || device.siteId === siteId) && (customerId === null || device.customerId === customerId);

const called = (device: Device): string => (device.serial === null ? device.name : `${device.name} (${device.serial})`);

const ambiguous = (why: string, conflict: readonly Id[]): Identity => ({ state: 'ambiguous', device: null, by: null, why, conflict });
const unknown = (why: string): Identity => ({ state: 'unknown', device: null, by: null, why, conflict: nobody });

const ago = (ms: number): string => (ms < 120_000 ? 'just now' : ms < 2 * 3_600_000 ? `${Math.round(ms / 60_000)} minutes ago` : `${Math.round(ms / 3_600_000)} hours ago`);

/** Pure, without waiting, asked for each connection and whenever something on it changes. */
export function identify(asked: Asked, known: Known, nowMs: number): Identity {
  const { origin, marks } = asked;
  if (marks.certificateDeviceId !== null) {
    const found = byProof(marks.certificateDeviceId, 'certificate', asked, known, nowMs);
    if (found !== null) return found;
  }
  if (marks.tokenDeviceId !== null) {
    const found = byProof(marks.tokenDeviceId, 'token', asked, known, nowMs);
    if (found !== null) return found;
  }
  const places = origin.siteId === null ? known.sitesOfAddress(origin.address) : null;
  const behindEgress = places !== null && places.egress.length > 0;
  if (marks.sessionDeviceId !== null) {
    const device = known.deviceById(marks.sessionDeviceId);
    // A session that began with an address alone says no more than that address did, and an egress address says nothing.
    if (device !== undefined && belongs(device, origin) && (marks.sessionVerified || !behindEgress)) {
      return { state: marks.sessionVerified ? 'verified' : 'address-only', device, by: 'session', why: `the session in its address was begun by ${called(device)}`, conflict: nobody };
    }
  }
  if (behindEgress) return byEgress(origin, places);
  return byAddress(asked, places === null ? nobody : places.inside, known, nowMs);
}

function byProof(deviceId: Id, by: 'certificate' | 'token', { origin, marks }: Asked, known: Known, nowMs: number): Identity | null {
  const device = known.deviceById(deviceId);
  if (device === undefined) return null;
  const mark = by === 'certificate' ? 'certificate' : 'URL token';
  if (!belongs(device, origin)) {
    const why = origin.customerId !== null && device.customerId !== origin.customerId
      ? `its ${mark} belongs to a device of another customer`
      : `its ${mark} says that it is ${called(device)}, which belongs to another site; if it was moved here, change its site`;
    return ambiguous(why, [deviceId]);
  }
  if (by === 'certificate' && marks.tokenDeviceId !== null && marks.tokenDeviceId !== deviceId) {
    return { state: 'verified', device, by, why: `its certificate says that it is ${called(device)}; the URL token is another device's: were settings copied?`, conflict: [marks.tokenDeviceId] };
  }
  const other = by === 'token' ? confirmedOther(device, origin, known, nowMs) : null;
  if (other !== null) {
    return { state: 'verified', device, by, why: `its URL token says that it is ${called(device)}, but the serial read at ${origin.address} is that of ${called(other)}: were settings copied?`, conflict: [other.id] };
  }
  return { state: 'verified', device, by, why: `its ${mark} says that it is ${called(device)}`, conflict: nobody };
}

/** Another device whose serial was read at this very address lately. */
function confirmedOther(device: Device, origin: Origin, known: Known, nowMs: number): Device | null {
  if (origin.siteId === null) return null;
  for (const other of known.devicesAt(origin.siteId, origin.address)) {
    if (other.id === device.id || !belongs(other, origin)) continue;
    const confirmation = known.confirmationOf(other.id);
    if (confirmation !== null && confirmation.serial !== null && confirmation.serial === other.serial && confirmation.address === origin.address && isFresh(confirmation, known, nowMs)) return other;
  }
  return null;
}

function byEgress(origin: Origin, places: AddressPlaces): Identity {
  const sites = places.egress.length === 1 ? 'of the site' : `of ${places.egress.length} sites`;
  return ambiguous(`hairpin or NAT: every device ${sites} looks like ${origin.address}; give it a URL of its own, or a door or split DNS in its LAN`, nobody);
}

/** What can be said of an address that is no egress. */
function byAddress(asked: Asked, inside: readonly Id[], known: Known, nowMs: number): Identity {
  const { origin, marks } = asked;
  const { address } = origin;
  // A connection that came directly is of the one site whose LAN has the address. Where none has it, nobody knows whose LAN it is.
  const siteId = origin.siteId ?? (inside.length === 1 ? inside[0]! : null);
  const seen = known.strongAt(originKeyOf(origin), nowMs);
  const claimed = marks.claimedSerial === null ? null : byClaim(marks.claimedSerial, siteId, asked, seen, known, nowMs);
  if (claimed !== null) return claimed;
  if (seen.length > 1) return ambiguous(`${seen.length} devices proved themselves behind ${address} lately: it is the address of a router or a proxy`, seen.map((each) => each.deviceId));
  const here = candidatesAt(siteId, asked, seen, known);
  if (inside.length > 1) {
    const why = `${inside.length} sites have the network of ${address}, and it did not come through a door of one of them`;
    return ambiguous(why, here.map((each) => each.id));
  }
  if (here.length > 1) {
    // What a customer reads here must not name another's devices.
    const who = here.every((each) => each.customerId === here[0]!.customerId) ? here.map(called).slice(0, 4).join(' and ') : `${here.length} devices of several customers`;
    return ambiguous(`${who} ${here.length > 2 ? 'all' : 'both'} have the address ${address}; probe them, or change the one that moved`, here.map((each) => each.id));
  }
  const device = here[0];
  if (device === undefined) return unknown(`no device is known at ${address}${siteId === null ? ', and no site has that network' : ' of this site'}`);
  return judge(device, siteId, asked, seen, known, nowMs);
}

/** The serial that it claims is the one that a fresh probe read at this address. */
function byClaim(serial: string, siteId: Id | null, { origin }: Asked, seen: readonly StrongSeen[], known: Known, nowMs: number): Identity | null {
  if (siteId === null) return null;
  for (const device of claimants(serial, siteId, origin, known)) {
    const confirmation = known.confirmationOf(device.id);
    if (confirmation === null || confirmation.serial !== serial || confirmation.address !== origin.address || !isFresh(confirmation, known, nowMs)) continue;
    if (origin.mac !== null && confirmation.mac !== null && origin.mac !== confirmation.mac) continue;
    if (seen.some((each) => each.deviceId !== device.id)) continue;
    return { state: 'verified', device, by: 'serial', why: `it says that its serial is ${serial}, and a probe by ${nameOfProbe(confirmation)} read that at ${origin.address} ${ago(nowMs - confirmation.at)}`, conflict: nobody };
  }
  return null;
}

function claimants(serial: string, siteId: Id, origin: Origin, known: Known): readonly Device[] {
  const isOne = (device: Device) => device.serial === serial && device.siteId === siteId && belongs(device, origin);
  if (origin.customerId === null) return known.devicesAt(siteId, origin.address).filter(isOne);
  const device = known.deviceBySerial(origin.customerId, serial);
  return device !== undefined && isOne(device) ? [device] : [];
}

const nameOfProbe = ({ by }: Confirmation): string => (by === 'snmp' ? 'SNMP' : 'IPP');

/** Devices that the address speaks for. */
function candidatesAt(siteId: Id | null, { origin, marks }: Asked, seen: readonly StrongSeen[], known: Known): readonly Device[] {
  // Each machine calls itself 127.0.0.1: at a door it is the machine of that door's agent, and elsewhere anybody.
  const ownAddress = isLoopback(origin.address) && (origin.viaAgentId !== null || origin.address === '127.0.0.1' || origin.address === '::1');
  const here: Device[] = [];
  for (const device of known.devicesAt(siteId, origin.address)) {
    if ((siteId !== null && device.siteId !== siteId) || !belongs(device, origin)) continue;
    if (ownAddress && (origin.viaAgentId === null || device.agentId !== origin.viaAgentId)) continue;
    here.push(device);
  }
  // It proved itself here a moment ago, with the same program or another of its own. Only inside a LAN that we know: elsewhere others may share the address.
  const lately = siteId !== null && seen.length === 1 && marks.shape !== null && isOneOf(marks.shape, seen[0]!, known) ? known.deviceById(seen[0]!.deviceId) : undefined;
  if (lately !== undefined && lately.siteId === siteId && belongs(lately, origin) && !here.some((each) => each.id === lately.id)) here.push(lately);
  return here;
}

const isOneOf = (shape: string, { deviceId, shapes }: StrongSeen, known: Known): boolean => shapes.some((each) => each === shape || known.sameProgram(deviceId, shape, each));

/** One device, to be believed or not. */
function judge(device: Device, siteId: Id | null, { origin, marks }: Asked, seen: readonly StrongSeen[], known: Known, nowMs: number): Identity {
  const { address, mac } = origin;
  const other = seen.find((each) => each.deviceId !== device.id);
  if (other !== undefined) return ambiguous(`${address} is the address of ${called(device)}, but another device proved itself there lately`, [device.id, other.deviceId]);
  const confirmation = known.confirmationOf(device.id);
  const there = confirmation !== null && confirmation.address === address ? confirmation : null;
  const serial = there?.serial ?? null;
  if (serial !== null && device.serial !== null && serial !== device.serial) {
    const owner = known.deviceBySerial(device.customerId, serial);
    return ambiguous(
      `the address belongs to another device now (DHCP): ${called(device)} is expected at ${address}, and a probe read the serial ${serial} there`,
      owner === undefined || owner.id === device.id ? [device.id] : [device.id, owner.id],
    );
  }
  const seenMac = there?.mac ?? null;
  if (mac !== null && seenMac !== null && mac !== seenMac) return ambiguous(`${called(device)} had the MAC ${seenMac} when it was probed at ${address}, and now ${mac} is there: the address moved, or the device was replaced`, [device.id]);
  const named = marks.claimedSerial === null || device.serial === null || !speaksAgainst(marks.claimedSerial, device.serial) ? undefined : (known.deviceBySerial(device.customerId, marks.claimedSerial) ?? null);
  // siteId null: a probe through a site's agent says nothing about a network that nobody has named.
  if (there !== null && siteId !== null && serial !== null && serial === device.serial && isFresh(there, known, nowMs)) {
    if (named !== undefined && named !== null) return ambiguous(`${address} is the address of ${called(device)}, but the request says that it comes from ${called(named)}`, [device.id, named.id]);
    const by = mac !== null && seenMac !== null ? 'mac' : 'serial';
    return { state: 'verified', device, by, why: `a probe by ${nameOfProbe(there)} read the serial ${serial} at ${address} ${ago(nowMs - there.at)}${by === 'mac' ? `, and the MAC is still ${mac}` : ''}`, conflict: nobody };
  }
  if (named !== undefined) return ambiguous(`${address} is the address of ${called(device)}, but the request says that its serial is ${marks.claimedSerial}`, named === null ? [device.id] : [device.id, named.id]);
  return judgeShapes(device, asksProbe(device, there, siteId), { origin, marks }, seen, known, nowMs);
}

/** What would make more of an address. */
function asksProbe(device: Device, there: Confirmation | null, siteId: Id | null): string {
  if (siteId === null) return 'no site has that network; say in its site which subnets it has';
  if (device.serial === null) return 'it has no serial to compare; probe it and take the serial over';
  return there === null || there.serial === null ? 'no probe has read its serial there; probe it' : 'the last probe of it is too old; probe it again';
}

function judgeShapes(device: Device, hint: string, { origin, marks }: Asked, seen: readonly StrongSeen[], known: Known, nowMs: number): Identity {
  const { address } = origin;
  const { shape } = marks;
  const shapes = known.shapesAt(originKeyOf(origin), nowMs);
  // Without one of its own it is compared with none, but the others are with each other.
  const first = shape ?? shapes[0];
  const differs = first !== undefined && shapes.some((each) => each !== first && !known.sameProgram(device.id, first, each));
  const proved = seen[0];
  // What proved itself as this device may have shown several: they are its own.
  const differsFromProved = first !== undefined && proved !== undefined && proved.shapes.length > 0 && !isOneOf(first, proved, known);
  if (differs || differsFromProved) return ambiguous(`programs of two kinds come from ${address}, and nothing proves that both are on ${called(device)}; ${hint}`, [device.id]);
  return { state: 'address-only', device, by: 'address', why: `${address} is the address of ${called(device)}, and nothing else says so: ${hint}`, conflict: nobody };
}
