// The client's half of a WebSocket handshake on a connection that stands.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { checkUpgradeAnswer, encodeUpgradeRequest, parseAnswerHead } from '#wire/websocket.ts';
import type { AnswerHead } from '#wire/websocket.ts';

export interface UpgradeOptions {
  readonly host: string;
  readonly path: string;
  readonly protocol: string;
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly random: Random;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

export type Upgraded =
  | { readonly ok: true; readonly head: AnswerHead; readonly leftover: Buffer }
  /** Refused; `problem` is the problem document when there was one. The socket is destroyed. */
  | { readonly ok: false; readonly head: AnswerHead; readonly problem: Readonly<Record<string, unknown>> };

const headBytesMax = 16 * 1024;
const bodyBytesMax = 64 * 1024;

function parseProblem(bytes: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {}; // something between answered; its status says enough
  }
}

/** Faults `protocol`, `timeout`, `closed`. After ok the socket is paused and has no listeners of ours. */
export function upgrade(socket: Duplex, options: UpgradeOptions): Promise<Upgraded> {
  const key = options.random(16).toString('base64');
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    let head: AnswerHead | undefined;
    const settle = () => {
      timer.cancel();
      socket.off('data', onData);
      socket.off('end', onEnd);
      socket.off('close', onEnd);
      socket.off('error', onError);
    };
    const fail = (fault: Fault) => {
      settle();
      socket.on('error', () => {});
      socket.destroy();
      reject(fault);
    };
    const refused = (answer: AnswerHead) => {
      settle();
      socket.on('error', () => {});
      socket.destroy();
      resolve({ ok: false, head: answer, problem: parseProblem(received.subarray(answer.bytes)) });
    };
    const look = () => {
      head ??= parseAnswerHead(received, headBytesMax);
      if (head === undefined) return;
      if (head.status === 101) {
        checkUpgradeAnswer(head, key, options.protocol);
        settle();
        socket.pause();
        return resolve({ ok: true, head, leftover: received.subarray(head.bytes) });
      }
      const length = Number(head.fields.get('content-length') ?? Number.NaN);
      if (received.length - head.bytes >= Math.min(bodyBytesMax, Number.isNaN(length) ? bodyBytesMax : length)) refused(head);
    };
    const onData = (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      try {
        look();
      } catch (thrown) {
        fail(isFault(thrown) ? thrown : new Fault('protocol', 'the answer to the handshake cannot be read', { cause: thrown }));
      }
    };
    const onEnd = () => {
      if (head === undefined) fail(new Fault('closed', 'the gateway closed the connection during the handshake'));
      else refused(head);
    };
    const onError = (error: Error) => fail(new Fault('closed', `the connection broke during the handshake: ${error.message}`, { cause: error }));
    const timer = options.clock.after(options.timeoutMs, () => fail(new Fault('timeout', `the handshake was not answered within ${options.timeoutMs / 1000} s`)));
    socket.on('data', onData);
    socket.on('end', onEnd);
    socket.on('close', onEnd);
    socket.on('error', onError);
    if (socket.destroyed) return onEnd(); // it has said so already, and says it only once
    socket.write(encodeUpgradeRequest({ path: options.path, host: options.host, key, protocol: options.protocol, fields: options.fields }));
    socket.resume();
  });
}
