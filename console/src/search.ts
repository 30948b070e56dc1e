// The part of an address behind `?`, changed one name at a time.

/** The same without these names: an absent filter is absent from the address too. */
export function without<Search extends object, Name extends keyof Search>(search: Search, ...names: readonly Name[]): Omit<Search, Name> {
  const kept = { ...search };
  for (const name of names) delete kept[name];
  return kept;
}

export function parseQuery(query: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(query));
}

/** With its `?`; values of undefined are left out. */
export function stringifyQuery(search: Readonly<Record<string, unknown>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) if (value !== undefined) query.set(name, String(value));
  const text = query.toString();
  return text ? `?${text}` : '';
}
