// Control as the gateway has it: one change at a time, compiled before it is kept, kept before it is published.
import { Fault } from '#base/fault.ts';
import type { InTurn } from '#base/in-turn.ts';
import { parseConfig, type Config, type ConfigProblem } from './config.ts';
import type { Control } from './control.ts';
import type { Operations } from './operations.ts';
import type { Actor, AuditEntry } from './rows.ts';
import { compile, type Snapshot } from './snapshot.ts';

export interface ControlOptions {
  readonly operations: Pick<Operations, 'latestRevision' | 'addRevision'>;
  readonly inTurn: InTurn;
  readonly nowMs: () => number;
  readonly customerId: string;
  /** For a store without any revision. */
  readonly first: () => Config;
  /** The stored (or first) configuration with what this start asks for in it. */
  readonly adjust: (config: Config) => Config;
  /** Before it is published: may refuse, e.g. because a port cannot be opened. */
  readonly prepare: (snapshot: Snapshot, before: Snapshot | null) => Promise<{ commit(): void; cancel(): Promise<void> }>;
}

function auditOf(options: ControlOptions, actor: Actor, revision: number, config: Config): AuditEntry {
  return { at: options.nowMs(), customerId: options.customerId, actor, what: 'config.changed', subjectKind: 'config', subjectId: String(revision), subjectName: `revision ${revision}`, detail: { revision, routes: config.routes.length, listeners: config.listeners.length } };
}

const describe = (problems: readonly ConfigProblem[]) => problems.map((each) => `${each.path}: ${each.message}`).join('; ');

/** Loads the latest revision, or makes the first. Faults: `bad-input` when what is stored does not compile with this version. */
export async function buildControl(options: ControlOptions): Promise<Control<Snapshot> & { watch(onPublish: (snapshot: Snapshot) => void): () => void }> {
  const { operations } = options;
  const watchers = new Set<(snapshot: Snapshot) => void>();
  const latest = await operations.latestRevision();
  let revision = latest?.number ?? 0;
  let stored: Config | null = null;
  if (latest) {
    const parsed = parseConfig(latest.config);
    if ('problems' in parsed) throw new Fault('bad-input', `the stored configuration (revision ${revision}) is not understood: ${describe(parsed.problems)}`, { remedy: 'It was written by another version; start that one and export, or restore a backup.' });
    stored = parsed.config;
  }
  const adjusted = parseConfig(options.adjust(stored ?? options.first()));
  if ('problems' in adjusted) throw new Fault('bad-input', `the configuration is not understood: ${describe(adjusted.problems)}`);
  let { config } = adjusted;
  // What is not changed keeps its revision; what a start changes is one, like any other change.
  const isChanged = stored === null || JSON.stringify(config) !== JSON.stringify(stored);
  const built = compile(config, isChanged ? revision + 1 : revision);
  if ('problems' in built) throw new Fault('bad-input', `the configuration does not compile: ${describe(built.problems)}`);
  let snapshot = built.snapshot;
  // Ports first: a start that cannot have them must leave nothing behind that the next one would trip over.
  const opened = await options.prepare(snapshot, null);
  if (isChanged) {
    revision += 1;
    const actor: Actor = stored === null ? { kind: 'gateway', id: null, name: 'postern', from: '' } : { kind: 'operator', id: null, name: 'options at start', from: '' };
    try {
      await operations.addRevision({ number: revision, at: options.nowMs(), actor, config }, auditOf(options, actor, revision, config));
    } catch (thrown) {
      await opened.cancel();
      throw thrown;
    }
  }
  opened.commit();

  return {
    snapshot: () => snapshot,
    config: () => ({ revision, config }),
    change: (change) =>
      options.inTurn(async () => {
        if (change.against !== revision) throw new Fault('conflict', `the configuration is at revision ${revision} by now; this change was made against ${change.against}`, { remedy: 'Export again, repeat the change, apply.' });
        const parsed = parseConfig(change.config);
        if ('problems' in parsed) return { problems: parsed.problems };
        const next = compile(parsed.config, revision + 1);
        if ('problems' in next) return { problems: next.problems };
        const changed = JSON.stringify(parsed.config) !== JSON.stringify(config);
        if (change.dryRun || !changed) return { revision, changed };
        const prepared = await options.prepare(next.snapshot, snapshot);
        try {
          await operations.addRevision({ number: revision + 1, at: options.nowMs(), actor: change.actor, config: parsed.config }, auditOf(options, change.actor, revision + 1, parsed.config));
        } catch (thrown) {
          await prepared.cancel();
          throw thrown;
        }
        revision += 1;
        config = parsed.config;
        snapshot = next.snapshot;
        prepared.commit();
        for (const watcher of watchers) watcher(snapshot);
        return { revision, changed };
      }),
    watch(onPublish) {
      watchers.add(onPublish);
      return () => watchers.delete(onPublish);
    },
  };
}
