// The one type of expected failure. Whoever throws says it three times: a code for machines, a message for the peer,
// a detail for the log. A bug is not a Fault; it stays an ordinary Error.

export type FaultCode =
  | 'bad-input' // what was sent cannot be understood or is not allowed in this form
  | 'unauthenticated' // we do not know who asks
  | 'forbidden' // we know, and the answer is no
  | 'not-found'
  | 'conflict' // the state has moved on, or the name is taken
  | 'gone' // was there, is used up or expired
  | 'too-large'
  | 'too-many' // a limit on counts or rates
  | 'busy' // a memory or work budget is used up; later is fine
  | 'timeout'
  | 'unreachable' // nobody answers there
  | 'offline' // the device's agent has no link
  | 'closed' // ended while in use
  | 'protocol' // the peer broke the protocol
  | 'unsupported'
  | 'internal';

export interface FaultOptions {
  /** What to do about it, for a person. */
  readonly remedy?: string;
  /** Never sent to a peer. */
  readonly detail?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class Fault extends Error {
  readonly code: FaultCode;
  readonly remedy: string | undefined;
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Fault';
    this.code = code;
    this.remedy = options.remedy;
    this.detail = options.detail ?? {};
  }
}

export function isFault(value: unknown, code?: FaultCode): value is Fault {
  return value instanceof Fault && (code === undefined || value.code === code);
}

/** One line for a log or a terminal, whatever was thrown. */
export function reasonOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message || thrown.name;
  return String(thrown);
}

/** A Fault from whatever was thrown; what is not one already becomes `code` with the original as its cause. */
export function toFault(thrown: unknown, code: FaultCode = 'internal', message?: string): Fault {
  if (thrown instanceof Fault) return thrown;
  return new Fault(code, message ?? reasonOf(thrown), { cause: thrown });
}
