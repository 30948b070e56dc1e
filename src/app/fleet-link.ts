// The device protocol over a link: the agent opens the service `push` and speaks HTTP/1.1 in it; whose link it is says who it is.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { RawRequest } from '#fleet/requests.ts';
import { type BodyBudget, type BodyHold, decode, encodingOf, holdBody } from '#proxy/exchange-body.ts';
import type { ServedAnswer } from '#fleet/serve.ts';

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
      const encoding = encodingOf(request.headers['content-encoding'] ?? '');
      const hash = createHash('sha256');
      const pieces: Buffer[] = [];
      let rawBytes = 0;
      for await (const piece of piecesOf(request)) {
        rawBytes += piece.length;
        if (rawBytes > Math.min(limits.pushBodyBytesMax, encoding === 'identity' ? max : limits.pushBodyBytesMax)) throw new Fault('too-large', `the body has more than ${max} bytes`);
        const full = hold.add(piece.length);
        if (full) throw full;
        hash.update(piece);
        pieces.push(piece);
      }
      const raw = Buffer.concat(pieces);
      return { bytes: await decode(raw, encoding, max), rawSha256: hash.digest('hex'), rawBytes };
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

/** Who stops in the middle still has an answer to give, so the request is not destroyed with its body. */
async function* piecesOf(request: IncomingMessage): AsyncGenerator<Buffer, void, undefined> {
  try {
    for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) yield piece;
  } catch (thrown) {
    throw new Fault('closed', 'the agent went away in the middle of its request', { cause: thrown });
  }
}
