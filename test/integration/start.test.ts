// Starting where something is in the way, and again with what the message says.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PassThrough } from 'node:stream';
import { isFault } from '#base/fault.ts';
import { dispatch } from '#bin/postern.ts';
import { root, startGateway, temporaryFolder, until } from '../kit/gateway.ts';

test('a taken port stops the start and leaves nothing behind; other ports are then taken as said', async () => {
  using folder = temporaryFolder();
  const dataDir = join(folder.path, 'data');
  const other = createServer();
  await new Promise<void>((done) => other.listen(0, '127.0.0.1', () => done()));
  const { port } = other.address() as AddressInfo;
  try {
    await assert.rejects(startGateway({ dataDir, httpPort: port }), (thrown) => isFault(thrown, 'conflict') && /in use by another program/.test(thrown.message));
    await using gateway = await startGateway({ dataDir });
    assert.notEqual(gateway.ports.http, port);
    const owner = await gateway.owner();
    const config = await gateway.api('GET', '/config', { token: owner.token });
    assert.equal(config.json['revision'], 1);
  } finally {
    await new Promise((done) => other.close(done));
  }
});

test('the options of a start are one revision, and none when they change nothing', async () => {
  using folder = temporaryFolder();
  const dataDir = join(folder.path, 'data');
  const revisionOf = async (domain: string) => {
    await using gateway = await startGateway({ dataDir, adjust: (config) => ({ ...config, domains: [{ name: domain }] }) });
    const answer = await gateway.api('GET', '/setup');
    assert.equal(answer.status, 200);
    return (await gateway.api('GET', '/config', { token: await operatorToken(dataDir, gateway) })).json['revision'];
  };
  assert.equal(await revisionOf('localhost'), 1);
  assert.equal(await revisionOf('localhost'), 1);
  assert.equal(await revisionOf('gw.example.test'), 2);
});

/** The token in the data folder speaks for the owner, so there must be one. */
async function operatorToken(dataDir: string, gateway: Awaited<ReturnType<typeof startGateway>>): Promise<string> {
  if (gateway.setupAddress() !== null) await gateway.owner();
  return (JSON.parse(await readFile(join(dataDir, 'operator.json'), 'utf8')) as { token: string }).token;
}

test('a gateway whose standard output nobody reads any more goes on, and ends in order', { timeout: 60_000 }, async () => {
  using folder = temporaryFolder();
  const child = spawn(process.execPath, [join(root, 'src', 'bin', 'postern.ts'), 'serve', '--data', join(folder.path, 'data'), '--http', '0', '--https', '0', '--log', 'info'], { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    child.stdout.destroy();
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    const ended = once(child, 'exit');
    let isOver = false;
    void ended.then(() => (isOver = true));
    await until('the start', () => isOver || said.includes('gateway.started'), 30_000);
    child.kill('SIGTERM');
    const [code] = await ended;
    assert.equal(code, 0, said);
    // The farewell is written before it: had a broken pipe ended the process, this line would be missing.
    assert.match(said, /gateway\.stopped/);
  } finally {
    child.kill('SIGKILL');
  }
});

test('the setup address is printed always, a token that joins only where a person reads it', { timeout: 60_000 }, async () => {
  const said = async (isTerminal: boolean): Promise<string> => {
    using folder = temporaryFolder();
    const stop = new AbortController();
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    let text = '';
    stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    stderr.resume();
    const ended = dispatch(['serve', '--data', join(folder.path, 'data'), '--http', '0', '--https', '0', '--log', 'error'], { stdin: new PassThrough(), stdout, stderr, env: {}, signal: stop.signal, isTerminal, columns: 100 });
    await until('the banner', () => text.includes('Ctrl-C ends it'));
    stop.abort();
    assert.equal(await ended, 0);
    return text;
  };
  const [forEyes, forLog] = [await said(true), await said(false)];
  for (const text of [forEyes, forLog]) assert.match(text, /\/setup#\S{20,}/);
  assert.match(forEyes, /join https:\/\/\S+ postern-join-1\./);
  assert.doesNotMatch(forLog, /postern-join-1|Join a device/);
});

test('a change that needs a port which the gateway itself holds says so and changes nothing', async () => {
  await using gateway = await startGateway();
  const owner = await gateway.owner();
  const before = await gateway.api('GET', '/config', { token: owner.token });
  const config = before.json['config'] as { listeners: { name: string; port: number; address: string }[] };
  // The listeners of a test are on ports that the system picked, so the fixed one is put there first.
  const free = createServer();
  await new Promise<void>((done) => free.listen(0, '127.0.0.1', () => done()));
  const { port } = free.address() as AddressInfo;
  await new Promise((done) => free.close(done));
  const put = (revision: number, listeners: readonly object[]) => gateway.api('PUT', '/config', { token: owner.token, headers: { 'if-match': `"${revision}"` }, body: { ...config, listeners } });
  const fixed = { name: 'extra', address: '127.0.0.1', port, tls: false };
  const added = await put(1, [...config.listeners, fixed]);
  assert.equal(added.status, 200, added.text);
  const clash = await put(2, [...config.listeners, { ...fixed, tls: true }]);
  assert.equal(clash.status, 400, clash.text);
  assert.match(clash.text, /held by this gateway's own listener/);
  assert.equal((await gateway.api('GET', '/config', { token: owner.token })).json['revision'], 2);
});
