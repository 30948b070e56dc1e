// TSIG (RFC 8945): DNS messages signed with a key that both sides hold.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { dnsClasses, dnsNameAt, dnsTypes, encodeDnsName, parseDnsMessage, rcodeName } from './dns.ts';

export const tsigAlgorithms = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const;
export type TsigAlgorithm = (typeof tsigAlgorithms)[number];

export interface TsigKey {
  /** As the server's configuration names it. */
  readonly name: string;
  readonly algorithm: TsigAlgorithm;
  readonly secret: Buffer;
}

/** RFC 8945 §10: five minutes is what everybody takes. */
const fudgeSeconds = 300;

function time48(seconds: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(seconds, 0, 6);
  return bytes;
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

/** RFC 8945 §4.3.3: the record without its MAC, as it is signed. */
function variables(key: TsigKey, seconds: number, fudge: number, error: number, other: Buffer): Buffer {
  return Buffer.concat([
    encodeDnsName(key.name)!, uint16(dnsClasses.ANY), Buffer.alloc(4), encodeDnsName(key.algorithm)!, time48(seconds), uint16(fudge), uint16(error), uint16(other.length), other,
  ]);
}

const macOf = (key: TsigKey, ...parts: readonly Buffer[]): Buffer => parts.reduce((mac, part) => mac.update(part), createHmac(key.algorithm.slice('hmac-'.length), key.secret)).digest();

/** `message` without additional records. null: the key's name does not fit into DNS. */
export function signDnsMessage(message: Buffer, key: TsigKey, nowMs: number): { readonly message: Buffer; readonly mac: Buffer } | null {
  const name = encodeDnsName(key.name);
  if (!name) return null;
  const seconds = Math.floor(nowMs / 1000);
  const mac = macOf(key, message, variables(key, seconds, fudgeSeconds, 0, Buffer.alloc(0)));
  const data = Buffer.concat([encodeDnsName(key.algorithm)!, time48(seconds), uint16(fudgeSeconds), uint16(mac.length), mac, message.subarray(0, 2), uint16(0), uint16(0)]);
  const signed = Buffer.concat([message, name, uint16(dnsTypes.TSIG), uint16(dnsClasses.ANY), Buffer.alloc(4), uint16(data.length), data]);
  signed.writeUInt16BE(signed.readUInt16BE(10) + 1, 10);
  return { message: signed, mac };
}

export interface TsigRecord {
  readonly keyName: string;
  readonly algorithm: string;
  readonly seconds: number;
  readonly fudge: number;
  readonly mac: Buffer;
  readonly originalId: number;
  readonly error: number;
  readonly other: Buffer;
  /** Where the record begins. */
  readonly at: number;
}

/** The last record of a message, when it is a TSIG (RFC 8945 §5.1). */
export function tsigOf(message: Buffer): TsigRecord | null {
  const parsed = parseDnsMessage(message);
  const record = parsed?.additional.at(-1);
  if (!parsed || !record || record.type !== dnsTypes.TSIG || record.cls !== dnsClasses.ANY || record.ttl !== 0) return null;
  const algorithm = dnsNameAt(message, record.dataAt);
  const end = record.dataAt + record.data.length;
  if (!algorithm || algorithm.end + 10 > end) return null;
  const macAt = algorithm.end + 10;
  const macEnd = macAt + message.readUInt16BE(algorithm.end + 8);
  if (macEnd + 6 > end || macEnd + 6 + message.readUInt16BE(macEnd + 4) !== end) return null;
  return {
    keyName: record.name, algorithm: algorithm.name, seconds: message.readUIntBE(algorithm.end, 6), fudge: message.readUInt16BE(algorithm.end + 6), mac: message.subarray(macAt, macEnd),
    originalId: message.readUInt16BE(macEnd), error: message.readUInt16BE(macEnd + 2), other: message.subarray(macEnd + 6, end), at: parsed.lastRecordAt,
  };
}

/** Of the answer to a request that `requestMac` signed: null when it is genuine, or why it is not to be believed. */
export function tsigRefusal(answer: Buffer, key: TsigKey, requestMac: Buffer, nowMs: number): string | null {
  const tsig = tsigOf(answer);
  if (!tsig) return 'the answer is not signed';
  // RFC 8945 §5.2.1, §5.2.2: a server that does not know the key, or finds the signature wrong, cannot sign its answer either.
  if (tsig.mac.length === 0 && tsig.error !== 0) return whyError(tsig.error, key);
  if (tsig.keyName !== key.name.replace(/\.$/, '').toLowerCase() || tsig.algorithm !== key.algorithm) return 'the answer is signed with another key or algorithm';
  const unsigned = Buffer.from(answer.subarray(0, tsig.at));
  unsigned.writeUInt16BE(tsig.originalId, 0);
  unsigned.writeUInt16BE(unsigned.readUInt16BE(10) - 1, 10);
  const expected = macOf(key, uint16(requestMac.length), requestMac, unsigned, variables(key, tsig.seconds, tsig.fudge, tsig.error, tsig.other));
  if (expected.length !== tsig.mac.length || !timingSafeEqual(expected, tsig.mac)) return "the answer's signature is wrong";
  if (tsig.error !== 0) return whyError(tsig.error, key);
  if (Math.abs(nowMs / 1000 - tsig.seconds) > tsig.fudge) return 'the clocks of the server and of this machine differ by more than five minutes';
  return null;
}

function whyError(error: number, key: TsigKey): string {
  switch (error) {
    case 16:
      return `the server says that the signature is wrong (BADSIG): its secret for the key "${key.name}" is another one`;
    case 17:
      return `the server does not know the key "${key.name}" with ${key.algorithm} (BADKEY)`;
    case 18:
      return 'the server says that the clocks differ by more than five minutes (BADTIME)';
    default:
      return `the server refused the signature (${rcodeName(error)})`;
  }
}
