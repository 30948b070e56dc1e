import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimedSerialOf, shapeOf, tlsShapeOf } from './identity-marks.ts';
import { type ClientHello } from '#wire/tls.ts';

test('a shape is a short text: equal for versions of one program, different for programs', () => {
  const one = shapeOf('Mozilla/5.0 (PanelOS 2.1; Example-MFP) Panel/3.14', 'tls');
  assert.match(one!, /^[0-9a-f]{16}$/);
  assert.equal(shapeOf('Mozilla/5.0 (PanelOS 2.12; Example-MFP) Panel/4.0b2', 'tls'), one);
  assert.notEqual(shapeOf('Example-Uploader/3.14', 'tls'), one);
  assert.notEqual(shapeOf('Mozilla/5.0 (PanelOS 2.1; Example-MFP) Panel/3.14', 'other'), one);
  assert.notEqual(shapeOf('Mozilla/5.0 (PanelOS 2.1; Example-MFP) Panel/3.14', null), one);
  assert.notEqual(shapeOf(null, 'tls'), null);
  for (const nothing of [null, undefined, '']) assert.equal(shapeOf(nothing, null), null);
  assert.equal(shapeOf(`A${'b'.repeat(600)}`, null), shapeOf(`A${'b'.repeat(900)}`, null), 'the end of a very long one is not read');
});

const hello = (types: readonly number[]): ClientHello => ({ kind: 'hello', serverName: 'a.example.test', alpn: [], versions: [0x0304], suites: Buffer.from([0x13, 0x01, 0x13, 0x02]), extensions: new Map(types.map((type) => [type, type === 10 ? Buffer.from([0, 2, 0, 29]) : Buffer.alloc(0)])) });

test('a client that resumes, or dials an address, keeps its TLS shape', () => {
  const first = tlsShapeOf(hello([0, 10, 11, 13, 16, 35, 43, 51]));
  for (const types of [[10, 11, 13, 43, 51], [0, 51, 43, 10, 11, 13, 41, 42], [0x0a0a, 10, 11, 13, 21, 43, 51, 0xfafa]]) assert.equal(tlsShapeOf(hello(types)), first, types.join());
  assert.notEqual(tlsShapeOf(hello([10, 11, 13, 51])), first);
});

const of = (...fields: readonly (readonly [string, string])[]) => claimedSerialOf({ names: fields.map(([name]) => name), values: fields.map(([, value]) => value) });

test('serials are found in headers and user agents', () => {
  assert.equal(of(['x-serial-number', ' ABC12345 ']), 'ABC12345');
  assert.equal(of(['x-device-serial', 'CNB-123.4'], ['user-agent', 'X SN=OTHER99']), 'CNB-123.4');
  for (const [userAgent, serial] of [
    ['Example-MFP/2.0 (SN=ABC123; v2)', 'ABC123'],
    ['Example;S/N: 7F-1234567', '7F-1234567'],
    ['Panel serial/Z9Y8X7.', 'Z9Y8X7'],
    ['Panel (SerialNumber="QQ0011")', 'QQ0011'],
    ['Panel [serial no: QQ0011]', 'QQ0011'],
    ['Panel serial_number=12345678', '12345678'],
  ] as const) assert.equal(of(['user-agent', userAgent]), serial, userAgent);
});

test('what cannot be a serial is none', () => {
  assert.equal(of(), null);
  for (const value of ['', 'abc', 'NoDigitsHere', '1.2.3.4', 'AB 12', 'AB12\u00e4', '<script>1', `A1${'x'.repeat(63)}`, "A1'; drop"]) {
    assert.equal(of(['x-serial-number', value]), null, value);
    if (!/[ '<\u00e4]/.test(value)) assert.equal(of(['user-agent', `Panel SN=${value}`]), null, value);
  }
  for (const userAgent of ['DSN=ABC123', 'Panel resn=ABC123', 'serial/1.0.2 Mozilla', 'serialize=ABC123', `${'x'.repeat(520)} SN=ABC123`]) assert.equal(of(['user-agent', userAgent]), null, userAgent);
  assert.equal(of(['x-serial-number', 'ABC123'], ['x-serial-number', 'DEF456']), null, 'two of them are none');
});

test('no text throws, and none takes long', () => {
  let state = 20_261_120;
  const next = (below: number) => ((state = (state * 1_103_515_245 + 12_345) & 0x7fffffff) >> 8) % below;
  for (let turn = 0; turn < 3_000; turn++) {
    const text = Array.from({ length: next(80) }, () => 'SN=serialno/ :;"(.-_12AB\u00ff\n'[next(27)]).join('');
    const serial = of(['user-agent', text]);
    assert.ok(serial === null || /^[0-9A-Za-z][0-9A-Za-z._-]{3,63}$/.test(serial), text);
    shapeOf(text, null);
  }
  of(['user-agent', `SN=${'1'.repeat(100_000)}`]);
  shapeOf('1.'.repeat(100_000), null);
});
