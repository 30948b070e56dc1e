import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { eventually, goodPassword, setupCode, startAdminRoom, type AdminRoom } from '#kit/admin-room.ts';

let room: AdminRoom;
beforeEach(async () => {
  room = await startAdminRoom();
});
afterEach(() => room.close());

const owner = { code: setupCode, login: 'ada', name: 'Ada', password: goodPassword };

suite('the setup address', () => {
  test('makes the owner, signs in, and is worth nothing afterwards', async () => {
    const browser = room.browser();
    assert.equal((await browser.call('getSetup')).needed, true);
    const me = await browser.call('setUp', { body: owner });
    assert.equal(me.may.administerGateway, true);
    assert.deepEqual((await browser.call('getMe')).person, me.person);
    assert.equal((await room.browser().refused('setUp', { body: { ...owner, login: 'eve' } })).code, 'gone');
    assert.deepEqual(await browser.call('getSetup'), { needed: false, version: '0.0.0-test', passwordCharsMin: 10, signedIn: true });
    const row = [...room.tables.people.values()][0]!;
    assert.match(row.passwordHash, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    assert.deepEqual((await room.operations.loadEverything()).people, [row]);
  });

  test('a wrong code, and a password that will not do', async () => {
    const browser = room.browser();
    assert.equal((await browser.refused('setUp', { body: { ...owner, code: 'guess' } })).code, 'forbidden');
    for (const password of ['short', 'aaaaaaaaaaaaaa']) assert.deepEqual((await browser.refused('setUp', { body: { ...owner, password } })).problems?.map((each) => each.path), ['password'], password);
    assert.equal(room.tables.people.size, 0);
  });

  test('a token, as the operator has one, is told what is missing: before and after', async () => {
    const ask = async () => await room.browser().ask({ method: 'GET', path: '/api/v1/devices', headers: { authorization: `Bearer postern_000000000000_${'a'.repeat(32)}` } });
    const before = await ask();
    assert.equal(before.status, 401);
    assert.match(before.text, /nobody has used the setup address yet[^]*postern setup-address/);
    await room.owner();
    assert.match((await ask()).text, /this token is not known here/);
  });

  test('two at the same time make one owner', async () => {
    const told = await Promise.all(['ada', 'eve'].map((login) => room.browser().ask({ method: 'POST', path: '/api/v1/setup', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ ...owner, login }) })));
    assert.deepEqual(told.map(({ status }) => status).sort(), [200, 410]);
    assert.equal(room.tables.people.size, 1);
  });
});

suite('signing in', () => {
  test('the cookie is bound to this host and to https', async () => {
    await room.owner();
    const told = await room.browser().ask({ method: 'POST', path: '/api/v1/sign-in', headers: { 'content-type': 'application/json', 'user-agent': 'Lab\u00e4' }, body: JSON.stringify({ login: 'ADA', password: goodPassword }) });
    assert.equal(told.status, 200);
    const [cookie] = told.headers['set-cookie']!;
    assert.match(cookie!, /^__Host-postern=[a-z0-9]{32}; Path=\/; Max-Age=7776000; Secure; HttpOnly; SameSite=Lax$/);
    assert.doesNotMatch(told.text, new RegExp(cookie!.slice(15, 47)));
    assert.equal(told.headers['cache-control'], 'no-store');
  });

  test('an unknown login and a wrong password are told the same', async () => {
    await room.owner();
    const shown = async (login: string) => {
      const { requestId: _, ...rest } = await room.browser().refused('signIn', { body: { login, password: 'wrong wrong wrong' } });
      return rest;
    };
    assert.deepEqual(await shown('ada'), await shown('nobody'));
    assert.deepEqual(room.journal.all.map((line) => line.fields), [{ from: '192.0.2.10', known: true }, { from: '192.0.2.10', known: false }]);
  });

  test('guessing slows down, per network and login, and is in the audit', async () => {
    await room.owner();
    const wrong = { login: 'ada', password: 'wrong wrong wrong' };
    const right = { login: 'ada', password: goodPassword };
    for (let i = 0; i < 5; i++) assert.equal((await room.browser().refused('signIn', { body: wrong })).code, 'unauthenticated');
    const slowed = await room.browser().refused('signIn', { body: right });
    assert.deepEqual([slowed.code, slowed.status, slowed.retryAfterS], ['too-many', 429, 1]);
    room.from = '198.51.100.7';
    await room.browser().call('signIn', { body: right }); // the owner from elsewhere is not locked out
    room.from = '192.0.2.10';
    room.clock.advance(1_000);
    assert.equal((await room.browser().refused('signIn', { body: wrong })).code, 'unauthenticated');
    assert.equal((await room.browser().refused('signIn', { body: wrong })).retryAfterS, 2, 'doubled');
    const lines = await room.operations.listAudit({ limit: 10, what: 'sign-in.refused' });
    assert.deepEqual(lines.map((line) => [line.actor.kind, line.actor.from, line.detail]), [['nobody', '192.0.2.10', { tries: 5 }]]);
    room.clock.advance(15 * 60_000);
    await room.browser().call('signIn', { body: right });
  });

  test('plain http from elsewhere keeps no cookie, and says so', async () => {
    await room.owner();
    const told = await room.browser().ask({ method: 'POST', path: '/api/v1/sign-in', headers: { host: 'gw.example.test', 'content-type': 'application/json' }, body: JSON.stringify({ login: 'ada', password: goodPassword }) });
    assert.equal(told.status, 403);
    assert.match(told.text, /https address/);
    room.secure = true;
    assert.equal((await room.browser().ask({ method: 'POST', path: '/api/v1/sign-in', headers: { host: 'gw.example.test', 'content-type': 'application/json' }, body: JSON.stringify({ login: 'ada', password: goodPassword }) })).status, 200);
  });

  test('signing in again ends the sign-in that the browser had', async () => {
    const browser = await room.owner();
    const first = (await browser.call('getMe')).signInId!;
    await browser.call('signIn', { body: { login: 'ada', password: goodPassword } });
    assert.deepEqual((await browser.call('listSignIns')).items.map((row) => [row.id === first, row.current]), [[false, true]]);
    assert.deepEqual(room.cut, [`sign-in ${first}: signed in anew`]);
  });

  test('too many sign-ins: the one used least lately goes', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 51; i++) {
      room.clock.advance(10);
      ids.push((await (await room.owner()).call('getMe')).signInId!);
    }
    assert.equal(room.tables.signIns.size, 50);
    assert.equal(room.tables.signIns.get(ids[0]!), undefined);
  });
});

suite('a sign-in ends', () => {
  test('idle, and in any case after 90 days; use keeps it', async () => {
    const browser = await room.owner();
    const day = 24 * 3_600_000;
    for (let i = 0; i < 4; i++) {
      room.clock.advance(20 * day);
      await browser.call('getMe');
      room.clock.advance(5_000); // the batch that notes the use
    }
    await eventually(async () => (await room.operations.loadEverything()).signIns[0]!.lastUsedAt === room.clock.nowMs() - 5_000, 'the last use is stored');
    room.clock.advance(10 * day);
    assert.equal((await browser.refused('getMe')).code, 'unauthenticated', 'absolute');
    const other = await room.owner();
    room.clock.advance(30 * day - 1);
    await other.call('getMe');
    room.clock.advance(5_000);
    room.clock.advance(30 * day);
    assert.equal((await other.refused('getMe')).code, 'unauthenticated', 'idle');
  });

  test('by signing out: cookie cleared, what runs under it is cut', async () => {
    const browser = await room.owner();
    const { cookie } = browser;
    const { signInId } = await browser.call('getMe');
    await browser.call('signOut');
    assert.equal(browser.cookie, null);
    browser.cookie = cookie;
    assert.equal((await browser.refused('getMe')).status, 401);
    assert.deepEqual(room.cut, [`sign-in ${signInId}: signed out`]);
    assert.deepEqual((await room.operations.loadEverything()).signIns, []);
  });

  test('by revoking it from another; nobody revokes those of others', async () => {
    const one = await room.owner();
    const two = await room.owner();
    const guest = await room.person(one, 'bob', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    const { signInId } = await two.call('getMe');
    assert.equal((await guest.refused('revokeSignIn', { params: { id: signInId! } })).code, 'not-found');
    assert.equal((await guest.refused('listSignIns', { query: { personId: (await one.call('getMe')).person.id } })).code, 'forbidden');
    await one.call('revokeSignIn', { params: { id: signInId! } });
    assert.equal((await two.refused('getMe')).code, 'unauthenticated');
    const bobs = await one.call('listSignIns', { query: { personId: (await guest.call('getMe')).person.id } });
    await one.call('revokeSignIn', { params: { id: bobs.items[0]!.id } });
    assert.equal((await guest.refused('getMe')).code, 'unauthenticated');
  });

  test('by changing the password: the others end, this one stays', async () => {
    const one = await room.owner();
    const two = await room.owner();
    assert.deepEqual((await one.refused('changePassword', { body: { current: 'not it at all', next: 'another good password' } })).problems, [{ path: 'current', message: 'is not your password' }]);
    assert.deepEqual((await one.refused('changePassword', { body: { current: goodPassword, next: 'short' } })).problems?.map((each) => each.path), ['next']);
    await one.call('changePassword', { body: { current: goodPassword, next: 'another good password' } });
    await one.call('getMe');
    assert.equal((await two.refused('getMe')).code, 'unauthenticated');
    assert.equal((await room.browser().refused('signIn', { body: { login: 'ada', password: goodPassword } })).code, 'unauthenticated');
    await room.browser().call('signIn', { body: { login: 'ada', password: 'another good password' } });
  });
});

suite('what a page of another name can do with our cookie', () => {
  const write = { method: 'POST', path: '/api/v1/join-tokens', body: '{"deviceName":"x"}' };
  const attempts: Record<string, Record<string, string>> = {
    'no proof at all': {},
    'another origin': { origin: 'http://x.gw.example.test' },
    'the same host on another port': { origin: 'http://127.0.0.1:1' },
    'https instead of http': { origin: 'https://HOST' },
    'no origin (sandbox, redirect)': { origin: 'null' },
    'a neighbour name': { 'sec-fetch-site': 'same-site' },
    'a neighbour name that claims our origin': { 'sec-fetch-site': 'same-site', origin: 'http://HOST' },
    'typed into the address bar': { 'sec-fetch-site': 'none' },
  };
  test('nothing: writes and event streams are refused and noted', async () => {
    const browser = await room.owner();
    const cookie = `__Host-postern=${browser.cookie}`;
    for (const [name, given] of Object.entries(attempts)) {
      const headers = Object.fromEntries(Object.entries(given).map(([key, value]) => [key, value.replace('HOST', room.host)]));
      for (const asking of [write, { path: '/api/v1/events' }, { method: 'DELETE', path: '/api/v1/sign-in' }]) {
        const told = await browser.ask({ ...asking, headers: { cookie, 'content-type': 'application/json', ...headers } });
        assert.equal(told.status, 403, `${name}: ${asking.path}`);
      }
    }
    assert.equal(room.tables.joinTokens.size, 0);
    assert.equal(room.journal.all.filter((line) => line.event === 'api.refused').length, 3 * Object.keys(attempts).length);
    for (const proof of [{ origin: `http://${room.host}` }, { 'sec-fetch-site': 'same-origin' }]) {
      assert.equal((await browser.ask({ ...write, headers: { cookie, 'content-type': 'application/json', ...proof } })).status, 200);
    }
  });

  test('it cannot sign anybody in either, nor send a form', async () => {
    await room.owner();
    const body = JSON.stringify({ login: 'ada', password: goodPassword });
    const signIn = { method: 'POST', path: '/api/v1/sign-in', body };
    assert.equal((await room.browser().ask({ ...signIn, headers: { 'content-type': 'application/json', origin: 'http://x.gw.example.test' } })).status, 403);
    assert.equal((await room.browser().ask({ ...signIn, headers: { 'content-type': 'text/plain' } })).status, 415);
    assert.equal((await room.browser().ask({ ...signIn, headers: { 'content-type': 'application/json' } })).status, 200, 'a program sends neither');
  });

  test('a planted second cookie counts for nothing', async () => {
    const browser = await room.owner();
    const told = await browser.ask({ path: '/api/v1/me', headers: { cookie: `__Host-postern=planted; __Host-postern=${browser.cookie}` } });
    assert.equal(told.status, 401);
  });

  test('a token needs no proof, and a bad token does not fall back to the cookie', async () => {
    const browser = await room.owner();
    const { secret } = await browser.call('createToken', { body: { name: 'ci' } });
    const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json', origin: 'http://elsewhere.example.test', 'sec-fetch-site': 'cross-site' };
    assert.equal((await room.browser().ask({ ...write, headers })).status, 200);
    const bad = await room.browser().ask({ path: '/api/v1/me', headers: { authorization: 'Bearer postern_x_y', cookie: `__Host-postern=${browser.cookie}` } });
    assert.deepEqual([bad.status, bad.headers['www-authenticate']], [401, 'Bearer realm="postern"']);
  });
});
