// What every implementation of Operations must do. `open` gives an empty store; the suite closes it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { isFault, type FaultCode } from '#base/fault.ts';
import { buildIds, type Id } from '#base/ids.ts';
import { chainLine, emptyAuditHead, verifyLine } from '#model/audit.ts';
import type { Everything, Operations } from '#model/operations.ts';
import type { Actor, Agent, AgentCertificate, AuditEntry, Certificate, Delivery, Device, Invite, JoinToken, Person, Right, SignIn, Token, Visit } from '#model/rows.ts';
import { identityContract } from './identity.ts';
import { probeContract } from './probes.ts';
import { placesContract, virtualAddressContract } from './places.ts';
import { sourceContract } from './sources.ts';
import { fileContract } from './store-files.ts';

export const newId = buildIds(() => Date.now(), randomBytes);
const at = 1_800_000_000_000;
const anna: Actor = { kind: 'person', id: newId(), name: 'anna', from: '192.0.2.7' };

export interface Rows {
  readonly customerId: Id;
  readonly siteId: Id;
  audit(what: string, change?: Partial<AuditEntry>): AuditEntry;
  person(login: string, change?: Partial<Person>): Person;
  right(subjectKind: 'person' | 'token', subjectId: Id, change?: Partial<Right>): Right;
  signIn(personId: Id, change?: Partial<SignIn>): SignIn;
  token(personId: Id, change?: Partial<Token>): Token;
  invite(change?: Partial<Invite>): Invite;
  joinToken(change?: Partial<JoinToken>): JoinToken;
  agent(change?: Partial<Agent>): Agent;
  certificate(agentId: Id, change?: Partial<AgentCertificate>): AgentCertificate;
  device(agentId: Id, label: string, change?: Partial<Device>): Device;
  visit(change?: Partial<Visit>): Visit;
  served(name: string, change?: Partial<Certificate>): Certificate;
}

/** Rows that fit the store's first customer and site. */
export async function rowsFor(store: Operations): Promise<Rows> {
  const all = await store.loadEverything();
  const customerId = all.customers[0]!.id;
  const siteId = all.sites[0]!.id;
  const digest = () => randomBytes(32).toString('hex');
  const ports = [{ number: 443, name: 'web', kind: 'https', fingerprint: null }, { number: 22, name: 'ssh', kind: 'tcp', fingerprint: null }] as const;
  return {
    customerId,
    siteId,
    audit: (what, change) => ({ at, customerId, actor: anna, what, subjectKind: 'thing', subjectId: null, subjectName: '', detail: {}, ...change }),
    person: (login, change) => ({ id: newId(), customerId, login, name: login, passwordHash: '$argon2id$example', locked: false, createdAt: at, ...change }),
    right: (subjectKind, subjectId, change) => ({ id: newId(), customerId, subjectKind, subjectId, action: 'open', scopeKind: 'gateway', scopeId: null, ...change }),
    signIn: (personId, change) => ({
      id: newId(), customerId, personId, secretDigest: digest(), kind: 'browser', from: '192.0.2.7', userAgent: 'Browser/1', createdAt: at, lastUsedAt: at, expiresAt: at + 1_000, ...change,
    }),
    token: (personId, change) => ({ id: newId(), customerId, personId, name: 'ci', secretDigest: digest(), createdAt: at, lastUsedAt: null, expiresAt: null, ...change }),
    invite: (change) => ({ id: newId(), customerId, codeDigest: digest(), name: 'bert', rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }], createdBy: anna.id!, createdAt: at, expiresAt: at + 1_000, usedAt: null, ...change }),
    joinToken: (change) => ({
      id: newId(), customerId, siteId, secretDigest: digest(), deviceName: 'Press 4', serial: 'S/4', host: '127.0.0.1', ports, createdBy: anna.id!, createdAt: at, expiresAt: at + 1_000, usedAt: null, usedByAgentId: null, ...change,
    }),
    agent: (change) => ({ id: newId(), customerId, siteId, name: 'press-4', state: 'active', createdAt: at, ...change }),
    certificate: (agentId, change) => ({ fingerprint: digest(), customerId, agentId, keyFingerprint: digest(), notBefore: at, notAfter: at + 1_000, revokedAt: null, ...change }),
    device: (agentId, label, change) => ({
      id: newId(), customerId, siteId, agentId, serial: null, label, name: 'Press 4', host: '127.0.0.1', ports, hostHeader: 'own', locked: false, createdAt: at, ...change,
    }),
    visit: (change) => ({
      id: newId(), customerId, deviceId: newId(), deviceName: 'Press 4', port: 443, kind: 'http', who: anna, openedAt: at, closedAt: null, requests: 0, bytesIn: 0, bytesOut: 0, why: null, ...change,
    }),
    served: (name, change) => ({
      id: newId(), customerId, name, source: 'uploaded', state: 'ready', enabled: true, names: { dns: ['gw.example.test', '*.gw.example.test'], ip: ['2001:db8::7'] }, keyKind: 'ec-p256',
      keyFingerprint: digest(), chainPem: '-----BEGIN CERTIFICATE-----\n', certificateFingerprint: digest(), subject: 'CN=gw.example.test', issuer: 'CN=Authority', notBefore: at, notAfter: at + 1_000,
      csrPem: null, csrKeyFingerprint: null, previousChainPem: null, previousKeyFingerprint: null, acme: null, createdAt: at, renewedAt: null, lastTriedAt: null, lastError: null, ...change,
    }),
  };
}

export async function rejectsWith(promise: Promise<unknown>, code: FaultCode, message?: RegExp): Promise<void> {
  await assert.rejects(promise, (thrown: unknown) => {
    assert.ok(isFault(thrown, code), `expected a Fault ${code}, got ${String(thrown)}`);
    if (message) assert.match(thrown.message, message);
    return true;
  });
}

/** Joined by a token: agent, certificate and device. */
async function joined(store: Operations, rows: Rows, label: string): Promise<{ agent: Agent; certificate: AgentCertificate; device: Device }> {
  const token = rows.joinToken();
  const agent = rows.agent();
  const certificate = rows.certificate(agent.id);
  const device = rows.device(agent.id, label);
  await store.addJoinToken(token, rows.audit('join-token.made'));
  await store.join(token.id, agent, certificate, device, rows.audit('device.joined'));
  return { agent, certificate, device };
}

export function storeContract(name: string, open: () => Promise<Operations>): void {
  const contract = (title: string, run: (store: Operations, rows: Rows) => Promise<void>) =>
    test(title, async () => {
      const store = await open();
      try {
        await run(store, await rowsFor(store));
      } finally {
        await store.close();
      }
    });
  suite(`store contract: ${name}`, () => {
    newStoreContract(contract);
    peopleContract(contract);
    deviceContract(contract);
    identityContract(contract);
    certificateContract(contract);
    deliveryContract(contract);
    redirectContract(contract);
    recordContract(contract);
    auditContract(contract);
    fileContract(contract);
    virtualAddressContract(contract);
    placesContract(contract);
    probeContract(contract);
    sourceContract(contract);
  });
}

type Contract = (title: string, run: (store: Operations, rows: Rows) => Promise<void>) => void;

function newStoreContract(contract: Contract): void {
  contract('a new store has the first customer and its site, and nothing else', async (store) => {
    const { customers, sites, ...others } = await store.loadEverything();
    assert.equal(customers.length, 1);
    assert.equal(customers[0]!.key, 'default');
    assert.equal(customers[0]!.name, 'Default');
    assert.equal(sites.length, 1);
    assert.equal(sites[0]!.name, 'main');
    assert.equal(sites[0]!.customerId, customers[0]!.id);
    for (const [name, rows] of Object.entries(others)) assert.deepEqual(rows, [], name);
    assert.equal(await store.latestRevision(), null);
    assert.deepEqual(await store.auditHead(), emptyAuditHead);
    assert.deepEqual(await store.verifyAudit(), { lines: 0, brokenAt: null, why: null });
  });

  contract('a check says that what is written comes back', async (store) => {
    const found = await store.check();
    assert.equal(found.integrity, 'ok');
    assert.ok(found.fsyncMs >= 0 && found.fileBytes > 0);
    assert.equal(found.visitsDropped, 0);
  });

  contract('after close every operation is refused as closed, and closing again is fine', async (store, rows) => {
    await store.close();
    await rejectsWith(store.addAudit([rows.audit('too.late')]), 'closed');
    await rejectsWith(store.loadEverything(), 'closed');
    await store.close();
  });

  contract('closing waits for what is under way', async (store, rows) => {
    const under = Array.from({ length: 50 }, (_, i) => store.addAudit([rows.audit(`n.${i}`)]));
    const read = store.loadEverything();
    await store.close();
    await Promise.all([...under, read]);
  });
}

function peopleContract(contract: Contract): void {
  contract('the owner is the first person, and only the first', async (store, rows) => {
    const owner = rows.person('Ada', { name: 'Ada Löwe' });
    const right = rows.right('person', owner.id, { action: 'administer' });
    await store.addOwner(owner, [right], rows.audit('person.made'));
    const second = rows.person('eve');
    await rejectsWith(store.addOwner(second, [rows.right('person', second.id)], rows.audit('person.made')), 'conflict', /owner already/);
    const all = await store.loadEverything();
    assert.deepEqual(all.people, [owner]);
    assert.deepEqual(all.rights, [right]);
    assert.equal((await store.auditHead()).seq, 1);
  });

  contract('a login is unique whatever its case, in any alphabet', async (store, rows) => {
    await store.addPerson(rows.person('Jürgen'), [], rows.audit('person.made'));
    await rejectsWith(store.addPerson(rows.person('JÜRGEN'), [], rows.audit('person.made')), 'conflict', /person has this login/);
    const other = rows.person('bert');
    await store.addPerson(other, [], rows.audit('person.made'));
    await rejectsWith(store.changePerson({ ...other, login: 'jürgen' }, rows.audit('person.changed')), 'conflict', /login/);
    await store.changePerson({ ...other, login: 'Bert', locked: true }, rows.audit('person.changed'));
    const all = await store.loadEverything();
    assert.deepEqual(all.people.map((person) => [person.login, person.locked]).sort(), [['Bert', true], ['Jürgen', false]]);
    assert.equal((await store.auditHead()).seq, 3);
  });

  contract('an invitation is used once, before it expires, and only together with its person', async (store, rows) => {
    const invite = rows.invite();
    await store.addInvite(invite, rows.audit('person.invited'));
    assert.deepEqual((await store.loadEverything()).invites, [invite]);
    const late = rows.audit('person.made', { at: invite.expiresAt });
    await rejectsWith(store.addPerson(rows.person('late'), [], late, invite.id), 'gone');
    await store.addPerson(rows.person('bert'), [], rows.audit('person.made'), invite.id);
    await rejectsWith(store.addPerson(rows.person('carl'), [], rows.audit('person.made'), invite.id), 'gone');
    await rejectsWith(store.addPerson(rows.person('carl'), [], rows.audit('person.made'), newId()), 'gone');
    let all = await store.loadEverything();
    assert.equal(all.invites[0]!.usedAt, at);
    assert.deepEqual(all.people.map((person) => person.login), ['bert']);
    const unused = rows.invite();
    await store.addInvite(unused, rows.audit('person.invited'));
    await rejectsWith(store.addPerson(rows.person('BERT'), [], rows.audit('person.made'), unused.id), 'conflict');
    all = await store.loadEverything();
    assert.equal(all.invites.find((row) => row.id === unused.id)!.usedAt, null, 'a refused person leaves the invitation unused');
    await store.removeInvite(unused.id, rows.audit('invite.withdrawn'));
    await rejectsWith(store.removeInvite(unused.id, rows.audit('invite.withdrawn')), 'not-found');
    assert.equal((await store.loadEverything()).invites.length, 1);
  });

  contract('rights are replaced as a whole, for one subject', async (store, rows) => {
    const [one, two] = [rows.person('one'), rows.person('two')];
    const of = (person: Person, change?: Partial<Right>) => rows.right('person', person.id, change);
    const kept = of(two);
    await store.addPerson(one, [of(one), of(one, { action: 'see', scopeKind: 'site', scopeId: rows.siteId })], rows.audit('person.made'));
    await store.addPerson(two, [kept], rows.audit('person.made'));
    const next = of(one, { action: 'administer', scopeKind: 'customer', scopeId: rows.customerId });
    await store.setRights('person', one.id, [next], rows.audit('rights.set'));
    assert.deepEqual((await store.loadEverything()).rights.sort(byId), [kept, next].sort(byId));
    await store.setRights('person', one.id, [], rows.audit('rights.set'));
    assert.deepEqual((await store.loadEverything()).rights, [kept]);
    await rejectsWith(store.setRights('person', newId(), [], rows.audit('rights.set')), 'not-found');
    await rejectsWith(store.setRights('person', one.id, [of(two)], rows.audit('rights.set')), 'bad-input');
    assert.deepEqual((await store.loadEverything()).rights, [kept]);
  });

  contract('sign-ins and tokens come and go, and go with their person', async (store, rows) => {
    const [one, two] = [rows.person('one'), rows.person('two')];
    await store.addPerson(one, [], rows.audit('person.made'));
    await store.addPerson(two, [rows.right('person', two.id)], rows.audit('person.made'));
    const signIns = [rows.signIn(one.id), rows.signIn(two.id, { kind: 'cli' }), rows.signIn(two.id)];
    for (const signIn of signIns) await store.addSignIn(signIn, rows.audit('sign-in.made'));
    const tokens = [rows.token(one.id, { expiresAt: at + 5 }), rows.token(two.id)];
    for (const token of tokens) await store.addToken(token, [rows.right('token', token.id)], rows.audit('token.made'));
    assert.deepEqual((await store.loadEverything()).signIns.sort(byId), signIns.toSorted(byId));
    assert.deepEqual((await store.loadEverything()).tokens.sort(byId), tokens.toSorted(byId));
    await rejectsWith(store.addSignIn(rows.signIn(newId()), rows.audit('sign-in.made')), 'not-found');
    await rejectsWith(store.addToken(rows.token(one.id, { secretDigest: tokens[0]!.secretDigest }), [], rows.audit('token.made')), 'conflict', /secretDigest/);
    await store.removeSignIns([signIns[2]!.id, newId()], rows.audit('sign-in.ended'));
    assert.equal((await store.loadEverything()).signIns.length, 2);
    await store.removePerson(two.id, rows.audit('person.removed'));
    const all = await store.loadEverything();
    assert.deepEqual(all.people, [one]);
    assert.deepEqual(all.signIns, [signIns[0]!]);
    assert.deepEqual(all.tokens, [tokens[0]!]);
    assert.deepEqual(all.rights.map((right) => right.subjectId), [tokens[0]!.id]);
    await store.removeToken(tokens[0]!.id, rows.audit('token.removed'));
    assert.deepEqual((await store.loadEverything()).rights, []);
    await rejectsWith(store.removeToken(tokens[0]!.id, rows.audit('token.removed')), 'not-found');
    await rejectsWith(store.removePerson(two.id, rows.audit('person.removed')), 'not-found');
    await rejectsWith(store.changePerson(two, rows.audit('person.changed')), 'not-found');
  });
}

const byId = (a: { id: Id }, b: { id: Id }) => (a.id < b.id ? -1 : 1);

function deviceContract(contract: Contract): void {
  contract('a join token is used once, with everything that the join makes', async (store, rows) => {
    const token = rows.joinToken();
    await store.addJoinToken(token, rows.audit('join-token.made'));
    const agent = rows.agent();
    const certificate = rows.certificate(agent.id);
    const device = rows.device(agent.id, 'press-4', { serial: 'S/4', locked: true, hostHeader: 'public' });
    await rejectsWith(store.join(token.id, agent, certificate, device, rows.audit('device.joined', { at: token.expiresAt })), 'gone');
    await store.join(token.id, agent, certificate, device, rows.audit('device.joined'));
    const all = await store.loadEverything();
    assert.deepEqual(all.agents, [agent]);
    assert.deepEqual(all.agentCertificates, [certificate]);
    assert.deepEqual(all.devices, [device]);
    assert.deepEqual(all.joinTokens, [{ ...token, usedAt: at, usedByAgentId: agent.id }]);
    const again = rows.agent();
    await rejectsWith(store.join(token.id, again, rows.certificate(again.id), rows.device(again.id, 'other'), rows.audit('device.joined')), 'gone');
    await rejectsWith(store.join(newId(), again, rows.certificate(again.id), rows.device(again.id, 'other'), rows.audit('device.joined')), 'gone');
    assert.deepEqual((await store.loadEverything()).agents, [agent]);
  });

  contract('a join that fails leaves its token unused and nothing behind', async (store, rows) => {
    await joined(store, rows, 'press');
    const head = await store.auditHead();
    const token = rows.joinToken();
    await store.addJoinToken(token, rows.audit('join-token.made'));
    const before = await store.loadEverything();
    const agent = rows.agent();
    await rejectsWith(store.join(token.id, agent, rows.certificate(agent.id), rows.device(agent.id, 'press'), rows.audit('device.joined')), 'conflict', /device has this label/);
    assert.deepEqual(await store.loadEverything(), before);
    assert.equal((await store.auditHead()).seq, head.seq + 1);
    await store.removeJoinToken(token.id, rows.audit('join-token.withdrawn'));
    await rejectsWith(store.removeJoinToken(token.id, rows.audit('join-token.withdrawn')), 'not-found');
  });

  contract('of two joins with one token at the same time one wins', async (store, rows) => {
    const token = rows.joinToken();
    await store.addJoinToken(token, rows.audit('join-token.made'));
    const outcomes = await Promise.allSettled(
      ['one', 'two', 'three'].map((label) => {
        const agent = rows.agent();
        return store.join(token.id, agent, rows.certificate(agent.id), rows.device(agent.id, label), rows.audit('device.joined'));
      }),
    );
    assert.equal(outcomes.filter((outcome) => outcome.status === 'fulfilled').length, 1);
    const all = await store.loadEverything();
    assert.equal(all.agents.length, 1);
    assert.equal(all.devices.length, 1);
    assert.equal((await store.auditHead()).seq, 2);
  });

  contract('revoking an agent marks its certificates and is for ever', async (store, rows) => {
    const { agent, certificate } = await joined(store, rows, 'press');
    const other = await joined(store, rows, 'other');
    const renewed = rows.certificate(agent.id);
    await store.addAgentCertificate(renewed, rows.audit('certificate.renewed'));
    await store.changeAgent({ ...agent, state: 'locked', name: 'renamed' }, rows.audit('agent.locked'));
    assert.ok((await store.loadEverything()).agentCertificates.every((row) => row.revokedAt === null));
    await store.changeAgent({ ...agent, state: 'revoked' }, rows.audit('agent.revoked', { at: at + 7 }));
    const revokedAt = new Map((await store.loadEverything()).agentCertificates.map((row) => [row.fingerprint, row.revokedAt]));
    assert.deepEqual([revokedAt.get(certificate.fingerprint), revokedAt.get(renewed.fingerprint), revokedAt.get(other.certificate.fingerprint)], [at + 7, at + 7, null]);
    await rejectsWith(store.changeAgent({ ...agent, state: 'active' }, rows.audit('agent.unlocked')), 'conflict', /revoked for ever/);
    await rejectsWith(store.addAgentCertificate(rows.certificate(agent.id), rows.audit('certificate.renewed')), 'conflict', /revoked/);
    await rejectsWith(store.addAgentCertificate(rows.certificate(newId()), rows.audit('certificate.renewed')), 'not-found');
    await rejectsWith(store.changeAgent(rows.agent(), rows.audit('agent.locked')), 'not-found');
  });

  contract('devices change, and a former label redirects until it is used again', async (store, rows) => {
    const { agent, device } = await joined(store, rows, 'press');
    const second = rows.device(agent.id, 'second');
    await store.addDevice(second, rows.audit('device.added'));
    const changed: Device = { ...device, label: 'printer', ports: [{ number: 80, name: 'web', kind: 'http', fingerprint: null }], locked: true, hostHeader: 'public' };
    const oldLabel = { label: 'press', customerId: rows.customerId, deviceId: device.id, until: at + 9 };
    await store.changeDevice(changed, rows.audit('device.changed'), oldLabel);
    let all = await store.loadEverything();
    assert.deepEqual(all.devices.sort(byId), [changed, second].sort(byId));
    assert.deepEqual(all.oldLabels, [oldLabel]);
    await rejectsWith(store.changeDevice({ ...second, label: 'printer' }, rows.audit('device.changed')), 'conflict', /label/);
    await store.changeDevice({ ...second, label: 'press' }, rows.audit('device.changed'), { ...oldLabel, label: 'second', deviceId: second.id });
    all = await store.loadEverything();
    assert.deepEqual(all.oldLabels.map((row) => row.label), ['second']);
    await store.changeDevice(changed, rows.audit('device.changed'), { ...oldLabel, label: 'second', until: at + 99 });
    assert.deepEqual((await store.loadEverything()).oldLabels, [{ ...oldLabel, label: 'second', until: at + 99 }]);
    await rejectsWith(store.changeDevice(rows.device(agent.id, 'none'), rows.audit('device.changed')), 'not-found');
    await rejectsWith(store.addDevice(rows.device(newId(), 'orphan'), rows.audit('device.added')), 'not-found');
  });

  contract('with its last device an agent goes, and its certificates stay, revoked', async (store, rows) => {
    const { agent, certificate, device } = await joined(store, rows, 'press');
    const second = rows.device(agent.id, 'second');
    await store.addDevice(second, rows.audit('device.added'));
    await store.note({ agents: [{ agentId: agent.id, lastSeenAt: at, lastLeftWhy: null, version: '1', from: '192.0.2.1', policy: null }], signIns: [], tokens: [] });
    await store.changeDevice({ ...device, label: 'newer' }, rows.audit('device.changed'), { label: 'press', customerId: rows.customerId, deviceId: device.id, until: at });
    await store.removeDevice(device.id, rows.audit('device.removed'));
    let all = await store.loadEverything();
    assert.deepEqual(all.devices, [second]);
    assert.deepEqual(all.oldLabels, []);
    assert.deepEqual(all.agents, [agent]);
    assert.deepEqual(all.agentCertificates, [certificate]);
    await store.removeDevice(second.id, rows.audit('device.removed', { at: at + 3 }));
    all = await store.loadEverything();
    assert.deepEqual([all.devices, all.agents, all.agentNotes], [[], [], []]);
    assert.deepEqual(all.agentCertificates, [{ ...certificate, revokedAt: at + 3 }]);
    await rejectsWith(store.removeDevice(second.id, rows.audit('device.removed')), 'not-found');
  });

  contract('removing a device never widens a token that had a right on it alone', async (store, rows) => {
    const { device } = await joined(store, rows, 'press');
    const person = rows.person('ada');
    await store.addPerson(person, [], rows.audit('person.made'));
    const token = rows.token(person.id);
    const right = rows.right('token', token.id, { scopeKind: 'device', scopeId: device.id });
    await store.addToken(token, [right], rows.audit('token.made'));
    await store.removeDevice(device.id, rows.audit('device.removed'));
    assert.deepEqual((await store.loadEverything()).rights, [right]);
  });
}

function certificateContract(contract: Contract): void {
  contract('certificates come, change and go, each with its line in the audit', async (store, rows) => {
    const ready = rows.served('front');
    const acme = { directoryUrl: 'https://acme.example.test/dir', names: { dns: ['*.gw.example.test'], ip: [] }, keyKind: 'ec-p256', challenge: 'dns-01', dns: { way: 'rfc2136', port: 53, isTried: false, note: null } } as const;
    const waiting = rows.served('ordered', {
      source: 'acme', state: 'waiting', enabled: false, keyFingerprint: null, chainPem: null, certificateFingerprint: null, issuer: null, notBefore: null, notAfter: null, csrPem: 'csr', csrKeyFingerprint: 'f', acme,
    });
    await store.addCertificate(ready, rows.audit('certificate.added'));
    await store.addCertificate(waiting, rows.audit('certificate.added'));
    assert.deepEqual((await store.loadEverything()).certificates.sort(byId), [ready, waiting].sort(byId));
    await rejectsWith(store.addCertificate(rows.served('front'), rows.audit('certificate.added')), 'conflict', /certificate has this name/);
    await rejectsWith(store.changeCertificate({ ...waiting, name: 'front' }, rows.audit('certificate.changed')), 'conflict', /name/);
    const changed: Certificate = { ...ready, enabled: false, names: { dns: [], ip: [] }, previousChainPem: ready.chainPem, previousKeyFingerprint: ready.keyFingerprint, keyFingerprint: 'new', renewedAt: at + 4 };
    await store.changeCertificate(changed, rows.audit('certificate.changed'));
    assert.deepEqual((await store.loadEverything()).certificates.find((row) => row.id === ready.id), changed);
    await store.noteCertificateAttempt({ id: waiting.id, lastTriedAt: at + 5, lastError: 'no such name' });
    await store.removeCertificate(ready.id, rows.audit('certificate.removed'));
    assert.deepEqual((await store.loadEverything()).certificates, [{ ...waiting, lastTriedAt: at + 5, lastError: 'no such name' }]);
    await store.noteCertificateAttempt({ id: ready.id, lastTriedAt: at, lastError: null });
    await rejectsWith(store.removeCertificate(ready.id, rows.audit('certificate.removed')), 'not-found');
    await rejectsWith(store.changeCertificate(ready, rows.audit('certificate.changed')), 'not-found');
    assert.equal((await store.auditHead()).seq, 4);
  });
}

function deliveryContract(contract: Contract): void {
  const delivery = (rows: Rows, certificateId: Id, agentId: Id, asName: string): Delivery => ({
    id: newId(), customerId: rows.customerId, certificateId, agentId, asName, state: 'pending', digest: null, deliveredAt: null, triedAt: null, why: null, exitCode: null, output: null, createdAt: at,
  });
  contract('what agents put in place is kept, and goes with certificate, agent and revocation', async (store, rows) => {
    const [front, back] = [rows.served('front'), rows.served('back')];
    await store.addCertificate(front, rows.audit('certificate.added'));
    await store.addCertificate(back, rows.audit('certificate.added'));
    const [first, second, third] = [await joined(store, rows, 'one'), await joined(store, rows, 'two'), await joined(store, rows, 'three')];
    const all = [delivery(rows, front.id, first.agent.id, 'web'), delivery(rows, back.id, first.agent.id, 'mail'), delivery(rows, back.id, second.agent.id, 'web'), delivery(rows, back.id, third.agent.id, 'web')] as const;
    for (const each of all) await store.addDelivery(each, rows.audit('delivery.added'));
    const kept = async () => (await store.loadEverything()).deliveries.sort(byId);
    assert.deepEqual(await kept(), [...all].sort(byId));
    await rejectsWith(store.addDelivery(delivery(rows, back.id, first.agent.id, 'web'), rows.audit('delivery.added')), 'conflict', /delivery has this asName/);
    await rejectsWith(store.addDelivery(delivery(rows, back.id, newId(), 'web'), rows.audit('delivery.added')), 'not-found');
    const changed: Delivery = { ...all[0], state: 'failed', digest: 'd', deliveredAt: at + 1, triedAt: at + 2, why: 'no', exitCode: 3, output: 'one\ntwo' };
    await store.changeDelivery(changed, rows.audit('delivery.failed'));
    assert.deepEqual(await kept(), [changed, ...all.slice(1)].sort(byId));
    await store.removeCertificate(front.id, rows.audit('certificate.removed'));
    assert.deepEqual(await kept(), all.slice(1).sort(byId));
    await rejectsWith(store.changeDelivery(changed, rows.audit('delivery.failed')), 'not-found');
    await store.changeAgent({ ...first.agent, state: 'locked' }, rows.audit('agent.locked'));
    assert.equal((await kept()).length, 3);
    await store.changeAgent({ ...first.agent, state: 'revoked' }, rows.audit('agent.revoked'));
    assert.deepEqual(await kept(), all.slice(2).sort(byId));
    await rejectsWith(store.addDelivery(delivery(rows, back.id, first.agent.id, 'x'), rows.audit('delivery.added')), 'conflict', /revoked/);
    await store.removeDevice(second.device.id, rows.audit('device.removed'));
    assert.deepEqual(await kept(), [all[3]]);
    await store.removeDelivery(all[3].id, rows.audit('delivery.removed'));
    await rejectsWith(store.removeDelivery(all[3].id, rows.audit('delivery.removed')), 'not-found');
    assert.deepEqual(await kept(), []);
  });
}

function redirectContract(contract: Contract): void {
  contract('tags of a device are replaced whole, and go with it', async (store, rows) => {
    const { device } = await joined(store, rows, 'one');
    const kept = async () => (await store.loadEverything()).deviceTags;
    const tags = (...all: string[]) => ({ deviceId: device.id, customerId: rows.customerId, tags: all });
    await store.setDeviceTags(tags('alpha', 'beta'), rows.audit('device.tagged'));
    assert.deepEqual(await kept(), [tags('alpha', 'beta')]);
    await store.setDeviceTags(tags('gamma'), rows.audit('device.tagged'));
    assert.deepEqual(await kept(), [tags('gamma')]);
    await store.setDeviceTags(tags(), rows.audit('device.tagged'));
    assert.deepEqual(await kept(), []);
    await store.setDeviceTags(tags('x'), rows.audit('device.tagged'));
    await store.removeDevice(device.id, rows.audit('device.removed'));
    assert.deepEqual(await kept(), []);
    const lines = (await store.auditHead()).seq;
    await rejectsWith(store.setDeviceTags(tags('x'), rows.audit('device.tagged')), 'not-found');
    assert.equal((await store.auditHead()).seq, lines, 'what did not happen is not in the audit');
  });

  contract('a customer is suspended once, and resumed once', async (store, rows) => {
    const suspension = { customerId: rows.customerId, since: at, why: 'unpaid' };
    await rejectsWith(store.resumeCustomer(rows.customerId, rows.audit('customer.resumed')), 'not-found');
    await store.suspendCustomer(suspension, rows.audit('customer.suspended'));
    assert.deepEqual((await store.loadEverything()).suspensions, [suspension]);
    await rejectsWith(store.suspendCustomer({ ...suspension, why: 'again' }, rows.audit('customer.suspended')), 'conflict');
    await store.resumeCustomer(rows.customerId, rows.audit('customer.resumed'));
    assert.deepEqual((await store.loadEverything()).suspensions, []);
  });

  contract('leases are put over what was there, and end', async (store, rows) => {
    const lease = (serial: string, server: string) => ({ customerId: rows.customerId, serial, server, rule: 'r', givenAt: at, until: at + 60_000 });
    const kept = async () => (await store.loadEverything()).leases.sort((a, b) => (a.serial < b.serial ? -1 : 1));
    await store.noteLeases([lease('SN1', 'a'), lease('SN 2', 'a'), lease('SÑ3', 'b')], []);
    await store.noteLeases([lease('SN1', 'b')], [lease('SN 2', 'a'), { customerId: rows.customerId, serial: 'never' }]);
    assert.deepEqual(await kept(), [lease('SN1', 'b'), lease('SÑ3', 'b')]);
    await store.noteLeases([], []);
    assert.equal((await kept()).length, 2);
  });
}

function recordContract(contract: Contract): void {
  contract('a provisional revision is confirmed once, or rolled back by the next one', async (store, rows) => {
    const revision = (number: number, confirmBy: number | null) => ({ number, at, actor: anna, config: { number }, summary: null, restores: null, confirmBy, settled: null });
    const settled = async () => (await store.listRevisions(10)).map((row) => [row.number, row.confirmBy, row.settled]);
    await store.addRevision(revision(1, null), rows.audit('config.changed'));
    await rejectsWith(store.confirmRevision(1, rows.audit('config.confirmed')), 'conflict');
    await store.addRevision(revision(2, at + 5), rows.audit('config.changed'));
    await rejectsWith(store.confirmRevision(1, rows.audit('config.confirmed')), 'conflict');
    assert.equal((await store.latestRevision())?.confirmBy, at + 5);
    await store.confirmRevision(2, rows.audit('config.confirmed'));
    await rejectsWith(store.confirmRevision(2, rows.audit('config.confirmed')), 'conflict');
    await store.addRevision(revision(3, at + 9), rows.audit('config.changed'));
    await store.addRevision({ ...revision(4, null), restores: 2 }, rows.audit('config.rolled-back'));
    assert.deepEqual(await settled(), [[4, null, null], [3, at + 9, 'rolled-back'], [2, at + 5, 'confirmed'], [1, null, null]]);
    assert.equal((await store.readRevision(4))?.restores, 2);
    assert.equal((await store.auditHead()).seq, 5);
  });

  contract('revisions count up by one, and one of two at the same time wins', async (store, rows) => {
    const marks = { summary: 'a line', restores: null, confirmBy: null, settled: null };
    const revision = (number: number, config: unknown = { number }) => ({ number, at, actor: anna, config, ...marks });
    await rejectsWith(store.addRevision(revision(2), rows.audit('config.changed')), 'conflict');
    const config = { routes: [{ host: 'ö.example.test', n: 1.5, deep: [null, true, { ['__proto__']: 1 }] }] };
    await store.addRevision(revision(1, config), rows.audit('config.changed'));
    assert.deepEqual(await store.latestRevision(), revision(1, config));
    const outcomes = await Promise.allSettled([1, 2, 3].map((n) => store.addRevision(revision(2, n), rows.audit('config.changed'))));
    assert.deepEqual(outcomes.map((outcome) => outcome.status), ['fulfilled', 'rejected', 'rejected']);
    assert.deepEqual(await store.latestRevision(), revision(2, 1));
    await rejectsWith(store.addRevision(revision(1), rows.audit('config.changed')), 'conflict', /at revision 2/);
    assert.deepEqual(await store.listRevisions(10), [2, 1].map((number) => ({ number, at, actor: anna, ...marks })));
    assert.deepEqual((await store.listRevisions(10, 2)).map((row) => row.number), [1]);
    assert.deepEqual(await store.readRevision(1), revision(1, config));
    assert.equal(await store.readRevision(3), null);
    assert.deepEqual((await store.listRevisions(1)).map((row) => row.number), [2]);
    assert.equal((await store.auditHead()).seq, 2);
  });

  contract('visits open and close with their figures, and are listed newest first', async (store, rows) => {
    const deviceId = newId();
    const visits = [rows.visit({ deviceId }), rows.visit({ kind: 'tcp' }), rows.visit({ deviceId })];
    for (const visit of visits) await store.openVisit(visit, rows.audit('visit.opened', { subjectId: visit.id }));
    assert.deepEqual(await store.listVisits({ limit: 10 }), visits.toReversed());
    const closed = visits.slice(0, 2).map((visit): Visit => ({ ...visit, closedAt: at + 60_000, requests: 12, bytesIn: 3_000, bytesOut: 2 ** 40, why: 'idle' }));
    await store.closeVisits(closed.map((visit) => ({ visit, audit: rows.audit('visit.closed', { subjectId: visit.id }) })));
    assert.deepEqual(await store.listVisits({ limit: 10 }), [visits[2], closed[1], closed[0]]);
    assert.deepEqual(await store.listVisits({ limit: 10, deviceId }), [visits[2], closed[0]]);
    assert.deepEqual(await store.listVisits({ limit: 10, beforeId: visits[2]!.id }), [closed[1], closed[0]]);
    assert.deepEqual(await store.listVisits({ limit: 1, deviceId }), [visits[2]]);
    assert.deepEqual((await store.listAudit({ limit: 9, what: 'visit.closed' })).map((line) => line.subjectId), [closed[1]!.id, closed[0]!.id]);
    await rejectsWith(store.openVisit(visits[0]!, rows.audit('visit.opened')), 'conflict', /visit has this id/);
  });

  contract('closing a visit whose opening is unknown keeps its figures, and the others close with it', async (store, rows) => {
    const known = rows.visit();
    await store.openVisit(known, rows.audit('visit.opened'));
    const unknown = rows.visit({ closedAt: at, why: 'closed', bytesIn: 5 });
    const closed = { ...known, closedAt: at, why: 'closed' };
    await store.closeVisits([unknown, closed].map((visit) => ({ visit, audit: rows.audit('visit.closed') })));
    assert.deepEqual(await store.listVisits({ limit: 9 }), [unknown, closed]);
    assert.equal((await store.auditHead()).seq, 3);
  });

  contract('visits that a crash left open are closed, each with a line in the audit', async (store, rows) => {
    const [open, closed, also] = [rows.visit(), rows.visit({ closedAt: at, why: 'left' }), rows.visit({ port: 22, kind: 'tcp' })];
    for (const visit of [open, closed, also]) await store.openVisit(visit, rows.audit('visit.opened'));
    assert.equal(await store.closeLeftOpenVisits(at + 5, 'gateway crashed'), 2);
    assert.deepEqual((await store.listVisits({ limit: 9 })).map((visit) => [visit.id, visit.closedAt, visit.why]), [
      [also.id, at + 5, 'gateway crashed'],
      [closed.id, at, 'left'],
      [open.id, at + 5, 'gateway crashed'],
    ]);
    const lines = await store.listAudit({ limit: 2 });
    assert.deepEqual(lines.map((line) => [line.what, line.subjectId, line.detail['why'], line.detail['port']]), [
      ['visit.closed', also.deviceId, 'gateway crashed', 22],
      ['visit.closed', open.deviceId, 'gateway crashed', 443],
    ]);
    assert.equal(await store.closeLeftOpenVisits(at + 6, 'again'), 0);
    assert.equal((await store.auditHead()).seq, 5);
  });

  contract('notes are overwritten, without a line in the audit; what is gone is passed over', async (store, rows) => {
    const { agent } = await joined(store, rows, 'press');
    const person = rows.person('ada');
    await store.addPerson(person, [], rows.audit('person.made'));
    const [signIn, token] = [rows.signIn(person.id), rows.token(person.id)];
    await store.addSignIn(signIn, rows.audit('sign-in.made'));
    await store.addToken(token, [], rows.audit('token.made'));
    const head = await store.auditHead();
    const first = { agentId: agent.id, lastSeenAt: at, lastLeftWhy: null, version: '0.1.0', from: '192.0.2.9', policy: '{"reach":[]}' };
    await store.note({ agents: [first, { ...first, agentId: newId() }], signIns: [{ id: newId(), at }], tokens: [] });
    assert.deepEqual((await store.loadEverything()).agentNotes, [first]);
    const next = { ...first, lastLeftWhy: 'network', lastSeenAt: null };
    await store.note({ agents: [next], signIns: [{ id: signIn.id, at: at + 1 }], tokens: [{ id: token.id, at: at + 2 }] });
    const all = await store.loadEverything();
    assert.deepEqual(all.agentNotes, [next]);
    assert.equal(all.signIns[0]!.lastUsedAt, at + 1);
    assert.equal(all.tokens[0]!.lastUsedAt, at + 2);
    assert.deepEqual(await store.auditHead(), head);
  });
}

function auditContract(contract: Contract): void {
  contract('lines are numbered, chained, and listed newest first by what, who and whom', async (store, rows) => {
    const [who, whom] = [newId(), newId()];
    const entries = [
      rows.audit('a.one', { detail: { text: 'ü "quoted"\n', n: -1.5, yes: true, nothing: null, 10: 1, 9: 2 } }),
      rows.audit('a.two', { actor: { kind: 'token', id: who, name: 'anna/ci', from: '2001:db8::1' }, subjectName: 'half \ud83d, nul \u0000' }),
      rows.audit('a.one', { subjectId: whom }),
    ];
    await store.addAudit(entries.slice(0, 2));
    await store.addAudit([]);
    await store.addAudit(entries.slice(2));
    const lines = (await store.listAudit({ limit: 10 })).toReversed();
    let head = emptyAuditHead;
    for (const [i, line] of lines.entries()) {
      assert.equal(verifyLine(head, line), null);
      assert.deepEqual(line, chainLine(head, entries[i]!));
      head = { seq: line.seq, hash: line.hash };
    }
    assert.deepEqual(await store.auditHead(), head);
    assert.deepEqual(await store.verifyAudit(), { lines: 3, brokenAt: null, why: null });
    const seqs = async (query: Parameters<Operations['listAudit']>[0]) => (await store.listAudit(query)).map((line) => line.seq);
    assert.deepEqual(await seqs({ limit: 10, what: 'a.one' }), [3, 1]);
    assert.deepEqual(await seqs({ limit: 10, what: 'a.one', beforeSeq: 3 }), [1]);
    assert.deepEqual(await seqs({ limit: 10, actorId: who }), [2]);
    assert.deepEqual(await seqs({ limit: 10, subjectId: whom }), [3]);
    assert.deepEqual(await seqs({ limit: 2 }), [3, 2]);
    assert.deepEqual(await seqs({ limit: 0 }), []);
  });

  contract('an operation that fails leaves no line, also when it shares its moment with others', async (store, rows) => {
    const person = rows.person('ada');
    const outcomes = await Promise.allSettled([
      store.addPerson(person, [], rows.audit('person.made')),
      store.addPerson(rows.person('ADA'), [], rows.audit('person.refused')),
      store.addAudit([rows.audit('between')]),
      store.removePerson(newId(), rows.audit('person.refused')),
      store.addPerson(rows.person('bert'), [rows.right('person', person.id), { ...rows.right('person', person.id), id: person.id }], rows.audit('person.made')),
    ]);
    assert.deepEqual(outcomes.map((outcome) => outcome.status), ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled']);
    assert.deepEqual((await store.listAudit({ limit: 9 })).map((line) => line.what), ['person.made', 'between', 'person.made']);
    assert.deepEqual(await store.verifyAudit(), { lines: 3, brokenAt: null, why: null });
  });

  contract('many operations at once all happen, in one chain', async (store, rows) => {
    const people = Array.from({ length: 300 }, (_, i) => rows.person(`p${i}`));
    const reads: Promise<Everything>[] = [];
    await Promise.all(people.map((person, i) => {
      if (i % 50 === 0) reads.push(store.loadEverything());
      return store.addPerson(person, [rows.right('person', person.id)], rows.audit('person.made', { subjectId: person.id }));
    }));
    for (const all of await Promise.all(reads)) {
      const known = new Set(all.people.map((person) => person.id));
      assert.ok(all.rights.every((right) => known.has(right.subjectId)) && all.rights.length === known.size, 'a read is of one moment');
    }
    assert.equal((await store.loadEverything()).people.length, 300);
    assert.deepEqual(await store.verifyAudit(), { lines: 300, brokenAt: null, why: null });
  });

  contract('what resolved is there for the next read', async (store, rows) => {
    for (let i = 1; i <= 20; i += 1) {
      await store.addAudit([rows.audit(`n.${i}`)]);
      assert.equal((await store.listAudit({ limit: 1 }))[0]?.what, `n.${i}`);
    }
  });
}
