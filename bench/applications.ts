// What it costs that a server hears of devices' addresses: a thousand virtual ones with traffic on a hundred, jars of cookies, pages whose links
// are rewritten; and a thousand devices asked what they are through one agent.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { median } from './measure.ts';
import { cpuMs, folder, freePort, has, LOAD_CORE, start, stop, waitForPort, write } from './processes.ts';
import type { BenchedGateway } from './run.ts';

interface Room {
  readonly rounds: number;
  readonly seconds: number;
  report(name: string, figure: number, unit: string, bar: string, met: boolean, detail: string): void;
  progress(text: string): void;
  startGateway(order: object): Promise<BenchedGateway>;
}

interface Asked {
  readonly name: string;
  readonly host: string;
  readonly path?: string;
  readonly cookie?: string;
}

const node = process.execPath;
const here = (file: string) => join(import.meta.dirname, file);
const DEVICES = 1_000;
const BUSY = 100;

/** A page of a panel's application: 20 kB, 200 links. */
const page = `<!DOCTYPE html><html><head><title>Scan</title><link rel="stylesheet" href="/style.css" /></head><body>${Array.from({ length: 200 }, (_, i) => `<p class="row"><a href="/jobs/${i}">Job ${i}</a> <span>waiting for paper, tray ${i % 4}</span></p>`).join('\n')}</body></html>\n`;

async function startPageOrigin(): Promise<number> {
  const port = await freePort();
  const file = write('page.html', page);
  const config = write('origin-page.conf', `worker_processes 1; daemon off; pid ${folder}/origin-page.pid; error_log ${folder}/origin-page.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; server { listen 127.0.0.1:${port}; location / { default_type text/plain; return 200 "${'0123456789'.repeat(10)}"; } location = /cookie { add_header Set-Cookie "app=in; Path=/; HttpOnly"; return 200 "${'0123456789'.repeat(10)}"; } location = /page { default_type text/html; alias ${file}; } } }`);
  await start(LOAD_CORE, 'nginx', ['-c', config, '-e', `${folder}/origin-page.err`], false);
  await waitForPort(port);
  return port;
}

async function ask(panels: Awaited<ReturnType<typeof start>>, order: object): Promise<{ requests: number; errors: number; seconds: number; bytes: number }> {
  const figures = (await panels.ask(`${JSON.stringify(order)}\n`)) as { requests: number; errors: number; seconds: number; bytes: number };
  if (figures.errors > 0) throw new Error(`${JSON.stringify(order)} had ${figures.errors} errors`);
  return figures;
}

export function buildApplicationBenches(room: Room): Record<string, (originPort: number) => Promise<void>> {
  const { report } = room;
  return {
    async virtual() {
      const originPort = await startPageOrigin();
      const target = { kind: 'tcp', host: '127.0.0.1', port: originPort };
      const route = (name: string, application?: object) => ({ name, listeners: ['http'], host: `${name}.example.test`, target, ...(application ? { application } : {}) });
      const gateway = await room.startGateway({
        originPort, routes: 10, direct: true, panels: { devices: DEVICES, from: '127.16.0.1', pool: '127.64.0.0/16', applications: ['headers', 'virtual', 'jar', 'prefix'] },
        more: [route('plain'), route('headers', { tell: 'headers' }), route('virtual', { tell: 'virtual' }), route('jar', { tell: 'headers', session: { jar: true } }), route('prefix', { tell: 'headers', session: { jar: true, urlPrefix: true } })],
      });
      const panels = await start(LOAD_CORE, node, ['--disable-warning=ExperimentalWarning', here('panels.ts')], true);
      const order = (asked: Asked, seconds: number) => ({ port: gateway.http, host: asked.host, path: asked.path ?? '/', from: '127.16.0.1', connections: BUSY, seconds, ...(asked.cookie === undefined ? {} : { cookie: asked.cookie }) });
      const compare = async (title: string, contenders: readonly Asked[]): Promise<Map<string, number>> => {
        const costs = new Map(contenders.map((each) => [each.name, [] as number[]]));
        for (let round = 0; round <= room.rounds; round++) {
          for (const each of contenders) {
            room.progress(`${title}: round ${round} of ${room.rounds}, ${each.name}`);
            const before = cpuMs(gateway.pid);
            const { requests } = await ask(panels, order(each, round === 0 ? 2 : room.seconds));
            if (round > 0) costs.get(each.name)!.push(((cpuMs(gateway.pid) - before) * 1_000) / requests);
          }
        }
        room.progress('');
        const found = new Map([...costs].map(([name, list]) => [name, median(list)]));
        for (const [name, us] of found) process.stdout.write(`       ${title} · ${name}: ${us.toFixed(1)} µs CPU/request\n`);
        return found;
      };
      const small = await compare('a request', [
        { name: 'plain', host: 'plain.example.test' },
        { name: 'headers', host: 'headers.example.test' },
        { name: 'virtual', host: 'virtual.example.test' },
        { name: 'plain with a cookie', host: 'plain.example.test', cookie: 'app=in' },
      ]);
      // Fills the jars first.
      await ask(panels, { ...order({ name: '', host: 'jar.example.test', path: '/cookie' }, 0.2) });
      const jars = await compare('cookies', [{ name: 'plain with a cookie', host: 'plain.example.test', cookie: 'app=in' }, { name: 'jar', host: 'jar.example.test' }]);
      const pages = await compare('a page of 20 kB', [{ name: 'plain', host: 'plain.example.test', path: '/page' }, { name: 'rewritten', host: 'prefix.example.test', path: '/page' }]);
      const virtual = small.get('virtual')! / small.get('plain')!;
      report('virtual address, CPU per request', virtual, '× the plain route', '≤ 1.05', virtual <= 1.05, `${small.get('virtual')!.toFixed(1)} µs against ${small.get('plain')!.toFixed(1)} µs; ${DEVICES} virtual addresses, traffic on ${BUSY}`);
      const headers = small.get('headers')! / small.get('plain')!;
      report('address in headers, CPU per request', headers, '× the plain route', 'reported', true, `${small.get('headers')!.toFixed(1)} µs against ${small.get('plain')!.toFixed(1)} µs`);
      const jar = jars.get('jar')! - jars.get('plain with a cookie')!;
      report('cookie jar, added CPU per request', jar, 'µs', 'reported', true, `${jars.get('jar')!.toFixed(1)} µs against ${jars.get('plain with a cookie')!.toFixed(1)} µs with the cookie kept by the device`);
      const rewriting = pages.get('rewritten')! - pages.get('plain')!;
      report('rewriting a page of 20 kB with 201 links, added CPU', rewriting, 'µs', 'reported', true, `${pages.get('rewritten')!.toFixed(1)} µs against ${pages.get('plain')!.toFixed(1)} µs; ${(rewriting / (page.length / 1_024)).toFixed(1)} µs a KiB`);
      await stop(panels.child);
    },

    async probes(originPort) {
      if (!has('snmpd')) throw new Error('the benchmark needs snmpd');
      const port = await freePort();
      // Two programs, because one has not file descriptors enough in its select().
      const [a, b] = [Array.from({ length: DEVICES / 2 }, (_, i) => addressAt(i)), Array.from({ length: DEVICES / 2 }, (_, i) => addressAt(DEVICES / 2 + i))];
      for (const [i, addresses] of [a, b].entries()) await startPrinters(i, addresses, port);
      const order = { originPort, routes: 1, direct: false, panels: { devices: DEVICES, from: '127.16.0.1', pool: '127.64.0.0/16', applications: [], snmpPort: port }, probes: { everyMinutes: 0, perSecond: 200, atOnce: 32 } };
      const gateway = await room.startGateway(order);
      const agent = await start(LOAD_CORE, node, ['--disable-warning=ExperimentalWarning', here('agent.ts'), JSON.stringify({ stateDir: gateway.stateDir, https: gateway.https, originPort, policy: ['reach udp 127.16.0.0/12 *'] })], true);
      const memory = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))![1]) / 1_024;
      const before = { gateway: cpuMs(gateway.pid), agent: cpuMs(agent.pid) };
      const startedAt = performance.now();
      const perSecond: number[] = [];
      let datagrams = datagramsSent();
      const first = datagrams;
      const sampling = setInterval(() => {
        const now = datagramsSent();
        perSecond.push(now - datagrams);
        datagrams = now;
      }, 1_000);
      const done = (await gateway.ask('probe\n')) as { good: number; failed: number; failure?: string };
      clearInterval(sampling);
      if (done.failed > 0) process.stderr.write(`${done.failure}\n`);
      const seconds = (performance.now() - startedAt) / 1_000;
      // Half of what was sent are answers.
      const peak = Math.max(...perSecond) / 2;
      const perDevice = { gateway: (cpuMs(gateway.pid) - before.gateway) / DEVICES, agent: (cpuMs(agent.pid) - before.agent) / DEVICES };
      report('probe of 1,000 devices through one agent', seconds, 's', 'reported', done.good === DEVICES, `${done.good} profiles, ${done.failed} failures; ${((datagramsSent() - first) / 2 / DEVICES).toFixed(1)} questions a device; at 200 questions a second allowed, at most ${peak.toFixed(0)} were sent in one; CPU a device: agent ${perDevice.agent.toFixed(1)} ms, gateway ${perDevice.gateway.toFixed(1)} ms; agent at most ${memory().toFixed(0)} MB`);
    },
  };
}

function addressAt(i: number): string {
  return `127.16.${Math.floor(i / 254)}.${(i % 254) + 1}`;
}

/** By everybody on this machine. */
const datagramsSent = (): number => Number(/^Udp: \d.*$/m.exec(readFileSync('/proc/net/snmp', 'utf8'))![0].split(' ')[4]);

async function startPrinters(i: number, addresses: readonly string[], port: number): Promise<void> {
  const dir = join(folder, `snmpd-${i}`);
  mkdirSync(join(dir, 'state'), { recursive: true });
  const conf = write(`snmpd-${i}/snmpd.conf`, `rocommunity public 127.0.0.0/8\n${readFileSync(join(import.meta.dirname, '..', 'test', 'corpus', 'printers', 'hp.conf'), 'utf8')}`);
  const { child } = await start(LOAD_CORE, 'env', [`SNMP_PERSISTENT_DIR=${join(dir, 'state')}`, 'MIBS=', 'snmpd', '-f', '-LE', '3', '-C', '-c', conf, '-I', 'override,vacm_conf,vacm_context,vacm_vars,usmConf,usmUser,usmStats,snmpEngine,snmpMPDStats', ...addresses.map((each) => `udp:${each}:${port}`)], false);
  await new Promise((ready) => setTimeout(ready, 2_000));
  if (child.exitCode !== null) throw new Error('snmpd did not start');
}
