// Any split of a stream gives the same records, and so does going on behind any record.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { openFramer } from './framer.ts';
import type { FramerPlace } from './framer.ts';
import type { Framing } from './source-settings.ts';

const any: Framing = { kind: 'lines', end: 'any', keepEmpty: false };

function frames(framing: Framing, pieces: readonly Uint8Array[], from?: FramerPlace): { readonly records: string[]; readonly places: FramerPlace[]; readonly broken: number; readonly open: number } {
  const records: string[] = [];
  const places: FramerPlace[] = [];
  const framer = openFramer(
    framing,
    (record, behind) => {
      records.push(record.toString('latin1'));
      places.push(behind);
    },
    from,
  );
  for (const piece of pieces) framer.push(piece);
  return { records, places, broken: framer.broken(), open: framer.openBytes() };
}

const samples: { readonly name: string; readonly framing: Framing; readonly bytes: string; readonly records: readonly string[]; readonly open?: number; readonly broken?: number }[] = [
  { name: 'lines of every kind', framing: any, bytes: 'a\nb\r\nc\rd\0e\r\0f\n\n\r\rg', records: ['a', 'b', 'c', 'd', 'e', 'f'], open: 1 },
  { name: 'empty lines kept', framing: { kind: 'lines', end: 'any', keepEmpty: true }, bytes: 'a\n\nb\r\n\r\nc\r\rd\n', records: ['a', '', 'b', '', 'c', '', 'd'] },
  { name: 'LF alone', framing: { kind: 'lines', end: 'lf', keepEmpty: true }, bytes: 'a\r\n\rb\n\n', records: ['a\r', '\rb', ''] },
  { name: 'CR alone', framing: { kind: 'lines', end: 'cr', keepEmpty: true }, bytes: 'a\r\nb\r', records: ['a', '\nb'] },
  { name: 'CR LF alone', framing: { kind: 'lines', end: 'crlf', keepEmpty: true }, bytes: 'a\nb\r\r\n\r\nc\r', records: ['a\nb\r', ''], open: 2 },
  { name: 'NUL alone', framing: { kind: 'lines', end: 'nul', keepEmpty: false }, bytes: 'a\r\nb\0\0c\0', records: ['a\r\nb', 'c'] },
  { name: 'fixed', framing: { kind: 'fixed', bytes: 3 }, bytes: 'abc\r\n\0defg', records: ['abc', '\r\n\0', 'def'], open: 1 },
  { name: 'STX and ETX', framing: { kind: 'stx-etx' }, bytes: 'x\x02abc\x03K\r\n\x02de\x02f\ng\x03\x03\x02\x03\x02h', records: ['abc', 'f\ng', ''], open: 1, broken: 1 },
];

for (const sample of samples) {
  test(`${sample.name}: the same records at every split, and from behind every record`, () => {
    const bytes = Buffer.from(sample.bytes, 'latin1');
    const whole = frames(sample.framing, [bytes]);
    assert.deepEqual(whole.records, sample.records);
    assert.equal(whole.open, sample.open ?? 0);
    assert.equal(whole.broken, sample.broken ?? 0);
    for (let at = 0; at <= bytes.length; at++) {
      assert.deepEqual(frames(sample.framing, [bytes.subarray(0, at), bytes.subarray(at)]), whole, `split at ${at}`);
      const short = frames(sample.framing, [bytes.subarray(0, at)]);
      assert.deepEqual(short.records, whole.records.slice(0, short.records.length), `cut at ${at}`);
    }
    for (const [index, place] of whole.places.entries()) {
      assert.deepEqual(frames(sample.framing, [bytes.subarray(place.at)], place).records, whole.records.slice(index + 1), `from behind record ${index}`);
    }
  });
}

test('a record of 64 KiB is whole, a longer one is cut there', () => {
  const max = limits.feedRecordBytesMax;
  const lengths = (framing: Framing, bytes: Buffer) => frames(framing, [bytes]).records.map((record) => record.length);
  assert.deepEqual(lengths(any, Buffer.from(`${'x'.repeat(max)}\r\n${'y'.repeat(max + 1)}\n`)), [max, max, 1]);
  assert.deepEqual(lengths({ kind: 'stx-etx' }, Buffer.from(`\x02${'x'.repeat(max)}\x03\x02${'y'.repeat(max + 2)}\x03`)), [max, max, 2]);
  assert.deepEqual(lengths({ kind: 'idle', idleMs: 100 }, Buffer.alloc(2 * max + 1)), [max, max]);
  const bytes = Buffer.from(`${'x'.repeat(2 * max + 5)}\nz\n`);
  const whole = frames(any, [bytes]);
  for (const [index, place] of whole.places.entries()) assert.deepEqual(frames(any, [bytes.subarray(place.at)], place).records, whole.records.slice(index + 1));
});

test('what waits is a record when the stream ends; a frame without its end is left out and counted', () => {
  const records: string[] = [];
  const lines = openFramer(any, (record) => records.push(record.toString()));
  lines.push(Buffer.from('a\nhalf'));
  lines.cut();
  lines.cut();
  lines.push(Buffer.from('b\n'));
  assert.deepEqual(records, ['a', 'half', 'b']);
  const framed = openFramer({ kind: 'stx-etx' }, (record) => records.push(record.toString()));
  framed.push(Buffer.from('\x02half'));
  framed.cut();
  framed.push(Buffer.from('more\x03\x02c\x03'));
  assert.deepEqual(records, ['a', 'half', 'b', 'c']);
  assert.equal(framed.broken(), 1);
});

test('random bytes in random pieces, seed 41: never throws, never disagrees', () => {
  let seed = 41;
  const next = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  const alphabet = [0, 2, 3, 10, 13, 65, 66];
  for (let run = 0; run < 400; run++) {
    const bytes = Buffer.from(Array.from({ length: next(60) }, () => alphabet[next(alphabet.length)]!));
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const to = Math.min(bytes.length, at + 1 + next(7));
      pieces.push(bytes.subarray(at, to));
      at = to;
    }
    for (const { framing } of samples) assert.deepEqual(frames(framing, pieces), frames(framing, [bytes]));
  }
});
