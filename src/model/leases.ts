// Which device is at which server: the decision of redirect.ts carried out, and what it goes by kept. Leases are noted, not kept: they are in memory at once and in
// the store every few seconds. A crash may lose the newest; their devices stay where they are all the same, and which server has which bytes is in the seals.
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Journal } from './live.ts';
import type { Operations } from './operations.ts';
import { baseFor, decideRedirect, explainRules, pinsOfTargets, type RedirectDecision, type RedirectFacts, type Redirects, type RedirectState, type RuleSeen } from './redirect.ts';
import type { Turns } from './redirect-choice.ts';
import type { Customer, Device, Lease } from './rows.ts';
import { leaseKey, type Tables } from './tables.ts';

/** What a request adds to what is known of its device. */
export type RequestFacts = Pick<RedirectFacts, 'host' | 'path' | 'from' | 'hops' | 'by' | 'secure'>;

export interface Preview {
  readonly decision: RedirectDecision;
  readonly rules: readonly RuleSeen[];
  /** Standing; null: none. */
  readonly lease: Lease | null;
  /** Servers that it could not deliver at, and until when it is not sent there. */
  readonly failed: readonly { readonly server: string; readonly until: number }[];
}

export interface ServerUse {
  readonly leases: number;
  /** Devices that could not deliver there and are not sent there for now. */
  readonly failed: number;
}

/** A device as far as it is known: one that is not known has a serial and a name of ''. */
export type Subject = Pick<Device, 'serial' | 'name'> & { readonly id: string | null; readonly customer: Customer };

export interface Leases {
  /** Decides, and keeps what was decided. */
  decide(subject: Subject, request: RequestFacts): RedirectDecision;
  /** The same, and nothing moves. */
  preview(subject: Subject, request: RequestFacts): Preview;
  /** The device says that it could not deliver at this base. */
  failedAt(subject: Subject, base: string): void;
  /** Whether a device can be sent to this base: it is one of a server that is not drained at once, and it did not fail there. */
  isUsable(subject: Subject, base: string): boolean;
  /** Fingerprints that it has to know before it is sent anywhere. */
  pinsFor(subject: Subject): string[];
  useOf(server: string): ServerUse;
  close(): Promise<void>;
}

export interface LeasesOptions {
  readonly tables: Pick<Tables, 'leases' | 'deviceTags' | 'suspensions'>;
  /** The fingerprints that a device has on its list, as it last said; empty: it does not pin. */
  readonly pinsOf: (deviceId: Id) => readonly string[];
  readonly operations: Pick<Operations, 'noteLeases'>;
  readonly redirects: () => Redirects;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
}

const nowhere: RequestFacts = { host: '', path: '', from: '', hops: 0, by: 'sign', secure: true };

export function buildLeases(options: LeasesOptions): Leases {
  const { tables, redirects, clock, journal } = options;
  const failures = buildFailures(options);
  const counts = countLeases(tables.leases);
  const writer = writeLeases(options);
  let turns = new Map<string, Turns>();
  let turnsOf: Redirects | null = null;

  const factsOf = ({ id, customer, serial, name }: Subject, request: RequestFacts): RedirectFacts => ({
    ...request,
    customer: customer.key,
    suspended: tables.suspensions.get(customer.id) !== undefined,
    serial: serial ?? '',
    deviceName: name,
    tags: (id === null ? undefined : tables.deviceTags.get(id))?.tags ?? [],
    pins: id === null ? [] : options.pinsOf(id),
  });
  const stateOf = ({ customer, serial }: Subject): RedirectState => {
    const nowMs = clock.nowMs();
    const key = leaseKey(customer.id, serial ?? '');
    // Another configuration may have other servers under the same names: counting begins anew.
    if (turnsOf !== redirects()) [turns, turnsOf] = [new Map(), redirects()];
    return { nowMs, lease: tables.leases.get(key), leasesAt: counts.of, turnsOf: (rule) => turns.get(rule), hasFailed: (server) => failures.has(key, server, nowMs) };
  };
  const serverAt = (subject: Subject, base: string) => Array.from(redirects().servers.values()).find((each) => baseFor(each, subject.customer.key) === base);
  return {
    decide(subject, request) {
      if (redirects().rules.length === 0 || subject.serial === null) return decideRedirect({ ...redirects(), rules: [] }, factsOf(subject, request), stateOf(subject));
      const state = stateOf(subject);
      const decision = decideRedirect(redirects(), factsOf(subject, request), state);
      if (decision.turns !== null) turns.set(decision.rule!.name, decision.turns);
      const isNew = decision.lease !== null && (decision.kind === 'stay' || !decision.isHeld);
      if (isNew) {
        writer.give({ customerId: subject.customer.id, serial: subject.serial, ...decision.lease, givenAt: state.nowMs });
        const { server, rule } = decision.lease;
        journal.note('redirect.chosen', { customer: subject.customer.key, serial: subject.serial, server, rule, from: request.from });
      }
      return decision;
    },
    preview(subject, request) {
      const state = stateOf(subject);
      const facts = factsOf(subject, request);
      const row = state.lease as Lease | undefined;
      return {
        decision: decideRedirect(redirects(), facts, state),
        rules: explainRules(redirects(), facts),
        lease: row !== undefined && row.until > state.nowMs ? row : null,
        failed: failures.of(leaseKey(subject.customer.id, subject.serial ?? ''), state.nowMs),
      };
    },
    isUsable(subject, base) {
      const server = serverAt(subject, base);
      return server !== undefined && server.drain !== 'now' && !failures.has(leaseKey(subject.customer.id, subject.serial ?? ''), server.name, clock.nowMs());
    },
    failedAt(subject, base) {
      const server = serverAt(subject, base);
      if (server === undefined || subject.serial === null) return;
      const nowMs = clock.nowMs();
      const key = leaseKey(subject.customer.id, subject.serial);
      const lease = tables.leases.get(key);
      const isThere = lease?.server === server.name && lease.until > nowMs;
      if (!failures.add(key, server.name, isThere ? lease.until : nowMs + options.limits.redirectFailedMs, nowMs)) return;
      if (isThere) writer.end(key);
      journal.note('redirect.failed', { customer: subject.customer.key, serial: subject.serial, server: server.name });
    },
    pinsFor: (subject) => (redirects().rules.length === 0 ? [] : pinsOfTargets(redirects(), factsOf(subject, nowhere))),
    useOf: (server) => ({ leases: counts.of(server), failed: failures.count(server, clock.nowMs()) }),
    async close() {
      counts.close();
      await writer.close();
    },
  };
}

/** Standing leases by server, kept in step with the table: asked for each new device, so not counted each time. */
function countLeases(table: Tables['leases']) {
  const serverOf = new Map<string, string>();
  const counts = new Map<string, number>();
  const drop = (key: string) => {
    const server = serverOf.get(key);
    if (server === undefined) return;
    serverOf.delete(key);
    counts.set(server, counts.get(server)! - 1);
  };
  const put = (row: Lease) => {
    const key = leaseKey(row.customerId, row.serial);
    drop(key);
    serverOf.set(key, row.server);
    counts.set(row.server, (counts.get(row.server) ?? 0) + 1);
  };
  for (const row of table.values()) put(row);
  const close = table.watch(({ put: rows, removed }) => {
    removed.forEach(drop);
    rows.forEach(put);
  });
  return { of: (server: string) => counts.get(server) ?? 0, close };
}

/** In memory alone: after a restart a device that still cannot deliver there says so again. */
function buildFailures({ limits }: Pick<LeasesOptions, 'limits'>) {
  const untils = new Map<string, Map<string, number>>();
  const standing = (key: string, nowMs: number): Map<string, number> | undefined => {
    const mine = untils.get(key);
    if (mine === undefined) return undefined;
    for (const [server, until] of mine) if (until <= nowMs) mine.delete(server);
    if (mine.size > 0) return mine;
    untils.delete(key);
    return undefined;
  };
  return {
    has: (key: string, server: string, nowMs: number): boolean => standing(key, nowMs)?.has(server) ?? false,
    of: (key: string, nowMs: number) => Array.from(standing(key, nowMs) ?? [], ([server, until]) => ({ server, until })),
    /** False: it was known. */
    add(key: string, server: string, until: number, nowMs: number): boolean {
      const mine = standing(key, nowMs) ?? new Map<string, number>();
      if (mine.has(server)) return false;
      mine.set(server, until);
      untils.delete(key);
      untils.set(key, mine);
      // The longest known goes first.
      if (untils.size > limits.redirectFailuresMax) untils.delete(untils.keys().next().value!);
      return true;
    },
    count: (server: string, nowMs: number): number => Array.from(untils.values()).filter((mine) => (mine.get(server) ?? 0) > nowMs).length,
  };
}

/** In the table at once, in the store in batches; what has ended goes. */
function writeLeases({ tables, operations, clock, log, limits }: LeasesOptions) {
  const pending = new Map<string, Lease>();
  const ended = new Set<string>();
  let writing: Promise<void> = Promise.resolve();
  const placeOf = (key: string) => {
    const space = key.indexOf(' ');
    return { customerId: key.slice(0, space), serial: key.slice(space + 1) };
  };
  const write = async () => {
    if (pending.size + ended.size === 0) return;
    const [rows, removed] = [[...pending.values()], [...ended]];
    pending.clear();
    ended.clear();
    try {
      await operations.noteLeases(rows, removed.map(placeOf));
    } catch (thrown) {
      log.warn('leases.not-stored', { leases: rows.length, why: reasonOf(thrown) });
      // Again with the next batch, unless something newer is known by then.
      for (const row of rows) {
        const key = leaseKey(row.customerId, row.serial);
        if (tables.leases.get(key) === row) pending.set(key, row);
      }
      for (const key of removed) if (tables.leases.get(key) === undefined) ended.add(key);
    }
  };
  const end = (keys: readonly string[]) => {
    tables.leases.publish({ removed: keys });
    for (const key of keys) {
      pending.delete(key);
      ended.add(key);
    }
  };
  const sweep = () => {
    const nowMs = clock.nowMs();
    const over = Array.from(tables.leases.values()).filter((row) => row.until <= nowMs).map((row) => leaseKey(row.customerId, row.serial));
    if (over.length > 0) end(over);
  };
  const timers = [clock.every(limits.leaseNotesEveryMs, () => void (writing = writing.then(write))), clock.every(limits.leaseSweepEveryMs, sweep)];
  sweep();
  return {
    give(row: Lease): void {
      const key = leaseKey(row.customerId, row.serial);
      tables.leases.publish({ put: [row] });
      pending.set(key, row);
      ended.delete(key);
    },
    end: (key: string) => end([key]),
    async close() {
      for (const timer of timers) timer.cancel();
      await (writing = writing.then(write));
    },
  };
}
