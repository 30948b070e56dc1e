// Pebble, the test authority of Let's Encrypt, and BIND, both on free ports of 127.0.0.1 with everything in the test's folder.
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { issueServerLeaf, makeCa } from '#model/certificate.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';
import { request } from 'node:https';
import type { findPeers } from './peers.ts';
import { freePort, type Processes, type Started } from './processes.ts';

type Peers = ReturnType<typeof findPeers>;

export interface Bind {
  readonly port: number;
  /** `127.0.0.1:PORT` of the server that has the zones. */
  readonly address: string;
  /** The same of a resolver that asks it. */
  readonly resolver: string;
  readonly key: { readonly name: string; readonly algorithm: string; readonly secret: string };
  readonly process: Started;
  /** What its log says, errors and refusals included. */
  said(): string;
}

/** Of `example.test` the key may change nothing but `_acme-challenge` names; of `answers.test` everything. Every name below example.test means 127.0.0.1. */
export async function startBind(processes: Processes, peers: Peers): Promise<Bind> {
  const port = await freePort();
  const folder = join(processes.folder, 'bind');
  mkdirSync(folder, { recursive: true });
  const key = { name: 'acme-key', algorithm: 'hmac-sha256', secret: randomBytes(32).toString('base64') };
  const strong = { name: 'strong-key', algorithm: 'hmac-sha512', secret: randomBytes(64).toString('base64') };
  // Name servers where nobody listens: what they would say is not looked at.
  const head = '$TTL 60\n@ IN SOA ns1 admin 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 127.45.67.89\n@ IN A 127.0.0.1\n* IN A 127.0.0.1\n';
  writeFileSync(join(folder, 'example.zone'), `${head}_acme-challenge.delegated IN CNAME delegated.answers.test.\n@ IN CAA 0 issue "pebble.example"\n`);
  writeFileSync(join(folder, 'answers.zone'), head);
  const config = join(folder, 'named.conf');
  const clause = (each: typeof key) => `key "${each.name}" { algorithm ${each.algorithm}; secret "${each.secret}"; };\n`;
  writeFileSync(config, `${clause(key)}${clause(strong)}
options { directory "${folder}"; listen-on port ${port} { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile "${folder}/session.key"; lock-file none; recursion no; dnssec-validation no; notify no; allow-transfer { none; }; };
controls { };
zone "example.test" { type primary; file "example.zone"; update-policy { grant acme-key wildcard * TXT; grant acme-key name _acme-challenge.example.test TXT; }; };
zone "answers.test" { type primary; file "answers.zone"; allow-update { key strong-key; key acme-key; }; };
`);
  const started = processes.start(peers.path('named'), ['-g', '-n', '1', '-c', config, '-p', String(port)], { cwd: folder });
  await started.says(/\brunning\b/);
  // What the authority asks: a resolver that follows CNAMEs from zone to zone and remembers nothing.
  const resolverPort = await freePort();
  const resolverConfig = join(folder, 'resolver.conf');
  writeFileSync(resolverConfig, `options { directory "${folder}"; listen-on port ${resolverPort} { 127.0.0.1; }; listen-on-v6 { none; }; pid-file none; session-keyfile "${folder}/resolver.key"; lock-file none; recursion yes; allow-recursion { 127.0.0.1; };
  forward only; forwarders { 127.0.0.1 port ${port}; }; dnssec-validation no; empty-zones-enable no; max-cache-ttl 0; max-ncache-ttl 0; servfail-ttl 0; };
controls { };
`);
  const resolver = processes.start(peers.path('named'), ['-g', '-n', '1', '-c', resolverConfig, '-p', String(resolverPort)], { cwd: folder });
  await resolver.says(/\brunning\b/);
  return { port, address: `127.0.0.1:${port}`, resolver: `127.0.0.1:${resolverPort}`, key, process: started, said: () => started.stderr };
}

export interface Pebble {
  readonly directory: string;
  /** Root of its own certificate, PEM. */
  readonly rootPem: string;
  readonly root: Awaited<ReturnType<typeof newRoot>>;
  /** Root of the certificates that it gives. */
  issuerPem(): Promise<string>;
  readonly process: Started;
}

export interface PebbleOptions {
  readonly httpPort: number;
  readonly tlsPort: number;
  readonly dns: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly externalAccounts?: Readonly<Record<string, string>>;
  /** Instead of a free one, with the key of that certificate: the same authority again, which has forgotten everything. */
  readonly again?: Pebble;
}

async function newRoot() {
  const caKeys = await makeKeyPair();
  return { caKeys, ca: await makeCa({ name: 'Pebble front', keys: caKeys, now: Date.now(), random: randomBytes }) };
}

export async function startPebble(processes: Processes, peers: Peers, options: PebbleOptions): Promise<Pebble> {
  const port = options.again ? Number(new URL(options.again.directory).port) : await freePort();
  const adminPort = await freePort();
  const folder = join(processes.folder, `pebble-${adminPort}`);
  mkdirSync(folder, { recursive: true });
  const keys = await makeKeyPair();
  const root = options.again?.root ?? (await newRoot());
  const { ca, caKeys } = root;
  const leaf = await issueServerLeaf({ ca: { certificatePem: ca.pem, signingKey: caKeys.privateKey }, names: { dns: ['localhost'], ip: ['127.0.0.1'] }, publicKey: keys.publicKey, now: Date.now(), random: randomBytes });
  const [certificate, privateKey] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  writeFileSync(certificate, leaf.pem);
  writeFileSync(privateKey, await privateKeyPemOf(keys));
  const config = join(folder, 'config.json');
  writeFileSync(config, JSON.stringify({ pebble: {
    listenAddress: `127.0.0.1:${port}`, managementListenAddress: `127.0.0.1:${adminPort}`, certificate, privateKey, httpPort: options.httpPort, tlsPort: options.tlsPort, ocspResponderURL: '',
    externalAccountBindingRequired: options.externalAccounts !== undefined, ...(options.externalAccounts ? { externalAccountMACKeys: options.externalAccounts } : {}),
  } }));
  const started = processes.start(peers.path('pebble'), ['-config', config, '-dnsserver', options.dns], { env: { PEBBLE_VA_NOSLEEP: '1', PEBBLE_AUTHZREUSE: '0', PEBBLE_WFE_NONCEREJECT: '0', ...options.env } });
  await started.says(/ACME directory available/);
  return {
    directory: `https://127.0.0.1:${port}/dir`,
    rootPem: ca.pem,
    root,
    issuerPem: () => fetchText(`https://127.0.0.1:${adminPort}/roots/0`, ca.pem),
    process: started,
  };
}

function fetchText(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { ca, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      response.once('end', () => resolve(text));
    });
    sent.once('error', reject);
    sent.end();
  });
}
