// What has to be known whole: a cell that is empty only because its row is on a later page would lie.
import type { UseInfiniteQueryResult } from '@tanstack/react-query';
import { useEffect } from 'react';

/** Reads page after page in the background; true when the last is there. */
export function useAllPages({ hasNextPage, isFetching, isError, isPending, fetchNextPage }: Pick<UseInfiniteQueryResult, 'hasNextPage' | 'isFetching' | 'isError' | 'isPending' | 'fetchNextPage'>): boolean {
  useEffect(() => {
    if (hasNextPage && !isFetching && !isError) void fetchNextPage();
  }, [hasNextPage, isFetching, isError, fetchNextPage]);
  return !isPending && !hasNextPage;
}
