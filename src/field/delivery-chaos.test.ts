// Delivery under seeded mischief: answers that are lost or cut, refusals, redirects there and back, restarts of the device's process. Whatever
// comes, the two servers together have each byte once.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { openFieldRoom } from '../../test/kit/field-room.ts';
import { until } from '../../test/kit/gateway.ts';
import { memoryBuffer } from '../../test/kit/memory-buffer.ts';
import { startPushServer } from '../../test/kit/push-server.ts';
import type { PushServer, Spoiled } from '../../test/kit/push-server.ts';

/** Numbers from 0 to `max` − 1, always the same for a seed. */
function chance(seed: number): (max: number) => number {
  let state = createHash('sha256').update(`delivery ${seed}`).digest();
  let at = 0;
  return (max) => {
    if (at + 4 > state.length) {
      state = createHash('sha256').update(state).digest();
      at = 0;
    }
    const value = state.readUInt32BE(at);
    at += 4;
    return value % max;
  };
}

const mischief: readonly (Spoiled | null)[] = [
  { loseAnswer: 'all' }, { loseAnswer: 'half' }, { loseAnswer: 'all' }, null, null, { status: 503, lines: { error: 'busy', retry: 1 } }, { status: 422, lines: { error: 'digest' } },
  { status: 413 }, { status: 500 }, { status: 401, lines: { error: 'unauthenticated' } }, { status: 200, fields: { 'Content-Type': 'text/html' } },
];

/** Offsets and bytes that the servers stored of an epoch, gaps left out. */
function ranges(server: PushServer): { from: number; bytes: Buffer }[] {
  return [...server.epochs.values()].flatMap(({ first, bytes, gaps }) => {
    const found: { from: number; bytes: Buffer }[] = [];
    let at = first;
    for (const gap of [...gaps, { from: first + bytes.length, to: first + bytes.length, reason: '' }].sort((a, b) => a.from - b.from)) {
      if (gap.from > at) found.push({ from: at, bytes: bytes.subarray(at - first, gap.from - first) });
      at = gap.to;
    }
    return found;
  });
}

// POSTERN_DELIVERY_SEED=N repeats a run, POSTERN_DELIVERY_RUNS=N makes more.
const firstSeed = Number(process.env['POSTERN_DELIVERY_SEED'] ?? 1);
const seeds = Number(process.env['POSTERN_DELIVERY_RUNS'] ?? (process.env['POSTERN_DELIVERY_SEED'] === undefined ? 30 : 1));
for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
  test(`seed ${seed}`, { timeout: 60_000 }, async () => {
    const roll = chance(seed);
    await using home = await startPushServer({ key: 'the key' });
    await using away = await startPushServer({ key: 'the key' });
    await using room = openFieldRoom({ factor: 150 });
    const settings = { bases: [home.base], identity: 'sign' } as const;
    const buffer = memoryBuffer('cdr', ['main']);
    let running = room.deliver(await room.destination(settings, { keyText: 'the key' }), [buffer]);
    let count = 0;
    const sent: string[] = [];
    for (let step = 0; step < 30; step++) {
      switch (roll(6)) {
        case 0:
          home.spoil.push(mischief[roll(mischief.length)]!);
          break;
        case 1:
          away.spoil.push(mischief[roll(mischief.length)]!);
          break;
        case 2:
          home.redirectTo = roll(2) === 0 ? away.base : null;
          home.ttl = 1 + roll(60);
          break;
        case 3:
          await running.stop();
          room.log.info('restarted');
          running = room.deliver(await room.destination(settings, { keyText: 'the key' }), [buffer]);
          break;
        default:
          sent.push(Array.from({ length: 1 + roll(200) }, () => `record ${(count += 1)}\n`).join(''));
          buffer.append(sent.at(-1)!);
      }
      await new Promise((next) => setTimeout(next, roll(8)));
    }
    home.spoil.length = 0;
    away.spoil.length = 0;
    buffer.append('the end\n');
    sent.push('the end\n');
    const story = () => ['', ...room.log.lines.map(({ event, fields }) => `${event} ${JSON.stringify(fields)}`), ...[home, away].flatMap(({ base, seen }) => [base, ...seen.map(({ target, bodyBytes, headers }) => `${target.slice(-12)} ${bodyBytes} ${headers['x-postern-start'] ?? ''} ${headers['x-postern-gap'] ?? ''}`)])].join('\n');
    await until(`all of seed ${seed}`, () => buffer.position('main') === buffer.next, 20_000).catch((thrown: unknown) => assert.fail(`${String(thrown)}${story()}`));
    const all = [...ranges(home), ...ranges(away)].sort((a, b) => a.from - b.from);
    let at = 0;
    for (const range of all) {
      assert.equal(range.from, at, `${range.from < at ? `bytes from ${range.from} are there twice` : `bytes from ${at} are missing`}${range.from === at ? '' : story()}`);
      at += range.bytes.length;
    }
    assert.equal(Buffer.concat(all.map(({ bytes }) => bytes)).toString(), sent.join(''));
    assert.deepEqual(buffer.restarts, []);
  });
}
