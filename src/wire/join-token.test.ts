import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from '#base/fault.ts';
import { encodeJoinToken, joinTokenPrefix, parseGatewayAddress, parseJoinToken } from './join-token.ts';

const token = { addresses: ['https://gw.example.test:8443', 'https://[2001:db8::1]'], caFingerprint: 'ab'.repeat(32), secret: 'abcdefghijkmnopqrstuvwxyz2345678' };
const made = (value: unknown) => joinTokenPrefix + Buffer.from(JSON.stringify(value)).toString('base64url');

test('round trip, with the white space that copying brings', () => {
  assert.deepEqual(parseJoinToken(`  ${encodeJoinToken(token)}\n`), token);
});

test('every shorter prefix is refused, and no refusal shows the secret', () => {
  const text = encodeJoinToken(token);
  for (let length = 0; length < text.length; length++) {
    assert.throws(
      () => parseJoinToken(text.slice(0, length)),
      (e) => e instanceof Fault && e.code === 'bad-input' && !`${e.message}${String(e.cause)}`.includes(token.secret.slice(0, 8)),
    );
  }
});

test('malformed parts', () => {
  const good = { a: token.addresses, f: token.caFingerprint, s: token.secret };
  for (const change of [{ a: [] }, { a: 'x' }, { a: ['http://gw.example.test'] }, { a: ['https://gw.example.test/path'] }, { f: 'AB' }, { f: 7 }, { s: 'short' }, { s: null }]) {
    assert.throws(() => parseJoinToken(made({ ...good, ...change })), Fault);
  }
  assert.throws(() => parseJoinToken(made(null)), Fault);
});

test('addresses', () => {
  assert.deepEqual(parseGatewayAddress('https://gw.example.test'), { host: 'gw.example.test', port: 443, isSecure: true });
  assert.deepEqual(parseGatewayAddress('http://[::1]:8080/'), { host: '::1', port: 8080, isSecure: false });
  for (const bad of ['gw.example.test', 'https://', 'https://a:0', 'https://a:70000', 'https://user@a', 'https://a/b', 'https://a b']) assert.throws(() => parseGatewayAddress(bad), Fault, bad);
});
