import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import { limits, type Limits } from '#base/limits.ts';
import type { WaitingDevice } from '#model/rows.ts';
import { deviceRequest, openPipe, type Asked } from '../../test/kit/device-requests.ts';
import { openFileRoom, type FileRoom } from '../../test/kit/file-room.ts';
import { buildKeyedIntake, parseIdempotencyKey, type KeyedIntakeOptions, type TakenIn } from './keyed-intake.ts';
import type { Caller } from './requests.ts';

function actIn(room: FileRoom, change: Partial<KeyedIntakeOptions> = {}) {
  const taken: TakenIn[] = [];
  let ids = 0;
  const act = buildKeyedIntake({
    operations: room.operations, limits, nowMs: () => room.clock.nowMs(), newId: () => `feed-${++ids}`, random: randomBytes,
    settingsOf: () => ({ format: 'lines', alerts: [] }),
    mayStore: () => null,
    onTakenIn: (each) => void taken.push(each),
    ...change,
  });
  const caller: Caller = { kind: 'device', device: room.device, by: 'key' };
  return { taken, ask: (asked: Omit<Asked, 'customer' | 'path'> & { path?: string }, as: Caller = caller) => act(deviceRequest({ method: 'POST', path: 'in/SN1/logs', ...asked, customer: room.customer }), as) };
}

test('every row of the page: new, repeated, reused, and without a key', async () => {
  await using room = await openFileRoom();
  const { ask, taken } = actIn(room);
  const keyed = (key: string, body: string, path?: string) => ask({ body, headers: { 'idempotency-key': key }, ...(path === undefined ? {} : { path }) });
  assert.deepEqual(await keyed('k1', 'one'), { status: 200, values: { stored: true, at: 0 } });
  assert.deepEqual(await keyed('"k2"', 'two\n'), { status: 200, values: { stored: true, at: 4 } }, 'a body without its end got one');
  assert.deepEqual(await keyed('"k1"', 'one'), { status: 200, values: { repeat: true, at: 0 } }, 'with quotes or without, it is the same key');
  const reused = await keyed('k1', 'another');
  assert.deepEqual([reused.status, reused.values['error']], [422, 'key-reused']);
  assert.deepEqual(await ask({ body: 'three\n' }), { status: 200, values: { stored: true, at: 8 } });
  assert.deepEqual(await ask({ body: 'three\n' }), { status: 200, values: { stored: true, at: 14 } }, 'without a key everything is new');
  assert.deepEqual(await keyed('k1', 'one', 'in/SN1/other'), { status: 200, values: { stored: true, at: 0 } }, 'keys are of their feed');
  const byBody = (body: string) => ask({ body, path: 'in/SN1/logs?key=body' });
  assert.deepEqual((await byBody('four\n')).values, { stored: true, at: 20 });
  assert.deepEqual((await byBody('four\n')).values, { repeat: true, at: 20 });
  assert.deepEqual((await byBody('five\n')).values, { stored: true, at: 25 });
  // Somebody's own key that reads like the digest of a body is not that body's.
  const digest = createHash('sha256').update('four\n').digest('hex');
  assert.deepEqual((await keyed(digest, 'six\n')).values, { stored: true, at: 30 });
  const epochs = await room.operations.epochsOfDevice(room.device.id);
  assert.deepEqual(epochs.map((row) => [row.feed, row.kind, row.next, row.records, row.repeats]).sort(), [['logs', 'keyed', 34, 7, 2], ['other', 'keyed', 4, 1, 0]]);
  assert.equal(taken.length, 11);
});

test('the same key while the first is being stored', async () => {
  await using room = await openFileRoom();
  const gate = Promise.withResolvers<void>();
  const slow: KeyedIntakeOptions['operations'] = {
    intakeKeyed: async (pushes) => {
      await gate.promise;
      return room.operations.intakeKeyed(pushes);
    },
  };
  const { ask } = actIn(room, { operations: slow, limits: { ...limits, keyedIntakesAtOnceMax: 2 } as unknown as Limits });
  const first = ask({ body: 'a\n', headers: { 'idempotency-key': 'k' } });
  await new Promise((resolve) => setImmediate(resolve));
  const second = await ask({ body: 'a\n', headers: { 'idempotency-key': 'k' } });
  assert.deepEqual([second.status, second.values['error'], second.values['retry']], [503, 'busy', 1]);
  const other = ask({ body: 'b\n' });
  await assert.rejects(ask({ body: 'c\n' }), (thrown) => isFault(thrown, 'busy'));
  gate.resolve();
  assert.deepEqual((await first).values['stored'], true);
  assert.deepEqual((await other).values['stored'], true);
  assert.deepEqual((await ask({ body: 'a\n', headers: { 'idempotency-key': 'k' } })).values, { repeat: true, at: 0 });
});

test('what is refused stores nothing', async () => {
  await using room = await openFileRoom();
  const { ask } = actIn(room, { limits: { ...limits, pushBytesMax: 10 } as unknown as Limits });
  const large = await ask({ body: 'x'.repeat(11) });
  assert.deepEqual([large.status, large.values['max']], [413, 10]);
  assert.equal((await ask({ body: 'x', headers: { 'x-postern-sha256': '0'.repeat(64) } })).status, 422);
  const waiting: Caller = { kind: 'waiting', waiting: { id: 'w' } as WaitingDevice, quarantineBytes: 1_000 };
  assert.deepEqual((await ask({ body: 'x' }, waiting)).values['error'], 'waiting');
  for (const [asked, code] of [
    [{ body: 'x', headers: { 'idempotency-key': '' } }, 'bad-input'],
    [{ body: 'x', headers: { 'x-postern-format': 'words' } }, 'bad-input'],
    [{ body: 'x', path: 'in/SN1/logs?key=mine' }, 'bad-input'],
    [{ body: 'x', path: 'in/SN1/LOGS' }, 'bad-input'],
    [{ body: 'x', path: 'in/SN1' }, 'not-found'],
    [{ method: 'GET' }, 'unsupported'],
  ] as const) await assert.rejects(ask(asked), (thrown) => isFault(thrown, code), JSON.stringify(asked));
  const full = new Fault('busy', 'the disk is nearly full');
  await assert.rejects(actIn(room, { mayStore: () => full }).ask({ body: 'x' }), (thrown) => thrown === full);
  assert.deepEqual(await room.operations.epochsOfDevice(room.device.id), []);
});

test('keys with quotes and without, and those that are none', () => {
  assert.equal(parseIdempotencyKey(' abc '), 'abc');
  assert.equal(parseIdempotencyKey('"a\\"b\\\\c"'), 'a"b\\c');
  assert.equal(parseIdempotencyKey('"abc";v=1'), 'abc');
  assert.equal(parseIdempotencyKey('"open'), '"open');
  assert.equal(parseIdempotencyKey('é'), 'é');
  assert.equal(parseIdempotencyKey('k'.repeat(255)).length, 255);
  for (const text of ['', '   ', '""', 'k'.repeat(256), 'a\u0000b', 'a\u0085b']) assert.throws(() => parseIdempotencyKey(text), (thrown) => isFault(thrown, 'bad-input'), JSON.stringify(text));
});

test('a copy of a signed request that was made on the way brings nothing a second time', async () => {
  await using room = await openFileRoom();
  const { ask } = actIn(room);
  const sign = (letter: string) => ({ 'x-postern-sign': `v1,1,${letter.repeat(16)},${'0'.repeat(64)}` });
  assert.deepEqual((await ask({ body: 'one\n', headers: sign('a') })).values, { stored: true, at: 0 });
  assert.deepEqual((await ask({ body: 'one\n', headers: sign('a') })).values, { repeat: true, at: 0 });
  assert.deepEqual((await ask({ body: 'one\n', headers: sign('b') })).values, { stored: true, at: 4 }, 'the device means it twice');
});

test('bodies that come slowly take no places, and one device only so many', async () => {
  await using room = await openFileRoom();
  const { ask } = actIn(room, { limits: { ...limits, keyedIntakesAtOnceMax: 1, keyedIntakesPerDeviceMax: 2 } as Limits });
  const pipes = [openPipe(), openPipe()] as const;
  const slow = ask({ body: pipes[0].pieces });
  pipes[0].push(Buffer.from('slow\n'));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await ask({ body: 'quick\n' })).status, 200);
  const another = ask({ body: pipes[1].pieces });
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual((await ask({ body: 'third\n' })).values['error'], 'too-many');
  pipes[0].end();
  assert.equal((await slow).status, 200);
  pipes[1].end();
  assert.equal((await another).status, 200);
});
