import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { encodeGetPrinterAttributes, parseIpp, printerAttributesOf, type IppAnswer } from './ipp.ts';

interface Sample {
  readonly title: string;
  readonly expected: { readonly version: number[]; readonly status: number; readonly requestId: number; readonly attributes: object };
  readonly bytes: Buffer;
}

const samples: Sample[] = readFileSync(new URL('../../test/corpus/ipp.md', import.meta.url), 'utf8').split(/^## /m).slice(1).map((section) => ({
  title: section.slice(0, section.indexOf('\n')),
  expected: JSON.parse(/```json\n(.*?)```/s.exec(section)![1]!) as Sample['expected'],
  bytes: Buffer.from(/```hex\n(.*?)```/s.exec(section)![1]!.replace(/\s/g, ''), 'hex'),
}));

function tried(bytes: Buffer): IppAnswer | Fault {
  try {
    return parseIpp(bytes);
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown;
    throw thrown;
  }
}

const bodyEnd = (bytes: Buffer) => bytes.length - (bytes.toString('latin1').endsWith('\x03trailing document') ? 'trailing document'.length : 0);

for (const { title, expected, bytes } of samples) {
  test(`read: ${title}`, () => {
    const answer = parseIpp(bytes);
    assert.deepEqual({ version: [...answer.version], status: answer.status, requestId: answer.requestId, attributes: printerAttributesOf(answer) }, expected);
  });

  test(`ended at every byte: ${title}`, () => {
    for (let end = 0; end < bytes.length; end++) {
      const answer = tried(bytes.subarray(0, end));
      if (end < bodyEnd(bytes)) assert.ok(isFault(answer, 'protocol'), `${end} of ${bytes.length} bytes`);
      else assert.deepEqual(answer, parseIpp(bytes), `${end} of ${bytes.length} bytes`);
    }
  });

  test(`read where it stands among other bytes: ${title}`, () => {
    const around = Buffer.concat([Buffer.from([0xff, 0x03]), bytes, Buffer.from([0x44, 0x00])]);
    assert.deepEqual(parseIpp(around.subarray(2)), parseIpp(bytes));
    assert.deepEqual(parseIpp(around.subarray(2, 2 + bytes.length)), parseIpp(bytes));
  });
}

test('the corpus has samples', () => assert.ok(samples.length >= 6));

test('what was asked', () => {
  const asked = encodeGetPrinterAttributes({ requestId: 7, uri: 'ipp://192.0.2.50/ipp/print', attributes: ['printer-device-id', 'marker-levels'] });
  // Written by hand after RFC 8010 §3.
  const expected = [
    '0101', '000b', '00000007', '01',
    `470012${hex('attributes-charset')}0005${hex('utf-8')}`,
    `48001b${hex('attributes-natural-language')}0002${hex('en')}`,
    `45000b${hex('printer-uri')}001a${hex('ipp://192.0.2.50/ipp/print')}`,
    `440014${hex('requested-attributes')}0011${hex('printer-device-id')}`,
    `440000000d${hex('marker-levels')}`,
    '03',
  ].join('');
  assert.equal(asked.toString('hex'), expected);
  assert.equal(encodeGetPrinterAttributes({ requestId: 1, uri: 'ipp://192.0.2.50/', attributes: [], version: [2, 0] }).readUInt16BE(0), 0x0200);
  assert.throws(() => encodeGetPrinterAttributes({ requestId: 1, uri: `ipp://192.0.2.50/${'a'.repeat(1_100)}`, attributes: [] }), (thrown) => isFault(thrown, 'bad-input'));
  // A request is built like an answer: what we write, we read.
  assert.deepEqual([...parseIpp(asked).groups[0]!.attributes.keys()], ['attributes-charset', 'attributes-natural-language', 'printer-uri', 'requested-attributes']);
});

const hex = (text: string) => Buffer.from(text, 'latin1').toString('hex');
const answerOf = (...parts: string[]) => Buffer.from(`01010000000000010${parts.length === 0 ? '3' : '4'}${parts.join('')}`, 'hex');

test('what is no IPP is said to be none', () => {
  assert.throws(() => parseIpp(Buffer.from('<!DOCTYPE html><html><body>not here</body></html>')), /no IPP/);
  assert.throws(() => parseIpp(Buffer.from('010100000000000121000161000400000001', 'hex')), /before the first group/);
  assert.throws(() => parseIpp(answerOf('210000000400000001', '03')), /without an attribute/);
  assert.throws(() => parseIpp(answerOf('34000161', '0000', '04', '03')), /does not end/);
});

test('bounds: bytes, groups, values, depth', () => {
  assert.throws(() => parseIpp(Buffer.alloc(limits.ippAnswerBytesMax + 1, 1)), (thrown) => isFault(thrown, 'too-large'));
  assert.throws(() => parseIpp(answerOf('04'.repeat(limits.ippGroupsMax + 1), '03')), (thrown) => isFault(thrown, 'too-large'));
  assert.throws(() => parseIpp(answerOf('1300016100001300000000', '1300000000'.repeat(limits.ippValuesMax), '03')), (thrown) => isFault(thrown, 'too-large'));
  assert.throws(() => parseIpp(answerOf('340001610000', '3400000000'.repeat(9), '03')), (thrown) => isFault(thrown, 'too-large'));
  assert.doesNotThrow(() => parseIpp(answerOf('340001610000', '3400000000'.repeat(7), '3700000000'.repeat(8), '03')));
});

/** mulberry32: small, and the same everywhere for one seed. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test('bent answers: a Fault or an answer, the same each time, as JSON the same again', () => {
  const random = randomOf(20_261_120);
  const upTo = (n: number) => Math.floor(random() * n);
  let read = 0;
  for (let round = 0; round < 4_000; round++) {
    const bytes = Buffer.from(samples[upTo(samples.length)]!.bytes);
    for (let bends = upTo(4); bends >= 0; bends--) bytes[upTo(bytes.length)] = upTo(3) === 0 ? upTo(256) : [0, 1, 3, 4, 0x34, 0x37, 0x4a, 0x7f, 0xff][upTo(9)]!;
    const first = tried(bytes);
    const again = tried(Buffer.from(bytes));
    if (first instanceof Fault) {
      assert.ok(again instanceof Fault && again.message === first.message);
      assert.ok(['protocol', 'too-large'].includes(first.code));
      continue;
    }
    read += 1;
    assert.deepEqual(again, first);
    const attributes = printerAttributesOf(first);
    assert.deepEqual(JSON.parse(JSON.stringify(attributes)), attributes);
  }
  assert.ok(read > 500, `${read} could be read`);
});
