// npm run bench [-- NAME… --json FILE --rounds N --seconds N]: every figure of docs/benchmarks.md, as ratios against real peers in one run.
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { buildApplicationBenches } from './applications.ts';
import { buildFrontDoorBenches } from './front-door.ts';
import { buildIntakeBenches } from './intake.ts';
import { download, load, median, type Load } from './measure.ts';
import { has, LOAD_CORE, PROXY_CORE, start, startCaddy, startHaproxy, startNginx, startOrigin, stop, stopAll } from './processes.ts';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { json: { type: 'string' }, rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '4' } } });
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const node = process.execPath;
const flags = ['--disable-warning=ExperimentalWarning'];
const here = (file: string) => join(import.meta.dirname, file);

interface Row {
  readonly name: string;
  readonly figure: number;
  readonly unit: string;
  readonly bar: string;
  readonly met: boolean;
  readonly detail: string;
}
const rows: Row[] = [];
const report = (name: string, figure: number, unit: string, bar: string, met: boolean, detail: string) => {
  rows.push({ name, figure, unit, bar, met, detail });
  process.stdout.write(`${met ? 'met   ' : 'MISSED'} ${name}: ${figure.toFixed(2)} ${unit} (bar ${bar}) — ${detail}\n`);
};
const progress = (text: string) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
};

interface Contender {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
  readonly host: string;
  readonly cookie?: string;
  readonly varying?: boolean;
  readonly closing?: boolean;
  /** It ends connections by a reset, which wrk counts as errors (sslh). */
  readonly resets?: boolean;
}

/** Rounds in turn, so that what else the machine does hits all alike; the first round warms up and does not count. */
async function compare(title: string, contenders: readonly Contender[], connections = 64): Promise<Map<string, Load>> {
  const all = new Map<string, Load[]>(contenders.map((each) => [each.name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const each of contenders) {
      progress(`${title}: round ${round} of ${rounds}, ${each.name}`);
      const figures = await load({ ...each, seconds: round === 0 ? 2 : seconds, connections });
      if (figures.errors > 0 && !each.resets) throw new Error(`${title}: ${each.name} had ${figures.errors} errors`);
      if (round > 0) all.get(each.name)!.push(figures);
    }
  }
  progress('');
  const result = new Map<string, Load>();
  for (const [name, list] of all) {
    const mid: Load = { requests: 0, errors: 0, perSecond: median(list.map((each) => each.perSecond)), cpuUsPerRequest: median(list.map((each) => each.cpuUsPerRequest)), medianUs: median(list.map((each) => each.medianUs)) };
    result.set(name, mid);
    process.stdout.write(`       ${title} · ${name}: ${mid.cpuUsPerRequest.toFixed(1)} µs CPU/request, ${Math.round(mid.perSecond)} requests/s\n`);
  }
  return result;
}

export type BenchedGateway = Awaited<ReturnType<typeof start>> & { http: number; https: number; cookie: string; stateDir: string; tokens: string[]; listeners: Record<string, number> };

async function startGateway(order: object): Promise<BenchedGateway> {
  const started = await start(PROXY_CORE, node, [...flags, '--expose-gc', here('gateway.ts'), JSON.stringify(order)], true);
  return { ...started, ...(started.line as Omit<BenchedGateway, keyof typeof started>) };
}

const cpuOf = (figures: Map<string, Load>, name: string) => figures.get(name)!.cpuUsPerRequest;

const benches: Record<string, (originPort: number) => Promise<void>> = {
  async http(originPort) {
    const nginx = await startNginx(originPort);
    const haproxy = has('haproxy') ? await startHaproxy(originPort) : null;
    const caddy = has('caddy') ? await startCaddy(originPort) : null;
    const gateway = await startGateway({ originPort, routes: 10, direct: true });
    const bench = `bench.localhost:${gateway.http}`;
    const url = (port: number) => `http://127.0.0.1:${port}/`;
    const shop = 'shop.example.test';
    const plain = await compare('plain', [
      { name: 'nginx', pid: nginx.pid, url: url(nginx.http), host: shop },
      { name: 'postern bare', pid: gateway.pid, url: url(gateway.http), host: shop },
      { name: 'postern bare, heads that differ', pid: gateway.pid, url: url(gateway.http), host: shop, varying: true },
      { name: 'nginx, heads that differ', pid: nginx.pid, url: url(nginx.http), host: shop, varying: true },
      { name: 'postern signed in', pid: gateway.pid, url: url(gateway.http), host: bench, cookie: gateway.cookie },
      { name: 'nginx with the cookie', pid: nginx.pid, url: url(nginx.http), host: bench, cookie: gateway.cookie },
      ...(haproxy ? [{ name: 'haproxy', pid: haproxy.pid, url: url(haproxy.http), host: shop }] : []),
      ...(caddy ? [{ name: 'caddy', pid: caddy.pid, url: url(caddy.http), host: shop }] : []),
    ]);
    const ratio = cpuOf(plain, 'postern bare') / cpuOf(plain, 'nginx');
    report('bare route, CPU per request', ratio, '× nginx', '≤ 1.4', ratio <= 1.4, `${cpuOf(plain, 'postern bare').toFixed(1)} µs against ${cpuOf(plain, 'nginx').toFixed(1)} µs${haproxy ? `; HAProxy ${cpuOf(plain, 'haproxy').toFixed(1)} µs` : ''}`);
    const varying = cpuOf(plain, 'postern bare, heads that differ') / cpuOf(plain, 'nginx, heads that differ');
    report('bare route, heads that differ each time', varying, '× nginx', 'reported', true, `${cpuOf(plain, 'postern bare, heads that differ').toFixed(1)} µs against ${cpuOf(plain, 'nginx, heads that differ').toFixed(1)} µs`);
    if (caddy) {
      const more = cpuOf(plain, 'caddy') / cpuOf(plain, 'postern bare');
      report('bare route, requests per CPU second', more, '× Caddy', '≥ 4', more >= 4, `Caddy ${cpuOf(plain, 'caddy').toFixed(1)} µs`);
    }
    const signed = cpuOf(plain, 'postern signed in') / cpuOf(plain, 'nginx with the cookie');
    report('signed-in device host, CPU per request', signed, '× nginx', '≤ 1.6', signed <= 1.6, `${cpuOf(plain, 'postern signed in').toFixed(1)} µs against ${cpuOf(plain, 'nginx with the cookie').toFixed(1)} µs`);
  },

  async tls(originPort) {
    const nginx = await startNginx(originPort);
    const haproxy = has('haproxy') ? await startHaproxy(originPort) : null;
    const gateway = await startGateway({ originPort, routes: 10, direct: true });
    const url = (port: number) => `https://127.0.0.1:${port}/`;
    const bench = `bench.localhost:${gateway.https}`;
    const shop = 'shop.example.test';
    const over = await compare('TLS', [
      { name: 'nginx', pid: nginx.pid, url: url(nginx.https), host: shop },
      { name: 'postern bare', pid: gateway.pid, url: url(gateway.https), host: shop },
      { name: 'postern signed in', pid: gateway.pid, url: url(gateway.https), host: bench, cookie: gateway.cookie },
      { name: 'nginx with the cookie', pid: nginx.pid, url: url(nginx.https), host: bench, cookie: gateway.cookie },
      ...(haproxy ? [{ name: 'haproxy', pid: haproxy.pid, url: url(haproxy.https), host: shop }] : []),
    ]);
    const ratio = cpuOf(over, 'postern bare') / cpuOf(over, 'nginx');
    report('bare route over TLS, CPU per request', ratio, '× nginx', '≤ 1.4', ratio <= 1.4, `${cpuOf(over, 'postern bare').toFixed(1)} µs against ${cpuOf(over, 'nginx').toFixed(1)} µs${haproxy ? `; HAProxy ${cpuOf(over, 'haproxy').toFixed(1)} µs` : ''}`);
    const signed = cpuOf(over, 'postern signed in') / cpuOf(over, 'nginx with the cookie');
    report('signed-in device host over TLS, CPU per request', signed, '× nginx', '≤ 1.6', signed <= 1.6, `${cpuOf(over, 'postern signed in').toFixed(1)} µs against ${cpuOf(over, 'nginx with the cookie').toFixed(1)} µs`);
  },

  async download(originPort) {
    const nginx = await startNginx(originPort);
    const gateway = await startGateway({ originPort, routes: 10, direct: true });
    const cost = { nginx: [] as number[], postern: [] as number[] };
    for (let round = 0; round <= Math.min(rounds, 5); round++) {
      progress(`download: round ${round}`);
      const n = await download({ url: `http://127.0.0.1:${nginx.http}/big`, host: 'shop.example.test', pid: nginx.pid });
      const p = await download({ url: `http://127.0.0.1:${gateway.http}/big`, host: 'shop.example.test', pid: gateway.pid });
      if (round === 0) continue;
      cost.nginx.push(n.cpuMsPerGb);
      cost.postern.push(p.cpuMsPerGb);
    }
    progress('');
    const ratio = median(cost.postern) / median(cost.nginx);
    report('1 GB download, CPU per GB', ratio, '× nginx (proxy_buffering off)', '≤ 1', ratio <= 1, `${median(cost.postern)} ms against ${median(cost.nginx)} ms`);
  },

  async tunnel(originPort) {
    const direct = await startGateway({ originPort, routes: 10, direct: true });
    const through = await startGateway({ originPort, routes: 10, direct: false });
    const agent = await start(LOAD_CORE, node, [...flags, here('agent.ts'), JSON.stringify({ stateDir: through.stateDir, https: through.https, originPort })], true);
    const contender = (name: string, gateway: typeof direct): Contender => ({ name, pid: gateway.pid, url: `http://127.0.0.1:${gateway.http}/`, host: `bench.localhost:${gateway.http}`, cookie: gateway.cookie });
    const figures = await compare('tunnel', [contender('direct', direct), contender('through', through)]);
    const ratio = cpuOf(figures, 'through') / cpuOf(figures, 'direct');
    report('through the tunnel, gateway CPU per request', ratio, '× signed-in direct', '≤ 1', ratio <= 1, `${cpuOf(figures, 'through').toFixed(1)} µs against ${cpuOf(figures, 'direct').toFixed(1)} µs; ${Math.round(figures.get('through')!.perSecond)} requests/s with agent, origin and load on one core`);
    const one = await compare('one connection', [contender('direct', direct), contender('through', through)], 1);
    const added = (one.get('through')!.medianUs - one.get('direct')!.medianUs) / 1000;
    report('added median latency at one connection', added, 'ms', '< 0.3', added < 0.3, `${one.get('through')!.medianUs} µs against ${one.get('direct')!.medianUs} µs`);
    const cost = { direct: [] as number[], through: [] as number[] };
    for (let round = 0; round <= Math.min(rounds, 3); round++) {
      progress(`tunnel download: round ${round}`);
      const d = await download({ url: `http://127.0.0.1:${direct.http}/big`, host: `bench.localhost:${direct.http}`, cookie: direct.cookie, pid: direct.pid });
      const t = await download({ url: `http://127.0.0.1:${through.http}/big`, host: `bench.localhost:${through.http}`, cookie: through.cookie, pid: through.pid });
      if (round === 0) continue;
      cost.direct.push(d.cpuMsPerGb);
      cost.through.push(t.cpuMsPerGb);
    }
    progress('');
    const perGb = median(cost.through) / median(cost.direct);
    report('1 GB through the tunnel, gateway CPU per GB', perGb, '× direct', '≤ 2', perGb <= 2, `${median(cost.through)} ms against ${median(cost.direct)} ms`);
    await stop(agent.child);
  },

  async links(originPort) {
    const count = 1_000;
    const gateway = await startGateway({ originPort, routes: 1, direct: false, tokens: count });
    const before = (await gateway.ask('memory\n')) as { rss: number; heap: number };
    const agents = await start(LOAD_CORE, node, [...flags, here('links.ts')], false);
    agents.child.stdin!.write(`${JSON.stringify({ tokens: gateway.tokens, https: gateway.https })}\n`);
    await new Promise<void>((done) => agents.child.stdout!.once('data', () => done()));
    await new Promise((done) => setTimeout(done, 2_000));
    const after = (await gateway.ask('memory\n')) as { rss: number; heap: number; links: number };
    if (after.links !== count) throw new Error(`${after.links} links instead of ${count}`);
    report('1,000 idle links, memory per link', (after.rss - before.rss) / count / 1024, 'KiB (RSS)', 'reported', true, `heap ${((after.heap - before.heap) / count / 1024).toFixed(1)} KiB per link, the rows of 1,000 joined devices included`);
    await stop(agents.child);
  },

  async routes(originPort) {
    const few = await startGateway({ originPort, routes: 10, direct: true });
    const many = await startGateway({ originPort, routes: 100_000, direct: true });
    const figures = await compare('routes', [
      { name: '10', pid: few.pid, url: `http://127.0.0.1:${few.http}/`, host: 'shop.example.test' },
      { name: '100,000', pid: many.pid, url: `http://127.0.0.1:${many.http}/`, host: 'shop.example.test' },
    ]);
    const ratio = cpuOf(figures, '100,000') / cpuOf(figures, '10');
    report('100,000 routes against 10, CPU per request', ratio, '×', 'within noise (≤ 1.1)', ratio <= 1.1, `${cpuOf(figures, '100,000').toFixed(1)} µs against ${cpuOf(figures, '10').toFixed(1)} µs`);
  },
};

Object.assign(benches, buildFrontDoorBenches({ rounds, seconds, report, progress, compare, startGateway }), buildIntakeBenches({ rounds, seconds, report, progress }), buildApplicationBenches({ rounds, seconds, report, progress, startGateway }));

const unknown = positionals.filter((name) => !(name in benches));
if (unknown.length > 0) {
  process.stderr.write(`postern: there is no bench ${unknown.join(', ')}; there are ${Object.keys(benches).join(', ')}\n`);
  process.exit(2);
}
const missing = ['nginx', 'wrk', 'curl', 'openssl', 'taskset'].filter((each) => !has(each));
if (missing.length > 0) {
  process.stderr.write(`postern: the benchmarks need ${missing.join(', ')}: sudo sh scripts/install-peers.sh\n`);
  process.exit(1);
}
for (const name of positionals.length > 0 ? positionals : Object.keys(benches)) {
  try {
    await benches[name]!(await startOrigin());
  } finally {
    await stopAll();
  }
}
if (values.json) {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: here('..'), encoding: 'utf8' }).trim();
  writeFileSync(values.json, `${JSON.stringify({ commit, at: new Date().toISOString(), cpu: cpus()[0]!.model, node: process.version, rounds, seconds, rows }, null, 2)}\n`);
}
process.exit(rows.every((row) => row.met) ? 0 : 1);
