import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseContentDigest } from './device.ts';
import { encodeDigest, encodeUploadBoolean, encodeUploadLimit, parseUploadBoolean, parseUploadInteger } from './upload.ts';

test('booleans are ?0 and ?1, with parameters that mean nothing', () => {
  for (const text of ['?1', ' ?1 ', '?1;x', '?1; x=1;y="2"', '?1;x=?0']) assert.equal(parseUploadBoolean(text), true, text);
  assert.equal(parseUploadBoolean('?0'), false);
  for (const text of [null, '', '1', '?2', 'true', '?1, ?0', '??1', '?1 ?1', '"?1"', '?1;', '?1;X', '\t?1', '?']) assert.equal(parseUploadBoolean(text), null, String(text));
  for (const value of [true, false]) assert.equal(parseUploadBoolean(encodeUploadBoolean(value)), value);
});

test('integers have no sign, no fraction, at most fifteen digits', () => {
  for (const [text, value] of [['0', 0], ['00', 0], ['-0', 0], ['15', 15], ['999999999999999', 999_999_999_999_999], ['7;q=1', 7], [' 8 ', 8]] as const) assert.equal(parseUploadInteger(text), value, text);
  for (const text of [null, '', '-1', '+1', '1.0', '1e3', '0x10', '1000000000000000', '1,2', '1 2', 'a', '"1"', '１']) assert.equal(parseUploadInteger(text), null, String(text));
});

test('limits and digests', () => {
  assert.equal(encodeUploadLimit({ maxSize: 10, maxAge: 1.9 }), 'max-size=10, max-age=1');
  assert.equal(encodeUploadLimit({ maxSize: 10 }), 'max-size=10');
  const hex = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  assert.equal(parseContentDigest(encodeDigest(hex)), hex);
});

test('whatever comes, no field throws (seed 4)', () => {
  let state = 4;
  const random = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 16;
  const alphabet = '?01;,= \t"xX-+.9*\u0000é';
  for (let turn = 0; turn < 20_000; turn++) {
    const text = Array.from({ length: random() % 12 }, () => alphabet[random() % alphabet.length]).join('');
    const flag = parseUploadBoolean(text);
    const number = parseUploadInteger(text);
    assert.ok(flag === null || number === null, JSON.stringify(text));
    if (number !== null) assert.ok(Number.isSafeInteger(number) && number >= 0);
    if (flag !== null) assert.match(text.trim(), /^\?[01](;.*)?$/);
  }
});
