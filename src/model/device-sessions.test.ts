// Sessions of devices: who is joined, who is not, and what ends them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { buildIds } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import { handClock } from '../../test/kit/hand-clock.ts';
import { buildDeviceSessions, type DeviceSession, type DeviceSessions, type SessionRefusal } from './device-sessions.ts';
import type { Identity, IdentityBy, IdentityState } from './identity.ts';
import type { DeviceProfile } from './place-rows.ts';
import type { Device } from './rows.ts';
import { buildTable } from './table.ts';

const rules = { jar: true, urlPrefix: false, idleMinutes: 30, absoluteHours: 12 };
const prefixed = { ...rules, urlPrefix: true };
const here = { address: '192.0.2.50', siteId: 'site1' };
const minute = 60_000;

const deviceNamed = (id: string) => ({ id, customerId: 'c1', siteId: 'site1', serial: `SN-${id}`, name: id }) as Device;
const one = deviceNamed('d1');
const two = deviceNamed('d2');
const known = (device: Device | null, state: IdentityState, by: IdentityBy | null): Identity => ({ state, device, by, why: '', conflict: [] });
const byToken = known(one, 'verified', 'token');
const byAddress = known(one, 'address-only', 'address');

function room(bounds: Partial<Record<'deviceSessionsMax' | 'deviceSessionsEndedMax', number>> = {}) {
  const clock = handClock();
  const devices = buildTable<Device>({ name: 'devices', kind: 'kept', keyOf: (row) => row.id, rows: [one, two] });
  const profiles = buildTable<DeviceProfile>({ name: 'profiles', kind: 'noted', keyOf: (row) => row.deviceId });
  /** A probe read the device's own serial there. */
  const confirm = (deviceId: string, address: string, more: Partial<DeviceProfile> = {}) =>
    profiles.publish({ put: [{ deviceId, customerId: 'c1', profile: null, readAt: clock.nowMs(), address, agentId: null, trust: 'verified', mac: null, triedAt: clock.nowMs(), failure: null, ...more }] });
  const events: string[] = [];
  const sessions = buildDeviceSessions({ clock, random: randomBytes, newId: buildIds(clock.nowMs, randomBytes), limits: { ...limits, ...bounds }, journal: { note: (event, fields) => void events.push(`${event} ${fields['why'] ?? ''}`.trim()) }, devices, profiles });
  return { clock, devices, confirm, sessions, events, [Symbol.dispose]: () => sessions.close() };
}

function joined(answer: DeviceSession | SessionRefusal): DeviceSession {
  assert.ok(typeof answer !== 'string', `refused: ${String(answer)}`);
  return answer;
}

const join = (sessions: DeviceSessions, clock: { nowMs(): number }, identity: Identity, { wanted = rules, place = here, application = 'scan' } = {}) => sessions.join(application, identity, wanted, place, clock.nowMs());

test('what a device asks for is one session, by whatever program', () => {
  using all = room();
  const { sessions, clock } = all;
  const session = joined(join(sessions, clock, byToken));
  session.jar!.take(['sid=1; Path=/'], '/', true, clock.nowMs());
  clock.advance(5 * minute);
  assert.equal(join(sessions, clock, byAddress), session, 'the program that sends the scan has no token');
  assert.deepEqual([session.requests, session.openedAt, session.lastAt, session.state, session.by], [2, clock.nowMs() - 5 * minute, clock.nowMs(), 'address-only', 'address']);
  assert.equal(session.sid, null);
  assert.notEqual(join(sessions, clock, byToken, { application: 'print' }), session);
  assert.notEqual(join(sessions, clock, known(two, 'verified', 'token')), session, 'another device at the same address');
  assert.equal(session.jar!.cookieLine('/', true, clock.nowMs(), null), 'sid=1');
  assert.equal(sessions.size, 3);
  assert.equal(sessions.list()[0]!.lastAt, clock.nowMs());
});

test('nothing is joined by an identity that is not one', () => {
  using all = room();
  const { sessions, clock } = all;
  joined(join(sessions, clock, byToken));
  assert.equal(join(sessions, clock, known(null, 'ambiguous', null)), 'ambiguous');
  assert.equal(join(sessions, clock, known(one, 'ambiguous', 'address')), 'ambiguous', 'whatever else it says');
  assert.equal(join(sessions, clock, known(null, 'unknown', null)), 'unknown');
  assert.equal(sessions.size, 1);
});

test('idle and absolute ends, with one timer', () => {
  using all = room();
  const { sessions, clock, events } = all;
  const first = joined(join(sessions, clock, byToken));
  clock.advance(30 * minute - 1);
  assert.equal(join(sessions, clock, byToken), first);
  clock.advance(30 * minute);
  const second = joined(join(sessions, clock, byToken));
  assert.notEqual(second, first);
  assert.notEqual(second.jar, first.jar);
  for (let i = 0; i < 12 * 3 - 1; i++) {
    clock.advance(20 * minute);
    assert.equal(join(sessions, clock, byToken), second);
  }
  clock.advance(20 * minute);
  assert.notEqual(join(sessions, clock, byToken), second, 'twelve hours');
  clock.advance(31 * minute);
  assert.equal(sessions.size, 0, 'without anybody asking');
  assert.deepEqual(events.filter((event) => event.startsWith('device-session.ended')), ['device-session.ended idle', 'device-session.ended absolute', 'device-session.ended idle']);
  assert.equal(clock.timers, 1);
  sessions.close();
  assert.equal(clock.timers, 0);
});

test('cookies for the name by which the application is called', () => {
  using all = room();
  const { sessions, clock } = all;
  const cookiesOf = (device: string, host: string, domain: string) => {
    const { jar } = joined(join(sessions, clock, known(deviceNamed(device), 'verified', 'token'), { place: { ...here, host } as typeof here }));
    jar!.take([`a=1; Domain=${domain}`], '/', true, clock.nowMs());
    return jar!.cookieLine('/', true, clock.nowMs(), null);
  };
  assert.equal(cookiesOf('a', 'Scan.example.test:8443', 'example.test'), 'a=1');
  assert.equal(cookiesOf('b', 'scan.example.test', 'other.example.test'), '');
  assert.equal(cookiesOf('c', '[2001:db8::1]:8080', '2001:db8::1'), 'a=1');
});

test('limits follow the configuration', () => {
  using all = room();
  const { sessions, clock } = all;
  const session = joined(join(sessions, clock, byToken));
  clock.advance(10 * minute);
  assert.notEqual(join(sessions, clock, byToken, { wanted: { ...rules, idleMinutes: 5 } }), session);
  const bare = joined(join(sessions, clock, byToken, { wanted: { ...rules, jar: false } }));
  assert.equal(bare.jar, null, 'the jar was switched off');
  assert.equal(all.events.at(-2), 'device-session.ended changed');
});

test('secrets in addresses: found by digest, of one application, and not handed to the weaker', () => {
  using all = room();
  const { sessions, clock } = all;
  const verified = joined(join(sessions, clock, byToken, { wanted: prefixed }));
  assert.match(verified.sid!, /^[\w-]{22}$/);
  assert.equal(sessions.bySid(verified.sid!, 'scan', clock.nowMs()), verified);
  assert.equal(sessions.bySid(verified.sid!, 'print', clock.nowMs()), undefined);
  for (const sid of ['', 'x', 'A'.repeat(22), `${verified.sid!}A`, verified.sid!.slice(1)]) assert.equal(sessions.bySid(sid, 'scan', clock.nowMs()), undefined);
  const weaker = joined(join(sessions, clock, byAddress, { wanted: prefixed }));
  assert.notEqual(weaker, verified);
  assert.deepEqual([verified.state, weaker.state], ['verified', 'address-only']);
  assert.equal(join(sessions, clock, known(one, 'verified', 'session'), { wanted: prefixed }), verified);
  assert.equal(join(sessions, clock, known(one, 'address-only', 'session'), { wanted: prefixed }), weaker);
  assert.equal(verified.by, 'token', 'a session does not prove itself');
});

test('a secret address is of one place', () => {
  using all = room();
  const { sessions, clock } = all;
  const bySession = known(one, 'verified', 'session');
  const at = (address: string, siteId: string | null) => join(sessions, clock, bySession, { wanted: prefixed, place: { address, siteId: siteId! } });
  const session = joined(join(sessions, clock, byToken, { wanted: prefixed }));
  assert.equal(at('192.0.2.77', 'site1'), session, 'DHCP moved it in its LAN');
  assert.equal(at('192.0.2.77', 'site2'), session, 'the same address');
  assert.equal(at('203.0.113.9', 'site3'), 'elsewhere');
  assert.equal(join(sessions, clock, byToken, { wanted: prefixed, place: { address: '198.51.100.7', siteId: null as unknown as string } }), session, 'the device itself may move');
  assert.equal(at('198.51.100.200', null), session, 'large sites have several addresses');
  assert.equal(at('203.0.113.9', null), 'elsewhere');
});

test('killed: nothing of it is worth anything, and why is remembered', () => {
  using all = room({ deviceSessionsEndedMax: 2 });
  const { sessions, clock } = all;
  let changes = 0;
  const stop = sessions.watch(() => (changes += 1));
  const session = joined(join(sessions, clock, byToken, { wanted: prefixed }));
  session.jar!.take(['sid=1'], '/', true, clock.nowMs());
  assert.equal(sessions.whyEnded(session.sid!), null);
  assert.equal(sessions.kill(session.id), true);
  assert.equal(sessions.kill(session.id), false);
  assert.equal(session.jar!.cookieLine('/', true, clock.nowMs(), null), '');
  assert.equal(sessions.bySid(session.sid!, 'scan', clock.nowMs()), undefined);
  assert.equal(sessions.whyEnded(session.sid!), 'killed');
  assert.equal(join(sessions, clock, known(one, 'verified', 'session'), { wanted: prefixed }), 'ended', 'nothing begins with what is over');
  const next = joined(join(sessions, clock, byToken, { wanted: prefixed }));
  assert.notEqual(next.sid, session.sid);
  assert.equal(changes, 3);
  stop();
  for (let i = 0; i < 2; i++) sessions.kill(joined(join(sessions, clock, byToken, { wanted: prefixed })).id);
  assert.equal(sessions.whyEnded(session.sid!), null, 'not for ever');
  const idle = joined(join(sessions, clock, byToken, { wanted: prefixed }));
  clock.advance(30 * minute);
  assert.equal(sessions.bySid(idle.sid!, 'scan', clock.nowMs()), undefined);
  assert.equal(sessions.whyEnded(idle.sid!), 'idle');
});

test('verified again: by a strong mark, or by a probe where it is', () => {
  using all = room();
  const { sessions, clock, confirm, events } = all;
  const session = joined(join(sessions, clock, byAddress));
  assert.equal(sessions.reverify('nobody', clock.nowMs()), false);
  assert.equal(sessions.reverify(session.id, clock.nowMs()), true);
  assert.equal(join(sessions, clock, byAddress), 'paused');
  assert.equal(join(sessions, clock, known(one, 'verified', 'mac')), 'paused', 'what was read before says nothing');
  confirm('d1', '192.0.2.50', { readAt: clock.nowMs() - 1 });
  assert.equal(join(sessions, clock, byAddress), 'paused', 'nor does a probe that was on its way');
  clock.advance(1_000);
  confirm('d1', '192.0.2.51');
  confirm('d2', '192.0.2.50');
  confirm('d1', '192.0.2.50', { trust: 'unread' });
  confirm('d1', '192.0.2.50', { trust: 'different' });
  assert.equal(join(sessions, clock, byAddress), 'paused');
  confirm('d1', '192.0.2.50');
  assert.equal(join(sessions, clock, byAddress), session);
  sessions.reverify(session.id, clock.nowMs());
  assert.equal(join(sessions, clock, known(one, 'verified', 'session')), 'paused');
  assert.equal(join(sessions, clock, byToken), session);
  assert.equal(session.pausedAt, null);
  assert.deepEqual(events, ['device-session.opened', 'device-session.paused', 'device-session.resumed', 'device-session.paused', 'device-session.resumed']);
  sessions.reverify(session.id, clock.nowMs());
  clock.advance(31 * minute);
  assert.equal(sessions.size, 0, 'waiting is idle');
});

test('a device that is removed, and too many', () => {
  using all = room({ deviceSessionsMax: 3 });
  const { sessions, clock, devices, events } = all;
  join(sessions, clock, byToken);
  join(sessions, clock, byToken, { application: 'print' });
  join(sessions, clock, known(two, 'verified', 'token'));
  devices.publish({ removed: ['d1'] });
  assert.deepEqual(sessions.list().map((each) => each.deviceId), ['d2']);
  for (let i = 0; i < 3; i++) {
    clock.advance(1_000);
    joined(join(sessions, clock, known(deviceNamed(`m${i}`), 'verified', 'token')));
  }
  assert.deepEqual(sessions.list().map((each) => each.deviceId), ['m2', 'm1', 'm0']);
  assert.equal(events.at(-2), 'device-session.ended full');
});

test('no secret in what is noted', () => {
  const clock = handClock();
  const devices = buildTable<Device>({ name: 'devices', kind: 'kept', keyOf: (row) => row.id });
  const lines: string[] = [];
  const sessions = buildDeviceSessions({ clock, random: randomBytes, newId: buildIds(clock.nowMs, randomBytes), limits, journal: { note: (event, fields) => void lines.push(event + JSON.stringify(fields)) }, devices, profiles: buildTable<DeviceProfile>({ name: 'profiles', kind: 'noted', keyOf: (row) => row.deviceId }) });
  const session = joined(join(sessions, clock, byToken, { wanted: prefixed }));
  sessions.kill(session.id);
  sessions.close();
  assert.deepEqual(lines.map((line) => line.split('{')[0]), ['device-session.opened', 'device-session.ended']);
  assert.ok(!lines.join().includes(session.sid!));
});
