import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { buildSealer, buildUnsealer, sealedHeadBytes } from './sealed.ts';

const cheap = { log2N: 10, r: 8, p: 1 } as const;

function seal(text: Buffer, pieceBytes = 10_000): Buffer {
  const sealer = buildSealer('correct horse', randomBytes, cheap);
  const parts = [sealer.head];
  for (let at = 0; at < text.length; at += pieceBytes) parts.push(sealer.push(text.subarray(at, at + pieceBytes)));
  parts.push(sealer.finish());
  return Buffer.concat(parts);
}

function open(pieces: readonly Buffer[], passphrase = 'correct horse'): Buffer {
  const unsealer = buildUnsealer(passphrase);
  const text = Buffer.concat(pieces.map((piece) => unsealer.push(piece)));
  unsealer.finish();
  return text;
}

const isDamage = (thrown: unknown) => isFault(thrown, 'bad-input') || isFault(thrown, 'forbidden');

suite('a sealed file', () => {
  test('opens to what it was, whatever its size and however it is cut', () => {
    for (const size of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
      const text = randomBytes(size);
      const sealed = seal(text);
      assert.deepEqual(open([sealed]), text, `${size} bytes`);
      const cuts: Buffer[] = [];
      for (let at = 0; at < sealed.length; at += 7_777) cuts.push(sealed.subarray(at, at + 7_777));
      assert.deepEqual(open(cuts), text);
    }
    const small = seal(Buffer.from('a few bytes'));
    for (let at = 0; at <= small.length; at += 1) assert.equal(open([small.subarray(0, at), small.subarray(at)]).toString(), 'a few bytes', `split at ${at}`);
  });

  test('the standard cost opens, too', () => {
    const sealer = buildSealer('p', randomBytes);
    assert.equal(open([sealer.head, sealer.push(Buffer.from('x')), sealer.finish()], 'p').toString(), 'x');
  });

  test('another passphrase is told from damage', () => {
    assert.throws(() => open([seal(Buffer.from('x'))], 'wrong horse'), (thrown) => isFault(thrown, 'forbidden'));
    // One letter, two ways of writing it.
    const sealer = buildSealer('caf\u00e9', randomBytes, cheap);
    assert.equal(open([sealer.head, sealer.finish()], 'cafe\u0301').length, 0);
  });

  test('every flipped bit and every truncation is noticed', () => {
    const sealed = seal(Buffer.from('thirty bytes or a few more of it'));
    for (let at = 0; at < sealed.length; at += 1) {
      const spoilt = Buffer.from(sealed);
      // Not the cost: a dearer key is only slow.
      if (at >= 17 && at < 20) continue;
      spoilt[at]! ^= 1 << at % 8;
      assert.throws(() => open([spoilt]), isDamage, `byte ${at}`);
      assert.throws(() => open([sealed.subarray(0, at)]), isDamage, `cut at ${at}`);
    }
    assert.throws(() => open([sealed, Buffer.from([0])]), isDamage, 'more behind its end');
  });

  test('pieces cannot be swapped, left out or taken from another file', () => {
    const text = randomBytes(65_536 * 3);
    const sealed = seal(text);
    const piece = 4 + 65_536 + 16;
    const [head, first, second, third] = [sealed.subarray(0, sealedHeadBytes), ...[0, 1, 2].map((i) => sealed.subarray(sealedHeadBytes + i * piece, sealedHeadBytes + (i + 1) * piece))];
    assert.deepEqual(open([head!, first!, second!, third!]), text);
    assert.throws(() => open([head!, second!, first!, third!]), isDamage);
    assert.throws(() => open([head!, first!, third!]), isDamage);
    assert.throws(() => open([head!, first!, second!]), isDamage);
    assert.throws(() => open([head!, seal(text).subarray(sealedHeadBytes)]), isDamage);
  });
});
