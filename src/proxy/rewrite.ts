// Addresses of a session that lives in its URLs: `/s/SID/…` on an application's host. Towards the client every address of that host gets the
// prefix (in header fields and in pages), towards the application it loses it. What has one is said in
// model/secret-path. Addresses that scripts put together, and ../ beyond the root, stay as they are.
import { limits as allLimits, type Limits } from '#base/limits.ts';
import { parsePrefix, type Prefix, unprefix } from '#model/secret-path.ts';
import type { BodyStage } from './body-stage.ts';
import { buildPrefixing } from './rewrite-address.ts';
import { buildCssRewrite } from './rewrite-css.ts';
import { applyToRefresh, HtmlRewrite } from './rewrite-html.ts';

/** Referer and Destination (RFC 4918 §10.3): no secret of a URL reaches the application, whosever it is. */
export function unprefixReferer(value: string): string {
  const origin = /^https?:\/\/[^/?#]*/i.exec(value)?.[0].length ?? 0;
  return value.slice(0, origin) + unprefix(value.slice(origin));
}

/** The session or token that a page was read by which asks for this; null: none of this host. For links that a page's script put together. */
export function prefixOfReferer(value: string, host: string): Prefix | null {
  const origin = /^https?:\/\/([^/?#]*)/i.exec(value);
  return origin === null || origin[1]!.toLowerCase() !== host.toLowerCase() ? null : parsePrefix(value.slice(origin[0].length));
}

/** Location, Content-Location. `prefix`: `/s/SID`; `host`: as the client calls us, with its port. */
export function rewriteLocation(value: string, prefix: string, host: string): string {
  return buildPrefixing(prefix, host).apply(value);
}

export function rewriteRefresh(value: string, prefix: string, host: string): string {
  return applyToRefresh(value, buildPrefixing(prefix, host).apply);
}

/** A cookie's path as the client has it. One that is named __Host- has to have the path / and is left alone; clients keep it for the whole host. */
export function rewriteSetCookiePath(value: string, prefix: string): string {
  if (/^\s*__host-/i.test(value)) return value;
  let at = value.indexOf(';');
  let out = value.slice(0, at < 0 ? undefined : at);
  while (at >= 0) {
    const next = value.indexOf(';', at + 1);
    const attribute = value.slice(at, next < 0 ? undefined : next);
    const before = /^;[ \t]*path[ \t]*=[ \t]*/i.exec(attribute)?.[0].length;
    const isOurs = before !== undefined && attribute[before] === '/' && !attribute.startsWith(`${prefix}/`, before);
    out += isOurs ? `${attribute.slice(0, before)}${prefix}${attribute.slice(before)}` : attribute;
    at = next;
  }
  return out;
}

/** How an answer of this Content-Type is rewritten; null: not at all, nor where a character is not one byte of ASCII or more of something else. */
export function rewriteKindOf(contentType: string | undefined): 'html' | 'css' | null {
  const type = /^(?:text\/(html|css)|application\/xhtml\+xml)(?=[;\s]|$)/i.exec(contentType ?? '');
  if (type === null || /charset\s*=\s*["']?(?:utf-?(?:16|32|7)|ucs-|iso-10646|iso-2022|hz-|unicode|(?:x-)?ebcdic|ibm-?(?:037|1047|930|939))/i.test(contentType!)) return null;
  return type[1]?.toLowerCase() === 'css' ? 'css' : 'html';
}

export interface RewriteStage extends BodyStage {
  /** Addresses that got the prefix. */
  readonly rewritten: number;
  /** Tags that were too long to be looked at. */
  readonly longTags: number;
}

export interface RewriteOrder {
  /** `/s/SID` */
  readonly prefix: string;
  /** As the client calls us, with its port. */
  readonly host: string;
  readonly isCss: boolean;
}

const nothing = Buffer.alloc(0);

/** Rewrites one body, which must not be compressed. Holds back at most a tag (`linkTagBytesMax`). */
export function buildRewrite({ prefix, host, isCss }: RewriteOrder, limits: Pick<Limits, 'linkTagBytesMax' | 'cssAddressBytesMax'> = allLimits): RewriteStage {
  const prefixing = buildPrefixing(prefix, host);
  const css = isCss ? buildCssRewrite(prefixing, limits.cssAddressBytesMax) : null;
  const html = isCss ? null : new HtmlRewrite(prefixing, limits);
  const text = css ?? html!;
  const bytesOf = (out: string) => (out === '' ? nothing : Buffer.from(out, 'latin1'));
  return {
    push(piece) {
      if (piece.length === 0) return nothing;
      const given = piece.toString('latin1');
      const out = text.push(given);
      return out === given ? piece : bytesOf(out);
    },
    end: () => bytesOf(text.end()),
    get rewritten() {
      return text.rewritten;
    },
    get longTags() {
      return html?.longTags ?? 0;
    },
  };
}
