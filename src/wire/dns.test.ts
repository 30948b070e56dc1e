import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { seeded } from '../../test/sim/line.ts';
import { addressOf, caaOf, dnsClasses, dnsFrameAt, dnsNameAt, dnsTypes, encodeDnsFrame, encodeDnsName, encodeDnsQuery, encodeDnsUpdate, parseDnsMessage, targetOf, textOf } from './dns.ts';
import { signDnsMessage, tsigOf, tsigRefusal, type TsigKey } from './dns-tsig.ts';

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex');
const key: TsigKey = { name: 'acme-key', algorithm: 'hmac-sha256', secret: Buffer.from('0123456789abcdef0123456789abcdef') };
const now = Date.UTC(2026, 5, 1);

/** An answer with a CNAME whose target, and a TXT record whose owner, are pointers. */
const answer = hex(`
  1234 8580 0001 0002 0001 0000
  0f5f61636d652d6368616c6c656e6765 077072696e746572 076578616d706c65 0474657374 00 0010 0001
  c00c 0005 0001 0000003c 0009 06616e73776572 c024
  c042 0010 0001 0000003c 0007 03616263 026465
  c024 0006 0001 0000003c 001e 036e7331 c024 0161 c024 00000001 00000002 00000003 00000004 00000005`);

test('an answer is read: pointers, CNAME, TXT of two strings, SOA', () => {
  const parsed = parseDnsMessage(answer)!;
  assert.equal(parsed.id, 0x1234);
  assert.deepEqual([parsed.isAnswer, parsed.authoritative, parsed.truncated, parsed.rcode], [true, true, false, 0]);
  assert.deepEqual(parsed.questions, [{ name: '_acme-challenge.printer.example.test', type: dnsTypes.TXT, cls: dnsClasses.IN }]);
  const [cname, txt] = parsed.answers;
  assert.equal(targetOf(answer, cname!), 'answer.example.test');
  assert.equal(txt!.name, 'answer.example.test');
  assert.equal(textOf(txt!.data), 'abcde');
  assert.equal(parsed.authority[0]!.name, 'example.test');
  assert.equal(targetOf(answer, parsed.authority[0]!), 'ns1.example.test');
});

test('no beginning of a message is a message, and nothing may follow it', () => {
  const signed = signDnsMessage(encodeDnsUpdate(7, 'example.test', [{ do: 'add', name: '_acme-challenge.example.test', text: 'x', ttl: 60 }])!, key, now)!.message;
  for (const whole of [answer, encodeDnsQuery(1, { name: 'a.example.test', type: dnsTypes.TXT }, true)!, signed]) {
    for (let cut = 0; cut < whole.length; cut++) assert.equal(parseDnsMessage(whole.subarray(0, cut)), null, `cut at ${cut}`);
    assert.notEqual(parseDnsMessage(whole), null);
    assert.equal(parseDnsMessage(Buffer.concat([whole, Buffer.from([0])])), null);
  }
});

test('frames of a TCP stream, at every split', () => {
  const stream = Buffer.concat([encodeDnsFrame(answer), encodeDnsFrame(Buffer.from('next'))]);
  for (let cut = 0; cut < answer.length + 2; cut++) assert.equal(dnsFrameAt(stream.subarray(0, cut)), null);
  for (let cut = answer.length + 2; cut <= stream.length; cut++) assert.deepEqual(dnsFrameAt(stream.subarray(0, cut)), { message: answer, end: answer.length + 2 });
});

test('names: what fits, what does not, and pointers that make no loop', () => {
  assert.equal(encodeDnsName('Example.TEST.')!.toString('hex'), '076578616d706c65047465737400');
  assert.equal(encodeDnsName('')!.toString('hex'), '00');
  for (const bad of ['a..b', `${'a'.repeat(64)}.test`, Array(64).fill('abcd').join('.'), 'müller.test', 'a b.test', 'a\\046b.test', '.a']) assert.equal(encodeDnsName(bad), null, bad);
  assert.equal(dnsNameAt(hex('c000'), 0), null);
  assert.equal(dnsNameAt(hex('0161c000'), 0), null, 'back to its own beginning');
  assert.equal(dnsNameAt(hex('c002c000'), 2), null);
  assert.equal(dnsNameAt(hex('4161'), 0), null, 'a label type nobody uses');
  assert.equal(dnsNameAt(hex('03612e6200'), 0)?.name, 'a\\046b', 'a dot inside a label is not a dot between labels');
  const long = Buffer.concat([...Array.from({ length: 127 }, () => Buffer.from([1, 97])), Buffer.from([0])]);
  assert.equal(dnsNameAt(long, 0)?.name.length, 253);
  assert.equal(dnsNameAt(Buffer.concat([Buffer.from([1, 97]), long]), 0), null, 'longer than 255 bytes');
});

test('texts, addresses and CAA records at every truncation', () => {
  const texts = hex('03616263 026465');
  assert.deepEqual(Array.from({ length: 8 }, (_, n) => textOf(texts.subarray(0, n))), ['', null, null, null, 'abc', null, null, 'abcde']);
  const caa = hex('80 05 6973737565 63612e74657374');
  assert.deepEqual(caaOf(caa), { critical: true, tag: 'issue', value: 'ca.test' });
  for (let cut = 0; cut < 7; cut++) assert.equal(caaOf(caa.subarray(0, cut)), null);
  assert.equal(addressOf({ type: dnsTypes.A, data: hex('c0000201') }), '192.0.2.1');
  assert.equal(addressOf({ type: dnsTypes.AAAA, data: hex('20010db8000000000000000000000001') }), '2001:db8:0:0:0:0:0:1');
  assert.equal(addressOf({ type: dnsTypes.A, data: hex('c00002') }), null);
});

test('an update, byte for byte', () => {
  const update = encodeDnsUpdate(0x0102, 'example.test', [{ do: 'add', name: '_acme-challenge.example.test', text: 'ab', ttl: 60 }, { do: 'remove', name: '_acme-challenge.example.test', text: 'ab', ttl: 60 }])!;
  const owner = '0f5f61636d652d6368616c6c656e6765 076578616d706c65 0474657374 00';
  assert.equal(update.toString('hex'), hex(`0102 2800 0001 0000 0002 0000 076578616d706c65 0474657374 00 0006 0001 ${owner} 0010 0001 0000003c 0003 026162 ${owner} 0010 00fe 00000000 0003 026162`).toString('hex'));
  assert.equal(encodeDnsUpdate(1, 'example.test', [{ do: 'add', name: 'a.test', text: 'x'.repeat(256), ttl: 60 }]), null);
});

test('TSIG: what was signed is believed, and nothing else', () => {
  for (const algorithm of ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'] as const) {
    const mine = { ...key, algorithm };
    const asked = signDnsMessage(encodeDnsQuery(9, { name: 'example.test', type: dnsTypes.SOA }, false)!, mine, now)!;
    const tsig = tsigOf(asked.message)!;
    assert.deepEqual([tsig.keyName, tsig.algorithm, tsig.seconds, tsig.originalId], ['acme-key', algorithm, now / 1000, 9]);
  }
  // An answer is signed over the request's MAC as well (RFC 8945 §5.3): ours is made by hand here.
  const asked = signDnsMessage(encodeDnsQuery(9, { name: 'example.test', type: dnsTypes.SOA }, false)!, key, now)!;
  assert.match(tsigRefusal(asked.message, key, asked.mac, now)!, /signature is wrong/, 'our own question sent back');
  assert.match(tsigRefusal(answer, key, asked.mac, now)!, /not signed/);
});

/** An answer as a server signs it: RFC 8945 §5.3, the request's MAC first. */
function signedAnswer(requestMac: Buffer, { seconds = now / 1000, error = 0, other = Buffer.alloc(0), id = 9 } = {}): Buffer {
  const plain = Buffer.concat([hex('0009 a800 0001 0000 0000 0000'), encodeDnsName('example.test')!, hex('0006 0001')]);
  plain.writeUInt16BE(id, 0);
  const time = Buffer.alloc(6);
  time.writeUIntBE(seconds, 0, 6);
  const short = (value: number) => Buffer.from([value >> 8, value & 255]);
  const [name, algorithm] = [encodeDnsName(key.name)!, encodeDnsName(key.algorithm)!];
  const mac = createHmac('sha256', key.secret)
    .update(Buffer.concat([short(requestMac.length), requestMac, plain, name, hex('00ff 00000000'), algorithm, time, short(300), short(error), short(other.length), other]))
    .digest();
  const data = Buffer.concat([algorithm, time, short(300), short(mac.length), mac, short(id), short(error), short(other.length), other]);
  const whole = Buffer.concat([plain, name, hex('00fa 00ff 00000000'), short(data.length), data]);
  whole[11] = 1;
  return whole;
}

test('TSIG of an answer: genuine as it is, and not with one bit changed or one byte less', () => {
  const { mac } = signDnsMessage(encodeDnsUpdate(9, 'example.test', [])!, key, now)!;
  const genuine = signedAnswer(mac);
  assert.equal(tsigRefusal(genuine, key, mac, now), null);
  for (let at = 0; at < genuine.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const bent = Buffer.from(genuine);
      bent[at]! ^= 1 << bit;
      // Letter case of names does not count (RFC 8945 §4.2), and a forwarder may change the id of the header.
      const isCase = bit === 5 && dnsNameIsUntouched(genuine, bent);
      if (!isCase && at > 1) assert.notEqual(tsigRefusal(bent, key, mac, now), null, `byte ${at}, bit ${bit}`);
    }
    assert.notEqual(tsigRefusal(genuine.subarray(0, at), key, mac, now), null);
  }
  assert.match(tsigRefusal(genuine, key, Buffer.alloc(32), now)!, /signature is wrong/, 'the answer to another question');
  assert.match(tsigRefusal(genuine, { ...key, secret: Buffer.alloc(32) }, mac, now)!, /signature is wrong/);
  assert.match(tsigRefusal(genuine, { ...key, name: 'other' }, mac, now)!, /another key/);
  assert.match(tsigRefusal(genuine, key, mac, now + 301_000)!, /clocks .* differ/);
  assert.match(tsigRefusal(signedAnswer(mac, { error: 18, other: Buffer.alloc(6) }), key, mac, now)!, /BADTIME/);
});

/** Only the case of a letter in the key's or the algorithm's name was changed. */
function dnsNameIsUntouched(before: Buffer, after: Buffer): boolean {
  const [a, b] = [tsigOf(before), tsigOf(after)];
  return a !== null && b !== null && a.keyName === b.keyName && a.algorithm === b.algorithm && before.subarray(0, a.at).equals(after.subarray(0, a.at));
}

test('bent messages never throw, and what is read of them stays inside', () => {
  const random = seeded(20_261_120);
  const upTo = (n: number) => Math.floor(random() * n);
  const signed = signDnsMessage(encodeDnsUpdate(7, 'example.test', [{ do: 'add', name: '_acme-challenge.example.test', text: 'x', ttl: 60 }])!, key, now)!;
  let read = 0;
  for (let round = 0; round < 6_000; round++) {
    const bytes = Buffer.from(round % 2 ? answer : signed.message);
    for (let bends = 1 + upTo(4); bends > 0; bends--) bytes[upTo(bytes.length)] = upTo(256);
    const parsed = parseDnsMessage(bytes);
    if (!parsed) {
      assert.equal(tsigOf(bytes), null);
      assert.notEqual(tsigRefusal(bytes, key, signed.mac, now), null);
      continue;
    }
    read += 1;
    for (const record of [...parsed.answers, ...parsed.authority, ...parsed.additional]) {
      assert.ok(record.name.length <= 4 * 255);
      targetOf(bytes, record);
      textOf(record.data);
      caaOf(record.data);
      addressOf(record);
    }
    assert.notEqual(tsigRefusal(bytes, key, signed.mac, now), null, 'nothing bent is believed');
  }
  assert.ok(read > 500, `${read} of 6000 were read`);
});
