// What is noted of devices that push and check in: table and store get it in batches, every few seconds. Lost at a crash, and then noted anew.
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { IntakeOperations } from '#model/intake.ts';
import type { Device, DeviceNote, WaitingDevice } from '#model/rows.ts';
import type { Table, TableWriter } from '#model/table.ts';

export interface DeviceNotesDeps {
  readonly deviceNotes: TableWriter<DeviceNote>;
  /** What waits and is a device: of nobody else anything is kept, or strangers who come and go would leave a row each. */
  readonly waitingDevices: Pick<Table<WaitingDevice>, 'get' | 'watch'>;
  readonly devices: Pick<Table<Device>, 'get'>;
  readonly operations: Pick<IntakeOperations, 'noteDevices'>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface DeviceNotes {
  /** What was noted last, written or not. */
  get(deviceId: Id): DeviceNote | undefined;
  note(deviceId: Id, customerId: Id, change: Partial<Omit<DeviceNote, 'deviceId' | 'customerId'>>): void;
  /** Resolves when what was noted until now is in the store, or was given up for this time. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

const everyMs = 5_000;
/** Rows in one operation: others take their turn in between. */
const atOnce = 500;

const blank = (deviceId: Id, customerId: Id): DeviceNote => ({
  deviceId, customerId, lastSeenAt: null, lastPushAt: null, lastCheckInAt: null, from: null, fw: null, hw: null, up: null, clockSkewMs: null, zone: null, pins: null, facts: {},
});

export function keepDeviceNotes({ deviceNotes, waitingDevices, devices, operations, clock, log }: DeviceNotesDeps): DeviceNotes {
  const changed = new Map<Id, DeviceNote>();
  let writing: Promise<void> = Promise.resolve();
  const get = (deviceId: Id): DeviceNote | undefined => changed.get(deviceId) ?? deviceNotes.get(deviceId);

  const isSomebody = (deviceId: Id): boolean => devices.get(deviceId) !== undefined || waitingDevices.get(deviceId) !== undefined;
  const unwatch = waitingDevices.watch(({ removed }) => {
    const gone = removed.filter((id) => !isSomebody(id));
    for (const id of gone) changed.delete(id);
    const noted = gone.filter((id) => deviceNotes.get(id) !== undefined);
    if (noted.length > 0) deviceNotes.publish({ removed: noted });
  });

  const write = async (): Promise<void> => {
    const rows = [...changed.values()].filter(({ deviceId }) => isSomebody(deviceId));
    changed.clear();
    if (rows.length === 0) return;
    // Once for all: watchers are told of a storm of devices in one go.
    deviceNotes.publish({ put: rows });
    for (let from = 0; from < rows.length; from += atOnce) {
      try {
        await operations.noteDevices(rows.slice(from, from + atOnce));
      } catch (thrown) {
        log.warn('device-notes.lost', { why: reasonOf(thrown), count: Math.min(atOnce, rows.length - from) });
      }
    }
  };
  const flush = (): Promise<void> => (writing = writing.then(write));
  const timer = clock.every(everyMs, () => void flush());
  return {
    get,
    note(deviceId, customerId, change) {
      changed.set(deviceId, { ...(get(deviceId) ?? blank(deviceId, customerId)), ...change, deviceId, customerId });
    },
    flush,
    async close() {
      timer.cancel();
      unwatch();
      await flush();
    },
  };
}
