import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readSipCorpus } from '#kit/sip-corpus.ts';
import { parseVia, sipTokens } from './sip-edits.ts';
import { encodeSipRefusal } from './sip-refusal.ts';
import { canonicalSipHost, parseNameAddr, parseSipUri, splitOutside } from './sip-uri.ts';
import { parseSipMessage, readSipHead, sniffSip, type SipFacts } from './sip.ts';
import type { Unsettled } from './sniff.ts';

const corpus = readSipCorpus();

test('the corpus is read whole', () => {
  assert.ok(corpus.length > 70);
  assert.ok(corpus.filter((sample) => sample.expected.malformed !== undefined).length > 30);
  assert.ok(corpus.every((sample) => Object.keys(sample.expected).length > 0));
});

function check(sniffed: Unsettled | SipFacts, sample: (typeof corpus)[number]): void {
  const { expected, bytes } = sample;
  if (expected.no) return assert.deepEqual(sniffed, { kind: 'no' });
  if (expected.malformed !== undefined) {
    assert.equal(sniffed.kind, 'malformed', JSON.stringify(sniffed));
    return assert.ok(sniffed.kind === 'malformed' && sniffed.why.includes(expected.malformed), JSON.stringify(sniffed));
  }
  const start = /^(\r\n)*/.exec(bytes.toString('latin1'))![0].length;
  const { method, domain, user, fromUser } = expected;
  assert.deepEqual(sniffed, { kind: 'sip', method, domain, user, fromUser, headBytes: bytes.indexOf('\r\n\r\n', start) + 4 });
}

for (const sample of corpus) {
  test(`first bytes: ${sample.title}`, () => {
    const whole = sniffSip(sample.bytes);
    check(whole, sample);
    for (let end = 0; end < sample.bytes.length; end++) {
      const beginning = sniffSip(sample.bytes.subarray(0, end));
      // Facts need the whole head; a verdict on a beginning is the verdict.
      if (whole.kind === 'sip' && end < whole.headBytes) assert.deepEqual(beginning, { kind: 'more' }, `the first ${end} bytes`);
      else if (beginning.kind !== 'more') assert.deepEqual(beginning, whole, `the first ${end} bytes`);
    }
    assert.deepEqual(sniffSip(Buffer.concat([sample.bytes, Buffer.from('\0garbage\r\n\r\n')])), whole, 'with garbage behind');
  });
}

test('what is malformed is answered, or cannot be', () => {
  for (const { title, bytes, expected } of corpus) {
    if (expected.refusal === undefined) continue;
    const answer = encodeSipRefusal(bytes, expected.refusal || 400);
    if (expected.refusal === 0) assert.equal(answer, null, title);
    else assert.match(answer!.toString('latin1'), new RegExp(`^SIP/2\\.0 ${expected.refusal} [A-Z][^\r\n]*\r\nVia: [^\r]*\r\n[^\0]*\r\nContent-Length: 0\r\n\r\n$`), title);
  }
});

test('a head that never ends, a line that never ends', () => {
  const endless = Buffer.concat([Buffer.from('REGISTER sip:a.example.test SIP/2.0\r\nX: '), Buffer.alloc(20_000, 0x61)]);
  assert.equal(sniffSip(endless.subarray(0, 16_383)).kind, 'more');
  assert.equal(sniffSip(endless.subarray(0, 16_384)).kind, 'malformed');
  assert.equal(sniffSip(endless).kind, 'malformed');
  assert.equal(sniffSip(Buffer.concat([Buffer.from('REGISTER '), Buffer.alloc(20_000, 0x61)])).kind, 'no');
  assert.equal(sniffSip(Buffer.alloc(65, 0x41)).kind, 'no', 'a method of more than 64 characters');
  assert.equal(sniffSip(Buffer.from(' sip:a SIP/2.0\r\n')).kind, 'no');
});

test('runs of blanks cost no more than their length', () => {
  // Where a run of them is looked at once for each of its characters, each of these takes the better part of an hour.
  const blanks = ' '.repeat(2_000_000);
  const fields = [`To: a${blanks}"<sip:a@a.test>`, `To: <sip:a@a.test>;a${blanks}b`, `To: "a"${blanks}b<sip:a@a.test>`, `To: a${blanks}b`, `To: <sip:a@a.test>\r\nX: a${blanks}\r\n b`, `To${blanks}x: b`, `To: <sip:a@a.test>\r\nCSeq: 1${blanks}`];
  for (const field of fields) {
    const head = readSipHead(`OPTIONS sip:a.test SIP/2.0${blanks}\r\nVia: x\r\nCall-ID: 1\r\nFrom: <sip:a@a.test>\r\n${field}\r\n`);
    if (typeof head !== 'string') assert.equal(parseSipMessage(head).kind, 'bad');
  }
  assert.equal(parseVia(`SIP/2.0/TCP a${blanks}b`), null);
  assert.equal(parseVia(`SIP${blanks}/2.0/TCP a;b${blanks}c`), null);
  assert.deepEqual(sipTokens([{ name: 'supported', shown: 'k', value: `a${blanks}b,c` }], 'supported'), [`a${blanks}b`, 'c']);
});

test('hosts have one spelling', () => {
  const same: Record<string, string | null> = {
    'A.Example.TEST': 'a.example.test',
    'a.example.test.': 'a.example.test',
    localhost: 'localhost',
    '192.0.2.1': '192.0.2.1',
    '[2001:DB8::0]': '[2001:db8::]',
    '[::ffff:192.0.2.1]': '192.0.2.1',
    '': null,
    '.': null,
    'a..test': null,
    '-a.test': null,
    'a_b.test': 'a_b.test',
    'a-.test': null,
    '192.0.2.1.': null,
    '192.0.2': null,
    '0300.0.2.1': null,
    '[192.0.2.1': null,
    '[zz::]': null,
    '2001:db8::1': null,
    'a.test\0.evil.test': null,
    [`${'a'.repeat(64)}.test`]: null,
    [`${'a.'.repeat(127)}test`]: null,
  };
  for (const [text, host] of Object.entries(same)) assert.equal(canonicalSipHost(text), host, text);
});

test('users are never mixed up', () => {
  const userOf = (text: string) => parseSipUri(text)?.user;
  assert.equal(userOf('sip:%61lice@a.test'), 'alice');
  assert.equal(userOf('sip:Alice@a.test'), 'Alice');
  assert.equal(userOf('sip:a%2500@a.test'), 'a%2500');
  assert.equal(userOf('sip:a%00@a.test'), 'a%00');
  assert.equal(userOf('sip:%c3%a9@a.test'), '%C3%A9');
  assert.equal(userOf('sip:alice:secret@a.test'), 'alice');
  assert.equal(userOf('sip:*#21@a.test'), '*#21');
  assert.equal(userOf('tel:+1-201;phone-context=x'), '+1-201');
  for (const text of ['sip:', 'sip:@a.test', 'sip:a@', 'sip::a@a.test', 'sip:a@a.test;x=1;X=2', 'sip:a@a.test;x=y@b.test', 'sip:a@a.test:0', 'sip:a@a.test:', 'sip:a b@a.test', 'a@a.test', 'sip:é@a.test', 'sip:a@[::1', 'sip:a@a.test,b']) {
    assert.equal(parseSipUri(text), null, text);
  }
});

test('a name and an address', () => {
  assert.equal(parseNameAddr('"<sip:evil@x.test>" <sip:a@a.test>;tag=1')?.uri.host, 'a.test');
  assert.equal(parseNameAddr('Smith (Sales): 1/2 <sip:a@a.test>')?.uri.user, 'a');
  assert.equal(parseNameAddr('sip:a@a.test;tag=1')?.params.get('tag'), '1');
  assert.equal(parseNameAddr('<sip:a@a.test;tag=1>')?.params.has('tag'), false);
  assert.equal(parseNameAddr('<sip:a@a.test>;x="a;\\"b"')?.params.get('x'), '"a;\\"b"');
  for (const text of ['', '<>', '<sip:a@a.test', 'sip:a@a.test>', '<sip:a@a.test><sip:b@b.test>', 'a" <sip:a@a.test>', '<sip:a@a.test>x', '<sip:a@a.test>;', 'sip:a@a.test?x=y', 'sip:a@a.test, sip:b@b.test', '<sip:a@a.test>;tag=1;tag=2']) {
    assert.equal(parseNameAddr(text), null, text);
  }
  assert.deepEqual(splitOutside('<a,b>, "c,\\"," , d', ','), ['<a,b>', '"c,\\","', 'd']);
  assert.equal(splitOutside('"a', ','), null);
});

test('an answer of ours: what is copied, what is added', () => {
  const request = 'INVITE sip:bob@b.example.test SIP/2.0\r\nv: SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK1\r\nVia: SIP/2.0/TCP 192.0.2.8\r\nMax-Forwards: 70\r\nf: <sip:a@a.example.test>;tag=9\r\nTo: <sip:bob@b.example.test>\r\ni: x\r\nCSeq: 7 INVITE\r\nl: 0\r\n\r\n';
  const answer = encodeSipRefusal(Buffer.from(`\r\n\r\n${request}`), 403)!.toString();
  assert.match(answer, /^SIP\/2\.0 403 Forbidden\r\nv: SIP\/2\.0\/TCP 192\.0\.2\.7;branch=z9hG4bK1\r\nVia: SIP\/2\.0\/TCP 192\.0\.2\.8\r\nf: <sip:a@a\.example\.test>;tag=9\r\nTo: <sip:bob@b\.example\.test>;tag=[0-9a-f]{16}\r\ni: x\r\nCSeq: 7 INVITE\r\nContent-Length: 0\r\n\r\n$/);
  assert.equal(encodeSipRefusal(Buffer.from(request), 403)!.toString(), answer, 'a repeated request gets the same tag');
  assert.match(encodeSipRefusal(Buffer.from(request.replace('test>\r\ni:', 'test>;tag=8\r\ni:')), 481, 'No Such Dialog')!.toString(), /^SIP\/2\.0 481 No Such Dialog\r\n[^]*To: <sip:bob@b\.example\.test>;tag=8\r\n/);
  assert.equal(encodeSipRefusal(Buffer.from(request.replaceAll('INVITE', 'ACK')), 403), null);
  assert.equal(encodeSipRefusal(Buffer.from(request.slice(0, 100)), 403), null);
});
