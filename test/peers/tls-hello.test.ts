// tshark as the judge of what is read from a hello: server name, protocols, versions, and what JA4 is made of; for the corpus and for the clients here.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { openProcesses, type Processes } from '#kit/processes.ts';
import { ja4Of } from '#wire/ja4.ts';
import { capabilityOf } from '#wire/tls-capability.ts';
import { sniffClientHello, type ClientHello } from '#wire/tls.ts';

const peers = findPeers(['tshark', 'openssl', 'curl']);

/** A capture (pcap, raw IPv4) of one segment to port 443 for each hello, each in a connection of its own. */
function captureOf(hellos: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65_535, 16);
  head.writeUInt32LE(101, 20); // LINKTYPE_RAW
  const frames = hellos.map((hello, i) => {
    const ip = Buffer.from('450000000001000040060000c0000201c0000202', 'hex');
    const tcp = Buffer.from('000001bb00000001000000015018ffff00000000', 'hex');
    ip.writeUInt16BE(40 + hello.length, 2);
    tcp.writeUInt16BE(40_000 + i, 0);
    const times = Buffer.alloc(16);
    times.writeUInt32LE(40 + hello.length, 8);
    times.writeUInt32LE(40 + hello.length, 12);
    return Buffer.concat([times, ip, tcp, hello]);
  });
  return Buffer.concat([head, ...frames]);
}

const isNoise = (code: number) => (code & 0x0f0f) === 0x0a0a && code >> 8 === (code & 0xff);
const numbers = (text: string, between: string) => text.split(between).filter((part) => part !== '').map(Number).filter((code) => !isNoise(code));
const texts = (text: string) => text.split(',').filter((part) => part !== '');

interface Judged {
  readonly serverName: string | null;
  readonly alpn: readonly string[];
  readonly versions: readonly number[];
  readonly ja4: string;
}

/** JA4 from tshark's fields, with nothing of ours. The JA3 string brings suites and extensions in the order sent. */
function judge(line: string): Judged {
  const [ja3 = '', signatures = '', protocols = '', supported = '', name = ''] = line.split('\t');
  const [legacy = '', suiteText = '', extensionText = ''] = ja3.split(',');
  const [suites, extensions] = [numbers(suiteText, '-'), numbers(extensionText, '-')];
  const versions = numbers(supported, ',');
  const best = Math.max(...(versions.length > 0 ? versions : [Number(legacy)]));
  const hex = (codes: number[]) => codes.map((code) => code.toString(16).padStart(4, '0'));
  const hash = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 12);
  const first = texts(protocols)[0];
  const two = (count: number) => String(count).padStart(2, '0');
  const mark = { 772: '13', 771: '12', 770: '11', 769: '10' }[best];
  const signed = hex(numbers(signatures, ',')).join(',');
  const listed = hex(extensions.filter((type) => type !== 0 && type !== 16)).sort().join(',');
  return {
    serverName: name === '' ? null : name.toLowerCase(),
    alpn: texts(protocols),
    versions: versions.length > 0 ? versions : [Number(legacy)],
    ja4: `t${mark}${extensions.includes(0) ? 'd' : 'i'}${two(suites.length)}${two(extensions.length)}${first ? first[0]! + first.at(-1)! : '00'}_${hash(hex(suites).sort().join(','))}_${hash(signed === '' ? listed : `${listed}_${signed}`)}`,
  };
}

async function judged(processes: Processes, hellos: readonly Buffer[]): Promise<Judged[]> {
  const path = join(processes.folder, 'hellos.pcap');
  writeFileSync(path, captureOf(hellos));
  const fields = ['ja3_full', 'sig_hash_alg', 'extensions_alpn_str', 'extensions.supported_version', 'extensions_server_name'].flatMap((field) => ['-e', `tls.handshake.${field}`]);
  const told = await processes.run(peers.path('tshark'), ['-r', path, '-T', 'fields', '-E', 'separator=/t', ...fields]);
  assert.equal(told.code, 0, told.stderr);
  const lines = told.stdout.split('\n').filter((line) => line !== '');
  assert.equal(lines.length, hellos.length, told.stdout);
  return lines.map(judge);
}

/** The hello that a program writes first. */
async function helloFrom(processes: Processes, command: string, argumentsFor: (port: number) => string[]): Promise<Buffer> {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = processes.start(command, argumentsFor((server.address() as AddressInfo).port));
  const [socket] = await accepted;
  socket.on('error', () => {});
  let bytes = Buffer.alloc(0);
  while (sniffClientHello(bytes).kind === 'more') bytes = Buffer.concat([bytes, ((await once(socket, 'data')) as [Buffer])[0]]);
  socket.destroy();
  server.close();
  await client.stop();
  return bytes;
}

function readHello(bytes: Buffer): ClientHello {
  const hello = sniffClientHello(bytes);
  assert.equal(hello.kind, 'hello', JSON.stringify(hello));
  return hello as ClientHello;
}

const factsOf = (hello: ClientHello): Judged => ({ serverName: hello.serverName, alpn: hello.alpn, versions: hello.versions, ja4: ja4Of(hello) });

test('tshark reads the same from hellos', { skip: peers.skip, timeout: 60_000 }, async (t) => {
  await using processes = openProcesses(t.signal);

  await t.test('recorded ones', async () => {
    const corpus = readFileSync(join(root, 'test', 'corpus', 'tls.md'), 'utf8');
    const hellos = [...corpus.matchAll(/```hex\n(.*?)```/gs)].map((match) => Buffer.from(match[1]!.replace(/\s/g, ''), 'hex'));
    assert.ok(hellos.length >= 10);
    assert.deepEqual(hellos.map((bytes) => factsOf(readHello(bytes))), await judged(processes, hellos));
  });

  await t.test('clients of this machine, of each level', async () => {
    const openssl = (...options: string[]) => helloFrom(processes, peers.path('openssl'), (port) => ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'live.example.test', ...options]);
    const curl = (...options: string[]) => helloFrom(processes, peers.path('curl'), (port) => ['-sk', '--connect-to', `::127.0.0.1:${port}`, ...options, 'https://live.example.test/']);
    const clients: [string, Buffer, boolean][] = [
      ['openssl', await openssl(), false],
      ['openssl, ALPN', await openssl('-alpn', 'acme-tls/1,h2'), false],
      ['openssl, one suite of TLS 1.3', await openssl('-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256'), false],
      ['openssl, TLS 1.2', await openssl('-tls1_2', '-cipher', 'ECDHE-RSA-AES128-GCM-SHA256'), false],
      ['openssl, TLS 1.2 with CBC', await openssl('-tls1_2', '-cipher', 'ECDHE-RSA-AES128-SHA:AES128-SHA'), true],
      ['openssl, TLS 1.1', await openssl('-tls1_1', '-cipher', 'DEFAULT@SECLEVEL=0'), true],
      ['openssl, TLS 1.0 again', await openssl('-tls1', '-fallback_scsv', '-cipher', 'DEFAULT@SECLEVEL=0'), false],
      ['curl', await curl(), false],
      ['curl, HTTP/1.1', await curl('--http1.1'), false],
      ['curl, at most TLS 1.2', await curl('--tls-max', '1.2'), false],
    ];
    const facts = await judged(processes, clients.map(([, bytes]) => bytes));
    for (const [index, [title, bytes, needsLegacy]] of clients.entries()) {
      const hello = readHello(bytes);
      assert.deepEqual(factsOf(hello), facts[index], title);
      assert.equal(hello.serverName, 'live.example.test', title);
      assert.equal(capabilityOf(hello).needsLegacy, needsLegacy, title);
    }
  });
});
