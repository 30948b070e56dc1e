// RDP's first packet: X.224 Connection Request in a TPKT (MS-RDPBCGR §2.2.1.1). Industrial controllers are spoken to with the same bytes, so one
// that shows nothing of RDP is not RDP (docs/wire/rdp-ssh.md).
import { latin1Of } from '#base/bytes.ts';
import { malformed, more, no } from './sniff.ts';
import type { Unsettled } from './sniff.ts';

export interface RdpFacts {
  readonly kind: 'rdp';
  /** As the line says it, one char a byte (latin1); a stranger's word. */
  readonly user: string | null;
  /** What a balancer once handed out, as it was sent; holds an address of the inside, and is never dialled. */
  readonly routingToken: string | null;
  /** PROTOCOL_SSL 1, HYBRID 2, RDSTLS 4, HYBRID_EX 8, RDSAAD 16; null without a negotiation. */
  readonly requestedProtocols: number | null;
  readonly pduBytes: number;
}

/** TPKT, then X.224: length indicator, type, two references, class. */
const headBytes = 11;
const typeConnectionRequest = 0xe0;
const typeNegotiation = 0x01;
const flagCorrelation = 0x08;
const negotiationBytes = 8;
const correlationBytes = 36;

/** Looks at the first bytes of a connection. Never throws, keeps nothing. */
export function sniffRdp(bytes: Buffer): Unsettled | RdpFacts {
  const [version, reserved] = bytes;
  if (version !== undefined && version !== 3) return no;
  if (reserved !== undefined && reserved !== 0) return no;
  const type = bytes[5];
  if (type === undefined) return more;
  if (type !== typeConnectionRequest) return no;
  const length = bytes.readUInt16BE(2);
  if (length < headBytes) return malformed(`a TPKT of ${length} bytes is too short for a Connection Request`);
  // ISO 8073 §13.2.1: the indicator leaves itself out; 255 is reserved.
  if (bytes[4] !== length - 5 || bytes[4] === 255) return malformed(`a length indicator of ${bytes[4]} in a TPKT of ${length} bytes`);
  if (bytes.length < length) return more;
  if (bytes.readUInt16BE(6) !== 0) return malformed('a Connection Request with a destination reference');
  // No more bytes, or parameters of X.224 (ISO 8073 §13.3.4: their codes are all above 7f): somebody else's Connection Request.
  if (length === headBytes || bytes[headBytes]! >= 0x80) return no;
  if (bytes[10] !== 0) return malformed(`a Connection Request of class ${bytes[10]! >> 4}`);
  return parseRequest(bytes.subarray(headBytes, length), length);
}

function parseRequest(rest: Buffer, pduBytes: number): Unsettled | RdpFacts {
  let user: string | null = null;
  let routingToken: string | null = null;
  let requestedProtocols: number | null = null;
  let at = 0;
  if (rest[0] !== typeNegotiation) {
    const end = rest.indexOf('\r\n', 0, 'latin1');
    if (end < 0) return malformed('a line of a Connection Request without an end');
    const line = latin1Of(rest, 0, end);
    if (!/^[\x20-\x7e\x80-\xff]+$/.test(line)) return malformed('a line of a Connection Request with control characters');
    const cookie = /^Cookie: mstshash=(.*)$/.exec(line);
    if (cookie) user = cookie[1] === '' ? null : cookie[1]!;
    else routingToken = line.startsWith('Cookie: msts=') ? line.slice('Cookie: msts='.length) : line;
    at = end + 2;
  }
  if (at < rest.length) {
    if (rest[at] !== typeNegotiation) return malformed(`a structure of type ${rest[at]} in a Connection Request`);
    if (rest.length < at + negotiationBytes) return malformed('a negotiation that is cut short');
    if (rest.readUInt16LE(at + 2) !== negotiationBytes) return malformed(`a negotiation of ${rest.readUInt16LE(at + 2)} bytes`);
    requestedProtocols = rest.readUInt32LE(at + 4);
    const hasCorrelation = (rest[at + 1]! & flagCorrelation) !== 0;
    at += negotiationBytes;
    if (hasCorrelation) {
      if (rest.length < at + correlationBytes || rest[at] !== 6 || rest.readUInt16LE(at + 2) !== correlationBytes) return malformed('a correlation that is announced and not there');
      at += correlationBytes;
    }
  }
  if (at !== rest.length) return malformed(`${rest.length - at} bytes too many in a Connection Request`);
  return { kind: 'rdp', user, routingToken, requestedProtocols, pduBytes };
}
