import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Fault, isFault } from '#base/fault.ts';
import { parsePins, pinOfFingerprint } from '#wire/device.ts';
import { announcedKeys, hasPin, lostBy, pinnerOf, pinsAnnouncedMax, pinsToAnnounce, shownKeys, type LeafKey, type Shop } from './pins.ts';
import { buildPinWatch } from './pin-watch.ts';
import type { Certificate, Device, DeviceNote } from './rows.ts';
import { buildTable } from './table.ts';

const dayMs = 86_400_000;
const now = 1_800_000_000_000;
const key = (name: string) => createHash('sha256').update(name).digest('hex');
const pin = (name: string) => pinOfFingerprint(key(name));

function certificate(name: string, names: readonly string[], more: Partial<Certificate> = {}): Certificate {
  return {
    id: name, customerId: 'c', name, source: 'uploaded', state: 'ready', enabled: true, names: { dns: names, ip: [] }, keyKind: 'ec-p256', keyFingerprint: key(name), chainPem: 'x', certificateFingerprint: key(`${name} leaf`),
    subject: '', issuer: '', notBefore: now - dayMs, notAfter: now + 90 * dayMs, csrPem: null, csrKeyFingerprint: null, previousChainPem: null, previousKeyFingerprint: null, acme: null, createdAt: 1, renewedAt: null,
    lastTriedAt: null, lastError: null, ...more,
  };
}

const leaves: Record<string, LeafKey> = {
  '': { id: 'leaf:ec-p256:localhost', name: 'localhost', fingerprint: key('leaf'), next: null },
  'gw.example.test': { id: 'leaf:ec-p256:gw.example.test', name: 'gw.example.test', fingerprint: key('gw leaf'), next: null },
};
const shop = (certificates: readonly Certificate[], more: Partial<Shop> = {}): Shop => ({ hosts: ['gw.example.test', 'in.example.test'], certificates, leafOf: (host, kind) => (kind === 'rsa' ? null : (leaves[host ?? ''] ?? leaves['']!)), now, ...more });
const note = (deviceId: string, pins: readonly string[] | null, seenDaysAgo = 0): DeviceNote => ({ deviceId, customerId: 'c', lastSeenAt: now - seenDaysAgo * dayMs, lastPushAt: null, lastCheckInAt: now - seenDaysAgo * dayMs, from: null, fw: null, hw: null, up: null, clockSkewMs: null, zone: null, pins, facts: {} });

test('what is shown: certificates by name, the private CA where none covers it, RSA beside for the legacy lane', () => {
  const rsa = certificate('old', ['gw.example.test'], { keyKind: 'rsa-2048', notAfter: now + dayMs });
  const wild = certificate('wild', ['*.example.test']);
  const shown = shownKeys(shop([certificate('front', ['gw.example.test']), rsa, wild, certificate('off', ['in.example.test'], { enabled: false })]));
  assert.deepEqual(shown.map(({ host, kind, name }) => [host, kind, name]), [[null, 'usual', 'localhost'], ['gw.example.test', 'usual', 'front'], ['gw.example.test', 'rsa', 'old'], ['in.example.test', 'usual', 'wild']]);
  assert.equal(shownKeys(shop([], { leafOf: () => null }))[1]?.fingerprint, '', 'a leaf that is yet to be made has a key that nobody knows');
});

test('what is announced: shown, asked for, switched off, and what was before for as long as one can go back', () => {
  const rows = [
    certificate('front', ['gw.example.test'], { csrKeyFingerprint: key('prepared'), previousKeyFingerprint: key('before'), renewedAt: now - 10 * dayMs }),
    certificate('off', ['gw.example.test'], { enabled: false }),
    certificate('coming', [], { state: 'waiting', keyFingerprint: null, chainPem: null, csrKeyFingerprint: key('coming key'), acme: { directoryUrl: 'https://acme.example.test', names: { dns: ['in.example.test'], ip: [] }, keyKind: 'ec-p256', challenge: 'http-01', dns: null } }),
    certificate('elsewhere', ['www.example.test'], { csrKeyFingerprint: key('unseen') }),
  ];
  const told = (keepOldDays: number) => announcedKeys(shop(rows), keepOldDays * dayMs).map(({ fingerprint, state }) => `${state} ${['leaf', 'front', 'prepared', 'before', 'off', 'coming key'].find((name) => key(name) === fingerprint)}`);
  assert.deepEqual(told(30), ['present leaf', 'present front', 'next prepared', 'next off', 'next coming key', 'old before']);
  assert.deepEqual(told(10), ['present leaf', 'present front', 'next prepared', 'next off', 'next coming key']);
  const same = certificate('front', ['gw.example.test'], { previousKeyFingerprint: key('front'), renewedAt: now });
  assert.deepEqual(announcedKeys(shop([same]), 30 * dayMs).map((each) => each.state), ['present', 'present'], 'a renewal with the same key leaves nothing old');
});

test('the list for one device: what it meets, what it will meet, where it may be sent, the rest; bounded, each once', () => {
  const rows = [certificate('front', ['gw.example.test'], { csrKeyFingerprint: key('prepared') }), certificate('intake', ['in.example.test'])];
  const announced = announcedKeys(shop(rows), dayMs);
  assert.deepEqual(pinsToAnnounce({ announced, host: 'in.example.test', servers: [pin('other'), pin('front')] }), ['intake', 'other', 'front', 'leaf', 'prepared'].map(pin));
  assert.deepEqual(pinsToAnnounce({ announced, host: 'gw.example.test', servers: [] }), ['front', 'prepared', 'leaf', 'intake'].map(pin));
  assert.equal(pinsToAnnounce({ announced, host: 'unknown.example.test', servers: [] })[0], pin('leaf'), 'a foreign host meets what no name meets');
  assert.equal(pinsToAnnounce({ announced, host: null, servers: [] })[0], pin('leaf'));
  const many = pinsToAnnounce({ announced, host: null, servers: Array.from({ length: 40 }, (_, i) => pin(`s${i}`)) });
  assert.equal(many.length, pinsAnnouncedMax);
  assert.deepEqual(parsePins(many.join(',')), many, 'a device reads all of them');
});

test('a device pins when it says so; old news makes nobody active', () => {
  assert.equal(pinnerOf(note('d', null), now, dayMs), null);
  assert.equal(pinnerOf(note('d', []), now, dayMs), null);
  assert.equal(pinnerOf(note('d', ['no pin', 'sha256//short']), now, dayMs), null);
  assert.equal(pinnerOf(note('d', [pin('a')], 44), now, 45 * dayMs)?.isActive, true);
  assert.equal(pinnerOf(note('d', [pin('a')], 45), now, 45 * dayMs)?.isActive, false);
  assert.ok(!hasPin(pinnerOf(note('d', [pin('a')]), now, dayMs)!, ''));
});

test('who is lost: who has the key that goes and not the one that comes', () => {
  const of = (...names: string[]) => pinnerOf(note(names.join('+'), names.map(pin)), now, dayMs)!;
  const shown = (name: string) => [{ host: 'gw.example.test', kind: 'usual', fingerprint: name && key(name), face: 'f', name: 'f' } as const];
  const all = [of('a'), of('b'), of('a', 'b'), of('c')];
  assert.deepEqual(lostBy(shown('a'), shown('b'), all).map((each) => each.deviceId), ['a']);
  assert.deepEqual(lostBy(shown('a'), shown('a'), all), []);
  assert.deepEqual(lostBy(shown('a'), shown(''), all).map((each) => each.deviceId), ['a', 'a+b'], 'a key that is yet to be made is on no list');
  assert.deepEqual(lostBy(shown('a'), [], all).map((each) => each.deviceId), ['a', 'a+b']);
  assert.deepEqual(lostBy(shown(''), shown('b'), all), []);
  assert.deepEqual(lostBy(shown('a'), shown('b'), [{ ...of('a'), isActive: false }]), []);
});

function watch(hosts: readonly string[] | null = ['gw.example.test']) {
  const certificates = buildTable<Certificate>({ name: 'certificates', kind: 'kept', keyOf: (row) => row.id });
  const devices = buildTable<Device>({ name: 'devices', kind: 'kept', keyOf: (row) => row.id });
  const deviceNotes = buildTable<DeviceNote>({ name: 'deviceNotes', kind: 'noted', keyOf: (row) => row.deviceId });
  const pins = buildPinWatch({ tables: { certificates, devices, deviceNotes }, clock: { nowMs: () => now }, hosts: () => hosts, leafOf: shop([]).leafOf, settings: () => ({ activeMs: 45 * dayMs, keepOldMs: 30 * dayMs }) });
  const device = (id: string, on: readonly string[] | null, seenDaysAgo = 0) => {
    devices.publish({ put: [{ id, name: `Device ${id}`, serial: `SN${id}` } as Device] });
    deviceNotes.publish({ put: [note(id, on && on.map(pin), seenDaysAgo)] });
  };
  return { pins, certificates, devices, deviceNotes, device };
}

test('each way in which the shown key of a name changes is seen', () => {
  const { pins, certificates, device } = watch();
  device('1', ['gw leaf']);
  device('2', ['gw leaf', 'front']);
  device('3', null);
  device('4', ['gw leaf'], 50);
  const front = certificate('front', ['gw.example.test']);
  const ids = (lost: { readonly deviceId: string }[]) => lost.map((each) => each.deviceId);
  assert.deepEqual(ids(pins.lostByRow(null, front)), ['1'], 'uploaded');
  assert.deepEqual(ids(pins.lostByRow(null, { ...front, enabled: false })), [], 'uploaded, not shown');
  assert.deepEqual(ids(pins.lostByRow(null, certificate('www', ['www.example.test']))), [], 'of a name under which no device comes');
  certificates.publish({ put: [front] });
  assert.deepEqual(ids(pins.lostByRow(front, { ...front, keyFingerprint: key('renewed') })), ['2'], 'renewed with another key');
  assert.deepEqual(ids(pins.lostByRow(front, { ...front, notAfter: now + 400 * dayMs })), [], 'renewed with its key');
  assert.deepEqual(ids(pins.lostByRow(front, null)), [], 'removed: the leaf is back, and 2 has it');
  device('5', ['front']);
  assert.deepEqual(ids(pins.lostByRow(front, null)), ['5']);
  assert.deepEqual(ids(pins.lostByRow(front, { ...front, enabled: false })), ['5'], 'switched off');
  assert.deepEqual(ids(pins.lostByRow(front, { ...front, names: { dns: ['www.example.test'], ip: [] } })), ['5'], 'its names changed');
  assert.deepEqual(ids(pins.lostByRow(null, certificate('other', ['gw.example.test'], { notAfter: now + 300 * dayMs }))), ['2', '5'], 'another that comes before it');
  assert.deepEqual(ids(pins.lostByRow(null, certificate('other', ['gw.example.test'], { notAfter: now + 10 * dayMs }))), [], 'another that stays behind it');
  assert.deepEqual(ids(pins.lostByLeaf('leaf:ec-p256:localhost', key('new leaf'))), []);
  device('6', ['leaf']);
  assert.deepEqual(ids(pins.lostByLeaf('leaf:ec-p256:localhost', key('new leaf'))), ['6']);
  assert.ok(pins.isPinned(key('front')) && !pins.isPinned(key('nothing')));
  assert.deepEqual(ids(pins.lacking(key('front'))), ['6'], '1 pins what is shown to nobody now');
});

test('a loss is refused by names, allowed by its exact number alone; devices that are gone count no more', () => {
  const { pins, device, devices } = watch();
  for (const id of ['1', '2', '3', '4', '5', '6']) device(id, ['gw leaf']);
  const lost = () => pins.lostByRow(null, certificate('front', ['gw.example.test']));
  assert.throws(() => pins.refuseLoss(lost(), null), (thrown) => isFault(thrown, 'conflict') && /^6 devices .*Device 1 \(SN1\), .*Device 5 \(SN5\) …$/.test(thrown.message) && thrown.detail['lost'] === 6);
  for (const wrong of [0, 5, 7]) assert.throws(() => pins.refuseLoss(lost(), wrong), Fault);
  pins.refuseLoss(lost(), 6);
  devices.publish({ removed: ['1', '2'] });
  assert.throws(() => pins.refuseLoss(lost(), 6), Fault);
  pins.refuseLoss(lost(), 4);
  pins.refuseLoss([], null);
  pins.refuseLoss([], 0);
  assert.throws(() => pins.refuseLoss([], 1), Fault);
});

test('while the gateway starts and its names are not known yet, every other key counts', () => {
  const { pins, certificates, device } = watch(null);
  const front = certificate('front', ['gw.example.test']);
  certificates.publish({ put: [front] });
  device('1', ['front']);
  device('2', ['front', 'renewed']);
  assert.deepEqual(pins.lostByRow(front, { ...front, keyFingerprint: key('renewed') }).map((each) => each.deviceId), ['1']);
  assert.deepEqual(pins.lostByRow(front, null).map((each) => each.deviceId), ['1', '2']);
  assert.deepEqual(pins.lostByRow(front, { ...front, notAfter: now + 300 * dayMs }), []);
  assert.ok(pins.isPinned(key('front')));
});

test('announced keys are kept for a moment, not past a change', () => {
  const { pins, certificates } = watch();
  const before = pins.announced();
  assert.equal(pins.announced(), before);
  certificates.publish({ put: [certificate('front', ['gw.example.test'])] });
  assert.notDeepEqual(pins.announced(), before);
});

test('whatever lists devices claim to have, nothing throws, and a list is one of pins', () => {
  let seed = 11;
  const random = (below: number) => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff) % below;
  for (let turn = 0; turn < 3_000; turn++) {
    const text = Buffer.from([pin('a'), pin('b'), 'sha256//', ',', randomBytes(5).toString('latin1')][random(5)]!);
    if (text.length > 0) text[random(text.length)]! ^= 1 << random(8);
    const pinner = pinnerOf(note('d', [text.toString('latin1'), pin('c')]), now, dayMs);
    assert.ok(pinner && hasPin(pinner, key('c')));
    for (const each of pinner.pins) assert.match(each, /^sha256\/\/[A-Za-z0-9+/]{43}=$/);
  }
});
