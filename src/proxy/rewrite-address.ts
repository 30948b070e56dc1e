// Where a session's prefix goes into an address: `/x` and `http://our.host/x`, not `x`, `#x`, `//other/x` or `data:`.

/** Finds the place for the prefix: its index, and whether a slash has to follow it; -1 where the address is to be left alone. */
export interface Place {
  index: number;
  slash: boolean;
}

export interface Prefixing {
  /** `/s/SID` */
  readonly prefix: string;
  /** Writes into `place`, which is used again for the next address. */
  find(address: string): Place;
  /** The address with its prefix. */
  apply(address: string): string;
}

const SLASH = 47;
const BACKSLASH = 92;
// Browsers take a backslash for a slash in addresses of the web (WHATWG URL, special schemes).
const isSlash = (code: number) => code === SLASH || code === BACKSLASH;

const bareHost = (authority: string): string => {
  const lower = authority.toLowerCase();
  return lower.endsWith(':80') ? lower.slice(0, -3) : lower.endsWith(':443') ? lower.slice(0, -4) : lower;
};

function authorityEnd(address: string, from: number): number {
  let at = from;
  for (; at < address.length; at++) {
    const code = address.charCodeAt(at);
    if (isSlash(code) || code === 63 || code === 35) break;
  }
  return at;
}

/** `host`: the authority by which the client calls us, with its port. */
export function buildPrefixing(prefix: string, host: string): Prefixing {
  const own = bareHost(host);
  const place: Place = { index: -1, slash: false };

  const find = (address: string): Place => {
    place.index = -1;
    place.slash = false;
    let at = 0;
    while (at < address.length && address.charCodeAt(at) <= 32) at += 1;
    const first = address.charCodeAt(at);
    if (isSlash(first)) {
      if (isSlash(address.charCodeAt(at + 1))) {
        const end = authorityEnd(address, at + 2);
        if (bareHost(address.slice(at + 2, end)) !== own) return place;
        at = end;
      }
    } else if (first === 104 || first === 72) {
      const scheme = /^https?:[/\\]{2}/i.exec(address.slice(at, at + 8))?.[0].length;
      if (scheme === undefined) return place;
      const end = authorityEnd(address, at + scheme);
      if (bareHost(address.slice(at + scheme, end)) !== own) return place;
      at = end;
    } else return place;
    if (address.startsWith(prefix, at)) {
      const next = address.charCodeAt(at + prefix.length);
      if (at + prefix.length === address.length || isSlash(next) || next === 63 || next === 35) return place;
    }
    place.index = at;
    place.slash = !isSlash(address.charCodeAt(at));
    return place;
  };
  return {
    prefix,
    find,
    apply(address) {
      const { index, slash } = find(address);
      return index < 0 ? address : `${address.slice(0, index)}${prefix}${slash ? '/' : ''}${address.slice(index)}`;
    },
  };
}

const NAMED: Readonly<Record<string, string>> = { amp: '&', quot: '"', apos: "'", lt: '<', gt: '>', sol: '/', bsol: '\\', colon: ':', period: '.', num: '#', quest: '?', Tab: '\t', NewLine: '\n' };
const REFERENCE = /&(?:#[xX]([0-9a-fA-F]{1,6})|#(\d{1,7})|([A-Za-z]{2,8})(?=;));?/g;

function referenced(match: RegExpExecArray | RegExpMatchArray): string | undefined {
  if (match[3] !== undefined) return NAMED[match[3]];
  const code = match[1] === undefined ? Number(match[2]) : Number.parseInt(match[1], 16);
  // One character for one reference, as bytes of the page: what lies beyond is no part of what we look for.
  return code > 0 && code < 128 ? String.fromCharCode(code) : '\u00ff';
}

/** An attribute's value as its reader has it; null where it has references that are not known here. */
export function decodeReferences(value: string): string | null {
  if (!value.includes('&')) return value;
  let isKnown = true;
  const decoded = value.replace(REFERENCE, (whole, hex: string | undefined, decimal: string | undefined, name: string | undefined) => {
    const code = hex === undefined ? (decimal === undefined ? -1 : Number(decimal)) : Number.parseInt(hex, 16);
    const text = name === undefined ? (code > 0 && code < 128 ? String.fromCharCode(code) : undefined) : NAMED[name];
    if (text === undefined) isKnown = false;
    return text ?? whole;
  });
  return isKnown ? decoded : null;
}

/** A value without quotes ends at a blank (WHATWG HTML §13.2.5.37): one that was a reference must not begin the next attribute. */
export const encodeReferences = (value: string, isQuoted: boolean): string => value.replace(isQuoted ? /[&<>"']/g : /[&<>"'`=\s]/g, (c) => `&#${c.charCodeAt(0)};`);

/** An attribute's address with its prefix. Some frameworks write every slash of it as a reference. */
export function applyToAttribute(prefixing: Prefixing, value: string): string {
  if (!value.includes('&')) return prefixing.apply(value);
  let decoded = '';
  let from = 0;
  /** Index behind each reference in `decoded` and in `value`. */
  const marks: number[] = [];
  for (const match of value.matchAll(REFERENCE)) {
    const text = referenced(match);
    if (text === undefined) continue;
    decoded += value.slice(from, match.index) + text;
    from = match.index + match[0].length;
    marks.push(decoded.length, from);
  }
  decoded += value.slice(from);
  const { index, slash } = prefixing.find(decoded);
  if (index < 0) return value;
  let [decodedAt, at] = [0, 0];
  for (let i = 0; i < marks.length && marks[i]! <= index; i += 2) [decodedAt, at] = [marks[i]!, marks[i + 1]!];
  at += index - decodedAt;
  return `${value.slice(0, at)}${prefixing.prefix}${slash ? '/' : ''}${value.slice(at)}`;
}
