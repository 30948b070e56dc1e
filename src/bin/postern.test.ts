import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import { parseForward } from './forward.ts';
import { exitCodeOf, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatBytes, formatFields, formatLength, printTable } from './output.ts';
import { parsePorts } from './ports.ts';
import { dispatch, nearest } from './postern.ts';
import { readKeptProfile, readProfile, removeProfile, writeProfile } from './profile.ts';
import { parseGateway } from './trust.ts';

function capture(more: Partial<CommandIo> = {}) {
  const text = { out: '', err: '' };
  const stdout = new PassThrough().on('data', (piece) => (text.out += piece));
  const stderr = new PassThrough().on('data', (piece) => (text.err += piece));
  const io: CommandIo = { stdin: new PassThrough().end(), stdout, stderr, env: {}, signal: new AbortController().signal, isTerminal: false, columns: 80, ...more };
  return { io, text };
}

const commandNames = ['serve', 'agent', 'join', 'ssh', 'connect', 'forward', 'login', 'logout', 'status', 'doctor', 'devices', 'device', 'join-token', 'people', 'invite', 'token', 'visits', 'audit', 'journal', 'apply', 'export', 'explain', 'ca', 'setup-address'];

test('every command loads and says how it is used', async () => {
  for (const name of commandNames) {
    for (const argv of [[name, '--help'], ['help', name]]) {
      const { io, text } = capture();
      assert.equal(await dispatch(argv, io), 0);
      assert.match(text.out, new RegExp(`^Usage: postern ${name}\\b`), name);
    }
  }
  const { io, text } = capture();
  assert.equal(await dispatch(['--help'], io), 0);
  for (const name of commandNames) assert.match(text.out, new RegExp(`^  ${name} `, 'm'));
});

test('wrong usage is 2 and says what was meant', async () => {
  for (const [argv, said] of [
    [[], /Usage: postern COMMAND/],
    [['statsu'], /did you mean 'status'/],
    [['xyzzy'], /no command 'xyzzy'\n/],
    [['status', '--no-such'], /Unknown option '--no-such'[^]*postern status --help/],
    [['status', 'now'], /"now" is one word too many/],
    [['explain'], /something is missing/],
    [['device', 'label', 'demo'], /needs one more word/],
    [['devices', '--state', 'asleep'], /online, offline or locked/],
    [['apply'], /takes a file/],
    [['join-token', 'a', '--port', '99999'], /./],
  ] as const) {
    const { io, text } = capture({ env: { POSTERN_URL: 'http://127.0.0.1:9', POSTERN_TOKEN: 'x' } });
    assert.equal(await dispatch(argv, io), 2, argv.join(' '));
    assert.match(text.err, said);
  }
});

test('exit codes of Faults', () => {
  assert.deepEqual([usageFault('x'), new Fault('bad-input', 'x'), new Fault('offline', 'x'), new Fault('forbidden', 'x'), new Error('x')].map(exitCodeOf), [2, 1, 3, 4, 1]);
});

test('nobody there is 3; nobody signed in is 4', async () => {
  const { io, text } = capture({ env: { POSTERN_URL: 'http://127.0.0.1:9', POSTERN_TOKEN: 'x' } });
  assert.equal(await dispatch(['status'], io), 3);
  assert.match(text.err, /127\.0\.0\.1:9 cannot be reached/);
  const alone = capture();
  const here = process.cwd();
  process.chdir(tmpdir()); // a gateway may be running with ./data of the checkout
  try {
    assert.equal(await dispatch(['status'], alone.io), 4);
  } finally {
    process.chdir(here);
  }
  assert.match(alone.text.err, /postern login/);
});

test('a slip of the fingers is recognised, another word is not', () => {
  assert.equal(nearest('devcie', commandNames), 'device');
  assert.equal(nearest('expl', commandNames), 'explain');
  assert.equal(nearest('conect', commandNames), 'connect');
  assert.equal(nearest('banana', commandNames), null);
});

test('connect loads no library of the server', async () => {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', new URL('postern.ts', import.meta.url).pathname, 'connect', 'x', 'y'], { env: { ...process.env, NODE_DEBUG: 'esm' }, stdio: ['ignore', 'ignore', 'pipe'] });
  let loaded = '';
  child.stderr.on('data', (piece) => (loaded += piece));
  const [code] = await once(child, 'close');
  assert.equal(code, 2);
  assert.ok(loaded.includes('bin/connect.ts'), 'the trace shows what was loaded');
  for (const name of ['node_modules', '/api/', '/store/', '/admin/', '/proxy/', 'certificate.ts']) assert.ok(!new RegExp(`file://[^\\s'"]*${name}`).test(loaded), `it loaded ${name}`);
});

test('output gone is no error', async () => {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', new URL('postern.ts', import.meta.url).pathname, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let said = '';
  child.stderr.on('data', (piece) => (said += piece));
  const [code] = await once(child, 'close');
  assert.deepEqual([code, said], [0, '']);
});

test('profiles: what is asked first, and whose token goes where', async () => {
  const home = mkdtempSync(join(tmpdir(), 'postern-profile-'));
  try {
    const env = { XDG_CONFIG_HOME: home };
    assert.equal(await readKeptProfile(env), null);
    const path = await writeProfile(env, { address: 'https://gw.example.test', token: 'kept', caPem: 'PEM' });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(join(home, 'postern')).mode & 0o777, 0o700);
    const read = async (more: Record<string, string>, data?: string) => {
      const { address, token, caPem } = await readProfile({ ...env, ...more }, { data });
      return [address, token, caPem];
    };
    assert.deepEqual(await read({}), ['https://gw.example.test', 'kept', 'PEM']);
    assert.deepEqual(await read({ POSTERN_TOKEN: 'other' }), ['https://gw.example.test', 'other', 'PEM']);
    assert.deepEqual(await read({ POSTERN_URL: 'gw.example.test:443' }), ['https://gw.example.test:443', 'kept', 'PEM']);
    await assert.rejects(read({ POSTERN_URL: 'https://elsewhere.test' }), (fault) => isFault(fault, 'unauthenticated'));
    assert.deepEqual(await read({ POSTERN_URL: 'https://elsewhere.test', POSTERN_TOKEN: 't' }), ['https://elsewhere.test', 't', undefined]);
    mkdirSync(join(home, 'data'));
    await assert.rejects(read({}, join(home, 'data')), (fault) => isFault(fault, 'unreachable'));
    writeFileSync(join(home, 'data', 'operator.json'), JSON.stringify({ address: 'https://localhost:8443', token: 'op', caPem: null }));
    assert.deepEqual(await read({}, join(home, 'data')), ['https://localhost:8443', 'op', undefined]);
    assert.deepEqual(await read({ POSTERN_DATA: join(home, 'data') }), ['https://localhost:8443', 'op', undefined]);
    chmodSync(path, 0o600);
    writeFileSync(path, '{"token":"secret-text"');
    await assert.rejects(read({}), (fault) => isFault(fault, 'bad-input') && !fault.message.includes('secret-text'));
    await removeProfile(env);
    assert.equal(await readKeptProfile(env), null);
  } finally {
    rmSync(home, { recursive: true });
  }
});

test('addresses of gateways', () => {
  assert.equal(parseGateway('gw.example.test').origin, 'https://gw.example.test');
  assert.equal(parseGateway('http://localhost:8080/x').origin, 'http://localhost:8080');
  assert.equal(parseGateway('http://[::1]:8080').origin, 'http://[::1]:8080');
  for (const text of ['http://gw.example.test', 'ftp://gw.example.test', 'https://', 'http://192.0.2.1']) assert.throws(() => parseGateway(text), (fault) => isFault(fault, 'bad-input'), text);
});

test('ports as typed', () => {
  assert.deepEqual(parsePorts(['80', '8443', '22', '5900/tcp=VNC of it', '8000/http=', '161/udp=SNMP']), [
    { number: 80, kind: 'http', name: '' },
    { number: 8443, kind: 'https', name: '' },
    { number: 22, kind: 'tcp', name: '' },
    { number: 5900, kind: 'tcp', name: 'VNC of it' },
    { number: 8000, kind: 'http', name: '' },
    { number: 161, kind: 'udp', name: 'SNMP' },
  ]);
  for (const text of ['0', '65536', 'http', '80/ftp', '', '80,443']) assert.throws(() => parsePorts([text]), text);
});

test('what forward is to carry', () => {
  assert.deepEqual(parseForward('5900'), { port: 5900, isUdp: false, local: 0 });
  assert.deepEqual(parseForward('5900:5901'), { port: 5900, isUdp: false, local: 5901 });
  assert.deepEqual(parseForward('53/tcp'), { port: 53, isUdp: false, local: 0 });
  assert.deepEqual(parseForward('161/udp'), { port: 161, isUdp: true, local: 0 });
  assert.deepEqual(parseForward('161/udp:1161'), { port: 161, isUdp: true, local: 1161 });
  for (const text of ['', 'x', '161/udp:', '161:1161/udp', '161/sctp', '0/udp', '161/udp:70000', '70000', '1:2:3']) assert.throws(() => parseForward(text), (fault) => isFault(fault, 'bad-input'), text);
});

test('tables fit, and a name cannot play with the terminal', () => {
  const { io, text } = capture({ isTerminal: true, columns: 24 });
  printTable(io, ['A', 'B'], [['one\x1b[31m', 'x'.repeat(50)], [2, null]], 'none');
  assert.equal(text.out, `A            B\none\\x1b[31m  ${'x'.repeat(11)}…\n2            -\n`);
  const empty = capture();
  printTable(empty.io, ['A'], [], 'none');
  assert.equal(empty.text.out, 'none\n');
});

test('lengths, sizes, fields', () => {
  assert.deepEqual([0, 119_000, 120_000, 7_200_000, 48 * 3_600_000].map(formatLength), ['0 s', '119 s', '2 min', '2 h', '2 d']);
  assert.deepEqual([formatAgo(null, 5), formatAgo(0, 61_000)], ['never', '61 s ago']);
  assert.deepEqual([0, 999, 1_000, 123_456, 5e9, 5e12].map(formatBytes), ['0 B', '999 B', '1.0 kB', '123 kB', '5.0 GB', '5.0 TB']);
  assert.equal(formatFields({ port: 80, why: 'device is offline', rule: 'x', none: null, empty: '' }), 'port=80 why="device is offline" rule=x empty=""');
});

test('Ctrl-C ends a command that waits, and is no failure to explain', async () => {
  const server = createServer((_, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ joinToken: { id: 'x', expiresAt: 0 }, secret: 's', commands: [{ address: 'a', command: 'join now' }], state: 'waiting', device: null }));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const env = { ...process.env, POSTERN_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, POSTERN_TOKEN: 't' };
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', new URL('postern.ts', import.meta.url).pathname, 'join-token', 'Meter', '--wait'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    let said = '';
    child.stdout.resume();
    child.stderr.on('data', (piece) => {
      said += piece;
      if (String(said).includes('Waiting')) child.kill('SIGINT');
    });
    const [code] = await once(child, 'close');
    assert.deepEqual([code, said], [130, 'Waiting for the device …\n']);
  } finally {
    child.kill('SIGKILL');
    server.closeAllConnections();
    server.close();
  }
});

test('doctor prints what to do, and exits with 1 when a check failed', async () => {
  const finding = { id: 'x', title: 'Disk', status: 'failure', evidence: ['3 MB free\x1b[2J'], verdict: 'only 3 MB left', remedy: 'Make room.', ms: 1 };
  let findings = [{ ...finding, status: 'ok', title: 'Names', verdict: 'fine' }, finding];
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(request.url === '/api/v1/doctor' && request.headers.authorization === 'Bearer t' ? JSON.stringify({ at: 1, findings }) : '{}');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const env = { POSTERN_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, POSTERN_TOKEN: 't' };
  try {
    const failed = capture({ env });
    assert.equal(await dispatch(['doctor', '--quiet'], failed.io), 1);
    assert.equal(failed.text.out, 'FAILED   Disk: only 3 MB left\n           3 MB free\\x1b[2J\n         > Make room.\n');
    findings = findings.slice(0, 1);
    const fine = capture({ env });
    assert.equal(await dispatch(['doctor'], fine.io), 0);
    assert.equal(fine.text.out, 'ok       Names: fine\n');
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
