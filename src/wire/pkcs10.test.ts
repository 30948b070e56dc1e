import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { encodeCertificateRequest, encodeRequest } from './pkcs10.ts';

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

test('OpenSSL reads the request and verifies its signature', { skip: !hasOpenssl && 'openssl is not installed' }, () => {
  // Several keys: an ECDSA signature's length depends on its leading bits.
  for (let i = 0; i < 8; i++) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const input = encodeCertificateRequest(pem, 'grüße'.repeat(i * 3));
    const { stdout, stderr, status } = spawnSync('openssl', ['req', '-verify', '-noout', '-pubkey'], { input, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /verify OK/i);
    assert.equal(stdout, createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }));
  }
});

test('OpenSSL reads subject and names, whatever the key', { skip: !hasOpenssl && 'openssl is not installed' }, () => {
  const pairs = [generateKeyPairSync('ec', { namedCurve: 'prime256v1' }), generateKeyPairSync('ec', { namedCurve: 'secp384r1' }), generateKeyPairSync('rsa', { modulusLength: 2048 })];
  for (const { privateKey } of pairs) {
    const input = encodeRequest(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), {
      subject: { commonName: 'gw.example.test', organization: 'Grüße & Söhne', country: 'DE', locality: null, organizationalUnit: '' },
      dns: ['gw.example.test', '*.gw.example.test'],
      ip: ['192.0.2.7', '2001:db8::7', 'no address'],
    });
    const { stdout, stderr, status } = spawnSync('openssl', ['req', '-verify', '-noout', '-text', '-nameopt', 'utf8'], { input, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /verify OK/i);
    assert.match(stdout, /Subject: C=DE, O=Grüße & Söhne, CN=gw\.example\.test/);
    assert.match(stdout, /DNS:gw\.example\.test, DNS:\*\.gw\.example\.test, IP Address:192\.0\.2\.7, IP Address:2001:DB8:0:0:0:0:0:7/);
  }
});
