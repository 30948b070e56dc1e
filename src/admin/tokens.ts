// Access tokens for programs, and the CLI's sign-in by one-time code.
import { networkOf } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { printable } from '#base/log.ts';
import { digestOf, newSecret } from '#base/secret.ts';
import { newCliSecret, newTokenText, visitorLives } from '#model/credentials.ts';
import type { Right, Token } from '#model/rows.ts';
import { administersAllOf, auditOf, may, visitorOf, type Acts, type Anyone } from './asked.ts';
import { byId, pageOf, sorted } from './pages.ts';
import { checkGrants } from './people.ts';
import type { CliLogin, Room } from './room.ts';
import { codeKeys, openSignIn } from './sign-in.ts';
import { viewToken } from './views.ts';

export function buildTokenActs(room: Room): Acts<'listTokens' | 'createToken' | 'revokeToken'> {
  const { tables, operations, clock, limits } = room;
  const tokensOf = (personId: Id) => [...tables.tokens.values()].filter((row) => row.personId === personId);
  const mayLook = (asked: Anyone, personId: Id) => {
    const person = tables.people.get(personId);
    return personId === visitorOf(asked).person.id || (person !== undefined && may(asked, 'administer', { customerId: person.customerId }));
  };
  return {
    listTokens(asked) {
      const personId = asked.query.personId ?? visitorOf(asked).person.id;
      if (!mayLook(asked, personId)) throw new Fault('forbidden', 'you may not see the tokens of this person');
      const order = { keyOf: byId, newestFirst: true };
      return pageOf(sorted(tokensOf(personId), order), order, asked.query, () => true, (row) => viewToken(tables, row));
    },
    async createToken(asked) {
      const { person } = visitorOf(asked);
      const { name, expiresAt } = asked.body;
      const now = clock.nowMs();
      if (expiresAt !== null && expiresAt <= now) throw new Fault('bad-input', 'this token would have expired already', { detail: { problems: [{ path: 'expiresAt', message: 'is in the past' }] } });
      const grants = asked.body.rights && checkGrants(room, asked.body.rights, 'rights');
      const id = room.newId();
      const secret = newTokenText(room.random, id);
      const token: Token = { id, customerId: person.customerId, personId: person.id, name, secretDigest: digestOf(secret), createdAt: now, lastUsedAt: null, expiresAt };
      const rights: Right[] = (grants ?? []).map((grant) => ({ id: room.newId(), customerId: person.customerId, subjectKind: 'token', subjectId: id, ...grant }));
      await room.inTurn(async () => {
        // Revoked while it waited its turn: what it asked for must not outlive it.
        if (!visitorLives(tables, visitorOf(asked), clock.nowMs(), limits)) throw new Fault('unauthenticated', 'this sign-in has ended');
        if (tokensOf(person.id).length >= limits.tokensPerPersonMax) throw new Fault('too-many', `a person has at most ${limits.tokensPerPersonMax} tokens`, { remedy: 'revoke those that are no longer used' });
        await operations.addToken(token, rights, auditOf(room, asked, 'token.created', { customerId: person.customerId, kind: 'token', id, name: `${person.login}/${name}` }, { expiresAt, narrower: rights.length > 0 }));
        // Rights first: without them a token can do all that its person may.
        tables.rights.publish({ put: rights });
        tables.tokens.publish({ put: [token] });
      });
      return { token: viewToken(tables, token), secret };
    },
    revokeToken: (asked) =>
      room.inTurn(async () => {
        const token = tables.tokens.get(asked.params.id);
        if (!token || !mayLook(asked, token.personId)) throw new Fault('not-found', 'there is no such token, or not any more');
        const { person, token: asking } = visitorOf(asked);
        const isMine = token.id === asking?.id || (token.personId === person.id && asked.rights.tokenRights === null);
        if (!isMine && !administersAllOf(room, asked, token.personId)) throw new Fault('forbidden', 'you may not revoke this token: its person holds rights beyond what you administer');
        const login = tables.people.get(token.personId)?.login ?? '';
        await operations.removeToken(token.id, auditOf(room, asked, 'token.revoked', { customerId: token.customerId, kind: 'token', id: token.id, name: `${login}/${token.name}` }));
        const rights = tables.rightsOf('token', token.id).map((right) => right.id);
        tables.tokens.publish({ removed: [token.id] });
        tables.rights.publish({ removed: rights });
        room.closeFor('token', token.id, 'the token was revoked');
        return {};
      }),
  };
}

const loginsMax = 1_000;
const loginsPerNetworkMax = 20;
const pollIntervalMs = 2_000;

type CliNames = 'startCliLogin' | 'pollCliLogin' | 'getCliLogin' | 'approveCliLogin' | 'refuseCliLogin';

export function buildCliLoginActs(room: Room): Acts<CliNames> {
  const { cliLogins, clock, limits, tables, operations } = room;
  const sweep = () => {
    const removed = [...cliLogins.values()].filter((row) => clock.nowMs() >= row.expiresAt).map((row) => row.code);
    if (removed.length > 0) cliLogins.publish({ removed });
  };
  const find = (asked: Anyone, code: string): CliLogin => {
    const keys = codeKeys(room, 'cli-code', asked.countedAs);
    room.throttle.attempt(keys);
    sweep();
    const login = cliLogins.get(code.toLowerCase());
    if (!login) throw new Fault('not-found', 'this code is not known, was used or has expired', { remedy: 'start again with: postern login' });
    room.throttle.succeeded(keys);
    return login;
  };
  const settle = async (asked: Anyone, code: string, state: 'approved' | 'refused') => {
    const login = find(asked, code);
    if (login.state !== 'waiting') throw new Fault('conflict', `this sign-in was ${login.state} already`);
    const { person, signIn } = visitorOf(asked);
    await operations.addAudit([auditOf(room, asked, `cli-login.${state}`, { customerId: person.customerId, kind: 'person', id: person.id, name: person.login }, { from: login.from, client: login.client })]);
    cliLogins.publish({ put: [{ ...login, state, personId: person.id, approvedBySignInId: signIn?.id ?? null }] });
    return {};
  };
  return {
    startCliLogin(asked) {
      sweep();
      const network = networkOf(asked.from);
      const mine = [...cliLogins.values()].filter((row) => networkOf(row.from) === network).length;
      if (mine >= loginsPerNetworkMax || cliLogins.size >= loginsMax) throw new Fault('too-many', 'too many sign-ins of the command line wait already', { remedy: 'finish or wait for one of them; they end by themselves after ten minutes', detail: { retryAfterS: 60 } });
      const secret = newSecret(room.random);
      // Eight letters suffice: only people who are signed in may ask for a code, and wrong ones slow down.
      const letters = newSecret(room.random).slice(0, 8);
      const now = clock.nowMs();
      const login: CliLogin = { code: `${letters.slice(0, 4)}-${letters.slice(4)}`, pollDigest: digestOf(secret), from: asked.from, client: printable(asked.body.client), createdAt: now, expiresAt: now + limits.loginCodeMs, state: 'waiting', personId: null, approvedBySignInId: null };
      cliLogins.publish({ put: [login] });
      return { code: login.code, pollSecret: secret, address: `${room.addresses(asked).console}/#/cli/${login.code}`, expiresAt: login.expiresAt, intervalMs: pollIntervalMs };
    },
    async pollCliLogin(asked) {
      sweep();
      const digest = digestOf(asked.body.pollSecret);
      const login = [...cliLogins.values()].find((row) => row.pollDigest === digest);
      if (!login) throw new Fault('gone', 'this sign-in was given already, or has expired', { remedy: 'start again with: postern login' });
      if (login.state === 'waiting') return { state: 'waiting', secret: null, login: null, expiresAt: null };
      cliLogins.publish({ removed: [login.code] }); // before anything is awaited: the answer is given once
      if (login.state === 'refused') return { state: 'refused', secret: null, login: null, expiresAt: null };
      const person = login.personId === null ? undefined : tables.people.get(login.personId);
      const stands = login.approvedBySignInId !== null && tables.signIns.get(login.approvedBySignInId) !== undefined;
      if (!person || !stands) throw new Fault('gone', 'whoever approved this is signed out by now', { remedy: 'start again with: postern login' });
      const secret = newCliSecret(room.random);
      const { signIn } = await openSignIn(room, { ...asked, known: null }, person, 'cli', secret, login.client);
      return { state: 'approved', secret, login: person.login, expiresAt: signIn?.expiresAt ?? null };
    },
    getCliLogin(asked) {
      const { code, from, client, createdAt, expiresAt, state } = find(asked, asked.params.code);
      return { code, from, client, createdAt, expiresAt, state };
    },
    approveCliLogin: (asked) => room.inTurn(() => settle(asked, asked.params.code, 'approved')),
    refuseCliLogin: (asked) => room.inTurn(() => settle(asked, asked.params.code, 'refused')),
  };
}
