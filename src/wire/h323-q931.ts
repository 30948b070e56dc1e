// The two outer layers of H.323 call signalling: TPKT (RFC 1006 §6) and Q.931 as H.225.0 §7.2 uses it.
import { latin1Of } from '#base/bytes.ts';
import { limits } from '#base/limits.ts';
import { wrong } from './per.ts';

/** A message of nothing, sent now and then so that a firewall keeps the connection. */
export const tpktEmptyBytes = 4;
export const messageFacility = 0x62;
export const messageSetup = 0x05;
/** Escape to national message types: some phones keep a connection alive with it. */
export const messageNationalEscape = 0x00;

const ieBearerSingle = 0x80;
const ieShift = 0x90;
const ieCalledNumber = 0x70;
const ieUserUser = 0x7e;
const userUserAsn1 = 5;
/** Discriminator, call reference with its length, message type. */
const q931BytesMin = 5;
const calledNumberCharsMax = 128;

/**
 * What the first bytes of one packet are. `length` is the whole packet's, header included. `length` of a `signalling` packet is within the
 * limit, but its bytes need not be there yet.
 */
export type TpktStart = { readonly kind: 'no' } | { readonly kind: 'more' } | { readonly kind: 'empty' | 'signalling'; readonly length: number };

/** Looks at the packet that begins at `at`. Throws where it is Q.931 and its length cannot be. */
export function lookAtTpkt(bytes: Buffer, at: number): TpktStart {
  const [version, reserved, , , discriminator, reference] = bytes.subarray(at, at + 6);
  if (version !== undefined && version !== 3) return { kind: 'no' };
  if (reserved !== undefined && reserved !== 0) return { kind: 'no' };
  if (bytes.length < at + 4) return { kind: 'more' };
  const length = bytes.readUInt16BE(at + 2);
  if (length < tpktEmptyBytes) return { kind: 'no' };
  if (length === tpktEmptyBytes) return { kind: 'empty', length };
  if (discriminator === undefined) return { kind: 'more' };
  if (discriminator !== 8) return { kind: 'no' };
  if (reference === undefined) return { kind: 'more' };
  if (reference > 0x0f) return { kind: 'no' };
  if (length < tpktEmptyBytes + q931BytesMin) wrong(`a TPKT of ${length} bytes is too short for Q.931`);
  if (length > limits.h323PduBytesMax) wrong(`a TPKT of ${length} bytes, more than ${limits.h323PduBytesMax}`);
  return { kind: 'signalling', length };
}

export interface Q931 {
  readonly messageType: number;
  /** With its flag, as it came: bit 15 is set by the side that did not choose the number. */
  readonly callReference: number;
  readonly calledNumber: string | null;
  /** Aligned PER of an H323-UserInformation, without the protocol discriminator; null without the element. */
  readonly userUser: Buffer | null;
}

/** `message` is what a TPKT holds. */
export function parseQ931(message: Buffer): Q931 {
  // H.225.0 §7.2.1: the call reference has two octets, always.
  if (message[1] !== 2) wrong(`a call reference of ${message[1]} octets instead of 2`);
  let calledNumber: string | null = null;
  let hasCalledNumber = false;
  let userUser: Buffer | null = null;
  let at = q931BytesMin;
  while (at < message.length) {
    const id = message[at]!;
    if (id >= ieBearerSingle) {
      // Behind a shift the same numbers mean other elements with other lengths; H.225.0 leaves it for further study.
      if ((id & 0xf0) === ieShift) wrong('a change of codeset');
      at++;
      continue;
    }
    const lengthBytes = id === ieUserUser ? 2 : 1;
    const from = at + 1 + lengthBytes;
    if (from > message.length) wrong('an information element is cut short');
    const end = from + message.readUIntBE(at + 1, lengthBytes);
    if (end > message.length) wrong('an information element is cut short');
    const content = message.subarray(from, end);
    if (id === ieUserUser) {
      if (userUser !== null) wrong('two User-User elements');
      if (content[0] !== userUserAsn1) wrong(`a User-User element of protocol ${content[0]} instead of ${userUserAsn1}`);
      userUser = content.subarray(1);
    } else if (id === ieCalledNumber) {
      if (hasCalledNumber) wrong('two called numbers');
      hasCalledNumber = true;
      calledNumber = parseCalledNumber(content);
    }
    at = end;
  }
  return { messageType: message[4]!, callReference: message.readUInt16BE(2), calledNumber, userUser };
}

/** Q.931 §4.5.8: one octet of type and plan (a second one where the first says so), then IA5 digits. */
function parseCalledNumber(content: Buffer): string | null {
  const first = content[0];
  if (first === undefined) return null;
  const digits = latin1Of(content, first >= 0x80 ? 1 : Math.min(2, content.length));
  if (digits.length > calledNumberCharsMax) wrong(`a called number of ${digits.length} digits`);
  if (!/^[0-9A-Da-d*#,+]*$/.test(digits)) wrong('a called number with other characters than digits');
  return digits === '' ? null : digits;
}
