import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
import type { Device } from '#model/rows.ts';

let room: AdminRoom;
let owner: Caller;
beforeEach(async () => {
  room = await startAdminRoom();
  owner = await room.owner();
});
afterEach(() => room.close());

const on = (action: 'see' | 'open' | 'administer', device: Device) => ({ action, scopeKind: 'device', scopeId: device.id }) as const;
const who = { kind: 'person', id: null, name: 'x', from: '' } as const;

suite('visits, audit, journal', () => {
  test('one sees one\'s own visits and those to what one administers; running ones with their figures', async () => {
    const [one, two] = [await room.device('One'), await room.device('Two')];
    const bob = await room.person(owner, 'bob', [on('administer', one), on('open', two)]);
    const bobId = (await bob.call('getMe')).person.id;
    const entry = (visit: { id: string; customerId: string }) => ({ at: room.clock.nowMs(), customerId: visit.customerId, actor: who, what: 'visit.opened', subjectKind: 'device', subjectId: null, subjectName: '', detail: {} });
    const mine = room.visit(two, { ...who, id: bobId });
    const others = room.visit(one, who);
    const hidden = room.visit(two, who);
    for (const visit of [mine, others, hidden]) await room.operations.openVisit({ ...visit, bytesIn: 0 }, entry(visit));
    room.live.closeVisit(others.id, 'x');
    await room.operations.closeVisits([{ visit: { ...others, closedAt: room.clock.nowMs(), why: 'done' }, audit: entry(others) }]);
    const all = (await bob.call('listVisits')).items;
    assert.deepEqual(all.map((visit) => [visit.id, visit.live, visit.bytesIn, visit.mayClose]), [[others.id, false, 2, false], [mine.id, true, 2, true]]);
    assert.deepEqual((await bob.call('listVisits', { query: { state: 'live' } })).items.map((visit) => visit.id), [mine.id]);
    assert.equal((await owner.call('listVisits', { query: { deviceId: two.id } })).items.length, 2);
    assert.equal((await bob.refused('closeVisit', { params: { id: hidden.id } })).code, 'not-found');
    await bob.call('closeVisit', { params: { id: mine.id } });
    assert.equal(room.live.closed.at(-1), `visit ${mine.id}: closed by bob`);
    const paged = await owner.call('listVisits', { query: { limit: 2 } });
    assert.equal((await owner.call('listVisits', { query: { limit: 2, cursor: paged.next! } })).items.length, 1);
  });

  test('the audit: whole for who administers the gateway, their own for others, and it verifies', async () => {
    const device = await room.device('Printer');
    const bob = await room.person(owner, 'bob', [on('administer', device)]);
    await owner.call('lockDevice', { params: { device: device.id } });
    assert.deepEqual((await bob.call('listAudit')).items.map((line) => line.what), ['device.locked']);
    const carol = await room.person(owner, 'carol', [on('open', device)]);
    assert.equal((await carol.refused('listAudit')).code, 'forbidden');
    const first = await owner.call('listAudit', { query: { limit: 2 } });
    const second = await owner.call('listAudit', { query: { limit: 2, cursor: first.next! } });
    assert.deepEqual(second.items[0]!.seq, first.items[1]!.seq - 1);
    const verdict = await owner.call('verifyAudit');
    assert.deepEqual([verdict.brokenAt, verdict.lines, verdict.headHash], [null, first.items[0]!.seq, first.items[0]!.hash]);
    assert.equal((await bob.refused('verifyAudit')).code, 'forbidden');
  });

  test('the journal in pages, for who administers the gateway', async () => {
    for (let i = 0; i < 3; i++) room.journal.note('conn.refused', { i });
    const page = await owner.call('listJournal', { query: { limit: 2, event: 'conn.refused' } });
    assert.deepEqual(page.items.map((line) => line.fields), [{ i: 2 }, { i: 1 }]);
    assert.deepEqual((await owner.call('listJournal', { query: { limit: 2, cursor: page.next! } })).items.map((line) => line.fields), [{ i: 0 }]);
  });
});
