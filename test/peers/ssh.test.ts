// OpenSSH at both ends: the server behind an agent, the client through `postern ssh`, `connect` and `forward`.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { test } from 'node:test';
import type { AuditLineView, DeviceView } from '#api/shapes.ts';
import { until } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, hashOf, openProcesses, postern, randomFile, startServe, type Page } from '#kit/processes.ts';
import { startSshd } from '#kit/sshd.ts';

const peers = findPeers(['sshd', 'ssh', 'scp', 'ssh-keygen', 'curl']);
const user = userInfo().username;

test('a device\'s sshd through postern ssh, connect and forward', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  // By the name of the device, because postern ssh sets HostKeyAlias: a device keeps its host key wherever its gateway moves.
  const sshd = await startSshd(processes, { sshd: peers.path('sshd'), keygen: peers.path('ssh-keygen') }, 'workshop');
  const hello = createServer((request, response) => response.end(`you asked for ${request.url}`));
  await new Promise<void>((resolve) => hello.listen(0, '127.0.0.1', resolve));
  processes.defer(() => new Promise<void>((resolve) => (hello.closeAllConnections(), hello.close(() => resolve()))));
  const webPort = (hello.address() as AddressInfo).port;
  const device = await gateway.addDevice({ name: 'workshop', ports: [{ number: sshd.port, kind: 'tcp', name: 'ssh' }, { number: webPort, kind: 'http' }] });
  const env = gateway.env;
  const common = ['-F', 'none', '-i', sshd.keyFile, '-o', 'IdentitiesOnly=yes', '-o', `UserKnownHostsFile=${sshd.knownHosts}`, '-o', 'StrictHostKeyChecking=yes', '-o', 'BatchMode=yes'];
  const proxy = ['-o', `ProxyCommand=${postern} connect %h %p`];

  await t.test('postern ssh runs a command, passes its exit code, input and both outputs', async () => {
    const done = await processes.run(postern, ['ssh', ...common, '-p', String(sshd.port), `${user}@workshop`, '--', 'cat; echo to-stderr >&2; exit 7'], { env, input: 'from here\n' });
    assert.equal(done.stdout, 'from here\n', done.stderr);
    assert.match(done.stderr, /to-stderr/);
    assert.equal(done.code, 7);
  });

  await t.test('postern connect is a ProxyCommand', async () => {
    const done = await processes.run(peers.path('ssh'), [...common, ...proxy, '-p', String(sshd.port), '-o', 'HostKeyAlias=workshop', `${user}@workshop`, 'echo "$SSH_CONNECTION"'], { env });
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, new RegExp(`^127\\.0\\.0\\.1 \\d+ 127\\.0\\.0\\.1 ${sshd.port}\n$`));
  });

  await t.test('an interactive shell with a terminal', async () => {
    const shell = processes.start(postern, ['ssh', ...common, '-tt', '-p', String(sshd.port), `${user}@workshop`, 'sh'], { env });
    shell.stdin.write('test -t 0 && echo "on a $((1 + 1))-way terminal"\n');
    await shell.says(/on a 2-way terminal/);
    // Ctrl-C reaches what runs there, not us; the shell goes on.
    shell.stdin.write('sleep 60; echo interrupted=$?\n');
    await new Promise((resolve) => setTimeout(resolve, 300));
    shell.stdin.write('\x03');
    shell.stdin.write('\necho still "$((40 + 2))"\n');
    await shell.says(/still 42/);
    shell.stdin.write('exit 3\n');
    assert.equal((await shell.ended).code, 3, shell.stderr);
  });

  await t.test('scp of 100 MB both ways, the same bytes', async () => {
    const bytes = 100_000_000;
    const [here, there, back] = ['here.bin', 'there.bin', 'back.bin'].map((name) => join(processes.folder, name)) as [string, string, string];
    const hash = await randomFile(here, bytes);
    const options = [...common, ...proxy, '-q', '-P', String(sshd.port), '-o', 'HostKeyAlias=workshop'];
    const up = await processes.run(peers.path('scp'), [...options, here, `${user}@workshop:${there}`], { env });
    assert.equal(up.code, 0, up.stderr);
    assert.equal(await hashOf(there), hash);
    const down = await processes.run(peers.path('scp'), [...options, `${user}@workshop:${there}`, back], { env });
    assert.equal(down.code, 0, down.stderr);
    assert.equal(await hashOf(back), hash);
  });

  await t.test('postern forward carries many connections of curl', async () => {
    const local = await freePort();
    const forward = processes.start(postern, ['forward', 'workshop', `${webPort}:${local}`], { env });
    await forward.says(new RegExp(`^127\\.0\\.0\\.1:${local}$`, 'm'));
    for (const path of ['/one', '/two', '/three']) {
      const got = await processes.run(peers.path('curl'), ['-sS', '--max-time', '20', `http://127.0.0.1:${local}${path}`]);
      assert.equal(got.stdout, `you asked for ${path}`, got.stderr);
    }
    assert.equal((await forward.stop('SIGINT')).code, 0, forward.stderr);
    const gone = await processes.run(peers.path('curl'), ['-sS', '--max-time', '5', `http://127.0.0.1:${local}/`]);
    assert.equal(gone.code, 7, 'nothing listens any more');
  });

  await t.test('refusals say what to do', async () => {
    const port = String(sshd.port);
    const connect = (args: readonly string[], more: Record<string, string> = {}) => processes.run(postern, ['connect', ...args], { env: { ...env, ...more } });
    const unknown = await connect(['nowhere', port]);
    assert.notEqual(unknown.code, 0);
    assert.match(unknown.stderr, /there is no device "nowhere"/);
    const badToken = await connect(['workshop', port], { POSTERN_TOKEN: 'postern_nobody_knows' });
    assert.notEqual(badToken.code, 0);
    assert.match(badToken.stderr, /unknown, expired or revoked/);
    assert.doesNotMatch(badToken.stderr, /nobody_knows/, 'a token is never shown');
    // The right to open a device is the right to its ports.
    const unlisted = await connect(['workshop', '1']);
    assert.notEqual(unlisted.code, 0);
    assert.match(unlisted.stderr, /port 1 is not among the ports of/);
    // A port that is listed, but not in the agent's local policy: the answer names the line to add there.
    const { items } = await gateway.ask<Page<DeviceView>>('GET', '/devices');
    const workshop = items.find((each) => each.label === 'workshop')!;
    await gateway.ask('PATCH', `/devices/${workshop.id}`, { ports: [...workshop.ports.map(({ number, name, kind }) => ({ number, name, kind })), { number: 1, name: 'one', kind: 'tcp' }] });
    const forbidden = await connect(['workshop', '1']);
    assert.notEqual(forbidden.code, 0);
    assert.match(forbidden.stderr, /reach tcp 127\.0\.0\.1 1\b/);
    const withoutCa = await processes.run(postern, ['connect', 'workshop', port], { env: { POSTERN_URL: env['POSTERN_URL']!, POSTERN_TOKEN: gateway.token } });
    assert.notEqual(withoutCa.code, 0, 'a server that nobody vouches for is not told the token');
  });

  await t.test('every one of these was a visit, and is in the audit', async () => {
    const lines = await until('the visits to be closed', async () => {
      const { items } = await gateway.ask<Page<AuditLineView>>('GET', '/audit?limit=200');
      const closed = items.filter((line) => line.what === 'visit.closed');
      return closed.length === items.filter((line) => line.what === 'visit.opened').length ? closed : null;
    });
    assert.ok(lines.length >= 7, `${lines.length} visits`);
    assert.ok(lines.some((line) => Number(line.detail['bytesIn']) > 100_000_000), 'the upload is counted');
    assert.ok(lines.some((line) => Number(line.detail['bytesOut']) > 100_000_000), 'the download is counted');
    assert.equal((await gateway.ask<{ brokenAt: number | null }>('POST', '/audit/verify')).brokenAt, null);
  });

  // Told, not judged: speed belongs to bench/.
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const from = performance.now();
    const connect = processes.start(postern, ['connect', 'workshop', String(sshd.port)], { env });
    await connect.says(/SSH-2\.0-/);
    times.push(performance.now() - from);
    await connect.stop();
  }
  t.diagnostic(`postern connect, from start to the server's banner: ${times.map((ms) => `${Math.round(ms)} ms`).join(', ')}`);
  assert.ok((await device.view()).online);
});
