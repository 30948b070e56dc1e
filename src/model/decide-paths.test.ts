import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firstConfig } from './config.ts';
import { decideExchange } from './decide.ts';
import { comparablePath, compile } from './snapshot.ts';

const built = compile(firstConfig({ domain: 'gw.example.test', httpPort: 80, httpsPort: 443 }), 1);
assert.ok('snapshot' in built);
const { snapshot } = built;
const plain = { listener: 'http', secure: false, link: false, loopback: false, serverName: null, policy: null, certificate: null };
const secure = { ...plain, listener: 'https', secure: true };

test('over plain HTTP the way to /ca leads to nothing else of the console', () => {
  // The API resolves dot segments: "/ca/../api/v1/sign-in" would have been the API, without TLS.
  assert.equal(decideExchange(snapshot, plain, 'gw.example.test', '/ca').step, 'route');
  for (const target of ['/ca/../api/v1/sign-in', '/ca/%2e%2e/api/v1/sign-in', '/ca/.%2E/', '/ca/./x', '/ca\\..\\api']) assert.notEqual(decideExchange(snapshot, plain, 'gw.example.test', target).step, 'route', target);
  for (const target of ['/', '/api/v1/setup', '/stream', '/cat']) assert.equal(decideExchange(snapshot, plain, 'gw.example.test', target).step, 'secure', target);
});

test('dots in a query are no path', () => {
  assert.equal(decideExchange(snapshot, secure, 'gw.example.test', '/open?to=/../x&y=/./').step, 'route');
  assert.equal(decideExchange(snapshot, secure, 'x.gw.example.test', '/a/../b').step, 'device');
});

test('a route by path is met however its path is written; what is our own, only as it stands', () => {
  const target = { kind: 'tcp', host: '192.0.2.9', port: 80 } as const;
  const route = (name: string, path: string) => ({ name, host: 'app.example.test', path, target, largeHeads: false, protocol: 'http' as const, ignoreCase: false, classes: [], onlyClasses: false });
  const made = compile({ ...firstConfig({ domain: 'gw.example.test', httpPort: 80, httpsPort: 443 }), routes: [route('all', '/'), route('admin', '/admin'), route('deep', '/a//b/%7euser/%2f')] }, 1);
  assert.ok('snapshot' in made);
  const nameOf = (path: string) => {
    const verdict = decideExchange(made.snapshot, secure, 'app.example.test', path);
    return verdict.step === 'route' ? verdict.route.name : verdict.step;
  };
  for (const path of ['/admin', '/%61dmin', '/%61%64%6D%69%6e/x', '//admin', '///admin//x?y', '/adm%69n?a=//b']) assert.equal(nameOf(path), 'admin', path);
  for (const path of ['/Admin', '/%41dmin', '/x?/admin', '/x?/admin;x', '/x;y', '/x%2fadmin', '/x?//admin', '/%2561dmin', '/%6', '/administrator']) assert.equal(nameOf(path), 'all', path);
  // Some servers take an encoded slash for a slash, and servlet containers cut parameters off each segment: neither is a way around "/admin".
  for (const path of ['/admin;x', '/admin;x/y', '/;x/admin', '/admin%3bx', '/admin%2fx', '/%2fadmin', '/%2F/%61dmin', '/\\admin', '/admin\\x', '/%5cadmin%5Cx', '/admin%00', '/admin%00.png', '/admin%3fx', '/admin%23']) assert.equal(nameOf(path), 'refuse', path);
  assert.equal(nameOf('/admin/a%2fb;c'), 'admin');
  assert.equal(decideExchange(made.snapshot, plain, 'app.example.test', '/admin%2fx').step, 'secure', 'first to TLS, where it is refused');
  for (const path of ['/a/b/~user/%2f', '/a//b/%7Euser/%2f/c']) assert.equal(nameOf(path), 'deep', path);
  // Over plain HTTP only /ca itself is answered: "//ca/api" means the host "ca" to a URL parser.
  for (const path of ['//ca/api/v1/sign-in', '/%63a', '/ca%2fx']) assert.equal(decideExchange(snapshot, plain, 'gw.example.test', path).step, 'secure', path);
  const twins = compile({ ...firstConfig({ domain: 'gw.example.test', httpPort: 80, httpsPort: 443 }), routes: [route('one', '/admin'), route('two', '//adm%69n')] }, 1);
  assert.match('problems' in twins ? twins.problems[0]!.message : '', /are equal/);
});

test('every unreserved character is decoded, and nothing else', () => {
  for (let code = 0; code < 256; code++) {
    const encoded = `/%${code.toString(16).padStart(2, '0')}`;
    const isUnreserved = /[A-Za-z0-9._~-]/.test(String.fromCharCode(code));
    assert.equal(comparablePath(encoded), isUnreserved ? `/${String.fromCharCode(code)}` : encoded, encoded);
  }
  assert.equal(comparablePath('*'), '*');
});
