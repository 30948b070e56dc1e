import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { eventually, startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
import type { Query } from '#api/contract.ts';

let room: AdminRoom;
let owner: Caller;
beforeEach(async () => {
  room = await startAdminRoom();
  owner = await room.owner();
});
afterEach(() => room.close());

const route = (name: string, body = name) => ({ name, host: `${name}.example.test`, target: { kind: 'respond', body } });

/** Replaces the routes of the configuration in force. */
async function put(routes: readonly unknown[], query: Query<'putConfig'> = {}) {
  const { revision, config } = await owner.call('getConfig');
  return owner.call('putConfig', { body: { ...(config as Record<string, unknown>), routes: [...routes] }, query, headers: { 'if-match': `"${revision}"` } });
}

suite('changing the configuration', () => {
  test('for a while: it is told who, until when and what, and it comes back', async () => {
    assert.deepEqual(await owner.call('getConfigState'), { now: room.clock.nowMs(), revision: 1, provisional: null, missing: [] });
    const done = await put([route('wiki')], { confirmWithinMs: 60_000, diff: 'true' });
    assert.deepEqual([done.revision, done.confirmBy], [2, room.clock.nowMs() + 60_000]);
    assert.deepEqual(done.diff?.differences.map(({ section, name, kind }) => [section, name, kind]), [['routes', 'wiki', 'added']]);
    const { provisional } = await owner.call('getConfigState');
    assert.deepEqual([provisional?.revision, provisional?.restores, provisional?.actor.name, provisional?.confirmBy, provisional?.summary], [2, 1, 'ada', done.confirmBy, 'route wiki added']);
    const { config } = await owner.call('getConfig');
    const refused = await owner.refused('putConfig', { body: config as Record<string, unknown>, headers: { 'if-match': '"2"' } });
    assert.deepEqual([refused.status, refused.code], [409, 'conflict']);
    assert.match(`${refused.detail} ${refused.remedy}`, /applied by ada, waits to be confirmed until \d{4}-.*\(postern confirm\)/);
    room.clock.advance(60_000);
    await eventually(async () => (await owner.call('getConfigState')).revision === 3, 'the way back');
    assert.deepEqual((await owner.call('listRevisions')).items.map((row) => [row.number, row.actor.name, row.summary, row.state, row.restores]), [
      [3, 'postern', 'route wiki removed', 'in-force', 1],
      [2, 'ada', 'route wiki added', 'rolled-back', null],
      [1, 'postern', 'the first configuration', 'past', null],
    ]);
    assert.equal((await owner.refused('confirmConfig', { body: { revision: 2 } })).status, 409);
    assert.deepEqual((await owner.call('listAudit', { query: { what: 'config.rolled-back' } })).items.map((line) => [line.actor.kind, line.detail['undoes']]), [['gateway', 2]]);
  });

  test('confirmed, it stays; taken back, it is gone at once', async () => {
    await put([route('wiki')], { confirmWithinMs: 10_000 });
    assert.equal((await owner.call('listRevisions')).items[0]!.state, 'provisional');
    assert.deepEqual(await owner.call('confirmConfig', { body: { revision: 2 } }), { revision: 2 });
    room.clock.advance(3_600_000);
    assert.deepEqual((await owner.call('listRevisions')).items.map((row) => row.state), ['in-force', 'past']);
    await put([], { confirmWithinMs: 10_000 });
    assert.deepEqual(await owner.call('rollBackConfig', { body: {} }), { revision: 4, changed: true, confirmBy: null, missing: [] });
    assert.deepEqual(((await owner.call('getConfig')).config as { routes: { name: string }[] }).routes.map((each) => each.name), ['wiki']);
    assert.equal((await owner.refused('rollBackConfig', { body: {} })).status, 400);
  });

  test('the time to confirm has bounds', async () => {
    for (const confirmWithinMs of [9_999, 3_600_001, 1.5, Number.NaN]) {
      const { config } = await owner.call('getConfig');
      assert.equal((await owner.refused('putConfig', { body: config as Record<string, unknown>, query: { confirmWithinMs }, headers: { 'if-match': '"1"' } })).code, 'bad-input', String(confirmWithinMs));
    }
  });

  test('revisions are read in pages, one by one, compared and brought back', async () => {
    await put([route('wiki')]);
    await put([route('wiki', 'new text'), route('shop')]);
    const first = await owner.call('listRevisions', { query: { limit: 2 } });
    assert.deepEqual([first.items.map((row) => row.number), first.next], [[3, 2], '2']);
    assert.deepEqual(await owner.call('listRevisions', { query: { limit: 2, cursor: '2' } }), { items: (await owner.call('listRevisions')).items.slice(2), next: null });
    const one = await owner.call('getRevision', { params: { number: 2 } });
    assert.deepEqual([one.number, one.state, (one.config as { routes: { name: string }[] }).routes.length], [2, 'past', 1]);
    const diff = await owner.call('diffRevisions', { params: { number: 2, other: 3 } });
    assert.deepEqual([diff.from, diff.to, diff.omitted], [2, 3, 0]);
    assert.deepEqual(diff.differences[0], { section: 'routes', name: 'wiki', kind: 'changed', fields: [{ path: 'target.body', before: 'wiki', after: 'new text' }] });
    assert.deepEqual([diff.differences[1]?.kind, diff.differences[1]?.name, 'before' in diff.differences[1]!.fields[0]!], ['added', 'shop', false]);
    const back = await owner.call('rollBackConfig', { body: { to: 2, against: 3 } });
    assert.deepEqual(back, { revision: 4, changed: true, confirmBy: null, missing: [] });
    assert.deepEqual((await owner.call('diffRevisions', { params: { number: 2, other: 4 } })).differences, []);
    assert.equal((await owner.refused('rollBackConfig', { body: { to: 1, against: 3 } })).status, 409);
    for (const number of ['99', '0', '-1', 'x', '1e3']) assert.equal((await owner.refused('getRevision', { params: { number } })).status, 404, number);
    assert.equal((await owner.refused('diffRevisions', { params: { number: 1, other: 99 } })).status, 404);
  });

  test('is for who administers the gateway', async () => {
    const bob = await room.person(owner, 'bob', [{ action: 'open', scopeKind: 'gateway', scopeId: null }]);
    await put([route('wiki')], { confirmWithinMs: 60_000 });
    assert.equal((await bob.refused('getConfigState')).code, 'forbidden');
    assert.equal((await bob.refused('confirmConfig', { body: { revision: 2 } })).code, 'forbidden');
    assert.equal((await bob.refused('rollBackConfig', { body: {} })).code, 'forbidden');
    assert.equal((await bob.refused('getRevision', { params: { number: 1 } })).code, 'forbidden');
    assert.equal((await bob.refused('diffRevisions', { params: { number: 1, other: 2 } })).code, 'forbidden');
    await owner.call('confirmConfig', { body: { revision: 2 } });
  });

  test('is told as it happens, to those who administer the gateway', async () => {
    const bob = await room.person(owner, 'bob', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    const heard = { owner: '', bob: '' };
    const gone = new AbortController();
    const listening = Object.entries({ owner, bob }).map(async ([who, caller]) => {
      const response = await fetch(`http://${room.host}/api/v1/events`, { signal: gone.signal, headers: { cookie: `__Host-postern=${caller.cookie}`, origin: `http://${room.host}` } });
      for await (const text of response.body!.pipeThrough(new TextDecoderStream())) heard[who as keyof typeof heard] += text;
    });
    const counted = (who: keyof typeof heard, event: string) => heard[who].split(`event: ${event}\n`).length - 1;
    await eventually(() => counted('owner', 'hello') === 1 && counted('bob', 'hello') === 1, 'both to be heard');
    await put([route('wiki')], { confirmWithinMs: 10_000 });
    room.clock.advance(250);
    await eventually(() => counted('owner', 'config') === 1 && counted('bob', 'status') === 1, 'the change');
    room.clock.advance(10_000);
    await eventually(async () => (await owner.call('getConfigState')).revision === 3, 'the way back');
    room.clock.advance(250);
    await eventually(() => counted('owner', 'config') === 2, 'the way back to be told');
    assert.equal(counted('bob', 'config'), 0);
    gone.abort();
    await Promise.allSettled(listening);
  });
});
