// What an agent may open towards the gateway: the services `control`, `push` and `door`, and nothing else (docs/wire/tunnel.md §6).
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { type Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import { buildMessageParser, encodeMessage } from '#wire/message.ts';
import type { Message } from '#wire/message.ts';
import { AnswerCode } from '#wire/preface.ts';
import type { Preface } from '#wire/preface.ts';
import { acceptStream, answerOfFault } from './open.ts';

export interface GatewayControlOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  /** The link's open control streams; kept up to date here. */
  readonly controls: Set<Duplex>;
  /** The link's open streams of the device protocol; kept up to date here. */
  readonly pushes: Set<Duplex>;
  /** Absent: not offered. */
  readonly servePush?: (stream: Duplex) => void;
  /** Of a connection accepted at a door: who takes it, or why nobody does. Absent: not offered. */
  readonly judgeDoor?: (preface: Preface) => Fault | ((stream: Duplex) => void);
  /** Where agents dial from now on. */
  addresses(): readonly string[];
  /** The agent's local policy as it announced it, made printable. */
  onPolicy(lines: readonly string[]): void;
  onRefused(why: string): void;
}

const controlsMax = 4;
const pushesMax = 8;
const policyLinesMax = 1_000;

export function sendMessage(stream: Duplex, message: Message, limits: Limits): void {
  if (!stream.writable) return;
  // Whoever asks and does not read the answers gets no more of them.
  if (stream.writableLength > limits.messageBytesMax) stream.destroy();
  else stream.write(encodeMessage(message, limits.messageBytesMax));
}

/** Serves one stream that an agent opened. Never rejects. */
export async function serveGatewayControl(stream: Duplex, options: GatewayControlOptions): Promise<void> {
  const { clock, limits, controls } = options;
  try {
    const offered = await acceptStream(stream, { clock, limits });
    const { kind, target } = offered.preface;
    const refuse = (code: number, text: string) => {
      offered.refuse({ code, text });
      options.onRefused(text);
    };
    if (kind !== 'service') return refuse(AnswerCode.unsupported, 'a gateway opens no addresses for agents');
    if (target === 'push' && options.servePush) {
      if (options.pushes.size >= pushesMax) return refuse(AnswerCode.busy, 'push is open often enough already');
      offered.accept();
      options.pushes.add(stream);
      stream.once('close', () => options.pushes.delete(stream));
      return options.servePush(stream);
    }
    if (target === 'door' && options.judgeDoor) {
      const judged = options.judgeDoor(offered.preface);
      if (isFault(judged)) {
        offered.refuse(answerOfFault(judged));
        return options.onRefused(judged.message);
      }
      offered.accept();
      return judged(stream);
    }
    if (target !== 'control') return refuse(AnswerCode.unsupported, `the service "${target.slice(0, 40)}" is not offered`);
    if (controls.size >= controlsMax) return refuse(AnswerCode.busy, 'control is open already');
    offered.accept();
    controls.add(stream);
    stream.once('close', () => controls.delete(stream));
    stream.once('end', () => stream.end());
    const parser = buildMessageParser(limits.messageBytesMax, (message) => onMessage(stream, message, options));
    stream.on('data', (chunk: Buffer) => {
      try {
        parser.push(chunk);
      } catch (thrown) {
        if (!isFault(thrown)) throw thrown;
        options.onRefused(thrown.message);
        stream.destroy(thrown);
      }
    });
  } catch (thrown) {
    if (!isFault(thrown)) stream.destroy();
    options.onRefused(reasonOf(thrown));
  }
}

function onMessage(stream: Duplex, message: Message, options: GatewayControlOptions): void {
  const { limits } = options;
  const { id, policy } = message;
  const hasId = typeof id === 'number' || typeof id === 'string';
  if (message['do'] === 'hello') {
    const lines = Array.isArray(policy) ? policy.slice(0, policyLinesMax).filter((line): line is string => typeof line === 'string') : [];
    if (hasId) sendMessage(stream, { id, ok: {} }, limits);
    const addresses = options.addresses();
    if (addresses.length > 0) sendMessage(stream, { do: 'settings', addresses }, limits);
    options.onPolicy(lines.map((line) => printable(line, 300)));
  } else if (hasId && message['do'] !== undefined) {
    sendMessage(stream, { id, fault: { code: 'unsupported', message: 'the gateway does not know what this asks' } }, limits);
  }
}
