// TLS of the front door as others see it: openssl and curl through every kind of listener, sslscan and testssl.sh on each level, and the lane for
// those who cannot do better.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { createServer as createTlsServer, type ConnectionOptions } from 'node:tls';
import { finishesCleanly, portOf, startGateway, startTcp, type TestGateway } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { openProcesses, type Finished, type Processes } from '#kit/processes.ts';
import { bodyOf, get, knock } from '#kit/tls-door.ts';
import { makeCertificate } from '../kit/authority.ts';

const peers = findPeers(['openssl', 'curl', 'sslscan', 'testssl']);
/** Everything that testssl.sh knows takes minutes for each listener. */
const isFull = process.env['POSTERN_TESTSSL'] === 'full';
const now = Date.now();

const host = 'app.example.test';
const respond = (body: string) => ({ kind: 'respond', status: 200, body });
const bindOf = (name: string) => {
  const op = Buffer.concat([Buffer.from([0x02, 1, 3, 0x04, name.length]), Buffer.from(name), Buffer.from([0x80, 1, 0x78])]);
  return Buffer.concat([Buffer.from([0x30, op.length + 5, 2, 1, 1, 0x60, op.length]), op]);
};

interface Peer {
  /** `s_client` that says something and reads until the end. */
  client(listener: string, args: readonly string[], input?: string | Buffer): Promise<Finished>;
  curl(listener: string, args: readonly string[], path?: string): Promise<Finished>;
}

function peerOf(processes: Processes, gateway: TestGateway): Peer {
  writeFileSync(join(processes.folder, 'root.pem'), gateway.caPem);
  const ca = join(processes.folder, 'root.pem');
  return {
    client: (listener, args, input = get(host)) =>
      processes.run(peers.path('openssl'), ['s_client', '-connect', `127.0.0.1:${portOf(gateway, listener)}`, '-servername', host, '-CAfile', ca, '-verify_hostname', host, '-ign_eof', ...args], { input, timeoutMs: 20_000 }),
    curl: (listener, args, path = '/') =>
      processes.run(peers.path('curl'), ['-sS', '-i', '--max-time', '15', '--cacert', ca, '--connect-to', `::127.0.0.1:${portOf(gateway, listener)}`, ...args, `https://${host}${path}`], { timeoutMs: 20_000 }),
  };
}

test('openssl and curl through every kind of listener', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const told: Record<string, string> = {};
  const startNamed = (name: string) =>
    startTcp((socket) => {
      let text = '';
      if (name === 'first') socket.write('220 ready\r\n');
      socket.on('data', (piece: Buffer) => {
        text += piece.toString('latin1');
        told[name] = text;
        socket.end(`${name} heard ${piece.length}`);
      });
    });
  await using ldap = await startNamed('ldap');
  await using shell = await startNamed('ssh');
  await using rest = await startNamed('tcp');
  await using first = await startNamed('first');
  const leaf = await makeCertificate({ name: 'through.example.test', now, names: [{ type: 'dns', value: 'through.example.test' }] });
  const behind = createTlsServer({ key: leaf.keyPem, cert: leaf.pem, ALPNProtocols: ['h2', 'http/1.1', 'postern-link/1', 'made-up/1'] }, (socket) => void socket.on('error', () => {}).end(`ALPN ${String(socket.alpnProtocol)}`));
  await new Promise<void>((done) => behind.listen(0, '127.0.0.1', done));
  processes.defer(() => void behind.close());
  const to = (port: number) => ({ kind: 'tcp', host: '127.0.0.1', port });
  await using gateway = await startGateway({
    domain: 'gw.example.test',
    config: {
      listeners: [
        { name: 'mixed', tls: true, protocols: ['http', 'tls', 'ldap', 'sip', 'h323', 'ssh', 'tcp'], plain: ['ssh', 'ldap'] },
        { name: 'passing', tls: false, protocols: ['tls'] },
        { name: 'first', tls: true, protocols: ['tcp'], serverFirst: true },
        { name: 'behind', tls: true, proxyProtocolFrom: ['127.0.0.1'] },
        { name: 'sip', tls: true, protocols: ['sip'] },
      ],
    },
    routes: [
      { name: 'web', host, target: respond('the page') },
      { name: 'web-plain', host, listeners: ['http'], target: respond('the plain page') },
      { name: 'through', protocol: 'tls', host: 'through.example.test', listeners: ['mixed', 'passing'], target: to((behind.address() as { port: number }).port) },
      { name: 'directory', protocol: 'ldap', host: 'pbx.example.test', listeners: ['mixed'], target: to(ldap.port) },
      { name: 'shell', protocol: 'ssh', listeners: ['mixed'], target: to(shell.port) },
      { name: 'rest', protocol: 'tcp', host, listeners: ['mixed'], target: to(rest.port) },
      { name: 'first', protocol: 'tcp', listeners: ['first'], target: to(first.port) },
      { name: 'phones', protocol: 'sip', host: 'pbx.example.test', listeners: ['sip'], target: to(rest.port) },
    ],
  });
  const { client, curl } = peerOf(processes, gateway);

  await t.test('http over TLS, both versions of both', async () => {
    for (const listener of ['https', 'mixed']) {
      for (const [args, line] of [[[], /^HTTP\/2 200/], [['--http1.1'], /^HTTP\/1\.1 200 OK/], [['--http1.1', '--tls-max', '1.2'], /^HTTP\/1\.1 200 OK/], [['--tls-max', '1.2'], /^HTTP\/2 200/], [['--no-alpn'], /^HTTP\/1\.1 200 OK/], [['--no-alpn', '--tls-max', '1.2'], /^HTTP\/1\.1 200 OK/]] as const) {
        const got = await curl(listener, args);
        assert.match(got.stdout, line, `${listener} ${args.join(' ')}: ${got.stderr}`);
        assert.match(got.stdout, /the page$/);
      }
    }
    const seen = await client('https', ['-alpn', 'http/1.1']);
    assert.match(seen.stdout, /Verify return code: 0 \(ok\)/);
    assert.match(seen.stdout, /the page/);
    const plain = await processes.run(peers.path('curl'), ['-sS', '--connect-to', `::127.0.0.1:${gateway.ports.http}`, `http://${host}/`]);
    assert.equal(plain.stdout, 'the plain page');
  });

  await t.test('no TLS where TLS is, and TLS where none is', async () => {
    const bare = await processes.run(peers.path('curl'), ['-sS', '-i', '--connect-to', `::127.0.0.1:${gateway.ports.https}`, `http://${host}/`]);
    assert.match(bare.stdout, /^HTTP\/1\.1 400 [^]*This port speaks TLS/);
    const wrong = await client('http', []);
    assert.match(wrong.stderr, /alert handshake failure|alert number 40/);
    for (const args of [['-alpn', 'made-up/1'], ['-alpn', 'h2'], ['-alpn', 'ftp']]) {
      const answer = await client('sip', args);
      assert.match(answer.stderr, /no application protocol|alert number 120/, `${args.join(' ')}: ${answer.stderr}`);
    }
  });

  await t.test('passed through by name, its own certificate and protocols untouched', async () => {
    for (const listener of ['mixed', 'passing']) {
      for (const alpn of ['h2', 'made-up/1', 'postern-link/1']) {
        const got = await client(listener, ['-servername', 'through.example.test', '-alpn', alpn]);
        assert.match(got.stdout, new RegExp(`ALPN ${alpn}`), `${listener}: ${got.stderr}`);
        assert.match(got.stdout, /CN ?= ?through\.example\.test/);
      }
    }
    const nobody = await client('passing', []);
    assert.match(nobody.stderr, /unrecognized name|alert number 112/, nobody.stderr);
    const nameless = await processes.run(peers.path('openssl'), ['s_client', '-connect', `127.0.0.1:${portOf(gateway, 'passing')}`, '-noservername'], { input: '' });
    assert.match(nameless.stderr, /alert number 112/, nameless.stderr);
  });

  await t.test('LDAP, SSH and what nobody knows, inside TLS', async () => {
    assert.match((await client('mixed', [], bindOf('pbx.example.test\\anna'))).stdout, /ldap heard/);
    assert.equal(told['ldap'], bindOf('pbx.example.test\\anna').toString('latin1'));
    assert.match((await client('mixed', [], 'SSH-2.0-OpenSSH_9.2\r\n')).stdout, /ssh heard 21/);
    assert.match((await client('mixed', [], Buffer.from([0, 1, 2, 3, 4]))).stdout, /tcp heard 5/);
    const refused = await client('mixed', [], bindOf('other.example.test\\anna'));
    assert.doesNotMatch(refused.stdout, /heard/);
  });

  await t.test('a server that speaks first, inside TLS', async () => {
    const got = await client('first', [], 'QUIT\r\n');
    assert.match(got.stdout, /220 ready/);
    assert.match(got.stdout, /first heard 6/);
  });

  await t.test('the PROXY protocol before TLS', async () => {
    const got = await curl('behind', ['--haproxy-protocol']);
    assert.match(got.stdout, /the page$/, got.stderr);
    assert.notEqual((await curl('behind', [])).code, 0, 'without the header');
    assert.notEqual((await curl('https', ['--haproxy-protocol'])).code, 0, 'where nobody asked for it');
  });

  await t.test('links by their protocol, whatever the name', async () => {
    for (const name of [host, 'gw.example.test']) {
      const got = await client('https', ['-servername', name, '-alpn', 'postern-link/1']);
      assert.match(got.stdout, /ALPN protocol: postern-link\/1/, got.stderr);
      assert.match(got.stdout, /^HTTP\/1\.1 404 [^]*endpoint for links/m);
    }
  });
  await finishesCleanly(gateway);
});

const lane = { from: ['127.0.0.5'], until: '2099-12-31' };
const startLevels = () =>
  startGateway({
    domain: 'gw.example.test',
    config: {
      listeners: ['modern', 'intermediate', 'lane', 'ended'].map((name) => ({ name, tls: true })),
      tlsPolicies: [
        { name: 'modern', listeners: ['modern'], level: 'modern' },
        { name: 'lane', listeners: ['lane'], legacyLane: lane },
        { name: 'ended', listeners: ['ended'], legacyLane: { ...lane, until: '2020-01-01' } },
      ],
    },
    routes: [{ name: 'web', host, target: respond('the page') }],
  });

test('what each level takes, and how it refuses', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using gateway = await startLevels();
  const { client } = peerOf(processes, gateway);
  const old = ['-cipher', 'ALL:@SECLEVEL=0'];
  const at = async (listener: string, ...args: string[]): Promise<string> => {
    const { stdout, stderr } = await client(listener, args);
    if (stdout.includes('the page')) return /^New, (\S+), Cipher is (\S+)$/m.exec(stdout)!.slice(1).join(' ').replace(/,/g, '');
    return `alert ${/alert number (\d+)/.exec(stderr)?.[1] ?? stderr}`;
  };
  const suites12 = ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'ECDHE-ECDSA-CHACHA20-POLY1305'];
  for (const suite of suites12) {
    assert.equal(await at('intermediate', '-tls1_2', '-cipher', suite), `TLSv1.2 ${suite}`);
    assert.equal(await at('modern', '-tls1_2', '-cipher', suite), 'alert 70');
  }
  for (const suite of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) for (const listener of ['intermediate', 'modern', 'lane']) assert.equal(await at(listener, '-tls1_3', '-ciphersuites', suite), `TLSv1.3 ${suite}`);
  // Too old is one thing, new enough with suites that are not is another.
  for (const version of ['-tls1', '-tls1_1']) for (const listener of ['intermediate', 'modern', 'ended', 'lane']) assert.equal(await at(listener, version, ...old), 'alert 70', `${version} at ${listener}`);
  for (const suite of ['ECDHE-ECDSA-AES128-SHA', 'AES128-SHA', 'DHE-RSA-AES128-GCM-SHA256', 'AES128-GCM-SHA256']) assert.equal(await at('intermediate', '-tls1_2', '-cipher', `${suite}:@SECLEVEL=0`), 'alert 71', suite);
  assert.match(await at('intermediate', '-tls1_1', '-fallback_scsv', ...old), /^alert (70|86)$/);
  for (const group of ['X25519', 'P-256', 'P-384']) assert.match(await at('intermediate', '-tls1_3', '-groups', group), /^TLSv1\.3 /, group);

  await t.test('the hybrid key exchange', async () => {
    for (const listener of ['modern', 'intermediate', 'lane']) {
      // Nothing else is offered, so an answer proves it.
      const ask = (ecdhCurve: string) => knock(portOf(gateway, listener), { servername: host, ca: gateway.caPem, rejectUnauthorized: true, ecdhCurve, say: get(host) });
      const got = await ask('X25519MLKEM768');
      assert.deepEqual([got.error, got.protocol, bodyOf(got.text)], [null, 'TLSv1.3', 'the page'], listener);
      assert.equal(bodyOf((await ask('X25519MLKEM768:X25519')).text), 'the page');
      assert.match((await ask('P-521')).error ?? '', /HANDSHAKE_FAILURE|INSUFFICIENT_SECURITY|PROTOCOL_VERSION/, 'no other groups');
    }
  });

  await t.test('our order of suites, but ChaCha20 for who has no AES in hardware', async () => {
    const [aes128, aes256, chacha] = suites12 as [string, string, string];
    assert.equal(await at('intermediate', '-tls1_2', '-cipher', `${aes256}:${chacha}:${aes128}`), `TLSv1.2 ${aes128}`);
    assert.equal(await at('intermediate', '-tls1_2', '-cipher', `${chacha}:${aes256}:${aes128}`), `TLSv1.2 ${chacha}`);
    for (const listener of ['modern', 'intermediate']) {
      assert.equal(await at(listener, '-ciphersuites', 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256'), 'TLSv1.3 TLS_AES_128_GCM_SHA256');
      assert.equal(await at(listener, '-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384'), 'TLSv1.3 TLS_CHACHA20_POLY1305_SHA256');
    }
  });

  await t.test('nobody renegotiates', async () => {
    const got = await processes.run('sh', ['-c', `(printf 'GET / HTTP/1.1\\r\\nHost: ${host}\\r\\n'; sleep 0.5; printf 'R\\n'; sleep 1; printf '\\r\\n'; sleep 0.3) | ${peers.path('openssl')} s_client -connect 127.0.0.1:${portOf(gateway, 'intermediate')} -servername ${host} -tls1_2 -crlf 2>&1`]);
    assert.match(got.stdout, /RENEGOTIATING/);
    assert.match(got.stdout, /no renegotiation|handshake failure|write:errno|error/i, got.stdout.slice(-600));
  });
  await finishesCleanly(gateway);
});

test('the lane for old TLS: listed sources that cannot do better, until its last day', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using gateway = await startLevels();
  const from = (listener: string, localAddress: string, options: ConnectionOptions) =>
    knock(portOf(gateway, listener), { servername: host, over: connect({ host: '127.0.0.1', port: portOf(gateway, listener), localAddress }), say: get(host), ...options });
  const old: ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' };
  const listed = await from('lane', '127.0.0.5', old);
  assert.deepEqual([listed.error, listed.protocol, bodyOf(listed.text)], [null, 'TLSv1', 'the page']);
  assert.match(listed.cipher!, /^ECDHE-(ECDSA|RSA)-AES\d+-SHA$/);
  assert.equal((await from('lane', '127.0.0.5', { ...old, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' })).protocol, 'TLSv1.1');
  const cbc = await from('lane', '127.0.0.5', { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:@SECLEVEL=0' });
  assert.deepEqual([cbc.error, cbc.protocol, cbc.cipher], [null, 'TLSv1.2', 'AES128-SHA'], 'a client that knows nothing but RSA is shown an RSA certificate');
  for (const [what, listener, address] of [['another source', 'lane', '127.0.0.1'], ['a listed source after the last day', 'ended', '127.0.0.5'], ['a listener without the lane', 'intermediate', '127.0.0.5'], ['level modern', 'modern', '127.0.0.5']] as const) {
    assert.equal((await from(listener, address, old)).error, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', what);
  }
  // Who can do better gets better, and nothing of the lane.
  const able = await from('lane', '127.0.0.5', {});
  assert.deepEqual([able.protocol, bodyOf(able.text)], ['TLSv1.3', 'the page']);
  const able12 = await from('lane', '127.0.0.5', { minVersion: 'TLSv1', maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-GCM-SHA256:@SECLEVEL=0' });
  assert.deepEqual([able12.protocol, able12.cipher], ['TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256'], 'whatever it would prefer');
  // A ticket of the lane is good for the lane alone.
  const told = (await from('lane', '127.0.0.1', { ...old, session: listed.session! })).error;
  assert.equal(told, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  // By a name that has the lane to one that has none: 421, not TLS 1.0 for both.
  const client = await processes.run(peers.path('openssl'), ['s_client', '-connect', `127.0.0.1:${portOf(gateway, 'lane')}`, '-bind', '127.0.0.5:0', '-servername', host, '-tls1', '-cipher', 'DEFAULT:@SECLEVEL=0', '-ign_eof'], { input: get(host) });
  assert.match(client.stdout, /the page/, client.stderr);
  assert.match(client.stdout, /Protocol {2}: TLSv1$/m);
  const inventory = gateway.live.legacyClients();
  assert.equal(inventory.length, 3, JSON.stringify(inventory));
  for (const each of inventory) assert.deepEqual([each.from, each.serverName, each.policy], ['127.0.0.5', host, 'lane']);
  const tls10 = inventory.filter((each) => each.bestVersion === 0x0301);
  assert.ok(tls10.length === 1 && tls10[0]!.count === 2 && tls10.every((each) => /^t10d\d{4}00_[0-9a-f]{12}_[0-9a-f]{12}$/.test(each.ja4)), JSON.stringify(tls10));
  await finishesCleanly(gateway);
});

test('a connection of the lane is none for names without it', { timeout: 30_000 }, async () => {
  await using gateway = await startGateway({
    domain: 'gw.example.test',
    config: { tlsPolicies: [{ name: 'old', hosts: ['old.example.test'], legacyLane: { from: ['127.0.0.1'], until: '2099-12-31' } }] },
    routes: [{ name: 'old', host: 'old.example.test', target: respond('old') }, { name: 'web', host, target: respond('the page') }],
  });
  const ask = (name: string) => knock(gateway.ports.https, { servername: 'old.example.test', maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0', say: get(name) });
  assert.equal(bodyOf((await ask('old.example.test')).text), 'old');
  assert.match((await ask(host)).text, /^HTTP\/1\.1 421 /);
  await finishesCleanly(gateway);
});

interface Finding {
  readonly id: string;
  readonly severity: string;
  readonly finding: string;
}

test('sslscan and testssl.sh have nothing to say', { skip: peers.skip, timeout: isFull ? 900_000 : 240_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using gateway = await startLevels();
  // The console: what stands behind other names has headers of its own.
  const ours = 'gw.example.test';
  const ca = join(processes.folder, 'root.pem');
  writeFileSync(ca, gateway.caPem);
  const scan = async (level: string) => {
    const told = await processes.run(peers.path('sslscan'), ['--no-colour', '--show-certificate', `--sni-name=${ours}`, `127.0.0.1:${portOf(gateway, level)}`], { timeoutMs: 60_000 });
    const versions = [...told.stdout.matchAll(/^(SSLv2|SSLv3|TLSv1\.\d) +(enabled|disabled)/gm)].filter(([, , state]) => state === 'enabled').map(([, version]) => version);
    assert.deepEqual(versions, level === 'modern' ? ['TLSv1.3'] : ['TLSv1.2', 'TLSv1.3'], told.stdout);
    assert.doesNotMatch(told.stdout, /^(?:Preferred|Accepted).*(?:CBC|RC4|3DES|NULL|EXP|\b(?:40|56|112) bits)/m, told.stdout);
    const suites = [...told.stdout.matchAll(/^(?:Preferred|Accepted) +\S+ +\d+ bits +(\S+)/gm)].map(([, suite]) => suite!);
    assert.ok(suites.length >= 3 && suites.every((suite) => /^TLS_|^ECDHE-.*(GCM|POLY1305)/.test(suite)), suites.join());
    assert.match(told.stdout, /Session renegotiation not supported/);
    assert.doesNotMatch(told.stdout, /Compression enabled|^TLSv1\.\d vulnerable/m);
  };
  const judge = async (level: string) => {
    const report = join(processes.folder, `${level}.json`);
    const parts = isFull ? [] : ['-p', '-s', '-P', '-S', '-U'];
    const told = await processes.run(peers.path('testssl'), ['--quiet', '--color', '0', '--warnings', 'batch', '--nodns', 'none', '--ip', '127.0.0.1', '--add-ca', ca, '--jsonfile', report, ...parts, `${ours}:${portOf(gateway, level)}`], { timeoutMs: isFull ? 800_000 : 200_000 });
    const findings = JSON.parse(readFileSync(report, 'utf8')) as Finding[];
    const seen = new Set(findings.map((each) => each.id));
    for (const id of ['TLS1_3', 'cipher_order', 'cert_chain_of_trust', 'cert_trust', ...(level === 'modern' ? [] : ['heartbleed', 'ROBOT', 'SWEET32', 'secure_renego', 'RC4'])]) assert.ok([...seen].some((each) => each.startsWith(id)), `${id} was not looked at: ${told.stdout.slice(-2_000)}`);
    // The private CA has neither CRL nor OCSP: what it gave out ends by being replaced.
    const worse = findings.filter((each) => ['MEDIUM', 'HIGH', 'CRITICAL', 'FATAL'].includes(each.severity) && each.id !== 'cert_revocation');
    assert.deepEqual(worse, [], level);
  };
  const levels = ['intermediate', 'modern'];
  await Promise.all([...levels.map(scan), ...levels.map(judge)]);
  await finishesCleanly(gateway);
});
