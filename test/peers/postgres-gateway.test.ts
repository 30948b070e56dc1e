// A whole gateway with PostgreSQL as its store: what goes through it goes on while the server is away.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { readdirSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { enterDevice, finishesCleanly, request, startGateway, temporaryFolder, until } from '../kit/gateway.ts';
import { type PostgresServer, postgresPassword, startPostgres, withoutPostgres } from '../kit/postgres.ts';
import { freePort, openProcesses, postern, startServe } from '../kit/processes.ts';

suite('a gateway on PostgreSQL', { skip: withoutPostgres }, () => {
  let server: PostgresServer;
  before(async () => {
    server = await startPostgres();
  });
  after(() => server[Symbol.asyncDispose]());

  test('a device joins and is opened, the server goes away and comes back, and a second start finds everything', { timeout: 90_000 }, async () => {
    const store = await server.makeDatabase();
    using folder = temporaryFolder();
    const dataDir = join(folder.path, 'data');
    const origin = createServer((asked, answer) => answer.end(`path ${asked.url}`));
    await new Promise<void>((done) => origin.listen(0, '127.0.0.1', () => done()));
    try {
      let token: string;
      {
        await using gateway = await startGateway({ store, dataDir });
        const { device } = await gateway.addDevice({ name: 'Printer 1', ports: [{ number: (origin.address() as AddressInfo).port, kind: 'http' }] });
        const owner = await gateway.owner();
        token = owner.token;
        const cookie = await enterDevice(gateway, owner.cookie, `${device.label}.localhost`);
        const page = async () => {
          const answer = await request(gateway.ports.http, { path: '/a', headers: { host: `${device.label}.localhost:${gateway.ports.http}`, cookie, accept: 'text/html', 'sec-fetch-site': 'none' } });
          return [answer.status, answer.body.toString()];
        };
        assert.deepEqual(await page(), [200, 'path /a']);
        assert.deepEqual(readdirSync(dataDir).filter((name) => name.startsWith('postern.db')), [], 'nothing is in a file');

        const found = await gateway.api('POST', '/doctor', { token });
        const finding = (found.json['findings'] as { id: string; status: string; evidence: string[] }[]).find((each) => each.id === 'store')!;
        assert.match(finding.evidence.join('\n'), /^PostgreSQL \d+\.\d+, database store\d+ at 127\.0\.0\.1:\d+\nintegrity: ok\na durable write took [\d.]+ ms\n[\d.]+ MB on disk$/);

        await server.stop('immediate');
        assert.deepEqual(await page(), [200, 'path /a'], 'a visit that stands goes on');
        const change = () => gateway.api('POST', '/tokens', { cookie: owner.cookie, body: { name: 'another' } });
        const refused = await until('a refusal', async () => change().then((answer) => (answer.status === 200 ? false : answer)));
        assert.equal(refused.status, 503, refused.text);
        assert.match(refused.text, /store/);
        const status = await gateway.api('GET', '/status', { token });
        assert.equal(status.status, 200);
        assert.match((status.json['remarks'] as string[]).join('\n'), /store .*changes wait/);
        await server.start();
        await until('changes to work again', async () => (await change()).status === 200, 20_000);
        assert.deepEqual(await page(), [200, 'path /a']);
        for (const text of [refused.text, status.text, found.text]) assert.ok(!text.includes(postgresPassword) && !text.includes(encodeURIComponent(postgresPassword)), text);
        await finishesCleanly(gateway);
      }
      await using gateway = await startGateway({ store, dataDir });
      assert.equal(gateway.setupAddress(), null);
      const devices = await gateway.api('GET', '/devices', { token });
      assert.deepEqual((devices.json['items'] as { label: string }[]).map((each) => each.label), ['printer-1']);
      const verified = await gateway.api('POST', '/audit/verify', { token });
      assert.equal(verified.json['brokenAt'], null);
      assert.ok((verified.json['lines'] as number) >= 5);
      await finishesCleanly(gateway);
    } finally {
      origin.closeAllConnections();
      await new Promise((done) => origin.close(done));
    }
  });

  test('`postern serve`: the address by option or environment, and never its password in what it says', { timeout: 90_000 }, async (t) => {
    await using processes = openProcesses(t.signal);
    const store = await server.makeDatabase();
    const secret = encodeURIComponent(postgresPassword);
    const served = await startServe(processes, { args: ['--store', store], logLevel: 'debug' });
    assert.match(served.logs(), /"database":"PostgreSQL \d+[^\n]*"store\.opened"/);
    const second = await processes.run(postern, ['serve', '--data', join(processes.folder, 'other'), '--http', String(await freePort()), '--https', String(await freePort()), '--log', 'debug'], { env: { POSTERN_STORE: store } });
    assert.notEqual(second.code, 0);
    assert.match(second.stderr, new RegExp(`another gateway uses the database store\\d+ at 127\\.0\\.0\\.1:${server.port}: postern-.* process \\d+`));
    assert.match(second.stderr, /a database of its own/);
    const wrong = await processes.run(postern, ['serve', '--data', join(processes.folder, 'other'), '--log', 'debug'], { env: { POSTERN_STORE: store.replace(secret, 'wrong-secret') } });
    assert.notEqual(wrong.code, 0);
    assert.match(wrong.stderr, /does not let user postgres in/);
    const bad = await processes.run(postern, ['serve', '--data', join(processes.folder, 'other'), '--store', 'mysql://me:wrong-secret@db.example.test/x']);
    assert.match(bad.stderr, /begins with neither postgres:\/\//);
    await served.process.stop();
    for (const text of [served.logs(), served.process.stdout, second.stderr, second.stdout, wrong.stderr, wrong.stdout, bad.stderr, bad.stdout]) {
      for (const each of [postgresPassword, secret, 'wrong-secret']) assert.ok(!text.includes(each), text);
    }
  });
});
