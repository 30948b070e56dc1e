// Where the store is: a file of the data folder, or a PostgreSQL database named by an address. The address may hold a password, so
// nobody else gets to see it: messages show `shown`.
import { userInfo } from 'node:os';
import { isIP } from 'node:net';
import { Fault } from '#base/fault.ts';

export interface SqliteLocation {
  readonly kind: 'sqlite';
  readonly file: string;
}

export interface PostgresLocation {
  readonly kind: 'postgres';
  /** A name, an address, or the folder of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** null: from the environment, PGPASSWORD, or none. */
  readonly password: string | null;
  readonly database: string;
  readonly tls: 'none' | 'any-certificate' | 'verified';
  /** PEM file of authorities, for `verified`; null: those that the runtime trusts. */
  readonly authoritiesFile: string | null;
  /** Names this gateway's connections on the server. */
  readonly applicationName: string;
  /** For messages: the address without a password. */
  readonly shown: string;
}

export type StoreLocation = SqliteLocation | PostgresLocation;

const defaultPort = 5432;
const example = 'postgres://USER:PASSWORD@HOST:5432/DATABASE';
const tlsOf: Readonly<Record<string, PostgresLocation['tls']>> = { disable: 'none', require: 'any-certificate', 'verify-full': 'verified' };

const badAddress = (what: string) => new Fault('bad-input', `the address of the store ${what}`, { remedy: `it looks like ${example}; a password's special characters are percent-encoded` });

/** Fault `bad-input`, which never repeats the address. `applicationName`: ASCII, at most 63 characters. */
export function parsePostgres(address: string, applicationName: string): PostgresLocation {
  let url: URL;
  try {
    // `postgres://user@/database?host=/folder` is how a socket is named everywhere; the URL standard wants a host behind a user.
    url = new URL(address.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)(?=[:/?#]|$)/, '$1localhost'));
  } catch {
    // Not as a cause: it quotes its input.
    throw badAddress('cannot be read');
  }
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') throw badAddress('begins with neither postgres:// nor postgresql://');
  const decoded = (text: string, what: string) => {
    try {
      return decodeURIComponent(text);
    } catch {
      throw badAddress(`has a ${what} that is not percent-encoded right`);
    }
  };
  for (const name of url.searchParams.keys()) {
    if (!['host', 'sslmode', 'sslrootcert'].includes(name)) throw badAddress(`has the setting "${name.slice(0, 40)}", which is not known: there are host, sslmode and sslrootcert`);
  }
  const host = url.searchParams.get('host') ?? (decoded(url.hostname, 'host').replace(/^\[(.*)\]$/, '$1') || 'localhost');
  const user = decoded(url.username, 'user') || userInfo().username;
  const database = decoded(url.pathname.slice(1), 'database') || user;
  const mode = url.searchParams.get('sslmode');
  const tls = mode === null ? (isHere(host) ? 'none' : 'verified') : tlsOf[mode];
  if (tls === undefined) throw badAddress(`has a sslmode that is not known: there are ${Object.keys(tlsOf).join(', ')}`);
  const port = url.port === '' ? defaultPort : Number(url.port);
  const at = host.startsWith('/') ? `${host} (port ${port})` : `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  return {
    kind: 'postgres', host, port, user, database, tls, applicationName,
    password: url.password === '' ? null : decoded(url.password, 'password'),
    authoritiesFile: url.searchParams.get('sslrootcert'),
    shown: `${database} at ${at}`,
  };
}

/** A connection that never leaves this machine needs no TLS. */
function isHere(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
