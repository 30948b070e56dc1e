// One request as the acts see it: who asks, what they may do, and the shapes already checked.
import type { Answer, Params, ParsedBody, ParsedQuery } from '#api/contract.ts';
import { paths, type RouteName } from '#api/paths.ts';
import { Fault } from '#base/fault.ts';
import { bearerOf, visitorOfCookie, visitorOfToken } from '#model/credentials.ts';
import { mayDo, rightsOfVisitor, subjectOfScope, type Subject, type VisitorRights } from '#model/rights.ts';
import type { Action, Actor, AuditEntry } from '#model/rows.ts';
import { actorOf, type Visitor } from '#model/visitor.ts';
import { readSignInCookie } from './cookies.ts';
import type { Asker } from './deps.ts';
import type { Room } from './room.ts';

/** What an act may add to its answer. */
export interface Reply {
  cookie?: string;
  etag?: string;
  /** Instead of the status of the Fault's code. */
  faultStatus?: number;
  /** Once it is known: who was refused, for the journal. */
  who?: string;
}

/** Who asks, by cookie or token. */
export interface Known {
  readonly visitor: Visitor;
  readonly by: 'cookie' | 'token';
}

export interface Asked<Name extends RouteName = RouteName> {
  readonly requestId: string;
  readonly from: string;
  /** As whom tries are counted. */
  readonly countedAs: string;
  readonly secure: boolean;
  /** The connection that it came over, by its id in Live. */
  readonly conn: string;
  /** The authority that the request named. */
  readonly host: string;
  readonly known: Known | null;
  /** As the tables say at this moment: it may change while a change waits for its turn. */
  readonly rights: VisitorRights;
  readonly params: { readonly [Key in keyof Params<Name>]: string };
  readonly query: ParsedQuery<Name>;
  readonly body: ParsedBody<Name>;
  readonly reply: Reply;
  readonly signal: AbortSignal;
  header(name: string): string | null;
}

export type Act<Name extends RouteName> = (asked: Asked<Name>) => Answer<Name> | Promise<Answer<Name>>;
export type Acts<Names extends RouteName> = { readonly [Name in Names]: Act<Name> };
/** What most of the acts need of a request, whatever its route. */
export type Anyone = Pick<Asked, 'known' | 'rights' | 'from' | 'countedAs' | 'secure' | 'host' | 'requestId'>;

/** Fault `unauthenticated` for a token that is no good: it must not fall back to a cookie. */
export function findKnown({ tables, clock, limits }: Room, headers: Headers): Known | null {
  const authorization = headers.get('authorization');
  if (authorization !== null) {
    const bearer = bearerOf(authorization);
    const visitor = bearer && visitorOfToken(tables, bearer, clock.nowMs(), limits);
    // The operator's token speaks for the owner, so before there is one the command line on the gateway's own machine ends here.
    if (!visitor && tables.people.size === 0) throw new Fault('unauthenticated', 'nobody has used the setup address yet, so no token is good for anything', { remedy: 'open it in a browser first; postern setup-address prints it' });
    if (!visitor) throw new Fault('unauthenticated', 'this token is not known here, was revoked or has expired', { remedy: 'make a new token, or run: postern login' });
    return { visitor, by: 'token' };
  }
  const secret = readSignInCookie(headers.get('cookie'));
  const visitor = secret && visitorOfCookie(tables, secret, clock.nowMs(), limits);
  return visitor ? { visitor, by: 'cookie' } : null;
}

/**
 * A page of a device lives on a neighbour name of ours, so SameSite stops nothing (it is the same site). What a cookie
 * authenticates needs proof of the same origin; what nobody authenticates must at least not come from another origin.
 */
export function checkOrigin(known: Known | null, guarded: boolean, headers: Headers, { secure }: Asker, host: string): void {
  if (!guarded || known?.by === 'token') return;
  const site = headers.get('sec-fetch-site');
  const origin = headers.get('origin');
  const own = `${secure ? 'https' : 'http'}://${host.toLowerCase()}`;
  const foreign = (site !== null && site !== 'same-origin') || (origin !== null && origin.toLowerCase() !== own);
  const proven = site === 'same-origin' || (origin !== null && origin.toLowerCase() === own);
  if (foreign || (known !== null && !proven)) {
    throw new Fault('forbidden', 'a cookie counts here only for the console itself', {
      remedy: 'programs send a token: Authorization: Bearer …',
      detail: { crossOrigin: true, origin, site },
    });
  }
}

/** Which requests `checkOrigin` looks at: everything but plain reading. */
export function isGuarded(name: RouteName): boolean {
  return paths[name].method !== 'GET' || name === 'getEvents';
}

export function checkNeeds(name: RouteName, known: Known | null): void {
  const { needs } = paths[name];
  if (needs === 'none') return;
  if (!known) throw new Fault('unauthenticated', 'nobody is signed in', { remedy: 'sign in, or send a token: Authorization: Bearer …' });
  if (needs === 'person' && known.visitor.token) throw new Fault('forbidden', 'this is for people who are signed in; a token cannot do it');
}

export function rightsOf(room: Room, known: Known | null): VisitorRights {
  return known ? rightsOfVisitor(room.tables, known.visitor) : { rights: [], tokenRights: null };
}

export function visitorOf(asked: Pick<Asked, 'known'>): Visitor {
  if (!asked.known) throw new Fault('unauthenticated', 'nobody is signed in');
  return asked.known.visitor;
}

export function actorOfAsked(asked: Anyone): Actor {
  if (!asked.known) return { kind: 'nobody', id: null, name: '', from: asked.from };
  return actorOf(asked.known.visitor, asked.from);
}

export function may(asked: Pick<Asked, 'rights'>, action: Action, subject: Subject): boolean {
  return mayDo(asked.rights.rights, asked.rights.tokenRights, action, subject);
}

/** Fault `forbidden`; `what` is what was wanted: `change this device`. */
export function mustMay(asked: Pick<Asked, 'rights'>, action: Action, subject: Subject, what: string): void {
  if (!may(asked, action, subject)) throw new Fault('forbidden', `you may not ${what}`, { remedy: `ask somebody who administers it for the right "${action}"` });
}

/** Whether all that a person may do is within what is administered here: who can end that person's sign-ins and tokens. */
export function administersAllOf({ tables }: Pick<Room, 'tables'>, asked: Pick<Asked, 'rights'>, personId: string): boolean {
  const person = tables.people.get(personId);
  if (!person || !may(asked, 'administer', { customerId: person.customerId })) return false;
  return tables.rightsOf('person', personId).every((grant) => {
    const subject = subjectOfScope(tables, grant);
    return subject === undefined || may(asked, 'administer', subject);
  });
}

/** The audit entry of a change. */
export function auditOf(room: Room, asked: Anyone, what: string, subject: { readonly customerId: string; readonly kind: string; readonly id: string | null; readonly name: string }, detail: AuditEntry['detail'] = {}): AuditEntry {
  return { at: room.clock.nowMs(), customerId: subject.customerId, actor: actorOfAsked(asked), what, subjectKind: subject.kind, subjectId: subject.id, subjectName: subject.name, detail };
}
