// Files of devices over a real store and a real folder, with a clock that is moved by hand.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildIds } from '#base/ids.ts';
import type { Fault } from '#base/fault.ts';
import { limits as realLimits, type Limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { buildFile } from '#fleet/file.ts';
import { openFiles, type Files } from '#fleet/files.ts';
import type { Caller, DeviceAnswer } from '#fleet/requests.ts';
import { keepUploads, type Uploads } from '#fleet/uploads.ts';
import type { Operations } from '#model/operations.ts';
import type { AuditEntry, Customer, Device } from '#model/rows.ts';
import { buildTable, type TableWriter } from '#model/table.ts';
import { openStore } from '#store/open.ts';
import { deviceRequest, type Asked } from './device-requests.ts';
import { handClock, type HandClock } from './hand-clock.ts';

export interface FileRoom {
  readonly dir: string;
  readonly clock: HandClock;
  readonly customer: Customer;
  readonly operations: Operations;
  readonly device: Device;
  readonly devices: TableWriter<Device>;
  files: Files;
  uploads: Uploads;
  /** Set: nothing is stored now. */
  full: Fault | null;
  addDevice(serial: string): Promise<Device>;
  ask(asked: Omit<Asked, 'customer'>, device?: Device): Promise<DeviceAnswer>;
  askAs(caller: Caller, asked: Omit<Asked, 'customer'>): Promise<DeviceAnswer>;
  /** What lies in the folder: digests, and names of what is on its way. */
  lying(): Promise<{ digests: string[]; takings: string[] }>;
  /** As a start after a crash. */
  reopen(): Promise<void>;
  audit(what: string): AuditEntry;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Waits for what disk and store bring about, without a clock: it gives up after many turns. */
export async function eventually(check: () => Promise<boolean>, what: string): Promise<void> {
  // By time, not by turns: on a busy machine the store's thread gets few of them.
  for (const end = performance.now() + 20_000; performance.now() < end; ) {
    if (await check()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.fail(`it never came about: ${what}`);
}

export async function openFileRoom(limits: Partial<Record<keyof Limits, number>> = {}): Promise<FileRoom> {
  const root = await mkdtemp(join(tmpdir(), 'postern-files-'));
  const dir = join(root, 'files');
  const clock = handClock();
  const operations = await openStore({ dataDir: join(root, 'data'), clock, random: randomBytes, log: silentLog });
  const { customers, sites } = await operations.loadEverything();
  const newId = buildIds(clock.nowMs, randomBytes);
  const all = { ...realLimits, ...limits } as Limits;
  const audit = (what: string): AuditEntry => ({ at: clock.nowMs(), customerId: customers[0]!.id, actor: { kind: 'gateway', id: null, name: 'test', from: '' }, what, subjectKind: 'device', subjectId: null, subjectName: '', detail: {} });
  const open = async () => {
    const files = await openFiles({ dir, operations, clock, random: randomBytes, newId, log: silentLog, journal: { note() {}, lines: () => [], dropped: 0 }, limits: all, mayStore: () => room.full, devices: room.devices });
    return { files, uploads: keepUploads(files) };
  };
  let labels = 0;
  const room: FileRoom = {
    dir, clock, operations,
    devices: buildTable<Device>({ name: 'devices', kind: 'kept', keyOf: (row) => row.id }),
    customer: customers[0]!,
    device: undefined as never,
    files: undefined as never,
    uploads: undefined as never,
    full: null,
    audit,
    async addDevice(serial) {
      const device: Device = { id: newId(), customerId: customers[0]!.id, siteId: sites[0]!.id, agentId: null, serial, label: `device-${++labels}`, name: serial, host: '127.0.0.1', ports: [], hostHeader: 'own', locked: false, createdAt: clock.nowMs() };
      await operations.addDevice(device, audit('device.added'));
      room.devices.publish({ put: [device] });
      return device;
    },
    ask: (asked, device = room.device) => room.askAs({ kind: 'device', device, by: 'key' }, asked),
    askAs: (caller, asked) => buildFile({ files: room.files, uploads: room.uploads })(deviceRequest({ ...asked, customer: room.customer }), caller),
    async lying() {
      const digests: string[] = [];
      for (const folder of await readdir(dir)) if (folder !== 'tmp') digests.push(...(await readdir(join(dir, folder))));
      return { digests: digests.sort(), takings: (await readdir(join(dir, 'tmp'))).sort() };
    },
    async reopen() {
      await room.uploads.close();
      await room.files.close();
      Object.assign(room, await open());
    },
    async [Symbol.asyncDispose]() {
      await room.uploads.close();
      await room.files.close();
      await operations.close();
      await rm(root, { recursive: true, force: true });
      assert.equal(clock.timers, 0, 'timers are left');
    },
  };
  Object.assign(room, await open(), { device: await room.addDevice('SN1') });
  return room;
}
