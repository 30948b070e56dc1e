import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildAdmission, type Slot } from './admission.ts';

const slotOf = (slot: Slot | string): Slot => {
  assert.ok(typeof slot !== 'string', String(slot));
  return slot;
};

test('of IPv6 a /64 is one place: who has one has more addresses than anybody could count', () => {
  const admission = buildAdmission({ connsMax: 100, connsPerAddressMax: 3 });
  const slots = ['2001:db8::1', '2001:db8::2', '2001:db8::ffff:3'].map((address) => slotOf(admission.enter(address, false)));
  assert.equal(admission.enter('2001:db8::4', false), 'too many connections from this address');
  slotOf(admission.enter('2001:db8:0:1::4', false));
  const proxied = slotOf(admission.enter('192.0.2.1', true));
  assert.equal(proxied.alsoFrom('2001:db8::5'), false, 'for whom a sender speaks counts alike');
  slots[0]!.leave();
  assert.equal(proxied.alsoFrom('2001:db8::5'), true);
  proxied.leave();
  slotOf(admission.enter('2001:db8::6', false));
});

test('of IPv4 an address is one place; loopback is not counted, all together are', () => {
  const admission = buildAdmission({ connsMax: 6, connsPerAddressMax: 2 });
  for (const address of ['192.0.2.1', '192.0.2.1', '192.0.2.2', '127.0.0.1', '127.0.0.1', '127.0.0.1']) slotOf(admission.enter(address, false));
  assert.equal(admission.enter('192.0.2.1', false), 'too many connections from this address');
  assert.equal(admission.enter('192.0.2.3', false), 'too many connections');
});
