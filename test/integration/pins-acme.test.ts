// Certificates by ACME under a name whose key devices pin: nothing is ordered that could not be shown, renewals keep the key, and the prepared one comes when it may.
import assert from 'node:assert/strict';
import { connect as connectTls } from 'node:tls';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import type { Actor } from '#model/rows.ts';
import { pinOfFingerprint } from '#wire/device.ts';
import { startAuthority } from '../kit/acme-authority.ts';
import { startGateway, until, type TestGateway } from '../kit/gateway.ts';
import { knowDevice } from '../kit/raw-device.ts';

const owner: Actor = { kind: 'operator', id: null, name: 'test', from: '' };
const domain = 'gw.example.test';

function pinShown(gateway: TestGateway): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port: gateway.ports.https, servername: domain, rejectUnauthorized: false }, () => {
      resolve(pinOfFingerprint(keyFingerprintOf(socket.getPeerX509Certificate()!)));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

test('ACME and devices that pin', { timeout: 60_000 }, async () => {
  await using authority = await startAuthority();
  await using gateway = await startGateway({ domain });
  const { token } = await gateway.owner();
  const api = (path: string, body: unknown) => gateway.api('POST', path, { token, body });
  const device = knowDevice(gateway, 'SN1', 'pdk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG');
  const confirm = (...pins: string[]) => gateway.tables.deviceNotes.publish({ put: [{ deviceId: device.id, customerId: device.customerId, lastSeenAt: Date.now(), lastPushAt: null, lastCheckInAt: Date.now(), from: null, fw: null, hw: null, up: null, clockSkewMs: null, zone: null, pins, facts: {} }] });
  const leaf = await pinShown(gateway);
  confirm(leaf);

  const { directory, rootPem } = authority;
  const { id } = await gateway.acme.order({ name: 'front', names: [domain], challenge: 'http-01', keyKind: 'ec-p256', directory, rootPem, contact: null, termsAgreed: false }, owner);
  const first = await until('the order to end', () => { const at = gateway.acme.progressOf(id); return at?.state === 'failed' || at?.state === 'done' ? at : null; });
  assert.deepEqual([first.state, first.why!.startsWith('1 device would be shut out for good'), /postern pins prepare/.test(first.remedy!)], ['failed', true, true]);
  assert.ok(!authority.asked.includes('newOrder'), 'the authority was not even asked');
  assert.equal(await pinShown(gateway), leaf);

  const prepared = ((await api('/pins/prepare', { certificate: 'front' })).json['items'] as { pin: string }[])[0]!.pin;
  await assert.rejects(gateway.acme.renew(id), (thrown) => isFault(thrown, 'conflict'));
  confirm(leaf, prepared);
  const switched = await api('/pins/switch', { certificate: 'front' });
  assert.equal(switched.status, 200, switched.text);
  assert.equal(await pinShown(gateway), prepared);
  assert.equal(gateway.tables.certificates.get(id)!.csrPem, null);

  confirm(prepared);
  const before = gateway.tables.certificates.get(id)!.certificateFingerprint;
  await gateway.acme.renew(id);
  assert.notEqual(gateway.tables.certificates.get(id)!.certificateFingerprint, before);
  assert.equal(await pinShown(gateway), prepared, 'renewed with its key');

  const next = ((await api('/pins/prepare', { certificate: 'front' })).json['items'] as { pin: string }[])[0]!.pin;
  await gateway.acme.renew(id);
  assert.equal(await pinShown(gateway), prepared, 'the next one waits for its confirmation');
  assert.equal((await api('/pins/switch', { certificate: 'front' })).status, 409);
  const forced = await api('/pins/switch', { certificate: 'front', losing: 1 });
  assert.deepEqual([forced.status, forced.json['lost']], [200, 1]);
  assert.equal(await pinShown(gateway), next);
});
