// The journal: what traffic did, in memory, to a fixed bound; the oldest go and are counted. Names, sizes and verdicts only.
import { boundedRing } from '#base/bounded-queue.ts';
import type { Journal, JournalLine } from './live.ts';

export function buildJournal(nowMs: () => number, linesMax: number): Journal & { watch(onLine: () => void): () => void } {
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
    watch(onLine) {
      watchers.add(onLine);
      return () => watchers.delete(onLine);
    },
  };
}
