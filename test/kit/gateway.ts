// A real gateway, real agents and real people for tests: the same composition as in bin, on ports that the system picks, with everything
// in a folder that goes when the test does.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, createServer as createNetServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { joinAgent, runAgent } from '#app/agent.ts';
import { startGateway as start, type Gateway, type GatewayOptions } from '#app/gateway.ts';
import { realClock, realRandom } from '#app/real.ts';
import { silentLog, type Log } from '#base/log.ts';
import type { Config } from '#model/config.ts';
import type { Device, DevicePort, PortKind } from '#model/rows.ts';

export const root = resolve(import.meta.dirname, '..', '..');
export const isCi = process.env['CI'] === 'true';

/** A folder of the test's own; gone with `await using`. */
export function temporaryFolder(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'postern-test-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Waits for something to become true; says what when it does not. */
export async function until<Value>(what: string, look: () => Value | false | null | undefined | Promise<Value | false | null | undefined>, timeoutMs = 20_000): Promise<Value> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (performance.now() > end) assert.fail(`waited ${timeoutMs / 1000} s in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

export interface TestGateway extends Gateway {
  readonly dataDir: string;
  /** A signed-in owner: cookie line of the console's host and a token. Made on first use. */
  owner(): Promise<Person>;
  /** A device behind an agent in this process (kit's runAgent), joined with a real token. */
  addDevice(options: DeviceOptions): Promise<TestDevice>;
  /** An API call as JSON, over the plain listener. */
  api(method: string, path: string, options?: ApiOptions): Promise<ApiAnswer>;
}

export interface Person {
  readonly cookie: string;
  readonly token: string;
  readonly id: string;
}

export interface ApiOptions {
  readonly body?: unknown;
  readonly token?: string;
  readonly cookie?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  // Tests look into answers whose shape the contract knows; they assert what they use.
  readonly json: { readonly [name: string]: unknown };
  readonly text: string;
}

export interface DeviceOptions {
  readonly name: string;
  readonly ports: readonly { readonly number: number; readonly kind: PortKind; readonly name?: string }[];
  readonly host?: string;
  /** Lines of the agent's local policy; default: reaches the device's ports. */
  readonly policy?: string;
  readonly log?: Log;
}

export interface TestDevice {
  readonly device: Device;
  readonly stateDir: string;
  /** Stops the agent and waits for it. */
  stop(): Promise<void>;
  /** Starts it again. */
  start(): Promise<void>;
}

export interface Options extends Partial<Omit<GatewayOptions, 'dataDir'>> {
  readonly domain?: string;
  readonly deviceDomain?: string | null;
  readonly routes?: readonly unknown[];
  /** Other fields of the configuration; listeners are added to the two that are there. */
  readonly config?: Readonly<Record<string, unknown>> & { readonly listeners?: readonly object[] };
  readonly dataDir?: string;
  /** Instead of system-picked ports. */
  readonly httpPort?: number;
  readonly httpsPort?: number;
}

/** One HTTP request with any Host, over a plain connection to 127.0.0.1. */
export function request(port: number, options: { method?: string; path?: string; headers?: Record<string, string>; body?: string | Buffer }): Promise<{ status: number; headers: Record<string, string | string[] | undefined>; body: Buffer }> {
  return new Promise((done, failed) => {
    const sent = httpRequest({ host: '127.0.0.1', port, method: options.method ?? 'GET', path: options.path ?? '/', headers: options.headers ?? {}, agent: false }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('end', () => done({ status: answer.statusCode!, headers: answer.headers, body: Buffer.concat(pieces) }));
      answer.on('error', failed);
    });
    sent.on('error', failed);
    sent.end(options.body);
  });
}

/**
 * A person opens a device's host as a browser does: sent to the console, handed over with a code, let in. `signIn`: the cookie line at
 * the console; answers the cookie line at the device's host.
 */
export async function enterDevice(gateway: Pick<TestGateway, 'api' | 'ports'>, signIn: string, host: string): Promise<string> {
  const port = gateway.ports.http;
  const first = await request(port, { headers: { host: `${host}:${port}`, accept: 'text/html' } });
  assert.equal(first.status, 303);
  const asked = new URL(String(first.headers['location'])).searchParams.get('asked');
  const handed = await gateway.api('POST', '/hand-over', { cookie: signIn, body: { host, port, path: '/', asked } });
  assert.equal(handed.status, 200, handed.text);
  const to = new URL(handed.json['to'] as string);
  const entered = await request(port, { path: to.pathname + to.search, headers: { host: `${host}:${port}`, cookie: cookieOf(first) } });
  assert.equal(entered.status, 303);
  return cookieOf(entered);
}

/** What a browser would send back of an answer's first cookie. */
export function cookieOf(answer: { readonly headers: Readonly<Record<string, string | string[] | undefined>> }): string {
  return String(answer.headers['set-cookie']).split(';', 1)[0]!;
}

/** Sends bytes, ends nothing, and collects what comes until the other side ends or `enough` says so. */
export function exchangeRaw(port: number, bytes: string | Buffer | readonly (string | Buffer)[], options: { enough?: (text: string) => boolean; timeoutMs?: number; end?: boolean } = {}): Promise<string> {
  return new Promise((done, failed) => {
    const socket: Socket = connect({ host: '127.0.0.1', port, noDelay: true });
    let text = '';
    const finish = () => {
      clearTimeout(timer);
      socket.destroy();
      done(text);
    };
    const timer = setTimeout(() => {
      socket.destroy();
      failed(new Error(`no end within ${options.timeoutMs ?? 10_000} ms; so far: ${JSON.stringify(text.slice(0, 500))}`));
    }, options.timeoutMs ?? 10_000);
    socket.on('data', (piece) => {
      text += piece.toString('latin1');
      if (options.enough?.(text)) finish();
    });
    socket.on('end', finish);
    socket.on('error', finish);
    socket.on('connect', () => {
      const list = Array.isArray(bytes) ? (bytes as readonly (string | Buffer)[]) : [bytes as string | Buffer];
      void (async () => {
        for (const [i, piece] of list.entries()) {
          if (i > 0) await new Promise((next) => setTimeout(next, 2));
          if (!socket.destroyed) socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece);
        }
        if (options.end) socket.end();
      })();
    });
  });
}

/** A TCP server that a test scripts: each connection is handed over. */
export async function startTcp(onSocket: (socket: Socket) => void): Promise<{ port: number; sockets: Set<Socket>; [Symbol.asyncDispose](): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createNetServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    onSocket(socket);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', () => done()));
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

/** The port that a listener of the configuration got. */
export function portOf(gateway: Pick<Gateway, 'listeners'>, listener: string): number {
  const found = gateway.listeners.find((each) => each.name === listener);
  assert.ok(found, `no listener "${listener}"`);
  return found.port;
}

/** Nothing is left behind: called while the gateway still runs, after everything the test opened has been closed. */
export async function finishesCleanly(gateway: Gateway): Promise<void> {
  await until(
    'connections, visits and held bytes to be gone',
    () => {
      const left = gateway.leftovers();
      return left.conns <= left.links && left.heldBytes === 0;
    },
    10_000,
  ).catch((thrown: unknown) => {
    throw new Error(`left behind: ${JSON.stringify(gateway.leftovers())}`, { cause: thrown });
  });
}

export async function startGateway(options: Options = {}): Promise<TestGateway> {
  const folder = options.dataDir === undefined ? temporaryFolder() : null;
  const dataDir = options.dataDir ?? join(folder!.path, 'data');
  const { domain = 'localhost', deviceDomain = null, routes, httpPort = 0, httpsPort = 0 } = options;
  const agents: TestDevice[] = [];
  const gateway = await start({
    clock: realClock,
    random: realRandom,
    log: silentLog,
    version: '0.0.0-test',
    consoleDir: join(root, 'console', 'dist'),
    command: './postern',
    ...options,
    dataDir,
    first: { domain, httpPort, httpsPort, deviceDomain },
    adjust: (config) => {
      const adjusted = options.adjust ? options.adjust(config) : config;
      // Tests knock on 127.0.0.1 alone.
      const listeners = [...adjusted.listeners, ...((options.config?.listeners ?? []) as Config['listeners'])].map((each) => ({ ...each, address: '127.0.0.1', port: each.port ?? 0 }));
      return { ...adjusted, ...(options.config as Partial<Config> | undefined), listeners, ...(routes ? { routes: routes as Config['routes'] } : {}) };
    },
  });
  const api: TestGateway['api'] = async (method, path, given = {}) => {
    const text = given.body === undefined ? undefined : JSON.stringify(given.body);
    const host = `${domain}:${gateway.ports.http}`;
    const answer = await request(gateway.ports.http, {
      method,
      path: `/api/v1${path}`,
      headers: {
        host: domain === 'localhost' ? host : `localhost:${gateway.ports.http}`,
        ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
        ...(given.token ? { authorization: `Bearer ${given.token}` } : {}),
        ...(given.cookie ? { cookie: given.cookie, origin: `http://${domain === 'localhost' ? host : `localhost:${gateway.ports.http}`}` } : {}),
        ...given.headers,
      },
      ...(text === undefined ? {} : { body: text }),
    });
    const body = answer.body.toString('utf8');
    return { status: answer.status, headers: answer.headers, text: body, json: body.startsWith('{') ? (JSON.parse(body) as ApiAnswer['json']) : {} };
  };
  let owner: Promise<Person> | null = null;
  const makeOwner = async (): Promise<Person> => {
    const code = gateway.setupAddress()?.split('#')[1];
    assert.ok(code, 'the gateway has its owner already');
    const done = await api('POST', '/setup', { body: { code, login: 'owner', name: 'Owner', password: 'correct horse battery staple' } });
    assert.equal(done.status, 200, done.text);
    const cookie = String(done.headers['set-cookie']).split(';', 1)[0]!;
    const token = await api('POST', '/tokens', { cookie, body: { name: 'test' } });
    assert.equal(token.status, 200, token.text);
    return { cookie, token: token.json['secret'] as string, id: (done.json['person'] as { id: string }).id };
  };

  const addDevice = async (given: DeviceOptions): Promise<TestDevice> => {
    const stateFolder = temporaryFolder();
    const stateDir = join(stateFolder.path, 'agent');
    const host = given.host ?? '127.0.0.1';
    const ports: DevicePort[] = given.ports.map((each) => ({ number: each.number, kind: each.kind, name: each.name ?? `port ${each.number}`, fingerprint: null }));
    const token = await gateway.makeJoinToken({ deviceName: given.name, host, ports });
    const address = `https://127.0.0.1:${gateway.ports.https}`;
    const joined = await joinAgent({ stateDir, token: token.text, address, name: `agent of ${given.name}`, again: false, clock: realClock, signal: new AbortController().signal });
    const policyFile = join(stateFolder.path, 'policy');
    writeFileSync(policyFile, given.policy ?? ports.map((each) => `reach ${each.kind === 'udp' ? 'udp' : 'tcp'} ${host} ${each.number}\n`).join(''));
    let running: { abort: AbortController; ended: Promise<void> } | null = null;
    const startAgent = async () => {
      const abort = new AbortController();
      const ended = runAgent({ stateDir, clock: realClock, random: realRandom, log: given.log ?? silentLog, signal: abort.signal, addresses: [`https://127.0.0.1:${gateway.ports.https}`], policyFile });
      running = { abort, ended };
      ended.catch(() => {});
      await until(`the link of ${given.name}`, () => gateway.live.linkOf(joined.agentId));
    };
    await startAgent();
    const device = Array.from(gateway.tables.devices.values()).find((each) => each.agentId === joined.agentId)!;
    const test: TestDevice = {
      device,
      stateDir,
      async stop() {
        running?.abort.abort();
        await running?.ended.catch(() => {});
        running = null;
      },
      start: startAgent,
    };
    agents.push({ ...test, stop: () => test.stop().finally(() => stateFolder[Symbol.dispose]()) });
    return test;
  };
  const close = async (drainMs?: number) => {
    for (const agent of agents.splice(0)) await agent.stop();
    await gateway.close(drainMs ?? 0);
    folder?.[Symbol.dispose]();
  };
  return new Proxy(gateway, {
    get(target, name) {
      switch (name) {
        case 'dataDir':
          return dataDir;
        case 'owner':
          return () => (owner ??= makeOwner());
        case 'addDevice':
          return addDevice;
        case 'api':
          return api;
        case 'close':
          return close;
        case Symbol.asyncDispose:
          return () => close();
        default:
          return Reflect.get(target, name) as unknown;
      }
    },
  }) as TestGateway;
}
