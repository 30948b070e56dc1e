import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
import { createdByStart, type Device } from '#model/rows.ts';

let room: AdminRoom;
let owner: Caller;
beforeEach(async () => {
  room = await startAdminRoom();
  owner = await room.owner();
});
afterEach(() => room.close());

const on = (action: 'see' | 'open' | 'administer', device: Device) => ({ action, scopeKind: 'device', scopeId: device.id }) as const;
const who = { kind: 'person', id: null, name: 'x', from: '' } as const;
const link = (device: Device) => ({ id: room.newId(), agentId: device.agentId!, slot: 0, from: '203.0.113.5', version: '0.1.0', since: 1, rttMs: 12.5, streams: 2, bytesIn: 30, bytesOut: 40, can: ['tcp'] });
const stored = async (device: Device) => (await room.operations.loadEverything()).devices.find((row) => row.id === device.id);

suite('devices', () => {
  test('shown with what is live, where to open them, and what I may', async () => {
    const device = await room.device('Printer');
    await room.operations.note({ agents: [], signIns: [], tokens: [] });
    room.tables.agentNotes.publish({ put: [{ agentId: device.agentId, lastSeenAt: 5, lastLeftWhy: 'timeout', version: '0.0.9', from: null, policy: '["reach tcp 127.0.0.1 80"]' }] });
    const offline = await owner.call('getDevice', { params: { device: 'printer' } });
    assert.deepEqual([offline.online, offline.lastLeftWhy, offline.version, offline.link, offline.policy], [false, 'timeout', '0.0.9', null, ['reach tcp 127.0.0.1 80']]);
    assert.equal(offline.url, 'https://printer.gw.example.test:8443/');
    assert.deepEqual(offline.ports.map((port) => port.url), ['https://printer.gw.example.test:8443/', 'https://printer--443.gw.example.test:8443/', null]);
    room.live.putLink(link(device));
    room.visit(device, who);
    const online = await owner.call('getDevice', { params: { device: 'default/PRINTER' } });
    assert.deepEqual([online.online, online.link?.rttMs, online.version, online.lastLeftWhy, online.visitsLive, online.may], [true, 12.5, '0.1.0', null, 1, ['see', 'open', 'administer']]);
    assert.doesNotMatch(JSON.stringify(online), /digest|secret/i);
  });

  test('nobody sees, opens or changes what they have no right to', async () => {
    const [mine, other] = [await room.device('Mine'), await room.device('Other')];
    const bob = await room.person(owner, 'bob', [on('see', mine)]);
    assert.deepEqual((await bob.call('listDevices')).items.map((device) => device.name), ['Mine']);
    for (const name of ['getDevice', 'lockDevice', 'removeDevice'] as const) assert.equal((await bob.refused(name, { params: { device: other.id } })).code, 'not-found', name);
    for (const name of ['lockDevice', 'unlockDevice', 'removeDevice'] as const) assert.equal((await bob.refused(name, { params: { device: mine.id } })).code, 'forbidden', name);
    assert.equal((await bob.refused('changeDevice', { params: { device: mine.id }, body: { name: 'x' } })).code, 'forbidden');
    assert.equal((await bob.refused('createHandOver', { body: { host: 'mine.gw.example.test' } })).code, 'forbidden', 'see is not open');
    assert.equal((await bob.refused('getAgent', { params: { id: mine.agentId } })).code, 'not-found', 'the agent belongs to the site');
    assert.equal((await room.browser().refused('listDevices')).code, 'unauthenticated');
    const noted = room.journal.all.filter((line) => line.event === 'api.refused').map(({ fields }) => `${fields['who']} ${fields['from']} ${fields['route']} ${fields['code']}`);
    assert.equal(noted.length, 8, 'each refusal for want of a right; what is not there at all is none');
    assert.deepEqual([noted[0], noted[3]], ['bob 192.0.2.10 getDevice not-found', 'bob 192.0.2.10 lockDevice forbidden']);
  });

  test('in pages, searched and filtered', async () => {
    const devices: Device[] = [];
    for (const name of ['Delta', 'alpha', 'Charlie', 'bravo']) devices.push(await room.device(name));
    const names: string[][] = [];
    let cursor: string | undefined;
    do {
      const page = await owner.call('listDevices', { query: { limit: 3, ...(cursor ? { cursor } : {}) } });
      names.push(page.items.map((device) => device.name));
      cursor = page.next ?? undefined;
      room.tables.devices.publish({ removed: [devices[1]!.id] }); // what goes meanwhile shifts nothing
    } while (cursor);
    assert.deepEqual(names, [['alpha', 'bravo', 'Charlie'], ['Delta']]);
    room.live.putLink(link(devices[0]!));
    await owner.call('lockDevice', { params: { device: 'bravo' } });
    const found = async (query: Parameters<typeof owner.call<'listDevices'>>[1]) => (await owner.call('listDevices', query)).items.map((device) => device.name);
    assert.deepEqual(await found({ query: { state: 'online' } }), ['Delta']);
    assert.deepEqual(await found({ query: { state: 'locked' } }), ['bravo']);
    assert.deepEqual(await found({ query: { search: 'ARL' } }), ['Charlie']);
    assert.equal((await owner.refused('listDevices', { query: { cursor: 'no*cursor' } })).code, 'bad-input');
    assert.equal((await owner.refused('listDevices', { query: { limit: 501 } })).problems?.[0]?.path, 'limit');
  });

  test('a new label: the old one redirects, is taken for others, and free for itself', async () => {
    const [one, two] = [await room.device('One'), await room.device('Two')];
    await owner.call('changeDevice', { params: { device: 'one' }, body: { label: 'first', name: 'First' } });
    assert.deepEqual([room.tables.deviceByLabel('first')?.id, room.tables.oldLabel('one')?.deviceId], [one.id, one.id]);
    assert.equal((await owner.call('getDevice', { params: { device: 'one' } })).label, 'first');
    assert.equal((await owner.refused('changeDevice', { params: { device: two.id }, body: { label: 'one' } })).code, 'conflict');
    assert.equal((await owner.refused('changeDevice', { params: { device: two.id }, body: { label: 'first' } })).code, 'conflict');
    assert.deepEqual((await owner.refused('changeDevice', { params: { device: two.id }, body: { label: 'gateway' } })).problems?.map((each) => each.path), ['label']);
    await owner.call('changeDevice', { params: { device: one.id }, body: { label: 'one' } });
    assert.deepEqual([room.tables.oldLabel('one'), room.tables.oldLabel('first')?.deviceId], [undefined, one.id]);
    const kept = await room.operations.loadEverything();
    assert.deepEqual(kept.oldLabels.map((row) => row.label), ['first']);
    const [line] = await room.operations.listAudit({ limit: 1 });
    assert.deepEqual(line!.detail, { 'label before': 'first', 'label after': 'one' });
  });

  test('ports: an accepted certificate stays with its port; a port that goes takes its visits along', async () => {
    const device = await room.device('Printer');
    const fingerprint = 'a'.repeat(64);
    await owner.call('acceptFingerprint', { params: { device: device.id, port: 443 }, body: { fingerprint } });
    const visit = room.visit(device, who);
    const changed = await owner.call('changeDevice', { params: { device: device.id }, body: { ports: [{ number: 443, name: 'admin', kind: 'https' }, { number: 8443, kind: 'https' }] } });
    assert.deepEqual(changed.ports.map((port) => [port.number, port.fingerprint]), [[443, fingerprint], [8443, null]]);
    assert.deepEqual(room.live.closed, [`visit ${visit.id}: the device was changed`]);
    assert.deepEqual((await stored(device))!.ports, room.tables.devices.get(device.id)!.ports);
    assert.equal((await owner.call('forgetFingerprint', { params: { device: device.id, port: 443 } })).ports[0]!.fingerprint, null);
    const audit = await owner.call('listAudit', { query: { what: 'device.certificate-accepted' } });
    assert.deepEqual(audit.items[0]!.detail, { port: 443, before: null, after: fingerprint, first: false });
    assert.equal((await owner.refused('forgetFingerprint', { params: { device: device.id, port: 80 } })).code, 'not-found');
    assert.deepEqual((await owner.refused('changeDevice', { params: { device: device.id }, body: { ports: [{ number: 80, kind: 'http' }, { number: 80, kind: 'tcp' }] } })).problems, [{ path: 'ports.1.number', message: 'is there twice' }]);
  });

  test('a number may be there for TCP and for UDP, and each is cut by itself', async () => {
    const device = await room.device('Pump');
    const both = [{ number: 53, kind: 'udp' }, { number: 53, kind: 'tcp' }] as const;
    assert.deepEqual((await owner.call('changeDevice', { params: { device: device.id }, body: { ports: [...both] } })).ports.map((port) => `${port.number}/${port.kind}`), ['53/udp', '53/tcp']);
    assert.deepEqual((await owner.refused('changeDevice', { params: { device: device.id }, body: { ports: [both[0], both[0]] } })).problems, [{ path: 'ports.1.number', message: 'is there twice' }]);
    room.live.closed.length = 0;
    const visits = (['udp', 'tcp'] as const).map((kind) => room.visit(device, who, { port: 53, kind }));
    await owner.call('changeDevice', { params: { device: device.id }, body: { ports: [both[1]] } });
    assert.deepEqual(room.live.closed, [`visit ${visits[0]!.id}: the device was changed`]);
  });

  test('who administers one device cannot point it at another machine of the site', async () => {
    const device = await room.device('Printer');
    const bob = await room.person(owner, 'bob', [on('administer', device)]);
    assert.equal((await bob.refused('changeDevice', { params: { device: device.id }, body: { host: '192.0.2.99' } })).code, 'forbidden');
    await bob.call('changeDevice', { params: { device: device.id }, body: { name: 'Mine', hostHeader: 'public' } });
    await owner.call('changeDevice', { params: { device: device.id }, body: { host: '192.0.2.99' } });
    assert.equal((await stored(device))!.host, '192.0.2.99');
  });

  test('changes at the same time do not undo each other', async () => {
    const device = await room.device('Printer');
    await Promise.all([
      owner.call('changeDevice', { params: { device: device.id }, body: { name: 'New' } }),
      owner.call('lockDevice', { params: { device: device.id } }),
      owner.call('changeDevice', { params: { device: device.id }, body: { serial: 'S1' } }),
      owner.call('acceptFingerprint', { params: { device: device.id, port: 443 }, body: { fingerprint: 'b'.repeat(64) } }),
    ]);
    const row = (await stored(device))!;
    assert.deepEqual([row.name, row.locked, row.serial, row.ports[1]!.fingerprint], ['New', true, 'S1', 'b'.repeat(64)]);
    assert.deepEqual(room.tables.devices.get(device.id), row);
  });

  test('locking ends its visits and those alone; unlocking lets new ones in', async () => {
    const [device, other] = [await room.device('Printer'), await room.device('Other')];
    const [visit, beside] = [room.visit(device, who), room.visit(other, who)];
    assert.equal((await owner.call('lockDevice', { params: { device: device.id } })).locked, true);
    assert.deepEqual(room.live.visits().map((each) => each.id), [beside.id]);
    assert.deepEqual(room.live.closed, [`visit ${visit.id}: the device was locked`]);
    assert.match((await owner.refused('createHandOver', { body: { host: 'printer.gw.example.test' } })).detail, /locked/);
    await owner.call('unlockDevice', { params: { device: device.id } });
    assert.deepEqual((await room.operations.listAudit({ limit: 2 })).map((line) => line.what), ['device.unlocked', 'device.locked']);
  });

  test('removing the last device of an agent takes the agent along', async () => {
    const device = await room.device('Printer');
    const second = await owner.call('addDevice', { body: { agentId: device.agentId, name: 'Printer', host: '192.0.2.7', ports: [{ number: 80, kind: 'http' }] } });
    assert.equal(second.label, 'printer-2');
    room.live.putLink(link(device));
    await owner.call('removeDevice', { params: { device: device.id } });
    assert.equal(room.tables.agents.size, 1);
    await owner.call('removeDevice', { params: { device: second.id } });
    assert.deepEqual([room.tables.agents.size, room.tables.devices.size, room.live.links().length], [0, 0, 0]);
    assert.notEqual([...room.tables.agentCertificates.values()][0]!.revokedAt, null);
    const kept = await room.operations.loadEverything();
    assert.deepEqual([kept.agents.length, kept.agentCertificates[0]!.revokedAt !== null], [0, true]);
  });

  test('the hand-over goes to a device that I may open, at one host, to a path', async () => {
    const device = await room.device('Printer');
    const { to } = await owner.call('createHandOver', { body: { host: 'printer--443.gw.example.test', port: 8443, path: '/a?b=c', asked: 'a'.repeat(64) } });
    assert.equal(to, 'https://printer--443.gw.example.test/.postern/enter?code=once');
    const [order] = room.handOvers;
    assert.deepEqual([order!.device.id, order!.host, order!.port, order!.path, order!.asked, order!.from, order!.visitor.person.login], [device.id, 'printer--443.gw.example.test', 8443, '/a?b=c', 'a'.repeat(64), '192.0.2.10', 'ada']);
    for (const path of ['//elsewhere.example.test/', '/\\elsewhere.example.test/', 'https://elsewhere.example.test/', '/a\r\nb', '']) assert.equal((await owner.refused('createHandOver', { body: { host: 'printer.gw.example.test', path } })).problems?.[0]?.path, 'path', path);
    for (const host of ['printer.elsewhere.example.test', 'gw.example.test', 'link.gw.example.test']) assert.equal((await owner.refused('createHandOver', { body: { host } })).code, 'bad-input', host);
    assert.equal(room.handOvers.length, 1);
  });
});

suite('agents', () => {
  test('locked and unlocked; revoked for ever', async () => {
    const device = await room.device('Printer');
    const params = { id: device.agentId };
    const visit = room.visit(device, who);
    room.live.putLink(link(device));
    assert.equal((await owner.call('lockAgent', { params })).state, 'locked');
    assert.deepEqual(room.live.closed, [`visit ${visit.id}: the agent was locked`, `link ${device.agentId}: the agent was locked`]);
    assert.equal((await owner.call('getDevice', { params: { device: device.id } })).agentState, 'locked');
    assert.equal((await owner.call('unlockAgent', { params })).state, 'active');
    const revoked = await owner.call('revokeAgent', { params });
    assert.deepEqual([revoked.state, revoked.certificateUntil], ['revoked', null]);
    assert.equal((await owner.refused('unlockAgent', { params })).code, 'conflict');
    const kept = await room.operations.loadEverything();
    assert.deepEqual(kept.agentCertificates, [...room.tables.agentCertificates.values()]);
    assert.deepEqual((await owner.call('listAudit', { query: { subjectId: device.agentId } })).items.map((line) => line.what), ['agent.revoked', 'agent.unlocked', 'agent.locked']);
  });

  test('a link is closed on request', async () => {
    const device = await room.device('Printer');
    room.live.putLink(link(device));
    assert.deepEqual(await owner.call('closeAgentLink', { params: { id: device.agentId } }), { closed: true });
    assert.deepEqual(await owner.call('closeAgentLink', { params: { id: device.agentId } }), { closed: false });
    assert.deepEqual((await owner.call('listAgents')).items.map((agent) => [agent.online, agent.devices[0]?.label]), [[false, 'printer']]);
  });
});

suite('join tokens', () => {
  test('shown once, waited for, used', async () => {
    const made = await owner.call('createJoinToken', { body: { deviceName: 'Printer' } });
    assert.match(made.secret, /^postern-join-1\.[a-z0-9]{32}$/);
    assert.deepEqual([made.joinToken.state, made.joinToken.host, made.joinToken.ports, made.commands.length], ['waiting', '127.0.0.1', [{ number: 80, name: '', kind: 'http' }], 1]);
    const row = room.tables.joinTokenByDigest([...room.tables.joinTokens.values()][0]!.secretDigest)!;
    assert.doesNotMatch(JSON.stringify(row), new RegExp(made.secret.split('.')[1]!));
    const device = await room.device('Printer');
    room.tables.joinTokens.publish({ put: [{ ...row, usedAt: 1, usedByAgentId: device.agentId }] });
    const used = await owner.call('getJoinToken', { params: { id: row.id } });
    assert.deepEqual([used.state, used.device?.id, used.device?.online, used.device?.url], ['used', device.id, false, 'https://printer.gw.example.test:8443/']);
    const createdBy = async (by: string) => {
      room.tables.joinTokens.publish({ put: [{ ...row, usedAt: 1, usedByAgentId: device.agentId, createdBy: by }] });
      return (await owner.call('getJoinToken', { params: { id: row.id } })).createdBy;
    };
    assert.deepEqual([await createdBy('gone'), await createdBy(createdByStart), await createdBy(row.createdBy)], ['(removed)', 'start command', 'ada']);
    room.clock.advance(3_600_000);
    const second = await owner.call('createJoinToken', { body: { deviceName: 'Second' } });
    room.clock.advance(3_600_000);
    assert.deepEqual((await owner.call('listJoinTokens')).items.map((each) => each.state).sort(), ['expired', 'used']);
    await owner.call('removeJoinToken', { params: { id: second.joinToken.id } });
    assert.equal((await owner.refused('getJoinToken', { params: { id: second.joinToken.id } })).code, 'not-found');
  });

  test('only for who administers the site', async () => {
    const device = await room.device('Printer');
    const bob = await room.person(owner, 'bob', [on('administer', device)]);
    assert.equal((await bob.call('getMe')).may.joinDevices, false);
    assert.equal((await bob.refused('createJoinToken', { body: { deviceName: 'x' } })).code, 'forbidden');
    assert.equal((await bob.refused('createJoinToken', { body: { deviceName: 'x', siteId: device.siteId } })).code, 'forbidden');
    const made = await owner.call('createJoinToken', { body: { deviceName: 'x' } });
    assert.equal((await bob.refused('getJoinToken', { params: { id: made.joinToken.id } })).code, 'not-found');
    assert.deepEqual((await bob.call('listSites')).items.map((site) => site.id), [device.siteId]);
    assert.deepEqual((await bob.call('listCustomers')).items.length, 1);
    assert.equal((await bob.refused('addDevice', { body: { agentId: device.agentId, name: 'x', ports: [{ number: 1, kind: 'tcp' }] } })).code, 'bad-input');
  });
});
