// The journal: what traffic did, in memory, to a fixed bound; the oldest go and are counted. Names, sizes and verdicts only.
import { boundedRing } from '#base/bounded-queue.ts';
import type { Journal, JournalLine } from './live.ts';

export function buildJournal(nowMs: () => number, linesMax: number): Journal & { watch(onLine: () => void): () => void; readonly length: number; readonly oldestAt: number | null; trim(linesMax: number, before: number): number } {
  const ring = boundedRing<JournalLine>(linesMax);
  const watchers = new Set<() => void>();
  let seq = 0;
  return {
    note(event, fields) {
      ring.push({ seq: ++seq, at: nowMs(), event, fields });
      for (const watcher of watchers) watcher();
    },
    lines({ limit, event, beforeSeq }) {
      const found: JournalLine[] = [];
      for (const line of ring.items().reverse()) {
        if (beforeSeq !== undefined && line.seq >= beforeSeq) continue;
        if (event !== undefined && line.event !== event && !line.event.startsWith(`${event}.`)) continue;
        found.push(line);
        if (found.length >= limit) break;
      }
      return found;
    },
    get dropped() {
      return ring.dropped;
    },
    get length() {
      return ring.length;
    },
    get oldestAt() {
      return ring.items()[0]?.at ?? null;
    },
    /** Keeps so many lines at most, and none from before that time; how many went. */
    trim(keepMax, before) {
      const lengthBefore = ring.length;
      const recent = before > 0 ? ring.items().filter((line) => line.at >= before).length : lengthBefore;
      ring.keepNewest(Math.min(keepMax, recent));
      return lengthBefore - ring.length;
    },
    watch(onLine) {
      watchers.add(onLine);
      return () => watchers.delete(onLine);
    },
  };
}
