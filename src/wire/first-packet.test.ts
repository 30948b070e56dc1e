import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lookAtFirst } from './first-packet.ts';

/** A simple bind (RFC 4511 §4.2) whose message is as long as asked for. */
function bindOf(length: number): Buffer {
  const name = 'x'.repeat(length - 13 - '@example.test'.length).concat('@example.test');
  const op = Buffer.concat([Buffer.from([0x02, 1, 3, 0x04, name.length]), Buffer.from(name), Buffer.from([0x80, 1, 0x78])]);
  return Buffer.concat([Buffer.from([0x30, op.length + 5, 2, 1, 1, 0x60, op.length]), op]);
}

test('an LDAP message of any short length is LDAP as soon as it is whole: one of 32 bytes begins like a request line', () => {
  for (let length = 30; length < 120; length++) {
    const bytes = bindOf(length);
    assert.equal(bytes[1], length);
    assert.equal(lookAtFirst(bytes).kind, 'ldap', `length ${length}`);
  }
});
