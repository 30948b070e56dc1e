// A stream of the agent's service `probe`, without a link: what a gateway would write and read.
import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import { realClock, realRandom } from '#app/real.ts';
import type { Clock } from '#base/clock.ts';
import { limits as standardLimits } from '#base/limits.ts';
import type { Limits } from '#base/limits.ts';
import { silentLog } from '#base/log.ts';
import type { Log } from '#base/log.ts';
import { buildProbe } from '#field/probe.ts';
import type { ServeProbe } from '#field/probe.ts';
import { parsePolicy } from '#model/policy.ts';
import type { ProbeFault } from '#model/probe/asking.ts';
import { buildMessageParser, encodeMessage } from '#wire/message.ts';
import type { Message } from '#wire/message.ts';

export interface ProbeStream {
  /** The answer's `ok`; rejects with a `Refused` for a fault, and with an Error when the stream ends before. */
  ask(what: string, fields?: Message): Promise<Message>;
  /** The answer's `fault`; fails the test when there is none. */
  refused(what: string, fields?: Message): Promise<ProbeFault>;
  readonly stream: Duplex;
  /** Resolves when the agent's side is done with it. */
  readonly served: Promise<void>;
  /** As a link does that breaks: one end of a pair does not hear of the other's. */
  reset(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

export class Refused extends Error {
  readonly fault: ProbeFault;
  constructor(fault: ProbeFault) {
    super(`${fault.code}: ${fault.message}`);
    this.fault = fault;
  }
}

export interface ProbingOptions {
  readonly stateDir: string;
  /** Lines. */
  readonly policy: string;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly limits?: Partial<Limits>;
  /** As the machine's own. */
  readonly resolvers?: readonly string[];
}

export function startProbing({ stateDir, policy, clock = realClock, log = silentLog, limits = {}, resolvers }: ProbingOptions): ServeProbe {
  const parsed = parsePolicy(policy);
  return buildProbe({ clock, log, random: realRandom, limits: { ...standardLimits, ...limits }, stateDir, policy: () => parsed, ...(resolvers && { resolvers: async () => resolvers }) });
}

export function openProbeStream(serve: ServeProbe): ProbeStream {
  const [near, far] = duplexPair();
  const served = serve(far);
  const waiting = new Map<unknown, (answer: Message | null) => void>();
  const parser = buildMessageParser(standardLimits.messageBytesMax, (message) => {
    waiting.get(message['id'])?.(message);
    waiting.delete(message['id']);
  });
  near.on('data', (chunk: Buffer) => parser.push(chunk));
  near.on('error', () => {});
  const over = () => {
    for (const settle of waiting.values()) settle(null);
    waiting.clear();
  };
  near.once('close', over);
  near.once('end', over);
  let lastId = 0;
  const ask = async (what: string, fields: Message = {}): Promise<Message> => {
    const id = ++lastId;
    const answer = await new Promise<Message | null>((resolve) => {
      waiting.set(id, resolve);
      near.write(encodeMessage({ id, do: what, ...fields }, standardLimits.messageBytesMax));
    });
    if (answer === null) throw new Error(`the stream ended before ${what} was answered`);
    if (answer['fault'] !== undefined) throw new Refused(answer['fault'] as ProbeFault);
    return answer['ok'] as Message;
  };
  return {
    ask,
    refused: (what, fields) =>
      ask(what, fields).then(
        (ok) => assert.fail(`${what} was answered: ${JSON.stringify(ok)}`),
        (thrown: unknown) => {
          if (thrown instanceof Refused) return thrown.fault;
          throw thrown;
        },
      ),
    stream: near,
    served,
    reset() {
      near.destroy();
      far.destroy();
    },
    async [Symbol.asyncDispose]() {
      near.end();
      near.resume();
      await served;
    },
  };
}
