import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packetFactsOf } from './packet.ts';

test('who a client says it is, and whom it asks for', () => {
  const sip = { kind: 'sip', domain: 'pbx.example.test', user: 'bob', fromUser: 'alice', headBytes: 1 } as const;
  assert.deepEqual(packetFactsOf({ ...sip, method: 'INVITE' }), { protocol: 'sip', host: 'pbx.example.test', users: ['bob', 'alice'], claims: ['alice'] });
  assert.deepEqual(packetFactsOf({ ...sip, method: 'REGISTER' })!.claims, ['bob', 'alice'], 'From alice must not register bob');
  assert.deepEqual(packetFactsOf({ kind: 'ssh', software: 'x' }), { protocol: 'ssh', host: null, users: [], claims: [] });
  const h323 = { kind: 'h323', gatekeeperId: null, aliases: [{ kind: 'digits', value: '4711' }], sourceAliases: [{ kind: 'h323-id', value: 'alice' }], calledNumber: '4711', domain: null, user: null, pduBytes: 1, answerTo: { callReference: 0, requests: [], callIdentifier: null } } as const;
  assert.deepEqual(packetFactsOf({ ...h323, message: 'setup' })!.claims, ['alice'], 'of a call, the one who calls');
  assert.deepEqual(packetFactsOf({ ...h323, message: 'registration' })!.claims, ['4711']);
});

test('the name beside a SASL mechanism proves nobody: the credentials say who it is', () => {
  const bind = { kind: 'ldap', op: 'bind', messageId: 1, domain: 'pbx.example.test', user: 'anna', pduBytes: 60 } as const;
  assert.deepEqual(packetFactsOf({ ...bind, sasl: null })!.claims, ['anna']);
  assert.deepEqual(packetFactsOf({ ...bind, sasl: 'PLAIN' })!.claims, []);
  assert.deepEqual(packetFactsOf({ ...bind, sasl: 'PLAIN' })!.users, ['anna'], 'a route by name is chosen by it all the same');
});
