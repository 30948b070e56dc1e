import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { encodeTrailers, newBodyReader, readBody, startBody, type BodyReader } from './http1-body.ts';
import type { Framing } from './http1.ts';

interface Outcome {
  readonly body: string;
  readonly trailers: string;
  readonly done: boolean;
  /** What stands behind the body. */
  readonly rest: string;
  readonly broken: string | null;
}

function read(framing: Framing, bodyBytes: number, pieces: readonly Buffer[], reader: BodyReader = newBodyReader()): Outcome {
  let body = '';
  let rest = '';
  startBody(reader, framing, bodyBytes);
  try {
    for (const piece of pieces) {
      const at = readBody(reader, piece, 0, { onBodyPiece: (bytes) => void (body += bytes.toString('latin1')) });
      rest += piece.toString('latin1', at);
    }
  } catch (thrown) {
    assert.ok(isFault(thrown, 'protocol'), String(thrown));
    return { body, trailers: '', done: reader.done, rest, broken: thrown.message };
  }
  return { body, trailers: reader.trailers, done: reader.done, rest, broken: null };
}

/** The same whatever the cut: at every point, and a byte at a time. */
function readEverywhere(framing: Framing, bodyBytes: number, text: string): Outcome {
  const bytes = Buffer.from(text, 'latin1');
  const whole = read(framing, bodyBytes, [bytes]);
  const check = (outcome: Outcome, how: string) => {
    if (whole.broken !== null) assert.ok(outcome.broken !== null, `${how}: broken, too`);
    else assert.deepEqual(outcome, whole, how);
  };
  // A long one is long in its middle, where one cut is like the next.
  const step = bytes.length > 1_000 ? 97 : 1;
  for (let cut = 1; cut < bytes.length; cut += step) check(read(framing, bodyBytes, [bytes.subarray(0, cut), bytes.subarray(cut)]), `cut at ${cut}`);
  check(read(framing, bodyBytes, Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))), 'a byte at a time');
  return whole;
}

test('a body of known length ends there', () => {
  assert.deepEqual(readEverywhere('length', 5, 'helloGET /'), { body: 'hello', trailers: '', done: true, rest: 'GET /', broken: null });
  assert.equal(readEverywhere('length', 6, 'hello').done, false);
});

test('no body is none', () => {
  assert.deepEqual(readEverywhere('none', 0, 'GET /'), { body: '', trailers: '', done: true, rest: 'GET /', broken: null });
});

test('a body that the connection ends is never whole by itself', () => {
  assert.deepEqual(readEverywhere('close', 0, 'anything\r\n0\r\n\r\n'), { body: 'anything\r\n0\r\n\r\n', trailers: '', done: false, rest: '', broken: null });
});

const good: readonly (readonly [string, string, string, string])[] = [
  ['one chunk', '5\r\nhello\r\n0\r\n\r\nGET /', 'hello', ''],
  ['several chunks', '1\r\nh\r\n4\r\nello\r\n0\r\n\r\nGET /', 'hello', ''],
  ['no bytes', '0\r\n\r\nGET /', '', ''],
  ['hexadecimal sizes, both cases', 'a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\nGET /', '01234567890123456789', ''],
  ['leading zeros', '0005\r\nhello\r\n000\r\n\r\nGET /', 'hello', ''],
  ['an extension', '5;name=value\r\nhello\r\n0;last\r\n\r\nGET /', 'hello', ''],
  ['an extension with a quoted string and blanks', '5 ; name="a;b\xe9"\r\nhello\r\n0\r\n\r\nGET /', 'hello', ''],
  ['blanks behind the size', '5  \t\r\nhello\r\n0 \r\n\r\nGET /', 'hello', ''],
  ['chunks that look like heads', '1b\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\n\r\n0\r\n\r\nGET /', '\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n\r\n', ''],
  ['trailers', '5\r\nhello\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\nGET /', 'hello', 'X-A: b\r\nX-C: d\r\n'],
];
for (const [title, text, body, trailers] of good) {
  test(`chunked: ${title}`, () => assert.deepEqual(readEverywhere('chunked', 0, text), { body, trailers, done: true, rest: 'GET /', broken: null }));
}

const broken: readonly (readonly [string, string])[] = [
  ['no size', '\r\nhello\r\n0\r\n\r\n'],
  ['no size, an extension', ';a\r\n0\r\n\r\n'],
  ['a size that is no number', 'g\r\nhello\r\n0\r\n\r\n'],
  ['0x before the size', '0x5\r\nhello\r\n0\r\n\r\n'],
  ['a sign', '+5\r\nhello\r\n0\r\n\r\n'],
  ['a negative size', '-1\r\nhello\r\n0\r\n\r\n'],
  ['white space before the size', ' 5\r\nhello\r\n0\r\n\r\n'],
  ['two sizes', '5 5\r\nhello\r\n0\r\n\r\n'],
  ['an underscore', '1_0\r\nhello\r\n0\r\n\r\n'],
  ['more than 2^48', '1000000000005\r\nhello\r\n0\r\n\r\n'],
  ['zeros without end', `${'0'.repeat(13)}\r\n\r\n`],
  ['a bare line feed behind the size', '5\nhello\r\n0\r\n\r\n'],
  ['a bare carriage return behind the size', '5\rhello\r\n0\r\n\r\n'],
  ['a bare line feed in an extension', '5;a\nhello\r\n0\r\n\r\n'],
  ['a bare carriage return in an extension', '5;a\rb\r\nhello\r\n0\r\n\r\n'],
  ['NUL in an extension', '5;\0\r\nhello\r\n0\r\n\r\n'],
  ['an extension without end', `5;${'a'.repeat(limits.chunkLineBytesMax + 1)}\r\nhello\r\n0\r\n\r\n`],
  ['blanks without end', `5${' '.repeat(limits.chunkLineBytesMax + 1)}\r\nhello\r\n0\r\n\r\n`],
  ['a chunk longer than its size', '4\r\nhello\r\n0\r\n\r\n'],
  ['a chunk shorter than its size', '6\r\nhello\r\n0\r\n\r\n'],
  ['a chunk that ends with a bare line feed', '5\r\nhello\n0\r\n\r\n'],
  ['a chunk that ends with a bare carriage return', '5\r\nhello\r0\r\n\r\n'],
  ['trailers that end with bare line feeds', '0\r\nX-A: b\n\n'],
  ['an empty line of a bare line feed', '0\r\n\n'],
  ['a bare line feed in trailers', '0\r\nX-A: b\nX-C: d\r\n\r\n'],
  ['a bare carriage return in trailers', '0\r\nX-A: b\rX-C: d\r\n\r\n'],
  ['NUL in trailers', '0\r\nX-A: \0\r\n\r\n'],
  ['a folded trailer', '0\r\nX-A: b\r\n c\r\n\r\n'],
  ['a folded first trailer', '0\r\n X-A: b\r\n\r\n'],
  ['trailers without end', `0\r\n${'X-A: b\r\n'.repeat(limits.trailerBytesMax / 8 + 1)}\r\n`],
  ['a trailer line without end', `0\r\nX-A: ${'b'.repeat(limits.trailerBytesMax)}`],
];
for (const [title, text] of broken) {
  test(`chunked, refused: ${title}`, () => {
    const outcome = readEverywhere('chunked', 0, text);
    assert.ok(outcome.broken !== null, JSON.stringify(outcome));
    assert.match(outcome.broken, /^the chunked body is broken: .*RFC 9112/);
    assert.equal(outcome.done, false);
  });
}

test('what is not there yet is waited for, wherever it stops', () => {
  const text = '5;a\r\nhello\r\n0\r\nX-A: b\r\n\r\n';
  for (let have = 0; have < text.length; have++) {
    const outcome = read('chunked', 0, [Buffer.from(text.slice(0, have))]);
    assert.equal(outcome.broken, null, `${have}`);
    assert.equal(outcome.done, false, `${have}`);
  }
});

test('a reader is used again without a trace of the body before', () => {
  const reader = newBodyReader();
  assert.equal(read('chunked', 0, [Buffer.from('5;a\r\nhel')], reader).done, false);
  assert.deepEqual(read('chunked', 0, [Buffer.from('2\r\nab\r\n0\r\nX: y\r\n\r\n')], reader), { body: 'ab', trailers: 'X: y\r\n', done: true, rest: '', broken: null });
  assert.deepEqual(read('length', 1, [Buffer.from('ab')], reader), { body: 'a', trailers: '', done: true, rest: 'b', broken: null });
  assert.deepEqual(read('none', 0, [Buffer.from('ab')], reader), { body: '', trailers: '', done: true, rest: 'ab', broken: null });
});

test('pieces are parts of what came, not copies', () => {
  const bytes = Buffer.from('5\r\nhello\r\n0\r\n\r\n');
  const reader = newBodyReader();
  startBody(reader, 'chunked', 0);
  let piece: Buffer | null = null;
  readBody(reader, bytes, 0, { onBodyPiece: (each) => void (piece = each) });
  assert.equal(piece!.buffer, bytes.buffer);
});

test('trailers go on only where they cannot frame, route or authenticate (RFC 9110 §6.5.1)', () => {
  const never = ['Content-Length: 5', 'transfer-encoding: chunked', 'Host: a', 'Authorization: b', 'Set-Cookie: a=b', 'Cookie: a', 'Content-Type: text/html', 'X-Forwarded-For: 1', 'X_Forwarded_For: 1', 'Forwarded: for=1', 'X-Real-IP: 1', 'Postern-Token: x', 'Trailer: a', 'Connection: close', 'Location: /', 'Clear-Site-Data: "*"', 'Alt-Svc: h2', 'Keep-Alive: 1', 'Proxy-Authorization: a'];
  assert.equal(encodeTrailers(`${never.join('\r\n')}\r\n`), '');
  assert.equal(encodeTrailers('X-Checksum:  abc \t\r\nno colon\r\n: no name\r\nX bad: 1\r\nServer-Timing: a\r\n'), 'X-Checksum: abc\r\nServer-Timing: a\r\n');
  assert.equal(encodeTrailers(''), '');
});
