// The first person, signing in and out, and the list of sign-ins.
import type { MeView } from '#api/shapes.ts';
import { networkOf } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { printable } from '#base/log.ts';
import { digestOf, newSecret, sameText } from '#base/secret.ts';
import { mayAnywhere, rightsOfVisitor } from '#model/rights.ts';
import type { Person, Right, SignIn } from '#model/rows.ts';
import type { Visitor } from '#model/visitor.ts';
import { administersAllOf, auditOf, may, visitorOf, type Act, type Acts, type Anyone, type Asked, type Known } from './asked.ts';
import { clearSignInCookie, cookiesWork, setSignInCookie } from './cookies.ts';
import { byId, pageOf, sorted } from './pages.ts';
import { checkPassword } from './password.ts';
import { defaultCustomer, type Room } from './room.ts';
import type { ThrottleKey } from '#model/throttle.ts';
import { viewRights, viewSignIn } from './views.ts';

/** Tries from one network, and at one login from one network; a login from anywhere slows down late and little, so that strangers lock nobody out. */
export function signInKeys(room: Room, login: string, from: string): ThrottleKey[] {
  const network = networkOf(from);
  const who = digestOf(login.toLowerCase()).slice(0, 32);
  return [
    { key: `both ${network} ${who}`, freeTries: 5, delayMaxMs: 15 * 60_000 },
    { key: `network ${network}`, freeTries: room.limits.signInFailuresPerMinuteMax * 2, delayMaxMs: 15 * 60_000 },
    { key: `login ${who}`, freeTries: room.limits.signInFailuresPerMinuteMax * 5, delayMaxMs: 30_000 },
  ];
}

/** For codes that cannot be guessed: only against floods. */
export function codeKeys(room: Room, purpose: string, from: string): ThrottleKey[] {
  return [{ key: `${purpose} ${networkOf(from)}`, freeTries: room.limits.signInFailuresPerMinuteMax, delayMaxMs: 60_000 }];
}

export function mustKeepCookies(asked: Pick<Asked, 'secure' | 'host'>): void {
  if (cookiesWork(asked.secure, asked.host)) return;
  throw new Fault('forbidden', `a browser keeps no sign-in from http://${asked.host}: only from https, or from localhost`, { remedy: 'open the https address, or reach the gateway through: ssh -L 8080:localhost:8080 HOST' });
}

export function viewMe(room: Room, asked: Anyone, visitor: Visitor): MeView {
  const { tables } = room;
  const rights = rightsOfVisitor(tables, visitor);
  const addresses = room.addresses(asked);
  const { id, login, name } = visitor.person;
  const wider = (held: readonly Right[]) => held.some((right) => right.action === 'administer' && right.scopeKind !== 'device');
  return {
    person: { id, login, name },
    rights: viewRights(tables, rights.rights),
    tokenRights: rights.tokenRights && viewRights(tables, rights.tokenRights),
    signInId: visitor.signIn?.id ?? null,
    tokenId: visitor.token?.id ?? null,
    may: {
      administerGateway: may({ rights }, 'administer', 'gateway'),
      administerAnything: mayAnywhere(rights, 'administer'),
      joinDevices: wider(rights.rights) && (rights.tokenRights === null || wider(rights.tokenRights)),
    },
    version: room.version,
    domains: [...addresses.domains],
    console: addresses.console,
    devicePattern: addresses.devicePattern,
    severalCustomers: tables.customers.size > 1,
  };
}

/** Ends sign-ins at once: first the store, then the table, then what runs under them. */
export async function endSignIns(room: Room, asked: Anyone, signIns: readonly SignIn[], why: string): Promise<void> {
  const first = signIns[0];
  if (!first) return;
  const owner = room.tables.people.get(first.personId);
  const subject = { customerId: first.customerId, kind: 'person', id: first.personId, name: owner?.login ?? '' };
  await room.operations.removeSignIns(signIns.map((row) => row.id), auditOf(room, asked, 'sign-in.ended', subject, { why, count: signIns.length, from: signIns.length === 1 ? first.from : null }));
  room.tables.signIns.publish({ removed: signIns.map((row) => row.id) });
  for (const row of signIns) room.closeFor('sign-in', row.id, why);
}

export function signInsOf(room: Pick<Room, 'tables'>, personId: Id): SignIn[] {
  return [...room.tables.signIns.values()].filter((row) => row.personId === personId);
}

/** Makes the sign-in's row. The oldest of too many goes, and so does the one that this browser had before. */
export async function openSignIn(room: Room, asked: Anyone, person: Person, kind: SignIn['kind'], secret: string, userAgent: string): Promise<Visitor> {
  const { clock, limits, tables } = room;
  const now = clock.nowMs();
  const signIn: SignIn = {
    id: room.newId(), customerId: person.customerId, personId: person.id, secretDigest: digestOf(secret), kind, from: asked.from, userAgent: printable(userAgent, 200),
    createdAt: now, lastUsedAt: now, expiresAt: now + limits.signInAbsoluteMs,
  };
  return await room.inTurn(async () => {
    if (tables.people.get(person.id)?.locked !== false) throw new Fault('forbidden', 'this account is locked', { remedy: 'ask whoever administers the gateway' });
    const leastUsedFirst = signInsOf(room, person.id).sort((a, b) => a.lastUsedAt - b.lastUsedAt);
    const surplus = leastUsedFirst.slice(0, Math.max(0, leastUsedFirst.length + 1 - limits.signInsPerPersonMax));
    const former = asked.known?.by === 'cookie' ? asked.known.visitor.signIn : null;
    if (former && kind === 'browser' && tables.signIns.get(former.id) && !surplus.some((row) => row.id === former.id)) await endSignIns(room, asked, [former], 'signed in anew');
    await endSignIns(room, asked, surplus, 'too many sign-ins');
    const visitor: Visitor = { person, signIn, token: null };
    const known: Known = { visitor, by: 'cookie' };
    await room.operations.addSignIn(signIn, auditOf(room, { ...asked, known }, 'sign-in.opened', { customerId: person.customerId, kind: 'person', id: person.id, name: person.login }, { kind }));
    tables.signIns.publish({ put: [signIn] });
    return visitor;
  });
}

/** Signs a browser in: the row and the cookie. */
export async function signBrowserIn(room: Room, asked: Anyone & Pick<Asked, 'header' | 'reply'>, person: Person): Promise<MeView> {
  const secret = newSecret(room.random);
  const visitor = await openSignIn(room, asked, person, 'browser', secret, asked.header('user-agent') ?? '');
  asked.reply.cookie = setSignInCookie(secret, room.limits.signInAbsoluteMs);
  return viewMe(room, asked, visitor);
}

function setUp(room: Room): Act<'setUp'> {
  const { tables } = room;
  const mustBeNew = () => {
    if (tables.people.size > 0) throw new Fault('gone', 'this gateway has its owner already', { remedy: 'sign in, or ask the owner for an invitation' });
  };
  return async (asked) => {
    const { code, login, name, password } = asked.body;
    mustBeNew();
    mustKeepCookies(asked);
    const keys = codeKeys(room, 'setup', asked.countedAs);
    room.throttle.attempt(keys);
    const digest = room.setupDigest();
    if (digest === null || !sameText(digestOf(code), digest)) throw new Fault('forbidden', 'this is not the code of the setup address', { remedy: 'the address is printed when the gateway starts; or run: postern setup-address' });
    checkPassword(password, login, room.limits);
    const passwordHash = await room.passwords.hash(password);
    const customerId = defaultCustomer(room).id;
    const person: Person = { id: room.newId(), customerId, login, name, passwordHash, locked: false, createdAt: room.clock.nowMs() };
    const right: Right = { id: room.newId(), customerId, subjectKind: 'person', subjectId: person.id, action: 'administer', scopeKind: 'gateway', scopeId: null };
    await room.inTurn(async () => {
      mustBeNew();
      const actor = { kind: 'person', id: person.id, name: login, from: asked.from } as const;
      await room.operations.addOwner(person, [right], { ...auditOf(room, asked, 'person.set-up', { customerId, kind: 'person', id: person.id, name: login }), actor });
      tables.people.publish({ put: [person] });
      tables.rights.publish({ put: [right] });
    });
    room.throttle.succeeded(keys);
    return await signBrowserIn(room, asked, person);
  };
}

function signIn(room: Room): Act<'signIn'> {
  /** The journal has every refusal; the audit the fifth in a row and each doubling, so that a flood does not fill it. */
  const noteRefusal = async (asked: Asked<'signIn'>, person: Person | undefined, keys: readonly ThrottleKey[]) => {
    room.journal.note('sign-in.refused', { from: asked.from, known: person !== undefined });
    const tries = room.throttle.triesOf(keys[2]!.key);
    if (!person || tries < 5 || !Number.isInteger(Math.log2(tries / 5))) return;
    await room.operations.addAudit([auditOf(room, { ...asked, known: null }, 'sign-in.refused', { customerId: person.customerId, kind: 'person', id: person.id, name: person.login }, { tries })]);
  };
  return async (asked) => {
    mustKeepCookies(asked);
    const login = asked.body.login.trim();
    const keys = signInKeys(room, login, asked.countedAs);
    room.throttle.attempt(keys);
    const person = room.tables.personByLogin(login);
    const right = await room.passwords.verify(asked.body.password, person?.passwordHash ?? null);
    if (!person || !right) {
      await noteRefusal(asked, person, keys);
      throw new Fault('unauthenticated', 'login or password is wrong');
    }
    // The password may have been changed while it was being computed.
    if (room.tables.people.get(person.id)?.passwordHash !== person.passwordHash) throw new Fault('conflict', 'this account was changed at this moment', { remedy: 'try again' });
    room.throttle.succeeded(keys);
    return await signBrowserIn(room, asked, person);
  };
}

function changePassword(room: Room): Act<'changePassword'> {
  return async (asked) => {
    const { person, signIn: current } = visitorOf(asked);
    const keys = signInKeys(room, person.login, asked.countedAs);
    room.throttle.attempt(keys);
    if (!(await room.passwords.verify(asked.body.current, person.passwordHash))) throw new Fault('forbidden', 'the present password is another', { detail: { problems: [{ path: 'current', message: 'is not your password' }] } });
    room.throttle.succeeded(keys);
    checkPassword(asked.body.next, person.login, room.limits, 'next');
    const passwordHash = await room.passwords.hash(asked.body.next);
    await room.inTurn(async () => {
      const row = room.tables.people.get(person.id);
      if (!row || row.passwordHash !== person.passwordHash) throw new Fault('conflict', 'the password was changed at this moment by somebody else', { remedy: 'sign in again' });
      const changed = { ...row, passwordHash };
      await room.operations.changePerson(changed, auditOf(room, asked, 'person.password-changed', { customerId: row.customerId, kind: 'person', id: row.id, name: row.login }));
      room.tables.people.publish({ put: [changed] });
      await endSignIns(room, asked, signInsOf(room, person.id).filter((other) => other.id !== current?.id), 'the password was changed');
    });
    return {};
  };
}

type Names = 'getSetup' | 'setUp' | 'signIn' | 'signOut' | 'getMe' | 'changePassword' | 'listSignIns' | 'revokeSignIn';

export function buildSignInActs(room: Room): Acts<Names> {
  const { tables } = room;
  /** Whose sign-ins may be seen and ended: one's own, and those of people of a customer that one administers. */
  const mayLook = (asked: Anyone, personId: Id) => {
    const person = tables.people.get(personId);
    return personId === visitorOf(asked).person.id || (person !== undefined && may(asked, 'administer', { customerId: person.customerId }));
  };
  return {
    getSetup: (asked) => ({ needed: tables.people.size === 0, version: room.version, passwordCharsMin: room.limits.passwordCharsMin, signedIn: asked.known !== null }),
    setUp: setUp(room),
    signIn: signIn(room),
    async signOut(asked) {
      const mine = visitorOf(asked).signIn;
      if (!mine) throw new Fault('bad-input', 'a token is not a sign-in', { remedy: 'revoke the token instead' });
      await room.inTurn(() => endSignIns(room, asked, [mine], 'signed out'));
      asked.reply.cookie = clearSignInCookie;
      return {};
    },
    getMe: (asked) => viewMe(room, asked, visitorOf(asked)),
    changePassword: changePassword(room),
    listSignIns(asked) {
      const { person, signIn: current } = visitorOf(asked);
      const personId = asked.query.personId ?? person.id;
      if (!mayLook(asked, personId)) throw new Fault('forbidden', 'you may not see the sign-ins of this person');
      const order = { keyOf: byId, newestFirst: true };
      return pageOf(sorted(signInsOf(room, personId), order), order, asked.query, () => true, (row) => viewSignIn(tables, row, current?.id));
    },
    async revokeSignIn(asked) {
      return await room.inTurn(async () => {
        const row = tables.signIns.get(asked.params.id);
        if (!row || !mayLook(asked, row.personId)) throw new Fault('not-found', 'there is no such sign-in, or not any more');
        // A token with rights of its own ends nothing of its person's; who administers a part, nothing of who administers the whole.
        const isMine = row.personId === visitorOf(asked).person.id && asked.rights.tokenRights === null;
        if (!isMine && !administersAllOf(room, asked, row.personId)) throw new Fault('forbidden', 'you may not end this sign-in: its person holds rights beyond what you administer');
        await endSignIns(room, asked, [row], 'revoked');
        return {};
      });
    },
  };
}
