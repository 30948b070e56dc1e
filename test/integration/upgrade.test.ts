// Data folders that finished versions left behind open with this one, with everything in them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { finishesCleanly, request, startGateway, temporaryFolder } from '../kit/gateway.ts';

const upgrades = join(import.meta.dirname, '..', 'upgrade');
const archives = readdirSync(upgrades).filter((name) => name.endsWith('.tgz'));
assert.ok(archives.length > 0);

async function hasFrontDoor(gateway: Awaited<ReturnType<typeof startGateway>>, cookie: string): Promise<void> {
  const certificates = (await gateway.api('GET', '/certificates?source=private-ca', { cookie })).json['items'] as { id: string; name: string }[];
  const issued = certificates.find(({ name }) => name === 'web');
  assert.ok(issued, JSON.stringify(certificates));
  const asked = (await gateway.api('GET', '/certificates?source=request', { cookie })).json['items'] as { name: string; state: string }[];
  assert.deepEqual(asked.map(({ name, state }) => [name, state]), [['asked', 'waiting']]);
  const download = await gateway.api('POST', `/certificates/${issued.id}/download`, { cookie, body: { form: 'pem-with-key' } });
  assert.match(String(download.json['content']), /PRIVATE KEY/, 'its key is there');
  const deliveries = (await gateway.api('GET', `/certificates/${issued.id}/deliveries`, { cookie })).json['items'] as unknown[];
  assert.equal(deliveries.length, 1);
  const config = (await gateway.api('GET', '/config', { cookie })).json['config'] as { tlsPolicies: { name: string }[]; routes: { name: string; protocol: string }[]; trustedProxies: unknown[] };
  assert.deepEqual([config.tlsPolicies[0]?.name, config.routes[1]?.protocol, config.trustedProxies.length], ['staff', 'ldap', 1]);
}

async function hasDataHome(gateway: Awaited<ReturnType<typeof startGateway>>, cookie: string): Promise<void> {
  const feeds = (await gateway.api('GET', '/feeds', { cookie })).json['items'] as { id: string; serial: string; feed: string; bytes: number }[];
  assert.deepEqual(feeds.map(({ serial, bytes }) => [serial, bytes]).sort(), [['SN/1', 8], ['STRANGER', 16]]);
  const records = (await gateway.api('GET', `/feeds/${feeds.find(({ serial }) => serial === 'SN/1')!.id}/records`, { cookie })).text;
  assert.match(records, /one[^]*two/);
  const waiting = (await gateway.api('GET', '/waiting-devices', { cookie })).json['items'] as { serial: string }[];
  assert.deepEqual(waiting.map(({ serial }) => serial), ['STRANGER']);
  const files = (await gateway.api('GET', '/files', { cookie })).json['items'] as { name: string; bytes: number }[];
  assert.deepEqual(files.map(({ name, bytes }) => [name, bytes]), [['report.txt', 9]]);
  // What was stored is known: a repeat is one, and what the stranger lost stays lost.
  const again = await request(gateway.ports.http, { method: 'POST', path: '/v1/default/push/STRANGER/cdr/00000000000000aa?o=8', headers: { host: 'localhost' }, body: 'from a stranger\n' });
  assert.match(again.body.toString(), /next=24\nrepeat=1\n/);
  const config = (await gateway.api('GET', '/config', { cookie })).json['config'] as { redirects: { name: string }[]; feeds: { name: string }[] };
  assert.deepEqual([config.redirects[0]?.name, config.feeds[0]?.name], ['north', 'calls']);
}

async function hasAddresses(gateway: Awaited<ReturnType<typeof startGateway>>, cookie: string): Promise<void> {
  const items = async (path: string) => (await gateway.api('GET', path, { cookie })).json['items'] as Record<string, unknown>[];
  const panel = (await items('/devices')).find(({ name }) => name === 'Panel')!;
  const identity = (await gateway.api('GET', `/devices/${String(panel['id'])}/identity`, { cookie })).json as { virtualAddress: string; urls: { note: string }[]; sources: { application: string }[]; evidence: { kind: string; value: string }[] };
  assert.match(identity.virtualAddress, /^127\.75\.0\.\d+$/);
  assert.deepEqual(identity.urls.map(({ note }) => note), ['in its settings']);
  assert.deepEqual(identity.sources.map(({ application }) => application), ['scan']);
  assert.ok(identity.evidence.some(({ kind, value }) => kind === 'address' && value === '127.9.0.1'), 'its evidence is there');
  const profile = (await gateway.api('GET', `/devices/${String(panel['id'])}/profile`, { cookie })).json as { failure: { address: string } | null };
  assert.equal(profile.failure?.address, '127.9.0.1');
  const site = (await gateway.api('GET', `/sites/${String((await items('/sites'))[0]!['id'])}`, { cookie })).json;
  assert.deepEqual([site['subnets'], site['egress']], [['127.9.0.0/24'], ['203.0.113.7/32']]);
  const config = (await gateway.api('GET', '/config', { cookie })).json['config'] as { addressPool: { networks: string[] }; routes: { application?: { tell: string } }[] };
  assert.deepEqual([config.addressPool.networks, config.routes[2]?.application?.tell], [['127.75.0.0/24'], 'virtual']);
}

for (const archive of archives) {
  test(`the data folder of ${archive.replace('.tgz', '')} opens`, async () => {
    using folder = temporaryFolder();
    execFileSync('tar', ['-xzf', join(upgrades, archive), '-C', folder.path]);
    await using gateway = await startGateway({ dataDir: join(folder.path, 'data') });
    assert.equal(gateway.setupAddress(), null, 'there is an owner');
    const signedIn = await gateway.api('POST', '/sign-in', { body: { login: 'owner', password: 'correct horse battery staple' } });
    assert.equal(signedIn.status, 200, signedIn.text);
    const cookie = String(signedIn.headers['set-cookie']).split(';', 1)[0]!;
    const devices = (await gateway.api('GET', '/devices', { cookie })).json['items'] as { label: string; name: string }[];
    assert.deepEqual(devices.filter(({ name }) => !['Logger', 'Panel'].includes(name)).map(({ label, name }) => ({ label, name })), [{ label: 'front-desk', name: 'Printer 1' }]);
    const verified = await gateway.api('POST', '/audit/verify', { cookie });
    assert.equal(verified.json['brokenAt'], null, verified.text);
    assert.ok((verified.json['lines'] as number) > 8);
    const visits = (await gateway.api('GET', '/visits', { cookie })).json['items'] as { requests: number; closedAt: number | null }[];
    assert.ok(visits.some((visit) => visit.requests > 0 && visit.closedAt !== null));
    const config = (await gateway.api('GET', '/config', { cookie })).json['config'] as { routes: { name: string }[] };
    assert.equal(config.routes[0]?.name, 'shop');
    if (archive !== 'first-light.tgz') await hasFrontDoor(gateway, cookie);
    if (['data-home.tgz', 'addresses.tgz'].includes(archive)) await hasDataHome(gateway, cookie);
    if (archive === 'addresses.tgz') await hasAddresses(gateway, cookie);
    // The former label still leads to the new one, for whoever is signed in there.
    const old = await request(gateway.ports.http, { headers: { host: `printer-1.localhost:${gateway.ports.http}`, accept: 'text/html' } });
    assert.equal(old.status, 303);
    await finishesCleanly(gateway);
  });
}
