// Names and addresses inside SIP heads: URIs, name-addr, lists, parameters (RFC 3261 §19, §20, §25). Everything answers null instead of guessing,
// because whom a request is for decides where it goes.
import { withoutBlanks } from '#base/blanks.ts';
import { canonicalAddress } from '#base/cidr.ts';

export interface SipUri {
  /** Lower case: `sip`, `sips`, `tel`, `urn` or whatever was written. */
  readonly scheme: string;
  /** Canonical (docs/wire/sip.md); the number of a tel URI; null without one. */
  readonly user: string | null;
  /** Canonical; null for schemes that have none. */
  readonly host: string | null;
  readonly port: number | null;
  /** Names in lower case, values as written; '' without a value. */
  readonly params: ReadonlyMap<string, string>;
  /** Header fields behind a `?`: for links on pages, not for a Request-URI (RFC 3261 §19.1.1). */
  readonly hasFields: boolean;
}

export interface NameAddr {
  /** As written, without the angle brackets. */
  readonly text: string;
  readonly uri: SipUri;
  /** Those of the header field, not of the URI. */
  readonly params: ReadonlyMap<string, string>;
}

/** Characters of a token (RFC 3261 §25.1), for use inside a class. */
export const tokenChars = "A-Za-z0-9\\-.!%*_+`'~";

/** One spelling: lower case, no final dot, IPv6 in brackets and shortest. Null when it names no host. */
export function canonicalSipHost(text: string): string | null {
  if (text.startsWith('[')) {
    const address = text.endsWith(']') ? canonicalAddress(text.slice(1, -1)) : null;
    if (address === null) return null;
    return address.includes(':') ? `[${address}]` : address;
  }
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  // A last label of digits is an address or nothing (RFC 3261 §25.1: toplabel begins with a letter).
  if (/(^|\.)[0-9]+$/.test(name)) return name === text ? canonicalAddress(name) : null;
  if (name === '' || name.length > 253) return null;
  // An underscore is in no name of a host, but in that of many a phone.
  return name.split('.').every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label)) ? name : null;
}

/** Escapes undone only where they stand for a printable character other than `%`, so that no two users become one. */
function canonicalUser(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (escaped, hex: string) => {
    const code = parseInt(hex, 16);
    return code > 0x20 && code < 0x7f && code !== 0x25 ? String.fromCharCode(code) : escaped.toUpperCase();
  });
}

/** RFC 3261 §19.1.1; other schemes are taken apart only as far as tel needs it (RFC 3966). */
export function parseSipUri(text: string): SipUri | null {
  // Blanks, quotes, angle brackets, backslashes and bytes above ASCII are never part of a URI.
  if (!/^[a-z][a-z0-9+.-]*:[\x21\x23-\x3b\x3d\x3f-\x5b\x5d-\x7e]+$/i.test(text) || /%(?![0-9a-f]{2})/i.test(text)) return null;
  const colon = text.indexOf(':');
  const scheme = text.slice(0, colon).toLowerCase();
  const rest = text.slice(colon + 1);
  if (scheme === 'tel') return { scheme, user: canonicalUser(rest.split(';', 1)[0]!), host: null, port: null, params: new Map(), hasFields: false };
  if (scheme !== 'sip' && scheme !== 'sips') return { scheme, user: null, host: null, port: null, params: new Map(), hasFields: false };
  const at = rest.indexOf('@');
  if (at === 0 || rest.indexOf('@', at + 1) >= 0) return null;
  const user = at < 0 ? null : canonicalUser(rest.slice(0, at).split(':', 1)[0]!);
  if (user === '') return null;
  const match = /^(\[[^\]]*\]|[^:;?]*)(?::([0-9]{1,5}))?(;[^?]*)?(\?.*)?$/.exec(rest.slice(at + 1));
  if (!match) return null;
  const host = canonicalSipHost(match[1]!);
  const port = match[2] === undefined ? null : Number(match[2]);
  const params = parseParams(match[3] ?? '');
  if (host === null || params === null || (port !== null && (port < 1 || port > 65_535))) return null;
  return { scheme, user, host, port, params, hasFields: match[4] !== undefined };
}

/** Cuts at `separator` outside of quoted strings and angle brackets; null while one of those is open at the end. */
export function splitOutside(text: string, separator: ',' | ';'): string[] | null {
  const parts: string[] = [];
  let from = 0;
  let quoted = false;
  let angled = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (quoted) {
      if (char === '\\') at++;
      else if (char === '"') quoted = false;
    } else if (angled) {
      if (char === '>') angled = false;
    } else if (char === '"') quoted = true;
    else if (char === '<') angled = true;
    else if (char === separator) {
      parts.push(withoutBlanks(text.slice(from, at)));
      from = at + 1;
    }
  }
  if (quoted || angled) return null;
  parts.push(withoutBlanks(text.slice(from)));
  return parts;
}

const PARAM = new RegExp(`^([${tokenChars}\\[\\]/:&$]+)(?:[ \\t]*=[ \\t]*("(?:[^"\\\\]|\\\\.)*"|[^\\s";,<>]+))?$`);

/** `;a=b;c`, blanks around the signs allowed; null when it is anything else or a name comes twice. */
export function parseParams(text: string): ReadonlyMap<string, string> | null {
  const params = new Map<string, string>();
  const trimmed = withoutBlanks(text);
  if (trimmed === '') return params;
  const parts = splitOutside(trimmed, ';');
  if (parts === null || parts[0] !== '') return null;
  for (const part of parts.slice(1)) {
    const match = PARAM.exec(part);
    if (!match) return null;
    const name = match[1]!.toLowerCase();
    if (params.has(name)) return null;
    params.set(name, match[2] ?? '');
  }
  return params;
}

// Without quotes only tokens are legal (RFC 3261 §25.1), but devices write `Smith (Sales) <sip:…>`; the address is beyond doubt all the same.
const DISPLAY = /^(?:"(?:[^"\\]|\\.)*"[ \t]*|[^"<>,;\\]*)$/;

/** `"Name" <uri>;params` or `uri;params` (RFC 3261 §20.10: without brackets what follows a semicolon belongs to the field). */
export function parseNameAddr(value: string): NameAddr | null {
  const parts = splitOutside(value, ';');
  if (parts === null) return null;
  const first = parts[0]!;
  const params = parseParams(parts.length === 1 ? '' : `;${parts.slice(1).join(';')}`);
  if (params === null) return null;
  let text = first;
  if (first.endsWith('>')) {
    const open = first.lastIndexOf('<');
    if (open < 0 || !DISPLAY.test(first.slice(0, open))) return null;
    text = first.slice(open + 1, -1);
  } else if (/[,?]/.test(first)) return null;
  const uri = parseSipUri(text);
  return uri && { text, uri, params };
}
