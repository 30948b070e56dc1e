import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { seeded } from '../../test/sim/line.ts';
import { buildDatagramParser, datagramBytesMax, datagramHeadBytes, encodeFlowEnd, writeDatagram } from './datagrams.ts';
import type { PrefaceAnswer } from './preface.ts';

type Heard = string | PrefaceAnswer;

function encode(datagrams: readonly Buffer[]): Buffer {
  const bytes = Buffer.alloc(datagrams.reduce((sum, each) => sum + datagramHeadBytes + each.length, 0));
  let at = 0;
  for (const each of datagrams) at = writeDatagram(bytes, at, each);
  assert.equal(at, bytes.length);
  return bytes;
}

/** What a parser says to these pieces, and the Fault that ended it. */
function hear(pieces: readonly Buffer[]): { heard: Heard[]; fault: string | null; isBetween: boolean } {
  const heard: Heard[] = [];
  const parser = buildDatagramParser({ onDatagram: (each) => void heard.push(each.toString('hex')), onEnd: (answer) => void heard.push(answer) });
  try {
    for (const piece of pieces) parser.push(piece);
    return { heard, fault: null, isBetween: parser.isBetween };
  } catch (thrown) {
    assert.ok(isFault(thrown, 'protocol'), String(thrown));
    return { heard, fault: thrown.message, isBetween: false };
  }
}

const datagrams = [Buffer.from('one'), Buffer.alloc(0), Buffer.from([0xff, 0xff]), Buffer.alloc(300, 7), Buffer.alloc(0)];
const end: PrefaceAnswer = { code: 2, text: 'nobody listens at 192.0.2.1:161, größer' };
const sample = Buffer.concat([encode(datagrams), encodeFlowEnd(end)]);
const wanted: Heard[] = [...datagrams.map((each) => each.toString('hex')), end];

test('the bytes are those of the page', () => {
  assert.equal(encode([Buffer.from('hi'), Buffer.alloc(0)]).toString('hex'), '000268690000');
  assert.equal(encodeFlowEnd({ code: 2, text: 'no' }).toString('hex'), 'ffff700200026e6f');
});

test('every split point, and a byte at a time', () => {
  for (let cut = 0; cut <= sample.length; cut++) assert.deepEqual(hear([sample.subarray(0, cut), sample.subarray(cut)]), { heard: wanted, fault: null, isBetween: true }, `cut at ${cut}`);
  assert.deepEqual(hear(Array.from(sample, (_, i) => sample.subarray(i, i + 1))).heard, wanted);
  assert.deepEqual(hear([encodeFlowEnd({ code: 0, text: '' })]).heard, [{ code: 0, text: '' }]);
});

test('every truncation: what is whole is heard, and only between two records may a stream end', () => {
  const ends = new Set([0]);
  let at = 0;
  for (const each of datagrams) ends.add((at += datagramHeadBytes + each.length));
  ends.add(sample.length);
  for (let cut = 0; cut <= sample.length; cut++) {
    const { heard, isBetween } = hear([sample.subarray(0, cut)]);
    assert.deepEqual(heard, wanted.slice(0, heard.length));
    assert.equal(isBetween, ends.has(cut), `at ${cut}`);
  }
});

test('the longest datagram passes, a longer one is refused at both ends', () => {
  const longest = randomBytes(datagramBytesMax);
  const bytes = encode([longest]);
  assert.deepEqual(hear([bytes.subarray(0, 40_000), bytes.subarray(40_000)]).heard, [longest.toString('hex')]);
  assert.throws(() => writeDatagram(Buffer.alloc(70_000), 0, Buffer.alloc(datagramBytesMax + 1)), (thrown) => isFault(thrown, 'too-large'));
  for (let length = datagramBytesMax + 1; length < 0xffff; length++) assert.match(hear([Buffer.from([length >> 8, length & 255])]).fault ?? '', /UDP carries 65507/);
});

test('what follows a last record, and a last record that is none, are refused', () => {
  assert.match(hear([Buffer.concat([sample, Buffer.from([0])])]).fault ?? '', /after the end/);
  assert.match(hear([sample, Buffer.from([0, 0])]).fault ?? '', /after the end/);
  assert.match(hear([Buffer.from('ffff500200006e6f', 'hex')]).fault ?? '', /not an answer/);
  assert.match(hear([Buffer.from('ffff70020401', 'hex')]).fault ?? '', /longer than 1024/);
});

test('what is kept is known: all of a datagram that is not whole, nothing between two', () => {
  const parser = buildDatagramParser({ onDatagram: () => {}, onEnd: () => {} });
  const bytes = encode([Buffer.alloc(5_000)]);
  parser.push(bytes.subarray(0, 2));
  assert.equal(parser.heldBytes, 0);
  parser.push(bytes.subarray(2, 3));
  assert.equal(parser.heldBytes, 5_000);
  parser.push(bytes.subarray(3));
  assert.equal(parser.heldBytes, 0);
});

test('a datagram is not the parser’s to keep: it shows what was pushed', () => {
  const chunk = encode([Buffer.from('abc')]);
  const parser = buildDatagramParser({ onDatagram: (each) => assert.equal(each.buffer, chunk.buffer), onEnd: () => {} });
  parser.push(chunk);
});

test('damage: never throws anything but a Fault, and hears the same whatever the cuts', () => {
  const random = seeded(7);
  for (let round = 0; round < 3_000; round++) {
    const bytes = Buffer.from(sample);
    for (let i = 1 + Math.floor(random() * 3); i > 0; i--) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const next = at + 1 + Math.floor(random() * 40);
      pieces.push(bytes.subarray(at, next));
      at = next;
    }
    assert.deepEqual(hear(pieces), hear([bytes]));
  }
});
