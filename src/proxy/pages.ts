// What the gateway itself says on the data plane: small pages with a request id that say what to do; HTML for browsers, a problem
// document (RFC 9457) for programs.
import { fieldOf, type Fields } from '#wire/http1-fields.ts';

export interface PageText {
  readonly status: number;
  /** For machines: `offline`, `forbidden`, `unknown-host` … */
  readonly code: string;
  readonly title: string;
  readonly text: string;
  /** What to do. */
  readonly remedy: string;
  readonly requestId: string;
  /** Link offered to people. */
  readonly link?: { readonly to: string; readonly text: string };
  /** Sends an empty form to a path of the same host. */
  readonly button?: { readonly to: string; readonly text: string };
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** A program gets JSON; whoever asks for text/html gets a page. */
export function wantsHtml(fields: Fields): boolean {
  return (fieldOf(fields, 'accept') ?? '').includes('text/html');
}

const STYLE = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0;min-height:100vh;display:grid;place-items:center;background:Canvas;color:CanvasText}
main{max-width:34rem;padding:2rem}h1{font-size:1.4rem;margin:0 0 .5rem}p{margin:.5rem 0}small{opacity:.65}code{font-size:.85em}a{color:LinkText}`;

/** Header lines (each with CRLF, without Content-Length) and body. Never cached; no script can run in it. */
export function encodePage(page: PageText, html: boolean): { lines: string; body: string } {
  const common = `Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nPostern-Request: ${page.requestId}\r\n`;
  if (!html) {
    const body = JSON.stringify({ type: 'about:blank', title: page.title, status: page.status, detail: page.text, code: page.code, remedy: page.remedy, requestId: page.requestId });
    return { lines: `Content-Type: application/problem+json\r\n${common}`, body: `${body}\n` };
  }
  const link = page.link ? `<p><a href="${escaped(page.link.to)}">${escaped(page.link.text)}</a></p>` : '';
  const button = page.button ? `<form method="post" action="${escaped(page.button.to)}"><button>${escaped(page.button.text)}</button></form>` : '';
  const body = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(page.title)}</title><style>${STYLE}</style></head><body><main><h1>${escaped(page.title)}</h1><p>${escaped(page.text.charAt(0).toUpperCase() + page.text.slice(1))}</p>${page.remedy ? `<p>${escaped(page.remedy)}</p>` : ''}${link}${button}<p><small>${page.status} · <code>${escaped(page.code)}</code> · request <code>${escaped(page.requestId)}</code></small></p></main></body></html>\n`;
  return { lines: `Content-Type: text/html; charset=utf-8\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'\r\nReferrer-Policy: ${page.button ? 'same-origin' : 'no-referrer'}\r\n${common}`, body };
}
