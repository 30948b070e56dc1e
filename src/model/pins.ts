// Fingerprints of keys that this gateway shows to devices: which are shown now, which will or may be shown next, who has them on its list, and whom a change of key
// would shut out. A device that pins believes no server whose key is not on its list, and nobody is there to change that list but the server it believes: a
// key that is swapped too early loses it for ever. So keys are announced in check-in answers first, confirmed in later check-ins, and only then shown.
import { parsePin, pinOfFingerprint } from '#wire/device.ts';
import { certificateFor, coverageOf } from './certificate-names.ts';
import type { Certificate, DeviceNote } from './rows.ts';

/** What the private CA's own leaf shows under a name. */
export interface LeafKey {
  /** As lists of certificates name it: `leaf:ec-p256:gw.example.test`. */
  readonly id: string;
  readonly name: string;
  /** SHA-256 of the SPKI, hex, as everywhere here. */
  readonly fingerprint: string;
  /** Prepared, not shown yet. */
  readonly next: string | null;
}

/** One name, or none (`host` null: clients that send no server name, or an address), and one key that clients see under it. */
export interface ShownKey {
  readonly host: string | null;
  /** usual · rsa: beside it, for clients of the legacy lane alone. */
  readonly kind: 'usual' | 'rsa';
  readonly fingerprint: string;
  /** The certificate's row, or the leaf's id. */
  readonly face: string;
  readonly name: string;
}

export interface Shop {
  /** Names under which devices come. */
  readonly hosts: readonly string[];
  readonly certificates: readonly Certificate[];
  /** The leaf that answers to a host where no certificate does; of the kind that was asked for. null: there is none yet. */
  leafOf(host: string | null, kind: 'usual' | 'rsa'): LeafKey | null;
  readonly now: number;
}

/** `''` as a fingerprint: a key that is yet to be made. */
export function shownKeys({ hosts, certificates, leafOf, now }: Shop): ShownKey[] {
  const shown: ShownKey[] = [];
  const rsaRows = certificates.filter((row) => row.keyKind.startsWith('rsa'));
  const add = (host: string | null, kind: ShownKey['kind'], row: Certificate | null) => {
    if (row) return void shown.push({ host, kind, fingerprint: row.keyFingerprint ?? '', face: row.id, name: row.name });
    const leaf = leafOf(host, kind);
    if (leaf) shown.push({ host, kind, fingerprint: leaf.fingerprint, face: leaf.id, name: leaf.name });
    else if (kind === 'usual') shown.push({ host, kind, fingerprint: '', face: 'leaf', name: host ?? '' });
  };
  add(null, 'usual', null);
  add(null, 'rsa', null);
  for (const host of hosts) {
    const best = certificateFor(certificates, host, now);
    add(host, 'usual', best);
    if (!best) add(host, 'rsa', null);
    else if (!best.keyKind.startsWith('rsa')) {
      const rsa = certificateFor(rsaRows, host, now);
      if (rsa) add(host, 'rsa', rsa);
    }
  }
  return shown;
}

export interface AnnouncedKey {
  readonly fingerprint: string;
  /** present: shown now · next: prepared, or in a certificate that is not shown (yet) · old: shown until lately; one can go back to it. */
  readonly state: 'present' | 'next' | 'old';
  /** Names under which it is, will or was shown; null: clients that name none. */
  readonly hosts: readonly (string | null)[];
  /** Certificate or leaf. */
  readonly face: string;
  readonly name: string;
}

const rank: Record<AnnouncedKey['state'], number> = { present: 0, next: 1, old: 2 };

/** Every key that a device should have on its list, each once, present ones first. */
export function announcedKeys(shop: Shop, keepOldMs: number): AnnouncedKey[] {
  const found = new Map<string, AnnouncedKey>();
  const add = (key: AnnouncedKey) => {
    if (key.fingerprint === '') return;
    const before = found.get(key.fingerprint);
    if (!before) found.set(key.fingerprint, key);
    else found.set(key.fingerprint, { ...(rank[before.state] <= rank[key.state] ? before : key), hosts: [...new Set([...before.hosts, ...key.hosts])] });
  };
  for (const { host, fingerprint, face, name } of shownKeys(shop)) add({ fingerprint, state: 'present', hosts: [host], face, name });
  for (const host of [null, ...shop.hosts]) {
    const leaf = shop.leafOf(host, 'usual');
    if (leaf?.next) add({ fingerprint: leaf.next, state: 'next', hosts: [host], face: leaf.id, name: leaf.name });
  }
  for (const row of shop.certificates) {
    const hosts = shop.hosts.filter((host) => coverageOf(row.names, host) !== null || (row.acme !== null && coverageOf(row.acme.names, host) !== null));
    if (hosts.length === 0) continue;
    const key = (fingerprint: string | null, state: AnnouncedKey['state']) => fingerprint !== null && add({ fingerprint, state, hosts, face: row.id, name: row.name });
    key(row.csrKeyFingerprint, 'next');
    key(row.keyFingerprint, 'next');
    if (row.previousKeyFingerprint !== row.keyFingerprint && shop.now - (row.renewedAt ?? 0) < keepOldMs) key(row.previousKeyFingerprint, 'old');
  }
  return [...found.values()].sort((a, b) => rank[a.state] - rank[b.state]);
}

/** What fits into an answer, and on the list of a small device. */
export const pinsAnnouncedMax = 16;

export interface PinsQuestion {
  readonly announced: readonly AnnouncedKey[];
  /** The name under which the device came; null: none, or an address. */
  readonly host: string | null;
  /** Pins (`sha256//…`) of servers to which it may be sent. */
  readonly servers: readonly string[];
}

/**
 * The whole list for one device, as `pins=` has it: what it meets here, what it will meet, where it may be sent, then the rest. A host that is none of
 * ours counts as none.
 */
export function pinsToAnnounce({ announced, host, servers }: PinsQuestion): string[] {
  const isOurs = announced.some((key) => key.hosts.includes(host));
  const met = isOurs ? host : null;
  const mine = (key: AnnouncedKey) => key.hosts.includes(met);
  const pins = [...announced.filter((key) => mine(key) && key.state !== 'old').map((key) => pinOfFingerprint(key.fingerprint)), ...servers, ...announced.map((key) => pinOfFingerprint(key.fingerprint))];
  return [...new Set(pins)].slice(0, pinsAnnouncedMax);
}

/** How a device stands to pins. */
export interface Pinner {
  readonly deviceId: string;
  readonly pins: ReadonlySet<string>;
  readonly lastSeenAt: number;
  /** Seen lately: to be waited for. */
  readonly isActive: boolean;
}

/** null: it never said that it pins, or said that its list is empty. */
export function pinnerOf(note: Pick<DeviceNote, 'deviceId' | 'pins' | 'lastCheckInAt' | 'lastSeenAt'>, now: number, activeMs: number): Pinner | null {
  const pins = (note.pins ?? []).map(parsePin).filter((pin) => pin !== null);
  if (pins.length === 0) return null;
  const lastSeenAt = Math.max(note.lastCheckInAt ?? 0, note.lastSeenAt ?? 0);
  return { deviceId: note.deviceId, pins: new Set(pins), lastSeenAt, isActive: now - lastSeenAt < activeMs };
}

/** Whether the device has the key on its list. */
export const hasPin = (pinner: Pinner, fingerprint: string): boolean => fingerprint !== '' && pinner.pins.has(pinOfFingerprint(fingerprint));

/**
 * Active devices that would be shut out: under some name they may come by the key that they have goes, and the one that comes they have not. Which name a
 * device comes by is not known, so a key on its list counts for every name that shows it.
 */
export function lostBy(before: readonly ShownKey[], after: readonly ShownKey[], pinners: Iterable<Pinner>): Pinner[] {
  const slot = ({ host, kind }: ShownKey) => `${host ?? ''} ${kind}`;
  const next = new Map(after.map((key) => [slot(key), key.fingerprint]));
  const swaps = before.map((key) => [key.fingerprint, next.get(slot(key)) ?? ''] as const).filter(([was, is]) => was !== is && was !== '');
  if (swaps.length === 0) return [];
  return Array.from(pinners).filter((pinner) => pinner.isActive && swaps.some(([was, is]) => hasPin(pinner, was) && !hasPin(pinner, is)));
}
