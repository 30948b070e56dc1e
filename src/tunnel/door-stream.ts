// A connection that an agent accepted at a door in its LAN, as the front door takes it: bytes of a stream of the link, with the addresses of the connection itself.
import { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { RawStream } from '#net/conn.ts';
import type { PrefacePlace } from '#wire/preface.ts';

type Callback = (error?: Error | null) => void;

export interface DoorStreamOptions {
  readonly clock: Clock;
  /** How long the other end may take to say its FIN once we are done. */
  readonly lingerMs: number;
  /** The client, and where it was accepted. */
  readonly from: PrefacePlace;
  readonly at: PrefacePlace;
}

const cutShort = () => new Fault('closed', 'the link carried it no further');

/** The stream is ours from now on: nobody else reads it, writes it or ends it. */
export class DoorStream extends Duplex implements RawStream {
  bytesRead = 0;
  bytesWritten = 0;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly #stream: Duplex;
  readonly #options: DoorStreamOptions;
  /** The write under way: a stream that breaks never calls back. */
  #waiting: Callback | undefined;

  constructor(stream: Duplex, options: DoorStreamOptions) {
    super({ allowHalfOpen: true, emitClose: true });
    this.#stream = stream;
    this.#options = options;
    this.remoteAddress = options.from.address;
    this.remotePort = options.from.port;
    this.localAddress = options.at.address;
    this.localPort = options.at.port;
    stream.pause();
    stream.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      if (!this.push(chunk)) stream.pause();
    });
    stream.on('end', () => this.push(null));
    stream.on('error', (error: Error) => this.destroy(error));
    stream.on('close', () => {
      // After both FINs it closes by itself, once what came has been read.
      if (!stream.readableEnded || !stream.writableFinished) this.destroy(cutShort());
    });
    if (stream.destroyed) this.destroy(cutShort());
  }

  override _read(): void {
    this.#stream.resume();
  }

  #begin(bytes: number, callback: Callback): Callback {
    this.bytesWritten += bytes;
    this.#waiting = callback;
    return (error) => {
      if (this.#waiting !== callback) return;
      this.#waiting = undefined;
      callback(error);
    };
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: Callback): void {
    this.#stream.write(chunk, this.#begin(chunk.length, callback));
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], callback: Callback): void {
    const done = this.#begin(chunks.reduce((sum, { chunk }) => sum + chunk.length, 0), callback);
    // Together they leave in as few frames as they fit into.
    this.#stream.cork();
    chunks.forEach(({ chunk }, index) => (index === chunks.length - 1 ? this.#stream.write(chunk, done) : this.#stream.write(chunk)));
    this.#stream.uncork();
  }

  override _final(callback: Callback): void {
    this.#stream.end(this.#begin(0, callback));
  }

  override _destroy(error: Error | null, callback: Callback): void {
    // Ended on both sides it is over; anything else is a reset, which the agent passes on as one.
    if (!(this.#stream.readableEnded && this.#stream.writableFinished)) this.#stream.destroy();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    callback(error);
    waiting?.(error ?? cutShort());
  }

  /**
   * A reset behind our FIN would overtake, at the agent, what the client has not got yet. So the client gets its time to end, and what it sends meanwhile is thrown
   * away, as a kernel does with a closed socket.
   */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.readableEnded) {
      if (this.writableFinished) this.destroy();
      else this.once('finish', () => this.destroy());
      return;
    }
    const timer = this.#options.clock.after(this.#options.lingerMs, () => this.destroy());
    this.once('close', () => timer.cancel());
    this.once('end', () => {
      if (this.writableFinished) this.destroy();
      else this.once('finish', () => this.destroy());
    });
    this.resume();
  }
}
