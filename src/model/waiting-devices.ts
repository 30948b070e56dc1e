// Serials that are not known and ask to be: remembered until somebody approves or refuses them. Anybody can knock, so everything here is bounded:
// how many wait for a customer and from one address, how fast one makes room for another, how often a knock is written down.
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import { digestOf, sameText } from '#base/secret.ts';
import { keyTextRefusal, sealKey } from './device-keys.ts';
import type { IdentityOperations } from './identity-operations.ts';
import type { Journal } from './live.ts';
import type { DeviceKey, WaitingDevice } from './rows.ts';
import type { Tables } from './tables.ts';

export interface Knock {
  readonly customerId: Id;
  readonly serial: string;
  readonly from: string;
  /** User-Agent, or what it says it is; '' when it says nothing. */
  readonly product: string;
  readonly name: string;
  /** The key that it wants to be known by: only of a request over TLS. */
  readonly keyText: string | null;
  /** It signed, with the key that waits with it (`keyOfWaiting`). */
  readonly proved: boolean;
}

export interface WaitingDevices {
  /**
   * The row as it is after this knock, durable when it is the first. Faults: `too-many` (wait; `retryAfterS` in the detail), `unauthenticated` (the serial
   * waits with another key), `bad-input` (what it brings is no key), `busy`.
   */
  knock(knock: Knock): Promise<WaitingDevice>;
}

export interface WaitingDevicesOptions {
  readonly tables: Pick<Tables, 'waitingDevices' | 'waitingBySerial' | 'deviceBySerial'>;
  readonly operations: Pick<IdentityOperations, 'addWaitingDevice' | 'noteWaitingDevice'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly limits: Pick<Limits, 'waitingDevicesMax' | 'waitingDevicesPerCustomerMax' | 'waitingDevicesPerAddressMax' | 'waitingReplacedAfterMs' | 'waitingNotedMs' | 'waitingAtOnceMax'>;
  readonly journal: Pick<Journal, 'note'>;
  readonly newId: () => Id;
  readonly random: Random;
  readonly sealingKey: Uint8Array;
}

const textCharsMax = 200;
// eslint-disable-next-line no-control-regex
const shown = (text: string) => text.replace(/[\x00-\x1f\x7f]+/g, ' ').toWellFormed().trim().slice(0, textCharsMax);

export function buildWaitingDevices(options: WaitingDevicesOptions): WaitingDevices {
  const { tables, operations, clock, limits, journal } = options;
  /** Of its own: whoever knocks without end holds up nobody's changes. */
  const inTurn = buildInTurn(limits.waitingAtOnceMax);

  const tooMany = (why: string, retryAfterMs: number) => new Fault('too-many', why, { remedy: 'approve or refuse those that wait: postern waiting', detail: { retryAfterS: Math.ceil(retryAfterMs / 1000) } });

  /** Whose place a new one takes; null: there is room. */
  const madeRoom = (customerId: Id, from: string, now: number): Id | null => {
    const full = (rows: readonly WaitingDevice[], max: number, where: string): WaitingDevice | null => {
      if (rows.length < max) return null;
      const oldest = rows.filter((row) => row.bytes === 0).sort((a, b) => a.lastSeenAt - b.lastSeenAt)[0];
      const since = oldest ? now - oldest.lastSeenAt : 0;
      if (!oldest) throw tooMany(`${rows.length} devices ${where} wait to be approved, all with data`, limits.waitingReplacedAfterMs);
      // Whoever makes serials up must not be able to drive out those that are there faster than a person can look.
      if (since < limits.waitingReplacedAfterMs) throw tooMany(`${rows.length} devices ${where} wait to be approved`, limits.waitingReplacedAfterMs - Math.max(0, since));
      return oldest;
    };
    if (tables.waitingDevices.size >= limits.waitingDevicesMax) throw tooMany(`${tables.waitingDevices.size} devices wait to be approved at this gateway`, limits.waitingReplacedAfterMs);
    const ofCustomer = [...tables.waitingDevices.values()].filter((row) => row.customerId === customerId);
    const oldest = full(ofCustomer.filter((row) => row.from === from), limits.waitingDevicesPerAddressMax, 'from this address') ?? full(ofCustomer, limits.waitingDevicesPerCustomerMax, 'of this customer');
    return oldest?.id ?? null;
  };

  const add = async ({ customerId, serial, from, product, name, keyText }: Knock): Promise<WaitingDevice> => {
    if (tables.deviceBySerial(customerId, serial)) throw new Fault('busy', 'this device became known just now', { remedy: 'repeat the request' });
    const now = clock.nowMs();
    const dropped = madeRoom(customerId, from, now);
    const id = options.newId();
    const key = keyText === null ? { keyDigest: null, keySealed: null } : { keyDigest: digestOf(keyText), keySealed: sealKey(keyText, options.sealingKey, id, options.random) };
    const row: WaitingDevice = { id, customerId, serial, name: shown(name), from, product: shown(product), firstSeenAt: now, lastSeenAt: now, ...key, bytes: 0 };
    await operations.addWaitingDevice(row, dropped);
    tables.waitingDevices.publish({ put: [row], removed: dropped === null ? [] : [dropped] });
    journal.note('device.waiting', { serial, from, product: row.product });
    return row;
  };

  /** Whoever came first is the one that is shown for approval: data of another must not mix with its data. */
  const mustFit = (row: WaitingDevice, { keyText, proved }: Knock) => {
    if (row.keyDigest === null || proved || (keyText !== null && sameText(digestOf(keyText), row.keyDigest))) return;
    throw new Fault('unauthenticated', 'this serial waits with another key', { remedy: 'refuse the one that waits, if this device is the right one' });
  };
  const isDue = (row: WaitingDevice, { keyText }: Knock, now: number) => now - row.lastSeenAt >= limits.waitingNotedMs || now < row.lastSeenAt || (keyText !== null && row.keyDigest === null);

  const note = async (row: WaitingDevice, knock: Knock): Promise<WaitingDevice> => {
    mustFit(row, knock);
    const { from, product, name, keyText } = knock;
    const now = clock.nowMs();
    if (!isDue(row, knock, now)) return row;
    const brought = keyText !== null && row.keyDigest === null ? { keyDigest: digestOf(keyText), keySealed: sealKey(keyText, options.sealingKey, row.id, options.random) } : {};
    const noted: WaitingDevice = { ...row, ...brought, from, product: shown(product) || row.product, name: shown(name) || row.name, lastSeenAt: now };
    await operations.noteWaitingDevice(noted);
    // Approved, refused, or more data came meanwhile.
    const standing = tables.waitingDevices.get(row.id);
    if (!standing) return noted;
    const after = { ...noted, bytes: standing.bytes };
    tables.waitingDevices.publish({ put: [after] });
    return after;
  };

  return {
    async knock(knock) {
      const refusal = knock.keyText === null ? null : keyTextRefusal(knock.keyText);
      if (refusal !== null) throw new Fault('bad-input', refusal);
      const find = () => tables.waitingBySerial(knock.customerId, knock.serial);
      const known = find();
      if (known) mustFit(known, knock);
      if (known && !isDue(known, knock, clock.nowMs())) return known;
      return inTurn(async () => {
        const row = find();
        return row ? note(row, knock) : add(knock);
      });
    },
  };
}

/** As if the waiting one were a device already: what its signatures are checked with, and its key once it is approved. null: it brought none. */
export function keyOfWaiting(row: WaitingDevice): DeviceKey | null {
  if (row.keyDigest === null) return null;
  return { id: row.id, customerId: row.customerId, deviceId: row.id, kind: 'key', digest: row.keyDigest, sealed: row.keySealed, state: 'current', createdAt: row.firstSeenAt, usedAt: row.lastSeenAt };
}
