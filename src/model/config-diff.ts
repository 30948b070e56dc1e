// What differs between two documents of the configuration, by the names of what is in them. It knows no field: what the configuration
// learns to say is compared without a word here.

/** One field: `target.port`. undefined stands for "not there". */
export interface FieldDifference {
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

export interface Difference {
  /** The document's first level: `routes`, `listeners`, `deviceDomain`. */
  readonly section: string;
  /** Of the listener, route, domain …; null for what stands in the document itself. */
  readonly name: string | null;
  readonly kind: 'added' | 'removed' | 'changed';
  /** For what was added or removed: all that it says, against nothing. */
  readonly fields: readonly FieldDifference[];
}

export interface ConfigDiff {
  readonly differences: readonly Difference[];
  /** How many more there are than were wanted. */
  readonly omitted: number;
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const fieldOf = (fields: Fields, key: string): unknown => (Object.hasOwn(fields, key) ? fields[key] : undefined);
const keysOf = (...all: readonly Fields[]): string[] => [...new Set(all.flatMap((each) => Object.keys(each)))];

function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((each, i) => isSame(each, b[i]));
  if (!isFields(a) || !isFields(b)) return false;
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return false;
  for (const key of keys) if (!Object.hasOwn(b, key) || !isSame(a[key], b[key])) return false;
  return true;
}

/** The items of a list by their names; null when not every one has a name of its own. */
function namedItems(value: unknown): ReadonlyMap<string, Fields> | null {
  if (!Array.isArray(value)) return null;
  const items = new Map<string, Fields>();
  for (const item of value as readonly unknown[]) {
    const name = isFields(item) ? fieldOf(item, 'name') : undefined;
    if (typeof name !== 'string' || items.has(name)) return null;
    items.set(name, item as Fields);
  }
  return items;
}

/** Down to the fields that differ. Lists of named things are compared by name, other lists as a whole: `+ 192.0.2.0/24` reads badly by index. */
function* fieldDifferences(before: unknown, after: unknown, path: string): Generator<FieldDifference> {
  if (isSame(before, after)) return;
  const at = (key: string) => (path ? `${path}.${key}` : key);
  const [namedBefore, namedAfter] = [namedItems(before), namedItems(after)];
  if (namedBefore && namedAfter && namedBefore.size + namedAfter.size > 0) {
    const known = new Set([...namedBefore.keys(), ...namedAfter.keys()]);
    let found = false;
    for (const name of known) {
      for (const each of fieldDifferences(namedBefore.get(name), namedAfter.get(name), `${path}[${name}]`)) {
        found = true;
        yield each;
      }
    }
    if (!found) yield { path, before: [...namedBefore.keys()], after: [...namedAfter.keys()] }; // only their order
    return;
  }
  if ((isFields(before) || before === undefined) && (isFields(after) || after === undefined)) {
    for (const key of keysOf(before ?? {}, after ?? {})) yield* fieldDifferences(before && fieldOf(before, key), after && fieldOf(after, key), at(key));
    return;
  }
  yield { path, before, after };
}

/** What an added or removed thing says, without its name. */
const contentOf = (item: Fields): Fields => Object.fromEntries(Object.entries(item).filter(([key]) => key !== 'name'));

/** Each as what tells it: beyond those that are listed nobody asks. */
function* sectionDifferences(section: string, before: unknown, after: unknown): Generator<() => Difference> {
  const [namedBefore, namedAfter] = [namedItems(before ?? []), namedItems(after ?? [])];
  if (!namedBefore || !namedAfter || (namedBefore.size === 0 && namedAfter.size === 0)) {
    const fields = [...fieldDifferences(before, after, '')];
    if (fields.length > 0) yield () => ({ section, name: null, kind: before === undefined ? 'added' : after === undefined ? 'removed' : 'changed', fields });
    return;
  }
  for (const [name, item] of namedBefore) {
    const other = namedAfter.get(name);
    if (!other) yield () => ({ section, name, kind: 'removed', fields: [...fieldDifferences(contentOf(item), undefined, '')] });
    else if (!isSame(item, other)) yield () => ({ section, name, kind: 'changed', fields: [...fieldDifferences(item, other, '')] });
  }
  for (const [name, item] of namedAfter) if (!namedBefore.has(name)) yield () => ({ section, name, kind: 'added', fields: [...fieldDifferences(undefined, contentOf(item), '')] });
  // Said only where it may matter and can be read: the first domain is the primary one, while the order of routes means nothing.
  if (namedBefore.size > 100 || namedAfter.size > 100) return;
  const [orderBefore, orderAfter] = [[...namedBefore.keys()].filter((name) => namedAfter.has(name)), [...namedAfter.keys()].filter((name) => namedBefore.has(name))];
  if (!isSame(orderBefore, orderAfter)) yield () => ({ section, name: null, kind: 'changed', fields: [{ path: 'order', before: orderBefore, after: orderAfter }] });
}

/** From `before` to `after`, at most `max` differences listed. Documents may be of any version: what is no object counts as empty. */
export function diffConfig(before: unknown, after: unknown, max: number): ConfigDiff {
  const [from, to] = [isFields(before) ? before : {}, isFields(after) ? after : {}];
  const differences: Difference[] = [];
  let omitted = 0;
  for (const section of keysOf(from, to)) {
    for (const each of sectionDifferences(section, fieldOf(from, section), fieldOf(to, section))) {
      if (differences.length < max) differences.push(each());
      else omitted += 1;
    }
  }
  return { differences, omitted };
}

const singular: Readonly<Record<string, string>> = { routes: 'route', listeners: 'listener', domains: 'domain', tlsPolicies: 'TLS policy', trustedProxies: 'trusted proxy' };

function shortValue(value: unknown): string {
  // Bare where it cannot be misread: line breaks and blanks of a body would be.
  const text = typeof value === 'string' && /^[!-~]+$/.test(value) ? value : value === undefined ? 'absent' : JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}

function describe({ section, name, kind, fields }: Difference): string {
  const what = name === null ? section : `${singular[section] ?? section} ${name}`;
  const [first] = fields;
  if (kind !== 'changed' || !first) return `${what} ${kind}`;
  const one = `${what}: ${first.path ? `${first.path} ` : ''}${shortValue(first.before)} → ${shortValue(first.after)}`;
  return fields.length > 1 ? `${one} and ${fields.length - 1} more` : one;
}

/** One line of at most 200 characters, for lists of revisions. */
export function summaryOf({ differences, omitted }: ConfigDiff): string {
  if (differences.length === 0) return 'nothing differs';
  const shown = differences.slice(0, 3).map(describe);
  const more = differences.length - shown.length + omitted;
  const text = `${shown.join('; ')}${more > 0 ? `; ${more} more` : ''}`;
  return text.length > 200 ? `${text.slice(0, 199)}…` : text;
}
