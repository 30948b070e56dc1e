// Reading a person's JSON: every field is asked for by name, what nobody asked for is a typing error, and all problems are named at
// once, each with its path. zod is not among what an agent carries.
import { Fault } from '#base/fault.ts';

export interface Section {
  readonly path: string;
  has(name: string): boolean;
  text(name: string, options?: { readonly fallback?: string; readonly matches?: RegExp; readonly means?: string; readonly bytesMax?: number }): string;
  oneOf<Value extends string | number>(name: string, values: readonly Value[], fallback?: Value): Value;
  integer(name: string, min: number, max: number, fallback?: number): number;
  flag(name: string, fallback: boolean): boolean;
  texts(name: string, options: { readonly countMax: number; readonly countMin?: number; readonly check?: (text: string) => string | null }): readonly string[];
  sections(name: string, countMax: number): readonly Section[];
  /** Null when it is not there. */
  section(name: string): Section | null;
  /** Text values by any name. */
  pairs(name: string, countMax: number): Readonly<Record<string, string>>;
  problem(name: string, what: string): void;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

interface Gathered {
  readonly problems: string[];
  readonly sections: { end(): void }[];
}

function openSection(value: unknown, path: string, gathered: Gathered): Section {
  const fields = isObject(value) ? value : {};
  const asked = new Set<string>();
  const at = (name: string) => (path === '' ? name : `${path}.${name}`);
  const problem = (name: string, what: string) => void gathered.problems.push(`${name === '' ? path || 'the file' : at(name)}: ${what}`);
  if (!isObject(value)) problem('', 'an object in braces is expected');
  gathered.sections.push({
    end() {
      for (const name of Object.keys(fields)) if (!asked.has(name)) problem(name, `is not known here; known are ${[...asked].sort().join(', ')}`);
    },
  });
  const take = (name: string): unknown => {
    asked.add(name);
    return fields[name];
  };
  return {
    path,
    has: (name) => fields[name] !== undefined,
    problem,
    text(name, { fallback, matches, means = 'text', bytesMax = 4_096 } = {}) {
      const found = take(name);
      if (found === undefined && fallback !== undefined) return fallback;
      if (found === undefined) problem(name, `is missing: ${means}`);
      else if (typeof found !== 'string' || found === '') problem(name, `${means} is expected, in quotes`);
      else if (Buffer.byteLength(found) > bytesMax) problem(name, `is longer than ${bytesMax} bytes`);
      else if (matches && !matches.test(found)) problem(name, `"${found}" is not ${means}`);
      else return found;
      return '';
    },
    oneOf(name, values, fallback) {
      const found = take(name);
      if (found === undefined && fallback !== undefined) return fallback;
      const value = values.find((one) => one === found);
      if (value === undefined) problem(name, `${found === undefined ? 'is missing' : `${JSON.stringify(found)} is not known`}; one of ${values.map((one) => JSON.stringify(one)).join(', ')}`);
      return value ?? values[0]!;
    },
    integer(name, min, max, fallback) {
      const found = take(name);
      if (found === undefined && fallback !== undefined) return fallback;
      if (typeof found === 'number' && Number.isSafeInteger(found) && found >= min && found <= max) return found;
      problem(name, `a whole number from ${min} to ${max} is expected`);
      return min;
    },
    flag(name, fallback) {
      const found = take(name);
      if (found === undefined) return fallback;
      if (typeof found !== 'boolean') problem(name, 'true or false is expected');
      return found === true;
    },
    texts(name, { countMax, countMin = 0, check }) {
      const found = take(name);
      const list = found === undefined ? [] : Array.isArray(found) ? (found as unknown[]) : [found];
      if (list.length < countMin || list.length > countMax) problem(name, `${countMin} to ${countMax} of them are expected`);
      return list.slice(0, countMax).filter((one, index): one is string => {
        const why = typeof one !== 'string' || one === '' ? 'text in quotes is expected' : (check?.(one) ?? null);
        if (why !== null) problem(`${name}[${index}]`, why);
        return why === null;
      });
    },
    sections(name, countMax) {
      const found = take(name);
      if (found === undefined) return [];
      if (!Array.isArray(found) || found.length > countMax) {
        problem(name, `a list in brackets of at most ${countMax} is expected`);
        return [];
      }
      return (found as unknown[]).map((one, index) => openSection(one, at(`${name}[${index}]`), gathered));
    },
    section(name) {
      const found = take(name);
      return found === undefined || found === null ? null : openSection(found, at(name), gathered);
    },
    pairs(name, countMax) {
      const found = take(name);
      if (found === undefined) return {};
      if (!isObject(found) || Object.keys(found).length > countMax || !Object.values(found).every((one) => typeof one === 'string')) {
        problem(name, `an object of at most ${countMax} texts is expected`);
        return {};
      }
      return found as Record<string, string>;
    },
  };
}

const tokens = /[ \t\r\n]*(?:([[{])|([\]}])|([,:])|("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"(?![^\s,:\]}]))|(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![^\s,\]}]))/y;

/** Where text that JSON.parse refuses stops being JSON. */
function endOfJson(text: string): number {
  const open: string[] = [];
  /** What may come: a value, a value or the end of an empty list, a name, a name or the end of an empty object, a colon, a comma or an end. */
  let next: 'value' | 'first' | 'name' | 'first-name' | 'colon' | 'more' = 'value';
  const skip = () => text.length - text.slice(tokens.lastIndex).trimStart().length;
  tokens.lastIndex = 0;
  for (;;) {
    const place = skip();
    const match = tokens.exec(text);
    if (match === null) return place;
    const [, begin, end, mark, quoted] = match;
    const isName = next === 'name' || next === 'first-name';
    if (end !== undefined) {
      const isFit = open.pop() === (end === ']' ? '[' : '{') && (next === 'more' || (end === ']' ? next === 'first' : next === 'first-name'));
      if (!isFit) return place;
      next = 'more';
    } else if (mark !== undefined) {
      if (mark === ':' ? next !== 'colon' : next !== 'more' || open.length === 0) return place;
      next = mark === ':' || open.at(-1) === '[' ? 'value' : 'name';
    } else if (isName) {
      if (quoted === undefined) return place;
      next = 'colon';
    } else if (next !== 'value' && next !== 'first') return place;
    else if (begin !== undefined) {
      open.push(begin);
      next = begin === '[' ? 'first' : 'first-name';
    } else next = 'more';
    if (open.length === 0 && next === 'more') return skip();
  }
}

/** Lines that begin with `//` are comments. Fault `bad-input` with all problems, one a line. `file` is for its words alone. */
export function readJsonSettings<Settings>(text: string, file: string, read: (section: Section) => Settings): Settings {
  let value: unknown;
  // Blanks instead of comments: places stay what they are in the file.
  const plain = text.replace(/^[ \t]*\/\/[^\r\n]*/gm, (comment) => ' '.repeat(comment.length));
  try {
    value = JSON.parse(plain);
  } catch {
    // The message of JSON.parse is not told: it quotes what stands around, which may be a password.
    const lines = plain.slice(0, endOfJson(plain)).split('\n');
    throw new Fault('bad-input', `${file} is no JSON: line ${lines.length}, column ${lines.at(-1)!.length + 1} is not what may stand there`, { remedy: 'Mend it; comments are lines of their own that begin with //.' });
  }
  const gathered: Gathered = { problems: [], sections: [] };
  const settings = read(openSection(value, '', gathered));
  for (const section of gathered.sections) section.end();
  const { problems } = gathered;
  if (problems.length > 0) throw new Fault('bad-input', `${file} does not say what to do:\n  ${problems.slice(0, 50).join('\n  ')}`, { remedy: 'docs/operate/feeds.md has an example of each.' });
  return settings;
}
