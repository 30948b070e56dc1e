// What of a feed's buffer is deleted, and when: what all have but for a kept tail, what is too much, what is too old. The pointer moves
// first, durably, then the segments go: the other way round, a crash between the two leaves a pointer to bytes that are gone.
import type { Log } from '#base/log.ts';
import type { Segments } from './buffer-segments.ts';
import type { BufferState, StatePatch } from './buffer-state.ts';
import type { BufferSettings } from './settings.ts';

/** Done one after the other, and between writes, by the owner. Errors are those of `commit`. */
export interface BufferBounds {
  /** Deletes what nobody needs, and what is too old. */
  tidy(keptTailBytes: number): Promise<void>;
  /** Room for so many more bytes: the oldest whole segments go. */
  makeRoom(bytes: number): Promise<void>;
}

export interface BufferBoundsOptions {
  readonly feed: string;
  readonly settings: BufferSettings;
  readonly segments: Segments;
  readonly now: () => BufferState;
  readonly commit: (patch: StatePatch) => Promise<void>;
  /** 0 while it is not known. */
  readonly nowMs: () => number;
  readonly log: Log;
}

/** What each destination has or is never to be given, whatever position a new epoch's gateway names. */
export const heldBy = ({ positions, starts }: BufferState): Record<string, number> => Object.fromEntries(Object.entries(positions).map(([name, position]) => [name, Math.max(position, starts[name] ?? 0)]));

export function buildBufferBounds({ feed, settings, segments, now, commit, nowMs, log }: BufferBoundsOptions): BufferBounds {
  /** Offsets below have been confirmed by all. */
  const confirmed = () => {
    const all = Object.values(heldBy(now()));
    return all.length === 0 ? now().first : Math.min(...all);
  };
  const moveFirst = async (first: number) => {
    const { first: before, shift, positions } = now();
    if (first > before) {
      const missed = Math.max(0, first - Math.max(confirmed(), before));
      const isForced = missed > 0 && Object.keys(positions).length > 0;
      if (isForced) log.warn('feed.wrapped', { feed, from: first - missed - shift, to: first - shift });
      await commit(({ boots, lost }) => ({ first, boots: boots.filter(({ until }) => until === null || until > first), ...(isForced ? { forcedTo: first, lost: lost + missed } : {}) }));
    }
    await segments.removeBelow(now().first);
  };
  const dropOldest = async () => {
    if (segments.list.length === 1) await segments.seal();
    await moveFirst(Math.max(now().first, segments.endOf(0)));
  };
  const dropOld = async () => {
    const { ageMaxMs } = settings;
    const atMs = nowMs();
    if (ageMaxMs === null || atMs === 0) return;
    while (segments.list.length > 0) {
      // Newer ones that know their time speak for an older one that does not.
      const lastAtMs = segments.list.find((segment) => segment.lastAtMs > 0)?.lastAtMs ?? 0;
      if (lastAtMs === 0 || lastAtMs > atMs - ageMaxMs) return;
      await dropOldest();
    }
  };
  return {
    async tidy(keptTailBytes) {
      const limit = Math.max(confirmed() - keptTailBytes, now().shift);
      let { first } = now();
      const sealed = segments.list.length - (segments.isOpen ? 1 : 0);
      for (let at = 0; at < sealed && segments.endOf(at) <= limit; at++) first = Math.max(first, segments.endOf(at));
      await moveFirst(first);
      await dropOld();
    },
    async makeRoom(bytes) {
      while (segments.list.length > 0 && segments.bytes + bytes > settings.bytesMax) await dropOldest();
    },
  };
}
