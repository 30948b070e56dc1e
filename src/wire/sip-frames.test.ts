import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keptOf } from '#kit/collect.ts';
import { readSipCorpus } from '#kit/sip-corpus.ts';
import { buildSipFramer, type SipFrame } from './sip-frames.ts';

function framesOf(pieces: readonly Buffer[]): { frames: SipFrame[]; heldBytes: number } {
  const framer = buildSipFramer();
  const frames = pieces.flatMap((piece) => framer.push(piece));
  return { frames, heldBytes: framer.heldBytes };
}
function nameOf(frame: SipFrame): string {
  if (frame.kind === 'ping') return 'ping';
  if (frame.kind === 'broken') return `broken ${frame.status}`;
  const { message, body } = frame;
  if (message.kind === 'bad') return `bad ${message.status}`;
  return `${message.kind === 'request' ? message.method : message.status} ${body.length}`;
}
const inBytes = (bytes: Buffer) => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));

for (const { title, bytes, expected } of readSipCorpus()) {
  const { frames } = expected;
  if (!frames) continue;
  test(`messages: ${title}`, () => {
    const whole = framesOf([bytes]);
    assert.deepEqual(whole.frames.map(nameOf), frames);
    assert.equal(whole.heldBytes > 0, expected.held === true);
    for (let at = 1; at < bytes.length; at++) assert.deepEqual(framesOf([bytes.subarray(0, at), bytes.subarray(at)]), whole, `cut at ${at}`);
    assert.deepEqual(framesOf(inBytes(bytes)), whole);
    if (frames.some((name) => name.startsWith('broken'))) return;
    // Whatever comes behind is a message of its own.
    const twice = framesOf([bytes, bytes]).frames.map(nameOf);
    if (!expected.held) assert.deepEqual(twice, [...frames, ...frames]);
  });
}

const options = (extra = '', body = '') => `OPTIONS sip:a.example.test SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.7\r\nFrom: <sip:a@a.example.test>\r\nTo: <sip:a@a.example.test>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n${extra}\r\n${body}`;

test('keep-alives between messages, at every cut', () => {
  const bytes = Buffer.from(`\r\n${options()}\r\n\r\n\r\n\r\n${options()}\r\n${options()}\r\n\r\n`);
  const expected = ['OPTIONS 0', 'ping', 'ping', 'OPTIONS 0', 'OPTIONS 0', 'ping'];
  for (let at = 0; at <= bytes.length; at++) assert.deepEqual(framesOf([bytes.subarray(0, at), bytes.subarray(at)]).frames.map(nameOf), expected, `cut at ${at}`);
  assert.deepEqual(framesOf(inBytes(bytes)).frames.map(nameOf), expected);
});

test('a body may hold anything, also what looks like a message', () => {
  const body = `\0\r\n\r\n${options()}`;
  const { frames, heldBytes } = framesOf([Buffer.from(options(`Content-Type: x/y\r\nContent-Length: ${body.length}\r\n`, body) + options())]);
  assert.deepEqual(frames.map(nameOf), [`OPTIONS ${body.length}`, 'OPTIONS 0']);
  assert.equal(frames[0]!.kind === 'message' && frames[0]!.body.toString(), body);
  assert.equal(heldBytes, 0);
});

test('nothing is read behind what is broken, and nothing kept', () => {
  const framer = buildSipFramer();
  assert.deepEqual(framer.push(Buffer.from(options('Content-Length: x\r\n') + options())).map(nameOf), ['broken 400']);
  assert.deepEqual(framer.push(Buffer.from(options())), []);
  assert.equal(framer.heldBytes, 0);
  for (const start of ['\r\r', '\rX', '\n', '\0', ' A', '\x16\x03\x01']) assert.deepEqual(framesOf([Buffer.from(start)]).frames.map(nameOf), ['broken 400'], JSON.stringify(start));
});

test('a head without end is broken at 16 KiB, a body is whole at 64', () => {
  const framer = buildSipFramer();
  assert.deepEqual(framer.push(Buffer.from(`OPTIONS sip:a.example.test SIP/2.0\r\n${'x'.repeat(16_000)}`)), []);
  assert.deepEqual(framer.push(Buffer.alloc(1_000, 0x61)).map(nameOf), ['broken 400']);
  const long = Buffer.from(options(`X: ${'x'.repeat(16_384)}\r\n`));
  for (const at of [1, 5_000, 16_384, 16_390]) assert.deepEqual(framesOf([long.subarray(0, at), long.subarray(at)]).frames.map(nameOf), ['broken 400']);
  const body = 'b'.repeat(65_536);
  assert.deepEqual(framesOf([Buffer.from(options('Content-Length: 65536\r\n', body))]).frames.map(nameOf), ['OPTIONS 65536']);
  const dribbled = buildSipFramer();
  dribbled.push(Buffer.from(options('Content-Length: 65536\r\n')));
  for (let i = 0; i < 65_535; i++) assert.deepEqual(dribbled.push(Buffer.from('b')), []);
  assert.equal(dribbled.heldBytes, 65_535);
  assert.deepEqual(dribbled.push(Buffer.from('b')).map(nameOf), ['OPTIONS 65536']);
});

test('a body that comes in many pieces costs what it weighs, not what its pieces do', async () => {
  const framer = buildSipFramer();
  framer.push(Buffer.from(options('Content-Length: 5000\r\n')));
  const kept = await keptOf(4_999, (piece) => framer.push(piece));
  assert.ok(kept < 100, `${kept} pieces are kept`);
  assert.deepEqual(framer.push(Buffer.alloc(1)).map(nameOf), ['OPTIONS 5000']);
});
