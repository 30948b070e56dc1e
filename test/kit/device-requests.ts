// Requests of devices as the acts of the room `fleet` get them, made by hand: a body in pieces that come when a test says so.
import { createHash } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import type { DeviceAnswer, DeviceRequest } from '#fleet/requests.ts';
import type { Customer } from '#model/rows.ts';

export interface Asked {
  readonly method?: string;
  /** Behind the customer: `file/SN1/a.txt?x=y`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer | AsyncIterable<Buffer>;
  readonly customer: Customer;
  readonly http10?: boolean;
  /** Collects interim answers. */
  readonly interims?: [number, Readonly<Record<string, string>>][];
}

export function deviceRequest({ method = 'GET', path, headers = {}, body, customer, http10 = false, interims = [] }: Asked): DeviceRequest {
  const [plain = '', query = ''] = path.split('?', 2);
  const [, serial = '', ...rest] = plain.split('/').map(decodeURIComponent);
  const whole = typeof body === 'string' ? Buffer.from(body) : Buffer.isBuffer(body) ? body : null;
  const fields = new Map(Object.entries({ ...(whole === null ? (body === undefined ? {} : { 'transfer-encoding': 'chunked' }) : { 'content-length': String(whole.length) }), ...headers }));
  const pieces = async function* (): AsyncGenerator<Buffer> {
    if (body === undefined) return;
    if (whole === null) yield* body as AsyncIterable<Buffer>;
    else for (let at = 0; at < whole.length; at += 1_000) yield whole.subarray(at, at + 1_000);
  };
  return {
    method, target: `/v1/${customer.key}/${path}`, customer, serial, rest, query: new URLSearchParams(query),
    header: (name) => fields.get(name) ?? null,
    from: '192.0.2.9', secure: true, http10, connId: 'c1', requestId: 'r1', certificate: null, agentId: null,
    async body(max) {
      const parts: Buffer[] = [];
      for await (const piece of pieces()) parts.push(piece);
      const bytes = Buffer.concat(parts);
      if (bytes.length > max) throw new Fault('too-large', `the body has ${bytes.length} bytes, and ${max} are the most`);
      return { bytes, rawSha256: createHash('sha256').update(bytes).digest('hex'), rawBytes: bytes.length };
    },
    pieces,
    interim: (status, named) => void interims.push([status, named]),
  };
}

/** Pieces that a test pushes; `cut` is the client going away in the middle. */
export function openPipe(): { readonly pieces: AsyncIterable<Buffer>; push(bytes: Buffer): void; end(): void; cut(): void } {
  const queue: (Buffer | null | Fault)[] = [];
  let wake = Promise.withResolvers<void>();
  const put = (item: Buffer | null | Fault) => {
    queue.push(item);
    wake.resolve();
  };
  return {
    pieces: (async function* () {
      for (;;) {
        while (queue.length === 0) await wake.promise;
        wake = Promise.withResolvers<void>();
        for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
          if (item === null) return;
          if (item instanceof Fault) throw item;
          yield item;
        }
      }
    })(),
    push: put,
    end: () => put(null),
    cut: () => put(new Fault('closed', 'the client went away')),
  };
}

export const fieldOf = (answer: DeviceAnswer, name: string): string | undefined => answer.fields?.[name];
