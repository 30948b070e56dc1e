import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ConfigDocument } from '#api/shapes.ts';
import { documentOf, editOf, editOfSingle, linesOf, numberOf, sortProblems, type Listener, type Route } from './config-document.ts';
import { routeDraftOf, routeOf, wrongIn } from './pages/route-draft.ts';

const example = JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'examples', 'front-door.json'), 'utf8')) as unknown;
const { config } = documentOf({ revision: 7, config: example });
const listener = (name: string) => config.listeners.find((each) => each.name === name) as Listener;

test('a document that leaves lists out is read like one with empty ones', () => {
  assert.deepEqual(documentOf({ revision: 1, config: { version: 1, listeners: [] } }).config, { version: 1, listeners: [], routes: [], tlsPolicies: [], trustedProxies: [] });
});

test('an edit finds its thing by name in whatever document is in force then', () => {
  const [shop, , staff] = config.routes as [Route, Route, Route];
  const other = { ...config, routes: config.routes.toReversed() };
  const edit = editOf('routes', shop, { ...shop, name: 'shop2' });
  assert.equal(edit.place(other), `routes[${config.routes.length - 1}]`);
  assert.equal(edit.apply(other).routes.at(-1)?.name, 'shop2');
  assert.equal(edit.apply(other).routes.length, config.routes.length);
  const gone = { ...config, routes: config.routes.filter((route) => route.name !== 'shop') };
  assert.deepEqual([edit.find(gone), edit.place(gone), edit.apply(gone).routes.at(-1)?.name], [-1, `routes[${gone.routes.length}]`, 'shop2']);
  assert.deepEqual(editOf('routes', staff, null).apply(gone).routes.some((route) => route.name === 'staff'), false);
  assert.equal(editOf('routes', shop, null).apply(gone).routes.length, gone.routes.length, 'removing what is gone removes nothing else');
  const proxy = config.trustedProxies[0]!;
  assert.deepEqual(editOf('trustedProxies', proxy, { from: '192.0.2.81' }).apply(config).trustedProxies, [{ from: '192.0.2.81' }]);
});

test('who names a listener is told its new name', () => {
  const renamed = editOf('listeners', listener('https'), { ...listener('https'), name: 'front' }).apply(config);
  assert.deepEqual(renamed.routes.find((route) => route.name === 'shell')?.listeners, ['front']);
  assert.deepEqual(renamed.routes.find((route) => route.name === 'directory')?.listeners, ['ldap', 'ldaps', 'front']);
  assert.deepEqual(renamed.routes.find((route) => route.name === 'shop')?.listeners, undefined);
  assert.deepEqual(renamed.tlsPolicies.map((policy) => policy.listeners), [['h323s'], undefined, undefined]);
});

test('each problem stands at the field with the longest path above its own', () => {
  const sorted = sortProblems(
    [
      { path: 'routes[3].host', message: 'is not a host name' }, { path: 'routes[3].target.port', message: 'is too big' }, { path: 'routes[3].target.verify.ca', message: 'is not a PEM certificate' },
      { path: 'routes[3].classes[1].paths[0]', message: 'must begin with "/"' }, { path: 'routes[3]', message: 'two are equal' }, { path: 'routes[31].host', message: 'another' }, { path: 'listeners[0].port', message: 'taken' },
    ],
    'routes[3]',
    ['host', 'target', 'target.port', 'classes', 'classes[1].paths'],
  );
  assert.equal(sorted.at('host'), 'Is not a host name.');
  assert.equal(sorted.at('target.port'), 'Is too big.');
  assert.equal(sorted.at('target'), 'Is not a PEM certificate.');
  assert.equal(sorted.at('classes[1].paths'), 'Must begin with "/".');
  assert.equal(sorted.at('classes'), undefined);
  assert.deepEqual(sorted.rest, [{ path: '', message: 'two are equal' }, { path: 'routes[31].host', message: 'another' }, { path: 'listeners[0].port', message: 'taken' }]);
});

/** With what a form writes out although it is the default. */
const defaults = { protocol: 'http', path: '/', ignoreCase: false, largeHeads: false, classes: [], onlyClasses: false };
test('every route of the example survives the form unchanged', () => {
  for (const route of config.routes) {
    const again = routeOf(routeDraftOf(route), route);
    const isHttp = (route.protocol ?? 'http') === 'http';
    assert.deepEqual(again, { ...(isHttp ? defaults : {}), ...route }, route.name);
    assert.deepEqual(wrongIn(routeDraftOf(route)), [], route.name);
  }
});

test('what means nothing for a protocol does not stay behind when it is changed', () => {
  const web = config.routes.find((route) => route.name === 'pbx-web')!;
  const draft = routeDraftOf(web);
  const asSsh = routeOf({ ...draft, protocol: 'ssh' }, web);
  assert.deepEqual(Object.keys(asSsh).sort(), ['host', 'name', 'protocol', 'target']);
  const phones = routeDraftOf(config.routes.find((route) => route.name === 'phones')!);
  assert.equal('checkCertificate' in routeOf({ ...phones, protocol: 'ssh' }, null).target, false);
  assert.equal(routeOf({ ...phones, alias: '49*', protocol: 'tls', needsCertificate: true }, null).alias, undefined);
});

test('what is typed', () => {
  assert.deepEqual(linesOf(' a\n\nb , c\r\n'), ['a', 'b', 'c']);
  assert.deepEqual([numberOf('80'), numberOf(' 80 '), Number.isNaN(numberOf('8x')), Number.isNaN(numberOf(''))], [80, 80, true, true]);
  const empty = routeDraftOf(null);
  assert.deepEqual(wrongIn(empty).map((each) => each.path), ['name', 'target.port']);
  assert.deepEqual(wrongIn({ ...empty, name: 'a', target: { ...empty.target, port: '65536' } }).map((each) => each.path), ['target.port']);
});

test('a part that is there once is put in place, changed and removed; the rest stays', () => {
  const bare = { version: 1, listeners: [], routes: [] } as unknown as ConfigDocument;
  const added = editOfSingle('probes', 'Probes', undefined, { everyMinutes: 30 } as ConfigDocument['probes']);
  const after = added.apply(bare);
  assert.deepEqual([after, added.find(bare), added.before, added.place(bare)], [{ version: 1, listeners: [], routes: [], probes: { everyMinutes: 30 } }, -1, null, 'probes']);
  const changed = editOfSingle('probes', 'Probes', after.probes, { everyMinutes: 5 } as ConfigDocument['probes']);
  assert.deepEqual([changed.find(after), changed.current(after), changed.apply(after).probes], [0, changed.before, { everyMinutes: 5 }]);
  assert.deepEqual(editOfSingle('probes', 'Probes', after.probes, undefined).apply(after), bare);
});
