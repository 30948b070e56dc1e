// The device's own small HTTP client: one outbound connection at a time, kept while the next request goes to the same server; requests
// signed or with their key, answers bounded, whole or none, and with the word how far they may be believed.
import { Agent, request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import type { Secret } from '#base/secret.ts';
import { parseLines } from '#wire/device.ts';
import { emptySha256, fieldsToSign, isAnswerSignedBy, sha256Hex, signRequest } from '#wire/device-sign.ts';
import { dialServer } from './device-dial.ts';
import type { Dialled, Proxy } from './device-dial.ts';
import type { Believing } from './trust.ts';

/** How one destination is spoken to. */
export interface Server {
  /** Connections of one destination are never another's, nor those of an older list of pins. */
  readonly id: string;
  readonly pins: readonly string[];
  readonly ca: string | null;
  readonly key: Secret | null;
  /** The key is never sent, over TLS neither: requests are signed, and so are their answers. */
  readonly signs: boolean;
  /** PEM: shown to TLS servers that ask for a certificate. */
  readonly certificate: { readonly cert: string; readonly key: string } | null;
  readonly proxy: Proxy | null;
  /** Instead of dialling the base's host: a stream in our link, or the link endpoint. Used for one request each. */
  readonly dial?: ((signal: AbortSignal) => Promise<Pick<Dialled, 'stream' | 'over' | 'pin'>>) | undefined;
}

export interface Ask {
  readonly method: 'GET' | 'POST';
  /** `https://gw.example.test:8443/v1/acme` */
  readonly base: string;
  /** What follows the base: `/push/SN123/cdr/5b1e0c77a1d2e3f4?o=0`. */
  readonly suffix: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
  /** Waits for the word before the body is sent; always so for bodies over 64 KiB. */
  readonly expect?: boolean | undefined;
}

export interface Answer extends Believing {
  readonly status: number;
  readonly location: string | null;
  readonly values: ReadonlyMap<string, string>;
  /** Seconds, of the field or the body; null: neither says. */
  readonly retryAfter: number | null;
  readonly roundTripMs: number;
  /** When it had come, on the clock that only grows. */
  readonly monoMs: number;
  /** The body was sent (or there was none). */
  readonly bodySent: boolean;
  /** It is the second try's: the first one, over a connection that had been kept, broke off, and may have been carried out. */
  readonly isRetried: boolean;
}

export interface DeviceHttpOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** What the device believes, for the signature; only shown. */
  nowMs(): number;
  readonly product: string;
}

interface Standing {
  readonly place: string;
  readonly agent: Agent;
  /** Of the request that is under way: a kept connection outlives the one that made it. */
  signal: AbortSignal;
  /** Of the connection's last dial. */
  dialled: Dialled | null;
}

/** Connecting failed: the request was never written. */
export const isConnectFault = (thrown: unknown): boolean => isFault(thrown) && thrown.detail['phase'] === 'connect';

export class DeviceHttp {
  readonly #options: DeviceHttpOptions;
  #standing: Standing | null = null;
  #idle: { cancel(): void } | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: DeviceHttpOptions) {
    this.#options = options;
  }

  /**
   * One request, behind those that wait already. Faults: those of `dialServer` with `detail.phase` "connect"; `closed` (cut: an answer that
   * is cut is none), `timeout`, `protocol`.
   */
  async ask(server: Server, ask: Ask, signal: AbortSignal): Promise<Answer> {
    const mine = this.#last.then(() => this.#askNow(server, ask, signal));
    this.#last = mine.catch(() => {});
    return await mine;
  }

  /** Something else that goes out, in its turn and with no connection of ours standing. */
  async alone<Value>(run: () => Promise<Value>): Promise<Value> {
    const mine = this.#last.then(() => {
      this.#drop();
      return run();
    });
    this.#last = mine.catch(() => {});
    return await mine;
  }

  /** Ends the standing connection when nothing is under way. */
  #drop(): void {
    this.#idle?.cancel();
    this.#idle = null;
    this.#standing?.agent.destroy();
    this.#standing = null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#last;
    this.#drop();
  }

  async #askNow(server: Server, ask: Ask, signal: AbortSignal): Promise<Answer> {
    if (this.#isClosed || signal.aborted) throw new Fault('closed', 'the request was given up');
    this.#idle?.cancel();
    this.#idle = null;
    const url = new URL(ask.base);
    const place = `${server.id} ${url.protocol}//${url.host} ${server.pins.join(',')}`;
    if (this.#standing !== null && this.#standing.place !== place) this.#drop();
    const wasStanding = this.#standing !== null;
    try {
      return await this.#exchange(server, ask, url, place, signal);
    } catch (thrown) {
      this.#drop();
      // A server may close a connection that was kept at any time; every request here may be repeated.
      if (!wasStanding || !isFault(thrown, 'closed') || signal.aborted) throw thrown;
      try {
        return { ...(await this.#exchange(server, ask, url, place, signal)), isRetried: true };
      } catch (again) {
        this.#drop();
        throw again;
      }
    } finally {
      if (this.#standing !== null) this.#idle = this.#options.clock.after(limits.pushIdleMs, () => this.#drop());
    }
  }

  #stand(server: Server, url: URL, place: string, signal: AbortSignal): Standing {
    if (this.#standing !== null) {
      this.#standing.signal = signal;
      return this.#standing;
    }
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const standing: Standing = { place, agent, signal, dialled: null };
    const secure = url.protocol === 'https:';
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const dialNow = async (): Promise<Dialled> => {
      if (server.dial !== undefined) return { ...(await server.dial(standing.signal)), chainGood: false, absolute: null };
      return await dialServer({ host, port: url.port === '' ? (secure ? 443 : 80) : Number(url.port), secure, pins: server.pins, ca: server.ca, certificate: server.certificate, proxy: server.proxy, signal: standing.signal });
    };
    // The stream is handed over when its far end has been judged, so that no byte of a request is written before.
    agent.createConnection = (_options, done) => {
      dialNow().then(
        (dialled) => {
          standing.dialled = dialled;
          done?.(null, dialled.stream);
        },
        (thrown: unknown) => {
          const fault = isFault(thrown) ? new Fault(thrown.code, thrown.message, { ...(thrown.remedy === undefined ? {} : { remedy: thrown.remedy }), detail: { phase: 'connect' }, cause: thrown }) : new Fault('unreachable', reasonOf(thrown), { detail: { phase: 'connect' }, cause: thrown });
          done?.(fault, undefined as unknown as Socket);
        },
      );
      return undefined;
    };
    // A link's stream has no keep-alive of TCP, and is good for one request.
    if (server.dial === undefined) this.#standing = standing;
    return standing;
  }

  async #exchange(server: Server, ask: Ask, url: URL, place: string, signal: AbortSignal): Promise<Answer> {
    const standing = this.#stand(server, url, place, signal);
    const target = `${url.pathname.replace(/\/+$/, '')}${ask.suffix}`;
    const nonce = this.#options.random(18).toString('base64url');
    const expects = ask.body !== null && (ask.expect === true || ask.body.length > limits.pushExpectBytes);
    const secure = server.dial !== undefined || url.protocol === 'https:';
    const isSigned = server.key !== null && (server.signs || !secure);
    const bodySha256 = ask.body === null ? emptySha256 : sha256Hex(ask.body);
    const sent = new Map(Object.entries(ask.fields).map(([name, value]) => [name.toLowerCase(), value]));
    const headers: Record<string, string> = {
      Host: url.host,
      'User-Agent': this.#options.product,
      Accept: 'text/plain',
      ...ask.fields,
      // A signature is believed before the body has come, if the head says what it will be (RFC 9530).
      ...(ask.body === null ? {} : { 'Content-Length': String(ask.body.length), 'Content-Digest': `sha-256=:${Buffer.from(bodySha256, 'hex').toString('base64')}:` }),
      ...(expects ? { Expect: '100-continue' } : {}),
      ...(server.dial === undefined ? {} : { Connection: 'close' }),
      ...identityOf(server.key, isSigned, { method: ask.method, target, unix: Math.floor(this.#options.nowMs() / 1000), nonce, bodySha256, fields: fieldsToSign((name) => sent.get(name) ?? null) }),
    };
    const plainProxy = !secure && server.proxy !== null && server.dial === undefined;
    const credentials = plainProxy ? await server.proxy!.credentials() : null;
    if (credentials !== null) headers['Proxy-Authorization'] = `Basic ${Buffer.from(credentials).toString('base64')}`;
    const asked = httpRequest({ agent: standing.agent, method: ask.method, host: url.hostname, path: plainProxy ? `${url.protocol}//${url.host}${target}` : target, headers, setHost: false });
    const got = await this.#answerTo(asked, ask.body, expects, signal);
    const dialled = standing.dialled;
    if (dialled === null) throw new Fault('internal', 'an answer came without a connection');
    if (server.dial !== undefined) standing.agent.destroy();
    const field = got.response.headers['x-postern-answer'];
    const location = got.response.headers.location ?? '';
    const status = got.response.statusCode ?? 0;
    const signed = isSigned && typeof field === 'string' && isAnswerSignedBy(server.key!.reveal(), { nonce, status, location, bodySha256: sha256Hex(got.body) }, field);
    // A page of a captive portal may have lines with "=", too.
    const values = /^text\/plain\b/i.test(got.response.headers['content-type'] ?? '') ? parseLines(got.body.toString('utf8')) : new Map<string, string>();
    return {
      status, values, signed,
      over: dialled.over, pin: dialled.pin, chainGood: dialled.chainGood,
      location: location === '' ? null : location,
      retryAfter: secondsOf(values.get('retry')) ?? secondsOf(got.response.headers['retry-after']),
      roundTripMs: got.roundTripMs, monoMs: got.monoMs, bodySent: got.bodySent,
      isRetried: false,
    };
  }

  #answerTo(asked: ClientRequest, body: Buffer | null, expects: boolean, signal: AbortSignal): Promise<{ response: IncomingMessage; body: Buffer; roundTripMs: number; monoMs: number; bodySent: boolean }> {
    const { clock } = this.#options;
    return new Promise((resolve, reject) => {
      let writtenMs = clock.monoMs();
      let bodySent = body === null;
      let isDone = false;
      const settle = () => {
        isDone = true;
        timer.cancel();
        waiting?.cancel();
        signal.removeEventListener('abort', onAbort);
      };
      const fail = (fault: Fault) => {
        if (isDone) return;
        settle();
        asked.destroy();
        reject(fault);
      };
      const onAbort = () => fail(new Fault('closed', 'the request was given up'));
      const timer = clock.after(limits.pushTimeoutMs, () => fail(new Fault('timeout', `no whole answer came within ${limits.pushTimeoutMs / 1000} s`)));
      let waiting: { cancel(): void } | null = null;
      const sendBody = () => {
        waiting?.cancel();
        if (bodySent || isDone) return;
        bodySent = true;
        writtenMs = clock.monoMs();
        asked.end(body);
      };
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) return onAbort();
      asked.on('error', (error) => fail(isFault(error) ? error : new Fault('closed', `the connection broke off: ${reasonOf(error)}`, { cause: error })));
      asked.on('socket', () => (writtenMs = clock.monoMs()));
      asked.on('continue', sendBody);
      asked.on('response', (response) => {
        waiting?.cancel();
        collect(response, fail, (bytes) => {
          if (isDone) return;
          settle();
          // The server counts on a body that does not come: this connection is good for nothing more.
          if (!bodySent) asked.destroy();
          const monoMs = clock.monoMs();
          resolve({ response, body: bytes, roundTripMs: Math.max(0, monoMs - writtenMs), monoMs, bodySent });
        });
      });
      if (!expects) {
        bodySent = true;
        asked.end(body ?? undefined);
      } else {
        asked.flushHeaders();
        // Servers and proxies that do not know the expectation say nothing (RFC 9110 §10.1.1); counted from when the head went.
        asked.on('socket', () => (waiting = clock.after(limits.pushContinueMs, sendBody)));
      }
    });
  }
}

function identityOf(key: Secret | null, isSigned: boolean, request: Parameters<typeof signRequest>[1]): Record<string, string> {
  if (key === null) return {};
  // Over plain http everybody on the way would read the key.
  return isSigned ? { 'X-Postern-Sign': signRequest(key.reveal(), request) } : { 'X-Postern-Key': key.reveal() };
}

function secondsOf(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,9}(\.\d{1,6})?$/.test(text) ? Number(text) : null;
}

function collect(response: IncomingMessage, fail: (fault: Fault) => void, done: (body: Buffer) => void): void {
  const pieces: Buffer[] = [];
  let bytes = 0;
  // What ends with the connection cannot be told from what was cut.
  const isFramed = response.headers['content-length'] !== undefined || /\bchunked\b/i.test(response.headers['transfer-encoding'] ?? '');
  response.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > limits.pushAnswerBytesMax) return fail(new Fault('protocol', `the answer is longer than ${limits.pushAnswerBytesMax} bytes`));
    pieces.push(piece);
  });
  response.on('error', (error) => fail(new Fault('closed', `the answer was cut: ${reasonOf(error)}`, { cause: error })));
  response.on('close', () => {
    if (!response.complete) fail(new Fault('closed', 'the answer was cut'));
  });
  response.on('end', () => {
    if (!response.complete) return fail(new Fault('closed', 'the answer was cut'));
    if (!isFramed) return fail(new Fault('protocol', 'the answer has no length, so that nobody can know whether it was cut'));
    done(Buffer.concat(pieces));
  });
}
