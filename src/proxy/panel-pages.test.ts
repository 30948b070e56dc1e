// Pages on panels: small, strict, static, and nothing of whoever asks gets out of its place.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { encodePanelPage, type PanelPage } from './panel-pages.ts';
import type { PanelKind } from './panel-texts.ts';

const kinds: PanelKind[] = ['locked', 'not-assigned', 'ambiguous', 'unknown', 'not-verified', 'session', 'unreachable', 'test'];
const sessionWhys = ['idle', 'absolute', 'killed', 'removed', 'full', 'paused', 'elsewhere', 'ended', 'unknown', '__proto__', 'toString'];
const states = ['verified', 'address-only', 'ambiguous', 'unknown'] as const;

const pageOf = (kind: PanelKind, more: Partial<PanelPage> = {}): PanelPage => ({ kind, application: 'scan', address: '192.0.2.50', device: { name: 'printer1', serial: 'SN-1' }, code: '042137', why: '', ...more });
const all = (more: Partial<PanelPage>): PanelPage[] => [...kinds.map((kind) => pageOf(kind, more)), ...sessionWhys.map((why) => pageOf('session', { ...more, why })), ...states.map((state) => pageOf('test', { ...more, state }))];

/** Elements of a document that is well formed (XML 1.0 §2.1), each with its attributes; throws where it is not. */
function elementsOf(body: string): { name: string; attributes: Map<string, string>; inside: string | undefined }[] {
  const found: ReturnType<typeof elementsOf> = [];
  const open: string[] = [];
  const declaration = /^<!DOCTYPE html PUBLIC "-\/\/W3C\/\/DTD XHTML 1\.0 Strict\/\/EN" "http:\/\/www\.w3\.org\/TR\/xhtml1\/DTD\/xhtml1-strict\.dtd">\n/.exec(body)!;
  assert.ok(declaration);
  let rest = body.slice(declaration[0].length);
  while (rest !== '') {
    const tag = /^<(\/?)([a-z][a-z0-9]*)((?: [a-z:-]+="[^"<]*")*)( ?\/)?>/.exec(rest);
    if (tag === null) {
      const text = /^[^<]+/.exec(rest)?.[0];
      assert.ok(text !== undefined, `no tag: ${rest.slice(0, 80)}`);
      assert.ok(!/&(?!#\d+;)/.test(text), text);
      assert.ok(text.trim() === '' || ['p', 'td', 'th', 'h1', 'title', 'style', 'a'].includes(open.at(-1)!), `text in ${open.at(-1)}: ${text}`);
      rest = rest.slice(text.length);
      continue;
    }
    rest = rest.slice(tag[0].length);
    if (tag[1] === '/') assert.equal(open.pop(), tag[2]);
    else {
      const attributes = new Map(Array.from(tag[3]!.matchAll(/ ([a-z:-]+)="([^"]*)"/g), (match) => [match[1]!, match[2]!]));
      for (const value of attributes.values()) assert.ok(!/&(?!#\d+;)/.test(value), value);
      found.push({ name: tag[2]!, attributes, inside: open.at(-1) });
      if (tag[4] === undefined) open.push(tag[2]!);
    }
  }
  assert.deepEqual(open, []);
  return found;
}

test('each is XHTML 1.0 Strict, ASCII, below 8 kB, and runs and loads nothing', () => {
  const longest = '\u{1f5a8}'.repeat(500);
  const variants: Partial<PanelPage>[] = [
    {}, { device: null, code: null }, { again: '/d/x?y=1&z="<>', requestId: 'q1' },
    { application: longest, address: longest, device: { name: longest, serial: longest }, code: longest, virtualAddress: longest, requestId: 'r'.repeat(200), again: `/${'"'.repeat(59)}` },
  ];
  const parents: Record<string, string[]> = { html: ['undefined'], head: ['html'], body: ['html'], meta: ['head'], title: ['head'], style: ['head'], h1: ['body'], p: ['body'], table: ['body'], tr: ['table'], th: ['tr'], td: ['tr'], a: ['p'] };
  for (const page of variants.flatMap(all)) {
    const { body } = encodePanelPage(page, undefined);
    assert.ok(body.length < limits.panelPageBytesMax, `${page.kind}: ${body.length}`);
    assert.match(body, /^[\n\x20-\x7e]*$/);
    const elements = elementsOf(body);
    for (const { name, inside, attributes } of elements) {
      assert.ok(parents[name]?.includes(String(inside)), `${name} in ${inside}`);
      for (const attribute of attributes.keys()) assert.ok(['xmlns', 'xml:lang', 'lang', 'http-equiv', 'content', 'name', 'type', 'class', 'href'].includes(attribute), attribute);
    }
    assert.ok(!/<script|<img|<link|url\(|@import|src=|set-cookie/i.test(body));
    assert.equal(elements.filter((each) => each.name === 'title').length, 1);
  }
});

test('headers: never cached, plain HTML but where nothing else is taken', () => {
  const typeFor = (accept: string | undefined) => /^Content-Type: ([^;]+)/.exec(encodePanelPage(pageOf('test'), accept).lines)![1];
  for (const accept of [undefined, '', '*/*', 'text/html', 'text/html,application/xhtml+xml', 'application/xhtml+xml, */*;q=0.1', 'application/xhtml+xml,text/*', 'image/gif']) assert.equal(typeFor(accept), 'text/html', String(accept));
  assert.equal(typeFor('application/xhtml+xml'), 'application/xhtml+xml');
  assert.equal(typeFor('Application/XHTML+XML, application/vnd.wap.xhtml+xml'), 'application/xhtml+xml');
  const { lines } = encodePanelPage(pageOf('unreachable', { requestId: 'abc' }), undefined);
  assert.match(lines, /\r\nCache-Control: no-store\r\n/);
  assert.match(lines, /\r\nPostern-Request: abc\r\n$/);
  assert.ok(!/set-cookie/i.test(lines) && lines.split('\r\n').every((line) => line === '' || /^[A-Za-z-]+: .+$/.test(line)));
});

test('what is shown, and what never', () => {
  const bodyOf = (page: PanelPage) => encodePanelPage(page, undefined).body;
  for (const kind of ['not-assigned', 'ambiguous', 'unknown', 'not-verified'] as const) {
    const body = bodyOf(pageOf(kind, { why: 'printer9 of another customer has it' }));
    assert.match(body, />042 137</, kind);
    assert.match(body, /192\.0\.2\.50/);
    assert.ok(!body.includes('another customer'), 'why is not for panels');
  }
  assert.match(bodyOf(pageOf('not-assigned')), /not a job source of &#34;scan&#34;[\s\S]*printer1[\s\S]*SN-1/);
  assert.match(bodyOf(pageOf('ambiguous', { device: null })), /More than one device uses the address 192\.0\.2\.50/);
  const unreachable = bodyOf(pageOf('unreachable', { requestId: 'q7', why: 'connect ECONNREFUSED 10.1.2.3:80', code: null }));
  assert.match(unreachable, /q7/);
  assert.ok(!unreachable.includes('10.1.2.3'));
  assert.match(bodyOf(pageOf('test', { state: 'address-only', virtualAddress: '198.51.100.7' })), /192\.0\.2\.50[\s\S]*198\.51\.100\.7[\s\S]*known by its address only[\s\S]*scan/);
  const judged = bodyOf(pageOf('test', { site: 'Main <1>', verdict: 'HP-1: the traffic leaves its network.' }));
  assert.match(judged, /<p>HP-1: the traffic leaves its network\.<\/p>[\s\S]*<th>Site<\/th><td>Main &#60;1&#62;/);
  assert.ok(bodyOf(pageOf('test', { site: '\u00fc'.repeat(5_000), verdict: '\u00fc'.repeat(5_000) })).length < 8_192);
  const titles = new Map(sessionWhys.map((why) => [why, /<title>(.*)<\/title>/.exec(bodyOf(pageOf('session', { why })))![1]]));
  assert.equal(titles.get('killed'), 'Your session was ended');
  assert.equal(titles.get('paused'), 'This device is being checked');
  assert.equal(titles.get('toString'), 'Your session has ended');
});

test('"Try again" leads where it is said to, on this host alone, and waiting pages look by themselves', () => {
  const bodyOf = (page: PanelPage) => encodePanelPage(page, undefined).body;
  assert.match(bodyOf(pageOf('unknown', { again: '/x?a&b' })), /<meta http-equiv="refresh" content="30; url=\/x\?a&#38;b" \/>[\s\S]*<a href="\/x\?a&#38;b">/);
  assert.ok(!bodyOf(pageOf('session', { again: '/x', why: 'killed' })).includes('http-equiv="refresh"'));
  for (const again of [undefined, 'javascript:x', 'http://other.example.test/', `/${'x'.repeat(400)}`, '']) {
    const body = bodyOf(pageOf('unknown', again === undefined ? {} : { again }));
    assert.ok(!body.includes('href=') && !body.includes('"refresh"'), String(again));
  }
  assert.ok(!bodyOf(pageOf('unknown', { again: '//other.example.test/' })).includes('other.example.test'), 'another host');
});

test('names from devices stay text', () => {
  const evil = '"><script>alert(1)</script>\'&amp;\u202e\0\u0007\ud800';
  for (const page of all({ application: evil, address: evil, device: { name: evil, serial: evil }, code: evil, requestId: 'x', virtualAddress: evil, why: evil })) {
    const { body } = encodePanelPage(page, undefined);
    elementsOf(body);
    assert.ok(!body.includes('<script'));
    assert.ok(!/&#(?:0|7|8238|55296);/.test(body));
  }
});
