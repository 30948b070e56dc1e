// The few LDAP messages that the gateway itself writes, as a server: the answer to StartTLS, refusals, the notice of disconnection.
import type { LdapFacts } from './ldap.ts';

/** RFC 4511 appendix A.1, those that are ours. */
export const ldapResult = {
  success: 0,
  protocolError: 2,
  invalidCredentials: 49,
  insufficientAccessRights: 50,
  unavailable: 52,
} as const;
export type LdapResult = (typeof ldapResult)[keyof typeof ldapResult];

const opBindResponse = 0x61;
const opSearchResultDone = 0x65;
const opExtendedResponse = 0x78;

/** RFC 4511 §4.4.1. */
const noticeOfDisconnection = '1.3.6.1.4.1.1466.20036';

function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const { length } = value;
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), value]);
}

/** Not negative; as few bytes as hold it with its first bit clear (X.690 §8.3.2). */
function integer(value: number): Buffer {
  const bytes = [value & 0xff];
  for (let rest = value >>> 8; rest > 0 || bytes[0]! > 0x7f; rest >>>= 8) bytes.unshift(rest & 0xff);
  return tlv(0x02, Buffer.from(bytes));
}

/** LDAPResult (RFC 4511 §4.1.9) inside its message; `text` is for a person and shorter than 32 KiB. */
function encodeResult(messageId: number, op: number, result: LdapResult, text: string, ...rest: readonly Buffer[]): Buffer {
  return tlv(0x30, integer(messageId), tlv(op, tlv(0x0a, Buffer.from([result])), tlv(0x04), tlv(0x04, Buffer.from(text)), ...rest));
}

/** TLS begins behind it. Without a name, as RFC 4511 §4.14.2 allows and OpenLDAP does. */
export function encodeStartTlsAnswer(messageId: number): Buffer {
  return encodeResult(messageId, opExtendedResponse, ldapResult.success, '');
}

export function encodeStartTlsRefusal(messageId: number, text: string): Buffer {
  return encodeResult(messageId, opExtendedResponse, ldapResult.protocolError, text);
}

export function encodeBindRefusal(messageId: number, text: string, result: LdapResult = ldapResult.invalidCredentials): Buffer {
  return encodeResult(messageId, opBindResponse, result, text);
}

export function encodeSearchRefusal(messageId: number, text: string, result: LdapResult = ldapResult.insufficientAccessRights): Buffer {
  return encodeResult(messageId, opSearchResultDone, result, text);
}

/** The server's last word, to no request: message id 0. */
export function encodeDisconnection(result: typeof ldapResult.protocolError | typeof ldapResult.unavailable, text: string): Buffer {
  return encodeResult(0, opExtendedResponse, result, text, tlv(0x8a, Buffer.from(noticeOfDisconnection)));
}

/**
 * What a client is told whose connection is given up: the answer to the message that was refused, if it could be read, then the notice of
 * disconnection. Where the upstream cannot be reached, nobody is told that the password was wrong.
 */
export function encodeLdapRefusal(refused: LdapFacts | null, why: 'not-here' | 'unreachable' = 'not-here'): Buffer {
  if (refused === null) return encodeDisconnection(ldapResult.protocolError, 'not understood');
  if (refused.op === 'start-tls') {
    const text = 'TLS cannot begin here';
    return Buffer.concat([encodeStartTlsRefusal(refused.messageId, text), encodeDisconnection(ldapResult.protocolError, text)]);
  }
  const text = why === 'not-here' ? 'not on this connection' : 'the directory cannot be reached now';
  const result = why === 'not-here' ? [] : ([ldapResult.unavailable] as const);
  const notice = encodeDisconnection(ldapResult.unavailable, text);
  if (refused.op === 'bind') return Buffer.concat([encodeBindRefusal(refused.messageId, text, ...result), notice]);
  if (refused.op === 'search') return Buffer.concat([encodeSearchRefusal(refused.messageId, text, ...result), notice]);
  return notice;
}
