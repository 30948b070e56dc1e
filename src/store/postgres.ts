// PostgreSQL as the store: one session on the server. What the store relies on is looked at when it opens: the version, that what was
// committed is on the disk, that texts are UTF-8, and that no other gateway writes to the same database.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type QueryConfig, types } from 'pg';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { Answered, Session } from './connection.ts';
import { isPostgresError } from './failure.ts';
import type { PostgresLocation } from './location.ts';
import { loadText, storeText } from './postgres-text.ts';

const oldestVersion = 130_000;
const connectTimeoutMs = 10_000;
const statementsKeptMax = 256;
/** Of the pair that an advisory lock is; the other is the schema's hash. */
const lockKey = 0x706f7374;
const lockTries = { times: 15, everyMs: 200 };

/**
 * `lock_timeout` is what SQLite's busy timeout is. The server notices by keepalives that this machine has vanished, and gives the lock
 * free; otherwise a second machine would wait for two hours.
 */
const sessionSettings = `
  set client_min_messages = warning; set standard_conforming_strings = on; set bytea_output = hex; set jit = off; set lock_timeout = '5s';
  set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set default_transaction_isolation = 'read committed';
  set tcp_keepalives_idle = 15; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; set tcp_user_timeout = 30000`;

/**
 * Statements that need no waiting: they can fail only with the connection, or in a transaction that has failed already, and then so does
 * the next one. Each spares a round trip.
 */
const needsNoWaiting = /^(begin|savepoint|release)\b[^;]*$/;

/** Fault `busy` when the server cannot be reached, `forbidden` when it lets us not in, `unsupported` when it will not do, `conflict` when another gateway has the database. */
export async function openPostgres(location: PostgresLocation, mode: 'write' | 'read'): Promise<Session> {
  const client = new Client({
    host: location.host,
    port: location.port,
    user: location.user,
    database: location.database,
    // A function, so that no other source of passwords is searched.
    password: () => location.password ?? process.env['PGPASSWORD'] ?? '',
    ssl: await tlsOptions(location),
    application_name: location.applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    pipeline: true,
    types: { getTypeParser: typeParser as typeof types.getTypeParser },
  });
  const lost = Promise.withResolvers<Fault>();
  const state: State = { client, location, isLost: false, isClosed: false, isTransaction: false, answerWithinMs: limits.storeAnswerTimeoutMs, lose: () => {} };
  state.lose = (cause) => {
    if (state.isLost || state.isClosed) return;
    state.isLost = true;
    state.isTransaction = false;
    lost.resolve(lostFault(location, cause));
    client.connection.stream.destroy();
  };
  // Without a listener it would end the thread.
  client.on('error', (error) => state.lose(error));
  client.on('end', () => state.lose(new Error('the server ended the connection')));
  try {
    await client.connect();
  } catch (thrown) {
    state.isClosed = true;
    client.connection.stream.destroy();
    throw refusedFault(thrown, location);
  }
  const session: Omit<Session, 'describes'> = sessionOn(state, mode, lost.promise);
  try {
    const describes = await prove(session, location, mode);
    if (mode === 'write') await takeLock(session, location);
    return Object.defineProperties({ describes }, Object.getOwnPropertyDescriptors(session)) as Session;
  } catch (thrown) {
    await session.close();
    throw thrown;
  }
}

interface State {
  readonly client: Client;
  readonly location: PostgresLocation;
  isLost: boolean;
  isClosed: boolean;
  isTransaction: boolean;
  answerWithinMs: number;
  lose: (cause: unknown) => void;
}

async function tlsOptions(location: PostgresLocation): Promise<false | { rejectUnauthorized: boolean; ca?: string }> {
  if (location.tls === 'none') return false;
  if (location.authoritiesFile === null) return { rejectUnauthorized: location.tls === 'verified' };
  try {
    return { rejectUnauthorized: location.tls === 'verified', ca: await readFile(location.authoritiesFile, 'utf8') };
  } catch (thrown) {
    throw new Fault('bad-input', `the file of the store's authorities, ${location.authoritiesFile}, cannot be read`, { remedy: 'name a PEM file with sslrootcert', cause: thrown });
  }
}

function sessionOn(state: State, mode: 'write' | 'read', lost: Promise<Fault>): Omit<Session, 'describes'> {
  const { client, location } = state;
  let names = new Map<string, string>();
  let nextName = 1;
  const nameOf = (sql: string): string => {
    const known = names.get(sql);
    if (known !== undefined) return known;
    if (names.size >= statementsKeptMax) forget();
    const name = `s${nextName++}`;
    names.set(sql, name);
    return name;
  };
  const forget = () => {
    names = new Map();
    // The library remembers each by its name, for ever, unless told.
    (client.connection as unknown as { parsedStatements: Record<string, string> }).parsedStatements = {};
    // In a transaction that failed it cannot run; the names are not used again either way.
    client.query('deallocate all').catch(() => {});
  };
  /** The library knows this setting of a statement; its types do not. */
  const statement = (config: QueryConfig): QueryConfig & { query_timeout: number } => ({ ...config, query_timeout: state.answerWithinMs });
  /** What a statement's failure means: a failed statement, or the end of the session. */
  const failed = (thrown: unknown): unknown => {
    if (isPostgresError(thrown) && !endsSession(thrown)) return thrown;
    state.lose(thrown);
    return lostFault(location, thrown);
  };
  const mustStand = () => {
    if (state.isClosed) throw new Fault('closed', 'the connection to the store is closed');
    if (state.isLost) throw lostFault(location, undefined);
  };
  const commit = async () => {
    const answer = await client.query(statement({ text: 'commit' })).catch((thrown: unknown) => {
      const found = failed(thrown);
      throw state.isLost && mode === 'write' ? unknownOutcome(location, thrown) : found;
    }).finally(() => (state.isTransaction = false));
    // The server's answer to a commit of what has failed.
    if (answer.command !== 'COMMIT') throw new Error(`the transaction ended with ${answer.command}`);
  };
  return {
    kind: 'postgres',
    lost,
    get isTransaction() {
      return state.isTransaction;
    },
    get answerWithinMs() {
      return state.answerWithinMs;
    },
    set answerWithinMs(answerWithinMs) {
      state.answerWithinMs = answerWithinMs;
    },
    async query<Row>(sql: string, parameters: readonly unknown[]): Promise<Answered<Row>> {
      mustStand();
      try {
        const { rows, rowCount } = await client.query<Row & object>(statement({ name: nameOf(sql), text: sql, values: parameters.map(storeText) }));
        return { rows, touched: rowCount ?? 0 };
      } catch (thrown) {
        throw failed(thrown);
      }
    },
    async exec(sql) {
      mustStand();
      if (sql === 'commit') return commit();
      if (sql.startsWith('begin')) state.isTransaction = true;
      const under = client.query(statement({ text: sql })).then(() => {}, (thrown: unknown) => {
        throw failed(thrown);
      });
      if (needsNoWaiting.test(sql)) {
        under.catch(() => {});
        return;
      }
      await under;
      if (sql === 'rollback') state.isTransaction = false;
    },
    async close() {
      if (state.isClosed) return;
      state.isClosed = true;
      if (state.isLost) return;
      // A server that does not answer must not keep the thread.
      await Promise.race([client.end(), sleep(2_000, undefined, { ref: false })]);
      client.connection.stream.destroy();
    },
  };
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html; the severity is in the server's language. */
function endsSession({ code, severity }: { code: string; severity: string }): boolean {
  return severity === 'FATAL' || severity === 'PANIC' || /^(08|57P0|25P03|58P|F0)/.test(code);
}

function lostFault(location: PostgresLocation, cause: unknown): Fault {
  return new Fault('busy', `the connection to the store (${location.shown}) is lost`, { remedy: 'it comes back by itself once the server answers; what goes through the gateway goes on, changes wait', cause, detail: { reason: cause instanceof Error ? cause.message : 'lost before' } });
}

function unknownOutcome(location: PostgresLocation, cause: unknown): Fault {
  return new Fault('busy', `the connection to the store (${location.shown}) was lost during the commit: this may have happened all the same`, {
    remedy: 'look whether it did before doing it again', cause, detail: { mayHaveHappened: true, reason: cause instanceof Error ? cause.message : String(cause) },
  });
}

function refusedFault(thrown: unknown, location: PostgresLocation): Fault {
  const { shown, user, database } = location;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  const options = (remedy: string) => ({ remedy, cause: thrown, detail: { reason: message, code } });
  if (code.startsWith('28') || /password must be a (non-empty )?string|SASL/.test(message)) {
    return new Fault('forbidden', `PostgreSQL does not let user ${user} in to ${shown}`, options('check user and password of --store or POSTERN_STORE, and the server’s pg_hba.conf'));
  }
  if (code === '3D000') return new Fault('not-found', `PostgreSQL has no database ${database} (${shown})`, options(`make it: createdb --owner ${user} --encoding UTF8 --template template0 ${database}`));
  if (code === '53300') return new Fault('busy', `PostgreSQL takes no more connections (${shown})`, options('raise its max_connections; a gateway needs two'));
  if (code === '57P03') return new Fault('busy', `PostgreSQL is starting or ending (${shown})`, options('wait until it is ready'));
  if (/SSL connection/.test(message)) return new Fault('unsupported', `PostgreSQL at ${shown} speaks no TLS`, options('switch ssl on there, or, in a network that nobody else can read, add ?sslmode=disable to the address of the store'));
  if (/^(CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL)/.test(code)) {
    return new Fault('unreachable', `the certificate of PostgreSQL at ${shown} cannot be verified: ${message}`, options('name its authority with ?sslrootcert=FILE, or take any certificate with ?sslmode=require'));
  }
  return new Fault('unreachable', `PostgreSQL at ${shown} cannot be reached: ${message || code}`, options('start it, or correct host and port in --store or POSTERN_STORE'));
}

interface Settings {
  readonly version: string;
  readonly number: number;
  readonly encoding: string;
  readonly durable: string;
  readonly fsync: string;
  readonly standby: boolean;
  readonly readOnly: string;
  readonly schema: string | null;
}

/** Resolves what it is, for people. */
async function prove(session: Omit<Session, 'describes'>, location: PostgresLocation, mode: 'write' | 'read'): Promise<string> {
  const { rows } = await session.query<Settings>(
    `select current_setting('server_version') as version, current_setting('server_version_num')::int as number, current_setting('server_encoding') as encoding,
      current_setting('synchronous_commit') as durable, current_setting('fsync') as fsync, pg_is_in_recovery() as standby, current_setting('default_transaction_read_only') as "readOnly", current_schema()::text as schema`,
    [],
  );
  const found = rows[0]!;
  const refuse = (what: string, remedy: string) => new Fault('unsupported', `${what} (${location.shown})`, { remedy });
  if (found.number < oldestVersion) throw refuse(`PostgreSQL ${found.version} is too old for the store: 13 is the oldest that will do`, 'update the server, or keep the store in the data folder: start without --store');
  if (found.encoding !== 'UTF8') throw refuse(`the database has the encoding ${found.encoding}, not UTF8`, 'make another one: createdb --encoding UTF8 --template template0 …');
  if (found.schema === null) throw refuse('the database has no schema to make tables in', 'create the schema that search_path names');
  if (mode === 'write' && (found.standby || found.readOnly === 'on')) throw refuse('the server is a standby, or read-only', 'name the primary server');
  await session.exec(sessionSettings);
  // Off, an acknowledged change could be lost with the server's power.
  if (mode === 'write' && found.durable === 'off') await session.exec('set synchronous_commit = on');
  return `PostgreSQL ${found.version.split(' ', 1)[0]!}, database ${location.shown}${found.fsync === 'off' ? ' (its fsync is off: a power cut there loses what was acknowledged)' : ''}`;
}

interface Holder {
  readonly pid: number;
  readonly name: string | null;
  readonly from: string | null;
}

/** Held as long as the session: a second gateway would write a second audit chain into the same tables. */
async function takeLock(session: Omit<Session, 'describes'>, location: PostgresLocation): Promise<void> {
  const key = `hashtext(current_schema()::text) & 2147483647`;
  let holder: Holder | undefined;
  // A gateway that has just ended, or been killed, is given a moment: the server notices when it reads from it next.
  for (let tries = 0; tries < lockTries.times; tries += 1) {
    const { rows } = await session.query<{ taken: boolean }>(`select pg_try_advisory_lock(${lockKey}, ${key}) as taken`, []);
    if (rows[0]?.taken) return;
    const found = await session.query<Holder>(
      `select l.pid, a.application_name as name, host(a.client_addr) as "from" from pg_locks l left join pg_stat_activity a on a.pid = l.pid
        where l.locktype = 'advisory' and l.granted and l.classid = ${lockKey} and l.objid = (${key})::oid and l.objsubid = 2 and l.database = (select oid from pg_database where datname = current_database())`,
      [],
    );
    holder = found.rows[0];
    // Our own earlier connection, which the server still believes in: it is cut, so that its last commit is decided before we look.
    if (holder?.name === location.applicationName) await session.query('select pg_terminate_backend($1)', [holder.pid]);
    await sleep(lockTries.everyMs);
  }
  const who = holder ? `${holder.name || 'a connection without a name'}${holder.from === null ? '' : ` from ${holder.from}`}` : 'somebody';
  throw new Fault('conflict', `another gateway uses the database ${location.shown}: ${who}`, { remedy: 'end that gateway, or give this one a database of its own', detail: { pid: holder?.pid ?? null } });
}

/** As SQLite's: a number that would be changed on the way is a failure. */
function safeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number)) throw new RangeError(`the store has the number ${text}, which is too large`);
  return number;
}

function typeParser(oid: number, format?: string): unknown {
  if (format === 'binary') return types.getTypeParser(oid, 'binary');
  switch (oid) {
    case 20: // int8
      return safeNumber;
    case 21:
    case 23:
    case 26: // oid
    case 700:
    case 701:
    case 1700: // numeric: what sums of int8 are
      return Number;
    case 17: // bytea, as \x…
      return (text: string) => new Uint8Array(Buffer.from(text.slice(2), 'hex'));
    case 18:
    case 19:
    case 25:
    case 1042:
    case 1043:
    case 114: // JSON stays text, as in SQLite
    case 3802:
      return loadText;
    default:
      return types.getTypeParser(oid, 'text');
  }
}
