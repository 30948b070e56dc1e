// Makes the data folder that later versions must open: node test/upgrade/make.ts NAME, once at the end of a finished issue.
// Everything in it is made up; its keys guard nothing.
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { enterDevice, request, startGateway, temporaryFolder } from '../kit/gateway.ts';

const name = process.argv[2];
if (!name || !/^[a-z0-9-]+$/.test(name)) throw new Error('node test/upgrade/make.ts NAME');
using folder = temporaryFolder();
const dataDir = join(folder.path, 'data');
const origin = createServer((_, answer) => answer.end('hello'));
await new Promise<void>((done) => origin.listen(0, '127.0.0.1', () => done()));
const port = (origin.address() as AddressInfo).port;
const gateway = await startGateway({
  dataDir,
  config: {
    listeners: [{ name: 'directory', tls: false, protocols: ['ldap'], proxyProtocolFrom: ['192.0.2.0/24'] }],
    tlsPolicies: [{ name: 'staff', hosts: ['staff.example.test'], clientCertificates: { ca: 'private' }, legacyLane: { from: ['198.51.100.0/24'], until: '2027-06-30' } }],
    trustedProxies: [{ from: '192.0.2.9', subject: 'edge' }],
  },
  routes: [
    { name: 'shop', host: 'shop.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: 8000 } },
    { name: 'directory', protocol: 'ldap', host: 'pbx.example.test', listeners: ['directory'], target: { kind: 'tls', host: '127.0.0.1', port: 636, verify: { by: 'fingerprint', sha256: '00'.repeat(32) }, certificate: 'web' } },
  ],
});
const { device } = await gateway.addDevice({ name: 'Printer 1', ports: [{ number: port, kind: 'http' }, { number: 161, kind: 'udp' }] });
const owner = await gateway.owner();
const cookie = await enterDevice(gateway, owner.cookie, `${device.label}.localhost`);
const host = `${device.label}.localhost:${gateway.ports.http}`;
const page = await request(gateway.ports.http, { headers: { host, cookie, accept: 'text/html', 'sec-fetch-site': 'none' } });
if (page.body.toString() !== 'hello') throw new Error(page.body.toString());
const renamed = await gateway.api('PATCH', `/devices/${device.id}`, { token: owner.token, body: { label: 'front-desk' } });
if (renamed.status !== 200) throw new Error(renamed.text);
const invited = await gateway.api('POST', '/invites', { token: owner.token, body: { name: 'Technician', rights: [{ action: 'open', scopeKind: 'device', scopeId: device.id }] } });
if (invited.status !== 200) throw new Error(invited.text);
const issued = await gateway.api('POST', '/certificates/issue', { token: owner.token, body: { name: 'web', names: ['web.example.test'], keyKind: 'ec-p256' } });
if (issued.status !== 200) throw new Error(issued.text);
const asked = await gateway.api('POST', '/certificates/request', { token: owner.token, body: { name: 'asked', names: ['mail.example.test'], keyKind: 'rsa-2048', subject: { commonName: 'mail.example.test' } } });
if (asked.status !== 200) throw new Error(asked.text);
const delivery = await gateway.api('POST', `/certificates/${String(issued.json['id'])}/deliveries`, { token: owner.token, body: { agentId: device.agentId } });
if (delivery.status !== 200) throw new Error(delivery.text);
await gateway.close();
await new Promise((done) => origin.close(done));
execFileSync('tar', ['-czf', join(import.meta.dirname, `${name}.tgz`), '-C', folder.path, 'data']);
process.exit(0);
