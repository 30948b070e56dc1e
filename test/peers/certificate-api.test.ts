// Certificates by the API of a whole gateway, with openssl as the authority, as the maker and reader of PKCS#12, and as the client who sees what is shown.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { once } from 'node:events';
import type { CertificateDetailView, CertificateView, DownloadView, SignedView, SwapView } from '#api/certificate-shapes.ts';
import { finishesCleanly, portOf, startGateway, temporaryFolder, type TestGateway } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';

const peers = findPeers(['openssl']);

suite('certificates by the API, with openssl', { skip: peers.skip, timeout: 120_000 }, () => {
  const folder = temporaryFolder();
  const file = (name: string) => join(folder.path, name);
  const text = (name: string) => readFileSync(file(name), 'utf8');
  let gateway: TestGateway;
  let token = '';

  before(async () => {
    gateway = await startGateway({ domain: 'gw.example.test', routes: [{ name: 'pbx', host: 'pbx.example.test', target: { kind: 'respond', body: 'the PBX' } }] });
    token = (await gateway.owner()).token;
    await openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'root.key', '-out', 'root.pem', '-days', '30', '-subj', '/CN=Test Root');
    writeFileSync(file('private-ca.pem'), gateway.caPem);
  });
  after(async () => {
    await gateway?.close();
    folder[Symbol.dispose]();
  });

  async function openssl(...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile(peers.path('openssl'), args, { cwd: folder.path, encoding: 'utf8' }, (error, stdout, stderr) => (error ? reject(new Error(`openssl ${args.join(' ')}: ${stderr}`)) : resolve(stdout)));
      child.stdin!.on('error', () => {});
      child.stdin!.end('Q\n');
    });
  }
  async function call<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    const answer = await gateway.api(method, path, { token, ...(body === undefined ? {} : { body }) });
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer.json as unknown as Answer;
  }
  /** What openssl is shown, verified against this root. */
  const seen = async (root: string, name = 'pbx.example.test') => {
    const said = await openssl('s_client', '-connect', `127.0.0.1:${portOf(gateway, 'https')}`, '-servername', name, '-verify_hostname', name, '-CAfile', root, '-verify_return_error');
    assert.match(said, /Verify return code: 0 \(ok\)/);
    return new X509Certificate(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/.exec(said)![0]);
  };
  const hex = (certificate: X509Certificate) => certificate.fingerprint256.replaceAll(':', '').toLowerCase();
  /** A certificate for the PBX and its key, signed by the root: `<stem>.pem`, `<stem>.key`. */
  const make = async (stem: string, ...key: string[]) => {
    await openssl('req', '-new', ...(key.length > 0 ? key : ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']), '-nodes', '-keyout', `${stem}.key`, '-out', `${stem}.csr`, '-subj', `/CN=${stem}.example.test`, '-addext', 'subjectAltName=DNS:pbx.example.test');
    await openssl('x509', '-req', '-in', `${stem}.csr`, '-CA', 'root.pem', '-CAkey', 'root.key', '-days', '20', '-copy_extensions', 'copy', '-out', `${stem}.pem`);
  };
  const ask = async (socket: TLSSocket, path: string) => {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: pbx.example.test\r\n\r\n`);
    let said = '';
    while (!said.includes('the PBX')) said += String((await once(socket, 'data'))[0]);
    return said;
  };

  test('an upload is what new handshakes see; a connection that stands goes on', async () => {
    const standing = connect({ port: portOf(gateway, 'https'), host: '127.0.0.1', servername: 'pbx.example.test', ca: gateway.caPem, ALPNProtocols: ['http/1.1'] });
    await once(standing, 'secureConnect');
    const before = standing.getPeerX509Certificate()!.fingerprint256;
    assert.match(await ask(standing, '/1'), /200/);
    await make('first');
    const put = await call<SwapView>('POST', '/certificates/upload', { name: 'pbx', pem: text('first.key') + text('first.pem') + text('root.pem') });
    assert.ok(put.verdicts.every((each) => each.severity !== 'error'));
    assert.equal(hex(await seen('root.pem')), put.certificate!.fingerprint);
    await make('second', '-newkey', 'rsa:2048');
    const swapped = await call<SwapView>('POST', '/certificates/pbx/replace', { pem: text('second.pem') + text('second.key') });
    assert.deepEqual(swapped.changes.map((each) => each.what), ['subject', 'key kind', 'key', 'fingerprint']);
    assert.equal(hex(await seen('root.pem')), swapped.certificate!.fingerprint);
    assert.match(await ask(standing, '/2'), /200/);
    assert.equal(standing.getPeerX509Certificate()!.fingerprint256, before);
    standing.destroy();
    const spki = (await openssl('pkey', '-in', 'second.key', '-pubout', '-outform', 'DER', '-out', 'second.spki')) + (await openssl('dgst', '-sha256', '-r', 'second.spki'));
    assert.equal(spki.split(' ', 1)[0], swapped.certificate!.keyPin!.hex);
    await call('POST', '/certificates/pbx/go-back', {});
    assert.equal(hex(await seen('root.pem')), put.certificate!.fingerprint);
  });

  test('a request of ours, signed by openssl, uploaded, served', async () => {
    const asked = await call<CertificateDetailView>('POST', '/certificates/pbx/request', { subject: { commonName: 'pbx.example.test', country: 'DE', organization: 'Grüße' }, names: ['pbx.example.test'], keyKind: 'rsa-2048' });
    writeFileSync(file('asked.csr'), asked.request!.pem);
    assert.match(await openssl('req', '-in', 'asked.csr', '-noout', '-verify', '-subject', '-nameopt', 'utf8'), /CN ?= ?pbx\.example\.test/);
    await openssl('x509', '-req', '-in', 'asked.csr', '-CA', 'root.pem', '-CAkey', 'root.key', '-days', '20', '-copy_extensions', 'copy', '-outform', 'DER', '-out', 'asked.der');
    const done = await call<SwapView>('POST', '/certificates/pbx/replace', { files: [readFileSync(file('asked.der')).toString('base64')] });
    assert.deepEqual([done.certificate!.requestWaits, done.certificate!.keyPin!.hex], [false, asked.request!.keyPin.hex]);
    assert.equal(hex(await seen('root.pem')), done.certificate!.fingerprint);
  });

  test('PKCS#12 of openssl, old and new, and ours read by openssl', async () => {
    await make('packed');
    const ways = { aes: ['-keypbe', 'AES-256-CBC', '-certpbe', 'AES-256-CBC', '-macalg', 'sha256'], old: ['-legacy', '-keypbe', 'PBE-SHA1-3DES', '-certpbe', 'PBE-SHA1-3DES', '-macalg', 'sha1'] };
    for (const [way, args] of Object.entries(ways)) {
      await openssl('pkcs12', '-export', '-in', 'packed.pem', '-inkey', 'packed.key', '-certfile', 'root.pem', '-out', `${way}.pfx`, '-passout', 'pass:geheim wört', ...args);
      const files = [readFileSync(file(`${way}.pfx`)).toString('base64')];
      for (const [passphrase, why] of [[null, /wants its passphrase/], ['wrong', /does not open/]] as const) {
        const tried = await call<SwapView>('POST', '/certificates/upload?dryRun=true', { name: way, files, passphrase });
        assert.match(tried.verdicts.map((each) => each.text).join('\n'), why, way);
      }
      const put = await call<SwapView>('POST', '/certificates/upload', { name: way, files, passphrase: 'geheim wört' });
      assert.equal(put.certificate!.state, 'ready');
      assert.ok(put.verdicts.some((each) => /the root itself is left out/.test(each.text)), JSON.stringify(put.verdicts));
    }
    const pfx = await call<DownloadView>('POST', '/certificates/aes/download', { form: 'pfx', passphrase: 'geheim wört' });
    writeFileSync(file('ours.pfx'), Buffer.from(pfx.content, 'base64'));
    const opened = await openssl('pkcs12', '-in', 'ours.pfx', '-passin', 'pass:geheim wört', '-nodes');
    writeFileSync(file('opened.pem'), opened);
    assert.equal(await openssl('pkey', '-in', 'opened.pem', '-pubout'), await openssl('pkey', '-in', 'packed.key', '-pubout'));
    assert.match(opened, /friendlyName: aes/);
    await assert.rejects(openssl('pkcs12', '-in', 'ours.pfx', '-passin', 'pass:wrong', '-nodes'));
    const audit = await call<unknown>('GET', '/audit?limit=200');
    assert.doesNotMatch(JSON.stringify(audit), /geheim|PRIVATE KEY/);
  });

  test('a request made by openssl, signed by the private CA', async () => {
    for (const [kind, purpose] of [['server', 'sslserver'], ['client', 'sslclient']] as const) {
      await openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'theirs.key', '-out', 'theirs.csr', '-subj', '/O=Example/CN=app.example.test', '-addext', 'subjectAltName=DNS:app.example.test,IP:192.0.2.8');
      const signed = await call<SignedView>('POST', '/certificates/sign', { csr: text('theirs.csr'), kind });
      writeFileSync(file('theirs.pem'), signed.pem);
      await openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'private-ca.pem', '-verify_hostname', 'app.example.test', 'theirs.pem');
      assert.equal((await openssl('x509', '-in', 'theirs.pem', '-noout', '-fingerprint', '-sha256')).split('=')[1]!.trim().replaceAll(':', '').toLowerCase(), signed.fingerprint);
    }
    await openssl('req', '-new', '-newkey', 'rsa:1024', '-nodes', '-keyout', 'weak.key', '-out', 'weak.csr', '-subj', '/CN=weak.example.test');
    const weak = await gateway.api('POST', '/certificates/sign', { token, body: { csr: text('weak.csr') } });
    assert.deepEqual([weak.status, /1024 bits/.test(weak.text)], [400, true]);
  });

  test('keys only to who administers the gateway', async () => {
    const narrow = await gateway.api('POST', '/tokens', { cookie: (await gateway.owner()).cookie, body: { name: 'seer', rights: [{ action: 'see', scopeKind: 'gateway', scopeId: null }] } });
    const seer = narrow.json['secret'] as string;
    const list = await gateway.api('GET', '/certificates', { token: seer });
    const items = list.json['items'] as CertificateView[];
    assert.ok(items.some((each) => each.name === 'pbx' && !each.mayDownloadKey && each.mayDownload));
    assert.doesNotMatch(list.text, /PRIVATE KEY/);
    for (const [form, status] of [['pem', 200], ['pem-with-key', 403], ['pfx', 403]] as const) {
      assert.equal((await gateway.api('POST', '/certificates/pbx/download', { token: seer, body: { form, passphrase: 'long enough' } })).status, status, form);
    }
    await finishesCleanly(gateway);
  });
});
