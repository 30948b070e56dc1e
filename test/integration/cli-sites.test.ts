// Sites and doors from the command line, against a real gateway and a real agent.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { after, before, suite, test } from 'node:test';
import { openCommandLine } from '#kit/command-line.ts';
import { startGateway, temporaryFolder, until, type TestDevice, type TestGateway } from '../kit/gateway.ts';

suite('sites and doors from the command line', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  const lan = '127.4.0.1';
  let gateway: TestGateway;
  let device: TestDevice;
  let port: number;

  before(async () => {
    const server = createServer().listen(0, lan);
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
    server.close();
    gateway = await startGateway();
    await gateway.owner();
    device = await gateway.addDevice({ name: 'Node', ports: [{ number: 9, kind: 'tcp' }], policy: `reach tcp 127.0.0.1 9\nlisten tcp ${lan} ${port}\n` });
  });
  after(async () => {
    await gateway?.close();
    folder[Symbol.dispose]();
  });

  const { run, operate } = openCommandLine(() => gateway.dataDir, () => folder.path);

  test('a site with its networks, and what moves there', async () => {
    assert.match(await operate('sites'), /^main /m);
    const made = await operate('sites', 'add', 'Hamburg', '--subnet', '192.168.1.0/24', '--subnet', '2001:db8::/64', '--egress', '203.0.113.7');
    assert.match(made, /^subnets +192\.168\.1\.0\/24, 2001:db8::\/64$/m);
    assert.match(made, /^egress +203\.0\.113\.7\/32$/m);
    assert.match(await operate('sites', 'move', 'hamburg', '--agent', device.device.agentId!), /belongs to Hamburg now/);
    const shown = await operate('sites', 'show', 'Hamburg');
    assert.match(shown, /^agents +agent of Node$/m);
    assert.match(shown, /^links come from +127\.0\.0\.1$/m);
    assert.match(await operate('sites', 'show', 'Hamburg', '--lan'), /^LAN seen by +agent of Node$/m);
    assert.match(await operate('sites', 'change', 'Hamburg', '--name', 'Bremen', '--no-egress'), /^egress +-$/m);
    assert.equal((await run('sites', 'remove', 'Bremen')).code, 1);
    assert.equal((await run('sites', 'change', 'Bremen')).code, 2);
    assert.equal((await run('sites', 'move', 'Bremen')).code, 2);
    assert.equal((await run('sites', 'show', 'Nowhere')).code, 1);
  });

  test('a device behind an agent that has joined', async () => {
    const added = await operate('device', 'add', 'Copier 1', '--agent', 'node', '--host', '127.4.0.9', '--serial', 'SN100', '--port', '80', '--port', '161/udp');
    assert.match(added, /^serial +SN100$/m);
    assert.match(added, /^agent +.*dials 127\.4\.0\.9$/m);
    assert.match(added, /161\/udp/);
    const wrong = [['--agent', 'node'], ['--host', '127.4.0.9', '--serial', 'SN101'], ['--agent', 'node', '--host', '127.4.0.9', '--site', 'main'], []];
    for (const options of wrong) assert.equal((await run('device', 'add', 'Copier 2', ...options)).code, 2, options.join(' '));
    assert.equal((await run('device', 'add', 'Copier 2', '--agent', 'nobody', '--host', '127.4.0.9')).code, 1);
    await operate('device', 'remove', 'copier-1', '--yes');
  });

  test('a door, from open to closed', async () => {
    assert.match(await operate('doors'), /There are no doors/);
    assert.equal((await run('doors', 'open', '--agent', 'agent of Node')).code, 2);
    assert.equal((await run('doors', 'open', '--agent', 'agent of Node', '--at', lan, '--listener', 'http')).code, 2);
    const id = (await operate('doors', 'open', '--agent', 'agent of Node', '--at', `${lan}:${port}`, '--listener', 'http')).split('\n')[0]!;
    const line = await until('the door to be open', async () => (await operate('doors')).split('\n').find((each) => each.includes(' open ')));
    assert.match(line, new RegExp(`^${id} +Bremen +agent of Node +${lan}:${port} +http +open +0`));
    assert.equal((await run('doors', 'change', id)).code, 2);
    assert.match(await operate('doors', 'change', id, '--listener', 'https'), /changed/);
    assert.equal((JSON.parse(await operate('doors', '--json')) as { listener: string }[])[0]?.listener, 'https');
    assert.equal((await run('doors', 'change', id, '--at', `${lan}:0`)).code, 1);
    assert.match(await operate('doors', 'close', id), /closed/);
    assert.equal((await run('doors', 'close', id)).code, 1);
    assert.equal((JSON.parse(await operate('doors', '--json')) as unknown[]).length, 0);
  });
});
