// Writing operations about people: accounts, rights, invites, sign-ins, tokens.
import type { Id } from '#base/ids.ts';
import { Fault } from '#base/fault.ts';
import type { AuditEntry, Invite, Person, Right, SignIn, Token } from '#model/rows.ts';
import { codecs } from './schema.ts';
import { appendAudit, mustTouch, type Unit } from './unit.ts';

const storePerson = (person: Person) => ({ ...codecs.person.store(person), loginKey: person.login.toLowerCase() });

async function insertRights(unit: Unit, rights: readonly Right[]): Promise<void> {
  for (const right of rights) await unit.db.insertInto('accessRight').values(codecs.accessRight.store(right)).execute();
}

async function removeRights(unit: Unit, subjectKind: 'person' | 'token', subjectIds: readonly Id[]): Promise<void> {
  for (const subjectId of subjectIds) await unit.db.deleteFrom('accessRight').where('subjectKind', '=', subjectKind).where('subjectId', '=', subjectId).execute();
}

async function useInvite(unit: Unit, inviteId: Id, at: number): Promise<void> {
  const used = await unit.db.updateTable('invite').set({ usedAt: at }).where('id', '=', inviteId).where('usedAt', 'is', null).where('expiresAt', '>', at).executeTakeFirst();
  if (used.numUpdatedRows === 0n) throw new Fault('gone', 'this invitation was used, withdrawn or has expired', { remedy: 'ask for a new invitation' });
}

export const peopleWrites = {
  async addPerson(unit: Unit, person: Person, rights: readonly Right[], audit: AuditEntry, usedInviteId?: Id): Promise<void> {
    if (usedInviteId !== undefined) await useInvite(unit, usedInviteId, audit.at);
    await unit.db.insertInto('person').values(storePerson(person)).execute();
    await insertRights(unit, rights);
    await appendAudit(unit, audit);
  },

  async addOwner(unit: Unit, person: Person, rights: readonly Right[], audit: AuditEntry): Promise<void> {
    const anyone = await unit.db.selectFrom('person').select('id').limit(1).executeTakeFirst();
    if (anyone) throw new Fault('conflict', 'this gateway has an owner already', { remedy: 'sign in, or ask the owner for an invitation' });
    await unit.db.insertInto('person').values(storePerson(person)).execute();
    await insertRights(unit, rights);
    await appendAudit(unit, audit);
  },

  async changePerson(unit: Unit, person: Person, audit: AuditEntry): Promise<void> {
    const { id, createdAt: _, ...changed } = storePerson(person);
    mustTouch(await unit.db.updateTable('person').set(changed).where('id', '=', id).executeTakeFirst(), `person ${id}`);
    await appendAudit(unit, audit);
  },

  async removePerson(unit: Unit, personId: Id, audit: AuditEntry): Promise<void> {
    const tokens = await unit.db.selectFrom('token').select('id').where('personId', '=', personId).execute();
    await removeRights(unit, 'token', tokens.map((token) => token.id));
    await removeRights(unit, 'person', [personId]);
    // Sign-ins and tokens go with the person's row.
    mustTouch(await unit.db.deleteFrom('person').where('id', '=', personId).executeTakeFirst(), `person ${personId}`);
    await appendAudit(unit, audit);
  },

  async setRights(unit: Unit, subjectKind: 'person' | 'token', subjectId: Id, rights: readonly Right[], audit: AuditEntry): Promise<void> {
    const subject = await unit.db.selectFrom(subjectKind).select('id').where('id', '=', subjectId).executeTakeFirst();
    if (!subject) throw new Fault('not-found', `${subjectKind} ${subjectId} does not exist, or not any more`);
    if (rights.some((right) => right.subjectKind !== subjectKind || right.subjectId !== subjectId)) throw new Fault('bad-input', `a right names another subject than ${subjectKind} ${subjectId}`);
    await removeRights(unit, subjectKind, [subjectId]);
    await insertRights(unit, rights);
    await appendAudit(unit, audit);
  },

  async addInvite(unit: Unit, invite: Invite, audit: AuditEntry): Promise<void> {
    await unit.db.insertInto('invite').values(codecs.invite.store(invite)).execute();
    await appendAudit(unit, audit);
  },

  async removeInvite(unit: Unit, inviteId: Id, audit: AuditEntry): Promise<void> {
    mustTouch(await unit.db.deleteFrom('invite').where('id', '=', inviteId).executeTakeFirst(), `invitation ${inviteId}`);
    await appendAudit(unit, audit);
  },

  async addSignIn(unit: Unit, signIn: SignIn, audit: AuditEntry): Promise<void> {
    await unit.db.insertInto('signIn').values(codecs.signIn.store(signIn)).execute();
    await appendAudit(unit, audit);
  },

  /** Ids that are gone already are passed over: signing out twice is no failure. */
  async removeSignIns(unit: Unit, ids: readonly Id[], audit: AuditEntry): Promise<void> {
    for (const id of ids) await unit.db.deleteFrom('signIn').where('id', '=', id).execute();
    await appendAudit(unit, audit);
  },

  async addToken(unit: Unit, token: Token, rights: readonly Right[], audit: AuditEntry): Promise<void> {
    await unit.db.insertInto('token').values(codecs.token.store(token)).execute();
    await insertRights(unit, rights);
    await appendAudit(unit, audit);
  },

  async removeToken(unit: Unit, tokenId: Id, audit: AuditEntry): Promise<void> {
    await removeRights(unit, 'token', [tokenId]);
    mustTouch(await unit.db.deleteFrom('token').where('id', '=', tokenId).executeTakeFirst(), `token ${tokenId}`);
    await appendAudit(unit, audit);
  },
};
