// The one way in which a person changes the configuration: validate, compile, persist revision n+1 with its audit line in one
// transaction, publish. Only this raises the revision. A change may be provisional: in force at once, and taken back by itself unless confirmed.
import type { ConfigProblem } from './config.ts';
import type { Actor } from './rows.ts';

export interface ConfigChange {
  readonly actor: Actor;
  /** The revision that it was made against. */
  readonly against: number;
  readonly config: unknown;
  /** Validated and compiled, nothing else. */
  readonly dryRun: boolean;
  /** Provisional for so long; null or absent: it counts at once. */
  readonly confirmWithinMs?: number | null;
}

export interface RollBack {
  readonly actor: Actor;
  /** The revision whose document is wanted again; null: the one before the provisional one. */
  readonly to: number | null;
  /** The revision that the wish was made against; null: whatever is in force. */
  readonly against: number | null;
  readonly confirmWithinMs?: number | null;
}

/** `changed`: it is, or in a dry run would be, another configuration than the present one, once what is left out is filled in. */
export interface Changed {
  readonly revision: number;
  readonly changed: boolean;
  /** Until when it waits to be confirmed; null: it does not. */
  readonly confirmBy: number | null;
}
export type ChangeResult = Changed | { readonly problems: readonly ConfigProblem[] };

/** A change that is in force and waits to be confirmed. */
export interface Provisional {
  readonly revision: number;
  /** What comes back unless it is confirmed. */
  readonly restores: number;
  readonly actor: Actor;
  readonly since: number;
  readonly confirmBy: number;
  /** What it changed, in a line. */
  readonly summary: string;
}

export interface Control<Snapshot = unknown> {
  /** The compiled configuration in force. */
  snapshot(): Snapshot;
  /** The document as a person wrote it. */
  config(): { readonly revision: number; readonly config: unknown };
  provisional(): Provisional | null;
  /** Listeners of the configuration in force that could not be opened when it was rolled back to, each with the reason; tried again by itself. */
  missing(): readonly string[];
  /**
   * One at a time, by its own turn. Faults: `conflict` (`against` is not the latest, or a change waits to be confirmed), `busy` (the store is
   * down or the disk full). A dry run, and what changes nothing, answer the present revision.
   */
  change(change: ConfigChange): Promise<ChangeResult>;
  /** Fault `conflict` when nothing, or another revision, waits to be confirmed. */
  confirm(by: { readonly actor: Actor; readonly revision: number }): Promise<{ readonly revision: number }>;
  /** Brings an earlier document back as a new revision. Faults: as `change`; `not-found` (that revision is not kept), `bad-input`. */
  rollBack(wish: RollBack): Promise<ChangeResult>;
  /** Called with each configuration that is published. */
  watch(onPublish: (snapshot: Snapshot) => void): () => void;
  /** Called whenever revision, provisional or missing changed. */
  watchState(onChange: () => void): () => void;
  /** Timers end; what waits to be confirmed is rolled back at the next start. */
  close(): void;
}
