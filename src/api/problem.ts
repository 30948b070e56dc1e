// A Fault as an RFC 9457 problem document and back, without zod: the CLI reads them too.
import { Fault, isFault, type FaultCode } from '#base/fault.ts';
import type { Problem } from './shapes.ts';

export const problemType = 'application/problem+json';

export const statusOfCode: Readonly<Record<FaultCode, number>> = {
  'bad-input': 400,
  unauthenticated: 401,
  forbidden: 403,
  'not-found': 404,
  conflict: 409,
  gone: 410,
  'too-large': 413,
  unsupported: 415,
  'too-many': 429,
  protocol: 400,
  internal: 500,
  unreachable: 502,
  busy: 503,
  offline: 503,
  closed: 503,
  timeout: 504,
};

const titles: Readonly<Record<FaultCode, string>> = {
  'bad-input': 'This cannot be understood',
  unauthenticated: 'Please sign in',
  forbidden: 'Not allowed',
  'not-found': 'There is no such thing',
  conflict: 'This has changed or is taken',
  gone: 'Used up or expired',
  'too-large': 'Too large',
  unsupported: 'Not supported',
  'too-many': 'Too many',
  protocol: 'The protocol was broken',
  internal: 'Something in the gateway failed',
  unreachable: 'Nobody answers there',
  busy: 'Busy',
  offline: 'The device is offline',
  closed: 'It ended while in use',
  timeout: 'It took too long',
};

/** What a Fault's `detail` may carry for its problem document; the rest of `detail` stays in the log. */
export interface ShownDetail {
  readonly problems?: readonly { readonly path: string; readonly message: string }[];
  readonly retryAfterS?: number;
}

/** Anything that is not a Fault is told as `internal` without its text: that is for the log. */
export function problemOf(thrown: unknown, requestId: string, status?: number): Problem {
  const fault = isFault(thrown) ? thrown : new Fault('internal', 'the gateway could not do this', { remedy: `look for request ${requestId} in the gateway's log` });
  const shown = fault.detail as ShownDetail;
  return {
    type: 'about:blank',
    title: titles[fault.code],
    status: status ?? statusOfCode[fault.code],
    code: fault.code,
    detail: fault.message,
    // an ordinary Error's text may hold paths and addresses of ours
    cause: isFault(fault.cause) ? fault.cause.message : null,
    remedy: fault.remedy ?? null,
    requestId,
    ...(shown.problems ? { problems: shown.problems.map(({ path, message }) => ({ path, message })) } : {}),
    ...(shown.retryAfterS === undefined ? {} : { retryAfterS: shown.retryAfterS }),
  };
}

const codeOfStatus: Readonly<Record<number, FaultCode>> = { 400: 'bad-input', 401: 'unauthenticated', 403: 'forbidden', 404: 'not-found', 409: 'conflict', 410: 'gone', 412: 'conflict', 413: 'too-large', 415: 'unsupported', 421: 'not-found', 429: 'too-many', 431: 'too-large', 502: 'unreachable', 503: 'busy', 504: 'timeout' };

/** The Fault that a refusal means; also for answers that are no problem documents (a proxy on the way). */
export function faultOfAnswer(status: number, text: string): Fault {
  let told: Partial<Problem> = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) told = parsed;
  } catch {
    // not ours; the status says enough
  }
  const code = typeof told.code === 'string' && Object.hasOwn(statusOfCode, told.code) ? (told.code as FaultCode) : (codeOfStatus[status] ?? (status >= 500 ? 'internal' : 'bad-input'));
  const message = typeof told.detail === 'string' ? told.detail : `the answer was ${status}`;
  return new Fault(code, message, {
    ...(typeof told.remedy === 'string' ? { remedy: told.remedy } : {}),
    detail: { status, requestId: told.requestId, ...(Array.isArray(told.problems) ? { problems: told.problems } : {}), ...(typeof told.retryAfterS === 'number' ? { retryAfterS: told.retryAfterS } : {}) },
    ...(typeof told.cause === 'string' ? { cause: new Fault(code, told.cause) } : {}),
  });
}
