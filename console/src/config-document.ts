// The configuration's document in the console: its parts, how one of them is put in place, and which problem belongs to which field.
import type { ConfigDocument } from '#api/shapes.ts';

export type Listener = ConfigDocument['listeners'][number];
export type Route = ConfigDocument['routes'][number];
export type Target = Route['target'];
export type TlsPolicy = ConfigDocument['tlsPolicies'][number];
export type TrustedProxy = ConfigDocument['trustedProxies'][number];
export type Protocol = Listener['protocols'][number];
export type Section = 'listeners' | 'routes' | 'tlsPolicies' | 'trustedProxies';
type ItemOf<Name extends Section> = ConfigDocument[Name][number];

export const PROTOCOLS: readonly Protocol[] = ['http', 'tls', 'ldap', 'sip', 'h323', 'ssh', 'rdp', 'tcp'];

export interface Document {
  readonly revision: number;
  /** As a person wrote it: what has a default may be absent. */
  readonly config: ConfigDocument;
}

/** Lists that a document may leave out are filled in; everything else stays as it was written. */
export function documentOf({ revision, config }: { readonly revision: number; readonly config?: unknown }): Document {
  const given = config as ConfigDocument;
  return { revision, config: { ...given, routes: given.routes ?? [], tlsPolicies: given.tlsPolicies ?? [], trustedProxies: given.trustedProxies ?? [] } };
}

/** One change of one thing, to be made to whatever document is in force then. */
export interface Edit {
  /** What people call it; as it was when the form was opened. */
  readonly name: string;
  /** Null: it is added. */
  readonly before: unknown;
  /** Where the thing stands in a document; -1: nowhere. */
  find(config: ConfigDocument): number;
  /** As it stands in a document; undefined: nowhere. */
  current(config: ConfigDocument): unknown;
  apply(config: ConfigDocument): ConfigDocument;
  /** Of the thing in the document that `apply` makes: problems with paths below it are the form's. */
  place(config: ConfigDocument): string;
}

const keyOf = (section: Section, item: { readonly name?: string; readonly from?: string; readonly subject?: string | undefined }): string => (section === 'trustedProxies' ? `${item.from} ${item.subject ?? ''}` : (item.name ?? ''));

/** Who names a listener is told its new name. */
function renamed(config: ConfigDocument, from: string, to: string): ConfigDocument {
  const inList = <Item extends { readonly listeners?: string[] | undefined }>(item: Item): Item => (item.listeners?.includes(from) ? { ...item, listeners: item.listeners.map((each) => (each === from ? to : each)) } : item);
  return { ...config, routes: config.routes.map(inList), tlsPolicies: config.tlsPolicies.map(inList) };
}

/** `after` null: it is removed. */
export function editOf<Name extends Section>(section: Name, before: ItemOf<Name> | null, after: ItemOf<Name> | null): Edit {
  const key = before === null ? null : keyOf(section, before);
  const find = (config: ConfigDocument) => (key === null ? -1 : config[section].findIndex((item) => keyOf(section, item) === key));
  return {
    name: before === null ? (after === null ? '' : keyOf(section, after)) : keyOf(section, before).trim(),
    before, find,
    current: (config) => config[section][find(config)],
    place: (config) => {
      const at = find(config);
      return `${section}[${at < 0 ? config[section].length : at}]`;
    },
    apply(config) {
      const at = find(config);
      const items: readonly ItemOf<Name>[] = config[section];
      const next = after === null ? items.filter((_, i) => i !== at) : at < 0 ? [...items, after] : items.map((item, i) => (i === at ? after : item));
      const changed = { ...config, [section]: next };
      return section === 'listeners' && before !== null && after !== null ? renamed(changed, keyOf(section, before), keyOf(section, after)) : changed;
    },
  };
}

/** Parts of the document that are there once, or not at all. */
export type Single = 'probes' | 'addressPool';

/** `before` undefined: the document does not have it. `after` undefined: it is removed. */
export function editOfSingle<Name extends Single>(name: Name, title: string, before: ConfigDocument[Name], after: ConfigDocument[Name]): Edit {
  return {
    name: title,
    before: before ?? null,
    find: (config) => (config[name] === undefined ? -1 : 0),
    current: (config) => config[name],
    place: () => name,
    apply: (config) => compact({ ...config, [name]: after }),
  };
}

export interface FieldProblem {
  readonly path: string;
  /** The place as people know it. */
  readonly where?: string;
  readonly message: string;
}

export interface SortedProblems {
  /** Of a field of the form; undefined without. */
  at(field: string): string | undefined;
  /** What belongs to no field. */
  readonly rest: readonly FieldProblem[];
}

const isBelow = (path: string, field: string) => path === field || path.startsWith(`${field}.`) || path.startsWith(`${field}[`);
const sentence = (words: string) => `${words.charAt(0).toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? '' : '.'}`;

/** Each problem to the field with the longest path above its own. `place`: of the thing that the form is about. */
export function sortProblems(problems: readonly FieldProblem[], place: string, fields: readonly string[]): SortedProblems {
  const longestFirst = fields.toSorted((a, b) => b.length - a.length);
  const byField = new Map<string, string[]>();
  const rest: FieldProblem[] = [];
  for (const problem of problems) {
    const { path, message } = problem;
    const inside = isBelow(path, place) ? path.slice(place.length).replace(/^\./, '') : null;
    const field = inside === null ? undefined : longestFirst.find((each) => isBelow(inside, each));
    if (field === undefined) rest.push(inside === '' ? { path: '', message } : problem);
    else byField.set(field, [...(byField.get(field) ?? []), message]);
  }
  return {
    at: (field) => {
      const found = byField.get(field);
      return found && [...new Set(found)].map(sentence).join(' ');
    },
    rest,
  };
}

/** Without what is undefined, so that a document says no more than it has to. */
export function compact<Shape extends object>(shape: Shape): Shape {
  return Object.fromEntries(Object.entries(shape).filter(([, value]) => value !== undefined)) as Shape;
}

/** Lines of a text box: trimmed, empty ones left out. */
export function linesOf(text: string): string[] {
  return text.split(/[\n,]/).map((line) => line.trim()).filter(Boolean);
}

/** A number as it was typed; what is no number stays text, and the gateway says so. */
export function numberOf(text: string): number {
  return /^\d{1,9}$/.test(text.trim()) ? Number(text) : Number.NaN;
}

export const isName = (text: string) => /^[a-z0-9][a-z0-9_.-]{0,63}$/.test(text);

/** Shown in lists: `192.0.2.1:8080`, `[2001:db8::1]:389`. */
export function authority(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
