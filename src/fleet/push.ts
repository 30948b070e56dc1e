// The act `push` (docs/wire/device.md §2): one batch in, one answer out, each a function of what is stored.
import { createHash } from 'node:crypto';
import { Fault, isFault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { AlertRule, IntakeOperations, PushOutcome } from '#model/intake.ts';
import type { FeedEpoch } from '#model/rows.ts';
import { checkEpoch, checkFeedName, offsetMax, parseContentDigest, parseGap, parseOffset } from '#wire/device.ts';
import { parseFormat } from '#wire/records.ts';
import type { Intake } from './intake.ts';
import { callerId, declaredStart, type Act, type Caller, type DeviceAnswer, type DeviceRequest } from './requests.ts';

/** What the configuration says of a feed. */
export interface FeedSettings {
  /** When the device does not say. */
  readonly format: string;
  readonly alerts: readonly AlertRule[];
}

/** What happened to a batch, for journal, events and metrics. */
export interface Pushed {
  readonly request: DeviceRequest;
  readonly caller: Caller;
  readonly feed: string;
  readonly epoch: string;
  readonly bytes: number;
  readonly outcome: PushOutcome;
}

export interface PushOptions {
  readonly intake: Intake;
  readonly operations: Pick<IntakeOperations, 'findEpoch'>;
  readonly limits: Limits;
  readonly nowMs: () => number;
  readonly settingsOf: (customerKey: string, serial: string, feed: string) => FeedSettings;
  readonly onPushed: (pushed: Pushed) => void;
  /** Where a device goes on whose epoch was sealed; null: nowhere that we know. */
  readonly baseOf: (request: DeviceRequest, sealedTo: string | null) => string | null;
  /** Batches under way of each device, kept here: one that sends many at once gains nothing and takes the others' turn, and none is sent elsewhere meanwhile. */
  readonly underWay: Map<Id, number>;
}

export function buildPush(options: PushOptions): Act {
  const { limits, operations, underWay } = options;

  const find = (caller: Caller, feed: string, epoch: string): Promise<FeedEpoch | null> => operations.findEpoch(callerId(caller), feed, epoch);

  const ask = async (request: DeviceRequest, caller: Caller, feed: string, epoch: string): Promise<DeviceAnswer> => {
    const row = await find(caller, feed, epoch);
    const values = { next: row?.next ?? 0, ...(caller.kind === 'waiting' ? { waiting: true } : {}) };
    if ((row?.sealedAt ?? null) === null || row === null) return { status: 200, values };
    return sealed(request, row.next, row.sealedTo);
  };

  const sealed = (request: DeviceRequest, next: number, to: string | null): DeviceAnswer => {
    const base = options.baseOf(request, to);
    return { status: 410, values: { error: 'sealed', why: 'this epoch went on at another server', next, ...(base === null ? { new: true } : { base }) } };
  };

  const bring = async (request: DeviceRequest, caller: Caller, feed: string, epoch: string): Promise<DeviceAnswer> => {
    const offset = parseOffset(request.query.get('o'));
    const gap = request.header('x-postern-gap');
    const declared = { gap: gap === null ? null : parseGap(gap), start: declaredStart(request) };
    const settings = options.settingsOf(request.customer.key, request.serial, feed);
    const format = request.header('x-postern-format') ?? settings.format;
    if (parseFormat(format) === null) throw new Fault('bad-input', 'X-Postern-Format is raw, lines, u16, u32, fixed:N or stamped');
    let body: Awaited<ReturnType<DeviceRequest['body']>>;
    try {
      body = await request.body(limits.pushBytesMax);
    } catch (thrown) {
      const next = (await find(caller, feed, epoch))?.next ?? 0;
      if (isFault(thrown, 'too-large')) return { status: 413, values: { error: 'too-large', why: thrown.message, max: limits.pushBytesMax, next } };
      if (isFault(thrown, 'bad-input')) return { status: 422, values: { error: 'encoding', why: thrown.message, next } };
      throw thrown;
    }
    if (offset + body.bytes.length > offsetMax) throw new Fault('bad-input', `offsets end at ${offsetMax}: begin a new epoch`);
    const spoilt = digestFault(request, body);
    if (spoilt !== null) return { status: 422, values: { error: 'digest', why: spoilt, next: (await find(caller, feed, epoch))?.next ?? 0 } };
    const outcome = await options.intake.push({
      customerId: request.customer.id, deviceId: callerId(caller), serial: request.serial, feed, epoch,
      offset, bytes: body.bytes, format, ...declared, at: options.nowMs(),
      // Nobody knows yet who a stranger is: it rings no bells.
      alerts: caller.kind === 'waiting' ? [] : settings.alerts,
      quarantineMax: caller.kind === 'waiting' ? (caller.quarantineBytes ?? 0) : null,
    });
    options.onPushed({ request, caller, feed, epoch, bytes: body.bytes.length, outcome });
    return answer(request, caller, outcome);
  };

  const answer = (request: DeviceRequest, caller: Caller, outcome: PushOutcome): DeviceAnswer => {
    const { next } = outcome;
    switch (outcome.kind) {
      case 'stored':
        return { status: 200, values: { next, ...(outcome.repeat ? { repeat: true } : {}), ...(caller.kind === 'waiting' ? { waiting: true } : {}) } };
      case 'gap':
        return { status: 409, values: { error: 'gap', why: 'bytes before this offset are not here: go back to next, or declare the gap', next } };
      case 'conflict':
        return { status: 409, values: { error: 'conflict', why: 'other bytes are stored at this offset: two devices share the epoch; make a new one', next, new: true } };
      case 'sealed':
        return sealed(request, next, outcome.to);
      case 'full':
        return { status: 403, values: { error: 'waiting', why: 'this device waits for approval, and its quarantine is full', next, waiting: true, retry: 3_600 } };
      case 'gone':
        return { status: 503, values: { error: 'busy', why: 'the device is being approved or refused', next, retry: 1 } };
      case 'too-many':
        return { status: 429, values: { error: 'too-many', why: outcome.why, retry: 3_600 } };
    }
  };

  return async (request, caller) => {
    const [feed, epoch, ...more] = request.rest;
    if (feed === undefined || epoch === undefined || more.length > 0) throw new Fault('not-found', 'the path is push/SERIAL/FEED/EPOCH');
    checkFeedName(feed);
    checkEpoch(epoch);
    if (request.method === 'GET' || request.method === 'HEAD') return ask(request, caller, feed, epoch);
    if (request.method !== 'POST' && request.method !== 'PUT') throw new Fault('unsupported', 'push takes POST, and GET to ask');
    if (caller.kind === 'waiting' && caller.quarantineBytes === null) return { status: 403, values: { error: 'waiting', why: 'this device waits for approval', waiting: true, retry: 600 } };
    const id = callerId(caller);
    const before = underWay.get(id) ?? 0;
    if (before >= limits.pushesPerDeviceMax) return { status: 429, values: { error: 'too-many', why: `${before} batches of this device are under way`, retry: 1 } };
    underWay.set(id, before + 1);
    try {
      return await bring(request, caller, feed, epoch);
    } finally {
      const left = (underWay.get(id) ?? 1) - 1;
      if (left > 0) underWay.set(id, left);
      else underWay.delete(id);
    }
  };
}

/** A sentence when the body is not what the device says that it sent. */
export function digestFault(request: DeviceRequest, body: { readonly bytes: Buffer; readonly rawSha256: string }): string | null {
  const said = request.header('x-postern-sha256');
  if (said !== null) {
    if (!/^[0-9a-f]{64}$/i.test(said.trim())) return 'X-Postern-SHA256 is 64 hex digits';
    if (createHash('sha256').update(body.bytes).digest('hex') !== said.trim().toLowerCase()) return 'the bytes that arrived have another digest than X-Postern-SHA256 says';
  }
  const digest = request.header('content-digest');
  const wanted = digest === null ? null : parseContentDigest(digest);
  if (wanted !== null && wanted !== body.rawSha256) return 'the body that arrived has another digest than Content-Digest says';
  return null;
}
