// Looking at what a connection begins with: bounded in bytes and in time, and nothing is consumed: who is told gets every byte that was seen.
import type { Duplex } from 'node:stream';
import type { Sweep, Swept } from '#net/sweep.ts';

export interface PeekOptions {
  /** Paused or not flowing yet; paused again when `found` is called. */
  readonly socket: Duplex;
  readonly sweep: Sweep;
  /** Bytes that were seen before. */
  readonly seen: Buffer;
  readonly bytesMax: number;
  /** From now, whatever comes in between: a byte a second is no progress. */
  readonly timeoutMs: number;
  /** True: this is enough to decide. */
  enough(bytes: Buffer): boolean;
  found(bytes: Buffer): void;
  /** More than `bytesMax` and still not enough, or too late. */
  refuse(why: string): void;
  /** Nothing at all came for so long; once. */
  readonly silence?: { readonly afterMs: number; passed(): void } | undefined;
}

export function peek(options: PeekOptions): void {
  const { socket, sweep } = options;
  let bytes = options.seen;
  const end = sweep.nowMs + options.timeoutMs;
  const silent = options.silence !== undefined && bytes.length === 0 && options.silence.afterMs < options.timeoutMs ? options.silence : null;
  const swept: Swept = {
    deadlineMs: silent === null ? end : sweep.nowMs + silent.afterMs,
    onDeadline() {
      if (silent !== null && bytes.length === 0) {
        leave();
        socket.pause();
        return silent.passed();
      }
      if (sweep.nowMs < end) return void (swept.deadlineMs = end);
      leave();
      options.refuse(bytes.length === 0 ? 'nothing was sent' : 'the first bytes did not come in time');
    },
  };
  let isOver = false;
  const leave = () => {
    isOver = true;
    sweep.remove(swept);
    socket.off('data', onData);
    socket.off('end', onEnd);
    socket.off('close', leave);
  };
  const onEnd = () => void socket.destroy();
  const look = () => {
    const isEnough = options.enough(bytes);
    if (!isEnough && bytes.length < options.bytesMax) return;
    leave();
    socket.pause();
    if (isEnough) options.found(bytes);
    else options.refuse(`the first ${options.bytesMax} bytes tell nothing`);
  };
  const onData = (chunk: Buffer) => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    look();
  };
  sweep.add(swept);
  socket.on('data', onData);
  socket.on('end', onEnd);
  socket.on('close', leave);
  if (bytes.length > 0) look();
  if (isOver) return;
  if (socket.destroyed) leave();
  // `data` makes a fresh socket flow by itself; one that was paused by a look before this one has to be told.
  else if (socket.isPaused()) socket.resume();
}
