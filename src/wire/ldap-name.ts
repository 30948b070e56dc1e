// Whom an LDAP name speaks of: the domain that chooses the route, and the user beside it. The forms and their order are in docs/wire/ldap.md.
import { isUtf8 } from 'node:buffer';
import { Fault } from '#base/fault.ts';

export interface LdapName {
  /** Lower case, without a dot at its end; null when the name has none. */
  readonly domain: string | null;
  /** As sent; of a DN, the value of its first attribute. Null when empty. */
  readonly user: string | null;
}

const nobody: LdapName = { domain: null, user: null };

/** An attribute type and `=`: nothing else may begin a DN (RFC 4514 §3); `OID.` before numbers is of RFC 1779 §2.3. */
const beginsDn = /^ *(?:oid\.)?(?:[a-z][a-z0-9-]*|\d+(?:\.\d+)*) *=/i;
/** MS-ADTS §3.1.1.3.1.2.4. */
const directoryOwnForm = /^<(?:(?:GUID|SID)=[0-9a-fS-]+>$|WKGUID=[0-9a-f]+,(.*)>$)/is;
const domainComponents = new Set(['dc', 'domaincomponent', '0.9.2342.19200300.100.1.25']);

/** Throws Fault `protocol`; only for the readers of this room. */
export function wrong(why: string): never {
  throw new Fault('protocol', why);
}

/** The name of a bind. Throws Fault `protocol` when it could be understood in two ways or claims a domain that is none. */
export function readBindName(bytes: Buffer): LdapName {
  const name = textOf(bytes);
  if (name === '') return nobody;
  if (beginsDn.test(name)) return readDn(name);
  const backslash = name.indexOf('\\');
  if (backslash >= 0) {
    const user = name.slice(backslash + 1);
    if (user.includes('\\')) wrong('bind name with two backslashes');
    return { domain: domainOf(name.slice(0, backslash)), user: user || null };
  }
  const at = name.indexOf('@');
  if (at >= 0) {
    if (name.includes('@', at + 1)) wrong('bind name with two @');
    return { domain: domainOf(name.slice(at + 1)), user: name.slice(0, at) || null };
  }
  return { domain: null, user: name };
}

/** The base of a search: a DN, or one of Active Directory's own forms. Throws as `readBindName` does. */
export function readBaseDomain(bytes: Buffer): string | null {
  const name = textOf(bytes);
  const own = directoryOwnForm.exec(name);
  const dn = own ? (own[1] ?? '') : name;
  return beginsDn.test(dn) ? readDn(dn).domain : null;
}

function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) wrong('name that is not UTF-8');
  const text = bytes.toString();
  if (/\p{Cc}/u.test(text)) wrong('name with a control byte');
  return text;
}

/** Null for none and for an address literal, which names nobody (docs/decisions/0005). */
function domainOf(text: string): string | null {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  if (text === '') return null;
  if (/^\[?[0-9a-f:.]*:[0-9a-f:.]*\]?$/.test(name) || /^\d{1,3}(\.\d{1,3}){3}$/.test(name)) return null;
  const labels = name.split('.');
  if (name.length > 253) wrong('domain of more than 253 characters');
  // NetBIOS names may have underscores; a host name may not (RFC 952).
  const legal = labels.length === 1 ? /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/ : /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
  if (!labels.every((label) => legal.test(label))) wrong('domain that is no host name');
  if (/^\d+$/.test(labels.at(-1)!)) wrong('domain that ends in a number'); // WHATWG URL §3.5: some would read an address
  return name;
}

interface Attribute {
  /** Lower case. */
  readonly type: string;
  readonly value: string;
}

const attributeType = / *(?:oid\.)?([a-z][a-z0-9-]*|\d+(?:\.\d+)*) *= */iy;

/** RFC 4514 §3. */
function readDn(text: string): LdapName {
  const parts: Attribute[][] = [[]];
  for (let at = 0; ; ) {
    attributeType.lastIndex = at;
    const type = attributeType.exec(text);
    if (!type) wrong('DN with a part that is no attribute');
    const value = readValue(text, at + type[0].length);
    parts.at(-1)!.push({ type: type[1]!.toLowerCase(), value: value.text });
    if (value.end === text.length) break;
    if (text[value.end] === ',') parts.push([]);
    at = value.end + 1;
  }
  return { domain: suffixOf(parts), user: parts[0]![0]!.value || null };
}

/** All dc at the end, joined: RFC 2247 §2 backwards. */
function suffixOf(parts: readonly (readonly Attribute[])[]): string | null {
  const labels: string[] = [];
  for (const part of parts.toReversed()) {
    const [label, second] = part.filter(({ type }) => domainComponents.has(type));
    if (second) wrong('DN with two dc in one part');
    if (!label) break;
    if (label.value === '') wrong('DN with an empty dc');
    labels.unshift(label.value);
  }
  return domainOf(labels.join('.'));
}

const plainValue = /[^\\",+;<>]*/y;

/** A value and where it ends: at `,` or `+` that are not escaped, or at the end of the text. Spaces at its edges do not count unless escaped. */
function readValue(text: string, from: number): { text: string; end: number } {
  if (text[from] === '#') return readHexValue(text, from + 1);
  const parts: Buffer[] = [];
  for (let at = from; ; ) {
    plainValue.lastIndex = at;
    const plain = plainValue.exec(text)![0];
    at += plain.length;
    const end = text[at];
    if (end === undefined || end === ',' || end === '+') {
      // Most values have no escape, and nothing to be looked at twice.
      if (parts.length === 0) return { text: withoutEdge(plain), end: at };
      return { text: textOf(Buffer.concat([...parts, Buffer.from(withoutEdge(plain))])), end: at };
    }
    if (end !== '\\') wrong(`DN with ${end} that is not escaped`);
    const escaped = unescape(text.slice(at + 1, at + 3));
    parts.push(Buffer.from(plain), Buffer.from([escaped.byte]));
    at += 1 + escaped.chars;
  }
}

/** Without the spaces at its end; other blanks are part of a value. */
function withoutEdge(text: string): string {
  let end = text.length;
  while (text[end - 1] === ' ') end--;
  return text.slice(0, end);
}

/** RFC 4514 §3, `pair`; of the two characters behind the backslash. */
function unescape(pair: string): { byte: number; chars: number } {
  if (/^[0-9a-f]{2}$/i.test(pair)) return { byte: Number.parseInt(pair, 16), chars: 2 };
  if (/^[ "#+,;<=>\\]/.test(pair)) return { byte: pair.charCodeAt(0), chars: 1 };
  return wrong('DN with half an escape');
}

/** RFC 4514 §2.4: the BER of the value in hexadecimal. Of the string types that a dc or a user may have. */
function readHexValue(text: string, from: number): { text: string; end: number } {
  const hex = /^((?:[0-9a-f]{2})+) *(?=[,+]|$)/i.exec(text.slice(from));
  if (!hex) wrong('DN with a hexadecimal value that is none');
  const ber = Buffer.from(hex[1]!, 'hex');
  const size = ber[1];
  // A value over 127 bytes is neither a label nor a user of this world.
  if (size === undefined || size > 127 || ber.length !== 2 + size || ![0x04, 0x0c, 0x13, 0x16].includes(ber[0]!)) wrong('DN with a hexadecimal value that is no string');
  return { text: textOf(ber.subarray(2)), end: from + hex[0].length };
}
