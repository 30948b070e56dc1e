import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { encodeCertificateRequest } from './pkcs10.ts';

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
