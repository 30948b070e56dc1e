// The thread: a device behind an agent, reached through the gateway by a person and by a program.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { cookieOf, finishesCleanly, request, startGateway, until } from '../kit/gateway.ts';

test('a device joins, is opened by a person and by a program, and everything ends', async () => {
  await using gateway = await startGateway();
  const seen: Record<string, unknown>[] = [];
  const origin = createServer((req, res) => {
    seen.push(req.headers);
    res.setHeader('Set-Cookie', ['session=1; Path=/; Domain=localhost', '__Host-postern-device=stolen; Path=/; Secure']);
    res.setHeader('Clear-Site-Data', '"*"');
    res.end(`path ${req.url}`);
  });
  await new Promise<void>((done) => origin.listen(0, '127.0.0.1', () => done()));
  const port = (origin.address() as AddressInfo).port;
  try {
    const { device } = await gateway.addDevice({ name: 'Printer 1', ports: [{ number: port, kind: 'http' }] });
    assert.equal(device.label, 'printer-1');
    const owner = await gateway.owner();
    const host = `printer-1.localhost:${gateway.ports.http}`;

    // a person: sent to sign in, handed over with a one-time code, then there
    const first = await request(gateway.ports.http, { path: '/status?x=1', headers: { host, accept: 'text/html' } });
    assert.equal(first.status, 303);
    assert.match(String(first.headers['location']), /^http:\/\/localhost:\d+\/open\?host=printer-1\.localhost%3A\d+&to=%2Fstatus%3Fx%3D1&asked=[0-9a-f]{64}$/);
    const asked = new URL(String(first.headers['location'])).searchParams.get('asked');
    const handOver = async () => {
      const handed = await gateway.api('POST', '/hand-over', { cookie: owner.cookie, body: { host: 'printer-1.localhost', port: gateway.ports.http, path: '/status?x=1', asked } });
      assert.equal(handed.status, 200, handed.text);
      const to = new URL(handed.json['to'] as string);
      return to.pathname + to.search;
    };
    const elsewhere = await request(gateway.ports.http, { path: await handOver(), headers: { host } });
    assert.equal(elsewhere.status, 403, 'a code is good in the browser that asked');
    const path = await handOver();
    const entered = await request(gateway.ports.http, { path, headers: { host, cookie: cookieOf(first) } });
    assert.equal(entered.status, 303);
    assert.equal(entered.headers['location'], '/status?x=1');
    const cookie = cookieOf(entered);
    const again = await request(gateway.ports.http, { path, headers: { host, cookie: cookieOf(first) } });
    assert.equal(again.status, 410, 'a code is good once');
    const page = await request(gateway.ports.http, { path: '/status?x=1', headers: { host, cookie: `a=1; ${cookie}; b=2`, accept: 'text/html', 'sec-fetch-site': 'none' } });
    assert.equal(page.status, 200);
    assert.equal(page.body.toString(), 'path /status?x=1');
    assert.deepEqual(page.headers['set-cookie'], ['session=1; Path=/']);
    assert.equal(page.headers['clear-site-data'], undefined);
    const head = seen.at(-1)!;
    assert.equal(head['host'], `127.0.0.1:${port}`);
    assert.equal(head['cookie'], 'a=1; b=2');
    assert.equal(head['x-forwarded-for'], '127.0.0.1');

    // a program: a token in a header of ours, which the device never sees; its own Authorization it does
    const program = await request(gateway.ports.http, { path: '/api', headers: { host, 'postern-token': owner.token, authorization: 'Basic ZGV2aWNl' } });
    assert.equal(program.status, 200);
    assert.equal(seen.at(-1)!['postern-token'], undefined);
    assert.equal(seen.at(-1)!['authorization'], 'Basic ZGV2aWNl');
    const wrong = await request(gateway.ports.http, { path: '/api', headers: { host, 'postern-token': 'postern_x_y' } });
    assert.equal(wrong.status, 401);
    assert.match(String(wrong.headers['content-type']), /problem\+json/);

    // the audit knows
    const audit = await gateway.api('GET', '/audit?limit=50', { token: owner.token });
    const whats = (audit.json['items'] as { what: string }[]).map((line) => line.what);
    assert.equal(whats.filter((what) => what === 'visit.opened').length, 2);
    const verified = await gateway.api('POST', '/audit/verify', { token: owner.token });
    assert.equal(verified.json['brokenAt'], null);
    await until('the visits to show', () => gateway.live.visits().length === 2);
    await finishesCleanly(gateway);
  } finally {
    origin.closeAllConnections();
    await new Promise((done) => origin.close(done));
  }
});
