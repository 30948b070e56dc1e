// One way to an agent for all that ask through it: opened once, kept a little, opened anew when it broke.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { handClock } from '#kit/hand-clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import { keepAskings, type Pace, type PacedAsking } from './askings.ts';

const restMs = 10_000;

function roomOf() {
  const clock = handClock();
  const state = { pace: { perSecond: 20, atOnce: 8 } as Pace, fails: null as Fault | null, opened: [] as string[], ways: [] as { isOpen: boolean; paces: Pace[] }[] };
  const askings = keepAskings({
    clock, restMs,
    pace: () => state.pace,
    open: async (agentId) => {
      state.opened.push(agentId);
      await new Promise((resolve) => setImmediate(resolve));
      if (state.fails) throw state.fails;
      const way = { isOpen: true, paces: [] as Pace[] };
      state.ways.push(way);
      return { ...({} as PacedAsking), get isOpen() { return way.isOpen; }, pace: async (wanted) => (way.paces.push(wanted), { perSecond: 5, atOnce: 1 }), close: () => void (way.isOpen = false) } satisfies PacedAsking;
    },
  });
  return { clock, state, askings, use: (agentId = 'a') => askings.through(agentId, async () => 'done') };
}

test('who comes at the same time shares it, and it is closed when nobody came for a while', async () => {
  const { clock, state, askings, use } = roomOf();
  assert.deepEqual(await Promise.all([use(), use(), use('b')]), ['done', 'done', 'done']);
  assert.deepEqual([state.opened, state.ways[0]!.paces, askings.paceOf('a'), askings.paceOf('c')], [['a', 'b'], [{ perSecond: 20, atOnce: 8 }], { perSecond: 5, atOnce: 1 }, null]);
  clock.advance(restMs - 1);
  await use();
  clock.advance(restMs - 1);
  assert.deepEqual([state.ways[0]!.isOpen, state.ways[1]!.isOpen, state.opened.length], [true, false, 2]);
  clock.advance(1);
  assert.equal(state.ways[0]!.isOpen, false);
  await use();
  assert.deepEqual(state.opened, ['a', 'b', 'a']);
  askings.close();
  assert.equal(clock.timers, 0);
});

test('it is not closed under whoever asks for long', async () => {
  const { clock, state, askings, use } = roomOf();
  let end: (() => void) | undefined;
  const long = askings.through('a', () => new Promise<void>((resolve) => (end = resolve)));
  await use();
  clock.advance(10 * restMs);
  assert.equal(state.ways[0]!.isOpen, true);
  end!();
  await long;
  clock.advance(restMs);
  assert.equal(state.ways[0]!.isOpen, false);
  askings.close();
});

test('one that broke, or whose link went, is opened anew; one that cannot be opened is tried again by the next', async () => {
  const { clock, state, askings, use } = roomOf();
  state.fails = new Fault('offline', 'no link');
  await assert.rejects(Promise.all([use(), use()]), (thrown) => isFault(thrown, 'offline'));
  assert.equal(state.opened.length, 1);
  state.fails = null;
  await use();
  state.ways[0]!.isOpen = false;
  await use();
  askings.forget('a');
  assert.equal(state.ways[1]!.isOpen, false);
  await use();
  assert.equal(state.opened.length, 4);
  askings.close();
  assert.equal(clock.timers, 0);
  await assert.rejects(use(), (thrown) => isFault(thrown, 'closed'));
});

test('another pace is told before the next question', async () => {
  const { state, askings, use } = roomOf();
  await use();
  state.pace = { perSecond: 50, atOnce: 8 };
  await use();
  await use();
  assert.deepEqual(state.ways[0]!.paces, [{ perSecond: 20, atOnce: 8 }, { perSecond: 50, atOnce: 8 }]);
  askings.close();
});
