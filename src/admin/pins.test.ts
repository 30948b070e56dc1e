import assert from 'node:assert/strict';
import { afterEach, beforeEach, suite, test } from 'node:test';
import { pinOfFingerprint } from '#wire/device.ts';
import { startAdminRoom, type AdminRoom, type Caller } from '#kit/admin-room.ts';
import { makeCertificate } from '#kit/authority.ts';

const dayMs = 86_400_000;
const domain = 'gw.example.test';
let room: AdminRoom;
let owner: Caller;
beforeEach(async () => {
  room = await startAdminRoom();
  owner = await room.owner();
});
afterEach(() => room.close());

const pinsNow = async () => (await owner.call('listPins', {})).items;
const pinOf = async (face: string, state: 'present' | 'next' | 'old' = 'present') => (await pinsNow()).find((each) => each.certificate === face && each.state === state)!.pin;

/** A device that checked in, with this list. */
async function device(serial: string, pins: readonly string[] | null, seenDaysAgo = 0): Promise<string> {
  const known = [...room.tables.devices.values()].find((each) => each.serial === serial);
  const id = known?.id ?? (await owner.call('addDevice', { body: { name: `Device ${serial}`, serial } })).id;
  const at = room.clock.nowMs() - seenDaysAgo * dayMs;
  room.tables.deviceNotes.publish({ put: [{ deviceId: id, customerId: [...room.tables.customers.values()][0]!.id, lastSeenAt: at, lastPushAt: null, lastCheckInAt: at, from: null, fw: null, hw: null, up: null, clockSkewMs: null, zone: null, pins, facts: {} }] });
  return id;
}

suite('pins', () => {
  test('what devices see, who has it, who does not, who pins nothing', async () => {
    const [plain, named] = [await pinOf('leaf'), await pinOf(`leaf:${domain}`)];
    await device('1', [named]);
    await device('2', [named, plain]);
    await device('3', null);
    await device('4', [named], 50);
    await device('5', [pinOfFingerprint('ab'.repeat(32))]);
    const view = await owner.call('listPins', {});
    assert.deepEqual([view.pinning, view.silent, view.notPinning, view.activeDays], [3, 1, 1, 45]);
    assert.deepEqual(view.items.map((each) => [each.certificate, each.state, each.hosts, each.confirmed, each.missing]), [['leaf', 'present', [null], 1, 1], [`leaf:${domain}`, 'present', [domain], 2, 0]]);
    const states = async (query: object) => (await owner.call('listPinDevices', { query })).items.map((each) => [each.serial, each.state]);
    assert.deepEqual(await states({}), [['1', 'confirmed'], ['2', 'confirmed'], ['3', 'none'], ['4', 'silent'], ['5', 'other']]);
    assert.deepEqual(await states({ pin: plain }), [['1', 'missing'], ['2', 'confirmed'], ['3', 'none'], ['4', 'silent'], ['5', 'other']]);
    assert.deepEqual(await states({ pin: Buffer.from(plain.slice(8), 'base64').toString('hex'), state: 'missing' }), [['1', 'missing']]);
    assert.equal((await owner.refused('listPinDevices', { query: { pin: 'sha256//x' } })).status, 400);
  });

  test("a leaf's key: prepared, announced, confirmed, switched", async () => {
    const face = `leaf:${domain}`;
    const before = await pinOf(face);
    await device('1', [before]);
    await device('2', [before]);
    assert.equal((await owner.refused('switchPin', { body: { certificate: face } })).status, 409, 'nothing is prepared');
    const { items } = await owner.call('preparePin', { body: {} });
    assert.deepEqual(items.map((each) => each.certificate), ['leaf', face]);
    const next = items[1]!.pin;
    assert.deepEqual((await pinsNow()).find((each) => each.pin === next), { pin: next, hex: Buffer.from(next.slice(8), 'base64').toString('hex'), state: 'next', hosts: [domain], certificate: face, name: `private CA (${domain})`, confirmed: 0, missing: 2 });
    const refused = await owner.refused('switchPin', { body: { certificate: face } });
    assert.match(refused.detail, /^2 devices would be shut out for good: not confirmed the new key have Device 1 \(1\), Device 2 \(2\)$/);
    const tried = await owner.call('switchPin', { body: { certificate: face, dryRun: true } });
    assert.deepEqual([tried.lost, tried.devices.map((each) => each.serial)], [2, ['1', '2']]);
    await device('1', [before, next]);
    assert.match((await owner.refused('switchPin', { body: { certificate: face } })).detail, /^1 device /);
    assert.equal((await owner.refused('switchPin', { body: { certificate: face, losing: 2 } })).status, 409);
    await device('2', [before, next]);
    assert.equal((await owner.refused('switchPin', { body: { certificate: face, losing: 1 } })).status, 409, 'a number that is no longer so');
    assert.deepEqual(await owner.call('switchPin', { body: { certificate: face } }), { name: `private CA (${domain})`, pin: next, lost: 0, devices: [] });
    assert.equal(await pinOf(face), next);
    assert.ok(!(await pinsNow()).some((each) => each.pin === before), 'a leaf has nothing to go back to');
    assert.deepEqual((await owner.call('listAudit', { query: {} })).items.filter((line) => line.what.startsWith('pin.')).map((line) => line.what), ['pin.switched', 'pin.prepared', 'pin.prepared']);
    await owner.call('dropPin', { body: { certificate: 'leaf' } });
    assert.equal((await owner.refused('dropPin', { body: { certificate: 'leaf' } })).status, 409);
  });

  test('forced: exactly so many are lost, and silent ones are not waited for', async () => {
    const before = await pinOf('leaf');
    for (const serial of ['1', '2', '3']) await device(serial, [before]);
    await device('4', [before], 60);
    await owner.call('preparePin', { body: { certificate: 'leaf' } });
    for (const losing of [2, 4]) assert.equal((await owner.refused('switchPin', { body: { certificate: 'leaf', losing } })).status, 409);
    assert.equal((await owner.call('switchPin', { body: { certificate: 'leaf', losing: 3 } })).lost, 3);
  });

  test('a certificate of the private CA: the prepared key comes with the switch, renewals before keep the one that is pinned', async () => {
    const leaf = await pinOf(`leaf:${domain}`);
    await device('1', [leaf]);
    assert.match((await owner.refused('issueCertificate', { body: { name: 'front', names: [domain] } })).detail, /^1 device would be shut out/);
    assert.deepEqual((await owner.call('listCertificates', { query: {} })).items.filter((each) => each.source === 'private-ca'), []);
    await owner.call('issueCertificate', { body: { name: 'front', names: [domain], losing: 1 } });
    const { id } = await owner.call('getCertificate', { params: { certificate: 'front' } });
    const first = await pinOf(id);
    await device('1', [first]);
    await owner.call('issueCertificateAgain', { params: { certificate: 'front' }, body: { acknowledged: true } });
    assert.equal(await pinOf(id), first, 'anew, with its key');
    const [prepared] = (await owner.call('preparePin', { body: { certificate: 'front' } })).items;
    assert.deepEqual([prepared!.certificate, prepared!.request], [id, null]);
    assert.deepEqual((await owner.call('preparePin', { body: { certificate: 'front' } })).items[0], prepared, 'once is enough');
    assert.match((await owner.refused('switchPin', { body: { certificate: 'front' } })).detail, /^1 device would be shut out/);
    await owner.call('issueCertificateAgain', { params: { certificate: 'front' }, body: { acknowledged: true } });
    assert.equal(await pinOf(id), first, 'and not with the prepared one before devices have it');
    await device('1', [first, prepared!.pin]);
    assert.deepEqual(await owner.call('switchPin', { body: { certificate: 'front' } }), { name: 'front', pin: prepared!.pin, lost: 0, devices: [] });
    assert.equal(await pinOf(id), prepared!.pin);
    assert.equal(await pinOf(id, 'old'), first);
    room.clock.advance(31 * dayMs);
    owner = await room.owner();
    assert.ok(!(await pinsNow()).some((each) => each.pin === first), 'after a month it is announced no more');
  });

  test('every other way is refused in the same way, and says how many in its dry run', async () => {
    await owner.call('issueCertificate', { body: { name: 'front', names: [domain] } });
    const { id } = await owner.call('getCertificate', { params: { certificate: 'front' } });
    await device('1', [await pinOf(id)]);
    const params = { certificate: 'front' };
    const made = await makeCertificate({ name: domain, now: room.clock.nowMs(), names: [{ type: 'dns', value: domain }], days: 500 });
    const pem = `${made.pem}${made.keyPem}`;
    const dryRun = { dryRun: 'true' } as const;
    const tried = await owner.call('replaceCertificate', { params, query: dryRun, body: { pem } });
    assert.deepEqual([tried.losing, (await owner.call('uploadCertificate', { query: dryRun, body: { name: 'second', pem } })).losing, (await owner.call('uploadCertificate', { query: dryRun, body: { name: 'second', pem, enabled: false } })).losing], [1, 1, 0]);
    for (const refused of [
      await owner.refused('replaceCertificate', { params, body: { pem, acknowledged: true } }),
      await owner.refused('uploadCertificate', { body: { name: 'second', pem } }),
      await owner.refused('changeCertificate', { params, body: { enabled: false } }),
      await owner.refused('removeCertificate', { params }),
    ]) assert.match(refused.detail, /^1 device would be shut out for good: not confirmed the new key have Device 1 \(1\)$/);
    // One that was made elsewhere is brought without being shown, announced, confirmed, and then shown.
    await owner.call('uploadCertificate', { body: { name: 'second', pem, enabled: false } });
    const second = await owner.call('getCertificate', { params: { certificate: 'second' } });
    const next = await pinOf(second.id, 'next');
    assert.equal(next, pinOfFingerprint(made.keyFingerprint));
    assert.equal((await owner.refused('changeCertificate', { params: { certificate: 'second' }, body: { enabled: true } })).status, 409);
    await device('1', [await pinOf(id), next]);
    assert.equal((await owner.call('switchPin', { body: { certificate: 'second' } })).lost, 0);
    assert.equal(await pinOf(second.id), next);
    assert.equal((await owner.refused('changeCertificate', { params: { certificate: 'second' }, body: { name: 'renamed', losing: 7 } })).status, 409, 'a number where nobody is lost');
    assert.equal((await owner.call('changeCertificate', { params: { certificate: 'second' }, body: { name: 'renamed' } })).name, 'renamed');
    await owner.call('removeCertificate', { params });
    await device('1', [next]);
    assert.equal((await owner.refused('removeCertificate', { params: { certificate: 'renamed' } })).status, 409);
    await owner.call('removeCertificate', { params: { certificate: 'renamed' }, query: { losing: 1 } });
  });

  test('from an authority outside: the prepared key has a request, and the answer is the switch', async () => {
    const first = await makeCertificate({ name: domain, now: room.clock.nowMs(), names: [{ type: 'dns', value: domain }] });
    await owner.call('uploadCertificate', { body: { name: 'front', pem: `${first.pem}${first.keyPem}` } });
    const { id } = await owner.call('getCertificate', { params: { certificate: 'front' } });
    await device('1', [await pinOf(id)]);
    const [prepared] = (await owner.call('preparePin', { body: { certificate: 'front' } })).items;
    assert.match(prepared!.request!, /^-----BEGIN CERTIFICATE REQUEST-----/);
    const refused = await owner.refused('switchPin', { body: { certificate: 'front' } });
    assert.match(refused.remedy!, /postern certificate answer front/);
    const signed = await owner.call('signCertificateRequest', { body: { csr: prepared!.request! } });
    assert.match((await owner.refused('replaceCertificate', { params: { certificate: 'front' }, body: { pem: signed.pem, acknowledged: true } })).detail, /shut out/);
    await device('1', [await pinOf(id), prepared!.pin]);
    await owner.call('replaceCertificate', { params: { certificate: 'front' }, body: { pem: signed.pem, acknowledged: true } });
    assert.equal(await pinOf(id), prepared!.pin);
    await owner.call('preparePin', { body: { certificate: 'front' } });
    await owner.call('dropPin', { body: { certificate: 'front' } });
    assert.equal((await owner.call('getCertificate', { params: { certificate: 'front' } })).request, null);
    assert.equal((await owner.refused('dropPin', { body: { certificate: 'front' } })).status, 409);
  });

  test('for who administers the gateway; who sees it sees them', async () => {
    const seer = await room.person(owner, 'bob', [{ action: 'see', scopeKind: 'gateway', scopeId: null }]);
    assert.equal((await seer.call('listPins', {})).items.length, 2);
    for (const name of ['preparePin', 'switchPin', 'dropPin'] as const) assert.equal((await seer.refused(name, { body: { certificate: 'leaf' } })).status, 403);
    const ofCustomer = await room.person(owner, 'eve', [{ action: 'administer', scopeKind: 'customer', scopeId: [...room.tables.customers.values()][0]!.id }]);
    assert.equal((await ofCustomer.refused('listPins', {})).status, 403);
    assert.equal((await ofCustomer.refused('listPinDevices', {})).status, 403);
    assert.equal((await owner.refused('preparePin', { body: { certificate: 'leaf:nobody.example.test' } })).status, 404);
    assert.equal((await owner.refused('preparePin', { body: { certificate: 'ca' } })).status, 409);
  });
});
