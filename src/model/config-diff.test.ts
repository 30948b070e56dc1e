import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diffConfig, summaryOf } from './config-diff.ts';

const base = {
  version: 1,
  domains: [{ name: 'gw.example.test' }, { name: 'other.example.test' }],
  deviceDomain: null,
  listeners: [{ name: 'https', address: '::', port: 8443, tls: true }],
  routes: [
    { name: 'wiki', host: 'wiki.example.test', path: '/', target: { kind: 'tcp', host: '192.0.2.1', port: 80 }, allow: ['/a', '/b'] },
    { name: 'shop', host: 'shop.example.test', path: '/', target: { kind: 'respond', body: 'hi' } },
  ],
};
const diff = (before: unknown, after: unknown, max = 100) => diffConfig(before, after, max);
const changed = (part: object) => diff(base, { ...base, ...part }).differences;

test('the same in another order of keys is no difference', () => {
  const turn = (fields: object) => Object.fromEntries(Object.entries(fields).reverse());
  const turned = turn({ ...base, routes: base.routes.map(turn) });
  assert.deepEqual(diff(base, turned), { differences: [], omitted: 0 });
  assert.equal(summaryOf(diff(base, base)), 'nothing differs');
});

test('things are told by their names: added, removed, changed down to the field', () => {
  const [wiki, shop] = base.routes;
  const routes = [{ ...wiki, target: { ...wiki!.target, port: 8080 }, allow: ['/a'] }, { name: 'new', target: { kind: 'respond' } }];
  assert.deepEqual(changed({ routes }), [
    { section: 'routes', name: 'wiki', kind: 'changed', fields: [{ path: 'target.port', before: 80, after: 8080 }, { path: 'allow', before: ['/a', '/b'], after: ['/a'] }] },
    {
      section: 'routes', name: 'shop', kind: 'removed',
      fields: [{ path: 'host', before: shop!.host, after: undefined }, { path: 'path', before: '/', after: undefined }, { path: 'target.kind', before: 'respond', after: undefined }, { path: 'target.body', before: 'hi', after: undefined }],
    },
    { section: 'routes', name: 'new', kind: 'added', fields: [{ path: 'target.kind', before: undefined, after: 'respond' }] },
  ]);
  assert.equal(summaryOf(diff(base, { ...base, routes })), 'route wiki: target.port 80 → 8080 and 1 more; route shop removed; route new added');
});

test('fields of the document, its order, and sections that only one of them knows', () => {
  assert.deepEqual(changed({ deviceDomain: 'd.example.test' }), [{ section: 'deviceDomain', name: null, kind: 'changed', fields: [{ path: '', before: null, after: 'd.example.test' }] }]);
  assert.deepEqual(changed({ domains: [...base.domains].reverse() }), [{ section: 'domains', name: null, kind: 'changed', fields: [{ path: 'order', before: ['gw.example.test', 'other.example.test'], after: ['other.example.test', 'gw.example.test'] }] }]);
  assert.deepEqual(changed({ quotas: { perHour: 5 } }), [{ section: 'quotas', name: null, kind: 'added', fields: [{ path: 'perHour', before: undefined, after: 5 }] }]);
  assert.deepEqual(changed({ policies: [{ name: 'a', level: 'modern' }] }), [{ section: 'policies', name: 'a', kind: 'added', fields: [{ path: 'level', before: undefined, after: 'modern' }] }]);
  assert.equal(changed({ routes: [] }).length, 2);
  assert.equal(summaryOf(diff({ a: '' }, { a: 'two\nlines' })), 'a: "" → "two\\nlines"');
  assert.equal(summaryOf(diff(base, { ...base, deviceDomain: 'd.example.test' })), 'deviceDomain: null → d.example.test');
});

test('named things inside of named things are told by both names', () => {
  const route = (classes: unknown) => ({ routes: [{ name: 'pbx', classes }] });
  const before = route([{ name: 'phones', paths: ['/p'] }, { name: 'people', paths: ['/'] }]);
  const after = route([{ name: 'phones', paths: ['/p', '/q'] }, { name: 'people', paths: ['/'] }]);
  assert.deepEqual(diff(before, after).differences[0]!.fields, [{ path: 'classes[phones].paths', before: ['/p'], after: ['/p', '/q'] }]);
  const turned = route([{ name: 'people', paths: ['/'] }, { name: 'phones', paths: ['/p'] }]);
  assert.deepEqual(diff(before, turned).differences[0]!.fields, [{ path: 'classes', before: ['phones', 'people'], after: ['people', 'phones'] }]);
});

test('names twice, lists without names, and what is no document at all', () => {
  const twice = [{ name: 'a', x: 1 }, { name: 'a', x: 2 }];
  assert.deepEqual(diff({ routes: twice }, { routes: [{ name: 'a', x: 1 }] }).differences.map((each) => [each.kind, each.name]), [['changed', null]]);
  assert.deepEqual(diff({ list: [1, 2] }, { list: [1, 3] }).differences[0]!.fields, [{ path: '', before: [1, 2], after: [1, 3] }]);
  for (const odd of [null, 7, 'x', [], undefined]) assert.deepEqual(diff(odd, odd), { differences: [], omitted: 0 });
  assert.equal(diff(null, base).differences.length, 7);
  assert.deepEqual(diff({ __proto__: { x: 1 } }, JSON.parse('{"__proto__":{"x":1}}')).differences.map((each) => each.section), ['__proto__']);
});

test('of many only so many are listed, and the rest is counted', () => {
  const many = { routes: Array.from({ length: 1_000 }, (_, i) => ({ name: `r${i}`, path: `/${'x'.repeat(300)}` })) };
  const result = diff({ routes: [] }, many, 100);
  assert.deepEqual([result.differences.length, result.omitted], [100, 900]);
  assert.equal(summaryOf(result), 'route r0 added; route r1 added; route r2 added; 997 more');
  assert.ok(summaryOf(diff({ routes: [{ name: 'a'.repeat(64), path: 'b'.repeat(500) }] }, { routes: [{ name: 'a'.repeat(64), path: 'c'.repeat(500) }] })).length <= 200);
});
