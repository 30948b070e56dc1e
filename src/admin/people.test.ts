import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { eventually, goodPassword, startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';

let room: AdminRoom;
let owner: Caller;
beforeEach(async () => {
  room = await startAdminRoom();
  owner = await room.owner();
});
afterEach(() => room.close());

const everything = [{ action: 'administer', scopeKind: 'gateway', scopeId: null }] as const;
const customerId = () => [...room.tables.customers.values()][0]!.id;
const idOf = async (caller: Caller) => (await caller.call('getMe')).person.id;

suite('invitations', () => {
  test('one address, one person, with the rights that were given', async () => {
    const device = await room.device('Printer');
    const { invite, address } = await owner.call('createInvite', { body: { name: 'Bob', rights: [{ action: 'open', scopeKind: 'device', scopeId: device.id }] } });
    const code = /^https:\/\/gw\.example\.test:8443\/#\/invite\/([a-z0-9]{32})$/.exec(address)![1]!;
    const guest = room.browser();
    assert.deepEqual((await guest.call('lookInvite', { body: { code } })).rights, [{ action: 'open', scopeName: 'Printer' }]);
    assert.deepEqual((await guest.refused('acceptInvite', { body: { code, login: 'ADA', name: 'Bob', password: goodPassword } })).problems, [{ path: 'login', message: 'is taken' }]);
    const me = await guest.call('acceptInvite', { body: { code, login: 'bob', name: 'Bob', password: goodPassword } });
    assert.deepEqual(me.rights.map((right) => [right.action, right.scopeName]), [['open', 'Printer']]);
    assert.deepEqual((await guest.call('listDevices')).items.map((each) => [each.id, each.may]), [[device.id, ['see', 'open']]]);
    assert.equal((await room.browser().refused('acceptInvite', { body: { code, login: 'eve', name: 'Eve', password: goodPassword } })).code, 'gone');
    assert.deepEqual((await owner.call('listInvites')).items.map((each) => [each.id, each.state]), [[invite.id, 'used']]);
    assert.doesNotMatch(JSON.stringify([...room.tables.invites.values()]), new RegExp(code));
    assert.deepEqual((await room.operations.loadEverything()).rights.filter((right) => right.subjectId === me.person.id).map((right) => right.scopeId), [device.id]);
  });

  test('worth nothing when expired, taken back, or when the giver may not give it any more', async () => {
    const second = await room.person(owner, 'bob', [...everything]);
    const code = async (caller: Caller) => {
      const { invite, address } = await caller.call('createInvite', { body: { name: 'Eve', rights: [...everything] } });
      return { id: invite.id, code: address.split('/').at(-1)! };
    };
    const [old, back, stale] = [await code(owner), await code(owner), await code(second)];
    await owner.call('removeInvite', { params: { id: back.id } });
    assert.equal((await room.browser().refused('lookInvite', { body: { code: back.code } })).code, 'not-found');
    await owner.call('setRights', { params: { id: await idOf(second) }, body: { rights: [] } });
    assert.equal((await room.browser().refused('lookInvite', { body: { code: stale.code } })).code, 'gone');
    room.clock.advance(7 * 24 * 3_600_000);
    assert.equal((await room.browser().refused('lookInvite', { body: { code: old.code } })).code, 'gone');
  });

  test('nobody invites to what they do not administer', async () => {
    const device = await room.device('Printer');
    const bob = await room.person(owner, 'bob', [{ action: 'administer', scopeKind: 'customer', scopeId: customerId() }]);
    assert.equal((await bob.refused('createInvite', { body: { name: 'Eve', rights: [...everything] } })).code, 'forbidden');
    await bob.call('createInvite', { body: { name: 'Eve', rights: [{ action: 'see', scopeKind: 'device', scopeId: device.id }] } });
    const other = { id: room.newId(), key: 'acme', name: 'Acme', createdAt: 0 };
    room.tables.customers.publish({ put: [other] });
    assert.equal((await bob.refused('createInvite', { body: { name: 'Eve', customerId: other.id, rights: [{ action: 'see', scopeKind: 'device', scopeId: device.id }] } })).code, 'forbidden');
    const missing = await owner.refused('createInvite', { body: { name: 'Eve', rights: [{ action: 'see', scopeKind: 'device', scopeId: room.newId() }] } });
    assert.deepEqual(missing.problems, [{ path: 'rights.0.scopeId', message: 'there is no such device' }]);
  });
});

suite('people', () => {
  test('locking ends everything of theirs at once', async () => {
    const device = await room.device('Printer');
    const bob = await room.person(owner, 'bob', [{ action: 'open', scopeKind: 'device', scopeId: device.id }]);
    const id = await idOf(bob);
    const { secret, token } = await bob.call('createToken', { body: { name: 'ci' } });
    const byBob = room.visit(device, { kind: 'person', id, name: 'bob', from: '' });
    const byToken = room.visit(device, { kind: 'token', id: token.id, name: 'bob/ci', from: '' });
    const byOwner = room.visit(device, { kind: 'person', id: await idOf(owner), name: 'ada', from: '' });
    const view = await owner.call('lockPerson', { params: { id } });
    assert.equal(view.locked, true);
    assert.deepEqual(room.live.visits().map((visit) => visit.id), [byOwner.id]);
    assert.deepEqual(room.live.closed, [`visit ${byBob.id}: the person was locked`, `visit ${byToken.id}: the person was locked`]);
    assert.deepEqual(room.cut, [`person ${id}: the person was locked`]);
    assert.equal((await bob.refused('getMe')).code, 'unauthenticated');
    assert.equal((await room.program(secret).refused('getMe')).code, 'unauthenticated');
    assert.equal((await room.browser().refused('signIn', { body: { login: 'bob', password: goodPassword } })).detail, 'this account is locked');
    await owner.call('unlockPerson', { params: { id } });
    await bob.call('getMe');
    const lines = await owner.call('listAudit', { query: { subjectId: id } });
    assert.deepEqual(lines.items.map((line) => line.what), ['person.unlocked', 'person.locked', 'sign-in.opened', 'person.joined']);
  });

  test('removing takes rights, sign-ins and tokens along', async () => {
    const bob = await room.person(owner, 'bob', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    await bob.call('createToken', { body: { name: 'ci', rights: [{ action: 'see', scopeKind: 'customer', scopeId: customerId() }] } });
    await owner.call('removePerson', { params: { id: await idOf(bob) } });
    assert.equal((await bob.refused('getMe')).code, 'unauthenticated');
    const kept = await room.operations.loadEverything();
    assert.deepEqual([kept.people.length, kept.rights.length, kept.tokens.length, kept.signIns.length], [1, 1, 0, 1]);
    assert.deepEqual([room.tables.people.size, room.tables.rights.size, room.tables.tokens.size, room.tables.signIns.size], [1, 1, 0, 1]);
  });

  test('somebody always administers the gateway', async () => {
    const me = await idOf(owner);
    for (const name of ['lockPerson', 'removePerson'] as const) assert.equal((await owner.refused(name, { params: { id: me } })).code, 'forbidden');
    assert.match((await owner.refused('setRights', { params: { id: me }, body: { rights: [{ action: 'open', scopeKind: 'gateway', scopeId: null }] } })).detail, /own right to administer the gateway/);
    await owner.call('setRights', { params: { id: me }, body: { rights: [...everything, { action: 'see', scopeKind: 'customer', scopeId: customerId() }] } });
  });

  test('a customer\'s administrator cannot touch who holds more, nor give or take it', async () => {
    const bob = await room.person(owner, 'bob', [{ action: 'administer', scopeKind: 'customer', scopeId: customerId() }]);
    const carol = await room.person(owner, 'carol', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    const ada = await idOf(owner);
    for (const name of ['lockPerson', 'removePerson'] as const) assert.equal((await bob.refused(name, { params: { id: ada } })).code, 'forbidden');
    assert.equal((await bob.refused('setRights', { params: { id: ada }, body: { rights: [] } })).code, 'forbidden');
    assert.equal((await bob.refused('setRights', { params: { id: await idOf(bob) }, body: { rights: [...everything] } })).code, 'forbidden');
    assert.equal((await bob.refused('setRights', { params: { id: await idOf(carol) }, body: { rights: [] } })).code, 'forbidden');
    const kept = { action: 'see', scopeKind: 'gateway', scopeId: null } as const;
    const more = { action: 'open', scopeKind: 'customer', scopeId: customerId() } as const;
    assert.equal((await bob.call('setRights', { params: { id: await idOf(carol) }, body: { rights: [kept, more, more] } })).rights.length, 2, 'what stays needs no right over it; twice is once');
    assert.deepEqual((await carol.call('listPeople')).items.map((row) => [row.login, row.isMe]), [['carol', true]]);
    assert.equal((await carol.refused('getPerson', { params: { id: ada } })).code, 'not-found');
    assert.deepEqual((await bob.call('listPeople', { query: { search: 'C' } })).items.map((row) => row.login), ['carol']);
  });

  test('a customer\'s administrator ends sign-ins and tokens of those who hold no more, and not the owner\'s', async () => {
    const bob = await room.person(owner, 'bob', [{ action: 'administer', scopeKind: 'customer', scopeId: customerId() }]);
    const carol = await room.person(owner, 'carol', [{ action: 'see', scopeKind: 'customer', scopeId: customerId() }]);
    const signInOf = async (caller: Caller) => (await caller.call('getMe')).signInId!;
    const { token } = await owner.call('createToken', { body: { name: 'ci' } });
    assert.equal((await bob.refused('revokeSignIn', { params: { id: await signInOf(owner) } })).code, 'forbidden');
    assert.equal((await bob.refused('revokeToken', { params: { id: token.id } })).code, 'forbidden');
    await bob.call('revokeSignIn', { params: { id: await signInOf(carol) } });
    assert.equal((await carol.refused('getMe')).code, 'unauthenticated');
  });

  test('taking a right away ends the visits that stood on it, and only those', async () => {
    const [one, two] = [await room.device('One'), await room.device('Two')];
    const right = (scopeId: string) => ({ action: 'open', scopeKind: 'device', scopeId }) as const;
    const bob = await room.person(owner, 'bob', [right(one.id), right(two.id)]);
    const who = { kind: 'person', id: await idOf(bob), name: 'bob', from: '' } as const;
    const [first, second] = [room.visit(one, who), room.visit(two, who)];
    await owner.call('setRights', { params: { id: who.id }, body: { rights: [right(two.id), { ...right(one.id), action: 'see' }] } });
    assert.deepEqual(room.live.visits().map((visit) => visit.id), [second.id]);
    assert.deepEqual(room.live.closed, [`visit ${first.id}: the right was taken away`]);
  });
});

suite('access tokens', () => {
  test('shown once, kept as a digest, revoked at once', async () => {
    const { secret, token } = await owner.call('createToken', { body: { name: 'ci' } });
    assert.match(secret, /^postern_[0-9a-f]{12}_[a-z0-9]{32}$/);
    const program = room.program(secret);
    const me = await program.call('getMe');
    assert.deepEqual([me.tokenId, me.signInId, me.may.administerGateway], [token.id, null, true]);
    const listed = await owner.ask({ path: '/api/v1/tokens', headers: { cookie: `__Host-postern=${owner.cookie}` } });
    assert.doesNotMatch(listed.text, /[0-9a-f]{64}|postern_/);
    room.clock.advance(5_000);
    await eventually(() => room.tables.tokens.get(token.id)!.lastUsedAt !== null, 'the last use');
    await owner.call('revokeToken', { params: { id: token.id } });
    assert.equal((await program.refused('getMe')).code, 'unauthenticated');
    assert.deepEqual(room.cut, [`token ${token.id}: the token was revoked`]);
  });

  test('narrower rights hold, and end with those of the person', async () => {
    const [one, two] = [await room.device('One'), await room.device('Two')];
    const bob = await room.person(owner, 'bob', [{ action: 'open', scopeKind: 'device', scopeId: one.id }, { action: 'open', scopeKind: 'device', scopeId: two.id }]);
    const { secret, token } = await bob.call('createToken', { body: { name: 'ci', rights: [{ action: 'administer', scopeKind: 'device', scopeId: one.id }] } });
    const program = room.program(secret);
    assert.deepEqual((await program.call('listDevices')).items.map((device) => [device.name, device.may]), [['One', ['see', 'open']]]);
    assert.deepEqual((await program.call('getMe')).tokenRights, token.rights);
    await owner.call('setRights', { params: { id: await idOf(bob) }, body: { rights: [{ action: 'open', scopeKind: 'device', scopeId: two.id }] } });
    assert.deepEqual((await program.call('listDevices')).items, []);
  });

  test('narrower ones end nothing of their person but themselves, and see no names of places beside theirs', async () => {
    const device = await room.device('One');
    const wide = await owner.call('createToken', { body: { name: 'wide' } });
    const narrow = await owner.call('createToken', { body: { name: 'narrow', rights: [{ action: 'see', scopeKind: 'device', scopeId: device.id }] } });
    const program = room.program(narrow.secret);
    assert.equal((await program.refused('revokeToken', { params: { id: wide.token.id } })).code, 'forbidden');
    assert.equal((await program.refused('revokeSignIn', { params: { id: (await owner.call('getMe')).signInId! } })).code, 'forbidden');
    room.tables.customers.publish({ put: [{ id: room.newId(), key: 'acme', name: 'Acme', createdAt: 0 }] });
    assert.equal((await owner.call('listCustomers')).items.length, 2);
    assert.deepEqual((await program.call('listCustomers')).items.map((row) => row.id), [device.customerId]);
    await program.call('revokeToken', { params: { id: narrow.token.id } });
    assert.equal((await program.refused('getMe')).code, 'unauthenticated');
  });

  test('a token makes no tokens, changes no password, approves nothing, and hands no browser over', async () => {
    const { secret } = await owner.call('createToken', { body: { name: 'ci' } });
    const program = room.program(secret);
    assert.equal((await program.refused('createToken', { body: { name: 'more' } })).code, 'forbidden');
    assert.equal((await program.refused('changePassword', { body: { current: goodPassword, next: goodPassword } })).code, 'forbidden');
    assert.equal((await program.refused('approveCliLogin', { params: { code: 'a' } })).code, 'forbidden');
    assert.equal((await program.refused('createHandOver', { body: { host: 'a.gw.example.test' } })).code, 'forbidden');
  });

  test('expires', async () => {
    const { secret } = await owner.call('createToken', { body: { name: 'ci', expiresAt: room.clock.nowMs() + 1_000 } });
    room.clock.advance(999);
    await room.program(secret).call('getMe');
    room.clock.advance(1);
    assert.equal((await room.program(secret).refused('getMe')).code, 'unauthenticated');
    assert.deepEqual((await owner.refused('createToken', { body: { name: 'ci', expiresAt: room.clock.nowMs() } })).problems?.map((each) => each.path), ['expiresAt']);
  });
});

suite('the sign-in of the command line', () => {
  const start = async () => {
    room.from = '198.51.100.7';
    const started = await room.program('').call('startCliLogin', { body: { client: 'postern 0.1 on lab\u001b[31m' } });
    room.from = '192.0.2.10';
    return started;
  };

  test('a person sees from where, approves, and the secret is given once', async () => {
    const started = await start();
    assert.equal(started.address, `https://gw.example.test:8443/#/cli/${started.code}`);
    const { pollSecret } = started;
    assert.equal((await room.browser().call('pollCliLogin', { body: { pollSecret } })).state, 'waiting');
    const look = await owner.call('getCliLogin', { params: { code: started.code } });
    assert.deepEqual([look.from, look.client], ['198.51.100.7', 'postern 0.1 on lab\\x1b[31m']);
    await owner.call('approveCliLogin', { params: { code: started.code } });
    const given = await room.browser().call('pollCliLogin', { body: { pollSecret } });
    assert.match(given.secret!, /^postern_cli_[a-z0-9]{32}$/);
    const cli = room.program(given.secret!);
    assert.deepEqual([(await cli.call('getMe')).person.login, given.login], ['ada', 'ada']);
    assert.equal((await room.browser().refused('pollCliLogin', { body: { pollSecret } })).code, 'gone');
    const mine = (await owner.call('listSignIns')).items;
    assert.deepEqual(mine.map((row) => row.kind).sort(), ['browser', 'cli']);
    // the cookie's secret is no token, and the other way round
    assert.equal((await room.program(owner.cookie!).refused('getMe')).code, 'unauthenticated');
    const thief = room.browser();
    thief.cookie = given.secret;
    assert.equal((await thief.refused('getMe')).code, 'unauthenticated');
    await owner.call('revokeSignIn', { params: { id: mine.find((row) => row.kind === 'cli')!.id } });
    assert.equal((await cli.refused('getMe')).code, 'unauthenticated');
  });

  test('refused, expired, or approved by somebody who signed out meanwhile', async () => {
    const [no, late, orphan] = [await start(), await start(), await start()];
    await owner.call('refuseCliLogin', { params: { code: no.code } });
    assert.equal((await owner.refused('approveCliLogin', { params: { code: no.code } })).code, 'conflict');
    assert.equal((await room.browser().call('pollCliLogin', { body: { pollSecret: no.pollSecret } })).state, 'refused');
    await owner.call('approveCliLogin', { params: { code: orphan.code } });
    await owner.call('signOut');
    assert.equal((await room.browser().refused('pollCliLogin', { body: { pollSecret: orphan.pollSecret } })).code, 'gone');
    room.clock.advance(10 * 60_000);
    assert.equal((await room.browser().refused('pollCliLogin', { body: { pollSecret: late.pollSecret } })).code, 'gone');
  });

  test('codes cannot be guessed through, and one place cannot fill the list', async () => {
    for (let i = 0; i < 10; i++) assert.equal((await owner.refused('getCliLogin', { params: { code: 'aaaa-aaaa' } })).code, 'not-found');
    assert.equal((await owner.refused('getCliLogin', { params: { code: 'aaaa-aaaa' } })).code, 'too-many');
    for (let i = 0; i < 20; i++) await start();
    room.from = '198.51.100.7';
    assert.equal((await room.browser().refused('startCliLogin', { body: {} })).code, 'too-many');
  });
});
