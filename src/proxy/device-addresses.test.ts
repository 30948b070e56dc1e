import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFields } from '#wire/http1-fields.ts';
import { parseRequestHead, parseResponseHead, type RequestHead, type ResponseHead } from '#wire/http1.ts';
import { fromDevice, originOf, ownAuthority, toDeviceOwnHost, toDevicePublicHost, translateAddress, translateSetCookie, type DeviceNames } from './device-edit.ts';

const names = (more: Partial<DeviceNames> = {}): DeviceNames => ({
  publicOrigin: 'https://printer1.gw.example.test:8443', publicSecure: true, publicHost: 'printer1.gw.example.test', ownOrigin: 'http://192.0.2.7', ownHost: '192.0.2.7', translateOrigin: true,
  originOfPort: (port) => (port === 80 ? 'https://printer1.gw.example.test:8443' : port === 631 ? 'https://printer1--631.gw.example.test:8443' : null),
  ...more,
});

const addresses: readonly (readonly [string, string])[] = [
  ['/path', '/path'],
  ['page?x=http://192.0.2.7/', 'page?x=http://192.0.2.7/'],
  ['http://192.0.2.7', 'https://printer1.gw.example.test:8443/'],
  ['HTTP://192.0.2.7:80/a?b#c', 'https://printer1.gw.example.test:8443/a?b#c'],
  ['//192.0.2.7/a', 'https://printer1.gw.example.test:8443/a'],
  ['http://192.0.2.7:631/ipp', 'https://printer1--631.gw.example.test:8443/ipp'],
  ['https://192.0.2.7/a', 'https://192.0.2.7/a'], // port 443 is not among its ports
  ['http://192.0.2.7:9/a', 'http://192.0.2.7:9/a'],
  ['http://printer1.gw.example.test/a', 'https://printer1.gw.example.test:8443/a'],
  ['http://192.0.2.77/a', 'http://192.0.2.77/a'],
  ['http://192.0.2.7.evil.example.test/a', 'http://192.0.2.7.evil.example.test/a'],
  ['http://192.0.2.7@evil.example.test/a', 'http://192.0.2.7@evil.example.test/a'],
  ['http://elsewhere.example.test/', 'http://elsewhere.example.test/'],
];
for (const [own, expected] of addresses) test(`address ${own}`, () => assert.equal(translateAddress(own, names()), expected));

test('a device with an IPv6 address, a device that speaks https', () => {
  const six = names({ ownHost: '2001:db8::7', ownOrigin: 'http://[2001:db8::7]' });
  assert.equal(translateAddress('http://[2001:DB8::7]/a', six), 'https://printer1.gw.example.test:8443/a');
  const tls = names({ ownOrigin: 'https://192.0.2.7', originOfPort: (port) => (port === 443 ? 'https://printer1.gw.example.test' : null) });
  assert.equal(translateAddress('//192.0.2.7/a', tls), 'https://printer1.gw.example.test/a');
  assert.equal(translateAddress('http://192.0.2.7/a', tls), 'http://192.0.2.7/a');
  assert.equal(originOf('https', '2001:db8::7', 443), 'https://[2001:db8::7]');
  assert.equal(ownAuthority('192.0.2.7', { kind: 'http', number: 8080 }), '192.0.2.7:8080');
  assert.equal(ownAuthority('192.0.2.7', { kind: 'https', number: 443 }), '192.0.2.7');
});

test('cookies of a device stay on its host and work there', () => {
  assert.equal(translateSetCookie('a=1; Path=/x; HttpOnly', true), 'a=1; Path=/x; HttpOnly');
  assert.equal(translateSetCookie('a=1; DOMAIN=.example.test; Secure; SameSite=None', true), 'a=1; Secure; SameSite=None');
  assert.equal(translateSetCookie('a=1; Domain; secure ; SameSite=None; Partitioned; SameSite=Lax', false), 'a=1; SameSite=Lax');
  for (const ours of ['__Host-postern=x', ' __host-POSTERN-device=x; Path=/', '__Secure-postern-x=y', '=__Host-postern=x', ' = __Host-postern-device', '__Host-postern']) assert.equal(translateSetCookie(ours, true), null, ours);
  assert.equal(translateSetCookie('x__Host-postern=1', true), 'x__Host-postern=1');
});

test('a request towards a device, under its own name and under the public one', () => {
  const head = parseRequestHead('GET / HTTP/1.1\r\nHost: printer1.gw.example.test:8443\r\nOrigin: https://printer1.gw.example.test:8443\r\nReferer: https://printer1.gw.example.test:8443/a\r\nCookie: __Host-postern-device=s; a=b\r\nPostern-Token: t\r\nX-Forwarded-For: 1\r\nAuthorization: Basic eA==\r\n\r\n') as RequestHead;
  assert.equal(encodeFields(head.fields, toDeviceOwnHost, names()), 'Origin: http://192.0.2.7\r\nReferer: http://192.0.2.7/a\r\nCookie: a=b\r\nAuthorization: Basic eA==\r\n');
  assert.equal(encodeFields(head.fields, toDevicePublicHost, names({ translateOrigin: false })), 'Host: printer1.gw.example.test:8443\r\nOrigin: https://printer1.gw.example.test:8443\r\nReferer: https://printer1.gw.example.test:8443/a\r\nCookie: a=b\r\nAuthorization: Basic eA==\r\n');
  const other = parseRequestHead('GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://printer1.gw.example.test:84433\r\nReferer: https://printer1.gw.example.test:8443.evil.example.test/\r\nCookie: __Host-postern=s\r\n\r\n') as RequestHead;
  assert.equal(encodeFields(other.fields, toDeviceOwnHost, names()), 'Origin: https://printer1.gw.example.test:84433\r\nReferer: https://printer1.gw.example.test:8443.evil.example.test/\r\n');
});

test('an answer of a device', () => {
  const head = parseResponseHead('HTTP/1.1 302 Found\r\nLocation: http://192.0.2.7:631/x\r\nContent-Location: //192.0.2.7/y\r\nRefresh: 3; URL="http://192.0.2.7/z"\r\nAlt-Svc: h3=":1"\r\nClear-Site-Data: "*"\r\nPostern-Request: x\r\nSet-Cookie: __Host-postern=x\r\nSet-Cookie: a=b; Domain=c\r\nX: y\r\n\r\n', 'GET') as ResponseHead;
  assert.equal(encodeFields(head.fields, fromDevice, names()), 'Location: https://printer1--631.gw.example.test:8443/x\r\nContent-Location: https://printer1.gw.example.test:8443/y\r\nRefresh: 3; URL="https://printer1.gw.example.test:8443/z"\r\nSet-Cookie: a=b\r\nX: y\r\n');
});
