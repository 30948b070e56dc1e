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
}

const order = JSON.parse(process.argv[2]!) as Order;
const routes: unknown[] = [];
for (let i = 0; i < order.routes - 1; i++) routes.push({ name: `r${i}`, listeners: ['http', 'https'], host: `h${i}.example.test`, target: { kind: 'tcp', host: '127.0.0.1', port: order.originPort } });
routes.push({ name: 'bare', listeners: ['http', 'https'], host: 'shop.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: order.originPort } });
routes.push(...(order.more ?? []));

const gateway = await startGateway({
  domain: 'gw.example.test',
  routes,
  ...(order.listeners ? { config: { listeners: order.listeners } } : {}),
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
const tokens: string[] = [];
for (let i = 0; i < (order.tokens ?? 0); i++) tokens.push((await gateway.makeJoinToken({ deviceName: `idle ${i}`, host: '127.0.0.1', ports: device.ports })).text);
process.stdout.write(`${JSON.stringify({ http: gateway.ports.http, https: gateway.ports.https, cookie, token: owner.token, stateDir: join(stateDir, 'agent'), tokens, listeners: Object.fromEntries(gateway.listeners.map((each) => [each.name, each.port])) })}\n`);
process.stdin.resume();
process.stdin.on('data', (text) => {
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
