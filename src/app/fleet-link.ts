// The device protocol over a link: the agent opens the service `push` and speaks HTTP/1.1 in it; whose link it is says who it is.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { RawRequest } from '#fleet/requests.ts';
import { type BodyBudget, type BodyHold, holdBody } from '#proxy/exchange-body.ts';
import type { ServedAnswer } from '#fleet/serve.ts';

const unpack = promisify(gunzip);

export interface FleetLink {
  serve(stream: Duplex, agentId: Id, from: string): void;
  close(): Promise<void>;
}

export function openFleetLink({ serve, limits, bodies, log, newRequestId }: { serve: (raw: RawRequest) => Promise<ServedAnswer>; limits: Limits; bodies: BodyBudget; log: Log; newRequestId: () => string }): FleetLink {
  const whose = new WeakMap<Duplex, { agentId: Id; from: string }>();
  const open = new Set<Duplex>();
  const server = createServer({ keepAliveTimeout: limits.keepAliveIdleMs, requestTimeout: 0, headersTimeout: limits.headTimeoutMs, maxHeaderSize: limits.headBytesMax }, (request, response) => {
    const about = whose.get(request.socket as Duplex);
    if (!about) return void response.destroy();
    answer(request, response, about).catch((thrown: unknown) => {
      log.error('device.broken', { why: reasonOf(thrown) });
      response.destroy();
    });
  });

  const answer = async (request: IncomingMessage, response: ServerResponse, about: { agentId: Id; from: string }) => {
    const hold = holdBody(bodies, limits, `agent ${about.agentId}`);
    const { status, fields, body } = await serve(rawOf(request, response, about, hold, newRequestId())).finally(() => hold.release());
    response.writeHead(status, [...fields.flat(), 'Content-Length', String(Buffer.byteLength(body))]);
    response.end(request.method === 'HEAD' ? undefined : body);
  };

  const rawOf = (request: IncomingMessage, response: ServerResponse, about: { agentId: Id; from: string }, hold: BodyHold, requestId: string): RawRequest => ({
    method: request.method ?? 'GET',
    target: request.url ?? '/',
    header: (name) => {
      const value = request.headers[name];
      return value === undefined ? null : typeof value === 'string' ? value : (value[0] ?? null);
    },
    from: about.from, secure: true, http10: false, connId: `link of ${about.agentId}`, requestId, certificate: null, agentId: about.agentId,
    async body(max) {
      const hash = createHash('sha256');
      const pieces: Buffer[] = [];
      let rawBytes = 0;
      for await (const piece of piecesOf(request)) {
        rawBytes += piece.length;
        if (rawBytes > Math.min(limits.pushBodyBytesMax, request.headers['content-encoding'] === undefined ? max : limits.pushBodyBytesMax)) throw new Fault('too-large', `the body has more than ${max} bytes`);
        const full = hold.add(piece.length);
        if (full) throw full;
        hash.update(piece);
        pieces.push(piece);
      }
      const raw = Buffer.concat(pieces);
      return { bytes: await decoded(raw, request.headers['content-encoding'], max), rawSha256: hash.digest('hex'), rawBytes };
    },
    pieces: () => piecesOf(request),
    interim: (status, fields) => {
      if (status === 100) response.writeContinue();
      else response.writeInformation(status, { ...fields });
    },
  });

  return {
    serve(stream, agentId, from) {
      whose.set(stream, { agentId, from });
      open.add(stream);
      stream.on('error', () => {});
      stream.once('close', () => open.delete(stream));
      server.emit('connection', stream);
    },
    close: () =>
      new Promise((resolve) => {
        for (const stream of open) stream.destroy();
        // Never listened: closing only ends its timer.
        server.close(() => resolve());
      }),
  };
}

/** Our own agent sends gzip or nothing. */
async function decoded(raw: Buffer, encoding: string | undefined, max: number): Promise<Buffer> {
  if (encoding === undefined || encoding === 'identity') return raw;
  if (encoding !== 'gzip') throw new Fault('bad-input', `the encoding "${encoding.slice(0, 40)}" is not understood over a link: gzip or none`);
  try {
    return await unpack(raw, { maxOutputLength: max });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new Fault('too-large', `the body has more than ${max} bytes when it is unpacked`);
    throw new Fault('bad-input', `the body is not what its encoding says: ${reasonOf(thrown)}`);
  }
}

/** Who stops in the middle still has an answer to give, so the request is not destroyed with its body. */
async function* piecesOf(request: IncomingMessage): AsyncGenerator<Buffer, void, undefined> {
  try {
    for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) yield piece;
  } catch (thrown) {
    throw new Fault('closed', 'the agent went away in the middle of its request', { cause: thrown });
  }
}
