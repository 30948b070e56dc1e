// The gateway under measurement, in a process of its own: prints one JSON line when it is ready, ends with its input.
import { joinAgent } from '#app/agent.ts';
import { realClock } from '#app/real.ts';
import { dialTappedTcp } from '#net/dial.ts';
import { enterDevice, startGateway } from '../test/kit/gateway.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Order {
  readonly originPort: number;
  readonly routes: number;
  /** The device's dial goes straight to the origin, past the hub. */
  readonly direct: boolean;
  /** Listeners beside http and https, and routes of theirs. */
  readonly listeners?: readonly object[];
  readonly more?: readonly unknown[];
  /** Join tokens to make, for many links. */
  readonly tokens?: number;
  /** Devices at addresses of their own behind the agent, job sources of these applications; `pool`: of virtual addresses. */
  readonly panels?: { readonly devices: number; readonly from: string; readonly pool: string; readonly applications: readonly string[]; readonly snmpPort?: number };
  readonly probes?: object;
}

const order = JSON.parse(process.argv[2]!) as Order;
const routes: unknown[] = [];
for (let i = 0; i < order.routes - 1; i++) routes.push({ name: `r${i}`, listeners: ['http', 'https'], host: `h${i}.example.test`, target: { kind: 'tcp', host: '127.0.0.1', port: order.originPort } });
routes.push({ name: 'bare', listeners: ['http', 'https'], host: 'shop.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: order.originPort } });
routes.push(...(order.more ?? []));

const gateway = await startGateway({
  domain: 'gw.example.test',
  routes,
  config: { ...(order.listeners ? { listeners: order.listeners } : {}), ...(order.panels ? { addressPool: { networks: [order.panels.pool] } } : {}), ...(order.probes ? { probes: order.probes } : {}) },
  // Every listener serves device hosts here, so that plain and TLS are measured alike.
  adjust: (config) => ({ ...config, domains: [{ name: 'localhost' }] }),
  ...(order.direct ? { dialDevice: (_device, port, by) => dialTappedTcp({ kind: 'tcp', host: '127.0.0.1', port: port.number }, by) } : {}),
});
const stateDir = mkdtempSync(join(tmpdir(), 'postern-bench-'));
const device = { name: 'bench', host: '127.0.0.1', ports: [{ number: order.originPort, name: 'web', kind: 'http' as const, fingerprint: null }] };
const token = await gateway.makeJoinToken({ deviceName: device.name, host: device.host, ports: device.ports });
await joinAgent({ stateDir: join(stateDir, 'agent'), token: token.text, address: `https://127.0.0.1:${gateway.ports.https}`, name: 'bench', again: false, clock: realClock, signal: new AbortController().signal });
const owner = await gateway.owner();
const cookie = await enterDevice(gateway, owner.cookie, 'bench.localhost');
const panels: string[] = [];
if (order.panels) {
  const { devices, from, applications, snmpPort } = order.panels;
  const agent = [...gateway.tables.agents.values()][0]!;
  const site = gateway.tables.sites.get(agent.siteId)!;
  const [a, b] = from.split('.');
  gateway.tables.sitePlaces.publish({ put: [{ siteId: site.id, customerId: site.customerId, subnets: [`${a}.${b}.0.0/16`], egress: [] }] });
  for (let i = 0; i < devices; i++) {
    const host = `${a}.${b}.${Math.floor(i / 254)}.${(i % 254) + 1}`;
    const ports = [{ number: snmpPort ?? 161, name: 'snmp', kind: 'udp' }];
    const made = await gateway.api('POST', '/devices', { token: owner.token, body: { agentId: agent.id, name: `panel ${i}`, serial: snmpPort === undefined ? `SN${i}` : null, host, ports } });
    if (made.status !== 200) throw new Error(made.text);
    panels.push(made.json['id'] as string);
  }
  for (const application of applications) {
    gateway.tables.jobSources.publish({ put: panels.map((deviceId) => ({ id: `${application} ${deviceId}`, customerId: site.customerId, application, deviceId, serial: null, siteId: null, address: null, as: null, note: '', createdAt: 1 })) });
  }
  // Every one of them has its virtual address, and is listened for where something calls back.
  if (applications.includes('virtual')) for (const end = performance.now() + 60_000; gateway.tables.virtualAddresses.size < devices && performance.now() < end; ) await new Promise((done) => setTimeout(done, 50));
}
const tokens: string[] = [];
for (let i = 0; i < (order.tokens ?? 0); i++) tokens.push((await gateway.makeJoinToken({ deviceName: `idle ${i}`, host: '127.0.0.1', ports: device.ports })).text);
process.stdout.write(`${JSON.stringify({ http: gateway.ports.http, https: gateway.ports.https, cookie, token: owner.token, stateDir: join(stateDir, 'agent'), tokens, listeners: Object.fromEntries(gateway.listeners.map((each) => [each.name, each.port])) })}\n`);
process.stdin.resume();
process.stdin.on('data', (text) => {
  if (String(text).includes('probe')) void probeAll();
  // Asked for: the memory after a collection, so that garbage is not taken for need.
  if (String(text).includes('memory')) {
    (globalThis as { gc?: () => void }).gc?.();
    process.stdout.write(`${JSON.stringify({ rss: process.memoryUsage.rss(), heap: process.memoryUsage().heapUsed, external: process.memoryUsage().external, links: gateway.live.links().length, conns: gateway.leftovers().conns })}\n`);
  }
});
process.stdin.on('end', () => {
  void gateway.close().then(() => {
    rmSync(stateDir, { recursive: true, force: true });
    process.exit(0);
  });
});

/** Every device, as somebody would who wants them all: the queue says how many at once. */
async function probeAll(): Promise<void> {
  const outcomes = await Promise.all(
    panels.map(async (id) => {
      for (;;) {
        const asked = await gateway.api('POST', `/devices/${id}/probe`, { token: owner.token, body: { waitMs: 0 } });
        if (asked.status !== 503 && asked.status !== 429) return asked.status === 200 ? 200 : asked.text;
        await new Promise((done) => setTimeout(done, 200));
      }
    }),
  );
  for (const end = performance.now() + 600_000; performance.now() < end; ) {
    const rows = panels.map((id) => gateway.tables.deviceProfiles.get(id));
    if (rows.every((row) => row !== undefined) || outcomes.some((each) => each !== 200)) break;
    await new Promise((done) => setTimeout(done, 100));
  }
  const rows = panels.map((id) => gateway.tables.deviceProfiles.get(id));
  const good = rows.filter((row) => row?.profile).length;
  process.stdout.write(`${JSON.stringify({ good, failed: rows.length - good, statuses: [...new Set(outcomes)], failure: rows.find((row) => row?.failure)?.failure?.message })}\n`);
}
