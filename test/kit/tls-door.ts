// Knocking at a TLS port as any client would, well or badly behaved: what was answered, or the alert that came instead.
import { writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { factsOf, readChain } from '#model/certificate-facts.ts';
import { keyFileOf } from '#model/certificate-key.ts';
import type { Certificate } from '#model/rows.ts';
import type { Made } from './authority.ts';
import { certificateRow } from './certificate-rows.ts';
import type { TestGateway } from './gateway.ts';

export interface Knock extends ConnectionOptions {
  /** Written before TLS begins. */
  readonly before?: string | Buffer;
  /** What is sent inside, whole. Default: nothing. */
  readonly say?: string | Buffer;
  /** Enough was answered; default: the other side ends. */
  readonly enough?: (text: string) => boolean;
  readonly knockMs?: number;
  /** Another way to the port than a socket of its own. */
  readonly over?: Socket;
}

export interface Knocked {
  readonly text: string;
  /** OpenSSL's or Node's code; null: nothing went wrong. */
  readonly error: string | null;
  readonly resumed: boolean;
  readonly protocol: string | null;
  readonly cipher: string | null;
  readonly alpn: string | false | null;
  /** SHA-256 of the certificate shown. */
  readonly shown: string | null;
  /** The last ticket that came. */
  readonly session: Buffer | undefined;
}

/** One connection from its first byte to its end; never rejects but when nothing ends within the time. */
export function knock(port: number, options: Knock): Promise<Knocked> {
  return new Promise((done, failed) => {
    const { before, say, enough, knockMs = 15_000, over, ...tls } = options;
    const raw = over ?? connectTcp({ host: '127.0.0.1', port });
    raw.on('error', () => {});
    if (before !== undefined) raw.write(before);
    const socket: TLSSocket = connect({ rejectUnauthorized: false, ...tls, socket: raw });
    let text = '';
    let error: string | null = null;
    let session: Buffer | undefined;
    let told: Pick<Knocked, 'resumed' | 'protocol' | 'cipher' | 'alpn' | 'shown'> = { resumed: false, protocol: null, cipher: null, alpn: null, shown: null };
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      raw.destroy();
      done({ text, error, session, ...told });
    };
    const timer = setTimeout(() => {
      socket.destroy();
      raw.destroy();
      failed(new Error(`no end within ${knockMs} ms; so far ${JSON.stringify(text.slice(0, 300))}, ${error ?? 'no error'}`));
    }, knockMs);
    socket.on('session', (ticket: Buffer) => (session = ticket));
    socket.on('secureConnect', () => {
      told = {
        resumed: socket.isSessionReused(), protocol: socket.getProtocol(), cipher: socket.getCipher().name, alpn: socket.alpnProtocol,
        shown: socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase() ?? null,
      };
      if (say !== undefined) socket.write(say);
    });
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
      if (enough?.(text)) finish();
    });
    socket.on('error', (thrown: NodeJS.ErrnoException) => (error ??= thrown.code ?? thrown.message));
    socket.on('close', finish);
    socket.on('end', finish);
  });
}

/** A request of HTTP/1.1 that ends its connection. */
export const get = (host: string, path = '/', lines = '') => `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${lines}\r\n`;

export const statusOf = (text: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0);
export const bodyOf = (text: string): string => text.slice(text.indexOf('\r\n\r\n') + 4);

/** Requests of HTTP/2 on one connection, one after the other; status and body of each, or the code of what broke it. */
export async function askHttp2(port: number, requests: readonly { authority: string; path?: string; headers?: Record<string, string | string[]> }[], options: ConnectionOptions): Promise<string[]> {
  const client = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, ...options });
  client.on('error', () => {});
  try {
    const told: string[] = [];
    for (const { authority, path = '/', headers } of requests) {
      told.push(
        await new Promise<string>((done) => {
          const stream = client.request({ ':authority': authority, ':path': path, ...headers });
          let status = 0;
          let body = '';
          stream.setTimeout(15_000, () => stream.destroy(new Error('no answer')));
          stream.on('response', (head) => (status = Number(head[':status'])));
          stream.on('data', (piece: Buffer) => (body += piece.toString('utf8')));
          stream.on('error', (thrown: NodeJS.ErrnoException) => done(thrown.code ?? thrown.message));
          stream.on('close', () => done(`${status} ${body}`));
          stream.end();
        }),
      );
    }
    return told;
  } finally {
    client.destroy();
  }
}

/** One's own certificate put in place as the data folder keeps it; with `row` it takes that one's place. */
export function putCertificate(gateway: TestGateway, name: string, made: Pick<Made, 'pem' | 'keyPem'>, row?: Certificate): Certificate {
  const facts = factsOf(readChain(made.pem)[0]!);
  const next = certificateRow({ ...(row ?? { name }), ...facts, chainPem: made.pem });
  writeFileSync(join(gateway.dataDir, keyFileOf(next.id, facts.keyFingerprint)), made.keyPem, { mode: 0o600 });
  gateway.tables.certificates.publish({ put: [next] });
  return next;
}
