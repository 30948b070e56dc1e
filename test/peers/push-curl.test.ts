// curl as a device: by hand, and in the shell client of examples/push.sh, against real gateways.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import { parseLines, pinOfFingerprint } from '#wire/device.ts';
import { root, startGateway, startTcp, type TestGateway } from '../kit/gateway.ts';
import { findPeers } from '../kit/peers.ts';
import { openProcesses } from '../kit/processes.ts';
import { knowDevice, storedRanges } from '../kit/raw-device.ts';

const peers = findPeers(['curl']);
const key = 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG';
const serial = 'SN1';
const plain = (gateway: TestGateway) => `http://127.0.0.1:${gateway.ports.http}/v1/default`;
const secure = (gateway: TestGateway) => `https://127.0.0.1:${gateway.ports.https}/v1/default`;
const newEpoch = () => randomBytes(8).toString('hex');
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

function pinShown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(pinOfFingerprint(keyFingerprintOf(socket.getPeerX509Certificate()!)));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

function stored(gateway: TestGateway, epoch: string): Buffer {
  const { ranges } = storedRanges(gateway, serial, epoch);
  let at = ranges[0]?.from ?? 0;
  for (const { from, bytes } of ranges) {
    assert.equal(from, at);
    at += bytes.length;
  }
  return Buffer.concat(ranges.map(({ bytes }) => bytes));
}

const sendTo = (to: TestGateway) => ({
  servers: [{ name: 'b', base: secure(to).replace(/\/default$/, ''), pins: [], weight: 1, drain: 'no' }],
  redirects: [{ name: 'all', strategy: 'first', servers: ['b'], ttlSeconds: 600, status: 307 }],
});

test('curl brings batches by hand', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using b = await startGateway();
  await using a = await startGateway();
  // Sends every device that it knows to b.
  await using c = await startGateway({ config: sendTo(b) });
  for (const each of [a, b, c]) knowDevice(each, serial, key);
  const pins = new Map<TestGateway, string>();
  for (const each of [a, b, c]) pins.set(each, await pinShown(each.ports.https));
  const file = (name: string, bytes: Buffer) => {
    const path = join(processes.folder, name);
    writeFileSync(path, bytes);
    return path;
  };
  const small = Buffer.from('call 1\ncall 2\n');
  const large = randomBytes(900_000);
  const [smallFile, largeFile] = [file('small', small), file('large', large)];
  const withKey = ['-H', `X-Postern-Key: ${key}`, '-H', 'Content-Type: application/octet-stream'];
  const curl = async (args: readonly string[]) => {
    const ran = await processes.run(peers.path('curl'), ['-sS', '--max-time', '30', ...args]);
    return { ...ran, values: parseLines(ran.stdout) };
  };
  const push = (gateway: TestGateway, epoch: string, args: readonly string[], offset = 0, base = secure(gateway)) =>
    curl(['-k', '--http1.1', '--pinnedpubkey', pins.get(gateway)!, ...withKey, ...args, `${base}/push/${serial}/cdr/${epoch}?o=${offset}`]);

  await t.test('POST, repeated, asked', async () => {
    const epoch = newEpoch();
    const first = await push(a, epoch, ['--data-binary', `@${smallFile}`, '-H', `X-Postern-SHA256: ${sha256(small)}`]);
    assert.equal(first.values.get('next'), '14', first.stdout + first.stderr);
    const second = await push(a, epoch, ['--data-binary', `@${smallFile}`]);
    assert.deepEqual([second.values.get('next'), second.values.get('repeat')], ['14', '1']);
    const asked = await curl(['-k', ...withKey, `${secure(a)}/push/${serial}/cdr/${epoch}`]);
    assert.equal(asked.values.get('next'), '14');
    const json = await push(a, epoch, ['--data-binary', `@${smallFile}`, '-H', 'Accept: application/json'], 14);
    assert.equal((JSON.parse(json.stdout) as { next: number }).next, 28);
    assert.ok(stored(a, epoch).equals(Buffer.concat([small, small])));
  });

  await t.test('gzip, a body from a pipe in chunks, HTTP/1.0, HTTP/2', async () => {
    const epoch = newEpoch();
    const packed = file('packed', gzipSync(large));
    assert.equal((await push(a, epoch, ['--data-binary', `@${packed}`, '-H', 'Content-Encoding: gzip', '-H', `X-Postern-SHA256: ${sha256(large)}`])).values.get('next'), '900000');
    const ways: [string, string[]][] = [['chunked', ['-X', 'POST', '-T', '-']], ['HTTP/1.0', ['--http1.0', '--data-binary', '@-']], ['HTTP/2', ['--http2', '--data-binary', '@-']]];
    let at = 900_000;
    for (const [what, args] of ways) {
      const ran = await processes.run(peers.path('curl'), ['-sS', '--max-time', '30', '-k', ...withKey, ...args, `${secure(a)}/push/${serial}/cdr/${epoch}?o=${at}`], { input: small });
      at += small.length;
      assert.equal(parseLines(ran.stdout).get('next'), String(at), `${what}: ${ran.stdout}${ran.stderr}`);
    }
    assert.ok(stored(a, epoch).equals(Buffer.concat([large, small, small, small])));
  });

  await t.test('the key over plain http is refused', async () => {
    const got = await push(a, newEpoch(), ['--data-binary', `@${smallFile}`], 0, plain(a));
    assert.equal(got.values.get('error'), 'plain-key', got.stdout);
  });

  await t.test('a 307 is followed with the body, small or large, over HTTP/1.1 as devices speak and over HTTP/2', async () => {
    for (const [path, bytes, version] of [[smallFile, small, '--http1.1'], [largeFile, large, '--http1.1'], [smallFile, small, '--http2'], [largeFile, large, '--http2']] as const) {
      const epoch = newEpoch();
      const got = await push(c, epoch, ['-L', version, '--pinnedpubkey', `${pins.get(c)};${pins.get(b)}`, '--data-binary', `@${path}`]);
      assert.equal(got.values.get('next'), String(bytes.length), got.stdout + got.stderr);
      assert.ok(stored(b, epoch).equals(bytes));
      assert.equal(stored(c, epoch).length, 0);
    }
  });

  await t.test('a wrong fingerprint: nothing is sent, here nor where a redirect leads', async () => {
    const epoch = newEpoch();
    const wrong = await push(a, epoch, ['--pinnedpubkey', pins.get(b)!, '--data-binary', `@${smallFile}`]);
    assert.equal(wrong.code, 90, wrong.stderr);
    assert.equal(stored(a, epoch).length, 0);
    const led = await push(c, epoch, ['-L', '--data-binary', `@${smallFile}`]);
    assert.equal(led.code, 90, led.stderr);
    assert.equal(stored(b, epoch).length, 0);
  });
});

const dash = existsSync('/bin/dash') ? '/bin/dash' : '/bin/sh';

/** With its children, curl among them. */
function startClient(file: string, base: string, curlOptions: string, env: Record<string, string> = {}): { kill(): void; ended: Promise<{ code: number | null; stderr: string }> } {
  const child = spawn(dash, [join(root, 'examples', 'push.sh'), file, base, serial, 'cdr'], { detached: true, stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', MAX: '3000', CURL: curlOptions, ...env } });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return {
    kill() {
      try {
        process.kill(-child.pid!, 'SIGKILL');
      } catch {
        // It has ended.
      }
    },
    ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, stderr }))),
  };
}

test('the shell client, killed again and again: each byte once', { skip: peers.skip, timeout: 240_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  await using gateway = await startGateway();
  knowDevice(gateway, serial, key);
  const file = join(processes.folder, 'calls.log');
  const options = `-k --pinnedpubkey ${await pinShown(gateway.ports.https)} -H X-Postern-Key:${key}`;
  writeFileSync(file, '');
  let lines = 0;
  let kills = 0;
  for (let run = 0; run < 40 && kills < 20; run++) {
    for (let i = 0; i < 300; i++) appendFileSync(file, `${(lines += 1)} ${randomBytes(24).toString('hex')}\n`);
    const client = startClient(file, secure(gateway), options);
    const timer = setTimeout(() => client.kill(), 40 + randomBytes(1)[0]! / 2);
    const { code } = await client.ended;
    clearTimeout(timer);
    if (code === null) kills += 1;
  }
  const { code, stderr } = await startClient(file, secure(gateway), options).ended;
  assert.equal(code, 0, stderr);
  assert.ok(kills >= 20, `${kills} kills`);
  const epoch = readFileSync(`${file}.epoch`, 'utf8').trim();
  assert.ok(stored(gateway, epoch).equals(readFileSync(file)), 'byte for byte');
  assert.equal(readFileSync(`${file}.ack`, 'utf8').trim(), String(readFileSync(file).length));

  // Its file grew shorter than what was delivered: that is said, and nothing is brought.
  writeFileSync(file, 'short\n');
  const shrunk = await startClient(file, secure(gateway), options).ended;
  assert.equal(shrunk.code, 2);
  assert.match(shrunk.stderr, /shortened/);
});

test('the shell client takes no answer that was cut, and nothing that is no answer', { skip: peers.skip, timeout: 60_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const bodies: string[] = [];
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nnext=5\n', // cut behind a whole line
    'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nnext=1', // no end of its line
    'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n<html>please sign in</html>\r\n\r\n', // a captive portal
    'HTTP/1.1 503 Busy\r\nContent-Length: 19\r\n\r\nerror=busy\nretry=0\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnext=10\n',
  ];
  await using server = await startTcp((socket) => {
    let text = '';
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      const [head, body] = text.split('\r\n\r\n');
      if (body === undefined || body.length < Number(/content-length: (\d+)/i.exec(head!)?.[1])) return;
      bodies.push(`${/\?o=\d+/.exec(head!)?.[0]} ${body}`);
      socket.end(answers.shift() ?? '');
    });
  });
  const file = join(processes.folder, 'calls.log');
  writeFileSync(file, '0123456789');
  const { code, stderr } = await startClient(file, `http://127.0.0.1:${server.port}/v1/default`, '').ended;
  assert.equal(code, 0, stderr);
  assert.deepEqual(bodies, Array.from({ length: 5 }, () => '?o=0 0123456789'));
});
