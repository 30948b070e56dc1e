// Bent SIP messages: nothing may throw, what is read must not depend on how the bytes were cut, and what goes on must be read by the next one as we
// read it. POSTERN_FUZZ_SEED repeats a run, POSTERN_FUZZ_SECONDS makes it longer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSipCorpus } from '#kit/sip-corpus.ts';
import { addOurVia, encodeSip, noteSource, popRoutes, takeOurVia } from '#wire/sip-edits.ts';
import { buildSipFramer, type SipFrame } from '#wire/sip-frames.ts';
import { encodeSipRefusal } from '#wire/sip-refusal.ts';
import { sipAskedOf, sniffSip, dialogDomainOf } from '#wire/sip.ts';

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

const seed = Number(process.env['POSTERN_FUZZ_SEED'] ?? 20_260_601);
const samples = readSipCorpus().map((sample) => sample.bytes);
const spices = ['\r\n', '\r\n ', ' ', ',', ';', '"', '<', '>', '@', ':', '%00', '%', '\\', '\0', '[::1]', 'l: 5\r\n', 'Route: <sip:x.test;lr>\r\n', 'SIP/2.0', '\r\n\r\n'].map((text) => Buffer.from(text));

function framesOf(pieces: readonly Buffer[]): SipFrame[] {
  const framer = buildSipFramer();
  const frames = pieces.flatMap((piece) => framer.push(piece));
  assert.ok(framer.heldBytes <= 16 * 1024 + 64 * 1024);
  return frames;
}

/** What goes on for a message is one message, and the next reader sees in it what we saw. */
function goesOn(frame: SipFrame): boolean {
  if (frame.kind !== 'message' || frame.message.kind !== 'request') return false;
  const { message, body } = frame;
  const place = { host: '192.0.2.1', port: 5060, transport: 'tcp' } as const;
  const noted = noteSource(message.fields, { address: '198.51.100.7', port: 1 });
  const sent = noted && addOurVia(popRoutes(noted, (uri) => uri.host === 'gw.example.test'), place, 'k');
  if (!sent) return false;
  const [again, ...others] = framesOf([encodeSip(message, sent, body)]);
  assert.equal(others.length, 0);
  assert.ok(again?.kind === 'message' && again.message.kind === 'request', JSON.stringify(again));
  assert.deepEqual(again.body, body);
  assert.equal(again.message.method, message.method);
  assert.deepEqual(sipAskedOf(again.message, dialogDomainOf(again.message)).user, sipAskedOf(message, null).user);
  assert.deepEqual(sipAskedOf(again.message, null), sipAskedOf(message, null));
  assert.ok(takeOurVia(again.message.fields, place, 'k'));
  return true;
}

test(`bent messages, seed ${seed}`, () => {
  const random = randomOf(seed);
  const upTo = (n: number) => Math.floor(random() * n);
  const kinds: Record<string, number> = {};
  let gone = 0;
  const runUntil = performance.now() + Number(process.env['POSTERN_FUZZ_SECONDS'] ?? 0) * 1_000;
  for (let round = 0; round < 4_000 || performance.now() < runUntil; round++) {
    let bytes: Buffer = Buffer.from(samples[upTo(samples.length)]!);
    for (let bends = upTo(4); bends > 0; bends--) {
      const at = upTo(bytes.length);
      const how = upTo(5);
      if (how === 0) bytes[at] = upTo(256);
      else if (how === 1) bytes[at] = bytes[at]! ^ (1 << upTo(8));
      else if (how === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + upTo(8))]);
      else if (how === 3) bytes = Buffer.concat([bytes.subarray(0, at), spices[upTo(spices.length)]!, bytes.subarray(at)]);
      else bytes = Buffer.concat([bytes.subarray(0, at), samples[upTo(samples.length)]!.subarray(upTo(40))]);
      if (bytes.length === 0) bytes = Buffer.from('A');
    }
    const told = `seed ${seed}, round ${round}`;
    const whole = sniffSip(bytes);
    kinds[whole.kind] = (kinds[whole.kind] ?? 0) + 1;
    const frames = framesOf([bytes]);
    for (let i = 0; i < 4; i++) {
      const at = upTo(bytes.length + 1);
      // A verdict that a beginning got stays, whatever arrives behind it.
      const beginning = sniffSip(bytes.subarray(0, at));
      if (beginning.kind !== 'more') assert.deepEqual(beginning, whole, told);
      assert.deepEqual(framesOf([bytes.subarray(0, at), bytes.subarray(at)]), frames, told);
    }
    for (const frame of frames) {
      kinds[frame.kind] = (kinds[frame.kind] ?? 0) + 1;
      if (goesOn(frame)) gone += 1;
    }
    const refusal = encodeSipRefusal(bytes, 400);
    if (refusal) assert.deepEqual(framesOf([refusal]).map((frame) => frame.kind), ['message'], told);
    if (whole.kind === 'sip') {
      assert.match(whole.domain ?? 'none', /^(\[[0-9a-f:]+\]|[a-z0-9_.-]{1,253})$/, told);
      const first = frames.find((frame) => frame.kind !== 'ping');
      // The front door and the relay read the same request.
      if (first) assert.ok(first.kind === 'message' && first.message.kind === 'request' && first.message.method === whole.method, told);
    }
  }
  // The fuzz is worth nothing when it reaches one verdict only.
  for (const kind of ['no', 'more', 'malformed', 'sip', 'ping', 'message', 'broken']) assert.ok((kinds[kind] ?? 0) > 20, `${kind}: ${kinds[kind] ?? 0}`);
  assert.ok(gone > 300, `${gone} went on`);
});
