import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { align, perReader, readAdditions, readBit, readBits, readBmp, readChoice, readHead, readIa5, readLength, readList, readNibbles, readOctets, readOpen, readWithin } from './per.ts';
import type { PerReader } from './per.ts';

const reader = (hex: string) => perReader(Buffer.from(hex, 'hex'), 'a sample');
const throws = (hex: string, why: RegExp, read: (from: PerReader) => unknown) => {
  assert.throws(
    () => read(reader(hex)),
    (thrown: unknown) => isFault(thrown, 'protocol') && why.test(thrown.message),
    hex,
  );
};

test('bits are taken from the left, octets from the next border', () => {
  const from = reader('a5ff01');
  assert.equal(readBit(from), true);
  assert.equal(readBits(from, 3), 0b010);
  assert.deepEqual(readOctets(from, 1), Buffer.from('ff', 'hex'));
  align(from);
  assert.equal(readBits(from, 8), 1);
  throws('', /a sample is cut short/, readBit);
  throws('ff', /cut short/, (each) => readOctets(each, 2));
  throws('ff', /cut short/, (each) => readBits(each, 9));
});

test('numbers: bits up to 255 values, one octet for 256, two above', () => {
  // X.691 §11.5.7.1 to §11.5.7.3
  assert.equal(readWithin(reader('80'), 1), 0);
  assert.equal(readWithin(reader('80'), 2), 1);
  assert.equal(readWithin(reader('fd'), 128), 126);
  assert.equal(readWithin(reader('fe'), 255), 254);
  const from = reader('80aa1234');
  readBit(from);
  assert.equal(readWithin(from, 256), 0xaa);
  readBits(from, 1);
  throws('1234', /cut short/, (each) => (readBits(each, 1), readWithin(each, 257)));
  assert.equal(readWithin(reader('0100'), 257), 256);
  throws('0101', /beyond its range/, (each) => readWithin(each, 257));
  throws('c0', /beyond its range/, (each) => readWithin(each, 3));
  throws('ff', /beyond its range/, (each) => readWithin(each, 255));
  throws('ffff', /beyond its range/, (each) => readWithin(each, 65_535));
});

test('lengths: one octet, two octets, never fragments', () => {
  assert.equal(readLength(reader('7f')), 127);
  assert.equal(readLength(reader('8080')), 128);
  assert.equal(readLength(reader('bfff')), 16_383);
  throws('c1', /in fragments/, readLength);
  throws('80', /cut short/, readLength);
  throws('03aabb', /cut short/, readOpen);
});

test('additions are passed over by their own lengths', () => {
  const from = reader('80');
  assert.deepEqual(readHead(from, 1), { isExtended: true, has: [false] });
  // six bits for one less than their count, a bit for each, then an open type for each that is there
  assert.deepEqual(readAdditions(reader('028001ff')), [null, Buffer.from('ff', 'hex')]);
  assert.deepEqual(readAdditions(reader('030002aabb')), [Buffer.from('aabb', 'hex'), null]);
  throws('0280', /cut short/, readAdditions);
  // 64 additions fit six bits; more are counted with a length and refused
  throws('80ff', /in fragments/, readAdditions);
  throws('804100', /65 additions/, readAdditions);
  throws('800000', /0 additions/, readAdditions);
});

test('a choice: index of the root, or an addition as open type', () => {
  assert.deepEqual(readChoice(reader('28'), 7), { root: 2 });
  assert.deepEqual(readChoice(reader('8102aabb'), 7), { addition: 1, open: Buffer.from('aabb', 'hex') });
  // more than 63: a length and a number
  assert.deepEqual(readChoice(reader('c0014800'), 7), { addition: 0x48, open: Buffer.alloc(0) });
  throws('c003010203', /is not small/, (from) => readChoice(from, 7));
  throws('78', /beyond its range/, (from) => readChoice(from, 7));
});

test('lists are bounded', () => {
  assert.deepEqual(readList(reader('02aabb'), (from) => readOctets(from, 1)[0]), [0xaa, 0xbb]);
  throws('8101', /257 entries/, (from) => readList(from, readBit));
});

test('text', () => {
  assert.equal(readBmp(reader('0041d83dde00'), 3), 'A\u{1f600}');
  throws('0041d83d', /not Unicode/, (from) => readBmp(from, 2));
  assert.equal(readIa5(reader('4142'), 2), 'AB');
  throws('4180', /not IA5/, (from) => readIa5(from, 2));
  assert.equal(readNibbles(reader('012c'), 4, '#*,0123456789'), '#*,9');
  throws('d0', /beyond its alphabet/, (from) => readNibbles(from, 1, '#*,0123456789'));
});
