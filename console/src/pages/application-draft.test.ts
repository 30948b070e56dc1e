// What the form says becomes what the document has to say, and no more.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Route } from '../config-document.ts';
import { applicationDraftOf, applicationOf, newCallback, wrongInApplication } from './application-draft.ts';

type Application = NonNullable<Route['application']>;
const draft = applicationDraftOf(undefined);

test('a route that is no application stays none, and one that is no longer loses it', () => {
  assert.equal(applicationOf(draft, 'http', undefined), undefined);
  assert.equal(applicationOf({ ...applicationDraftOf({ tell: 'virtual' } as Application), is: false }, 'http', { tell: 'virtual' } as Application), undefined);
});

test('defaults are not written down, unless they were', () => {
  assert.deepEqual(applicationOf({ ...draft, is: true }, 'http', undefined), { tell: 'headers', require: 'address' });
  const before = { tell: 'headers', address: 'own', assigned: true, session: { jar: false, idleMinutes: 0.5 }, callbacks: [] } as unknown as Application;
  assert.deepEqual(applicationOf(applicationDraftOf(before), 'http', before), { tell: 'headers', address: 'own', require: 'address', assigned: true, session: { jar: false, idleMinutes: 0.5 }, callbacks: [] });
});

test('everything there and back', () => {
  const before = { tell: 'proxy-v2', address: 'virtual', require: 'any', assigned: false, session: { jar: true, urlPrefix: true, idleMinutes: 5, absoluteHours: 1.5 }, callbacks: [{ transport: 'udp', port: 161 }, { transport: 'tcp', port: 8080, to: 80 }], signed: 'scan' } as Application;
  assert.deepEqual(applicationOf(applicationDraftOf(before), 'http', before), before);
});

test('what another choice makes meaningless is left out', () => {
  const full = { ...draft, is: true, jar: true, urlPrefix: true, callbacks: [newCallback({ port: '80' })] };
  assert.deepEqual(applicationOf({ ...full, tell: 'proxy-v1' }, 'ldap', undefined), { tell: 'proxy-v1', require: 'address' }, 'no cookies in LDAP, no call-backs without a virtual address');
  assert.deepEqual(applicationOf({ ...full, tell: 'virtual', address: 'virtual' }, 'http', undefined), { tell: 'virtual', require: 'address', session: { jar: true, urlPrefix: true }, callbacks: [{ transport: 'tcp', port: 80 }] });
});

test('ports and numbers are looked at before the gateway is asked', () => {
  const wrong = { ...draft, is: true, tell: 'virtual' as const, idle: 'soon', absolute: '1,5', callbacks: [newCallback({ port: '80' }), newCallback({ port: '0', to: '70000' })] };
  assert.deepEqual(wrongInApplication(wrong).map(({ path }) => path), ['application.session.idleMinutes', 'application.callbacks[1].port', 'application.callbacks[1].to']);
  assert.deepEqual(wrongInApplication({ ...wrong, idle: '', tell: 'headers' }), [], 'call-backs that are not shown are not looked at');
  assert.deepEqual(wrongInApplication({ ...wrong, is: false }), []);
});
