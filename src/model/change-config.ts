// Control as the gateway has it: one change at a time, compiled before it is kept, kept before it is published. A change may have to be
// confirmed in time; the row of its revision says so, so that a crash, too, ends with the configuration before it.
import type { Clock, Timer } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { InTurn } from '#base/in-turn.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { diffConfig, summaryOf } from './config-diff.ts';
import { parseConfig, type Config, type ConfigProblem } from './config.ts';
import type { ConfigChange, Control, ChangeResult, Provisional, RollBack } from './control.ts';
import type { Operations } from './operations.ts';
import type { Actor, AuditEntry, Revision } from './rows.ts';
import { compile, type Snapshot } from './snapshot.ts';

/** What `prepare` has opened. `missing`: listeners that could not be, each with the reason; only where what works was to be kept. */
export interface Prepared {
  commit(): void;
  cancel(): Promise<void>;
  readonly missing?: readonly string[];
}

export interface ControlOptions {
  readonly operations: Pick<Operations, 'latestRevision' | 'readRevision' | 'addRevision' | 'confirmRevision'>;
  readonly inTurn: InTurn;
  readonly clock: Pick<Clock, 'nowMs' | 'after'>;
  readonly log: Log;
  readonly customerId: string;
  /** For a store without any revision. */
  readonly first: () => Config;
  /** The stored (or first) configuration with what this start asks for in it. */
  readonly adjust: (config: Config) => Config;
  /**
   * Before it is published: may refuse, e.g. because a port cannot be opened. `keepWhatWorks`: on the way back, when refusing would leave the
   * unconfirmed change in force: opens what can be opened and names the rest. Given what is published already, it tries the rest again.
   */
  readonly prepare: (snapshot: Snapshot, before: Snapshot | null, keepWhatWorks: boolean) => Promise<Prepared>;
}

/** After a roll-back that the store refused, and for listeners that could not be opened on the way back. */
const retryMs = 10_000;
const gateway: Actor = { kind: 'gateway', id: null, name: 'postern', from: '' };
const operator: Actor = { kind: 'operator', id: null, name: 'options at start', from: '' };

const describe = (problems: readonly ConfigProblem[]) => problems.map((each) => `${each.path}: ${each.message}`).join('; ');
const isWaiting = (revision: Revision) => revision.confirmBy !== null && revision.settled === null;

function auditOf(options: ControlOptions, actor: Actor, what: string, revision: number, detail: AuditEntry['detail']): AuditEntry {
  return { at: options.clock.nowMs(), customerId: options.customerId, actor, what, subjectKind: 'config', subjectId: String(revision), subjectName: `revision ${revision}`, detail: { revision, ...detail } };
}

const sizes = (config: Config) => ({ routes: config.routes.length, listeners: config.listeners.length });

/** The row of a revision that follows `before`. */
function rowOf(options: ControlOptions, row: Pick<Revision, 'number' | 'actor'> & { readonly config: Config; readonly restores?: number; readonly confirmBy?: number | null }, before: Config | null): Revision & { summary: string } {
  const summary = before === null ? 'the first configuration' : summaryOf(diffConfig(before, row.config, limits.configDifferencesMax));
  return { number: row.number, at: options.clock.nowMs(), actor: row.actor, config: row.config, summary, restores: row.restores ?? null, confirmBy: row.confirmBy ?? null, settled: null };
}

async function mustRead({ operations }: ControlOptions, number: number): Promise<Revision> {
  const found = await operations.readRevision(number);
  if (!found) throw new Fault('not-found', `there is no revision ${number}, or not any more`, { remedy: `the newest ${limits.revisionsKeptMax} are kept; postern history lists them` });
  return found;
}

interface Published {
  readonly revision: number;
  readonly config: Config;
  readonly snapshot: Snapshot;
}

/** The configuration to start with, its ports open and what it changed stored. Faults: `bad-input` when what is stored does not compile with this version. */
async function begin(options: ControlOptions): Promise<Published> {
  const { operations } = options;
  const latest = await operations.latestRevision();
  // Nobody has confirmed it, and whoever would have to may be shut out by it: the one before it counts.
  const abandoned = latest && isWaiting(latest) ? latest : null;
  const base = abandoned ? await mustRead(options, abandoned.number - 1) : latest;
  let stored: Config | null = null;
  if (base) {
    const parsed = parseConfig(base.config);
    if ('problems' in parsed) throw new Fault('bad-input', `the stored configuration (revision ${base.number}) is not understood: ${describe(parsed.problems)}`, { remedy: 'It was written by another version; start that one and export, or restore a backup.' });
    stored = parsed.config;
  }
  const adjusted = parseConfig(options.adjust(stored ?? options.first()));
  if ('problems' in adjusted) throw new Fault('bad-input', `the configuration is not understood: ${describe(adjusted.problems)}`);
  const { config } = adjusted;
  const writes: { row: Revision; audit: AuditEntry }[] = [];
  let revision = latest?.number ?? 0;
  if (abandoned && stored) {
    revision += 1;
    const left = parseConfig(abandoned.config);
    const why = 'the gateway was restarted before it was confirmed';
    writes.push({
      row: rowOf(options, { number: revision, actor: gateway, config: stored, restores: abandoned.number - 1 }, 'config' in left ? left.config : null),
      audit: auditOf(options, gateway, 'config.rolled-back', revision, { undoes: abandoned.number, restores: abandoned.number - 1, why }),
    });
  }
  // What is not changed keeps its revision; what a start changes is one, like any other change.
  if (stored === null || JSON.stringify(config) !== JSON.stringify(stored)) {
    revision += 1;
    const actor = stored === null ? gateway : operator;
    writes.push({ row: rowOf(options, { number: revision, actor, config }, stored), audit: auditOf(options, actor, 'config.changed', revision, sizes(config)) });
  }
  const built = compile(config, revision);
  if ('problems' in built) throw new Fault('bad-input', `the configuration does not compile: ${describe(built.problems)}`);
  // Ports first: a start that cannot have them must leave nothing behind that the next one would trip over.
  const opened = await options.prepare(built.snapshot, null, false);
  try {
    for (const { row, audit } of writes) await operations.addRevision(row, audit);
  } catch (thrown) {
    await opened.cancel();
    throw thrown;
  }
  opened.commit();
  if (abandoned) options.log.warn('config.rolled-back', { revision, undoes: abandoned.number, restores: abandoned.number - 1, why: 'the gateway was restarted before it was confirmed' });
  return { revision, config, snapshot: built.snapshot };
}

interface Next {
  readonly actor: Actor;
  readonly config: Config;
  readonly snapshot: Snapshot;
  readonly what: 'config.changed' | 'config.rolled-back';
  readonly restores?: number;
  /** Into the audit. */
  readonly detail?: AuditEntry['detail'];
  readonly confirmWithinMs: number | null;
  readonly keepWhatWorks: boolean;
}

interface Waiting extends Provisional {
  /** What comes back unless it is confirmed. */
  readonly before: Config;
  timer: Timer;
}

type Watchers<Args extends readonly unknown[]> = Set<(...args: Args) => void>;

function watching<Args extends readonly unknown[]>(watchers: Watchers<Args>, watcher: (...args: Args) => void): () => void {
  watchers.add(watcher);
  return () => void watchers.delete(watcher);
}

/** Loads the latest confirmed revision, or makes the first. Close it. */
export async function buildControl(options: ControlOptions): Promise<Control<Snapshot>> {
  return new ConfigControl(options, await begin(options));
}

class ConfigControl implements Control<Snapshot> {
  readonly #options: ControlOptions;
  #now: Published;
  #waiting: Waiting | null = null;
  #missing: readonly string[] = [];
  #retrying: Timer | null = null;
  #closed = false;
  readonly #publishWatchers: Watchers<[Snapshot]> = new Set();
  readonly #stateWatchers: Watchers<[]> = new Set();

  constructor(options: ControlOptions, begun: Published) {
    this.#options = options;
    this.#now = begun;
  }

  snapshot(): Snapshot {
    return this.#now.snapshot;
  }

  config(): { revision: number; config: Config } {
    return { revision: this.#now.revision, config: this.#now.config };
  }

  provisional(): Provisional | null {
    if (!this.#waiting) return null;
    const { revision, restores, actor, since, confirmBy, summary } = this.#waiting;
    return { revision, restores, actor, since, confirmBy, summary };
  }

  missing(): readonly string[] {
    return this.#missing;
  }

  change(given: ConfigChange): Promise<ChangeResult> {
    return this.#options.inTurn(() => this.#change(given));
  }

  rollBack(wish: RollBack): Promise<ChangeResult> {
    return this.#options.inTurn(() => this.#rollBack(wish));
  }

  confirm({ actor, revision }: { readonly actor: Actor; readonly revision: number }): Promise<{ revision: number }> {
    return this.#options.inTurn(() => this.#confirm(actor, revision));
  }

  watch(onPublish: (snapshot: Snapshot) => void): () => void {
    return watching(this.#publishWatchers, onPublish);
  }

  watchState(onChange: () => void): () => void {
    return watching(this.#stateWatchers, onChange);
  }

  close(): void {
    this.#closed = true;
    this.#waiting?.timer.cancel();
    this.#retrying?.cancel();
  }

  async #change(given: ConfigChange): Promise<ChangeResult> {
    if (!given.dryRun) this.#mustBeSettled();
    this.#mustBeAt(given.against);
    const parsed = parseConfig(given.config);
    if ('problems' in parsed) return parsed;
    const built = compile(parsed.config, this.#now.revision + 1);
    if ('problems' in built) return built;
    const changed = JSON.stringify(parsed.config) !== JSON.stringify(this.#now.config);
    if (given.dryRun || !changed) return { revision: this.#now.revision, changed, confirmBy: null };
    return this.#publish({ actor: given.actor, config: parsed.config, snapshot: built.snapshot, what: 'config.changed', detail: sizes(parsed.config), confirmWithinMs: given.confirmWithinMs ?? null, keepWhatWorks: false });
  }

  async #rollBack({ actor, to, against, confirmWithinMs }: RollBack): Promise<ChangeResult> {
    const waiting = this.#waiting;
    if (against !== null) this.#mustBeAt(against);
    if (waiting && (to === null || to === waiting.restores)) return this.#undo(waiting, actor, 'it was taken back');
    if (to === null) throw new Fault('bad-input', 'nothing waits to be confirmed, so which revision to go back to has to be said', { remedy: 'postern history lists them.' });
    if (to === this.#now.revision) throw new Fault('bad-input', `revision ${to} is the one in force`);
    const parsed = parseConfig((await mustRead(this.#options, to)).config);
    if ('problems' in parsed) return parsed;
    const built = compile(parsed.config, this.#now.revision + 1);
    if ('problems' in built) return built;
    if (!waiting && JSON.stringify(parsed.config) === JSON.stringify(this.#now.config)) return { revision: this.#now.revision, changed: false, confirmBy: null };
    const detail = { restores: to, ...(waiting ? { undoes: waiting.revision } : {}), ...sizes(parsed.config) };
    return this.#publish({ actor, config: parsed.config, snapshot: built.snapshot, what: 'config.rolled-back', restores: to, detail, confirmWithinMs: confirmWithinMs ?? null, keepWhatWorks: false });
  }

  async #confirm(actor: Actor, revision: number): Promise<{ revision: number }> {
    const { operations, clock } = this.#options;
    const waiting = this.#waiting;
    if (waiting?.revision !== revision) {
      const why = waiting ? `revision ${waiting.revision} does` : `revision ${this.#now.revision} is in force`;
      throw new Fault('conflict', `revision ${revision} does not wait to be confirmed: ${why}`, { remedy: 'It may have been rolled back or confirmed by now: postern history.' });
    }
    await operations.confirmRevision(revision, auditOf(this.#options, actor, 'config.confirmed', revision, { afterMs: clock.nowMs() - waiting.since }));
    this.#settle();
    this.#tellState();
    return { revision };
  }

  /** In a turn of its own: opens, stores, publishes. */
  async #publish(next: Next): Promise<ChangeResult> {
    const { operations, clock, prepare } = this.#options;
    const before = this.#now;
    const prepared = await prepare(next.snapshot, before.snapshot, next.keepWhatWorks);
    const number = before.revision + 1;
    const since = clock.nowMs();
    const confirmBy = next.confirmWithinMs === null ? null : since + next.confirmWithinMs;
    const notOpened = prepared.missing ?? [];
    const row = rowOf(this.#options, { number, actor: next.actor, config: next.config, confirmBy, ...(next.restores === undefined ? {} : { restores: next.restores }) }, before.config);
    const detail = { ...next.detail, ...(confirmBy === null ? {} : { confirmBy }), ...(notOpened.length > 0 ? { missing: notOpened.join('; ').slice(0, 500) } : {}) };
    try {
      await operations.addRevision(row, auditOf(this.#options, next.actor, next.what, number, detail));
    } catch (thrown) {
      await prepared.cancel();
      throw thrown;
    }
    this.#settle();
    this.#now = { revision: number, config: next.config, snapshot: next.snapshot };
    prepared.commit();
    this.#takeMissing(notOpened);
    if (confirmBy !== null && !this.#closed) {
      this.#waiting = { revision: number, restores: before.revision, actor: next.actor, since, confirmBy, summary: row.summary, before: before.config, timer: clock.after(confirmBy - since, () => this.#expire(number)) };
    }
    for (const watcher of this.#publishWatchers) watcher(next.snapshot);
    this.#tellState();
    return { revision: number, changed: true, confirmBy };
  }

  /** In a turn of its own: back to what was in force before the provisional one. */
  async #undo({ revision: undoes, restores, before }: Waiting, actor: Actor, why: string): Promise<ChangeResult> {
    const built = compile(before, this.#now.revision + 1);
    if ('problems' in built) return built;
    const result = await this.#publish({ actor, config: before, snapshot: built.snapshot, what: 'config.rolled-back', restores, detail: { undoes, restores, why }, confirmWithinMs: null, keepWhatWorks: true });
    this.#options.log.warn('config.rolled-back', { revision: this.#now.revision, undoes, restores, why, missing: this.#missing });
    return result;
  }

  #expire(revision: number): void {
    const { inTurn, log, clock } = this.#options;
    const isWaitingStill = (waiting: Waiting | null): waiting is Waiting => !this.#closed && waiting?.revision === revision;
    inTurn(async () => {
      if (isWaitingStill(this.#waiting)) await this.#undo(this.#waiting, gateway, 'it was not confirmed in time');
    }).catch((thrown: unknown) => {
      if (!isWaitingStill(this.#waiting)) return;
      log.error('config.not-rolled-back', { revision, why: reasonOf(thrown), againInMs: retryMs });
      this.#waiting.timer = clock.after(retryMs, () => this.#expire(revision));
    });
  }

  /** What could not be opened on the way back is tried again until it can be, or another configuration is published. */
  #takeMissing(list: readonly string[]): void {
    const { inTurn, clock } = this.#options;
    this.#missing = list;
    this.#retrying?.cancel();
    this.#retrying = list.length > 0 && !this.#closed ? clock.after(retryMs, () => void inTurn(() => this.#openMissing()).catch(() => this.#takeMissing(this.#missing))) : null;
  }

  async #openMissing(): Promise<void> {
    if (this.#missing.length === 0 || this.#closed) return;
    const { snapshot, revision } = this.#now;
    const prepared = await this.#options.prepare(snapshot, snapshot, true);
    prepared.commit();
    this.#takeMissing(prepared.missing ?? []);
    if (this.#missing.length === 0) this.#options.log.info('config.listeners-opened', { revision });
    this.#tellState();
  }

  #settle(): void {
    this.#waiting?.timer.cancel();
    this.#waiting = null;
  }

  #tellState(): void {
    for (const watcher of this.#stateWatchers) watcher();
  }

  #mustBeSettled(): void {
    if (!this.#waiting) return;
    const { revision, restores, actor, confirmBy } = this.#waiting;
    throw new Fault('conflict', `revision ${revision}, applied by ${actor.name || actor.kind}, waits to be confirmed until ${new Date(confirmBy).toISOString()}; until then nothing else is changed`, {
      remedy: `Confirm it (postern confirm), or go back to revision ${restores} (postern rollback).`,
      detail: { provisional: true },
    });
  }

  #mustBeAt(against: number): void {
    if (against !== this.#now.revision) throw new Fault('conflict', `the configuration is at revision ${this.#now.revision} by now; this change was made against ${against}`, { remedy: 'Export again, repeat the change, apply.' });
  }
}
