import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeStamped, parseFormat, RecordSplitter } from '#wire/records.ts';
import type { StoredChunk } from './intake.ts';
import { startOfLast } from './last-records.ts';

/** A stream cut anywhere, as intake stores it: chunks with how many records end in each. */
function stored(format: string, pieces: readonly (Buffer | { readonly lost: number })[], start = 0) {
  const splitter = new RecordSplitter(parseFormat(format)!, start);
  const chunks: StoredChunk[] = [];
  const gaps: { fromOff: number; toOff: number }[] = [];
  const offsets: number[] = [];
  const onRecord = ({ off }: { readonly off: number }) => void offsets.push(off);
  for (const piece of pieces) {
    const off = splitter.end;
    if ('lost' in piece) {
      splitter.gap(off + piece.lost, onRecord);
      gaps.push({ fromOff: off, toOff: off + piece.lost });
      continue;
    }
    const before = offsets.length;
    splitter.push(piece, onRecord);
    chunks.push({ off, at: 1, records: offsets.length - before, body: piece });
  }
  return { epoch: { format, start, first: start, boundary: splitter.boundary, unframed: splitter.unframed }, chunks, gaps, offsets };
}

const numbers = (seed: number) => () => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) / 2 ** 32;
const encoders: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  lines: (bytes) => Buffer.concat([Buffer.from(bytes.toString('hex')), Buffer.from('\n')]),
  'fixed:7': () => Buffer.from('1234567'),
  u16: (bytes) => Buffer.concat([Buffer.from([0, bytes.length]), bytes]),
  u32: (bytes) => Buffer.concat([Buffer.from([0, 0, 0, bytes.length]), bytes]),
  stamped: (bytes) => encodeStamped(bytes, 1_800_000_000_000),
};

for (const [format, encode] of Object.entries(encoders)) {
  test(`the last records of a ${format} feed, cut anywhere, with gaps, seen from any chunk on`, () => {
    const random = numbers(7);
    let told = 0;
    for (let run = 0; run < 40; run++) {
      const stream = Buffer.concat(Array.from({ length: 60 }, () => encode(Buffer.from(Array.from({ length: 1 + Math.floor(random() * 30) }, () => Math.floor(random() * 256))))));
      const pieces: (Buffer | { lost: number })[] = [];
      for (let at = 0; at < stream.length; ) {
        const end = Math.min(stream.length, at + 1 + Math.floor(random() * 90));
        pieces.push(stream.subarray(at, end));
        at = end;
        // A declared loss ends a stretch; what follows it begins with a record.
        if (run % 3 === 0 && random() < 0.05) pieces.push({ lost: 50 }, encode(Buffer.from('again')));
      }
      const { offsets, ...end } = stored(format, pieces, run % 2 === 0 ? 0 : 1_000);
      const from = run % 4 === 0 ? 0 : Math.floor(random() * end.chunks.length * 0.5);
      const seen = { ...end, chunks: end.chunks.slice(from), gaps: end.gaps.filter((gap) => from === 0 || gap.toOff > end.chunks[from]!.off) };
      for (const wanted of [1, 3, 10]) {
        const place = startOfLast(seen, wanted);
        if (place === null) continue;
        told += 1;
        assert.ok(offsets.includes(place) || place === end.epoch.boundary, `${format} run ${run}: no record begins at ${place}`);
        if (from === 0) assert.equal(place, offsets.at(-wanted) ?? offsets[0]);
      }
      if (from === 0) assert.notEqual(startOfLast(seen, 1), null);
    }
    assert.ok(told > 30, `only ${told} were told`);
  });
}

test('raw feeds have a record for each chunk; an empty one ends where it begins', () => {
  const { epoch, chunks, gaps } = stored('raw', [Buffer.from('aa'), Buffer.from('bbb'), Buffer.from('c')]);
  assert.equal(startOfLast({ epoch, chunks, gaps }, 2), 2);
  assert.equal(startOfLast({ epoch, chunks, gaps }, 9), 0);
  assert.equal(startOfLast({ epoch: { ...epoch, boundary: 6 }, chunks: [], gaps: [] }, 2), 6);
});
