// Starting what is measured and what measures, each on its core, and reading what it cost.
import { spawn, type ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
const children: ChildProcess[] = [];
/** The proxies on one core, everything that loads or answers them on another. */
export const PROXY_CORE = '0';
export const LOAD_CORE = '1';

export function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => done(port));
    });
  });
}

/** A pinned process; its first line of JSON is awaited where wanted. */
export async function start(core: string, command: string, args: readonly string[], wantsLine: boolean): Promise<{ pid: number; line: Record<string, unknown>; child: ChildProcess; ask(text: string): Promise<Record<string, unknown>> }> {
  const child = spawn('taskset', ['-c', core, command, ...args], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, GODEBUG: '', GOMAXPROCS: '1', HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder } });
  children.push(child);
  const lines = createInterface({ input: child.stdout! });
  const next = () =>
    new Promise<Record<string, unknown>>((done, failed) => {
      lines.once('line', (line) => done(JSON.parse(line) as Record<string, unknown>));
      child.once('exit', (code) => failed(new Error(`${command} ended with ${code}`)));
    });
  const line = wantsLine ? await next() : {};
  return { pid: child.pid!, line, child, ask: (text) => { const answer = next(); child.stdin!.write(text); return answer; } };
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once('exit', done));
  child.stdin?.end();
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(killer);
}

export async function stopAll(): Promise<void> {
  for (const child of children.splice(0).reverse()) await stop(child);
  rmSync(folder, { recursive: true, force: true });
}

/** User and system time of a process and its children, in milliseconds. */
export function cpuMs(pid: number): number {
  let sum = 0;
  const walk = (id: number) => {
    const stat = readFileSync(`/proc/${id}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    sum += (Number(fields[11]) + Number(fields[12])) * 10;
    for (const task of readdirSync(`/proc/${id}/task`)) {
      for (const child of readFileSync(`/proc/${id}/task/${task}/children`, 'utf8').trim().split(' ')) if (child !== '') walk(Number(child));
    }
  };
  walk(pid);
  return sum;
}

export function has(command: string): boolean {
  try {
    execFileSync('which', [command], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export function write(name: string, text: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** A key and certificate of the kind that the gateway itself uses: ECDSA P-256. */
export function certificate(): { cert: string; key: string } {
  const cert = join(folder, 'cert.pem');
  const key = join(folder, 'key.pem');
  if (!existsSync(cert)) execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', cert, '-days', '30', '-subj', '/CN=shop.example.test'], { stdio: 'ignore' });
  return { cert, key };
}

export async function waitForPort(port: number): Promise<void> {
  const { connect } = await import('node:net');
  for (let i = 0; i < 200; i++) {
    const open = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        done(true);
      });
      socket.on('error', () => done(false));
    });
    if (open) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`nothing listens on ${port}`);
}

/** nginx with one worker as the origin: 100-byte answers, and a 1 GB file. */
export async function startOrigin(): Promise<number> {
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755); // nginx's worker is somebody else when its master is root
  const big = join(folder, 'big');
  execFileSync('truncate', ['-s', '1G', big]);
  const body = '0123456789'.repeat(10);
  const config = write('origin.conf', `worker_processes 1; daemon off; pid ${folder}/origin.pid; error_log ${folder}/origin.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; sendfile on; server { listen 127.0.0.1:${port}; location / { default_type text/plain; return 200 "${body}"; } location /big { alias ${big}; } } }`);
  await start(LOAD_CORE, 'nginx', ['-c', config, '-e', `${folder}/origin.err`], false);
  await waitForPort(port);
  return port;
}

export async function startNginx(originPort: number): Promise<{ pid: number; http: number; https: number }> {
  const [http, https] = [await freePort(), await freePort()];
  const { cert, key } = certificate();
  const config = write('nginx.conf', `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.err;
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000;
upstream origin { server 127.0.0.1:${originPort}; keepalive 128; keepalive_requests 100000000; }
server { listen 127.0.0.1:${http}; listen 127.0.0.1:${https} ssl; ssl_certificate ${cert}; ssl_certificate_key ${key}; ssl_protocols TLSv1.2 TLSv1.3;
location / { proxy_pass http://origin; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection ""; proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host; } } }`);
  const started = await start(PROXY_CORE, 'nginx', ['-c', config, '-e', `${folder}/nginx.err`], false);
  await waitForPort(http);
  return { pid: started.pid, http, https };
}

export async function startHaproxy(originPort: number): Promise<{ pid: number; http: number; https: number }> {
  const [http, https] = [await freePort(), await freePort()];
  const { cert, key } = certificate();
  const pem = write('haproxy.pem', readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'));
  const config = write('haproxy.cfg', `global
  nbthread 1
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  http-reuse always
frontend f
  bind 127.0.0.1:${http}
  bind 127.0.0.1:${https} ssl crt ${pem} alpn http/1.1
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  default_backend b
backend b
  server o 127.0.0.1:${originPort}
`);
  const started = await start(PROXY_CORE, 'haproxy', ['-f', config, '-q'], false);
  await waitForPort(http);
  return { pid: started.pid, http, https };
}

export async function startCaddy(originPort: number): Promise<{ pid: number; http: number; https: number }> {
  const [http, https] = [await freePort(), await freePort()];
  const { cert, key } = certificate();
  const config = write('Caddyfile', `{
  admin off
  auto_https off
  log { 
    level ERROR
  }
}
http://:${http} {
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:${originPort} {
    flush_interval -1
  }
}
https://:${https} {
  bind 127.0.0.1
  tls ${cert} ${key}
  reverse_proxy 127.0.0.1:${originPort}
}
`);
  const started = await start(PROXY_CORE, 'caddy', ['run', '--config', config, '--adapter', 'caddyfile'], false);
  await waitForPort(http);
  return { pid: started.pid, http, https };
}
