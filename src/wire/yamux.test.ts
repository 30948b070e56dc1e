import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { seeded } from '../../test/sim/line.ts';
import { buildYamuxParser, Flag, FrameType, writeYamuxHead, yamuxHeadBytes } from './yamux.ts';

function head(type: number, flags: number, id: number, length: number): Buffer {
  const bytes = Buffer.alloc(yamuxHeadBytes);
  writeYamuxHead(bytes, 0, type, flags, id, length);
  return bytes;
}

function listen() {
  const frames: { type: number; flags: number; id: number; length: number; body: string; done: boolean }[] = [];
  const pieces: Buffer[] = [];
  const parser = buildYamuxParser({
    onFrame: (type, flags, id, length) => void frames.push({ type, flags, id, length, body: '', done: type !== 0 || length === 0 }),
    onBody(bytes, last) {
      pieces.push(bytes);
      frames.at(-1)!.body += bytes.toString();
      if (last) frames.at(-1)!.done = true;
    },
  });
  return { parser, frames, pieces };
}

const whole = Buffer.concat([
  head(FrameType.data, Flag.syn, 1, 5),
  Buffer.from('hello'),
  head(FrameType.windowUpdate, Flag.ack, 0xffff_ffff, 0xffff_fffe),
  head(FrameType.data, Flag.fin, 1, 0),
  head(FrameType.ping, Flag.syn, 0, 77),
  head(FrameType.data, 0, 3, 30),
  Buffer.alloc(30, 'z'),
  head(FrameType.goAway, 0, 0, 1),
]);

test('the layout of the specification', () => {
  assert.equal(head(FrameType.windowUpdate, Flag.syn | Flag.rst, 0x01020304, 0xfffefdfc).toString('hex'), '0001000901020304fffefdfc');
});

test('every split point', () => {
  for (let cut = 0; cut <= whole.length; cut++) {
    const { parser, frames } = listen();
    parser.push(whole.subarray(0, cut));
    parser.push(whole.subarray(cut));
    assert.deepEqual(frames.map((f) => [f.type, f.flags, f.id, f.length]), [[0, 1, 1, 5], [1, 2, 0xffff_ffff, 0xffff_fffe], [0, 4, 1, 0], [2, 1, 0, 77], [0, 0, 3, 30], [3, 0, 0, 1]]);
    assert.equal(frames[0]!.body, 'hello');
    assert.equal(frames[4]!.body, 'z'.repeat(30));
    assert.ok(frames.every((f) => f.done));
  }
});

test('a body is handed on as it arrives, as a view', () => {
  const { parser, pieces, frames } = listen();
  const bytes = Buffer.concat([head(FrameType.data, 0, 1, 0xffff_ffff), Buffer.alloc(100)]);
  parser.push(bytes);
  assert.equal(pieces.length, 1);
  assert.equal(pieces[0]!.buffer, bytes.buffer);
  assert.equal(frames[0]!.done, false);
});

test('unknown versions and types', () => {
  for (const bytes of [Buffer.from('010000000000000100000000', 'hex'), Buffer.from('000400000000000100000000', 'hex')]) {
    assert.throws(() => listen().parser.push(bytes), (e) => e instanceof Fault && e.code === 'protocol');
    assert.throws(() => bytes.forEach(((parser) => (byte: number) => parser.push(Buffer.from([byte])))(listen().parser)), Fault);
  }
});

test('any bytes: the same whatever the cuts', () => {
  const random = seeded(4);
  for (let round = 0; round < 2_000; round++) {
    const bytes = Buffer.concat(
      Array.from({ length: 4 }, () => {
        const length = Math.floor(random() * 20);
        return Buffer.concat([head(Math.floor(random() * 4.2), Math.floor(random() * 16), Math.floor(random() * 5), length), Buffer.alloc(Math.floor(random() * 24), 'b')]);
      }),
    );
    const run = (step: () => number) => {
      const { parser, frames } = listen();
      let failed = '';
      try {
        for (let at = 0; at < bytes.length; ) {
          const next = at + step();
          parser.push(bytes.subarray(at, next));
          at = next;
        }
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        failed = error.message;
      }
      return { frames, failed };
    };
    assert.deepEqual(run(() => 1 + Math.floor(random() * 7)), run(() => 1000));
  }
});
