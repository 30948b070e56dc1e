import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayAnywhere, mayDo, rightsOfVisitor, subjectOfScope, visitorMay, type Grant, type Subject } from './rights.ts';
import type { Action, Device, Person, Right, SignIn, Token } from './rows.ts';
import { buildTables } from './tables.ts';

const grant = (action: Action, scopeKind: Grant['scopeKind'], scopeId: string | null): Grant => ({ action, scopeKind, scopeId });
const device1: Subject = { customerId: 'c1', siteId: 's1', deviceId: 'd1' };
const actions: Action[] = ['see', 'open', 'administer'];

test('administer includes open, open includes see, nothing more', () => {
  const table = actions.map((has) => actions.map((wants) => mayDo([grant(has, 'device', 'd1')], null, wants, device1)));
  assert.deepEqual(table, [[true, false, false], [true, true, false], [true, true, true]]);
});

test('a scope holds for what stands in it and for nothing beside or above', () => {
  const subjects: Record<string, Subject> = {
    gateway: 'gateway',
    customer: { customerId: 'c1' },
    site: { customerId: 'c1', siteId: 's1' },
    device: device1,
    otherDevice: { customerId: 'c1', siteId: 's1', deviceId: 'd2' },
    otherSite: { customerId: 'c1', siteId: 's2', deviceId: 'd3' },
    otherCustomer: { customerId: 'c2', siteId: 's9', deviceId: 'd9' },
  };
  const reached = (held: Grant) => Object.keys(subjects).filter((key) => mayDo([held], null, 'see', subjects[key]!));
  assert.deepEqual(reached(grant('see', 'gateway', null)), Object.keys(subjects));
  assert.deepEqual(reached(grant('see', 'customer', 'c1')), ['customer', 'site', 'device', 'otherDevice', 'otherSite']);
  assert.deepEqual(reached(grant('see', 'site', 's1')), ['site', 'device', 'otherDevice']);
  assert.deepEqual(reached(grant('see', 'device', 'd1')), ['device']);
  // a damaged row without its id must not turn into a right to everything without a site
  assert.deepEqual(reached(grant('administer', 'site', null)), []);
});

test('a token is never more than its person, and no more than itself', () => {
  const all = [grant('administer', 'gateway', null)];
  const one = [grant('open', 'device', 'd1')];
  assert.equal(mayDo(all, one, 'open', device1), true);
  assert.equal(mayDo(all, one, 'administer', device1), false);
  assert.equal(mayDo(one, all, 'administer', device1), false);
  assert.equal(mayDo([], all, 'see', device1), false);
  assert.equal(mayDo(all, [], 'see', device1), false);
  assert.equal(mayAnywhere({ rights: all as Right[], tokenRights: one as Right[] }, 'administer'), false);
});

const person = (locked: boolean): Person => ({ id: 'p1', customerId: 'c1', login: 'ada', name: 'Ada', passwordHash: '', locked, createdAt: 0 });
const token: Token = { id: 't1', customerId: 'c1', personId: 'p1', name: 'ci', secretDigest: 'x', createdAt: 0, lastUsedAt: null, expiresAt: null };
const right = (id: string, subjectKind: 'person' | 'token', subjectId: string, held: Grant): Right => ({ id, customerId: 'c1', subjectKind, subjectId, ...held });

function tablesWith(people: Person[], rights: Right[]) {
  const device: Device = { id: 'd1', customerId: 'c1', siteId: 's1', agentId: 'a1', serial: null, label: 'demo', name: 'Demo', host: '127.0.0.1', ports: [], hostHeader: 'own', locked: false, createdAt: 0 };
  return buildTables({ customers: [{ id: 'c1', key: 'default', name: 'Default', createdAt: 0 }], sites: [{ id: 's1', customerId: 'c1', name: 'main', createdAt: 0 }], agents: [], agentCertificates: [], agentNotes: [], devices: [device], oldLabels: [], people, rights, signIns: [], tokens: [token], joinTokens: [], invites: [], certificates: [], deliveries: [], deviceKeys: [], waitingDevices: [], deviceNotes: [], leases: [], deviceTags: [], suspensions: [], sitePlaces: [], siteDoors: [], virtualAddresses: [], releasedAddresses: [], deviceProfiles: [], deviceTokens: [], evidence: [], jobSources: [] });
}

test("a visitor's rights are read from the tables as they are now", () => {
  const tables = tablesWith([person(false)], [right('r1', 'person', 'p1', grant('administer', 'gateway', null))]);
  const visitor = { person: person(false), signIn: null, token };
  assert.equal(visitorMay(tables, visitor, 'administer', 'gateway'), true, 'a token without rights of its own has its person\'s');
  tables.rights.publish({ put: [right('r2', 'token', 't1', grant('see', 'device', 'd1'))] });
  assert.equal(visitorMay(tables, visitor, 'open', device1), false);
  assert.equal(visitorMay(tables, visitor, 'see', device1), true);
  tables.people.publish({ put: [person(true)] });
  assert.deepEqual(rightsOfVisitor(tables, visitor).rights, [], 'locked');
  tables.people.publish({ removed: ['p1'] });
  assert.equal(visitorMay(tables, visitor, 'see', device1), false, 'removed');
});

test('a token that was revoked and a sign-in that ended have no rights, and not those of their person', () => {
  const all = right('r1', 'person', 'p1', grant('administer', 'gateway', null));
  const tables = tablesWith([person(false)], [all, right('r2', 'token', 't1', grant('see', 'device', 'd1'))]);
  const narrow = { person: person(false), signIn: null, token };
  tables.tokens.publish({ removed: ['t1'] });
  tables.rights.publish({ removed: ['r2'] });
  assert.equal(visitorMay(tables, narrow, 'administer', 'gateway'), false);
  const signIn: SignIn = { id: 's1', customerId: 'c1', personId: 'p1', secretDigest: 'y', kind: 'browser', from: '192.0.2.1', userAgent: '', createdAt: 0, lastUsedAt: 0, expiresAt: 1 };
  tables.signIns.publish({ put: [signIn] });
  assert.equal(visitorMay(tables, { person: person(false), signIn, token: null }, 'administer', 'gateway'), true);
  tables.signIns.publish({ removed: ['s1'] });
  assert.equal(visitorMay(tables, { person: person(false), signIn, token: null }, 'administer', 'gateway'), false);
});

test('the thing that a right is about, or none', () => {
  const tables = tablesWith([], []);
  assert.equal(subjectOfScope(tables, { scopeKind: 'gateway', scopeId: null }), 'gateway');
  assert.deepEqual(subjectOfScope(tables, { scopeKind: 'device', scopeId: 'd1' }), device1);
  assert.deepEqual(subjectOfScope(tables, { scopeKind: 'site', scopeId: 's1' }), { customerId: 'c1', siteId: 's1' });
  assert.equal(subjectOfScope(tables, { scopeKind: 'site', scopeId: 's2' }), undefined);
  assert.equal(subjectOfScope(tables, { scopeKind: 'gateway', scopeId: 's1' }), undefined);
  assert.equal(subjectOfScope(tables, { scopeKind: 'customer', scopeId: null }), undefined);
});
