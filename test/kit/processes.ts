// Real processes for tests: the gateway and agents started as people start them, and the programs they speak with. Each test opens its
// own set, in a folder of its own; closing it ends every process by its pid and proves that none is left.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { DeviceView, JoinTokenView } from '#api/shapes.ts';
import { request, root, temporaryFolder, until } from './gateway.ts';

const outputCharsMax = 8_000_000;
const stopMs = 10_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Started {
  readonly pid: number;
  /** What it said so far, standard output and error apart. */
  readonly stdout: string;
  readonly stderr: string;
  readonly stdin: NodeJS.WritableStream;
  readonly ended: Promise<Ended>;
  /** Resolves with the match once the output (either) has it; fails when the process ends before. */
  says(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  /** Asks it to end, insists after ten seconds, waits. */
  stop(signal?: NodeJS.Signals): Promise<Ended>;
}

export interface Finished extends Ended {
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface Processes {
  /** Gone when the set is closed. */
  readonly folder: string;
  start(command: string, args: readonly string[], options?: StartOptions): Started;
  /** Starts it and waits for its end; past the time it is killed and the test fails. */
  run(command: string, args: readonly string[], options?: StartOptions & { readonly input?: string | Buffer; readonly timeoutMs?: number }): Promise<Finished>;
  /** Command lines of running processes that name the folder, children of children too. */
  list(): string[];
  /** For what else is to end with the set, last opened first. */
  defer(close: () => Promise<void> | void): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The environment of a person who has never used Postern: nothing of whoever runs the tests leaks in. */
function plainEnvironment(home: string): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '/usr/bin:/bin:/usr/sbin:/sbin', HOME: home, LANG: 'C.UTF-8', TERM: 'xterm', ...(process.env['TMPDIR'] ? { TMPDIR: process.env['TMPDIR'] } : {}) };
}

function watchOver(child: ChildProcess, name: string): Started {
  let stdout = '';
  let stderr = '';
  const lookers = new Set<() => void>();
  const heard = () => lookers.forEach((look) => look());
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    if (stdout.length < outputCharsMax) stdout += text;
    heard();
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < outputCharsMax) stderr += text;
    heard();
  });
  child.stdin!.on('error', () => {});
  let isOver = false;
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      isOver = true;
      resolve({ code, signal });
      heard();
    });
  });
  ended.catch(() => {});
  const started: Started = {
    pid: child.pid ?? -1,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    stdin: child.stdin!,
    ended,
    says: (pattern, timeoutMs = 20_000) =>
      new Promise((resolve, reject) => {
        const settle = () => {
          clearTimeout(timer);
          lookers.delete(look);
        };
        const fail = (why: string) => {
          settle();
          reject(new Error(`${name} ${why}; looked for ${pattern}\n--- stdout\n${stdout.slice(-3_000)}\n--- stderr\n${stderr.slice(-3_000)}`));
        };
        const look = () => {
          const match = pattern.exec(stdout) ?? pattern.exec(stderr);
          if (match) {
            settle();
            resolve(match);
          } else if (isOver) fail('ended');
        };
        const timer = setTimeout(() => fail(`said nothing of the kind within ${timeoutMs / 1000} s`), timeoutMs);
        lookers.add(look);
        look();
      }),
    kill: (signal) => void child.kill(signal),
    async stop(signal = 'SIGTERM') {
      if (!isOver) {
        child.kill(signal);
        // A frozen one does not hear anything but this.
        child.kill('SIGCONT');
      }
      const killer = setTimeout(() => child.kill('SIGKILL'), stopMs);
      try {
        return await ended;
      } finally {
        clearTimeout(killer);
      }
    },
  };
  return started;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** Processes whose command line names the folder: children of children show up here. Linux alone can say. */
function processesNaming(folder: string): string[] {
  if (!existsSync('/proc/self/cmdline')) return [];
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return line.includes(folder) ? [`${pid}: ${line}`] : [];
    } catch {
      return []; // it ended while we looked
    }
  });
}

/** With a test's signal, its processes end when it runs out of time, which would otherwise leave them to wait for ever. */
export function openProcesses(signal?: AbortSignal): Processes {
  const folder = temporaryFolder();
  const home = join(folder.path, 'home');
  mkdirSync(home, { mode: 0o700 });
  const pids: number[] = [];
  const closers: (() => Promise<unknown> | void)[] = [];
  const start: Processes['start'] = (command, args, options = {}) => {
    const child = spawn(command, args, { cwd: options.cwd ?? folder.path, env: { ...plainEnvironment(home), ...options.env }, stdio: ['pipe', 'pipe', 'pipe'] });
    const started = watchOver(child, command);
    if (child.pid !== undefined) pids.push(child.pid);
    signal?.addEventListener('abort', () => void started.stop('SIGKILL').catch(() => {}));
    closers.push(() => started.stop().catch(() => {}));
    return started;
  };
  return {
    folder: folder.path,
    start,
    async run(command, args, options = {}) {
      const started = start(command, args, options);
      started.stdin.end(options.input ?? '');
      const timeoutMs = options.timeoutMs ?? 60_000;
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        started.kill('SIGKILL');
      }, timeoutMs);
      const ended = await started.ended.finally(() => clearTimeout(timer));
      assert.ok(!isLate, `${command} ${args.join(' ')} did not end within ${timeoutMs / 1000} s\n${started.stdout.slice(-2_000)}\n${started.stderr.slice(-2_000)}`);
      return { ...ended, stdout: started.stdout, stderr: started.stderr };
    },
    list: () => processesNaming(folder.path),
    defer: (close) => void closers.push(close),
    async [Symbol.asyncDispose]() {
      for (const close of closers.reverse()) await close();
      assert.deepEqual(pids.filter(isAlive), [], 'processes are left');
      await until('processes of this test to be gone', () => processesNaming(folder.path).length === 0, 5_000).catch((thrown: unknown) => {
        throw new Error(`left behind: ${processesNaming(folder.path).join('\n')}`, { cause: thrown });
      });
      folder[Symbol.dispose]();
    },
  };
}

/**
 * Below what systems hand out by themselves (32768 on Linux): a port that was free a moment ago and is somebody's outgoing connection by now is
 * how a start fails once in a thousand. Each test file, a process of its own, has fifty of them, four apart: SIPp takes the next three for media
 * without being asked.
 */
const ownPorts = { first: 12_000 + (process.pid % 100) * 200, count: 50, apart: 4 };
let portsGiven = 0;

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** For programs that cannot choose one themselves; never the same twice before fifty were given. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < ownPorts.count; tries++) {
    const port = ownPorts.first + (portsGiven++ % ownPorts.count) * ownPorts.apart;
    if (await isFree(port)) return port;
  }
  throw new Error(`no port from ${ownPorts.first} on is free`);
}

/** A file of random bytes, and their SHA-256. */
export async function randomFile(path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path, 'w', 0o644);
  try {
    for (let left = bytes; left > 0; ) {
      const piece = randomBytes(Math.min(left, 1 << 20));
      hash.update(piece);
      await file.write(piece);
      left -= piece.length;
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}

export async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return hash.digest('hex');
}

/** A page of a list of the API. */
export interface Page<Item> {
  readonly items: Item[];
  readonly next: string | null;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** Tests read what they assert on. */
  json<Shape>(): Shape;
}

export interface ServedDevice {
  readonly name: string;
  readonly label: string;
  readonly id: string;
  readonly agentId: string;
  readonly stateDir: string;
  /** The agent's process now. */
  readonly agent: Started;
  /** `<label>.localhost:<http port>` */
  readonly host: string;
  /** What every start of it said. */
  said(): string;
  /** Starts the agent again from its state folder, with a line for every stream, and waits for its link. */
  restart(): Promise<Started>;
  view(): Promise<DeviceView>;
}

export interface ServedDeviceOptions {
  readonly name: string;
  readonly ports: readonly { readonly number: number; readonly kind: 'http' | 'https' | 'tcp' | 'udp'; readonly name?: string }[];
  /** Lines of the agent's local policy; default: reaches the device's ports on 127.0.0.1. */
  readonly policy?: string;
}

export interface Served {
  readonly httpPort: number;
  readonly httpsPort: number;
  readonly dataDir: string;
  readonly caFile: string;
  /** A token of the owner. */
  readonly token: string;
  /** What may be found nowhere after it was used: the setup code, and the owner's cookie line. */
  readonly setupCode: string;
  readonly cookie: string;
  /** The gateway's process now. */
  readonly process: Started;
  /** What every start of it said, on standard error: the log. */
  logs(): string;
  /** Starts it again on the same folder and ports and waits until it is ready. */
  restart(): Promise<Started>;
  api(method: string, path: string, body?: unknown): Promise<Answer>;
  /** As the owner in a browser: for what a token may not do. */
  asPerson<Shape>(method: string, path: string, body?: unknown): Promise<Shape>;
  /** As `api`, and the answer is 200. */
  ask<Shape>(method: string, path: string, body?: unknown): Promise<Shape>;
  joinToken(options: Omit<ServedDeviceOptions, 'policy'>): Promise<{ secret: string; joinToken: JoinTokenView }>;
  addDevice(options: ServedDeviceOptions): Promise<ServedDevice>;
  /** The owner's browser at a device's host (`label.localhost:port`), signed in there: the cookie line. */
  enter(host: string): Promise<string>;
  /** What a person's shell needs for the CLI: POSTERN_URL, POSTERN_TOKEN, POSTERN_CA_FILE. */
  readonly env: Readonly<Record<string, string>>;
}

export const postern = join(root, 'postern');
const password = 'correct horse battery staple';

function ask(port: number, method: string, path: string, headers: Record<string, string>, body?: unknown): Promise<Answer & { cookie: string | null }> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      { host: '127.0.0.1', port, method, path: `/api/v1${path}`, agent: false, headers: { host: `localhost:${port}`, ...headers, ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }) } },
      (answer) => {
        let got = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (got += piece));
        answer.once('error', reject);
        answer.once('end', () => resolve({ status: answer.statusCode!, text: got, json: <Shape>() => JSON.parse(got) as Shape, cookie: answer.headers['set-cookie']?.[0]?.split(';', 1)[0] ?? null }));
      },
    );
    sent.once('error', reject);
    sent.end(text);
  });
}

/** `postern serve` with an owner. */
export async function startServe(processes: Processes, options: { readonly logLevel?: 'debug' | 'info'; readonly password?: string; /** Of the data folder: a second gateway needs another. */ readonly name?: string; /** More options of `postern serve`. */ readonly args?: readonly string[] } = {}): Promise<Served> {
  const dataDir = join(processes.folder, options.name ?? 'data');
  const [httpPort, httpsPort] = [await freePort(), await freePort()];
  const runs: Started[] = [];
  const restart = async () => {
    const started = processes.start(postern, ['serve', '--data', dataDir, '--http', String(httpPort), '--https', String(httpsPort), '--log', options.logLevel ?? 'info', ...(options.args ?? [])]);
    runs.push(started);
    await started.says(/Postern is ready/, 30_000);
    return started;
  };
  const first = await restart();
  const code = (await first.says(/\/setup#(\S+)/))[1]!;
  const made = await ask(httpPort, 'POST', '/setup', {}, { code, login: 'owner', name: 'Owner', password: options.password ?? password });
  assert.equal(made.status, 200, made.text);
  const origin = `http://localhost:${httpPort}`;
  const asPerson: Served['asPerson'] = async <Shape>(method: string, path: string, body?: unknown) => {
    const answer = await ask(httpPort, method, path, { cookie: made.cookie!, origin }, body);
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer.json<Shape>();
  };
  const { secret: token } = await asPerson<{ secret: string }>('POST', '/tokens', { name: 'peers' });
  const caFile = join(dataDir, 'ca.pem');
  const served: Served = {
    httpPort, httpsPort, dataDir, caFile, token, restart, asPerson,
    setupCode: code,
    cookie: made.cookie!,
    get process() {
      return runs.at(-1)!;
    },
    logs: () => runs.map((run) => run.stderr).join(''),
    api: (method, path, body) => ask(httpPort, method, path, { authorization: `Bearer ${token}` }, body),
    async ask<Shape>(method: string, path: string, body?: unknown) {
      const answer = await served.api(method, path, body);
      assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
      return answer.json<Shape>();
    },
    joinToken: ({ name, ports }) => served.ask('POST', '/join-tokens', { deviceName: name, host: '127.0.0.1', ports: ports.map((each) => ({ number: each.number, kind: each.kind, name: each.name ?? '' })) }),
    addDevice: (given) => addDevice(processes, served, given),
    async enter(host) {
      const cookieOf = (answer: { headers: Record<string, string | string[] | undefined> }) => String(answer.headers['set-cookie']).split(';', 1)[0]!;
      const sent = await request(httpPort, { headers: { host, accept: 'text/html' } });
      assert.equal(sent.status, 303, sent.body.toString());
      const asked = new URL(String(sent.headers['location'])).searchParams.get('asked');
      const { to } = await asPerson<{ to: string }>('POST', '/hand-over', { host: host.split(':')[0], port: httpPort, path: '/', asked });
      const entered = await request(httpPort, { path: to.slice(to.indexOf('/', 8)), headers: { host, cookie: cookieOf(sent) } });
      assert.equal(entered.status, 303, entered.body.toString());
      return cookieOf(entered);
    },
    env: { POSTERN_URL: `https://localhost:${httpsPort}`, POSTERN_TOKEN: token, POSTERN_CA_FILE: caFile },
  };
  return served;
}

/** A device behind an agent in a process of its own, joined with a token that is read from standard input. */
async function addDevice(processes: Processes, served: Served, given: ServedDeviceOptions): Promise<ServedDevice> {
  const { secret } = await served.joinToken(given);
  const stateDir = join(processes.folder, `agent-${randomBytes(4).toString('hex')}`);
  mkdirSync(stateDir, { mode: 0o700 });
  const policyFile = join(stateDir, 'policy');
  writeFileSync(policyFile, given.policy ?? given.ports.map((each) => `reach ${each.kind === 'udp' ? 'udp' : 'tcp'} 127.0.0.1 ${each.number}\n`).join(''));
  const address = `https://127.0.0.1:${served.httpsPort}`;
  let agent = processes.start(postern, ['join', address, '--token-file', '-', '--state', stateDir, '--name', `agent of ${given.name}`]);
  const runs = [agent];
  agent.stdin.end(`${secret}\n`);
  await agent.says(/link\.opened/);
  const device = await until(`${given.name} to be online`, async () => (await served.ask<Page<DeviceView>>('GET', '/devices')).items.find((each) => each.name === given.name && each.online));
  return {
    name: given.name,
    label: device.label,
    id: device.id,
    agentId: device.agentId!,
    stateDir,
    host: `${device.label}.localhost:${served.httpPort}`,
    get agent() {
      return agent;
    },
    async restart() {
      agent = processes.start(postern, ['agent', '--state', stateDir, '--address', address, '--verbose']);
      runs.push(agent);
      await agent.says(/link\.opened/);
      return agent;
    },
    said: () => runs.map(({ stdout, stderr }) => stdout + stderr).join(''),
    view: () => served.ask('GET', `/devices/${device.id}`),
  };
}
