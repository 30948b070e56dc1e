// What explain says of a request at an application is what happens to it: the same questions go through the front door and to explain, and both end the same way.
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { startAddressApp, type AddressApp } from '#kit/address-app.ts';
import { finishesCleanly, startGateway, type TestGateway } from '#kit/gateway.ts';
import type { Device } from '#model/rows.ts';

interface Told {
  readonly verdict: string;
  readonly rule: string;
  readonly lines: string[];
}

suite('explain and applications', { timeout: 60_000 }, () => {
  let gateway: TestGateway;
  let app: AddressApp;
  let token: string;
  const devices = new Map<string, Device>();
  const hosts = ['headers', 'strict', 'open', 'virtual', 'prefix'];

  before(async () => {
    app = await startAddressApp();
    const target = { kind: 'tcp', host: '127.0.0.1', port: app.port };
    gateway = await startGateway({
      config: { addressPool: { networks: ['127.74.0.0/24'] } },
      routes: [
        { name: 'headers', host: 'headers.example.test', listeners: ['http'], target, application: { tell: 'headers' } },
        { name: 'strict', host: 'strict.example.test', listeners: ['http'], target, application: { tell: 'headers', require: 'verified' } },
        { name: 'open', host: 'open.example.test', listeners: ['http'], target, application: { tell: 'headers', require: 'any', assigned: false } },
        { name: 'virtual', host: 'virtual.example.test', listeners: ['http'], target, application: { tell: 'virtual' } },
        { name: 'prefix', host: 'prefix.example.test', listeners: ['http'], target, application: { tell: 'headers', session: { jar: true, urlPrefix: true } } },
      ],
    });
    await gateway.addDevice({ name: 'LAN', ports: [{ number: 80, kind: 'http' }] });
    ({ token } = await gateway.owner());
    const agentId = [...gateway.tables.agents.values()][0]!.id;
    for (const [name, host] of [['one', '127.9.4.1'], ['two', '127.9.4.2'], ['twin', '127.9.4.3'], ['other', '127.9.4.3']] as const) {
      const made = await gateway.api('POST', '/devices', { token, body: { agentId, name, serial: `SN-${name}`, host, ports: [{ number: 80, name: '', kind: 'http' }] } });
      assert.equal(made.status, 200, made.text);
      devices.set(name, gateway.tables.devices.get(made.json['id'] as string)!);
    }
    const site = [...gateway.tables.sites.values()][0]!;
    gateway.tables.sitePlaces.publish({ put: [{ siteId: site.id, customerId: site.customerId, subnets: ['127.9.4.0/24'], egress: ['127.9.5.5/32'] }] });
    for (const application of hosts) {
      const device = devices.get('one')!;
      gateway.tables.jobSources.publish({ put: [{ id: `${application}-one`, customerId: device.customerId, application, deviceId: device.id, serial: null, siteId: null, address: null, as: application === 'open' ? '192.0.2.77' : null, note: '', createdAt: 1 }] });
    }
  });
  after(async () => {
    await finishesCleanly(gateway);
    await gateway.close();
    await app[Symbol.asyncDispose]();
  });

  const send = (from: string, host: string, path: string) =>
    new Promise<{ status: number; location: string | null; text: string; fromApplication: boolean }>((done, failed) => {
      const sent = httpRequest({ host: '127.0.0.1', port: gateway.ports.http, localAddress: from, path, headers: { host, 'user-agent': 'Panel' }, agent: false }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => done({ status: answer.statusCode!, location: answer.headers.location ?? null, text, // Our own pages name the request.
          fromApplication: answer.headers['postern-request'] === undefined && answer.statusCode !== 302 })).on('error', failed);
      });
      sent.on('error', failed).end();
    });
  const explain = async (from: string, host: string, path: string): Promise<Told> => {
    const told = await gateway.api('POST', '/explain', { token, body: { url: `http://${host}${path}`, from } });
    assert.equal(told.status, 200, told.text);
    return told.json as unknown as Told;
  };
  /** Asked first, so that nothing which the request leaves behind is known to it. */
  const both = async (from: string, host: string, path: string) => {
    const told = await explain(from, host, path);
    const happened = await send(from, host, path);
    const ended = happened.fromApplication ? 'forward' : happened.status === 403 ? 'refuse' : happened.status === 302 ? 'redirect' : happened.status === 200 ? 'respond' : String(happened.status);
    assert.equal(told.verdict, ended, `${from} ${host}${path}: ${happened.status}\n${told.lines.join('\n')}`);
    return { told: told.lines.join('\n'), ...happened };
  };

  test('each application, each kind of place', async () => {
    const seen = new Map<string, string>();
    for (const host of hosts) {
      for (const from of ['127.9.4.1', '127.9.4.2', '127.9.4.3', '127.9.4.9', '127.9.5.5', '127.9.6.6']) {
        for (const path of ['/', '/.postern/test']) seen.set(`${host} ${from} ${path}`, (await both(from, `${host}.example.test`, path)).told);
      }
    }
    assert.match(seen.get('headers 127.9.4.1 /')!, /address-only: one \(SN-one\)[^]*it is a job source of headers[^]*it appears to the server as 127\.9\.4\.1/);
    assert.match(seen.get('open 127.9.4.1 /')!, /appears as 192\.0\.2\.77/);
    assert.match(seen.get('headers 127.9.4.2 /')!, /no job source of headers[^]*refused with 403/);
    assert.match(seen.get('headers 127.9.4.3 /')!, /ambiguous/);
    assert.match(seen.get('headers 127.9.5.5 /')!, /HP-1: the traffic leaves its network/);
    assert.match(seen.get('strict 127.9.4.1 /')!, /known by its address only/);
    assert.match(seen.get('virtual 127.9.4.1 /')!, /gets a virtual address first|appears to the server as 127\.74\.0\./);
    assert.match((await explain('127.9.4.1', 'virtual.example.test', '/')).lines.join('\n'), /appears to the server as 127\.74\.0\.\d+, from which the connection comes/);
  });

  test('a device\'s own URL, and one that is nobody\'s', async () => {
    const made = await gateway.api('POST', `/devices/${devices.get('one')!.label}/urls`, { token, body: { application: 'strict' } });
    assert.equal(made.status, 200, made.text);
    const path = new URL(made.json['address'] as string).pathname;
    const secret = path.split('/')[2]!;
    for (const from of ['127.9.4.1', '127.9.4.9', '127.9.5.5', '127.9.6.6']) {
      const { told } = await both(from, 'strict.example.test', path);
      assert.match(told, /a device's own URL\n.*verified: one \(SN-one\)/);
      assert.ok(!told.includes(secret), 'the secret is told');
      assert.match(told, /path \/d\/…\//);
    }
    assert.match((await both('127.9.4.9', 'strict.example.test', path.slice(0, -1))).told, /slash/);
    const { told } = await both('127.9.4.9', 'strict.example.test', `/d/${'x'.repeat(24)}/menu`);
    assert.match(told, /no device has it/);
    assert.ok(!told.includes('xxxx'));
    assert.equal((await both('127.9.4.9', 'strict.example.test', `${path}.postern/test`)).status, 200);
  });

  test('sessions in addresses', async () => {
    const begun = await both('127.9.4.1', 'prefix.example.test', '/menu');
    assert.match(begun.location!, /^\/s\//);
    await both('127.9.4.1', 'prefix.example.test', begun.location!);
    await both('127.9.4.2', 'prefix.example.test', begun.location!);
    await both('127.9.4.1', 'prefix.example.test', `/s/${'y'.repeat(22)}/menu`);
    const told = await explain('127.9.4.1', 'prefix.example.test', begun.location!);
    assert.ok(!JSON.stringify(told).includes(begun.location!.split('/')[2]!));
    const session = (await gateway.api('GET', '/device-sessions', { token })).json['items'] as { id: string; application: string }[];
    const mine = session.find((each) => each.application === 'prefix')!;
    assert.equal((await gateway.api('POST', `/device-sessions/${mine.id}/reverify`, { token })).status, 200);
    await both('127.9.4.1', 'prefix.example.test', begun.location!);
    await both('127.9.4.1', 'prefix.example.test', '/menu');
  });

  test('by a file alone the rules are told, and nobody', async () => {
    const { config } = (await gateway.api('GET', '/config', { token })).json as { config: unknown };
    const { explain: offline } = await import('#model/explain.ts');
    const told = offline(config, { url: 'http://headers.example.test/', nowMs: 0 });
    assert.match(told.lines.join('\n'), /its server knows devices by their address[^]*only its job sources[^]*running gateway only/);
  });
});
