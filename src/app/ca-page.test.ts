import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { fingerprintOf, keyFingerprintOf } from '#model/fingerprint.ts';
import { makeCertificate } from '../../test/kit/authority.ts';
import { buildCaPages, type CaAsked } from './ca-page.ts';

const made = await makeCertificate({ name: 'Postern <i>gw</i> & Co', now: Date.UTC(2026, 5, 1), ca: true });
const pages = buildCaPages(made.pem);
const ask = (path: string, more: Partial<CaAsked> = {}) => pages({ method: 'GET', path, accept: '*/*', secure: true, ...more });

test('scripts get PEM, browsers a page', () => {
  for (const accept of [undefined, '*/*', 'application/json', 'application/x-pem-file, */*']) assert.equal(ask('/ca', { accept })!.body.toString(), made.pem, String(accept));
  for (const path of ['/ca', '/ca/']) {
    const page = ask(path, { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' })!;
    assert.equal(page.headers['Content-Type'], 'text/html; charset=utf-8');
    assert.match(page.headers['Content-Security-Policy']!, /^default-src 'none'/);
    const text = page.body.toString();
    assert.doesNotMatch(text, /<script|<i>gw|without encryption/);
    assert.ok(text.includes('Postern &#60;i&#62;gw&#60;/i&#62; &#38; Co'));
    assert.ok(text.includes(fingerprintOf(made.pem).toUpperCase().match(/../g)!.join(':')) && text.includes(keyFingerprintOf(made.pem)));
    for (const word of ['certlm.msc', 'certutil -addstore Root', 'add-trusted-cert', 'policies.json', 'Certificate Trust Settings', 'Android', 'update-ca-certificates', 'update-ca-trust']) assert.ok(text.includes(word), word);
  }
  assert.match(ask('/ca', { accept: 'text/html', secure: false })!.body.toString(), /without encryption/);
});

test('the same certificate in every form', () => {
  const wanted = fingerprintOf(made.pem);
  const pem = ask('/ca/root.pem')!;
  const der = ask('/ca/root.crt')!;
  const profile = ask('/ca/root.mobileconfig')!;
  assert.deepEqual([pem, der, profile].map((each) => each.headers['Content-Type']), ['application/x-pem-file', 'application/x-x509-ca-cert', 'application/x-apple-aspen-config']);
  assert.equal(fingerprintOf(new X509Certificate(pem.body)), wanted);
  assert.equal(der.body[0], 0x30);
  assert.equal(fingerprintOf(new X509Certificate(der.body)), wanted);
  const xml = profile.body.toString();
  assert.equal(fingerprintOf(new X509Certificate(Buffer.from(/<data>\s([^<]+)<\/data>/.exec(xml)![1]!, 'base64'))), wanted);
  assert.match(xml, /<key>PayloadType<\/key><string>com\.apple\.security\.root<\/string>/);
  assert.doesNotMatch(xml, /<i>/);
  const ids = [...xml.matchAll(/<key>PayloadUUID<\/key><string>([0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12})<\/string>/g)].map((match) => match[1]);
  assert.equal(new Set(ids).size, 2);
});

test('nothing else of the gateway is below /ca', () => {
  for (const path of ['/ca/x', '/ca/api/v1/setup', '/ca/root.pem/', '/ca//root.pem', '/ca/../api/v1/me', '/ca/root.key']) assert.equal(ask(path)!.status, 404, path);
  for (const path of ['/', '/car', '/api/v1/setup', '//ca']) assert.equal(ask(path), null, path);
  assert.equal(ask('/ca', { method: 'POST' })!.status, 405);
  assert.equal(ask('/ca', { method: 'HEAD' })!.status, 200);
});
