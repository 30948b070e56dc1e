// A scripted HTTP/1 origin on a raw socket: it records exactly what arrived and answers exactly what a test says, however wrong.
import type { Socket } from 'node:net';
import { startTcp } from './gateway.ts';

export interface OriginRequest {
  /** The head as it came, without its empty line. */
  readonly head: string;
  readonly line: string;
  readonly path: string;
  /** The body as it came on the wire, chunks and trailers included. */
  readonly body: string;
  readonly socket: Socket;
  /** How many requests came on this connection before. */
  readonly before: number;
}

/** Bytes to answer with, or what to do. Answering is the test's; null answers nothing. */
export type Answering = string | ((request: OriginRequest) => string | null);

export interface Origin {
  readonly port: number;
  readonly sockets: Set<Socket>;
  /** All requests whose body is whole, oldest first. */
  readonly seen: OriginRequest[];
  /** How to answer a path. `early`: called when the head is there, with what has come of the body. */
  on(path: string, answering: Answering, options?: { readonly early: boolean }): void;
  last(path: string): OriginRequest;
  [Symbol.asyncDispose](): Promise<void>;
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

export async function startOrigin(): Promise<Origin> {
  const seen: OriginRequest[] = [];
  const answerings = new Map<string, { answering: Answering; early: boolean }>();
  const serve = (socket: Socket) => {
    let text = '';
    let before = 0;
    let early = false;
    socket.on('end', () => socket.end());
    const onData = (piece: Buffer) => {
      if (early) return;
      text += piece.toString('latin1');
      for (;;) {
        const end = text.indexOf('\r\n\r\n');
        if (end < 0) return;
        const head = text.slice(0, end);
        const line = head.slice(0, head.indexOf('\r\n'));
        const path = line.split(' ')[1]!;
        const known = answerings.get(path) ?? { answering: OK, early: false };
        let to = end + 4;
        if (!known.early) {
          if (/\r\ntransfer-encoding: chunked/i.test(head)) {
            const last = /(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(text.slice(to));
            if (!last) return;
            to += last.index + last[0].length;
          } else to += Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
          if (text.length < to) return;
        } else {
          early = true;
          to = text.length;
        }
        const request: OriginRequest = { head, line, path, body: text.slice(end + 4, to), socket, before: before++ };
        text = text.slice(to);
        seen.push(request);
        const bytes = typeof known.answering === 'string' ? known.answering : known.answering(request);
        if (bytes !== null && !socket.destroyed) socket.write(Buffer.from(bytes, 'latin1'));
        if (early) return;
      }
    };
    socket.on('data', onData);
  };
  const server = await startTcp(serve);
  return {
    port: server.port,
    sockets: server.sockets,
    seen,
    on: (path, answering, options = { early: false }) => void answerings.set(path, { answering, early: options.early }),
    last(path) {
      const found = seen.findLast((each) => each.path === path);
      if (!found) throw new Error(`nothing came for ${path}; there came ${seen.map((each) => each.path).join(', ')}`);
      return found;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** `HTTP/1.1 200 OK` … with this body and its length. */
export function answer(body: string, lines = '', status = '200 OK'): string {
  return `HTTP/1.1 ${status}\r\n${lines}Content-Length: ${Buffer.byteLength(body, 'latin1')}\r\n\r\n${body}`;
}
