// Where records go from here: positions, what the store does with them, and what the rest of the gateway may know of sinks.
import type { Id } from '#base/ids.ts';
import type { Config } from './config.ts';
import type { AuditEntry, Feed, FeedEpoch } from './rows.ts';

/** How far a sink has come in an epoch. */
export interface SinkPosition {
  /** Everything before it was taken. */
  readonly off: number;
  /** How often it was ordered to begin again: what was under way for an earlier run counts no more. */
  readonly run: number;
  /** Behind `off` are bytes that no record begins in, until a gap. */
  readonly unframed: boolean;
  /** What the kind of sink keeps with it, as JSON. */
  readonly data: string | null;
}

export interface SinkMove extends SinkPosition {
  readonly sink: string;
  /** The epoch's number. */
  readonly epoch: number;
  readonly at: number;
}

/** An epoch with what a sink has of it. */
export interface SinkWork {
  readonly epoch: FeedEpoch;
  readonly feed: Feed;
  /** null: nothing yet; it begins at the oldest that is kept. */
  readonly position: SinkPosition | null;
}

export interface SinkOperations {
  /** null: there is no such epoch, or its device waits for approval. */
  sinkWork(sink: string, epoch: number): Promise<SinkWork | null>;
  /** Epochs of which the sink lacks something that is whole, by number, behind `after`. */
  sinkBacklog(sink: string, after: number, limit: number): Promise<readonly SinkWork[]>;
  /** false, and nothing is changed: it was ordered to begin again meanwhile, or the epoch is gone. */
  moveSinkPosition(move: SinkMove): Promise<boolean>;
  /** Orders a sink to begin again at that offset; resolves the run. Fault `not-found`: there is no such epoch. */
  replaySink(replay: { readonly sink: string; readonly epoch: number; readonly off: number; readonly at: number }, audit: AuditEntry): Promise<number>;
}

/** What can be taken of an epoch now: up to here all records are whole. */
export const reachOf = ({ unframed, next, boundary }: Pick<FeedEpoch, 'unframed' | 'next' | 'boundary'>): number => (unframed ? next : boundary);

export const sinkStates = ['running', 'waiting', 'paused', 'refused', 'broken'] as const;
/** waiting: a try failed, the next one is due · paused: by configuration · refused: the target wants no more · broken: it cannot be opened as it is configured. */
export type SinkState = (typeof sinkStates)[number];

export interface SinkStatus {
  readonly name: string;
  readonly kind: string;
  readonly state: SinkState;
  /** Stored and not taken yet. */
  readonly lagBytes: number;
  readonly lagEpochs: number;
  /** More epochs lag than were looked at. */
  readonly lagIsMore: boolean;
  readonly lastError: string | null;
  readonly nextTryAt: number | null;
  readonly lastAt: number | null;
  /** Since the start. */
  readonly records: number;
  readonly batches: number;
  /** Records that the parser did not understand. */
  readonly unparsed: number;
  /** Records that came before under the same natural key. */
  readonly doubles: number;
}

/** What the API may do with sinks. */
export interface SinkControl {
  status(): Promise<readonly SinkStatus[]>;
  /** Begins again at that offset. Faults: `not-found`, `bad-input` (before the oldest that is kept, or behind what is here). */
  replay(order: { readonly sink: string; readonly feedId: Id; readonly epoch: string | null; readonly off: number }, audit: (epoch: string, off: number) => AuditEntry): Promise<{ readonly epoch: string; readonly off: number }>;
  /** Tries at once, also what was refused. Fault `not-found`. */
  retry(sink: string): Promise<void>;
}

export interface SecretView {
  readonly name: string;
  readonly setAt: number;
  /** Where the configuration names it. */
  readonly usedBy: readonly string[];
}

export interface SecretControl {
  list(): Promise<readonly SecretView[]>;
  /** Named in the configuration, and not there. */
  missing(): readonly string[];
  set(name: string, value: string): Promise<void>;
  /** Fault `not-found`. */
  remove(name: string): Promise<void>;
}

/** The secrets that a configuration names, and where. */
export function secretsNamed(config: Pick<Config, 'sinks' | 'feeds'> & Partial<Pick<Config, 'routes'>>): ReadonlyMap<string, readonly string[]> {
  const named = new Map<string, string[]>();
  const add = (secret: string | undefined, where: string) => {
    if (secret !== undefined) named.set(secret, [...(named.get(secret) ?? []), where]);
  };
  for (const sink of config.sinks ?? []) if (sink.kind !== 'files') add(sink.secret, `sink ${sink.name}`);
  for (const rule of config.feeds ?? []) for (const alert of rule.alerts) add(alert.secret, `alert ${alert.name}`);
  for (const route of config.routes ?? []) add(route.application?.signed, `route ${route.name}`);
  return named;
}
