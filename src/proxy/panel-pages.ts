// What we show on the panels of devices: XHTML 1.0 Strict that browsers of twenty years ago read, under 8 kB, ASCII, without script, cookie
// or anything to load, so that a page still says what is wrong where little else works. They say what the device itself knows already: why a
// device could not be told apart names other devices, perhaps another customer's, and stands in the console and the journal alone.
import type { IdentityState } from '#model/identity.ts';
import { panelTexts, type PanelKind, type PanelText } from './panel-texts.ts';

export interface PanelPage {
  readonly kind: PanelKind;
  /** The route's name. */
  readonly application: string;
  /** As seen here. */
  readonly address: string;
  readonly device: { readonly name: string; readonly serial: string | null } | null;
  /** Six digits by which administrators find this request; null: there is nothing to find. */
  readonly code: string | null;
  /** Of a session: a SessionRefusal or SessionEnd; else for the journal alone. */
  readonly why: string;
  /** On the test page. */
  readonly state?: IdentityState;
  /** As what the device appears to the application. */
  readonly virtualAddress?: string | null;
  /** On the test page: where its connection comes from, and what is to be said about the way that it took. */
  readonly site?: string | null;
  readonly verdict?: string | null;
  readonly requestId?: string;
  /** Path where "Try again" leads, and where a page that waits for somebody looks by itself. */
  readonly again?: string;
}

const CLIP = { application: 40, name: 48, serial: 48, address: 46, request: 32, code: 8, verdict: 240 } as const;
/** Escaped. A longer path is not offered: the page has to stay small. */
const againCharsMax = 300;
const lookAgainS = 30;

// oxlint-disable-next-line no-control-regex
const UNSHOWN = /[\0-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;

/** ASCII, whatever the panel takes the page's character set for; of XML's characters only (XML 1.0 §2.2), and none that turn text around. */
function escaped(text: string): string {
  return text.toWellFormed().replace(UNSHOWN, '\ufffd').replace(/[&<>"']|[^\0-\x7e]/gu, (c) => `&#${c.codePointAt(0)};`);
}

function clipped(text: string, charsMax: number): string {
  const chars = [...text];
  return chars.length <= charsMax ? text : `${chars.slice(0, charsMax - 1).join('')}\u2026`;
}

const STYLE = `body{margin:0;background:#fff;color:#111;font:16px/1.3 Arial,Helvetica,sans-serif;word-wrap:break-word}
h1{margin:0;padding:7px 12px;background:#1d3b5c;color:#fff;font-size:20px;line-height:1.2}
p,table{margin:8px 12px}
.code{margin:6px 12px;font-size:42px;line-height:1;font-weight:bold;letter-spacing:2px}
table{border-collapse:collapse;font-size:14px}
th,td{padding:1px 12px 1px 0;text-align:left;vertical-align:top}
th{color:#555;font-weight:normal;white-space:nowrap}
.again{float:right;margin:8px 12px 4px 16px}
.again a{display:block;padding:9px 14px;border:2px solid #1d3b5c;color:#1d3b5c;font-weight:bold;text-decoration:none}
@media (min-width:640px){body{font-size:20px}h1{padding:12px 20px;font-size:26px}p,table{margin:12px 20px}.code{margin:12px 20px;font-size:72px}.again{margin:14px 20px 8px 24px}.again a{padding:14px 22px}table{font-size:17px}}`;

/** 6 digits in two groups: read out over the telephone. */
const grouped = (code: string) => (code.length === 6 ? `${code.slice(0, 3)} ${code.slice(3)}` : code);

type Row = readonly [label: string, value: string];

function rowsOf(page: PanelPage, text: PanelText): Row[] {
  const rows: Row[] = [];
  const request: Row[] = page.requestId === undefined ? [] : [['Request', clipped(page.requestId, CLIP.request)]];
  // Small screens end in the middle of this list: first what is asked for on the telephone.
  if (page.code === null) rows.push(...request);
  if (page.device !== null) {
    rows.push(['Device', clipped(page.device.name, CLIP.name)]);
    if (page.device.serial !== null) rows.push(['Serial number', clipped(page.device.serial, CLIP.serial)]);
  }
  rows.push(['Your address, seen here', clipped(page.address, CLIP.address)]);
  if (page.site) rows.push(['Site', clipped(page.site, CLIP.name)]);
  if (page.virtualAddress) rows.push(['Seen by the application', clipped(page.virtualAddress, CLIP.address)]);
  if (text.fact !== undefined) rows.push(text.fact);
  rows.push(['Application', clipped(page.application, CLIP.application)]);
  if (page.code !== null) rows.push(...request);
  return rows;
}

/** Only where nothing else is taken: "text/html" of an XHTML page is what every browser reads. */
function wantsXhtml(accept: string | undefined): boolean {
  return accept !== undefined && /application\/xhtml\+xml/i.test(accept) && !/text\/(?:html|\*)|\*\/\*/i.test(accept);
}

/** Header lines (each with CRLF, without Content-Length) and body. `accept`: of the request. */
export function encodePanelPage(page: PanelPage, accept: string | undefined): { readonly lines: string; readonly body: string } {
  const type = wantsXhtml(accept) ? 'application/xhtml+xml' : 'text/html';
  const text = panelTexts[page.kind]({ application: clipped(page.application, CLIP.application), address: clipped(page.address, CLIP.address), why: page.why, state: page.state ?? null, verdict: page.verdict ? clipped(page.verdict, CLIP.verdict) : null, hasCode: page.code !== null });
  const path = page.again !== undefined && /^\/(?![/\\])/.test(page.again) ? escaped(page.again) : null;
  const again = path !== null && path.length <= againCharsMax ? path : null;
  const body = [
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">\n',
    `<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en"><head><meta http-equiv="Content-Type" content="${type}; charset=utf-8" /><meta name="viewport" content="width=device-width, initial-scale=1" />`,
    again !== null && text.waits ? `<meta http-equiv="refresh" content="${lookAgainS}; url=${again}" />` : '',
    `<title>${escaped(text.title)}</title><style type="text/css">${STYLE}</style></head><body>\n<h1>${escaped(text.title)}</h1>\n`,
    // Beside the text, where a finger finds it on the smallest screen, and not below it.
    again === null ? '' : `<p class="again"><a href="${again}">Try again</a></p>\n`,
    ...text.says.map((each) => `<p>${escaped(each)}</p>\n`),
    page.code === null ? '' : `<p class="code">${escaped(grouped(clipped(page.code, CLIP.code)))}</p>\n`,
    ...text.todo.map((each) => `<p>${escaped(each)}</p>\n`),
    `<table>${rowsOf(page, text).map(([label, value]) => `<tr><th>${escaped(label)}</th><td>${escaped(value)}</td></tr>`).join('\n')}</table>\n`,
    '</body></html>\n',
  ].join('');
  const request = page.requestId === undefined ? '' : `Postern-Request: ${page.requestId}\r\n`;
  const lines = `Content-Type: ${type}; charset=utf-8\r\nCache-Control: no-store\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n${request}`;
  return { lines, body };
}
