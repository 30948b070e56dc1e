// The agent as a process: `--push-only` with a key, with its certificate, and feeds over a standing link; killed in the middle again and again.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AddressInfo, Socket } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { test } from 'node:test';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import { pinOfFingerprint } from '#wire/device.ts';
import { makeCertificate } from '../kit/authority.ts';
import { startGateway, until, type TestGateway } from '../kit/gateway.ts';
import { openProcesses, postern, type Processes } from '../kit/processes.ts';
import { knowDevice } from '../kit/raw-device.ts';
import { splitRecords } from '../kit/stored-records.ts';

const key = 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';

function pinShown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(pinOfFingerprint(keyFingerprintOf(socket.getPeerX509Certificate()!)));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

function setUp(processes: Processes, destination: object, stateDir = join(processes.folder, 'agent')) {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const log = join(processes.folder, 'calls.log');
  writeFileSync(log, '');
  writeFileSync(join(stateDir, 'key'), `${key}\n`, { mode: 0o600 });
  writeFileSync(join(stateDir, 'feeds.json'), JSON.stringify({
    serial: 'SN1',
    destinations: [{ name: 'main', ...destination }],
    feeds: [{ name: 'cdr', source: { kind: 'file', path: log }, destinations: ['main'] }],
  }));
  let count = 0;
  const lines: string[] = [];
  const append = (more: number) => {
    for (let i = 0; i < more; i++) lines.push(`${(count += 1)} ${randomBytes(20).toString('hex')}`);
    appendFileSync(log, lines.slice(-more).map((line) => `${line}\n`).join(''));
  };
  return { stateDir, lines, append };
}

const storedLines = (gateway: TestGateway) => splitRecords(gateway.dataDir, 'cdr');

test('--push-only over TLS with a key, killed again and again: every line once, in order', { timeout: 240_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using gateway = await startGateway({ config: { checkIn: { pollSeconds: 3_600, jitterSeconds: 0, pushSeconds: 1 } } });
  knowDevice(gateway, 'SN1', key);
  const { stateDir, lines, append } = setUp(processes, { base: `https://127.0.0.1:${gateway.ports.https}`, keyFile: 'key', pins: [await pinShown(gateway.ports.https)] });
  for (let round = 0; round < 8; round++) {
    const agent = processes.start(postern, ['agent', '--push-only', '--state', stateDir, '--verbose']);
    await agent.says(/feeds\.running/);
    for (let i = 0; i < 10; i++) {
      append(200);
      await new Promise((next) => setTimeout(next, randomBytes(1)[0]! / 2));
    }
    agent.kill('SIGKILL');
    await agent.ended;
  }
  append(5);
  const agent = processes.start(postern, ['agent', '--push-only', '--state', stateDir, '--verbose']);
  await until('all lines', () => storedLines(gateway).length >= lines.length, 60_000);
  assert.deepEqual(storedLines(gateway), lines);
  const device = gateway.tables.deviceBySerial(gateway.tables.customerByKey('default')!.id, 'SN1')!;
  const note = await until('a check-in', () => gateway.tables.deviceNotes.get(device.id));
  assert.equal(note.pins?.length, 1);
  const { code } = await agent.stop('SIGTERM');
  assert.equal(code, 0, agent.stderr);
  assert.ok(readdirSync(join(stateDir, 'feeds')).includes('destination-main.json'));
});

test('--push-only with the agent\'s certificate, on the link endpoint; and feeds over a link that stands', { timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using gateway = await startGateway({ config: { checkIn: { pollSeconds: 3_600, jitterSeconds: 0, pushSeconds: 1 } } });
  const device = await gateway.addDevice({ name: 'printer', ports: [] });
  await device.stop();
  const { stateDir, lines, append } = setUp(processes, { kind: 'link', serial: device.device.label }, device.stateDir);
  const pushing = processes.start(postern, ['agent', '--push-only', '--state', stateDir, '--verbose']);
  await pushing.says(/check-in\.settings/);
  append(100);
  await until('the lines', () => storedLines(gateway).length === lines.length, 30_000);
  await until('the lines', () => storedLines(gateway).length === lines.length, 30_000);
  assert.equal(gateway.live.linkOf(device.device.agentId!), undefined, 'no link stands');
  await pushing.stop('SIGTERM');
  append(50);
  const linked = processes.start(postern, ['agent', '--state', stateDir, '--verbose']);
  await until('the rest', () => storedLines(gateway).length === lines.length, 30_000);
  assert.ok(gateway.live.linkOf(device.device.agentId!));
  assert.deepEqual(storedLines(gateway), lines);
  const { code } = await linked.stop('SIGTERM');
  assert.equal(code, 0, linked.stderr);
});

test('what is missing is said at once, with what to do', async (t) => {
  await using processes = openProcesses(t.signal);
  const empty = await processes.run(postern, ['agent', '--push-only', '--state', join(processes.folder, 'none')]);
  assert.notEqual(empty.code, 0);
  assert.match(empty.stderr, /no feeds file/);
  const { stateDir } = setUp(processes, { base: 'https://127.0.0.1:1', keyFile: 'gone' });
  const noKey = await processes.run(postern, ['agent', '--push-only', '--state', stateDir]);
  assert.notEqual(noKey.code, 0);
  assert.match(noKey.stderr, /key file/);
  const both = await processes.run(postern, ['agent', '--key-file', 'x', '--state', stateDir]);
  assert.equal(both.code, 2);
});

test('a man in the middle whose authority the whole system trusts: the agent sends him nothing', { timeout: 60_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const now = Date.now();
  const ca = await makeCertificate({ name: 'A public CA', ca: true, now });
  const his = await makeCertificate({ name: 'localhost', issuer: ca, now, names: [{ type: 'dns', value: 'localhost' }, { type: 'ip', value: '127.0.0.1' }] });
  const heard = { bytes: 0, connections: 0 };
  const sockets = new Set<Socket>();
  const middle = createTlsServer({ key: his.keyPem, cert: his.pem }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      heard.bytes += piece.length;
      socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nnext=9999');
    });
  });
  middle.on('connection', (socket: Socket) => {
    heard.connections += 1;
    sockets.add(socket);
  });
  middle.on('tlsClientError', () => {});
  await new Promise<void>((done) => middle.listen(0, '127.0.0.1', () => done()));
  processes.defer(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((done) => middle.close(done));
  });
  const roots = join(processes.folder, 'roots.pem');
  writeFileSync(roots, ca.pem);
  const base = `https://localhost:${(middle.address() as AddressInfo).port}`;
  const run = (name: string, pins: readonly string[]) => {
    const { stateDir, append } = setUp(processes, { base, keyFile: 'key', pins }, join(processes.folder, name));
    append(100);
    return processes.start(postern, ['agent', '--push-only', '--state', stateDir, '--verbose'], { env: { NODE_EXTRA_CA_CERTS: roots } });
  };
  const pinned = run('pinned', [`sha256//${'A'.repeat(43)}=`]);
  await pinned.says(/not on the list/);
  await until('three tries', () => heard.connections >= 3);
  await pinned.stop('SIGTERM');
  assert.equal(heard.bytes, 0);
  // He is as trusted as we say: an agent without a list speaks to him.
  const trusting = run('trusting', []);
  await until('an agent without a list', () => heard.bytes > 0);
  await trusting.stop('SIGTERM');
});
