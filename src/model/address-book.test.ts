// Over a real store: what is given is there after a restart, and nobody gets two, or another's.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Fault, isFault, type FaultCode } from '#base/fault.ts';
import { buildIds } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { openStore } from '#store/open.ts';
import { handClock } from '../../test/kit/hand-clock.ts';
import { addressRestMs } from './address-pool.ts';
import { buildAddressBook, type AddressBook, type AddressBookOptions } from './address-book.ts';
import type { Actor, AuditEntry, Device } from './rows.ts';
import { buildTables, type Tables } from './tables.ts';

const ada: Actor = { kind: 'person', id: 'p1', name: 'ada', from: '192.0.2.7' };
const faults = (code: FaultCode, message: RegExp) => (thrown: unknown) => isFault(thrown, code) && message.test(thrown.message);

async function openRoom(t: TestContext, networks: readonly string[], more: Partial<AddressBookOptions> = {}) {
  const dataDir = await mkdtemp(join(tmpdir(), 'postern-book-'));
  const clock = handClock();
  const newId = buildIds(clock.nowMs, randomBytes);
  let store = await openStore({ dataDir, clock, random: randomBytes, log: silentLog });
  let book: AddressBook | null = null;
  let tables: Tables;
  const room = {
    clock,
    networks,
    get store() {
      return store;
    },
    get tables() {
      return tables;
    },
    get book() {
      return book!;
    },
    async load() {
      book?.close();
      tables = buildTables(await store.loadEverything());
      book = buildAddressBook({ tables, operations: store, inTurn: buildInTurn(10_000), clock, limits, networks: () => room.networks, isReserved: () => false, ...more });
    },
    async restart() {
      await store.close();
      store = await openStore({ dataDir, clock, random: randomBytes, log: silentLog });
      await room.load();
    },
    async device(name: string): Promise<Device> {
      const site = tables.sites.values().next().value!;
      const device: Device = { id: newId(), customerId: site.customerId, siteId: site.id, agentId: null, serial: name, label: name, name, host: '', ports: [], hostHeader: 'own', locked: false, createdAt: 1 };
      const audit: AuditEntry = { at: clock.nowMs(), customerId: site.customerId, actor: ada, what: 'device.added', subjectKind: 'device', subjectId: device.id, subjectName: name, detail: {} };
      await store.addDevice(device, audit);
      tables.devices.publish({ put: [device] });
      return device;
    },
    async remove(device: Device) {
      await store.removeDevice(device.id, { at: clock.nowMs(), customerId: device.customerId, actor: ada, what: 'device.removed', subjectKind: 'device', subjectId: device.id, subjectName: device.name, detail: {} });
      tables.devices.publish({ removed: [device.id] });
    },
  };
  await room.load();
  t.after(async () => {
    book?.close();
    await store.close();
    await rm(dataDir, { recursive: true, force: true });
  });
  return room;
}

test('given once, to many at once, and the same after a restart', async (t) => {
  const room = await openRoom(t, ['127.72.0.0/16']);
  const devices: Device[] = [];
  for (let i = 0; i < 30; i++) devices.push(await room.device(`d${i}`));
  assert.equal(room.book.addressOf(devices[0]!.id), null);
  // Every one is asked for three times in the same moment, and all of them together.
  const [all, ...each] = await Promise.all([room.book.ensureAll(devices.map(({ id }) => id)), ...[0, 1, 2].flatMap(() => devices.map(({ id }) => room.book.ensure(id)))]);
  assert.deepEqual(all.without, []);
  const addresses = devices.map(({ id }) => room.book.addressOf(id)!);
  assert.equal(new Set(addresses).size, 30);
  for (const [i, address] of each.entries()) assert.equal(address, addresses[i % 30]);
  const audit = (await room.store.listAudit({ limit: 100, what: 'address.given' })).map((line) => line.detail['address']);
  assert.deepEqual(audit.toSorted(), addresses.toSorted(), 'one line for each');
  await room.restart();
  assert.deepEqual(devices.map(({ id }) => room.book.addressOf(id)), addresses);
});

test('an address that was released goes to another device last, also over a restart, and its own device has it back', async (t) => {
  const room = await openRoom(t, ['192.0.2.0/29']);
  const devices: Device[] = [];
  for (let i = 0; i < 4; i++) devices.push(await room.device(`d${i}`));
  const [a, b, c, d] = devices as [Device, Device, Device, Device];
  const [first, second] = [await room.book.ensure(a.id), await room.book.ensure(b.id)];
  await room.book.release(a, ada);
  assert.equal(room.book.addressOf(a.id), null);
  await assert.rejects(room.book.release(a, ada), faults('not-found', /has no virtual address/));
  await room.remove(b);
  assert.deepEqual([room.book.counts.used, room.book.counts.resting], [0, 2]);
  room.clock.advance(1_000);
  await room.restart();
  assert.deepEqual([room.book.counts.used, room.book.counts.resting], [0, 2], 'who had what is known after a restart');
  const others = [await room.book.ensure(c.id), await room.book.ensure(d.id)];
  assert.ok(!others.includes(first) && !others.includes(second));
  assert.equal(await room.book.ensure(a.id), first, 'its own');
  const last = await room.book.ensure((await room.device('d4')).id);
  assert.ok(![first, second, ...others].includes(last), 'five in all: the one that nobody had');
  assert.equal(await room.book.ensure((await room.device('d5')).id), second, 'nothing else is left');
  await assert.rejects(room.book.ensure((await room.device('d6')).id), faults('too-many', /no address left/));
  const left = await room.book.ensureAll([(await room.device('d7')).id, c.id]);
  assert.deepEqual([left.given, left.without.length], [0, 1]);
  await room.book.release(c, ada);
  room.clock.advance(addressRestMs + 1);
  await room.book.ensure((await room.device('d8')).id);
  assert.equal(room.book.counts.resting, 0);
});

test('a person\'s choice stays; what the pool lost is given anew, unless it was chosen', async (t) => {
  const room = await openRoom(t, ['127.72.0.0/16'], { isReserved: (address) => address === '127.72.0.9' });
  const [a, b] = [await room.device('a'), await room.device('b')];
  const pinned = await room.book.set(a, '::ffff:127.72.0.5', ada);
  assert.deepEqual([pinned.address, pinned.pinned], ['127.72.0.5', true]);
  const lines = (await room.store.auditHead()).seq;
  await room.book.set(a, '127.72.0.5', ada);
  assert.equal((await room.store.auditHead()).seq, lines, 'nothing changed, nothing is written');
  await assert.rejects(room.book.set(b, '127.72.0.5', ada), faults('conflict', /^a has 127\.72\.0\.5$/));
  await assert.rejects(room.book.set({ ...b, customerId: 'of-another' }, '127.72.0.5', ada), faults('conflict', /^another device has 127\.72\.0\.5$/), 'no name of another customer');
  await assert.rejects(room.book.set(b, '127.72.0.9', ada), faults('conflict', /belongs to this machine/));
  await assert.rejects(room.book.set(b, '127.72.0.255', ada), faults('bad-input', /no address that the pool may give/));
  const loose = await room.book.ensure(b.id);
  room.networks = ['127.73.0.0/16'];
  assert.deepEqual([room.book.addressOf(a.id), room.book.addressOf(b.id), room.book.counts.outside], [null, null, 2]);
  await assert.rejects(room.book.ensure(a.id), faults('conflict', /pinned to 127\.72\.0\.5, which the address pool does not have/));
  assert.match(await room.book.ensure(b.id), /^127\.73\./);
  assert.equal(room.tables.releasedAddresses.get(loose)?.deviceId, b.id);
  const unpinned = await room.book.set(a, null, ada);
  assert.match(unpinned.address, /^127\.73\./);
  assert.equal(unpinned.pinned, false);
  room.networks = [];
  await assert.rejects(room.book.ensure(a.id), faults('unsupported', /no address pool/));
  await assert.rejects(room.book.set(a, null, ada), faults('unsupported', /no address pool/));
});

test('a store that does not take it: nobody has an address that is not in it', async (t) => {
  let isDown = true;
  const room = await openRoom(t, ['127.72.0.0/16']);
  const book = buildAddressBook({
    tables: room.tables, inTurn: buildInTurn(10), clock: room.clock, limits, networks: () => room.networks, isReserved: () => false,
    operations: { changeVirtualAddresses: (change, audits) => (isDown ? Promise.reject(new Fault('busy', 'the store is away')) : room.store.changeVirtualAddresses(change, audits)) },
  });
  t.after(() => book.close());
  const device = await room.device('a');
  await assert.rejects(book.ensure(device.id), faults('busy', /away/));
  assert.equal(book.addressOf(device.id), null);
  isDown = false;
  assert.equal(await book.ensure(device.id), book.addressOf(device.id));
  await assert.rejects(book.ensure('nobody'), faults('not-found', /no such device/));
});

test('a pool without an address left is looked at once, not for each device that comes', async (t) => {
  let looks = 0;
  const reserved = new Set<string>();
  const room = await openRoom(t, ['127.72.0.0/24'], {
    isReserved(address) {
      looks += 1;
      return reserved.has(address) || address !== '127.72.0.7';
    },
  });
  reserved.add('127.72.0.7');
  const [a, b] = [await room.device('a'), await room.device('b')];
  for (let i = 0; i < 20; i++) for (const { id } of [a, b]) await assert.rejects(room.book.ensure(id), faults('too-many', /no address left/));
  assert.ok(looks <= 253, `${looks} addresses were looked at`);
  reserved.clear();
  room.clock.advance(1_000);
  assert.equal(await room.book.ensure(a.id), '127.72.0.7', 'what is not reserved any more is found');
  await assert.rejects(room.book.ensure(b.id), faults('too-many', /no address left/));
  await room.book.release(a, ada);
  assert.equal(await room.book.ensure(b.id), '127.72.0.7', 'what was released is found at once');
});
