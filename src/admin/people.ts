// People, their rights, and invitations to become one.
import type { Grant } from '#api/shapes.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { digestOf, newSecret } from '#base/secret.ts';
import { mayDo, subjectOfScope } from '#model/rights.ts';
import type { Invite, Person, Right } from '#model/rows.ts';
import { auditOf, may, mustMay, visitorOf, type Acts, type Anyone } from './asked.ts';
import { byId, byName, keepSorted, pageOf } from './pages.ts';
import { checkPassword } from './password.ts';
import { cutVisitsWithoutRight, type Room } from './room.ts';
import { codeKeys, mustKeepCookies, signBrowserIn, signInsOf } from './sign-in.ts';
import { scopeName, viewInvite, viewPerson } from './views.ts';

const sameGrant = (a: Grant, b: Grant) => a.action === b.action && a.scopeKind === b.scopeKind && a.scopeId === b.scopeId;

/** Rights that exist, once each. Fault `bad-input` names the place of one whose thing does not. */
export function checkGrants(room: Pick<Room, 'tables'>, grants: readonly Grant[], path: string): Grant[] {
  const problems = grants.flatMap((grant, i) => (subjectOfScope(room.tables, grant) ? [] : [{ path: `${path}.${i}.scopeId`, message: `there is no such ${grant.scopeKind}` }]));
  if (problems.length > 0) throw new Fault('bad-input', `${problems.length} of the rights are about things that do not exist`, { detail: { problems } });
  return grants.filter((grant, i) => grants.findIndex((other) => sameGrant(other, grant)) === i);
}

/** Nobody gives or takes what they do not administer themselves; things that were removed since concern nobody. */
function mustAdministerAll(room: Room, asked: Anyone, grants: readonly Grant[], what: string): void {
  for (const grant of grants) {
    const subject = subjectOfScope(room.tables, grant);
    if (subject && !may(asked, 'administer', subject)) throw new Fault('forbidden', `you may not ${what}: it concerns ${scopeName(room.tables, grant)}, which you do not administer`);
  }
}

function toRights(room: Room, customerId: Id, subjectKind: Right['subjectKind'], subjectId: Id, grants: readonly Grant[]): Right[] {
  return grants.map(({ action, scopeKind, scopeId }) => ({ id: room.newId(), customerId, subjectKind, subjectId, action, scopeKind, scopeId }));
}

const grantsText = (room: Room, grants: readonly Grant[]) => grants.map((grant) => `${grant.action} ${scopeName(room.tables, grant)}`).join(', ').slice(0, 1_000);
const isOwner = (grant: Grant) => grant.action === 'administer' && grant.scopeKind === 'gateway';

function buildPeopleChanges(room: Room) {
  const { tables, operations } = room;
  const personFor = (asked: Anyone, id: Id): Person => {
    const person = tables.people.get(id);
    const visible = person && (person.id === visitorOf(asked).person.id || may(asked, 'administer', { customerId: person.customerId }));
    if (!visible) throw new Fault('not-found', 'there is no such person, or not any more');
    return person;
  };
  /** Who may be changed: somebody else, of a customer that I administer, who holds no right beyond what I administer. */
  const changeable = (asked: Anyone, id: Id, what: string): Person => {
    const person = personFor(asked, id);
    if (person.id === visitorOf(asked).person.id) throw new Fault('forbidden', `you cannot ${what} yourself`, { remedy: 'ask another person who administers the gateway' });
    mustMay(asked, 'administer', { customerId: person.customerId }, `${what} this person`);
    mustAdministerAll(room, asked, tables.rightsOf('person', id), `${what} this person`);
    return person;
  };
  const subjectOf = (person: Person) => ({ customerId: person.customerId, kind: 'person', id: person.id, name: person.login });
  const tokensOf = (personId: Id) => [...tables.tokens.values()].filter((row) => row.personId === personId);
  return {
    personFor,
    view: (asked: Anyone, person: Person) => viewPerson(tables, person, { signIns: signInsOf(room, person.id), tokens: tokensOf(person.id) }, visitorOf(asked).person.id),
    async setLocked(asked: Anyone, id: Id, locked: boolean): Promise<Person> {
      const person = changeable(asked, id, locked ? 'lock' : 'unlock');
      if (person.locked === locked) return person;
      const changed = { ...person, locked };
      await operations.changePerson(changed, auditOf(room, asked, locked ? 'person.locked' : 'person.unlocked', subjectOf(person)));
      tables.people.publish({ put: [changed] });
      if (locked) {
        room.closeFor('person', id, 'the person was locked');
        cutVisitsWithoutRight(room, id, 'the person was locked');
      }
      return changed;
    },
    async remove(asked: Anyone, id: Id): Promise<void> {
      const person = changeable(asked, id, 'remove');
      const tokens = tokensOf(id);
      const rights = [...tables.rightsOf('person', id), ...tokens.flatMap((token) => tables.rightsOf('token', token.id))];
      await operations.removePerson(id, auditOf(room, asked, 'person.removed', subjectOf(person)));
      // While tokens are still there their visits are found by them.
      tables.people.publish({ removed: [id] });
      cutVisitsWithoutRight(room, id, 'the person was removed');
      tables.signIns.publish({ removed: signInsOf(room, id).map((row) => row.id) });
      tables.tokens.publish({ removed: tokens.map((row) => row.id) });
      tables.rights.publish({ removed: rights.map((row) => row.id) });
      room.closeFor('person', id, 'the person was removed');
    },
    async setRights(asked: Anyone, id: Id, wanted: readonly Grant[]): Promise<Person> {
      const person = personFor(asked, id);
      mustMay(asked, 'administer', { customerId: person.customerId }, "change this person's rights");
      const grants = checkGrants(room, wanted, 'rights');
      const before = tables.rightsOf('person', id);
      const changedOnes = [...before.filter((held) => !grants.some((grant) => sameGrant(grant, held))), ...grants.filter((grant) => !before.some((held) => sameGrant(held, grant)))];
      mustAdministerAll(room, asked, changedOnes, "change this person's rights");
      if (person.id === visitorOf(asked).person.id && before.some(isOwner) && !grants.some(isOwner)) {
        throw new Fault('forbidden', 'you cannot give up your own right to administer the gateway', { remedy: 'ask another person who administers it: so somebody always does' });
      }
      const rights = toRights(room, person.customerId, 'person', id, grants);
      await operations.setRights('person', id, rights, auditOf(room, asked, 'person.rights-changed', subjectOf(person), { before: grantsText(room, before), after: grantsText(room, grants) }));
      tables.rights.publish({ removed: before.map((right) => right.id), put: rights });
      cutVisitsWithoutRight(room, id, 'the right was taken away');
      return person;
    },
  };
}

type PeopleNames = 'listPeople' | 'getPerson' | 'lockPerson' | 'unlockPerson' | 'removePerson' | 'setRights';

export function buildPeopleActs(room: Room): Acts<PeopleNames> {
  const { tables } = room;
  const changes = buildPeopleChanges(room);
  const order = { keyOf: byName };
  const people = keepSorted(tables.people, order);
  return {
    listPeople(asked) {
      const search = asked.query.search?.toLowerCase() ?? '';
      const me = visitorOf(asked).person.id;
      const wanted = (row: Person) => (row.id === me || may(asked, 'administer', { customerId: row.customerId })) && (row.name.toLowerCase().includes(search) || row.login.toLowerCase().includes(search));
      const signIns = Map.groupBy(tables.signIns.values(), (row) => row.personId);
      const tokens = Map.groupBy(tables.tokens.values(), (row) => row.personId);
      return pageOf(people(), order, asked.query, wanted, (row) => viewPerson(tables, row, { signIns: signIns.get(row.id) ?? [], tokens: tokens.get(row.id) ?? [] }, me));
    },
    getPerson: (asked) => changes.view(asked, changes.personFor(asked, asked.params.id)),
    lockPerson: (asked) => room.inTurn(async () => changes.view(asked, await changes.setLocked(asked, asked.params.id, true))),
    unlockPerson: (asked) => room.inTurn(async () => changes.view(asked, await changes.setLocked(asked, asked.params.id, false))),
    removePerson: (asked) =>
      room.inTurn(async () => {
        await changes.remove(asked, asked.params.id);
        return {};
      }),
    setRights: (asked) => room.inTurn(async () => changes.view(asked, await changes.setRights(asked, asked.params.id, asked.body.rights))),
  };
}

/** A waiting invite whose giver may still give all of it; else the Fault that a guest should see. */
function openInvite(room: Room, code: string): Invite {
  const { tables, clock } = room;
  const invite = tables.inviteByDigest(digestOf(code));
  if (!invite) throw new Fault('not-found', 'this invitation is not known here', { remedy: 'check that the address is whole, or ask for a new one' });
  if (invite.usedAt !== null) throw new Fault('gone', 'this invitation was used already', { remedy: 'sign in, or ask for a new one' });
  const giver = tables.people.get(invite.createdBy);
  const held = giver && !giver.locked ? tables.rightsOf('person', giver.id) : [];
  const good = invite.rights.every((grant) => {
    const subject = subjectOfScope(tables, grant);
    return subject !== undefined && mayDo(held, null, 'administer', subject);
  });
  if (clock.nowMs() >= invite.expiresAt || !good) throw new Fault('gone', 'this invitation has expired', { remedy: 'ask for a new one' });
  return invite;
}

type InviteNames = 'listInvites' | 'createInvite' | 'removeInvite' | 'lookInvite' | 'acceptInvite';

export function buildInviteActs(room: Room): Acts<InviteNames> {
  const { tables, operations, clock, limits } = room;
  const order = { keyOf: byId, newestFirst: true };
  const invites = keepSorted(tables.invites, order);
  const mayLook = (asked: Anyone, invite: Invite) => invite.createdBy === visitorOf(asked).person.id || may(asked, 'administer', { customerId: invite.customerId });
  return {
    listInvites: (asked) => pageOf(invites(), order, asked.query, (row) => mayLook(asked, row), (row) => viewInvite(tables, row, clock.nowMs())),
    async createInvite(asked) {
      const { person } = visitorOf(asked);
      const customerId = asked.body.customerId ?? person.customerId;
      if (!tables.customers.get(customerId)) throw new Fault('bad-input', 'there is no such customer', { detail: { problems: [{ path: 'customerId', message: 'is no customer' }] } });
      if (customerId !== person.customerId) mustMay(asked, 'administer', { customerId }, 'invite people of this customer');
      const grants = checkGrants(room, asked.body.rights, 'rights');
      mustAdministerAll(room, asked, grants, 'invite somebody with these rights');
      const code = newSecret(room.random);
      const now = clock.nowMs();
      const invite: Invite = { id: room.newId(), customerId, codeDigest: digestOf(code), name: asked.body.name, rights: grants, createdBy: person.id, createdAt: now, expiresAt: now + limits.inviteMs, usedAt: null };
      await room.inTurn(async () => {
        await operations.addInvite(invite, auditOf(room, asked, 'person.invited', { customerId, kind: 'invite', id: invite.id, name: invite.name }, { rights: grantsText(room, grants) }));
        tables.invites.publish({ put: [invite] });
      });
      return { invite: viewInvite(tables, invite, now), address: `${room.addresses(asked).console}/#/invite/${code}` };
    },
    removeInvite: (asked) =>
      room.inTurn(async () => {
        const invite = tables.invites.get(asked.params.id);
        if (!invite || !mayLook(asked, invite)) throw new Fault('not-found', 'there is no such invitation, or not any more');
        await operations.removeInvite(invite.id, auditOf(room, asked, 'invite.removed', { customerId: invite.customerId, kind: 'invite', id: invite.id, name: invite.name }));
        tables.invites.publish({ removed: [invite.id] });
        return {};
      }),
    lookInvite(asked) {
      room.throttle.attempt(codeKeys(room, 'invite-look', asked.countedAs));
      const invite = openInvite(room, asked.body.code);
      room.throttle.succeeded(codeKeys(room, 'invite-look', asked.countedAs));
      return {
        name: invite.name,
        invitedBy: tables.people.get(invite.createdBy)!.name,
        rights: invite.rights.map((grant) => ({ action: grant.action, scopeName: scopeName(tables, grant) })),
        expiresAt: invite.expiresAt,
        passwordCharsMin: limits.passwordCharsMin,
      };
    },
    async acceptInvite(asked) {
      const { code, login, name, password } = asked.body;
      mustKeepCookies(asked);
      const keys = codeKeys(room, 'invite', asked.countedAs);
      room.throttle.attempt(keys);
      openInvite(room, code);
      checkPassword(password, login, limits);
      const passwordHash = await room.passwords.hash(password);
      const person = await room.inTurn(async () => {
        const invite = openInvite(room, code);
        if (tables.personByLogin(login)) throw new Fault('conflict', 'somebody has this login already', { remedy: 'choose another one', detail: { problems: [{ path: 'login', message: 'is taken' }] } });
        const { customerId } = invite;
        const added: Person = { id: room.newId(), customerId, login, name, passwordHash, locked: false, createdAt: clock.nowMs() };
        const rights = toRights(room, customerId, 'person', added.id, invite.rights);
        const audit = auditOf(room, asked, 'person.joined', { customerId, kind: 'person', id: added.id, name: login }, { inviteId: invite.id, rights: grantsText(room, invite.rights) });
        await operations.addPerson(added, rights, { ...audit, actor: { kind: 'person', id: added.id, name: login, from: asked.from } }, invite.id);
        tables.people.publish({ put: [added] });
        tables.rights.publish({ put: rights });
        tables.invites.publish({ put: [{ ...invite, usedAt: audit.at }] });
        return added;
      });
      room.throttle.succeeded(keys);
      return await signBrowserIn(room, asked, person);
    },
  };
}
