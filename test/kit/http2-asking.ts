// Node's own HTTP/2 client, asked in one line, for tests of the whole.
import { connect, type ClientHttp2Session, type ClientHttp2Stream, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { until } from './gateway.ts';

export interface Answered2 {
  readonly stream: ClientHttp2Stream;
  headers: IncomingHttpHeaders | null;
  readonly interim: IncomingHttpHeaders[];
  trailers: IncomingHttpHeaders | null;
  body: string;
  /** The code it was reset with, 0 without; null until it is closed. */
  code: number | null;
}

export interface Asking2 {
  readonly session: ClientHttp2Session;
  readonly goaways: number[];
  /** Begins a request; `body` null keeps it open. */
  begin(headers: OutgoingHttpHeaders, body?: string | Buffer | null): Answered2;
  /** Waits for the stream's end. */
  ask(headers: OutgoingHttpHeaders, body?: string | Buffer): Promise<Answered2>;
  [Symbol.dispose](): void;
}

/** Over TLS when the address says https; whatever certificate is shown is taken. */
export function openHttp2Client(address: string, authority: string): Asking2 {
  const session = connect(address, { rejectUnauthorized: false, ...(address.startsWith('https:') ? { servername: authority.replace(/:\d+$/, '') } : {}) });
  const goaways: number[] = [];
  session.on('error', () => {});
  session.on('goaway', (code) => void goaways.push(code));
  const begin: Asking2['begin'] = (headers, body) => {
    const stream = session.request({ ':authority': authority, ...headers }, { endStream: body === undefined });
    const answered: Answered2 = { stream, headers: null, interim: [], trailers: null, body: '', code: null };
    stream.on('headers', (each) => void answered.interim.push(each));
    stream.on('response', (each) => void (answered.headers = each));
    stream.on('trailers', (each) => void (answered.trailers = each));
    stream.on('data', (piece: Buffer) => void (answered.body += piece.toString('latin1')));
    stream.on('error', () => {});
    stream.on('close', () => void (answered.code = stream.rstCode ?? 0));
    if (body !== undefined && body !== null) stream.end(body);
    return answered;
  };
  return {
    session,
    goaways,
    begin,
    async ask(headers, body) {
      const answered = begin(headers, body);
      return until('the stream to end', () => answered.code !== null && answered);
    },
    [Symbol.dispose]: () => session.destroy(),
  };
}
