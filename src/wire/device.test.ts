import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { checkEpoch, checkFeedName, checkFileName, encodeGap, encodeJson, encodeLines, encodeStart, parseCheckIn, parseContentDigest, parseDevicePath, parseGap, parseLines, parseOffset, parsePins, parseStart, pinOfFingerprint } from './device.ts';
import { emptySha256, fieldsToSign, isAnswerSignedBy, isRequestSignedBy, parseRequestSignature, sha256Hex, signAnswer, signRequest } from './device-sign.ts';

const refused = (run: () => unknown, code: 'bad-input' | 'not-found' = 'bad-input') => assert.throws(run, (thrown: unknown) => isFault(thrown, code));

test('paths', () => {
  assert.deepEqual(parseDevicePath('/v1/default/push/SN%2F1%20x/cdr/5b1e0c77a1d2e3f4?o=12&t=5'), { customer: 'default', act: 'push', serial: 'SN/1 x', rest: ['cdr', '5b1e0c77a1d2e3f4'], query: 'o=12&t=5' });
  assert.deepEqual(parseDevicePath('/v1/a/check-in/SN'), { customer: 'a', act: 'check-in', serial: 'SN', rest: [], query: '' });
  assert.equal(parseDevicePath('/api/v1/x'), null);
  for (const target of ['/v1/', '/v1/a', '/v1/a/push', '/v1/a/push/', '/v1//push/x']) refused(() => parseDevicePath(target), 'not-found');
  for (const target of ['/v1/a/push/%ff', '/v1/a/push/%00', '/v1/a/push/%0a', `/v1/a/push/${'x'.repeat(129)}`, '/v1/a/push/x/%e0%80']) refused(() => parseDevicePath(target));
});

test('offsets have one spelling', () => {
  for (const text of ['0', '1', '152000', '9007199254740991']) assert.equal(String(parseOffset(text)), text);
  for (const text of [null, '', '-1', '+1', '01', '1.0', '1e3', ' 1', '9007199254740992', '99999999999999999', '0x10', '１']) refused(() => parseOffset(text));
});

test('names', () => {
  for (const name of ['a', 'cdr', '0.a_b-c', 'x'.repeat(64)]) checkFeedName(name);
  for (const name of ['', 'A', '.a', 'a/b', 'x'.repeat(65), 'ä']) refused(() => checkFeedName(name));
  checkEpoch('0123456789abcdef');
  for (const epoch of ['', '0123456789ABCDEF', '0123456789abcde', '0123456789abcdef0']) refused(() => checkEpoch(epoch));
  checkFileName('log ä.txt');
  for (const name of ['', '.', '..', 'a/b', 'a\\b', 'a\nb', 'x'.repeat(256)]) refused(() => checkFileName(name));
});

test('gaps, starts, digests', () => {
  for (const text of ['5-9;reason=wrap', '0-9007199254740991;reason=server-lost']) assert.equal(encodeGap(parseGap(text)), text);
  assert.equal(parseGap('5-9').reason, 'unknown');
  for (const text of ['', '9-5', '5-5', '5', 'a-b', '5-9;reason=', '5-9;reason=Wrap', '5-9;x=1', '05-9']) refused(() => parseGap(text));
  const start = '15;from=https://in2.example.test:8443/v1/acme';
  assert.equal(encodeStart(parseStart(start)), start);
  assert.deepEqual(parseStart('15'), { at: 15, from: '' });
  for (const text of ['', 'x', '15;from=a b', '15;from=a;b', '-1']) refused(() => parseStart(text));
  assert.equal(parseContentDigest('sha-512=:AAAA:, sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:'), emptySha256);
  assert.equal(parseContentDigest('sha-512=:AAAA:'), null);
  refused(() => parseContentDigest('sha-256=:AAAA:'));
});

test('values in lines and in JSON, and back; a value is never two', () => {
  const values = { next: 5, repeat: true, why: 'a\nnext=9\r\n', base: 'https://x.example.test/v1/a?b=c' };
  assert.equal(encodeLines(values), 'next=5\nrepeat=1\nwhy=a next=9 \nbase=https://x.example.test/v1/a?b=c\n');
  assert.deepEqual(Object.fromEntries(parseLines(encodeLines(values))), { next: '5', repeat: '1', why: 'a next=9 ', base: 'https://x.example.test/v1/a?b=c' });
  assert.deepEqual(JSON.parse(encodeJson(values)), { ...values, repeat: 1 });
  assert.deepEqual(Object.fromEntries(parseLines('<html>\na=1\r\na=2\n=3\n')), { a: '1' });
});

test('check-in', () => {
  const said = parseCheckIn('why=boot fw=2.95 name=Front desk hw=ip4\r\nup=37 feed.cdr=5b1e0c77a1d2e3f4:152000:1840:0\nWrong=1 nothing\nfw=3', 50);
  assert.deepEqual(Object.fromEntries(said), { why: 'boot', fw: '2.95', name: 'Front desk', hw: 'ip4', up: '37', 'feed.cdr': '5b1e0c77a1d2e3f4:152000:1840:0' });
  assert.equal(parseCheckIn('a=1 b=2 c=3', 2).size, 2);
});

test('pins', () => {
  const pin = pinOfFingerprint(emptySha256);
  assert.equal(pin, 'sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=');
  assert.deepEqual(parsePins(`${pin}, x,${pin},sha256//short=`), [pin]);
});

test('signatures hold for what they name, and for nothing else', () => {
  const request = { method: 'POST', target: '/v1/default/push/SN/cdr/5b1e0c77a1d2e3f4?o=0', unix: 1_795_159_800, nonce: 'abcdefghijklmnop', bodySha256: sha256Hex('body') };
  const field = signRequest('key', request);
  // Made with `openssl dgst -sha256 -hmac key` over the six lines of the page.
  assert.equal(field, 'v1,1795159800,abcdefghijklmnop,4db9b56cfcf7576a94da883038a7d7ff8189ab866a2e3089b741950019e60ef1');
  const { mac, nonce, unix } = parseRequestSignature(field);
  assert.deepEqual({ nonce, unix }, { nonce: request.nonce, unix: request.unix });
  assert.equal(isRequestSignedBy('key', request, mac), true);
  for (const other of [{ method: 'GET' }, { target: `${request.target}1` }, { unix: 5 }, { nonce: 'bbcdefghijklmnop' }, { bodySha256: emptySha256 }]) assert.equal(isRequestSignedBy('key', { ...request, ...other }, mac), false);
  assert.equal(isRequestSignedBy('other', request, mac), false);
  for (const text of ['', 'v2,1,abcdefghijklmnop,' + mac, 'v1,1,short,' + mac, 'v1,1,abcdefghijklmnop,' + mac.toUpperCase(), 'v1,-1,abcdefghijklmnop,' + mac]) refused(() => parseRequestSignature(text));
  const answer = { nonce, status: 307, location: 'https://in2.example.test/v1/a', bodySha256: emptySha256 };
  const signed = signAnswer('key', answer);
  assert.equal(isAnswerSignedBy('key', answer, signed), true);
  for (const other of [{ nonce: 'bbcdefghijklmnop' }, { status: 308 }, { location: 'https://evil.example.test/' }, { bodySha256: sha256Hex('x') }]) assert.equal(isAnswerSignedBy('key', { ...answer, ...other }, signed), false);
  assert.equal(isAnswerSignedBy('key', answer, 'v1,'), false);
  // A request's signature is no answer's.
  assert.equal(isAnswerSignedBy('key', answer, `v1,${mac}`), false);
});

test('a signature is over every field that decides what becomes of the body', () => {
  const sent = new Map([['x-postern-gap', ' 0-9;reason=wrap '], ['content-encoding', 'gzip'], ['accept', 'text/plain']]);
  const fields = fieldsToSign((name) => sent.get(name) ?? null);
  assert.equal(fields, '\ncontent-encoding:gzip\nx-postern-gap:0-9;reason=wrap');
  const request = { method: 'POST', target: '/v1/acme/push/SN1/cdr/5b1e0c77a1d2e3f4?o=0', unix: 1, nonce: '0123456789abcdef', bodySha256: emptySha256 };
  const { mac } = parseRequestSignature(signRequest('key', { ...request, fields }));
  assert.ok(isRequestSignedBy('key', { ...request, fields }, mac));
  for (const other of ['', '\ncontent-encoding:gzip', fields.replace('0-9', '0-9007199254740991')]) assert.ok(!isRequestSignedBy('key', { ...request, fields: other }, mac), other);
  assert.equal(parseRequestSignature(signRequest('key', request)).mac, parseRequestSignature(signRequest('key', { ...request, fields: '' })).mac);
});

test('a check-in is read in one go, whatever is in it', () => {
  assert.deepEqual([...parseCheckIn('name=Front  desk up=3 fw=2 x Y=4\n a=1', 10)], [['name', 'Front  desk'], ['up', '3'], ['fw', '2 x Y=4'], ['a', '1']]);
  // Looking ahead from each of these spaces took seconds, in which nobody else was answered.
  const began = process.cpuUsage();
  assert.equal(parseCheckIn(`a=${' '.repeat(16_000)}${'b'.repeat(300)}`, 10).get('a'), 'b'.repeat(300));
  assert.equal(parseCheckIn(`a=1${' '.repeat(16_000)}`, 10).get('a'), '1');
  assert.ok(process.cpuUsage(began).user < 500_000, 'microseconds of this process alone');
});

test('nothing that nobody sees is in a serial, nor in a file name what turns its end around', () => {
  for (const hidden of ['\u200b', '\u202e', '\u009b', '\u2028', '\ufeff']) refused(() => parseDevicePath(`/v1/acme/check-in/SN1${encodeURIComponent(hidden)}`));
  assert.equal(parseDevicePath('/v1/acme/check-in/Z%C3%A4hler%20%231')?.serial, 'Zähler #1');
  for (const name of ['invoice\u202efdp.exe', 'a\u2066b', 'a\u0085b', 'a\u2029b']) refused(() => checkFileName(name));
  checkFileName('👩‍🔧 Störung.csv');
});
