import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { crc32c } from './crc32c.ts';
import { encodeProxyHeader, readProxyHeader, type ProxyHeader, type ProxyHeaderToSend } from './proxy-protocol.ts';

const silent = { kind: 'proxy', local: false, source: null, destination: null, datagram: false, authority: null, alpn: null, uniqueId: null, tls: null, custom: 0 };

interface Sample {
  readonly title: string;
  readonly bytes: Buffer;
  readonly expected: Record<string, unknown>;
}

function readCorpus(): Sample[] {
  const text = readFileSync(new URL('../../test/corpus/proxy-protocol.md', import.meta.url), 'utf8');
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const [, kind, block] = /```(line|hex)\n(.*?)\n```/s.exec(section)!;
      const bytes = kind === 'line' ? Buffer.from(`${block}\r\n`, 'latin1') : Buffer.from(block!.replace(/\s/g, ''), 'hex');
      return { title: section.slice(0, section.indexOf('\n')), bytes, expected: JSON.parse(/```json\n(.*?)```/s.exec(section)![1]!) as Record<string, unknown> };
    });
}

const plain = (header: ReturnType<typeof readProxyHeader>): unknown =>
  JSON.parse(JSON.stringify(header, (_key, value: unknown) => (value !== null && typeof value === 'object' && 'type' in value && value.type === 'Buffer' ? Buffer.from((value as unknown as { data: number[] }).data).toString('hex') : value)));

function headerOf(bytes: Buffer): ProxyHeader {
  const header = readProxyHeader(bytes);
  assert.equal(header.kind, 'proxy', JSON.stringify(header));
  return header as ProxyHeader;
}

function whyOf(bytes: Buffer): string {
  const header = readProxyHeader(bytes);
  assert.equal(header.kind, 'malformed', JSON.stringify(header));
  return header.kind === 'malformed' ? header.why : '';
}

for (const { title, bytes, expected } of readCorpus()) {
  test(`sample: ${title}`, () => {
    const whole = readProxyHeader(bytes);
    const isHeader = expected['kind'] === undefined;
    if (isHeader) assert.deepEqual(plain(whole), { ...silent, version: bytes[0] === 0x50 ? 1 : 2, bytes: bytes.length, ...expected });
    else assert.equal(whole.kind, expected['kind']);
    if (whole.kind === 'malformed') assert.match(whole.why, new RegExp(String(expected['why'])));
    let settled = false;
    for (let end = 0; end < bytes.length; end++) {
      const beginning = readProxyHeader(bytes.subarray(0, end));
      if (isHeader || (!settled && beginning.kind === 'more')) assert.deepEqual(beginning, { kind: 'more' }, `the first ${end} bytes`);
      else assert.deepEqual(beginning, whole, `the first ${end} bytes`);
      settled ||= beginning.kind !== 'more';
    }
    for (const behind of ['\r\n', '\0', bytes.toString('latin1'), 'GET / HTTP/1.1\r\n\r\n']) {
      assert.deepEqual(readProxyHeader(Buffer.concat([bytes, Buffer.from(behind, 'latin1')])), whole, 'what is behind it changes nothing');
    }
  });
}

test('line ends: both characters, in this order, at most at byte 107', () => {
  const line = 'PROXY TCP4 192.0.2.1 192.0.2.2 1000 443';
  assert.match(whyOf(Buffer.from(`${line}\n`)), /line feed alone/);
  assert.match(whyOf(Buffer.from(`${line}\rx`)), /carriage return alone/);
  assert.match(whyOf(Buffer.from(`${line}\r\r\n`)), /carriage return alone/);
  assert.match(whyOf(Buffer.from('PROXY UNKNOWN a\nb\r\n')), /line feed alone/, 'even where the rest is ignored');
  assert.deepEqual(readProxyHeader(Buffer.from(`${line}\r`)), { kind: 'more' });
  const filled = (length: number) => `PROXY UNKNOWN ${'x'.repeat(length - 14)}`;
  assert.equal(headerOf(Buffer.from(`${filled(105)}\r\n`)).bytes, 107);
  assert.match(whyOf(Buffer.from(`${filled(106)}\r`)), /more than 107/);
  assert.match(whyOf(Buffer.from(filled(107))), /more than 107/);
  assert.match(whyOf(Buffer.from(`${filled(106)}\n`)), /line feed alone/);
  assert.deepEqual(readProxyHeader(Buffer.from(filled(106))), { kind: 'more' });
  assert.match(whyOf(Buffer.from('PROXY \r\n')), /another protocol/);
  assert.match(whyOf(Buffer.from('PROXY UNKNOWNX\r\n')), /another protocol/);
});

test('what a byte forbids is said as soon as it is there', () => {
  const start = '0d0a0d0a000d0a515549540a';
  assert.deepEqual(readProxyHeader(Buffer.from(start, 'hex')), { kind: 'more' });
  assert.match(whyOf(Buffer.from(`${start}31`, 'hex')), /version 3/);
  assert.match(whyOf(Buffer.from(`${start}2141`, 'hex')), /transport 0x41/);
  assert.match(whyOf(Buffer.from(`${start}2111000b`, 'hex')), /too short/);
  assert.match(whyOf(Buffer.from(`${start}2011ffff`, 'hex')), /65551 bytes/, 'LOCAL, too');
  assert.deepEqual(readProxyHeader(Buffer.from('X')), { kind: 'no' });
  assert.deepEqual(readProxyHeader(Buffer.from('0d0a0d0a01', 'hex')), { kind: 'no' });
});

const v4 = { source: { address: '192.0.2.1', port: 56_324 }, destination: { address: '198.51.100.2', port: 443 } };
const v6 = { source: { address: '2001:db8::1', port: 56_324 }, destination: { address: '2001:db8::2', port: 443 } };
const mixed = { source: v4.source, destination: v6.destination };
const tls = { version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', commonName: 'Bücher', verified: true, certificate: Buffer.from('30020500', 'hex') };

test('what is written is read back', () => {
  for (const ends of [v4, v6, mixed, { source: v6.source, destination: v4.destination }]) {
    for (const version of [1, 2] as const) {
      const header = headerOf(encodeProxyHeader({ version, ...ends }));
      assert.deepEqual(header, { ...silent, version, ...ends, bytes: header.bytes });
    }
    for (const summed of [false, true]) {
      const sent: ProxyHeaderToSend = { version: 2, ...ends, datagram: true, tls, uniqueId: Buffer.from('id-1'), authority: 'A.example.test', alpn: 'h2', crc32c: summed };
      const bytes = encodeProxyHeader(sent);
      assert.deepEqual(headerOf(bytes), {
        ...silent, version: 2, ...ends, datagram: true, uniqueId: Buffer.from('id-1'), authority: 'a.example.test', alpn: 'h2', bytes: bytes.length,
        tls: { verified: true, version: tls.version, cipher: tls.cipher, commonName: 'Bücher', signatureAlgorithm: null, keyAlgorithm: null, group: null, clientCertificate: tls.certificate },
      });
    }
  }
});

test('with a checksum, no bit of the header can turn without notice', () => {
  const bytes = encodeProxyHeader({ version: 2, ...v4, uniqueId: Buffer.from('id-1'), crc32c: true });
  const whole = headerOf(bytes);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const bent = Buffer.from(bytes);
    bent[bit >> 3] = bent[bit >> 3]! ^ (1 << (bit & 7));
    const read = readProxyHeader(bent);
    // LOCAL says that nothing in it counts; a checksum whose type was bent is another field.
    if (read.kind === 'proxy' && !read.local) assert.ok(bit >> 3 === bytes.length - 7 && read.source?.address === whole.source?.address, `bit ${bit}: ${JSON.stringify(read)}`);
  }
});

test('the bytes that are written', () => {
  const text = (header: ProxyHeaderToSend) => encodeProxyHeader(header).toString('latin1');
  assert.equal(text({ version: 1, ...v4 }), 'PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n');
  assert.equal(text({ version: 1, ...mixed }), 'PROXY TCP6 ::ffff:c000:201 2001:db8::2 56324 443\r\n');
  assert.equal(text({ version: 1, source: { address: '::ffff:192.0.2.1', port: 1 }, destination: v4.destination }), 'PROXY TCP4 192.0.2.1 198.51.100.2 1 443\r\n');
  assert.equal(text({ version: 1, source: { address: 'fe80::1%eth0', port: 1 }, destination: v6.destination }), 'PROXY TCP6 fe80::1 2001:db8::2 1 443\r\n');
  assert.equal(text({ version: 1, source: null, destination: v4.destination }), 'PROXY UNKNOWN\r\n');
  const hex = (header: ProxyHeaderToSend) => encodeProxyHeader(header).toString('hex').slice(24);
  assert.equal(hex({ version: 2, ...v4 }), '2111000cc0000201c6336402dc0401bb');
  assert.equal(hex({ version: 2, ...v4, datagram: true }), '2112000cc0000201c6336402dc0401bb');
  assert.equal(hex({ version: 2, ...mixed }), '2121002400000000000000000000ffffc000020120010db8000000000000000000000002dc0401bb');
  assert.equal(hex({ version: 2, source: null, destination: null, crc32c: true }), '20000000');
  assert.equal(hex({ version: 2, source: null, destination: null, uniqueId: Buffer.from('ab') }), '20000000');
  // Flags: TLS alone; a certificate that did not pass; one of the session.
  const flags = (change: Partial<NonNullable<ProxyHeaderToSend['tls']>>) => hex({ version: 2, ...v4, tls: { version: 'T', cipher: 'C', commonName: null, verified: false, ...change } }).slice(38, 48);
  assert.equal(flags({}), '0100000001');
  assert.equal(flags({ commonName: 'x' }), '0700000001');
  assert.equal(flags({ verified: true }), '0700000000');
  assert.equal(flags({ verified: true, resumed: true }), '0500000000');
});

test('what cannot be said is a fault', () => {
  const fails = (header: ProxyHeaderToSend, code: 'bad-input' | 'too-large' | 'unsupported') => assert.throws(() => encodeProxyHeader(header), (thrown) => isFault(thrown, code));
  fails({ version: 1, ...v4, datagram: true }, 'unsupported');
  fails({ version: 2, ...v4, source: { address: 'a.example.test', port: 1 } }, 'bad-input');
  fails({ version: 1, ...v4, source: { address: '192.0.2.1', port: 65_536 } }, 'bad-input');
  fails({ version: 2, ...v4, uniqueId: Buffer.alloc(129) }, 'bad-input');
  fails({ version: 2, ...v4, tls: { ...tls, certificate: Buffer.alloc(4_096) } }, 'too-large');
  fails({ version: 2, ...v4, tls: { ...tls, certificate: Buffer.alloc(70_000) } }, 'too-large');
  assert.equal(encodeProxyHeader({ version: 2, ...v4, uniqueId: Buffer.alloc(128) }).length, 16 + 12 + 3 + 128);
});

test('CRC32C has the check value of its polynomial, whole and in parts', () => {
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  assert.equal(crc32c(Buffer.from('6789'), crc32c(Buffer.from('12345'))), 0xe3069283);
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa); // RFC 3720 B.4
});
