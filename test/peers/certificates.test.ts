// Certificates before the judges of others: openssl as authority, client and reader of our files, Java's keytool as a reader of PKCS#12, sslscan and
// testssl on what a level offers.
import assert from 'node:assert/strict';
import { randomBytes, X509Certificate } from 'node:crypto';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TLSSocket } from 'node:tls';
import { buildIds } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import { silentLog } from '#base/log.ts';
import { buildCertificateChanges } from '#model/certificate-changes.ts';
import { readUpload } from '#model/certificate-upload.ts';
import { judgeUpload, questionOf } from '#model/certificate-verdict.ts';
import { makePkcs12 } from '#model/pkcs12.ts';
import type { Actor, Certificate } from '#model/rows.ts';
import { buildTable, indexBy } from '#model/table.ts';
import type { TlsLevel } from '#model/tls-level.ts';
import { buildCertificates } from '#net/certificates.ts';
import { findPeers } from '#kit/peers.ts';
import { handClock, memoryFiles } from '#kit/tls-rooms.ts';

const peers = findPeers(['openssl']);
const scanners = findPeers(['sslscan']);
const auditors = findPeers(['testssl']);
const java = findPeers(['keytool'], { optional: true });
const dir = mkdtempSync(join(tmpdir(), 'postern-certificates-'));
after(() => rmSync(dir, { recursive: true }));
const anna: Actor = { kind: 'person', id: 'p1', name: 'anna', from: '192.0.2.7' };

function run(program: string, args: readonly string[], input = ''): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { cwd: dir, maxBuffer: 32 * 1024 * 1024, encoding: 'utf8' }, (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }));
    child.stdin!.on('error', () => {});
    child.stdin!.end(input);
  });
}

async function openssl(args: readonly string[], input = ''): Promise<string> {
  const done = await run(peers.path('openssl'), args, input);
  assert.equal(done.code, 0, `openssl ${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

/** The gateway's certificates, and a port for each level. */
async function setUp() {
  const files = memoryFiles();
  const clock = handClock();
  const table = buildTable<Certificate>({ name: 'certificates', kind: 'kept', keyOf: (row) => row.id });
  const byName = indexBy(table, (row) => row.id, (row) => row.name);
  const certificates = await buildCertificates({ files, clock, log: silentLog, random: randomBytes, domains: () => ['gw.example.test'], isKnown: () => false, addresses: () => [], own: table });
  const done = async () => {};
  const changes = buildCertificateChanges({
    tables: { certificates: table, certificateByName: (name) => byName.get(name) },
    operations: { addCertificate: done, changeCertificate: done, removeCertificate: done, noteCertificateAttempt: done },
    files, clock, log: silentLog, inTurn: buildInTurn(100), newId: buildIds(() => clock.nowMs(), randomBytes),
    issueLeaf: (names, spki) => certificates.issueLeaf(names, spki),
    applied: () => certificates.settled(),
  });
  const ports = {} as Record<TlsLevel, number>;
  const servers: Server[] = [];
  for (const level of ['modern', 'intermediate', 'legacy'] as const) {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      void Promise.resolve(certificates.contextFor('gw.example.test', { level, clientCaPem: null })).then((secureContext) => {
        const tls = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
        tls.on('error', () => {});
        tls.on('data', () => tls.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nStrict-Transport-Security: max-age=63072000\r\n\r\nok'));
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    ports[level] = (server.address() as AddressInfo).port;
    servers.push(server);
  }
  writeFileSync(join(dir, 'private-ca.pem'), certificates.ca.pem);
  return {
    certificates, changes, table, files, ports, clock,
    [Symbol.dispose]() {
      certificates[Symbol.dispose]();
      for (const server of servers) server.close();
    },
  };
}

test('a request of ours is signed by an authority made with openssl, and the answer goes into use', { skip: peers.skip }, async () => {
  using room = await setUp();
  await openssl(['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'root.key', '-out', 'root.pem', '-days', '30', '-subj', '/CN=Test Root']);
  await openssl(['req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'middle.key', '-out', 'middle.csr', '-subj', '/CN=Test Middle']);
  writeFileSync(join(dir, 'ca.ext'), 'basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n');
  await openssl(['x509', '-req', '-in', 'middle.csr', '-CA', 'root.pem', '-CAkey', 'root.key', '-days', '20', '-extfile', 'ca.ext', '-out', 'middle.pem']);
  for (const keyKind of ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072'] as const) {
    const row = await room.changes.request({ name: keyKind, customerId: 'c1', keyKind, subject: { commonName: 'gw.example.test', organization: 'Grüße GmbH', country: 'DE' }, names: { dns: ['gw.example.test', '*.gw.example.test'], ip: ['127.0.0.1'] } }, anna);
    writeFileSync(join(dir, 'ours.csr'), row.csrPem!);
    await openssl(['x509', '-req', '-in', 'ours.csr', '-CA', 'middle.pem', '-CAkey', 'middle.key', '-days', '10', '-copy_extensions', 'copy', '-out', 'answer.pem']);
    // As authorities send it: the wrong way round, with remarks.
    const answer = `Your order\r\n${(readFileSync(join(dir, 'root.pem'), 'utf8') + readFileSync(join(dir, 'middle.pem'), 'utf8') + readFileSync(join(dir, 'answer.pem'), 'utf8')).replaceAll('\n', '\r\n')}`;
    const judged = judgeUpload(questionOf({
      upload: await readUpload([Buffer.from(answer)], null), certificates: room.table.values(), replaces: row, caPem: room.certificates.ca.pem, roots: [], wantedNames: ['gw.example.test', '*.gw.example.test'], now: room.clock.nowMs(),
    }));
    assert.ok(judged.material, JSON.stringify(judged.verdicts));
    const ready = await room.changes.replace(row.id, judged.material, anna);
    assert.equal(ready.names.ip[0], '127.0.0.1');
    const said = await openssl(['s_client', '-connect', `127.0.0.1:${room.ports.intermediate}`, '-servername', 'gw.example.test', '-verify_hostname', 'gw.example.test', '-CAfile', 'root.pem', '-verify_return_error', '-showcerts'], 'Q\n');
    assert.match(said, /Verify return code: 0 \(ok\)/, keyKind);
    assert.match(said, /O ?= ?Grüße GmbH|O ?= ?Gr\\C3\\BC\\C3\\9Fe GmbH/);
    await room.changes.remove(row.id, anna);
  }
});

test('openssl takes what the private CA signed of a request that people bring', { skip: peers.skip }, async () => {
  using room = await setUp();
  for (const [kind, purpose] of [['server', 'sslserver'], ['client', 'sslclient']] as const) {
    await openssl(['req', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'theirs.key', '-out', 'theirs.csr', '-subj', '/C=DE/O=Example/CN=pbx.example.test', '-addext', 'subjectAltName=DNS:pbx.example.test,IP:2001:db8::7', '-addext', 'basicConstraints=CA:TRUE', '-addext', 'extendedKeyUsage=codeSigning']);
    const made = await room.certificates.signRequest({ csrPem: readFileSync(join(dir, 'theirs.csr'), 'utf8'), kind });
    writeFileSync(join(dir, 'theirs.pem'), made.pem);
    await openssl(['verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'private-ca.pem', '-verify_hostname', 'pbx.example.test', 'theirs.pem']);
    const text = await openssl(['x509', '-in', 'theirs.pem', '-noout', '-text']);
    assert.match(text, /CA:FALSE/, 'nobody becomes an authority by asking');
    assert.doesNotMatch(text, /Code Signing/);
  }
});

test('Java reads our PKCS#12, and we read Java\'s', { skip: peers.skip || java.skip }, async () => {
  await openssl(['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'j.key', '-out', 'j.pem', '-days', '30', '-subj', '/CN=gw.example.test', '-addext', 'basicConstraints=critical,CA:FALSE']);
  const upload = await readUpload([readFileSync(join(dir, 'j.pem')), readFileSync(join(dir, 'j.key'))], null);
  const file = await makePkcs12({ certificates: [upload.certificates[0]!.raw as Buffer], key: upload.keys[0]!.export({ type: 'pkcs8', format: 'der' }), friendlyName: 'front', passphrase: 'secret word', random: randomBytes });
  writeFileSync(join(dir, 'ours.p12'), file);
  const listed = await run(java.path('keytool'), ['-list', '-v', '-keystore', 'ours.p12', '-storetype', 'PKCS12', '-storepass', 'secret word']);
  assert.equal(listed.code, 0, listed.stdout + listed.stderr);
  assert.match(listed.stdout, /PrivateKeyEntry/);
  const made = await run(java.path('keytool'), ['-genkeypair', '-alias', 'theirs', '-keyalg', 'RSA', '-keysize', '2048', '-dname', 'CN=java.example.test', '-keystore', 'theirs.p12', '-storetype', 'PKCS12', '-storepass', 'secret word']);
  assert.equal(made.code, 0, made.stderr);
  const theirs = await readUpload([readFileSync(join(dir, 'theirs.p12'))], 'secret word');
  assert.deepEqual([theirs.certificates.map((each) => each.subject), theirs.keys.length], [['CN=java.example.test'], 1]);
});

test('what openssl can talk at each level', { skip: peers.skip }, async () => {
  using room = await setUp();
  const talks = async (level: TlsLevel, ...args: string[]) => {
    const done = await run(peers.path('openssl'), ['s_client', '-connect', `127.0.0.1:${room.ports[level]}`, '-servername', 'gw.example.test', '-CAfile', 'private-ca.pem', ...args], 'Q\n');
    return /^New, (?!\(NONE\))/m.test(done.stdout);
  };
  const old = ['-cipher', 'ALL:@SECLEVEL=0'];
  const cases: [string[], boolean, boolean, boolean][] = [
    [['-tls1_3'], true, true, true],
    [['-tls1_2'], false, true, true],
    [['-tls1_1', ...old], false, false, true],
    [['-tls1', ...old], false, false, true],
    [['-tls1', '-cipher', 'AES128-SHA:@SECLEVEL=0'], false, false, true],
    [['-tls1_2', '-cipher', 'DHE-RSA-AES128-GCM-SHA256'], false, false, true],
    [['-tls1_2', '-cipher', 'AES128-GCM-SHA256'], false, false, true],
    [['-tls1_2', '-cipher', 'NULL:eNULL:@SECLEVEL=0'], false, false, false],
    [['-tls1_3', '-groups', 'secp521r1'], false, false, false],
  ];
  for (const [args, ...expected] of cases) {
    const got = [];
    for (const level of ['modern', 'intermediate', 'legacy'] as const) got.push(await talks(level, ...args));
    assert.deepEqual(got, expected, args.join(' '));
  }
});

test('nobody renegotiates', { skip: peers.skip }, async () => {
  using room = await setUp();
  for (const level of ['intermediate', 'legacy'] as const) {
    const done = await run(peers.path('openssl'), ['s_client', '-connect', `127.0.0.1:${room.ports[level]}`, '-servername', 'gw.example.test', '-tls1_2', '-CAfile', 'private-ca.pem'], 'R\n');
    assert.match(done.stdout, /^New, TLSv1\.2/m);
    assert.match(done.stdout + done.stderr, /RENEGOTIATING[^]*no renegotiation/);
  }
});

test('sslscan finds the protocols of each level and no others', { skip: scanners.skip }, async () => {
  using room = await setUp();
  for (const [level, versions] of [['modern', ['1.3']], ['intermediate', ['1.2', '1.3']], ['legacy', ['1.0', '1.1', '1.2', '1.3']]] as const) {
    const { stdout } = await run(scanners.path('sslscan'), ['--no-colour', '--sni-name=gw.example.test', '--no-heartbleed', `127.0.0.1:${room.ports[level]}`]);
    const enabled = [...stdout.matchAll(/^(SSL|TLS)v([\d.]+)\s+enabled/gm)].map((match) => match[2]);
    assert.deepEqual(enabled, versions, stdout);
    assert.doesNotMatch(stdout, /3DES|RC4|NULL|EXP|ADH|AECDH|anon/i);
    const suites = [...stdout.matchAll(/^(?:Accepted|Preferred)\s+TLSv1\.2\s+\d+ bits\s+(\S+)/gm)].map((match) => match[1]!);
    if (level !== 'legacy') assert.ok(suites.every((suite) => /^ECDHE-.*(GCM|CHACHA20)/.test(suite)), suites.join());
    assert.equal(suites.length > 0, level !== 'modern');
  }
});

test('testssl finds nothing of weight at the levels for everybody', { skip: auditors.skip, timeout: 400_000 }, async () => {
  using room = await setUp();
  for (const level of ['intermediate', 'modern'] as const) {
    const out = `testssl-${level}.json`;
    await run(auditors.path('testssl'), ['--quiet', '--warnings', 'batch', '--color', '0', '--severity', 'MEDIUM', '--jsonfile', out, '--add-ca', 'private-ca.pem', '--ip', '127.0.0.1', '-p', '-s', '-f', '-S', '-U', `gw.example.test:${room.ports[level]}`]);
    const found = (JSON.parse(readFileSync(join(dir, out), 'utf8')) as { id: string; severity: string; finding: string }[]).filter((each) => /MEDIUM|HIGH|CRITICAL|FATAL/.test(each.severity));
    // The private CA has no list of revoked certificates and no OCSP: its leaves live short, and the gateway shows no other.
    assert.deepEqual(found.filter((each) => each.id !== 'cert_revocation').map((each) => `${each.severity} ${each.id}: ${each.finding}`), [], level);
  }
});

test('a certificate that was swapped is what openssl sees next', { skip: peers.skip }, async () => {
  using room = await setUp();
  const row = await room.changes.issue({ name: 'front', customerId: 'c1', keyKind: 'ec-p256', names: { dns: ['gw.example.test'], ip: [] } }, anna);
  const shown = async () => new X509Certificate(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/.exec(await openssl(['s_client', '-connect', `127.0.0.1:${room.ports.intermediate}`, '-servername', 'gw.example.test', '-CAfile', 'private-ca.pem', '-verify_return_error'], 'Q\n'))![0]).fingerprint256;
  const before = await shown();
  assert.equal(before.replaceAll(':', '').toLowerCase(), row.certificateFingerprint);
  const again = await room.changes.issueAgain(row.id, { keyKind: 'rsa-2048', names: { dns: ['gw.example.test'], ip: [] } }, anna);
  assert.equal((await shown()).replaceAll(':', '').toLowerCase(), again.certificateFingerprint);
});
