// RFC 6587's two ways over TCP, told apart by the first byte, at every split.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { openSyslogFramer } from './syslog-framer.ts';

function take(pieces: readonly Buffer[], recordMax = 65_536): { readonly records: string[]; readonly isShort: boolean; readonly isRefused: boolean } {
  const records: string[] = [];
  const framer = openSyslogFramer((record) => records.push(record.toString('latin1')), recordMax);
  let isRefused = false;
  try {
    for (const piece of pieces) framer.push(piece);
  } catch (thrown) {
    assert.ok(isFault(thrown, 'protocol'), String(thrown));
    isRefused = true;
  }
  return { records, isShort: framer.end(), isRefused };
}

const counted = (...messages: string[]) => messages.map((message) => `${Buffer.byteLength(message)} ${message}`).join('');
const samples: { readonly name: string; readonly bytes: string; readonly records: readonly string[]; readonly isShort?: boolean; readonly isRefused?: boolean }[] = [
  { name: 'LF behind each, CR LF and an end without one', bytes: '<13>Oct 11 22:14:15 mymachine su: one\n<14>two\r\n\n<15>three', records: ['<13>Oct 11 22:14:15 mymachine su: one', '<14>two', '<15>three'] },
  { name: 'octets counted, with LF inside and counted in', bytes: counted('<34>1 2003-10-11T22:14:15.003Z host su - ID47 - one', '<14>two\nlines', '<15>three\n'), records: ['<34>1 2003-10-11T22:14:15.003Z host su - ID47 - one', '<14>two\nlines', '<15>three'] },
  { name: 'a counted message that is cut', bytes: '9 <14>whole20 <14>cut', records: ['<14>whole', '<14>cut'], isShort: true },
  { name: 'a count that is cut', bytes: '9 <14>whole2', records: ['<14>whole'], isShort: true },
  { name: 'something else where a count stands', bytes: '9 <14>whole<14>not counted\n', records: ['<14>whole'], isRefused: true },
  { name: 'a count with a zero in front', bytes: '9 <14>whole09 <14>x', records: ['<14>whole'], isRefused: true },
  { name: 'a count beyond all measure', bytes: '99999999999 x', records: [], isRefused: true, isShort: true },
];

for (const sample of samples) {
  test(`${sample.name}: the same at every split`, () => {
    const bytes = Buffer.from(sample.bytes, 'latin1');
    const whole = take([bytes]);
    assert.deepEqual(whole.records, sample.records);
    assert.equal(whole.isRefused, sample.isRefused ?? false);
    if (!whole.isRefused) assert.equal(whole.isShort, sample.isShort ?? false);
    for (let at = 0; at <= bytes.length; at++) {
      assert.deepEqual(take([bytes.subarray(0, at), bytes.subarray(at)]), whole, `split at ${at}`);
      take([bytes.subarray(0, at)]);
    }
    assert.deepEqual(take(Array.from(bytes, (byte) => Buffer.from([byte]))), whole);
  });
}

test('a message that is too long is cut into records', () => {
  assert.deepEqual(take([Buffer.from(counted('<14>abcdefgh'))], 5).records, ['<14>a', 'bcdef', 'gh']);
  assert.deepEqual(take([Buffer.from('<14>abcdefgh\n')], 5).records, ['<14>a', 'bcdef', 'gh']);
});

test('flipped bytes in random pieces, seed 17: never throws but a Fault, never disagrees', () => {
  let seed = 17;
  const next = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let run = 0; run < 1_000; run++) {
    const bytes = Buffer.from(samples[next(samples.length)]!.bytes, 'latin1');
    bytes[next(bytes.length)] = [0, 10, 32, 48, 49, 57, 60, 255][next(8)]!;
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const to = Math.min(bytes.length, at + 1 + next(9));
      pieces.push(bytes.subarray(at, to));
      at = to;
    }
    assert.deepEqual(take(pieces), take([bytes]));
  }
});
