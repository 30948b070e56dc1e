import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { startAdminRoom, type AdminRoom } from '#kit/admin-room.ts';
import { buildIds } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import { buildDeviceSessions, type DeviceSession, type DeviceSessions } from '#model/device-sessions.ts';
import type { DeviceProfile } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';
import { buildTable } from '#model/table.ts';
import { handClock } from '../../test/kit/hand-clock.ts';

const rules = { jar: true, urlPrefix: true, idleMinutes: 30, absoluteHours: 12 };

interface Sessions {
  readonly room: AdminRoom;
  readonly sessions: DeviceSessions;
  begin(device: Device, application?: string): DeviceSession;
  [Symbol.asyncDispose](): Promise<void>;
}

async function start(): Promise<Sessions> {
  const clock = handClock();
  const sessions = buildDeviceSessions({
    clock, random: randomBytes, newId: buildIds(clock.nowMs, randomBytes), limits, journal: { note() {} },
    devices: buildTable<Device>({ name: 'devices', kind: 'kept', keyOf: (row) => row.id }), profiles: buildTable<DeviceProfile>({ name: 'profiles', kind: 'noted', keyOf: (row) => row.deviceId }),
  });
  const room = await startAdminRoom({ deviceSessions: sessions });
  return {
    room, sessions,
    begin(device, application = 'scan') {
      clock.advance(1_000);
      const session = sessions.join(application, { state: 'verified', device, by: 'token', why: '', conflict: [] }, rules, { address: '192.0.2.50', siteId: device.siteId }, clock.nowMs());
      assert.ok(typeof session !== 'string');
      return session;
    },
    async [Symbol.asyncDispose]() {
      sessions.close();
      await room.close();
    },
  };
}

const on = (action: 'see' | 'administer', device: Device) => ({ action, scopeKind: 'device', scopeId: device.id }) as const;

suite('sessions of devices', () => {
  test('one sees those of devices that one sees; no secret is among what is shown', async () => {
    await using all = await start();
    const { room, begin } = all;
    const owner = await room.owner();
    const [one, two] = [await room.device('One'), await room.device('Two')];
    const bob = await room.person(owner, 'bob', [on('see', one)]);
    const session = begin(one);
    session.jar!.take(['sid=very-secret; Path=/'], '/', true, 0);
    const print = begin(one, 'print');
    const hidden = begin(two);
    const { items } = await owner.call('listDeviceSessions');
    assert.deepEqual(items.map((each) => each.id), [hidden.id, print.id, session.id]);
    const shown = items[2]!;
    assert.deepEqual([shown.application, shown.device.name, shown.address, shown.state, shown.by, shown.requests, shown.inAddresses, shown.cookies, shown.mayEnd], ['scan', 'One', '192.0.2.50', 'verified', 'token', 1, true, ['sid'], true]);
    assert.ok(!JSON.stringify(items).includes('very-secret') && !JSON.stringify(items).includes(session.sid!));
    assert.deepEqual((await bob.call('listDeviceSessions')).items.map((each) => [each.id, each.mayEnd]), [[print.id, false], [session.id, false]]);
    assert.deepEqual((await owner.call('listDeviceSessions', { query: { application: 'print' } })).items.map((each) => each.id), [print.id]);
    assert.deepEqual((await owner.call('listDeviceSessions', { query: { deviceId: two.id } })).items.map((each) => each.id), [hidden.id]);
    const first = await owner.call('listDeviceSessions', { query: { limit: 2 } });
    assert.deepEqual((await owner.call('listDeviceSessions', { query: { limit: 2, cursor: first.next! } })).items.map((each) => each.id), [session.id]);
  });

  test('who administers a device ends its sessions and has it verified again; both are in the audit', async () => {
    await using all = await start();
    const { room, begin, sessions } = all;
    const owner = await room.owner();
    const [one, two] = [await room.device('One'), await room.device('Two')];
    const bob = await room.person(owner, 'bob', [on('administer', one), on('see', two)]);
    const [mine, others] = [begin(one), begin(two)];
    assert.equal((await bob.refused('killDeviceSession', { params: { id: others.id } })).code, 'forbidden');
    assert.equal((await bob.refused('reverifyDeviceSession', { params: { id: others.id } })).code, 'forbidden');
    assert.equal((await bob.refused('killDeviceSession', { params: { id: one.id } })).code, 'not-found');
    assert.notEqual((await bob.call('reverifyDeviceSession', { params: { id: mine.id } })).pausedAt, null);
    assert.notEqual(sessions.get(mine.id)!.pausedAt, null);
    await bob.call('killDeviceSession', { params: { id: mine.id } });
    assert.deepEqual(sessions.list().map((each) => each.id), [others.id]);
    assert.equal((await bob.refused('killDeviceSession', { params: { id: mine.id } })).code, 'not-found');
    assert.equal((await bob.refused('reverifyDeviceSession', { params: { id: mine.id } })).code, 'not-found');
    const audit = (await owner.call('listAudit', {})).items.filter((line) => line.what.startsWith('device-session.'));
    assert.deepEqual(audit.map((line) => [line.what, line.subjectName, line.actor.name]), [['device-session.killed', 'One', 'bob'], ['device-session.reverify-asked', 'One', 'bob']]);
  });

  test('where no applications are served', async () => {
    const room = await startAdminRoom();
    assert.equal((await (await room.owner()).refused('listDeviceSessions')).code, 'unsupported');
    await room.close();
  });
});
