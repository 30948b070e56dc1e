// Certificates by ACME, kept: orders of people, renewals, and where it is switched on one for each name at its first visit. One order a certificate at a time,
// few at once, none that could meet a limit of the authority; what fails is tried again later and later.
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, toFault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import { limits, type Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { SecretFiles } from '#base/secret-files.ts';
import type { AcmeAnswers } from '#model/acme-answers.ts';
import { buildQuota, parseQuota } from '#model/acme-quota.ts';
import { checkOrder, dueAt, knownDirectories, namesOf, parseDirectory, type ChallengeKind } from '#model/acme.ts';
import type { CertificateChanges } from '#model/certificate-changes.ts';
import { makeKey, readPrivateKey, type KeyKind } from '#model/certificate-key.ts';
import type { Config } from '#model/config.ts';
import type { Finding } from '#model/doctor.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import type { AcmeSettings, Actor, Certificate } from '#model/rows.ts';
import type { Table } from '#model/table.ts';
import { loadAcmeClient, openAcmeSession, type OrderState } from '#net/acme.ts';
import { encodeRequest } from '#wire/pkcs10.ts';
import { openAccounts, type AccountOrder, type AccountView, type Accounts } from './acme-accounts.ts';
import { checkBeforeOrder } from './acme-before.ts';
import { buildOnDemand, onDemandPrefix } from './acme-on-demand.ts';
import { openProofs } from './acme-proofs.ts';

export interface AcmeOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly files: SecretFiles;
  readonly version: string;
  readonly limits: Pick<Limits, 'acmeOnDemandMax' | 'acmeAccountRetryMs'>;
  readonly customerId: Id;
  readonly certificates: Table<Certificate>;
  readonly changes: Pick<CertificateChanges, 'order' | 'replace' | 'change' | 'failed' | 'remove' | 'renewalKey'>;
  readonly operations: Pick<Operations, 'addAudit'>;
  readonly answers: AcmeAnswers;
  /** Folder of the operator's DNS commands. */
  readonly hooksDir: string;
  /** `acme` of the configuration in force. */
  readonly settings: () => Config['acme'];
  /** Suffixes under which devices stand, and whether a name is one of ours. */
  readonly deviceDomains: () => readonly string[];
  readonly isKnown: (serverName: string) => boolean;
}

export interface CertificateOrder {
  /** As the configuration names the certificate. */
  readonly name: string;
  readonly customerId?: Id;
  /** Host names, `*.name`, addresses. */
  readonly names: readonly string[];
  readonly challenge: ChallengeKind;
  readonly keyKind: KeyKind;
  /** For dns-01; no secrets (`parseDnsWay`). */
  readonly dns?: AcmeSettings['dns'];
}

export type PlannedOrder = Pick<CertificateOrder, 'names' | 'challenge' | 'dns'> & Pick<AccountOrder, 'directory' | 'rootPem'>;

/** What an order is doing; also of those that ended, until the process does. */
export interface AcmeProgress {
  readonly certificateId: Id;
  readonly name: string;
  readonly state: 'queued' | OrderState | 'done' | 'failed';
  /** The name that is being proven. */
  readonly about: string;
  readonly since: number;
  /** Of a failure: what and what to do. */
  readonly why: string | null;
  readonly remedy: string | null;
  /** When it is tried again; null: it is running, or done. */
  readonly nextTryAt: number | null;
}

export interface Acme extends Pick<Accounts, 'dnsKeys' | 'setDnsKey' | 'removeDnsKey'> {
  accounts(): AccountView[];
  removeAccount: Accounts['remove'];
  /** Registers with an authority, or changes contact or root. */
  setAccount(order: AccountOrder, actor: Actor): ReturnType<Accounts['set']>;
  /**
   * Registers first when there is no account with that directory, then makes the row and begins; resolves with the row, waiting. Faults: `bad-input`
   * (wildcard without dns-01, terms, names …), `conflict` (the name is taken), `too-many`, and what the authority says about the account.
   */
  order(order: CertificateOrder & AccountOrder, actor: Actor): Promise<Certificate>;
  /** Other names, key or way for one that there is; ordered at once. What is in use stays until the new one is there. */
  orderAgain(id: Id, order: Omit<CertificateOrder, 'name' | 'customerId'> & { readonly directory: string }, actor: Actor): Promise<Certificate>;
  /** Now, whatever the back-off; the authority's own wish to wait counts. Resolves when it is done; rejects with why not. */
  renew(id: Id): Promise<void>;
  /** Would it work? The authority is asked for its directory alone; a record or an answer is made as for an order, and taken away. */
  check(order: PlannedOrder & { readonly ports?: { readonly http: number; readonly tls: number } }): Promise<Finding[]>;
  /** A whole order whose certificate is thrown away, with the authority's staging directory where we know it has one. Rejects with what went wrong. */
  dryRun(order: PlannedOrder & AccountOrder, actor: Actor): Promise<void>;
  progress(): AcmeProgress[];
  progressOf(id: Id): AcmeProgress | undefined;
  watch(onChange: () => void): () => void;
  /** A name was asked for in a handshake: the data plane tells it and waits for nothing. */
  noticed(serverName: string): void;
  close(): Promise<void>;
}

const lookEveryMs = 60_000;
const byGateway: Actor = { kind: 'gateway', id: null, name: 'postern', from: '' };
const quotaFile = 'acme-quota.json';

interface Tries {
  failures: number;
  notBefore: number;
  fraction: number;
}

export async function keepAcme(options: AcmeOptions): Promise<Acme> {
  const { clock, log, journal, changes, certificates } = options;
  const ending = new AbortController();
  const accounts = await openAccounts({ ...options, nowMs: () => clock.nowMs(), open: (given) => openAcmeSession({ ...given, version: options.version, clock }) });
  const quota = buildQuota(parseQuota(await options.files.read(quotaFile)));
  const progress = new Map<Id, AcmeProgress>();
  const tries = new Map<Id, Tries>();
  const running = new Map<Id, Promise<void>>();
  const waiting: Id[] = [];
  const watchers = new Set<() => void>();
  const fraction = () => options.random(2).readUInt16BE(0) / 0xffff;

  const tell = (row: Certificate, change: Pick<AcmeProgress, 'state'> & Partial<AcmeProgress>) => {
    progress.set(row.id, { certificateId: row.id, name: row.name, about: '', why: null, remedy: null, nextTryAt: null, since: clock.nowMs(), ...change });
    for (const watcher of watchers) watcher();
  };
  const note = (line: Parameters<typeof quota.note>[0]) => {
    quota.note(line);
    void options.files.write(quotaFile, Buffer.from(JSON.stringify(quota.lines(clock.nowMs())))).catch((thrown: unknown) => log.error('acme.quota-not-kept', { why: toFault(thrown).message }));
  };

  /** One order, from its beginning to chain and key. `keyPem` null: a new one. */
  const obtain = async (acme: AcmeSettings, keyPem: string | null, onState: (state: OrderState, about: string) => void): Promise<{ chainPem: string; keyPem: string }> => {
    const { directoryUrl, names } = acme;
    checkOrder(acme);
    const full = quota.refuse({ directoryUrl, names }, clock.nowMs());
    if (full) throw full;
    const session = await accounts.session(directoryUrl, ending.signal);
    const key = keyPem === null ? await makeKey(acme.keyKind) : readPrivateKey(keyPem);
    const proofs = openProofs({ ...options, dnsKey: accounts.dnsKey }, acme, ending.signal);
    const all = [...names.dns, ...names.ip];
    note({ at: clock.nowMs(), what: 'ordered', directoryUrl, names: all });
    try {
      const request = { names, kind: acme.challenge, csrPem: encodeRequest(key.pem, { subject: {}, ...names }), prepare: proofs.prepare, cleanUp: proofs.cleanUp, onState };
      const chainPem = await session.order(request).catch(async (thrown: unknown) => {
        if (!isFault(thrown) || thrown.detail['type'] !== 'accountDoesNotExist') throw thrown;
        // One that was set up anew, or that forgets idle accounts: the same key, contact and consent once more.
        return (await accounts.registerAgain(directoryUrl, ending.signal)).order(request);
      });
      note({ at: clock.nowMs(), what: 'issued', directoryUrl, names: all });
      return { chainPem, keyPem: key.pem };
    } catch (thrown) {
      const failed = isFault(thrown) && thrown.detail['checkFailed'] === true ? thrown.detail['identifiers'] : null;
      if (Array.isArray(failed)) note({ at: clock.nowMs(), what: 'failed', directoryUrl, names: failed.map(String) });
      throw thrown;
    }
  };

  const run = async (id: Id): Promise<void> => {
    const row = certificates.get(id);
    if (!row) return;
    const begunAt = clock.monoMs();
    journal.note('acme.ordered', { certificate: row.name, names: row.acme ? [...row.acme.names.dns, ...row.acme.names.ip].join(' ').slice(0, 200) : '' });
    try {
      if (!row.acme) throw new Fault('conflict', `certificate ${row.name} does not come by ACME`);
      // Before the authority is asked: what would shut devices out is not even ordered.
      const keyPem = await changes.renewalKey(id, row.acme.names);
      const material = await obtain(row.acme, keyPem, (state, about) => tell(row, { state, about }));
      await changes.replace(id, material, byGateway);
      tries.delete(id);
      tell(row, { state: 'done' });
      log.info('acme.issued', { certificate: row.name, tookMs: Math.round(clock.monoMs() - begunAt) });
      journal.note('acme.issued', { certificate: row.name });
    } catch (thrown) {
      if (ending.signal.aborted) throw thrown;
      const fault = toFault(thrown);
      const retryAfterMs = typeof fault.detail['retryAfterMs'] === 'number' ? fault.detail['retryAfterMs'] : 0;
      const before = tries.get(id);
      const now: Tries = { failures: (before?.failures ?? 0) + 1, notBefore: clock.nowMs() + retryAfterMs, fraction: fraction() };
      tries.set(id, now);
      const why = fault.remedy === undefined ? fault.message : `${fault.message}. ${fault.remedy}`;
      await changes.failed(id, why).catch((failure: unknown) => log.error('acme.failure-not-kept', { certificate: row.name, why: toFault(failure).message }));
      const after = certificates.get(id);
      tell(row, { state: 'failed', why: fault.message, remedy: fault.remedy ?? null, nextTryAt: after ? dueAt(after, now) : null });
      log.warn('acme.failed', { certificate: row.name, code: fault.code, why: fault.message, failures: now.failures });
      journal.note('acme.failed', { certificate: row.name, why: fault.message.slice(0, 300) });
      throw fault;
    }
  };

  const start = (id: Id): Promise<void> => {
    const work = run(id).finally(() => {
      running.delete(id);
      const next = waiting.shift();
      if (next !== undefined && !ending.signal.aborted) void start(next).catch(() => {});
    });
    running.set(id, work);
    return work;
  };
  /** Those that wait are told by nobody: whoever asked sees it in the progress. */
  const enqueue = (row: Certificate) => {
    if (ending.signal.aborted || running.has(row.id) || waiting.includes(row.id) || waiting.length >= limits.acmeWaitingMax) return;
    if (running.size < limits.acmeOrdersAtOnceMax) void start(row.id).catch(() => {});
    else {
      waiting.push(row.id);
      tell(row, { state: 'queued' });
    }
  };

  /** One that was made at a first visit and whose names are nobody's any more runs out, and goes. */
  const isForgotten = (row: Certificate) => row.name.startsWith(onDemandPrefix) && row.acme !== null && !row.acme.names.dns.some((name) => name.startsWith('*.') || options.isKnown(name));
  const look = () => {
    const now = clock.nowMs();
    for (const id of progress.keys()) if (!certificates.get(id)) for (const map of [progress, tries]) map.delete(id);
    for (const row of certificates.values()) {
      if (row.source !== 'acme' || row.acme === null) continue;
      if (isForgotten(row)) {
        if (row.notAfter === null || row.notAfter < now) void changes.remove(row.id, byGateway).catch((thrown: unknown) => log.error('acme.not-removed', { certificate: row.name, why: toFault(thrown).message }));
      } else if (dueAt(row, tries.get(row.id)) <= now) enqueue(row);
    }
  };

  const ensureAccount = async (order: AccountOrder, actor: Actor): Promise<string> => {
    const directoryUrl = parseDirectory(order.directory);
    const root = order.rootPem ?? null;
    const hasOtherRoot = root !== null && accounts.rootOf(directoryUrl) !== root;
    if (!accounts.has(directoryUrl) || hasOtherRoot) await accounts.set(order, actor, ending.signal);
    return directoryUrl;
  };

  const onDemand = buildOnDemand({
    ...options,
    signal: ending.signal,
    refuse: (order) => quota.refuse(order, clock.nowMs()),
    ensureAccount: (order) => ensureAccount(order, byGateway),
    order: async (name, acme) => enqueue(await changes.order({ name, customerId: options.customerId, acme }, byGateway)),
  });

  if (options.settings() || accounts.list().length > 0) await loadAcmeClient();
  const timer = clock.every(lookEveryMs, look);
  // Not at once: the listeners through which proofs are looked for come after us.
  const first = clock.after(5_000, look);

  const settingsOf = (order: Omit<CertificateOrder, 'name'>, directoryUrl: string): AcmeSettings => {
    const acme: AcmeSettings = { directoryUrl, names: namesOf(order.names), keyKind: order.keyKind, challenge: order.challenge, dns: order.challenge === 'dns-01' ? (order.dns ?? null) : null };
    checkOrder(acme);
    return acme;
  };

  return {
    accounts: accounts.list,
    removeAccount: accounts.remove,
    dnsKeys: accounts.dnsKeys,
    setDnsKey: accounts.setDnsKey,
    removeDnsKey: accounts.removeDnsKey,
    setAccount: (order, actor) => accounts.set(order, actor, ending.signal),
    async order(order, actor) {
      const acme = settingsOf(order, parseDirectory(order.directory));
      if (order.name.startsWith(onDemandPrefix)) throw new Fault('bad-input', `names that begin with "${onDemandPrefix}" are those of certificates that are ordered at first visits, and go with the name that was visited`, { remedy: 'Choose another name.' });
      await ensureAccount(order, actor);
      const row = await changes.order({ name: order.name, customerId: order.customerId ?? options.customerId, acme }, actor);
      enqueue(row);
      return row;
    },
    async orderAgain(id, order, actor) {
      const directoryUrl = parseDirectory(order.directory);
      const acme = settingsOf(order, directoryUrl);
      if (!accounts.has(directoryUrl)) throw new Fault('conflict', `there is no account with ${new URL(directoryUrl).host}`, { remedy: 'Register one first.' });
      const row = await changes.change(id, { acme }, actor);
      tries.delete(id);
      enqueue(row);
      return row;
    },
    async renew(id) {
      const row = certificates.get(id);
      if (!row) throw new Fault('not-found', `certificate ${id} does not exist, or not any more`);
      if (row.acme === null) throw new Fault('conflict', `certificate ${row.name} does not come by ACME`);
      const until = tries.get(id)?.notBefore ?? 0;
      if (until > clock.nowMs()) throw new Fault('too-many', `the authority asked to wait until ${new Date(until).toISOString()}`, { detail: { retryAfterMs: until - clock.nowMs() } });
      const at = waiting.indexOf(id);
      if (at >= 0) waiting.splice(at, 1);
      await (running.get(id) ?? start(id));
    },
    check: (order) =>
      checkBeforeOrder(
        { ...options, dnsKey: accounts.dnsKey, signal: ending.signal },
        { ...order, dns: order.dns ?? null, rootPem: order.rootPem ?? accounts.rootOf(order.directory), directoryUrl: parseDirectory(order.directory), ports: order.ports ?? { http: 80, tls: 443 } },
      ),
    async dryRun(order, actor) {
      const directoryUrl = parseDirectory(order.directory);
      const staging = directoryUrl === knownDirectories['lets-encrypt'] ? 'lets-encrypt-staging' : order.directory;
      const acme = settingsOf({ ...order, keyKind: 'ec-p256' }, parseDirectory(staging));
      await ensureAccount({ ...order, directory: staging }, actor);
      await obtain(acme, null, () => {});
    },
    progress: () => [...progress.values()],
    progressOf: (id) => progress.get(id),
    watch(onChange) {
      watchers.add(onChange);
      return () => watchers.delete(onChange);
    },
    noticed: onDemand.noticed,
    async close() {
      timer.cancel();
      first.cancel();
      waiting.length = 0;
      ending.abort();
      await onDemand.settled();
      await Promise.allSettled(running.values());
    },
  };
}
