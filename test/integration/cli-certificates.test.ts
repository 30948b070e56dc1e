// Certificates from the command line, against a real gateway: what is printed, asked and refused, and what the next handshake sees.
import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { connect } from 'node:tls';
import { after, before, suite, test } from 'node:test';
import type { CertificateDetailView, CertificateView } from '#api/certificate-shapes.ts';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import { makePkcs12 } from '#model/pkcs12.ts';
import { keyObjectOf, makeCertificate, type Made } from '../kit/authority.ts';
import { finishesCleanly, portOf, request, startGateway, temporaryFolder, type TestGateway } from '../kit/gateway.ts';

suite('certificates from the command line', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  const file = (name: string) => join(folder.path, name);
  let gateway: TestGateway;
  let root: Made;

  before(async () => {
    gateway = await startGateway({
      domain: 'gw.example.test',
      routes: [
        { name: 'hi', host: 'hi.example.test', target: { kind: 'respond', body: 'hi' } },
        { name: 'pbx', host: 'pbx.example.test', target: { kind: 'tls', host: '192.0.2.1', port: 443, certificate: 'front' } },
      ],
    });
    await gateway.owner();
    root = await makeCertificate({ name: 'Root', now: Date.now(), ca: true });
  });
  after(async () => {
    await gateway?.close();
    folder[Symbol.dispose]();
  });

  /** `typed`: at a terminal. */
  async function run(args: string[], given: { stdin?: string; typed?: string } = {}): Promise<{ code: number; out: string; err: string }> {
    const text = { out: '', err: '' };
    const stream = (which: 'out' | 'err') => new PassThrough().on('data', (piece: Buffer) => void (text[which] += piece.toString('latin1')));
    const stdin = Object.assign(new PassThrough(), { isTTY: given.typed !== undefined });
    if (given.typed === undefined) stdin.end(given.stdin ?? '');
    else stdin.write(given.typed);
    const io: CommandIo = { stdin, stdout: stream('out'), stderr: stream('err'), env: { HOME: folder.path }, signal: new AbortController().signal, isTerminal: false, columns: 300 };
    const code = await dispatch([...args, '--data', gateway.dataDir], io);
    await new Promise((next) => setImmediate(next));
    return { code, ...text };
  }
  const done = async (...args: string[]) => {
    const ran = await run(['certificate', ...args]);
    assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.out}${ran.err}`);
    return ran.out;
  };
  const shown = async (name: string) => JSON.parse(await done('show', name, '--json')) as CertificateDetailView;
  const seenAt = (serverName: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect({ port: portOf(gateway, 'https'), host: '127.0.0.1', servername: serverName, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerX509Certificate()!.fingerprint256.replaceAll(':', '').toLowerCase());
        socket.destroy();
      });
      socket.on('error', reject);
    });
  const leaf = (name: string) => makeCertificate({ name, issuer: root, now: Date.now(), names: [{ type: 'dns', value: name }] });

  test('an upload from files, and what the next handshake sees', async () => {
    const made = await leaf('hi.example.test');
    writeFileSync(file('hi.pem'), made.pem);
    const refused = await run(['certificate', 'upload', 'hi', file('hi.pem')]);
    assert.deepEqual([refused.code, /^ERROR +the private key is missing/m.test(refused.out)], [1, true]);
    writeFileSync(file('hi.key'), made.keyPem);
    assert.match(await done('upload', 'hi', file('hi.pem'), file('hi.key'), '--dry-run'), /the private key belongs to it/);
    assert.equal(gateway.tables.certificates.size, 0);
    assert.match(await done('upload', 'hi', file('hi.pem'), file('hi.key')), /In place: hi/);
    const view = await shown('hi');
    assert.equal(await seenAt('hi.example.test'), view.fingerprint);
    assert.match(await done('show', 'hi'), new RegExp(`key pin, base64 +${view.keyPin!.base64.replaceAll(/[+/]/g, '\\$&')}\n`));
    const list = await run(['certificates']);
    assert.equal(list.code, 0);
    assert.match(list.out, /^hi +uploaded +ready +\d+ d +ec-p256 +3 +hi\.example\.test/m);
    assert.match(list.out, /^private CA +ca +ready/m);
  });

  test('a PKCS#12 file with its passphrase from a file, from the terminal, never from the command line', async () => {
    const made = await leaf('pbx.example.test');
    const key = (await keyObjectOf(made.keys)).export({ type: 'pkcs8', format: 'der' });
    writeFileSync(file('front.pfx'), await makePkcs12({ certificates: [made.der], key, friendlyName: 'front', passphrase: 'secret word', random: randomBytes }));
    const without = await run(['certificate', 'upload', 'front', file('front.pfx')]);
    assert.deepEqual([without.code, /passphrase/.test(without.out)], [1, true]);
    writeFileSync(file('word'), 'secret word\n');
    assert.match(await done('upload', 'front', file('front.pfx'), '--passphrase-file', file('word'), '--dry-run'), /the private key belongs to it/);
    const typed = await run(['certificate', 'upload', 'front', file('front.pfx')], { typed: 'secret word\n' });
    assert.deepEqual([typed.code, /Passphrase of the key: /.test(typed.err), /secret/.test(typed.out + typed.err)], [0, true, false], typed.out + typed.err);
    assert.equal((await run(['certificate', 'upload', 'front', file('front.pfx'), '--passphrase', 'x'])).code, 2);
  });

  test('a swap asks where something relies on the one in use', async () => {
    const made = await leaf('other.example.test');
    writeFileSync(file('other.pem'), made.pem + made.keyPem);
    const before = (await shown('front')).fingerprint;
    const refused = await run(['certificate', 'upload', 'front', file('other.pem')]);
    assert.deepEqual([refused.code, /--yes/.test(refused.err)], [2, true]);
    const declined = await run(['certificate', 'upload', 'front', file('other.pem')], { typed: 'n\n' });
    assert.deepEqual([declined.code, /CHANGE +192\.0\.2\.1:443, behind route pbx/.test(declined.out), /from pbx\.example\.test to other\.example\.test/.test(declined.out)], [1, true, true]);
    assert.equal((await shown('front')).fingerprint, before);
    await done('upload', 'front', file('other.pem'), '--yes');
    assert.notEqual((await shown('front')).fingerprint, before);
    await done('back', 'front', '--yes');
    assert.equal((await shown('front')).fingerprint, before);
    const removal = await run(['certificate', 'remove', 'front', '--yes']);
    assert.deepEqual([removal.code, /pbx shows it to its server/.test(removal.err)], [1, true]);
  });

  test('a request, signed by our own CA, comes back as its answer', async () => {
    const asked = await run(['certificate', 'request', 'asked', '--host', 'hi.example.test', '--organization', 'Example', '--key', 'rsa-2048', '--out', file('asked.csr')]);
    assert.deepEqual([asked.code, /hi\.example\.test/.test(asked.err)], [0, true], asked.err);
    assert.match(readFileSync(file('asked.csr'), 'utf8'), /BEGIN CERTIFICATE REQUEST/);
    await done('sign', file('asked.csr'), '--days', '90', '--out', file('answer.pem'));
    assert.equal(new X509Certificate(readFileSync(file('answer.pem'))).subject, 'O=Example\nCN=hi.example.test');
    writeFileSync(file('asked.der'), Buffer.from(readFileSync(file('asked.csr'), 'utf8').replaceAll(/-----[^-]+-----/g, ''), 'base64'));
    assert.match(await done('sign', file('asked.der'), '--client'), /BEGIN CERTIFICATE/);
    assert.match(await done('answer', 'asked', file('answer.pem')), /Swapped: asked/);
    assert.deepEqual([(await shown('asked')).state, (await shown('asked')).keyKind], ['ready', 'rsa-2048']);
    assert.equal((await run(['certificate', 'answer', 'nobody', file('answer.pem')])).code, 1);
    await done('disable', 'asked');
    await done('rename', 'asked', 'spare');
    assert.equal((await shown('spare')).enabled, false);
    assert.equal(await done('remove', 'spare', '--yes'), 'Removed spare.\n');
  });

  test('issued by the private CA, downloaded with its key', async () => {
    await done('issue', 'inside', '--host', 'inside.example.test', '--host', '192.0.2.5');
    await done('issue', 'inside', '--host', 'inside.example.test');
    assert.deepEqual((await shown('inside')).names, { dns: ['inside.example.test'], ip: [] });
    await done('issue', 'us', '--client', '--cn', 'gateway.example.test');
    const { out } = await run(['certificate', 'download', 'inside']);
    assert.equal(new X509Certificate(out).subject, 'CN=inside.example.test');
    assert.doesNotMatch(out, /PRIVATE/);
    await done('download', 'inside', '--with-key', '--out', file('inside.key.pem'));
    assert.equal(statSync(file('inside.key.pem')).mode & 0o777, 0o600);
    assert.equal(createPrivateKey(readFileSync(file('inside.key.pem'))).asymmetricKeyType, 'ec');
    const again = await run(['certificate', 'download', 'inside', '--with-key', '--out', file('inside.key.pem')]);
    assert.deepEqual([again.code, /cannot be written/.test(again.err)], [1, true]);
    assert.equal((await run(['certificate', 'download', 'inside', '--pfx'])).code, 2);
    assert.equal((await run(['certificate', 'download', 'inside', '--pfx', '--out', file('x.pfx'), '--passphrase-file', '-'], { stdin: 'short\n' })).code, 1);
    await done('download', 'inside', '--pfx', '--out', file('inside.pfx'), '--passphrase-file', file('word'));
    assert.match(await done('upload', 'copy', file('inside.pfx'), '--passphrase-file', file('word'), '--dry-run'), /the private key belongs to it/);
    await done('renew', 'inside');
    const audit = await run(['audit', '--limit', '100']);
    for (const what of ['certificate.added', 'certificate.replaced', 'certificate.downloaded', 'certificate.renewed', 'certificate.signed']) assert.ok(audit.out.includes(what), what);
    assert.doesNotMatch(audit.out, /secret word|PRIVATE/);
  });

  test('what is wrong on the command line is usage', async () => {
    for (const wrong of [['show'], ['fly', 'x'], ['upload', 'x'], ['issue', 'x'], ['issue', 'x', '--host', 'a.example.test', '--key', 'dsa'], ['order', 'x', '--host', 'a.example.test', '--challenge', 'y'], ['order', 'x', '--host', 'a', '--dns', 'y'], ['rename', 'x'], ['show', 'x', 'y'], ['download', 'x', '--pfx', '--with-key']]) {
      assert.equal((await run(['certificate', ...wrong])).code, 2, wrong.join(' '));
    }
    const order = await run(['certificate', 'order', 'public', '--host', 'gw.example.test', '--directory', 'https://127.0.0.1:9/directory']);
    assert.deepEqual([order.code, /127\.0\.0\.1/.test(order.err)], [3, true], 'no authority answers there');
  });

  test('/ca: over plain HTTP and TLS, and nothing else below it', async () => {
    const ask = (path: string, headers = {}) => fetchPlain(gateway.ports.http, path, headers);
    assert.equal((await ask('/ca')).body, gateway.caPem);
    assert.equal((await ask('/ca/root.pem')).body, gateway.caPem);
    const page = await ask('/ca', { accept: 'text/html' });
    assert.deepEqual([page.status, page.type, /came without encryption/.test(page.body)], [200, 'text/html; charset=utf-8', true]);
    for (const path of ['/ca/api/v1/setup', '/ca/x', '/ca/%2e%2e/api/v1/setup', '/ca/index.html']) assert.ok([400, 404].includes((await ask(path)).status), path);
    await finishesCleanly(gateway);
  });

  test('the status has a remark for what ends soon', async () => {
    const soon = await makeCertificate({ name: 'soon.example.test', issuer: root, now: Date.now(), days: 5, names: [{ type: 'dns', value: 'soon.example.test' }] });
    writeFileSync(file('soon.pem'), soon.pem + soon.keyPem);
    assert.match(await done('upload', 'soon', file('soon.pem')), /warning +it ends in/);
    const list = await run(['certificates', 'soon', '--json']);
    assert.equal(list.code, 1);
    assert.equal((JSON.parse(list.out) as CertificateView[])[0]!.alarm!.step, 7);
    assert.match((await run(['status'])).out, /certificate soon ends in [45] days/);
    assert.match((await run(['doctor'])).out, /FAILED +Certificates: certificate soon ends in/);
  });
});

async function fetchPlain(port: number, path: string, headers: Record<string, string>): Promise<{ status: number; type: string; body: string }> {
  const answer = await request(port, { path, headers: { host: 'gw.example.test', ...headers } });
  return { status: answer.status, type: String(answer.headers['content-type']), body: answer.body.toString() };
}
