// node:http on one side, fetch's Request and Response on the other.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Log } from '#base/log.ts';
import type { Asker } from './deps.ts';

/** What travels beside a request. */
export interface Beside {
  readonly asker: Asker;
}

export interface ListenerOptions {
  readonly fetch: (request: Request, beside: Beside) => Response | Promise<Response>;
  /** The answer to a request that never became one (head, body). */
  readonly refuse: (fault: Fault) => Response;
  readonly askerOf: (request: IncomingMessage) => Asker;
  readonly bodyBytesMax: number;
  /** Of a request of somebody whom nobody knows: bodies wait whole in memory, and a stranger may send as many as there are connections. */
  readonly strangerBodyBytesMax: number;
  /** Whether somebody known asks, by what the head says. May throw a Fault. */
  readonly isKnown: (headers: Headers) => boolean;
  readonly log: Log;
}

async function readBody(incoming: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const tooLarge = () => new Fault('too-large', `a request's body has at most ${bytesMax} bytes here`);
  if (Number(incoming.headers['content-length'] ?? 0) > bytesMax) throw tooLarge();
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > bytesMax) throw tooLarge();
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function headersOf(incoming: IncomingMessage): Headers {
  const headers = new Headers();
  for (let i = 0; i + 1 < incoming.rawHeaders.length; i += 2) headers.append(incoming.rawHeaders[i]!, incoming.rawHeaders[i + 1]!);
  return headers;
}

function toRequest(incoming: IncomingMessage, headers: Headers, asker: Asker, body: Buffer | undefined, signal: AbortSignal): Request {
  const host = incoming.headers.host ?? '';
  const target = incoming.url ?? '/';
  if (!target.startsWith('/') || !/^[A-Za-z0-9.:[\]-]+$/.test(host)) throw new Fault('bad-input', 'the request names no host or no path');
  // By the parts, so that a target of `//other/` stays a path.
  const url = new URL(`${asker.secure ? 'https' : 'http'}://${host}`);
  const mark = target.indexOf('?');
  url.pathname = mark < 0 ? target : target.slice(0, mark);
  url.search = mark < 0 ? '' : target.slice(mark);
  return new Request(url, { method: incoming.method ?? 'GET', headers, signal, ...(body && body.length > 0 ? { body: new Uint8Array(body) } : {}) });
}

async function send(response: Response, outgoing: ServerResponse, withBody: boolean): Promise<void> {
  // Gone while it was being answered: 'close' has been told already, nobody would ever end the body.
  if (outgoing.destroyed) return await response.body?.cancel();
  const fields: string[] = [];
  // getSetCookie: several cookies must not be joined by commas.
  for (const [name, value] of response.headers) if (name !== 'set-cookie') fields.push(name, value);
  for (const value of response.headers.getSetCookie()) fields.push('set-cookie', value);
  outgoing.writeHead(response.status, fields);
  if (!response.body || !withBody) {
    await response.body?.cancel();
    outgoing.end();
    return;
  }
  outgoing.flushHeaders();
  const reader = response.body.getReader();
  const onClose = () => void reader.cancel().catch(() => {});
  outgoing.once('close', onClose);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (outgoing.destroyed) return;
      if (!outgoing.write(value)) await new Promise<void>((resolve) => {
        const go = () => {
          outgoing.off('drain', go);
          outgoing.off('close', go);
          resolve();
        };
        outgoing.once('drain', go);
        outgoing.once('close', go);
      });
    }
    outgoing.end();
  } finally {
    outgoing.off('close', onClose);
    if (outgoing.destroyed) await reader.cancel().catch(() => {});
  }
}

export function buildRequestListener(options: ListenerOptions): (incoming: IncomingMessage, outgoing: ServerResponse) => void {
  const bodyBytesMax = (headers: Headers): number => {
    try {
      return options.isKnown(headers) ? options.bodyBytesMax : options.strangerBodyBytesMax;
    } catch {
      return options.strangerBodyBytesMax; // a token that is no good: what is wrong with it is said where the request is judged
    }
  };
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const gone = new AbortController();
    outgoing.once('close', () => {
      if (!outgoing.writableFinished) gone.abort();
    });
    let response: Response;
    try {
      const asker = options.askerOf(incoming);
      const hasBody = incoming.method !== 'GET' && incoming.method !== 'HEAD';
      const headers = headersOf(incoming);
      const body = hasBody ? await readBody(incoming, bodyBytesMax(headers)) : undefined;
      response = await options.fetch(toRequest(incoming, headers, asker, body, gone.signal), { asker });
    } catch (thrown) {
      if (outgoing.destroyed) return;
      response = options.refuse(thrown instanceof Fault ? thrown : new Fault('bad-input', 'the request cannot be understood', { cause: thrown }));
      // What is left of the body is not read: the connection cannot carry another request.
      if (!incoming.complete) response.headers.set('connection', 'close');
    }
    await send(response, outgoing, incoming.method !== 'HEAD');
  };
  return (incoming, outgoing) => {
    answer(incoming, outgoing).catch((thrown: unknown) => {
      options.log.debug('api.cut', { why: reasonOf(thrown) });
      outgoing.destroy();
    });
  };
}
