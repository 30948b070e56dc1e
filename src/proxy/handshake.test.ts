import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { makeCertificate } from '#kit/authority.ts';
import { commonNameOf } from './handshake.ts';

/** `subject` as RFC 4514 writes it. */
const nameOf = async (subject: string) => commonNameOf(new X509Certificate((await makeCertificate({ name: subject, now: Date.now() })).pem));

test('the common name as people wrote it', async () => {
  assert.equal(await nameOf('anna'), 'anna');
  assert.equal(await nameOf('Müller\\, Anna'), 'Müller, Anna');
  assert.equal(await nameOf('a \\+ b'), 'a + b');
  assert.equal(await nameOf('back\\\\slash'), 'back\\slash');
  assert.equal(await nameOf('anna+OU=phones'), 'anna', 'one part of several');
  assert.equal(await nameOf('anna, CN=bert'), 'bert', 'of several the last');
  assert.equal(await nameOf('anna\\, CN=bert'), 'anna, CN=bert', 'a comma within a name begins no other');
  assert.equal(await nameOf('anna \\+ CN=bert'), 'anna + CN=bert');
  assert.notEqual(await nameOf('x\\0ACN=bert'), 'bert', 'nor does the end of a line');
});
