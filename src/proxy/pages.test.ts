import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodePage, wantsHtml } from './pages.ts';

const page = { status: 502, code: 'unreachable', title: 'Cannot <b>be</b> reached', text: `"'><script>alert(1)</script>&`, remedy: '<img src=x onerror=alert(1)>', requestId: '1-"<', link: { to: '/"onclick="x', text: '<i>' } };

test('a page shows whatever it is given as text', () => {
  const { lines, body } = encodePage(page, true);
  assert.doesNotMatch(body, /<script|<img|<b>|<i>|"onclick/);
  assert.match(body, /Cannot &#60;b&#62;be/);
  assert.match(lines, /^Content-Type: text\/html; charset=utf-8\r\nContent-Security-Policy: default-src 'none'/);
  for (const line of ['Cache-Control: no-store', 'X-Content-Type-Options: nosniff', 'Referrer-Policy: no-referrer']) assert.ok(lines.includes(`${line}\r\n`), line);
});

test('a program gets the same as a problem document', () => {
  const { lines, body } = encodePage(page, false);
  assert.match(lines, /^Content-Type: application\/problem\+json\r\n/);
  assert.deepEqual(JSON.parse(body), { type: 'about:blank', title: page.title, status: 502, detail: page.text, code: 'unreachable', remedy: page.remedy, requestId: page.requestId });
});

test('HTML is for who asks for it', () => {
  const asked = (accept: string) => wantsHtml({ names: ['accept'], values: [accept] });
  assert.equal(asked('text/html,application/xhtml+xml'), true);
  assert.equal(asked('application/json'), false);
  assert.equal(asked('*/*'), false);
  assert.equal(wantsHtml({ names: [], values: [] }), false);
});
