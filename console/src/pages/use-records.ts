// Reading records: one question after the other from where the last one ended, and on its own when more has come.
import type { RecordItem } from '#api/feed-shapes.ts';
import { useCallback, useEffect, useRef, useState } from 'react';
import { call } from '../api.ts';

const PAGE = 100;
const NEWEST = 100;
/** Beyond that a page follows no longer by itself: whoever left it open all night does not find a browser out of memory. */
const FOLLOWED_MAX = 2_000;

export interface RecordsAsk {
  readonly feed: string;
  readonly epoch: string;
  /** null: the newest. */
  readonly from: number | null;
  readonly pattern: string;
}

interface Read {
  readonly items: readonly RecordItem[];
  readonly reached: number;
  readonly atEnd: boolean;
  readonly problem: unknown;
}

export interface Records extends Read {
  readonly busy: boolean;
  /** What comes is shown by itself. */
  readonly follows: boolean;
  goOn(): void;
  stop(): void;
}

const nothing: Read = { items: [], reached: 0, atEnd: false, problem: null };

/** `next`: the epoch's, as last heard. `ask` stays the same for as long as the component is there. */
export function useRecords({ feed, epoch, from, pattern }: RecordsAsk, next: number): Records {
  const [read, setRead] = useState<Read>(nothing);
  const [busy, setBusy] = useState(true);
  const present = useRef(read);
  const running = useRef<AbortController | null>(null);
  const goOn = useCallback(async () => {
    if (running.current) return;
    const abort = new AbortController();
    running.current = abort;
    setBusy(true);
    let found = 0;
    const begun = present.current !== nothing;
    let at = begun ? present.current : { ...nothing, reached: from ?? 0 };
    let whence: { last: number } | { from: number } = begun || from !== null || pattern ? { from: at.reached } : { last: NEWEST };
    try {
      // A rare pattern needs many questions, each of a bounded amount.
      let more = true;
      do {
        const page = await call('searchRecords', { params: { feed }, query: { epoch, ...whence, ...(pattern ? { pattern } : {}), limit: PAGE }, signal: abort.signal });
        found += page.items.length;
        const known = new Set(at.items.slice(-PAGE).map(keyOf));
        const stuck = 'from' in whence && page.reached <= whence.from;
        at = { items: [...at.items, ...page.items.filter((item) => !known.has(keyOf(item)))], reached: page.reached, atEnd: page.atEnd || stuck, problem: null };
        whence = { from: page.reached };
        if (!abort.signal.aborted) setRead((present.current = at));
        // The newest are read up to the end, which has moved meanwhile.
        more = pattern === '' ? from === null && !begun : found < PAGE;
      } while (more && !at.atEnd && !abort.signal.aborted);
    } catch (thrown) {
      if (!abort.signal.aborted) setRead((present.current = { ...at, problem: thrown }));
    }
    if (running.current === abort) {
      running.current = null;
      setBusy(false);
    }
  }, [feed, epoch, from, pattern]);
  const stop = useCallback(() => {
    running.current?.abort();
    running.current = null;
    setBusy(false);
  }, []);
  useEffect(() => {
    void goOn();
    return () => {
      running.current?.abort();
      running.current = null;
    };
  }, [goOn]);
  const { items, reached, atEnd, problem } = read;
  const follows = items.length < FOLLOWED_MAX;
  useEffect(() => {
    if (atEnd && follows && problem === null && next > reached) void goOn();
    // `reached` may stay below `next` while a record is open: only news of `next` are a reason to ask.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [next]);
  return { ...read, busy, follows, goOn: () => void goOn(), stop };
}

const keyOf = (item: RecordItem): string => (item.kind === 'gap' ? `gap ${item.from}` : String(item.off));
