import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bits, derAt, derParts, integer, octets, oid, sequence, setOf, tagged, tlv } from './der.ts';

test('lengths of every form, read back', () => {
  for (const size of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 100_000]) {
    const whole = tlv(0x04, Buffer.alloc(size, 7));
    const read = derAt(Buffer.concat([whole, Buffer.from([1])]));
    assert.deepEqual([read?.tag, read?.value.length, read?.end], [0x04, size, whole.length]);
    for (const cut of [0, 1, 2, 3, whole.length - 1]) if (cut < whole.length) assert.equal(derAt(whole.subarray(0, cut)), null, `${size} cut at ${cut}`);
  }
});

test('what is written is what the standard writes', () => {
  assert.equal(oid('1.2.840.113549.1.9.14').toString('hex'), '06092a864886f70d01090e');
  assert.equal(oid('2.5.29.17').toString('hex'), '0603551d11');
  assert.equal(integer(0).toString('hex'), '020100');
  assert.equal(integer(127).toString('hex'), '02017f');
  assert.equal(integer(128).toString('hex'), '02020080');
  assert.equal(integer(100_000).toString('hex'), '02030186a0');
  assert.equal(sequence(setOf(), octets(), bits(), tagged(3)).toString('hex'), '300931000400030100a300');
});

test('whatever is read, parts end where they should and nothing throws', () => {
  const good = sequence(integer(3), sequence(oid('1.2.3')), octets(Buffer.alloc(300, 9)), tagged(0, bits(Buffer.from([1]))));
  assert.equal(derParts(derAt(good)!.value)?.length, 4);
  let seed = 7;
  const random = () => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff);
  for (let i = 0; i < 2_000; i++) {
    const bent = Buffer.from(good.subarray(0, 1 + (random() % good.length)));
    bent[random() % bent.length] = random() & 0xff;
    const read = derAt(bent);
    if (!read) continue;
    assert.ok(read.end <= bent.length);
    const parts = derParts(read.value);
    if (parts && parts.length > 0) assert.equal(parts.at(-1)!.end, read.value.length);
  }
  assert.equal(derParts(Buffer.concat(Array.from({ length: 11 }, () => integer(1))), 10), null);
});
