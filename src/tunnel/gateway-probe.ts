// The gateway's side of the service `probe` (docs/wire/probe.md): questions over one stream, answers as they are ready.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, toFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Asking } from '#model/probe/asking.ts';
import { faultOfProbe } from '#model/probe/faults.ts';
import type { Message } from '#wire/message.ts';
import { isObject, readCredentials, readDns, readGot, readHttp, readInfo, readIpp, readNeighbour, readProbeFault, readReached, readWalked } from './probe-answers.ts';
import { readMessage, writeMessage } from './service-messages.ts';

export interface ProbeOver extends Asking {
  /** False: what is asked from now on is refused. */
  readonly isOpen: boolean;
  /** How fast the agent may ask, all its streams together; what it says it does. */
  pace(wanted: { readonly perSecond: number; readonly atOnce: number }): Promise<{ readonly perSecond: number; readonly atOnce: number }>;
  /** Ends the stream; what waits for an answer is Fault `closed`. */
  close(): void;
}

export interface ProbeOverBy {
  readonly clock: Clock;
  readonly limits: Pick<Limits, 'messageBytesMax' | 'probeRequestsPerStreamMax' | 'probeAnswerTimeoutMs' | 'refusedStreamMs'>;
  /** Aborted: everything that waits is Fault `closed`. */
  readonly signal?: AbortSignal;
}

interface Waiting {
  readonly send: () => void;
  readonly settle: (answer: Message | Fault) => void;
}

/** Over a stream that was accepted. Faults of questions: see `Asking`. */
export function askOver(stream: Duplex, by: ProbeOverBy): ProbeOver {
  const { clock, limits, signal } = by;
  const unanswered = new Map<number, Waiting>();
  const queue: [number, Waiting][] = [];
  let lastId = 0;
  let ended: Fault | null = null;

  const end = (why: Fault) => {
    if (ended) return;
    ended = why;
    signal?.removeEventListener('abort', onAbort);
    for (const { settle } of [...unanswered.values(), ...queue.splice(0).map(([, waiting]) => waiting)]) settle(why);
    stream.end();
    stream.resume();
    const timer = clock.after(limits.refusedStreamMs, () => stream.destroy());
    stream.once('close', () => timer.cancel());
    if (stream.closed) timer.cancel();
  };
  const onAbort = () => end(new Fault('closed', 'asking was given up'));
  stream.on('error', (thrown: Error) => end(toFault(thrown, 'closed')));
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted) onAbort();

  const pump = () => {
    while (unanswered.size < limits.probeRequestsPerStreamMax) {
      const next = queue.shift();
      if (!next) return;
      unanswered.set(next[0], next[1]);
      next[1].send();
    }
  };
  const read = async () => {
    try {
      for (;;) {
        const answer = await readMessage(stream, limits);
        if (answer === null) return end(new Fault('closed', 'the agent ended the stream'));
        const waiting = typeof answer['id'] === 'number' ? unanswered.get(answer['id']) : undefined;
        // To nobody's question: an agent that counts differently is not understood in anything else either.
        if (!waiting) return end(new Fault('protocol', 'the agent answered what it was not asked'));
        waiting.settle(answer);
      }
    } catch (thrown) {
      end(toFault(thrown, 'closed'));
    }
  };
  if (!ended) void read();

  const ask = async <Answer>(asked: Message, readAnswer: (ok: Readonly<Record<string, unknown>>) => Answer): Promise<Answer> => {
    if (ended) throw ended;
    const id = ++lastId;
    const answer = await new Promise<Message>((resolve, reject) => {
      const timer = clock.after(limits.probeAnswerTimeoutMs, () => end(new Fault('timeout', `the agent has not answered within ${limits.probeAnswerTimeoutMs / 1_000} s`)));
      const settle = (given: Message | Fault) => {
        timer.cancel();
        unanswered.delete(id);
        if (given instanceof Fault) reject(given);
        else resolve(given);
        pump();
      };
      const send = () => {
        try {
          writeMessage(stream, { ...asked, id }, limits);
        } catch (thrown) {
          settle(toFault(thrown));
        }
      };
      queue.push([id, { send, settle }]);
      pump();
    });
    const { ok, fault } = answer;
    try {
      if (isObject(fault)) throw faultOfProbe(readProbeFault(fault));
      if (!isObject(ok)) throw new Fault('protocol', "the agent's answer is none");
      return readAnswer(ok);
    } catch (thrown) {
      const told = toFault(thrown, 'protocol');
      if (told.code === 'protocol' && told.detail['probe'] === undefined) end(told);
      throw told;
    }
  };
  return {
    get isOpen() {
      return ended === null;
    },
    reach: (asked) => ask({ do: 'reach', ...asked }, readReached),
    get: (asked) => ask({ do: 'get', ...asked }, (ok) => readGot(ok, asked.oids.length)),
    walk: (asked) => ask({ do: 'walk', ...asked }, readWalked),
    ipp: ({ body, ...asked }) => ask({ do: 'ipp', ...asked, body: body.toString('base64') }, readIpp),
    http: (asked) => ask({ do: 'http', ...asked }, readHttp),
    mac: (asked) => ask({ do: 'mac', ...asked }, readNeighbour),
    info: () => ask({ do: 'info' }, readInfo),
    dns: (asked) => ask({ do: 'dns', ...asked }, readDns),
    setCredentials: (change) => ask({ do: 'set-credentials', ...change }, readCredentials),
    pace: ({ perSecond, atOnce }) =>
      ask({ do: 'pace', perSecond, atOnce }, (ok) => ({
        perSecond: typeof ok['perSecond'] === 'number' ? ok['perSecond'] : perSecond,
        atOnce: typeof ok['atOnce'] === 'number' ? ok['atOnce'] : atOnce,
      })),
    close: () => end(new Fault('closed', 'asking has ended')),
  };
}
