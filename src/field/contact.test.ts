import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { parseCheckIn } from '#wire/device.ts';
import { pinOfFingerprint } from '#wire/device.ts';
import { makeCertificate } from '../../test/kit/authority.ts';
import { openFieldRoom } from '../../test/kit/field-room.ts';
import type { FieldRoom } from '../../test/kit/field-room.ts';
import { until } from '../../test/kit/gateway.ts';
import { memoryBuffer } from '../../test/kit/memory-buffer.ts';
import type { MemoryBuffer } from '../../test/kit/memory-buffer.ts';
import { startPushServer } from '../../test/kit/push-server.ts';
import { buildContact } from './contact.ts';
import type { ContactOptions } from './contact.ts';
import type { OpenDestination } from './destination.ts';

function start(room: FieldRoom, destination: OpenDestination, options: { buffers?: readonly MemoryBuffer[]; uptimeMs?: number; setSystemClock?: ContactOptions['setSystemClock'] } = {}) {
  const abort = new AbortController();
  const contact = buildContact({
    destination, buffers: options.buffers ?? [], clock: room.clock, fieldClock: room.fieldClock, uptimeMs: () => options.uptimeMs ?? 3_600_000, log: room.log, random: randomBytes,
    facts: { version: '2.95', platform: 'linux-arm', name: 'Lobby printer', zone: 'Europe/London' }, setSystemClock: options.setSystemClock,
  });
  const ended = contact.run(abort.signal);
  return {
    contact,
    async [Symbol.asyncDispose]() {
      abort.abort();
      await ended;
    },
  };
}

test('a check-in says what the device is; the answer sets time, zone, period, urgency, and survives a restart', async () => {
  const serverNow = Date.UTC(2026, 10, 20, 12);
  await using server = await startPushServer({ key: 'the key', nowMs: () => serverNow });
  await using room = openFieldRoom({ nowMs: () => 946_684_837_000 }); // 2000: a clock without a battery
  server.checkIn = { poll: 600, jitter: 30, push: 300, prio: '9?911', zone: 'GMT0BST,M3.5.0/1,M10.5.0', 'zone-next': '1806109200:3600' };
  const buffer = memoryBuffer('cdr', ['main']);
  buffer.append('0123456789');
  await buffer.setPosition('main', 4);
  const set: number[] = [];
  const destination = await room.destination({ bases: [server.base], identity: 'sign' }, { keyText: 'the key' });
  {
    await using running = start(room, destination, { buffers: [buffer], setSystemClock: (ms) => Promise.resolve(set.push(ms) > 0) });
    await until('the answer', () => destination.state.asked.pollSeconds !== null && set.length > 0);
    const said = parseCheckIn(server.checkIns[0]!, 100);
    assert.equal(said.get('why'), 'start');
    assert.equal(said.get('fw'), '2.95');
    assert.equal(said.get('name'), 'Lobby printer');
    assert.equal(said.get('tz'), 'Europe/London');
    assert.equal(said.get('clock'), '946684837.000');
    assert.equal(said.get('feed.cdr'), `${buffer.epoch}:4:6:0`);
    assert.ok(Math.abs(room.fieldClock.nowMs() - serverNow) < 60_000, 'the server\'s time');
    assert.ok(Math.abs(set[0]! - serverNow) < 60_000);
    assert.equal(running.contact.isUrgent(Buffer.from('call 911 out')), true);
    assert.equal(running.contact.isUrgent(Buffer.from('call 12')), false);
    assert.equal(running.contact.holdMs(), 300_000);
  }
  const again = await room.destination({ bases: [server.base], identity: 'sign' }, { keyText: 'the key' });
  assert.deepEqual(again.state.asked, { pollSeconds: 600, jitterSeconds: 30, pushSeconds: 300, prio: '9?911', zone: 'GMT0BST,M3.5.0/1,M10.5.0', zoneNext: '1806109200:3600' });
});

test('the system clock is left alone where no policy names the command', async () => {
  await using server = await startPushServer({ key: 'the key' });
  await using room = openFieldRoom({ nowMs: () => 0 });
  const destination = await room.destination({ bases: [server.base], identity: 'sign' }, { keyText: 'the key' });
  await using _ = start(room, destination, { setSystemClock: () => Promise.resolve(false) });
  await until('the time', () => room.fieldClock.trusted());
  assert.equal(room.log.lines.some(({ event }) => event.startsWith('clock.set') || event === 'clock.not-set'), false);
});

test('a new list of fingerprints is taken over, kept on disk, and confirmed by a check-in of its own', async () => {
  const now = Date.now();
  const made = await makeCertificate({ name: '127.0.0.1', now });
  const pin = pinOfFingerprint(made.keyFingerprint);
  const next = `sha256//${'B'.repeat(43)}=`;
  await using server = await startPushServer({ key: 'the key', tls: { key: made.keyPem, cert: made.pem } });
  await using room = openFieldRoom();
  server.checkIn = { pins: `${pin},${next}`, poll: 86_400 };
  const settings = { bases: [server.base], pins: [pin] };
  const destination = await room.destination(settings, { keyText: 'the key' });
  await using _ = start(room, destination);
  await until('two check-ins', () => server.checkIns.length >= 2);
  assert.equal(parseCheckIn(server.checkIns[0]!, 100).get('pins'), pin);
  assert.equal(parseCheckIn(server.checkIns[1]!, 100).get('pins'), `${pin},${next}`);
  assert.deepEqual((await room.destination(settings, { keyText: 'the key' })).state.pins, [pin, next], 'after a restart, too');
  assert.deepEqual((await room.destination({ ...settings, pins: [next] }, { keyText: 'the key' })).state.pins, [next], 'the owner\'s own change counts again');
});

test('refused, busy or unreachable: it tries again, and says so once', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom({ factor: 200 });
  server.spoil.push({ status: 403, lines: { error: 'waiting', retry: 30 } }, { status: 503, lines: { retry: 10 } }, { loseAnswer: 'all' }, { status: 200, fields: { 'Content-Type': 'text/html' } });
  const destination = await room.destination({ bases: [server.base] });
  await using _ = start(room, destination);
  await until('five tries', () => server.seen.length >= 4);
});

test('a redirect by a check-in is where a feed begins that has no bytes anywhere, and a feed that has some asks at home', async () => {
  await using home = await startPushServer({ key: 'the key' });
  await using away = await startPushServer({ key: 'the key' });
  await using room = openFieldRoom();
  const destination = await room.destination({ bases: [home.base], identity: 'sign' }, { keyText: 'the key' });
  const [old, fresh] = [memoryBuffer('old', ['main']), memoryBuffer('fresh', ['main'])];
  const delivery = room.deliver(destination, [old, fresh]);
  old.append('old 1\n');
  await until('the first', () => old.position('main') === 6);
  await delivery.stop();
  home.checkIn = { base: away.base, ttl: 600 };
  await using _ = start(room, destination);
  await until('the redirect', () => destination.now().redirect === away.base);
  room.deliver(destination, [old, fresh]);
  fresh.append('fresh\n');
  await until('the fresh one', () => fresh.position('main') === 6);
  assert.equal(away.epochOf('fresh')!.bytes.toString(), 'fresh\n');
  home.redirectTo = away.base;
  const seen = home.seen.length;
  old.append('old 2\n');
  await until('the old one', () => old.position('main') === 12);
  assert.equal(home.seen.slice(seen).reduce((sum, { bodyBytes }) => sum + bodyBytes, 0), 0);
  assert.equal(home.epochOf('old')!.bytes.toString(), 'old 1\n');
  assert.equal(away.epochOf('old')!.bytes.toString(), 'old 2\n');
});
