import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFormat, encodeStamped, parseFormat, recordBytesMax, RecordSplitter, type RecordFormat } from './records.ts';

interface Seen {
  off: number;
  end: number;
  text: string;
  atMs: number | null;
  broken: boolean;
}

function splitAt(format: RecordFormat, bytes: Buffer, cuts: readonly number[], start = 0): { seen: Seen[]; boundary: number; unframed: boolean; end: number } {
  const seen: Seen[] = [];
  const splitter = new RecordSplitter(format, start);
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    splitter.push(bytes.subarray(from, cut), ({ bytes: record, ...rest }) => void seen.push({ ...rest, text: record.toString('latin1') }));
    from = cut;
  }
  return { seen, boundary: splitter.boundary, unframed: splitter.unframed, end: splitter.end };
}

const prefixed = (bytes: number, ...texts: string[]) =>
  Buffer.concat(
    texts.map((text) => {
      const head = Buffer.alloc(bytes);
      head.writeUIntBE(text.length, 0, bytes);
      return Buffer.concat([head, Buffer.from(text, 'latin1')]);
    }),
  );

const samples: readonly [string, RecordFormat, Buffer, string[]][] = [
  ['lines', { kind: 'lines' }, Buffer.from('one\ntwo\r\n\n\r\nth\rree\nopen'), ['one', 'two', '', '', 'th\rree']],
  ['u16', { kind: 'u16' }, Buffer.concat([prefixed(2, 'one', '', 'three'), Buffer.from([0, 9, 1])]), ['one', '', 'three']],
  ['u32', { kind: 'u32' }, Buffer.concat([prefixed(4, 'one', '', 'three'), Buffer.from([0, 0])]), ['one', '', 'three']],
  ['fixed', { kind: 'fixed', length: 4 }, Buffer.from('aaaabbbbcc'), ['aaaa', 'bbbb']],
  ['stamped', { kind: 'stamped' }, Buffer.concat([encodeStamped(Buffer.from('one'), 1_795_159_800_412), encodeStamped(Buffer.alloc(0), -5), Buffer.from([0])]), ['one', '']],
];

test('every split of the same bytes gives the same records', () => {
  for (const [name, format, bytes, texts] of samples) {
    const whole = splitAt(format, bytes, [], 1_000);
    assert.deepEqual(whole.seen.map((each) => each.text), texts, name);
    for (let a = 0; a <= bytes.length; a++) for (let b = a; b <= bytes.length; b++) assert.deepEqual(splitAt(format, bytes, [a, b], 1_000), whole, `${name} at ${a} and ${b}`);
    assert.deepEqual(splitAt(format, bytes, Array.from(bytes.keys()), 1_000), whole, `${name}, every byte alone`);
    const counting = new RecordSplitter(format, 1_000);
    counting.push(bytes, null);
    assert.deepEqual([counting.records, counting.boundary], [texts.length, whole.boundary], `${name}, only counted`);
  }
});

test('records stand one behind the other, and what is left begins at the boundary', () => {
  for (const [name, format, bytes] of samples) {
    const { seen, boundary, end } = splitAt(format, bytes, [], 7);
    let at = 7;
    for (const each of seen) {
      assert.equal(each.off, at, name);
      at = each.end;
    }
    assert.equal(boundary, at, name);
    assert.equal(end, 7 + bytes.length, name);
  }
});

test('a line that is too long is cut at the same place, wherever the batches end', () => {
  const format: RecordFormat = { kind: 'lines' };
  for (const length of [recordBytesMax - 1, recordBytesMax, recordBytesMax + 1, 2 * recordBytesMax, 2 * recordBytesMax + 1, 3 * recordBytesMax + 17]) {
    const bytes = Buffer.concat([Buffer.from('before\n'), Buffer.alloc(length, 120), Buffer.from('\r\nafter\n')]);
    const whole = splitAt(format, bytes, []);
    assert.ok(whole.seen.every((each) => each.text.length <= recordBytesMax));
    assert.equal(whole.seen.at(-1)!.text, 'after');
    assert.equal(whole.seen.map((each) => each.text).join('').replaceAll('\r', '').length, 'beforeafter'.length + length);
    for (const cuts of [[1], [8], [recordBytesMax], [recordBytesMax + 6, recordBytesMax + 7, recordBytesMax + 8], [bytes.length - 8, bytes.length - 7, bytes.length - 6], Array.from({ length: 40 }, (_, i) => (i + 1) * 4_099).filter((cut) => cut < bytes.length)]) assert.deepEqual(splitAt(format, bytes, cuts), whole, `${length} at ${cuts.slice(0, 3).join()}`);
  }
});

test('a length that cannot be ends splitting until a gap; nothing before it is lost', () => {
  for (const [format, bad] of [[{ kind: 'u32' }, Buffer.from([0, 1, 0, 1])], [{ kind: 'stamped' }, Buffer.from([0, 0, 0, 7])]] as const) {
    const good = format.kind === 'u32' ? prefixed(4, 'one') : encodeStamped(Buffer.from('one'), 5);
    const { seen, boundary, unframed, end } = splitAt(format, Buffer.concat([good, bad, good]), [3, 9]);
    assert.deepEqual(seen.map((each) => each.text), ['one']);
    assert.equal(unframed, true);
    assert.equal(boundary, good.length);
    assert.equal(end, 2 * good.length + 4);
    const splitter = new RecordSplitter(format, boundary, true);
    splitter.push(good, () => assert.fail('unframed'));
    const after: string[] = [];
    splitter.gap(5_000, () => assert.fail('nothing is open'));
    splitter.push(good, (record) => void after.push(`${record.off} ${record.bytes.toString()}`));
    assert.deepEqual(after, ['5000 one']);
  }
});

test('a gap breaks what is open, and only that', () => {
  for (const [name, format, bytes] of samples) {
    const { boundary, end } = splitAt(format, bytes, []);
    const splitter = new RecordSplitter(format, 0);
    splitter.push(bytes, () => {});
    assert.equal(splitter.heldBytes, end - boundary);
    const broken: Seen[] = [];
    splitter.gap(end + 100, ({ bytes: record, ...rest }) => void broken.push({ ...rest, text: record.toString('latin1') }));
    assert.deepEqual(broken.map(({ off, end: to, broken: is }) => ({ off, to, is })), [{ off: boundary, to: end, is: true }], name);
    assert.equal(splitter.boundary, end + 100);
  }
});

test('random bytes in random pieces: never a throw, never another answer', () => {
  let seed = 20_261_120;
  const random = (below: number) => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff) % below;
  const formats: RecordFormat[] = [{ kind: 'lines' }, { kind: 'u16' }, { kind: 'u32' }, { kind: 'stamped' }, { kind: 'fixed', length: 3 }, { kind: 'raw' }];
  for (let run = 0; run < 600; run++) {
    const format = formats[run % formats.length]!;
    const bytes = Buffer.from(Array.from({ length: random(400) }, () => [0, 0, 0, 3, 10, 13, 12, random(256)][random(8)]!));
    const cuts = Array.from({ length: random(20) }, () => random(bytes.length + 1)).sort((a, b) => a - b);
    assert.deepEqual(splitAt(format, bytes, cuts), splitAt(format, bytes, []), `run ${run}`);
  }
});

test('formats', () => {
  for (const text of ['raw', 'lines', 'u16', 'u32', 'stamped', 'fixed:1', 'fixed:65536']) assert.equal(encodeFormat(parseFormat(text)!), text);
  for (const text of ['', 'Lines', 'fixed', 'fixed:0', 'fixed:65537', 'fixed:01', 'u8', 'lines ']) assert.equal(parseFormat(text), null, text);
});
