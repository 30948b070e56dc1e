import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { sniffH323 } from './h323.ts';
import { sniffRdp } from './rdp.ts';
import { sniffSsh } from './ssh.ts';
import { sniffClientHello } from './tls.ts';

const text = readFileSync(new URL('../../test/corpus/rdp.md', import.meta.url), 'utf8');
const samples = text
  .split(/^## /m)
  .slice(1)
  .map((section) => {
    const facts = JSON.parse(/```json\n(.*?)```/s.exec(section)![1]!) as object | null;
    return {
      title: section.slice(0, section.indexOf('\n')),
      bytes: Buffer.from(/```hex\n(.*?)```/s.exec(section)![1]!.replace(/\s/g, ''), 'hex'),
      expected: facts === null ? { kind: 'no' } : { kind: 'rdp', ...facts },
    };
  });

for (const { title, bytes, expected } of samples) {
  test(`corpus: ${title}`, () => {
    assert.deepEqual(sniffRdp(bytes), expected);
    for (let end = 0; end < bytes.length; end++) assert.deepEqual(sniffRdp(bytes.subarray(0, end)), { kind: 'more' }, `the first ${end} bytes`);
    for (const garbage of ['00', '0300000b06e00000000000', 'ffff']) assert.deepEqual(sniffRdp(Buffer.concat([bytes, Buffer.from(garbage, 'hex')])), expected);
    for (let end = 6; end <= bytes.length; end++) {
      for (const sniff of [sniffH323, sniffSsh, sniffClientHello]) assert.equal(sniff(bytes.subarray(0, end)).kind, 'no');
    }
  });
}

/** A Connection Request with this behind its head, its lengths right. */
function request(rest: Buffer, head = '00000000 00'): Buffer {
  const length = 11 + rest.length;
  return Buffer.concat([Buffer.from([3, 0, length >> 8, length & 0xff, length - 5, 0xe0]), Buffer.from(head.replace(' ', ''), 'hex'), rest]);
}
const line = (value: string, behind = '') => request(Buffer.concat([Buffer.from(value, 'latin1'), Buffer.from(behind, 'hex')]));
const why = (bytes: Buffer) => {
  const sniffed = sniffRdp(bytes);
  return sniffed.kind === 'malformed' ? sniffed.why : JSON.stringify(sniffed);
};

test('what is not RDP', () => {
  for (const hex of ['04', '0301', '030000130ed0', '0300001002f080', '16', '53']) assert.equal(sniffRdp(Buffer.from(hex, 'hex')).kind, 'no', hex);
  for (const parameter of ['c101', '85', '8000']) assert.equal(sniffRdp(request(Buffer.from(parameter, 'hex'))).kind, 'no', parameter);
});

test('lengths that contradict each other', () => {
  assert.match(why(Buffer.from('0300000a05e0', 'hex')), /too short/);
  assert.match(why(Buffer.from('030000130de0', 'hex')), /length indicator of 13 in a TPKT of 19/);
  // 260 bytes would need the indicator 255, which is reserved
  assert.match(why(Buffer.from('03000104ffe0', 'hex')), /length indicator of 255/);
  assert.match(why(Buffer.from('0300010a05e0', 'hex')), /length indicator/);
  const longest = `Cookie: mstshash=${'u'.repeat(259 - 11 - 17 - 2)}\r\n`;
  assert.equal(line(longest).length, 259);
  assert.equal(sniffRdp(line(longest)).kind, 'rdp');
});

test('lines and structures', () => {
  const negotiation = '0100080001000000';
  assert.equal(sniffRdp(line('Cookie: mstshash=\r\n', negotiation)).kind, 'rdp');
  assert.deepEqual(sniffRdp(line('Cookie: mstshash=b\xfccher\r\n')), { kind: 'rdp', user: 'b\xfccher', routingToken: null, requestedProtocols: null, pduBytes: 36 });
  assert.match(JSON.stringify(sniffRdp(line('tsv://farm.1.pool\r\n', negotiation))), /"routingToken":"tsv:\/\/farm\.1\.pool"/);
  assert.match(why(line('Cookie: mstshash=alice', negotiation)), /without an end/);
  assert.match(why(line('Cookie: mstshash=al\0ice\r\n', negotiation)), /control characters/);
  assert.match(why(line('\r\n', negotiation)), /control characters/);
  assert.match(why(line('a\r\n', '0200080001000000')), /structure of type 2/);
  assert.match(why(line('a\r\n', '01000800010000')), /negotiation that is cut short/);
  assert.match(why(line('a\r\n', '0100090001000000')), /negotiation of 9 bytes/);
  assert.match(why(line('a\r\n', `${negotiation}00`)), /1 bytes too many/);
  assert.match(why(line('a\r\n', '0108080001000000')), /correlation that is announced/);
  assert.match(why(line('a\r\n', `0108080001000000${'07002400'.padEnd(72, '0')}`)), /correlation that is announced/);
  assert.match(why(request(Buffer.from(negotiation, 'hex'), '00010000 00')), /destination reference/);
  assert.match(why(request(Buffer.from(negotiation, 'hex'), '00000000 20')), /class 2/);
});
