import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { encodeRequest } from '#wire/pkcs10.ts';
import { ecKeys, makeCertificate, rsaKeys } from '../../test/kit/authority.ts';
import { keyOf } from './certificate-key.ts';
import { readUpload } from './certificate-upload.ts';
import { makePkcs12 } from './pkcs12.ts';

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';
const dir = mkdtempSync(join(tmpdir(), 'postern-upload-'));
after(() => rmSync(dir, { recursive: true }));
const now = Date.UTC(2026, 5, 1);
const root = await makeCertificate({ name: 'Root', now, ca: true });
const leaf = await makeCertificate({ name: 'gw.example.test', issuer: root, now });
const rsaLeaf = await makeCertificate({ name: 'rsa.example.test', issuer: root, now, keys: await rsaKeys(2048) });
const fingerprints = (keys: readonly Parameters<typeof keyOf>[0][]) => keys.map((key) => keyOf(key).fingerprint);

function openssl(input: string | Buffer, ...args: string[]): Buffer {
  const done = spawnSync('openssl', args, { input });
  assert.equal(done.status, 0, done.stderr.toString());
  return done.stdout;
}

test('PEM with CRLF, text around it, several blocks in one file and the same one twice', async () => {
  const text = `Subject: something\r\n${(leaf.pem + root.pem + leaf.keyPem).replaceAll('\n', '\r\n')}\r\nsee you`;
  const upload = await readUpload([Buffer.from(text), Buffer.from(leaf.pem), Buffer.from(`\ufeff${leaf.keyPem.replaceAll('\n', '   \n')}`)], null);
  assert.deepEqual(upload.certificates.map((each) => each.subject), ['CN=gw.example.test', 'CN=Root']);
  assert.deepEqual(fingerprints(upload.keys), [leaf.keyFingerprint]);
  assert.deepEqual([upload.closedKey, upload.hasRequest, upload.unread], [null, false, []]);
});

test('keys in every form that OpenSSL writes', { skip }, async () => {
  for (const one of [leaf, rsaLeaf]) {
    const kind = one === leaf ? 'ec' : 'rsa';
    const forms: [string, Buffer, string | null][] = [
      ['PKCS#8', Buffer.from(one.keyPem), null],
      ['PKCS#8 DER', openssl(one.keyPem, 'pkcs8', '-topk8', '-nocrypt', '-outform', 'DER'), null],
      ['traditional', openssl(one.keyPem, kind, ...(kind === 'rsa' ? ['-traditional'] : [])), null],
      ['traditional DER', openssl(one.keyPem, kind, '-outform', 'DER', ...(kind === 'rsa' ? ['-traditional'] : [])), null],
      ['PKCS#8, encrypted', openssl(one.keyPem, 'pkcs8', '-topk8', '-passout', 'pass:grüße'), 'grüße'],
      ['PKCS#8 DER, encrypted', openssl(one.keyPem, 'pkcs8', '-topk8', '-outform', 'DER', '-passout', 'pass:grüße'), 'grüße'],
      ['traditional, encrypted', Buffer.from(openssl(one.keyPem, kind, '-aes256', '-passout', 'pass:grüße', ...(kind === 'rsa' ? ['-traditional'] : [])).toString().replaceAll('\n', '\r\n')), 'grüße'],
    ];
    for (const [title, file, passphrase] of forms) {
      const upload = await readUpload([Buffer.from(one.pem), file], passphrase);
      assert.deepEqual(fingerprints(upload.keys), [one.keyFingerprint], `${kind} ${title}`);
      assert.deepEqual([upload.closedKey, upload.unread], [null, []], `${kind} ${title}`);
      if (passphrase === null) continue;
      assert.equal((await readUpload([file], null)).closedKey, 'passphrase-wanted', title);
      assert.equal((await readUpload([file], 'gruesse')).closedKey, 'passphrase-wrong', title);
    }
  }
});

test('DER, PKCS#7 and PKCS#12 are told apart by what they are', { skip }, async () => {
  writeFileSync(join(dir, 'chain.pem'), leaf.pem + root.pem);
  const p7 = (form: string) => openssl('', 'crl2pkcs7', '-nocrl', '-certfile', join(dir, 'chain.pem'), '-outform', form);
  const pfx = await makePkcs12({ certificates: [leaf.der, root.der], key: createPrivateKey(leaf.keyPem).export({ type: 'pkcs8', format: 'der' }), friendlyName: 'x', passphrase: 'x', random: randomBytes });
  for (const file of [p7('PEM'), p7('DER'), pfx]) {
    const upload = await readUpload([file], 'x');
    assert.deepEqual(upload.certificates.map((each) => each.subject).sort(), ['CN=Root', 'CN=gw.example.test']);
    assert.deepEqual(upload.unread, []);
    assert.equal(upload.keys.length, file === pfx ? 1 : 0);
  }
  assert.deepEqual((await readUpload([leaf.der, root.der], null)).certificates.map((each) => each.subject), ['CN=gw.example.test', 'CN=Root']);
  assert.deepEqual([(await readUpload([pfx], null)).closedKey, (await readUpload([pfx], 'y')).closedKey], ['passphrase-wanted', 'passphrase-wrong']);
});

test('what is something else is said', async () => {
  const request = encodeRequest(leaf.keyPem, { subject: { commonName: 'x' }, dns: ['gw.example.test'], ip: [] });
  assert.equal((await readUpload([Buffer.from(request)], null)).hasRequest, true);
  assert.equal((await readUpload([Buffer.from(request.replace(/-----.*-----/g, ''), 'base64')], null)).hasRequest, true);
  const upload = await readUpload([Buffer.from('hello'), Buffer.from('-----BEGIN CERTIFICATE-----\nMIIB'), Buffer.from('-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'), Buffer.from('-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----'), Buffer.from('-----BEGIN OPENSSH PRIVATE KEY-----\nMIIB\n-----END OPENSSH PRIVATE KEY-----\n-----BEGIN THING-----\n\n-----END THING-----'), Buffer.from(' \n')], null);
  assert.deepEqual(upload.unread, [
    'a file that is neither PEM nor DER nor PKCS#12',
    'a PEM block without its end',
    'a certificate that is damaged or of an unknown kind',
    'a private key that is damaged or of an unknown kind',
    'a private key that is damaged or of an unknown kind',
    'a PEM block "THING"',
  ]);
  await assert.rejects(readUpload([Buffer.alloc(300 * 1024)], null), (thrown) => isFault(thrown, 'too-large'));
  await assert.rejects(readUpload([Buffer.from(leaf.pem.repeat(60))], null), (thrown) => isFault(thrown, 'too-many'));
});

test('bent files are listed or refused, and nothing else is thrown', async () => {
  const { keyPem } = await makeCertificate({ name: 'x', now, keys: await ecKeys('P-384') });
  const whole = [leaf.der, createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' }), Buffer.from(leaf.pem + keyPem)];
  let seed = 5;
  const random = () => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff);
  for (const file of whole) {
    for (let i = 0; i < 300; i++) {
      const bent = Buffer.from(file.subarray(0, i % 3 === 0 ? random() % file.length : file.length));
      if (bent.length > 0) bent[random() % Math.min(bent.length, i % 2 ? bent.length : 60)] = random() & 0xff;
      await readUpload([bent], 'x').catch((thrown: unknown) => assert.ok(isFault(thrown), String(thrown)));
    }
  }
});
