// A stream of bytes (a connection, a serial port) into records, with a pause of the stream while the disk is behind.
import { noBytes } from '#base/bytes.ts';
import type { Timer } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { openFramer } from '../framer.ts';
import type { Framing } from '../source-settings.ts';
import type { SourceDeps, Tally } from './source.ts';

export interface ByteStream {
  on(event: 'data', listener: (bytes: Buffer) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end' | 'close', listener: () => void): unknown;
  pause(): unknown;
  resume(): unknown;
  destroy(): unknown;
}

export interface StreamOptions {
  readonly framing: Framing;
  /** Stands before each record. */
  readonly prefix?: Buffer;
  /** Ended with Fault `timeout` when nothing comes for so long; 0: never. */
  readonly silenceMs: number;
  /** Nobody at the other end can be made to wait: what the disk does not take is the buffer's to count. */
  readonly isUnstoppable?: boolean;
  /** Bytes that were read before. */
  readonly before?: Buffer;
  readonly signal: AbortSignal;
}

/** Until the stream ends. Rejects with what it failed with; what was read before is handed on in every case. */
export function takeStream(stream: ByteStream, options: StreamOptions, deps: SourceDeps, tally: Tally): Promise<void> {
  const { framing, prefix = noBytes, silenceMs, signal } = options;
  const { clock, intake } = deps;
  return new Promise((resolve, reject) => {
    let isReady = true;
    let isOver = false;
    let failure: Error | null = null;
    let lastMs = clock.monoMs();
    let pauseTimer: Timer | null = null;
    let silenceTimer: Timer | null = null;
    const onRecord = (record: Buffer) => {
      tally.tookRecord();
      if (!intake.record(prefix.length === 0 ? record : Buffer.concat([prefix, record]))) isReady = false;
    };
    const framer = openFramer(framing, onRecord, { at: 0, state: '' }, limits.feedRecordBytesMax - prefix.length);
    const take = (bytes: Buffer) => {
      tally.bytes += bytes.length;
      lastMs = clock.monoMs();
      pauseTimer?.cancel();
      if (framing.kind === 'none') {
        // The stream's buffer may be used again by the runtime.
        if (!intake.bytes(Buffer.from(bytes))) isReady = false;
      } else framer.push(bytes);
      if (framing.kind === 'idle') pauseTimer = clock.after(framing.idleMs, () => framer.cut());
      if (options.isUnstoppable) isReady = true;
      if (isReady) return;
      pauseTimer?.cancel();
      stream.pause();
      void intake.ready().then(() => {
        isReady = true;
        lastMs = clock.monoMs();
        if (isOver) return;
        if (framing.kind === 'idle') pauseTimer = clock.after(framing.idleMs, () => framer.cut());
        stream.resume();
      });
    };
    const watch = () => {
      const restMs = lastMs + silenceMs - clock.monoMs();
      if (restMs > 0 || !isReady) silenceTimer = clock.after(Math.max(restMs, 1_000), watch);
      else {
        failure ??= new Fault('timeout', `nothing came for ${silenceMs / 1_000} s`);
        stream.destroy();
      }
    };
    const onAbort = () => void stream.destroy();
    const onOver = () => {
      if (isOver) return;
      isOver = true;
      pauseTimer?.cancel();
      silenceTimer?.cancel();
      signal.removeEventListener('abort', onAbort);
      framer.cut();
      tally.dropped += framer.broken();
      if (failure === null) resolve();
      else reject(failure);
    };
    stream.on('data', take);
    stream.on('error', (error) => (failure ??= error));
    stream.on('end', () => void stream.destroy());
    stream.on('close', onOver);
    if (silenceMs > 0) silenceTimer = clock.after(silenceMs, watch);
    signal.addEventListener('abort', onAbort);
    if (options.before !== undefined && options.before.length > 0) take(options.before);
    if (signal.aborted) onAbort();
  });
}
