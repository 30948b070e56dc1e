// Each row of the tables of docs/wire/device.md §2 and §4, against a server that speaks them over real sockets.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { until } from '../../test/kit/gateway.ts';
import { openFieldRoom } from '../../test/kit/field-room.ts';
import { memoryBuffer } from '../../test/kit/memory-buffer.ts';
import { startPushServer } from '../../test/kit/push-server.ts';

const lines = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `record ${from + i} ${createHash('sha256').update(String(from + i)).digest('hex')}\n`).join('');

test('bytes arrive whole, in order, compressed, and position moves', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  const text = lines(9_000);
  buffer.append(text);
  const destination = await room.destination({ bases: [server.base] });
  room.deliver(destination, [buffer]);
  await until('all to arrive', () => buffer.position('main') === buffer.next);
  buffer.append('one more\n');
  await until('the last', () => buffer.position('main') === buffer.next);
  assert.equal(server.epochOf('cdr')?.bytes.toString(), `${text}one more\n`);
  assert.equal(server.epochOf('cdr')?.format, 'lines');
  assert.equal(server.counts.repeats, 0);
  assert.ok(server.seen.length >= 4, 'more than one batch');
  assert.match(server.seen[0]!.target, /^\/v1\/default\/push\/SN%201\/cdr\/[0-9a-f]{16}\?o=0$/);
  assert.equal(server.seen[0]!.headers['content-encoding'], 'gzip');
  assert.equal(server.counts.connections, 1, 'one connection, kept');
});

test('an answer that is lost or cut is none: the batch is repeated, and stored once', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  server.spoil.push({ loseAnswer: 'all' }, { loseAnswer: 'half' }, { loseAnswer: 'all' }, null, { loseAnswer: 'half' });
  const text = lines(8_000);
  buffer.append(text);
  room.deliver(await room.destination({ bases: [server.base] }), [buffer]);
  await until('all to arrive', () => buffer.position('main') === buffer.next);
  assert.equal(server.epochOf('cdr')?.bytes.toString(), text);
  assert.ok(server.counts.repeats >= 1, 'a repeat was answered');
});

test('a page of a captive portal is no answer', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  server.spoil.push({ status: 200, fields: { 'Content-Type': 'text/html' }, lines: { next: 999 } }, { status: 302, fields: { Location: 'http://192.0.2.1/login' } }, { status: 200, lines: { hello: 1 } });
  buffer.append('x\n');
  room.deliver(await room.destination({ bases: [server.base] }), [buffer]);
  await until('it to arrive', () => buffer.position('main') === 2);
  assert.equal(server.epochOf('cdr')?.bytes.toString(), 'x\n');
});

test('a server that was restored from a backup gets again what is still here, and the rest as a gap that is its own', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  const destination = await room.destination({ bases: [server.base] });
  room.deliver(destination, [buffer]);
  buffer.append(lines(100));
  await until('all to arrive', () => buffer.position('main') === buffer.next);
  const whole = Buffer.from(server.epochOf('cdr')!.bytes);
  const kept = server.epochOf('cdr')!;
  kept.bytes = kept.bytes.subarray(0, 500);
  buffer.append('more\n');
  await until('it to arrive', () => buffer.position('main') === buffer.next);
  assert.equal(kept.bytes.toString(), `${whole.toString()}more\n`);
  assert.deepEqual(kept.gaps, []);
  assert.ok(room.log.lines.some(({ event }) => event === 'delivery.server-behind'), 'it is reported');

  kept.bytes = kept.bytes.subarray(0, 400);
  buffer.drop(1_000, 'wrap');
  buffer.append('last\n');
  await until('the last', () => buffer.position('main') === buffer.next);
  assert.deepEqual(kept.gaps, [{ from: 400, to: 1_000, reason: 'server-lost' }]);
  assert.equal(kept.bytes.subarray(1_000).toString(), `${whole.subarray(1_000).toString()}more\nlast\n`);
});

test('what the memory lost before it was delivered is declared with its reason, apart from what the server lost', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  const destination = await room.destination({ bases: [server.base] });
  const first = room.deliver(destination, [buffer]);
  buffer.append(lines(100));
  await until('all to arrive', () => buffer.position('main') === buffer.next);
  await first.stop();
  const delivered = buffer.next;
  buffer.append(lines(100, 100));
  buffer.drop(delivered + 300, 'damaged');
  const epoch = server.epochOf('cdr')!;
  epoch.bytes = epoch.bytes.subarray(0, 200);
  room.deliver(destination, [buffer]);
  await until('the rest', () => buffer.position('main') === buffer.next);
  assert.deepEqual(epoch.gaps, [{ from: 200, to: delivered, reason: 'server-lost' }, { from: delivered, to: delivered + 300, reason: 'damaged' }]);
  assert.equal(epoch.bytes.subarray(delivered + 300).toString(), lines(200).slice(delivered + 300));
});

test('two devices that share an epoch: ours goes on in a new one, without what was acknowledged', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  const destination = await room.destination({ bases: [server.base] });
  room.deliver(destination, [buffer]);
  buffer.append('mine 1\n');
  await until('the first', () => buffer.position('main') === buffer.next);
  const shared = server.epochOf('cdr')!;
  shared.bytes = Buffer.concat([shared.bytes, Buffer.from('the other one\n')]);
  buffer.append('mine 2\n');
  await until('a new epoch with the second', () => server.epochs.size === 2 && server.epochOf('cdr')!.bytes.toString() === 'mine 2\n');
  assert.deepEqual(buffer.restarts, ['conflict']);
  assert.equal(shared.bytes.toString(), 'mine 1\nthe other one\n');
});

test('a store that lost its end makes a new epoch once all it has was compared', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  const destination = await room.destination({ bases: [server.base] });
  const first = room.deliver(destination, [buffer]);
  buffer.append('one\ntwo\nthree\n');
  await until('all', () => buffer.position('main') === buffer.next);
  await first.stop();
  buffer.shrink(8);
  await buffer.setPosition('main', 4);
  room.deliver(destination, [buffer]);
  await until('a new epoch', () => buffer.restarts.length === 1);
  buffer.append('four\n');
  await until('the new record', () => server.epochs.size === 2 && server.epochOf('cdr')!.bytes.toString() === 'four\n');
  assert.deepEqual(buffer.restarts, ['ahead']);
});

test('digest, encoding, limits: sent again, uncompressed, smaller', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  server.batchMax = 3_000;
  server.spoil.push({ status: 422, lines: { error: 'digest', next: 0 } }, { status: 422, lines: { error: 'encoding', next: 0 } }, { status: 413, fields: { 'Content-Type': 'text/html' } });
  const text = lines(300);
  buffer.append(text);
  room.deliver(await room.destination({ bases: [server.base] }), [buffer]);
  await until('all to arrive', () => buffer.position('main') === buffer.next);
  assert.equal(server.epochOf('cdr')?.bytes.toString(), text);
  assert.equal(server.seen[0]!.headers['content-encoding'], 'gzip');
  assert.equal(server.seen.at(-1)!.headers['content-encoding'], undefined);
});

test('busy, too many, waiting, locked, unknown, malformed: nothing is lost, and what the server says to wait is waited', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  server.spoil.push(
    { status: 503, lines: { error: 'busy', retry: 20 } },
    { status: 429, fields: { 'Retry-After': '10' }, lines: { error: 'too-many' } },
    { status: 403, lines: { error: 'waiting', retry: 5 } },
    { status: 403, lines: { error: 'locked', retry: 5 } },
    { status: 403, lines: { error: 'unknown', retry: 5 } },
    { status: 400, lines: { error: 'bad-input' } },
    { status: 500 },
    { status: 401, lines: { error: 'unauthenticated' } },
  );
  const began = room.clock.monoMs();
  buffer.append('x\n');
  room.deliver(await room.destination({ bases: [server.base] }), [buffer]);
  await until('it to arrive', () => buffer.position('main') === 2, 60_000);
  assert.ok(room.clock.monoMs() - began >= 45_000, 'as long as was said');
  assert.equal(server.epochOf('cdr')?.bytes.toString(), 'x\n');
});

test('a device in quarantine delivers, and says once that it waits', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  server.spoil.push({ status: 200, lines: { next: 2, waiting: 1 } }, { status: 200, lines: { next: 4, waiting: 1 } });
  room.deliver(await room.destination({ bases: [server.base] }), [buffer]);
  buffer.append('x\n');
  await until('it to arrive', () => buffer.position('main') === 2);
  buffer.append('y\n');
  await until('it to arrive', () => buffer.position('main') === 4);
  assert.equal(room.log.lines.filter(({ event }) => event === 'delivery.waiting').length, 1);
});

test('what is urgent goes at once, what is not is held', async () => {
  await using server = await startPushServer();
  await using room = openFieldRoom({ factor: 1 });
  const [calls, alarms] = [memoryBuffer('cdr', ['main']), memoryBuffer('alarm', ['main'])];
  room.deliver(await room.destination({ bases: [server.base] }), [calls, alarms], { holdMs: 3_600_000 });
  await new Promise((done) => setImmediate(done));
  calls.append('quiet\n');
  alarms.append('911\n', true);
  await until('the alarm', () => alarms.position('main') === 4);
  assert.equal(calls.position('main'), 0);
  calls.append('urgent\n', true);
  await until('what waited before it, too', () => calls.position('main') === 13);
});

test('several destinations keep their own positions', async () => {
  await using one = await startPushServer();
  await using two = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['one', 'two']);
  const text = lines(200);
  buffer.append(text);
  two.spoil.push(...Array.from({ length: 4 }, () => ({ status: 503, lines: { retry: 30 } })));
  room.deliver(await room.destination({ name: 'one', bases: [one.base] }), [buffer]);
  room.deliver(await room.destination({ name: 'two', bases: [two.base] }), [buffer]);
  await until('the first', () => buffer.position('one') === buffer.next);
  assert.equal(buffer.position('two'), 0);
  await until('the second', () => buffer.position('two') === buffer.next);
  assert.equal(one.epochOf('cdr')?.bytes.toString(), text);
  assert.equal(two.epochOf('cdr')?.bytes.toString(), text);
});

test('a redirect costs no body; bytes are at one server only; its time over, the device asks at home again', async () => {
  await using home = await startPushServer({ key: 'the key' });
  await using away = await startPushServer({ key: 'the key' });
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  const destination = await room.destination({ bases: [home.base], identity: 'sign' }, { keyText: 'the key' });
  room.deliver(destination, [buffer]);
  buffer.append('at home\n');
  await until('the first', () => buffer.position('main') === buffer.next);
  home.redirectTo = away.base;
  home.ttl = 60;
  const big = randomBytes(100_000);
  const from = home.seen.length;
  buffer.append(big);
  await until('the rest', () => buffer.position('main') === buffer.next);
  assert.equal(home.epochOf('cdr')!.bytes.toString(), 'at home\n');
  assert.deepEqual(home.seen.slice(from).map(({ bodyBytes }) => bodyBytes), [0]);
  assert.equal(away.epochOf('cdr')!.first, 8);
  assert.ok(away.epochOf('cdr')!.bytes.equals(big));
  assert.equal(away.epochOf('cdr')!.starts[0], `8;from=${home.base}`);
  assert.equal(away.seen[0]!.headers['x-postern-hops'], '1');

  // The rule is gone when the time is over: the epoch opens again at home, with what is elsewhere as a gap.
  home.redirectTo = null;
  const end = room.clock.monoMs() + 60_000;
  await until('the time to be over', () => room.clock.monoMs() > end);
  const back = buffer.next;
  buffer.append('home again\n');
  await until('the last', () => buffer.position('main') === buffer.next);
  assert.deepEqual(home.epochOf('cdr')!.gaps, [{ from: 8, to: back, reason: 'moved' }]);
  assert.equal(home.epochOf('cdr')!.bytes.subarray(back).toString(), 'home again\n');
  assert.equal(away.epochOf('cdr')!.bytes.length, big.length);
  assert.equal(home.counts.badSignatures + away.counts.badSignatures, 0);
});

test('a push whose answer was lost before the redirect is not brought again to the new server', async () => {
  await using home = await startPushServer({ key: 'the key' });
  await using away = await startPushServer({ key: 'the key' });
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  home.spoil.push({ loseAnswer: 'all' });
  room.deliver(await room.destination({ bases: [home.base], identity: 'sign' }, { keyText: 'the key' }), [buffer]);
  buffer.append('stored, not acknowledged\n');
  await until('it to be stored', () => home.epochOf('cdr')?.bytes.length === 25);
  home.redirectTo = away.base;
  buffer.append('new\n');
  await until('the rest', () => buffer.position('main') === buffer.next);
  assert.equal(home.epochOf('cdr')!.bytes.toString(), 'stored, not acknowledged\n');
  assert.equal(away.epochOf('cdr')!.bytes.toString(), 'new\n');
  assert.equal(away.epochOf('cdr')!.first, 25);
});

test('a server that we were sent to and that fails: back home, which is told, and nothing is brought twice', async () => {
  await using home = await startPushServer({ key: 'the key' });
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  const destination = await room.destination({ bases: [home.base], identity: 'sign' }, { keyText: 'the key' });
  let awayBase = '';
  {
    await using away = await startPushServer({ key: 'the key' });
    awayBase = away.base;
    home.redirectTo = away.base;
    room.deliver(destination, [buffer]);
    buffer.append('away\n');
    await until('the first', () => buffer.position('main') === 5);
    assert.equal(away.epochOf('cdr')!.bytes.toString(), 'away\n');
  }
  home.redirectTo = null;
  buffer.append('home\n');
  await until('the second', () => buffer.position('main') === 10);
  const last = home.seen.at(-1)!;
  assert.equal(last.headers['x-postern-failed'], awayBase);
  assert.equal(last.headers['x-postern-start'], `5;from=${awayBase}`);
  assert.equal(home.epochOf('cdr')!.first, 5);
  assert.equal(home.epochOf('cdr')!.bytes.toString(), 'home\n');
});

test('servers that send a device in a circle are left after five hops, and waited for', async () => {
  await using one = await startPushServer({ key: 'the key' });
  await using two = await startPushServer({ key: 'the key' });
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  one.redirectTo = two.base;
  two.redirectTo = one.base;
  buffer.append('x\n');
  room.deliver(await room.destination({ bases: [one.base], identity: 'sign' }, { keyText: 'the key' }), [buffer]);
  await until('the refusal', () => room.log.lines.some(({ event, fields }) => event === 'redirect.refused' && String(fields['why']).includes('hop')));
  assert.ok(one.seen.length + two.seen.length <= 8, 'no storm');
  two.redirectTo = null;
  await until('it to arrive', () => buffer.position('main') === 2);
});

test('a sealed epoch: on to where it goes on, or to a new one', async () => {
  await using home = await startPushServer({ key: 'the key' });
  await using away = await startPushServer({ key: 'the key' });
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  room.deliver(await room.destination({ bases: [home.base], identity: 'sign' }, { keyText: 'the key' }), [buffer]);
  buffer.append('one\n');
  await until('the first', () => buffer.position('main') === 4);
  home.spoil.push({ status: 410, lines: { error: 'sealed', next: 4, base: away.base, ttl: 600 } });
  buffer.append('two\n');
  await until('the second', () => buffer.position('main') === 8);
  assert.equal(away.epochOf('cdr')!.bytes.toString(), 'two\n');
  away.spoil.push({ status: 410, lines: { error: 'sealed', next: 8, new: 1 } });
  buffer.append('three\n');
  await until('a new epoch', () => buffer.restarts.length === 1 && buffer.position('main') === buffer.next);
  const all = [...home.epochs.values(), ...away.epochs.values()].map(({ bytes }) => bytes.toString());
  assert.deepEqual(all.filter((each) => each.includes('three')), ['three\n']);
});

test('over plain http a device with a key believes signed answers alone: nothing that somebody else says moves it', async () => {
  await using server = await startPushServer({ key: 'the key' });
  await using trap = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  server.spoil.push(
    { isUnsigned: true, lines: { next: 2 } },
    { isUnsigned: true, fields: { 'X-Postern-Answer': `v1,${'0'.repeat(64)}` }, lines: { next: 2 } },
    { isUnsigned: true, status: 409, lines: { error: 'conflict', new: 1 } },
    { isUnsigned: true, status: 307, lines: { base: trap.base }, fields: { Location: `${trap.base}/x` } },
  );
  buffer.append('x\n');
  room.deliver(await room.destination({ bases: [server.base], identity: 'sign' }, { keyText: 'the key' }), [buffer]);
  await until('it to arrive', () => server.epochOf('cdr')?.bytes.toString() === 'x\n' && buffer.position('main') === 2);
  assert.deepEqual(buffer.restarts, []);
  assert.equal(trap.counts.connections, 0);
});

test('whoever is on the way for a moment does not send it to sleep for a day', async () => {
  await using server = await startPushServer({ key: 'the key' });
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['main']);
  server.spoil.push({ isUnsigned: true, status: 503, lines: { error: 'busy', retry: 86_400 } });
  buffer.append('x\n');
  const destination = await room.destination({ bases: [server.base], identity: 'sign' }, { keyText: 'the key' });
  room.deliver(destination, [buffer]);
  await until('it to be told to wait', () => destination.backoff.notBeforeMs() > 0);
  assert.ok(destination.backoff.notBeforeMs() - room.clock.monoMs() <= 1.2 * limits.pushRetryMaxMs);
});

test('a new epoch that one destination needs is no reason to bring another what it has', async () => {
  await using one = await startPushServer();
  await using two = await startPushServer();
  await using room = openFieldRoom();
  const buffer = memoryBuffer('cdr', ['one', 'two']);
  buffer.append('a\nb\n');
  const [first, second] = [await room.destination({ name: 'one', bases: [one.base] }), await room.destination({ name: 'two', bases: [two.base] })];
  room.deliver(first, [buffer]);
  await until('the first', () => buffer.position('one') === 4);
  two.spoil.push({ status: 409, lines: { error: 'conflict', next: 9, new: 1 } });
  room.deliver(second, [buffer]);
  await until('the second in its new epoch', () => two.epochOf('cdr')?.bytes.toString() === 'a\nb\n');
  buffer.append('c\n');
  await until('both', () => buffer.position('one') === buffer.next && buffer.position('two') === buffer.next);
  assert.equal(one.epochOf('cdr')!.bytes.subarray(4).toString(), 'c\n');
  assert.deepEqual(one.epochOf('cdr')!.gaps, [{ from: 0, to: 4, reason: 'moved' }]);
  assert.equal(two.epochOf('cdr')!.bytes.toString(), 'a\nb\nc\n');
});
