// Whose secret is it: the cookie of a browser, the CLI's sign-in, an access token. Only digests are compared.
import { digestOf, newSecret } from '#base/secret.ts';
import type { Id, Random } from '#base/ids.ts';
import type { SignIn } from './rows.ts';
import type { Tables } from './tables.ts';
import type { Visitor } from './visitor.ts';

/** The cookie on the gateway's own name. `__Host-`: Secure, Path=/, no Domain, so that no neighbour name can plant it. */
export const signInCookie = '__Host-postern';

/** `postern_<part of the id>_<secret>`: recognisable in leaked text, and to be found in the list of tokens. */
export function newTokenText(random: Random, tokenId: Id): string {
  return `postern_${tokenId.slice(-12)}_${newSecret(random)}`;
}

/** The CLI's sign-in, used like a token. */
export function newCliSecret(random: Random): string {
  return `postern_cli_${newSecret(random)}`;
}

export interface SignInLimits {
  readonly signInIdleMs: number;
}

export function signInLives(signIn: SignIn, nowMs: number, limits: SignInLimits): boolean {
  return nowMs < signIn.expiresAt && nowMs < signIn.lastUsedAt + limits.signInIdleMs;
}

function visitorOfSignIn(tables: Tables, signIn: SignIn | undefined, nowMs: number, limits: SignInLimits): Visitor | null {
  if (!signIn || !signInLives(signIn, nowMs, limits)) return null;
  const person = tables.people.get(signIn.personId);
  return person && !person.locked ? { person, signIn, token: null } : null;
}

/** By the value of the cookie. null: unknown, expired, or the person is locked. */
export function visitorOfCookie(tables: Tables, secret: string, nowMs: number, limits: SignInLimits): Visitor | null {
  if (secret === '' || secret.length > 200) return null;
  const signIn = tables.signInByDigest(digestOf(secret));
  return signIn?.kind === 'browser' ? visitorOfSignIn(tables, signIn, nowMs, limits) : null;
}

/** The token of an Authorization line (RFC 6750 §2.1); null when there is none in it. */
export function bearerOf(authorization: string | undefined): string | null {
  return /^Bearer +([\x21-\x7e]+) *$/i.exec(authorization ?? '')?.[1] ?? null;
}

/** By what stands behind `Bearer` or in `Postern-Token`: an access token or the CLI's sign-in. null as above. */
export function visitorOfToken(tables: Tables, secret: string, nowMs: number, limits: SignInLimits): Visitor | null {
  if (!secret.startsWith('postern_') || secret.length > 200) return null;
  const digest = digestOf(secret);
  const token = tables.tokenByDigest(digest);
  if (token) {
    if (token.expiresAt !== null && nowMs >= token.expiresAt) return null;
    const person = tables.people.get(token.personId);
    return person && !person.locked ? { person, signIn: null, token } : null;
  }
  const signIn = tables.signInByDigest(digest);
  return signIn?.kind === 'cli' ? visitorOfSignIn(tables, signIn, nowMs, limits) : null;
}

/** Whether what a visitor came in with is still good: for streams and visits that last. */
export function visitorLives(tables: Tables, visitor: Visitor, nowMs: number, limits: SignInLimits): boolean {
  if (tables.people.get(visitor.person.id)?.locked !== false) return false;
  if (visitor.token) {
    const token = tables.tokens.get(visitor.token.id);
    return token !== undefined && (token.expiresAt === null || nowMs < token.expiresAt);
  }
  const signIn = visitor.signIn && tables.signIns.get(visitor.signIn.id);
  return signIn !== undefined && signIn !== null && signInLives(signIn, nowMs, limits);
}
