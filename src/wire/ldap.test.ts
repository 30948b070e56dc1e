import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { limits } from '#base/limits.ts';
import { encodeBindRefusal, encodeDisconnection, encodeLdapRefusal, encodeSearchRefusal, encodeStartTlsAnswer, encodeStartTlsRefusal, ldapResult } from './ldap-answers.ts';
import { sniffLdap, sniffLdapAnswer } from './ldap.ts';
import type { LdapFacts } from './ldap.ts';

interface Sample {
  readonly title: string;
  readonly bytes: Buffer;
  readonly decidedAt: number;
  readonly expected: LdapFacts;
}

function readCorpus(): Sample[] {
  const text = readFileSync(new URL('../../test/corpus/ldap.md', import.meta.url), 'utf8');
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const { decidedAt, ...expected } = JSON.parse(/```json\n(.*?)```/s.exec(section)![1]!);
      const bytes = Buffer.from(/```hex\n(.*?)```/s.exec(section)![1]!.replace(/\s/g, ''), 'hex');
      return { title: section.slice(0, section.indexOf('\n')), decidedAt, expected: { kind: 'ldap', ...expected }, bytes };
    });
}

/** `size`: bytes that the length takes behind its first one; 0 is the short form. */
function tlv(tag: number, value: Buffer | string, size = Buffer.byteLength(value) < 128 ? 0 : 2): Buffer {
  const body = Buffer.from(value);
  const length = Buffer.alloc(Math.max(size, 1));
  length.writeUIntBE(body.length, 0, length.length);
  return Buffer.concat([Buffer.from(size === 0 ? [tag] : [tag, 0x80 + size]), length, body]);
}
const join = (...parts: Buffer[]) => Buffer.concat(parts);
const id = Buffer.from([2, 1, 5]);
const version = Buffer.from([2, 1, 3]);
const password = tlv(0x80, 'secret');
const message = (op: Buffer, messageId = id) => tlv(0x30, join(messageId, op));
const bind = (name: Buffer | string, proof = password) => message(tlv(0x60, join(version, tlv(4, name), proof)));
const search = (base: Buffer | string) => message(tlv(0x63, join(tlv(4, base), Buffer.from('0a01020a0100', 'hex'))));

function read(bytes: Buffer): LdapFacts {
  const sniffed = sniffLdap(bytes);
  assert.equal(sniffed.kind, 'ldap', `${JSON.stringify(sniffed)} for ${bytes.toString('hex').slice(0, 80)}`);
  return sniffed as LdapFacts;
}
function whyOf(bytes: Buffer, what = ''): string {
  const sniffed = sniffLdap(bytes);
  assert.equal(sniffed.kind, 'malformed', `${JSON.stringify(sniffed)} for ${what} ${bytes.toString('hex').slice(0, 80)}`);
  // What is wrong with the whole is wrong with every beginning that says anything, and never `no`.
  for (let end = 0; end < bytes.length; end++) {
    const beginning = sniffLdap(bytes.subarray(0, end));
    if (beginning.kind !== 'more') assert.deepEqual(beginning, sniffed, `${what}: the first ${end} bytes`);
  }
  return sniffed.kind === 'malformed' ? sniffed.why : '';
}

for (const { title, bytes, decidedAt, expected } of readCorpus()) {
  test(`recorded: ${title}`, () => {
    for (let end = 0; end <= bytes.length; end++) {
      assert.deepEqual(sniffLdap(bytes.subarray(0, end)), end < decidedAt ? { kind: 'more' } : expected, `the first ${end} bytes`);
    }
    for (const behind of [Buffer.from([0]), Buffer.from('16030100', 'hex'), bytes, Buffer.alloc(70_000, 0x30)]) assert.deepEqual(sniffLdap(join(bytes, behind)), expected);
  });
}

test('what a bind name says', () => {
  for (const [name, domain, user] of [
    ['', null, null],
    ['ann', null, 'ann'],
    ['Ann Example', null, 'Ann Example'],
    ['pbx\\ann', 'pbx', 'ann'],
    ['PBX.Example.TEST\\ann', 'pbx.example.test', 'ann'],
    ['example.test.\\ann', 'example.test', 'ann'],
    ['\\ann', null, 'ann'],
    ['pbx\\', 'pbx', null],
    ['\\', null, null],
    ['NET_BIOS-1\\Ann Example', 'net_bios-1', 'Ann Example'],
    ['1.example.test\\ann', '1.example.test', 'ann'],
    ['pbx\\ann@other.test', 'pbx', 'ann@other.test'],
    ['pbx\\uid=ann,dc=other', 'pbx', 'uid=ann,dc=other'],
    ['ann@Example.TEST.', 'example.test', 'ann'],
    ['ann@', null, 'ann'],
    ['@example.test', 'example.test', null],
    // Address literals name nobody.
    ['192.0.2.1\\ann', null, 'ann'],
    ['ann@192.0.2.1', null, 'ann'],
    ['ann@[2001:db8::1]', null, 'ann'],
    // DNs.
    ['uid=ann,ou=people,dc=example,dc=test', 'example.test', 'ann'],
    ['UID=ann , OU=people , DC=Example , DC=TEST  ', 'example.test', 'ann'],
    ['  dc=example,dc=test', 'example.test', 'example'],
    ['dc = test', 'test', 'test'],
    ['uid=ann', null, 'ann'],
    ['uid=', null, null],
    ['uid=,dc=test', 'test', null],
    ['cn=ann,o=Example,c=DE', null, 'ann'],
    ['cn=ann,dc=left,ou=x,dc=example,dc=test', 'example.test', 'ann'],
    ['cn=ann,dc=example,dc=test,o=x', null, 'ann'],
    ['uid=ann+cn=Ann,dc=example,dc=test', 'example.test', 'ann'],
    ['cn=ann,o=Example+dc=example,dc=test', 'example.test', 'ann'],
    ['cn=ann,domainComponent=example,0.9.2342.19200300.100.1.25=test', 'example.test', 'ann'],
    ['OID.2.5.4.3=ann,oid.0.9.2342.19200300.100.1.25=test', 'test', 'ann'],
    ['cn=ann,dc=#04076578616d706c65 , dc=#160474657374', 'example.test', 'ann'],
    ['cn=Doe\\, Ann,dc=example,dc=test', 'example.test', 'Doe, Ann'],
    ['cn=a\\+b\\=c\\"\\\\d,dc=test', 'test', 'a+b=c"\\d'],
    ['cn=\\ ann\\ ,dc=test', 'test', ' ann '],
    ['cn= ann  example ,dc=test', 'test', 'ann  example'],
    ['cn=\\c3\\bcller,dc=t\\65st', 'test', 'üller'],
    ['cn=Müller 🙂,dc=test', 'test', 'Müller 🙂'],
    ['cn=a\\20 \\20 ,dc=test', 'test', 'a   '],
    ['cn=a\\, b  ,dc=test', 'test', 'a, b'],
    ['cn=ann\u3000,dc=test', 'test', 'ann\u3000'],
    ['uid=ann@other.test,dc=example,dc=test', 'example.test', 'ann@other.test'],
    ['uid=pbx\\5cann,dc=example,dc=test', 'example.test', 'pbx\\ann'],
    ['uid=a=b,dc=test', 'test', 'a=b'],
    ['uid=ann,dc=example.test', 'example.test', 'ann'],
    ['uid=ann,dc=192,dc=0,dc=2,dc=1', null, 'ann'],
  ] as const) {
    const facts = read(bind(name));
    assert.deepEqual([facts.op, facts.domain, facts.user], ['bind', domain, user], name);
  }
});

test('names that nobody may guess', () => {
  for (const [name, why] of [
    ['pbx\\ann\\bob', /two backslashes/],
    ['a@b.test@c.test', /two @/],
    ['.\\ann', /no host name/],
    ['a..test\\ann', /no host name/],
    ['.example.test\\ann', /no host name/],
    ['example.test..\\ann', /no host name/],
    ['a b\\ann', /no host name/],
    ['pbx \\ann', /no host name/],
    ['-a\\ann', /no host name/],
    ['a-\\ann', /no host name/],
    ['a_b.example.test\\ann', /no host name/],
    ['*.example.test\\ann', /no host name/],
    ['bücher\\ann', /no host name/],
    [`${'a'.repeat(64)}\\ann`, /no host name/],
    [`${'a.'.repeat(127)}test\\ann`, /more than 253/],
    ['2024\\ann', /ends in a number/],
    ['ann@example.7', /ends in a number/],
    ['ann@a/b', /no host name/],
    ['ann\0@example.test', /control byte/],
    ['ann\n', /control byte/],
    ['ann\x7f', /control byte/],
    ['ann\u0085', /control byte/],
    ['cn=ann,', /no attribute/],
    ['cn=ann,,dc=test', /no attribute/],
    ['cn=ann+,dc=test', /no attribute/],
    ['cn=ann,test', /no attribute/],
    ['cn=ann;dc=test', /; that is not escaped/],
    ['cn="ann",dc=test', /" that is not escaped/],
    ['cn=a<b', /< that is not escaped/],
    ['cn=ann\\', /half an escape/],
    ['cn=ann\\4', /half an escape/],
    ['cn=ann\\zz', /half an escape/],
    ['cn=ann,dc=a+dc=b', /two dc/],
    ['cn=ann,dc=', /empty dc/],
    ['cn=ann,dc= ,dc=test', /empty dc/],
    ['cn=ann,dc=exam\\20ple', /no host name/],
    ['cn=ann,dc=test\u00a0', /no host name/],
    ['cn=ann,dc=\u00a0test', /no host name/],
    ['cn=ann,dc=exam\\00ple', /control byte/],
    ['cn=a\\0an,dc=test', /control byte/],
    ['cn=a\\ffn,dc=test', /not UTF-8/],
    ['cn=ann,dc=#', /hexadecimal value that is none/],
    ['cn=ann,dc=#040', /hexadecimal value that is none/],
    ['cn=ann,dc=#0402zz', /hexadecimal value that is none/],
    ['cn=ann,dc=#04056162', /no string/],
    ['cn=ann,dc=#02016a', /no string/],
    ['cn=ann,dc=#0402610a', /control byte/],
  ] as const) {
    assert.match(whyOf(bind(name), name), why, name);
  }
  assert.match(whyOf(bind(Buffer.from('ann\xff', 'latin1'))), /not UTF-8/);
  assert.match(whyOf(bind(Buffer.from('c080', 'hex'))), /not UTF-8/, 'an overlong NUL');
});

test('the base of a search', () => {
  for (const [base, domain] of [
    ['', null],
    ['dc=Example,dc=test', 'example.test'],
    ['ou=people, dc=example, dc=test', 'example.test'],
    ['cn=PBX0', null],
    ['pbx', null],
    ['pbx\\ann', null],
    ['ann@example.test', null],
    ['<GUID=0123456789abcdef>', null],
    ['<SID=S-1-5-21-1>', null],
    ['<WKGUID=a9d1ca15768811d1aded00c04fd8d5cd,dc=example,dc=test>', 'example.test'],
  ] as const) {
    const facts = read(search(base));
    assert.deepEqual([facts.op, facts.domain, facts.user, facts.sasl], ['search', domain, null, null], base);
  }
  assert.match(whyOf(search('ou=x,')), /no attribute/);
  assert.match(whyOf(search('ou=x\0')), /control byte/);
  assert.match(whyOf(search('<WKGUID=0a,dc=a b>')), /no host name/);
});

test('the last bytes of a name and the kind of proof are waited for, the proof is not', () => {
  const head = join(Buffer.from('3084000ffff00201056084000fff00020103', 'hex'), tlv(4, 'pbx\\ann'));
  assert.deepEqual(sniffLdap(head), { kind: 'more' });
  assert.deepEqual(read(join(head, Buffer.from([0x80]))), { kind: 'ldap', op: 'bind', messageId: 5, domain: 'pbx', user: 'ann', sasl: null, pduBytes: 6 + 0xffff0 });
  const sasl = join(head, Buffer.from('a384000f0000', 'hex'), tlv(4, 'gssapi'));
  assert.equal(read(sasl).sasl, 'GSSAPI');
  assert.deepEqual(sniffLdap(sasl.subarray(0, -1)), { kind: 'more' });
  assert.equal(read(bind('', tlv(0xa3, tlv(4, '')))).sasl, null, 'a bind that is given up');
});

test('every head is decided within some 1,100 bytes', () => {
  const big = 'x'.repeat(limits.ldapNameBytesMax);
  const body = join(tlv(2, Buffer.from([3]), 4), tlv(4, big, 4), tlv(0xa3, join(tlv(4, 'X'.repeat(20), 4), tlv(4, Buffer.alloc(60_000), 4)), 4));
  const bytes = tlv(0x30, join(tlv(2, Buffer.from([0x7f, 0xff, 0xff, 0xff]), 4), tlv(0x60, body, 4)), 4);
  let need = 0;
  while (sniffLdap(bytes.subarray(0, need)).kind === 'more') need++;
  assert.ok(need < 1_120, `${need}`);
  assert.deepEqual([read(bytes).user, read(bytes).messageId], [big, 0x7fffffff]);
});

test('limits are said at the length', () => {
  const over = limits.ldapMessageBytesMax - 5;
  const long = (length: number) => join(Buffer.from([0x30, 0x84]), Buffer.from([length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff]), id, Buffer.from([0x42, 0]));
  assert.equal(read(long(over - 1)).pduBytes, limits.ldapMessageBytesMax);
  assert.match(whyOf(long(over)), /of 1048577 bytes, more than 1048576/);
  assert.match(whyOf(long(0xffffffff)), /more than 1048576/);
  const name = (length: number) => join(Buffer.from('308400010000020105608400008000020103', 'hex'), Buffer.from([4, 0x82, length >> 8, length & 0xff]));
  assert.deepEqual(sniffLdap(name(1024)), { kind: 'more' });
  assert.match(whyOf(name(1025)), /bind name has 1025 bytes, more than 1024/);
});

test('message ids', () => {
  const unbind = Buffer.from([0x42, 0]);
  for (const [hex, number] of [['020101', 1], ['02017f', 127], ['02020080', 128], ['0203010000', 65_536], ['02047fffffff', 0x7fffffff], ['020400000001', 1], ['02810105', 5], ['0284000000020102', 258]] as const) {
    assert.equal(read(message(unbind, Buffer.from(hex, 'hex'))).messageId, number, hex);
  }
  for (const hex of ['020100', '02020000', '020180', '0202ffff', '0203800000', '0204ffffffff', '020480000000']) {
    assert.match(whyOf(message(unbind, Buffer.from(hex, 'hex'))), /id that no client may use/, hex);
  }
  for (const hex of ['0200', '02050000000001', '0280']) assert.deepEqual(sniffLdap(message(unbind, Buffer.from(hex, 'hex'))), { kind: 'no' }, hex);
});

test('what is something else', () => {
  for (const [what, hex] of [
    ['nothing of it', '16'],
    ['text', '474554'],
    ['SNMPv1', '302902010004067075626c6963a01c'],
    ['SNMPv2c', '302902010104067075626c6963a01c'],
    ['SNMPv3', '303e020103301102'],
    ['a certificate', '308203a930820291a003020102'],
    ['a private key', '308204a40201000282010100'],
    ['PKCS#8', '308204be020100300d06092a'],
    ['a signature', '3045022100c0ffee'],
    ['CMS of indefinite length', '30800609'],
    ['Kerberos over TCP', '000005686a820564'],
    ['a Kerberos message', '6a820564'],
    ['OCSP', '30503050304e'],
    ['an answer of a server', '300c02010161070a010004000400'],
    ['five bytes of length', '3085000000000c'],
    ['a negative length', '30ff'],
    ['an empty sequence', '300000'],
  ] as const) {
    assert.deepEqual(sniffLdap(Buffer.from(hex, 'hex')), { kind: 'no' }, what);
  }
  for (const hex of ['', '30', '30840000', '308400000010', '300c02', '300c0201', '300c020101', '3080020101']) assert.deepEqual(sniffLdap(Buffer.from(hex, 'hex')), { kind: 'more' }, hex);
});

test('structures that do not fit', () => {
  for (const [what, bytes, why] of [
    ['indefinite message', Buffer.from('30800201016000', 'hex'), /indefinite/],
    ['indefinite operation', Buffer.from('300c0201016080', 'hex'), /indefinite/],
    ['indefinite name', message(join(Buffer.from([0x60, 9]), version, Buffer.from([4, 0x80, 0, 0, 0, 0]))), /indefinite/],
    ['length of five bytes inside', Buffer.from('301402010160850000', 'hex'), /more than four bytes/],
    ['no room for the operation', Buffer.from('300302010142', 'hex'), /ends before its operation/],
    ['no room for its length', Buffer.from('300402010142', 'hex'), /cut short/],
    ['operation longer than the message', Buffer.from('3005020101420a', 'hex'), /longer than what holds it/],
    ['name longer than the bind', message(tlv(0x60, join(version, Buffer.from([4, 9]), Buffer.from('ann')))), /longer than what holds it/],
    ['bind without a proof', message(tlv(0x60, join(version, tlv(4, 'ann')))), /cut short/],
    ['empty bind', message(tlv(0x60, '')), /cut short/],
    ['version 4', message(tlv(0x60, join(Buffer.from([2, 1, 4]), tlv(4, 'ann'), password))), /version 4/],
    ['version of two bytes', message(tlv(0x60, join(Buffer.from([2, 2, 0, 3]), tlv(4, 'ann'), password))), /more than one byte/],
    ['version of another type', message(tlv(0x60, join(Buffer.from([10, 1, 3]), tlv(4, 'ann'), password))), /tag 0x0a/],
    ['constructed name', message(tlv(0x60, join(version, tlv(0x24, tlv(4, 'ann')), password))), /tag 0x24/],
    ['Sicily', bind('NTLM', tlv(0x8a, 'NTLMSSP')), /neither simple nor SASL/],
    ['SASL longer than the bind', bind('', Buffer.from([0xa3, 9, 4, 1])), /longer than what holds it/],
    ['mechanism of 21 bytes', bind('', tlv(0xa3, tlv(4, 'X'.repeat(21)))), /21 bytes/],
    ['mechanism with a space', bind('', tlv(0xa3, tlv(4, 'GSS API'))), /name that is none/],
    ['extended without a name', message(tlv(0x77, tlv(0x81, 'x'))), /tag 0x81/],
    ['empty search', message(tlv(0x63, '')), /cut short/],
    ['search base in pieces', message(tlv(0x63, tlv(0x24, tlv(4, 'dc=test')))), /tag 0x24/],
  ] as const) {
    assert.match(whyOf(bytes, what), why, what);
  }
});

test('StartTLS and names that are not', () => {
  const extended = (name: string) => read(message(tlv(0x77, tlv(0x80, name)))).op;
  assert.equal(extended('1.3.6.1.4.1.1466.20037'), 'start-tls');
  for (const name of ['', '1.3.6.1.4.1.1466.20036', '1.3.6.1.4.1.1466.2003', '1.3.6.1.4.1.1466.200370', '1.3.6.1.4.1.4203.1.11.3']) assert.equal(extended(name), 'other', name);
});

test('StartTLS is waited for to its last byte, since TLS begins behind it', () => {
  const request = (rest: Buffer) => tlv(0x30, join(id, tlv(0x77, tlv(0x80, '1.3.6.1.4.1.1466.20037')), rest));
  const bytes = request(tlv(0xa0, tlv(0x30, tlv(4, '1.2.840.113556.1.4.319'))));
  for (let end = 0; end < bytes.length; end++) assert.deepEqual(sniffLdap(bytes.subarray(0, end)), { kind: 'more' }, `the first ${end} bytes`);
  assert.equal(read(bytes).op, 'start-tls');
  assert.equal(read(join(bytes, bytes)).pduBytes, bytes.length);
  assert.match(whyOf(request(Buffer.alloc(1_024))), /StartTLS of 1057 bytes, more than 1024/);
});

test('what we write is what a server writes', () => {
  // As recorded of OpenLDAP 2.5: the answer to StartTLS, and invalidCredentials without a text.
  assert.equal(encodeStartTlsAnswer(1).toString('hex'), '300c02010178070a010004000400');
  assert.equal(encodeBindRefusal(1, '').toString('hex'), '300c02010161070a013104000400');
  assert.equal(encodeStartTlsRefusal(2, 'no').toString('hex'), '300e02010278090a0102040004026e6f');
  assert.equal(encodeSearchRefusal(3, 'no').toString('hex'), '300e02010365090a0132040004026e6f');
  assert.equal(
    encodeDisconnection(ldapResult.unavailable, 'gone').toString('hex'),
    `302802010078230a013404000404${Buffer.from('gone').toString('hex')}8a16${Buffer.from('1.3.6.1.4.1.1466.20036').toString('hex')}`,
  );
  for (const messageId of [1, 127, 128, 255, 256, 32_767, 32_768, 0x7fffff, 0x800000, 0x7fffffff]) {
    for (const text of ['', 'x'.repeat(110), 'x'.repeat(120), 'x'.repeat(250), 'ü'.repeat(1_000)]) {
      const bytes = encodeBindRefusal(messageId, text);
      const answer = { kind: 'answer', pduBytes: bytes.length, bind: { messageId, result: 49 } };
      assert.deepEqual(sniffLdapAnswer(bytes), answer);
      for (let end = 0; end < bytes.length; end++) assert.ok(['more', 'answer'].includes(sniffLdapAnswer(bytes.subarray(0, end)).kind));
    }
  }
});

test('what a client is told', () => {
  const first = (facts: LdapFacts | null) => {
    const bytes = encodeLdapRefusal(facts);
    const sniffed = sniffLdapAnswer(bytes);
    assert.equal(sniffed.kind, 'answer');
    return { bytes, answer: sniffed.kind === 'answer' ? sniffed : null! };
  };
  const bound = first(read(bind('pbx\\ann')));
  assert.deepEqual(bound.answer.bind, { messageId: 5, result: 49 });
  const notice = bound.bytes.subarray(bound.answer.pduBytes);
  assert.deepEqual(notice, encodeDisconnection(ldapResult.unavailable, 'not on this connection'));
  assert.equal(first(read(search(''))).bytes[5], 0x65);
  assert.equal(first(read(message(Buffer.from([0x42, 0])))).bytes.length, notice.length);
  const away = sniffLdapAnswer(encodeLdapRefusal(read(bind('pbx\\ann')), 'unreachable'));
  assert.deepEqual(away.kind === 'answer' && away.bind, { messageId: 5, result: 52 });
  assert.deepEqual(first(null).bytes, encodeDisconnection(ldapResult.protocolError, 'not understood'));
});

test('the answers of servers', () => {
  assert.deepEqual(sniffLdapAnswer(Buffer.from('3084000000100201016184000000070a0100', 'hex')), { kind: 'answer', pduBytes: 22, bind: { messageId: 1, result: 0 } });
  assert.deepEqual(sniffLdapAnswer(Buffer.from('3084ffffffff02010264', 'hex')), { kind: 'answer', pduBytes: 6 + 0xffffffff, bind: null });
  for (const hex of ['00', '3080', '3085', '30050301', '300002', '300602010161000a', '300902010161040a05']) assert.deepEqual(sniffLdapAnswer(Buffer.from(hex, 'hex')), { kind: 'no' }, hex);
  for (const hex of ['', '30', '3084', '300c02', '300c020101', '300c02010161', '300c0201016107', '300c02010161070a', '300c02010161070a01']) assert.deepEqual(sniffLdapAnswer(Buffer.from(hex, 'hex')), { kind: 'more' }, hex);
});
