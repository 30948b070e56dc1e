// What devices write, made fit to keep: texts in whatever encoding, serial numbers that are none, MAC addresses, device ids of IEEE 1284.
import type { Pattern } from '../pattern.ts';
import type { SnmpValue } from './asking.ts';

const textMax = 255;
/** Where a pattern takes a part out of it: device ids name their serial number behind much else. */
export const longTextMax = 2_000;

/** One line without control characters, blanks at the ends and runs of blanks; null: nothing is left. */
export function tidy(text: string | null | undefined, max = textMax): string | null {
  if (text === null || text === undefined) return null;
  const out = text.replace(/[\p{Cc}\p{Cf}\ufffd\s]+/gu, ' ').trim().slice(0, max).trim();
  return out === '' ? null : out;
}

/** Bytes that are no UTF-8 are taken for latin1, which older devices write; numbers and OIDs as they are shown. */
export function textOf(value: SnmpValue | undefined, max = textMax): string | null {
  if (value === undefined || value.type === 'missing') return null;
  if (value.type !== 'octets' && value.type !== 'opaque') return String(value.value);
  if (value.text !== undefined) return tidy(value.text, max);
  const bytes = Buffer.from(value.value, 'base64');
  const utf8 = bytes.toString('utf8');
  return tidy(utf8.includes('\ufffd') ? bytes.toString('latin1').replace(/[\u0080-\u009f]/g, ' ') : utf8, max);
}

/** A number, also where it is written in digits; null: none, or one that JSON does not keep. */
export function numberOf(value: SnmpValue | undefined): number | null {
  if (value === undefined || value.type === 'missing' || value.type === 'oid' || value.type === 'address') return null;
  if (typeof value.value === 'number') return value.value;
  const text = value.type === 'counter64' ? value.value : textOf(value);
  if (text === null || !/^\d{1,16}$/.test(text)) return null;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : null;
}

/** The first group, or the one named `value`; all of it without a pattern or without groups. */
export function extract(value: SnmpValue | undefined, pattern: Pattern | null): string | null {
  const text = textOf(value, pattern === null ? textMax : longTextMax);
  if (text === null || pattern === null) return text;
  const groups = pattern.groups(text);
  return groups === null ? null : tidy(groups.named['value'] ?? groups.all[1] ?? groups.all[0]);
}

const noSerials = new Set(['n/a', 'na', 'none', 'null', 'unknown', 'not available', 'not set', 'not specified', 'undefined', 'default', 'default string', 'serial number', 'to be filled by o.e.m.']);

/** null where makers put something in its place: X, zeros, dashes, "unknown". */
export function cleanSerial(text: string | null, ignored: readonly Pattern[]): string | null {
  const serial = tidy(text);
  if (serial === null || serial.length < 3 || serial.length > 64 || !/^[\x20-\x7e]+$/.test(serial)) return null;
  const letters = serial.replace(/[\s._:-]/g, '').toLowerCase();
  if (letters === '' || noSerials.has(serial.toLowerCase()) || new Set(letters).size === 1) return null;
  return ignored.some((pattern) => pattern.test(serial)) ? null : serial;
}

/** Two ways of writing one serial: letters' case, blanks and dashes do not count. */
export const sameSerial = (a: string, b: string): boolean => a.replace(/[\s-]/g, '').toUpperCase() === b.replace(/[\s-]/g, '').toUpperCase();

const defaultTexts = [/edit \/etc\/snmp\/snmpd/i, /sitting on the dock of the bay/i, /^\(none\)$/i, /^localhost(?:\.localdomain)?$/i, /^(?:unknown|not set|none|n\/a|-+|printer|default)$/i, /^0\.0\.0\.0$/];

/** null: what comes out of the box, which tells nothing. */
export function cleanText(text: string | null): string | null {
  const clean = tidy(text);
  return clean === null || defaultTexts.some((each) => each.test(clean)) ? null : clean;
}

/** A model without its maker's name before it. */
export function cleanModel(text: string | null, makers: readonly string[]): string | null {
  let model = cleanText(text);
  for (const maker of makers) {
    if (model !== null && model.length > maker.length && model.toLowerCase().startsWith(maker.toLowerCase()) && /[\s_-]/.test(model[maker.length]!)) {
      model = cleanText(model.slice(maker.length + 1));
    }
  }
  return model === null ? null : model.slice(0, 120);
}

/** Lower case with colons; null: not of six bytes, or none that a card has. */
export function macOf(value: SnmpValue | undefined): string | null {
  if (value === undefined || value.type !== 'octets') return null;
  return macOfBytes(Buffer.from(value.value, 'base64'));
}

export function macOfBytes(bytes: Buffer): string | null {
  // Zeros are loopback; a first byte that is odd is a group.
  if (bytes.length !== 6 || bytes.every((byte) => byte === 0) || (bytes[0]! & 1) === 1) return null;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** What an IEEE 1284 device id names, by short upper-case key: MFG, MDL, CMD, CLS, SN, DES. */
export type DeviceId = ReadonlyMap<'MFG' | 'MDL' | 'CMD' | 'CLS' | 'SN' | 'DES', string>;

const longKeys: Readonly<Record<string, 'MFG' | 'MDL' | 'CMD' | 'CLS' | 'SN' | 'DES'>> = {
  MFG: 'MFG', MANUFACTURER: 'MFG', MDL: 'MDL', MODEL: 'MDL', CMD: 'CMD', 'COMMAND SET': 'CMD', CLS: 'CLS', CLASS: 'CLS', SN: 'SN', SERN: 'SN', SERIAL: 'SN', SERIALNUMBER: 'SN', 'SERIAL NUMBER': 'SN', DES: 'DES', DESCRIPTION: 'DES',
};

/**
 * `MFG:…;MDL:…;`, as sloppy as they come: line ends for semicolons or beside them, blanks around keys, keys in small letters, two bytes of length before it.
 * The first of two equal keys counts.
 */
export function parseDeviceId(text: string | null): DeviceId {
  const out = new Map<'MFG' | 'MDL' | 'CMD' | 'CLS' | 'SN' | 'DES', string>();
  if (text === null) return out;
  // The parallel port's length in two bytes, of which the first is always small.
  const from = /^[\0-\x08\x0b\x0c\x0e-\x1f]/.test(text) ? 2 : 0;
  for (const part of text.slice(from, 4_096).split(/[;\r\n]+/)) {
    const colon = part.indexOf(':');
    if (colon < 0) continue;
    const name = part.slice(0, colon).trim().toUpperCase();
    const key = Object.hasOwn(longKeys, name) ? longKeys[name] : undefined;
    const value = tidy(part.slice(colon + 1));
    if (key !== undefined && value !== null && !out.has(key)) out.set(key, value);
  }
  return out;
}
