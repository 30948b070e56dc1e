import assert from 'node:assert/strict';
import { duplexPair, type Duplex } from 'node:stream';
import { afterEach, beforeEach, test } from 'node:test';
import { keptOf } from '#kit/collect.ts';
import { emptyBody, facility, grq, oddGeneric, otherBody, q931, rrq, setup, tpkt, urq } from '#kit/h323.ts';
import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import { buildSweep, type Sweep } from '#net/sweep.ts';
import { sniffH323 } from '#wire/h323.ts';
import type { H323Facts } from '#wire/h323.ts';
import { relayH323 } from './h323-relay.ts';

/** Time does not pass: what ends here ends by what is said. */
const stillClock: Clock = { nowMs: () => 0, monoMs: () => 0, after: () => ({ cancel: () => {} }), every: () => ({ cancel: () => {} }) };
let sweep: Sweep;
const open: Duplex[] = [];
beforeEach(() => {
  sweep = buildSweep(stillClock);
});
afterEach(async () => {
  for (const end of open.splice(0)) end.destroy();
  await until('nothing to be watched any more', () => sweep.size === 0);
  sweep.stop();
});

interface Seen {
  bytes: Buffer;
  isEnded: boolean;
}

function reading(end: Duplex): Seen {
  const seen: Seen = { bytes: Buffer.alloc(0), isEnded: false };
  end.on('data', (piece: Buffer) => void (seen.bytes = Buffer.concat([seen.bytes, piece])));
  end.on('end', () => void (seen.isEnded = true));
  return seen;
}

function start(first: Buffer, judge: (asked: H323Facts) => string | null = onlyPbx) {
  const [phone, near] = duplexPair();
  const [far, pbx] = duplexPair();
  for (const end of [phone, near, far, pbx]) open.push(end.on('error', () => {}));
  const refused: string[] = [];
  const counted = { client: 0, upstream: 0 };
  const asked: string[] = [];
  const over = relayH323(near, far, {
    sweep,
    idleMs: 60_000,
    first,
    judge: (facts) => (asked.push(facts.message), judge(facts)),
    onRefused: (why) => void refused.push(why),
    onBytes: (client, upstream) => void ((counted.client += client), (counted.upstream += upstream)),
  });
  return { phone, pbx, atPhone: reading(phone), atPbx: reading(pbx), over, refused, counted, asked };
}

const onlyPbx = (asked: H323Facts) => (asked.domain === 'pbx.example.com' ? null : 'another gatekeeper');
const register = facility([rrq({ gatekeeper: 'pbx.example.com', aliases: [{ h323: 'alice' }] })]);
const discover = facility([grq({ gatekeeper: 'PBX.example.com', seq: 3 })]);
const other = facility([rrq({ gatekeeper: 'other.example', seq: 77 })]);
const callTo = (domain: string) => q931(5, setup({ destination: [{ h323: `bob@${domain}` }] }), { reference: 0x0101 });
const settled = () => new Promise((resolve) => setImmediate(resolve));
async function until(what: string, holds: () => boolean): Promise<void> {
  for (let turns = 0; !holds(); turns++) {
    assert.ok(turns < 20_000, `waited for ${what}`);
    await settled();
  }
}

test('messages pass unchanged, however they are cut', async () => {
  const all = [discover, register, tpkt(Buffer.alloc(0)), q931(0, null), callTo('elsewhere.example'), facility([urq()]), q931(0x7b, otherBody('information', [oddGeneric()])), q931(0x5a, otherBody('release', []))];
  const bytes = Buffer.concat(all);
  for (const step of [1, 3, 50, 300, bytes.length]) {
    const run = start(bytes.subarray(0, 60));
    for (let at = 60; at < bytes.length; at += step) run.phone.write(bytes.subarray(at, at + step));
    await until('all of it', () => run.atPbx.bytes.length === bytes.length);
    assert.deepEqual(run.atPbx.bytes, bytes, `${step} bytes at a time`);
    assert.deepEqual(run.asked, ['gatekeeper-request', 'registration'], 'the call is behind a registration');
    run.pbx.end('any answer');
    await until('the answer', () => run.atPhone.isEnded);
    run.phone.end();
    assert.equal((await run.over).why, 'ended');
    assert.equal(run.atPhone.bytes.toString(), 'any answer');
    assert.deepEqual(run.counted, { client: bytes.length, upstream: 10 });
    assert.deepEqual(run.refused, []);
  }
});

test('nothing of a message goes on before it is whole', async () => {
  const run = start(register);
  await until('the first message', () => run.atPbx.bytes.length === register.length);
  run.phone.write(discover.subarray(0, discover.length - 1));
  for (let i = 0; i < 5; i++) await settled();
  assert.equal(run.atPbx.bytes.length, register.length);
  run.phone.write(discover.subarray(discover.length - 1));
  await until('the second', () => run.atPbx.bytes.length === register.length + discover.length);
});

test('a later registration elsewhere is answered, and never reaches the upstream', async () => {
  for (const [label, message] of [
    ['RRQ', other],
    ['GRQ', facility([grq({ gatekeeper: 'other.example', seq: 77 })])],
    ['another name for nobody', facility([rrq({ gatekeeper: 'two words', seq: 77 })])],
    ['a user without a domain', facility([rrq({ aliases: [{ h323: 'bob' }], seq: 77 })])],
    ['behind another RAS', facility([urq(), rrq({ gatekeeper: 'other.example', seq: 77 })])],
  ] as const) {
    for (const cut of [1, 20, message.length]) {
      const run = start(register);
      // in one piece with a good one
      const bytes = Buffer.concat([discover, message, register]);
      for (let at = 0; at < bytes.length; at += cut) run.phone.write(bytes.subarray(at, at + cut));
      await until('the end for both', () => run.atPhone.isEnded && run.atPbx.isEnded);
      run.phone.end();
      run.pbx.end();
      assert.equal((await run.over).why, 'another gatekeeper', label);
      assert.deepEqual(run.atPbx.bytes, Buffer.concat([register, discover]), label);
      const answer = sniffH323(run.atPhone.bytes);
      assert.equal(answer.kind === 'h323' && answer.message, 'other-ras', label);
      assert.ok(run.atPhone.bytes.includes(Buffer.from('00004c060008914a0007', 'hex')), 'request 77');
      assert.deepEqual(run.refused, ['another gatekeeper']);
    }
  }
});

test('a request that names nobody keeps a registration alive, and begins none', async () => {
  const keptAlive = facility([rrq({ seq: 9, isExtended: true })]);
  const run = start(Buffer.concat([register, keptAlive]));
  await until('both', () => run.atPbx.bytes.length === register.length + keptAlive.length);
  assert.deepEqual(run.asked, ['registration']);
  const alone = start(keptAlive);
  await until('the answer', () => alone.atPhone.isEnded);
  assert.deepEqual(alone.refused, ['another gatekeeper']);
});

test('the first message is judged as well', async () => {
  const run = start(other);
  await until('the answer', () => run.atPhone.isEnded);
  run.phone.end();
  run.pbx.end();
  await run.over;
  assert.equal(run.atPbx.bytes.length, 0);
});

test('without a registration every call is judged', async () => {
  const run = start(callTo('pbx.example.com'));
  run.phone.write(callTo('other.example'));
  await until('the answer', () => run.atPhone.isEnded);
  run.phone.end();
  run.pbx.end();
  assert.equal((await run.over).why, 'another gatekeeper');
  assert.deepEqual(run.atPbx.bytes, callTo('pbx.example.com'));
  assert.equal(run.atPhone.bytes.subarray(4, 9).toString('hex'), '080281015a', 'RELEASE COMPLETE of that call');
});

test('what cannot be read ends the connection without an answer', async () => {
  const tooLong = Buffer.concat([Buffer.from([3, 0, (limits.h323PduBytesMax + 1) >> 8, (limits.h323PduBytesMax + 1) & 0xff, 8, 2])]);
  const bent = Buffer.from(other);
  bent[bent.length - 40] = 0xff;
  bent.writeUInt16BE(0xffff, bent.indexOf(0x7e, 9) + 1);
  for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n'), tooLong, bent, q931(0x7b, otherBody('information', [oddGeneric()]).subarray(0, 60)), q931(5, emptyBody([]))]) {
    const run = start(register);
    run.phone.write(bytes);
    await until('the end', () => run.atPhone.isEnded && run.atPbx.isEnded);
    run.phone.end();
    run.pbx.end();
    await run.over;
    assert.equal(run.atPhone.bytes.length, 0);
    assert.deepEqual(run.atPbx.bytes, register);
    assert.equal(run.refused.length, 1);
  }
});

test('an answer never lands inside a message of the upstream', async () => {
  const fromPbx = facility([urq()]);
  for (const [sent, hasAnswer] of [
    [fromPbx, true],
    [Buffer.concat([fromPbx, fromPbx.subarray(0, 3)]), false],
    [fromPbx.subarray(0, 30), false],
    [Buffer.from('no TPKT at all'), false],
  ] as const) {
    const run = start(register);
    run.pbx.write(sent.subarray(0, 2));
    run.pbx.write(sent.subarray(2));
    await until('what the upstream said', () => run.atPhone.bytes.length === sent.length);
    run.phone.write(other);
    await until('the end', () => run.atPhone.isEnded && run.atPbx.isEnded);
    run.phone.end();
    run.pbx.end();
    await run.over;
    assert.equal(run.atPhone.bytes.length > sent.length, hasAnswer);
    assert.deepEqual(run.atPhone.bytes.subarray(0, sent.length), sent);
  }
});

test('a slow upstream stops the client', async () => {
  const [phone, near] = duplexPair({ highWaterMark: 1_024 });
  const [far, pbx] = duplexPair({ highWaterMark: 1_024 });
  open.push(phone, near, far, pbx);
  const over = relayH323(near, far, { sweep, idleMs: 60_000, first: register, judge: onlyPbx, onRefused: assert.fail });
  let sent = register.length;
  // Written as fast as it is taken; nobody reads at the other end.
  for (let stalled = 0; stalled < 20; ) {
    if (phone.writableLength < 1_024) {
      phone.write(discover);
      sent += discover.length;
      stalled = 0;
    } else stalled++;
    await settled();
    assert.ok(sent < 100_000, 'the client was never stopped');
  }
  const seen = reading(pbx);
  phone.end();
  await until('all of it', () => seen.isEnded);
  assert.equal(seen.bytes.length, sent);
  pbx.end();
  phone.resume();
  assert.equal((await over).why, 'ended');
});

test('a message that comes in many pieces costs what it weighs, not what its pieces do', async () => {
  const run = start(register);
  run.phone.write(Buffer.from([3, 0, 0x1f, 0xff, 8, 2, 0, 0, 0x7b]));
  const kept = await keptOf(3_000, (piece) => run.phone.write(piece));
  await until('all of it to be read', () => run.counted.client === register.length + 9 + 3_000);
  assert.ok(kept < 100, `${kept} pieces are kept`);
});
