import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askedCookieName, findHostCookie, hostCookieName, makeHostCookie, readHostCookie, withoutOurCookies } from './host-cookie.ts';

const key = Buffer.alloc(32, 7);
const signInId = '01890000-0000-7000-8000-000000000001';

test('a cookie is good on the host that it was made for, unchanged', () => {
  const value = makeHostCookie(key, signInId, 'v.gw.example.test');
  assert.equal(readHostCookie(key, value, 'v.gw.example.test'), signInId);
  assert.equal(readHostCookie(key, value, 'x.gw.example.test'), null);
  assert.equal(readHostCookie(Buffer.alloc(32, 8), value, 'v.gw.example.test'), null);
  for (let i = 0; i < value.length; i++) assert.equal(readHostCookie(key, value.slice(0, i) + (value[i] === 'a' ? 'b' : 'a') + value.slice(i + 1), 'v.gw.example.test'), null, `changed at ${i}`);
  for (const text of ['', '.', value.slice(0, -1), `${value}a`, 'x'.repeat(200)]) assert.equal(readHostCookie(key, text, 'v.gw.example.test'), null);
});

test('it is found by its whole name, and taken only when it stands there once', () => {
  const name = hostCookieName;
  for (const [line, found] of [
    ['', undefined],
    [`${name}=1`, '1'],
    [`a=b; ${name}=1; c=d`, '1'],
    [`a=b;\t ${name}=1 \t;c=d`, '1'],
    [`a=b; x${name}=1`, undefined],
    [`a=${name}=1`, undefined],
    [`a=b; ${name.toLowerCase()}=1`, undefined],
    [`${name}=1; ${name}=2`, null],
    [`${name}=`, ''],
    // What `trim` would take for a blank in front of a planted name.
    [`a=b; \u00a0${name}=planted; ${name}=1`, '1'],
    [`\u0085${name}=planted`, undefined],
    [`\ufeff${name}=planted`, undefined],
  ] as const) assert.equal(findHostCookie(line), found, JSON.stringify(line));
  assert.equal(findHostCookie(`${name}=1; ${askedCookieName}=2`, askedCookieName), '2');
});

test('none of ours goes on to a device, however it is spelled', () => {
  assert.equal(withoutOurCookies('a=1; b=2'), 'a=1; b=2');
  assert.equal(withoutOurCookies(`a=1; ${hostCookieName}=x; __HOST-POSTERN=y; __secure-postern-z=1; b=2; ${askedCookieName}=3`), 'a=1; b=2');
  assert.equal(withoutOurCookies(`${hostCookieName}=x`), null);
});

test('a cookie line made of blanks costs no more than its length', () => {
  const value = `a${' '.repeat(2_000_000)}b`;
  assert.equal(findHostCookie(`${hostCookieName}=${value} `), value);
});
