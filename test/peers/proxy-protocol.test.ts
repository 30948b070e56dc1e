// HAProxy as both ends of the PROXY protocol, and curl as a sender: what they send is read, what is written is understood.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { until } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses, type Processes } from '#kit/processes.ts';
import { encodeProxyHeader, readProxyHeader, type ProxyHeader, type ProxyHeaderToSend } from '#wire/proxy-protocol.ts';

const peers = findPeers(['haproxy', 'openssl', 'curl']);

interface Arrived {
  readonly header: ProxyHeader;
  readonly behind: string;
}

/** A server that expects a header and then `ping\n`, or a head of HTTP. */
async function startReader(processes: Processes): Promise<{ port: number; next(): Promise<Arrived> }> {
  const arrived: Arrived[] = [];
  const read = (socket: Socket) => {
    let bytes = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      bytes = Buffer.concat([bytes, piece]);
      const header = readProxyHeader(bytes);
      if (header.kind !== 'more') assert.equal(header.kind, 'proxy', bytes.toString('hex'));
      if (header.kind !== 'proxy' || !/ping\n$|\r\n\r\n$/.test(bytes.toString('latin1', header.bytes))) return;
      arrived.push({ header, behind: bytes.toString('latin1', header.bytes) });
      socket.end();
    });
  };
  const server = createServer(read);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  processes.defer(() => void server.close());
  return {
    port: (server.address() as AddressInfo).port,
    async next() {
      await until('a header to arrive', () => arrived.length > 0);
      return arrived.shift()!;
    },
  };
}

interface Ports {
  readonly v1: number;
  readonly v2: number;
  readonly tls: number;
  readonly accepting: number;
}

async function makeCertificates(processes: Processes): Promise<{ server: string; client: { cert: string; key: string } }> {
  const make = async (name: string) => {
    const [key, cert] = [join(processes.folder, `${name}.key`), join(processes.folder, `${name}.crt`)];
    const made = await processes.run(peers.path('openssl'), ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', `/O=Example/CN=${name}`, '-keyout', key, '-out', cert]);
    assert.equal(made.code, 0, made.stderr);
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  };
  const [server, client] = [await make('front'), await make('phone-42')];
  writeFileSync(join(processes.folder, 'clients.pem'), client.cert);
  const path = join(processes.folder, 'front.pem');
  writeFileSync(path, server.cert + server.key);
  return { server: path, client };
}

async function startHaproxy(processes: Processes, readerPort: number, certificate: string): Promise<Ports> {
  const ports: Ports = { v1: await freePort(), v2: await freePort(), tls: await freePort(), accepting: await freePort() };
  const config = join(processes.folder, 'haproxy.cfg');
  const relay = (name: string, bind: string, options: string) => `
listen ${name}
  bind 127.0.0.1:${bind}
  unique-id-format conn-%ci-%cp
  server reader 127.0.0.1:${readerPort} ${options}
`;
  writeFileSync(
    config,
    `global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
${relay('v1', `${ports.v1}`, 'send-proxy')}
${relay('v2', `${ports.v2}`, 'send-proxy-v2 proxy-v2-options unique-id,crc32c')}
${relay('tls', `${ports.tls} ssl crt ${certificate} alpn h2 ca-file ${join(processes.folder, 'clients.pem')} verify optional`, 'send-proxy-v2-ssl-cn proxy-v2-options unique-id,authority,crc32c,ssl-cipher,cert-sig,cert-key')}
frontend accepting
  mode http
  bind 127.0.0.1:${ports.accepting} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[fc_rcvd_proxy] %[src]:%[src_port] %[dst]:%[dst_port] id=%[fc_pp_unique_id] name=%[fc_pp_authority]"
`,
  );
  const haproxy = processes.start(peers.path('haproxy'), ['-f', config, '-q']);
  await until('HAProxy to listen', async () => {
    const socket = connect(ports.accepting, '127.0.0.1');
    try {
      await Promise.race([once(socket, 'connect'), haproxy.ended]);
      return true;
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  });
  return ports;
}

/** Sends the header and a request, tells the answer's body; empty when the connection ended without one. */
async function askBehind(port: number, header: Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  let answer = '';
  socket.on('data', (piece) => void (answer += piece.toString('latin1')));
  socket.write(Buffer.concat([header, Buffer.from('GET / HTTP/1.0\r\n\r\n')]));
  await new Promise((resolve) => socket.once('close', resolve)); // a reset is an end, too
  return answer.slice(answer.indexOf('\r\n\r\n') + 4);
}

async function sending(t: TestContext, ports: Ports, reader: Awaited<ReturnType<typeof startReader>>, client: { cert: string; key: string }) {
  const plain = async (port: number) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write('ping\n');
    const from = { address: '127.0.0.1', port: socket.localPort! };
    const got = await reader.next();
    socket.destroy();
    assert.deepEqual(got.header.source, from);
    assert.deepEqual(got.header.destination, { address: '127.0.0.1', port });
    assert.equal(got.behind, 'ping\n', 'nothing of what follows is lost');
    return { ...got, from };
  };

  await t.test('send-proxy', async () => {
    assert.equal((await plain(ports.v1)).header.version, 1);
  });

  await t.test('send-proxy-v2 with a unique id and a checksum', async () => {
    const { header, from } = await plain(ports.v2);
    assert.equal(header.version, 2);
    assert.equal(header.uniqueId?.toString(), `conn-127.0.0.1-${from.port}`);
    assert.equal(header.tls, null);
  });

  await t.test('send-proxy-v2-ssl-cn with and without a certificate', async () => {
    for (const shown of [true, false]) {
      const socket = connectTls({ host: '127.0.0.1', port: ports.tls, servername: 'PBX.example.test', ALPNProtocols: ['h2'], rejectUnauthorized: false, ...(shown ? client : {}) });
      socket.on('error', () => {});
      await once(socket, 'secureConnect');
      const from = { address: '127.0.0.1', port: socket.localPort! };
      const cipher = socket.getCipher().name;
      socket.write('ping\n');
      const { header, behind } = await reader.next();
      assert.equal(behind, 'ping\n');
      assert.deepEqual(header.source, from);
      assert.equal(header.authority, 'pbx.example.test');
      assert.equal(header.uniqueId?.toString(), `conn-127.0.0.1-${from.port}`);
      assert.deepEqual(header.tls, {
        verified: shown, version: 'TLSv1.3', commonName: shown ? 'phone-42' : null, cipher,
        signatureAlgorithm: header.tls?.signatureAlgorithm, keyAlgorithm: header.tls?.keyAlgorithm, group: null, clientCertificate: null,
      });
      assert.match(header.tls!.signatureAlgorithm!, /sha256/i);
      assert.match(header.tls!.keyAlgorithm!, /^EC256$/i);
      socket.destroy();
    }
  });
}

async function curlSending(processes: Processes, reader: Awaited<ReturnType<typeof startReader>>) {
  const ran = processes.run(peers.path('curl'), ['-s', '--haproxy-protocol', `http://127.0.0.1:${reader.port}/`]);
  const { header, behind } = await reader.next();
  assert.equal(header.version, 1);
  assert.equal(header.source?.address, '127.0.0.1');
  assert.deepEqual(header.destination, { address: '127.0.0.1', port: reader.port });
  assert.match(behind, /^GET \/ HTTP\/1\.1\r\n/);
  await ran;
}

async function accepting(t: TestContext, port: number) {
  const v4 = { source: { address: '192.0.2.7', port: 4_711 }, destination: { address: '198.51.100.2', port: 443 } };
  const v6 = { source: { address: '2001:db8::7', port: 4_711 }, destination: { address: '2001:db8::2', port: 443 } };
  const ask = (header: ProxyHeaderToSend) => askBehind(port, encodeProxyHeader(header));

  await t.test('both versions and families', async () => {
    for (const version of [1, 2] as const) {
      assert.equal(await ask({ version, ...v4 }), '1 192.0.2.7:4711 198.51.100.2:443 id= name=');
      assert.equal(await ask({ version, ...v6 }), '1 2001:db8::7:4711 2001:db8::2:443 id= name=');
      const mixed = await ask({ version, source: v4.source, destination: v6.destination });
      assert.match(mixed, /^1 (::ffff:)?192\.0\.2\.7:4711 2001:db8::2:443 id= name=$/);
    }
  });

  await t.test('fields, with a checksum that HAProxy checks', async () => {
    const tls = { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', commonName: 'phone-42', verified: true, certificate: Buffer.alloc(900, 0x30) };
    const sent: ProxyHeaderToSend = { version: 2, ...v4, tls, uniqueId: Buffer.from('visit-1'), authority: 'pbx.example.test', alpn: 'http/1.1', crc32c: true };
    assert.equal(await ask(sent), '1 192.0.2.7:4711 198.51.100.2:443 id=visit-1 name=pbx.example.test');
    const bent = encodeProxyHeader(sent);
    bent.writeUInt8(bent.readUInt8(20) ^ 1, 20);
    assert.equal(await askBehind(port, bent), '', 'a turned bit is noticed');
  });

  await t.test('no addresses: its own connection counts', async () => {
    for (const header of [{ version: 1, source: null, destination: null }, { version: 2, source: null, destination: null }, { version: 2, source: null, destination: null, uniqueId: Buffer.from('visit-1') }] as const) {
      assert.match(await ask(header), new RegExp(`^1 127\\.0\\.0\\.1:\\d+ 127\\.0\\.0\\.1:${port} `), JSON.stringify(header));
    }
  });

  await t.test('what we refuse, HAProxy refuses', async () => {
    for (const line of ['PROXY TCP4 192.0.2.7 198.51.100.2 4711\r\n', 'PROXY TCP4 192.0.2.7 198.51.100.2 4711 443\n', 'PROXY UDP4 192.0.2.7 198.51.100.2 4711 443\r\n', 'PROXY TCP6 192.0.2.7 198.51.100.2 4711 443\r\n']) {
      assert.notEqual(readProxyHeader(Buffer.from(line)).kind, 'proxy', line);
      assert.equal(await askBehind(port, Buffer.from(line)), '', line);
    }
  });
}

test('HAProxy as the sender and the receiver of PROXY headers, curl as a sender', { skip: peers.skip, timeout: 60_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const reader = await startReader(processes);
  const certificates = await makeCertificates(processes);
  const ports = await startHaproxy(processes, reader.port, certificates.server);
  await t.test('curl as the sender', () => curlSending(processes, reader));
  await sending(t, ports, reader, certificates.client);
  await accepting(t, ports.accepting);
});
