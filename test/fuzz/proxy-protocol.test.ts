// Bent PROXY headers: nothing may throw, a verdict stays whatever follows, and what was read survives being written again.
// POSTERN_FUZZ_SEED repeats a run, POSTERN_FUZZ_SECONDS makes it longer.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { encodeProxyHeader, readProxyHeader } from '#wire/proxy-protocol.ts';

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

const seed = Number(process.env['POSTERN_FUZZ_SEED'] ?? 20_261_120);
const text = readFileSync(new URL('../corpus/proxy-protocol.md', import.meta.url), 'utf8');
const samples = [...text.matchAll(/```(line|hex)\n(.*?)\n```/gs)].map(([, kind, block]) => (kind === 'line' ? Buffer.from(`${block}\r\n`, 'latin1') : Buffer.from(block!.replace(/\s/g, ''), 'hex')));

test(`bent PROXY headers, seed ${seed}`, () => {
  const random = randomOf(seed);
  const upTo = (n: number) => Math.floor(random() * n);
  const kinds: Record<string, number> = {};
  const runUntil = performance.now() + Number(process.env['POSTERN_FUZZ_SECONDS'] ?? 0) * 1_000;
  for (let round = 0; round < 6_000 || performance.now() < runUntil; round++) {
    let bytes: Buffer = Buffer.from(samples[upTo(samples.length)]!);
    for (let bends = upTo(3); bends >= 0; bends--) {
      // Mostly behind the magic, where a bend does not end the reading at once.
      const at = upTo(4) === 0 || bytes.length < 13 ? upTo(bytes.length) : 12 + upTo(bytes.length - 12);
      const how = upTo(5);
      if (how === 0) bytes[at] = upTo(256);
      else if (how === 1) bytes[at] = bytes[at]! ^ (1 << upTo(8));
      else if (how === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + upTo(4))]);
      else if (how === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(upTo(bytes.length))]);
      else bytes = Buffer.concat([bytes, samples[upTo(samples.length)]!.subarray(upTo(8))]);
      if (bytes.length === 0) bytes = Buffer.from('P');
    }
    const whole = readProxyHeader(bytes);
    kinds[whole.kind] = (kinds[whole.kind] ?? 0) + 1;
    for (let i = 0; i < 6; i++) {
      const beginning = readProxyHeader(bytes.subarray(0, upTo(bytes.length + 1)));
      if (beginning.kind !== 'more') assert.deepEqual(beginning, whole, `seed ${seed}, round ${round}`);
    }
    if (whole.kind !== 'proxy') continue;
    assert.ok(whole.bytes <= bytes.length, `seed ${seed}, round ${round}`);
    assert.deepEqual(readProxyHeader(bytes.subarray(0, whole.bytes)), whole, 'its length is what it needs');
    const { version, source, destination, datagram } = whole;
    if (!source || !destination) continue;
    const again = readProxyHeader(encodeProxyHeader({ version, source, destination, datagram }));
    assert.ok(again.kind === 'proxy', `seed ${seed}, round ${round}`);
    assert.deepEqual([again.source, again.destination, again.datagram], [source, destination, datagram], `seed ${seed}, round ${round}`);
  }
  for (const kind of ['no', 'more', 'malformed', 'proxy']) assert.ok((kinds[kind] ?? 0) > 100, `${kind}: ${kinds[kind] ?? 0}`);
});
