import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { ja4Of } from './ja4.ts';
import { sniffClientHello } from './tls.ts';
import type { ClientHello, TlsSniff } from './tls.ts';

type Facts = Pick<ClientHello, 'kind' | 'serverName' | 'alpn' | 'versions'>;

interface Sample {
  readonly title: string;
  readonly bytes: Buffer;
  readonly expected: Facts;
  readonly ja4: string;
}

function expectedOf({ serverName, alpn, versions, ja4 }: Facts & { ja4: string }): Pick<Sample, 'expected' | 'ja4'> {
  return { expected: { kind: 'hello', serverName, alpn, versions }, ja4 };
}

/** What was read without the views of the hello. */
function factsOf(bytes: Buffer): Facts | Exclude<TlsSniff, ClientHello> {
  const sniffed = sniffClientHello(bytes);
  return sniffed.kind === 'hello' ? { kind: 'hello', serverName: sniffed.serverName, alpn: sniffed.alpn, versions: sniffed.versions } : sniffed;
}

function readCorpus(): Sample[] {
  const text = readFileSync(new URL('../../test/corpus/tls.md', import.meta.url), 'utf8');
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.slice(0, section.indexOf('\n')),
      ...expectedOf(JSON.parse(/```json\n(.*?)```/s.exec(section)![1]!)),
      bytes: Buffer.from(/```hex\n(.*?)```/s.exec(section)![1]!.replace(/\s/g, ''), 'hex'),
    }));
}

const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
const vector8 = (...parts: (Buffer | string)[]) => joined(1, parts);
const vector16 = (...parts: (Buffer | string)[]) => joined(2, parts);
function joined(size: 1 | 2, parts: (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
  const head = Buffer.alloc(size);
  head.writeUIntBE(body.length, 0, size);
  return Buffer.concat([head, body]);
}
const extension = (type: number, body: Buffer) => Buffer.concat([u16(type), vector16(body)]);
const sni = (name: string) => extension(0, vector16(Buffer.from([0]), vector16(name)));
const alpn = (...names: string[]) => extension(16, vector16(...names.map((name) => vector8(name))));
const versions = (...list: number[]) => extension(43, vector8(...list.map(u16)));

interface Parts {
  version?: number;
  sessionId?: Buffer;
  suites?: Buffer;
  compression?: Buffer;
  /** null: the hello ends before the list, as old clients' do. */
  extensions?: Buffer[] | null;
  behind?: Buffer;
}

function handshake(parts: Parts = {}): Buffer {
  const body = Buffer.concat([
    u16(parts.version ?? 0x0303),
    Buffer.alloc(32, 0xab),
    vector8(parts.sessionId ?? Buffer.alloc(0)),
    vector16(parts.suites ?? Buffer.from('1301', 'hex')),
    vector8(parts.compression ?? Buffer.from([0])),
    ...(parts.extensions === null ? [] : [vector16(...(parts.extensions ?? [sni('a.example.test')]))]),
    parts.behind ?? Buffer.alloc(0),
  ]);
  const head = Buffer.from([1, 0, 0, 0]);
  head.writeUIntBE(body.length, 1, 3);
  return Buffer.concat([head, body]);
}

const record = (body: Buffer, type = 0x16) => Buffer.concat([Buffer.from([type, 3, 1]), vector16(body)]);
/** One message in records of `size` bytes. */
function records(message: Buffer, size: number): Buffer {
  const cut: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) cut.push(record(message.subarray(at, at + size)));
  return Buffer.concat(cut);
}
const hello = (parts: Parts = {}) => record(handshake(parts));

function whyOf(bytes: Buffer): string {
  const sniffed = sniffClientHello(bytes);
  assert.equal(sniffed.kind, 'malformed', `${JSON.stringify(sniffed)} for ${bytes.toString('hex').slice(0, 80)}`);
  return sniffed.kind === 'malformed' ? sniffed.why : '';
}

/** One message in two records, or in as many as there are places. */
function cutAt(message: Buffer, places: readonly number[]): Buffer {
  const edges = [0, ...places, message.length];
  return Buffer.concat(edges.slice(1).map((end, i) => record(message.subarray(edges[i], end))));
}

for (const sample of readCorpus()) {
  /** JA4, too: what is read later is read from the same joined bytes. */
  const isRead = (bytes: Buffer, how: string) => {
    const read = sniffClientHello(bytes);
    assert.deepEqual(factsOf(bytes), sample.expected, how);
    assert.equal(read.kind === 'hello' && ja4Of(read), sample.ja4, how);
  };
  const message = sample.bytes.subarray(5);

  test(`recorded: ${sample.title}`, () => {
    isRead(sample.bytes, 'as it came');
    const found = message.toString('latin1').toLowerCase().indexOf(sample.expected.serverName ?? 'none');
    const name = found < 0 ? 40 : found;
    for (const places of [[], [1], [5], [6], [name + 3], [1, 2, 3, 4, 5, 6, name, name + 1, name + 2, name + 7]]) {
      const bytes = cutAt(message, places);
      for (let end = 0; end < bytes.length; end++) assert.equal(sniffClientHello(bytes.subarray(0, end)).kind, 'more', `records of ${places}, the first ${end} bytes`);
      isRead(bytes, `records cut at ${places}`);
    }
  });

  test(`recorded, in two records at every place: ${sample.title}`, () => {
    for (let first = 1; first < message.length; first++) {
      const bytes = cutAt(message, [first]);
      isRead(bytes, `a record of ${first} bytes, then the rest`);
      // Segments that end about the second record's header; elsewhere every place in small hellos, some in others.
      const isNear = (end: number) => end >= first + 4 && end < first + 12;
      const step = bytes.length < 300 ? 1 : 29;
      for (let end = first % step; end < bytes.length; end++) {
        if (isNear(end) || end % step === 0) assert.equal(sniffClientHello(bytes.subarray(0, end)).kind, 'more', `a record of ${first} bytes, a segment of ${end}`);
      }
    }
  });

  test(`recorded, a record for every byte: ${sample.title}`, () => {
    const bytes = records(message, 1);
    // More records than anybody sends: refused, at the same place however it comes, and never read as a hello without a name.
    for (let end = 0; end < bytes.length; end++) {
      const sniffed = sniffClientHello(bytes.subarray(0, end));
      assert.equal(sniffed.kind, end <= 20 * 6 ? 'more' : 'malformed', `the first ${end} bytes`);
    }
    assert.match(whyOf(bytes), /more than 20 TLS records/);
    isRead(records(message, Math.ceil(message.length / 20)), 'the most records that are taken');
  });
}

test('a hello in many records, at every split point of those', () => {
  const message = handshake({ extensions: [sni('many.example.test'), versions(0x0304)] });
  const expected = { kind: 'hello', serverName: 'many.example.test', alpn: [], versions: [0x0304] };
  for (const size of [4, 5, 7, 40]) {
    const bytes = records(message, Math.max(size, Math.ceil(message.length / 20)));
    for (let end = 0; end < bytes.length; end++) assert.equal(sniffClientHello(bytes.subarray(0, end)).kind, 'more');
    assert.deepEqual(factsOf(bytes), expected);
  }
  const tiny = Buffer.concat([record(message.subarray(0, 1)), record(message.subarray(1, 2)), record(message.subarray(2, 3)), record(message.subarray(3))]);
  assert.deepEqual(factsOf(tiny), expected);
  assert.match(whyOf(records(message, 3)), /more than 20 TLS records/);
  assert.match(whyOf(Buffer.concat([record(message.subarray(0, 50)), record(Buffer.alloc(0)), record(message.subarray(50))])), /empty TLS record/);
  assert.match(whyOf(Buffer.concat([record(message.subarray(0, 50)), record(Buffer.from([1, 0]), 0x15)])), /type 21 inside/);
  assert.match(whyOf(Buffer.concat([record(message.subarray(0, 50)), Buffer.from('16020100', 'hex')])), /version 2\.x inside/);
});

test('early data behind the hello is not looked at; a second message in its record is refused', () => {
  const bytes = hello();
  assert.equal(sniffClientHello(Buffer.concat([bytes, record(Buffer.from('00'), 0x17)])).kind, 'hello');
  assert.match(whyOf(record(Buffer.concat([handshake(), Buffer.from([0])]))), /second handshake message/);
});

test('a hello ends within 16 KiB', () => {
  const filled = (padding: number) => handshake({ extensions: [sni('big.example.test'), extension(21, Buffer.alloc(padding))] });
  const room = 16_384 - 5 - filled(0).length;
  assert.equal(sniffClientHello(record(filled(room))).kind, 'hello');
  assert.match(whyOf(record(filled(room + 1))), /within 16384 bytes/);
  assert.match(whyOf(record(filled(room + 1)).subarray(0, 5)), /within 16384 bytes/, 'said as soon as the record says so');
  assert.match(whyOf(Buffer.from('160301000401004001', 'hex')), /of 16389 bytes/);
  assert.match(whyOf(records(filled(room), 8_192)), /within 16384 bytes/);
});

test('what is not TLS', () => {
  for (const text of ['GET / HTTP/1.1\r\n', 'SSH-2.0-x', '\r\n\r\n\0\r\nQUIT\n', 'PROXY TCP4', '0\x0c\x02\x01', '\x03\x00\x00', '\x16\x02', '\x16\x03\x05', '\x15\x01', '\x80\x2e\x02', '\x80\x2e\x01\x05', '\x80\x2e\x01\x00\x03', '\x80\x2e\x01\x03\x09', '\x00']) {
    assert.deepEqual(factsOf(Buffer.from(text, 'latin1')), { kind: 'no' }, JSON.stringify(text));
  }
});

test('what cannot be told yet', () => {
  for (const hex of ['', '16', '1603', '160301', '1603010040', '15', '1703', '80', '802e', '802e01', '802e0100', '80550103']) {
    assert.deepEqual(factsOf(Buffer.from(hex, 'hex')), { kind: 'more' }, hex);
  }
});

test('other records first, and SSLv2', () => {
  assert.match(whyOf(Buffer.from('170303', 'hex')), /type 23 before any ClientHello/);
  assert.match(whyOf(Buffer.from('1503010002022f', 'hex')), /type 21 before/);
  assert.match(whyOf(Buffer.from('160301000502', 'hex')), /type 2 instead of a ClientHello/);
  assert.match(whyOf(Buffer.from('802e0100020015', 'hex')), /SSLv2/);
  assert.match(whyOf(Buffer.from('8055010301', 'hex')), /SSLv2/);
});

test('names are canonical or refused', () => {
  const named = (name: string) => factsOf(hello({ extensions: [sni(name)] }));
  for (const [sent, read] of [
    ['A.Example.TEST', 'a.example.test'],
    ['a.example.test.', 'a.example.test'],
    ['localhost', 'localhost'],
    ['xn--bcher-kva.example.test', 'xn--bcher-kva.example.test'],
    ['demo--8080.gw.example.test', 'demo--8080.gw.example.test'],
    ['1.example.test', '1.example.test'],
    // Address literals name nobody.
    ['192.0.2.1', null],
    ['192.0.2.1.', null],
    ['2001:db8::1', null],
    ['[2001:db8::1]', null],
  ] as const) {
    assert.deepEqual(named(sent), { kind: 'hello', serverName: read, alpn: [], versions: [0x0303] });
  }
  for (const [sent, why] of [
    ['good.example.test\0.evil.test', /NUL/],
    ['192.0.2', /ends in a number/],
    ['a.example.7', /ends in a number/],
    ['', /empty server name/],
    ['.', /empty server name/],
    ['a..example.test', /empty label/],
    ['a.example.test..', /empty label/],
    ['.example.test', /empty label/],
    [`${'a'.repeat(64)}.test`, /more than 63/],
    [`${'a.'.repeat(127)}test`, /more than 253/],
    ['a_b.example.test', /other characters/],
    ['*.example.test', /other characters/],
    ['a b.example.test', /other characters/],
    ['b\xfccher.example.test', /other characters/],
    ['-a.example.test', /hyphen at the edge/],
    ['a-.example.test', /hyphen at the edge/],
  ] as const) {
    assert.match(whyOf(hello({ extensions: [sni(sent)] })), why, sent);
  }
});

test('GREASE is skipped, in protocols and versions alike', () => {
  const bytes = hello({ extensions: [extension(0x3a3a, Buffer.alloc(0)), alpn('\x5a\x5a', 'h2', '\x0a\x1a'), versions(0xfafa, 0x0304, 0x0a1a)] });
  assert.deepEqual(factsOf(bytes), { kind: 'hello', serverName: null, alpn: ['h2', '\x0a\x1a'], versions: [0x0304, 0x0a1a] });
});

test('old clients send no extensions at all', () => {
  assert.deepEqual(factsOf(hello({ version: 0x0300, extensions: null })), { kind: 'hello', serverName: null, alpn: [], versions: [0x0300] });
  assert.deepEqual(factsOf(hello({ version: 0x0301, extensions: [] })), { kind: 'hello', serverName: null, alpn: [], versions: [0x0301] });
});

test('every structure must fill what encloses it', () => {
  const cases: [string, Parts, RegExp][] = [
    ['version', { version: 0x0205 }, /version 0x0205/],
    ['session id', { sessionId: Buffer.alloc(33) }, /session id/],
    ['no suites', { suites: Buffer.alloc(0) }, /cipher suites/],
    ['half a suite', { suites: Buffer.alloc(3) }, /cipher suites/],
    ['no compression', { compression: Buffer.alloc(0) }, /compression/],
    ['bytes behind', { behind: Buffer.alloc(2) }, /2 bytes too many/],
    ['two names', { extensions: [sni('a.example.test'), sni('b.example.test')] }, /extension 0 comes twice/],
    ['two names in one list', { extensions: [extension(0, vector16(Buffer.from([0]), vector16('a.test'), Buffer.from([0]), vector16('b.test')))] }, /more than one/],
    ['no name in the list', { extensions: [extension(0, vector16())] }, /cut short/],
    ['empty name extension', { extensions: [extension(0, Buffer.alloc(0))] }, /cut short/],
    ['name of another type', { extensions: [extension(0, vector16(Buffer.from([1]), vector16('a.test')))] }, /type 1/],
    ['bytes behind the list', { extensions: [extension(0, Buffer.concat([vector16(Buffer.from([0]), vector16('a.test')), Buffer.alloc(1)]))] }, /1 bytes too many/],
    ['name longer than its list', { extensions: [extension(0, vector16(Buffer.from([0]), u16(9), 'a.test'))] }, /cut short/],
    ['extension longer than the list', { extensions: [Buffer.from('00100009', 'hex')] }, /cut short/],
    ['no protocol', { extensions: [alpn()] }, /empty list of protocols/],
    ['empty protocol', { extensions: [alpn('h2', '')] }, /empty name/],
    ['half a version', { extensions: [extension(43, vector8(Buffer.from([3])))] }, /cut short/],
    ['no group', { extensions: [extension(10, vector16())] }, /groups is not a list/],
    ['half a signature algorithm', { extensions: [extension(13, vector16(Buffer.alloc(3)))] }, /signature algorithms is not a list/],
    ['bytes behind the groups', { extensions: [extension(10, Buffer.alloc(4))] }, /2 bytes too many/],
    ['only GREASE versions', { extensions: [versions(0x1a1a)] }, /empty list of versions/],
  ];
  for (const [title, parts, why] of cases) assert.match(whyOf(hello(parts)), why, title);
  // Every length in the message, one too few and one too many, never reads as the same hello with another name.
  const message = handshake();
  for (const at of [3, 38, 40, 43, 45, 49, 51, 54]) {
    for (const by of [-1, 1]) {
      const bent = Buffer.from(message);
      bent[at] = (bent[at]! + by) & 0xff;
      const sniffed = sniffClientHello(record(bent));
      assert.notEqual(sniffed.kind, 'hello', `length at ${at} changed by ${by}: ${JSON.stringify(sniffed)}`);
    }
  }
});

/** The first bytes that a client writes to a listener of ours. */
async function firstBytesOf(start: (port: number) => () => void): Promise<Buffer> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const arrived = once(server, 'connection');
  const stop = start((server.address() as AddressInfo).port);
  const [socket] = await arrived;
  socket.on('error', () => {});
  let bytes = Buffer.alloc(0);
  try {
    while (sniffClientHello(bytes).kind === 'more') bytes = Buffer.concat([bytes, (await once(socket, 'data'))[0]]);
    return bytes;
  } finally {
    socket.destroy();
    stop();
    server.close();
  }
}

test("Node's own client", async () => {
  const bytes = await firstBytesOf((port) => {
    const client = connect({ host: '127.0.0.1', port, servername: 'Node.Example.test', ALPNProtocols: ['http/1.1'], minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' });
    client.on('error', () => {});
    return () => client.destroy();
  });
  assert.deepEqual(factsOf(bytes), { kind: 'hello', serverName: 'node.example.test', alpn: ['http/1.1'], versions: [0x0304, 0x0303] });
});

test('openssl s_client', { skip: spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed' }, async () => {
  const bytes = await firstBytesOf((port) => {
    const client = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'ossl.example.test', '-alpn', 'postern-link/1', '-tls1_3'], { stdio: 'ignore' });
    return () => client.kill();
  });
  assert.deepEqual(factsOf(bytes), { kind: 'hello', serverName: 'ossl.example.test', alpn: ['postern-link/1'], versions: [0x0304] });
});
