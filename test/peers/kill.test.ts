// What breaks, breaks cleanly: agents and gateways killed, frozen and told to end while a download runs.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AuditLineView, DeviceView, JoinTokenView, JournalLineView, StatusView, VisitView } from '#api/shapes.ts';
import { until } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { openProcesses, postern, startServe, type Page, type Processes, type Served, type Started } from '#kit/processes.ts';

const peers = findPeers(['curl']);

type Framing = 'length' | 'chunked' | 'close';
const framings: readonly Framing[] = ['length', 'chunked', 'close'];
const firstBytes = 1_000_000;

interface Download {
  readonly framing: Framing;
  readonly client: Started;
  /** The device's side: it has sent a million bytes and holds the rest back. */
  readonly origin: ServerResponse;
  /** Sends the rest. */
  finish(): void;
}

interface Holding {
  readonly port: number;
  start(gateway: Served, host: string, framing: Framing): Promise<Download>;
}

/** A device whose downloads stop in the middle until the test says how they go on. */
async function startHolding(processes: Processes): Promise<Holding> {
  const waiting = new Map<string, (response: ServerResponse) => void>();
  const server = createServer((request, response) => {
    const [, framing = '', name = ''] = request.url!.split('/');
    if (framing === 'length') response.setHeader('Content-Length', 2 * firstBytes);
    // Ended by the end of the connection alone (RFC 9112 §6.3 case 8): the one framing that cannot tell a cut from an end.
    if (framing === 'close') response.shouldKeepAlive = response.useChunkedEncodingByDefault = false;
    response.on('error', () => {});
    response.write(Buffer.alloc(firstBytes, 'a'), () => waiting.get(name)?.(response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  processes.defer(() => new Promise<void>((resolve) => {
    const closed = server.close(() => resolve());
    closed.closeAllConnections();
  }));
  let count = 0;
  return {
    port: (server.address() as AddressInfo).port,
    async start(gateway, host, framing) {
      const name = String(++count);
      const { promise, resolve } = Promise.withResolvers<ServerResponse>();
      waiting.set(name, resolve);
      const http = framing === 'close' ? ['--http1.0'] : [];
      const client = processes.start(peers.path('curl'), ['-sS', ...http, '-H', `Postern-Token: ${gateway.token}`, '-w', '\n%{http_code} %{size_download}', '-o', join(processes.folder, `download-${name}`), '--max-time', '120', `http://${host}/${framing}/${name}`]);
      const origin = await promise;
      return { framing, client, origin, finish: () => void origin.end(Buffer.alloc(firstBytes, 'b')) };
    },
  };
}

/** curl: 18 the body is not whole, 52 nothing came, 56 the connection was reset. Never 0 with a part of a body. */
async function assertBroken({ client, framing }: Download): Promise<void> {
  const { code } = await client.ended;
  assert.ok(code === 56 || (code === 18 && framing !== 'close'), `${framing}: curl ended with ${code}: ${client.stdout} ${client.stderr}`);
}

const links = async (gateway: Served, event: string): Promise<JournalLineView[]> => (await gateway.ask<Page<JournalLineView>>('GET', `/journal?limit=100&event=${event}`)).items;
const linkCount = (agent: Started) => agent.stderr.split('link.opened').length - 1;

test('kill -9 of an agent in the middle of downloads', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const holding = await startHolding(processes);
  const device = await gateway.addDevice({ name: 'fragile', ports: [{ number: holding.port, kind: 'http' }] });
  const other = await gateway.addDevice({ name: 'steady', ports: [{ number: holding.port, kind: 'http' }] });
  const downloads = await Promise.all(framings.map((framing) => holding.start(gateway, device.host, framing)));
  const beside = await holding.start(gateway, other.host, 'length');
  const stdio = processes.start(postern, ['connect', 'fragile', String(holding.port)], { env: gateway.env });
  stdio.stdin.write('GET /chunked/0 HTTP/1.1\r\nHost: x\r\n\r\n');
  await stdio.says(/HTTP\/1\.1 200 OK/);

  device.agent.kill('SIGKILL');
  await Promise.all(downloads.map(assertBroken));
  assert.notEqual((await stdio.ended).code, 0, 'a cut is not the end of the data');
  const view = await until('the device to be offline', async () => {
    const seen = await device.view();
    return seen.online ? null : seen;
  });
  assert.ok(view.lastLeftWhy, 'it says why');
  const refused = await processes.run(peers.path('curl'), ['-sS', '-H', `Postern-Token: ${gateway.token}`, '-w', '\n%{http_code}', `http://${device.host}/`]);
  assert.match(refused.stdout, /offline since[^]*\n503$/);
  beside.finish();
  assert.equal((await beside.client.ended).code, 0, 'another device did not notice');

  await device.restart();
  const again = await holding.start(gateway, device.host, 'chunked');
  again.finish();
  assert.equal((await again.client.ended).code, 0);
  assert.match(again.client.stdout, /200 2000000$/);
  // The device itself breaks off: no framing may look like an end.
  const torn = await Promise.all(framings.map((framing) => holding.start(gateway, device.host, framing)));
  for (const { origin } of torn) origin.socket!.resetAndDestroy();
  await Promise.all(torn.map(assertBroken));
  await until('every visit to be over', async () => ((await gateway.ask<Page<VisitView>>('GET', '/visits?state=live')).items.every((visit) => visit.kind === 'http') ? true : null));
});

test('kill -9 of clients in the middle of downloads and uploads: the device is told, nothing is left', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const holding = await startHolding(processes);
  const device = await gateway.addDevice({ name: 'device', ports: [{ number: holding.port, kind: 'http' }] });
  const downloads = await Promise.all(Array.from({ length: 24 }, (_, i) => holding.start(gateway, device.host, framings[i % 3]!)));
  const stdio = Array.from({ length: 6 }, () => processes.start(postern, ['connect', 'device', String(holding.port)], { env: gateway.env }));
  for (const each of stdio) {
    each.stdin.write('POST /length/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n');
    each.stdin.write(Buffer.alloc(2_000_000));
    await each.says(/HTTP\/1\.1 200 OK/);
  }
  for (const { client } of downloads) client.kill('SIGKILL');
  for (const each of stdio) each.kill('SIGKILL');
  // A killed client ends its side like one that only half-closes; what stands still is given up after ten seconds.
  await until('the device to be told', () => downloads.every(({ origin }) => origin.closed && !origin.writableFinished), 30_000);
  await until('nothing to be left', async () => {
    const status = await gateway.ask<StatusView>('GET', '/status');
    const view = await device.view();
    // The link's own control stream, and what the pool keeps of plain requests, of which there were none.
    return view.link!.streams <= 1 && status.memory.heldBytes === 0 && status.conns <= 2;
  });
  const live = (await gateway.ask<Page<VisitView>>('GET', '/visits?state=live')).items;
  assert.deepEqual(live.map(({ kind }) => kind), ['http'], 'the visits of postern connect are over, the one of HTTP waits for more');
  assert.ok((await device.view()).online);
});

test('kill -9 of the gateway in the middle of downloads', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const holding = await startHolding(processes);
  const device = await gateway.addDevice({ name: 'device', ports: [{ number: holding.port, kind: 'http' }] });
  const downloads = [await holding.start(gateway, device.host, 'length'), await holding.start(gateway, device.host, 'chunked')];
  const open = (await gateway.ask<Page<VisitView>>('GET', '/visits?state=live')).items;
  assert.equal(open.length, 1);

  // Changes are made until the very moment; what was acknowledged must be there afterwards.
  const acknowledged: string[] = [];
  let asked = 0;
  const over = new AbortController();
  const writers = Array.from({ length: 8 }, async () => {
    while (!over.signal.aborted) {
      const name = `written ${++asked}`;
      const answer = await gateway.api('POST', '/join-tokens', { deviceName: name }).catch(() => null);
      if (answer?.status === 200) acknowledged.push(name);
      else if (answer === null) return;
    }
  });
  await until('some of them to be acknowledged', () => acknowledged.length > 40);
  gateway.process.kill('SIGKILL');
  assert.equal((await gateway.process.ended).signal, 'SIGKILL');
  over.abort();
  await Promise.all(writers);
  await Promise.all(downloads.map(assertBroken));

  const before = linkCount(device.agent);
  await gateway.restart();
  // By itself: nobody touches the agent. 1 s doubling to 30 s.
  await until('the agent to be back', () => linkCount(device.agent) > before, 45_000);
  await until('the device to be online', async () => (await device.view()).online);
  const verified = await gateway.ask<{ brokenAt: number | null; lines: number }>('POST', '/audit/verify');
  assert.equal(verified.brokenAt, null);
  const cli = await processes.run(postern, ['audit', 'verify', '--data', gateway.dataDir]);
  assert.equal(cli.code, 0, cli.stderr);
  const visits = (await gateway.ask<Page<VisitView>>('GET', '/visits?limit=50')).items;
  const left = visits.find((visit) => visit.id === open[0]!.id)!;
  assert.match(left.why ?? '', /ended without closing it/);
  assert.ok(left.closedAt !== null && !left.live);
  const audit = (await gateway.ask<Page<AuditLineView>>('GET', '/audit?limit=500&what=visit.closed')).items;
  assert.ok(audit.some((line) => line.detail['visit'] === open[0]!.id), 'the audit has its end too');
  const names = new Set<string>();
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Page<JoinTokenView> = await gateway.ask('GET', `/join-tokens?limit=500${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
    for (const { deviceName } of page.items) names.add(deviceName);
    cursor = page.next;
  }
  assert.deepEqual(acknowledged.filter((name) => !names.has(name)), [], 'acknowledged, and gone');
  const again = await holding.start(gateway, device.host, 'length');
  again.finish();
  assert.equal((await again.client.ended).code, 0);
});

test('SIGTERM of the gateway drains: what runs may finish, agents are told and come back', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const holding = await startHolding(processes);
  const device = await gateway.addDevice({ name: 'device', ports: [{ number: holding.port, kind: 'http' }] });
  const forward = processes.start(postern, ['forward', 'device', String(holding.port)], { env: gateway.env });
  const local = Number((await forward.says(/^127\.0\.0\.1:(\d+)$/m))[1]);
  const through = () => processes.run(peers.path('curl'), ['-sS', '--max-time', '3', '-r', '0-99', '-w', '%{http_code}', '-o', '/dev/null', `http://127.0.0.1:${local}/length/0`]);
  assert.match((await through()).stdout, /200/);
  const finishing = await holding.start(gateway, device.host, 'length');
  const endless = await holding.start(gateway, device.host, 'chunked');
  gateway.process.kill('SIGTERM');
  await gateway.process.says(/Postern ends/);
  finishing.finish();
  assert.equal((await finishing.client.ended).code, 0, finishing.client.stderr);
  assert.match(finishing.client.stdout, /200 2000000$/);
  await assertBroken(endless);
  assert.deepEqual(await gateway.process.ended, { code: 0, signal: null }, gateway.process.stderr);
  assert.doesNotMatch(device.agent.stderr, /link\.closed/, 'the agent was told; for it nothing broke');
  const before = linkCount(device.agent);
  await gateway.restart();
  await until('the agent to be back', () => linkCount(device.agent) > before, 45_000);
  const visits = (await gateway.ask<Page<VisitView>>('GET', '/visits?limit=50')).items.filter((visit) => visit.kind === 'http');
  assert.deepEqual(visits.map((visit) => visit.why).filter((why) => !/went down/.test(why ?? '')), [], 'its visits were closed in order');
  assert.match((await through()).stdout, /200/, 'postern forward dials again when it is needed');
  assert.equal((await forward.stop()).code, 0);
  assert.equal((await gateway.ask<{ brokenAt: number | null }>('POST', '/audit/verify')).brokenAt, null);
});

test('a frozen machine: its link is lost by keepalive, and a new start with a higher turn waits for nothing', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const holding = await startHolding(processes);
  const [frozen, replaced] = [await gateway.addDevice({ name: 'frozen', ports: [{ number: holding.port, kind: 'http' }] }), await gateway.addDevice({ name: 'replaced', ports: [{ number: holding.port, kind: 'http' }] })];
  const first = replaced.agent;
  for (const each of [frozen, replaced]) each.agent.kill('SIGSTOP');

  // The machine was pulled and started anew while the gateway still believes in the old link.
  await replaced.restart();
  const again = await holding.start(gateway, replaced.host, 'length');
  again.finish();
  assert.equal((await again.client.ended).code, 0, again.client.stderr);
  const closed = (await links(gateway, 'link.closed')).filter((line) => line.fields['agent'] === replaced.agentId);
  assert.deepEqual(closed.map((line) => line.fields['why']), ['replaced']);
  first.kill('SIGKILL');
  await first.ended;

  const stalled = await processes.start(peers.path('curl'), ['-sS', '-H', `Postern-Token: ${gateway.token}`, '-o', join(processes.folder, 'stalled'), '-w', '%{http_code}', `http://${frozen.host}/`]);
  const view = await until('the frozen one to be offline', async () => {
    const seen = await frozen.view();
    return seen.online ? null : seen;
  }, 60_000);
  assert.match(view.lastLeftWhy ?? '', /nothing|silent|lost|answer/i, `why: ${view.lastLeftWhy}`);
  await stalled.ended;
  assert.match(stalled.stdout, /^50[234]$/, 'who waited for it is told');
  const before = linkCount(frozen.agent);
  frozen.agent.kill('SIGCONT');
  await until('it to be back by itself', () => linkCount(frozen.agent) > before, 45_000);
  await until('the device to be online', async () => (await frozen.view()).online);
});

test('one identity on two machines: one stays, the other is refused and told', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const holding = await startHolding(processes);
  const device = await gateway.addDevice({ name: 'original', ports: [{ number: holding.port, kind: 'http' }] });
  const copy = join(processes.folder, 'copy');
  cpSync(device.stateDir, copy, { recursive: true });
  const twin = processes.start(postern, ['agent', '--state', copy, '--address', `https://127.0.0.1:${gateway.httpsPort}`]);
  const both = [device.agent, twin];
  const told = await until('one of them to be refused as a twin', () => both.find((agent) => /link\.refused.*two machines/.test(agent.stderr)), 45_000);
  assert.match(told.stderr, /token of its own/, 'and what to do');
  const journal = await until('the journal to say so', async () => (await links(gateway, 'link.refused')).find((line) => /two machines/.test(String(line.fields['message']))));
  assert.equal(journal.fields['agent'], device.agentId);
  const count = linkCount(device.agent) + linkCount(twin);
  const again = await holding.start(gateway, device.host, 'length');
  again.finish();
  assert.equal((await again.client.ended).code, 0, 'the one that stays serves');
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  assert.equal(linkCount(device.agent) + linkCount(twin), count, 'and they fight no more');
});

test('the demo site: ends with its gateway however that ends, and is taken up again', { skip: peers.skip, timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes, { args: ['--demo'] });
  const [demo] = (await gateway.ask<Page<DeviceView>>('GET', '/devices')).items;
  assert.equal(demo?.online, true);
  const page = () => processes.run(peers.path('curl'), ['-sS', '-H', `Postern-Token: ${gateway.token}`, '-w', '\n%{http_code}', `http://demo.localhost:${gateway.httpPort}/status.json`]);
  assert.match((await page()).stdout, /\n200$/);
  const demoProcesses = () => processes.list().filter((line) => line.includes('demo-agent')).length;
  assert.equal(demoProcesses(), 1);
  gateway.process.kill('SIGKILL');
  await until('the demo\'s agent to be gone', () => demoProcesses() === 0);
  await gateway.restart();
  assert.match((await page()).stdout, /\n200$/, 'the same device at its new port');
  assert.equal((await gateway.ask<Page<DeviceView>>('GET', '/devices')).items.length, 1);

  // A second one on the same folder, or on the same ports, says so and leaves the first alone.
  const sameFolder = await processes.run(postern, ['serve', '--data', gateway.dataDir, '--http', '0', '--https', '0']);
  assert.notEqual(sameFolder.code, 0);
  assert.match(sameFolder.stderr, /in use|another|already/i);
  const samePorts = await processes.run(postern, ['serve', '--data', join(processes.folder, 'second'), '--http', String(gateway.httpPort), '--https', String(gateway.httpsPort)]);
  assert.notEqual(samePorts.code, 0);
  assert.match(samePorts.stderr, new RegExp(`${gateway.httpPort}|${gateway.httpsPort}`));
  assert.match((await page()).stdout, /\n200$/);
  assert.deepEqual(await gateway.process.stop('SIGINT'), { code: 0, signal: null });
  assert.equal(demoProcesses(), 0);
});
