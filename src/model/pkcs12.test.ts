import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { issueServerLeaf, makeCa } from './certificate.ts';
import { keyOf } from './certificate-key.ts';
import { makeKeyPair } from './key-pair.ts';
import { makePkcs12, openPkcs12 } from './pkcs12.ts';

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed';
const dir = mkdtempSync(join(tmpdir(), 'postern-pkcs12-'));
after(() => rmSync(dir, { recursive: true }));
const now = Date.UTC(2026, 5, 1);
const passphrase = 'Zürich & 🔑 "2026"';

async function made(privateKey: KeyObject) {
  const keys = await makeKeyPair();
  const ca = { certificatePem: (await makeCa({ name: 'Test CA', keys, now, random: randomBytes })).pem, signingKey: keys.privateKey };
  const key = keyOf(privateKey);
  const leaf = await issueServerLeaf({ ca, names: { dns: ['gw.example.test'], ip: [] }, publicKey: key.spki, now, random: randomBytes });
  return { leafPem: leaf.pem, caPem: ca.certificatePem, keyPem: key.pem, key, der: (pem: string) => Buffer.from(new X509Certificate(pem).raw) };
}

const ec = await made(generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey);
const rsa = await made(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
const fileOf = (name: string, text: string | Buffer) => {
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};

function openssl(input: string | Buffer, ...args: string[]) {
  const done = spawnSync('openssl', args, { input });
  return { ok: done.status === 0, out: done.stdout, text: done.stdout.toString(), error: done.stderr.toString() };
}

function exported(one: typeof ec, pass: string, ...args: string[]): Buffer {
  const done = openssl('', 'pkcs12', '-export', '-inkey', fileOf('key.pem', one.keyPem), '-in', fileOf('leaf.pem', one.leafPem), '-certfile', fileOf('ca.pem', one.caPem), '-passout', `pass:${pass}`, ...args);
  assert.ok(done.ok, done.error);
  return done.out;
}

test('what OpenSSL writes is opened, in every way that it writes', { skip }, async () => {
  const ways = [[], ['-legacy'], ['-descert'], ['-certpbe', 'AES-128-CBC', '-keypbe', 'AES-192-CBC', '-macalg', 'sha512', '-iter', '5000'], ['-certpbe', 'NONE', '-keypbe', 'NONE'], ['-nomac'], ['-certpbe', 'PBE-SHA1-2DES', '-keypbe', 'PBE-SHA1-RC2-128', '-legacy', '-macalg', 'sha1']];
  for (const one of [ec, rsa]) {
    for (const way of ways) {
      for (const pass of [passphrase, '']) {
        if (pass === '' && way.length > 3) continue;
        const opened = await openPkcs12(exported(one, pass, ...way), pass);
        assert.deepEqual(opened.certificates.map((each) => each.toString('hex')), [one.leafPem, one.caPem].map((pem) => one.der(pem).toString('hex')), way.join(' '));
        assert.deepEqual(opened.keys.map((der) => keyOf(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })).fingerprint), [one.key.fingerprint], way.join(' '));
      }
    }
  }
});

test('what we write is opened by OpenSSL, and by us', { skip }, async () => {
  for (const one of [ec, rsa]) {
    const key = createPrivateKey(one.keyPem).export({ type: 'pkcs8', format: 'der' });
    const file = await makePkcs12({ certificates: [one.der(one.leafPem), one.der(one.caPem)], key, friendlyName: 'Tür 1', passphrase, random: randomBytes });
    const read = openssl(file, 'pkcs12', '-info', '-noenc', '-passin', `pass:${passphrase}`);
    assert.ok(read.ok, read.error);
    assert.match(read.error, /MAC: sha256, Iteration 2048/);
    assert.match(read.error, /PBES2, PBKDF2, AES-256-CBC, Iteration 10000, PRF hmacWithSHA256/);
    assert.match(read.text, /friendlyName: T/);
    assert.equal((read.text.match(/localKeyID/g) ?? []).length, 2);
    assert.equal(read.text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)?.length, 2);
    assert.equal(keyOf(createPrivateKey(read.text)).fingerprint, one.key.fingerprint);
    assert.equal(openssl(file, 'pkcs12', '-noout', '-passin', 'pass:wrong').ok, false);
    const opened = await openPkcs12(file, passphrase);
    assert.deepEqual(opened.keys, [key]);
    assert.equal(opened.certificates.length, 2);
  }
});

test('what we write for old readers is 3DES and SHA-1, and nothing is written without a passphrase', { skip }, async () => {
  const order = { certificates: [ec.der(ec.leafPem)], key: createPrivateKey(ec.keyPem).export({ type: 'pkcs8', format: 'der' }), friendlyName: 'x', random: randomBytes };
  const file = await makePkcs12({ ...order, passphrase, forOldReaders: true });
  const read = openssl(file, 'pkcs12', '-info', '-noenc', '-passin', `pass:${passphrase}`);
  assert.ok(read.ok, read.error);
  assert.match(read.error, /MAC: sha1[^]*pbeWithSHA1And3-KeyTripleDES-CBC/);
  assert.doesNotMatch(read.error, /AES/);
  assert.equal(keyOf(createPrivateKey(read.text)).fingerprint, ec.key.fingerprint);
  assert.equal((await openPkcs12(file, passphrase)).keys.length, 1);
  await assert.rejects(makePkcs12({ ...order, passphrase: '' }), (thrown) => isFault(thrown, 'bad-input'));
});

test('a wrong passphrase and a missing one are told apart', { skip }, async () => {
  const file = exported(ec, 'right');
  await assert.rejects(openPkcs12(file, 'wrong'), (thrown) => isFault(thrown, 'unauthenticated') && /does not fit/.test(thrown.message));
  for (const none of [null, '']) await assert.rejects(openPkcs12(file, none), (thrown) => isFault(thrown, 'unauthenticated') && /wants a passphrase/.test(thrown.message));
  // Without a checksum only what comes out can tell.
  await assert.rejects(openPkcs12(exported(ec, 'right', '-nomac'), 'wrong'), (thrown) => isFault(thrown, 'bad-input'));
});

test('BER with indefinite lengths and cut octet strings is read', { skip }, async () => {
  const file = exported(ec, 'x', '-certpbe', 'NONE', '-keypbe', 'NONE');
  const parsedText = openssl(file, 'asn1parse', '-inform', 'DER').text;
  const [, , headText, lengthText] = /^ *(\d+):d=3 +hl=(\d) l= *(\d+) prim: OCTET STRING/m.exec(parsedText) ?? [];
  assert.ok(headText && lengthText);
  // The content of the whole file, in two pieces of an octet string without a length.
  const at = Number(/^ *(\d+):d=3 +hl=\d l= *\d+ prim: OCTET STRING/m.exec(parsedText)![1]);
  const head = Number(headText);
  const content = file.subarray(at + head, at + head + Number(lengthText));
  const piece = (bytes: Buffer) => Buffer.concat([Buffer.from([0x04, 0x82, bytes.length >> 8, bytes.length & 0xff]), bytes]);
  const end = Buffer.from([0, 0]);
  const cut = Buffer.concat([Buffer.from([0x24, 0x80]), piece(content.subarray(0, 300)), piece(content.subarray(300)), end]);
  const data = Buffer.from('06092a864886f70d010701', 'hex');
  const safe = Buffer.concat([Buffer.from([0x30, 0x80]), data, Buffer.from([0xa0, 0x80]), cut, end, end]);
  const rest = file.subarray(at + head + Number(lengthText));
  const ber = Buffer.concat([Buffer.from([0x30, 0x80, 2, 1, 3]), safe, rest, end]);
  assert.equal((await openPkcs12(ber, 'x')).certificates.length, 2);
});

test('nothing that is sent breaks it, and nobody makes it count for ever', { skip, timeout: 120_000 }, async () => {
  const file = exported(ec, 'x', '-iter', '1', '-macalg', 'sha256');
  const faults = new Set<string>();
  const reads = async (bytes: Buffer) => {
    try {
      await openPkcs12(bytes, 'x');
    } catch (thrown) {
      assert.ok(isFault(thrown), String(thrown));
      faults.add(thrown.code);
    }
  };
  for (let cut = 0; cut < file.length; cut += 7) await reads(file.subarray(0, cut));
  let seed = 11;
  const random = () => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff);
  for (let i = 0; i < 600; i++) {
    const bent = Buffer.from(file);
    bent[random() % (i % 2 ? bent.length : 80)] = random() & 0xff;
    await reads(bent);
  }
  assert.deepEqual([...faults].sort(), ['bad-input', 'unauthenticated']);
  const slow = Buffer.from(exported(ec, 'x', '-iter', '65537', '-macalg', 'sha256'));
  const at = slow.lastIndexOf(Buffer.from([2, 3, 1, 0, 1]));
  slow.set([0x7f, 0xff, 0xff], at + 2);
  await assert.rejects(openPkcs12(slow, 'x'), (thrown) => isFault(thrown, 'bad-input') && /rounds/.test(thrown.message));
  await assert.rejects(openPkcs12(Buffer.alloc(300 * 1024), 'x'), (thrown) => isFault(thrown, 'too-large'));
});
