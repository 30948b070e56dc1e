// What explain says is what happens: the same first packets go to a gateway and are asked about, and both lead to the same server or to none.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { explain } from '#model/explain.ts';
import type { Config } from '#model/config.ts';
import { finishesCleanly, startGateway, startTcp, until } from '../kit/gateway.ts';

const bindOf = (name: string) => {
  const op = Buffer.concat([Buffer.from([0x02, 1, 3, 0x04, name.length]), Buffer.from(name), Buffer.from([0x80, 1, 0x78])]);
  return Buffer.concat([Buffer.from([0x30, op.length + 5, 2, 1, 1, 0x60, op.length]), op]);
};
const register = (domain: string) => `OPTIONS sip:${domain} SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:anna@${domain}>;tag=1\r\nTo: <sip:${domain}>\r\nCall-ID: 1@192.0.2.9\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n`;

interface Probe {
  readonly listener: string;
  /** Asked of explain; PORT is the listener's. */
  readonly url: string;
  readonly user?: string;
  /** Sent plainly, or inside TLS where `tls` says how. */
  readonly bytes: Buffer | string;
  readonly tls?: { readonly servername?: string; readonly version?: '1.1' };
}

const ssh = 'SSH-2.0-OpenSSH_9.2\r\n';
const get = 'GET / HTTP/1.1\r\nHost: web.example.test\r\nConnection: close\r\n\r\n';
const probes: readonly Probe[] = [
  { listener: 'mixed', url: 'ldap://192.0.2.9:PORT', user: 'pbx.example.test\\anna', bytes: bindOf('pbx.example.test\\anna') },
  { listener: 'mixed', url: 'ldap://192.0.2.9:PORT', user: 'anna@elsewhere.test', bytes: bindOf('anna@elsewhere.test') },
  { listener: 'mixed', url: 'ssh://192.0.2.9:PORT', bytes: ssh },
  { listener: 'mixed', url: 'sip://pbx.example.test:PORT', user: 'anna', bytes: register('pbx.example.test') },
  { listener: 'mixed', url: 'http://web.example.test:PORT/', bytes: get },
  { listener: 'mixed', url: 'tcp://192.0.2.9:PORT', bytes: Buffer.alloc(32, 0xff) },
  { listener: 'mixed', url: 'tls://app.example.test:PORT', bytes: '', tls: { servername: 'app.example.test' } },
  { listener: 'front', url: 'ssh://192.0.2.9:PORT', bytes: ssh },
  { listener: 'front', url: 'ldap://pbx.example.test:PORT', user: 'anna@pbx.example.test', bytes: bindOf('anna@pbx.example.test') },
  { listener: 'front', url: 'http://web.example.test:PORT/', bytes: get },
  { listener: 'front', url: 'https://web.example.test:PORT/', bytes: get, tls: { servername: 'web.example.test' } },
  { listener: 'front', url: 'ldaps://pbx.example.test:PORT', user: 'anna@pbx.example.test', bytes: bindOf('anna@pbx.example.test'), tls: { servername: 'pbx.example.test' } },
  { listener: 'front', url: 'ssh+tls://pbx.example.test:PORT', bytes: ssh, tls: { servername: 'pbx.example.test' } },
  { listener: 'front', url: 'ldaps://safe.example.test:PORT', user: 'anna@safe.example.test', bytes: bindOf('anna@safe.example.test'), tls: { servername: 'safe.example.test' } },
  { listener: 'front', url: 'https://web.example.test:PORT/', bytes: get, tls: { servername: 'web.example.test', version: '1.1' } },
  { listener: 'front', url: 'tls://app.example.test:PORT', bytes: '', tls: { servername: 'app.example.test' } },
  { listener: 'pass', url: 'tls://app.example.test:PORT', bytes: '', tls: { servername: 'app.example.test' } },
  { listener: 'pass', url: 'tls://other.example.test:PORT', bytes: '', tls: { servername: 'other.example.test' } },
  { listener: 'mail', url: 'tcp://192.0.2.9:PORT', bytes: '' },
  { listener: 'mail', url: 'ssh://192.0.2.9:PORT', bytes: ssh },
  { listener: 'plain', url: 'tls://web.example.test:PORT', bytes: '', tls: { servername: 'web.example.test' } },
];

test('explain leads where connections lead', { timeout: 60_000 }, async () => {
  let reached: string | null = null;
  await using servers = new AsyncDisposableStack();
  const upstreams = new Map<string, Awaited<ReturnType<typeof startTcp>>>();
  for (const name of ['directory', 'shell', 'calls', 'through', 'post', 'web', 'safe']) {
    upstreams.set(name, servers.use(await startTcp((socket) => {
      reached = name;
      socket.on('end', () => socket.end()).resume();
      if (name === 'web') socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    })));
  }
  const to = (name: string) => ({ kind: 'tcp', host: '127.0.0.1', port: upstreams.get(name)!.port });
  await using gateway = await startGateway({
    domain: 'gw.example.test',
    config: {
      listeners: [
        { name: 'mixed', tls: false, protocols: ['ldap', 'ssh', 'sip'] }, { name: 'front', tls: true, protocols: ['http', 'tls', 'ldap'], plain: ['ssh'] },
        { name: 'pass', tls: false, protocols: ['tls'] }, { name: 'mail', tls: false, protocols: ['tcp'], serverFirst: true }, { name: 'plain', tls: false, protocols: ['http'] },
      ],
      tlsPolicies: [{ name: 'safe', hosts: ['safe.example.test'], level: 'intermediate', clientCertificates: { ca: 'private', required: true } }],
    },
    routes: [
      { name: 'directory', protocol: 'ldap', host: 'pbx.example.test', listeners: ['mixed', 'front'], target: to('directory') }, { name: 'safe', protocol: 'ldap', host: 'safe.example.test', listeners: ['front'], target: to('safe') },
      { name: 'shell', protocol: 'ssh', listeners: ['mixed', 'front'], target: to('shell') }, { name: 'calls', protocol: 'sip', host: 'pbx.example.test', listeners: ['mixed'], target: to('calls') },
      { name: 'through', protocol: 'tls', host: 'app.example.test', listeners: ['front', 'pass'], target: to('through') }, { name: 'post', protocol: 'tcp', listeners: ['mail'], target: to('post') },
      { name: 'web', host: 'web.example.test', target: to('web') },
    ],
  });
  // As bound: the document says that the system chooses the ports.
  const { token } = await gateway.owner();
  const { config } = (await gateway.api('GET', '/config', { token })).json as unknown as { config: Config };
  const portOf = (name: string) => gateway.listeners.find((each) => each.name === name)!.port;
  const document = { ...config, listeners: config.listeners.map((each) => ({ ...each, port: portOf(each.name) })) };

  const send = async ({ listener, bytes, tls }: Probe): Promise<string | null> => {
    reached = null;
    let ended = false;
    const close = (socket: Socket) => void socket.on('error', () => {}).on('close', () => void (ended = true)).resume();
    const port = portOf(listener);
    const old = tls?.version === '1.1' ? ({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const) : {};
    const client: Socket = tls ? connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...(tls.servername ? { servername: tls.servername } : {}), ...old }) : connect({ host: '127.0.0.1', port });
    close(client);
    if (bytes.length > 0) client.once(tls ? 'secureConnect' : 'connect', () => client.write(bytes));
    await until(`a server to be reached, or the end: ${listener} ${tls?.servername ?? ''}`, () => (reached !== null && bytes !== get) || ended, 15_000);
    client.destroy();
    return reached;
  };
  for (const probe of probes) {
    const { listener, url, user, tls } = probe;
    const told = explain(document, { url: url.replace('PORT', String(portOf(listener))), nowMs: Date.now(), ...(user ? { user } : {}), ...(tls?.version ? { tls: tls.version } : {}) });
    const happened = await send(probe);
    assert.equal(happened ?? 'refuse', told.verdict === 'forward' ? told.route : told.verdict, `${listener} ${url} ${user ?? ''}\n${told.lines.join('\n')}`);
  }
  await finishesCleanly(gateway);
});
