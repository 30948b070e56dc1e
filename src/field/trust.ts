// What a device may believe of an answer, and where it may be sent (docs/wire/device.md §4): pure decisions, so that each can be
// shown to refuse the man in the middle.
import { limits } from '#base/limits.ts';

/** What stood between us and whoever answered. */
export interface Believing {
  /** `link`: our own gateway's link, or its link endpoint with its CA's key pinned. `tls`: a connection that was judged by list or trust store. */
  readonly over: 'link' | 'tls' | 'plain';
  /** The server's fingerprint (`sha256//…`); null without TLS. */
  readonly pin: string | null;
  /** TLS alone: chain and name are good for the trust store. */
  readonly chainGood: boolean;
  /** The answer carries the HMAC of our key over our request's nonce. */
  readonly signed: boolean;
}

/** May this TLS server hear a request? With a list, its key must be on it, and nothing else counts; without one the trust store decides. */
export function mayConnect(pins: readonly string[], pin: string, chainGood: boolean): boolean {
  return pins.length > 0 ? pins.includes(pin) : chainGood;
}

/** Whether redirects, `base`, pins, time and actions of the answer count. */
export function mayBelieve(answer: Believing, pins: readonly string[]): boolean {
  if (answer.signed || answer.over === 'link') return true;
  return answer.over === 'tls' && answer.pin !== null && mayConnect(pins, answer.pin, answer.chainGood);
}

/**
 * Whether `next` counts. A device without a key on plain http has nobody to compare with and takes it; one that signed its request
 * waits for the signed answer, or anybody on the way could have it delete what was never stored.
 */
export function mayTakeNext(answer: Believing, pins: readonly string[], hasKey: boolean): boolean {
  return mayBelieve(answer, pins) || (answer.over === 'plain' && !hasKey);
}

export interface Offer {
  /** `base=` of the body, when there is one. */
  readonly base: string | null;
  /** `Location:` of a 307 or 308. */
  readonly location: string | null;
  /** What followed the old base in the request: `/push/SN/cdr/…?o=0`. */
  readonly suffix: string;
  readonly ttl: string | null;
  /** Redirects that were followed before this one. */
  readonly hops: number;
}

export interface Redirect {
  readonly base: string;
  readonly ttlMs: number;
  readonly hops: number;
}

export const hopsMax = limits.redirectHopsMax;
const ttlSecondsStandard = 3_600;
const ttlSecondsMax = 30 * 24 * 3_600;
const baseCharsMax = 500;

/** A base as it is compared and written: scheme, authority and path without a slash at the end; null: it is none. */
export function parseBase(text: string): string | null {
  if (text.length > baseCharsMax || !/^https?:\/\/[!-~]+$/i.test(text)) return null;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return null;
  }
  // `;` ends nothing in an URL, but it does in X-Postern-Start, where bases are named.
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '' || url.hostname === '' || /[?#;]/.test(text)) return null;
  return `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}`;
}

function baseOfLocation(location: string, suffix: string): string | null {
  // For clients that can add no field, the query there says where the epoch goes on.
  const plain = location.replace(/&start=\d{1,16}$/, '');
  return plain.endsWith(suffix) ? parseBase(plain.slice(0, -suffix.length)) : null;
}

function ttlMsOf(text: string | null): number {
  if (text === null || !/^\d{1,9}$/.test(text)) return ttlSecondsStandard * 1000;
  return Math.min(Math.max(Number(text), 1), ttlSecondsMax) * 1000;
}

/** Where an answer sends us, if we may go there; else why not. Nothing in it ever changes the list of fingerprints. */
export function judgeRedirect(offer: Offer, answer: Believing, pins: readonly string[]): Redirect | string {
  const base = offer.base !== null ? parseBase(offer.base) : offer.location !== null ? baseOfLocation(offer.location, offer.suffix) : null;
  if (base === null) return 'it names no base that could be one: the same path under another http or https address';
  if (offer.hops >= hopsMax) return `it would be hop ${offer.hops + 1}; ${hopsMax} are the most`;
  const redirect = { base, ttlMs: ttlMsOf(offer.ttl), hops: offer.hops + 1 };
  if (mayBelieve(answer, pins)) return redirect;
  if (answer.over !== 'plain') return 'whoever sent it is not believed';
  if (!base.startsWith('https:')) return 'it is not signed, and leads to a server that has no certificate to be known by';
  // The list is compared again when that server is dialled; an empty one would leave it to the trust store.
  if (pins.length === 0) return 'it is not signed, and there is no list of fingerprints to know that server by';
  return redirect;
}

/** The list after a check-in; null: it stays as it is. */
export function judgePins(offered: readonly string[], answer: Believing, pins: readonly string[]): { readonly pins: readonly string[] } | { readonly refused: string } | null {
  // Never from a list to none: that would be the trust store's turn again.
  if (offered.length === 0 || (offered.length === pins.length && offered.every((pin) => pins.includes(pin)))) return null;
  if (!mayBelieve(answer, pins)) return { refused: 'the answer is not believed' };
  if (answer.over === 'tls' && answer.pin !== null && !offered.includes(answer.pin)) return { refused: 'the list lacks the very server that sent it, and would shut it out' };
  return { pins: offered };
}

// ---- which base is next ----

/** Where a destination is spoken to now. `untilMs` is on the clock that only grows. */
export interface Route {
  /** Which of the programmed bases; they are names of one server. */
  readonly home: number;
  readonly redirect: Place | null;
  /** A base that could not be used before its time was over: the programmed server is told, or it would send us there again. */
  readonly failed: Omit<Place, 'hops'> | null;
}

interface Place {
  readonly base: string;
  readonly untilMs: number;
  readonly hops: number;
}

export const firstRoute: Route = { home: 0, redirect: null, failed: null };

export const redirected = (route: Route, to: Redirect, monoMs: number): Route => ({ ...route, redirect: { base: to.base, untilMs: monoMs + to.ttlMs, hops: to.hops } });

/** Drops what has lasted its time. */
export function routeAt(route: Route, monoMs: number): Route {
  const isOver = (place: { readonly untilMs: number } | null) => place !== null && monoMs >= place.untilMs;
  if (!isOver(route.redirect) && !isOver(route.failed)) return route;
  return { ...route, redirect: isOver(route.redirect) ? null : route.redirect, failed: isOver(route.failed) ? null : route.failed };
}

/** After a failure at a base (connect, TLS, fingerprint, 401, 404): back home; from home, its next name. */
export function failedAt(route: Route, base: string, homes: readonly string[]): Route {
  if (route.redirect?.base === base) return { ...route, redirect: null, failed: { base, untilMs: route.redirect.untilMs } };
  return homes[route.home] === base && homes.length > 1 ? { ...route, home: (route.home + 1) % homes.length } : route;
}
