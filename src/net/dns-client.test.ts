import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { dnsTypes, encodeDnsFrame, encodeDnsName, parseDnsMessage } from '#wire/dns.ts';
import { askServer, buildResolver, nameOfServer, parseDnsServer, type DnsServer } from './dns-client.ts';
import { findPlace, openDnsWork, waitUntilShown } from './dns-update.ts';
import { realClock } from '../app/real.ts';

type Record = readonly [name: string, type: number, data: Buffer];

/** The answer of a server to a question: its question, then these records. */
function answerTo(query: Buffer, records: readonly Record[], { flags = 0x8400, authority = [] as readonly Record[], id = query.readUInt16BE(0) } = {}): Buffer {
  const head = Buffer.alloc(12);
  [id, flags, 1, records.length, authority.length, 0].forEach((value, i) => head.writeUInt16BE(value, 2 * i));
  const encode = ([name, type, data]: Record) => {
    const fields = Buffer.alloc(10);
    [type, 1, 0, 60, data.length].forEach((value, i) => fields.writeUInt16BE(value, 2 * i));
    return Buffer.concat([encodeDnsName(name)!, fields, data]);
  };
  return Buffer.concat([head, query.subarray(12), ...[...records, ...authority].map(encode)]);
}

const txt = (text: string) => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);

/** A DNS server of the test's own on UDP and TCP of one port; `answers` gives the datagrams for each question. */
async function startServer(answers: (query: Buffer, count: number) => readonly Buffer[], overTcp?: (query: Buffer) => readonly Buffer[]): Promise<DnsServer & { asked: Buffer[]; [Symbol.asyncDispose](): Promise<void> }> {
  const tcp = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (bytes: Buffer) => {
      void (async () => {
        for (const piece of overTcp?.(bytes.subarray(2)) ?? []) {
          await new Promise((next) => setTimeout(next, 1));
          if (!socket.destroyed) socket.write(piece);
        }
        if (overTcp) socket.end();
      })();
    });
  });
  await new Promise<void>((done) => tcp.listen(0, '127.0.0.1', done));
  const { port } = tcp.address() as AddressInfo;
  const udp = createSocket('udp4');
  const asked: Buffer[] = [];
  udp.on('message', (query, from) => {
    asked.push(query);
    for (const answer of answers(query, asked.length)) udp.send(answer, from.port, from.address);
  });
  await new Promise<void>((done) => udp.bind(port, '127.0.0.1', done));
  return {
    address: '127.0.0.1', port, asked,
    async [Symbol.asyncDispose]() {
      udp.close();
      await new Promise((done) => tcp.close(done));
    },
  };
}

const options = { recursive: false, random: (n: number) => randomBytes(n) };
const question = { name: 'a.example.test', type: dnsTypes.TXT };

test('addresses of servers as they are written', () => {
  assert.deepEqual(['192.0.2.1', '192.0.2.1:5353', '2001:db8::1', '[2001:db8::1]:53', '[2001:db8::1]'].map((text) => nameOfServer(parseDnsServer(text)!)), ['192.0.2.1', '192.0.2.1:5353', '[2001:db8::1]', '[2001:db8::1]', '[2001:db8::1]']);
  for (const bad of ['', 'ns1.example.test', '192.0.2.1:0', '192.0.2.1:99999', '192.0.2.300', '[192.0.2.1', '192.0.2.1:']) assert.equal(parseDnsServer(bad), null, bad);
});

test('what is not the answer to the question is passed over: garbage, other ids, other names', async () => {
  await using server = await startServer((query) => {
    const other = Buffer.from(query);
    other[13] = 0x62;
    return [Buffer.from('garbage'), query, answerTo(query, [], { id: query.readUInt16BE(0) ^ 1 }), answerTo(other, [['b.example.test', dnsTypes.TXT, txt('no')]]), answerTo(query, [['a.example.test', dnsTypes.TXT, txt('yes')]])];
  });
  const { message } = await askServer(server, question, options);
  assert.equal(message.answers[0]!.data.toString(), '\x03yes');
});

test('a datagram that got lost is sent again', async () => {
  await using server = await startServer((query, count) => (count === 1 ? [] : [answerTo(query, [])]));
  assert.equal((await askServer(server, question, options)).message.rcode, 0);
  assert.deepEqual(server.asked[0], server.asked[1]);
});

test('what is cut short comes over TCP, in whatever pieces', async () => {
  const records: Record[] = Array.from({ length: 20 }, (_, i) => ['a.example.test', dnsTypes.TXT, txt(`${i} ${'x'.repeat(100)}`)]);
  await using server = await startServer(
    (query) => [answerTo(query, [], { flags: 0x8600 })],
    (query) => {
      const frame = encodeDnsFrame(answerTo(query, records));
      return [frame.subarray(0, 1), frame.subarray(1, 2), frame.subarray(2, 3), frame.subarray(3, 500), frame.subarray(500)];
    },
  );
  assert.equal((await askServer(server, question, options)).message.answers.length, 20);
});

test('over TCP: no answer, half an answer, another answer', async () => {
  const cut = (query: Buffer) => [answerTo(query, [], { flags: 0x8600 })];
  for (const [pieces, code] of [[() => [], 'closed'], [(query: Buffer) => [encodeDnsFrame(answerTo(query, [])).subarray(0, 9)], 'closed'], [(query: Buffer) => [encodeDnsFrame(query)], 'protocol']] as const) {
    await using server = await startServer(cut, pieces);
    await assert.rejects(askServer(server, question, options), (thrown) => isFault(thrown, code));
  }
});

test('a closed port, a name that does not fit, and calling it off', async () => {
  await using server = await startServer(() => []);
  const signal = AbortSignal.timeout(20);
  await assert.rejects(askServer(server, question, { ...options, signal }), (thrown) => isFault(thrown, 'closed'));
  await assert.rejects(askServer(server, { ...question, name: 'a..b' }, options), (thrown) => isFault(thrown, 'bad-input'));
  await assert.rejects(askServer({ address: '127.0.0.1', port: 1 }, question, options), (thrown) => isFault(thrown, 'unreachable'));
});

test('CNAMEs are followed to their end, and no further than that', async () => {
  const chain: { readonly [name: string]: string } = { 'a.example.test': 'b.example.test', 'b.example.test': 'c.example.test', 'loop.example.test': 'pool.example.test', 'pool.example.test': 'loop.example.test' };
  await using server = await startServer((query) => {
    const { name } = parseDnsMessage(query)!.questions[0]!;
    const to = chain[name];
    return [answerTo(query, to ? [[name, dnsTypes.CNAME, encodeDnsName(to)!]] : [])];
  });
  const resolver = buildResolver({ servers: () => [server], random: options.random });
  assert.equal(await resolver.follow('A.example.test.'), 'c.example.test');
  assert.equal(await resolver.follow('c.example.test'), 'c.example.test');
  await assert.rejects(resolver.follow('loop.example.test'), (thrown) => isFault(thrown, 'protocol') && /do not come to an end/.test(thrown.message));
});

test('of several resolvers, the first that answers', async () => {
  await using broken = await startServer((query) => [answerTo(query, [], { flags: 0x8402 })]);
  await using sound = await startServer((query) => [answerTo(query, [['a.example.test', dnsTypes.A, Buffer.from([192, 0, 2, 1])]])]);
  const resolver = buildResolver({ servers: () => [broken, sound], random: options.random });
  assert.deepEqual(await resolver.addressesOf('a.example.test'), ['192.0.2.1']);
  assert.deepEqual(await resolver.addressesOf('192.0.2.9'), ['192.0.2.9']);
  await assert.rejects(buildResolver({ servers: () => [broken], random: options.random }).ask(question), (thrown) => isFault(thrown, 'protocol') && /answers SERVFAIL for a\.example\.test/.test(thrown.message));
  await assert.rejects(buildResolver({ servers: () => [], random: options.random }).ask(question), (thrown) => isFault(thrown, 'unreachable'));
});

const soaData = Buffer.concat([encodeDnsName('ns1.example.test')!, encodeDnsName('admin.example.test')!, Buffer.alloc(20)]);

test('the zone of a name: by its SOA, wherever it is said; and not where "zone" says otherwise', async () => {
  await using server = await startServer((query) => {
    const { name, type } = parseDnsMessage(query)!.questions[0]!;
    if (type !== dnsTypes.SOA) return [answerTo(query, [])];
    // Some say nothing for names below; the zone itself answers.
    return [name === 'example.test' ? answerTo(query, [['example.test', dnsTypes.SOA, soaData]]) : answerTo(query, [], name.endsWith('.sub.example.test') ? { authority: [['sub.example.test', dnsTypes.SOA, soaData]] } : {})];
  });
  const work = openDnsWork({ clock: realClock, random: options.random, signal: new AbortController().signal, resolver: nameOfServer(server) });
  assert.deepEqual(await findPlace('_acme-challenge.a.example.test', null, work, server), { name: '_acme-challenge.a.example.test', zone: 'example.test', primary: 'ns1.example.test' });
  assert.equal((await findPlace('_acme-challenge.a.sub.example.test', null, work, null)).zone, 'sub.example.test');
  assert.equal((await findPlace('_acme-challenge.a.example.test', 'a.example.test', work, server)).zone, 'a.example.test');
  await assert.rejects(findPlace('_acme-challenge.a.example.test', 'other.test', work, server), (thrown) => isFault(thrown, 'bad-input') && /is not in the zone other\.test/.test(thrown.message));
  await assert.rejects(findPlace('_acme-challenge.a.example.org', null, work, server), (thrown) => isFault(thrown, 'not-found'));
});

test('waiting until every server that answers shows the record', async () => {
  const shows = (after: number) => startServer((query, count) => [answerTo(query, count > after ? [['a.example.test', dnsTypes.TXT, txt('proof')]] : [['a.example.test', dnsTypes.TXT, txt('old')]])]);
  await using early = await shows(0);
  await using late = await shows(2);
  const signal = new AbortController().signal;
  const work = openDnsWork({ clock: realClock, random: options.random, signal, resolver: nameOfServer(early) });
  const order = { name: 'a.example.test', zone: 'example.test', text: 'proof', also: [] };
  await waitUntilShown({ ...order, check: [nameOfServer(early), nameOfServer(late), '127.0.0.1:1'] }, work);
  assert.equal(late.asked.length, 3);
  await assert.rejects(waitUntilShown({ ...order, check: ['ns1.example.test'] }, work), (thrown) => isFault(thrown, 'bad-input'));
  await using never = await shows(1_000);
  const hasty = { ...work, clock: { ...realClock, monoMs: () => performance.now() * 1_000 } };
  await assert.rejects(waitUntilShown({ ...order, check: [nameOfServer(never)] }, hasty), (thrown) => isFault(thrown, 'timeout') && thrown.message.includes(`${nameOfServer(never)} did not show the record`));
});
