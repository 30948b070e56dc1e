// HTTP/2 by hand (RFC 9113 §4): frames as a test wants them, right or wrong, and the frames that come back.
import { connect, type Socket } from 'node:net';
import { until } from './gateway.ts';

export const Frame = { data: 0, headers: 1, priority: 2, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 } as const;
export const endStream = 1;
export const endHeaders = 4;
export const ack = 1;

export interface Http2Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

export function frame(type: number, flags: number, stream: number, payload: Buffer | string = ''): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
  const head = Buffer.alloc(9);
  head.writeUIntBE(bytes.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, bytes]);
}

function integer(value: number, first: number): Buffer {
  if (value < 127) return Buffer.from([first | value]);
  const bytes = [first | 127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** HPACK's plainest form (RFC 7541 §6.2.2): every field a literal that is not remembered, no Huffman code. */
export function fieldBlock(list: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i < list.length; i += 2) {
    parts.push(Buffer.from([0]));
    for (const text of [list[i]!, list[i + 1]!]) parts.push(integer(text.length, 0), Buffer.from(text, 'latin1'));
  }
  return Buffer.concat(parts);
}

export function getOf(path = '/', host = 'a.example.test'): string[] {
  return [':method', 'GET', ':scheme', 'http', ':authority', host, ':path', path];
}

export interface Http2Raw {
  readonly socket: Socket;
  readonly frames: Http2Frame[];
  readonly closed: boolean;
  send(...frames: readonly Buffer[]): void;
  /** Waits for a frame of this type, of this stream where it is given. */
  take(type: number, stream?: number): Promise<Http2Frame>;
  /** The code of a reset. */
  resetOf(stream: number): Promise<number>;
  /** Waits for the connection's end; the code of the last GOAWAY before, null without. */
  end(): Promise<number | null>;
  [Symbol.dispose](): void;
}

/** Sends the preface and SETTINGS and answers SETTINGS and nothing else. `settings` null: does nothing of it. */
export async function dialHttp2(port: number, settings: Buffer | string | null = ''): Promise<Http2Raw> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  const frames: Http2Frame[] = [];
  let held = Buffer.alloc(0);
  let isClosed = false;
  socket.on('error', () => {});
  socket.on('close', () => void (isClosed = true));
  socket.on('end', () => socket.end());
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 9 && held.length >= 9 + held.readUIntBE(0, 3)) {
      const end = 9 + held.readUIntBE(0, 3);
      const one = { type: held[3]!, flags: held[4]!, stream: held.readUInt32BE(5), payload: held.subarray(9, end) };
      frames.push(one);
      held = held.subarray(end);
      if (one.type === Frame.settings && one.flags === 0 && settings !== null) socket.write(frame(Frame.settings, ack, 0));
    }
  });
  await new Promise<void>((done) => socket.on('connect', () => done()));
  if (settings !== null) socket.write(Buffer.concat([preface, frame(Frame.settings, 0, 0, settings)]));
  const raw: Http2Raw = {
    socket,
    frames,
    get closed() {
      return isClosed;
    },
    send: (...given) => void (socket.destroyed || socket.write(Buffer.concat(given))),
    take: (type, stream) => until(`a frame of type ${type}`, () => frames.find((each) => each.type === type && (stream === undefined || each.stream === stream))),
    resetOf: async (stream) => (await raw.take(Frame.reset, stream)).payload.readUInt32BE(0),
    async end() {
      await until('the connection to end', () => isClosed);
      return frames.findLast((each) => each.type === Frame.goaway)?.payload.readUInt32BE(4) ?? null;
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
  return raw;
}
