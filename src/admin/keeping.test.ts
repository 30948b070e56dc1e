// Who may see what is kept, and who may take all of it home.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
import { Fault } from '#base/fault.ts';
import { keptKinds, type BackupState, type KeepingState } from '#model/keeping.ts';
import type { Actor } from '#model/rows.ts';

const backup: BackupState = { running: { phase: 'copying', done: 5, total: 10, startedAt: 1 }, last: { at: 2, bytes: 3 }, failed: null };
const state: KeepingState = {
  now: 7,
  kinds: keptKinds.map((kind) => ({ kind, count: 1, oldestAt: null, bytes: null, keep: { days: null, count: null, bytes: null }, dropped: 0 })),
  disk: { level: 'ok', freeBytes: 1, usedBytes: 2, reusableBytes: 0, since: 3, why: null },
  retention: { running: false, lastAt: null, failed: null },
  backup,
  restored: null,
};

suite('what is kept', () => {
  let room: AdminRoom;
  let owner: Caller;
  let runs: number;
  let acknowledged: Actor[];
  let made: Actor[];
  beforeEach(async () => {
    [runs, acknowledged, made] = [0, [], []];
    room = await startAdminRoom({
      keeping: {
        state: async () => state,
        run: async () => void (runs += 1),
        acknowledgeRestore: async (actor) => void acknowledged.push(actor),
        backup: {
          state: () => backup,
          async make(actor) {
            made.push(actor);
            if (made.length > 1) throw new Fault('conflict', 'a backup is being made already');
            return { name: 'postern-20270115T0800Z.tgz', stream: new Blob(['the archive']).stream() };
          },
        },
      },
    });
    owner = await room.owner();
  });
  afterEach(() => room.close());

  test('is shown to who sees the gateway, changed by who administers it', async () => {
    assert.deepEqual(await owner.call('getKeeping'), state);
    assert.deepEqual(await owner.call('getBackup'), backup);
    assert.deepEqual(await owner.call('runRetention'), state);
    await owner.call('acknowledgeRestore');
    assert.deepEqual([runs, acknowledged.map(({ name }) => name)], [1, ['ada']]);
    const bob = await room.person(owner, 'bob', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    assert.deepEqual(await bob.call('getKeeping'), state);
    await bob.call('getBackup');
    for (const name of ['runRetention', 'acknowledgeRestore', 'makeBackup'] as const) assert.equal((await bob.refused(name)).code, 'forbidden', name);
    const carol = await room.person(owner, 'carol', [{ action: 'administer', scopeKind: 'customer', scopeId: [...room.tables.customers.values()][0]!.id }]);
    for (const name of ['getKeeping', 'getBackup', 'runRetention', 'acknowledgeRestore', 'makeBackup'] as const) assert.equal((await carol.refused(name)).code, 'forbidden', name);
    assert.deepEqual([runs, acknowledged.length, made.length], [1, 1, 0]);
  });

  test('goes home as an archive, to who administers the gateway', async () => {
    const asked = { method: 'POST', path: '/api/v1/backup', headers: { cookie: `__Host-postern=${owner.cookie}` } };
    assert.equal((await owner.ask(asked)).status, 403, 'a cookie alone does not prove that the console asks');
    const proven = { ...asked, headers: { ...asked.headers, 'sec-fetch-site': 'same-origin' } };
    const answer = await owner.ask(proven);
    assert.deepEqual([answer.status, answer.text, answer.headers['content-type'], answer.headers['content-disposition'], answer.headers['cache-control']], [200, 'the archive', 'application/gzip', 'attachment; filename="postern-20270115T0800Z.tgz"', 'no-store']);
    assert.deepEqual(made.map(({ name }) => name), ['ada']);
    assert.equal((await owner.refused('makeBackup')).code, 'conflict');
  });
});

test('a room without a keeper says so', async () => {
  const room = await startAdminRoom();
  try {
    assert.equal((await (await room.owner()).refused('getKeeping')).code, 'unsupported');
  } finally {
    await room.close();
  }
});
