// The cookie on a device's host. It says which sign-in a browser has there and cannot be made without the gateway's key, so nothing
// about it is stored: a sign-in that ends takes all of them with it. Bound to one host: a device cannot use it on another.
import { createHmac } from 'node:crypto';
import { withoutBlanks } from '#base/blanks.ts';
import { sameText } from '#base/secret.ts';
import type { Id } from '#base/ids.ts';

export const hostCookieName = '__Host-postern-device';
/** What a browser got when it asked to be handed over: only the browser that holds it can use the code that was made for it. */
export const askedCookieName = '__Host-postern-asked';

function macOf(key: Buffer, signInId: Id, host: string): string {
  return createHmac('sha256', key).update(`${signInId}\n${host}`).digest('base64url');
}

/** `host`: lower case, without port. */
export function makeHostCookie(key: Buffer, signInId: Id, host: string): string {
  return `${signInId}.${macOf(key, signInId, host)}`;
}

/** The sign-in's id, or null when the value is not ours for this host. */
export function readHostCookie(key: Buffer, value: string, host: string): Id | null {
  const dot = value.indexOf('.');
  if (dot !== 36 || value.length > 100) return null;
  const signInId = value.slice(0, dot);
  return sameText(value.slice(dot + 1), macOf(key, signInId, host)) ? signInId : null;
}

/**
 * The cookie's value in a Cookie line; undefined without one, null when it came twice (one of them was planted). Only space and tab
 * are blank (RFC 6265 §4.2.1): `trim` takes more, and bytes that it removes would make another name into ours.
 */
export function findHostCookie(cookieLine: string, name = hostCookieName): string | null | undefined {
  let at = cookieLine.indexOf(`${name}=`);
  let found: string | undefined;
  while (at >= 0) {
    let before = at - 1;
    while (before >= 0 && (cookieLine[before] === ' ' || cookieLine[before] === '\t')) before--;
    if (before < 0 || cookieLine[before] === ';') {
      if (found !== undefined) return null;
      const end = cookieLine.indexOf(';', at);
      found = withoutBlanks(cookieLine.slice(at + name.length + 1, end < 0 ? undefined : end));
    }
    at = cookieLine.indexOf(`${name}=`, at + 1);
  }
  return found;
}

/** A Cookie line without our cookies; null when nothing is left. */
export function withoutOurCookies(cookieLine: string): string | null {
  if (!/__(?:host|secure)-postern/i.test(cookieLine)) return cookieLine;
  const kept = cookieLine.split(';').filter((part) => !/^\s*__(?:host|secure)-postern/i.test(part));
  const line = kept.join(';').trim();
  return line === '' ? null : line;
}
