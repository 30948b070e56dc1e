// Applications that know devices by their address, through a whole gateway: what their server hears of a device, who may go on, and what joins the
// requests of panels that keep no cookies. The server is of the kind that all of this is for (test/kit/address-app).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startAddressApp, type AddressApp, type AppSaw } from '#kit/address-app.ts';
import { finishesCleanly, portOf, request as plainRequest, startGateway, type TestGateway } from '#kit/gateway.ts';
import { request as httpRequest } from 'node:http';
import type { JobSource } from '#model/place-rows.ts';
import type { Device } from '#model/rows.ts';

const panel = 'Mozilla/4.0 (compatible; Panel 1.0)';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** As a device at `from` asks; each request has a connection of its own. */
function ask(gateway: TestGateway, from: string, host: string, path: string, headers: Record<string, string> = {}, method = 'GET', body = '', port = gateway.ports.http): Promise<Answer> {
  return new Promise((done, failed) => {
    const sent = httpRequest({ host: '127.0.0.1', port, localAddress: from, method, path, headers: { host, 'user-agent': panel, ...headers }, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => done({ status: answer.statusCode!, headers: answer.headers, text })).on('error', failed);
    });
    sent.on('error', failed);
    sent.end(body);
  });
}

const saw = (answer: Answer): AppSaw => {
  assert.equal(answer.status, 200, answer.text);
  return JSON.parse(answer.text) as AppSaw;
};

describe('an application that knows devices by their address', () => {
  let gateway: TestGateway;
  let app: AddressApp;
  let proxied: AddressApp;
  const devices = new Map<string, Device>();

  const addDevice = async (name: string, host: string, serial: string): Promise<Device> => {
    const { token } = await gateway.owner();
    const agentId = [...gateway.tables.agents.values()][0]!.id;
    const made = await gateway.api('POST', '/devices', { token, body: { agentId, name, serial, host, ports: [{ number: 80, name: 'web', kind: 'http' }] } });
    assert.equal(made.status, 200, made.text);
    const device = gateway.tables.devices.get(made.json['id'] as string)!;
    devices.set(name, device);
    return device;
  };
  const assign = (application: string, device: Device, as: string | null = null): void => {
    const row: JobSource = { id: `${application}-${device.id}`, customerId: device.customerId, application, deviceId: device.id, serial: null, siteId: null, address: null, as, note: '', createdAt: 1 };
    gateway.tables.jobSources.publish({ put: [row] });
  };

  before(async () => {
    app = await startAddressApp();
    proxied = await startAddressApp({ proxy: true });
    const to = (port: number) => ({ kind: 'tcp', host: '127.0.0.1', port });
    gateway = await startGateway({
      routes: [
        { name: 'headers', host: 'headers.example.test', listeners: ['http'], target: to(app.port), application: { tell: 'headers' } },
        { name: 'proxy', host: 'proxy.example.test', listeners: ['http'], target: to(proxied.port), application: { tell: 'proxy-v2' } },
        { name: 'virtual', host: 'virtual.example.test', listeners: ['http'], target: to(app.port), application: { tell: 'virtual' } },
        { name: 'jar', host: 'jar.example.test', listeners: ['http'], target: to(app.port), application: { tell: 'headers', session: { jar: true } } },
        { name: 'prefix', host: 'prefix.example.test', listeners: ['http'], target: to(app.port), application: { tell: 'headers', session: { jar: true, urlPrefix: true } } },
        { name: 'raw', protocol: 'tcp', listeners: ['raw'], target: to(app.port), application: { tell: 'virtual' } },
        { name: 'raw-proxy', protocol: 'tcp', listeners: ['raw-proxy'], target: to(proxied.port), application: { tell: 'proxy-v1' } },
        { name: 'strict', host: 'strict.example.test', listeners: ['http'], target: to(app.port), application: { tell: 'headers', require: 'verified' } },
      ],
      config: {
        addressPool: { networks: ['127.73.0.0/24'] },
        listeners: [
          { name: 'raw', address: '127.0.0.1', port: 0, tls: false, protocols: ['tcp'], serverFirst: true },
          { name: 'raw-proxy', address: '127.0.0.1', port: 0, tls: false, protocols: ['tcp'], serverFirst: true },
        ],
      },
    });
    await gateway.addDevice({ name: 'LAN', ports: [{ number: 80, kind: 'http' }] });
    for (const [i, name] of ['one', 'two', 'three'].entries()) await addDevice(name, `127.9.0.${i + 1}`, `SN-000${i + 1}`);
    const site = [...gateway.tables.sites.values()][0]!;
    gateway.tables.sitePlaces.publish({ put: [{ siteId: site.id, customerId: site.customerId, subnets: ['127.9.0.0/24'], egress: ['127.9.9.9/32'] }] });
    for (const application of ['headers', 'proxy', 'virtual', 'jar', 'prefix', 'strict', 'raw', 'raw-proxy']) for (const name of ['one', 'two']) assign(application, devices.get(name)!);
  });
  after(async () => {
    await finishesCleanly(gateway);
    await gateway.close();
    await app[Symbol.asyncDispose]();
    await proxied[Symbol.asyncDispose]();
  });

  test('headers name the device, and nothing that it said itself gets through', async () => {
    const { headers } = saw(await ask(gateway, '127.9.0.1', 'headers.example.test', '/', { 'x-forwarded-for': '192.0.2.66', 'x-real-ip': '192.0.2.66', 'x-postern-identity': 'me', forwarded: 'for=192.0.2.66' }));
    assert.equal(headers['x-forwarded-for'], '127.9.0.1');
    assert.equal(headers['x-real-ip'], '127.9.0.1');
    assert.match(headers['forwarded']!, /^for=127\.9\.0\.1;/);
    const claims = JSON.parse(Buffer.from(headers['x-postern-identity']!.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>;
    assert.equal(claims['sub'], devices.get('one')!.id);
    assert.equal(claims['serial'], 'SN-0001');
    assert.equal(claims['aud'], 'headers');
  });

  test('a PROXY header names the device', async () => {
    assert.equal(saw(await ask(gateway, '127.9.0.2', 'proxy.example.test', '/')).peer, '127.9.0.2');
  });

  test('the connection comes from the virtual address, each time from the same, for each device its own', async () => {
    const first = saw(await ask(gateway, '127.9.0.1', 'virtual.example.test', '/'));
    const second = saw(await ask(gateway, '127.9.0.2', 'virtual.example.test', '/'));
    assert.match(first.peer, /^127\.73\.0\.\d+$/);
    assert.match(second.peer, /^127\.73\.0\.\d+$/);
    assert.notEqual(first.peer, second.peer);
    const again = saw(await ask(gateway, '127.9.0.1', 'virtual.example.test', '/'));
    assert.equal(again.peer, first.peer);
    assert.equal(again.visits, first.visits + 1, 'one session by address');
  });

  test('what is no HTTP is told the same way, and a device that may not go on is not relayed', async () => {
    const raw = portOf(gateway, 'raw');
    const { peer } = saw(await ask(gateway, '127.9.0.1', 'any.example.test', '/', {}, 'GET', '', raw));
    assert.equal(peer, gateway.tables.virtualAddresses.get(devices.get('one')!.id)!.address);
    assert.equal(saw(await ask(gateway, '127.9.0.2', 'any.example.test', '/', {}, 'GET', '', portOf(gateway, 'raw-proxy'))).peer, '127.9.0.2');
    const seen = app.seen.length;
    await assert.rejects(ask(gateway, '127.9.0.3', 'any.example.test', '/', {}, 'GET', '', raw), /socket hang up|ECONNRESET/);
    assert.equal(app.seen.length, seen);
    const { token } = await gateway.owner();
    const { text } = await gateway.api('GET', '/journal?limit=200', { token });
    assert.match(text, /no job source of raw/);
  });

  test('a device that is no job source gets a plain page with a code, which is listed', async () => {
    const seen = app.seen.length;
    const answer = await ask(gateway, '127.9.0.3', 'headers.example.test', '/');
    assert.equal(answer.status, 403);
    assert.equal(app.seen.length, seen);
    assert.doesNotMatch(answer.text, /<script/);
    assert.equal(answer.headers['set-cookie'], undefined);
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.ok(Buffer.byteLength(answer.text) < 8_192);
    const code = /class="code">([\d ]+)</.exec(answer.text)?.[1]?.replaceAll(' ', '');
    assert.match(code ?? '', /^\d{6}$/, answer.text);
    assign('headers', devices.get('three')!);
    assert.equal(saw(await ask(gateway, '127.9.0.3', 'headers.example.test', '/')).headers['x-real-ip'], '127.9.0.3');
  });

  test('a locked device may use nothing, whatever it shows, until it is unlocked', async () => {
    const { token } = await gateway.owner();
    const { id } = devices.get('one')!;
    assert.equal((await ask(gateway, '127.9.0.1', 'headers.example.test', '/')).status, 200);
    assert.equal((await gateway.api('POST', `/devices/${id}/lock`, { token })).status, 200);
    const seen = app.seen.length;
    const answer = await ask(gateway, '127.9.0.1', 'headers.example.test', '/');
    assert.equal(answer.status, 403);
    assert.match(answer.text, /This device is locked/);
    assert.doesNotMatch(answer.text, /class="code"/);
    await assert.rejects(ask(gateway, '127.9.0.1', 'any.example.test', '/', {}, 'GET', '', portOf(gateway, 'raw')), /socket hang up|ECONNRESET/);
    assert.equal(app.seen.length, seen);
    assert.equal((await gateway.api('POST', `/devices/${id}/unlock`, { token })).status, 200);
    assert.equal((await ask(gateway, '127.9.0.1', 'headers.example.test', '/')).status, 200);
  });

  test('what runs ends when its device is locked, or is no job source any more', async () => {
    const { token } = await gateway.owner();
    const two = devices.get('two')!;
    const begin = async () => {
      const socket = connect({ host: '127.0.0.1', port: portOf(gateway, 'raw'), localAddress: '127.9.0.2' });
      socket.on('error', () => {}).write('GET / HTTP/1.1\r\nHost: any.example.test\r\n\r\n');
      await once(socket, 'data');
      return socket;
    };
    const endsBy = async (socket: Socket, act: () => Promise<unknown> | void) => {
      const closed = once(socket, 'close');
      await act();
      await closed;
    };
    const kept = await ask(gateway, '127.9.0.1', 'any.example.test', '/', {}, 'GET', '', portOf(gateway, 'raw'));
    assert.equal(kept.status, 200);
    await endsBy(await begin(), () => gateway.api('POST', `/devices/${two.id}/lock`, { token }));
    await gateway.api('POST', `/devices/${two.id}/unlock`, { token });
    const other = await begin();
    await endsBy(await begin(), () => gateway.tables.jobSources.publish({ removed: [`raw-${two.id}`] }));
    assert.ok(other.destroyed || (await once(other, 'close')));
    assign('raw', two);
    (await begin()).destroy();
  });

  test('what runs ends when its session is ended, or the URL by which it was let in is withdrawn', async () => {
    const { token } = await gateway.owner();
    const one = devices.get('one')!;
    const made = await gateway.api('POST', `/devices/${one.id}/urls`, { token, body: { application: 'headers' } });
    const path = new URL(String(made.json['address'])).pathname;
    const begin = async (at: string) => {
      const socket = connect({ host: '127.0.0.1', port: gateway.ports.http, localAddress: '127.9.0.1' });
      socket.on('error', () => {}).write(`GET ${at} HTTP/1.1\r\nHost: headers.example.test\r\nUser-Agent: ${panel}\r\n\r\n`);
      const [first] = (await once(socket, 'data')) as [Buffer];
      assert.match(first.toString('latin1'), /^HTTP\/1\.1 200 /);
      return socket;
    };
    const mine = await begin(path);
    const closed = once(mine, 'close');
    const url = made.json['url'] as { id: string };
    assert.equal((await gateway.api('DELETE', `/devices/${one.id}/urls/${url.id}`, { token })).status, 200);
    await closed;
    const byAddress = await begin('/');
    const ended = once(byAddress, 'close');
    const sessions = (await gateway.api('GET', `/device-sessions?deviceId=${one.id}&application=headers`, { token })).json['items'] as { id: string }[];
    assert.equal(sessions.length, 1, JSON.stringify(sessions));
    assert.equal((await gateway.api('DELETE', `/device-sessions/${sessions[0]!.id}`, { token })).status, 200);
    await ended;
  });

  test('the connection test tells a stranger nothing of whose network it is', async () => {
    const { name } = [...gateway.tables.sites.values()][0]!;
    const own = await ask(gateway, '127.9.0.1', 'headers.example.test', '/.postern/test');
    assert.match(own.text, new RegExp(`<th>Site</th><td>${name}</td>`));
    for (const from of ['127.9.9.9', '127.9.0.77']) {
      const { status, text } = await ask(gateway, from, 'headers.example.test', '/.postern/test');
      assert.equal(status, 200);
      assert.doesNotMatch(text, /<th>(?:Site|Device|Serial number)</, from);
    }
  });

  test('where devices have to be verified, an address is not enough; an unknown one is nobody', async () => {
    assert.equal((await ask(gateway, '127.9.0.1', 'strict.example.test', '/')).status, 403);
    assert.equal((await ask(gateway, '127.9.0.77', 'headers.example.test', '/')).status, 403);
    assert.equal((await ask(gateway, '127.9.9.9', 'headers.example.test', '/')).status, 403);
  });

  test('two programs behind one address are not joined to the session of the device', async () => {
    assert.equal((await ask(gateway, '127.9.0.2', 'jar.example.test', '/login')).status, 302);
    assert.equal((await ask(gateway, '127.9.0.2', 'jar.example.test', '/home')).status, 200);
    const other = await ask(gateway, '127.9.0.2', 'jar.example.test', '/home', { 'user-agent': 'Other Panel 2' });
    assert.equal(other.status, 403);
    assert.match(other.text, /class="code"/);
    assert.equal((await ask(gateway, '127.9.0.2', 'jar.example.test', '/home')).status, 403, 'nor is the first, as long as nobody knows which it is');
  });

  test('cookies stay here: the panel gets none, and the application gets its own', async () => {
    const login = await ask(gateway, '127.9.0.1', 'jar.example.test', '/login');
    assert.equal(login.status, 302);
    assert.equal(login.headers['set-cookie'], undefined);
    assert.equal((await ask(gateway, '127.9.0.1', 'jar.example.test', '/home')).status, 200);
    assert.equal(app.seen.at(-1)!.headers['cookie'], 'app=in');
  });

  test('addresses of a session lead back into it', async () => {
    const first = await ask(gateway, '127.9.0.1', 'prefix.example.test', '/login');
    assert.equal(first.status, 302);
    const at = String(first.headers['location']);
    assert.match(at, /^\/s\/[A-Za-z0-9_-]{22}\/login$/);
    const prefix = at.slice(0, -'/login'.length);
    const login = await ask(gateway, '127.9.0.1', 'prefix.example.test', at);
    assert.equal(login.status, 302);
    assert.equal(login.headers['location'], `${prefix}/home`);
    const home = await ask(gateway, '127.9.0.1', 'prefix.example.test', `${prefix}/home`, { 'accept-encoding': 'gzip' });
    assert.equal(home.status, 200, home.text);
    for (const link of [`href="${prefix}/next"`, 'href="near"', `action="${prefix}/submit"`, `href="${prefix}/style.css"`]) assert.ok(home.text.includes(link), `${link} in ${home.text}`);
    assert.equal(app.seen.at(-1)!.path, '/home');
    assert.equal(app.seen.at(-1)!.headers['accept-encoding'], undefined);
    const style = await ask(gateway, '127.9.0.1', 'prefix.example.test', `${prefix}/style.css`, { referer: `http://prefix.example.test${prefix}/home` });
    assert.match(style.text, new RegExp(`url\\(${prefix}/paper\\.png\\)`));
    assert.equal(app.seen.at(-1)!.headers['referer'], 'http://prefix.example.test/home', 'no secret of an address reaches the application');
    const stolen = await ask(gateway, '127.9.0.77', 'prefix.example.test', `${prefix}/home`);
    assert.equal(stolen.status, 200, 'whoever holds the address of a session that began by an address is what it began with, in the same neighbourhood');
    const far = await ask(gateway, '127.10.0.77', 'prefix.example.test', `${prefix}/home`);
    assert.equal(far.status, 403);
  });

  test('journal and pages have no secret of a path', async () => {
    const { token } = await gateway.owner();
    const secret = 'A'.repeat(22);
    await ask(gateway, '127.9.0.77', 'prefix.example.test', `/d/${secret}/x`);
    await ask(gateway, '127.9.0.77', 'nowhere.example.test', `/d/${secret}/x`);
    const { text } = await gateway.api('GET', '/journal?limit=200', { token });
    assert.ok(!text.includes(secret), 'the secret stands in the journal');
  });
});

test('a route without application is as it was', async () => {
  await using app = await startAddressApp();
  await using gateway = await startGateway({ routes: [{ name: 'plain', host: 'plain.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: app.port } }] });
  const answer = await plainRequest(gateway.ports.http, { path: '/s/AAAAAAAAAAAAAAAAAAAAAA/x', headers: { host: 'plain.example.test' } });
  const seen = JSON.parse(answer.body.toString()) as AppSaw;
  assert.equal(seen.path, '/s/AAAAAAAAAAAAAAAAAAAAAA/x');
  assert.equal(seen.headers['x-postern-identity'], undefined);
});
