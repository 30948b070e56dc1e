// The gateway's side of the service `install` (docs/wire/tunnel.md §6): asks what is in place, and hands a certificate over where it is another one.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { InstallOrder, InstallOutcome } from '#model/delivery.ts';
import type { Message } from '#wire/message.ts';
import { within } from './open.ts';
import { readMessage, writeMessage } from './service-messages.ts';

export interface InstallBy {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly signal?: AbortSignal | undefined;
}

const whyCharsMax = 1_000;
const outputLinesMax = 20;
const outputLineCharsMax = 400;

/** Over a stream that was accepted; it is ended here. Faults of the way alone: `closed`, `timeout`, `protocol`. */
export async function installOver(stream: Duplex, order: InstallOrder, by: InstallBy): Promise<InstallOutcome> {
  const { limits } = by;
  const failed = new Promise<never>((_, reject) => stream.once('error', reject));
  failed.catch(() => {}); // told by whoever reads
  try {
    const found = await ask(stream, { id: 1, do: 'installed', name: order.name, kind: 'pem' }, by);
    if ('state' in found) return found;
    if (found.digest === order.digest) return { state: 'delivered', sent: false };
    const chain = Buffer.from(order.chainPem, 'latin1');
    const key = Buffer.from(await order.readKeyPem(), 'latin1');
    if (chain.length > limits.installChainBytesMax || key.length > limits.installKeyBytesMax) return { state: 'failed', why: 'the certificate is too long to be handed over', exitCode: null, output: null };
    writeMessage(stream, { id: 2, do: 'certificate', name: order.name, kind: 'pem', digest: order.digest, chainBytes: chain.length, keyBytes: key.length }, limits);
    stream.write(chain);
    const done = await ask(stream, key, by);
    if ('state' in done) return done;
    if (done.digest !== order.digest) throw new Fault('protocol', 'the agent says that it has put another certificate in place');
    return { state: 'delivered', sent: true };
  } finally {
    stream.end();
    stream.resume();
    const timer = by.clock.after(limits.refusedStreamMs, () => stream.destroy());
    stream.once('close', () => timer.cancel());
    if (stream.closed) timer.cancel();
  }
}

/** Sends, and waits for the answer: what is in place now, or what hindered it. */
async function ask(stream: Duplex, sent: Message | Buffer, by: InstallBy): Promise<{ readonly digest: string | null } | InstallOutcome> {
  const { clock, limits, signal } = by;
  if (Buffer.isBuffer(sent)) stream.write(sent);
  else writeMessage(stream, sent, limits);
  const answer = await within(stream, { clock, timeoutMs: limits.installTimeoutMs, signal }, 'putting a certificate in place', readMessage(stream, limits));
  if (answer === null) throw new Fault('closed', 'the agent ended the stream without an answer');
  const { ok, fault } = answer;
  if (isObject(ok)) {
    const digest = ok['installedDigest'];
    if (digest !== null && typeof digest !== 'string') throw new Fault('protocol', 'the agent does not say what is in place');
    return { digest };
  }
  if (!isObject(fault)) throw new Fault('protocol', "the agent's answer is none");
  return outcomeOf(fault);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);

function outcomeOf({ code, message, exitCode, output }: Readonly<Record<string, unknown>>): InstallOutcome {
  const why = typeof message === 'string' && message !== '' ? printable(message, whyCharsMax) : 'the agent does not say why';
  const lines = typeof output === 'string' ? output.split('\n').slice(-outputLinesMax).map((line) => printable(line, outputLineCharsMax)).join('\n') : '';
  const state = code === 'policy' ? 'refused' : code === 'unsupported' ? 'unsupported' : 'failed';
  return { state, why, exitCode: typeof exitCode === 'number' && Number.isInteger(exitCode) ? exitCode : null, output: lines === '' ? null : lines };
}
