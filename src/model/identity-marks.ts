// Weak marks of a client: what kind of program it is, and the serial that it claims. Anybody can show both; they tell clients apart, never who one is.
import { hash } from 'node:crypto';
import { type ClientHello, helloCodes } from '#wire/tls.ts';
import { type Fields, fieldOf } from '#wire/http1-fields.ts';

const userAgentCharsMax = 512;

/** An update of a program is no other program. */
const withoutVersions = (userAgent: string): string => userAgent.slice(0, userAgentCharsMax).replace(/[0-9]+(?:[._-][0-9A-Za-z]+)*/g, '#').toLowerCase();

/**
 * 16 hex digits that are equal for equal kinds of clients; null when there is nothing to tell them by. It is asked for each connection, not for
 * each request.
 */
export function shapeOf(userAgent: string | null | undefined, tlsShape: string | null): string | null {
  const agent = userAgent === null || userAgent === undefined || userAgent === '' ? '' : withoutVersions(userAgent);
  if (agent === '' && tlsShape === null) return null;
  return hash('sha256', `${agent}\n${tlsShape ?? ''}`, 'hex').slice(0, 16);
}

/**
 * What one program sends only now and then: server_name and ALPN (by address or by name), padding, session tickets and what resuming adds
 * (RFC 8446 §4.2.10, §4.2.11). JA4 counts them, so a client that resumes would look like two.
 */
const passingExtensions: ReadonlySet<number> = new Set([0, 16, 21, 35, 41, 42, 44]);

/** A TLS client's kind, as text for `shapeOf`. */
export function tlsShapeOf(hello: ClientHello): string {
  const { suites, extensions, groups } = helloCodes(hello);
  const lasting = extensions.filter((type) => !passingExtensions.has(type)).sort((a, b) => a - b);
  return `${suites.join('.')}_${lasting.join('.')}_${groups?.join('.') ?? ''}`;
}

/** Headers in which makers' programs name their machine's serial. */
const serialHeaders: readonly string[] = ['x-serial-number', 'x-device-serial', 'x-device-serial-number', 'x-printer-serial', 'x-mfp-serial'];

/** `SN=ABC123`, `S/N: ABC123`, `serial/ABC123`, `SerialNumber=ABC123`; the mark stands at a word's beginning. */
const inUserAgent = /(?:^|[\s;,(/[])(?:s\/?n\s?[=:]|serial(?:[ _-]?(?:no|number|num))?\s?[=:/])\s?"?([0-9A-Za-z][0-9A-Za-z._-]{3,63})(?![0-9A-Za-z._-])/i;

/** 4 to 64 letters, digits, dots, hyphens and underscores, with a digit among them: words like `number` are none, and versions neither. */
function plausible(text: string): string | null {
  const serial = text.trim();
  return /^[0-9A-Za-z][0-9A-Za-z._-]{3,63}$/.test(serial) && /[0-9]/.test(serial) && !/^[0-9]+(?:\.[0-9]+)+$/.test(serial) ? serial : null;
}

/** The serial that a request names; null when it names none that could be one. */
export function claimedSerialOf(fields: Fields): string | null {
  for (const name of serialHeaders) {
    const value = fieldOf(fields, name);
    if (value !== undefined) return plausible(value);
  }
  const userAgent = fieldOf(fields, 'user-agent');
  const found = userAgent === undefined ? null : inUserAgent.exec(userAgent.slice(0, userAgentCharsMax));
  return found === null ? null : plausible(found[1]!.replace(/[._-]+$/, ''));
}
