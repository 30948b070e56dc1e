// Certificates handed to an agent beside an application server: a real gateway, a real agent, real files, a real command.
import assert from 'node:assert/strict';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import type { DeliveryView } from '#api/delivery-shapes.ts';
import { dispatch } from '#bin/postern.ts';
import { finishesCleanly, startGateway, temporaryFolder, until, type TestGateway } from '../kit/gateway.ts';

interface Server {
  readonly policy: string;
  /** Chain and key as the server would read them, which must belong together; null: there are none. */
  read(): { readonly serial: string; readonly key: string } | null;
  /** Shell text; each run adds a line to `runs`. */
  command(text: string): void;
  runs(): number;
}

function serverIn(folder: string, name = 'web'): Server {
  const at = (file: string) => join(folder, file);
  const command = (text: string) => {
    writeFileSync(at('reload'), `#!/bin/sh\necho run >> ${at('runs')}\n${text}\n`);
    chmodSync(at('reload'), 0o755);
  };
  command('exit 0');
  return {
    policy: `install certificate ${name} cert=${at('fullchain.pem')} key=${at('privkey.pem')} run=reload\nrun reload = ${at('reload')}\n`,
    command,
    read() {
      if (!existsSync(at('privkey.pem'))) return null;
      const [chain, key] = [readFileSync(at('fullchain.pem'), 'utf8'), readFileSync(at('privkey.pem'), 'utf8')];
      const leaf = new X509Certificate(chain);
      assert.ok(leaf.checkPrivateKey(createPrivateKey(key)), 'a chain with the key of another');
      return { serial: leaf.serialNumber, key };
    },
    runs: () => (existsSync(at('runs')) ? readFileSync(at('runs'), 'utf8').trim().split('\n').length : 0),
  };
}

const issue = async (gateway: TestGateway, token: string, path = 'issue', body: object = { name: 'web', names: ['web.example.test'] }) => {
  const made = await gateway.api('POST', `/certificates/${path}`, { token, body });
  assert.equal(made.status, 200, made.text);
};
const issueAgain = (gateway: TestGateway, token: string) => issue(gateway, token, 'web/issue', { acknowledged: true });
const serialOf = (gateway: TestGateway) => new X509Certificate(gateway.tables.certificateByName('web')!.chainPem!).serialNumber;

async function deliveryIs(gateway: TestGateway, token: string, state: DeliveryView['state'], timeoutMs?: number): Promise<DeliveryView> {
  const look = async () => ((await gateway.api('GET', '/deliveries', { token })).json['items'] as DeliveryView[]).find((each) => each.state === state);
  return until(`a delivery that is ${state}`, look, timeoutMs).catch(async (thrown: unknown) => {
    throw new Error(`deliveries: ${(await gateway.api('GET', '/deliveries', { token })).text}`, { cause: thrown });
  });
}

async function postern(...args: string[]): Promise<string> {
  let [out, err] = ['', ''];
  const code = await dispatch(args, {
    stdin: Object.assign(new PassThrough(), { isTTY: false }).end(),
    stdout: new PassThrough().on('data', (piece) => (out += piece)),
    stderr: new PassThrough().on('data', (piece) => (err += piece)),
    env: {}, signal: new AbortController().signal, isTerminal: false, columns: 100,
  });
  assert.equal(code, 0, `${args.join(' ')}: ${err}`);
  return out;
}

test('delivered at once, after a renewal, and after a time without a link; nothing is sent twice', async () => {
  using folder = temporaryFolder();
  const server = serverIn(folder.path);
  await using gateway = await startGateway();
  const { token } = await gateway.owner();
  const device = await gateway.addDevice({ name: 'server', ports: [{ number: 9, kind: 'tcp' }], policy: server.policy });
  await issue(gateway, token);
  const said = await postern('deliver', 'web', 'server', '--data', gateway.dataDir);
  assert.match(said, /web goes to agent of server as web/);
  const first = await deliveryIs(gateway, token, 'delivered');
  assert.equal(server.read()?.serial, serialOf(gateway));
  assert.equal(server.runs(), 1);

  await issueAgain(gateway, token);
  await until('the new one', () => server.read()?.serial === serialOf(gateway));
  await until('its digest', async () => (await deliveryIs(gateway, token, 'delivered')).digest !== first.digest);
  assert.equal(server.runs(), 2);

  await device.stop();
  await until('the link to end', () => !gateway.live.linkOf(device.device.agentId));
  await issueAgain(gateway, token);
  assert.equal((await deliveryIs(gateway, token, 'pending')).waitsFor, 'the agent, which is offline');
  assert.match(await postern('deliveries', '--data', gateway.dataDir), /pending[^]*it waits for the agent, which is offline/);
  const found = (await gateway.api('POST', '/doctor', { token })).json['findings'] as { id: string; verdict: string }[];
  assert.equal(found.find((each) => each.id === 'deliveries')?.verdict, '1 certificate waits for an agent');
  await device.start();
  await deliveryIs(gateway, token, 'delivered');
  assert.equal(server.read()?.serial, serialOf(gateway));
  assert.equal(server.runs(), 3);

  // Another link only asks.
  await device.stop();
  await device.start();
  await new Promise((done) => setTimeout(done, 800));
  assert.equal(server.runs(), 3);
  const audit = ((await gateway.api('GET', '/audit?limit=500', { token })).json['items'] as { what: string }[]).filter((line) => line.what.startsWith('delivery.'));
  assert.deepEqual(audit.map((line) => line.what).reverse(), ['delivery.added', 'delivery.delivered', 'delivery.delivered', 'delivery.delivered']);
  await finishesCleanly(gateway);
});

test('a command that fails is told with its words, and the server keeps what it had', async () => {
  using folder = temporaryFolder();
  const server = serverIn(folder.path);
  await using gateway = await startGateway({ limits: { deliveryRetryFirstMs: 1_500 } });
  const { token } = await gateway.owner();
  await gateway.addDevice({ name: 'server', ports: [{ number: 9, kind: 'tcp' }], policy: server.policy });
  await issue(gateway, token);
  await postern('deliver', 'web', 'agent of server', '--data', gateway.dataDir);
  await deliveryIs(gateway, token, 'delivered');
  const before = server.read();
  server.command(`echo "cannot take this one" >&2; exit 4`);
  await issueAgain(gateway, token);
  const failed = await deliveryIs(gateway, token, 'failed');
  assert.deepEqual([failed.exitCode, failed.output], [4, 'cannot take this one']);
  assert.match(failed.why ?? '', /the command reload \(.*reload\) failed: exit code 4; the files of before are back, and with them it fails, too/);
  assert.deepEqual(server.read(), before);
  assert.match(await postern('deliveries', '--data', gateway.dataDir), /failed[^]*exit code 4[^]*\| cannot take this one/);
  const [finding] = ((await gateway.api('POST', '/doctor', { token })).json['findings'] as { id: string; status: string; evidence: string[] }[]).filter((each) => each.id === 'deliveries');
  assert.equal(finding?.status, 'warning');
  assert.match(finding.evidence[0]!, /web to agent of server as web: failed: the command reload/);
  // It is tried again by itself.
  server.command('exit 0');
  await deliveryIs(gateway, token, 'delivered');
  assert.equal(server.read()?.serial, serialOf(gateway));
});

test('the local policy decides, and a line that is added counts', async () => {
  using folder = temporaryFolder();
  const server = serverIn(folder.path);
  await using gateway = await startGateway();
  const { token } = await gateway.owner();
  const { stateDir } = await gateway.addDevice({ name: 'server', ports: [{ number: 9, kind: 'tcp' }], policy: 'reach tcp 127.0.0.1 9\n' });
  await issue(gateway, token);
  await postern('deliver', 'web', 'server', '--as', 'web', '--data', gateway.dataDir);
  const refused = await deliveryIs(gateway, token, 'refused');
  assert.match(refused.why ?? '', /add this line to the agent's policy file: install certificate web cert=/);
  assert.equal(server.read(), null);
  writeFileSync(join(dirname(stateDir), 'policy'), server.policy);
  await deliveryIs(gateway, token, 'delivered');
  assert.equal(server.read()?.serial, serialOf(gateway));
  // A policy that no longer has it stops the next one, and leaves what is there.
  const before = server.read();
  writeFileSync(join(dirname(stateDir), 'policy'), 'reach tcp 127.0.0.1 9\n');
  await deliveryIs(gateway, token, 'refused');
  await issueAgain(gateway, token);
  assert.deepEqual(server.read(), before);
});

test('who is revoked gets nothing more', async () => {
  using folder = temporaryFolder();
  const server = serverIn(folder.path);
  await using gateway = await startGateway();
  const { token } = await gateway.owner();
  const { device } = await gateway.addDevice({ name: 'server', ports: [{ number: 9, kind: 'tcp' }], policy: server.policy });
  await issue(gateway, token);
  await postern('deliver', 'web', 'server', '--data', gateway.dataDir);
  await deliveryIs(gateway, token, 'delivered');
  const before = server.read();
  assert.equal((await gateway.api('POST', `/agents/${device.agentId}/revoke`, { token })).status, 200);
  assert.deepEqual((await gateway.api('GET', '/deliveries', { token })).json['items'], []);
  await issueAgain(gateway, token);
  assert.deepEqual(server.read(), before);
  assert.equal((await gateway.api('POST', '/certificates/web/deliveries', { token, body: { agentId: device.agentId } })).status, 409);
});

test('a restart of the gateway forgets nothing', async () => {
  using folder = temporaryFolder();
  using data = temporaryFolder();
  const server = serverIn(folder.path);
  {
    await using gateway = await startGateway({ dataDir: join(data.path, 'data') });
    const { token } = await gateway.owner();
    await gateway.addDevice({ name: 'server', ports: [{ number: 9, kind: 'tcp' }], policy: server.policy });
    await issue(gateway, token);
    await postern('deliver', 'web', 'server', '--data', gateway.dataDir);
    await deliveryIs(gateway, token, 'delivered');
  }
  await using gateway = await startGateway({ dataDir: join(data.path, 'data') });
  const [row] = [...gateway.tables.deliveries.values()];
  assert.deepEqual([row?.asName, row?.state], ['web', 'delivered']);
  assert.match(await postern('deliveries', '--certificate', 'web', '--data', gateway.dataDir), /delivered/);
  assert.match(await postern('deliveries', '--remove', row!.id, '--data', gateway.dataDir), /Removed/);
  assert.equal(gateway.tables.deliveries.size, 0);
});
