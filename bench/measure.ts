// One measurement: load from wrk or curl on its own core, cost read from the proxy's process.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { cpuMs, LOAD_CORE, write } from './processes.ts';

const run = promisify(execFile);

/** A browser's head: with Host and Cookie about 700 bytes in 12 lines. */
const BROWSER: readonly (readonly [string, string])[] = [
  ['User-Agent', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36'],
  ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8'],
  ['Accept-Encoding', 'gzip, deflate, br, zstd'],
  ['Accept-Language', 'en-GB,en;q=0.9,de;q=0.8'],
  ['Cache-Control', 'max-age=0'],
  ['Sec-Ch-Ua', '\\"Chromium\\";v=\\"130\\", \\"Not?A_Brand\\";v=\\"99\\"'],
  ['Sec-Ch-Ua-Mobile', '?0'],
  ['Sec-Ch-Ua-Platform', '\\"Linux\\"'],
  ['Sec-Fetch-Dest', 'document'],
  ['Sec-Fetch-Mode', 'navigate'],
  ['Sec-Fetch-Site', 'none'],
];

export interface LoadOptions {
  readonly url: string;
  readonly host: string;
  readonly cookie?: string;
  readonly pid: number;
  readonly seconds: number;
  readonly connections: number;
  /** Each request's head differs from the last one's. */
  readonly varying?: boolean;
  /** A connection for each request. */
  readonly closing?: boolean;
}

export interface Load {
  readonly requests: number;
  readonly perSecond: number;
  readonly cpuUsPerRequest: number;
  readonly medianUs: number;
  readonly errors: number;
}

export async function load(options: LoadOptions): Promise<Load> {
  const lines = [...BROWSER, ['Host', options.host] as const, ...(options.cookie ? [['Cookie', options.cookie] as const] : []), ...(options.closing ? [['Connection', 'close'] as const] : [])];
  const script = `${lines.map(([name, value]) => `wrk.headers["${name}"]="${value}"`).join('\n')}
${options.varying ? 'local n=0\nrequest=function() n=n+1; wrk.headers["Accept-Language"]="en;q=0."..(n%1000); return wrk.format() end' : ''}
done=function(s,l,r) io.write(string.format('{"requests":%d,"us":%d,"p50":%d,"errors":%d}\\n', s.requests, s.duration, l:percentile(50), s.errors.connect+s.errors.read+s.errors.write+s.errors.status+s.errors.timeout)) end`;
  const file = write('wrk.lua', script);
  const before = cpuMs(options.pid);
  const { stdout } = await run('taskset', ['-c', LOAD_CORE, 'wrk', '-t1', `-c${options.connections}`, `-d${options.seconds}s`, '-s', file, options.url]);
  const cpu = cpuMs(options.pid) - before;
  const figures = JSON.parse(stdout.split('\n').find((line) => line.startsWith('{'))!) as { requests: number; us: number; p50: number; errors: number };
  return { requests: figures.requests, perSecond: figures.requests / (figures.us / 1e6), cpuUsPerRequest: (cpu * 1000) / figures.requests, medianUs: figures.p50, errors: figures.errors };
}

/** One download to nowhere: CPU milliseconds of the proxy per GB (2^30 bytes), and how long it took. */
export async function download(options: { url: string; host: string; cookie?: string; pid: number; resolve?: string }): Promise<{ cpuMsPerGb: number; seconds: number }> {
  const before = cpuMs(options.pid);
  const args = ['-c', LOAD_CORE, 'curl', '-sk', '-o', '/dev/null', '-w', '%{http_code} %{size_download} %{time_total}', '-H', `Host: ${options.host}`, '-H', 'Sec-Fetch-Site: none', ...(options.cookie ? ['-H', `Cookie: ${options.cookie}`] : []), ...(options.resolve ? ['--resolve', options.resolve] : []), options.url];
  const { stdout } = await run('taskset', args);
  const [status, bytes, seconds] = stdout.split(' ').map(Number);
  if (status !== 200 || bytes !== 2 ** 30) throw new Error(`the download ended with ${stdout}`);
  return { cpuMsPerGb: cpuMs(options.pid) - before, seconds: seconds! };
}

/** HTTP/2 from h2load: `streams` at once on each of `connections`. */
export async function loadH2(options: { url: string; host: string; pid: number; seconds: number; connections: number; streams: number }): Promise<Load> {
  const before = cpuMs(options.pid);
  const { stdout } = await run('taskset', ['-c', LOAD_CORE, 'h2load', '-t1', `-c${options.connections}`, `-m${options.streams}`, '-D', String(options.seconds), '--warm-up-time=0', `--header=:authority: ${options.host}`, ...BROWSER.map(([name, value]) => `--header=${name.toLowerCase()}: ${value.replaceAll('\\"', '"')}`), options.url]);
  const cpu = cpuMs(options.pid) - before;
  const done = /requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed/.exec(stdout);
  if (!done) throw new Error(`h2load said ${stdout}`);
  const requests = Number(done[3]);
  return { requests, perSecond: requests / options.seconds, cpuUsPerRequest: (cpu * 1000) / requests, medianUs: 0, errors: Number(done[4]) };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}
