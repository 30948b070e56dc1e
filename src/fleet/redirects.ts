// Devices that belong to another server (docs/wire/device.md §4): asked before a body is taken. What they brought here is sealed first, so that
// their bytes are at one server only; then the answer says where, for how long, and from which offset on.
import { isFault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { IntakeOperations, SealedEpoch } from '#model/intake.ts';
import type { Leases, RequestFacts, Subject } from '#model/leases.ts';
import { hopsMax, type RedirectDecision } from '#model/redirect.ts';
import type { Customer, Device } from '#model/rows.ts';
import { deviceRoot } from '#wire/device.ts';
import type { Elsewhere } from './check-in.ts';
import { declaredStart, type Before, type Caller, type DeviceAnswer, type DeviceRequest } from './requests.ts';

export interface DeviceRedirects {
  /** 307 or 308 for a push or a file, null: it stays. Faults: `busy` (the store could not seal). */
  readonly before: Before;
  /** For the answer of a check-in, which is never a redirect itself: the device needs time and settings from here. null: it stays. */
  checkIn(request: DeviceRequest, caller: Caller): Promise<Elsewhere | null>;
  /** Where a device goes on that comes to a sealed epoch; null: nowhere that it could reach. */
  baseOf(request: DeviceRequest, sealedTo: string | null): string | null;
  /** To be announced in check-ins, beside this gateway's own. */
  pinsFor(device: Device, customer: Customer): string[];
}

export interface RedirectsOptions {
  readonly leases: Leases;
  readonly operations: Pick<IntakeOperations, 'sealEpochs' | 'findEpoch'>;
  readonly limits: Pick<Limits, 'redirectSealsRememberedMax'>;
  readonly nowMs: () => number;
  readonly deviceBySerial: (customerId: Id, serial: string) => Device | undefined;
  /** Batches of the device that are under way here: one that is would be stored after the seal of an epoch that is not there yet. */
  readonly pushesUnderWay: (deviceId: Id) => number;
}

/** HTTP's way to hand a file over; asking for one, and the parts of an upload that began here, stay here. */
const fileMethods = new Set(['PUT', 'POST']);

export function buildRedirects(options: RedirectsOptions): DeviceRedirects {
  const { leases, operations, limits } = options;
  /** Where all of a device's epochs are sealed to already: simple devices ask here each time. */
  const sealed = new Map<Id, string>();

  const subjectOf = (device: Device, { customer }: DeviceRequest): Subject => ({ id: device.id, serial: device.serial, name: device.name, customer });

  const decide = (request: DeviceRequest, caller: Extract<Caller, { kind: 'device' }>): RedirectDecision => {
    const subject = subjectOf(caller.device, request);
    const failed = request.header('x-postern-failed');
    if (failed !== null) leases.failedAt(subject, failed.trim().replace(/\/$/, ''));
    const decision = leases.decide(subject, factsOf(request, caller));
    // It may bring something here now, which a later seal has to end.
    if (decision.kind === 'stay') sealed.delete(caller.device.id);
    return decision;
  };

  const seal = async (deviceId: Id, to: string): Promise<readonly SealedEpoch[]> => {
    if (sealed.get(deviceId) === to) return [];
    const epochs = await operations.sealEpochs(deviceId, to, options.nowMs());
    sealed.delete(deviceId);
    sealed.set(deviceId, to);
    if (sealed.size > limits.redirectSealsRememberedMax) sealed.delete(sealed.keys().next().value!);
    return epochs;
  };

  /** The offset that a push goes on at; null: nothing of its epoch is here. */
  const nextOf = async (request: DeviceRequest, deviceId: Id, sealedNow: readonly SealedEpoch[]): Promise<number | null> => {
    const [feed, epoch] = request.rest;
    if (feed === undefined || epoch === undefined) return null;
    const here = sealedNow.find((each) => each.feed === feed && each.epoch === epoch)?.next ?? (await operations.findEpoch(deviceId, feed, epoch))?.next ?? null;
    const declared = startOf(request);
    // It was at another server since: what is behind the seal is there, and going back would double it.
    return here === null || declared === null ? here : Math.max(here, declared);
  };

  return {
    async before(request, caller) {
      if (caller.kind !== 'device' || !isRedirected(request)) return null;
      const decision = decide(request, caller);
      if (decision.kind === 'stay') return null;
      const { id } = caller.device;
      if (options.pushesUnderWay(id) > 0) {
        return { status: 503, values: { error: 'busy', why: 'another batch of this device is under way; when it is stored, this server is not the one for the next', retry: 1 } };
      }
      const sealedNow = await seal(id, decision.base);
      const next = actOf(request) === 'push' ? await nextOf(request, id, sealedNow) : null;
      return answerOf(request, decision, next, options.nowMs());
    },
    async checkIn(request, caller) {
      if (caller.kind !== 'device' || request.agentId !== null) return null;
      const decision = decide(request, caller);
      if (decision.kind === 'stay' || options.pushesUnderWay(caller.device.id) > 0) return null;
      try {
        await seal(caller.device.id, decision.base);
      } catch (thrown) {
        // The rest of the answer is good; the next push asks again.
        if (isFault(thrown)) return null;
        throw thrown;
      }
      return { base: decision.base, ttlSeconds: ttlOf(decision, options.nowMs()) };
    },
    baseOf(request, sealedTo) {
      const device = options.deviceBySerial(request.customer.id, request.serial);
      if (device === undefined || sealedTo === null) return null;
      return leases.isUsable(subjectOf(device, request), sealedTo) ? sealedTo : null;
    },
    pinsFor: ({ id, serial, name }, customer) => leases.pinsFor({ id, serial, name, customer }),
  };
}

/** `/v1/acme/push/SN1/…` → `push/SN1/…`, without the query, as it was sent. */
function pathBehindCustomer({ target }: Pick<DeviceRequest, 'target'>): string {
  const path = target.split('?', 1)[0]!;
  return path.slice(path.indexOf('/', deviceRoot.length) + 1);
}

const actOf = (request: DeviceRequest): string => pathBehindCustomer(request).split('/', 1)[0]!;

/**
 * `in` is not: its keys are remembered by one server alone, so elsewhere a repeat would be stored twice. Nor is what asks where something stands. Over a link
 * a device speaks to this gateway and no other.
 */
function isRedirected(request: DeviceRequest): boolean {
  if (request.agentId !== null) return false;
  const act = actOf(request);
  return act === 'push' ? request.method === 'POST' || request.method === 'PUT' : act === 'file' && fileMethods.has(request.method);
}

/** Who writes nonsense would not end a loop either. */
function hopsOf(request: DeviceRequest): number {
  const text = request.header('x-postern-hops');
  return text === null ? 0 : /^\d{1,4}$/.test(text.trim()) ? Number(text) : hopsMax;
}

function factsOf(request: DeviceRequest, { by }: Extract<Caller, { kind: 'device' }>): RequestFacts {
  return {
    host: (request.header('host') ?? '').replace(/:\d+$/, '').toLowerCase(),
    path: pathBehindCustomer(request),
    from: request.from,
    hops: hopsOf(request),
    by,
    secure: request.secure,
  };
}

/** Fault `bad-input`. */
const startOf = (request: DeviceRequest): number | null => declaredStart(request)?.at ?? null;

/**
 * The query under the other base. A client that follows blindly (curl) sends no X-Postern-Start there, and would be asked for all bytes from 0 again: for it the start
 * stands in the address. Not where the request is signed, because the signature is over its query; who signs reads `next`.
 */
function queryOf(request: DeviceRequest, next: number | null): string {
  const at = request.target.indexOf('?');
  const query = at < 0 ? '' : request.target.slice(at);
  if (next === null || next === 0 || request.header('x-postern-sign') !== null || request.header('x-postern-start') !== null) return query;
  const rest = query.replace(/([?&])start=\d*(?:&|$)/, '$1').replace(/[?&]$/, '');
  return `${rest}${rest === '' ? '?' : '&'}start=${next}`;
}

const ttlOf = ({ lease }: Extract<RedirectDecision, { kind: 'send' }>, nowMs: number): number => Math.max(1, Math.ceil((lease.until - nowMs) / 1000));

function answerOf(request: DeviceRequest, decision: Extract<RedirectDecision, { kind: 'send' }>, next: number | null, nowMs: number): DeviceAnswer {
  const { base, rule } = decision;
  return {
    status: rule.status,
    values: { ...(next === null ? {} : { next }), base, ttl: ttlOf(decision, nowMs), hops: hopsOf(request) + 1 },
    fields: { Location: `${base}/${pathBehindCustomer(request)}${queryOf(request, next)}` },
  };
}
