// Certificates that agents put in place: who set it up, when it is tried, what became of it. A delivery is tried when it is set up, when its certificate changes, when
// the agent's link or policy does, and after a failure again and again, less and less often. What an agent has already it is only asked about.
import type { Clock, Timer } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { readPrivateKey } from './certificate-key.ts';
import { digestOfPair } from './delivery.ts';
import type { InstallOrder, InstallOutcome } from './delivery.ts';
import type { Journal } from './live.ts';
import type { Operations } from './operations.ts';
import { isInstallName } from './policy-install.ts';
import type { Actor, AuditEntry, Certificate, Delivery } from './rows.ts';
import type { Tables } from './tables.ts';

export interface Deliveries {
  /** Faults: `not-found`, `bad-input` (the name), `conflict` (the agent has that name, or is revoked), `too-many`. */
  add(order: { readonly certificateId: Id; readonly agentId: Id; readonly asName: string }, actor: Actor): Promise<Delivery>;
  /** What is in place at the agent stays there. */
  remove(id: Id, actor: Actor): Promise<void>;
  /** Now, whatever the last one said. */
  retry(id: Id, actor: Actor): Promise<Delivery>;
  /** A link came, or a policy was announced. */
  look(): void;
  /** When a failed one is tried again by itself; null: it is not. */
  nextTryAt(id: Id): number | null;
  close(): Promise<void>;
}

export interface DeliveriesOptions {
  readonly tables: Pick<Tables, 'deliveries' | 'certificates' | 'agents' | 'agentNotes'>;
  readonly operations: Pick<Operations, 'addDelivery' | 'changeDelivery' | 'removeDelivery'>;
  readonly inTurn: InTurn;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  readonly newId: () => Id;
  /** The key in use, PKCS#8. */
  keyPemOf(certificateId: Id): Promise<string | null>;
  /** The id of the agent's standing link; null: it has none. */
  linkOf(agentId: Id): string | null;
  /** Faults of the way: `offline`, `closed`, `timeout`, `busy` …; `unsupported`: the agent knows no such service. */
  install(agentId: Id, order: InstallOrder, signal: AbortSignal): Promise<InstallOutcome>;
}

/** What a delivery was tried for last. */
interface Tried {
  readonly wanted: string;
  readonly link: string;
  readonly policy: string | null;
  /** The way broke, nobody said no: another link is another chance. */
  readonly isWay: boolean;
  readonly delayMs: number;
  readonly next: { readonly at: number; readonly timer: Timer } | null;
}

const gateway: Actor = { kind: 'gateway', id: null, name: 'postern', from: '' };

/** Of the certificate in use; null: there is none yet. */
export const wantedDigest = ({ chainPem, keyFingerprint }: Pick<Certificate, 'chainPem' | 'keyFingerprint'>): string | null => (chainPem === null || keyFingerprint === null ? null : digestOfPair(chainPem, keyFingerprint));

/** As people see it: what was delivered before the certificate changed is to be delivered again. */
export function shownState(row: Delivery, certificate: Pick<Certificate, 'chainPem' | 'keyFingerprint'> | undefined): Delivery['state'] {
  return row.state === 'delivered' && certificate && row.digest !== wantedDigest(certificate) ? 'pending' : row.state;
}

export function buildDeliveries(options: DeliveriesOptions): Deliveries {
  const { tables, clock, limits, log } = options;
  const rows = buildRows(options);
  const tried = new Map<Id, Tried>();
  /** One at a time for each agent. */
  const running = new Map<Id, Promise<void>>();
  const ending = new AbortController();
  let looking: Timer | null = null;

  const forget = (id: Id) => {
    tried.get(id)?.next?.timer.cancel();
    tried.delete(id);
  };
  /** A moment later: a link is followed by the policy that it announces, and a change by another. */
  const look = () => {
    if (!ending.signal.aborted && tables.deliveries.size > 0) looking ??= clock.after(limits.deliveryLookMs, begin);
  };

  const isDue = (row: Delivery, wanted: string, link: string): boolean => {
    const last = tried.get(row.id);
    if (!last) return true;
    if (last.next !== null && clock.monoMs() >= last.next.at) return true;
    if (last.wanted !== wanted || last.policy !== policyOf(row.agentId)) return true;
    // A new link asks what is in place; but a command that failed is not run again for each.
    return last.link !== link && (last.isWay || row.state !== 'failed');
  };
  const policyOf = (agentId: Id) => tables.agentNotes.get(agentId)?.policy ?? null;

  const begin = () => {
    looking = null;
    /** By certificate: one may go to many agents. */
    const digests = new Map<Certificate, string | null>();
    for (const row of tables.deliveries.values()) {
      if (running.size >= limits.deliveriesAtOnceMax) return; // whoever ends looks again
      const certificate = tables.certificates.get(row.certificateId);
      const link = options.linkOf(row.agentId);
      if (!certificate || link === null || running.has(row.agentId)) continue;
      if (!digests.has(certificate)) digests.set(certificate, wantedDigest(certificate));
      const wanted = digests.get(certificate) ?? null;
      if (wanted === null || !isDue(row, wanted, link)) continue;
      const mine = attempt(row, certificate, wanted, link)
        .catch((thrown: unknown) => log.error('delivery.not-noted', { certificate: certificate.name, agent: row.agentId, why: reasonOf(thrown) }))
        .finally(() => {
          running.delete(row.agentId);
          look();
        });
      running.set(row.agentId, mine);
    }
  };

  const attempt = async (row: Delivery, certificate: Certificate, wanted: string, link: string): Promise<void> => {
    const delayMs = Math.min(limits.deliveryRetryMaxMs, (tried.get(row.id)?.delayMs ?? limits.deliveryRetryFirstMs / 2) * 2);
    const policy = policyOf(row.agentId);
    forget(row.id);
    const { outcome, isWay } = await tryOnce(options, ending.signal, row, certificate, wanted);
    if (ending.signal.aborted || tables.deliveries.get(row.id) === undefined) return;
    const isAgain = isWay || outcome?.state === 'failed';
    const again = (delay: number) => ({ at: clock.monoMs() + delay, timer: clock.after(delay, look) });
    const done: Tried = { wanted, link, policy, isWay, next: isAgain ? again(delayMs) : null, delayMs: isAgain ? delayMs : limits.deliveryRetryFirstMs / 2 };
    tried.set(row.id, done);
    if (outcome === null) return;
    try {
      await rows.note(row.id, wanted, outcome);
    } catch (thrown) {
      // The store is down: the agent is asked again later, and has it.
      if (done.next === null && !ending.signal.aborted) tried.set(row.id, { ...done, isWay: true, next: again(limits.deliveryRetryFirstMs) });
      throw thrown;
    }
  };

  const stops = [
    tables.certificates.watch(({ removed }) => {
      rows.dropWhere((row) => removed.includes(row.certificateId));
      look();
    }),
    tables.agents.watch(({ put, removed }) => {
      const gone = new Set([...removed, ...put.filter((agent) => agent.state === 'revoked').map((agent) => agent.id)]);
      if (gone.size > 0) rows.dropWhere((row) => gone.has(row.agentId));
    }),
    tables.deliveries.watch(({ removed }) => {
      for (const id of removed) forget(id);
      look();
    }),
  ];
  look();
  return {
    add: rows.add,
    remove: rows.remove,
    async retry(id, actor) {
      const row = await rows.again(id, actor);
      forget(id);
      look();
      return row;
    },
    look,
    nextTryAt: (id) => {
      const next = tried.get(id)?.next;
      return next ? clock.nowMs() + Math.max(0, next.at - clock.monoMs()) : null;
    },
    async close() {
      ending.abort();
      looking?.cancel();
      for (const stop of stops) stop();
      for (const id of tried.keys()) forget(id);
      await Promise.all(running.values());
    },
  };
}

/** `outcome` null: the way broke before anybody said anything that is worth keeping. */
async function tryOnce(options: DeliveriesOptions, signal: AbortSignal, row: Delivery, certificate: Certificate, wanted: string): Promise<{ readonly outcome: InstallOutcome | null; readonly isWay: boolean }> {
  const order: InstallOrder = {
    name: row.asName, chainPem: certificate.chainPem!, digest: wanted,
    readKeyPem: async () => {
      const keyPem = await options.keyPemOf(certificate.id);
      // It may have been replaced since the row was read: never a chain with the key of another.
      if (keyPem === null || readPrivateKey(keyPem).fingerprint !== certificate.keyFingerprint) throw new Fault('closed', 'the certificate was replaced meanwhile');
      return keyPem;
    },
  };
  try {
    return { outcome: await options.install(row.agentId, order, signal), isWay: false };
  } catch (thrown) {
    if (!isFault(thrown)) throw thrown;
    const why = thrown.remedy === undefined ? thrown.message : `${thrown.message}; ${thrown.remedy}`;
    if (thrown.code === 'unsupported') return { outcome: { state: 'unsupported', why: `the agent puts no certificates in place: ${why}; install a newer agent there`, exitCode: null, output: null }, isWay: false };
    options.log.info('delivery.interrupted', { certificate: certificate.name, agent: row.agentId, code: thrown.code, why });
    // Without a link there is nothing to be said: the next one brings it.
    if (thrown.code === 'offline' || thrown.code === 'closed') return { outcome: null, isWay: true };
    return { outcome: { state: 'failed', why, exitCode: null, output: null }, isWay: true };
  }
}

/** Rows and audit lines: one change at a time reads the row, writes it, and publishes. */
function buildRows({ tables, operations, inTurn, clock, log, journal, limits, newId }: DeliveriesOptions) {
  const find = (id: Id): Delivery => {
    const row = tables.deliveries.get(id);
    if (!row) throw new Fault('not-found', 'there is no such delivery, or not any more');
    return row;
  };
  const namesOf = (row: Delivery) => ({ certificate: tables.certificates.get(row.certificateId)?.name ?? '', agent: tables.agents.get(row.agentId)?.name ?? '' });
  const auditOf = (row: Delivery, what: string, actor: Actor, more: AuditEntry['detail'] = {}): AuditEntry => {
    const { certificate, agent } = namesOf(row);
    return { at: clock.nowMs(), customerId: row.customerId, actor, what, subjectKind: 'delivery', subjectId: row.id, subjectName: `${certificate} to ${agent}`, detail: { certificate, agent, as: row.asName, ...more } };
  };
  return {
    add: ({ certificateId, agentId, asName }: { readonly certificateId: Id; readonly agentId: Id; readonly asName: string }, actor: Actor): Promise<Delivery> =>
      inTurn(async () => {
        const certificate = tables.certificates.get(certificateId);
        const agent = tables.agents.get(agentId);
        if (!certificate) throw new Fault('not-found', 'there is no such certificate, or not any more');
        if (!agent) throw new Fault('not-found', 'there is no such agent, or not any more');
        if (agent.state === 'revoked') throw new Fault('conflict', `the agent ${agent.name} is revoked`, { remedy: 'join it again with a new token' });
        if (!isInstallName(asName)) throw new Fault('bad-input', `"${asName.slice(0, 100)}" is no name for a policy`, { remedy: 'Use 1–100 letters, digits, dots, hyphens and underscores.' });
        const same = Array.from(tables.deliveries.values()).find((row) => row.agentId === agentId && row.asName === asName);
        if (same) throw new Fault('conflict', `the agent ${agent.name} gets ${namesOf(same).certificate} under the name ${asName} already`, { remedy: 'choose another name, and a line of its own in the agent\'s policy' });
        if (tables.deliveries.size >= limits.deliveriesMax) throw new Fault('too-many', `there are ${limits.deliveriesMax} deliveries already`);
        const row: Delivery = {
          id: newId(), customerId: certificate.customerId, certificateId, agentId, asName, state: 'pending', digest: null, deliveredAt: null, triedAt: null, why: null, exitCode: null, output: null, createdAt: clock.nowMs(),
        };
        await operations.addDelivery(row, auditOf(row, 'delivery.added', actor));
        tables.deliveries.publish({ put: [row] });
        return row;
      }),
    remove: (id: Id, actor: Actor): Promise<void> =>
      inTurn(async () => {
        const row = find(id);
        await operations.removeDelivery(id, auditOf(row, 'delivery.removed', actor));
        tables.deliveries.publish({ removed: [id] });
      }),
    again: (id: Id, actor: Actor): Promise<Delivery> =>
      inTurn(async () => {
        const row = find(id);
        const next: Delivery = row.state === 'delivered' ? row : { ...row, state: 'pending', why: null, exitCode: null, output: null };
        await operations.changeDelivery(next, auditOf(row, 'delivery.retried', actor, { state: row.state }));
        tables.deliveries.publish({ put: [next] });
        return next;
      }),
    /** The certificate or the agent is gone, and with it, in the store, the rows. */
    dropWhere(chosen: (row: Delivery) => boolean): void {
      const gone = Array.from(tables.deliveries.values()).filter(chosen).map((row) => row.id);
      if (gone.length > 0) tables.deliveries.publish({ removed: gone });
    },
    note: (id: Id, wanted: string, outcome: InstallOutcome): Promise<void> =>
      inTurn(async () => {
        const row = tables.deliveries.get(id);
        if (!row) return;
        const isDelivered = outcome.state === 'delivered';
        // Asked, and it was there: no news.
        if (isDelivered && !outcome.sent && row.state === 'delivered' && row.digest === wanted) return;
        const now = clock.nowMs();
        const next: Delivery = isDelivered
          ? { ...row, state: 'delivered', digest: wanted, deliveredAt: now, triedAt: now, why: null, exitCode: null, output: null }
          : { ...row, state: outcome.state, triedAt: now, why: outcome.why, exitCode: outcome.exitCode, output: outcome.output };
        const what = isDelivered ? 'delivery.delivered' : 'delivery.failed';
        const facts = isDelivered ? { digest: wanted, sent: outcome.sent } : { state: outcome.state, why: outcome.why, exitCode: outcome.exitCode };
        await operations.changeDelivery(next, auditOf(row, what, gateway, facts)).catch((thrown: unknown) => {
          // Removed while it was under way.
          if (!isFault(thrown, 'not-found')) throw thrown;
        });
        if (tables.deliveries.get(id) === undefined) return;
        tables.deliveries.publish({ put: [next] });
        const names = { ...namesOf(row), as: row.asName };
        if (isDelivered) {
          journal.note('delivery.delivered', names);
          log.info('delivery.delivered', names);
        } else {
          journal.note('delivery.failed', { ...names, state: next.state, why: next.why });
          log.warn('delivery.failed', { ...names, state: next.state, why: next.why });
        }
      }),
  };
}
