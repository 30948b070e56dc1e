import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { digestOf } from '#base/secret.ts';
import { newCliSecret, newTokenText, visitorLives, visitorOfCookie, visitorOfToken } from './credentials.ts';
import type { Person, SignIn, Token } from './rows.ts';
import { buildTables } from './tables.ts';

const limits = { signInIdleMs: 100 };
const id = '019a2b3c-4d5e-7f60-8123-456789abcdef';
const person: Person = { id: 'p', customerId: 'c', login: 'ada', name: 'Ada', passwordHash: '', locked: false, createdAt: 0 };
const cli = newCliSecret(randomBytes);
const tokenText = newTokenText(randomBytes, id);
const signIn = (kind: SignIn['kind'], secret: string): SignIn => ({ id: kind, customerId: 'c', personId: 'p', secretDigest: digestOf(secret), kind, from: '', userAgent: '', createdAt: 0, lastUsedAt: 0, expiresAt: 150 });
const token: Token = { id, customerId: 'c', personId: 'p', name: 'ci', secretDigest: digestOf(tokenText), createdAt: 0, lastUsedAt: null, expiresAt: 500 };

function build() {
  return buildTables({ customers: [], sites: [], agents: [], agentCertificates: [], agentNotes: [], devices: [], oldLabels: [], people: [person], rights: [], signIns: [signIn('browser', 'cookie-secret'), signIn('cli', cli)], tokens: [token], joinTokens: [], invites: [], certificates: [], deliveries: [], deviceKeys: [], waitingDevices: [], deviceNotes: [], leases: [], deviceTags: [], suspensions: [], sitePlaces: [], siteDoors: [], virtualAddresses: [], releasedAddresses: [], deviceProfiles: [], deviceTokens: [], evidence: [], jobSources: [] });
}

test('each secret opens its own way and no other', () => {
  const tables = build();
  assert.equal(visitorOfCookie(tables, 'cookie-secret', 1, limits)?.signIn?.id, 'browser');
  assert.equal(visitorOfToken(tables, cli, 1, limits)?.signIn?.id, 'cli');
  assert.equal(visitorOfToken(tables, tokenText, 1, limits)?.token?.id, id);
  for (const wrong of ['cookie-secret', '', 'postern_', `${tokenText}x`, tokenText.slice(0, -1), `postern_${'x'.repeat(300)}`, digestOf(tokenText)]) assert.equal(visitorOfToken(tables, wrong, 1, limits), null, wrong);
  for (const wrong of [cli, tokenText, '', digestOf('cookie-secret')]) assert.equal(visitorOfCookie(tables, wrong, 1, limits), null, wrong);
});

test('idle, absolute and the token\'s own end, to the millisecond', () => {
  const tables = build();
  assert.ok(visitorOfCookie(tables, 'cookie-secret', 99, limits));
  assert.equal(visitorOfCookie(tables, 'cookie-secret', 100, limits), null);
  tables.signIns.publish({ put: [{ ...signIn('browser', 'cookie-secret'), lastUsedAt: 140 }] });
  assert.ok(visitorOfCookie(tables, 'cookie-secret', 149, limits));
  assert.equal(visitorOfCookie(tables, 'cookie-secret', 150, limits), null);
  assert.ok(visitorOfToken(tables, tokenText, 499, limits));
  assert.equal(visitorOfToken(tables, tokenText, 500, limits), null);
});

test('a visitor lives as long as what it came in with, and its person', () => {
  const tables = build();
  const visitors = [visitorOfCookie(tables, 'cookie-secret', 1, limits)!, visitorOfToken(tables, cli, 1, limits)!, visitorOfToken(tables, tokenText, 1, limits)!];
  const lives = (nowMs = 1) => visitors.map((visitor) => visitorLives(tables, visitor, nowMs, limits));
  assert.deepEqual([lives(), lives(100), lives(500)], [[true, true, true], [false, false, true], [false, false, false]]);
  tables.signIns.publish({ removed: ['browser'] });
  assert.deepEqual(lives(), [false, true, true]);
  tables.tokens.publish({ removed: [id] });
  assert.deepEqual(lives(), [false, true, false]);
  tables.people.publish({ put: [{ ...person, locked: true }] });
  assert.deepEqual(lives(), [false, false, false]);
  assert.equal(visitorOfToken(tables, cli, 1, limits), null);
});
