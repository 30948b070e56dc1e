// Bent first messages of H.323, RDP and SSH: nothing may throw, a verdict on a beginning stays, and no two of the readers claim the same bytes.
// POSTERN_FUZZ_SEED repeats a run, POSTERN_FUZZ_SECONDS makes it longer.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { encodeH323Refusal } from '#wire/h323-refusal.ts';
import { sniffH323 } from '#wire/h323.ts';
import type { H323Facts } from '#wire/h323.ts';
import { sniffRdp } from '#wire/rdp.ts';
import type { RdpFacts } from '#wire/rdp.ts';
import type { Unsettled } from '#wire/sniff.ts';
import { sniffSsh } from '#wire/ssh.ts';
import type { SshFacts } from '#wire/ssh.ts';

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

type Verdict = Unsettled | H323Facts | RdpFacts | SshFacts;
const sniffers: Readonly<Record<string, (bytes: Buffer) => Verdict>> = { h323: sniffH323, rdp: sniffRdp, ssh: sniffSsh };
const seed = Number(process.env['POSTERN_FUZZ_SEED'] ?? 20_261_120);

/** Outer lengths put right again, so that most bends reach the inner layers. */
function mend(bytes: Buffer): void {
  if (bytes.length < 12 || bytes[0] !== 3) return;
  bytes.writeUInt16BE(bytes.length, 2);
  if (bytes[5] === 0xe0) bytes[4] = bytes.length - 5;
  const userUser = bytes.indexOf(0x7e, 9);
  if (bytes[4] === 8 && userUser >= 0 && userUser + 4 < bytes.length) bytes.writeUInt16BE(bytes.length - userUser - 3, userUser + 1);
}

for (const [name, sniff] of Object.entries(sniffers)) {
  const text = readFileSync(new URL(`../corpus/${name}.md`, import.meta.url), 'utf8');
  const samples = [...text.matchAll(/```hex\n(.*?)```/gs)].map((match) => Buffer.from(match[1]!.replace(/\s/g, ''), 'hex'));

  test(`bent ${name}, seed ${seed}`, () => {
    const random = randomOf(seed);
    const upTo = (n: number) => Math.floor(random() * n);
    const kinds: Record<string, number> = {};
    const runUntil = performance.now() + Number(process.env['POSTERN_FUZZ_SECONDS'] ?? 0) * 1_000;
    for (let round = 0; round < 4_000 || performance.now() < runUntil; round++) {
      let bytes: Buffer = Buffer.from(samples[upTo(samples.length)]!);
      for (let bends = upTo(4); bends >= 0; bends--) {
        const at = upTo(bytes.length);
        const how = upTo(4);
        if (how === 0) bytes[at] = upTo(256);
        else if (how === 1) bytes[at] = bytes[at]! ^ (1 << upTo(8));
        else if (how === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + upTo(8))]);
        else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(upTo(bytes.length))]);
        if (bytes.length === 0) bytes = Buffer.from([upTo(256)]);
      }
      if (upTo(2) === 0) mend(bytes);
      const label = `seed ${seed}, round ${round}: ${bytes.toString('hex')}`;
      const whole = sniff(bytes);
      kinds[whole.kind] = (kinds[whole.kind] ?? 0) + 1;
      for (let i = 0; i < 6; i++) {
        const beginning = sniff(bytes.subarray(0, upTo(bytes.length + 1)));
        if (beginning.kind !== 'more') assert.deepEqual(beginning, whole, label);
      }
      const claims = Object.entries(sniffers).filter(([, each]) => !['no', 'more'].includes(each(bytes).kind));
      assert.ok(claims.length <= 1, `${claims.map(([each]) => each).join()} claim ${label}`);
      if (whole.kind === 'h323') checkH323(whole, bytes, label);
    }
    // The fuzz is worth nothing when it reaches one verdict only.
    for (const kind of ['no', 'more', 'malformed', name]) assert.ok((kinds[kind] ?? 0) > 20, `${kind}: ${kinds[kind] ?? 0}`);
  });
}

function checkH323(facts: H323Facts, bytes: Buffer, label: string): void {
  assert.ok(facts.pduBytes <= bytes.length, label);
  assert.match(facts.domain ?? 'none', /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/, label);
  for (const alias of [...facts.aliases, ...facts.sourceAliases]) assert.ok(alias.value.isWellFormed() && alias.value.length <= 512, label);
  // What is behind the message changes nothing.
  assert.deepEqual(sniffH323(bytes.subarray(0, facts.pduBytes)), facts, label);
  const refusal = encodeH323Refusal(facts, 'not-here');
  if (refusal.length > 0) assert.equal(sniffH323(refusal).kind, 'h323', label);
}
