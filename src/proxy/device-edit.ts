// How heads change between a device's public name and the device itself, both ways. Pure.
import { withoutBlanks } from '#base/blanks.ts';
import { withoutOurCookies } from '#model/host-cookie.ts';
import type { DevicePort } from '#model/rows.ts';
import { is, type HeadEdit } from '#wire/http1-fields.ts';

/** What the translation knows of one device under one public name. */
export interface DeviceNames {
  /** `https://printer1.gw.example.test:8443` */
  readonly publicOrigin: string;
  readonly publicSecure: boolean;
  /** `http://127.0.0.1:8080` (without a default port) */
  readonly ownOrigin: string;
  /** The device's host as the agent dials it, lower case. */
  readonly ownHost: string;
  /** Public host without port: for devices that answer with the name they were asked for. */
  readonly publicHost: string;
  /** The origin of another port of the same device; null when it has no such port. */
  originOfPort(port: number): string | null;
  readonly translateOrigin: boolean;
}

function requestValue(name: string, value: string, names: DeviceNames): string | null {
  switch (name) {
    case 'cookie':
      return withoutOurCookies(value);
    case 'origin':
      return names.translateOrigin && value === names.publicOrigin ? names.ownOrigin : value;
    case 'referer':
      return names.translateOrigin && (value === names.publicOrigin || value.startsWith(`${names.publicOrigin}/`)) ? names.ownOrigin + value.slice(names.publicOrigin.length) : value;
    default:
      return value;
  }
}

/** `//host/…` and `http(s)://host:port/…` that mean the device itself, as the client must call it; everything else unchanged. */
export function translateAddress(value: string, names: DeviceNames): string {
  const match = /^(https?:)?\/\/([^/?#]+)(.*)$/is.exec(value);
  if (!match) return value;
  const authority = match[2]!.toLowerCase();
  const colon = authority.lastIndexOf(':');
  const bracket = authority.lastIndexOf(']');
  const host = colon > bracket ? authority.slice(0, colon) : authority;
  const scheme = match[1]?.toLowerCase() ?? (names.ownOrigin.startsWith('https:') ? 'https:' : 'http:');
  const port = colon > bracket ? Number(authority.slice(colon + 1)) : scheme === 'https:' ? 443 : 80;
  const rest = match[3] === '' ? '/' : match[3]!;
  if (host === names.ownHost || `[${names.ownHost}]` === host) {
    const origin = names.originOfPort(port);
    return origin === null ? value : origin + rest;
  }
  // A device that was told the public name builds its addresses from it, with the scheme it speaks itself.
  if (host === names.publicHost) return names.publicOrigin + rest;
  return value;
}

/** `5; url='…'`. In steps: one pattern for the whole value can be made to try every way to cut a run of blanks, which takes hours. */
function translateRefresh(value: string, names: DeviceNames): string {
  const before = /^\s*\d+\s*;\s*url\s*=\s*/i.exec(value)?.[0].length;
  if (before === undefined) return value;
  const from = value[before] === '"' || value[before] === "'" ? before + 1 : before;
  const quote = value.slice(from).search(/['"]/);
  const to = quote < 0 ? value.length : from + quote;
  if (withoutBlanks(value.slice(to + 1)) !== '') return value;
  return value.slice(0, from) + translateAddress(value.slice(from, to), names) + value.slice(to);
}

function answerValue(name: string, value: string, names: DeviceNames): string | null {
  switch (name) {
    case 'location':
    case 'content-location':
      return translateAddress(value, names);
    case 'refresh':
      return translateRefresh(value, names);
    case 'set-cookie':
      return translateSetCookie(value, names.publicSecure);
    default:
      return value;
  }
}

/**
 * A cookie of a device stays on its own host: `Domain` goes, our names cannot be set, and `Secure` goes where the client came over
 * plain HTTP (with `SameSite=None`, which browsers refuse without it).
 */
export function translateSetCookie(value: string, publicSecure: boolean): string | null {
  const parts = value.split(';');
  // `=name=v` is a cookie without a name that comes back as `name=v` (RFC 6265bis §5.7 refuses it; older browsers do not).
  if (/^[\s=]*__(?:host|secure)-postern/i.test(parts[0]!)) return null;
  const kept = parts.filter((part, i) => {
    if (i === 0) return true;
    const attribute = part.trim().toLowerCase();
    if (attribute.startsWith('domain=') || attribute === 'domain') return false;
    return publicSecure || (attribute !== 'secure' && attribute !== 'samesite=none' && attribute !== 'partitioned');
  });
  return kept.length === parts.length ? value : kept.join(';');
}

/** Towards a device that sees its own address as Host. */
export const toDeviceOwnHost: HeadEdit<DeviceNames> = { drop: is.hop | is.forwarded | is.ours | is.host, ask: is.cookie | is.origin | is.referer, value: requestValue };
/** Towards a device that sees the public name. */
export const toDevicePublicHost: HeadEdit<DeviceNames> = { drop: is.hop | is.forwarded | is.ours, ask: is.cookie | is.origin | is.referer, value: requestValue };
export const fromDevice: HeadEdit<DeviceNames> = { drop: is.hop | is.ours | is.siteWide, ask: is.location | is.setCookie | is.refresh, value: answerValue };

export function originOf(scheme: 'http' | 'https', host: string, port: number): string {
  const bracketed = host.includes(':') ? `[${host}]` : host;
  return `${scheme}://${bracketed}${port === (scheme === 'https' ? 443 : 80) ? '' : `:${port}`}`;
}

/** What `Host` says to a device under its own address. */
export function ownAuthority(host: string, port: Pick<DevicePort, 'kind' | 'number'>): string {
  return originOf(port.kind === 'https' ? 'https' : 'http', host, port.number).replace(/^https?:\/\//, '');
}
