// The first bytes of a stream in both directions: the opener's preface and the other end's answer (docs/wire/tunnel.md §5).
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, toFault } from '#base/fault.ts';
import type { FaultCode } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { AnswerCode, encodePreface, encodePrefaceAnswer, parseAnswerHeadOfStream, parsePrefaceFields, parsePrefaceHead, prefaceHeadBytes } from '#wire/preface.ts';
import type { Preface, PrefaceAnswer } from '#wire/preface.ts';
import type { MuxSession } from './session.ts';
import type { MuxStream } from './stream.ts';

export interface OpenBy {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

const faultCodes: Readonly<Record<number, FaultCode>> = {
  [AnswerCode.policy]: 'forbidden',
  [AnswerCode.unreachable]: 'unreachable',
  [AnswerCode.timeout]: 'timeout',
  [AnswerCode.busy]: 'busy',
  [AnswerCode.unsupported]: 'unsupported',
  [AnswerCode.forbidden]: 'forbidden',
  [AnswerCode.offline]: 'offline',
  [AnswerCode.badPreface]: 'protocol',
  [AnswerCode.internal]: 'internal',
};

/** The Fault that an answer stands for; unknown codes are `internal`. `detail.answer` keeps the code. */
export function faultOfAnswer(answer: PrefaceAnswer): Fault {
  return new Fault(faultCodes[answer.code] ?? 'internal', answer.text === '' ? `the stream was refused with code ${answer.code}` : answer.text, { detail: { answer: answer.code } });
}

const answerCodes: Partial<Record<FaultCode, number>> = {
  unreachable: AnswerCode.unreachable,
  closed: AnswerCode.unreachable,
  timeout: AnswerCode.timeout,
  busy: AnswerCode.busy,
  'too-many': AnswerCode.busy,
  unsupported: AnswerCode.unsupported,
  forbidden: AnswerCode.forbidden,
  unauthenticated: AnswerCode.forbidden,
  offline: AnswerCode.offline,
  'not-found': AnswerCode.unreachable,
  'bad-input': AnswerCode.badPreface,
};

/** What a Fault says to the opener; a Fault that came out of `faultOfAnswer` keeps its code. */
export function answerOfFault(fault: Fault): PrefaceAnswer {
  const kept = fault.detail['answer'];
  const text = fault.remedy === undefined ? fault.message : `${fault.message}; ${fault.remedy}`;
  return { code: typeof kept === 'number' && kept > 0 && kept < 256 ? kept : (answerCodes[fault.code] ?? AnswerCode.internal), text };
}

/** Exactly that many bytes, the rest stays in the stream. Fault `closed` when it ends before. */
export function readExactly(stream: Duplex, bytes: number): Promise<Buffer> {
  if (bytes === 0) return Promise.resolve(Buffer.alloc(0));
  return new Promise((resolve, reject) => {
    const settle = () => {
      stream.off('readable', look);
      stream.off('end', look);
      stream.off('close', fail);
      stream.off('error', fail);
    };
    const fail = (error?: Error) => {
      settle();
      reject(isFault(error) ? error : new Fault('closed', 'the stream was closed before its first bytes had come', { cause: error }));
    };
    const look = () => {
      const chunk: unknown = stream.read(bytes);
      if (Buffer.isBuffer(chunk)) {
        if (chunk.length < bytes) return fail();
        settle();
        resolve(chunk);
      } else if (stream.readableEnded || stream.destroyed) fail();
    };
    stream.on('readable', look);
    // The end of one direction alone is no close.
    stream.on('end', look);
    stream.on('close', fail);
    stream.on('error', fail);
    look();
  });
}

/** Rejects and destroys the stream when the time is over or the signal aborts. */
export async function within<Value>(stream: Duplex, by: OpenBy, what: string, work: Promise<Value>): Promise<Value> {
  let over: Fault | undefined;
  const give = (fault: Fault) => {
    over = fault;
    stream.destroy(fault);
  };
  const onAbort = () => give(new Fault('closed', `${what} was given up`));
  const timer = by.clock.after(by.timeoutMs, () => give(new Fault('timeout', `${what} took longer than ${by.timeoutMs / 1000} s`)));
  if (by.signal?.aborted) onAbort();
  by.signal?.addEventListener('abort', onAbort);
  try {
    return await work;
  } catch (thrown) {
    throw over ?? thrown;
  } finally {
    timer.cancel();
    by.signal?.removeEventListener('abort', onAbort);
  }
}

/**
 * Opens a stream and waits for the answer. Faults: the answer's (`faultOfAnswer`), `timeout`, `closed` (aborted, or the
 * session or stream broke), `too-many`, `protocol`.
 */
export async function openStream(session: Pick<MuxSession, 'open'>, preface: Preface, by: OpenBy): Promise<MuxStream> {
  if (by.signal?.aborted) throw new Fault('closed', `opening ${preface.target} was given up`);
  const stream = session.open(encodePreface({ ...preface, deadlineMs: by.timeoutMs }));
  const answer = await within(stream, by, `opening ${preface.target}`, readAnswer(stream));
  if (answer.code === AnswerCode.ok) return stream;
  stream.destroy();
  throw faultOfAnswer(answer);
}

async function readAnswer(stream: Duplex): Promise<PrefaceAnswer> {
  try {
    const head = await readExactly(stream, prefaceHeadBytes);
    const text = await readExactly(stream, parseAnswerHeadOfStream(head));
    return { code: head[1]!, text: text.toString('utf8') };
  } catch (thrown) {
    if (isFault(thrown, 'protocol')) stream.destroy();
    throw thrown;
  }
}

export interface Offered {
  readonly preface: Preface;
  /** Answers ok; what is written from now on follows it. */
  accept(): void;
  /** Answers with a code and ends the stream. */
  refuse(answer: PrefaceAnswer): void;
}

export interface AcceptBy {
  readonly clock: Clock;
  readonly limits: Limits;
}

function refuse(stream: Duplex, answer: PrefaceAnswer, by: AcceptBy): void {
  stream.end(encodePrefaceAnswer(answer));
  stream.resume(); // what was sent behind the preface is dropped
  const timer = by.clock.after(by.limits.refusedStreamMs, () => stream.destroy());
  stream.once('close', () => timer.cancel());
}

/** Reads the preface of a stream that the other end opened. A bad one is answered here; then it throws the Fault, for the log. */
export async function acceptStream(stream: Duplex, by: AcceptBy): Promise<Offered> {
  let answered = false;
  const answer = (send: () => void) => {
    if (answered) throw new Error('a stream is answered once');
    answered = true;
    if (!stream.destroyed) send();
  };
  let timedOut = false;
  const timer = by.clock.after(by.limits.prefaceTimeoutMs, () => {
    timedOut = true;
    stream.end(encodePrefaceAnswer({ code: AnswerCode.badPreface, text: 'the preface did not come in time' }), () => stream.destroy());
  });
  try {
    const head = await readExactly(stream, prefaceHeadBytes);
    const preface = parsePrefaceFields(await readExactly(stream, parsePrefaceHead(head, by.limits.prefaceBytesMax)));
    return {
      preface,
      accept: () => answer(() => void stream.write(encodePrefaceAnswer({ code: AnswerCode.ok, text: '' }))),
      refuse: (refusal) => answer(() => refuse(stream, refusal, by)),
    };
  } catch (thrown) {
    const fault = toFault(thrown);
    if (!timedOut && !stream.destroyed) refuse(stream, answerOfFault(fault), by);
    throw timedOut ? new Fault('timeout', 'the preface did not come in time') : fault;
  } finally {
    timer.cancel();
  }
}

/** `host:port` with IPv6 in brackets. */
export function encodeTarget(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Fault `bad-input`. */
export function parseTarget(target: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.%]{2,60})\]|([^\s:/[\]]{1,253})):([0-9]{1,5})$/.exec(target);
  const port = Number(match?.[3]);
  if (!match || port < 1 || port > 65_535) throw new Fault('bad-input', `"${target.slice(0, 80)}" is not host:port`);
  return { host: (match[1] ?? match[2])!, port };
}
