// Signatures of the device protocol (docs/wire/device.md, Identity and Signed answers): HMAC-SHA-256 (RFC 2104) over lines that
// name everything but the host, so that they hold over plain http and across redirects.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { Fault } from '#base/fault.ts';

export const sha256Hex = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
/** SHA-256 of nothing, hex: of a request without a body. */
export const emptySha256 = sha256Hex('');

export interface SignedRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly target: string;
  /** Seconds since 1970 as the device believes; only shown. */
  readonly unix: number;
  /** 16–64 of `[A-Za-z0-9_-]`, new for every request. */
  readonly nonce: string;
  /** Hex, of the body as sent. */
  readonly bodySha256: string;
}

export interface RequestSignature {
  readonly unix: number;
  readonly nonce: string;
  readonly mac: string;
}

const hmac = (key: string, text: string): string => createHmac('sha256', key).update(text).digest('hex');
const requestText = ({ method, target, unix, nonce, bodySha256 }: SignedRequest): string => `v1\n${method}\n${target}\n${unix}\n${nonce}\n${bodySha256}`;

/** The value of `X-Postern-Sign`. */
export const signRequest = (key: string, request: SignedRequest): string => `v1,${request.unix},${request.nonce},${hmac(key, requestText(request))}`;

/** Fault `bad-input` when it cannot be read. */
export function parseRequestSignature(text: string): RequestSignature {
  const found = /^v1,(\d{1,12}),([A-Za-z0-9_-]{16,64}),([0-9a-f]{64})$/.exec(text.trim());
  if (found === null) throw new Fault('bad-input', 'X-Postern-Sign reads v1,UNIX,NONCE,HMAC: digits, 16 to 64 letters or digits, 64 hex digits');
  return { unix: Number(found[1]), nonce: found[2]!, mac: found[3]! };
}

/** In constant time. */
export function isRequestSignedBy(key: string, request: SignedRequest, mac: string): boolean {
  return equalHex(hmac(key, requestText(request)), mac);
}

export interface SignedAnswer {
  /** Of the request. */
  readonly nonce: string;
  readonly status: number;
  /** The field as sent; '' without. */
  readonly location: string;
  /** Hex, of the body. */
  readonly bodySha256: string;
}

const answerText = ({ nonce, status, location, bodySha256 }: SignedAnswer): string => `answer\n${nonce}\n${status}\n${location}\n${bodySha256}`;

/** The value of `X-Postern-Answer`. */
export const signAnswer = (key: string, answer: SignedAnswer): string => `v1,${hmac(key, answerText(answer))}`;

export function isAnswerSignedBy(key: string, answer: SignedAnswer, field: string): boolean {
  const found = /^v1,([0-9a-f]{64})$/.exec(field.trim());
  return found !== null && equalHex(hmac(key, answerText(answer)), found[1]!);
}

function equalHex(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
}
