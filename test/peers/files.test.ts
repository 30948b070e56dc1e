// Files of devices with curl against a real gateway: whole, in parts by hand, cut by killing either side; and fetched by people.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FileView } from '#api/file-shapes.ts';
import { parseLines } from '#wire/device.ts';
import { signRequest } from '#wire/device-sign.ts';
import { until } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';
import { openProcesses, postern, startServe } from '../kit/processes.ts';

const peers = findPeers(['curl']);
const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');

/** Heads of all answers, interim ones too, and the body. */
function readAnswers(text: string): { heads: string[]; body: string } {
  const heads: string[] = [];
  let rest = text;
  while (/^HTTP\/\S+ \d{3}/.test(rest)) {
    const end = rest.indexOf('\r\n\r\n');
    heads.push(rest.slice(0, end));
    rest = rest.slice(end + 4);
  }
  return { heads, body: rest };
}

const fieldOf = (head: string, name: string) => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim();

test('files with curl', { skip: peers.skip, timeout: 300_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const device = await gateway.ask<{ id: string; label: string }>('POST', '/devices', { name: 'Counter', serial: 'SN1' });
  const { secret } = await gateway.asPerson<{ secret: string }>('POST', `/devices/${device.id}/keys`, {});
  const secure = `https://localhost:${gateway.httpsPort}`;
  const base = `${secure}/v1/default/file/SN1`;
  const filesDir = join(gateway.dataDir, 'files');
  const onDisk = (digest: string) => join(filesDir, digest.slice(0, 2), digest);
  const auth = ['--cacert', gateway.caFile, '-H', `X-Postern-Key: ${secret}`];
  const local = (name: string, bytes: Buffer | string) => {
    const path = join(processes.folder, name);
    writeFileSync(path, bytes);
    return path;
  };
  const curl = async (...args: string[]) => {
    const ran = await processes.run(peers.path('curl'), ['-sS', '-i', '--max-time', '60', ...auth, ...args]);
    assert.equal(ran.code, 0, ran.stderr);
    const { heads, body } = readAnswers(ran.stdout);
    const head = heads.at(-1)!;
    return { heads, head, status: Number(/ (\d{3})/.exec(head)![1]), body, values: parseLines(body) };
  };
  const large = randomBytes(6_000_000);
  const largeFile = local('large.bin', large);

  await t.test('curl -T stores a file; the same again changes nothing; HTTP/1.1, 1.0 and 2 alike', async () => {
    const first = await curl('-T', largeFile, `${base}/dump.bin`);
    assert.equal(first.status, 201);
    assert.deepEqual([first.values.get('stored'), first.values.get('sha256'), first.values.get('bytes')], ['1', sha256(large), '6000000']);
    assert.ok(Number(first.values.get('time')) > 1_700_000_000);
    assert.deepEqual(readFileSync(onDisk(sha256(large))), large);
    for (const version of ['--http1.0', '--http1.1', '--http2']) {
      const again = await curl(version, '-T', largeFile, `${base}/dump.bin`);
      assert.deepEqual([again.status, again.values.get('repeat')], [200, '1'], version);
    }
    const next = await curl('--http1.0', '-T', local('small', 'second version\n'), `${base}/dump.bin`);
    assert.equal(next.status, 201);
    const asked = await curl(`${base}/dump.bin`);
    assert.equal(asked.values.get('sha256'), sha256('second version\n'));
    const head = await curl('-I', `${base}/dump.bin`);
    assert.deepEqual([head.status, fieldOf(head.head, 'X-Postern-SHA256')], [200, sha256('second version\n')]);
    assert.equal((await curl('-T', local('empty', ''), `${base}/empty`)).values.get('sha256'), sha256(''));
    assert.equal((await curl('-X', 'PUT', '--data-binary', '@-', '-H', 'Transfer-Encoding: chunked', '--http1.1', `${base}/chunked`)).status, 201);
  });

  await t.test('a 104 comes over HTTP/1.1 and HTTP/2', async () => {
    for (const version of ['--http1.1', '--http2']) {
      const { heads, status } = await curl(version, '-T', local('told', version), '-H', 'Upload-Complete: ?1', '-H', 'Upload-Draft-Interop-Version: 8', `${base}/told`);
      assert.equal(status, 201, version);
      const told = heads.find((head) => / 104/.test(head.split('\r\n')[0]!))!;
      assert.match(told, /^upload-draft-interop-version: 8$/im, version);
      assert.match(fieldOf(told, 'Location')!, /^\/v1\/default\/file\/SN1\/told\/[0-9a-f]{32}$/);
      assert.match(fieldOf(told, 'Upload-Limit')!, /max-size=\d+/);
    }
  });

  await t.test('what curl sends with -C is no whole file', async () => {
    const answer = await curl('-C', '100', '-T', largeFile, `${base}/part`);
    assert.equal(answer.status, 400);
    assert.equal((await curl(`${base}/part`)).status, 404);
  });

  await t.test('without its key nothing is taken; over plain http the key is not believed', async () => {
    const ran = await processes.run(peers.path('curl'), ['-sS', '-i', '--cacert', gateway.caFile, '-T', largeFile, `${base}/x`]);
    assert.match(ran.stdout, / 401 /);
    const plain = await processes.run(peers.path('curl'), ['-sS', '-i', '-H', `X-Postern-Key: ${secret}`, '-T', largeFile, `http://localhost:${gateway.httpPort}/v1/default/file/SN1/x`]);
    assert.match(plain.stdout, /error=plain-key/);
    assert.equal((await curl(`${base}/x`)).status, 404);
  });

  await t.test('signed over plain http: the body has to be the one that was signed', async () => {
    const target = '/v1/default/file/SN1/signed';
    const put = async (signed: string, sent: string, digest: string | null = signed) => {
      const sign = signRequest(secret, { method: 'PUT', target, unix: 0, nonce: randomBytes(16).toString('hex'), bodySha256: sha256(signed) });
      const said = digest === null ? [] : ['-H', `Content-Digest: sha-256=:${createHash('sha256').update(digest).digest('base64')}:`];
      return (await processes.run(peers.path('curl'), ['-sS', '-i', '-T', local('signed', sent), '-H', `X-Postern-Sign: ${sign}`, ...said, `http://localhost:${gateway.httpPort}${target}`])).stdout;
    };
    assert.match(await put('mine', 'mine'), / 201 [^]*x-postern-answer: v1,[0-9a-f]{64}/i);
    assert.match(await put('mine', 'ours'), / (?:401|422) /);
    assert.match(await put('mine', 'ours', 'ours'), / 401 /);
    assert.match(await put('mine', 'mine', null), / 401 [^]*Content-Digest/);
    assert.equal((await curl(`${base}/signed`)).values.get('sha256'), sha256('mine'));
  });

  await t.test('in parts, by hand; the gateway is killed in between', async () => {
    const begun = await curl('-T', local('p1', large.subarray(0, 2_000_000)), '-H', 'Upload-Complete: ?0', '-H', 'Upload-Length: 6000000', `${base}/parts.bin`);
    assert.equal(begun.status, 201);
    const location = fieldOf(begun.head, 'Location')!;
    assert.match(location, /^\/v1\/default\/file\/SN1\/parts\.bin\/[0-9a-f]{32}$/);
    gateway.process.kill('SIGKILL');
    await gateway.process.ended;
    await gateway.restart();
    const upload = secure + location;
    const stands = async () => {
      const { head } = await curl('-I', upload);
      return [fieldOf(head, 'Upload-Offset'), fieldOf(head, 'Upload-Complete'), fieldOf(head, 'Upload-Length')];
    };
    assert.deepEqual(await stands(), ['2000000', '?0', '6000000']);
    const patch = (bytes: Buffer, offset: number, complete: string) =>
      curl('-X', 'PATCH', '--data-binary', `@${local('p', bytes)}`, '-H', 'Content-Type: application/partial-upload', '-H', `Upload-Offset: ${offset}`, '-H', `Upload-Complete: ${complete}`, upload);
    const wrong = await patch(large.subarray(0, 10), 0, '?0');
    assert.deepEqual([wrong.status, wrong.values.get('expected'), fieldOf(wrong.head, 'Upload-Offset')], [409, '2000000', '2000000']);
    assert.equal((await patch(large.subarray(2_000_000, 4_000_000), 2_000_000, '?0')).status, 200);
    const done = await patch(large.subarray(4_000_000), 4_000_000, '?1');
    assert.deepEqual([done.status, done.values.get('sha256'), fieldOf(done.head, 'Upload-Complete')], [201, sha256(large), '?1']);
    assert.deepEqual(await stands(), ['6000000', '?1', '6000000']);
  });

  await t.test('an upload that is killed in the middle goes on where the 104 said, whoever was killed', async () => {
    const huge = randomBytes(24_000_000);
    const hugeFile = local('huge.bin', huge);
    const seen = join(processes.folder, 'heads');
    const begin = (rate: string) =>
      processes.start(peers.path('curl'), ['-sS', '--http1.1', '-D', seen, '--limit-rate', rate, ...auth, '-H', 'Upload-Complete: ?1', '-H', 'Upload-Draft-Interop-Version: 8', '-T', hugeFile, `${base}/huge.bin`]);
    const sending = begin('12M');
    const told = () => (existsSync(seen) ? readFileSync(seen, 'latin1') : '');
    await until('a second 104', () => /Upload-Offset: \d/i.test(told()));
    const reported = Number(/Upload-Offset: (\d+)/i.exec(told())![1]);
    const location = /^Location: (\S+)/im.exec(told())![1]!;
    assert.match(told(), /^HTTP\/1\.1 104 /);
    sending.kill('SIGKILL');
    await sending.ended;
    const { head } = await curl('-I', secure + location);
    const offset = Number(fieldOf(head, 'Upload-Offset'));
    assert.ok(offset >= reported && offset < huge.length, `${offset} after ${reported}`);
    // Now the gateway, while the rest is on its way.
    const rest = processes.start(peers.path('curl'), ['-sS', '--http1.1', '--limit-rate', '4M', ...auth, '-X', 'PATCH', '-T', local('rest', huge.subarray(offset)), '-H', 'Content-Type: application/partial-upload', '-H', `Upload-Offset: ${offset}`, '-H', 'Upload-Complete: ?1', secure + location]);
    const id = location.split('/').at(-1)!;
    await until('some of the rest', () => statSync(join(filesDir, 'tmp', id)).size > offset);
    gateway.process.kill('SIGKILL');
    await gateway.process.ended;
    await rest.ended;
    await gateway.restart();
    const after = Number(fieldOf((await curl('-I', secure + location)).head, 'Upload-Offset'));
    assert.ok(after >= offset, `${after} after ${offset}: it never goes back`);
    const done = await curl('-X', 'PATCH', '--data-binary', `@${local('rest2', huge.subarray(after))}`, '-H', 'Content-Type: application/partial-upload', '-H', `Upload-Offset: ${after}`, '-H', 'Upload-Complete: ?1', secure + location);
    assert.deepEqual([done.status, done.values.get('sha256')], [201, sha256(huge)]);
    assert.deepEqual(readdirSync(join(filesDir, 'tmp')), []);
  });

  await t.test('a whole file that is killed in the middle leaves nothing', async () => {
    const sending = processes.start(peers.path('curl'), ['-sS', '--limit-rate', '1M', ...auth, '-T', largeFile, `${base}/cut.bin`]);
    await until('it to begin', () => readdirSync(join(filesDir, 'tmp')).length > 0);
    sending.kill('SIGKILL');
    await sending.ended;
    await until('it to be cleared away', () => readdirSync(join(filesDir, 'tmp')).length === 0);
    assert.equal((await curl(`${base}/cut.bin`)).status, 404);
  });

  await t.test('people list, fetch and remove files; no browser opens one here', async () => {
    const hostile = '<script>alert(1)</script>';
    await curl('-T', local('page', hostile), '-H', 'Content-Type: text/html', `${base}/..%20%22page%22.html`);
    const { items } = await gateway.ask<{ items: FileView[] }>('GET', `/files?device=${device.label}&name=${encodeURIComponent('.. "page".html')}`);
    assert.deepEqual(items.map(({ name, bytes, type, serial }) => ({ name, bytes, type, serial })), [{ name: '.. "page".html', bytes: hostile.length, type: 'text/html', serial: 'SN1' }]);
    const ran = await processes.run(peers.path('curl'), ['-sS', '-i', '--cacert', gateway.caFile, '-H', `Authorization: Bearer ${gateway.token}`, `${secure}/api/v1/files/${items[0]!.id}/content`]);
    const { heads: [head = ''], body } = readAnswers(ran.stdout);
    assert.equal(body, hostile);
    assert.equal(fieldOf(head, 'Content-Type'), 'application/octet-stream');
    assert.match(fieldOf(head, 'Content-Disposition')!, /^attachment; filename="__page_\.html"; filename\*=UTF-8''\.\.%20%22page%22\.html$/);
    assert.match(fieldOf(head, 'Content-Security-Policy')!, /^sandbox; default-src 'none'/);
    assert.equal(fieldOf(head, 'X-Content-Type-Options'), 'nosniff');
    const refused = await processes.run(peers.path('curl'), ['-sS', '-i', '--cacert', gateway.caFile, `${secure}/api/v1/files/${items[0]!.id}/content`]);
    assert.match(refused.stdout, / 401 /);
    const cli = (args: string[]) => processes.run(postern, args, { env: gateway.env, cwd: processes.folder });
    const listed = await cli(['files', '--all', '--name', 'dump.bin', '--json']);
    const versions = JSON.parse(listed.stdout) as FileView[];
    assert.deepEqual(versions.map((each) => [each.bytes, each.replacedAt === null]), [[15, true], [6_000_000, false]]);
    const got = await cli(['files', 'get', versions[1]!.id, 'fetched.bin']);
    assert.equal(got.code, 0, got.stderr);
    assert.deepEqual(readFileSync(join(processes.folder, 'fetched.bin')), large);
    assert.equal((await cli(['files', 'get', versions[1]!.id, 'fetched.bin'])).code, 1, 'it is there already');
    assert.equal((await cli(['files', 'get', items[0]!.id])).code, 0);
    assert.equal(readFileSync(join(processes.folder, '_ "page".html'), 'utf8'), hostile, 'under a name that stays in the folder');
    assert.equal((await cli(['files', 'get', versions[0]!.id, '-'])).stdout, 'second version\n');
    assert.equal((await cli(['files', 'remove', versions[0]!.id])).code, 0);
    assert.equal(existsSync(onDisk(versions[0]!.sha256)), false);
    assert.ok(existsSync(onDisk(sha256(large))), 'another file has the same bytes');
    const { items: lines } = await gateway.ask<{ items: { what: string }[] }>('GET', '/audit?limit=10');
    assert.deepEqual(lines.map((line) => line.what).filter((what) => what.startsWith('file.')).slice(0, 2), ['file.removed', 'file.downloaded']);
  });
});
