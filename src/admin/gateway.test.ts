import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, suite, test } from 'node:test';
import { startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
import { contract, type Shapes } from '#api/contract.ts';
import { paths, type RouteName } from '#api/paths.ts';
import { Fault } from '#base/fault.ts';
import { assetPath } from './assets.ts';

const dir = await mkdtemp(join(tmpdir(), 'postern-assets-'));
await mkdir(join(dir, 'console', 'assets'), { recursive: true });
await writeFile(join(dir, 'console', 'index.html'), '<!doctype html><title>Postern</title>');
await writeFile(join(dir, 'console', 'assets', 'main-3f9c.js'), 'console.log(1);');
await writeFile(join(dir, 'outside.txt'), 'not for anybody');
await writeFile(join(dir, 'console', '.hidden'), 'not for anybody');
await symlink(join(dir, 'outside.txt'), join(dir, 'console', 'assets', 'way-out.txt'));
after(() => rm(dir, { recursive: true, force: true }));

let room: AdminRoom;
let owner: Caller;
beforeEach(async () => {
  room = await startAdminRoom({ assetsDir: join(dir, 'console') });
  owner = await room.owner();
});
afterEach(() => room.close());

suite('the configuration', () => {
  test('changes against the revision that was read', async () => {
    const { revision, config } = await owner.call('getConfig');
    assert.equal(revision, 1);
    const body = { ...(config as Record<string, unknown>), routes: [{ name: 'old', host: 'old.example.test', target: { kind: 'respond', status: 410 } }] };
    assert.deepEqual([(await owner.refused('putConfig', { body })).status, (await owner.refused('putConfig', { body, headers: { 'if-match': '"7"' } })).status], [428, 412]);
    assert.deepEqual(await owner.call('putConfig', { body, query: { dryRun: 'true' }, headers: { 'if-match': '"1"' } }), { revision: 1, dryRun: true, changed: true });
    assert.deepEqual(await owner.call('putConfig', { body, headers: { 'if-match': '"1"' } }), { revision: 2, dryRun: false, changed: true });
    assert.deepEqual(await owner.call('putConfig', { body, headers: { 'if-match': '"2"' } }), { revision: 2, dryRun: false, changed: false }, 'the same again is no revision');
    assert.equal((await owner.ask({ path: '/api/v1/config', headers: { cookie: `__Host-postern=${owner.cookie}` } })).headers.etag, '"2"');
    const wrong = await owner.refused('putConfig', { body: { ...body, listeners: 7, surprise: true }, headers: { 'if-match': '2' } });
    assert.equal(wrong.status, 422);
    assert.ok(wrong.problems!.length >= 2, JSON.stringify(wrong.problems));
    assert.deepEqual((await owner.call('listRevisions')).items.map((row) => [row.number, row.actor.name]), [[2, 'ada'], [1, 'postern']]);
  });

  test('is for who administers the gateway; status for who sees it', async () => {
    const bob = await room.person(owner, 'bob', [{ action: 'open', scopeKind: 'gateway', scopeId: null }]);
    for (const name of ['getConfig', 'listRevisions', 'runDoctor', 'listJournal', 'verifyAudit'] as const) assert.equal((await bob.refused(name)).code, 'forbidden', name);
    assert.equal((await bob.refused('explain', { body: { url: 'https://gw.example.test/' } })).code, 'forbidden');
    await bob.call('getStatus');
    const carol = await room.person(owner, 'carol', [{ action: 'administer', scopeKind: 'customer', scopeId: [...room.tables.customers.values()][0]!.id }]);
    assert.equal((await carol.refused('getStatus')).code, 'forbidden');
    await owner.call('getStatus');
    await owner.call('runDoctor');
    await owner.call('listRevisions');
    assert.deepEqual((await owner.call('explain', { body: { url: 'https://gw.example.test/' } })).lines, ['https://gw.example.test/']);
  });
});

suite('every request', () => {
  test('no route answers a stranger unless the contract says so', async () => {
    for (const name of Object.keys(paths) as RouteName[]) {
      if (paths[name].needs === 'none') continue;
      const params = Object.fromEntries(Array.from(paths[name].path.matchAll(/\{(\w+)\}/g), ([, key]) => [key!, '1']));
      assert.equal((await room.browser().refused(name, { params: params as never, body: {} })).status, 401, name);
    }
  });

  test('an unknown field, a wrong shape and no JSON are told by name', async () => {
    const unknown = await owner.refused('createJoinToken', { body: { deviceName: 'x', ports: [{ number: 70_000, kind: 'http', colour: 'red' }], owner: 'me' } });
    assert.deepEqual(unknown.problems?.map((each) => each.path).sort(), ['owner', 'ports.0.colour', 'ports.0.number']);
    assert.deepEqual((await owner.refused('listDevices', { query: { what: 'x' } as never })).problems, [{ path: 'what', message: 'is not known here' }]);
    assert.deepEqual((await owner.refused('getMe', { query: { what: 'x' } as never })).problems, [{ path: 'what', message: 'is not known here' }]);
    assert.equal((await owner.refused('lockDevice', { params: { device: 'x' }, body: { now: true } })).code, 'bad-input');
    const headers = { cookie: `__Host-postern=${owner.cookie}`, origin: `http://${room.host}`, 'content-type': 'application/json' };
    const noJson = await owner.ask({ method: 'POST', path: '/api/v1/tokens', headers, body: '{"name":' });
    assert.match(noJson.text, /the body is not JSON/);
    assert.equal((await owner.ask({ path: '/api/v1/devices?limit=1&limit=2', headers })).status, 400);
  });

  test('has an id, and a failure of ours says nothing of our insides', async () => {
    await room.close();
    const logged: string[] = [];
    room = await startAdminRoom({ status: () => Promise.reject(new Error('/srv/secret/path broke')), runDoctor: () => Promise.reject(new Fault('busy', 'one run at a time', { cause: new Fault('busy', 'another person runs it') })), log: { debug() {}, info() {}, warn() {}, error: (event, fields) => void logged.push(`${event} ${String(fields?.['why'])}`) } });
    owner = await room.owner();
    const failed = await owner.refused('getStatus');
    assert.deepEqual([failed.status, failed.code, failed.cause], [500, 'internal', null]);
    assert.doesNotMatch(JSON.stringify(failed), /srv/);
    assert.deepEqual(logged, ['api.failed /srv/secret/path broke']);
    const busy = await owner.refused('runDoctor');
    assert.deepEqual([busy.status, busy.detail, busy.cause], [503, 'one run at a time', 'another person runs it']);
    assert.notEqual(busy.requestId, failed.requestId);
  });

  test('of a kind that is not there', async () => {
    assert.equal((await owner.ask({ path: '/api/v1/nothing' })).status, 404);
    assert.equal((await owner.ask({ path: '/api/v2/me' })).status, 404);
    assert.equal((await owner.ask({ method: 'PUT', path: '/api/v1/devices' })).status, 404);
    assert.equal((await owner.ask({ method: 'POST', path: '/' })).status, 404);
    assert.equal((await owner.ask({ method: 'HEAD', path: '/api/v1/events', headers: { cookie: `__Host-postern=${owner.cookie}`, origin: `http://${room.host}` } })).status, 404);
  });

  test('a body beyond the limit is refused, told or streamed, and the connection ends', async () => {
    const told = await owner.ask({ method: 'POST', path: '/api/v1/sign-in', headers: { 'content-type': 'application/json' }, body: 'x'.repeat(1024 * 1024 + 1) });
    assert.deepEqual([told.status, told.headers['content-type']], [413, 'application/problem+json']);
    const port = Number(room.host.split(':')[1]);
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1');
      let text = '';
      socket.setEncoding('latin1').on('data', (part: string) => (text += part));
      socket.once('close', () => resolve(text));
      socket.on('error', () => {}); // what we still send after the end is reset
      socket.setTimeout(10_000, () => reject(new Error('it never closed')));
      socket.write(`POST /api/v1/sign-in HTTP/1.1\r\nHost: ${room.host}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`);
      const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
      for (let i = 0; i < 17; i++) socket.write(chunk);
    });
    assert.match(answer, /^HTTP\/1\.1 413 /);
    assert.match(answer, /connection: close/i);
  });

  test('the OpenAPI document has every route and resolves by itself', async () => {
    const document = JSON.parse((await room.browser().ask({ path: '/api/v1/openapi.json' })).text) as { openapi: string; paths: Record<string, Record<string, { operationId: string; requestBody?: unknown; parameters?: { name: string; in: string }[] }>> };
    assert.equal(document.openapi, '3.1.0');
    const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
    assert.deepEqual(operations.map((each) => each.operationId).sort(), Object.keys(paths).sort());
    for (const { operationId, requestBody, parameters = [] } of operations) {
      const route: Shapes & { readonly path: string } = contract[operationId as RouteName];
      assert.equal(requestBody !== undefined, route.body !== undefined, operationId);
      assert.deepEqual(parameters.filter((each) => each.in === 'path').map((each) => `{${each.name}}`), route.path.match(/\{\w+\}/g) ?? [], operationId);
    }
    const text = JSON.stringify(document);
    assert.deepEqual([...new Set(text.match(/"\$ref":"[^"]*"/g))], ['"$ref":"#/components/schemas/Problem"']);
    assert.doesNotMatch(text, /\$schema/);
  });
});

suite('the console', () => {
  test('its page for every address of its own, files with hashes for ever', async () => {
    for (const path of ['/', '/setup', '/devices/x', '/index.html']) {
      const page = await owner.ask({ path });
      assert.deepEqual([page.status, page.headers['cache-control'], page.headers['content-type']], [200, 'no-cache', 'text/html; charset=utf-8'], path);
      assert.match(page.headers['content-security-policy']!.toString(), /default-src 'self'.*frame-ancestors 'none'/);
      assert.equal(page.headers['x-content-type-options'], 'nosniff');
    }
    const script = await owner.ask({ path: '/assets/main-3f9c.js' });
    assert.deepEqual([script.text, script.headers['cache-control'], script.headers['content-type']], ['console.log(1);', 'public, max-age=31536000, immutable', 'text/javascript; charset=utf-8']);
    const again = await owner.ask({ path: '/assets/main-3f9c.js', headers: { 'if-none-match': `"x", W/${script.headers.etag}` } });
    assert.deepEqual([again.status, again.text], [304, '']);
    const head = await owner.ask({ method: 'HEAD', path: '/assets/main-3f9c.js' });
    assert.deepEqual([head.status, head.text, head.headers['content-length']], [200, '', '15']);
    assert.equal((await owner.ask({ path: '/assets/main-old.js' })).status, 404, 'a missing file is no page');
  });

  test('nothing outside the folder', async () => {
    for (const path of ['/../outside.txt', '/%2e%2e/outside.txt', '/assets/..%2f..%2foutside.txt', '/assets/%2e%2e%5c%2e%2e%5coutside.txt', '/.hidden', '/assets/x%00.js', '/%ff.js', '//outside.txt', '/assets/way-out.txt']) {
      const told = await owner.ask({ path });
      assert.doesNotMatch(told.text, /not for anybody/, path);
    }
    for (const path of ['/a/../b', '/..', '/a/..%2fb', '/a\\b', '/.x', '/a%', '/a/b/c/d/e/f/g/h/i']) assert.equal(assetPath(path), undefined, path);
    assert.equal(assetPath('/assets/a-b_c.1.js'), 'assets/a-b_c.1.js');
  });

  test('before it is built, a page says so', async () => {
    await room.close();
    room = await startAdminRoom();
    const told = await room.browser().ask({ path: '/' });
    assert.deepEqual([told.status, /npm run console/.test(told.text)], [503, true]);
  });
});
