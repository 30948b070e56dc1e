// The act `in` (docs/wire/device.md §6): bodies of programs that know no offsets, each stored once for each Idempotency-Key. At least
// once, with a key: whoever forgets the key doubles the data.
import { createHash } from 'node:crypto';
import { Fault, isFault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { IntakeOperations, KeyedOutcome } from '#model/intake.ts';
import type { Device } from '#model/rows.ts';
import { checkFeedName } from '#wire/device.ts';
import { parseFormat } from '#wire/records.ts';
import { digestFault, type FeedSettings } from './push.ts';
import type { Act, DeviceAnswer, DeviceRequest } from './requests.ts';

/** What happened to a body, for journal, events and metrics. */
export interface TakenIn {
  readonly request: DeviceRequest;
  readonly device: Device;
  readonly feed: string;
  readonly bytes: number;
  readonly outcome: KeyedOutcome;
}

export interface KeyedIntakeOptions {
  readonly operations: Pick<IntakeOperations, 'intakeKeyed'>;
  readonly limits: Limits;
  readonly nowMs: () => number;
  readonly newId: () => Id;
  readonly random: Random;
  readonly settingsOf: (customerKey: string, serial: string, feed: string) => FeedSettings;
  /** A reason to store nothing now: a full disk. */
  readonly mayStore: () => Fault | null;
  readonly onTakenIn: (taken: TakenIn) => void;
}

const keyCharsMax = 255;
const waitingRetrySeconds = 600;

/** `Idempotency-Key`: a string of RFC 9651 §3.3.3, or bare as most programs send it. Fault `bad-input`. */
export function parseIdempotencyKey(text: string): string {
  const field = text.trim();
  const quoted = /^"((?:[ !#-[\]-~]|\\["\\])*)"(?:;.*)?$/.exec(field);
  const key = quoted ? quoted[1]!.replace(/\\(["\\])/g, '$1') : field;
  // eslint-disable-next-line no-control-regex
  if (key.length < 1 || key.length > keyCharsMax || /[\x00-\x1f\x7f-\x9f]/.test(key)) throw new Fault('bad-input', `Idempotency-Key has 1 to ${keyCharsMax} printable characters`);
  return key;
}

const sha256 = (...parts: readonly (string | Uint8Array)[]): string => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');

export function buildKeyedIntake(options: KeyedIntakeOptions): Act {
  const { limits } = options;
  const inFlight = new Set<string>();
  let underWay = 0;
  const underWayOf = new Map<Id, number>();

  const answerOf = (outcome: KeyedOutcome): DeviceAnswer => {
    switch (outcome.kind) {
      case 'stored':
        return { status: 200, values: { stored: true, at: outcome.at } };
      case 'repeat':
        return { status: 200, values: { repeat: true, at: outcome.at } };
      case 'reused':
        return { status: 422, values: { error: 'key-reused', why: 'this Idempotency-Key came before with another body' } };
      case 'too-many':
        return { status: 429, values: { error: 'too-many', why: outcome.why, retry: 3_600 } };
    }
  };

  const take = async (request: DeviceRequest, device: Device, feed: string): Promise<DeviceAnswer> => {
    const said = request.header('idempotency-key');
    const key = said === null ? null : parseIdempotencyKey(said);
    const byBody = request.query.get('key');
    if (byBody !== null && byBody !== 'body') throw new Fault('bad-input', 'key= is "body", or absent: a key of your own goes into Idempotency-Key');
    const settings = options.settingsOf(request.customer.key, request.serial, feed);
    const format = request.header('x-postern-format') ?? settings.format;
    if (parseFormat(format) === null) throw new Fault('bad-input', 'X-Postern-Format is raw, lines, u16, u32, fixed:N or stamped');
    let body: Awaited<ReturnType<DeviceRequest['body']>>;
    try {
      body = await request.body(limits.pushBytesMax);
    } catch (thrown) {
      if (isFault(thrown, 'too-large')) return { status: 413, values: { error: 'too-large', why: thrown.message, max: limits.pushBytesMax } };
      if (isFault(thrown, 'bad-input')) return { status: 422, values: { error: 'encoding', why: thrown.message } };
      throw thrown;
    }
    const spoilt = digestFault(request, body);
    if (spoilt !== null) return { status: 422, values: { error: 'digest', why: spoilt } };
    const bodyDigest = sha256(body.bytes);
    // A key of the sender's own is never that of a body, whatever it reads.
    // A signature is new for every request: a copy of it, made on the way, brings nothing a second time.
    const sign = request.header('x-postern-sign');
    const keyDigest = key !== null ? sha256('key\n', key) : byBody !== null ? sha256('body\n', bodyDigest) : sign !== null ? sha256('sign\n', sign.trim()) : null;
    const place = keyDigest === null ? null : `${device.id} ${feed} ${keyDigest}`;
    // Not 409, as the draft of Idempotency-Key has it: Fluent Bit and Vector take every 4xx but 408 and 429 as the last word, and drop the body.
    if (place !== null && inFlight.has(place)) return { status: 503, values: { error: 'busy', why: 'the first request with this key is still being stored', retry: 1 } };
    if (underWay >= limits.keyedIntakesAtOnceMax) throw new Fault('busy', 'more is arriving than can be written', { remedy: 'Repeat it later: nothing of it was stored.' });
    underWay += 1;
    if (place !== null) inFlight.add(place);
    try {
      const [outcome] = await options.operations.intakeKeyed([
        { customerId: request.customer.id, deviceId: device.id, serial: request.serial, feed, newFeedId: options.newId(), newEpoch: options.random(8).toString('hex'), format, keyDigest, bodyDigest, bytes: body.bytes, at: options.nowMs(), alerts: settings.alerts },
      ]);
      options.onTakenIn({ request, device, feed, bytes: body.bytes.length, outcome: outcome! });
      return answerOf(outcome!);
    } finally {
      underWay -= 1;
      if (place !== null) inFlight.delete(place);
    }
  };

  return async (request, caller) => {
    const [feed, ...more] = request.rest;
    if (feed === undefined || more.length > 0) throw new Fault('not-found', 'the path is in/SERIAL/FEED');
    checkFeedName(feed);
    if (request.method !== 'POST' && request.method !== 'PUT') throw new Fault('unsupported', 'in takes POST');
    // Its bytes are not counted by offsets, so a quarantine could not be kept within its bound and handed over with the same ones.
    if (caller.kind === 'waiting') return { status: 403, values: { error: 'waiting', why: 'this device waits for approval', waiting: true, retry: waitingRetrySeconds } };
    const full = options.mayStore();
    if (full) throw full;
    const { id } = caller.device;
    const before = underWayOf.get(id) ?? 0;
    if (before >= limits.keyedIntakesPerDeviceMax) return { status: 429, values: { error: 'too-many', why: `${before} requests of this device are under way`, retry: 1 } };
    underWayOf.set(id, before + 1);
    try {
      return await take(request, caller.device, feed);
    } finally {
      const left = (underWayOf.get(id) ?? 1) - 1;
      if (left > 0) underWayOf.set(id, left);
      else underWayOf.delete(id);
    }
  };
}
