import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
import type { LiveConn } from '#model/live.ts';

let room: AdminRoom;
let owner: Caller;
beforeEach(async () => {
  room = await startAdminRoom();
  owner = await room.owner();
});
afterEach(() => room.close());

const conn = (id: string, more: Partial<LiveConn> = {}): LiveConn => ({ id, from: '192.0.2.7', listener: 'https', since: 5, protocol: 'http', tls: 'intermediate', name: 'gw.example.test', route: null, bytesIn: 10, bytesOut: 20, ...more });
const onGateway = (action: 'see' | 'administer') => [{ action, scopeKind: 'gateway', scopeId: null } as const];

suite('connections', () => {
  test('the newest first, filtered, with what is beyond the limit counted', async () => {
    room.live.connList.push(conn('c1'), conn('c2', { protocol: 'ldap', listener: 'ldap', name: 'PBX.example.test', route: 'directory' }), conn('c3', { from: '2001:db8::5', name: null }), conn('c4', { name: 'x\u001b[31m' }));
    room.conn = 'c1';
    const all = await owner.call('listConns');
    assert.deepEqual(all.items.map((each) => [each.id, each.mine]), [['c4', false], ['c3', false], ['c2', false], ['c1', true]]);
    assert.equal(all.items[0]!.name!.includes('\u001b'), false, 'what a peer says does not reach a terminal as it is');
    const found = async (query: object) => (await owner.call('listConns', { query })).items.map((each) => each.id);
    assert.deepEqual(await found({ listener: 'ldap' }), ['c2']);
    assert.deepEqual(await found({ protocol: 'ldap', listener: 'https' }), []);
    assert.deepEqual(await found({ search: 'pbx' }), ['c2']);
    assert.deepEqual(await found({ search: 'DIRECTORY' }), ['c2']);
    assert.deepEqual(await found({ search: '2001:db8' }), ['c3']);
    assert.deepEqual(await found({ search: 'c3' }), ['c3']);
    const few = await owner.call('listConns', { query: { protocol: 'http', limit: 1 } });
    assert.deepEqual([few.items.map((each) => each.id), few.matching, few.open], [['c4'], 3, 4]);
    assert.equal((await owner.refused('listConns', { query: { limit: 501 } })).status, 400);
    assert.equal((await owner.refused('listConns', { query: { search: 'x'.repeat(101) } })).status, 400);
  });

  test('one is closed by who administers the gateway, with a line in the audit', async () => {
    room.live.connList.push(conn('c1'), conn('c2', { from: '203.0.113.9' }));
    room.conn = 'c1';
    const seer = await room.person(owner, 'bob', onGateway('see'));
    await seer.call('listConns');
    assert.equal((await seer.refused('closeConn', { params: { id: 'c2' } })).code, 'forbidden');
    assert.equal((await owner.refused('closeConn', { params: { id: 'c1' } })).code, 'conflict', 'the answer would not arrive');
    await owner.call('closeConn', { params: { id: 'c2' } });
    assert.deepEqual(room.live.connList.map((each) => each.id), ['c1']);
    assert.equal((await owner.refused('closeConn', { params: { id: 'c2' } })).status, 404);
    const [line] = (await owner.call('listAudit', { query: { what: 'conn.cut' } })).items;
    assert.deepEqual([line!.actor.name, line!.subjectId, line!.subjectName, line!.detail], ['ada', 'c2', '203.0.113.9', { listener: 'https', protocol: 'http', name: 'gw.example.test', route: null }]);
    const ofCustomer = await room.person(owner, 'carol', [{ action: 'administer', scopeKind: 'customer', scopeId: [...room.tables.customers.values()][0]!.id }]);
    assert.deepEqual((await ofCustomer.call('listAudit', { query: { what: 'conn.cut' } })).items, [], 'clients of the gateway are none of a customer\'s business');
  });

  test('are told about at most once a second, and only while somebody listens', async () => {
    room.live.connList.push(conn('c1'));
    const before = room.clock.timers;
    const gone = new AbortController();
    const response = await fetch(`http://${room.host}/api/v1/events`, { signal: gone.signal, headers: { cookie: `__Host-postern=${owner.cookie}`, origin: `http://${room.host}` } });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    const readUntil = async (wanted: RegExp) => {
      while (!wanted.test(text)) text += (await reader.read()).value ?? assert.fail('the stream ended');
    };
    await readUntil(/event: hello/);
    for (let i = 2; i < 12; i++) room.live.connList.push(conn(`c${i}`));
    room.clock.advance(900);
    room.clock.advance(100);
    room.clock.advance(250);
    await readUntil(/event: conns\ndata: \{"open":11,"accepted":11,"refused":0\}/);
    room.clock.advance(5_000);
    room.live.connsRefused = 1;
    room.clock.advance(1_250);
    await readUntil(/"refused":1/);
    assert.equal(text.match(/event: conns/g)!.length, 2);
    gone.abort();
    await reader.cancel().catch(() => {});
    for (let turn = 0; turn < 2_000 && room.clock.timers > before; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(room.clock.timers, before);
  });
});

suite('listeners, routes and old clients', () => {
  test('listeners as configured and as they are, without the defaults that the document leaves out', async () => {
    const { revision, config } = await owner.call('getConfig');
    await owner.call('putConfig', { body: { ...(config as object), listeners: [{ name: 'web', port: 80, tls: false }, { name: 'ldaps', address: '127.0.0.1', port: 0, tls: true, protocols: ['ldap'], proxyProtocolFrom: ['192.0.2.0/24'] }] }, headers: { 'if-match': `"${revision}"` } });
    room.live.listenerList.push({ name: 'web', bound: null, why: ':: port 80 is in use by another program', open: 0, accepted: 0, refused: 0 }, { name: 'ldaps', bound: { address: '127.0.0.1', port: 40636 }, why: null, open: 2, accepted: 9, refused: 1 });
    const seer = await room.person(owner, 'bob', onGateway('see'));
    const { items } = await seer.call('listListeners');
    assert.deepEqual(items, [
      { name: 'web', address: '::', port: 80, tls: false, protocols: ['http'], plain: [], proxyProtocolFrom: [], serverFirst: false, bound: null, why: ':: port 80 is in use by another program', open: 0, accepted: 0, refused: 0 },
      { name: 'ldaps', address: '127.0.0.1', port: 0, tls: true, protocols: ['ldap'], plain: [], proxyProtocolFrom: ['192.0.2.0/24'], serverFirst: false, bound: { address: '127.0.0.1', port: 40636 }, why: null, open: 2, accepted: 9, refused: 1 },
    ]);
  });

  test('routes in the order in which they are looked at', async () => {
    const { revision, config } = await owner.call('getConfig');
    const to = (body: string) => ({ kind: 'respond', body });
    const routes = [
      { name: 'rest', target: to('rest') }, { name: 'wide', host: '*.example.test', target: to('wide') }, { name: 'deep', host: '*.a.example.test', target: to('deep') },
      { name: 'here', host: 'x.a.example.test', target: to('here') }, { name: 'here-docs', host: 'x.a.example.test', path: '/docs', target: to('docs') },
    ];
    await owner.call('putConfig', { body: { ...(config as object), routes }, headers: { 'if-match': `"${revision}"` } });
    const order = async (query: object) => (await owner.call('listRoutes', { query })).items.map((each) => `${each.tier} ${each.name}`);
    assert.deepEqual(await order({ host: 'X.a.example.test' }), ['exact here-docs', 'exact here', 'wildcard deep', 'wildcard wide', 'any rest']);
    assert.deepEqual(await order({ host: 'b.example.test' }), ['wildcard wide', 'any rest']);
    assert.deepEqual(await order({}), ['any rest']);
    assert.deepEqual(await order({ host: 'b.example.test', protocol: 'ldap' }), []);
    assert.ok((await order({ host: 'gw.example.test' })).includes('exact console of gw.example.test'), 'those that are built in, too');
    const seer = await room.person(owner, 'bob', onGateway('see'));
    assert.equal((await seer.refused('listRoutes')).code, 'forbidden');
  });

  test('old clients, last seen first, in pages', async () => {
    for (let i = 1; i <= 5; i++) room.live.legacyList.push({ from: `192.0.2.${i}`, serverName: i === 1 ? null : 'old.example.test', policy: 'printers', bestVersion: i === 5 ? 0x0300 : 0x0301, ja4: 't10d', firstAt: 1, lastAt: i * 100, count: i });
    const first = await owner.call('listLegacyClients', { query: { limit: 3 } });
    assert.deepEqual(first.items.map((each) => [each.from, each.bestVersion]), [['192.0.2.5', 'SSL 3.0'], ['192.0.2.4', 'TLS 1.0'], ['192.0.2.3', 'TLS 1.0']]);
    const second = await owner.call('listLegacyClients', { query: { limit: 3, cursor: first.next! } });
    assert.deepEqual([second.items.map((each) => each.from), second.next], [['192.0.2.2', '192.0.2.1'], null]);
  });

  test('none of it is for who has no right to the gateway', async () => {
    const device = await room.device('Printer');
    const bob = await room.person(owner, 'bob', [{ action: 'open', scopeKind: 'device', scopeId: device.id }]);
    for (const name of ['listConns', 'listLegacyClients', 'listListeners', 'listRoutes'] as const) assert.equal((await bob.refused(name)).code, 'forbidden', name);
    assert.equal((await bob.refused('closeConn', { params: { id: 'c1' } })).code, 'forbidden');
  });
});
