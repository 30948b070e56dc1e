import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { encodeRequest } from '#wire/pkcs10.ts';
import { dayMs, ecKeys, makeCertificate, rsaKeys, type Made } from '../../test/kit/authority.ts';
import { readUpload } from './certificate-upload.ts';
import { certificateRow } from '../../test/kit/certificate-rows.ts';
import { judgeUpload, questionOf, type JudgedUpload, type UploadQuestion } from './certificate-verdict.ts';

const now = Date.UTC(2026, 5, 1);
const serverAuth = '1.3.6.1.5.5.7.3.1';
const clientAuth = '1.3.6.1.5.5.7.3.2';
const names = [{ type: 'dns', value: 'gw.example.test' }, { type: 'dns', value: '*.gw.example.test' }] as const;
const root = await makeCertificate({ name: 'Root', now, ca: true, days: 3_000 });
const middle = await makeCertificate({ name: 'Middle', issuer: root, now, ca: true, days: 1_000 });
const lower = await makeCertificate({ name: 'Lower', issuer: middle, now, ca: true, days: 1_000 });
const leafWith = (more: Partial<Parameters<typeof makeCertificate>[0]> = {}) => makeCertificate({ name: 'gw.example.test', issuer: lower, now, usages: [serverAuth], names: [...names], ...more });
const leaf = await leafWith();
const x509 = (made: Made) => new X509Certificate(made.pem);

async function judge(files: readonly (string | Buffer)[], change: Partial<UploadQuestion> = {}, passphrase: string | null = null): Promise<JudgedUpload & { said: string[] }> {
  const upload = await readUpload(files.map((file) => Buffer.from(file)), passphrase);
  const judged = judgeUpload({ upload, knownKeys: [], knownIssuers: [], roots: [], wantedNames: [], now, ...change });
  assert.equal(judged.material === null, judged.verdicts.some((each) => each.severity === 'error'), 'material exactly without errors');
  const order = judged.verdicts.map((each) => ['error', 'warning', 'ok'].indexOf(each.severity));
  assert.deepEqual(order, order.toSorted(), 'errors first');
  return { ...judged, said: judged.verdicts.map((each) => `${each.severity}: ${each.text}${each.remedy === null ? '' : ` | ${each.remedy}`}`) };
}

const says = (judged: { said: string[] }, pattern: RegExp) => assert.ok(judged.said.some((line) => pattern.test(line)), `${String(pattern)} in:\n${judged.said.join('\n')}`);
const chainOf = (judged: JudgedUpload) => [...(judged.material?.chainPem.matchAll(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [])].map(([pem]) => new X509Certificate(pem).subject);

test('in whatever order it comes, the chain is found, ordered and goes without the root', async () => {
  const parts = [leaf.pem, lower.pem, middle.pem, root.pem, leaf.keyPem];
  for (let turn = 0; turn < parts.length; turn++) {
    for (const order of [[...parts.slice(turn), ...parts.slice(0, turn)], [...parts.slice(turn), ...parts.slice(0, turn)].toReversed()]) {
      const judged = await judge([order.join('')]);
      assert.deepEqual(chainOf(judged), ['CN=gw.example.test', 'CN=Lower', 'CN=Middle']);
      assert.equal(judged.facts?.keyFingerprint, leaf.keyFingerprint);
      says(judged, /^ok: the chain is whole, up to Root; the root itself is left out/);
      assert.equal(judged.said.some((line) => /put in order/.test(line)), order.filter((pem) => [leaf.pem, lower.pem, middle.pem].includes(pem)).join() !== [leaf.pem, lower.pem, middle.pem].join());
      assert.ok(judged.verdicts.every((each) => each.severity === 'ok'), judged.said.join('\n'));
    }
  }
});

test('a missing intermediate is named, or added where the gateway knows it', async () => {
  const alone = await judge([leaf.pem, leaf.keyPem]);
  says(alone, /^warning: the intermediate Lower, which signed it, is missing.*\| Upload it together/);
  const linked = await leafWith({ issuersAt: 'http://ca.example.test/lower.cer' });
  says(await judge([linked.pem, linked.keyPem]), /or at http:\/\/ca\.example\.test\/lower\.cer/);
  const completed = await judge([leaf.pem, leaf.keyPem], { knownIssuers: [x509(middle), x509(lower)], roots: [x509(root)] });
  assert.deepEqual(chainOf(completed), ['CN=gw.example.test', 'CN=Lower', 'CN=Middle']);
  says(completed, /^ok: the intermediate Lower was missing/);
  says(completed, /^ok: the chain is whole, up to Root$/);
  says(await judge([leaf.pem, lower.pem, leaf.keyPem]), /^ok: the chain ends below Middle/);
  // Same name, another key: not the issuer.
  const impostor = await makeCertificate({ name: 'Lower', now, ca: true, issuer: middle });
  const refused = await judge([leaf.pem, impostor.pem, leaf.keyPem]);
  says(refused, /the intermediate Lower, which signed it, is missing/);
  says(refused, /one certificate does not belong to the chain and is left out: Lower/);
  says(await judge([leaf.pem, leaf.keyPem], { knownIssuers: [x509(root)] }), /missing/);
});

test('the key: fits, missing, another one’s, held here', async () => {
  const other = await leafWith({ name: 'other.example.test' });
  says(await judge([leaf.pem]), /^error: the private key is missing/);
  says(await judge([leaf.pem, other.pem, (await leafWith({ name: 'third' })).keyPem], {}), /^error: the private key does not belong to this certificate; it belongs to something else \(ec-p256, fingerprint [0-9a-f]{16}…\)/);
  const knownKeys = [{ fingerprint: leaf.keyFingerprint, of: 'the request of front', fits: true }, { fingerprint: other.keyFingerprint, of: 'certificate back', fits: false }];
  const answer = await judge([lower.pem, leaf.pem], { knownKeys });
  says(answer, /^ok: its private key is here: that of the request of front/);
  assert.equal(answer.material?.keyPem, null);
  says(await judge([other.pem], { knownKeys }), /^error: its key is that of certificate back \| Upload it there/);
  says(await judge([leaf.pem, other.keyPem], { knownKeys: [knownKeys[1]!] }), /it belongs to certificate back/);
  says(await judge([leaf.pem, other.keyPem], { knownKeys }), /^warning: the private key in it belongs to certificate back and is left out; that of the request of front is used/);
  const both = await judge([leaf.pem, other.pem, other.keyPem]);
  assert.equal(both.facts?.subject, 'CN=other.example.test', 'the certificate whose key is there is the one');
  const renewed = await leafWith({ keys: leaf.keys, days: 180 });
  assert.equal((await judge([leaf.pem, renewed.pem, leaf.keyPem])).facts?.notAfter, now + 180 * dayMs, 'of two with one key the later');
});

test('what the gateway knows by itself', async () => {
  const row = (name: string, change: object) => certificateRow({ name, chainPem: leaf.pem + lower.pem + middle.pem, ...change });
  const front = row('front', { keyFingerprint: 'a', csrKeyFingerprint: leaf.keyFingerprint });
  const back = row('back', { chainPem: null, keyFingerprint: null, previousKeyFingerprint: leaf.keyFingerprint });
  const upload = await readUpload([Buffer.from(leaf.pem)], null);
  const asked = (replaces: typeof front | null) => questionOf({ upload, certificates: [back, front], replaces, caPem: root.pem, roots: [], wantedNames: [], now });
  const judged = judgeUpload(asked(front));
  assert.deepEqual(judged.verdicts.map((each) => each.text).filter((text) => /is here|chain|intermediate/.test(text)).sort(), [
    'its private key is here: that of the request of front',
    'the chain is whole, up to Root',
    'the intermediate Lower was missing; the gateway knew it and has added it',
    'the intermediate Middle was missing; the gateway knew it and has added it',
  ]);
  assert.match(judgeUpload(asked(null)).verdicts[0]!.text, /its key is that of what certificate back was before/);
  assert.match(judgeUpload(asked(back)).verdicts.map((each) => each.text).join(), /is here: that of what certificate back was before/);
});

test('closed keys', async () => {
  const { createPrivateKey } = await import('node:crypto');
  const closed = createPrivateKey(leaf.keyPem).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'right' }).toString();
  says(await judge([leaf.pem, closed]), /^error: the private key is encrypted and wants its passphrase/);
  says(await judge([leaf.pem, closed], {}, 'wrong'), /^error: the passphrase does not open the private key/);
  says(await judge([leaf.pem, closed], {}, 'right'), /^ok: the private key belongs to it/);
  says(await judge([closed]), /wants its passphrase/);
});

test('time', async () => {
  const cases: [Partial<Parameters<typeof makeCertificate>[0]>, RegExp][] = [
    [{ days: -1, from: now - 100 * dayMs }, /^error: it expired on 2026-05-31/],
    [{ days: 0, from: now - 100 * dayMs }, /^error: it expired on 2026-06-01/],
    [{ from: now + dayMs }, /^warning: it is not valid before 2026-06-02/],
    [{ days: 29 }, /^warning: it ends in 29 days, on 2026-06-30/],
    [{ days: 1 }, /^warning: it ends in 1 day,/],
    [{ days: 30 }, /^ok: it is valid until 2026-07-01, 30 days/],
    [{ days: 900 }, /^warning: it is valid for more than 825 days/],
  ];
  for (const [more, pattern] of cases) {
    const one = await leafWith(more);
    says(await judge([one.pem, one.keyPem, lower.pem, middle.pem, root.pem]), pattern);
  }
  const late = await judge([leaf.pem, leaf.keyPem, lower.pem, middle.pem], { now: now + 2_000 * dayMs });
  says(late, /^error: the intermediate Lower expired/);
  const short = await makeCertificate({ name: 'Short', issuer: root, now, ca: true, days: 10 });
  const one = await leafWith({ issuer: short });
  says(await judge([one.pem, short.pem, one.keyPem]), /^warning: the intermediate Short ends before it, on 2026-06-11/);
});

test('names that are covered and names that are not', async () => {
  const judged = (wantedNames: string[]) => judge([leaf.pem, leaf.keyPem, lower.pem, middle.pem, root.pem], { wantedNames });
  says(await judged(['gw.example.test', '*.gw.example.test', 'a.gw.example.test']), /^ok: it covers every name of the gateway/);
  says(await judged(['gw.example.test', 'b.example.test', '*.example.test']), /^warning: of the gateway's names it does not cover b\.example\.test, \*\.example\.test/);
  says(await judged(['b.example.test']), /^warning: it covers none of the gateway's names \(b\.example\.test\)/);
  says(await judged(Array.from({ length: 14 }, (_, i) => `n${i}.example.test`)), /n9\.example\.test and 4 more/);
  const { names: _, ...nameless } = { name: 'gw.example.test', issuer: lower, now, names };
  const old = await makeCertificate(nameless);
  says(await judge([old.pem, old.keyPem]), /^warning: it has no alternative names/);
});

test('what it is for', async () => {
  const client = await leafWith({ usages: [clientAuth] });
  const judged = await judge([client.pem, client.keyPem, lower.pem, middle.pem, root.pem], { wantedNames: ['gw.example.test'] });
  says(judged, /^warning: it is good for clients only/);
  assert.deepEqual(judged.facts?.names, { dns: [], ip: [] }, 'it is shown under no name');
  const mail = await leafWith({ usages: ['1.3.6.1.5.5.7.3.4'] });
  says(await judge([mail.pem, mail.keyPem]), /^error: it is good for neither servers nor clients/);
  says(await judge([middle.pem, middle.keyPem]), /^error: Middle is the certificate of an authority/);
  const own = await makeCertificate({ name: 'gw.example.test', now, names: [...names] });
  says(await judge([own.pem, own.keyPem]), /^warning: it is signed by itself/);
});

test('weak keys and signatures', async () => {
  const small = await leafWith({ keys: await rsaKeys(1024) });
  says(await judge([small.pem, small.keyPem, lower.pem]), /^error: its key is too weak or unusual: an RSA key of 1024 bits/);
  const rsaRoot = await makeCertificate({ name: 'Old root', now, ca: true, keys: await rsaKeys(2048, 'SHA-1'), hash: 'SHA-1' });
  const sha1 = await leafWith({ issuer: rsaRoot, hash: 'SHA-1' });
  says(await judge([sha1.pem, sha1.keyPem, rsaRoot.pem]), /^error: it is signed with .*sha1/i);
  const selfSigned = await makeCertificate({ name: 'gw.example.test', now, keys: await rsaKeys(2048, 'SHA-1'), hash: 'SHA-1', names: [...names] });
  assert.ok((await judge([selfSigned.pem, selfSigned.keyPem])).material, 'how it signed itself does not count: nobody looks at it');
  const weakMiddle = await makeCertificate({ name: 'Weak', issuer: rsaRoot, now, ca: true, keys: await rsaKeys(1024) });
  const below = await leafWith({ issuer: weakMiddle, keys: await ecKeys('P-384') });
  const judged = await judge([below.pem, below.keyPem, weakMiddle.pem, rsaRoot.pem]);
  says(judged, /^error: the intermediate Weak is signed with/);
  says(judged, /^error: the key of the intermediate Weak is too weak/);
});

test('what is no certificate', async () => {
  says(await judge(['']), /^error: there is no certificate in it/);
  says(await judge([leaf.keyPem]), /^error: there is no certificate in it/);
  says(await judge([encodeRequest(leaf.keyPem, { subject: { commonName: 'x' }, dns: [], ip: [] })]), /^error: this is a request \(CSR\), not its answer/);
  says(await judge([`${leaf.pem}-----BEGIN THING-----\n\n-----END THING-----\n`, leaf.keyPem]), /^warning: a PEM block "THING" could not be read/);
});
