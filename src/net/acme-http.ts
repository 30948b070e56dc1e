// Requests to an ACME authority: https only, its own roots where it is private, bounded in time and bytes, redirects refused, refusals told as Faults.
import { request } from 'node:https';
import { Fault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { faultOfProblem, parseProblem, retryAfterOf } from '#model/acme-problem.ts';

export interface AcmeHttpOptions {
  /** Trusted instead of the system's roots; null: those. */
  readonly rootPem: string | null;
  readonly authority: string;
  readonly userAgent: string;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  /** What requests are about, for the words of a refusal. */
  about(): string | null;
}

export interface AcmeHttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: unknown;
}

const badNonce = 'badNonce';

/**
 * Refusals of the authority are thrown as Faults with all that it said; `badNonce` alone is given back, because the next try with a new nonce is part of the
 * protocol (RFC 8555 §6.5). Other Faults: `timeout`, `unreachable`, `protocol`, `closed`.
 */
export async function askAuthority(url: string, method: string, body: unknown, options: AcmeHttpOptions): Promise<AcmeHttpAnswer> {
  const answer = await send(url, method, body === undefined ? null : JSON.stringify(body), options);
  if (answer.status < 300) return answer;
  if (answer.status < 400) throw new Fault('protocol', `${options.authority} sends elsewhere (status ${answer.status}), which an ACME directory does not`, { remedy: 'Give the address that it leads to.' });
  const retryAfterMs = retryAfterOf(answer.headers['retry-after'], options.nowMs());
  const problem = parseProblem(answer.data);
  if (problem?.type === badNonce) return answer;
  if (problem) throw faultOfProblem({ ...problem, status: problem.status ?? answer.status }, { authority: options.authority, name: options.about(), retryAfterMs });
  const code = answer.status === 429 ? 'too-many' : answer.status >= 500 ? 'busy' : 'protocol';
  throw new Fault(code, `${options.authority} answered with status ${answer.status} and no explanation`, { ...(answer.status === 404 ? { remedy: 'Is this the address of an ACME directory?' } : {}), detail: { status: answer.status, ...(retryAfterMs === null ? {} : { retryAfterMs }) } });
}

function send(url: string, method: string, body: string | null, options: AcmeHttpOptions): Promise<AcmeHttpAnswer> {
  return new Promise((resolve, reject) => {
    if (!url.startsWith('https://')) return reject(new Fault('protocol', `${options.authority} names an address that is not https`));
    const fail = (fault: Fault) => {
      settle();
      sent.destroy();
      reject(fault);
    };
    const settle = () => {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
    };
    const sent = request(url, {
      method: method.toUpperCase(),
      agent: false,
      ...(options.rootPem === null ? {} : { ca: options.rootPem }),
      headers: { 'user-agent': options.userAgent, accept: '*/*', ...(body === null ? {} : { 'content-type': 'application/jose+json', 'content-length': Buffer.byteLength(body) }) },
    });
    const onAbort = () => fail(new Fault('closed', 'it was called off'));
    const timer = setTimeout(() => fail(new Fault('timeout', `${options.authority} did not answer within ${limits.acmeRequestTimeoutMs / 1000} s`)), limits.acmeRequestTimeoutMs);
    options.signal.addEventListener('abort', onAbort);
    if (options.signal.aborted) return onAbort();
    sent.once('error', (error: NodeJS.ErrnoException) => fail(connectFault(error, options)));
    sent.once('response', (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > limits.acmeAnswerBytesMax) fail(new Fault('too-large', `the answer of ${options.authority} is longer than ${limits.acmeAnswerBytesMax} bytes`));
        else pieces.push(piece);
      });
      response.once('error', (error) => fail(new Fault('closed', `the answer of ${options.authority} broke off: ${reasonOf(error)}`)));
      response.once('end', () => {
        settle();
        const headers = Object.fromEntries(Object.entries(response.headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]])));
        const text = Buffer.concat(pieces).toString('utf8');
        resolve({ status: response.statusCode ?? 0, headers, data: /json/.test(headers['content-type'] ?? '') ? parseJson(text) : text });
      });
    });
    sent.end(body ?? undefined);
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const untrusted = new Set(['SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT']);

function connectFault(error: NodeJS.ErrnoException, { authority, rootPem }: AcmeHttpOptions): Fault {
  if (untrusted.has(error.code ?? '')) return new Fault('unreachable', `the certificate of ${authority} is not of an authority that is trusted here`, { remedy: rootPem === null ? 'For a private ACME server, give the root of its own certificate.' : 'The root that was given is not the one of its certificate.', cause: error });
  return new Fault('unreachable', `${authority} cannot be reached: ${reasonOf(error)}`, { remedy: 'May this machine connect out to port 443 of that address? A gateway without a way out cannot use it.', cause: error });
}
