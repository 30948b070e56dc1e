// HAProxy on both sides of a whole gateway: as the listed sender in front of it, and as the server behind it that asks for a PROXY header.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { makeCertificate, type Made } from '#kit/authority.ts';
import { journalSays, openTlsWire, openWire, type Wire } from '#kit/front.ts';
import { finishesCleanly, portOf, startGateway, startTcp, until, type TestGateway } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses, type Processes } from '#kit/processes.ts';
import { readProxyHeader, type ProxyHeader } from '#wire/proxy-protocol.ts';

const peers = findPeers(['haproxy']);
const options = { skip: peers.skip, timeout: 60_000 };
const names = { web: 'web.example.test', pbx: 'pbx.example.test', through: 'through.example.test' };

let processes: Processes;
let gateway: TestGateway;
let ca: Made;
let phone: Made;
/** Where HAProxy takes clients for us, by the kind of header that it sends. */
let fronts: Readonly<Record<'v1' | 'v2' | 'tls', number>>;
/** What HAProxy behind us was told, said in a line for each connection. */
let behind: Readonly<Record<'http' | 'tcp', number>>;

/** Tells where its client is, as the header says, and repeats what it gets. */
function startTelling(): ReturnType<typeof startTcp> {
  return startTcp((socket: Socket) => {
    let bytes = Buffer.alloc(0);
    let header: ProxyHeader | null = null;
    socket.on('data', (piece: Buffer) => {
      bytes = Buffer.concat([bytes, piece]);
      if (header === null) {
        const read = readProxyHeader(bytes);
        if (read.kind === 'more') return;
        if (read.kind !== 'proxy') return void socket.destroy();
        header = read;
        bytes = bytes.subarray(read.bytes);
        socket.write(`from ${header.source?.address ?? 'nobody'} name ${header.authority ?? '-'} cn ${header.tls?.verified ? header.tls.commonName : '-'} id ${header.uniqueId === null ? '-' : 'given'}\n`);
      }
      if (bytes.length > 0) socket.write(bytes);
      bytes = Buffer.alloc(0);
    });
    socket.on('end', () => socket.end());
  });
}

before(async () => {
  if (peers.skip !== false) return;
  processes = openProcesses();
  const now = Date.now();
  ca = await makeCertificate({ name: 'Phones', now, ca: true });
  phone = await makeCertificate({ name: 'phone-42', now, issuer: ca });
  const front = await makeCertificate({ name: 'front.example.test', now, ca: true });
  const telling = await startTelling();
  processes.defer(() => telling[Symbol.asyncDispose]());
  const web = await startTcp((socket) => void socket.on('data', (piece) => {
    const told = piece.toString('latin1').split('\r\n').filter((line) => /^(X-Forwarded-(For|Proto)|Host):/i.test(line)).join('|');
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${told.length}\r\n\r\n${told}`);
  }).on('end', () => socket.end()));
  processes.defer(() => web[Symbol.asyncDispose]());

  behind = { http: await freePort(), tcp: await freePort() };
  const route = (name: string, more: object) => ({ name, ...more });
  const onBoth = { listeners: ['plain', 'front', 'proxied', 'proxied-tls'] };
  gateway = await startGateway({
    config: {
      listeners: [
        { name: 'plain', tls: false, protocols: ['http', 'ldap', 'ssh', 'rdp', 'tls'] },
        { name: 'front', tls: true, protocols: ['http', 'ldap', 'ssh', 'tls'] },
        { name: 'proxied', tls: false, protocols: ['http', 'ssh', 'tls', 'ldap'], proxyProtocolFrom: ['127.0.0.1'] },
        { name: 'proxied-tls', tls: true, protocols: ['http', 'ssh', 'tls', 'ldap'], proxyProtocolFrom: ['127.0.0.1'] },
        { name: 'first', tls: false, protocols: ['tcp'], serverFirst: true },
      ],
      trustedProxies: [{ from: '127.0.0.9' }],
      tlsPolicies: [{ name: 'phones', hosts: [names.pbx], clientCertificates: { ca: ca.pem, required: false } }],
    },
    routes: [
      route('web', { ...onBoth, host: names.web, target: { kind: 'tcp', host: '127.0.0.1', port: web.port } }),
      route('told-v1', { ...onBoth, host: 'v1.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: behind.http, proxyProtocol: 'v1' } }),
      route('told-v2', { ...onBoth, host: names.pbx, target: { kind: 'tcp', host: '127.0.0.1', port: behind.http, proxyProtocol: 'v2' } }),
      route('shell', { ...onBoth, protocol: 'ssh', target: { kind: 'tcp', host: '127.0.0.1', port: behind.tcp, proxyProtocol: 'v2' } }),
      route('directory', { ...onBoth, protocol: 'ldap', target: { kind: 'tcp', host: '127.0.0.1', port: telling.port, proxyProtocol: 'v2' } }),
      route('through', { ...onBoth, protocol: 'tls', host: names.through, target: { kind: 'tcp', host: '127.0.0.1', port: behind.tcp, proxyProtocol: 'v2' } }),
      route('first', { listeners: ['first'], protocol: 'tcp', target: { kind: 'tcp', host: '127.0.0.1', port: behind.tcp, proxyProtocol: 'v1' } }),
    ],
  });
  fronts = { v1: await freePort(), v2: await freePort(), tls: await freePort() };
  const file = (name: string, text: string) => {
    const path = join(processes.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const frontPem = file('front.pem', front.pem + front.keyPem);
  const clientsPem = file('clients.pem', ca.pem);
  const listen = (name: string, bind: string, to: string, send: string) => `
listen ${name}
  bind 127.0.0.1:${bind}
  unique-id-format conn-%ci-%cp
  server gateway 127.0.0.1:${portOf(gateway, to)} ${send}
`;
  const config = file(
    'haproxy.cfg',
    `global
  maxconn 200
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
${listen('front-v1', `${fronts.v1}`, 'proxied', 'send-proxy')}
${listen('front-v2', `${fronts.v2}`, 'proxied-tls', 'send-proxy-v2')}
${listen('front-tls', `${fronts.tls} ssl crt ${frontPem} ca-file ${clientsPem} verify optional`, 'proxied', 'send-proxy-v2-ssl-cn proxy-v2-options unique-id,authority,crc32c,ssl-cipher')}
frontend http-behind
  mode http
  bind 127.0.0.1:${behind.http} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[fc_rcvd_proxy] %[src] %[dst_port] id=%[fc_pp_unique_id,length] name=%[fc_pp_authority] host=%[req.hdr(host)]"
frontend tcp-behind
  bind 127.0.0.1:${behind.tcp} accept-proxy
  default_backend telling
backend telling
  server telling 127.0.0.1:${telling.port} send-proxy-v2 proxy-v2-options authority,unique-id
`,
  );
  const haproxy = processes.start(peers.path('haproxy'), ['-f', config, '-q']);
  await until('HAProxy to listen', async () => {
    const socket = connect(behind.tcp, '127.0.0.1');
    try {
      await Promise.race([once(socket, 'connect'), haproxy.ended.then(() => assert.fail(haproxy.stderr))]);
      return true;
    } catch (thrown) {
      if (thrown instanceof assert.AssertionError) throw thrown;
      return false;
    } finally {
      socket.destroy();
    }
  });
});

after(async () => {
  await gateway?.close();
  await processes?.[Symbol.asyncDispose]();
});

const get = (host: string, more = '') => `GET / HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;
const secured = (servername: string, more: object = {}) => ({ servername, ca: gateway.caPem, checkServerIdentity: () => undefined, ...more });
/** A bind of `px\\user`. */
const bind = Buffer.from('301a020101601502010304087062785c757365728006736563726574', 'hex');
/** A bind of `pbx.example.test\\ann`. */
const bindAtPbx = Buffer.from('3026020101602102010304145042582e4578616d706c652e746573745c616e6e8006736563726574', 'hex');
const shown = () => ({ cert: phone.pem, key: phone.keyPem });

/** One request on a connection that stays, and the answer's body. */
async function ask(wire: Pick<Wire, 'text' | 'closed' | 'ended'> & { readonly socket: { write(text: string): boolean } }, request: string): Promise<string> {
  const before = wire.text.length;
  wire.socket.write(request);
  return until(`an answer to ${request.split('\r\n', 2).join(' ')}`, () => {
    const text = wire.text.slice(before);
    const at = text.indexOf('\r\n\r\n');
    const length = /content-length: (\d+)/i.exec(text)?.[1];
    if (wire.closed || wire.ended) assert.fail(`ended: ${text}`);
    return at >= 0 && length !== undefined && text.length >= at + 4 + Number(length) ? `${text.slice(9, 12)} ${text.slice(at + 4)}` : null;
  });
}

test('HAProxy in front: the client that it names is the one that is told on', options, async () => {
  const first = await openWire(fronts.v1, { from: '127.0.0.2' });
  const spoof = 'X-Forwarded-For: 203.0.113.66\r\nX-Forwarded-Proto: https\r\n';
  assert.equal(await ask(first, get(names.web, spoof)), `200 Host: ${names.web}|X-Forwarded-For: 127.0.0.2|X-Forwarded-Proto: http`);
  const second = await openTlsWire(fronts.v2, { ...secured(names.web), localAddress: '127.0.0.3' } as Parameters<typeof openTlsWire>[1]);
  assert.equal(await ask(second, get(names.web, spoof)), `200 Host: ${names.web}|X-Forwarded-For: 127.0.0.3|X-Forwarded-Proto: https`, 'TLS is ours, behind the header');
  const live = gateway.live.conns(20).map((each) => `${each.listener} ${each.from}`).sort();
  assert.deepEqual(live.filter((line) => line.startsWith('proxied')), ['proxied 127.0.0.2', 'proxied-tls 127.0.0.3']);
  for (const wire of [first, second]) wire.socket.destroy();
  const stranger = await openWire(portOf(gateway, 'proxied'), { from: '127.0.0.9' });
  assert.match(await ask(stranger, get(names.web)), /X-Forwarded-For: 127\.0\.0\.9\|/, 'who is not listed needs no header');
  stranger.socket.destroy();
  const unheaded = await openWire(portOf(gateway, 'proxied'));
  unheaded.socket.write(get(names.web));
  await unheaded.gone();
  assert.equal(unheaded.text, '');
  await journalSays(gateway, { event: 'conn.refused', why: 'a listed sender did not begin with a PROXY header' });
  await finishesCleanly(gateway);
});

test('HAProxy in front with TLS of its own: name, id and certificate go on to the server', options, async () => {
  for (const withCertificate of [true, false]) {
    const client = await openTlsWire(fronts.tls, { servername: names.pbx, rejectUnauthorized: false, localAddress: '127.0.0.4', ...(withCertificate ? shown() : {}) } as Parameters<typeof openTlsWire>[1]);
    client.socket.write(bind);
    await client.says(new RegExp(`^from 127\\.0\\.0\\.4 name - cn ${withCertificate ? 'phone-42' : '-'} id given\n0\\x1a`));
    client.socket.destroy();
  }
  await finishesCleanly(gateway);
});

test('HAProxy behind, HTTP: connections of one client never serve another', options, async () => {
  for (const [version, host] of [['v1', 'v1.example.test'], ['v2', names.pbx]] as const) {
    const port = portOf(gateway, 'plain');
    const clients = await Promise.all(['127.0.0.2', '127.0.0.3', '127.0.0.5'].map(async (from) => ({ from, wire: await openWire(port, { from }) })));
    for (let round = 0; round < 6; round++) {
      for (const { from, wire } of round % 2 ? clients.toReversed() : clients) {
        assert.match(await ask(wire, get(host)), new RegExp(`^200 1 ${from} ${port} id=${version === 'v2' ? '[1-9]\\d*' : '0?'} name= host=${host}$`), `${version}, round ${round}`);
      }
    }
    for (const { wire } of clients) wire.socket.destroy();
    // A later client of the first one's address, and one more of another.
    for (const from of ['127.0.0.3', '127.0.0.6']) {
      const wire = await openWire(port, { from });
      assert.match(await ask(wire, get(host)), new RegExp(`^200 1 ${from} `));
      wire.socket.destroy();
    }
  }
  await finishesCleanly(gateway);
});

test('HAProxy behind, HTTP in TLS: the name, and the client of HAProxy in front', options, async () => {
  const wire = await openTlsWire(portOf(gateway, 'front'), { ...secured(names.pbx, shown()), localAddress: '127.0.0.2' } as Parameters<typeof openTlsWire>[1]);
  assert.match(await ask(wire, get(names.pbx)), new RegExp(`^200 1 127\\.0\\.0\\.2 ${portOf(gateway, 'front')} id=[1-9]\\d* name=${names.pbx} host=${names.pbx}$`));
  wire.socket.destroy();
  const both = await openWire(fronts.v1, { from: '127.0.0.7' });
  assert.match(await ask(both, get('v1.example.test')), new RegExp(`^200 1 127\\.0\\.0\\.7 ${fronts.v1} `), 'both ends of the client\'s own connection');
  both.socket.destroy();
  await finishesCleanly(gateway);
});

test('HAProxy behind, HTTP/2 before it: many streams of two clients, each with its own header', options, async () => {
  const sessions = await Promise.all(['127.0.0.2', '127.0.0.3'].map(async (from) => {
    const { socket } = await openTlsWire(portOf(gateway, 'front'), { ...secured(names.pbx, { ALPNProtocols: ['h2'] }), localAddress: from } as Parameters<typeof openTlsWire>[1]);
    socket.removeAllListeners('data');
    const session = connectHttp2(`https://${names.pbx}`, { createConnection: () => socket });
    session.on('error', () => {});
    return { from, session };
  }));
  const askOne = ({ from, session }: (typeof sessions)[number]) =>
    new Promise<void>((resolve, reject) => {
      const stream = session.request({ ':path': '/', ':authority': names.pbx });
      let text = '';
      stream.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('error', reject);
      stream.on('end', () => {
        try {
          assert.match(text, new RegExp(`^1 ${from.replaceAll('.', '\\.')} `));
          resolve();
        } catch (thrown) {
          reject(thrown as Error);
        }
      });
      stream.end();
    });
  for (let round = 0; round < 3; round++) await Promise.all(Array.from({ length: 8 }, (_, index) => askOne(sessions[index % 2]!)));
  for (const { session } of sessions) await new Promise<void>((resolve) => session.close(resolve));
  await finishesCleanly(gateway);
});

test('HAProxy behind, a trusted proxy before it: one connection, a client of its own with each request', options, async () => {
  for (const host of ['v1.example.test', names.pbx]) {
    const proxy = await openWire(portOf(gateway, 'plain'), { from: '127.0.0.9' });
    for (const client of ['203.0.113.1', '203.0.113.2', '203.0.113.2', '203.0.113.1']) {
      assert.match(await ask(proxy, get(host, `X-Forwarded-For: ${client}\r\n`)), new RegExp(`^200 1 ${client.replaceAll('.', '\\.')} `), host);
    }
    assert.match(await ask(proxy, get(host)), /^200 1 127\.0\.0\.9 /, 'and its own, where it names nobody');
    proxy.socket.destroy();
  }
  await finishesCleanly(gateway);
});

test('HAProxy behind, bytes: relayed, passed through by name, and where the server speaks first', options, async () => {
  const shell = await openWire(portOf(gateway, 'plain'), { from: '127.0.0.2' });
  shell.socket.write('SSH-2.0-test\r\n');
  await shell.says(/^from 127\.0\.0\.2 name - cn - id given\nSSH-2\.0-test\r\n$/);
  const inside = await openTlsWire(portOf(gateway, 'front'), { ...secured(names.pbx, shown()), localAddress: '127.0.0.3' } as Parameters<typeof openTlsWire>[1]);
  inside.socket.write('SSH-2.0-test\r\n');
  await inside.says(new RegExp(`^from 127\\.0\\.0\\.3 name ${names.pbx} `));
  const first = await openWire(portOf(gateway, 'first'), { from: '127.0.0.4' });
  await first.says(/^from 127\.0\.0\.4 name - cn - id (-|given)\n$/);
  for (const wire of [shell, inside, first]) wire.socket.destroy();
  for (const listener of ['plain', 'front'] as const) {
    const through = await openWire(portOf(gateway, listener), { from: '127.0.0.8' });
    through.socket.write(await helloFor(names.through));
    await through.says(new RegExp(`^from 127\\.0\\.0\\.8 name ${names.through} cn - id given\\n\\x16\\x03`));
    through.socket.destroy();
  }
  await finishesCleanly(gateway);
});

test('straight to a server: what the client\'s certificate proved', options, async () => {
  const plain = await openWire(portOf(gateway, 'plain'), { from: '127.0.0.2' });
  plain.socket.write(bind);
  await plain.says(/^from 127\.0\.0\.2 name - cn - id given\n0\x1a/);
  plain.socket.destroy();
  const stranger = await makeCertificate({ name: 'phone-42', now: Date.now(), ca: true });
  for (const [more, name] of [[shown(), 'phone-42'], [{}, '-'], [{ cert: stranger.pem, key: stranger.keyPem }, '-']] as const) {
    const inside = await openTlsWire(portOf(gateway, 'front'), { ...secured(names.pbx, more), localAddress: '127.0.0.3' } as Parameters<typeof openTlsWire>[1]);
    inside.socket.write(bindAtPbx);
    await inside.says(new RegExp(`^from 127\\.0\\.0\\.3 name ${names.pbx} cn ${name} id given\n0&`));
    inside.socket.destroy();
  }
  const elsewhere = await openTlsWire(portOf(gateway, 'front'), secured(names.pbx, shown()));
  elsewhere.socket.write(bind);
  await elsewhere.says(/not on this connection/);
  await elsewhere.gone();
  await journalSays(gateway, { event: 'conn.refused', rule: 'TLS policy' });
  await finishesCleanly(gateway);
});

/** The first bytes of a client that asks for this name. */
async function helloFor(servername: string): Promise<Buffer> {
  let hello = Buffer.alloc(0);
  await using trap = await startTcp((socket) => void socket.on('data', (piece: Buffer) => (hello = Buffer.concat([hello, piece]))));
  void openTlsWire(trap.port, { servername, rejectUnauthorized: false }).catch(() => {});
  return await until('a ClientHello', () => (hello.length > 5 && hello.length >= 5 + hello.readUInt16BE(3) ? hello : null));
}
