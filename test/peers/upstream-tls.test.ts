// TLS towards a server, with nginx as one that asks for a certificate: ours is shown, its own is judged by name, authority or fingerprint.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeCertificate, type Made } from '#kit/authority.ts';
import { finishesCleanly, portOf, startGateway, until } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses } from '#kit/processes.ts';
import { bodyOf, get, putCertificate, statusOf } from '#kit/tls-door.ts';

const now = Date.now();
const clientAuth = '1.3.6.1.5.5.7.3.2';
const serverAuth = '1.3.6.1.5.5.7.3.1';
const authority = await makeCertificate({ name: 'People', now, ca: true });
const otherAuthority = await makeCertificate({ name: 'Others', now, ca: true });
const person = (name: string, issuer = authority) => makeCertificate({ name, issuer, now, usages: [clientAuth] });
const ofOthers = await person('anna', otherAuthority);

const peers = findPeers(['nginx']);

test('towards a server: our certificate is shown, its own is checked by name, authority or fingerprint', { skip: peers.skip, timeout: 60_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const upstreams = await makeCertificate({ name: 'Upstreams', now, ca: true });
  const name = 'upstream.example.test';
  const server = await makeCertificate({ name, issuer: upstreams, now, usages: [serverAuth], names: [{ type: 'dns', value: name }] });
  const expired = await makeCertificate({ name, issuer: upstreams, now, from: now - 9 * 86_400_000, days: -1, usages: [serverAuth], names: [{ type: 'dns', value: name }] });
  const folder = join(processes.folder, 'nginx');
  mkdirSync(join(folder, 'temp'), { recursive: true });
  for (const [file, made] of [['server', server], ['expired', expired]] as const) {
    writeFileSync(join(folder, `${file}.pem`), made.pem);
    writeFileSync(join(folder, `${file}.key`), made.keyPem);
  }
  writeFileSync(join(folder, 'clients.pem'), authority.pem);
  const [port, expiredPort] = [await freePort(), await freePort()];
  const serverOf = (at: number, file: string) => `server {
    listen 127.0.0.1:${at} ssl;
    ssl_certificate ${join(folder, `${file}.pem`)};
    ssl_certificate_key ${join(folder, `${file}.key`)};
    ssl_client_certificate ${join(folder, 'clients.pem')};
    ssl_verify_client on;
    keepalive_timeout 0;
    location / { return 200 "$ssl_client_verify $ssl_client_s_dn for $ssl_server_name"; }
  }`;
  writeFileSync(join(folder, 'nginx.conf'), `daemon off;
${process.getuid?.() === 0 ? 'user root;\n' : ''}worker_processes 1;
pid ${join(folder, 'pid')};
error_log stderr crit;
events { worker_connections 64; }
http {
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((each) => `  ${each}_temp_path ${join(folder, 'temp', each)};`).join('\n')}
  access_log off;
  ${serverOf(port, 'server')}
  ${serverOf(expiredPort, 'expired')}
}
`);
  processes.start(peers.path('nginx'), ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr']);
  await until('nginx to listen', () => new Promise<boolean>((done) => void connect(port, '127.0.0.1').on('connect', function (this: Socket) {
    this.destroy();
    done(true);
  }).on('error', () => done(false))));

  const print = (made: Made) => new X509Certificate(made.pem).fingerprint256;
  const right = { by: 'name', name, ca: upstreams.pem };
  const targets: [string, object, string | number][] = [
    ['by-name', { verify: right, certificate: 'edge' }, `SUCCESS CN=edge for ${name}`],
    ['by-name-served', { verify: { by: 'name', ca: upstreams.pem }, serverName: name, certificate: 'edge' }, `SUCCESS CN=edge for ${name}`],
    ['by-ca', { verify: { by: 'ca', ca: upstreams.pem }, certificate: 'edge' }, 'SUCCESS CN=edge for '],
    ['by-print', { verify: { by: 'fingerprint', sha256: print(server) }, certificate: 'edge' }, 'SUCCESS CN=edge for '],
    ['by-print-plain', { verify: { by: 'fingerprint', sha256: print(server).replaceAll(':', '').toLowerCase() }, certificate: 'edge' }, 'SUCCESS CN=edge for '],
    ['wrong-name', { verify: { ...right, name: 'other.example.test' }, certificate: 'edge' }, 502],
    ['address-as-name', { verify: { by: 'name', ca: upstreams.pem }, certificate: 'edge' }, 502],
    ['other-ca', { verify: { ...right, ca: otherAuthority.pem }, certificate: 'edge' }, 502],
    ['system-roots', { verify: { by: 'name', name }, certificate: 'edge' }, 502],
    ['ca-of-others', { verify: { by: 'ca', ca: otherAuthority.pem }, certificate: 'edge' }, 502],
    ['wrong-print', { verify: { by: 'fingerprint', sha256: print(expired) }, certificate: 'edge' }, 502],
    ['expired', { port: expiredPort, verify: right, certificate: 'edge' }, 502],
    ['expired-by-ca', { port: expiredPort, verify: { by: 'ca', ca: upstreams.pem }, certificate: 'edge' }, 502],
    ['expired-by-print', { port: expiredPort, verify: { by: 'fingerprint', sha256: print(expired) }, certificate: 'edge' }, 'SUCCESS CN=edge for '],
    ['shows-nothing', { verify: right }, 400],
    ['shows-a-stranger', { verify: right, certificate: 'stranger' }, 400],
    ['shows-what-is-missing', { verify: right, certificate: 'nowhere' }, 502],
  ];
  const targetOf = (more: object) => ({ kind: 'tls', host: '127.0.0.1', port, ...more });
  await using gateway = await startGateway({
    config: { listeners: [{ name: 'relay', tls: false, protocols: ['tcp'], serverFirst: true }] },
    routes: [
      ...targets.map(([each, more]) => ({ name: each, host: `${each}.example.test`, listeners: ['http'], target: targetOf(more) })),
      { name: 'relay', protocol: 'tcp', listeners: ['relay'], target: targetOf({ verify: right, certificate: 'edge' }) },
    ],
  });
  const row = putCertificate(gateway, 'edge', await person('edge'));
  putCertificate(gateway, 'stranger', ofOthers);
  const send = (at: number, say: string) => new Promise<string>((done) => {
    let text = '';
    const socket = connect({ host: '127.0.0.1', port: at }, () => void socket.write(say));
    socket.on('data', (piece) => void (text += piece.toString('latin1'))).on('error', () => {}).on('close', () => done(text));
  });
  await until('our certificate to be there', async () => (await send(gateway.ports.http, get('by-name.example.test'))).includes('SUCCESS'));
  for (const [each, , expected] of targets) {
    const told = await send(gateway.ports.http, get(`${each}.example.test`));
    if (typeof expected === 'number') assert.equal(statusOf(told), expected, `${each}: ${told}`);
    else assert.ok(statusOf(told) === 200 && bodyOf(told).includes(expected), `${each}: ${told}`);
    if (expected === 502) assert.doesNotMatch(told, /SUCCESS/, 'nothing of a server that was not proved');
  }
  assert.match(await send(portOf(gateway, 'relay'), `GET / HTTP/1.0\r\nHost: ${name}\r\n\r\n`), /SUCCESS CN=edge for upstream/, 'a relay shows it, too');
  putCertificate(gateway, 'edge', await person('edge-renewed'), row);
  await until('the renewed one to be shown', async () => (await send(gateway.ports.http, get('by-name.example.test'))).includes('SUCCESS CN=edge-renewed'));
  await finishesCleanly(gateway);
});
