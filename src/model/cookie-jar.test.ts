// Cookies that are kept for devices: RFC 6265 for one host, bounds, and lines that are remembered.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildCookieJar, parseCookieDate } from './cookie-jar.ts';

const now = Date.UTC(2026, 10, 20, 12);
const jarWith = (values: string[], { host = 'scan.example.test', path = '/', secure = true } = {}) => {
  const jar = buildCookieJar(host);
  jar.take(values, path, secure, now);
  return jar;
};
const lineOf = (values: string[], options: { host?: string; path?: string; secure?: boolean; ask?: string; askSecure?: boolean; at?: number } = {}) =>
  jarWith(values, options).cookieLine(options.ask ?? '/', options.askSecure ?? true, options.at ?? now, null);

test('name and value, as they came', () => {
  assert.equal(lineOf(['JSESSIONID=0A1B; Path=/; HttpOnly; SameSite=Strict']), 'JSESSIONID=0A1B');
  assert.equal(lineOf([' a = "x y" ; Path=/']), 'a="x y"');
  assert.equal(lineOf(['a=b=c=; path=/']), 'a=b=c=');
  assert.equal(lineOf(['a=']), 'a=');
  assert.equal(lineOf(['a=1; Unknown=2;;; ;Path=/; x']), 'a=1');
  for (const none of ['', '=', '=v', 'novalue', '; a=1', 'a=1\r\nX: y', 'a=\u010a', 'a=\u0000', '__Host-postern-device=x; Secure; Path=/', '__Secure-postern=x; Secure']) assert.equal(lineOf([none]), '', JSON.stringify(none));
});

test('several, in the order of RFC 6265 §5.4', () => {
  const jar = jarWith(['a=1; Path=/', 'b=2; Path=/x', 'c=3; Path=/', 'd=4; Path=/x/y']);
  assert.equal(jar.cookieLine('/', true, now, null), 'a=1; c=3');
  assert.equal(jar.cookieLine('/x', true, now, null), 'b=2; a=1; c=3');
  assert.equal(jar.cookieLine('/x/y/z?path=/q', true, now, null), 'd=4; b=2; a=1; c=3');
  assert.equal(jar.cookieLine('/xy', true, now, null), 'a=1; c=3');
  jar.take(['a=9; Path=/'], '/', true, now + 5);
  assert.equal(jar.cookieLine('/', true, now + 5, null), 'a=9; c=3', 'what is set again keeps its place');
  assert.deepEqual(jar.names(now), ['a', 'b', 'c', 'd']);
});

test('paths: given, and by default (§5.1.4)', () => {
  const rows: [path: string, cookie: string, ask: string, sent: boolean][] = [
    ['/app/login', 'a=1', '/app/x', true], ['/app/login', 'a=1', '/app', true], ['/app/login', 'a=1', '/', false], ['/app/login', 'a=1', '/application', false],
    ['/app/', 'a=1', '/app/x', true], ['/app?x=/y/z', 'a=1', '/other', true], ['/login', 'a=1', '/x', true], ['*', 'a=1', '/', true],
    ['/app/x', 'a=1; Path=', '/app/y', true], ['/app/x', 'a=1; Path=relative', '/other', false], ['/app/x', 'a=1; Path=/other', '/other/y', true],
    ['/app/x', 'a=1; Path=/other; Path=/last', '/last', true], ['/', 'a=1; Path=/dir/', '/dir', false], ['/', 'a=1; Path=/dir/', '/dir/x', true],
    ['/', `a=1; Path=/${'p'.repeat(1100)}`, '/', true],
  ];
  for (const [path, cookie, ask, sent] of rows) assert.equal(lineOf([cookie], { path, ask }), sent ? 'a=1' : '', JSON.stringify([path, cookie, ask]));
});

test('domains: ours or above, else nothing', () => {
  const rows: [host: string, domain: string, kept: boolean][] = [
    ['scan.example.test', 'scan.example.test', true], ['scan.example.test', '.Example.TEST', true], ['scan.example.test', 'other.example.test', false],
    ['scan.example.test', 'an.example.test', false], ['scan.example.test', 'deep.scan.example.test', false], ['192.0.2.10', '192.0.2.10', true], ['192.0.2.10', '2.10', false],
    ['2001:db8::1', '2001:db8::1', true],
  ];
  for (const [host, domain, kept] of rows) assert.equal(lineOf([`a=1; Domain=${domain}; Path=/`], { host }), kept ? 'a=1' : '', `${host} ${domain}`);
  assert.equal(lineOf(['a=1; Domain=; Path=/']), 'a=1', 'an empty one is none');
  assert.equal(lineOf(['a=1; Path=/', 'a=2; Domain=scan.example.test; Path=/', 'a=3; Domain=example.test; Path=/']), 'a=2; a=3', 'the host itself is the same domain, one above is another');
  const jar = buildCookieJar(null);
  jar.take(['a=1; Domain=other.example.test', 'a=2', 'b=3; Domain=192.0.2.1'], '/', true, now);
  assert.equal(jar.cookieLine('/', true, now, null), 'a=2; b=3');
});

test('only over a safe way, and only what prefixes promise', () => {
  assert.equal(lineOf(['a=1; Secure; Path=/', 'b=2; Path=/'], { askSecure: false }), 'b=2');
  const jar = jarWith(['a=1; Secure; Path=/']);
  jar.take(['a=planted; Path=/'], '/', false, now);
  assert.equal(jar.cookieLine('/', true, now, null), 'a=1');
  const rows: [cookie: string, secure: boolean, kept: boolean][] = [
    ['__Secure-a=1; Secure; Path=/', true, true], ['__Secure-a=1; Path=/', true, false], ['__Secure-a=1; Secure; Path=/', false, false],
    ['__Host-a=1; Secure; Path=/', true, true], ['__host-a=1; Secure', true, false], ['__Host-a=1; Secure; Path=/; Domain=scan.example.test', true, false], ['__Host-a=1; Path=/', true, false],
    ['__Host-a=1; Secure; Path=/x', true, false],
  ];
  for (const [cookie, secure, kept] of rows) assert.equal(lineOf([cookie], { secure }) !== '', kept, cookie);
});

test('an end: Max-Age before Expires, deleted by the past', () => {
  const later = 'Fri, 20 Nov 2026 12:01:00 GMT';
  assert.equal(lineOf([`a=1; Expires=${later}`], { at: now + 59_999 }), 'a=1');
  assert.equal(lineOf([`a=1; Expires=${later}`], { at: now + 60_000 }), '');
  assert.equal(lineOf([`a=1; Max-Age=120; Expires=${later}`], { at: now + 60_000 }), 'a=1');
  assert.equal(lineOf([`a=1; Max-Age=10; Expires=${later}`], { at: now + 10_000 }), '');
  assert.equal(lineOf(['a=1; Max-Age=9999999999999999999999'], { at: now + 1e12 }), 'a=1');
  assert.equal(lineOf(['a=1; Max-Age=soon; Expires=never'], { at: now + 1e12 }), 'a=1');
  for (const end of ['Max-Age=0', 'Max-Age=-5', 'Expires=Thu, 01 Jan 1970 00:00:00 GMT']) {
    const jar = jarWith(['a=1; Path=/', 'b=2; Path=/']);
    jar.take([`a=; Path=/; ${end}`], '/', true, now);
    assert.equal(jar.cookieLine('/', true, now, null), 'b=2', end);
    assert.equal(jar.bytes, 3);
  }
  const jar = jarWith(['a=1; Max-Age=10', 'b=2; Max-Age=20']);
  assert.equal(jar.cookieLine('/', true, now, null), 'a=1; b=2');
  assert.equal(jar.cookieLine('/', true, now + 10_000, null), 'b=2', 'a line that was made before does not outlive its cookies');
  assert.equal(jar.cookieLine('/', true, now + 20_000, null), '');
  assert.deepEqual(jar.names(now + 20_000), []);
});

test('dates as §5.1.1 reads them', () => {
  const day = Date.UTC(1994, 10, 6, 8, 49, 37);
  for (const text of ['Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994', '08:49:37 6 november 1994', '6-Nov-1994 8:49:37x', '6th NOVEMBER 1994;08:49:37']) assert.equal(parseCookieDate(text), day, text);
  assert.equal(parseCookieDate('1 Jan 69 00:00:00'), Date.UTC(2069, 0, 1));
  assert.equal(parseCookieDate('1 Jan 70 00:00:00'), 0);
  for (const text of ['', 'x', '06 Nov 1994', '32 Nov 1994 00:00:00', '0 Nov 1994 00:00:00', '31 Feb 2026 00:00:00', '6 Nov 1994 24:00:00', '6 Nov 1994 00:60:00', '6 Nov 1600 00:00:00', '6 Nov 194 00:00:00', '6 Nov 20261 00:00:00', '6 Nov 2026 1:2']) assert.equal(parseCookieDate(text), null, text);
});

test('what the device sends itself comes last, and never instead', () => {
  const jar = jarWith(['sid=ours; Path=/', 'deep=1; Path=/x']);
  assert.equal(jar.cookieLine('/', true, now, 'lang=en; sid=forged;; SID=other; flag'), 'sid=ours; lang=en; SID=other; flag');
  assert.equal(jar.cookieLine('/', true, now, 'lang=en; sid=forged;; SID=other; flag'), 'sid=ours; lang=en; SID=other; flag');
  assert.equal(jar.cookieLine('/', true, now, 'sid'), 'sid=ours');
  assert.equal(jar.cookieLine('/', true, now, 'deep=2'), 'sid=ours; deep=2', 'no rival where the jar sends none');
  assert.equal(jar.cookieLine('/x', true, now, 'deep=2'), 'deep=1; sid=ours');
  assert.equal(buildCookieJar('h').cookieLine('/', true, now, 'a=1'), 'a=1');
  jar.clear();
  assert.equal(jar.cookieLine('/', true, now, null), '');
  assert.equal(jar.bytes, 0);
});

test('bounds: too large is ignored, the least lately used goes', () => {
  const jar = buildCookieJar('scan.example.test', { cookiesPerJarMax: 3, cookieBytesMax: 20, cookieJarBytesMax: 40 });
  jar.take(['big=12345678901234567890'], '/', true, now);
  assert.equal(jar.cookieLine('/', true, now, null), '');
  jar.take(['a=1; Path=/a', 'b=2; Path=/b', 'c=3; Path=/c'], '/', true, now);
  assert.equal(jar.cookieLine('/a', true, now + 1, null), 'a=1');
  jar.take(['d=4; Path=/d'], '/', true, now + 2);
  assert.deepEqual(jar.names(now + 2), ['a', 'c', 'd']);
  assert.equal(jar.cookieLine('/c', true, now + 3, null), 'c=3');
  jar.take(['e=123456789012345; Path=/', 'f=123456789012345; Path=/'], '/', true, now + 4);
  assert.deepEqual(jar.names(now + 4), ['c', 'e', 'f']);
  assert.ok(jar.bytes <= 40);
  const many = buildCookieJar('scan.example.test');
  for (let i = 0; i < 200; i++) many.take([`n${i}=${'v'.repeat(1000)}`], '/', true, now + i);
  assert.ok(many.bytes <= 32 * 1024 && many.names(now).length <= 50 && many.names(now).at(-1) === 'n199');
});

test('seeded: never throws, never unsafe, and what is remembered is what would be made anew', () => {
  for (let seed = 1; seed <= 40; seed++) {
    let state = seed;
    const dice = (below: number) => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0, Math.floor((state / 2 ** 32) * below));
    const pick = <T>(from: readonly T[]) => from[dice(from.length)]!;
    const bounds = { cookiesPerJarMax: 6, cookieBytesMax: 60, cookieJarBytesMax: 200 };
    const jar = buildCookieJar('a.example.test');
    const small = buildCookieJar('a.example.test', bounds);
    const taken: [string[], string, boolean, number][] = [];
    let at = now;
    for (let step = 0; step < 60; step++) {
      at += dice(3) * 1000;
      let text = `${pick(['a', 'b', 'c', '__Host-d', 'e', 'f', 'g'])}=${'v'.repeat(dice(20))}${pick(['', '; Path=/', '; Path=/x', '; Path=/x/y'])}${pick(['', '; Max-Age=2', '; Max-Age=0', '; Expires=Fri, 20 Nov 2026 12:00:09 GMT'])}${pick(['', '; Secure', '; Domain=example.test', '; Domain=example.com'])}`;
      if (dice(3) === 0) text = text.slice(0, dice(text.length)) + String.fromCharCode(dice(300)) + text.slice(dice(text.length));
      const call: [string[], string, boolean, number] = [[text], pick(['/', '/x/z', '/x/y/z', '*', '']), dice(4) > 0, at];
      taken.push(call);
      jar.take(...call);
      small.take(...call);
      const [path, secure] = [pick(['/', '/x', '/x/y', '/q?x']), dice(2) === 0];
      const line = jar.cookieLine(path, secure, at, null);
      assert.match(line, /^[\t\x20-\x7e\x80-\xff]*$/);
      assert.equal(jar.cookieLine(path, secure, at, null), line);
      const anew = buildCookieJar('a.example.test');
      for (const each of taken) anew.take(...each);
      assert.equal(anew.cookieLine(path, secure, at, null), line, `seed ${seed} step ${step}`);
      assert.match(small.cookieLine(path, secure, at, 'x=1'), /x=1$/);
      assert.ok(small.bytes <= bounds.cookieJarBytesMax && small.names(at).length <= bounds.cookiesPerJarMax, `seed ${seed}`);
    }
  }
});

test('a server that fills the jar, and a panel that asks for many paths, take a bounded memory', () => {
  const jar = buildCookieJar('scan.example.test');
  for (let i = 0; i < 8; i++) jar.take([`c${i}=${'v'.repeat(3_900)}; Path=/`, `d${i}=1; Path=/p${i}`], '/', true, 0);
  const first = jar.cookieLine('/p0/0', true, 0, null);
  assert.ok(first.length > 30_000);
  for (let n = 0; n < 60; n++) {
    const line = jar.cookieLine(`/p${n % 8}/${n}`, true, n, `own=${'x'.repeat(1_000)}${n}`);
    assert.ok(line.length > 31_000);
    assert.ok(jar.lineBytes < 4 * 32 * 1_024, `${jar.lineBytes} bytes after ${n}`);
  }
  jar.clear();
  assert.equal(jar.lineBytes, 0);
});
