// How lists end: more to load, or why there is nothing.
import type { UseInfiniteQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { text } from '../text.ts';
import { Skeleton } from './bits.tsx';
import { Button } from './button.tsx';
import { ProblemNote } from './problem.tsx';

interface Read {
  readonly isPending: boolean;
  readonly isError: boolean;
  readonly error: unknown;
  readonly data: unknown;
  readonly refetch: () => unknown;
}

/** A skeleton while it loads, the problem when there is nothing to show, else what is inside. */
export function Loaded({ query, lines = 4, children }: { query: Read; lines?: number; children: ReactNode }) {
  if (query.isPending) return <Skeleton lines={lines} />;
  if (query.isError && query.data === undefined) {
    return (
      <div className="p-4 sm:p-5">
        <ProblemNote problem={query.error} again={() => void query.refetch()} />
      </div>
    );
  }
  return (
    <>
      {query.isError ? (
        <div className="border-b border-line p-3 sm:px-5">
          <ProblemNote problem={query.error} again={() => void query.refetch()} />
        </div>
      ) : null}
      {children}
    </>
  );
}

export function More({ query, note }: { query: Pick<UseInfiniteQueryResult, 'hasNextPage' | 'isFetchingNextPage' | 'fetchNextPage'>; note?: string }) {
  if (!query.hasNextPage) return null;
  return (
    <div className="flex flex-wrap items-center justify-center gap-3 border-t border-line px-4 py-3 text-sm text-ink-2">
      {note}
      <Button size="sm" busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {text.common.more}
      </Button>
    </div>
  );
}

export const cellClass = 'px-3 py-2.5 align-middle first:pl-4 last:pr-4 sm:first:pl-5 sm:last:pr-5';
export const headClass = 'px-3 py-2 text-left text-xs font-medium text-ink-3 first:pl-4 last:pr-4 sm:first:pl-5 sm:last:pr-5';
