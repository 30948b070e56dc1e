// `postern serve`: a gateway. `npm start` is the same with the demo site.
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startDemo, type Demo } from '#app/demo.ts';
import { startGateway, type Gateway } from '#app/gateway.ts';
import { buildLog } from '#app/log.ts';
import { realClock, realRandom } from '#app/real.ts';
import { version } from '#base/about.ts';
import { isFault, reasonOf } from '#base/fault.ts';
import type { Config } from '#model/config.ts';
import { exitCodes, usageFault, type CommandIo } from './io.ts';

export const usage = `Usage: postern serve [--data DIR] [--store URL] [--http PORT] [--https PORT] [--domain NAME] [--device-domain NAME] [--demo]
       postern serve --print-unit [OPTIONS]

Runs a gateway. Options change the stored configuration; without them it stays as it is.

  --data DIR            where everything is kept (default: ./data)
  --store URL           a PostgreSQL database instead of a file there: postgres://USER@HOST/DATABASE (also
                        POSTERN_STORE, where a password is not seen in the list of processes)
  --http PORT           plain listener (a fresh gateway: 8080)
  --https PORT          TLS listener, for people, programs and agents (a fresh gateway: 8443)
  --domain NAME         the gateway's name; devices are <label>.NAME (a fresh gateway: localhost)
  --device-domain NAME  devices are <label>.NAME instead: another registrable domain is safer
  --demo, --no-demo     a sample device behind an agent, each in a process of its own
  --console DIR         the built console (default: console/dist of the checkout)
  --print-unit          prints a unit of systemd that would start it with these options, with the privilege for ports
                        below 1024 and the routes that the address pool needs, and starts nothing
  --log LEVEL           debug, info, warn or error (default: info, at a terminal warn; also POSTERN_LOG)
`;

const root = resolve(import.meta.dirname, '..', '..');

function portOf(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw usageFault(`--${name} takes a port number, not "${text}"`);
  return port;
}

function parseOptions(args: string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({ args, options: { data: text, store: text, http: text, https: text, domain: text, 'device-domain': text, console: text, log: text, demo: flag, 'no-demo': flag, 'print-unit': flag } }).values;
  } catch (thrown) {
    throw usageFault((thrown as Error).message);
  }
}

/** The stored configuration with the options of this start in it. */
function adjusted(config: Config, options: { http: number | undefined; https: number | undefined; domain: string | undefined; deviceDomain: string | undefined }): Config {
  const domains = options.domain === undefined || options.domain === config.domains[0]?.name ? config.domains : [{ name: options.domain }, ...config.domains.slice(1).filter((each) => each.name !== options.domain)];
  const isLocal = domains[0]!.name === 'localhost';
  const domainChanged = domains !== config.domains;
  const listeners = config.listeners.map((each) => {
    const port = (each.tls ? options.https : options.http) ?? each.port;
    const isOurs = each.name === 'http' || each.name === 'https';
    if (!isOurs) return each;
    return { ...each, port, address: domainChanged && !each.tls ? (isLocal ? '127.0.0.1' : '::') : each.address };
  });
  return { ...config, domains, listeners, deviceDomain: options.deviceDomain ?? config.deviceDomain };
}

async function banner(gateway: Gateway, demo: Demo | null, isRead: boolean): Promise<string> {
  const setup = gateway.setupAddress();
  const lines = ['', 'Postern is ready', ''];
  if (setup) lines.push(`  Set up    ${setup}`, '            one-time: whoever opens it first becomes the owner', '');
  else lines.push(`  Console   ${gateway.consoleAddress}/`, '');
  if (demo) lines.push(`  Demo      ${gateway.deviceAddress(demo.device)}`, '            a sample device behind an agent; sign in first', '');
  // A token that works for an hour is for eyes, not for a service's log.
  const joining = isRead ? await gateway.makeJoinToken({ deviceName: 'device', host: '127.0.0.1', ports: [{ number: 80, name: 'web', kind: 'http', fingerprint: null }, { number: 22, name: 'ssh', kind: 'tcp', fingerprint: null }] }) : null;
  if (joining) lines.push('  Join a device, there (one-time, within the hour; the console makes more):', `            ${joining.commands[0]!.command}`, '');
  if (gateway.consoleAddress.includes('localhost')) {
    const port = gateway.ports.http;
    lines.push('  From another machine:', `            ssh -L ${port}:localhost:${port} ${hostname()}     then open the addresses above there, or`, '            npm start -- --domain NAME                a name that leads here, and *.NAME too', '');
  }
  lines.push('  Ctrl-C ends it.', '');
  return `${lines.join('\n')}\n`;
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const options = parseOptions(args);
  if (options['print-unit']) {
    const { printGatewayUnit } = await import('./print-unit.ts');
    await printGatewayUnit(io, options, resolve(options.data ?? 'data'));
    return exitCodes.ok;
  }
  const level = options.log ?? io.env['POSTERN_LOG'] ?? (io.isTerminal ? 'warn' : 'info');
  if (level !== 'debug' && level !== 'info' && level !== 'warn' && level !== 'error') throw usageFault(`--log takes debug, info, warn or error, not "${level}"`);
  const log = buildLog({ stream: io.stderr, level, isTerminal: io.isTerminal });
  const wanted = { http: portOf(options.http, 'http'), https: portOf(options.https, 'https'), domain: options.domain?.toLowerCase(), deviceDomain: options['device-domain']?.toLowerCase() };
  const consoleDir = options.console ?? join(root, 'console', 'dist');
  if (!existsSync(join(consoleDir, 'index.html'))) log.warn('console.not-built', { dir: consoleDir, remedy: 'npm run console' });
  const dataDir = resolve(options.data ?? 'data');
  const store = options.store ?? io.env['POSTERN_STORE'];
  const isCheckout = existsSync(join(root, 'postern'));
  const gateway = await startGateway({
    dataDir, consoleDir, version, log,
    ...(store ? { store } : {}),
    clock: realClock,
    random: realRandom,
    command: isCheckout ? './postern' : 'postern',
    adjust: (config) => adjusted(config, wanted),
    first: { ...(wanted.domain === undefined ? {} : { domain: wanted.domain }), ...(wanted.http === undefined ? {} : { httpPort: wanted.http }), ...(wanted.https === undefined ? {} : { httpsPort: wanted.https }), ...(wanted.deviceDomain === undefined ? {} : { deviceDomain: wanted.deviceDomain }) },
  });
  let demo: Demo | null = null;
  // A listener of ours keeps the process alive; timers do not.
  const stopped = new Promise<void>((done) => (io.signal.aborted ? done() : io.signal.addEventListener('abort', () => done(), { once: true })));
  try {
    if (options.demo && !options['no-demo'] && !io.signal.aborted) {
      try {
        demo = await startDemo({ gateway, dataDir, root, clock: realClock, log, signal: io.signal });
      } catch (thrown) {
        if (!io.signal.aborted) io.stderr.write(`postern: the demo did not start: ${reasonOf(thrown)}${isFault(thrown) && thrown.remedy ? `. ${thrown.remedy}` : ''}\n`);
      }
    }
    if (!io.signal.aborted) io.stdout.write(await banner(gateway, demo, io.isTerminal || (options.demo === true && !options['no-demo'])));
    await stopped;
    io.stdout.write('\nPostern ends …\n');
  } finally {
    await demo?.close();
    await gateway.close();
  }
  return exitCodes.ok;
}
