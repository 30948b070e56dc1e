// A real PostgreSQL server of the test's own: a fresh cluster in a folder that goes with it, on a port of this machine and a Unix socket.
// The server refuses to run as root, so there it runs as the user that Debian's package made.
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { until } from './gateway.ts';
import { findPeers } from './peers.ts';
import { freePort } from './processes.ts';

export const postgresPeers = findPeers(['postgres', 'initdb', 'setpriv']);
/** For the tests' options. */
export const withoutPostgres = postgresPeers.skip;

const run = promisify(execFile);
const superuser = 'postgres';
/** Has what an address must encode. */
export const postgresPassword = 'p@ss/w:rd%?#';

export interface PostgresServer {
  readonly port: number;
  /** Folder of the Unix socket. */
  readonly socketFolder: string;
  readonly pid: number;
  /** A new database of the superuser: its address. `folder`: where its tables are, instead of among the others. */
  makeDatabase(options?: { readonly encoding?: string; readonly folder?: string }): Promise<string>;
  address(database: string, change?: { readonly user?: string; readonly password?: string }): string;
  /** Statements in a database, by its address; the rows of the last. */
  ask(address: string, ...statements: readonly string[]): Promise<Record<string, unknown>[]>;
  /** `fast` ends connections in order; `immediate` is what a crash leaves; `kill` is SIGKILL. */
  stop(how?: 'fast' | 'immediate' | 'kill'): Promise<void>;
  start(): Promise<void>;
  /** All that the server wrote. */
  said(): string;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface PostgresOptions {
  /** Off is faster, and loses everything with the machine's power. Default: on. */
  readonly fsync?: boolean;
  /** Lines of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** It then speaks TLS, to those who ask for it. */
  readonly certificate?: { readonly pem: string; readonly keyPem: string };
}

interface Account {
  readonly uid: number;
  readonly gid: number;
}

function accountOfServer(): Account | null {
  if (process.getuid?.() !== 0) return null;
  const numberOf = (flag: string) => Number(execFileSync('id', [flag, superuser], { encoding: 'utf8' }));
  return { uid: numberOf('-u'), gid: numberOf('-g') };
}

const asAccount = (account: Account | null, command: string, args: readonly string[]): [string, string[]] =>
  account === null ? [command, [...args]] : [postgresPeers.path('setpriv'), [`--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups', command, ...args]];

export async function startPostgres({ fsync = true, settings = {}, certificate }: PostgresOptions = {}): Promise<PostgresServer> {
  const account = accountOfServer();
  const folder = mkdtempSync(join(tmpdir(), 'postern-pg-'));
  const dataFolder = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, postgresPassword, { mode: 0o600 });
  mkdirSync(dataFolder, { mode: 0o700 });
  const [certificateFile, keyFile] = [join(folder, 'server.pem'), join(folder, 'server.key')];
  writeFileSync(certificateFile, certificate?.pem ?? '');
  writeFileSync(keyFile, certificate?.keyPem ?? '', { mode: 0o600 });
  if (account) for (const path of [folder, passwordFile, dataFolder, certificateFile, keyFile]) chownSync(path, account.uid, account.gid);
  const environment = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C.UTF-8', HOME: folder };
  const init = asAccount(account, postgresPeers.path('initdb'), ['-D', dataFolder, '-U', superuser, '-E', 'UTF8', '--locale=C.UTF-8', '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--data-checksums', '--no-sync']);
  await run(...init, { cwd: folder, env: environment });
  const port = await freePort();
  const set = { listen_addresses: '127.0.0.1', unix_socket_directories: folder, port: String(port), fsync: fsync ? 'on' : 'off', max_connections: '40', shared_buffers: '32MB', ...(certificate && { ssl: 'on', ssl_cert_file: certificateFile, ssl_key_file: keyFile }), ...settings };
  let said = '';
  let child: ChildProcess | null = null;
  const address = (database: string, { user = superuser, password = postgresPassword }: { user?: string; password?: string } = {}) => `postgres://${user}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`;
  const ask = async (where: string, ...statements: readonly string[]) => {
    const client = new Client({ connectionString: where });
    await client.connect();
    try {
      let rows: Record<string, unknown>[] = [];
      for (const statement of statements) rows = (await client.query<Record<string, unknown>>(statement)).rows;
      return rows;
    } finally {
      await client.end();
    }
  };
  const start = async () => {
    assert.equal(child, null, 'it runs');
    const made = spawn(...asAccount(account, postgresPeers.path('postgres'), ['-D', dataFolder, ...Object.entries(set).flatMap(([name, value]) => ['-c', `${name}=${value}`])]), { cwd: folder, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
    child = made;
    for (const stream of [made.stdout, made.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    const ended = once(made, 'exit').then(() => {
      throw new Error(`the server ended:\n${said.slice(-2_000)}`);
    });
    ended.catch(() => {});
    await Promise.race([ended, until('the server to answer', () => ask(address('postgres'), 'select 1').then(() => true, () => false), 20_000)]);
  };
  const stop = async (how: 'fast' | 'immediate' | 'kill' = 'fast') => {
    const running = child;
    if (!running) return;
    child = null;
    if (running.exitCode !== null || running.signalCode !== null) return;
    const gone = once(running, 'exit');
    running.kill(({ fast: 'SIGINT', immediate: 'SIGQUIT', kill: 'SIGKILL' } as const)[how]);
    await gone;
  };
  let made = 0;
  await start().catch(async (thrown: unknown) => {
    await stop('kill');
    rmSync(folder, { recursive: true, force: true });
    throw thrown;
  });
  return {
    port,
    socketFolder: folder,
    get pid() {
      return child?.pid ?? -1;
    },
    async makeDatabase({ encoding = 'UTF8', folder: elsewhere } = {}) {
      const name = `store${++made}`;
      if (elsewhere !== undefined) {
        const place = join(elsewhere, 'tables');
        mkdirSync(place, { mode: 0o700 });
        if (account) chownSync(place, account.uid, account.gid);
        await ask(address('postgres'), `create tablespace ${name} location '${place}'`);
      }
      await ask(address('postgres'), `create database ${name} encoding '${encoding}' template template0${encoding === 'UTF8' ? '' : " locale 'C'"}${elsewhere === undefined ? '' : ` tablespace ${name}`}`);
      return address(name);
    },
    address, ask, stop, start,
    said: () => said,
    async [Symbol.asyncDispose]() {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
