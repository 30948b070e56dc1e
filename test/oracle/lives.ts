// Real processes that die again and again: a gateway (`postern serve`), our agent (`postern agent --push-only`), the shell client. Each life may have a
// point at which it ends (points.ts), a moment on the line, a disk that lets it down, a clock that jumps; or it is killed after some time.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from '../kit/gateway.ts';
import type { PeerName } from '../kit/peers.ts';
import { freePort, postern, startServe, type Processes, type Served, type Started } from '../kit/processes.ts';
import type { Dice } from './dice.ts';
import type { Line, Moment } from './line.ts';
import { countCalls, countInjected, straceOptions, tracerOf, untilHeld, type Point } from './points.ts';
import type { StorePlace } from './stored.ts';

export type Step =
  | { readonly kind: 'point'; readonly point: Point }
  | { readonly kind: 'moment'; readonly name: string; readonly moment: Moment }
  | { readonly kind: 'clock'; readonly name: string }
  /** While it runs; then it is killed. Answers whether it came to pass. */
  | { readonly kind: 'deed'; readonly name: string; readonly run: (dice: Dice) => Promise<boolean> }
  | { readonly kind: 'ask-to-end'; readonly name: string }
  | { readonly kind: 'kill'; readonly name: string };

export const nameOf = (step: Step): string => (step.kind === 'point' ? step.point.name : step.name);

export interface Run {
  readonly processes: Processes;
  readonly dice: Dice;
  /** How often each step did what it is for. */
  readonly hits: Map<string, number>;
  /** How often while the gateway had a batch that was not answered. */
  readonly busyHits: Map<string, number>;
  readonly peer: (name: PeerName) => string;
  readonly say: (text: string) => void;
  readonly ended: AbortSignal;
}

export const raise = (counts: Map<string, number>, name: string): void => void counts.set(name, (counts.get(name) ?? 0) + 1);

const lifeMaxMs = 9_000;
const readyMaxMs = 60_000;

/** What makes a process believe in another day; the monotonic clock stays. */
export class JumpingClock {
  readonly #file: string;
  readonly #library: string;

  private constructor(file: string, library: string) {
    this.#file = file;
    this.#library = library;
  }

  static async open(run: Run, name: string): Promise<JumpingClock> {
    // Without its wrapper, which would stay between us and the process.
    const asked = await run.processes.run(run.peer('faketime'), ['-f', '+0', '/bin/sh', '-c', 'echo "$LD_PRELOAD"']);
    const clock = new JumpingClock(join(run.processes.folder, name), asked.stdout.trim());
    clock.set('+0');
    return clock;
  }

  /** `+3600`, `-400d`: as libfaketime writes it. */
  set(offset: string): void {
    writeFileSync(this.#file, `${offset}\n`);
    utimesSync(this.#file, new Date(), new Date());
  }

  get env(): Record<string, string> {
    return { LD_PRELOAD: this.#library, FAKETIME_TIMESTAMP_FILE: this.#file, FAKETIME_CACHE_DURATION: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1' };
  }
}

function endTracer(pid: number): void {
  setTimeout(() => {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended with the process.
    }
  }, 50);
}

interface LifeOptions {
  readonly name: string;
  /** Paths of its points are in it. */
  readonly folder: string;
  readonly args: readonly string[];
  readonly ready: RegExp;
  readonly lines: readonly Line[];
}

/** A process that is started anew with every step. */
export class Lives {
  readonly #run: Run;
  readonly #options: LifeOptions;
  readonly #dice: Dice;
  #process: Started | null;
  #count = 0;
  #clock: JumpingClock | null = null;
  /** Traced calls up to when it is ready, by kind of call. */
  readonly #before = new Map<string, number>();
  lives = 0;
  endedByThemselves = 0;

  constructor(run: Run, options: LifeOptions, process: Started | null) {
    this.#run = run;
    this.#options = options;
    this.#process = process;
    this.#dice = run.dice.fork(options.name);
  }

  get process(): Started | null {
    return this.#process;
  }

  async #start(command: string, before: readonly string[], env: Record<string, string> = {}): Promise<Started | null> {
    this.lives += 1;
    const started = this.#run.processes.start(command, [...before, ...this.#options.args], { env });
    this.#process = started;
    return await started.says(this.#options.ready, readyMaxMs).then(() => started, () => null);
  }

  /** Without faults; it has to become ready. */
  async startPlain(): Promise<void> {
    for (let tries = 0; tries < 3; tries++) if (await this.#start(postern, [])) return;
    throw new Error(`${this.#options.name} does not start any more:\n${this.#process?.stderr.slice(-2_000)}`);
  }

  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#process?.ended;
    this.#process = null;
  }

  async stop(): Promise<void> {
    const ended = await this.#process?.stop('SIGTERM');
    this.#process = null;
    if (ended && ended.code !== 0) throw new Error(`${this.#options.name} ended with ${ended.code ?? ended.signal} when it was asked to`);
  }

  #hit(step: Step): void {
    raise(this.#run.hits, nameOf(step));
    if (this.#options.lines.some((line) => line.underWay > 0)) raise(this.#run.busyHits, nameOf(step));
    this.#run.say(`${this.#options.name}: hit ${nameOf(step)}`);
  }

  /** One life, from its start to its end; nothing runs after it. Answers whether the step did what it is for. */
  async live(step: Step): Promise<boolean> {
    await this.kill();
    const began = performance.now();
    try {
      switch (step.kind) {
        case 'point':
          return await this.#livePoint(step, step.point);
        case 'moment':
          return await this.#liveMoment(step);
        case 'clock':
          return await this.#liveClock(step);
        case 'deed': {
          await this.startPlain();
          const isDone = await step.run(this.#dice);
          if (isDone) this.#hit(step);
          return isDone;
        }
        case 'ask-to-end':
          await this.startPlain();
          await sleep(this.#dice.between(0, 1_500));
          await this.stop();
          this.#hit(step);
          return true;
        case 'kill':
          await this.startPlain();
          await sleep(this.#dice.between(0, 1_200));
          this.#hit(step);
          return true;
      }
    } finally {
      await this.kill();
      this.#run.say(`${this.#options.name}: ${nameOf(step)}, ${Math.round(performance.now() - began)} ms`);
    }
  }

  async #livePoint(step: Step, point: Point): Promise<boolean> {
    const log = join(this.#run.processes.folder, `${this.#options.name}-${(this.#count += 1)}.strace`);
    const kindOfCalls = `${point.calls} ${point.paths(this.#options.folder).join(' ').split('/').at(-1)}`;
    const options = straceOptions(point, this.#options.folder, log, this.#dice, point.side === 'server' ? (this.#before.get(kindOfCalls) ?? 0) : 0);
    const over = new AbortController();
    const limit = setTimeout(() => over.abort(), readyMaxMs);
    // It may come to its point while it starts.
    const starting = this.#start(this.#run.peer('strace'), [...options, postern]);
    const process = this.#process!;
    void process.ended.then(() => over.abort());
    const held = typeof point.act === 'object' ? new Promise<null>(() => {}) : untilHeld(process.pid, over.signal);
    try {
      const isReady = await Promise.race([starting.then((started) => started !== null), held.then((file) => file === null)]);
      if (isReady && !this.#before.has(kindOfCalls)) this.#before.set(kindOfCalls, countCalls(log));
      if (typeof point.act === 'object') {
        // Some time with the failure, and some behind it.
        await Promise.race([sleep(this.#dice.between(2_500, 4_000)), process.ended]);
        if (process.pid > 0 && over.signal.aborted) this.endedByThemselves += 1;
        const count = countInjected(log);
        if (count > 0) this.#hit(step);
        return count > 0;
      }
      const late = setTimeout(() => over.abort(), lifeMaxMs);
      const file = await held;
      clearTimeout(late);
      const isHit = file !== null && (point.looksLike?.test(file) ?? true);
      if (isHit) this.#hit(step);
      else this.#run.say(`${this.#options.name}: not ${point.name}, ${file === null ? 'nothing came to it' : `but at ${file}`}`);
      return isHit;
    } finally {
      clearTimeout(limit);
      over.abort();
      // Else strace would wait for the end of what it delays, and with it everybody who waits for the process's output.
      const tracer = tracerOf(process.pid);
      process.kill('SIGKILL');
      if (tracer > 0) endTracer(tracer);
      await starting;
    }
  }

  async #liveMoment(step: Extract<Step, { kind: 'moment' }>): Promise<boolean> {
    await this.startPlain();
    const process = this.#process!;
    let isHit = false;
    const struck = Promise.withResolvers<void>();
    const disarm = this.#options.lines.map((line) =>
      line.arm(step.moment, () => {
        if (isHit) return;
        isHit = true;
        this.#hit(step);
        process.kill('SIGKILL');
        struck.resolve();
      }),
    );
    await Promise.race([struck.promise, sleep(lifeMaxMs), process.ended]);
    for (const each of disarm) each();
    return isHit;
  }

  async #liveClock(step: Step): Promise<boolean> {
    this.#clock ??= await JumpingClock.open(this.#run, `${this.#options.name}.clock`);
    this.#clock.set('+0');
    if ((await this.#start(postern, [], this.#clock.env)) === null) return false;
    for (const offset of this.#dice.shuffle(['+86400', '-3600', '-400d', '+20d', '-2']).slice(0, 2)) {
      this.#clock.set(offset);
      await Promise.race([sleep(this.#dice.between(1_100, 1_600)), this.#process!.ended]);
    }
    this.#hit(step);
    return true;
  }
}

export interface Gateway {
  readonly served: Served;
  readonly lives: Lives;
  readonly dataDir: string;
  readonly place: StorePlace;
}

const serveArgs = (dataDir: string, httpPort: number, httpsPort: number, more: readonly string[]) => ['serve', '--data', dataDir, '--http', String(httpPort), '--https', String(httpsPort), '--log', 'info', ...more];

/** A gateway out of a data folder that is there, with the token of the one that it was copied from. */
export async function openCopy(run: Run, name: string, dataDir: string, lines: readonly Line[]): Promise<{ readonly httpPort: number; readonly lives: Lives; readonly place: StorePlace }> {
  const [httpPort, httpsPort] = [await freePort(), await freePort()];
  const lives = new Lives(run, { name, folder: dataDir, args: serveArgs(dataDir, httpPort, httpsPort, []), ready: /Postern is ready/, lines }, null);
  await lives.startPlain();
  return { httpPort, lives, place: { dataDir } };
}

/** A gateway with an owner, and how devices are to be received. `store`: a PostgreSQL database. */
export async function openGateway(run: Run, name: string, { store, lines, sections = {} }: { readonly store?: string; /** Filled later: the lines lead to it. */ readonly lines: readonly Line[]; readonly sections?: object }): Promise<Gateway> {
  const more = store === undefined ? [] : ['--store', store];
  const served = await startServe(run.processes, { name, args: more });
  await configure(served, { strangers: [{ policy: 'refuse', keyless: true }], checkIn: { pollSeconds: 3_600, jitterSeconds: 0, pushSeconds: 1 }, ...sections });
  const lives = new Lives(run, { name, folder: served.dataDir, args: serveArgs(served.dataDir, served.httpPort, served.httpsPort, more), ready: /Postern is ready/, lines }, served.process);
  return { served, lives, dataDir: served.dataDir, place: store === undefined ? { dataDir: served.dataDir } : { address: store } };
}

/** Sections of the configuration; needs it to run. */
export async function configure({ httpPort, token }: Pick<Served, 'httpPort' | 'token'>, sections: object): Promise<void> {
  const url = `http://127.0.0.1:${httpPort}/api/v1/config`;
  const headers = { host: 'localhost', authorization: `Bearer ${token}` };
  const { revision, config } = (await (await fetch(url, { headers })).json()) as { revision: number; config: object };
  const answer = await fetch(url, { method: 'PUT', headers: { ...headers, 'content-type': 'application/json', 'if-match': `"${revision}"` }, body: JSON.stringify({ ...config, ...sections }) });
  if (answer.status !== 200) throw new Error(`the configuration was refused: ${await answer.text()}`);
}

/** Its key, or none. */
export async function addPushDevice(served: Served, serial: string, withKey: boolean): Promise<string | null> {
  const device = await served.ask<{ id: string }>('POST', '/devices', { name: serial, serial });
  return withKey ? (await served.ask<{ secret: string }>('POST', `/devices/${device.id}/keys`, {})).secret : null;
}

export interface AgentOptions {
  readonly serial: string;
  readonly key: string;
  readonly base: string;
  readonly file: string;
  readonly tcpPort?: number;
  readonly buffer?: object;
  readonly lines: readonly Line[];
}

export function openAgent(run: Run, name: string, { serial, key, base, file, tcpPort, buffer, lines }: AgentOptions): Lives {
  const stateDir = join(run.processes.folder, name);
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  writeFileSync(join(stateDir, 'key'), `${key}\n`, { mode: 0o600 });
  // Those in the middle of a day are pushed at once, so that batches are many and small as well.
  const common = { destinations: ['main'], urgent: ['^\\d*[37] '], ...(buffer === undefined ? {} : { buffer }) };
  writeFileSync(join(stateDir, 'feeds.json'), JSON.stringify({
    serial,
    destinations: [{ name: 'main', base, keyFile: 'key' }],
    feeds: [{ name: 'cdr', source: { kind: 'file', path: file }, ...common }, ...(tcpPort === undefined ? [] : [{ name: 'tcp', source: { kind: 'tcp-listen', listen: `127.0.0.1:${tcpPort}`, clientsMax: 1 }, ...common }])],
  }));
  return new Lives(run, { name, folder: stateDir, args: ['agent', '--push-only', '--state', stateDir, '--verbose'], ready: /feeds\.running/, lines }, null);
}

export interface ShellOptions {
  readonly serial: string;
  readonly base: string;
  readonly file: string;
}

const dash = existsSync('/bin/dash') ? '/bin/dash' : '/bin/sh';

/** examples/push.sh once; `killAfterMs`: it and its children then end by SIGKILL. */
export async function runShell(run: Run, { serial, base, file }: ShellOptions, killAfterMs: number | null): Promise<{ readonly code: number | null; readonly stderr: string }> {
  const child = spawn(dash, [join(root, 'examples', 'push.sh'), file, base, serial, 'cdr'], { detached: true, stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', MAX: '20000', CURL: '-m 10' } });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const end = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // It has ended.
    }
  };
  const timer = killAfterMs === null ? null : setTimeout(end, killAfterMs);
  run.ended.addEventListener('abort', end);
  const code = await new Promise<number | null>((done) => child.once('close', done));
  if (timer !== null) clearTimeout(timer);
  run.ended.removeEventListener('abort', end);
  return { code, stderr };
}

export const positionOf = (file: string): number => (existsSync(`${file}.ack`) ? Number(readFileSync(`${file}.ack`, 'utf8').trim()) : 0);
