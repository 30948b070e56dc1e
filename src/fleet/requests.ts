// What a request of the device protocol is for the acts of this room, whatever carried it: HTTP/1, HTTP/2, a link's stream.
import type { X509Certificate } from 'node:crypto';
import type { Id } from '#base/ids.ts';
import type { Customer, Device, WaitingDevice } from '#model/rows.ts';
import { parseOffset, parseStart, type DeclaredStart, type Values } from '#wire/device.ts';

/** As it came: before anybody looked at the path. */
export interface RawRequest {
  readonly method: string;
  /** Path and query as received: signatures name them. */
  readonly target: string;
  /** The first field of that name; lower case. null: absent. */
  header(name: string): string | null;
  /** The client's address. */
  readonly from: string;
  /** As whom tries are counted; absent: `from`. */
  readonly countedAs?: string;
  readonly secure: boolean;
  readonly http10: boolean;
  readonly connId: string;
  readonly requestId: string;
  /** Shown and proved in the handshake, not judged. */
  readonly certificate: X509Certificate | null;
  /** Over a link of this agent. */
  readonly agentId: Id | null;
  /**
   * The whole body, decoded as Content-Encoding says. Faults: `too-large` (more than `max` decoded bytes, or more than
   * limits.pushBodyBytesMax as sent), `bad-input` (not what its encoding says), `closed` (the client went in the middle).
   */
  body(max: number): Promise<Body>;
  /** The body as it comes, not decoded, for files. Throws Fault `closed` when the client goes in the middle. */
  pieces(): AsyncIterable<Buffer>;
  /** A 1xx answer (100, 104); nothing for HTTP/1.0. */
  interim(status: number, fields: Readonly<Record<string, string>>): void;
}

export interface Body {
  readonly bytes: Buffer;
  /** Hex, of the body as it was sent: signatures and Content-Digest are over it. */
  readonly rawSha256: string;
  readonly rawBytes: number;
}

export interface DeviceRequest extends RawRequest {
  readonly customer: Customer;
  readonly serial: string;
  /** Path parts behind the serial, decoded. */
  readonly rest: readonly string[];
  readonly query: URLSearchParams;
}

/** Encoded by serve.ts as lines or JSON, with `time`; signed when the request was. `values.retry` becomes Retry-After, too. */
export interface DeviceAnswer {
  readonly status: number;
  readonly values: Values;
  readonly fields?: Readonly<Record<string, string>>;
  /** Instead of values: for what has its own form (problem documents). */
  readonly body?: { readonly type: string; readonly text: string };
}

/** Who the device turned out to be. */
export type Caller =
  | { readonly kind: 'device'; readonly device: Device; readonly by: 'key' | 'sign' | 'certificate' | 'agent' | 'nothing' }
  | { readonly kind: 'waiting'; readonly waiting: WaitingDevice; readonly quarantineBytes: number | null };

export type Act = (request: DeviceRequest, caller: Caller) => Promise<DeviceAnswer>;

/** For rows that need a device's id before it is one: a waiting device keeps its own. */
export const callerId = (caller: Caller): Id => (caller.kind === 'device' ? caller.device.id : caller.waiting.id);

/** Answers before a body is read where the device is to go elsewhere or has to wait. null: go on. */
export type Before = (request: DeviceRequest, caller: Caller) => Promise<DeviceAnswer | null>;

/** From the field, or from the query, where a redirect put it for clients that follow blindly. Fault `bad-input`. */
export function declaredStart(request: Pick<DeviceRequest, 'header' | 'query'>): DeclaredStart | null {
  const field = request.header('x-postern-start');
  if (field !== null) return parseStart(field);
  const text = request.query.get('start');
  return text === null ? null : { at: parseOffset(text, 'start'), from: '' };
}
