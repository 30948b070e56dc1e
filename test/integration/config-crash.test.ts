// A change that waits to be confirmed, in a real process: killed meanwhile, and shut out by it.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RevisionView } from '#api/shapes.ts';
import type { Config } from '#model/config.ts';
import { request, until } from '../kit/gateway.ts';
import { freePort, openProcesses, postern, startServe, type Page } from '../kit/processes.ts';

test('kill -9 while a change waits: the next start has the one before; whoever is shut out waits, and is let in again', { timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const file = join(processes.folder, 'config.json');
  const configNow = async () => (await gateway.ask<{ config: Config }>('GET', '/config')).config;
  const apply = async (config: object, ...more: string[]) => {
    writeFileSync(file, JSON.stringify(config));
    const ran = await processes.run(postern, ['apply', '-f', file, ...more], { env: gateway.env });
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout;
  };
  const history = async () => (await gateway.ask<Page<RevisionView>>('GET', '/config/revisions?limit=2')).items.map(({ number, state, restores }) => [number, state, restores]);
  const answers = (body: string) => [{ name: 'page', host: 'page.example.test', listeners: ['http'], target: { kind: 'respond', body } }];
  const page = async (port = gateway.httpPort) => (await request(port, { headers: { host: 'page.example.test' } })).body.toString();

  const config = await configNow();
  await apply({ ...config, routes: answers('kept\n') });
  assert.match(await apply({ ...config, routes: answers('risky\n') }, '--confirm', '1h'), /for the time being/);
  assert.equal(await page(), 'risky\n');
  gateway.process.kill('SIGKILL');
  assert.equal((await gateway.process.ended).signal, 'SIGKILL');
  await gateway.restart();
  assert.equal(await page(), 'kept\n');
  const [now] = await history();
  assert.deepEqual([now?.[1], now?.[2]], ['in-force', (now?.[0] as number) - 2]);
  assert.match(gateway.logs(), /config\.rolled-back/);

  // The listener by which everybody comes in moves away.
  const elsewhere = await freePort();
  const kept = await configNow();
  await apply({ ...kept, listeners: kept.listeners.map((each) => (each.name === 'http' ? { ...each, port: elsewhere } : each)) }, '--confirm', '10s');
  assert.equal(await page(elsewhere), 'kept\n');
  const shutOut = await processes.run(postern, ['confirm'], { env: { ...gateway.env, POSTERN_URL: `http://localhost:${gateway.httpPort}` } });
  assert.equal(shutOut.code, 3, `${shutOut.stdout}${shutOut.stderr}`);
  const onTheMachine = await until('the operator to follow it', async () => {
    const ran = await processes.run(postern, ['history', '--data', gateway.dataDir]);
    return ran.code === 0 && ran.stdout;
  });
  assert.match(onTheMachine, /waits to be confirmed/);
  await until('the listener to be back', () => page().catch(() => null), 30_000);
  assert.equal(await page(), 'kept\n');
  await assert.rejects(page(elsewhere));
  assert.deepEqual((await history()).map((each) => each[1]), ['in-force', 'rolled-back']);
  assert.equal((await gateway.ask<{ brokenAt: number | null }>('POST', '/audit/verify')).brokenAt, null);
  assert.equal((await gateway.process.stop()).code, 0);
});
