import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadText, storeText } from './postgres-text.ts';

const mark = '\ufdd0';
const texts = ['', 'plain', 'ü "quoted"\n', '\0', 'a\0b\0', mark, `${mark}0`, `${mark}1`, `${mark}${mark}`, `\0${mark}0\0`, `0${mark}`, '😀\0😀'];

test('every text comes back as it was, none is stored with a NUL, and no two become one', () => {
  const stored = texts.map((text) => storeText(text) as string);
  assert.deepEqual(stored.map(loadText), texts);
  assert.ok(stored.every((text) => !text.includes('\0')));
  assert.equal(new Set(stored).size, texts.length);
  assert.equal(storeText('plain'), 'plain');
});

test('lists of texts too; what is no text stays what it is', () => {
  const bytes = new Uint8Array([0, 1]);
  assert.deepEqual(storeText(['a\0', 1, null]), [`a${mark}0`, 1, null]);
  assert.equal(storeText(bytes), bytes);
  assert.deepEqual([null, 7, 7n].map(storeText), [null, 7, 7n]);
});
