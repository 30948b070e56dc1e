// One field's text as a value of its type. What does not fit is said, and is nothing: never a guess.
import { localTimeMs } from '../zone.ts';
import type { FieldType, FieldValue } from './fields.ts';

export interface ColumnSpec {
  readonly name: string;
  readonly type: FieldType;
  /** null: the usual one of the type. */
  readonly format: string | null;
  /** null: UTC. */
  readonly zone: string | null;
}

/** `wrong`: what the column is called in the complaint. An empty text is no value. */
export function readValue(column: ColumnSpec, text: string): { readonly value: FieldValue; readonly wrong: string | null } {
  if (column.type === 'text') return { value: text, wrong: null };
  const trimmed = text.trim();
  if (trimmed === '') return { value: null, wrong: null };
  const value = column.type === 'integer' ? integerOf(trimmed) : column.type === 'decimal' ? decimalOf(trimmed) : column.type === 'time' ? timeOf(trimmed, column) : durationOf(trimmed, column.format ?? 'seconds');
  return value === null ? { value: null, wrong: `${column.name}: "${trimmed.slice(0, 60)}" is no ${column.type}` } : { value, wrong: null };
}

function integerOf(text: string): FieldValue {
  if (!/^[+-]?\d{1,30}$/.test(text)) return null;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : text.replace(/^\+/, '');
}

/** A comma is a decimal comma where there is no point. */
function decimalOf(text: string): FieldValue {
  const plain = /^[+-]?\d{0,30},\d{1,30}$/.test(text) ? text.replace(',', '.') : text;
  return /^[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})$/.test(plain) ? plain.replace(/^\+/, '').replace(/^(-?)\./, '$10.').replace(/\.$/, '') : null;
}

/** Seconds. */
function durationOf(text: string, format: string): FieldValue {
  if (format === 'h:m:s' || format === "h:m's") {
    const found = /^(?:(\d{1,6}):)?(\d{1,4})[:']([0-5]?\d(?:[.,]\d{1,6})?)"?$/.exec(text);
    return found ? round(Number(found[1] ?? 0) * 3_600 + Number(found[2]) * 60 + Number(found[3]!.replace(',', '.'))) : null;
  }
  if (format === 'hmmss') {
    const found = /^(\d{1,4}?)([0-5]\d)([0-5]\d)$/.exec(text);
    return found ? Number(found[1]) * 3_600 + Number(found[2]) * 60 + Number(found[3]) : null;
  }
  // Avaya's: hours, minutes, tenths of minutes.
  if (format === 'hmmt') {
    const found = /^(\d)([0-5]\d)(\d)$/.exec(text);
    return found ? Number(found[1]) * 3_600 + Number(found[2]) * 60 + Number(found[3]) * 6 : null;
  }
  const unit = { seconds: 1, ms: 0.001, minutes: 60, tenths: 0.1 }[format];
  if (unit === undefined || !/^\d{1,15}(\.\d{1,9})?$/.test(text)) return null;
  return round(Number(text) * unit);
}

const round = (seconds: number) => Math.round(seconds * 1e6) / 1e6;
const isoText = (ms: number): string | null => (Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 && ms >= -62_135_596_800_000 && ms < 253_402_300_800_000 ? new Date(ms).toISOString() : null);

function timeOf(text: string, { format, zone }: ColumnSpec): FieldValue {
  if (format === 'unix' || format === 'unix-ms') {
    if (!/^-?\d{1,15}(\.\d{1,9})?$/.test(text)) return null;
    // Systems write 0 for a moment that never was.
    return Number(text) === 0 ? null : isoText(Math.round(Number(text) * (format === 'unix' ? 1_000 : 1)));
  }
  const parts = format === null || format === 'iso' ? isoParts(text) : partsBy(format, text);
  if (!parts) return null;
  const { year, month, day, hour, minute, second, ms, offsetMinutes } = parts;
  const local = Date.UTC(year, month - 1, day, hour, minute, second, ms);
  const back = new Date(local);
  if (year < 100 || back.getUTCMonth() !== month - 1 || back.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) return null;
  if (offsetMinutes !== null) return isoText(local - offsetMinutes * 60_000);
  return isoText(zone === null ? local : localTimeMs(local, zone));
}

interface TimeParts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  ms: number;
  /** null: not said. */
  offsetMinutes: number | null;
}

function isoParts(text: string): TimeParts | null {
  const found = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(Z|[+-]\d\d:?\d\d)?)?$/.exec(text);
  if (!found) return null;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', zone] = found;
  return { year: Number(year), month: Number(month), day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(second), ms: msOf(fraction), offsetMinutes: zone === undefined ? null : offsetOf(zone) };
}

const msOf = (fraction: string) => Math.floor(Number(`0.${fraction || '0'}`) * 1_000);
function offsetOf(text: string): number {
  if (text === 'Z') return 0;
  const [, sign, hours, minutes] = /^([+-])(\d\d):?(\d\d)$/.exec(text)!;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const fieldsOfTime: Readonly<Record<string, RegExp>> = { Y: /^\d{4}/, y: /^\d\d/, m: /^\d{1,2}/, d: /^\d{1,2}/, H: /^\d{1,2}/, I: /^\d{1,2}/, M: /^\d\d/, S: /^\d\d/, f: /^\d{1,9}/, b: /^[A-Za-z]{3}/, p: /^[AaPp]\.?[Mm]\.?/, z: /^(Z|[+-]\d\d:?\d\d)/ };

/** Letters as strftime(3) has them; any run of blanks in the pattern is any run of blanks. */
function partsBy(format: string, text: string): TimeParts | null {
  const parts: TimeParts = { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, ms: 0, offsetMinutes: null };
  let rest = text;
  let isAfternoon: boolean | null = null;
  for (const [token] of format.matchAll(/%.|\s+|[^%\s]/gs)) {
    if (/^\s/.test(token)) {
      rest = rest.trimStart();
      continue;
    }
    const wanted = token[0] === '%' ? fieldsOfTime[token[1] ?? ''] : undefined;
    if (!wanted) {
      if (!rest.startsWith(token)) return null;
      rest = rest.slice(token.length);
      continue;
    }
    // Two digits where no sign divides them: 112026 is %m%d%y.
    const found = wanted.exec(rest)?.[0];
    if (found === undefined) return null;
    rest = rest.slice(found.length);
    switch (token[1]) {
      case 'Y': parts.year = Number(found); break;
      case 'y': parts.year = Number(found) + (Number(found) < 70 ? 2_000 : 1_900); break;
      case 'm': parts.month = Number(found); break;
      case 'd': parts.day = Number(found); break;
      case 'H': case 'I': parts.hour = Number(found); break;
      case 'M': parts.minute = Number(found); break;
      case 'S': parts.second = Number(found); break;
      case 'f': parts.ms = msOf(found); break;
      case 'p': isAfternoon = /^[Pp]/.test(found); break;
      case 'z': parts.offsetMinutes = offsetOf(found); break;
      case 'b': parts.month = months.indexOf(found.toLowerCase()) + 1; break;
    }
  }
  if (rest.trim() !== '' || parts.month < 1) return null;
  if (isAfternoon !== null) {
    if (parts.hour < 1 || parts.hour > 12) return null;
    parts.hour = (parts.hour % 12) + (isAfternoon ? 12 : 0);
  }
  return parts;
}
