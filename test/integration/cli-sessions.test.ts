// Sessions of devices from the command line, against a real gateway: listed, made to wait, ended; and what the panel is shown then.
import assert from 'node:assert/strict';
import { get } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { openCommandLine } from '#kit/command-line.ts';
import { startAddressApp, type AddressApp } from '#kit/address-app.ts';
import { finishesCleanly, startGateway, temporaryFolder, type TestGateway } from '#kit/gateway.ts';

suite('sessions of devices from the command line', { timeout: 60_000 }, () => {
  const folder = temporaryFolder();
  let app: AddressApp;
  let gateway: TestGateway;

  before(async () => {
    app = await startAddressApp();
    gateway = await startGateway({
      routes: [{ name: 'scan', host: 'scan.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: app.port }, application: { tell: 'headers', assigned: false, session: { jar: true } } }],
    });
    const { token } = await gateway.owner();
    await gateway.addDevice({ name: 'LAN', ports: [{ number: 80, kind: 'http' }] });
    const agentId = [...gateway.tables.agents.values()][0]!.id;
    const made = await gateway.api('POST', '/devices', { token, body: { agentId, name: 'Copier', serial: 'SN-1', host: '127.9.0.1', ports: [{ number: 80, name: 'web', kind: 'http' }] } });
    assert.equal(made.status, 200, made.text);
    const site = [...gateway.tables.sites.values()][0]!;
    gateway.tables.sitePlaces.publish({ put: [{ siteId: site.id, customerId: site.customerId, subnets: ['127.9.0.0/24'], egress: [] }] });
  });
  after(async () => {
    await gateway?.close();
    await app?.[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  const { run, operate } = openCommandLine(() => gateway.dataDir, () => folder.path);
  /** As the device does it. */
  const open = () =>
    new Promise<{ status: number; text: string }>((done, failed) => {
      const sent = get({ host: '127.0.0.1', port: gateway.ports.http, localAddress: '127.9.0.1', path: '/', headers: { host: 'scan.example.test' }, agent: false }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => done({ status: answer.statusCode!, text })).on('error', failed);
      });
      sent.on('error', failed);
    });
  const listed = async () => JSON.parse(await operate('sessions', '--json')) as { id: string; requests: number; pausedAt: number | null }[];

  test('listed, made to wait, ended', async () => {
    assert.equal(await operate('sessions'), 'No sessions.\n');
    assert.equal((await open()).status, 200);
    assert.equal((await open()).status, 200);
    assert.match(await operate('sessions', '--application', 'scan', '--device', 'copier'), /^APPLICATION +DEVICE +SERIAL[^\n]*\nscan +copier +SN-1 +127\.9\.0\.1 +address-only by address +2 +[^\n]+ [0-9a-f-]{36}\n$/);
    assert.equal(await operate('sessions', '--application', 'print'), 'No sessions.\n');
    const [session] = await listed();
    assert.match(await operate('sessions', 'reverify', session!.id), /waits/);
    const waiting = await open();
    assert.equal(waiting.status, 403);
    assert.match(waiting.text, /This device is being checked/);
    assert.match(await operate('sessions'), /waits to be verified/);
    assert.equal(await operate('sessions', 'kill', session!.id), 'Ended.\n');
    assert.deepEqual(await listed(), []);
    assert.equal((await open()).status, 200, 'the next one is another session');
    assert.notEqual((await listed())[0]!.id, session!.id);
    const again = await run('sessions', 'kill', session!.id);
    assert.deepEqual([again.code, /no such session/.test(again.err)], [1, true]);
    for (const wrong of [['sessions', 'kill'], ['sessions', 'end', session!.id], ['sessions', '--limit', 'x']]) assert.equal((await run(...wrong)).code, 2, wrong.join(' '));
    assert.match(await operate('audit', '--limit', '3'), /device-session\.killed[\s\S]*device-session\.reverify-asked/);
    await finishesCleanly(gateway);
  });
});
