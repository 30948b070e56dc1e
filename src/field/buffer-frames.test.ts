import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeStamped } from '#wire/records.ts';
import { seeded } from '#kit/simulated-disk.ts';
import { frameHeadBytes, noBoot, parseHead, payloadOf, putStamped, recordStart, restamp, scanFrames, sealFrame, unknownStamp } from './buffer-frames.ts';
import type { Frame } from './buffer-frames.ts';
import { encodeState, parseState } from './buffer-state.ts';
import type { BufferState } from './buffer-state.ts';

const salt = 0x1234_5678;

function frame(from: number, payload: Buffer, kind: Frame['kind'] = 'data', to = from + payload.length): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(frameHeadBytes), payload]);
  sealFrame(bytes, { kind, from, to, atMs: 1_800_000_000_123, boot: kind === 'uptime' ? '00112233445566ff' : noBoot, length: payload.length }, salt);
  return bytes;
}

const one = frame(7, Buffer.from('first payload'));
const two = frame(20, Buffer.from('second'), 'uptime');
const three = frame(26, Buffer.from('full'), 'gap', 2 ** 40);
const four = frame(2 ** 40, Buffer.from('behind the gap'));
const whole = Buffer.concat([one, two, three, four]);
const offsets = (bytes: Buffer) => scanFrames(bytes, salt, 7, Number.MAX_SAFE_INTEGER).frames.map(({ from }) => from);

test('what is sealed is found again', () => {
  const { frames, end } = scanFrames(whole, salt, 7, Number.MAX_SAFE_INTEGER);
  assert.deepEqual(frames.map(({ kind, from, to, atMs, boot }) => ({ kind, from, to, atMs, boot })), [
    { kind: 'data', from: 7, to: 20, atMs: 1_800_000_000_123, boot: noBoot },
    { kind: 'uptime', from: 20, to: 26, atMs: 1_800_000_000_123, boot: '00112233445566ff' },
    { kind: 'gap', from: 26, to: 2 ** 40, atMs: 1_800_000_000_123, boot: noBoot },
    { kind: 'data', from: 2 ** 40, to: 2 ** 40 + 14, atMs: 1_800_000_000_123, boot: noBoot },
  ]);
  assert.equal(end, 2 ** 40 + 14);
  assert.equal(payloadOf(whole, frames[1]!, frames[1]!.position, salt)?.toString(), 'second');
  assert.equal(parseHead(whole, 0, salt + 1), null, 'another segment\'s salt');
});

test('cut anywhere: the whole frames before, and no offset beyond them', () => {
  const ends = [one.length, one.length + two.length, one.length + two.length + three.length, whole.length];
  for (let cut = 0; cut <= whole.length; cut++) {
    const count = ends.filter((at) => at <= cut).length;
    const scan = scanFrames(whole.subarray(0, cut), salt, 7, Number.MAX_SAFE_INTEGER);
    assert.equal(scan.frames.length, count);
    assert.equal(scan.end, scan.frames.at(-1)?.to ?? 7);
    // A file system that made the file longer before it wrote: zeros behind the last whole frame.
    assert.equal(scanFrames(Buffer.concat([whole.subarray(0, ends[count - 1] ?? 0), Buffer.alloc(cut)]), salt, 7, Number.MAX_SAFE_INTEGER).end, scan.end);
  }
});

test('one bit turned, anywhere: its frame is missing, all others are there, and its offsets are not given again', () => {
  for (let bit = 0; bit < whole.length * 8; bit++) {
    const bytes = Buffer.from(whole);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    const at = bit >> 3;
    const which = at < one.length ? 0 : at < one.length + two.length ? 1 : at < one.length + two.length + three.length ? 2 : 3;
    assert.deepEqual(offsets(bytes), [7, 20, 26, 2 ** 40].toSpliced(which, 1), `bit ${bit}`);
    if (which === 3) assert.ok(scanFrames(bytes, salt, 7, Number.MAX_SAFE_INTEGER).end >= 2 ** 40 + 14);
  }
});

test('a feed that carries a copy of such a file does not fool the search behind damage', () => {
  const copied = Buffer.concat([frame(0, Buffer.from('x')), frame(1, whole)]);
  const otherSalt = 0x0bad_cafe;
  const outer = Buffer.concat([Buffer.alloc(frameHeadBytes), copied]);
  sealFrame(outer, { kind: 'data', from: 0, to: copied.length, atMs: 0, boot: noBoot, length: copied.length }, otherSalt);
  outer[10]! ^= 1;
  assert.deepEqual(scanFrames(outer, otherSalt, 0, Number.MAX_SAFE_INTEGER).frames, []);
});

test('fuzz (seed 20261120): never throws, never finds what was not written', () => {
  const roll = seeded(20_261_120);
  for (let round = 0; round < 3_000; round++) {
    const bytes = Buffer.from(whole.subarray(Math.floor(roll() * 20), whole.length - Math.floor(roll() * 20)));
    for (let flips = Math.floor(roll() * 6); flips > 0; flips--) bytes[Math.floor(roll() * bytes.length)] = Math.floor(roll() * 256);
    for (const { from } of scanFrames(bytes, salt, Math.floor(roll() * 30), Number.MAX_SAFE_INTEGER).frames) assert.ok([7, 20, 26, 2 ** 40].includes(from));
  }
});

test('a record is written as wire/records has it, before 1970 and far behind it', () => {
  for (const atMs of [0, 1, 1_800_000_000_123, -1, -1 - 86_400_000, 2 ** 52]) {
    const bytes = Buffer.alloc(15);
    putStamped(bytes, 0, atMs, Buffer.from('abc'));
    assert.deepEqual(bytes, encodeStamped(Buffer.from('abc'), atMs));
  }
});

test('stamps since the boot become times, record by record', () => {
  const payload = Buffer.concat([encodeStamped(Buffer.from('a'), 5), encodeStamped(Buffer.alloc(0), 70_000)]);
  assert.deepEqual(restamp(payload, (up) => up + 1_800_000_000_000), Buffer.concat([encodeStamped(Buffer.from('a'), 1_800_000_000_005), encodeStamped(Buffer.alloc(0), 1_800_000_070_000)]));
  assert.deepEqual(restamp(payload, unknownStamp), Buffer.concat([encodeStamped(Buffer.from('a'), -6), encodeStamped(Buffer.alloc(0), -70_001)]));
});

test('where records with prefixes begin', () => {
  const stamped = Buffer.concat([encodeStamped(Buffer.from('abc'), 1), encodeStamped(Buffer.from('de'), 2)]);
  for (let at = 0; at < stamped.length; at++) assert.equal(recordStart('stamped', stamped, at), at < 15 ? 0 : 15);
  const short = Buffer.from([0, 2, 65, 66, 0, 1, 67]);
  for (let at = 0; at < short.length; at++) assert.equal(recordStart('u16', short, at), at < 4 ? 0 : 4);
  assert.equal(recordStart('raw', short, 3), 3);
  // Not a boundary at its begin: nothing can be told.
  assert.equal(recordStart('u16', Buffer.from([9, 9, 1, 2, 3]), 3), 3);
});

test('a state is read back, and not when a bit of it turned or its end is missing', () => {
  const state: BufferState = { epoch: '5b1e0c77a1d2e3f4', format: 'stamped', shift: 3, first: 5, forcedTo: 4, end: 9, lost: 1, positions: { home: 7 }, starts: { home: 3 }, boots: [{ tag: '00', deltaMs: 1.5, unknownTo: 2, until: null }] };
  const bytes = encodeState(state);
  assert.deepEqual(parseState(bytes), state);
  for (let cut = 0; cut < bytes.length; cut++) assert.equal(parseState(bytes.subarray(0, cut)), null);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const bad = Buffer.from(bytes);
    bad[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(parseState(bad), null);
  }
});
