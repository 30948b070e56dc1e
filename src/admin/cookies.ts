// Our cookie on the gateway's own name, and who may have it.
import { withoutBlanks } from '#base/blanks.ts';
import { signInCookie } from '#model/credentials.ts';

/**
 * The cookie's value; when it came twice (RFC 6265 §5.4 sends the older first) none is taken: one of them was planted. Only space
 * and tab are blank (§4.2.1): what `trim` removes besides would make the name of a neighbour's cookie into ours.
 */
export function readSignInCookie(header: string | null | undefined): string | null {
  if (!header) return null;
  let found: string | null = null;
  for (const part of header.split(';')) {
    const at = part.indexOf('=');
    if (at < 0 || withoutBlanks(part.slice(0, at)) !== signInCookie) continue;
    if (found !== null) return null;
    found = withoutBlanks(part.slice(at + 1));
  }
  return found === '' ? null : found;
}

export function setSignInCookie(secret: string, maxAgeMs: number): string {
  return `${signInCookie}=${secret}; Path=/; Max-Age=${Math.floor(maxAgeMs / 1000)}; Secure; HttpOnly; SameSite=Lax`;
}

export const clearSignInCookie = `${signInCookie}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax`;

/** Browsers keep Secure cookies from https and from loopback names (Secure Contexts §3.1), from nowhere else. */
export function cookiesWork(secure: boolean, host: string): boolean {
  if (secure) return true;
  const name = host.replace(/:\d+$/, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost') || /^127(\.\d{1,3}){3}$/.test(name) || name === '[::1]';
}
