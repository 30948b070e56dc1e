// Makes the data folder that later versions must open: node test/upgrade/make.ts NAME, once at the end of a finished issue.
// Everything in it is made up; its keys guard nothing.
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { sha256Hex, signRequest } from '#wire/device-sign.ts';
import { enterDevice, request, startGateway, temporaryFolder } from '../kit/gateway.ts';

const name = process.argv[2];
if (!name || !/^[a-z0-9-]+$/.test(name)) throw new Error('node test/upgrade/make.ts NAME');
const askFrom = (localAddress: string, to: number, host: string) =>
  new Promise<string>((done, failed) => {
    get({ host: '127.0.0.1', port: to, localAddress, headers: { host, 'user-agent': 'Panel' }, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => done(text));
    }).on('error', failed);
  });
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
    strangers: [{ policy: 'quarantine' }],
    feeds: [{ name: 'calls', feeds: 'cdr', keepDays: 3_650, alerts: [{ name: 'emergency', pattern: 'two' }] }],
    servers: [{ name: 'second', base: 'https://in2.example.test/v1', drain: 'no' }],
    redirects: [{ name: 'north', serials: ['NORTH*'], servers: ['second'] }],
    addressPool: { networks: ['127.75.0.0/24'] },
    probes: { everyMinutes: 0 },
  },
  routes: [
    { name: 'shop', host: 'shop.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: 8000 } },
    { name: 'directory', protocol: 'ldap', host: 'pbx.example.test', listeners: ['directory'], target: { kind: 'tls', host: '127.0.0.1', port: 636, verify: { by: 'fingerprint', sha256: '00'.repeat(32) }, certificate: 'web' } },
    { name: 'scan', host: 'scan.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port }, application: { tell: 'virtual', session: { jar: true }, callbacks: [{ transport: 'udp', port: 10_161, to: 161 }] } },
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
// Data home: a device without an agent, its key, a feed with a gap, a file, a stranger in quarantine.
const pushing = await gateway.api('POST', '/devices', { token: owner.token, body: { name: 'Logger', serial: 'SN/1' } });
if (pushing.status !== 200) throw new Error(pushing.text);
const made = await gateway.api('POST', `/devices/${String(pushing.json['id'])}/keys`, { token: owner.token, body: {} });
if (made.status !== 200) throw new Error(made.text);
const deviceKey = String(made.json['secret']);
const bring = async (path: string, body: string, headers: Record<string, string> = {}, method = 'POST') => {
  const answer = await request(gateway.ports.http, { method, path: `/v1/default/${path}`, headers: { host: 'localhost', ...headers }, body });
  if (answer.status > 201) throw new Error(answer.body.toString());
};
const signed = (path: string, body: string, method = 'POST') => ({ 'x-postern-sign': signRequest(deviceKey, { method, target: `/v1/default/${path}`, unix: 1_795_159_800, nonce: randomBytes(12).toString('hex'), bodySha256: sha256Hex(body), fields: '' }) });
await bring('push/SN%2F1/cdr/5b1e0c77a1d2e3f4?o=0', 'one\ntwo\n', signed('push/SN%2F1/cdr/5b1e0c77a1d2e3f4?o=0', 'one\ntwo\n'));
await bring('push/STRANGER/cdr/00000000000000aa?o=8', 'from a stranger\n', { 'x-postern-gap': '0-8;reason=wrap' });
await bring('file/SN%2F1/report.txt', 'a report\n', { ...signed('file/SN%2F1/report.txt', 'a report\n', 'PUT'), 'content-digest': `sha-256=:${createHash('sha256').update('a report\n').digest('base64')}:` }, 'PUT');
// Devices known by their address: a site's networks, a panel with a URL of its own that is a job source, its virtual address, a probe that found nobody.
const must = async (method: string, path: string, body?: unknown) => {
  const answer = await gateway.api(method, path, { token: owner.token, ...(body === undefined ? {} : { body }) });
  if (answer.status !== 200) throw new Error(`${path}: ${answer.text}`);
  return answer.json;
};
await must('PATCH', `/sites/${device.siteId}`, { subnets: ['127.9.0.0/24'], egress: ['203.0.113.7/32'] });
const panel = String((await must('POST', '/devices', { agentId: device.agentId, name: 'Panel', serial: 'P1', host: '127.9.0.1', ports: [{ number: 161, name: 'SNMP', kind: 'udp' }] }))['id']);
await must('POST', `/devices/${panel}/urls`, { application: 'scan', note: 'in its settings' });
await must('POST', '/job-sources', { application: 'scan', serial: 'P1', customerId: device.customerId, note: 'the copier' });
const [, answered] = [await must('POST', `/devices/${panel}/probe`, { waitMs: 30_000 }), await askFrom('127.9.0.1', gateway.ports.http, 'scan.example.test')];
if (answered !== 'hello') throw new Error(answered);
await gateway.close();
await new Promise((done) => origin.close(done));
execFileSync('tar', ['-czf', join(import.meta.dirname, `${name}.tgz`), '-C', folder.path, 'data']);
process.exit(0);
