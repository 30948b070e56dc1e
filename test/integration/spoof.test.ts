// Who the client is, as somebody would like to have it: forwarding headers and PROXY headers from those who may not send them. The address that
// counts is the peer's, in what is forwarded, in audit, in throttling; and who comes through a proxy is never on this machine.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { encodeProxyHeader } from '#wire/proxy-protocol.ts';
import { makeCertificate } from '../kit/authority.ts';
import { finishesCleanly, portOf, startGateway, startTcp, until, type TestGateway } from '../kit/gateway.ts';
import { askHttp2, bodyOf, get, knock, statusOf, type Knock } from '../kit/tls-door.ts';

const now = Date.now();
const authority = await makeCertificate({ name: 'Proxies', now, ca: true });
const edge = await makeCertificate({ name: 'edge', issuer: authority, now, usages: ['1.3.6.1.5.5.7.3.2'] });
const someone = await makeCertificate({ name: 'someone', issuer: authority, now, usages: ['1.3.6.1.5.5.7.3.2'] });
const selfMade = await makeCertificate({ name: 'edge', now, usages: ['1.3.6.1.5.5.7.3.2'] });

/** An origin whose body is what it was told of the client. */
const startTeller = () =>
  startTcp((socket) => {
    let text = '';
    socket.on('data', (piece: Buffer) => {
      text += piece.toString('latin1');
      if (!text.includes('\r\n\r\n')) return;
      const told = text.split('\r\n').filter((line) => /^[^:]*(forwarded|real|client|ssl|proxy|via|connecting|verif)[^:]*:/i.test(line)).join('|');
      text = '';
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${told.length}\r\n\r\n${told}`);
    });
  });

/** Addresses of this machine, so that who sends what can be chosen: all of 127.0.0.0/8 is ours. */
const from = { anybody: '127.0.0.1', sender: '127.0.0.2', trusted: '127.0.0.3', shows: '127.0.0.4' };

async function startScene(port: number): Promise<TestGateway> {
  return startGateway({
    domain: 'gw.example.test',
    config: {
      listeners: [
        { name: 'behind', tls: false, proxyProtocolFrom: [from.sender] },
        { name: 'behind-tls', tls: true, proxyProtocolFrom: [from.sender] },
      ],
      tlsPolicies: [{ name: 'shown', hosts: ['web.example.test'], clientCertificates: { ca: authority.pem, required: false } }],
      trustedProxies: [{ from: from.trusted }, { from: from.shows, subject: 'Edge' }, { from: '198.51.100.0/24' }],
    },
    routes: [{ name: 'web', host: 'web.example.test', listeners: ['http', 'https', 'behind', 'behind-tls'], target: { kind: 'tcp', host: '127.0.0.1', port } }],
  });
}

/** Plain bytes from an address of ours; everything until the end. */
function sendPlain(port: number, localAddress: string, bytes: string | Buffer): Promise<string> {
  return new Promise((done, failed) => {
    let text = '';
    const socket = connect({ host: '127.0.0.1', port, localAddress }, () => void socket.write(bytes));
    const timer = setTimeout(() => (socket.destroy(), failed(new Error(`no end; so far ${text}`))), 15_000);
    socket.on('data', (piece) => void (text += piece.toString('latin1'))).on('error', () => {}).on('close', () => (clearTimeout(timer), done(text)));
  });
}
const over = (port: number, localAddress: string) => connect({ host: '127.0.0.1', port, localAddress });
const sendTls = (port: number, localAddress: string, say: string, more: Knock = {}) => knock(port, { servername: 'web.example.test', over: over(port, localAddress), say, ...more });

const lie = '203.0.113.66';
const lies = [
  `X-Forwarded-For: ${lie}`, `X-Forwarded-For: ::ffff:${lie}`, `X-Forwarded-For: 127.0.0.1, ${lie}`, `X-Forwarded-For: ${lie}\r\nX-Forwarded-For: ${lie}`, `x-forwarded-for:${lie}`,
  `Forwarded: for=${lie};proto=https;host=console.example.test`, `Forwarded: for="[::ffff:${lie}]"`, `X-Real-IP: ${lie}`, `X_Forwarded_For: ${lie}`, `X_Real_IP: ${lie}`, `X-Client-IP: ${lie}`, `True-Client-IP: ${lie}`,
  `CF-Connecting-IP: ${lie}`, `X-Cluster-Client-IP: ${lie}`, `X-Forwarded-Host: ${lie}`, `X-Forwarded-Server: ${lie}`, `X-Original-Forwarded-For: ${lie}`,
  `X-SSL-Client-Verify: SUCCESS ${lie}`, `X-SSL-Client-CN: ${lie}`, `X_SSL_Client_S_DN: CN=${lie}`, `SSL-Client-Cert: ${lie}`, `X-Client-Cert: ${lie}`, `X-Client-Verify: ${lie}`, `Client-Cert: :${lie}:`, `Client-Cert-Chain: :${lie}:`, `X-Forwarded-Client-Cert: Subject="CN=${lie}"`,
];

test('forwarding headers from anybody are dropped', { timeout: 60_000 }, async () => {
  await using teller = await startTeller();
  await using gateway = await startScene(teller.port);
  for (const line of [...lies, lies.join('\r\n')]) {
    const request = get('web.example.test', '/', `${line}\r\n`);
    for (const address of [from.anybody, from.sender, from.shows]) {
      const plain = await sendPlain(gateway.ports.http, address, request);
      assert.ok(statusOf(plain) === 200 && !plain.includes(lie) && plain.includes(`X-Forwarded-For: ${address}|`), `plain, ${address}, ${line}: ${plain}`);
    }
    const secured = await sendTls(gateway.ports.https, from.anybody, request);
    assert.ok(statusOf(secured.text) === 200 && !secured.text.includes(lie) && secured.text.includes(`X-Forwarded-For: ${from.anybody}|X-Forwarded-Proto: https|`), `TLS, ${line}: ${secured.text}`);
  }
  const headers: Record<string, string> = {};
  for (const [first] of lies.map((line) => line.split('\r\n'))) headers[first!.slice(0, first!.indexOf(':')).toLowerCase()] = first!.slice(first!.indexOf(':') + 1).trim();
  const [told = ''] = await askHttp2(gateway.ports.https, [{ authority: 'web.example.test', headers }], { servername: 'web.example.test' });
  assert.ok(told.startsWith('200 ') && !told.includes(lie) && told.includes(`X-Forwarded-For: ${from.anybody}|`), told);
  await finishesCleanly(gateway);
});

test('trusted proxies: by address, and by certificate where one is named', { timeout: 60_000 }, async () => {
  await using teller = await startTeller();
  await using gateway = await startScene(teller.port);
  const request = (chain: string) => get('web.example.test', '/', `X-Forwarded-For: ${chain}\r\n`);
  const clientOf = (text: string) => /Forwarded: for="?([^;",]*)/.exec(bodyOf(text).split('|').at(-1)!)?.[1];
  const plain = async (address: string, chain: string) => clientOf(await sendPlain(gateway.ports.http, address, request(chain)));
  assert.equal(await plain(from.trusted, '203.0.113.7'), '203.0.113.7');
  assert.equal(await plain(from.trusted, `${lie}, 203.0.113.7`), '203.0.113.7', 'what the client wrote itself stands to the left');
  assert.equal(await plain(from.trusted, `${lie}, 203.0.113.7, 198.51.100.9`), '203.0.113.7', 'through two of them');
  assert.equal(await plain(from.trusted, '::ffff:203.0.113.7'), '203.0.113.7');
  assert.equal(await plain(from.trusted, `${lie}\r\nX-Forwarded-For: 203.0.113.7`), '203.0.113.7', 'two lines are one list');
  assert.equal(await plain(from.trusted, `${lie}, unknown`), from.trusted, 'what is no address ends the walk');
  assert.equal(await plain(from.trusted, '2001:db8::7'), '[2001:db8::7]');
  assert.equal(await plain(from.shows, '203.0.113.7'), from.shows, 'no certificate without TLS');
  const secured = async (address: string, shown: Knock) => clientOf((await sendTls(gateway.ports.https, address, request('203.0.113.7'), shown)).text);
  assert.equal(await secured(from.shows, { cert: edge.pem, key: edge.keyPem }), '203.0.113.7');
  assert.equal(await secured(from.shows, { cert: someone.pem, key: someone.keyPem }), from.shows);
  assert.equal(await secured(from.shows, { cert: selfMade.pem, key: selfMade.keyPem }), from.shows, 'the subject alone proves nothing');
  assert.equal(await secured(from.shows, {}), from.shows);
  assert.equal(await secured(from.anybody, { cert: edge.pem, key: edge.keyPem }), from.anybody, 'nor does the certificate from elsewhere');
  // HTTP/2: each stream its own client, from who may say so.
  const streams = async (localAddress: string, shown: Knock) => {
    const requests = ['203.0.113.7', `${lie}, 203.0.113.8`, '::1'].map((chain) => ({ authority: 'web.example.test', headers: { 'x-forwarded-for': chain } }));
    const options = { servername: 'web.example.test', ...shown, localAddress };
    return (await askHttp2(gateway.ports.https, requests, options)).map(clientOfStream);
  };
  const clientOfStream = (told: string) => /Forwarded: for="?([^;",]*)/.exec(told.split('|').at(-1)!)?.[1];
  assert.deepEqual(await streams(from.trusted, {}), ['203.0.113.7', '203.0.113.8', '[::1]']);
  assert.deepEqual(await streams(from.shows, { cert: edge.pem, key: edge.keyPem }), ['203.0.113.7', '203.0.113.8', '[::1]']);
  assert.deepEqual(await streams(from.shows, {}), [from.shows, from.shows, from.shows]);
  assert.deepEqual(await streams(from.anybody, { cert: edge.pem, key: edge.keyPem }), [from.anybody, from.anybody, from.anybody]);
  // Each request of a connection has its own client.
  const [first, second, third] = (await sendPlain(gateway.ports.http, from.trusted, `GET / HTTP/1.1\r\nHost: web.example.test\r\nX-Forwarded-For: 203.0.113.7\r\n\r\nGET / HTTP/1.1\r\nHost: web.example.test\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n${get('web.example.test')}`)).split('HTTP/1.1 200 OK').slice(1);
  assert.deepEqual([first, second, third].map((each) => clientOf(each!.trim())), ['203.0.113.7', '203.0.113.8', from.trusted]);
  await finishesCleanly(gateway);
});

const v2 = (source: string, more: object = {}) => encodeProxyHeader({ version: 2, source: { address: source, port: 4_711 }, destination: { address: source.includes(':') ? '2001:db8::1' : '192.0.2.1', port: 443 }, ...more });
const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const binary = (command: number, family: number, body = Buffer.alloc(0)) => Buffer.concat([signature, Buffer.from([command, family, body.length >> 8, body.length & 0xff]), body]);
/** `::ffff:a.b.c.d` as an IPv6 address of version 2. */
const mapped = (last: readonly number[]) => {
  const address = Buffer.concat([Buffer.alloc(10), Buffer.from([0xff, 0xff]), Buffer.from(last)]);
  return binary(0x21, 0x21, Buffer.concat([address, address, Buffer.from([0x12, 0x67, 1, 0xbb])]));
};
const line = (text: string) => Buffer.from(`PROXY ${text}\r\n`);

test('PROXY headers: from listed senders one, first and whole; from others none', { timeout: 60_000 }, async () => {
  await using teller = await startTeller();
  await using gateway = await startScene(teller.port);
  const request = get('web.example.test', '/', `X-Forwarded-For: ${lie}\r\n`);
  const plainPort = portOf(gateway, 'behind');
  const tlsPort = portOf(gateway, 'behind-tls');
  const clientOf = (text: string) => /X-Forwarded-For: ([^|]*)/.exec(text)?.[1] ?? null;
  const good: [string, Buffer, string][] = [
    ['v1', line('TCP4 203.0.113.7 192.0.2.1 4711 443'), '203.0.113.7'],
    ['v1, mapped', line('TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 4711 443'), '203.0.113.7'],
    ['v1, unknown', line('UNKNOWN'), from.sender],
    ['v1, unknown with words', line(`UNKNOWN ${lie} ${lie} 1 2`), from.sender],
    ['v2', v2('203.0.113.7'), '203.0.113.7'],
    ['v2, IPv6', v2('2001:db8::7'), '2001:db8::7'],
    ['v2, mapped', mapped([203, 0, 113, 7]), '203.0.113.7'],
    ['v2, LOCAL', binary(0x20, 0x00), from.sender],
    ['v2, LOCAL with addresses', binary(0x20, 0x11, Buffer.from([203, 0, 113, 66, 203, 0, 113, 66, 0, 1, 0, 2])), from.sender],
    ['v2, UNIX', binary(0x21, 0x31, Buffer.alloc(216, 0x2f)), from.sender],
    ['v2, unspecified', binary(0x21, 0x00), from.sender],
  ];
  for (const [what, header, client] of good) {
    const plain = await sendPlain(plainPort, from.sender, Buffer.concat([header, Buffer.from(request)]));
    assert.equal(clientOf(plain), client, `${what}: ${plain}`);
    assert.doesNotMatch(plain, new RegExp(lie), what);
    const secured = await sendTls(tlsPort, from.sender, request, { before: header });
    assert.equal(clientOf(secured.text), client, `${what}, TLS: ${secured.error} ${secured.text}`);
    assert.doesNotMatch(secured.text, new RegExp(lie), what);
  }
  const bad: [string, Buffer][] = [
    ['none', Buffer.alloc(0)],
    ['half a line', Buffer.from('PROXY TCP4 203.0.113.7 ')],
    ['a line feed alone', Buffer.from('PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n')],
    ['lower case', Buffer.from('proxy TCP4 203.0.113.7 192.0.2.1 4711 443\r\n')],
    ['leading zeros', line('TCP4 203.0.113.07 192.0.2.1 4711 443')],
    ['two addresses', line(`TCP4 203.0.113.7, ${lie} 192.0.2.1 4711 443`)],
    ['v2, another version', binary(0x11, 0x11, Buffer.alloc(12))],
    ['v2, too short', binary(0x21, 0x11, Buffer.alloc(8))],
  ];
  for (const [what, header] of bad) {
    assert.equal(await sendPlain(plainPort, from.sender, Buffer.concat([header, Buffer.from(request)])), '', what);
    assert.equal((await sendTls(tlsPort, from.sender, request, { before: header })).text, '', `${what}, TLS`);
  }
  for (const [what, header] of good) {
    const twice = await sendPlain(plainPort, from.sender, Buffer.concat([line('TCP4 203.0.113.7 192.0.2.1 4711 443'), header, Buffer.from(request)]));
    assert.doesNotMatch(twice, /^HTTP\/1\.1 200/, `${what} behind another`);
    for (const port of [plainPort, gateway.ports.http]) assert.doesNotMatch(await sendPlain(port, from.anybody, Buffer.concat([header, Buffer.from(request)])), /^HTTP\/1\.1 200/, `${what}, from anybody`);
    assert.equal((await sendTls(tlsPort, from.anybody, request, { before: header })).text, '', `${what}, from anybody, TLS`);
    // Inside TLS it is no header, whoever sends it.
    const inside = await sendTls(tlsPort, from.sender, `${header.toString('latin1')}${request}`, { before: v2('203.0.113.7') });
    assert.doesNotMatch(inside.text, /^HTTP\/1\.1 200/, `${what}, inside`);
  }
  // A header and what follows it, cut anywhere.
  const whole = Buffer.concat([v2('203.0.113.7'), Buffer.from(request)]);
  for (let at = 1; at < 40; at += 3) {
    const text = await new Promise<string>((done) => {
      let heard = '';
      const socket = connect({ host: '127.0.0.1', port: plainPort, localAddress: from.sender, noDelay: true }, () => {
        socket.write(whole.subarray(0, at));
        setTimeout(() => void socket.write(whole.subarray(at)), 15);
      });
      socket.on('data', (piece) => void (heard += piece.toString('latin1'))).on('error', () => {}).on('close', () => done(heard));
    });
    assert.equal(clientOf(text), '203.0.113.7', `cut at ${at}: ${text}`);
  }
  // The header in one segment with the first byte of the hello.
  const raw = over(tlsPort, from.sender);
  raw.setNoDelay(true);
  const told = knock(tlsPort, { servername: 'web.example.test', say: request, over: firstWith(raw, v2('203.0.113.7')) });
  assert.equal(clientOf((await told).text), '203.0.113.7', 'the hello comes in two parts, the first with the header');
  // Trusted by what the PROXY header says, and then by X-Forwarded-For.
  const chained = await sendPlain(plainPort, from.sender, Buffer.concat([v2('198.51.100.9'), Buffer.from(get('web.example.test', '/', 'X-Forwarded-For: 203.0.113.8\r\n'))]));
  assert.match(chained, /X-Forwarded-For: 203\.0\.113\.8, 198\.51\.100\.9\|/);
  await finishesCleanly(gateway);
});

/** A socket whose first write goes out behind `before`, its first byte in the same segment, the rest later. */
function firstWith(socket: ReturnType<typeof connect>, before: Buffer): typeof socket {
  const write = socket.write.bind(socket);
  let isFirst = true;
  const way = new Duplex({
    read() {},
    write(piece: Buffer, _, next) {
      if (!isFirst) return void write(piece, () => next());
      isFirst = false;
      write(Buffer.concat([before, piece.subarray(0, 1)]));
      setTimeout(() => void write(piece.subarray(1), () => next()), 30);
    },
    final: (next) => void socket.end(next),
    destroy: (_, next) => void (socket.destroy(), next(null)),
  });
  socket.on('data', (piece) => way.push(piece)).on('end', () => way.push(null)).on('error', () => {}).on('close', () => way.destroy());
  return way as unknown as typeof socket;
}

test('nobody behind a proxy is on this machine, and people are known by their own address', { timeout: 60_000 }, async () => {
  await using gateway = await startGateway({
    config: { listeners: [{ name: 'behind', tls: false, proxyProtocolFrom: [from.sender] }, { name: 'behind-tls', tls: true, proxyProtocolFrom: [from.sender] }], trustedProxies: [{ from: from.trusted }] },
  });
  const { token } = await gateway.owner();
  const { http } = gateway.ports;
  const behind = portOf(gateway, 'behind');
  const metrics = (lines = '') => get('localhost', '/metrics', lines);
  assert.equal(statusOf(await sendPlain(http, from.anybody, metrics())), 200, 'from this machine without a token');
  for (const [what, told] of [
    ['a trusted proxy', await sendPlain(http, from.trusted, metrics('X-Forwarded-For: 203.0.113.7\r\n'))],
    ['a trusted proxy that says loopback', await sendPlain(http, from.trusted, metrics('X-Forwarded-For: 127.0.0.1\r\n'))],
    ['a trusted proxy that says nothing', await sendPlain(http, from.trusted, metrics())],
    ['X-Forwarded-For of anybody', await sendPlain(http, from.anybody, metrics('X-Forwarded-For: 127.0.0.1\r\n'))],
    ['Forwarded of anybody', await sendPlain(http, from.anybody, metrics('Forwarded: for=127.0.0.1\r\n'))],
    ['a PROXY header', await sendPlain(behind, from.sender, Buffer.concat([v2('203.0.113.7'), Buffer.from(metrics())]))],
    ['a PROXY header that says loopback', await sendPlain(behind, from.sender, Buffer.concat([v2('127.0.0.1'), Buffer.from(metrics())]))],
    ['a PROXY header that says mapped loopback', await sendPlain(behind, from.sender, Buffer.concat([mapped([127, 0, 0, 1]), Buffer.from(metrics())]))],
    ['LOCAL', await sendPlain(behind, from.sender, Buffer.concat([binary(0x20, 0), Buffer.from(metrics())]))],
    ['UNIX', await sendPlain(behind, from.sender, Buffer.concat([binary(0x21, 0x31, Buffer.alloc(216)), Buffer.from(metrics())]))],
    ['UNKNOWN', await sendPlain(behind, from.sender, Buffer.concat([line('UNKNOWN'), Buffer.from(metrics())]))],
    ['a PROXY header before TLS', (await knock(portOf(gateway, 'behind-tls'), { servername: 'localhost', over: over(portOf(gateway, 'behind-tls'), from.sender), before: v2('127.0.0.1'), say: metrics() })).text],
  ] as const) assert.ok([401, 404, 421, 308].includes(statusOf(told)), `${what}: ${told}`);

  // Who signs in is written down with the address that counts.
  const signIn = (login: string, password: string, lines = '') => {
    const body = JSON.stringify({ login, password });
    return `POST /api/v1/sign-in HTTP/1.1\r\nHost: localhost:${http}\r\nOrigin: http://localhost:${http}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n${lines}\r\n${body}`;
  };
  const good = (lines = '') => signIn('owner', 'correct horse battery staple', lines);
  for (const told of [
    await sendPlain(http, from.trusted, good(`X-Forwarded-For: ${lie}, 203.0.113.7\r\n`)),
    await sendPlain(behind, from.sender, Buffer.concat([v2('203.0.113.8'), Buffer.from(good(`X-Forwarded-For: ${lie}\r\n`))])),
    await sendPlain(http, from.anybody, good(`X-Forwarded-For: ${lie}\r\nForwarded: for=${lie}\r\nX-Real-IP: ${lie}\r\n`)),
  ]) assert.equal(statusOf(told), 200, told);
  const { items } = (await gateway.api('GET', '/audit?limit=50', { token })).json as { items: { what: string; actor: { from: string } }[] };
  assert.deepEqual(items.filter((each) => each.what === 'sign-in.opened').slice(0, 3).map((each) => each.actor.from), [from.anybody, '203.0.113.8', '203.0.113.7'], JSON.stringify(items.slice(0, 4)));
  // Guessing through a proxy slows down the guesser, whatever he writes, and not the neighbour behind the same proxy.
  let tries = 0;
  const guess = async (client: string) => statusOf(await sendPlain(http, from.trusted, signIn(`nobody-${(tries += 1)}`, 'wrong', `X-Forwarded-For: 192.0.2.${tries}, ${client}\r\n`)));
  await until('the guesser to be slowed down', async () => (await guess('203.0.113.77')) === 429);
  assert.equal(await guess('198.51.100.77'), 401);
  await finishesCleanly(gateway);
});
