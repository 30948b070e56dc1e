// Signatures of the device protocol (docs/wire/device.md, Identity and Signed answers): HMAC-SHA-256 (RFC 2104) over lines that
// name everything but the host, so that they hold over plain http and across redirects.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { Fault } from '#base/fault.ts';

export const sha256Hex = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
/** SHA-256 of nothing, hex: of a request without a body. */
export const emptySha256 = sha256Hex('');

/**
 * Fields that decide what becomes of a body: where they are sent, the signature is over them, too. Else somebody on the way could declare all that a device
 * has yet to bring as lost, begin its epoch elsewhere, or have a part of an upload taken for the whole.
 */
export const signedFields = ['content-encoding', 'idempotency-key', 'upload-complete', 'upload-length', 'upload-offset', 'x-postern-failed', 'x-postern-format', 'x-postern-gap', 'x-postern-start'] as const;

/** A line `name:value` for each of `signedFields` that is there, in their order; '' for none. */
export function fieldsToSign(header: (name: string) => string | null): string {
  return signedFields.map((name) => [name, header(name)] as const).map(([name, value]) => (value === null ? '' : `\n${name}:${value.trim()}`)).join('');
}

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
  /** As `fieldsToSign` writes them. */
  readonly fields?: string;
}

export interface RequestSignature {
  readonly unix: number;
  readonly nonce: string;
  readonly mac: string;
}

const hmac = (key: string, text: string): string => createHmac('sha256', key).update(text).digest('hex');
const requestText = ({ method, target, unix, nonce, bodySha256, fields = '' }: SignedRequest): string => `v1\n${method}\n${target}\n${unix}\n${nonce}\n${bodySha256}${fields}`;

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
