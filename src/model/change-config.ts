// Control as the gateway has it: one change at a time, compiled before it is kept, kept before it is published.
import { Fault } from '#base/fault.ts';
import type { InTurn } from '#base/in-turn.ts';
import { parseConfig, type Config } from './config.ts';
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
  /** Before it is published: may refuse, e.g. because a port cannot be opened. */
  readonly prepare: (snapshot: Snapshot, before: Snapshot | null) => Promise<{ commit(): void; cancel(): Promise<void> }>;
}

function auditOf(options: ControlOptions, actor: Actor, revision: number, config: Config): AuditEntry {
  return { at: options.nowMs(), customerId: options.customerId, actor, what: 'config.changed', subjectKind: 'config', subjectId: String(revision), subjectName: `revision ${revision}`, detail: { revision, routes: config.routes.length, listeners: config.listeners.length } };
}

/** Loads the latest revision, or makes the first. Faults: `bad-input` when what is stored does not compile with this version. */
export async function buildControl(options: ControlOptions): Promise<Control<Snapshot> & { watch(onPublish: (snapshot: Snapshot) => void): () => void }> {
  const { operations } = options;
  const watchers = new Set<(snapshot: Snapshot) => void>();
  const latest = await operations.latestRevision();
  let revision = latest?.number ?? 0;
  let config: Config;
  if (latest) {
    const parsed = parseConfig(latest.config);
    if ('problems' in parsed) throw new Fault('bad-input', `the stored configuration (revision ${revision}) is not understood: ${parsed.problems.map((each) => `${each.path}: ${each.message}`).join('; ')}`, { remedy: 'It was written by another version; start that one and export, or restore a backup.' });
    config = parsed.config;
  } else config = options.first();
  const built = compile(config, Math.max(revision, 1));
  if ('problems' in built) throw new Fault('bad-input', `the configuration does not compile: ${built.problems.map((each) => `${each.path}: ${each.message}`).join('; ')}`);
  let snapshot = built.snapshot;
  const gateway: Actor = { kind: 'gateway', id: null, name: 'postern', from: '' };
  if (!latest) {
    revision = 1;
    await operations.addRevision({ number: 1, at: options.nowMs(), actor: gateway, config }, auditOf(options, gateway, 1, config));
  }
  (await options.prepare(snapshot, null)).commit();

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
        if (change.dryRun) return { revision };
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
        return { revision };
      }),
    watch(onPublish) {
      watchers.add(onPublish);
      return () => watchers.delete(onPublish);
    },
  };
}
