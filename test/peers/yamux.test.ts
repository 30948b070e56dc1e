// A foreign agent, written in Go on a public yamux library from docs/wire/tunnel.md alone, in the place of ours.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { DeviceView } from '#api/shapes.ts';
import { root, startTcp, until } from '#kit/gateway.ts';
import { findPeers, startEcho } from '#kit/peers.ts';
import { freePort, openProcesses, postern, startServe, type Page, type Processes, type Served } from '#kit/processes.ts';

// Debian's Go is not among the peers that CI installs: without it the test is skipped there too.
const peers = findPeers(['go'], { optional: true });

/** The path of the program; null when its library cannot be had here. */
async function build(processes: Processes, t: TestContext): Promise<string | null> {
  const program = join(processes.folder, 'yamux-agent');
  // Go's own caches of whoever runs the tests: the standard library is not compiled anew each time.
  const goEnv = Object.fromEntries(['GOPATH', 'GOCACHE', 'GOMODCACHE', 'GOPROXY', 'GOFLAGS', 'GONOSUMDB', 'GONOSUMCHECK', 'GOSUMDB', 'https_proxy', 'HTTPS_PROXY', 'SSL_CERT_FILE'].flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
  const built = await processes.run(peers.path('go'), ['build', '-o', program, '.'], { cwd: join(root, 'test', 'peers', 'yamux-agent'), env: { ...goEnv, HOME: homedir(), GOTOOLCHAIN: 'local' }, timeoutMs: 180_000 });
  if (built.code === 0) return program;
  const isOffline = /dial tcp|no such host|connection refused|i\/o timeout|module lookup disabled|proxyconnect/.test(built.stderr);
  assert.ok(isOffline, built.stderr);
  t.skip(`the library github.com/hashicorp/yamux cannot be had here (go mod download in test/peers/yamux-agent): ${built.stderr.split('\n', 1)[0]}`);
  return null;
}

interface Got {
  readonly status: number;
  readonly bytes: number;
  readonly hash: string;
}

function get(gateway: Served, host: string, path: string, agent: HttpAgent | false = false): Promise<Got> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host: '127.0.0.1', port: gateway.httpPort, path, agent, headers: { host, 'postern-token': gateway.token } }, (answer) => {
      const hash = createHash('sha256');
      let bytes = 0;
      answer.on('data', (piece: Buffer) => {
        hash.update(piece);
        bytes += piece.length;
      });
      answer.once('error', reject);
      answer.once('end', () => resolve({ status: answer.statusCode!, bytes, hash: hash.digest('hex') }));
    });
    sent.once('error', reject);
    sent.end();
  });
}

test('a foreign agent on a public yamux library', { skip: peers.skip, timeout: 300_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const program = await build(processes, t);
  if (program === null) return;
  await using echo = await startEcho();
  /** Counts what it gets until the client's last word, and answers then. */
  await using summing = await startTcp((socket) => {
    const hash = createHash('sha256');
    socket.on('data', (piece: Buffer) => hash.update(piece));
    socket.on('end', () => socket.end(`${hash.digest('hex')}\n`));
  });
  const late: Buffer[] = [];
  /** Says its last word first and goes on listening. */
  await using talking = await startTcp((socket) => {
    socket.end('that is all from me');
    socket.on('data', (piece: Buffer) => late.push(piece));
  });
  const closedPort = await freePort();
  /** Tells what it got, and how long it was. */
  const measuring = createSocket('udp4', (datagram, from) => measuring.send(Buffer.concat([Buffer.from(`${datagram.length} `), datagram]), from.port, from.address));
  await new Promise<void>((resolve) => measuring.bind(0, '127.0.0.1', resolve));
  let isMeasuring = true;
  const stopMeasuring = () => new Promise<void>((resolve) => (isMeasuring ? measuring.close(() => resolve()) : resolve(), (isMeasuring = false)));
  processes.defer(stopMeasuring);
  const udpPort = measuring.address().port;
  const gateway = await startServe(processes);
  const { secret } = await gateway.joinToken({
    name: 'gopher',
    ports: [{ number: echo.port, kind: 'http' }, { number: summing.port, kind: 'tcp' }, { number: talking.port, kind: 'tcp' }, { number: closedPort, kind: 'http' }, { number: 1, kind: 'http' }, { number: udpPort, kind: 'udp' }],
  });
  const state = join(processes.folder, 'state');
  const joined = await processes.run(postern, ['join', `https://127.0.0.1:${gateway.httpsPort}`, '--token-file', '-', '--state', state, '--no-run'], { input: secret });
  assert.equal(joined.code, 0, joined.stderr);
  const allowed = [echo.port, summing.port, talking.port, closedPort, udpPort].map((port) => `127.0.0.1:${port}`);
  const agent = processes.start(program, [state, ...allowed]);
  await agent.says(/linked \S+/);
  const device = await until('it to be online', async () => (await gateway.ask<Page<DeviceView>>('GET', '/devices')).items.find((each) => each.online));
  assert.equal(device.version, 'yamux-agent/1 go');
  const host = `${device.label}.localhost:${gateway.httpPort}`;

  await t.test('a thousand requests, half of them over a stream of their own', async () => {
    const keeping = new HttpAgent({ keepAlive: true, maxSockets: 20 });
    try {
      const paths = Array.from({ length: 1_000 }, (_, i) => (i % 2 === 0 ? `/n/${i}` : `/once/${i}`));
      const answers = await Promise.all(paths.map((path) => get(gateway, host, path, keeping)));
      assert.deepEqual(answers.filter(({ status }) => status !== 200), []);
      assert.deepEqual(new Set(echo.seen.map(({ url }) => url)), new Set(paths));
      assert.equal(echo.seen.length, 1_000, 'each reached the device once');
    } finally {
      keeping.destroy();
    }
  });

  await t.test('a download of 100 MB, and a small one beside it that does not wait for it', async () => {
    const bytes = 100_000_000;
    let isDone = false;
    const big = get(gateway, host, `/bytes/${bytes}`).finally(() => (isDone = true));
    const small = await get(gateway, host, '/beside');
    assert.equal(small.status, 200);
    assert.equal(isDone, false, 'the small one came first');
    const got = await big;
    assert.equal(got.bytes, bytes);
    assert.equal(got.hash, createHash('sha256').update(Buffer.alloc(bytes)).digest('hex'));
  });

  await t.test('half-close: the client ends first, then the device', async () => {
    const input = randomBytes(3_000_000);
    const done = await processes.run(postern, ['connect', device.label, String(summing.port)], { env: gateway.env, input });
    assert.equal(done.stdout, `${createHash('sha256').update(input).digest('hex')}\n`, done.stderr);
    assert.equal(done.code, 0);
    const forward = processes.start(postern, ['forward', device.label, String(talking.port)], { env: gateway.env });
    const port = Number((await forward.says(/^127\.0\.0\.1:(\d+)$/m))[1]);
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    let said = '';
    socket.on('data', (piece) => (said += piece.toString()));
    await new Promise((resolve) => socket.once('end', resolve));
    assert.equal(said, 'that is all from me');
    const more = randomBytes(1_000_000);
    socket.end(more);
    await until('the device to have the rest', () => late.reduce((sum, { length }) => sum + length, 0) === more.length);
    assert.ok(Buffer.concat(late).equals(more));
    assert.equal((await forward.stop()).code, 0);
  });

  await t.test('datagrams, and the end of a flow that nobody answers', async () => {
    const forward = processes.start(postern, ['forward', device.label, `${udpPort}/udp`], { env: gateway.env });
    const port = Number((await forward.says(/^127\.0\.0\.1:(\d+)\/udp$/m))[1]);
    const client = createSocket('udp4');
    const ask = async (datagram: Buffer) => {
      client.send(datagram, port, '127.0.0.1');
      const [got] = (await once(client, 'message')) as [Buffer];
      return got;
    };
    try {
      for (const length of [0, 1, 1_400, 30_000, 65_000]) {
        const datagram = randomBytes(length);
        assert.ok((await ask(datagram)).equals(Buffer.concat([Buffer.from(`${length} `), datagram])), `${length} bytes`);
      }
      await stopMeasuring();
      client.send('anybody?', port, '127.0.0.1');
      await forward.says(/nobody listens there/);
    } finally {
      client.close();
    }
    assert.equal((await forward.stop()).code, 0);
  });

  await t.test('its refusals reach people in its own words', async () => {
    const ask = (port: number) => processes.run(postern, ['connect', device.label, String(port)], { env: gateway.env });
    assert.match((await ask(1)).stderr, /start the agent with 127\.0\.0\.1:1/);
    const nobody = await ask(closedPort);
    assert.notEqual(nobody.code, 0);
    assert.match(nobody.stderr, /refused/);
    assert.equal((await get(gateway, `${device.label}--1.localhost:${gateway.httpPort}`, '/')).status, 403);
    assert.equal((await get(gateway, `${device.label}--${closedPort}.localhost:${gateway.httpPort}`, '/')).status, 502);
  });

  await t.test('a lock cuts it off with the code of the specification, and it is not taken back', async () => {
    await gateway.ask('POST', `/agents/${device.agentId}/lock`);
    await agent.says(/closed 1008/);
    assert.equal((await agent.ended).code, 0);
    const again = await processes.run(program, [state, ...allowed]);
    assert.match(again.stderr, /refused: HTTP\/1\.1 403 .*locked/s);
    await gateway.ask('POST', `/agents/${device.agentId}/unlock`);
    const back = processes.start(program, [state, ...allowed]);
    await back.says(/linked/);
    assert.equal((await get(gateway, host, '/back')).status, 200);
  });
});
