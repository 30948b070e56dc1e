// The recorded hellos with their JA4 are read in tls.test.ts, at every cut; here are the published examples and the corners.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ja4Of } from './ja4.ts';
import type { ClientHello } from './tls.ts';

const codes = (hex: string) => Buffer.from(hex.replaceAll(',', ''), 'hex');
const list = (hex: string) => Buffer.concat([Buffer.alloc(2), codes(hex)]);

/** As the sniffer gives it, from lists as the specification writes them. */
function helloOf(suites: string, extensions: string, signatures: string, change: Partial<ClientHello> = {}): ClientHello {
  const bodies = extensions === '' ? [] : extensions.split(',').map((type) => [Number.parseInt(type, 16), type === '000d' && signatures !== '' ? list(signatures) : Buffer.alloc(0)] as const);
  return { kind: 'hello', serverName: 'a.example.test', alpn: ['h2', 'http/1.1'], versions: [0x0304, 0x0303], suites: codes(suites), extensions: new Map(bodies), ...change };
}

const suites = '1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035';
const extensions = '001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015';
const signatures = '0403,0804,0401,0503,0805,0501,0806,0601';

test("the specification's example, with and without GREASE and signature algorithms", () => {
  assert.equal(ja4Of(helloOf(suites, extensions, signatures)), 't13d1516h2_8daaf6152771_e5627efa2ab1');
  assert.equal(ja4Of(helloOf(`3a3a,${suites}`, `aaaa,${extensions},0a0a`, `1a1a,${signatures}`)), 't13d1516h2_8daaf6152771_e5627efa2ab1');
  assert.equal(ja4Of(helloOf(suites, extensions, '')), 't13d1516h2_8daaf6152771_6d807ffa2a79');
});

test("Chrome 143 as BrowserLeaks names it, whatever the extensions' order", () => {
  const sent = '002d,0033,0010,fe0d,0017,44cd,0000,000b,000a,002b,ff01,0023,0012,0005,000d,001b';
  for (const order of [sent, sent.split(',').reverse().join(',')]) assert.equal(ja4Of(helloOf(suites, order, signatures)), 't13d1516h2_8daaf6152771_d8a2da3f94cd');
});

test('corners of the first part', () => {
  const start = (change: Partial<ClientHello>, types = extensions) => ja4Of(helloOf(suites, types, signatures, change)).split('_')[0];
  assert.equal(start({ serverName: null }), 't13d1516h2', 'an address literal was sent: the extension counts');
  assert.equal(start({}, '0010,000d'), 't13i1502h2');
  for (const [versions, mark] of [[[0x0303, 0x0304], '13'], [[0x0303], '12'], [[0x0302], '11'], [[0x0301], '10'], [[0x0300], 's3'], [[0x0303, 0x7f1c], '00']] as const) assert.equal(start({ versions }), `t${mark}d1516h2`);
  for (const [protocol, mark] of [['http/1.1', 'h1'], ['h', 'hh'], ['\xab', 'ab'], ['\xab\xcd', 'ad'], ['0\xab', '3b'], ['01\xab\xcd', '3d'], ['0\xab\xcd1', '01']] as const) {
    assert.equal(start({ alpn: [protocol] }), `t13d1516${mark}`);
  }
  assert.equal(start({ alpn: [] }), 't13d151600');
  const many = Array.from({ length: 120 }, (_, i) => (0x1301 + i * 0x0100).toString(16)).join(',');
  assert.equal(ja4Of(helloOf(many, extensions, signatures)).slice(0, 8), 't13d9916');
});

test('nothing to hash is zeros', () => {
  assert.equal(ja4Of(helloOf('002f', '', '', { alpn: [], versions: [0x0301] })), 't10i010000_ba72b8082249_000000000000');
  assert.equal(ja4Of(helloOf('0a0a', '0000,0010', '')), 't13d0002h2_000000000000_000000000000');
});
