// The one question that every SNMPv3 engine answers without credentials: who are you, and what is your time (RFC 3412, RFC 3414 §4 and §3.2 step 3)? It tells
// a device whose credentials are others from one that is filtered, which SNMP v1 and v2c cannot.
import { derAt, derParts, integer, octets, sequence, tagged } from './der.ts';
import type { DerElement } from './der.ts';

const version3 = 3;
/** RFC 3414: the user-based security model. */
const userBased = 3;
/** RFC 3412 §6.4: send a report when this cannot be processed. */
const reportable = 0x04;
const messageBytesMax = 65_507;
const reportTag = 0xa8;

/** What the counters of a report are below (RFC 3414 §5, usmStats). */
export const usmStats = '1.3.6.1.6.3.15.1.1';
export const unknownUserNames = `${usmStats}.3.0`;
export const unknownEngineIds = `${usmStats}.4.0`;

/** `id`: 0 … 2³¹ − 1; the answer has it. Empty engine, empty user, nothing asked. */
export function encodeDiscovery(id: number): Buffer {
  const empty = octets();
  const pdu = tagged(0, integer(id), integer(0), integer(0), sequence());
  return sequence(
    integer(version3),
    sequence(integer(id), integer(messageBytesMax), octets(Buffer.from([reportable])), integer(userBased)),
    octets(sequence(empty, integer(0), integer(0), empty, empty, empty)),
    sequence(empty, empty, pdu),
  );
}

export interface DiscoveryReport {
  readonly id: number;
  /** RFC 3411 says 5 to 32 bytes; what came is not corrected. */
  readonly engineId: Buffer;
  readonly boots: number;
  readonly timeSeconds: number;
  /** The counter that the report is about, usually `unknownEngineIds`; null: it names none. */
  readonly counter: string | null;
}

const isTag = (element: DerElement | undefined, tag: number): element is DerElement => element?.tag === tag;

/** Not negative and below 2³²; null otherwise. BER allows zeros in front. */
function numberOf(element: DerElement | undefined): number | null {
  if (!isTag(element, 0x02) || element.value.length === 0 || element.value[0]! & 0x80) return null;
  const digits = element.value.subarray(element.value.findIndex((byte) => byte !== 0));
  if (element.value.every((byte) => byte === 0)) return 0;
  return digits.length > 4 ? null : digits.readUIntBE(0, digits.length);
}

/** Dotted text of an object identifier's value; null: it is none, or has parts of more than 32 bits. */
export function oidText(value: Buffer): string | null {
  if (value.length === 0 || value.at(-1)! & 0x80) return null;
  const parts: number[] = [];
  let part = 0;
  for (const byte of value) {
    part = part * 128 + (byte & 0x7f);
    if (part > 0xffff_ffff) return null;
    if (byte & 0x80) continue;
    // X.690 §8.19.4: the first two arcs share a number.
    if (parts.length === 0) parts.push(Math.min(Math.floor(part / 40), 2), part - 40 * Math.min(Math.floor(part / 40), 2));
    else parts.push(part);
    part = 0;
  }
  return parts.join('.');
}

/** The report that answers a discovery; null for everything else. Never throws. */
export function parseDiscoveryReport(bytes: Buffer): DiscoveryReport | null {
  const whole = derAt(bytes);
  // Some engines fill the datagram up behind the message.
  if (!isTag(whole ?? undefined, 0x30)) return null;
  const [version, global, security, scoped] = derParts(whole!.value, 8) ?? [];
  if (numberOf(version) !== version3 || !isTag(global, 0x30) || !isTag(security, 0x04) || !isTag(scoped, 0x30)) return null;
  const [id, , , model] = derParts(global.value, 8) ?? [];
  const inner = derAt(security.value);
  if (numberOf(model) !== userBased || !isTag(inner ?? undefined, 0x30)) return null;
  const [engineId, boots, time] = derParts(inner!.value, 8) ?? [];
  const pdu = derParts(scoped.value, 8)?.[2];
  const [idNumber, bootsNumber, timeNumber] = [numberOf(id), numberOf(boots), numberOf(time)];
  if (!isTag(engineId, 0x04) || !isTag(pdu, reportTag) || idNumber === null || bootsNumber === null || timeNumber === null) return null;
  return { id: idNumber, engineId: Buffer.from(engineId.value), boots: bootsNumber, timeSeconds: timeNumber, counter: counterOf(pdu.value) };
}

function counterOf(pdu: Buffer): string | null {
  const list = derParts(pdu, 8)?.[3];
  const first = isTag(list, 0x30) ? derAt(list.value) : null;
  const name = first?.tag === 0x30 ? derAt(first.value) : null;
  return name?.tag === 0x06 ? oidText(name.value) : null;
}

export interface MessageSecurity {
  readonly isSigned: boolean;
  readonly isEncrypted: boolean;
  /** Readable as a report; never true of what is encrypted. */
  readonly isReport: boolean;
}

/** How an SNMPv3 message is protected, by what it says itself (RFC 3412 §6.4); null: it is none. Never throws. */
export function securityOf(bytes: Buffer): MessageSecurity | null {
  const whole = derAt(bytes);
  if (whole?.tag !== 0x30) return null;
  const [version, global, security, scoped] = derParts(whole.value, 8) ?? [];
  if (numberOf(version) !== version3 || !isTag(global, 0x30) || !isTag(security, 0x04) || scoped === undefined) return null;
  const flags = derParts(global.value, 8)?.[2];
  if (!isTag(flags, 0x04) || flags.value.length !== 1) return null;
  const isEncrypted = (flags.value[0]! & 0x02) !== 0;
  return { isSigned: (flags.value[0]! & 0x01) !== 0, isEncrypted, isReport: !isEncrypted && isTag(scoped, 0x30) && derParts(scoped.value, 8)?.[2]?.tag === reportTag };
}
