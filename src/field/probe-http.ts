// The second and third witness of who a device is (docs/wire/probe.md §3): what its own pages say by HTTP, its certificate, and IPP, of which only the bytes are carried.
// Embedded servers of twenty years are asked, so this takes what they send and believes nothing of it.
import { constants } from 'node:crypto';
import { request as requestPlain } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '#base/clock.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { DeviceCertificate, ProbeFaultCode } from '#model/probe/asking.ts';
import type { ProbePace } from './probe-pace.ts';
import { placeOf, probeFault } from './probe-texts.ts';
import type { Place } from './probe-texts.ts';

export interface HttpBy {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly pace: Pick<ProbePace, 'take'>;
  readonly signal: AbortSignal;
}

export interface HttpAsked extends Place {
  readonly tls: boolean;
  readonly path: string;
  /** A POST of `application/ipp`; null: a GET. */
  readonly ipp: Buffer | null;
}

export interface HttpAnswered {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  /** What came of it, up to the bound. */
  readonly body: Buffer;
  readonly isCut: boolean;
  readonly certificate: DeviceCertificate | null;
  readonly from: string | null;
}

/** TLS as old as OpenSSL still speaks it; nothing that must be protected goes over it. */
const anyTls = { rejectUnauthorized: false, minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0', servername: '', secureOptions: constants.SSL_OP_LEGACY_SERVER_CONNECT } as const;

/** One request, one answer, its body up to `bodyBytesMax`. Faults of docs/wire/probe.md §5. */
export async function askHttp(asked: HttpAsked, bodyBytesMax: number, by: HttpBy): Promise<HttpAnswered> {
  const { clock, limits, pace, signal } = by;
  await pace.take(signal);
  const what = asked.ipp === null ? 'HTTP' : 'IPP';
  return await new Promise((resolve, reject) => {
    let from: string | null = null;
    let isConnected = false;
    let certificate: DeviceCertificate | null = null;
    const options = {
      host: asked.address, port: asked.port, path: asked.path, method: asked.ipp === null ? 'GET' : 'POST', agent: false, maxHeaderSize: 16 * 1024,
      // Old servers send fields that no standard knows.
      insecureHTTPParser: true,
      headers: {
        Host: hostField(asked), Accept: '*/*', 'Accept-Encoding': 'identity', Connection: 'close', 'User-Agent': 'Postern-Probe',
        ...(asked.ipp === null ? {} : { 'Content-Type': 'application/ipp', 'Content-Length': asked.ipp.length }),
      },
    };
    const request = asked.tls ? requestTls({ ...options, ...anyTls }) : requestPlain(options);
    const settle = (run: () => void) => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      run();
      request.destroy();
    };
    const fail = (code: ProbeFaultCode) => settle(() => reject(probeFault(code, asked, { what, from })));
    const onAbort = () => settle(() => reject(signal.reason));
    const timer = clock.after(limits.probeHttpTimeoutMs, () => fail(isConnected ? 'timeout' : 'silent'));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) return onAbort();
    request.on('error', (error: NodeJS.ErrnoException) => fail(codeOf(error)));
    request.on('socket', (socket) => {
      socket.once('connect', () => {
        isConnected = true;
        from = socket.localAddress ?? null;
      });
      socket.once('secureConnect', () => (certificate = certificateOf(socket as TLSSocket)));
    });
    request.on('response', (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      const done = (isCut: boolean) => settle(() => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces).subarray(0, bodyBytesMax), isCut, certificate, from }));
      response.on('data', (piece: Buffer) => {
        pieces.push(piece);
        bytes += piece.length;
        if (bytes > bodyBytesMax) done(true);
      });
      response.on('end', () => done(false));
      // A page that breaks off in the middle has said its title all the same; half an IPP message has said nothing.
      response.on('error', () => (asked.ipp === null ? done(true) : fail('closed')));
    });
    request.end(asked.ipp ?? undefined);
  });
}

const hostField = ({ address, port, tls, ipp }: HttpAsked): string => {
  const isUsual = ipp === null && port === (tls ? 443 : 80);
  return isUsual ? (address.includes(':') ? `[${address}]` : address) : placeOf({ address, port });
};

function codeOf({ code = '', message }: NodeJS.ErrnoException): ProbeFaultCode {
  if (code === 'ECONNREFUSED') return 'off';
  if (['EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN', 'EADDRNOTAVAIL', 'EACCES', 'EPERM'].includes(code)) return 'unreachable';
  if (code === 'ETIMEDOUT') return 'silent';
  if (code.startsWith('HPE_')) return code === 'HPE_INVALID_EOF_STATE' ? 'closed' : 'damaged';
  if (code === 'EPROTO' || code.startsWith('ERR_SSL') || code.startsWith('ERR_TLS') || /TLS connection/.test(message)) return 'tls';
  return code === 'ECONNRESET' || code === 'EPIPE' ? 'closed' : 'damaged';
}

function certificateOf(socket: TLSSocket): DeviceCertificate | null {
  const found = socket.getPeerX509Certificate();
  if (found === undefined) return null;
  const line = (text: string) => printable(text.trim().split('\n').join(', '), 500);
  return {
    subject: line(found.subject), issuer: line(found.issuer), serialNumber: found.serialNumber.slice(0, 100),
    sha256: found.fingerprint256.replaceAll(':', '').toLowerCase(),
    notBefore: found.validFromDate.toISOString(), notAfter: found.validToDate.toISOString(),
    names: (found.subjectAltName ?? '').split(', ').filter((each) => each !== '').slice(0, 50).map((each) => printable(each.replace(/^(DNS|IP Address):/, ''), 255)),
  };
}

export const fieldOf = (value: string | readonly string[] | undefined): string | null => {
  const text = typeof value === 'string' ? value : value?.[0];
  return text === undefined || text === '' ? null : printable(text, 500);
};

const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };

/** The title of a page as a person would read it; null: it has none. */
export function titleOf(page: Buffer): string | null {
  // Bytes that are no UTF-8 are Latin-1 on such old pages.
  const utf8 = page.toString('utf8');
  const text = utf8.includes('\ufffd') ? page.toString('latin1') : utf8;
  const lower = text.toLowerCase();
  const start = lower.indexOf('<title');
  const open = start < 0 ? -1 : text.indexOf('>', start);
  const end = open < 0 ? -1 : lower.indexOf('</title', open);
  // Some letters are longer in lower case; a page with one of them before its title is left alone.
  if (end < 0 || lower.length !== text.length) return null;
  const plain = text.slice(open + 1, Math.min(end, open + 2_001)).replace(/&(#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,6});/gi, (whole, name: string) => {
    if (!name.startsWith('#')) return entities[name.toLowerCase()] ?? whole;
    const point = name[1]?.toLowerCase() === 'x' ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    return point > 0 && point <= 0x10_ffff && (point < 0xd800 || point > 0xdfff) ? String.fromCodePoint(point) : whole;
  });
  const title = printable(plain.replace(/\s+/g, ' ').trim(), 200);
  return title === '' ? null : title;
}
