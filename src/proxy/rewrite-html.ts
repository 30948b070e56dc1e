// Addresses in HTML and XHTML, piece by piece: tags are read as WHATWG HTML §13.2.5 reads them, everything else goes by. Bytes are taken
// for latin1: markup is ASCII in UTF-8, latin1, EUC-JP, Shift_JIS (whose second bytes are none of < > " ') and whatever else panels get, and
// in UTF-16 no tag is found. Any cut of the input gives the same output.
import type { Limits } from '#base/limits.ts';
import { buildCssRewrite, type CssRewrite } from './rewrite-css.ts';
import { applyToAttribute, decodeReferences, encodeReferences, type Prefixing } from './rewrite-address.ts';

/** What the text at hand is. `raw`: of an element that has no tags in it; `rest`: all that comes (plaintext). */
type Mode = 'text' | 'tag' | 'long-tag' | 'comment' | 'cdata' | 'declaration' | 'raw' | 'rest';

const State = { name: 0, beforeAttribute: 1, attributeName: 2, afterAttributeName: 3, beforeValue: 4, doubleQuoted: 5, singleQuoted: 6, unquoted: 7 } as const;

const RAW = new Set(['script', 'style', 'textarea', 'title', 'xmp']);
const ADDRESSES = new Set(['href', 'src', 'action', 'formaction', 'background', 'poster', 'longdesc', 'lowsrc', 'codebase', 'manifest', 'xlink:href']);
const QUOTES = new Set(['"', "'"]);
const LISTS = new Set(['srcset', 'imagesrcset']);

const LT = 60;
const GT = 62;
const DASH = 45;
const QUOTE = 34;
const APOSTROPHE = 39;
const isSpace = (code: number) => code === 32 || code === 9 || code === 10 || code === 12 || code === 13;
const isLetter = (code: number) => (code >= 97 && code <= 122) || (code >= 65 && code <= 90);

/** `5; url=/x`, of a header or a meta element (WHATWG HTML §4.2.5.3): where the address begins and ends. */
export function findRefreshAddress(value: string): { readonly from: number; readonly to: number } | null {
  const delay = /^\s*[\d.]+\s*(?:[;,]\s*|(?<=\s))/.exec(value)?.[0].length;
  if (delay === undefined) return null;
  const named = /^url\s*=\s*/i.exec(value.slice(delay))?.[0].length ?? 0;
  let from = delay + named;
  const quote = value[from] === '"' || value[from] === "'" ? value[from]! : null;
  if (quote !== null) from += 1;
  const to = quote === null ? -1 : value.indexOf(quote, from);
  return { from, to: to < 0 ? value.length : to };
}

export function applyToRefresh(value: string, apply: (address: string) => string): string {
  const found = findRefreshAddress(value);
  return found === null ? value : value.slice(0, found.from) + apply(value.slice(found.from, found.to)) + value.slice(found.to);
}

/** `a.png 1x, /b.png 2x` (WHATWG HTML §4.8.4.2.1). */
export function applyToList(value: string, apply: (address: string) => string): string {
  let out = '';
  let at = 0;
  while (at < value.length) {
    let from = at;
    while (from < value.length && (isSpace(value.charCodeAt(from)) || value[from] === ',')) from += 1;
    let to = from;
    while (to < value.length && !isSpace(value.charCodeAt(to))) to += 1;
    // A comma at the end of an address ends its candidate.
    const endsCandidate = value[to - 1] === ',' && to > from;
    out += value.slice(at, from) + apply(value.slice(from, to));
    at = to;
    if (endsCandidate) continue;
    const comma = value.indexOf(',', at);
    const next = comma < 0 ? value.length : comma + 1;
    out += value.slice(at, next);
    at = next;
  }
  return out;
}

/** A hot state machine: fields instead of closures. */
export class HtmlRewrite {
  readonly #prefixing: Prefixing;
  readonly #limits: Pick<Limits, 'linkTagBytesMax' | 'cssAddressBytesMax'>;
  readonly #css: CssRewrite;
  #mode: Mode = 'text';
  #held = '';
  /** In XML an element that closes itself is closed, in HTML scripts and styles are not. */
  #isXml = false;
  #raw = '';
  // of the tag that is being read, relative to its "<"
  #state: number = State.name;
  #at = 0;
  #nameEnd = 0;
  #isEndTag = false;
  #closesItself = false;
  /** From and to of name and value, four numbers for each attribute that has a value. */
  readonly #attributes: number[] = [];
  /** Numbers in use: an array that is emptied for each tag would be made anew for each. */
  #used = 0;
  #attributeFrom = 0;
  #attributeTo = 0;
  #valueFrom = 0;
  /** Of a tag that is too long. */
  #name = '';
  #links = 0;
  longTags = 0;

  constructor(prefixing: Prefixing, limits: Pick<Limits, 'linkTagBytesMax' | 'cssAddressBytesMax'>) {
    this.#prefixing = prefixing;
    this.#limits = limits;
    this.#css = buildCssRewrite(prefixing, limits.cssAddressBytesMax);
  }

  get rewritten(): number {
    return this.#links + this.#css.rewritten;
  }

  /** What may go on; a text that needs no change is given back itself. */
  push(piece: string): string {
    const text = this.#held === '' ? piece : this.#held + piece;
    let out = '';
    /** Up to here everything is in `out`. */
    let from = 0;
    let at = 0;
    for (;;) {
      let next = -1;
      switch (this.#mode) {
        case 'text': {
          const open = text.indexOf('<', at);
          if (open < 0) {
            at = text.length;
            break;
          }
          at = open;
          next = this.#open(text, open);
          break;
        }
        case 'tag':
        case 'long-tag': {
          const end = this.#scan(text, at);
          if (end < 0) {
            if (this.#mode === 'tag' && text.length - at > this.#limits.linkTagBytesMax) {
              this.#mode = 'long-tag';
              this.#name = this.#state === State.name ? '' : text.slice(at + 1, at + this.#nameEnd).toLowerCase();
            }
            if (this.#mode === 'long-tag') {
              at = text.length;
              this.#at = 0;
            }
            break;
          }
          const isLong = this.#mode === 'long-tag' || end + 1 - at > this.#limits.linkTagBytesMax;
          const name = this.#mode === 'long-tag' ? this.#name : text.slice(at + (this.#isEndTag ? 2 : 1), at + this.#nameEnd).toLowerCase();
          if (isLong) this.longTags += 1;
          else if (!this.#isEndTag && this.#used > 0) {
            const changed = this.#rewriteTag(text.slice(at, end + 1), name);
            if (changed !== null) {
              out += text.slice(from, at) + changed;
              from = end + 1;
            }
          }
          next = end + 1;
          this.#afterTag(name);
          break;
        }
        case 'raw': {
          const end = this.#rawEnd(text, at);
          if (this.#raw === 'style') {
            const css = this.#css.push(text.slice(at, end.at));
            out += text.slice(from, at) + css + (end.isEnd ? this.#css.end() : '');
            from = end.at;
          }
          at = end.at;
          if (end.isEnd) {
            this.#mode = 'text';
            next = at;
          }
          break;
        }
        case 'rest':
          at = text.length;
          break;
        default:
          next = this.#skip(text, at);
          if (next < 0) at = -next - 1;
      }
      if (next < 0) break;
      at = next;
    }
    this.#held = at === 0 ? text : text.slice(at);
    if (from === 0 && out === '') return at === text.length ? text : text.slice(0, at);
    return out + text.slice(from, at);
  }

  end(): string {
    const rest = (this.#mode === 'raw' && this.#raw === 'style' ? this.#css.end() : '') + this.#held;
    this.#held = '';
    this.#mode = 'rest';
    return rest;
  }

  /** What begins with the "<" at `open`; -1: more is needed. */
  #open(text: string, open: number): number {
    const code = text.charCodeAt(open + 1);
    if (isLetter(code)) return this.#beginTag(open, false, 1);
    // At the end of the text there is no code.
    if (code !== code) return -1;
    if (code === 47) {
      const letter = text.charCodeAt(open + 2);
      if (letter !== letter) return -1;
      if (isLetter(letter)) return this.#beginTag(open, true, 2);
      this.#mode = 'declaration';
      return open + 2;
    }
    if (code === 33) return this.#openDeclaration(text, open);
    if (code === 63) {
      if (text.length < open + 6 && '<?xml'.startsWith(text.slice(open).toLowerCase())) return -1;
      if (text.slice(open, open + 5).toLowerCase() === '<?xml') this.#isXml = true;
      this.#mode = 'declaration';
      return open + 2;
    }
    return open + 1;
  }

  #beginTag(open: number, isEndTag: boolean, nameAt: number): number {
    this.#mode = 'tag';
    this.#state = State.name;
    this.#at = nameAt;
    this.#nameEnd = 0;
    this.#isEndTag = isEndTag;
    this.#closesItself = false;
    this.#used = 0;
    return open;
  }

  #openDeclaration(text: string, open: number): number {
    const rest = text.slice(open + 2, open + 9);
    if (rest === '' || rest === '-' || ('[CDATA['.startsWith(rest) && rest.length < 7)) return -1;
    if (rest.startsWith('--')) {
      this.#mode = 'comment';
      return open + 2;
    }
    if (rest === '[CDATA[') {
      this.#mode = 'cdata';
      return open + 9;
    }
    if (/^doctype$/i.test(rest)) {
      const end = text.indexOf('>', open);
      if (end < 0 && text.length - open <= 512) return -1;
      if (end >= 0 && end - open <= 512 && /\bxhtml\b/i.test(text.slice(open, end))) this.#isXml = true;
    } else if ('doctype'.startsWith(rest.toLowerCase())) return -1;
    this.#mode = 'declaration';
    return open + 2;
  }

  /** Goes by what ends with a mark. Below 0: more is needed, from -result - 1 on. */
  #skip(text: string, from: number): number {
    if (this.#mode === 'declaration') {
      const end = text.indexOf('>', from);
      if (end < 0) return -text.length - 1;
      this.#mode = 'text';
      return end + 1;
    }
    if (this.#mode === 'cdata') {
      const end = text.indexOf(']]>', from);
      if (end < 0) return -Math.max(from, text.length - 2) - 1;
      this.#mode = 'text';
      return end + 3;
    }
    for (let at = from; ; at++) {
      at = text.indexOf('--', at);
      if (at < 0) return -(text.charCodeAt(text.length - 1) === DASH ? Math.max(from, text.length - 1) : text.length) - 1;
      const code = text.charCodeAt(at + 2);
      if (code === GT || (code === 33 && text.charCodeAt(at + 3) === GT)) {
        this.#mode = 'text';
        return at + (code === GT ? 3 : 4);
      }
      if (at + 2 === text.length || (code === 33 && at + 3 === text.length)) return -at - 1;
    }
  }

  /** Where the element's end tag begins, or how far it certainly does not. */
  #rawEnd(text: string, from: number): { readonly at: number; readonly isEnd: boolean } {
    for (let at = from; ; at += 2) {
      const open = text.indexOf('</', at);
      if (open < 0) return { at: text.charCodeAt(text.length - 1) === LT && text.length > from ? text.length - 1 : text.length, isEnd: false };
      const end = open + 2 + this.#raw.length;
      const isName = this.#raw.startsWith(text.slice(open + 2, end).toLowerCase());
      if (isName && text.length <= end) return { at: open, isEnd: false };
      const code = text.charCodeAt(end);
      if (isName && (isSpace(code) || code === GT || code === 47)) return { at: open, isEnd: true };
      at = open;
    }
  }

  #afterTag(name: string): void {
    this.#mode = 'text';
    if (this.#isEndTag) return;
    if (name === 'plaintext') this.#mode = 'rest';
    else if (RAW.has(name) && !(this.#closesItself && this.#isXml)) {
      this.#mode = 'raw';
      this.#raw = name;
    }
  }

  /** Reads on in the tag that begins at `start`; the index of its ">", or -1. */
  #scan(text: string, start: number): number {
    const { length } = text;
    let state = this.#state;
    let i = start + this.#at;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      switch (state) {
        case State.name:
          if (code !== GT && code !== 47 && !isSpace(code)) continue;
          this.#nameEnd = i - start;
          state = State.beforeAttribute;
          break;
        case State.beforeAttribute:
        case State.afterAttributeName:
          if (isSpace(code)) continue;
          if (code === GT) break;
          if (code === 47) {
            state = State.beforeAttribute;
            break;
          }
          if (code === 61 && state === State.afterAttributeName) {
            state = State.beforeValue;
            continue;
          }
          this.#attributeFrom = i - start;
          this.#closesItself = false;
          state = State.attributeName;
          continue;
        case State.attributeName:
          if (code !== 61 && code !== GT && code !== 47 && !isSpace(code)) continue;
          this.#attributeTo = i - start;
          state = code === 61 ? State.beforeValue : code === GT || code === 47 ? State.beforeAttribute : State.afterAttributeName;
          break;
        case State.beforeValue:
          if (isSpace(code)) continue;
          if (code === GT) break;
          state = code === QUOTE ? State.doubleQuoted : code === APOSTROPHE ? State.singleQuoted : State.unquoted;
          this.#valueFrom = i - start + (state === State.unquoted ? 0 : 1);
          continue;
        case State.doubleQuoted:
        case State.singleQuoted: {
          const end = text.indexOf(state === State.doubleQuoted ? '"' : "'", i);
          if (end < 0) {
            i = length - 1;
            continue;
          }
          i = end;
          this.#noteValue(i - start);
          state = State.beforeAttribute;
          this.#closesItself = false;
          continue;
        }
        default:
          if (code !== GT && !isSpace(code)) continue;
          this.#noteValue(i - start);
          state = State.beforeAttribute;
          this.#closesItself = false;
      }
      if (code === GT) {
        this.#state = state;
        return i;
      }
      this.#closesItself = code === 47;
    }
    this.#state = state;
    this.#at = i - start;
    return -1;
  }

  #noteValue(to: number): void {
    if (this.#mode !== 'tag') return;
    const found = this.#attributes;
    found[this.#used] = this.#attributeFrom;
    found[this.#used + 1] = this.#attributeTo;
    found[this.#used + 2] = this.#valueFrom;
    found[this.#used + 3] = to;
    this.#used += 4;
  }

  /** null: nothing to change. */
  #rewriteTag(tag: string, name: string): string | null {
    const found = this.#attributes;
    const isRefresh = name === 'meta' && this.#isRefresh(tag);
    let out = '';
    let from = 0;
    for (let i = 0; i < this.#used; i += 4) {
      const attribute = tag.slice(found[i], found[i + 1]).toLowerCase();
      const [valueFrom, valueTo] = [found[i + 2]!, found[i + 3]!];
      const value = tag.slice(valueFrom, valueTo);
      const changed = this.#rewriteValue(name, attribute, value, isRefresh, QUOTES.has(tag[valueFrom - 1]!));
      if (changed === value) continue;
      out += tag.slice(from, valueFrom) + changed;
      from = valueTo;
      this.#links += 1;
    }
    return from === 0 ? null : out + tag.slice(from);
  }

  #rewriteValue(name: string, attribute: string, value: string, isRefresh: boolean, isQuoted: boolean): string {
    if (ADDRESSES.has(attribute) || (attribute === 'data' && name === 'object')) return applyToAttribute(this.#prefixing, value);
    if (attribute === 'style') return this.#rewriteStyle(value, isQuoted);
    if (LISTS.has(attribute)) return applyToList(value, (each) => applyToAttribute(this.#prefixing, each));
    if (attribute === 'content' && isRefresh) return this.#rewriteRefresh(value, isQuoted);
    return value;
  }

  #isRefresh(tag: string): boolean {
    for (let i = 0; i < this.#used; i += 4) {
      if (tag.slice(this.#attributes[i], this.#attributes[i + 1]).toLowerCase() === 'http-equiv') return tag.slice(this.#attributes[i + 2], this.#attributes[i + 3]).trim().toLowerCase() === 'refresh';
    }
    return false;
  }

  #rewriteStyle(value: string, isQuoted: boolean): string {
    if (!/url\(/i.test(value)) return value;
    const decoded = decodeReferences(value);
    if (decoded === null) return value;
    const css = buildCssRewrite(this.#prefixing, this.#limits.cssAddressBytesMax);
    const changed = css.push(decoded) + css.end();
    return css.rewritten === 0 ? value : decoded === value ? changed : encodeReferences(changed, isQuoted);
  }

  #rewriteRefresh(value: string, isQuoted: boolean): string {
    const decoded = decodeReferences(value);
    if (decoded === null) return value;
    const changed = applyToRefresh(decoded, (address) => this.#prefixing.apply(address));
    return changed === decoded ? value : decoded === value ? changed : encodeReferences(changed, isQuoted);
  }
}
