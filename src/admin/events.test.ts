import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { eventually, startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
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
const link = (device: Device) => ({ id: room.newId(), agentId: device.agentId!, slot: 0, from: '203.0.113.5', version: '0.1.0', since: 1, rttMs: 12.5, streams: 2, bytesIn: 30, bytesOut: 40, can: ['tcp'] });

suite('the event stream', () => {
  /** Reads events as a browser would, by hand: the client of the house has its own test. */
  async function listen(caller: Caller): Promise<{ seen: [string, unknown][]; ended: Promise<void>; stop(): void }> {
    const gone = new AbortController();
    const response = await fetch(`http://${room.host}/api/v1/events`, { signal: gone.signal, headers: caller.token ? { authorization: `Bearer ${caller.token}` } : { cookie: `__Host-postern=${caller.cookie}`, origin: `http://${room.host}` } });
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, 'text/event-stream; charset=utf-8']);
    const seen: [string, unknown][] = [];
    const ended = (async () => {
      let rest = '';
      for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
        const blocks = (rest + text).split('\n\n');
        rest = blocks.pop()!;
        for (const block of blocks) {
          const event = /^event: (.*)\ndata: (.*)$/m.exec(block);
          if (event) seen.push([event[1]!, JSON.parse(event[2]!)]);
          else if (block.startsWith(':')) seen.push(['beat', null]);
        }
      }
    })().catch(() => {});
    await eventually(() => seen.length > 0, 'hello');
    return { seen, ended, stop: () => gone.abort() };
  }

  test('certificates: told to who may see the gateway', async () => {
    const device = await room.device('Mine');
    const bob = await room.person(owner, 'bob', [on('see', device)]);
    room.clock.advance(1_000);
    const [boss, guest] = [await listen(owner), await listen(bob)];
    await owner.call('issueCertificate', { body: { name: 'inside', names: ['pbx.example.test'] } });
    room.clock.advance(250);
    await eventually(() => boss.seen.length >= 4, 'events of the owner');
    assert.deepEqual(boss.seen.slice(1).map(([name]) => name), ['audit', 'status', 'certificates']);
    assert.deepEqual(guest.seen.slice(1), []);
    boss.stop();
    guest.stop();
    await Promise.all([boss.ended, guest.ended]);
  });

  test('sites and doors: told to who sees one of the customer', async () => {
    const device = await room.device('Mine');
    const site = [...room.tables.sites.values()][0]!;
    const [bob, sam] = [await room.person(owner, 'bob', [on('see', device)]), await room.person(owner, 'sam', [{ action: 'see', scopeKind: 'site', scopeId: site.id }])];
    room.clock.advance(1_000);
    const [boss, guest, seer] = [await listen(owner), await listen(bob), await listen(sam)];
    const added = await owner.call('addSite', { body: { name: 'Hamburg', subnets: ['192.0.2.0/24'] } });
    room.clock.advance(250);
    await eventually(() => boss.seen.length >= 3 && seer.seen.length >= 2, 'a site');
    await owner.call('addDoor', { body: { agentId: device.agentId!, address: '192.0.2.7', port: 443, listener: 'https' } });
    await owner.call('removeSite', { params: { site: added.id } });
    room.clock.advance(250);
    await eventually(() => boss.seen.length >= 5 && seer.seen.length >= 3, 'a door, and a site that is gone');
    assert.deepEqual([boss, seer, guest].map(({ seen }) => seen.slice(1).map(([name]) => name)), [['places', 'audit', 'places', 'audit'], ['places', 'places'], []]);
    for (const each of [boss, guest, seer]) each.stop();
    await Promise.all([boss.ended, guest.ended, seer.ended]);
  });

  test('tells what changed, to each only what they may see, gathered', async () => {
    const [mine, other] = [await room.device('Mine'), await room.device('Other')];
    const bob = await room.person(owner, 'bob', [on('see', mine)]);
    room.clock.advance(1_000);
    const { timers } = room.clock;
    const [boss, guest] = [await listen(owner), await listen(bob)];
    assert.deepEqual(guest.seen, [['hello', { now: room.clock.nowMs(), version: '0.0.0-test' }]]);
    await owner.call('lockDevice', { params: { device: other.id } });
    await owner.call('lockDevice', { params: { device: mine.id } });
    room.live.putLink(link(mine));
    room.live.putLink(link(other));
    room.visit(other, who);
    room.clock.advance(250);
    await eventually(() => boss.seen.length >= 6, 'events of the owner');
    assert.deepEqual(boss.seen.slice(1).map(([name]) => name), ['links', 'devices', 'visits', 'audit', 'status']);
    assert.deepEqual(guest.seen.slice(1), [
      ['links', { devices: [{ id: mine.id, online: true, rttMs: 12.5, streams: 2, bytesIn: 30, bytesOut: 40, lastSeenAt: null }], more: false }],
      ['devices', { ids: [mine.id] }],
    ]);
    room.live.links(); // figures that move are measured every two seconds
    room.live.putLink({ ...link(mine), bytesIn: 999 });
    room.clock.advance(2_250);
    await eventually(() => guest.seen.length === 4, 'moved figures');
    assert.equal((guest.seen[3]![1] as { devices: { bytesIn: number }[] }).devices[0]!.bytesIn, 999);
    room.clock.advance(15_000);
    await eventually(() => guest.seen.some(([name]) => name === 'beat'), 'a heartbeat');
    boss.stop();
    guest.stop();
    await eventually(() => room.clock.timers === timers, 'nothing of the streams is left');
  });

  test('a join is told to who waits for it', async () => {
    const made = await owner.call('createJoinToken', { body: { deviceName: 'Printer' } });
    const stream = await listen(owner);
    const device = await room.device('Printer');
    const row = room.tables.joinTokens.get(made.joinToken.id)!;
    room.tables.joinTokens.publish({ put: [{ ...row, usedAt: 1, usedByAgentId: device.agentId }] });
    room.clock.advance(250);
    await eventually(() => stream.seen.some(([name]) => name === 'join'), 'the join');
    assert.deepEqual(stream.seen.find(([name]) => name === 'join')![1], { id: row.id, state: 'used', deviceId: device.id });
    stream.stop();
  });

  test('a serial that begins to wait is told, its further knocking is not, and that it waits no more is', async () => {
    const customerId = [...room.tables.customers.values()][0]!.id;
    const bob = await room.person(owner, 'bob', [on('administer', await room.device('Mine'))]);
    const [boss, guest] = [await listen(owner), await listen(bob)];
    const row = { id: room.newId(), customerId, serial: 'SN1', name: '', from: '192.0.2.1', product: '', firstSeenAt: 1, lastSeenAt: 1, keyDigest: null, keySealed: null, bytes: 0 };
    const count = (seen: readonly (readonly [string, unknown])[]) => seen.filter(([name]) => name === 'waiting').length;
    room.tables.waitingDevices.publish({ put: [row] });
    room.clock.advance(250);
    await eventually(() => count(boss.seen) === 1, 'that one waits');
    room.tables.waitingDevices.publish({ put: [{ ...row, lastSeenAt: 2, bytes: 9 }] });
    room.clock.advance(15_000);
    await eventually(() => boss.seen.some(([name]) => name === 'beat'), 'a heartbeat');
    assert.equal(count(boss.seen), 1);
    room.tables.waitingDevices.publish({ removed: [row.id] });
    room.clock.advance(250);
    await eventually(() => count(boss.seen) === 2, 'that it waits no more');
    assert.equal(count(guest.seen), 0, 'who administers one device does not decide about others');
    boss.stop();
    guest.stop();
  });

  test('an announced policy is news, being seen is not', async () => {
    const device = await room.device('Printer');
    const stream = await listen(owner);
    const note = { agentId: device.agentId, lastSeenAt: 1, lastLeftWhy: null, version: '0.1.0', from: null, policy: '["reach tcp"]' };
    room.tables.agentNotes.publish({ put: [note] });
    room.clock.advance(250);
    await eventually(() => stream.seen.some(([name]) => name === 'devices'), 'the policy');
    room.tables.agentNotes.publish({ put: [{ ...note, lastSeenAt: 2 }] });
    room.clock.advance(15_000);
    await eventually(() => stream.seen.some(([name]) => name === 'beat'), 'a heartbeat');
    assert.deepEqual(stream.seen.filter(([name]) => name === 'devices'), [['devices', { ids: [device.id] }]]);
    stream.stop();
  });

  test('ends at once with the sign-in, and when the token expires', async () => {
    const bob = await room.person(owner, 'bob', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    const { secret } = await bob.call('createToken', { body: { name: 'x', expiresAt: room.clock.nowMs() + 20_000 } });
    const [byCookie, byToken] = [await listen(bob), await listen(room.program(secret))];
    await bob.call('signOut');
    await byCookie.ended;
    assert.equal(byCookie.seen.at(-1)![0], 'bye');
    assert.notEqual(byToken.seen.at(-1)![0], 'bye');
    room.clock.advance(30_000);
    await byToken.ended;
    assert.equal(byToken.seen.at(-1)![0], 'bye');
  });

  test('a person has at most twenty', async () => {
    const streams = [];
    for (let i = 0; i < 20; i++) streams.push(await listen(owner));
    assert.equal((await owner.refused('getEvents')).code, 'too-many');
    streams.pop()!.stop();
    await eventually(async () => (await fetch(`http://${room.host}/api/v1/events`, { headers: { cookie: `__Host-postern=${owner.cookie}`, origin: `http://${room.host}` } }).then(async (response) => (await response.body?.cancel(), response.status))) === 200, 'room for one more');
    for (const stream of streams) stream.stop();
  });
});
