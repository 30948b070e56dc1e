// Patterns that people write and devices' data is held against: RE2's syntax and its promise, time linear in the input, so
// that no pattern and no record can hold up everybody else (a backtracking engine can be held up for years by 40 bytes).
import { RE2JS } from 're2js';
import { Fault, reasonOf } from '#base/fault.ts';

export interface Pattern {
  readonly text: string;
  /** Found anywhere in it; `^` and `$` bind as usual. Bytes are read as latin1. */
  test(value: string | Uint8Array): boolean;
  /** The groups of the first place where it is found, by number (0 is all of it) and by name; null when it is not. */
  groups(value: string): { readonly all: readonly (string | null)[]; readonly named: Readonly<Record<string, string | null>> } | null;
}

const textBytesMax = 1_000;

/** Fault `bad-input` when it is no pattern, says why and where. */
export function compilePattern(text: string): Pattern {
  if (text.length === 0 || text.length > textBytesMax) throw new Fault('bad-input', `a pattern has 1 to ${textBytesMax} characters`);
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(text);
  } catch (thrown) {
    throw new Fault('bad-input', `"${text}" is no pattern: ${reasonOf(thrown)}`, { remedy: 'Patterns are regular expressions as RE2 knows them: no back references, no look-around.' });
  }
  const names = Object.keys(compiled.namedGroups());
  return {
    text,
    test: (value) => compiled.matcher(typeof value === 'string' ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('latin1')).find(),
    groups(value) {
      const matcher = compiled.matcher(value);
      if (!matcher.find()) return null;
      return {
        all: Array.from({ length: matcher.groupCount() + 1 }, (_, index) => matcher.group(index)),
        named: Object.fromEntries(names.map((name) => [name, matcher.group(name)])),
      };
    },
  };
}

/** A name with `*` for any characters, also none, and `?` for one; compared whole and as written. Linear, too: greedy with one place to go back to. */
export function matchesGlob(glob: string, value: string): boolean {
  let at = 0;
  let place = 0;
  let star = -1;
  let mark = 0;
  while (at < value.length) {
    const wanted = glob[place];
    if (wanted === '*') {
      star = place++;
      mark = at;
    } else if (wanted !== undefined && (wanted === '?' || wanted === value[at])) {
      at += 1;
      place += 1;
    } else if (star >= 0) {
      place = star + 1;
      at = ++mark;
    } else return false;
  }
  while (glob[place] === '*') place += 1;
  return place === glob.length;
}
