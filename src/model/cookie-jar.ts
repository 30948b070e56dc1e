// Cookies of an application, kept for a device that keeps none (RFC 6265 §5.2 to §5.4, for one host): the gateway is the user agent here.
// A panel asks for the same few pages again and again, so a line that was made once is given again until a cookie changes or runs out.
import { withoutBlanks } from '#base/blanks.ts';
import { parseAddress } from '#base/cidr.ts';
import { limits } from '#base/limits.ts';

export interface CookieJar {
  /**
   * Values of Set-Cookie lines (latin1) that answered a request for `requestPath` (a query in it is ignored). `secure`: whether the
   * application takes the way to it for a safe one (§5.4: scheme https); its cookies marked Secure are used on no other.
   */
  take(setCookieValues: readonly string[], requestPath: string, secure: boolean, nowMs: number): void;
  /** The value of a Cookie line; empty without any. Cookies that the device sent itself come last, and none that the jar has too. */
  cookieLine(path: string, secure: boolean, nowMs: number, fromDevice: string | null): string;
  /** Names alone, in the order of arrival: values are secrets. */
  names(nowMs: number): readonly string[];
  /** Of names, values and paths. */
  readonly bytes: number;
  /** Of the lines that are kept ready; at most twice `cookieJarBytesMax`, and the last one. */
  readonly lineBytes: number;
  clear(): void;
}

interface Cookie {
  readonly key: string;
  readonly name: string;
  readonly value: string;
  readonly path: string;
  readonly secure: boolean;
  /** Infinity: until the session ends. */
  readonly expiresAt: number;
  /** Grows with each new one; a cookie that is set again keeps its number (§5.3 step 11.3). */
  readonly order: number;
  usedAt: number;
}

interface Line {
  readonly text: string;
  readonly cookies: readonly Cookie[];
  readonly until: number;
  usedAt: number;
  /** The last line that a device sent beside it, and what came of both. */
  fromDevice: string | null;
  joined: string;
}

const attributeCharsMax = 1024;
const linesMax = 64;
const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const earliest = Number.NEGATIVE_INFINITY;

/** §5.1.1; milliseconds since 1970, null when it is no date. */
export function parseCookieDate(text: string): number | null {
  let time: RegExpExecArray | null = null;
  let day: number | null = null;
  let month: number | null = null;
  let year: number | null = null;
  for (const token of text.split(/[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+/)) {
    if (token === '') continue;
    if (time === null && (time = /^(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D|$)/.exec(token)) !== null) continue;
    const number = /^(\d{1,4})(?:\D|$)/.exec(token)?.[1];
    if (day === null && number !== undefined && number.length <= 2) {
      day = Number(number);
      continue;
    }
    const named = months.indexOf(token.slice(0, 3).toLowerCase());
    if (month === null && named >= 0) {
      month = named;
      continue;
    }
    if (year === null && number !== undefined && number.length >= 2) year = Number(number);
  }
  if (time === null || day === null || month === null || year === null) return null;
  if (year >= 70 && year <= 99) year += 1900;
  else if (year <= 69) year += 2000;
  const [hour, minute, second] = [Number(time[1]), Number(time[2]), Number(time[3])];
  if (day < 1 || year < 1601 || hour > 23 || minute > 59 || second > 59) return null;
  const at = Date.UTC(year, month, day, hour, minute, second);
  // The 31st of February is no date.
  return new Date(at).getUTCDate() === day ? at : null;
}

/** §5.1.4, without the query. */
function pathOf(target: string): string {
  const end = target.search(/[?#]/);
  return end < 0 ? target : target.slice(0, end);
}

function defaultPath(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash <= 0 || path[0] !== '/' ? '/' : path.slice(0, slash);
}

function pathMatches(path: string, cookiePath: string): boolean {
  if (!path.startsWith(cookiePath)) return false;
  return path.length === cookiePath.length || cookiePath.endsWith('/') || path[cookiePath.length] === '/';
}

/** §5.1.3; `host` as in an address, an IPv6 one without brackets. */
function domainMatches(host: string, domain: string): boolean {
  return host === domain || (host.endsWith(`.${domain}`) && parseAddress(host) === null);
}

/** What would end a header line, or become another byte when it is written as latin1. */
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\0-\x08\x0a-\x1f\x7f]|[^\0-\xff]/;

interface Read {
  name: string;
  value: string;
  /** Null: the default. */
  path: string | null;
  domain: string | null;
  secure: boolean;
  /** Null: not said. */
  maxAgeS: number | null;
  expiresAt: number | null;
}

/** §5.2; null: to be ignored. */
function parseSetCookie(text: string): Read | null {
  if (UNSAFE.test(text)) return null;
  const [pair, ...attributes] = text.split(';', 33);
  const equals = pair!.indexOf('=');
  if (equals < 0) return null;
  const read: Read = { name: withoutBlanks(pair!.slice(0, equals)), value: withoutBlanks(pair!.slice(equals + 1)), path: null, domain: null, secure: false, maxAgeS: null, expiresAt: null };
  if (read.name === '') return null;
  for (const attribute of attributes) {
    const at = attribute.indexOf('=');
    const name = withoutBlanks(at < 0 ? attribute : attribute.slice(0, at)).toLowerCase();
    const value = at < 0 ? '' : withoutBlanks(attribute.slice(at + 1));
    if (value.length > attributeCharsMax) continue;
    if (name === 'expires') read.expiresAt = parseCookieDate(value) ?? read.expiresAt;
    else if (name === 'max-age' && /^-?\d+$/.test(value)) read.maxAgeS = Number(value);
    else if (name === 'domain' && value !== '') read.domain = value.replace(/^\./, '').toLowerCase();
    else if (name === 'path') read.path = value.startsWith('/') ? value : null;
    else if (name === 'secure') read.secure = true;
  }
  return read;
}

/** Prefixes promise something of a cookie (draft-ietf-httpbis-rfc6265bis §4.1.3); one that breaks the promise is none. */
function keepsPromise(read: Read, secure: boolean): boolean {
  const name = read.name.toLowerCase();
  if (name.startsWith('__secure-')) return read.secure && secure;
  return !name.startsWith('__host-') || (read.secure && secure && read.domain === null && read.path === '/');
}

/**
 * `host`: of the application's address as the device names it, lower case, without port; a cookie for another domain is dropped. null: the
 * device uses several names for it; then domains are not looked at, since all cookies go back to the application that set them anyway.
 */
export function buildCookieJar(host: string | null, bounds: { readonly cookiesPerJarMax: number; readonly cookieBytesMax: number; readonly cookieJarBytesMax: number } = limits): CookieJar {
  const cookies = new Map<string, Cookie>();
  const lines = new Map<string, Line>();
  let bytes = 0;
  let orders = 0;
  let lineBytes = 0;
  /** Whether the path of a request matters at all: mostly every cookie has "/". */
  let isOnePath = true;

  const sizeOf = (cookie: Pick<Cookie, 'name' | 'value' | 'path'>) => cookie.name.length + cookie.value.length + cookie.path.length;
  const drop = (cookie: Cookie) => {
    if (cookies.delete(cookie.key)) bytes -= sizeOf(cookie);
  };
  const forgetLines = () => {
    for (const line of lines.values()) for (const cookie of line.cookies) cookie.usedAt = Math.max(cookie.usedAt, line.usedAt);
    lines.clear();
    lineBytes = 0;
  };
  const dropExpired = (nowMs: number) => {
    for (const cookie of cookies.values()) if (cookie.expiresAt <= nowMs) drop(cookie);
  };
  /** The least lately used goes first. */
  const makeRoom = (nowMs: number) => {
    forgetLines();
    dropExpired(nowMs);
    while (cookies.size > bounds.cookiesPerJarMax || bytes > bounds.cookieJarBytesMax) {
      let oldest: Cookie | undefined;
      for (const cookie of cookies.values()) if (oldest === undefined || cookie.usedAt < oldest.usedAt || (cookie.usedAt === oldest.usedAt && cookie.order < oldest.order)) oldest = cookie;
      drop(oldest!);
    }
  };
  const takeOne = (text: string, requestPath: string, secure: boolean, nowMs: number) => {
    const read = parseSetCookie(text);
    if (read === null || !keepsPromise(read, secure) || /^__(?:host|secure)-postern/i.test(read.name)) return;
    if (host !== null && read.domain !== null && !domainMatches(host, read.domain)) return;
    const path = read.path ?? defaultPath(requestPath);
    if (sizeOf({ ...read, path }) > bounds.cookieBytesMax) return;
    const expiresAt = read.maxAgeS !== null ? (read.maxAgeS <= 0 ? earliest : nowMs + read.maxAgeS * 1000) : read.expiresAt ?? Number.POSITIVE_INFINITY;
    // Neither a name nor a path has a semicolon.
    const key = `${read.name};${host === null ? '' : (read.domain ?? host)};${path}`;
    let before = cookies.get(key);
    if (before && before.expiresAt <= nowMs) {
      drop(before);
      before = undefined;
    }
    // Who listens on a line that is not safe could else replace what only safe ones carry (rfc6265bis §5.7 step 9).
    if (before?.secure && !secure) return;
    // Many applications set their session's cookie with every answer: what was made of it stands.
    if (before && before.value === read.value && before.secure === read.secure && before.expiresAt === expiresAt && expiresAt > nowMs) {
      before.usedAt = nowMs;
      return;
    }
    forgetLines();
    if (before) drop(before);
    if (expiresAt <= nowMs) return;
    const cookie = { key, name: read.name, value: read.value, path, secure: read.secure, expiresAt, order: before?.order ?? orders++, usedAt: nowMs };
    cookies.set(key, cookie);
    bytes += sizeOf(cookie);
  };

  const makeLine = (path: string, secure: boolean, nowMs: number): Line => {
    dropExpired(nowMs);
    const chosen = [...cookies.values()].filter((cookie) => (secure || !cookie.secure) && pathMatches(path, cookie.path));
    // §5.4 step 2: longer paths first, then the older ones.
    chosen.sort((a, b) => b.path.length - a.path.length || a.order - b.order);
    const until = chosen.reduce((least, cookie) => Math.min(least, cookie.expiresAt), Number.POSITIVE_INFINITY);
    return { text: chosen.map((cookie) => `${cookie.name}=${cookie.value}`).join('; '), cookies: chosen, until, usedAt: nowMs, fromDevice: null, joined: '' };
  };
  const lineOf = (path: string, secure: boolean, nowMs: number): Line => {
    const key = isOnePath ? (secure ? 's' : 'p') : `${secure ? 's' : 'p'}${path}`;
    const known = lines.get(key);
    if (known !== undefined && nowMs < known.until) {
      known.usedAt = nowMs;
      return known;
    }
    // With every path another line, as many as there are paths: start over rather than grow.
    if (known !== undefined || lines.size >= linesMax || lineBytes > 2 * bounds.cookieJarBytesMax) forgetLines();
    const line = makeLine(isOnePath ? '/' : path, secure, nowMs);
    lines.set(key, line);
    lineBytes += key.length + line.text.length;
    return line;
  };

  return {
    take(values, target, secure, nowMs) {
      const requestPath = pathOf(target);
      for (const text of values) {
        takeOne(text, requestPath, secure, nowMs);
        if (cookies.size > bounds.cookiesPerJarMax || bytes > bounds.cookieJarBytesMax) makeRoom(nowMs);
      }
      isOnePath = true;
      for (const cookie of cookies.values()) if (cookie.path !== '/') isOnePath = false;
    },
    cookieLine(target, secure, nowMs, fromDevice) {
      if (cookies.size === 0) return fromDevice ?? '';
      const line = lineOf(isOnePath ? '/' : pathOf(target), secure, nowMs);
      if (fromDevice === null || fromDevice === '') return line.text;
      if (line.fromDevice === fromDevice) return line.joined;
      lineBytes += fromDevice.length - (line.fromDevice?.length ?? 0) - line.joined.length;
      line.fromDevice = fromDevice;
      line.joined = joinLines(line, fromDevice);
      lineBytes += line.joined.length;
      return line.joined;
    },
    names: (nowMs) => [...cookies.values()].filter((cookie) => cookie.expiresAt > nowMs).sort((a, b) => a.order - b.order).map((cookie) => cookie.name),
    get bytes() {
      return bytes;
    },
    get lineBytes() {
      return lineBytes;
    },
    clear() {
      cookies.clear();
      lines.clear();
      bytes = 0;
      lineBytes = 0;
      isOnePath = true;
    },
  };
}

function joinLines(line: Line, fromDevice: string): string {
  const taken = new Set(line.cookies.map((cookie) => cookie.name));
  let text = line.text;
  for (const part of fromDevice.split(';')) {
    const pair = withoutBlanks(part);
    const equals = pair.indexOf('=');
    // A server takes a pair without "=" for a name, or for a value without one: then it is nobody's rival.
    if (pair === '' || taken.has(withoutBlanks(equals < 0 ? pair : pair.slice(0, equals)))) continue;
    text += text === '' ? pair : `; ${pair}`;
  }
  return text;
}
