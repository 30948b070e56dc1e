import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildBudget } from './budget.ts';
import { MuxStream, type StreamOps } from './stream.ts';

const windowBytes = 256 * 1024;

function build(budgetBytes: number) {
  const budget = buildBudget(budgetBytes, () => {});
  const ops: StreamOps = { budget, nowMs: () => 0, wantSend() {}, giveCredit() {}, windowFor: () => undefined, forget() {} };
  return { budget, stream: new MuxStream(1, false, windowBytes, ops) };
}

/** As a hostile end sends: a byte a frame, many in one chunk of the connection. */
function receiveBytes(stream: MuxStream, count: number) {
  const chunk = Buffer.alloc(13 * count);
  for (let i = 0; i < count && !stream.destroyed; i++) {
    stream.receiveHead(1);
    stream.receiveBody(chunk.subarray(13 * i + 12, 13 * i + 13));
  }
}

test('what unread pieces cost is counted, so that a byte a frame cannot hold two hundred times the budget', () => {
  const { budget, stream } = build(4 * 1024 * 1024);
  receiveBytes(stream, 10_000);
  assert.ok(budget.heldBytes > 1_000_000, `${budget.heldBytes} bytes are counted`);
  while (stream.read() !== null);
  assert.equal(budget.heldBytes, 0);
  receiveBytes(stream, 50_000);
  assert.equal(stream.destroyed, true, 'the budget is used up and this is the stream that stands in the way');
  assert.equal(budget.heldBytes, 0);
});

test('pieces of an ordinary size count with their bytes alone', () => {
  const { budget, stream } = build(4 * 1024 * 1024);
  for (let i = 0; i < 16; i++) {
    stream.receiveHead(16 * 1024);
    stream.receiveBody(Buffer.alloc(16 * 1024));
  }
  assert.equal(budget.heldBytes, windowBytes);
  stream.destroy();
  assert.equal(budget.heldBytes, 0);
});
