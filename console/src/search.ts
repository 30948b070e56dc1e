// The part of an address behind `?`, changed one name at a time.

/** The same without these names: an absent filter is absent from the address too. */
export function without<Search extends object, Name extends keyof Search>(search: Search, ...names: readonly Name[]): Omit<Search, Name> {
  const kept = { ...search };
  for (const name of names) delete kept[name];
  return kept;
}
