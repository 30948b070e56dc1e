// Bent LDAP messages: nothing may throw, what is read must not depend on how the bytes were cut, and nothing that is not judged goes on.
// POSTERN_FUZZ_SEED repeats a run, POSTERN_FUZZ_SECONDS makes it longer.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LdapAnswers, LdapStream } from '#wire/ldap-stream.ts';
import { sniffLdap } from '#wire/ldap.ts';

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
const untilFrom = (now: number) => now + (Number(process.env['POSTERN_FUZZ_SECONDS'] ?? 0) * 1_000) / 2;
const text = readFileSync(new URL('../corpus/ldap.md', import.meta.url), 'utf8');
const samples = [...text.matchAll(/```hex\n(.*?)```/gs)].map((match) => Buffer.from(match[1]!.replace(/\s/g, ''), 'hex'));
const layerBind = samples.find((sample) => sample.includes('DIGEST-MD5'))!;
/** Bytes that mean something in a name or in BER. */
const telling = Buffer.from('\\\\@=,+;"#. \0\x80\x84\x30\x04dc');

function bend(sample: Buffer, upTo: (n: number) => number): Buffer {
  let bytes = Buffer.from(sample);
  for (let bends = upTo(4); bends >= 0; bends--) {
    // Mostly where it is read.
    const at = upTo(upTo(4) === 0 ? bytes.length : Math.min(bytes.length, 80));
    const how = upTo(6);
    if (how === 0) bytes[at] = upTo(256);
    else if (how === 1) bytes[at] = bytes[at]! ^ (1 << upTo(8));
    else if (how === 2) bytes[at] = telling[upTo(telling.length)]!;
    else if (how === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + upTo(8))]);
    else if (how === 4) bytes = bytes.subarray(0, at);
    if (bytes.length === 0) bytes = Buffer.from([0x30]);
  }
  return bytes;
}

test(`bent heads, seed ${seed}`, () => {
  const random = randomOf(seed);
  const upTo = (n: number) => Math.floor(random() * n);
  const kinds: Record<string, number> = {};
  const runUntil = untilFrom(performance.now());
  for (let round = 0; round < 6_000 || performance.now() < runUntil; round++) {
    const bytes = bend(samples[upTo(samples.length)]!, upTo);
    const whole = sniffLdap(bytes);
    kinds[whole.kind] = (kinds[whole.kind] ?? 0) + 1;
    // A verdict that a beginning got stays, whatever arrives behind it.
    for (let i = 0; i < 6; i++) {
      const beginning = sniffLdap(bytes.subarray(0, upTo(bytes.length + 1)));
      if (beginning.kind !== 'more') assert.deepEqual(beginning, whole, `seed ${seed}, round ${round}`);
    }
    if (whole.kind !== 'ldap') continue;
    assert.match(whole.domain ?? 'none', /^[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?$/);
    assert.doesNotMatch(whole.user ?? '', /\p{Cc}/u);
    assert.ok(whole.messageId > 0 && whole.messageId < 2 ** 31 && whole.pduBytes >= 7);
  }
  // The fuzz is worth nothing when it reaches one verdict only.
  for (const kind of ['no', 'more', 'malformed', 'ldap']) assert.ok((kinds[kind] ?? 0) > 100, `${kind}: ${kinds[kind] ?? 0}`);
});

test(`bent conversations, seed ${seed}`, () => {
  const random = randomOf(seed + 1);
  const upTo = (n: number) => Math.floor(random() * n);
  const runUntil = untilFrom(performance.now());
  const kinds = { stopped: 0, open: 0, layered: 0 };
  for (let round = 0; round < 1_500 || performance.now() < runUntil; round++) {
    const messages = Array.from({ length: 1 + upTo(5) }, () => (upTo(4) === 0 ? bend(samples[upTo(samples.length)]!, upTo) : samples[upTo(samples.length)]!));
    // Now and then a bind that may agree on a layer, and the bytes of one once it has been answered with success.
    const withLayer = upTo(3) === 0;
    if (withLayer) messages.push(layerBind);
    const bytes = Buffer.concat(messages);
    const layer = withLayer ? Buffer.from([0, 0, 0, upTo(9), 1, 2, 3, 4]) : Buffer.alloc(0);
    const run = (cut: () => number) => {
      const asked: number[] = [];
      const stream = new LdapStream((facts) => {
        asked.push(facts.messageId);
        return facts.domain === 'pbx.example.test' ? 'elsewhere' : null;
      });
      const answers = new LdapAnswers(stream);
      const passed: Buffer[] = [];
      let why: string | null = null;
      const feed = (part: Buffer) => {
        for (let at = 0; at < part.length && why === null; ) {
          const size = cut();
          const judged = stream.push(part.subarray(at, at + size));
          at += size;
          passed.push('why' in judged ? judged.pass : judged);
          if ('why' in judged) why = judged.why;
        }
      };
      feed(bytes);
      for (const id of asked) if (id < 128) answers.push(Buffer.from([0x30, 12, 2, 1, id, 0x61, 7, 10, 1, 0, 4, 0, 4, 0]));
      feed(layer);
      return { asked, why, isLayered: stream.isLayered, passed: Buffer.concat(passed).toString('hex') };
    };
    const whole = run(() => Infinity);
    const cut = run(() => 1 + upTo(upTo(2) === 0 ? 3 : 60));
    assert.deepEqual(cut, whole, `seed ${seed + 1}, round ${round}`);
    assert.ok(Buffer.concat([bytes, layer]).toString('hex').startsWith(whole.passed));
    kinds[whole.why !== null ? 'stopped' : whole.isLayered ? 'layered' : 'open']++;
  }
  for (const [kind, count] of Object.entries(kinds)) assert.ok(count > 20, `${kind}: ${count}`);
});
