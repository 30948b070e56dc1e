// From a source into buffers: which feed a record belongs to, whether it is urgent, when the source has to pause; and for sources that can
// go back (files), which records a buffer has already. A *mark* says how far a source had come; a buffer keeps it in one piece with the
// record that it was given with, so that a crash loses both or neither and each record is there once.
import type { Clock } from '#base/clock.ts';
import { isFault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Stamp } from './clock.ts';
import type { FeedSettings } from './settings.ts';

/** Null forgets it. */
export interface Checkpoint {
  readonly source: string;
  readonly state: string | null;
}

/** What is needed of a buffer (`buffer.ts`). */
export interface RecordStore {
  append(record: Uint8Array, options: Stamp & { readonly urgent: boolean; readonly checkpoint?: Checkpoint }): void;
  appendBytes(bytes: Uint8Array, options?: { readonly checkpoint?: Checkpoint }): void;
  /** A checkpoint without a record; durable with the next flush. */
  mark(checkpoint: Checkpoint): void;
  checkpoints(): ReadonlyMap<string, string>;
  flush(): Promise<void>;
}

/** Where a source that can go back stood behind a record: `turn` grows when it begins anew (a file was truncated), `at` within. */
export interface Mark {
  readonly key: string;
  readonly turn: number;
  readonly at: number;
  /** What else the source wants to know again, as JSON. */
  readonly more: Readonly<Record<string, string | number>>;
}

/** The newest mark of any feed, and where all of them are read on from: there, or before. */
export interface KeptMark extends Mark {
  readonly from: Pick<Mark, 'at' | 'more'>;
}

export interface Intake {
  /** False: it was taken, and the source pauses until `ready`. One with a mark that its feed has already is left out. */
  record(record: Uint8Array, mark?: Mark): boolean;
  /** For feeds of plain bytes. */
  bytes(bytes: Uint8Array, mark?: Mark): boolean;
  /** Resolves at once unless a source should pause. False: the source is being closed and gives no more. */
  ready(): Promise<boolean>;
  /** Whoever waits for `ready` waits no longer: the disk may be in trouble for good. */
  release(): void;
  /** Bytes on their way to the disk. */
  waitingBytes(): number;
  /** Everything so far is durable. Rejects as the buffer does. */
  flush(): Promise<void>;
  marks(): ReadonlyMap<string, KeptMark>;
  /** All feeds have what there was before it. Where `more` has `rest`, it is told also when the place is no other. */
  markAll(mark: Mark): void;
  /** In each feed what it had under the one is under the other. */
  rename(key: string, to: string): void;
  forget(key: string): void;
}

export interface IntakeDeps {
  readonly clock: Clock;
  readonly log: Log;
  stamp(): Stamp;
  /** Beside the patterns of the file: what the gateway calls urgent. */
  isUrgent(record: Uint8Array): boolean;
  /** By the names that the settings give. */
  storeOf(feed: string): RecordStore;
}

const pausedAgainMs = 1_000;

function textOf({ turn, at, more }: Mark): string {
  return JSON.stringify({ ...more, turn, at });
}

/** Null for what is none of ours. */
function parseMark(key: string, text: string): Mark | null {
  try {
    const { turn, at, ...more } = JSON.parse(text) as Record<string, string | number>;
    return typeof turn === 'number' && typeof at === 'number' ? { key, turn, at, more } : null;
  } catch {
    return null;
  }
}

const isBehind = (a: Mark, b: Mark) => a.turn < b.turn || (a.turn === b.turn && a.at < b.at);

interface Target {
  readonly store: RecordStore;
  readonly marks: Map<string, Mark>;
}

export function openIntake(feed: FeedSettings, deps: IntakeDeps): Intake {
  const prefix = `${feed.name}/`;
  const targetOf = (name: string): Target => {
    const store = deps.storeOf(name);
    const marks = new Map<string, Mark>();
    for (const [source, state] of store.checkpoints()) {
      const mark = source.startsWith(prefix) ? parseMark(source.slice(prefix.length), state) : null;
      if (mark !== null) marks.set(mark.key, mark);
    }
    return { store, marks };
  };
  const byName = new Map([feed.name, ...feed.split.map((rule) => rule.feed)].map((name) => [name, targetOf(name)]));
  const own = byName.get(feed.name)!;
  const targets = [...byName.values()];
  const rules = feed.split.map(({ pattern, feed: name }) => ({ pattern, target: byName.get(name)! }));

  let waiting = 0;
  let flushing: Promise<void> | null = null;
  let isReleased = false;
  const released = Promise.withResolvers<void>();
  const flush = async () => {
    await Promise.all(targets.map(({ store }) => store.flush()));
  };
  /** Bytes that came while a flush ran may not be in it: they count until the next one. A disk that takes nothing makes sources wait rather than lose. */
  const drain = () => {
    flushing ??= (async () => {
      const before = waiting;
      try {
        await flush();
        waiting -= before;
      } catch (thrown) {
        deps.log.debug('feed.unflushed', { feed: feed.name, why: reasonOf(thrown) });
        // A buffer that was closed takes nothing any more; nobody waits for it.
        if (isFault(thrown, 'closed')) waiting = 0;
        else await new Promise<void>((resolve) => void deps.clock.after(pausedAgainMs, resolve));
      }
      flushing = null;
    })();
  };
  const counted = (bytes: number): boolean => {
    waiting += bytes;
    if (waiting >= limits.feedUnflushedBytesMax / 2) drain();
    return waiting < limits.feedUnflushedBytesMax;
  };
  const checkpointOf = (mark: Mark): Checkpoint => ({ source: prefix + mark.key, state: textOf(mark) });
  const has = (target: Target, mark: Mark): boolean => {
    const last = target.marks.get(mark.key);
    return last !== undefined && !isBehind(last, mark);
  };

  return {
    record(whole, mark) {
      const record = whole.subarray(0, limits.feedRecordBytesMax);
      const target = rules.find(({ pattern }) => pattern.test(record))?.target ?? own;
      if (mark !== undefined && has(target, mark)) return true;
      const urgent = feed.urgent.some((pattern) => pattern.test(record)) || deps.isUrgent(record);
      target.store.append(record, { ...deps.stamp(), urgent, ...(mark === undefined ? {} : { checkpoint: checkpointOf(mark) }) });
      if (mark !== undefined) target.marks.set(mark.key, mark);
      return counted(record.length);
    },
    bytes(bytes, mark) {
      if (mark !== undefined && has(own, mark)) return true;
      own.store.appendBytes(bytes, mark === undefined ? {} : { checkpoint: checkpointOf(mark) });
      if (mark !== undefined) own.marks.set(mark.key, mark);
      return counted(bytes.length);
    },
    async ready() {
      const mustWait = () => !isReleased && waiting >= limits.feedUnflushedBytesMax;
      while (mustWait()) {
        drain();
        await Promise.race([flushing, released.promise]);
      }
      return !isReleased;
    },
    release() {
      isReleased = true;
      released.resolve();
    },
    waitingBytes: () => waiting,
    flush,
    marks() {
      const all = new Map<string, KeptMark>();
      const keys = new Set(targets.flatMap((target) => [...target.marks.keys()]));
      for (const key of keys) {
        const found = targets.map((target) => target.marks.get(key));
        const known = found.filter((mark) => mark !== undefined);
        const first = known.reduce((least, mark) => (isBehind(mark, least) ? mark : least));
        const last = known.reduce((most, mark) => (isBehind(most, mark) ? mark : most));
        // A feed that has no mark may lack every record of the newest turn, but of none before: a turn begins when all have the last one, durably. So does a rest.
        const isKnown = known.length === found.length && first.turn === last.turn;
        all.set(key, { ...last, from: last.more['rest'] !== undefined ? last : isKnown ? first : { at: 0, more: {} } });
      }
      return all;
    },
    markAll(mark) {
      for (const target of targets) {
        if (has(target, mark) && mark.more['rest'] === undefined) continue;
        target.store.mark(checkpointOf(mark));
        target.marks.set(mark.key, mark);
      }
    },
    rename(key, to) {
      for (const target of targets) {
        const mark = target.marks.get(key);
        if (mark === undefined) continue;
        const renamed = { ...mark, key: to };
        target.store.mark(checkpointOf(renamed));
        target.store.mark({ source: prefix + key, state: null });
        target.marks.delete(key);
        target.marks.set(to, renamed);
      }
    },
    forget(key) {
      for (const target of targets) if (target.marks.delete(key)) target.store.mark({ source: prefix + key, state: null });
    },
  };
}
