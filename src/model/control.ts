// The one way in which a person changes the configuration: validate, compile, persist revision n+1 with its audit line in one
// transaction, publish. Only this raises the revision.
import type { ConfigProblem } from './config.ts';
import type { Actor } from './rows.ts';

export interface ConfigChange {
  readonly actor: Actor;
  /** The revision that it was made against. */
  readonly against: number;
  readonly config: unknown;
  /** Validated and compiled, nothing else. */
  readonly dryRun: boolean;
}

/** `changed`: it is, or in a dry run would be, another configuration than the present one, once what is left out is filled in. */
export type ChangeResult = { readonly revision: number; readonly changed: boolean } | { readonly problems: readonly ConfigProblem[] };

export interface Control<Snapshot = unknown> {
  /** The compiled configuration in force. */
  snapshot(): Snapshot;
  /** The document as a person wrote it. */
  config(): { readonly revision: number; readonly config: unknown };
  /** One at a time, by its own turn. Faults: `conflict` (`against` is not the latest), `busy` (the store is down or the disk full). A dry run, and what changes nothing, answer the present revision. */
  change(change: ConfigChange): Promise<ChangeResult>;
}
