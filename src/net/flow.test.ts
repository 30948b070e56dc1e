import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import { endOf, newFlowState, relayFlows } from './flow.ts';
import type { Flow } from './flow.ts';

/** Both halves of a wire without anything on it. */
function wire(): [Flow, Flow] {
  const takes: (((datagram: Buffer) => void) | undefined)[] = [undefined, undefined];
  const make = (me: number): Flow => {
    const state = newFlowState();
    return {
      counts: state.counts,
      get isClosed() {
        return state.isClosed;
      },
      send(datagram) {
        state.counts.sent += 1;
        takes[1 - me]?.(datagram);
        return true;
      },
      onDatagram: (take) => void (takes[me] = take),
      onClosed: state.onClosed,
      close: (why) => void state.end(endOf(why)),
    };
  };
  return [make(0), make(1)];
}

function handClock(): Clock & { pass(ms: number): void } {
  let now = 0;
  const timers = new Set<{ at: number; run: () => void }>();
  return {
    nowMs: () => now,
    monoMs: () => now,
    after(delayMs, run) {
      const timer = { at: now + delayMs, run };
      timers.add(timer);
      return { cancel: () => void timers.delete(timer) };
    },
    every: () => assert.fail('nothing repeats'),
    pass(ms) {
      now += ms;
      for (const timer of Array.from(timers)) if (timer.at <= now && timers.delete(timer)) timer.run();
    },
  };
}

test('datagrams go both ways; idle only when none did', async () => {
  const clock = handClock();
  const [a, nearA] = wire();
  const [b, nearB] = wire();
  const got: string[] = [];
  a.onDatagram((datagram) => void got.push(`a ${datagram.toString()}`));
  b.onDatagram((datagram) => void got.push(`b ${datagram.toString()}`));
  const relayed = relayFlows(nearA, nearB, { clock, idleMs: 60_000 });
  a.send(Buffer.from('there'));
  clock.pass(59_999);
  b.send(Buffer.from('back'));
  clock.pass(59_999);
  assert.equal(nearA.isClosed, false);
  clock.pass(1);
  assert.deepEqual(await relayed, { why: 'idle for 60 s' });
  assert.deepEqual(got, ['b there', 'a back']);
  assert.deepEqual([nearA.isClosed, nearB.isClosed], [true, true]);
});

test('the end of one is the end of the other, with its Fault', async () => {
  const clock = handClock();
  for (const isFirst of [true, false]) {
    const [, near] = wire();
    const [, far] = wire();
    const relayed = relayFlows(near, far, { clock, idleMs: 60_000 });
    const fault = new Fault('unreachable', 'nobody listens');
    (isFirst ? near : far).close(fault);
    assert.equal((await relayed).fault, fault);
    let told: unknown;
    (isFirst ? far : near).onClosed((end) => (told = end.fault));
    assert.equal(told, fault);
  }
});

test('one that was over before ends the other at once', async () => {
  const [, near] = wire();
  const [, far] = wire();
  near.close('made room');
  assert.deepEqual(await relayFlows(near, far, { clock: handClock(), idleMs: 1 }), { why: 'made room' });
  assert.equal(far.isClosed, true);
});
