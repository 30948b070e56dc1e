// What must not outlive a change, or leave by a page: connections to an application's former server, and the secret of an address in Referer.
import assert from 'node:assert/strict';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startGateway, type TestGateway } from '../kit/gateway.ts';

interface Heard {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

function ask(gateway: TestGateway, host: string, path: string): Promise<Heard> {
  return new Promise((done, failed) => {
    const sent = httpRequest({ host: '127.0.0.1', port: gateway.ports.http, localAddress: '127.9.0.1', path, headers: { host, 'user-agent': 'Panel 1' }, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece: string) => (text += piece)).on('end', () => done({ status: answer.statusCode!, headers: answer.headers, text })).on('error', failed);
    });
    sent.on('error', failed);
    sent.end();
  });
}

describe('an application that changes', () => {
  const servers: Server[] = [];
  let gateway: TestGateway;
  let token: string;
  const start = (text: string): Promise<number> =>
    new Promise((done) => {
      const server = createServer(({ url }, response) => response.writeHead(200, { 'Content-Type': 'text/html', 'Referrer-Policy': 'unsafe-url' }).end(text === 'beside' ? `beside ${url}` : text));
      servers.push(server);
      server.listen(0, '127.0.0.1', () => done((server.address() as AddressInfo).port));
    });

  before(async () => {
    const route = (name: string, port: number, session: object) => ({ name, host: `${name}.example.test`, listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port }, application: { tell: 'headers', assigned: false, require: 'any', session } });
    const beside = { name: 'beside', host: 'part.example.test', listeners: ['http'], target: { kind: 'tcp', host: '127.0.0.1', port: await start('beside') } };
    gateway = await startGateway({ routes: [route('moving', await start('first'), {}), route('prefix', await start('<a href="/x">x</a>'), { urlPrefix: true }), { ...route('part', await start('part'), {}), path: '/scan' }, beside] });
    ({ token } = await gateway.owner());
    await gateway.addDevice({ name: 'LAN', ports: [{ number: 80, kind: 'http' }] });
    const agentId = [...gateway.tables.agents.values()][0]!.id;
    const made = await gateway.api('POST', '/devices', { token, body: { agentId, name: 'Panel', host: '127.9.0.1', ports: [{ number: 80, name: 'web', kind: 'http' }] } });
    assert.equal(made.status, 200, made.text);
  });
  after(async () => {
    await gateway.close();
    for (const server of servers) server.closeAllConnections();
    await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  });

  test('a connection to its former server is not used again', async () => {
    assert.equal((await ask(gateway, 'moving.example.test', '/')).text, 'first');
    const { json } = await gateway.api('GET', '/config', { token });
    const config = structuredClone(json['config']) as { routes: { name: string; target: { port: number } }[] };
    config.routes.find((each) => each.name === 'moving')!.target.port = await start('second');
    const put = await gateway.api('PUT', '/config', { token, headers: { 'if-match': `"${String(json['revision'])}"` }, body: config });
    assert.equal(put.status, 200, put.text);
    assert.equal((await ask(gateway, 'moving.example.test', '/')).text, 'second');
  });

  test('no other server of the same name is told a secret that lets somebody in', async () => {
    const device = [...gateway.tables.devices.values()].find((each) => each.name === 'Panel')!;
    const made = await gateway.api('POST', `/devices/${device.id}/urls`, { token, body: { application: 'part' } });
    const { pathname } = new URL(made.json['address'] as string);
    assert.equal((await ask(gateway, 'part.example.test', pathname)).text, 'part');
    const root = pathname.replace(/scan\/$/, '');
    assert.equal((await ask(gateway, 'part.example.test', `${root}other`)).status, 404);
    const { headers } = await ask(gateway, 'prefix.example.test', '/x');
    assert.equal((await ask(gateway, 'part.example.test', String(headers['location']))).status, 404, 'nor that of a session with another application');
    const madeUp = `/d/${'A'.repeat(24)}/other`;
    assert.equal((await ask(gateway, 'part.example.test', madeUp)).text, `beside ${madeUp}`, 'what lets nobody in is the server\'s own');
  });

  test('a page whose address has a secret tells it to nobody else, whatever its server says', async () => {
    const first = await ask(gateway, 'prefix.example.test', '/x');
    const at = String(first.headers['location']);
    assert.match(at, /^\/s\//);
    const page = await ask(gateway, 'prefix.example.test', at);
    assert.equal(page.status, 200, page.text);
    // Of several the last one counts (Referrer Policy §8.1).
    assert.match(String(page.headers['referrer-policy']), /(?:^|, )same-origin$/);
    const device = [...gateway.tables.devices.values()].find((each) => each.name === 'Panel')!;
    const made = await gateway.api('POST', `/devices/${device.id}/urls`, { token, body: { application: 'moving' } });
    assert.equal(made.status, 200, made.text);
    const { pathname } = new URL(made.json['address'] as string);
    const shown = await ask(gateway, 'moving.example.test', pathname);
    assert.equal(shown.status, 200);
    assert.match(String(shown.headers['referrer-policy']), /(?:^|, )same-origin$/);
    assert.equal((await ask(gateway, 'moving.example.test', '/')).headers['referrer-policy'], 'unsafe-url', 'without a secret the page is the server\'s');
  });
});
