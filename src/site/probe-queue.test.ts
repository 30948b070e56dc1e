import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildProbeQueue, type ProbeJob } from './probe-queue.ts';

function queueOf(change: { atOnce?: number; runsMax?: number; waitingMax?: number } = {}) {
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  let atOnce = change.atOnce ?? 2;
  const queue = buildProbeQueue({
    nowMs: () => 7, atOnce: () => atOnce, runsMax: change.runsMax ?? 4, waitingMax: change.waitingMax ?? 100, onChange: () => {},
    run: (job: ProbeJob) => {
      started.push(job.deviceId);
      return new Promise((resolve) => ends.set(job.deviceId, resolve));
    },
  });
  const end = async (id: string) => {
    const job = queue.of(id)!;
    ends.get(id)!();
    await job.done;
  };
  return { queue, started, end, setAtOnce: (count: number) => (atOnce = count) };
}

test('so many at once through one agent, so many in all, and no agent waits for another', async () => {
  const { queue, started, end } = queueOf({ atOnce: 2, runsMax: 3 });
  for (const id of ['a1', 'a2', 'a3', 'a4']) queue.add(id, 'a', 'schedule');
  for (const id of ['b1', 'b2']) queue.add(id, 'b', 'schedule');
  assert.deepEqual(started, ['a1', 'a2', 'b1']);
  assert.deepEqual([queue.running, queue.waiting, queue.ofAgent('a'), queue.ofAgent('b'), queue.ofAgent('c')], [3, 3, { running: 2, waiting: 2 }, { running: 1, waiting: 1 }, { running: 0, waiting: 0 }]);
  await end('a1');
  await end('a2');
  await end('b1');
  // The lane that was served last is last.
  assert.deepEqual(started.slice(3).sort(), ['a3', 'a4', 'b2']);
  assert.deepEqual(queue.all().map((job) => job.state), ['running', 'running', 'running']);
  for (const id of ['a3', 'a4', 'b2']) await end(id);
  assert.deepEqual([queue.running, queue.waiting, queue.all()], [0, 0, []]);
});

test('one run a device: who asks again joins it, and what is urgent passes', async () => {
  const { queue, started, end } = queueOf({ atOnce: 1 });
  const first = queue.add('x', 'a', 'schedule')!;
  const later = queue.add('y', 'a', 'first')!;
  const last = queue.add('z', 'a', 'schedule')!;
  assert.equal(queue.add('x', 'a', 'asked'), first);
  assert.equal(queue.add('z', 'a', 'asked'), last);
  assert.equal(queue.add('z', 'a', 'schedule'), last);
  assert.deepEqual([first.reason, later.reason, last.reason], ['asked', 'first', 'asked']);
  await end('x');
  await end('z');
  await end('y');
  assert.deepEqual(started, ['x', 'z', 'y']);
});

test('too many are not taken, one that waits can go, and closing waits for those that run', async () => {
  const { queue, started, end } = queueOf({ atOnce: 1, waitingMax: 2 });
  queue.add('1', 'a', 'asked');
  queue.add('2', 'a', 'asked');
  const three = queue.add('3', 'a', 'asked')!;
  assert.equal(queue.add('4', 'a', 'asked'), null);
  queue.drop('2');
  assert.ok(queue.add('4', 'a', 'asked'));
  queue.drop('1');
  assert.equal(queue.of('1')?.state, 'running', 'what runs is not dropped');
  const closing = queue.close();
  await three.done;
  assert.equal(queue.add('5', 'b', 'asked'), null);
  await end('1');
  await closing;
  assert.deepEqual([started, queue.waiting, queue.running], [['1'], 0, 0]);
});

test('more at once is felt by the next run that ends', async () => {
  const { queue, started, end, setAtOnce } = queueOf({ atOnce: 1 });
  for (const id of ['1', '2', '3']) queue.add(id, null, 'first');
  setAtOnce(3);
  await end('1');
  assert.deepEqual(started, ['1', '2', '3']);
});
