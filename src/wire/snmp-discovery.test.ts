import assert from 'node:assert/strict';
import { test } from 'node:test';
import { derAt, integer, octets, oid, sequence, tagged, tlv } from './der.ts';
import { encodeDiscovery, oidText, parseDiscoveryReport, securityOf, unknownEngineIds, unknownUserNames, usmStats } from './snmp-discovery.ts';

/** As Net-SNMP 5.9.3 answers, with the engine's id and times replaced. */
function report({ id = 77, engineId = Buffer.from('80001f88800011223344556677', 'hex'), boots = 4, time = 98_231, counter = unknownEngineIds, tag = 8, model = 3, bootsBytes = null as Buffer | null } = {}): Buffer {
  const binding = sequence(oid(counter), tlv(0x41, Buffer.from([1])));
  return sequence(
    integer(3),
    sequence(integer(id), integer(65_507), octets(Buffer.from([0])), integer(model)),
    octets(sequence(octets(engineId), bootsBytes ? tlv(0x02, bootsBytes) : integer(boots), integer(time), octets(), octets(), octets())),
    sequence(octets(engineId), octets(), tagged(tag, integer(id), integer(0), integer(0), sequence(binding))),
  );
}

test('the question is the one of RFC 3414 §4, byte for byte', () => {
  assert.equal(
    encodeDiscovery(0x4a69).toString('hex'),
    // message · version 3 · id, size, reportable, user-based · no engine, no times, no user · no context, GetRequest of nothing
    '303a 020103 300f 02024a69 020300ffe3 040104 020103 0410 300e 0400 020100 020100 0400 0400 0400 3012 0400 0400 a00c 02024a69 020100 020100 3000'.replaceAll(' ', ''),
  );
  assert.equal(derAt(encodeDiscovery(2 ** 31 - 1))?.end, encodeDiscovery(2 ** 31 - 1).length);
});

test('a report is read', () => {
  assert.deepEqual(parseDiscoveryReport(report()), { id: 77, engineId: Buffer.from('80001f88800011223344556677', 'hex'), boots: 4, timeSeconds: 98_231, counter: '1.3.6.1.6.3.15.1.1.4.0' });
  assert.equal(parseDiscoveryReport(report({ counter: unknownUserNames }))?.counter, `${usmStats}.3.0`);
  assert.equal(parseDiscoveryReport(report({ boots: 2 ** 31 - 1, time: 2 ** 31 - 1 }))?.boots, 2 ** 31 - 1);
  assert.equal(parseDiscoveryReport(report({ engineId: Buffer.alloc(0) }))?.engineId.length, 0);
});

test('what is no report of the user-based model is none', () => {
  assert.equal(parseDiscoveryReport(report({ tag: 2 })), null);
  assert.equal(parseDiscoveryReport(report({ model: 2 })), null);
  assert.equal(parseDiscoveryReport(encodeDiscovery(1)), null);
  assert.equal(parseDiscoveryReport(sequence(integer(1), octets(Buffer.from('public')), tagged(2, integer(1), integer(0), integer(0), sequence()))), null);
  assert.equal(parseDiscoveryReport(Buffer.alloc(0)), null);
});

test('lengths in the long form, zeros in front of numbers, and bytes behind the message are taken', () => {
  const long = (tag: number, value: Buffer) => Buffer.concat([Buffer.from([tag, 0x84, 0, 0, value.length >> 8, value.length & 0xff]), value]);
  const plain = report();
  assert.deepEqual(parseDiscoveryReport(long(0x30, derAt(plain)!.value)), parseDiscoveryReport(plain));
  assert.deepEqual(parseDiscoveryReport(Buffer.concat([plain, Buffer.alloc(20)])), parseDiscoveryReport(plain));
  assert.deepEqual(parseDiscoveryReport(report({ bootsBytes: Buffer.from([0, 0, 0, 0, 0, 4]) })), parseDiscoveryReport(plain));
  assert.equal(parseDiscoveryReport(report({ bootsBytes: Buffer.from([1, 0, 0, 0, 0]) })), null);
  assert.equal(parseDiscoveryReport(report({ bootsBytes: Buffer.from([0xff]) })), null);
});

test('every truncation is nothing', () => {
  const whole = report();
  for (let length = 0; length < whole.length; length++) assert.equal(parseDiscoveryReport(whole.subarray(0, length)), null, `${length} bytes`);
});

test('flipped bytes never throw, and what is still read is in bounds (seed 11)', () => {
  let seed = 11;
  const random = () => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) >> 8;
  const whole = report();
  let read = 0;
  for (let i = 0; i < 20_000; i++) {
    const bent = Buffer.from(whole);
    for (let flips = 1 + (random() % 3); flips > 0; flips--) bent[random() % bent.length] = random() & 0xff;
    const found = parseDiscoveryReport(bent);
    if (!found) continue;
    read += 1;
    assert.ok(found.engineId.length <= bent.length && found.boots >= 0 && found.boots <= 0xffff_ffff && found.timeSeconds <= 0xffff_ffff);
    assert.ok(found.counter === null || /^\d+(\.\d+)+$/.test(found.counter));
    assert.deepEqual(parseDiscoveryReport(bent), found);
  }
  assert.ok(read > 1_000 && read < 20_000, `${read}`);
});

test('object identifiers', () => {
  for (const text of ['1.3.6.1.4.1.367.1.1', '0.0', '2.999.4294967295', '1.3.6.1.6.3.15.1.1.3.0']) {
    // The writer's first byte holds no more than 127, so the one arc above it is written by hand.
    const value = text.startsWith('2.999') ? Buffer.from([0x88, 0x37, 0x8f, 0xff, 0xff, 0xff, 0x7f]) : derAt(oid(text))!.value;
    assert.equal(oidText(value), text);
  }
  assert.equal(oidText(Buffer.alloc(0)), null);
  assert.equal(oidText(Buffer.from([0x2b, 0x86])), null);
  assert.equal(oidText(Buffer.from([0x2b, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])), null);
});

test('how a message is protected, and whether it is a report', () => {
  assert.deepEqual(securityOf(report()), { isSigned: false, isEncrypted: false, isReport: true });
  assert.deepEqual(securityOf(report({ tag: 2 })), { isSigned: false, isEncrypted: false, isReport: false });
  assert.deepEqual(securityOf(encodeDiscovery(1)), { isSigned: false, isEncrypted: false, isReport: false });
  const flagged = (flags: number) => Buffer.from(report().toString('hex').replace('040100020103', `0401${flags.toString(16).padStart(2, '0')}020103`), 'hex');
  assert.deepEqual(securityOf(flagged(1)), { isSigned: true, isEncrypted: false, isReport: true });
  assert.deepEqual(securityOf(flagged(3)), { isSigned: true, isEncrypted: true, isReport: false }, 'what says that it is encrypted is not looked into');
  for (let length = 0; length < report().length; length++) assert.equal(securityOf(report().subarray(0, length)), null);
  assert.equal(securityOf(sequence(integer(1), octets(Buffer.from('public')), tagged(2))), null);
});
