// Heads and trailers made of blanks. Where a run of them was looked at once for each of its characters, each of these took the better
// part of an hour, and the 64 KiB that a peer may send stopped every connection for seconds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeTrailers } from './http1-body.ts';
import { isBad, parseRequestHead, parseResponseHead } from './http1.ts';

const blanks = ' '.repeat(2_000_000);

test('a Connection line, a folded answer and a trailer made of blanks cost no more than their length', () => {
  assert.ok(!isBad(parseRequestHead(`GET / HTTP/1.1\r\nHost: a\r\nConnection: x${blanks}y\r\n\r\n`)));
  assert.ok(!isBad(parseResponseHead(`HTTP/1.1 200 OK\r\nX-A: b${blanks}c\r\n d\r\n\r\n`, 'GET')));
  assert.equal(encodeTrailers(`X-A: b${blanks}c\r\n`), `X-A: b${blanks}c\r\n`);
});
