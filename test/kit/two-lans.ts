// Run inside the gateway's network namespace by test/peers/doors-lan.test.ts: a gateway, and two sites with the same network, whose agents open doors at the
// same address there. Their devices have the same address, too. Prints what happened as one line of JSON; the test judges.
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { DoorView } from '#api/place-shapes.ts';
import type { ConnView, DeviceView } from '#api/shapes.ts';
import { until } from './gateway.ts';
import { openProcesses, postern, startServe, type Page } from './processes.ts';

export const lan = { agent: '192.168.1.1', device: '192.168.1.50' };

export interface TwoLans {
  readonly sites: readonly { readonly agent: string; readonly device: string }[];
  readonly gateway: string;
  readonly programs: { readonly ip: string; readonly curl: string };
}

export interface Heard {
  /** What the server behind the gateway was told of each request's client. */
  readonly forwarded: readonly string[];
  readonly conns: readonly Pick<ConnView, 'from' | 'agentId' | 'mac'>[];
  readonly agents: readonly string[];
  /** What the devices got, over HTTP and HTTPS. */
  readonly answers: readonly string[];
  /** What a site's agents say of its LAN. */
  readonly subnets: readonly string[];
}

async function main(given: TwoLans): Promise<Heard> {
  await using processes = openProcesses();
  const { ip, curl } = given.programs;
  const inside = (namespace: string, command: string, ...args: string[]) => ['netns', 'exec', namespace, command, ...args];
  const forwarded: string[] = [];
  const held: (() => void)[] = [];
  const server = createServer((asked, answer) => {
    forwarded.push(String(asked.headers['x-forwarded-for']));
    const say = () => void answer.end(`${asked.headers['x-forwarded-proto']} ${asked.url}`);
    if (asked.url === '/held') held.push(say);
    else say();
  }).listen(0, '127.0.0.1');
  processes.defer(() => void server.close());
  const gateway = await startServe(processes);
  const agents: string[] = [];
  for (const { agent } of given.sites) {
    const { secret } = await gateway.ask<{ secret: string }>('POST', '/join-tokens', { deviceName: agent, host: lan.device, ports: [{ number: 80, kind: 'http', name: 'web' }] });
    const stateDir = join(processes.folder, `agent ${agent}`);
    mkdirSync(stateDir, { mode: 0o700 });
    writeFileSync(join(stateDir, 'policy'), `listen tcp ${lan.agent} 80,443\n`);
    const started = processes.start(ip, inside(agent, postern, 'join', `https://${given.gateway}:${gateway.httpsPort}`, '--token-file', '-', '--state', stateDir, '--name', agent));
    started.stdin.end(`${secret}\n`);
    await started.says(/link\.opened/);
    const view = await until(`${agent} to be there`, async () => (await gateway.ask<Page<DeviceView>>('GET', '/devices')).items.find((each) => each.name === agent));
    agents.push(view.agentId!);
  }
  const { config } = await gateway.ask<{ config: Record<string, unknown> }>('GET', '/config');
  const file = join(processes.folder, 'config.json');
  writeFileSync(file, JSON.stringify({ ...config, routes: [{ name: 'scan', host: 'scan.example.test', listeners: ['http', 'https'], target: { kind: 'tcp', host: '127.0.0.1', port: (server.address() as AddressInfo).port } }] }));
  const applied = await processes.run(postern, ['apply', '-f', file], { env: gateway.env });
  if (applied.code !== 0) throw new Error(applied.stderr);
  for (const agentId of agents) for (const [listener, port] of [['http', 80], ['https', 443]]) await gateway.ask('POST', '/doors', { agentId, address: lan.agent, port, listener });
  await until('the doors to be open', async () => (await gateway.ask<Page<DoorView>>('GET', '/doors')).items.filter((each) => each.bound).length === 4);

  const asking = given.sites.map(({ device }) => processes.run(ip, inside(device, curl, '-s', '--max-time', '20', '-H', 'Host: scan.example.test', `http://${lan.agent}/held`)));
  await until('both to be held', () => held.length === 2);
  const conns = (await gateway.ask<{ items: ConnView[] }>('GET', `/conns?search=${lan.device}&limit=10`)).items.map(({ from, agentId, mac }) => ({ from, agentId: agentId ?? null, mac: mac ?? null }));
  for (const say of held) say();
  const answers = (await Promise.all(asking)).map(({ stdout }) => stdout);
  for (const { device } of given.sites) answers.push((await processes.run(ip, inside(device, curl, '-sk', '--max-time', '20', '--resolve', `scan.example.test:443:${lan.agent}`, 'https://scan.example.test/secure'))).stdout);
  const { lan: seen } = await gateway.ask<{ lan: { subnets: string[] }[] }>('GET', '/sites/main?lan=true');
  return { forwarded, conns, agents, answers, subnets: seen.flatMap((each) => each.subnets) };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await main(JSON.parse(process.argv[2]!) as TwoLans))}\n`);
