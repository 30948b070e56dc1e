// The device protocol's front: a path becomes a customer and a serial, the sender becomes somebody or is told why not, an act
// makes the answer, and the answer becomes bytes, signed where the request was.
import { Fault, isFault } from '#base/fault.ts';
import { createHash } from 'node:crypto';
import type { Limits } from '#base/limits.ts';
import type { Customer } from '#model/rows.ts';
import { encodeJson, encodeLines, parseDevicePath, type Values } from '#wire/device.ts';
import { sha256Hex, signAnswer } from '#wire/device-sign.ts';
import type { Authenticated } from './authenticate.ts';
import type { Act, Before, Caller, DeviceAnswer, DeviceRequest, RawRequest } from './requests.ts';

export interface ServedAnswer {
  readonly status: number;
  /** In the order that they are written. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: string;
}

export interface ActEntry {
  readonly act: Act;
  /** Its bodies are small enough to be read before anything is decided. */
  readonly readsBody: boolean;
}

export interface ServeOptions {
  readonly limits: Limits;
  readonly nowMs: () => number;
  readonly customerByKey: (key: string) => Customer | undefined;
  readonly authenticate: (request: DeviceRequest, readsBody: boolean) => Promise<Authenticated | DeviceAnswer>;
  /** Asked before the body is taken: where the device is to go elsewhere. */
  readonly before: Before;
  readonly acts: Readonly<Record<string, ActEntry | undefined>>;
  /** `code`: the answer's error, or ''. */
  readonly onAnswered: (request: RawRequest, caller: Caller | null, status: number, code: string, why: string) => void;
  /** A mistake of ours. */
  readonly onBroken: (thrown: unknown) => void;
}

const STATUS: Readonly<Partial<Record<Fault['code'], number>>> = { 'bad-input': 400, unauthenticated: 401, forbidden: 403, 'not-found': 404, unsupported: 405, conflict: 409, gone: 410, 'too-large': 413, 'too-many': 429, busy: 503, timeout: 503, closed: 503, offline: 503 };
const RETRY: Readonly<Partial<Record<Fault['code'], number>>> = { 'too-many': 60, busy: 5, timeout: 5, closed: 5, offline: 5 };

export function buildServeDevices(options: ServeOptions): (raw: RawRequest) => Promise<ServedAnswer> {
  const { limits } = options;

  const answerFault = (fault: Fault): DeviceAnswer => {
    const after = fault.detail['retryAfterS'];
    const retry = typeof after === 'number' ? after : RETRY[fault.code];
    const error = fault.code === 'closed' || fault.code === 'offline' || fault.code === 'timeout' ? 'busy' : fault.code;
    return { status: STATUS[fault.code] ?? 500, values: { error, why: fault.message, ...(fault.code === 'too-large' ? { max: limits.pushBytesMax } : {}), ...(retry === undefined ? {} : { retry }) } };
  };

  const run = async (raw: RawRequest): Promise<{ answer: DeviceAnswer; who: Authenticated | null }> => {
    const path = parseDevicePath(raw.target);
    if (path === null) throw new Fault('not-found', 'nothing is here');
    const customer = options.customerByKey(path.customer);
    const entry = Object.hasOwn(options.acts, path.act) ? options.acts[path.act] : undefined;
    if (!customer) throw new Fault('not-found', `there is no customer ${path.customer} here`);
    if (!entry) throw new Fault('not-found', `"${path.act}" is nothing that is done here: push, check-in, in, file, action`);
    const body = memoised(raw);
    const request: DeviceRequest = { ...raw, customer, serial: path.serial, rest: path.rest, query: new URLSearchParams(path.query), body };
    const who = await options.authenticate(request, entry.readsBody);
    if ('status' in who) return { answer: who, who: null };
    if (who.bodySha256 !== null) hold(request, who.bodySha256);
    const elsewhere = await options.before(request, who.caller);
    return { answer: elsewhere ?? (await entry.act(request, who.caller)), who };
  };

  return async (raw) => {
    let answer: DeviceAnswer;
    let who: Authenticated | null = null;
    try {
      ({ answer, who } = await run(raw));
    } catch (thrown) {
      if (!isFault(thrown)) options.onBroken(thrown);
      answer = isFault(thrown) ? answerFault(thrown) : { status: 500, values: { error: 'internal', why: 'a mistake in the gateway', retry: 60 } };
    }
    const { error, why } = answer.values;
    options.onAnswered(raw, who?.caller ?? null, answer.status, error === undefined ? '' : String(error), why === undefined ? '' : String(why));
    return encodeAnswer(raw, answer, who?.sign ?? null, options.nowMs());
  };
}

/** Whoever signs has the body read before an act asks for it. */
function memoised(raw: RawRequest): RawRequest['body'] {
  let read: ReturnType<RawRequest['body']> | null = null;
  return async (max) => {
    read ??= raw.body(max);
    const body = await read;
    if (body.bytes.length > max) throw new Fault('too-large', `the body has ${body.bytes.length} bytes, and ${max} are the most`);
    return body;
  };
}

/** A signature was believed because a field said the body's digest: the body has to have it. */
function hold(request: DeviceRequest, sha256: string): void {
  const { body, pieces } = request;
  const spoilt = () => new Fault('unauthenticated', 'the body is not the one that was signed');
  Object.assign(request, {
    body: async (max: number) => {
      const read = await body(max);
      if (read.rawSha256 !== sha256) throw spoilt();
      return read;
    },
    pieces: async function* () {
      const hash = createHash('sha256');
      for await (const piece of pieces.call(request)) {
        hash.update(piece);
        yield piece;
      }
      if (hash.digest('hex') !== sha256) throw spoilt();
    },
  });
}

function encodeAnswer(raw: RawRequest, answer: DeviceAnswer, sign: Authenticated['sign'], nowMs: number): ServedAnswer {
  const fields: [string, string][] = [];
  let body: string;
  if (answer.body) {
    body = answer.body.text;
    fields.push(['Content-Type', answer.body.type]);
  } else {
    // As late as can be: a device sets its clock by it.
    const values: Values = { time: (nowMs / 1_000).toFixed(3), ...answer.values };
    const isJson = /\bapplication\/json\b/.test(raw.header('accept') ?? '');
    body = isJson ? encodeJson({ ...values, time: nowMs / 1_000 }) : encodeLines(values);
    fields.push(['Content-Type', isJson ? 'application/json' : 'text/plain; charset=utf-8']);
  }
  fields.push(['Cache-Control', 'no-store']);
  if (answer.status === 401) fields.push(['WWW-Authenticate', 'Postern']);
  if (answer.values['retry'] !== undefined) fields.push(['Retry-After', String(answer.values['retry'])]);
  for (const [name, value] of Object.entries(answer.fields ?? {})) fields.push([name, value]);
  if (sign !== null) {
    const location = answer.fields?.['Location'] ?? '';
    fields.push(['X-Postern-Answer', signAnswer(sign.key, { nonce: sign.nonce, status: answer.status, location, bodySha256: sha256Hex(raw.method === 'HEAD' ? '' : body) })]);
  }
  return { status: answer.status, fields, body };
}
