import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { limits, type Limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import { parseConfig, firstConfig } from '#model/config.ts';
import type { Device, DeviceNote, FeedEpoch, WaitingDevice } from '#model/rows.ts';
import { buildTable } from '#model/table.ts';
import { deviceRequest, openPipe, type Asked } from '../../test/kit/device-requests.ts';
import { handClock } from '../../test/kit/hand-clock.ts';
import { parseSaidFeed } from '#wire/device.ts';
import { buildAction, buildCheckIn, type CheckInDeps } from './check-in.ts';
import { keepDeviceNotes } from './device-notes.ts';
import type { Caller } from './requests.ts';

const customer = { id: 'c1', key: 'default', name: 'Default', createdAt: 1 };
const device = { id: 'd1', customerId: 'c1', siteId: 's1', agentId: null, serial: 'SN1', label: 'sn1', name: 'Press', host: '', ports: [], hostHeader: 'own', locked: false, createdAt: 1 } as const;
const caller: Caller = { kind: 'device', device, by: 'key' };
const epoch = '5b1e0c77a1d2e3f4';
const pin = `sha256//${'A'.repeat(43)}=`;

/** What the store says of the device's epochs, and all else as the gateway has it. */
function openRoom(change: Partial<CheckInDeps> & { readonly epochs?: readonly Partial<FeedEpoch & { feed: string }>[]; readonly document?: object } = {}) {
  const clock = handClock(Date.UTC(2026, 10, 20, 15));
  const written: DeviceNote[] = [];
  const deviceNotes = buildTable<DeviceNote>({ name: 'deviceNotes', kind: 'noted', keyOf: (row) => row.deviceId });
  const devices = buildTable<Device>({ name: 'devices', kind: 'kept', keyOf: (row) => row.id, rows: [device] });
  const waitingDevices = buildTable<WaitingDevice>({ name: 'waitingDevices', kind: 'kept', keyOf: (row) => row.id });
  const notes = keepDeviceNotes({ deviceNotes, devices, waitingDevices, operations: { noteDevices: async (rows) => void written.push(...rows) }, clock, log: silentLog });
  const events: [string, Readonly<Record<string, unknown>>][] = [];
  const parsed = parseConfig({ ...firstConfig({ domain: 'gw.example.test', httpPort: 1, httpsPort: 2 }), ...change.document });
  assert.ok('config' in parsed, JSON.stringify(parsed));
  const act = buildCheckIn({
    operations: { epochsOfDevice: async () => (change.epochs ?? []) as never },
    notes, random: randomBytes, limits,
    nowMs: () => clock.nowMs(),
    journal: { note: (event, fields) => void events.push([event, fields]) },
    settings: () => parsed.config,
    pinsFor: () => [],
    elsewhereFor: async () => null,
    ...change,
  });
  return { clock, notes, written, deviceNotes, devices, waitingDevices, events, act, ask: (asked: Omit<Asked, 'customer' | 'path'> & { path?: string }, as: Caller = caller) => act(deviceRequest({ path: 'check-in/SN1', ...asked, customer }), as) };
}

test('a device that says nothing is told when to come again', async () => {
  const room = openRoom();
  assert.deepEqual(await room.ask({ method: 'POST', body: '' }), { status: 200, values: { poll: 86_400, jitter: 600, push: 300 } });
  assert.equal(room.deviceNotes.size, 0, 'noted in batches');
  assert.deepEqual(room.events, []);
});

test('every line of the page: what it says is noted, what it should know is told', async () => {
  const room = openRoom({
    epochs: [{ feed: 'cdr', epoch, next: 152_000, sealedAt: null, claimed: null }],
    document: { checkIn: { pollSeconds: 3_600, jitterSeconds: 60, pushSeconds: 30 }, feeds: [{ name: 'calls', feeds: 'cdr', prio: '9?911' }] },
    pinsFor: () => [pin, pin.replace('AA', 'BB')],
    elsewhereFor: async () => ({ base: 'https://in2.example.test/v1/acme', ttlSeconds: 3_600 }),
  });
  const body = `why=boot fw=2.95 hw=ip4 up=37 clock=946684837.0 tz=Europe/London name=Lobby ip=192.0.2.7 free=812000\ncfg=9f2c11aa scr=00000000 pins=${pin} hops=0\nfeed.cdr=${epoch}:152000:1840:0\n`;
  const answer = await room.ask({ method: 'POST', body });
  assert.deepEqual(answer, {
    status: 200,
    values: {
      poll: 3_600, jitter: 60, push: 30, prio: '9?911', zone: 'GMT0BST,M3.5.0/1,M10.5.0', 'zone-next': '1806195600:3600,1824944400:0,1837645200:3600,1856394000:0',
      'next.cdr': 152_000, pins: `${pin},${pin.replace('AA', 'BB')}`, base: 'https://in2.example.test/v1/acme', ttl: 3_600,
    },
  });
  assert.equal(room.deviceNotes.size, 1, 'pins at once: whether a key may change depends on them');
  room.clock.advance(5_000);
  await room.notes.flush();
  const at = Date.UTC(2026, 10, 20, 15);
  const expected: DeviceNote = {
    deviceId: 'd1', customerId: 'c1', lastSeenAt: at, lastPushAt: null, lastCheckInAt: at, from: '192.0.2.9', fw: '2.95', hw: 'ip4', up: 37, clockSkewMs: 946_684_837_000 - at, zone: 'Europe/London', pins: [pin],
    facts: { why: 'boot', name: 'Lobby', ip: '192.0.2.7', free: '812000', cfg: '9f2c11aa', scr: '00000000', hops: '0', 'feed.cdr': `${epoch}:152000:1840:0` },
  };
  assert.deepEqual(room.deviceNotes.get('d1'), expected);
  assert.deepEqual(room.written, [expected]);
  // The zone is remembered; what it does not say stays.
  const second = await room.ask({ method: 'POST', body: 'why=daily' });
  assert.equal(second.values['zone'], 'GMT0BST,M3.5.0/1,M10.5.0');
  assert.deepEqual([room.notes.get('d1')?.fw, room.notes.get('d1')?.facts], ['2.95', { why: 'daily' }]);
  assert.deepEqual(room.events, []);
});

test('the same by GET, for clients that cannot send a body, even with plus signs as they are', async () => {
  const room = openRoom();
  const plus = pin.replace('AA', '+a');
  const answer = await room.ask({ method: 'GET', path: `check-in/SN1?why=boot&tz=Asia/Kathmandu&pins=${plus}&feed.cdr=${epoch}:0:0:0&fw=1%0Aup=5` });
  assert.deepEqual(answer.values, { poll: 86_400, jitter: 600, push: 300, zone: '<+0545>-5:45', 'next.cdr': 0 });
  assert.deepEqual([room.notes.get('d1')?.pins, room.notes.get('d1')?.fw, room.notes.get('d1')?.up], [[plus], '1 up=5', null], 'a value is never two');
});

test('zones: the device’s own before the configured; nonsense is none', async () => {
  const room = openRoom({ document: { checkIn: { zone: 'Europe/Berlin' } } });
  const zoneOf = async (tz: string) => (await room.ask({ method: 'POST', body: `tz=${tz}\n` })).values['zone'];
  assert.equal(await zoneOf('Mars/Olympus'), 'CET-1CEST,M3.5.0,M10.5.0/3');
  assert.equal(room.notes.get('d1')?.zone, null);
  assert.equal(await zoneOf('Asia/Kolkata'), 'IST-5:30');
  assert.equal(await zoneOf(''), 'IST-5:30');
});

test('a gateway that has less than it confirmed, and data that a device lost, are events', async () => {
  const row = { feed: 'cdr', epoch, next: 100, sealedAt: null, claimed: null };
  const room = openRoom({ epochs: [row] });
  const events = async (feed: string) => {
    room.events.length = 0;
    await room.ask({ method: 'POST', body: `feed.cdr=${feed}` });
    return room.events.map(([event, fields]) => [event, fields['next'] ?? fields['bytes'], fields['claimed'] ?? fields['inAll']]);
  };
  assert.deepEqual(await events(`${epoch}:100:0:0`), []);
  assert.deepEqual(await events(`${epoch}:150:0:0`), [['feed.behind', 100, 150]]);
  assert.deepEqual(await events(`${epoch}:100:0:30`), [['check-in.lost', 30, 30]]);
  assert.deepEqual(await events(`${epoch}:100:0:30`), [], 'once');
  assert.deepEqual(await events(`${epoch}:100:0:45`), [['check-in.lost', 15, 45]]);
  assert.deepEqual(await events(`${'0'.repeat(16)}:7:0:45`), [['feed.behind', 0, 7], ['check-in.lost', 45, 45]], 'an epoch that nobody knows');
  for (const known of [{ ...row, claimed: 150 }, { ...row, sealedAt: 5 }]) {
    const other = openRoom({ epochs: [known] });
    await other.ask({ method: 'POST', body: `feed.cdr=${epoch}:150:0:0` });
    assert.deepEqual(other.events, [], 'reported before, or gone elsewhere');
  }
  const away = openRoom({ elsewhereFor: async () => ({ base: 'https://in2.example.test/v1/acme', ttlSeconds: 1 }) });
  await away.ask({ method: 'POST', body: `feed.cdr=${epoch}:150:0:0` });
  assert.deepEqual(away.events, [], 'its bytes are there');
});

test('who waits for approval is told so, comes sooner, and is sent nowhere', async () => {
  const room = openRoom({ elsewhereFor: () => Promise.reject(new Error('not for strangers')) });
  const answer = await room.ask({ method: 'POST', body: 'fw=1' }, { kind: 'waiting', waiting: { id: 'w1' } as WaitingDevice, quarantineBytes: null });
  assert.deepEqual(answer.values, { waiting: true, poll: 600, jitter: 600, push: 300 });
  assert.equal(room.notes.get('w1')?.fw, '1');
});

test('patterns of several feeds become one', async () => {
  const feeds = [{ name: 'a', feeds: 'cdr', devices: 'SN*', prio: '911' }, { name: 'b', feeds: 'log*', prio: 'fire|smoke' }, { name: 'c', feeds: '*', customer: 'other', prio: 'x' }, { name: 'd', feeds: '*' }];
  const room = openRoom({ document: { feeds } });
  const prioOf = async (...names: string[]) => (await room.ask({ method: 'POST', body: names.map((name) => `feed.${name}=${epoch}:0:0:0`).join('\n') })).values['prio'];
  assert.equal(await prioOf('cdr'), '911');
  assert.equal(await prioOf('cdr', 'log1', 'log2'), '(?:911)|(?:fire|smoke)');
  assert.equal(await prioOf(), '(?:911)|(?:fire|smoke)');
  assert.equal(await prioOf('meter'), undefined);
});

test('ten thousand at once: bounded work, and each of the others gets a moment of its own', async () => {
  const waiting = Promise.withResolvers<never[]>();
  const room = openRoom({ operations: { epochsOfDevice: () => waiting.promise }, document: { checkIn: { jitterSeconds: 300 } } });
  const answers = Array.from({ length: 10_000 }, () => room.ask({ method: 'POST', body: `feed.cdr=${epoch}:0:0:0` }));
  await new Promise((resolve) => setImmediate(resolve));
  waiting.resolve([]);
  const all = await Promise.all(answers);
  const refused = all.filter((answer) => answer.status === 503);
  assert.equal(all.length - refused.length, limits.checkInsAtOnceMax);
  const retries = refused.map((answer) => Number(answer.values['retry']));
  assert.ok(retries.every((retry) => retry >= 1 && retry <= 301));
  assert.ok(new Set(retries).size > 250, 'spread over the jitter');
  assert.equal((await room.ask({ method: 'POST', body: '' })).status, 200, 'the places are free again');
  room.clock.advance(5_000);
  await room.notes.flush();
  assert.equal(room.written.length, 1);
});

test('bounds, and what is no check-in', async () => {
  const small = { ...limits, checkInBytesMax: 100, checkInPairsMax: 5, checkInFactCharsMax: 4, checkInFeedsMax: 1 } as unknown as Limits;
  const room = openRoom({ limits: small });
  await room.ask({ method: 'POST', body: 'a=1 b=2 c=3 d=123456789 e=5 f=6' });
  assert.deepEqual(room.notes.get('d1')?.facts, { a: '1', b: '2', c: '3', d: '1234', e: '5' });
  const two = await room.ask({ method: 'POST', body: `feed.a=${epoch}:0:0:0\nfeed.b=${epoch}:0:0:0` });
  assert.deepEqual(Object.keys(two.values).filter((key) => key.startsWith('next.')), ['next.a']);
  await assert.rejects(room.ask({ method: 'POST', body: 'x'.repeat(101) }), (thrown) => isFault(thrown, 'too-large'));
  await assert.rejects(room.ask({ method: 'DELETE' }), (thrown) => isFault(thrown, 'unsupported'));
  await assert.rejects(room.ask({ path: 'check-in/SN1/more' }), (thrown) => isFault(thrown, 'not-found'));
  await room.ask({ method: 'POST', body: 'clock=yesterday up=-5 pins=nonsense' });
  assert.deepEqual([room.notes.get('d1')?.clockSkewMs, room.notes.get('d1')?.up, room.notes.get('d1')?.pins], [null, null, []]);
});

test('what a device says of a feed, at every cut and with flipped bytes (seed 5)', () => {
  const text = `${epoch}:152000:1840:12`;
  assert.deepEqual(parseSaidFeed('cdr', text), { name: 'cdr', epoch, next: 152_000, pending: 1_840, lost: 12 });
  for (let length = 0; length < text.length; length++) {
    const cut = parseSaidFeed('cdr', text.slice(0, length));
    assert.equal(cut === null, length < 16 || text[length - 1] === ':', text.slice(0, length));
  }
  let state = 5;
  for (let turn = 0; turn < 5_000; turn++) {
    const bytes = Buffer.from(text);
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[(state >>> 8) % bytes.length] = state & 0xff;
    const found = parseSaidFeed('cdr', bytes.toString('latin1'));
    if (found) assert.ok([found.next, found.pending, found.lost].every((each) => Number.isSafeInteger(each) && each >= 0));
  }
  assert.equal(parseSaidFeed('CDR', text), null);
});

test('no action is known, so none can be reported on', async () => {
  const answer = await buildAction()(deviceRequest({ method: 'POST', path: 'action/SN1/42', body: 'state=installed', customer }), caller);
  assert.deepEqual([answer.status, answer.values['error']], [410, 'gone']);
});

const stranger = (id: string): Caller & { kind: 'waiting' } => ({ kind: 'waiting', waiting: { id, customerId: 'c1', serial: id } as WaitingDevice, quarantineBytes: null });

test('strangers who come and go leave no notes; who is approved keeps them', async () => {
  const room = openRoom();
  const callers = ['w1', 'w2', 'w3'].map(stranger);
  room.waitingDevices.publish({ put: callers.map(({ waiting }) => waiting) });
  for (const each of callers) await room.ask({ method: 'POST', body: 'fw=1' }, each);
  await room.notes.flush();
  assert.equal(room.deviceNotes.size, 3);
  room.devices.publish({ put: [{ ...device, id: 'w1' }] });
  room.waitingDevices.publish({ removed: ['w1', 'w2'] });
  assert.deepEqual([...room.deviceNotes.values()].map((row) => row.deviceId), ['w1', 'w3']);
  // Its request was under way when it was refused.
  await room.ask({ method: 'POST', body: 'fw=2' }, callers[1]!);
  await room.notes.flush();
  assert.equal(room.notes.get('w2'), undefined);
  assert.deepEqual(room.written.map((row) => row.deviceId), ['w1', 'w2', 'w3']);
});

test('what a stranger says is nobody\'s news, and nobody fills the journal', async () => {
  const room = openRoom({ limits: { ...limits, checkInEventsMax: 3 } as Limits });
  const body = Array.from({ length: 40 }, (_, i) => `feed.f${i}=${epoch}:9:0:9\n`).join('');
  await room.ask({ method: 'POST', body }, stranger('w1'));
  assert.deepEqual(room.events, []);
  await room.ask({ method: 'POST', body });
  assert.equal(room.events.length, 3);
});

test('who brings his lines slowly takes nobody\'s place', async () => {
  const room = openRoom({ limits: { ...limits, checkInsAtOnceMax: 1 } as Limits });
  const pipe = openPipe();
  const slow = room.ask({ method: 'POST', body: pipe.pieces });
  pipe.push(Buffer.from('fw='));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await room.ask({ method: 'POST', body: 'fw=2' })).status, 200);
  pipe.end();
  assert.equal((await slow).status, 200);
});
