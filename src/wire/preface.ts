// The first bytes of a stream (docs/wire/tunnel.md §5): the opener's preface and the other end's one answer.
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';

export type StreamKind = 'tcp' | 'udp' | 'service';

export interface Preface {
  readonly kind: StreamKind;
  /** `host:port` towards an agent, `device/port` towards a gateway, a service's name. */
  readonly target: string;
  /** Address of the client, for the agent's log. */
  readonly client?: string;
  readonly visit?: string;
  /** How long the opener waits for the answer. */
  readonly deadlineMs?: number;
  /** Peer of the connection that the stream carries, and where that was accepted; canonical addresses. */
  readonly from?: PrefacePlace;
  readonly at?: PrefacePlace;
  /** The peer's, `02:00:5e:10:00:01`. */
  readonly mac?: string;
  readonly door?: string;
}

export interface PrefacePlace {
  readonly address: string;
  readonly port: number;
}

export const AnswerCode = { ok: 0, policy: 1, unreachable: 2, timeout: 3, busy: 4, unsupported: 5, forbidden: 6, offline: 7, badPreface: 8, internal: 9 } as const;

export interface PrefaceAnswer {
  readonly code: number;
  readonly text: string;
}

export const prefaceHeadBytes = 4;
const prefaceMagic = 0x50;
const prefaceVersion = 1;
const answerMagic = 0x70;
const answerTextBytesMax = 1024;
const FieldType = { kind: 1, target: 2, client: 3, visit: 4, deadline: 5, from: 6, at: 7, mac: 8, door: 9 } as const;
const macBytes = 6;

const utf8 = new TextDecoder('utf-8', { fatal: true });

function textOf(bytes: Buffer, name: string): string {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (error) {
    throw new Fault('bad-input', `the preface's ${name} is not UTF-8`, { cause: error });
  }
  // eslint-disable-next-line no-control-regex
  if (/[\x00-\x1f\x7f]/.test(text)) throw new Fault('bad-input', `the preface's ${name} has a control character`);
  return text;
}

function isKind(text: string): text is StreamKind {
  return text === 'tcp' || text === 'udp' || text === 'service';
}

/** Names are refused: what a connection comes from is an address. */
function placeOf(text: string, name: string): PrefacePlace {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15})):([1-9][0-9]{0,4})$/.exec(text);
  const address = match && canonicalAddress((match[1] ?? match[2])!);
  const port = Number(match?.[3]);
  if (!match || !address || port > 65_535) throw new Fault('bad-input', `the preface's ${name} is not address:port`);
  return { address, port };
}

const placeText = ({ address, port }: PrefacePlace): string => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);

/** Length of the fields that follow the 4 bytes of `head`. Fault `bad-input`, or `unsupported` for another version. */
export function parsePrefaceHead(head: Buffer, fieldBytesMax: number): number {
  if (head[0] !== prefaceMagic) throw new Fault('bad-input', 'the stream does not begin with a preface');
  if (head[1] !== prefaceVersion) throw new Fault('unsupported', `preface version ${head[1]} is unknown`);
  const length = head.readUInt16BE(2);
  if (length > fieldBytesMax) throw new Fault('bad-input', `a preface of ${length} bytes is longer than ${fieldBytesMax}`);
  return length;
}

/** Faults `bad-input`, `unsupported` (a kind, or a field of type 128 and above, that we do not know). */
export function parsePrefaceFields(fields: Buffer): Preface {
  let kind: StreamKind | undefined;
  let target: string | undefined;
  const rest: { client?: string; visit?: string; deadlineMs?: number; from?: PrefacePlace; at?: PrefacePlace; mac?: string; door?: string } = {};
  let at = 0;
  while (at < fields.length) {
    if (fields.length - at < 3) throw new Fault('bad-input', 'a field of the preface is cut short');
    const type = fields[at]!;
    const length = fields.readUInt16BE(at + 1);
    at += 3;
    if (length > fields.length - at) throw new Fault('bad-input', 'a field of the preface is longer than the preface');
    const value = fields.subarray(at, at + length);
    at += length;
    if (type === FieldType.kind) {
      if (kind !== undefined) throw new Fault('bad-input', 'the preface names its kind twice');
      const text = textOf(value, 'kind');
      if (!isKind(text)) throw new Fault('unsupported', `streams of kind "${text.slice(0, 40)}" are unknown`);
      kind = text;
    } else if (type === FieldType.target) {
      if (target !== undefined) throw new Fault('bad-input', 'the preface names its target twice');
      target = textOf(value, 'target');
    } else if (type === FieldType.client) rest.client = textOf(value, 'client');
    else if (type === FieldType.visit) rest.visit = textOf(value, 'visit');
    else if (type === FieldType.deadline) {
      if (length !== 4) throw new Fault('bad-input', 'the preface’s deadline must have four bytes');
      rest.deadlineMs = value.readUInt32BE(0);
    } else if (type === FieldType.from) rest.from = placeOf(textOf(value, 'from'), 'from');
    else if (type === FieldType.at) rest.at = placeOf(textOf(value, 'at'), 'at');
    else if (type === FieldType.mac) {
      if (length !== macBytes) throw new Fault('bad-input', 'the preface’s mac must have six bytes');
      rest.mac = value.toString('hex').replace(/..(?!$)/g, '$&:');
    } else if (type === FieldType.door) rest.door = textOf(value, 'door');
    else if (type >= 128) throw new Fault('unsupported', `field ${type} of the preface is unknown and must be understood`);
  }
  if (kind === undefined || target === undefined || target === '') throw new Fault('bad-input', 'the preface names no kind or no target');
  return { kind, target, ...rest };
}

/** Undefined while it is not whole. Faults as the two functions above. */
export function parsePreface(bytes: Buffer, fieldBytesMax: number): { preface: Preface; bytes: number } | undefined {
  if (bytes.length < prefaceHeadBytes) return undefined;
  const end = prefaceHeadBytes + parsePrefaceHead(bytes, fieldBytesMax);
  if (bytes.length < end) return undefined;
  return { preface: parsePrefaceFields(bytes.subarray(prefaceHeadBytes, end)), bytes: end };
}

export function encodePreface(preface: Preface): Buffer {
  const fields: [type: number, value: Buffer][] = [
    [FieldType.kind, Buffer.from(preface.kind)],
    [FieldType.target, Buffer.from(preface.target)],
  ];
  if (preface.client !== undefined) fields.push([FieldType.client, Buffer.from(preface.client)]);
  if (preface.visit !== undefined) fields.push([FieldType.visit, Buffer.from(preface.visit)]);
  if (preface.deadlineMs !== undefined) {
    const value = Buffer.allocUnsafe(4);
    value.writeUInt32BE(Math.min(0xffff_ffff, Math.max(0, Math.round(preface.deadlineMs))), 0);
    fields.push([FieldType.deadline, value]);
  }
  if (preface.from !== undefined) fields.push([FieldType.from, Buffer.from(placeText(preface.from))]);
  if (preface.at !== undefined) fields.push([FieldType.at, Buffer.from(placeText(preface.at))]);
  if (preface.mac !== undefined) fields.push([FieldType.mac, Buffer.from(preface.mac.replaceAll(':', ''), 'hex')]);
  if (preface.door !== undefined) fields.push([FieldType.door, Buffer.from(preface.door)]);
  let length = 0;
  for (const [, value] of fields) length += 3 + value.length;
  if (length > 0xffff) throw new Fault('bad-input', 'the preface is too long');
  const bytes = Buffer.allocUnsafe(prefaceHeadBytes + length);
  bytes[0] = prefaceMagic;
  bytes[1] = prefaceVersion;
  bytes.writeUInt16BE(length, 2);
  let at = prefaceHeadBytes;
  for (const [type, value] of fields) {
    bytes[at] = type;
    bytes.writeUInt16BE(value.length, at + 1);
    value.copy(bytes, at + 3);
    at += 3 + value.length;
  }
  return bytes;
}

/** Length of the text that follows the 4 bytes of `head`. Fault `protocol`. */
export function parseAnswerHeadOfStream(head: Buffer): number {
  if (head[0] !== answerMagic) throw new Fault('protocol', 'the stream’s first bytes are not an answer to its preface');
  const length = head.readUInt16BE(2);
  if (length > answerTextBytesMax) throw new Fault('protocol', `an answer of ${length} bytes is longer than ${answerTextBytesMax}`);
  return length;
}

/** Undefined while it is not whole. Fault `protocol`. */
export function parsePrefaceAnswer(bytes: Buffer): { answer: PrefaceAnswer; bytes: number } | undefined {
  if (bytes.length < prefaceHeadBytes) return undefined;
  const end = prefaceHeadBytes + parseAnswerHeadOfStream(bytes);
  if (bytes.length < end) return undefined;
  return { answer: { code: bytes[1]!, text: bytes.toString('utf8', prefaceHeadBytes, end) }, bytes: end };
}

/** The text is cut to 1,024 bytes at a character's end. */
export function encodePrefaceAnswer(answer: PrefaceAnswer): Buffer {
  let text = Buffer.from(answer.text);
  if (text.length > answerTextBytesMax) {
    let cut = answerTextBytesMax;
    while (cut > 0 && (text[cut]! & 0xc0) === 0x80) cut--;
    text = text.subarray(0, cut);
  }
  const bytes = Buffer.allocUnsafe(prefaceHeadBytes + text.length);
  bytes[0] = answerMagic;
  bytes[1] = answer.code;
  bytes.writeUInt16BE(text.length, 2);
  text.copy(bytes, prefaceHeadBytes);
  return bytes;
}
