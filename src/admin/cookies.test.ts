import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cookiesWork, readSignInCookie } from './cookies.ts';

test('the sign-in is taken by its whole name, and only when it stands there once', () => {
  for (const [line, found] of [
    [null, null],
    ['', null],
    ['__Host-postern=s', 's'],
    ['a=b;\t__Host-postern=s ; c=d', 's'],
    ['__Host-postern=', null],
    ['__host-postern=s', null],
    ['x__Host-postern=s', null],
    ['a=__Host-postern=s', null],
    ['__Host-postern=s; __Host-postern=t', null],
    // What `trim` would take for a blank: a neighbour may plant such names, the prefix does not guard them.
    ['\u00a0__Host-postern=planted; __Host-postern=s', 's'],
    ['\u0085__Host-postern=planted', null],
    ['\u000b__Host-postern=planted', null],
    ['__Host-postern\u00a0=planted', null],
  ] as const) assert.equal(readSignInCookie(line), found, JSON.stringify(line));
});

test('Secure cookies are kept from https and from names of this machine', () => {
  assert.equal(cookiesWork(true, 'gw.example.test'), true);
  assert.equal(cookiesWork(false, 'gw.example.test'), false);
  for (const host of ['localhost', 'LOCALHOST:8080', 'demo.localhost:8080', '127.0.0.1:8080', '[::1]:8080']) assert.equal(cookiesWork(false, host), true, host);
  for (const host of ['localhost.example.test', '127.0.0.1.example.test', '192.0.2.1']) assert.equal(cookiesWork(false, host), false, host);
});
