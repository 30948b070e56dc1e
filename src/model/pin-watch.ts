// Pins over the tables of this gateway: what is announced, who confirmed it, and whether a change of a certificate may happen yet. The one question that every way of
// changing a shown key asks is `refuseLoss`.
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import { announcedKeys, hasPin, lostBy, pinnerOf, shownKeys, type AnnouncedKey, type LeafKey, type Pinner, type Shop } from './pins.ts';
import type { Certificate, Device } from './rows.ts';
import type { Tables } from './tables.ts';

export interface PinSettings {
  /** A device that was not seen for longer is waited for no more. */
  readonly activeMs: number;
  /** How long a key that was replaced stays announced, so that one can go back to it. */
  readonly keepOldMs: number;
}

export interface PinWatchOptions {
  readonly tables: Pick<Tables, 'certificates' | 'devices' | 'deviceNotes'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** Names under which devices come: the gateway's domains. null: not known yet, while the gateway starts. */
  hosts(): readonly string[] | null;
  leafOf(host: string | null, kind: 'usual' | 'rsa'): LeafKey | null;
  settings(): PinSettings;
}

export interface PinWatch {
  settings(): PinSettings;
  /** Prepared for a leaf (its id); null: nothing is. */
  nextOfLeaf(id: string): string | null;
  announced(): readonly AnnouncedKey[];
  /** Devices that pin; of those that are gone nothing is said. */
  pinners(): Pinner[];
  /** Active devices that rely on this key. */
  isPinned(fingerprint: string): boolean;
  /** Active devices that rely on a key shown now, and have not confirmed this one. */
  lacking(fingerprint: string): Pinner[];
  /** Whom a change of a certificate's row would shut out. null: it is new, or goes. */
  lostByRow(before: Certificate | null, after: Certificate | null): Pinner[];
  /** The same for another key of a leaf (its id). */
  lostByLeaf(id: string, fingerprint: string): Pinner[];
  /** Fault `conflict` unless nobody is lost, or `losing` says exactly how many. */
  refuseLoss(lost: readonly Pinner[], losing: number | null): void;
}

const namedMax = 5;

export function buildPinWatch(options: PinWatchOptions): PinWatch {
  const { tables, clock } = options;
  const shop = (certificates: readonly Certificate[] = [...tables.certificates.values()]): Shop => ({ hosts: options.hosts() ?? [], certificates, leafOf: options.leafOf, now: clock.nowMs() });
  const pinners = (): Pinner[] => {
    const { activeMs } = options.settings();
    const now = clock.nowMs();
    const found: Pinner[] = [];
    for (const note of tables.deviceNotes.values()) {
      const pinner = note.pins !== null && tables.devices.get(note.deviceId) ? pinnerOf(note, now, activeMs) : null;
      if (pinner) found.push(pinner);
    }
    return found;
  };
  const describe = ({ deviceId }: Pinner): string => {
    const device: Device | undefined = tables.devices.get(deviceId);
    return device ? `${device.name}${device.serial === null ? '' : ` (${device.serial})`}` : deviceId;
  };
  // Asked for each check-in, and the same for all of them: kept for a second.
  let kept: { readonly until: number; readonly of: string; readonly keys: readonly AnnouncedKey[] } | null = null;
  /** Everything that changes what is announced, but time. */
  const stand = (): string => `${tables.certificates.version} ${[null, ...(options.hosts() ?? [])].map((host) => `${host} ${options.leafOf(host, 'usual')?.fingerprint} ${options.leafOf(host, 'usual')?.next} ${options.leafOf(host, 'rsa')?.fingerprint}`).join(' ')}`;

  return {
    settings: () => options.settings(),
    nextOfLeaf(id) {
      for (const host of [null, ...(options.hosts() ?? [])]) {
        const leaf = options.leafOf(host, 'usual');
        if (leaf?.id === id) return leaf.next;
      }
      return null;
    },
    announced() {
      const now = clock.nowMs();
      const of = stand();
      if (!kept || now >= kept.until || kept.until - now > 1_000 || kept.of !== of) kept = { until: now + 1_000, of, keys: announcedKeys(shop(), options.settings().keepOldMs) };
      return kept.keys;
    },
    pinners,
    isPinned: (fingerprint) => pinners().some((pinner) => pinner.isActive && hasPin(pinner, fingerprint)),
    lacking(fingerprint) {
      const present = shownKeys(shop()).map((key) => key.fingerprint);
      return pinners().filter((pinner) => pinner.isActive && present.some((each) => hasPin(pinner, each)) && !hasPin(pinner, fingerprint));
    },
    lostByRow(before, after) {
      // Which names lead to it cannot be said yet: then every change of its key counts.
      if (options.hosts() === null) {
        const key = (row: Certificate | null) => (row ? [{ host: '', kind: 'usual' as const, fingerprint: row.keyFingerprint ?? '', face: row.id, name: row.name }] : []);
        return lostBy(key(before), key(after), pinners());
      }
      const all = [...tables.certificates.values()];
      const id = before?.id ?? after?.id;
      const next = [...all.filter((row) => row.id !== id), ...(after ? [after] : [])];
      return lostBy(shownKeys(shop(all)), shownKeys(shop(next)), pinners());
    },
    lostByLeaf(id, fingerprint) {
      const now = shop();
      const before = shownKeys(now);
      return lostBy(before, before.map((key) => (key.face === id ? { ...key, fingerprint } : key)), pinners());
    },
    refuseLoss(lost, losing) {
      if (lost.length === (losing ?? 0)) return;
      const names = lost.slice(0, namedMax).map(describe).join(', ') + (lost.length > namedMax ? ' …' : '');
      if (lost.length === 0) throw new Fault('conflict', `no device would be lost, not ${losing}`, { remedy: 'leave the number out' });
      throw new Fault('conflict', losing === null ? `${lost.length === 1 ? '1 device' : `${lost.length} devices`} would be shut out for good: not confirmed the new key have ${names}` : `${lost.length} devices would be lost, not ${losing}: ${names}`, {
        remedy: 'announce the key first and wait until they have checked in: postern pins prepare, postern pins; or say how many may be lost',
        detail: { lost: lost.length },
      });
    },
  };
}
