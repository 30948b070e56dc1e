import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { ConfigRefused, explain } from './explain.ts';

const nowMs = Date.parse('2026-11-20T12:00:00Z');
const document = {
  version: 1,
  domains: [{ name: 'gw.example.test' }],
  listeners: [{ name: 'http', port: 80, tls: false }, { name: 'https', port: 443, tls: true }, { name: 'inner', address: '127.0.0.1', port: 8443, tls: true }],
  routes: [
    { name: 'shop', host: 'shop.example.test', target: { kind: 'tcp', host: '192.0.2.1', port: 8080 } },
    { name: 'moved', host: 'old.example.test', target: { kind: 'redirect', to: 'https://shop.example.test/' } },
    { name: 'robots', host: 'shop.example.test', path: '/robots.txt', target: { kind: 'respond', body: 'no' } },
    { name: 'camera', host: 'camera.example.test', target: { kind: 'device', device: 'camera1', port: 80 } },
  ],
};
const told = (url: string, from = '203.0.113.5') => {
  const { verdict, rule, lines } = explain(document, { url, from, nowMs });
  return { verdict, rule, text: lines.join('\n') };
};

const cases: readonly (readonly [string, string, string, RegExp])[] = [
  ['https://shop.example.test/x', 'forward', 'shop', /forwarded to 192\.0\.2\.1:8080/],
  ['shop.example.test/x', 'forward', 'shop', /TLS port 443/],
  ['https://shop.example.test/robots.txt', 'respond', 'robots', /answered with 200/],
  ['https://old.example.test/', 'redirect', 'moved', /308/],
  ['http://shop.example.test/x', 'redirect', 'plain listener', /308 to https/],
  ['https://camera.example.test/', 'forward', 'camera', /device "camera1", port 80/],
  ['https://printer1.gw.example.test/x', 'device', 'devices of gw.example.test', /label "printer1"/],
  ['https://gw.example.test/', 'console', 'console of gw.example.test', /built in/],
  ['https://gw.example.test/stream', 'stream', 'streams of gw.example.test', /stream/],
  ['https://link.gw.example.test/link', 'link', 'link endpoint', /link endpoint/],
  ['https://evil.example.test/', 'refuse', 'unknown host', /421/],
  ['https://shop.example.test:9999/', 'refuse', 'no listener', /no TLS listener has port 9999/],
  ['https://shop.example.test:8443/', 'refuse', 'listener inner', /127\.0\.0\.1 only/],
];
for (const [url, verdict, rule, text] of cases) {
  test(`${url} → ${verdict} by "${rule}"`, () => {
    const answer = told(url);
    assert.equal(answer.verdict, verdict, answer.text);
    assert.equal(answer.rule, rule);
    assert.match(answer.text, text);
  });
}

test('what is no address, and a configuration that is none', () => {
  for (const url of ['https://', 'ftp://a.example.test/', 'http://a b/']) assert.throws(() => explain(document, { url, nowMs }), (thrown) => isFault(thrown, 'bad-input'), url);
  assert.throws(() => explain({ ...document, routes: [{ name: 'x' }] }, { url: 'https://a.example.test/', nowMs }), (thrown) => thrown instanceof ConfigRefused && thrown.problems[0]!.path.startsWith('routes[0]'));
  assert.throws(() => explain({ ...document, routes: [document.routes[0], document.routes[0]] }, { url: 'https://a.example.test/', nowMs }), ConfigRefused);
});
