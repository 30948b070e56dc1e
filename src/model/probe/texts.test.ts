import assert from 'node:assert/strict';
import { test } from 'node:test';
import { octets } from '#kit/printer-answers.ts';
import { compilePattern } from '../pattern.ts';
import { cleanModel, cleanSerial, cleanText, extract, macOf, numberOf, parseDeviceId, sameSerial, textOf } from './texts.ts';

const text = (bytes: Buffer | string) => textOf(octets('1.3', Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes)));

test('texts in whatever encoding', () => {
  assert.equal(text('  HP  LaserJet\r\n'), 'HP LaserJet');
  assert.equal(text(Buffer.from('Büro 3', 'latin1')), 'Büro 3');
  assert.equal(text('Büro 3'), 'Büro 3');
  assert.equal(text(Buffer.from([0x01, 0x15, 0x41, 0x42, 0])), 'AB');
  assert.equal(text(Buffer.alloc(16)), null);
  assert.equal(text(''), null);
  assert.equal(text('x'.repeat(5_000))!.length, 255);
  assert.equal(textOf({ oid: '1.3', type: 'oid', value: '1.3.6' }), '1.3.6');
  assert.equal(textOf({ oid: '1.3', type: 'missing', value: null, why: 'noSuchObject' }), null);
});

test('numbers, also those that are written in digits', () => {
  assert.equal(numberOf({ oid: '1.3', type: 'integer', value: -3 }), -3);
  assert.equal(numberOf({ oid: '1.3', type: 'counter64', value: '9007199254740993' }), null);
  assert.equal(numberOf({ oid: '1.3', type: 'counter64', value: '70123' }), 70_123);
  assert.equal(numberOf(octets('1.3', Buffer.from(' 4711 '))), 4711);
  assert.equal(numberOf(octets('1.3', Buffer.from('47 pages'))), null);
  assert.equal(numberOf(undefined), null);
});

test('serial numbers that are none', () => {
  for (const none of ['', '   ', 'XXXXXXXXXX', 'xxxx', '0000000000', '00:00:00', '----', 'N/A', 'unknown', 'Not Available', 'To be filled by O.E.M.', 'A1', 'x'.repeat(65), 'Ä12345', null]) assert.equal(cleanSerial(none, []), null, String(none));
  for (const good of ['CNB1234567', '0000042', 'XXK000123', 'E700 00A']) assert.equal(cleanSerial(` ${good} `, []), good);
  assert.equal(cleanSerial('DEMO-12345', [compilePattern('^DEMO-')]), null);
  assert.ok(sameSerial('cnb 123-4567', 'CNB1234567'));
  assert.ok(!sameSerial('CNB1234567', 'CNB1234568'));
});

test('what comes out of the box tells nothing', () => {
  for (const none of ['Unknown (edit /etc/snmp/snmpd.conf)', 'Sitting on the Dock of the Bay', '(none)', 'localhost', 'localhost.localdomain', 'Printer', 'not set', '---']) assert.equal(cleanText(none), null, none);
  assert.equal(cleanText('Printer room'), 'Printer room');
});

test('models without their maker', () => {
  assert.equal(cleanModel('HP LaserJet M402dn', ['HP', 'Hewlett-Packard']), 'LaserJet M402dn');
  assert.equal(cleanModel('Hewlett-Packard HP LaserJet', ['Hewlett-Packard', 'HP']), 'LaserJet');
  assert.equal(cleanModel('HPX', ['HP']), 'HPX');
  assert.equal(cleanModel('KONICA MINOLTA bizhub C258', ['Konica Minolta']), 'bizhub C258');
  assert.equal(cleanModel('HP', ['HP']), 'HP');
});

test('MAC addresses of cards, and what is none', () => {
  assert.equal(macOf(octets('1.3', Buffer.from('00005e005311', 'hex'))), '00:00:5e:00:53:11');
  for (const none of ['', '000000000000', '0000', '01005e000001', 'ffffffffffff', '00005e00531100']) assert.equal(macOf(octets('1.3', Buffer.from(none, 'hex'))), null, none);
  assert.equal(macOf(undefined), null);
});

test('patterns take the first group, a group named value, or all of it', () => {
  const taken = (value: string, pattern: string | null) => extract(octets('1.3', Buffer.from(value)), pattern === null ? null : compilePattern(pattern));
  assert.equal(taken('SN:CN123;X', 'SN:([^;]+)'), 'CN123');
  assert.equal(taken('a1 b2', '([a-z])(?P<value>[0-9])'), '1');
  assert.equal(taken('abc', 'b'), 'b');
  assert.equal(taken('abc', 'x'), null);
  assert.equal(taken('abc', null), 'abc');
  // Behind much else, as in device ids.
  assert.equal(taken(`MFG:HP;CMD:${'PCL,'.repeat(200)};SN:CN123;`, 'SN:([^;]+)'), 'CN123');
});

test('device ids of IEEE 1284, sloppy ones', () => {
  const fields = (id: string) => Object.fromEntries(parseDeviceId(id));
  assert.deepEqual(fields('MFG:HP;MDL:LaserJet 4;CMD:PCL,PS;CLS:PRINTER;'), { MFG: 'HP', MDL: 'LaserJet 4', CMD: 'PCL,PS', CLS: 'PRINTER' });
  assert.deepEqual(fields('MANUFACTURER:Brother;\r\nMODEL : MFC-1 \r\ncommand set:PJL'), { MFG: 'Brother', MDL: 'MFC-1', CMD: 'PJL' });
  assert.deepEqual(fields('mfg:Acme\nmdl:X\nSERN:123'), { MFG: 'Acme', MDL: 'X', SN: '123' });
  assert.deepEqual(fields('\u0000\u0042MFG:Acme;MDL:X:Y;MDL:Z;;nothing;:;DES:'), { MFG: 'Acme', MDL: 'X:Y' });
  assert.deepEqual(fields('constructor:1;__proto__:2'), {});
  assert.equal(parseDeviceId(null).size, 0);
  const whole = 'MFG:HP;MDL:LaserJet 4;SN:CN1;';
  for (let end = 0; end <= whole.length; end++) for (const [key, value] of parseDeviceId(whole.slice(0, end))) assert.ok((fields(whole)[key] ?? '').startsWith(value));
});
