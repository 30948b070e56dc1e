// Sets of serials as people write them: one, a pattern (`SN1*`), or a range (`SN100..SN199`).
import { matchesGlob } from './pattern.ts';

export interface SerialSet {
  /** As it was written. */
  readonly text: string;
  has(serial: string): boolean;
}

interface Span {
  readonly prefix: string;
  readonly low: string;
  readonly high: string;
}

const charsMax = 300;

/** Decimal digits without leading zeros: the longer one is the larger. */
const isAtMost = (a: string, b: string): boolean => a.length < b.length || (a.length === b.length && a <= b);

const splitDigits = (text: string): readonly [string, string] => {
  const digits = /\d*$/.exec(text)![0];
  return [text.slice(0, text.length - digits.length), digits];
};

/** Digits at the end of both, behind the same beginning; null when that is not what they are. */
function decimalSpan(from: string, to: string): Span | string | null {
  const [prefix, low] = splitDigits(from);
  const [other, high] = splitDigits(to);
  if (prefix !== other || low === '' || high === '') return null;
  const padded = (low.startsWith('0') && low.length > 1) || (high.startsWith('0') && high.length > 1);
  if (padded && low.length !== high.length) return `one of ${low} and ${high} begins with a zero: then both must have the same number of digits`;
  return isAtMost(low, high) ? { prefix, low, high } : `it ends before it begins: ${low} is more than ${high}`;
}

/** Hex digits of one letter case behind the same beginning, equally many: addresses of network cards, for example. */
function hexSpan(from: string, to: string): Span | string | null {
  if (from.length !== to.length) return null;
  let same = 0;
  while (same < from.length && from[same] === to[same]) same += 1;
  const [low, high] = [from.slice(same), to.slice(same)];
  if (!/^(?:[0-9A-F]+|[0-9a-f]+)$/.test(low + high)) return null;
  return low <= high ? { prefix: from.slice(0, same), low, high } : `it ends before it begins: ${low} is more than ${high}`;
}

function decimalHas({ prefix, low, high }: Span): (serial: string) => boolean {
  const sameLength = low.length === high.length;
  return (serial) => {
    const digits = serial.slice(prefix.length);
    if (!serial.startsWith(prefix) || digits.length < low.length || digits.length > high.length || !/^\d+$/.test(digits)) return false;
    // Where lengths differ, nothing is padded: SN007 is not SN7.
    if (!sameLength && digits.length > 1 && digits.startsWith('0')) return false;
    return isAtMost(low, digits) && isAtMost(digits, high);
  };
}

function hexHas({ prefix, low, high }: Span): (serial: string) => boolean {
  const wanted = /[a-f]/.test(low + high) ? /^[0-9a-f]+$/ : /^[0-9A-F]+$/;
  return (serial) => {
    const digits = serial.slice(prefix.length);
    return serial.startsWith(prefix) && digits.length === low.length && wanted.test(digits) && low <= digits && digits <= high;
  };
}

/** The set, or what is wrong with the text. A serial with two dots in it can be written with `?` for one of them. */
export function parseSerialSet(text: string): SerialSet | string {
  if (text === '' || text.length > charsMax) return `must have 1 to ${charsMax} characters`;
  const dots = text.indexOf('..');
  if (dots < 0) return { text, has: /[*?]/.test(text) ? (serial) => matchesGlob(text, serial) : (serial) => serial === text };
  const [from, to] = [text.slice(0, dots), text.slice(dots + 2)];
  if (from === '' || to === '' || to.includes('..')) return 'a range reads FIRST..LAST, like SN100..SN199';
  const decimal = decimalSpan(from, to);
  if (typeof decimal === 'string') return decimal;
  if (decimal !== null) return { text, has: decimalHas(decimal) };
  const hex = hexSpan(from, to);
  if (typeof hex === 'string') return hex;
  if (hex !== null) return { text, has: hexHas(hex) };
  return `"${from}" and "${to}" are no range: both must begin alike and end in digits, or in equally many hex digits`;
}
