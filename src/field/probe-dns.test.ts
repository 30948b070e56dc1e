import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openProbeStream, startProbing } from '#kit/probing.ts';
import { dnsTypes, encodeDnsFrame, encodeDnsName, parseDnsMessage } from '#wire/dns.ts';
import { isDnsName } from './probe-dns.ts';

const a = (...bytes: number[]): readonly [number, Buffer] => [dnsTypes.A, Buffer.from(bytes)];

function reply(query: Buffer, records: readonly (readonly [number, Buffer])[], flags = 0x8180): Buffer {
  const head = Buffer.alloc(12);
  [query.readUInt16BE(0), flags, 1, records.length, 0, 0].forEach((value, i) => head.writeUInt16BE(value, 2 * i));
  const owner = encodeDnsName(parseDnsMessage(query)!.questions[0]!.name)!;
  return Buffer.concat([head, query.subarray(12), ...records.map(([type, data]) => {
    const fields = Buffer.alloc(10);
    [type, 1, 0, 60, data.length].forEach((value, i) => fields.writeUInt16BE(value, 2 * i));
    return Buffer.concat([owner, fields, data]);
  })]);
}

/** UDP and TCP of one port; null: it says nothing. */
async function startResolver(t: TestContext, answer: (query: Buffer, by: 'udp' | 'tcp') => Buffer | null) {
  const heard: ('udp' | 'tcp')[] = [];
  const tcp = createServer((socket) => socket.on('error', () => {}).once('data', (bytes: Buffer) => {
    heard.push('tcp');
    const said = answer(bytes.subarray(2), 'tcp');
    if (said) socket.end(encodeDnsFrame(said));
  }));
  await new Promise<void>((done) => tcp.listen(0, '127.0.0.1', done));
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket('udp4').on('message', (query, from) => {
    heard.push('udp');
    const said = answer(query, 'udp');
    if (said) udp.send(said, from.port, from.address);
  });
  await new Promise<void>((done) => udp.bind(port, '127.0.0.1', done));
  t.after(() => {
    udp.close();
    tcp.close();
  });
  return { port, heard };
}

function open(t: TestContext, policy: string, resolvers: readonly string[] = []) {
  const stateDir = mkdtempSync(join(tmpdir(), 'postern-probe-'));
  t.after(() => rmSync(stateDir, { recursive: true, force: true }));
  return openProbeStream(startProbing({ stateDir, policy, resolvers }));
}

const asked = (port: number, more: Readonly<Record<string, unknown>> = {}) => ({ resolver: '127.0.0.1', port, name: 'scan.example.test', type: 'A', ...more });
const anyPort = 'reach udp 127.0.0.1 1024-65535';

test('addresses of the type that was asked for, and errors as answers', async (t) => {
  const flags = new Map([['gone.example.test', 0x8183], ['no.example.test', 0x8185]]);
  const { port } = await startResolver(t, (query) => {
    const { name, type } = parseDnsMessage(query)!.questions[0]!;
    if (flags.has(name)) return reply(query, [], flags.get(name));
    return reply(query, type === dnsTypes.A ? [a(192, 0, 2, 9), a(192, 0, 2, 9), [dnsTypes.TXT, Buffer.from('\x01x')], a(1, 2)] : [[dnsTypes.AAAA, Buffer.from('20010db8000000000000000000000009', 'hex')]]);
  });
  await using probe = open(t, anyPort);
  const { ms, ...four } = await probe.ask('dns', asked(port));
  assert.deepEqual(four, { resolver: '127.0.0.1', rcode: 'NOERROR', answers: ['192.0.2.9'] });
  assert.ok(Number.isInteger(ms));
  assert.deepEqual((await probe.ask('dns', asked(port, { type: 'AAAA' })))['answers'], ['2001:db8::9']);
  assert.equal((await probe.ask('dns', asked(port, { name: 'gone.example.test' })))['rcode'], 'NXDOMAIN');
  assert.equal((await probe.ask('dns', asked(port, { name: 'no.example.test' })))['rcode'], 'REFUSED');
});

test('the local policy: UDP, TCP where it is needed, and the machine\'s own resolvers at port 53 alone', async (t) => {
  const long = await startResolver(t, (query, by) => (by === 'udp' ? reply(query, [], 0x8380) : reply(query, [a(192, 0, 2, 9)])));
  await using narrow = open(t, anyPort, ['127.0.0.1']);
  const fault = await narrow.refused('dns', asked(long.port));
  assert.equal(fault.code, 'policy');
  assert.match(fault.remedy, new RegExp(`: reach tcp 127\\.0\\.0\\.1 ${long.port}$`));
  assert.deepEqual(long.heard, ['udp']);
  assert.match((await narrow.refused('dns', asked(53, { resolver: '192.0.2.53' }))).remedy, /: reach udp 192\.0\.2\.53 53$/);
  await using wide = open(t, `${anyPort}\nreach tcp 127.0.0.1 1024-65535`);
  assert.deepEqual((await wide.ask('dns', asked(long.port)))['answers'], ['192.0.2.9']);
  await using none = open(t, 'reach udp 192.0.2.1 161', ['127.0.0.1']);
  assert.equal((await none.refused('dns', asked(long.port))).code, 'policy', 'its own resolver at another port');
  assert.notEqual((await none.refused('dns', asked(53, { timeoutMs: 1_000 }))).code, 'policy');
});

test('silence, nonsense, nobody there', async (t) => {
  await using probe = open(t, `${anyPort}\nreach tcp 127.0.0.1 1024-65535`);
  const silent = await startResolver(t, () => null);
  assert.match((await probe.refused('dns', asked(silent.port, { timeoutMs: 1_000 }))).message, /does not answer/);
  const mad = await startResolver(t, (query, by) => (by === 'udp' ? reply(query, [], 0x8380) : Buffer.from('nonsense, and a lot of it')));
  assert.equal((await probe.refused('dns', asked(mad.port))).code, 'damaged');
  const gone = createSocket('udp4');
  await new Promise<void>((done) => gone.bind(0, '127.0.0.1', done));
  const { port } = gone.address();
  await new Promise<void>((done) => gone.close(() => done()));
  assert.equal((await probe.refused('dns', asked(port))).code, 'off');
  assert.equal((await probe.refused('dns', { resolver: 'system', name: 'scan.example.test', type: 'A' })).code, 'unreachable', 'it has none');
});

test('what is asked is checked', async (t) => {
  await using probe = open(t, anyPort);
  for (const fields of [{ name: 'a b' }, { name: '' }, { name: '*.example.test' }, { name: 1 }, { type: 'ANY' }, { type: undefined }, { resolver: 'dns.example.test' }, { resolver: '224.0.0.251' }, { port: 0 }, { timeoutMs: 10 }, { timeoutMs: 1e6 }]) {
    assert.equal((await probe.refused('dns', { ...asked(5_353), ...fields })).code, 'bad-input', JSON.stringify(fields));
  }
  for (const name of ['scan.example.test', 'scan', 'SCAN.example.test.', '_x.example.test', 'xn--bcher-kva.example.test']) assert.ok(isDnsName(name), name);
  for (const name of ['.', 'a..b', '-a', 'a\0b', 'ä.test', `${'a'.repeat(64)}.test`, `${'a.'.repeat(127)}a`]) assert.ok(!isDnsName(name), name);
});
