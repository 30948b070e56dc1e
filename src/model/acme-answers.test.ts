import './reflect-metadata.ts';
import assert from 'node:assert/strict';
import { createHash, randomBytes, X509Certificate as NodeCertificate } from 'node:crypto';
import { test } from 'node:test';
import { X509Certificate } from '@peculiar/x509';
import { isFault } from '#base/fault.ts';
import { buildAcmeAnswers, tokenIn, type AcmeAnswer } from './acme-answers.ts';
import { challengeServerName, makeChallengeCertificate } from './certificate-challenge.ts';
import { makeKey } from './certificate-key.ts';

const answer = (asked: string): AcmeAnswer => ({ kind: 'http-01', asked, body: `${asked}.thumbprint`, certPem: '', keyPem: '' });

test('a token is answered while an order waits, by whom it belongs to', () => {
  const answers = buildAcmeAnswers();
  const mine = answer('token-1');
  assert.equal(answers.bodyOf('token-1'), null);
  answers.put(mine);
  assert.equal(answers.bodyOf('token-1'), 'token-1.thumbprint');
  assert.equal(answers.bodyOf('token-2'), null);
  assert.throws(() => answers.put(answer('token-1')), (thrown) => isFault(thrown, 'conflict'));
  answers.remove(answer('token-1'));
  assert.equal(answers.bodyOf('token-1'), 'token-1.thumbprint', 'who did not put it does not remove it');
  answers.remove(mine);
  assert.equal(answers.bodyOf('token-1'), null);
  assert.equal(answers.table.kind, 'passing');
});

test('which targets ask for a token', () => {
  assert.equal(tokenIn('/.well-known/acme-challenge/abc_-9'), 'abc_-9');
  for (const other of ['/', '/.well-known/acme-challenge/', '/.well-known/acme-challenge/a/b', '/.well-known/acme-challenge/a?b', '/.well-known/acme-challenge/a%41', '/.well-known/acme-challengeX/a', `/.well-known/acme-challenge/${'a'.repeat(201)}`, '*']) assert.equal(tokenIn(other), null, other);
});

test('the certificate of TLS-ALPN-01: one name, and the digest in a critical extension (RFC 8737 §3)', async () => {
  const { pem: keyPem } = await makeKey('ec-p256');
  for (const [identifier, shown] of [['Printer.example.test', 'DNS:printer.example.test'], ['192.0.2.7', 'IP Address:192.0.2.7'], ['2001:db8::7', 'IP Address:2001:DB8:0:0:0:0:0:7']] as const) {
    const certPem = makeChallengeCertificate({ identifier, keyAuthorization: 'token.thumbprint', keyPem, now: Date.UTC(2026, 5, 1), random: randomBytes });
    const certificate = new NodeCertificate(certPem);
    assert.equal(certificate.subjectAltName, shown);
    assert.ok(certificate.verify(certificate.publicKey), 'self-signed');
    assert.ok(certificate.validFromDate.getTime() < Date.UTC(2026, 5, 1) && certificate.validToDate.getTime() > Date.UTC(2026, 5, 1));
    const extension = new X509Certificate(certPem).extensions.find(({ type }) => type === '1.3.6.1.5.5.7.1.31')!;
    assert.equal(extension.critical, true);
    assert.equal(Buffer.from(extension.value).toString('hex'), `0420${createHash('sha256').update('token.thumbprint').digest('hex')}`);
  }
});

test('by which server name an address is asked for (RFC 8738 §6)', () => {
  assert.equal(challengeServerName('192.0.2.7'), '7.2.0.192.in-addr.arpa');
  assert.equal(challengeServerName('2001:db8::7'), `7.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`);
  assert.equal(challengeServerName('A.example.test'), 'a.example.test');
});
