// What explain knows of requests of devices. The epoch is looked up before, because explaining itself waits for nobody.
import { isFault, type Fault } from '#base/fault.ts';
import { parseWay } from '#model/explain-address.ts';
import { describeDeviceRequest, type DeviceQuestion, type DeviceTold } from '#model/explain-device.ts';
import type { IntakeOperations } from '#model/intake.ts';
import type { Leases } from '#model/leases.ts';
import type { FeedEpoch } from '#model/rows.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { Tables } from '#model/tables.ts';
import { parseDevicePath } from '#wire/device.ts';

export interface ExplainDeviceDeps {
  readonly tables: Tables;
  readonly operations: Pick<IntakeOperations, 'findEpoch'>;
  readonly leases: Pick<Leases, 'preview'>;
  readonly snapshot: () => Snapshot;
  readonly mayStore: () => Fault | null;
}

export async function knowDeviceRequest({ tables, operations, leases, snapshot, mayStore }: ExplainDeviceDeps, url: string): Promise<(question: DeviceQuestion) => DeviceTold> {
  const epoch = await epochAt(tables, operations, url);
  return (question) => describeDeviceRequest({ tables, leases, config: snapshot().config, epoch, full: mayStore()?.message ?? null }, question);
}

async function epochAt(tables: Tables, operations: Pick<IntakeOperations, 'findEpoch'>, url: string): Promise<FeedEpoch | null> {
  try {
    const path = parseDevicePath(parseWay(url).target);
    const customer = path?.act === 'push' ? tables.customerByKey(path.customer) : undefined;
    const [feed, epoch] = path?.rest ?? [];
    if (!path || !customer || feed === undefined || epoch === undefined) return null;
    const id = tables.deviceBySerial(customer.id, path.serial)?.id ?? tables.waitingBySerial(customer.id, path.serial)?.id;
    return id === undefined ? null : await operations.findEpoch(id, feed, epoch);
  } catch (thrown) {
    // What is wrong with the address is said where it is explained.
    if (isFault(thrown, 'bad-input') || isFault(thrown, 'not-found')) return null;
    throw thrown;
  }
}
