// The front door against those who do the same: bytes and connections of plain relays, TLS passed through by name, handshakes, HTTP/2, and
// what a connection costs that only stands there.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { download, load, loadH2, median, type Load } from './measure.ts';
import { certificate, folder, freePort, has, LOAD_CORE, PROXY_CORE, start, stop, waitForPort, write } from './processes.ts';
import type { BenchedGateway } from './run.ts';

interface Room {
  readonly rounds: number;
  readonly seconds: number;
  report(name: string, figure: number, unit: string, bar: string, met: boolean, detail: string): void;
  progress(text: string): void;
  compare(title: string, contenders: readonly { name: string; pid: number; url: string; host: string; closing?: boolean; resets?: boolean }[], connections?: number): Promise<Map<string, Load>>;
  startGateway(order: object): Promise<BenchedGateway>;
}

const shop = 'shop.example.test';
const us = (figures: Map<string, Load>, name: string) => figures.get(name)!.cpuUsPerRequest;

async function startPinned(name: string, command: string, args: readonly string[], port: number): Promise<{ name: string; pid: number; port: number }> {
  const { pid } = await start(PROXY_CORE, command, args, false);
  await waitForPort(port);
  return { name, pid, port };
}

async function startTcpPeers(originPort: number): Promise<{ name: string; pid: number; port: number }[]> {
  const peers: { name: string; pid: number; port: number }[] = [];
  const port = await freePort();
  const config = write('haproxy-tcp.cfg', `global
  nbthread 1
defaults
  mode tcp
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  server o 127.0.0.1:${originPort}
`);
  peers.push(await startPinned('haproxy', 'haproxy', ['-f', config, '-q'], port));
  if (has('sslh-select')) {
    const at = await freePort();
    // It tells every connection on stderr.
    peers.push(await startPinned('sslh', 'sh', ['-c', `exec sslh-select -f -n -p 127.0.0.1:${at} --http 127.0.0.1:${originPort} --user root 2>/dev/null`], at));
  }
  return peers;
}

/** Rounds in turn; milliseconds of CPU per GB. */
async function bytes(room: Room, title: string, contenders: readonly { name: string; pid: number; url: string; resolve?: string }[]): Promise<Map<string, number>> {
  const cost = new Map(contenders.map((each) => [each.name, [] as number[]]));
  for (let round = 0; round <= Math.min(room.rounds, 5); round++) {
    for (const each of contenders) {
      room.progress(`${title}: round ${round}, ${each.name}`);
      const { cpuMsPerGb } = await download({ ...each, host: shop });
      if (round > 0) cost.get(each.name)!.push(cpuMsPerGb);
    }
  }
  room.progress('');
  return new Map([...cost].map(([name, list]) => [name, median(list)]));
}

async function startTlsOrigin(): Promise<number> {
  const port = await freePort();
  const { cert, key } = certificate();
  const config = write('origin-tls.conf', `worker_processes 1; daemon off; pid ${folder}/origin-tls.pid; error_log ${folder}/origin-tls.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; sendfile on; server { listen 127.0.0.1:${port} ssl; ssl_certificate ${cert}; ssl_certificate_key ${key}; location / { default_type text/plain; return 200 "${'0123456789'.repeat(10)}"; } location /big { alias ${join(folder, 'big')}; } } }`);
  await start(LOAD_CORE, 'nginx', ['-c', config, '-e', `${folder}/origin-tls.err`], false);
  await waitForPort(port);
  return port;
}

async function startSniPeers(tlsPort: number): Promise<{ name: string; pid: number; port: number }[]> {
  const [h, n] = [await freePort(), await freePort()];
  const haproxy = write('haproxy-sni.cfg', `global
  nbthread 1
defaults
  mode tcp
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend f
  bind 127.0.0.1:${h}
  tcp-request inspect-delay 5s
  tcp-request content accept if { req_ssl_hello_type 1 }
  use_backend b if { req_ssl_sni -i ${shop} }
backend b
  server o 127.0.0.1:${tlsPort}
`);
  const peers = [await startPinned('haproxy', 'haproxy', ['-f', haproxy, '-q'], h)];
  const module = '/usr/lib/nginx/modules/ngx_stream_module.so';
  try {
    readFileSync(module);
    const nginx = write('nginx-sni.conf', `load_module ${module}; worker_processes 1; daemon off; pid ${folder}/nginx-sni.pid; error_log ${folder}/nginx-sni.err;
events { worker_connections 4096; }
stream { map $ssl_preread_server_name $to { ${shop} 127.0.0.1:${tlsPort}; } server { listen 127.0.0.1:${n}; ssl_preread on; proxy_pass $to; } }`);
    peers.push(await startPinned('nginx', 'nginx', ['-c', nginx, '-e', `${folder}/nginx-sni.err`], n));
  } catch {
    // The module is a package of its own (libnginx-mod-stream).
  }
  return peers;
}

async function startNginxH2(originPort: number): Promise<{ pid: number; port: number }> {
  const port = await freePort();
  const { cert, key } = certificate();
  const config = write('nginx-h2.conf', `worker_processes 1; daemon off; pid ${folder}/nginx-h2.pid; error_log ${folder}/nginx-h2.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000;
upstream origin { server 127.0.0.1:${originPort}; keepalive 128; keepalive_requests 100000000; }
server { listen 127.0.0.1:${port} ssl http2; ssl_certificate ${cert}; ssl_certificate_key ${key}; ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256; http2_max_concurrent_streams 128;
location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; } } }`);
  const { pid } = await startPinned('nginx', 'nginx', ['-c', config, '-e', `${folder}/nginx-h2.err`], port);
  return { pid, port };
}

export function buildFrontDoorBenches(room: Room): Record<string, (originPort: number) => Promise<void>> {
  const { report } = room;
  return {
    async relay(originPort) {
      const peers = await startTcpPeers(originPort);
      const gateway = await room.startGateway({ originPort, routes: 1, direct: true, listeners: [{ name: 'raw', tls: false, protocols: ['tcp'], serverFirst: true }], more: [{ name: 'raw', protocol: 'tcp', listeners: ['raw'], target: { kind: 'tcp', host: '127.0.0.1', port: originPort } }] });
      const all = [...peers, { name: 'postern', pid: gateway.pid, port: gateway.listeners['raw']! }];
      const perGb = await bytes(room, 'relay bytes', all.map((each) => ({ ...each, url: `http://127.0.0.1:${each.port}/big` })));
      const others = (figures: (name: string) => string) => peers.slice(1).map((each) => `; ${each.name} ${figures(each.name)}`).join('');
      const gb = perGb.get('postern')! / perGb.get('haproxy')!;
      report('L4 relay, CPU per GB', gb, '× HAProxy (mode tcp)', '≤ 1.2', gb <= 1.2, `${perGb.get('postern')} ms against ${perGb.get('haproxy')} ms${others((name) => `${perGb.get(name)} ms`)}`);
      const conns = await room.compare('relay connections', all.map((each) => ({ ...each, url: `http://127.0.0.1:${each.port}/`, host: shop, closing: true, ...(each.name === 'sslh' ? { resets: true } : {}) })));
      const ratio = us(conns, 'postern') / us(conns, 'haproxy');
      report('L4 relay, CPU per connection', ratio, '× HAProxy (mode tcp)', '≤ 1.5', ratio <= 1.5, `${us(conns, 'postern').toFixed(1)} µs against ${us(conns, 'haproxy').toFixed(1)} µs; ${Math.round(conns.get('postern')!.perSecond)} against ${Math.round(conns.get('haproxy')!.perSecond)} connections/s${others((name) => `${us(conns, name).toFixed(1)} µs`)}`);
    },

    async pass(originPort) {
      const tlsPort = await startTlsOrigin();
      const peers = await startSniPeers(tlsPort);
      const gateway = await room.startGateway({ originPort, routes: 1, direct: true, listeners: [{ name: 'sni', tls: false, protocols: ['tls'] }], more: [{ name: 'sni', protocol: 'tls', host: shop, listeners: ['sni'], target: { kind: 'tcp', host: '127.0.0.1', port: tlsPort } }] });
      const all = [...peers, { name: 'postern', pid: gateway.pid, port: gateway.listeners['sni']! }];
      const perGb = await bytes(room, 'pass-through bytes', all.map((each) => ({ ...each, url: `https://${shop}:${each.port}/big`, resolve: `${shop}:${each.port}:127.0.0.1` })));
      const gb = perGb.get('postern')! / perGb.get('haproxy')!;
      report('TLS passed through by SNI, CPU per GB', gb, '× HAProxy', '≤ 1.2', gb <= 1.2, all.map((each) => `${each.name} ${perGb.get(each.name)} ms`).join(', '));
      // wrk sends the host of its address as SNI: the names have to resolve.
      const conns = await compareByName(room, all);
      const ratio = us(conns, 'postern') / us(conns, 'haproxy');
      report('TLS passed through by SNI, CPU per connection', ratio, '× HAProxy', '≤ 1.5', ratio <= 1.5, all.map((each) => `${each.name} ${us(conns, each.name).toFixed(1)} µs`).join(', '));
    },

    async handshakes(originPort) {
      const { startNginx } = await import('./processes.ts');
      const nginx = await startNginx(originPort);
      const gateway = await room.startGateway({ originPort, routes: 1, direct: true });
      const figures = await room.compare('handshakes', [{ name: 'nginx', pid: nginx.pid, url: `https://127.0.0.1:${nginx.https}/`, host: shop, closing: true }, { name: 'postern', pid: gateway.pid, url: `https://127.0.0.1:${gateway.https}/`, host: shop, closing: true }], 32);
      const ratio = us(figures, 'postern') / us(figures, 'nginx');
      report('TLS handshakes (EC P-256) with one request each, CPU', ratio, '× nginx', 'reported', true, `${us(figures, 'postern').toFixed(0)} µs against ${us(figures, 'nginx').toFixed(0)} µs; ${Math.round(1e6 / us(figures, 'postern'))} against ${Math.round(1e6 / us(figures, 'nginx'))} per CPU second`);
      const costs = ['rsa2048', 'rsa3072', 'rsa4096', 'ecdsap256', 'ecdsap384'].map((kind) => `${kind} ${signaturesPerSecond(kind)}`).join(', ');
      report('signatures per second by key type (openssl speed)', 1, '', 'reported', true, costs);
    },

    async h2(originPort) {
      const nginx = await startNginxH2(originPort);
      const gateway = await room.startGateway({ originPort, routes: 1, direct: true });
      const cost = { nginx: [] as Load[], postern: [] as Load[] };
      for (let round = 0; round <= room.rounds; round++) {
        const order = { host: shop, seconds: room.seconds, connections: 8, streams: 8 };
        const n = await loadH2({ ...order, pid: nginx.pid, url: `https://127.0.0.1:${nginx.port}/` });
        const p = await loadH2({ ...order, pid: gateway.pid, url: `https://127.0.0.1:${gateway.https}/` });
        if (n.errors + p.errors > 0) throw new Error(`h2: ${n.errors} and ${p.errors} errors`);
        if (round === 0) continue;
        cost.nginx.push(n);
        cost.postern.push(p);
      }
      const mid = (list: readonly Load[]) => median(list.map((each) => each.cpuUsPerRequest));
      const ratio = mid(cost.postern) / mid(cost.nginx);
      report('HTTP/2 (h2load), CPU per request', ratio, '× nginx', 'reported', true, `${mid(cost.postern).toFixed(1)} µs against ${mid(cost.nginx).toFixed(1)} µs; ${Math.round(median(cost.postern.map((each) => each.perSecond)))} against ${Math.round(median(cost.nginx.map((each) => each.perSecond)))} requests/s`);
    },

    async idle(originPort) {
      const count = 10_000;
      const gateway = await room.startGateway({ originPort, routes: 1, direct: true });
      for (const [name, port, tls] of [['plain', gateway.http, false], ['TLS', gateway.https, true]] as const) {
        const before = (await gateway.ask('memory\n')) as { rss: number; heap: number };
        const crowd = await start(LOAD_CORE, process.execPath, ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'crowd.ts'), JSON.stringify({ port, count, tls, host: shop })], true);
        const after = (await gateway.ask('memory\n')) as { rss: number; heap: number; conns: number };
        if (after.conns < count) throw new Error(`${after.conns} connections instead of ${count}`);
        const good = await load({ url: `http${tls ? 's' : ''}://127.0.0.1:${port}/`, host: shop, pid: gateway.pid, seconds: 2, connections: 1 });
        report(`10,000 idle connections (${name}), memory each`, (after.rss - before.rss) / count / 1024, 'KiB (RSS)', 'reported', good.errors === 0 && good.medianUs < 1_000_000, `heap ${((after.heap - before.heap) / count / 1024).toFixed(1)} KiB each; a good client among them: median ${good.medianUs} µs, ${good.errors} errors`);
        await stop(crowd.child);
      }
    },
  };
}

function signaturesPerSecond(kind: string): string {
  const text = execFileSync('taskset', ['-c', PROXY_CORE, 'openssl', 'speed', '-seconds', '1', kind], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const line = text.trim().split('\n').at(-1)!;
  return /([\d.]+)\s+([\d.]+)\s*$/.exec(line)?.[1] ?? '?';
}

/** wrk takes the SNI from its address: this machine resolves the name to loopback for it alone. */
async function compareByName(room: Room, all: readonly { name: string; pid: number; port: number }[]): Promise<Map<string, Load>> {
  const figures = new Map<string, Load[]>(all.map((each) => [each.name, []]));
  for (let round = 0; round <= room.rounds; round++) {
    for (const each of all) {
      const { connectMany } = await import('./connect-many.ts');
      const one = await connectMany({ pid: each.pid, port: each.port, serverName: shop, seconds: room.seconds });
      if (round > 0) figures.get(each.name)!.push(one);
    }
  }
  return new Map([...figures].map(([name, list]) => [name, { ...list[0]!, cpuUsPerRequest: median(list.map((each) => each.cpuUsPerRequest)), perSecond: median(list.map((each) => each.perSecond)) }]));
}
