// Visits: one person's or program's use of a device, from open to close. The opening is in the audit before the first byte flows; the
// closing carries what it cost. Gateway-owned state with one writer: this file.
import type { Clock } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { Limits } from '#base/limits.ts';
import type { Operations } from '#model/operations.ts';
import type { Actor, AuditEntry, Device, Visit } from '#model/rows.ts';
import { actorOf, type Visitor } from '#model/visitor.ts';
import type { Meter } from './meter.ts';

export interface OpenVisit {
  readonly id: Id;
  readonly deviceId: Id;
  readonly port: number;
  readonly kind: Visit['kind'];
  readonly visitor: Visitor;
  readonly meter: Meter;
  /** What runs under it now; each is cut with the reason when the visit is. */
  readonly running: Set<{ cut(why: string): void }>;
  /** On the monotonic clock. */
  lastUsedMs: number;
  readonly isClosed: boolean;
  close(why: string): void;
}

export interface VisitsOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: Limits;
  readonly newId: () => Id;
  readonly operations: Pick<Operations, 'openVisit' | 'closeVisits'>;
  /**
   * Why this visitor may not use this device (any more): a sign-in or token that ran out, a right, a lock. Null: it may. Asked again
   * once the opening is stored, because what is cut by a lock does not find a visit that is still coming; and every few seconds,
   * because what ends by the clock changes no table.
   */
  readonly whyNot: (visitor: Visitor, deviceId: Id) => string | null;
  /** A visit ended: connections kept for it can go. */
  readonly onClosed: (visit: OpenVisit) => void;
}

export interface VisitOrder {
  readonly visitor: Visitor;
  readonly device: Device;
  readonly port: number;
  readonly kind: Visit['kind'];
  readonly from: string;
}

export interface Visits {
  /** The visit that this person (sign-in or token) has open to this port, for HTTP: many exchanges are one visit. */
  find(order: VisitOrder): OpenVisit | undefined;
  /** Opens one. Faults: `busy` (the audit cannot be written), `too-many`, `forbidden` (not allowed any more). Concurrent callers for the same HTTP visit share it. */
  open(order: VisitOrder): Promise<OpenVisit>;
  live(): Visit[];
  closeWhere(matches: (visit: OpenVisit) => boolean, why: string): number;
  watch(onChange: () => void): () => void;
  readonly count: number;
  /** Closes all and waits until the store has them. */
  close(why: string): Promise<void>;
}

const keyOf = (order: VisitOrder) => `${order.visitor.signIn?.id ?? order.visitor.token?.id ?? ''} ${order.device.id} ${order.port}`;

export function buildVisits(options: VisitsOptions): Visits {
  const { clock, limits, log, operations } = options;
  const open = new Map<Id, { visit: OpenVisit; row: () => Visit }>();
  const http = new Map<string, OpenVisit>();
  const coming = new Map<string, Promise<OpenVisit>>();
  const watchers = new Set<() => void>();
  const changed = () => {
    for (const watcher of watchers) watcher();
  };
  let closing: { visit: Visit; audit: AuditEntry }[] = [];
  let writing: Promise<void> = Promise.resolve();

  const writeClosings = () => {
    writing = writing.then(async () => {
      if (closing.length === 0) return;
      const batch = closing;
      closing = [];
      try {
        await operations.closeVisits(batch);
      } catch (thrown) {
        log.error('visit.close-not-stored', { why: reasonOf(thrown), visits: batch.length });
        // Kept for the next try, to a bound: the store being down must not eat the process.
        if (closing.length + batch.length <= limits.visitsLiveMax) closing = [...batch, ...closing];
      }
    });
  };

  const idleTimer = clock.every(5_000, () => {
    const before = clock.monoMs() - limits.visitIdleMs;
    for (const { visit } of Array.from(open.values())) {
      if (visit.kind === 'http' && visit.running.size === 0 && visit.lastUsedMs < before) visit.close('idle');
      else {
        const why = options.whyNot(visit.visitor, visit.deviceId);
        if (why !== null) visit.close(why);
      }
    }
    writeClosings();
  });

  const auditOf = (visit: Visit, what: string, device: Device): AuditEntry => ({
    at: visit.closedAt ?? visit.openedAt,
    customerId: visit.customerId,
    actor: visit.who,
    what,
    subjectKind: 'device',
    subjectId: visit.deviceId,
    subjectName: device.name,
    detail: what === 'visit.opened' ? { visit: visit.id, port: visit.port, kind: visit.kind } : { visit: visit.id, port: visit.port, kind: visit.kind, requests: visit.requests, bytesIn: visit.bytesIn, bytesOut: visit.bytesOut, durationMs: visit.closedAt! - visit.openedAt, why: visit.why },
  });

  const openNew = async (order: VisitOrder): Promise<OpenVisit> => {
    if (open.size + coming.size >= limits.visitsLiveMax) throw new Fault('too-many', 'the gateway has as many visits open as it allows', { remedy: 'Close some, or try later.' });
    const { device, visitor } = order;
    const who: Actor = actorOf(visitor, order.from);
    const meter: Meter = { requests: 0, bytesIn: 0, bytesOut: 0 };
    const id = options.newId();
    const openedAt = clock.nowMs();
    let closedAt: number | null = null;
    let closedWhy: string | null = null;
    const row = (): Visit => ({
      id, customerId: device.customerId, deviceId: device.id, deviceName: device.name, port: order.port, kind: order.kind, who, openedAt, closedAt,
      requests: meter.requests, bytesIn: meter.bytesIn, bytesOut: meter.bytesOut, why: closedWhy,
    });
    const first = row();
    await operations.openVisit(first, auditOf(first, 'visit.opened', device));
    const visit: OpenVisit = {
      id, deviceId: device.id, port: order.port, kind: order.kind, visitor, meter,
      running: new Set(),
      lastUsedMs: clock.monoMs(),
      get isClosed() {
        return closedAt !== null;
      },
      close(why) {
        if (closedAt !== null) return;
        closedAt = clock.nowMs();
        closedWhy = why;
        open.delete(id);
        const key = keyOf(order);
        if (http.get(key) === visit) http.delete(key);
        for (const each of visit.running) each.cut(why);
        visit.running.clear();
        const last = row();
        closing.push({ visit: last, audit: auditOf(last, 'visit.closed', device) });
        options.onClosed(visit);
        writeClosings();
        changed();
      },
    };
    open.set(id, { visit, row });
    changed();
    const why = options.whyNot(visitor, device.id);
    if (why !== null) {
      visit.close(why);
      throw new Fault('forbidden', why);
    }
    return visit;
  };

  return {
    find: (order) => http.get(keyOf(order)),
    open(order) {
      if (order.kind !== 'http') return openNew(order);
      const key = keyOf(order);
      const before = coming.get(key);
      if (before) return before;
      const mine = openNew(order)
        .then((visit) => {
          if (!visit.isClosed) http.set(key, visit);
          return visit;
        })
        .finally(() => coming.delete(key));
      coming.set(key, mine);
      return mine;
    },
    live: () => Array.from(open.values(), ({ row }) => row()),
    closeWhere(matches, why) {
      const found = Array.from(open.values(), ({ visit }) => visit).filter(matches);
      for (const visit of found) visit.close(why);
      return found.length;
    },
    watch(onChange) {
      watchers.add(onChange);
      return () => watchers.delete(onChange);
    },
    get count() {
      return open.size;
    },
    async close(why) {
      idleTimer.cancel();
      for (const { visit } of Array.from(open.values())) visit.close(why);
      writeClosings();
      await writing;
    },
  };
}
