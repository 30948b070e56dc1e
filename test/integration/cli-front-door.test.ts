// The front door from the command line, against a real gateway: what listens, what stands, what leads where, and ending a connection.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, suite, test } from 'node:test';
import type { CommandIo } from '#bin/io.ts';
import { dispatch } from '#bin/postern.ts';
import { finishesCleanly, portOf, startGateway, startTcp, temporaryFolder, until, type TestGateway } from '../kit/gateway.ts';

suite('the front door from the command line', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  let gateway: TestGateway;
  let shell: Awaited<ReturnType<typeof startTcp>>;

  before(async () => {
    shell = await startTcp((socket) => void socket.write('SSH-2.0-there\r\n'));
    gateway = await startGateway({
      config: { tlsPolicies: [{ name: 'printers', hosts: ['old.example.test'], level: 'intermediate', legacyLane: { from: ['127.0.0.0/8'], until: '2099-12-31' } }], listeners: [{ name: 'mixed', tls: false, protocols: ['ldap', 'ssh'], proxyProtocolFrom: ['198.51.100.0/24'] }] },
      routes: [
        { name: 'shell', protocol: 'ssh', listeners: ['mixed'], target: { kind: 'tcp', host: '127.0.0.1', port: shell.port } },
        { name: 'directory', protocol: 'ldap', listeners: ['mixed'], host: 'pbx.example.test', target: { kind: 'tls', host: '192.0.2.1', port: 636 } },
        { name: 'wiki', host: '*.example.test', listeners: ['http'], path: ['/a', '/b'], classes: [{ name: 'read', paths: ['/a'] }], target: { kind: 'respond', body: 'hi' } },
      ],
    });
    await gateway.owner();
  });
  after(async () => {
    await gateway?.close();
    await shell?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const text = { out: '', err: '' };
    const stream = (which: 'out' | 'err') => new PassThrough().on('data', (piece: Buffer) => void (text[which] += piece.toString()));
    const io: CommandIo = { stdin: new PassThrough().end(), stdout: stream('out'), stderr: stream('err'), env: { HOME: folder.path }, signal: new AbortController().signal, isTerminal: false, columns: 200 };
    const code = await dispatch(args, io);
    await new Promise((next) => setImmediate(next));
    return { code, ...text };
  }
  const operate = async (...args: string[]) => {
    const ran = await run(...args, '--data', gateway.dataDir);
    assert.equal(ran.code, 0, `${args.join(' ')}: ${ran.err}`);
    return ran.out;
  };

  test('a connection is listed with what is known of it, and ended', async () => {
    const client = connect(portOf(gateway, 'mixed'), '127.0.0.1');
    let ended = false;
    client.on('close', () => void (ended = true)).on('error', () => {}).resume();
    client.write('SSH-2.0-here\r\n');
    await until('the connection to reach its server', () => shell.sockets.size === 1);
    assert.match(await operate('conns', '--listener', 'mixed'), /^ID +FROM +LISTENER +PROTOCOL +TLS +ROUTE[^\n]*\nc\w+ +127\.0\.0\.1 +mixed +ssh +- +shell +\d+ s +14 B +/);
    const [conn] = JSON.parse(await operate('conns', '--protocol', 'ssh', '--json')) as [{ id: string; mine: boolean }];
    assert.equal(conn.mine, false);
    assert.match(await operate('conns', '--search', 'nobody-has-this'), /^None of \d+ connections fits\.\n$/);
    assert.equal(await operate('close', conn.id), 'Closed.\n');
    await until('its end', () => ended);
    const again = await run('close', conn.id, '--data', gateway.dataDir);
    assert.deepEqual([again.code, /there is no such connection/.test(again.err)], [1, true]);
    assert.match(await operate('audit', '--limit', '1'), /conn\.cut/);
    for (const wrong of [['conns', '--limit', '501'], ['close'], ['routes', '--protocol', 'gopher'], ['routes', '--host', 'a', '--search', 'b'], ['explain', 'https://a/', '--tls', '1.4'], ['explain', 'ldap://a', '--user', 'a', '--alias', 'b']]) {
      assert.equal((await run(...wrong, '--data', gateway.dataDir)).code, 2, wrong.join(' '));
    }
  });

  test('listeners with their counts', async () => {
    const refused = connect(portOf(gateway, 'mixed'), '127.0.0.1');
    refused.on('error', () => {}).resume();
    refused.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((done) => refused.once('close', done));
    const out = await operate('listeners');
    assert.match(out, new RegExp(`^mixed +127\\.0\\.0\\.1 +${portOf(gateway, 'mixed')} +open +no +0 +2 +1 +ldap, ssh; PROXY headers of listed senders$`, 'm'));
    const [, , mixed] = JSON.parse(await operate('listeners', '--json')) as { name: string; refused: number }[];
    assert.deepEqual([mixed!.name, mixed!.refused], ['mixed', 1]);
  });

  test('routes, all of them and for one host in their order', async () => {
    const out = await operate('routes');
    assert.match(out, /^directory +ldap +pbx\.example\.test +- +- +mixed +- +192\.0\.2\.1:636, TLS$/m);
    assert.match(out, /^wiki +http +\*\.example\.test +\/a \/b +- +http +1 +200, 2 bytes$/m);
    assert.match(await operate('routes', '--search', '192.0.2.1'), /^ROUTE[^\n]*\ndirectory[^\n]*\n$/);
    assert.match(await operate('routes', '--protocol', 'ssh'), /^ROUTE[^\n]*\nshell[^\n]*\n$/);
    assert.match(await operate('routes', '--host', 'x.example.test'), / ROUTE[^\n]*\n1 +wiki +\*\.example\.test +\/a [^\n]*\n2 +wiki +\*\.example\.test +\/b /);
    assert.match(await operate('routes', '--host', 'x.example.test', '--protocol', 'sip'), /No route may hold/);
  });

  test('explain says the same with a file as over the API', async () => {
    const file = join(folder.path, 'config.json');
    await operate('export', '-o', file);
    for (const question of [
      ['ldap://pbx.example.test', '--user', 'anna'], ['ldap://192.0.2.9', '--user', 'other.example.test\\anna'], ['ssh://192.0.2.9', '--from', '127.0.0.1'], ['sip://pbx.example.test', '--alias', '4711'],
      ['https://x.example.test/a', '--tls', '1.0', '--certificate', 'Anna', '--server-name', 'gw.example.test'], ['http://x.example.test/a/b', '--method', 'post'],
    ]) {
      const [ofFile, ofGateway] = [await run('explain', ...question, '-f', file), await run('explain', ...question, '--data', gateway.dataDir)];
      assert.deepEqual(ofFile, ofGateway, question.join(' '));
      assert.match(ofFile.out, /\n=> \w+, by /);
      assert.equal(ofFile.code, /=> refuse/.test(ofFile.out) ? 4 : 0);
    }
    const told = JSON.parse((await run('explain', 'ldap://pbx.example.test', '--user', 'anna', '-f', file, '--json')).out) as Record<string, unknown>;
    assert.deepEqual([told['verdict'], told['route'], told['target'], told['listener']], ['forward', 'directory', '192.0.2.1:636, TLS', 'mixed']);
    writeFileSync(file, '{"version":1}');
    assert.equal((await run('explain', 'ldap://pbx.example.test', '-f', file)).code, 1);
  });

  test('who came through the legacy lane is listed, and nobody who can do better', async () => {
    assert.equal(await operate('legacy-clients'), 'Nobody has used the legacy lane.\n');
    assert.equal(await operate('legacy-clients', '--json'), '[]\n');
    const shake = (options: object) => new Promise<string | null>((done) => {
      const socket = connectTls({ host: '127.0.0.1', port: gateway.ports.https, servername: 'old.example.test', rejectUnauthorized: false, ...options });
      socket.once('secureConnect', () => done(socket.getProtocol())).once('error', () => done(null)).once('secureConnect', () => socket.destroy());
    });
    assert.equal(await shake({}), 'TLSv1.3');
    assert.equal(await shake({ minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' }), 'TLSv1');
    assert.match(await operate('legacy-clients'), /^FROM +BEST[^\n]*\n127\.0\.0\.1 +TLS 1\.0 +printers +\d+ s ago +\d+ s ago +1 +old\.example\.test +t10d\S+\n$/);
    const live = JSON.parse(await operate('listeners', '--json')) as { name: string; accepted: number }[];
    assert.equal(live.find((each) => each.name === 'https')?.accepted, 2);
    await finishesCleanly(gateway);
  });
});
