// As what a device appears to an application.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toldOf, whyNotAdmitted } from './admit-device.ts';
import type { Identity } from './identity.ts';
import type { JobSource } from './place-rows.ts';
import type { Device } from './rows.ts';

const device: Device = { id: 'd1', customerId: 'c1', siteId: 's1', agentId: 'a1', serial: 'SN1', label: 'one', name: 'One', host: '192.0.2.50', ports: [], hostHeader: 'own', locked: false, createdAt: 1 };
const who = (state: Identity['state'], changes: Partial<Identity> = {}): Identity => ({ state, device: state === 'verified' || state === 'address-only' ? device : null, by: null, why: '', conflict: [], ...changes });
const source: JobSource = { id: 'j1', customerId: 'c1', application: 'scan', deviceId: 'd1', serial: null, siteId: null, address: null, as: null, note: '', createdAt: 1 };
const own = { tell: 'headers', address: 'own' } as const;
const none = () => null;

test('what applications are told of where a device is', () => {
  const table: readonly (readonly [string, ReturnType<typeof toldOf>, ReturnType<typeof toldOf>])[] = [
    ['behind NAT its row says where it is', toldOf('203.0.113.7', own, who('verified'), source, none), { client: '192.0.2.50', local: null }],
    ['through the door of its own site it is where it came from', toldOf('192.0.2.77', own, who('verified'), source, none, true), { client: '192.0.2.77', local: null }],
    ['but never this machine', toldOf('127.0.0.1', own, who('verified'), source, none, true), { client: '192.0.2.50', local: null }],
    ['an ambiguous one is where it came from, and nobody', toldOf('203.0.113.7', own, who('ambiguous'), null, none), { client: '203.0.113.7', local: null }],
    ['its virtual address, in headers', toldOf('192.0.2.50', { tell: 'headers', address: 'virtual' }, who('verified'), source, () => '100.72.0.5'), { client: '100.72.0.5', local: null }],
    ['its virtual address, as the connection\'s', toldOf('192.0.2.50', { tell: 'virtual', address: 'own' }, who('verified'), source, () => '100.72.0.5'), { client: '100.72.0.5', local: '100.72.0.5' }],
    ['it has none yet', toldOf('192.0.2.50', { tell: 'virtual', address: 'own' }, who('verified'), source, none), null],
    ['what its job source says goes before all', toldOf('192.0.2.50', { tell: 'virtual', address: 'own' }, who('verified'), { ...source, as: '100.72.9.9' }, () => '100.72.0.5'), { client: '100.72.9.9', local: '100.72.9.9' }],
  ];
  for (const [what, told, expected] of table) assert.deepEqual(told, expected, what);
});

test('who may go on', () => {
  const rules = { require: 'address', assigned: true } as const;
  assert.equal(whyNotAdmitted(rules, who('verified'), source), null);
  assert.equal(whyNotAdmitted(rules, who('address-only'), source), null);
  assert.equal(whyNotAdmitted({ ...rules, require: 'verified' }, who('address-only'), source), 'not-verified');
  assert.equal(whyNotAdmitted(rules, who('verified'), null), 'not-assigned');
  assert.equal(whyNotAdmitted({ ...rules, assigned: false }, who('verified'), null), null);
  assert.equal(whyNotAdmitted(rules, who('ambiguous'), source), 'ambiguous');
  assert.equal(whyNotAdmitted(rules, who('unknown'), null), 'unknown');
  assert.equal(whyNotAdmitted({ require: 'any', assigned: false }, who('ambiguous'), null), null);
  assert.equal(whyNotAdmitted({ require: 'any', assigned: true }, who('ambiguous'), source), 'ambiguous');
});
