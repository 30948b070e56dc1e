// A body to somebody's HTTP address: signed, with a deadline, without following redirects.
import { createHmac } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { Fault } from '#base/fault.ts';

export interface Posting {
  readonly url: string;
  readonly body: string;
  /** Unix time, seconds: part of what is signed. */
  readonly at: number;
  /** null: not signed. */
  readonly secret: Buffer | null;
  readonly fields: Readonly<Record<string, string>>;
  /** PEM; instead of the public authorities. */
  readonly ca?: string | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface Posted {
  readonly status: number;
  /** null: not said. */
  readonly retryAfterMs: number | null;
}

/** `X-Postern-Signature: t=1700000000,v1=` and the HMAC-SHA256, hex, of time, a dot, and the body. */
export const signatureOf = (secret: Buffer, at: number, body: string): string => `t=${at},v1=${createHmac('sha256', secret).update(`${at}.`).update(body).digest('hex')}`;

/** Throws when there is no answer. */
export function postJson({ url, body, at, secret, fields, ca, timeoutMs, signal }: Posting): Promise<Posted> {
  const to = new URL(url);
  const bytes = Buffer.from(body);
  const headers: Record<string, string | number> = { 'content-type': 'application/json', 'content-length': bytes.length, 'user-agent': 'postern', ...fields };
  if (secret) headers['x-postern-signature'] = signatureOf(secret, at, body);
  const options: RequestOptions = { method: 'POST', headers, agent: false, signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]), ...(ca === undefined ? {} : { ca }) };
  return new Promise((resolve, reject) => {
    const failed = (thrown: Error) => reject(thrown.name === 'AbortError' || thrown.name === 'TimeoutError' ? new Fault('timeout', `${to.host} does not answer within ${timeoutMs / 1_000} s`, { cause: thrown }) : thrown);
    const sent = (to.protocol === 'https:' ? httpsRequest : httpRequest)(to, options, (answer) => {
      const after = /^\d{1,6}$/.exec(answer.headers['retry-after'] ?? '')?.[0];
      // What it says beside its status is of no use; it must be read all the same.
      answer.on('error', failed).on('end', () => resolve({ status: answer.statusCode!, retryAfterMs: after === undefined ? null : Number(after) * 1_000 })).resume();
    });
    sent.on('error', failed);
    sent.end(bytes);
  });
}
