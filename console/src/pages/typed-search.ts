// A search box whose text stands in the address, after a pause: the address follows what is typed, and what is typed follows the address.
import { useEffect, useRef, useState } from 'react';

const SEARCH_PAUSE_MS = 200;

export function useTypedSearch(inAddress: string, onSearch: (search: string) => void): readonly [typed: string, setTyped: (typed: string) => void] {
  const [typed, setTyped] = useState(inAddress);
  const last = useRef(inAddress);
  const tell = useRef(onSearch);
  useEffect(() => {
    tell.current = onSearch;
  });
  useEffect(() => {
    if (inAddress === last.current) return;
    last.current = inAddress;
    setTyped(inAddress);
  }, [inAddress]);
  useEffect(() => {
    if (typed === last.current) return;
    const timer = setTimeout(() => {
      last.current = typed;
      tell.current(typed);
    }, SEARCH_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return [typed, setTyped];
}
