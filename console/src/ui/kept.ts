// What a dialog showed stays in it while it moves away.
import { useState } from 'react';

/** The value, or the last one that there was. */
export function useKept<Value>(value: Value | null): Value | null {
  const [kept, setKept] = useState(value);
  if (value !== null && value !== kept) setKept(value);
  return value ?? kept;
}
