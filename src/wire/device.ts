// The device protocol's bytes: paths, lines, fields (docs/wire/device.md). Both ends use it: the gateway and our agent.
import { Fault } from '#base/fault.ts';

export const deviceRoot = '/v1/';
export const offsetMax = Number.MAX_SAFE_INTEGER;
const serialBytesMax = 128;
const nameBytesMax = 255;

export interface DevicePath {
  /** The customer's key. */
  readonly customer: string;
  /** `push`, `check-in`, `in`, `file`, `action`: the first part behind the customer. */
  readonly act: string;
  readonly serial: string;
  /** Parts behind the serial, decoded. */
  readonly rest: readonly string[];
  readonly query: string;
}

function decodePart(part: string, what: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Fault('bad-input', `${what} in the path is not percent-encoded UTF-8`);
  }
}

/** `target` as in the request line. null: not of this protocol. Faults `bad-input` and `not-found` say what is wrong with it. */
export function parseDevicePath(target: string): DevicePath | null {
  if (!target.startsWith(deviceRoot)) return null;
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  const [customer, act, serialPart, ...rest] = path.slice(deviceRoot.length).split('/');
  if (!customer || !act || !serialPart) throw new Fault('not-found', 'nothing is here: the path is /v1/CUSTOMER/push/SERIAL/FEED/EPOCH, or check-in, in, file');
  const serial = decodePart(serialPart, 'the serial');
  checkSerial(serial);
  return { customer, act, serial, rest: rest.map((part) => decodePart(part, 'a name')), query: mark < 0 ? '' : target.slice(mark + 1) };
}

/** Fault `bad-input` when it cannot be one. */
export function checkSerial(serial: string): void {
  const length = Buffer.byteLength(serial);
  if (length < 1 || length > serialBytesMax) throw new Fault('bad-input', `a serial has 1 to ${serialBytesMax} bytes, not ${length}`);
  // What nobody sees makes one serial look like another's on the list of those that wait.
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(serial)) throw new Fault('bad-input', 'a serial has no control characters, and none that nobody sees');
}

export function checkFeedName(name: string): void {
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name)) throw new Fault('bad-input', 'a feed\'s name is a-z or 0-9, then up to 63 of a-z, 0-9, ".", "-", "_"');
}

export function checkEpoch(epoch: string): void {
  if (!/^[0-9a-f]{16}$/.test(epoch)) throw new Fault('bad-input', 'an epoch is 16 hex digits in lower case');
}

export function checkFileName(name: string): void {
  const length = Buffer.byteLength(name);
  // Overrides of the direction make a program's name end in `.txt` (Unicode TR 36 §2.10).
  if (length < 1 || length > nameBytesMax || /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}/\\]/u.test(name) || name === '.' || name === '..') throw new Fault('bad-input', `a file's name has 1 to ${nameBytesMax} bytes, no control characters and no slash`);
}

/** Offsets have one spelling: decimal, no sign, no leading zero. Fault `bad-input`. */
export function parseOffset(text: string | null, what = 'o'): number {
  if (text === null || !/^(0|[1-9]\d{0,15})$/.test(text) || Number(text) > offsetMax) throw new Fault('bad-input', `${what}= must be an offset: decimal, 0 to ${offsetMax}`);
  return Number(text);
}

export interface DeclaredGap {
  readonly from: number;
  readonly to: number;
  readonly reason: string;
}

/** `X-Postern-Gap: FROM-TO;reason=WORD`. Fault `bad-input`. */
export function parseGap(text: string): DeclaredGap {
  const found = /^(\d{1,16})-(\d{1,16})(?:\s*;\s*reason=([a-z-]{1,32}))?$/.exec(text.trim());
  if (found === null) throw new Fault('bad-input', 'X-Postern-Gap reads FROM-TO;reason=WORD');
  const from = parseOffset(found[1]!, 'X-Postern-Gap');
  const to = parseOffset(found[2]!, 'X-Postern-Gap');
  if (to <= from) throw new Fault('bad-input', 'X-Postern-Gap must end behind its beginning');
  return { from, to, reason: found[3] ?? 'unknown' };
}

export const encodeGap = (gap: DeclaredGap): string => `${gap.from}-${gap.to};reason=${gap.reason}`;

export interface DeclaredStart {
  readonly at: number;
  /** The base of the server that has what is before; '' when the device does not say. */
  readonly from: string;
}

/** `X-Postern-Start: OFFSET;from=BASE`. Fault `bad-input`. */
export function parseStart(text: string): DeclaredStart {
  const found = /^(\d{1,16})(?:\s*;\s*from=([!-:<-~]{0,500}))?$/.exec(text.trim());
  if (found === null) throw new Fault('bad-input', 'X-Postern-Start reads OFFSET;from=BASE');
  return { at: parseOffset(found[1]!, 'X-Postern-Start'), from: found[2] ?? '' };
}

export const encodeStart = (start: DeclaredStart): string => `${start.at};from=${start.from}`;

/** The sha-256 of an RFC 9530 `Content-Digest` as hex; null when it names none. Fault `bad-input` when it cannot be read. */
export function parseContentDigest(text: string): string | null {
  const found = /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]*={0,2}):/.exec(text);
  if (found === null) return null;
  const bytes = Buffer.from(found[1]!, 'base64');
  if (bytes.length !== 32) throw new Fault('bad-input', 'the sha-256 of Content-Digest has not 32 bytes');
  return bytes.toString('hex');
}

export type Values = Readonly<Record<string, string | number | boolean>>;

/** Values as lines; control characters become spaces, so that a value is never two. */
export function encodeLines(values: Values): string {
  let text = '';
  for (const [key, value] of Object.entries(values)) {
    // eslint-disable-next-line no-control-regex
    text += `${key}=${typeof value === 'boolean' ? Number(value) : String(value).replace(/[\x00-\x1f\x7f]+/g, ' ')}\n`;
  }
  return text;
}

export function encodeJson(values: Values): string {
  return `${JSON.stringify(Object.fromEntries(Object.entries(values).map(([key, value]) => [key, typeof value === 'boolean' ? Number(value) : value])))}\n`;
}

/** Lines of an answer: up to the first `=` each; what is none is passed over, the first of two counts. */
export function parseLines(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const mark = line.indexOf('=');
    if (mark < 1) continue;
    const key = line.slice(0, mark);
    if (!values.has(key)) values.set(key, line.slice(mark + 1).replace(/\r$/, ''));
  }
  return values;
}

const checkInKey = /^[a-z][a-z0-9._-]{0,63}$/;

/** A space ends a value only where another pair follows it: names of devices have spaces. Word by word: looking ahead from each space would be quadratic. */
function pairsOf(line: string): string[] {
  const pairs: string[] = [];
  for (const word of line.split(' ')) {
    if (pairs.length === 0 || /^[a-z][a-z0-9._-]*=/.test(word)) pairs.push(word);
    else pairs[pairs.length - 1] += ` ${word}`;
  }
  return pairs;
}

/** The body of a check-in: `key=value` in lines, several in a line divided by spaces where each begins with a key. Bounded; what is no pair is passed over. */
export function parseCheckIn(text: string, pairsMax: number): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split(/[\r\n]+/)) {
    for (const part of pairsOf(line)) {
      const mark = part.indexOf('=');
      const key = part.slice(0, Math.max(mark, 0));
      if (mark < 1 || !checkInKey.test(key) || values.has(key)) continue;
      if (values.size >= pairsMax) return values;
      values.set(key, part.slice(mark + 1).trim().slice(0, 1_000));
    }
  }
  return values;
}

/** What a device says of one of its feeds: `EPOCH:NEXT:PENDING:LOST`. */
export interface SaidFeed {
  readonly name: string;
  readonly epoch: string;
  /** The first offset that it has not delivered. */
  readonly next: number;
  readonly pending: number;
  readonly lost: number;
}

/** null: it cannot be read. PENDING and LOST may be absent. */
export function parseSaidFeed(name: string, text: string): SaidFeed | null {
  const [epoch = '', next = '0', pending = '0', lost = '0', ...more] = text.split(':');
  try {
    checkFeedName(name);
    checkEpoch(epoch);
    return more.length > 0 ? null : { name, epoch, next: parseOffset(next), pending: parseOffset(pending), lost: parseOffset(lost) };
  } catch {
    return null;
  }
}

/** `sha256//` and base64, as curl writes a pin; null when it is none. */
export function parsePin(text: string): string | null {
  const found = /^sha256\/\/([A-Za-z0-9+/]{43}=)$/.exec(text.trim());
  return found === null ? null : `sha256//${found[1]}`;
}

/** A list as `pins=` has it. What is no pin is passed over. */
export const parsePins = (text: string): string[] => [...new Set(text.split(',').map(parsePin).filter((pin) => pin !== null))].slice(0, 16);

/** From the SHA-256 of the SPKI, hex. */
export const pinOfFingerprint = (hex: string): string => `sha256//${Buffer.from(hex, 'hex').toString('base64')}`;
