import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { LdapAnswers, LdapStream } from './ldap-stream.ts';
import type { LdapStop } from './ldap-stream.ts';
import type { LdapFacts } from './ldap.ts';

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex');
function tlv(tag: number, value: Buffer | string): Buffer {
  const body = Buffer.from(value);
  return Buffer.concat([body.length < 128 ? Buffer.from([tag, body.length]) : Buffer.from([tag, 0x82, body.length >> 8, body.length & 0xff]), body]);
}
const message = (id: number, op: Buffer) => tlv(0x30, Buffer.concat([Buffer.from([2, 1, id]), op]));
const bind = (id: number, name: string, proof = tlv(0x80, 'secret')) => message(id, tlv(0x60, Buffer.concat([Buffer.from([2, 1, 3]), tlv(4, name), proof])));
const saslBind = (id: number, mechanism: string) => bind(id, '', tlv(0xa3, Buffer.concat([tlv(4, mechanism), tlv(4, 'x'.repeat(300))])));
const search = (id: number, base: string) => message(id, tlv(0x63, Buffer.concat([tlv(4, base), hex('0a01020a0100')])));
const add = (id: number) => message(id, tlv(0x68, Buffer.concat([tlv(4, 'cn=a'), tlv(0x30, Buffer.alloc(5_000, 0x60))])));
const unbind = (id: number) => message(id, hex('4200'));
const startTls = (id: number) => message(id, tlv(0x77, tlv(0x80, '1.3.6.1.4.1.1466.20037')));
const bindAnswer = (id: number, result: number) => message(id, tlv(0x61, Buffer.concat([Buffer.from([0x0a, 1, result]), hex('04000400')])));
const entry = (id: number) => message(id, tlv(0x64, tlv(4, 'y'.repeat(500))));
const wrapped = (size: number) => Buffer.concat([Buffer.from([0, 0, size >> 8, size & 0xff]), Buffer.alloc(size, 0x30)]);

/** Lets through what asks for `example.test` or for no domain. */
function pinned(): { stream: LdapStream; seen: LdapFacts[] } {
  const seen: LdapFacts[] = [];
  const stream = new LdapStream((facts) => {
    seen.push(facts);
    return facts.domain === null || facts.domain === 'example.test' ? null : `asks for ${facts.domain}`;
  });
  return { stream, seen };
}
/** All that passes when the bytes come in these pieces, and the stop, if there was one. */
function run(stream: LdapStream, pieces: readonly Buffer[]): { passed: Buffer; stop: LdapStop | null } {
  const passed: Buffer[] = [];
  for (const piece of pieces) {
    const judged = stream.push(piece);
    if ('why' in judged) return { passed: Buffer.concat([...passed, judged.pass]), stop: judged };
    passed.push(judged);
  }
  return { passed: Buffer.concat(passed), stop: null };
}
const bytewise = (bytes: Buffer) => Array.from(bytes, (byte) => Buffer.from([byte]));

test('a conversation passes as it is, however it is cut; every message is shown once', () => {
  const messages = [bind(1, 'example.test\\ann'), search(2, 'dc=example,dc=test'), add(3), search(4, ''), bind(5, ''), saslBind(6, 'SCRAM-SHA-256'), unbind(7)];
  const bytes = Buffer.concat(messages);
  const expected = ['bind 1', 'search 2', 'other 3', 'search 4', 'bind 5', 'bind 6', 'other 7'];
  const shown = (seen: LdapFacts[]) => seen.map(({ op, messageId }) => `${op} ${messageId}`);
  for (let at = 0; at <= bytes.length; at++) {
    const { stream, seen } = pinned();
    const { passed, stop } = run(stream, [bytes.subarray(0, at), bytes.subarray(at)]);
    assert.equal(stop, null);
    assert.ok(passed.equals(bytes), `cut at ${at}`);
    assert.deepEqual(shown(seen), expected);
  }
  const { stream, seen } = pinned();
  assert.ok(run(stream, bytewise(bytes)).passed.equals(bytes));
  assert.deepEqual(shown(seen), expected);
});

test('nothing of a message goes on before it is judged, and all of it once it is', () => {
  const { stream } = pinned();
  const bytes = bind(1, 'ann@example.test');
  const decided = bytes.length - 'secret'.length - 1;
  for (let at = 0; at < decided - 1; at++) assert.equal((stream.push(bytes.subarray(at, at + 1)) as Buffer).length, 0, `byte ${at}`);
  assert.deepEqual(stream.push(bytes.subarray(decided - 1, decided)), bytes.subarray(0, decided));
  assert.deepEqual(stream.push(bytes.subarray(decided)), bytes.subarray(decided));
});

test('a second bind to another domain is refused, cut at every byte; nothing of it passes, all before it does', () => {
  const before = Buffer.concat([bind(1, 'example.test\\ann'), add(2), unbind(3)]);
  const refused = bind(9, 'uid=ann,dc=other,dc=test');
  const bytes = Buffer.concat([before, refused, search(10, '')]);
  const check = (pieces: Buffer[], how: string) => {
    const { stream } = pinned();
    const { passed, stop } = run(stream, pieces);
    assert.ok(passed.equals(before), `${how}: ${passed.length} bytes passed instead of ${before.length}`);
    assert.equal(stop?.why, 'asks for other.test');
    assert.deepEqual([stop?.facts?.op, stop?.facts?.messageId], ['bind', 9]);
    const again = stream.push(search(11, ''));
    assert.ok('why' in again && again.pass.length === 0, 'a stop is for good');
  };
  for (let at = 0; at <= bytes.length; at++) check([bytes.subarray(0, at), bytes.subarray(at)], `cut at ${at}`);
  for (let at = 1; at < refused.length; at++) check([before, refused.subarray(0, at), refused.subarray(at)], `behind ${at} bytes of the bind`);
  check(bytewise(bytes), 'byte by byte');
});

test('StartTLS and what is no LDAP end it', () => {
  for (const [bad, why, op] of [
    [startTls(2), /StartTLS/, 'start-tls'],
    [search(2, 'dc=other,dc=test'), /other\.test/, 'search'],
    [bind(2, 'a b\\ann'), /no host name/, undefined],
    [hex('16030100'), /no LDAP message/, undefined],
    [bindAnswer(2, 0), /no LDAP message/, undefined],
    [hex('00000004 00000000'), /no LDAP message/, undefined],
    [hex('308400200000020102'.concat('4200')), /more than 1048576/, undefined],
  ] as const) {
    const { stream } = pinned();
    const first = bind(1, 'ann@example.test');
    const { passed, stop } = run(stream, bytewise(Buffer.concat([first, bad])));
    assert.ok(passed.equals(first));
    assert.match(stop!.why, why);
    assert.equal(stop!.facts?.op, op);
  }
});

test('what is held back is a head at most', () => {
  const { stream } = pinned();
  const head = Buffer.concat([hex('308400010000 020101 608400008000 020103 048200ff'), Buffer.alloc(254, 0x61)]);
  assert.equal((stream.push(head) as Buffer).length, 0);
  assert.equal((stream.push(Buffer.from('aX', 'latin1')) as Buffer | LdapStop as LdapStop).why, 'bind with a proof of the tag 0x58, neither simple nor SASL');
});

/** A SASL bind of this mechanism that the server answers with this result. */
function afterBind(mechanism: string, result: number) {
  const { stream, seen } = pinned();
  const answers = new LdapAnswers(stream);
  assert.equal(run(stream, [saslBind(1, mechanism)]).stop, null);
  for (const piece of bytewise(bindAnswer(1, result))) assert.equal(answers.push(piece), null);
  return { stream, answers, seen };
}

test('a security layer is believed behind a successful bind that may agree on one, and kept to its form', () => {
  for (const mechanism of ['GSSAPI', 'gss-spnego', 'DIGEST-MD5', 'NTLM', 'SRP', 'KERBEROS_V4']) {
    const bytes = Buffer.concat([wrapped(1), wrapped(700), wrapped(60_000)]);
    for (const pieces of [[bytes], bytewise(bytes), [bytes.subarray(0, 2), bytes.subarray(2, 6), bytes.subarray(6)]]) {
      const { stream, answers } = afterBind(mechanism, 0);
      const { passed, stop } = run(stream, pieces);
      assert.equal(stop, null, mechanism);
      assert.ok(passed.equals(bytes));
      assert.ok(stream.isLayered);
      assert.equal(answers.push(wrapped(80)), null);
      assert.equal(answers.push(entry(2)), null, 'inside a layer nobody knows where messages begin');
      assert.equal(answers.isBetweenMessages, false);
    }
    for (const bad of [hex('00000000'), hex('30050201054200'), hex('0100000000'), bind(2, 'other.test\\ann')]) {
      const { stream } = afterBind(mechanism, 0);
      const { passed, stop } = run(stream, bytewise(Buffer.concat([wrapped(9), bad])));
      assert.equal(passed.length, 13);
      assert.match(stop!.why, /buffer that is none/);
    }
  }
  const { stream } = afterBind('GSSAPI', 0);
  const big = Buffer.alloc(4);
  big.writeUInt32BE(limits.ldapLayerBytesMax);
  assert.equal(run(stream, [big]).stop, null);
});

test('no layer without the permission', () => {
  const refused = (stream: LdapStream, what: string) => {
    const { passed, stop } = run(stream, [wrapped(20)]);
    assert.equal(stop?.why, 'bytes that are no LDAP message', what);
    assert.equal(passed.length, 0, what);
  };
  for (const mechanism of ['PLAIN', 'EXTERNAL', 'SCRAM-SHA-256', 'CRAM-MD5', 'ANONYMOUS', 'X-GSSAPI', 'OAUTHBEARER']) refused(afterBind(mechanism, 0).stream, mechanism);
  refused(afterBind('GSSAPI', 49).stream, 'a bind that was refused');
  refused(afterBind('GSSAPI', 14).stream, 'a bind under way');
  refused(pinned().stream, 'before any bind');
  {
    const { stream } = pinned();
    run(stream, [saslBind(1, 'GSSAPI')]);
    refused(stream, 'a bind without an answer');
  }
  {
    const { stream } = pinned();
    run(stream, [bind(1, 'ann@example.test')]);
    new LdapAnswers(stream).push(bindAnswer(1, 0));
    refused(stream, 'a simple bind');
  }
  {
    const { stream } = pinned();
    run(stream, [saslBind(1, 'GSSAPI')]);
    new LdapAnswers(stream).push(bindAnswer(2, 0));
    refused(stream, 'the answer to another bind');
  }
  {
    const { stream } = afterBind('GSSAPI', 0);
    run(stream, [search(2, '')]);
    refused(stream, 'behind a plain message');
  }
  {
    const { stream } = afterBind('GSSAPI', 0);
    run(stream, [bind(2, '')]);
    refused(stream, 'behind a new bind');
  }
  {
    const { stream } = pinned();
    run(stream, [saslBind(1, 'GSSAPI'), search(2, '')]);
    new LdapAnswers(stream).push(bindAnswer(1, 0));
    refused(stream, 'a message while the bind was under way');
  }
  {
    const { stream, answers } = afterBind('GSSAPI', 0);
    answers.push(hex('ff'));
    refused(stream, 'an upstream that nobody can follow');
  }
});

test('a layer that the upstream does not speak is none', () => {
  for (const plain of [entry(2), bindAnswer(2, 0), hex('30'), hex('ff')]) {
    const { stream, answers } = afterBind('DIGEST-MD5', 0);
    // A second bind, dressed as a buffer: an upstream that overlooks the first four bytes would take it.
    const dressed = bind(2, 'other.test\\ann');
    assert.equal(run(stream, [Buffer.from([0, 0, 0, dressed.length]), dressed]).stop, null);
    assert.match(answers.push(plain)!, /does not speak/);
  }
  // A message that began before the layer may not end inside it unseen either.
  const { stream, answers } = afterBind('DIGEST-MD5', 0);
  assert.equal(answers.push(entry(0).subarray(0, 3)), null);
  run(stream, [wrapped(5)]);
  assert.match(answers.push(entry(0).subarray(3))!, /does not speak/);
});

test('several steps of one bind, and a layer in the piece that grants it', () => {
  const { stream } = pinned();
  const answers = new LdapAnswers(stream);
  run(stream, [saslBind(1, 'GSSAPI')]);
  answers.push(bindAnswer(1, 14));
  run(stream, [saslBind(2, 'GSSAPI')]);
  assert.equal(answers.push(Buffer.concat([bindAnswer(2, 0), wrapped(30)])), null);
  assert.equal(run(stream, [wrapped(20)]).stop, null);
  assert.equal(answers.push(wrapped(20)), null);
});

test('between two messages of the upstream, and only there, a message of ours fits', () => {
  const bytes = Buffer.concat([bindAnswer(1, 0), entry(2), entry(2)]);
  const ends = [0, bindAnswer(1, 0).length, bindAnswer(1, 0).length + entry(2).length, bytes.length];
  for (let at = 0; at <= bytes.length; at++) {
    const answers = new LdapAnswers(pinned().stream);
    assert.equal(answers.push(bytes.subarray(0, at)), null);
    assert.equal(answers.isBetweenMessages, ends.includes(at), `after ${at} bytes`);
    assert.equal(answers.push(bytes.subarray(at)), null);
    assert.equal(answers.isBetweenMessages, true);
  }
  const answers = new LdapAnswers(pinned().stream);
  answers.push(hex('ff'));
  assert.equal(answers.isBetweenMessages, false);
});
