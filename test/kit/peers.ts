// The programs of others that the tests speak with. One that is missing is a skip that says what to install; where CI=true it is a
// failure, because there `scripts/install-peers.sh` has run.
import { createHash } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { delimiter, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { isCi } from './gateway.ts';

interface PeerKind {
  readonly package: string;
  /** Looked at besides PATH: system programs are not on everybody's. */
  readonly folders?: readonly string[];
}

const system = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin'];
/** Debian keeps each major version in a folder of its own; the newest first. */
const postgresFolders = ['18', '17', '16', '15', '14', '13'].map((version) => `/usr/lib/postgresql/${version}/bin`);
const kinds = {
  sshd: { package: 'openssh-server', folders: system },
  ssh: { package: 'openssh-client' },
  scp: { package: 'openssh-client' },
  'ssh-keygen': { package: 'openssh-client' },
  nginx: { package: 'nginx-light', folders: system },
  haproxy: { package: 'haproxy', folders: system },
  apache2: { package: 'apache2', folders: system },
  tshark: { package: 'tshark' },
  curl: { package: 'curl' },
  faketime: { package: 'faketime' },
  nghttp: { package: 'nghttp2-client' },
  h2load: { package: 'nghttp2-client' },
  h2spec: { package: 'golang-go, then scripts/install-peers.sh', folders: system },
  openssl: { package: 'openssl' },
  sslscan: { package: 'sslscan' },
  keytool: { package: 'default-jre-headless' },
  testssl: { package: 'testssl.sh' },
  snmpd: { package: 'snmpd', folders: system },
  snmpget: { package: 'snmp' },
  snmpwalk: { package: 'snmp' },
  snmpbulkget: { package: 'snmp' },
  snmpbulkwalk: { package: 'snmp' },
  slapd: { package: 'slapd', folders: system },
  slapadd: { package: 'slapd', folders: system },
  ldapsearch: { package: 'ldap-utils' },
  ldapwhoami: { package: 'ldap-utils' },
  ldapcompare: { package: 'ldap-utils' },
  sipp: { package: 'sip-tester' },
  pebble: { package: 'pebble' },
  socat: { package: 'socat' },
  strace: { package: 'strace' },
  stty: { package: 'coreutils' },
  logger: { package: 'bsdutils' },
  'syslog-ng': { package: 'syslog-ng-core syslog-ng-mod-http', folders: system },
  telegraf: { package: 'golang-go, then scripts/install-peers.sh', folders: system },
  'fluent-bit': { package: 'fluent-bit of packages.fluentbit.io; Debian has none', folders: ['/opt/fluent-bit/bin', ...system] },
  logrotate: { package: 'logrotate', folders: system },
  named: { package: 'bind9', folders: system },
  nsupdate: { package: 'bind9-dnsutils' },
  dnsmasq: { package: 'dnsmasq-base', folders: system },
  postgres: { package: 'postgresql', folders: postgresFolders },
  initdb: { package: 'postgresql', folders: postgresFolders },
  'nats-server': { package: 'nats-server', folders: system },
  setpriv: { package: 'util-linux', folders: system },
  ip: { package: 'iproute2', folders: system },
  go: { package: 'golang-go', folders: ['/usr/local/go/bin', '/usr/lib/go/bin'] },
} as const satisfies Record<string, PeerKind>;

export type PeerName = keyof typeof kinds;

function findProgram(name: string, folders: readonly string[]): string | undefined {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), ...folders]) {
    if (folder === '') continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return undefined;
}

/**
 * `skip` goes into a test's options: false, or why it is skipped. `path` gives absolute paths (sshd insists on one).
 * `optional` peers are skipped in CI too: those that Debian's package list does not bring.
 */
export function findPeers(names: readonly PeerName[], { optional = false } = {}): { readonly skip: string | false; path(name: PeerName): string } {
  const found = new Map(names.map((name) => [name, findProgram(name, (kinds[name] as PeerKind).folders ?? [])]));
  const missing = names.filter((name) => found.get(name) === undefined);
  const why = missing.map((name) => `${name} is not installed (apt install ${kinds[name].package})`).join(', ');
  if (missing.length > 0 && isCi && !optional) throw new Error(`CI=true, and ${why}; scripts/install-peers.sh installs the peers`);
  return {
    skip: missing.length > 0 ? why : false,
    path(name) {
      const path = found.get(name);
      if (path === undefined) throw new Error(`${name} was not asked for, or is not there`);
      return path;
    },
  };
}

/** What the echo server got, as its answer's JSON. */
export interface Echoed {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bodyBytes: number;
  readonly bodyHash: string;
  /** The connection it came over: equal for requests that shared one. */
  readonly conn: number;
}

export interface EchoServer {
  readonly port: number;
  /** Requests so far, the newest last. */
  readonly seen: readonly Echoed[];
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * An origin that tells what reached it. `/bytes/N` answers N zero bytes, `/chunked` in chunks with a trailer;
 * `/text` compresses when asked to, `/once…` ends the connection.
 */
export async function startEcho(): Promise<EchoServer> {
  const seen: Echoed[] = [];
  const conns = new WeakMap<Socket, number>();
  let connCount = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const hash = createHash('sha256');
    let bodyBytes = 0;
    for await (const piece of request as AsyncIterable<Buffer>) {
      hash.update(piece);
      bodyBytes += piece.length;
    }
    const conn = conns.get(request.socket) ?? ++connCount;
    conns.set(request.socket, conn);
    const echoed: Echoed = { method: request.method!, url: request.url!, headers: request.headers as Record<string, string>, bodyBytes, bodyHash: hash.digest('hex'), conn };
    seen.push(echoed);
    if (request.url!.startsWith('/once')) response.setHeader('Connection', 'close');
    const bytes = /^\/bytes\/(\d+)/.exec(request.url!)?.[1];
    if (bytes !== undefined) {
      response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': bytes });
      response.end(Buffer.alloc(request.method === 'HEAD' ? 0 : Number(bytes)));
    } else if (request.url === '/chunked') {
      response.writeHead(200, { 'Content-Type': 'text/plain', Trailer: 'Repr-Digest' });
      for (let i = 0; i < 5; i++) response.write(`part ${i}\n`);
      response.addTrailers({ 'Repr-Digest': 'sha-256=:dGVzdA==:' });
      response.end();
    } else if (request.url === '/text') {
      const text = 'the same line again and again\n'.repeat(1_000);
      const isWanted = String(request.headers['accept-encoding']).includes('gzip');
      const body = isWanted ? gzipSync(text) : Buffer.from(text);
      response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': body.length, ...(isWanted ? { 'Content-Encoding': 'gzip' } : {}) });
      response.end(body);
    } else {
      const text = JSON.stringify(echoed);
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
      response.end(text);
    }
  };
  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
