// Addresses in style sheets (CSS Syntax 3 §4: url(…), and the string of @import), piece by piece. Any cut of the text gives the same result.
import type { Prefixing } from './rewrite-address.ts';

export interface CssRewrite {
  push(text: string): string;
  /** What is held back; the next text begins a new style sheet. */
  end(): string;
  readonly rewritten: number;
}

type Mode = 'normal' | 'comment' | 'string' | 'url' | 'import' | 'quoted' | 'bare' | 'pass';

const TOKENS = ['/*', 'url(', '@import'];
const partialCharsMax = 6;
const isSpace = (code: number) => code === 32 || (code >= 9 && code <= 13);
const isNameChar = (code: number) => code === 45 || code === 95 || code === 92 || (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122) || code >= 128;

/** Where a token may have begun at the end of a text. */
function partialFrom(text: string, from: number): number {
  for (let at = Math.max(from, text.length - partialCharsMax); at < text.length; at++) {
    const tail = text.slice(at).toLowerCase();
    if (TOKENS.some((token) => token.startsWith(tail))) return at;
  }
  return text.length;
}

/** `addressCharsMax`: longer ones, in which pictures are written out, go through as they are. */
export function buildCssRewrite(prefixing: Prefixing, addressCharsMax: number): CssRewrite {
  let mode: Mode = 'normal';
  let held = '';
  let quote = 0;
  /** The last character that was read. */
  let before = 32;
  let rewritten = 0;

  /** Reads one step at `at`; returns where the next begins, or -1 when more is needed from `at` on. */
  const steps: Readonly<Record<Mode, (text: string, at: number) => number>> = {
    normal(text, at) {
      const token = /\\|["']|\/\*|url\(|@import/gi;
      token.lastIndex = at;
      const match = token.exec(text);
      if (match === null) {
        const end = partialFrom(text, at);
        if (end === at) return -1;
        before = text.charCodeAt(end - 1);
        return end;
      }
      const { index } = match;
      const previous = index === at ? before : text.charCodeAt(index - 1);
      const end = index + match[0].length;
      before = text.charCodeAt(end - 1);
      if (match[0] === '\\') {
        if (end < text.length) {
          before = 92;
          return end + 1;
        }
        // Up to the backslash everything is read.
        before = previous;
        return index > at ? index : -1;
      }
      if (match[0] === '/*') mode = 'comment';
      else if (match[0].length === 1) {
        quote = text.charCodeAt(index);
        mode = 'string';
      } else if (match[0][0] === '@') mode = 'import';
      else if (!isNameChar(previous)) mode = 'url';
      return end;
    },
    comment(text, at) {
      const end = text.indexOf('*/', at);
      if (end >= 0) {
        mode = 'normal';
        before = 47;
        return end + 2;
      }
      const rest = text.endsWith('*') ? text.length - 1 : text.length;
      return rest > at ? rest : -1;
    },
    string(text, at) {
      for (let i = at; i < text.length; i++) {
        const code = text.charCodeAt(i);
        if (code === 92) {
          if (i + 1 === text.length) return i > at ? i : -1;
          i += 1;
        } else if (code === quote || code === 10) {
          mode = 'normal';
          before = code;
          return i + 1;
        }
      }
      return text.length;
    },
    url(text, at) {
      let i = at;
      while (i < text.length && isSpace(text.charCodeAt(i))) i += 1;
      if (i === text.length) return i;
      const code = text.charCodeAt(i);
      if (code !== 34 && code !== 39) {
        mode = 'bare';
        return i;
      }
      quote = code;
      mode = 'quoted';
      return i + 1;
    },
    import(text, at) {
      let i = at;
      while (i < text.length && isSpace(text.charCodeAt(i))) i += 1;
      if (i === text.length) return i;
      const code = text.charCodeAt(i);
      before = 32;
      if (code !== 34 && code !== 39) {
        mode = 'normal';
        return i;
      }
      quote = code;
      mode = 'quoted';
      return i + 1;
    },
    quoted(text, at) {
      const end = addressEnd(text, at, (code) => code === quote || code === 10 || code === 92);
      if (end === -1) return -1;
      mode = 'string';
      return at;
    },
    bare(text, at) {
      const end = addressEnd(text, at, (code) => code === 41 || code === 34 || code === 39 || code === 40 || code === 92 || isSpace(code));
      if (end === -1) return -1;
      mode = 'pass';
      return at;
    },
    pass(text, at) {
      const end = text.indexOf(')', at);
      if (end < 0) return text.length;
      mode = 'normal';
      before = 41;
      return end + 1;
    },
  };
  /** The address that is whole in the text and wants a prefix, else null. */
  let found: number | null = null;

  /** Where the address ends; -1: more is needed. `found` says where the prefix goes. */
  const addressEnd = (text: string, at: number, ends: (code: number) => boolean): number => {
    found = null;
    let i = at;
    // Only these can begin an address that is changed; `data:` is not worth waiting for.
    if (i < text.length && !/[\s/\\h]/i.test(text[i]!)) return i;
    while (i < text.length && i - at <= addressCharsMax && !ends(text.charCodeAt(i))) i += 1;
    if (i - at > addressCharsMax) return i;
    if (i === text.length) return -1;
    if (text.charCodeAt(i) !== 92) found = i;
    return i;
  };

  const push = (piece: string): string => {
    const text = held === '' ? piece : held + piece;
    held = '';
    let out = '';
    let from = 0;
    let at = 0;
    while (at < text.length) {
      found = null;
      const next = steps[mode](text, at);
      if (next < 0) break;
      if (found !== null) {
        const { index, slash } = prefixing.find(text.slice(at, found));
        if (index >= 0) {
          out += `${text.slice(from, at + index)}${prefixing.prefix}${slash ? '/' : ''}`;
          from = at + index;
          rewritten += 1;
          // The rest of the address is read as what it stands in.
        }
      }
      at = next;
    }
    held = text.slice(at);
    return out + text.slice(from, at);
  };

  return {
    push,
    end() {
      const rest = held;
      held = '';
      mode = 'normal';
      before = 32;
      return rest;
    },
    get rewritten() {
      return rewritten;
    },
  };
}
