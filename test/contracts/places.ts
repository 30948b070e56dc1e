// The contract of the store's operations about places in the network: addresses of the pool, sites, doors.
import assert from 'node:assert/strict';
import type { Operations } from '#model/operations.ts';
import type { ReleasedAddress, SiteDoor, SitePlace, VirtualAddress } from '#model/place-rows.ts';
import type { Site } from '#model/rows.ts';
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

export function placesContract(contract: Contract): void {
  const byName = (a: { readonly name: string }, b: { readonly name: string }) => (a.name < b.name ? -1 : 1);
  const siteOf = (rows: Rows, id: string, name: string): Site => ({ id, customerId: rows.customerId, name, createdAt: at });
  const placeOf = (rows: Rows, siteId: string, subnets: readonly string[] = [], egress: readonly string[] = []): SitePlace => ({ siteId, customerId: rows.customerId, subnets, egress });
  const doorOf = (rows: Rows, agentId: string, id: string, change: Partial<SiteDoor> = {}): SiteDoor => ({ id, customerId: rows.customerId, siteId: rows.siteId, agentId, address: '192.0.2.1', port: 443, listener: 'https', createdAt: at, ...change });
  const agentIn = async (store: Operations, rows: Rows, label: string, siteId = rows.siteId) => {
    const token = rows.joinToken({ siteId });
    const agent = rows.agent({ siteId, name: label });
    const device = rows.device(agent.id, label, { siteId });
    await store.addJoinToken(token, rows.audit('join-token.made'));
    await store.join(token.id, agent, rows.certificate(agent.id), device, rows.audit('device.joined'));
    return { agent, device };
  };

  contract('a site comes with its networks, changes whole, and goes when it is empty', async (store, rows) => {
    const first = (await store.loadEverything()).sites[0]!;
    const site = siteOf(rows, 'site-2', 'hamburg');
    await store.addSite(site, placeOf(rows, site.id, ['192.0.2.0/24'], ['198.51.100.7/32']), rows.audit('site.added'));
    await rejectsWith(store.addSite(siteOf(rows, 'site-3', 'hamburg'), placeOf(rows, 'site-3'), rows.audit('site.added')), 'conflict');
    assert.deepEqual((await store.loadEverything()).sitePlaces, [placeOf(rows, site.id, ['192.0.2.0/24'], ['198.51.100.7/32'])]);
    await rejectsWith(store.changeSite({ ...site, name: first.name }, placeOf(rows, site.id), rows.audit('site.changed')), 'conflict');
    await store.changeSite({ ...site, name: 'bremen' }, placeOf(rows, site.id), rows.audit('site.changed'));
    const changed = await store.loadEverything();
    assert.deepEqual(changed.sites.sort(byName), [{ ...site, name: 'bremen' }, first].sort(byName));
    assert.deepEqual(changed.sitePlaces, [], 'nothing known is no row');
    await store.changeSite({ ...site, name: 'bremen' }, placeOf(rows, site.id, ['2001:db8::/64']), rows.audit('site.changed'));
    const { device } = await agentIn(store, rows, 'node', site.id);
    await rejectsWith(store.removeSite(site.id, rows.audit('site.removed')), 'conflict');
    await store.removeDevice(device.id, rows.audit('device.removed'));
    await store.addJoinToken(rows.joinToken({ siteId: site.id }), rows.audit('join-token.made'));
    await rejectsWith(store.removeSite(site.id, rows.audit('site.removed')), 'conflict', /join token/);
    await store.removeSite(site.id, rows.audit('site.removed', { at: at + 5_000 }));
    const left = await store.loadEverything();
    assert.deepEqual([left.sites, left.sitePlaces, left.joinTokens], [[first], [], []]);
    await rejectsWith(store.changeSite(site, placeOf(rows, site.id), rows.audit('site.changed')), 'not-found');
    await rejectsWith(store.removeSite(site.id, rows.audit('site.removed')), 'not-found');
  });

  contract('a door is one port of one agent, moves with it, and goes with it', async (store, rows) => {
    const doors = async () => (await store.loadEverything()).siteDoors.sort((a, b) => (a.id < b.id ? -1 : 1));
    const { agent, device } = await agentIn(store, rows, 'node');
    const other = await agentIn(store, rows, 'node2');
    const [one, two] = [doorOf(rows, agent.id, 'door-1'), doorOf(rows, agent.id, 'door-2', { port: 80, listener: 'http' })];
    await store.addDoor(one, rows.audit('door.added'));
    await store.addDoor(two, rows.audit('door.added'));
    await rejectsWith(store.addDoor(doorOf(rows, agent.id, 'door-3'), rows.audit('door.added')), 'conflict');
    await store.addDoor(doorOf(rows, other.agent.id, 'door-4'), rows.audit('door.added'));
    assert.equal((await doors()).length, 3, 'another agent may have the same address');
    await rejectsWith(store.addDoor(doorOf(rows, 'nobody', 'door-5', { port: 1 }), rows.audit('door.added')), 'not-found');
    await rejectsWith(store.removeSite(rows.siteId, rows.audit('site.removed')), 'conflict');
    const site = siteOf(rows, 'site-2', 'hamburg');
    await store.addSite(site, placeOf(rows, site.id), rows.audit('site.added'));
    await store.moveToSite({ siteId: site.id, agentIds: [agent.id], deviceIds: [device.id] }, [rows.audit('agent.moved'), rows.audit('device.moved')]);
    const moved = await store.loadEverything();
    assert.equal(moved.agents.find((row) => row.id === agent.id)?.siteId, site.id);
    assert.equal(moved.devices.find((row) => row.id === device.id)?.siteId, site.id);
    assert.deepEqual((await doors()).map((row) => row.siteId), [site.id, site.id, rows.siteId]);
    await rejectsWith(store.moveToSite({ siteId: site.id, agentIds: [], deviceIds: ['nothing'] }, [rows.audit('device.moved')]), 'not-found');
    await rejectsWith(store.changeDoor({ ...two, port: 443 }, rows.audit('door.changed')), 'conflict');
    await rejectsWith(store.changeDoor({ ...two, id: 'door-9' }, rows.audit('door.changed')), 'not-found');
    await store.changeDoor({ ...two, address: '192.0.2.2', port: 8080, listener: 'https' }, rows.audit('door.changed'));
    assert.deepEqual((await doors())[1], { ...two, siteId: site.id, address: '192.0.2.2', port: 8080, listener: 'https' }, 'and it stays where it was moved to');
    await store.removeDoor('door-2', rows.audit('door.removed'));
    await rejectsWith(store.removeDoor('door-2', rows.audit('door.removed')), 'not-found');
    await store.removeDevice(device.id, rows.audit('device.removed'));
    assert.deepEqual((await doors()).map((row) => row.id), ['door-4']);
    await store.changeAgent({ ...other.agent, state: 'revoked' }, rows.audit('agent.revoked'));
    assert.deepEqual(await doors(), [], 'a revoked agent has none');
    await rejectsWith(store.addDoor(doorOf(rows, other.agent.id, 'door-6'), rows.audit('door.added')), 'conflict');
  });
}
