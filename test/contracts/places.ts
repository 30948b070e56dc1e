// The contract of the store's operations about devices' addresses of the pool.
import assert from 'node:assert/strict';
import type { Operations } from '#model/operations.ts';
import type { ReleasedAddress, VirtualAddress } from '#model/place-rows.ts';
import { rejectsWith, type Rows } from './store.ts';

type Contract = (title: string, run: (store: Operations, rows: Rows) => Promise<void>) => void;

const at = 1_800_000_000_000;
const nothing = { put: [], removed: [], released: [], forgetBefore: 0 };

export function virtualAddressContract(contract: Contract): void {
  const deviceIn = async (store: Operations, rows: Rows, label: string) => {
    const device = { ...rows.device('', label, { serial: label }), agentId: null };
    await store.addDevice(device, rows.audit('device.added'));
    return device;
  };
  const rowOf = (rows: Rows, deviceId: string, address: string, change: Partial<VirtualAddress> = {}): VirtualAddress => ({ deviceId, customerId: rows.customerId, address, pinned: false, createdAt: at, ...change });
  const releaseOf = ({ address, customerId, deviceId }: VirtualAddress, releasedAt: number): ReleasedAddress => ({ address, customerId, deviceId, releasedAt });
  const kept = async (store: Operations) => {
    const { virtualAddresses, releasedAddresses } = await store.loadEverything();
    return { now: virtualAddresses.sort((a, b) => (a.address < b.address ? -1 : 1)), before: releasedAddresses.sort((a, b) => (a.address < b.address ? -1 : 1)) };
  };

  contract('a device has one virtual address, nobody else has it, and it is moved in one step', async (store, rows) => {
    const [one, two] = [await deviceIn(store, rows, 'one'), await deviceIn(store, rows, 'two')];
    const first = rowOf(rows, one.id, '192.0.2.5');
    const second = rowOf(rows, two.id, '2001:db8::5', { pinned: true });
    await store.changeVirtualAddresses({ ...nothing, put: [first, second] }, [rows.audit('address.given'), rows.audit('address.pinned')]);
    assert.deepEqual(await kept(store), { now: [first, second], before: [] });
    const lines = (await store.auditHead()).seq;
    await rejectsWith(store.changeVirtualAddresses({ ...nothing, put: [rowOf(rows, two.id, '192.0.2.5')], released: [releaseOf(second, at)] }, [rows.audit('address.given')]), 'conflict');
    assert.deepEqual(await kept(store), { now: [first, second], before: [] }, 'all of a change or none');
    assert.equal((await store.auditHead()).seq, lines, 'what did not happen is not in the audit');
    const moved = rowOf(rows, one.id, '192.0.2.9', { pinned: true, createdAt: at + 5 });
    await store.changeVirtualAddresses({ ...nothing, put: [moved], released: [releaseOf(first, at + 5)] }, [rows.audit('address.pinned')]);
    assert.deepEqual(await kept(store), { now: [moved, second], before: [releaseOf(first, at + 5)] });
  });

  contract('what a virtual address was stays known: when it is taken back, and when its device goes', async (store, rows) => {
    const [one, two] = [await deviceIn(store, rows, 'one'), await deviceIn(store, rows, 'two')];
    const [first, second] = [rowOf(rows, one.id, '192.0.2.5'), rowOf(rows, two.id, '192.0.2.6')];
    await store.changeVirtualAddresses({ ...nothing, put: [first, second] }, []);
    await store.changeVirtualAddresses({ ...nothing, removed: [one.id], released: [releaseOf(first, at + 1)] }, [rows.audit('address.released')]);
    await store.removeDevice(two.id, rows.audit('device.removed', { at: at + 2 }));
    assert.deepEqual(await kept(store), { now: [], before: [releaseOf(first, at + 1), releaseOf(second, at + 2)] });
    await rejectsWith(store.changeVirtualAddresses({ ...nothing, put: [second] }, []), 'not-found');
    await store.changeVirtualAddresses({ ...nothing, put: [rowOf(rows, one.id, '192.0.2.6')] }, []);
    assert.deepEqual((await kept(store)).before, [releaseOf(first, at + 1)], 'given again, it is not a former one');
    await store.changeVirtualAddresses({ ...nothing, forgetBefore: at + 2 }, []);
    assert.deepEqual((await kept(store)).before, [], 'the old ones are forgotten');
  });
}
