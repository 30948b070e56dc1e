// A table: what changes by itself or by the thousand. A map in memory with one writer, changed by numbered deltas,
// so that the deltas could come over a wire. Readers hold the table and look things up; nobody copies it.

export type TableKind =
  | 'kept' // a row is committed to the store before its delta is published
  | 'noted' // written in batches, lost at a crash
  | 'passing'; // memory only

export interface Delta<Row> {
  readonly number: number;
  readonly put: readonly Row[];
  readonly removed: readonly string[];
}

/** What readers see. */
export interface Table<Row> {
  readonly name: string;
  readonly kind: TableKind;
  /** Grows with every delta: a cheap "has anything changed". */
  readonly version: number;
  readonly size: number;
  get(key: string): Row | undefined;
  values(): IterableIterator<Row>;
  /** Called after each delta, in order. Returns the function that stops it. */
  watch(onDelta: (delta: Delta<Row>) => void): () => void;
}

/** What the one writer holds. */
export interface TableWriter<Row> extends Table<Row> {
  publish(change: { put?: readonly Row[]; removed?: readonly string[] }): void;
}

export interface TableOptions<Row> {
  readonly name: string;
  readonly kind: TableKind;
  readonly keyOf: (row: Row) => string;
  readonly rows?: readonly Row[];
}

export function buildTable<Row>(options: TableOptions<Row>): TableWriter<Row> {
  const rows = new Map<string, Row>();
  const watchers = new Set<(delta: Delta<Row>) => void>();
  let version = 0;
  for (const row of options.rows ?? []) rows.set(options.keyOf(row), row);
  return {
    name: options.name,
    kind: options.kind,
    get version() {
      return version;
    },
    get size() {
      return rows.size;
    },
    get: (key) => rows.get(key),
    values: () => rows.values(),
    watch(onDelta) {
      watchers.add(onDelta);
      return () => watchers.delete(onDelta);
    },
    publish({ put = [], removed = [] }) {
      for (const key of removed) rows.delete(key);
      for (const row of put) rows.set(options.keyOf(row), row);
      version += 1;
      const delta: Delta<Row> = { number: version, put, removed };
      for (const watcher of watchers) watcher(delta);
    },
  };
}

/** A second way to look rows up, kept in step with the table. A key of undefined leaves the row out. */
export function indexBy<Row>(table: Table<Row>, primary: (row: Row) => string, keyOf: (row: Row) => string | undefined): { get(key: string): Row | undefined; has(key: string): boolean } {
  const keyOfPrimary = new Map<string, string>();
  const rows = new Map<string, Row>();
  const drop = (id: string) => {
    const key = keyOfPrimary.get(id);
    if (key === undefined) return;
    keyOfPrimary.delete(id);
    if (primary(rows.get(key)!) === id) rows.delete(key);
  };
  const add = (row: Row) => {
    drop(primary(row));
    const key = keyOf(row);
    if (key === undefined) return;
    keyOfPrimary.set(primary(row), key);
    rows.set(key, row);
  };
  for (const row of table.values()) add(row);
  table.watch((delta) => {
    for (const id of delta.removed) drop(id);
    for (const row of delta.put) add(row);
  });
  return { get: (key) => rows.get(key), has: (key) => rows.has(key) };
}

/** Rows by something that several of them may have, kept in step with the table. What `get` gives changes with the table: it is to be read, not kept. */
export function groupsBy<Row>(table: Table<Row>, primary: (row: Row) => string, keyOf: (row: Row) => string | undefined): { get(key: string): readonly Row[] } {
  const keyOfPrimary = new Map<string, string>();
  const groups = new Map<string, Row[]>();
  const none: readonly Row[] = [];
  const drop = (id: string) => {
    const key = keyOfPrimary.get(id);
    if (key === undefined) return;
    keyOfPrimary.delete(id);
    const group = groups.get(key)!;
    if (group.length === 1) groups.delete(key);
    else group.splice(group.findIndex((row) => primary(row) === id), 1);
  };
  const add = (row: Row) => {
    const id = primary(row);
    const key = keyOf(row);
    const before = keyOfPrimary.get(id);
    if (key !== undefined && key === before) {
      // Notes change without changing their place.
      const group = groups.get(key)!;
      group[group.findIndex((each) => primary(each) === id)] = row;
      return;
    }
    if (before !== undefined) drop(id);
    if (key === undefined) return;
    keyOfPrimary.set(id, key);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  };
  for (const row of table.values()) add(row);
  table.watch((delta) => {
    for (const id of delta.removed) drop(id);
    for (const row of delta.put) add(row);
  });
  return { get: (key) => groups.get(key) ?? none };
}
