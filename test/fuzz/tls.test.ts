// Bent ClientHellos: nothing may throw, and what is read must not depend on how the bytes were cut.
// POSTERN_FUZZ_SEED repeats a run, POSTERN_FUZZ_SECONDS makes it longer.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ja4Of } from '#wire/ja4.ts';
import { capabilityOf } from '#wire/tls-capability.ts';
import { sniffClientHello } from '#wire/tls.ts';

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
const text = readFileSync(new URL('../corpus/tls.md', import.meta.url), 'utf8');
const samples = [...text.matchAll(/```hex\n(.*?)```/gs)].map((match) => Buffer.from(match[1]!.replace(/\s/g, ''), 'hex'));

test(`bent hellos, seed ${seed}`, () => {
  const random = randomOf(seed);
  const upTo = (n: number) => Math.floor(random() * n);
  const kinds: Record<string, number> = {};
  const runUntil = performance.now() + Number(process.env['POSTERN_FUZZ_SECONDS'] ?? 0) * 1_000;
  for (let round = 0; round < 4_000 || performance.now() < runUntil; round++) {
    let bytes: Buffer = Buffer.from(samples[upTo(samples.length)]!);
    for (let bends = upTo(4); bends >= 0; bends--) {
      const at = upTo(bytes.length);
      const how = upTo(5);
      if (how === 0) bytes[at] = upTo(256);
      else if (how === 1) bytes[at] = bytes[at]! ^ (1 << upTo(8));
      else if (how === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + upTo(8))]);
      else if (how === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(upTo(bytes.length))]);
      else if (at > 6 && bytes.length > 11) bytes = recut(bytes, at);
      if (bytes.length === 0) bytes = Buffer.from([0x16]);
    }
    const whole = sniffClientHello(bytes);
    kinds[whole.kind] = (kinds[whole.kind] ?? 0) + 1;
    // A verdict that a beginning got stays, whatever arrives behind it.
    for (let i = 0; i < 6; i++) {
      const beginning = sniffClientHello(bytes.subarray(0, upTo(bytes.length + 1)));
      if (beginning.kind !== 'more') assert.deepEqual(beginning, whole, `seed ${seed}, round ${round}`);
    }
    if (whole.kind === 'hello') {
      assert.match(whole.serverName ?? 'none', /^[a-z0-9.-]{1,253}$/);
      assert.ok(whole.versions.length > 0);
      assert.match(ja4Of(whole), /^t(1[0-3]|s3|00)[di]\d{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$/);
      const { needsLegacy, modernCiphers, isFallback } = capabilityOf(whole);
      assert.ok(!needsLegacy || !isFallback);
      assert.ok(needsLegacy || modernCiphers || isFallback);
    }
  }
  // The fuzz is worth nothing when it reaches one verdict only.
  for (const kind of ['no', 'more', 'malformed', 'hello']) assert.ok((kinds[kind] ?? 0) > 20, `${kind}: ${kinds[kind] ?? 0}`);
});

/** Ends the first record early and puts the rest into one of its own. */
function recut(bytes: Buffer, at: number): Buffer {
  const rest = bytes.subarray(at);
  const out = Buffer.concat([bytes.subarray(0, at), Buffer.from([0x16, 3, 1, rest.length >> 8, rest.length & 0xff]), rest]);
  if (out.length > 5) out.writeUInt16BE(at - 5, 3);
  return out;
}
