import assert from 'node:assert/strict';
import { test } from 'node:test';
import { confirmationOf } from '#model/identity-known.ts';
import type { DeviceProfile } from '#model/place-rows.ts';
import type { Agent, Device } from '#model/rows.ts';
import { exampleProfile } from '../../test/contracts/probes.ts';
import { isSameSerial, judgeProbe, type Probed } from './probe-outcome.ts';

const agent: Agent = { id: 'a', customerId: 'c', siteId: 's', name: 'lan1', state: 'active', createdAt: 0 };
const device: Device = { id: 'd', customerId: 'c', siteId: 's', agentId: 'a', serial: 'SN1', label: 'mfp1', name: 'MFP 1', host: '192.0.2.50', ports: [], hostHeader: 'own', locked: false, createdAt: 0 };
const other: Device = { ...device, id: 'o', serial: 'SN2', label: 'mfp2', name: 'MFP 2', host: '192.0.2.51' };
const [mac1, mac2] = ['00:00:5e:00:53:01', '00:00:5e:00:53:02'];
const good = (change: Partial<DeviceProfile> = {}): DeviceProfile => ({ deviceId: 'd', customerId: 'c', profile: exampleProfile(), readAt: 10, address: '192.0.2.50', agentId: 'a', trust: 'verified', mac: mac1, triedAt: 10, failure: null, ...change });

function judge(probed: Partial<Probed>, before?: DeviceProfile, of: Device = device) {
  return judgeProbe(
    { profile: null, failure: null, mac: null, ...probed },
    { device: of, agent, address: of.host, before, nowMs: 20, deviceBySerial: (serial) => [device, other].find((each) => each.serial === serial), deviceByMac: (mac) => (mac === mac2 ? other : mac === mac1 ? device : undefined) },
  );
}
const silent = { code: 'silent', question: 'snmp', address: '192.0.2.50', agent: 'lan1', from: null, message: 'nobody answers', remedy: 'look' };

test('the serial of the row, read at its address: verified, with evidence', () => {
  const { row, events, evidence, readings } = judge({ profile: exampleProfile({ serial: ' sn1' }), mac: mac1 });
  assert.deepEqual([row.trust, row.readAt, row.triedAt, row.mac, row.failure, row.agentId, events], ['verified', 20, 20, mac1, null, 'a', []]);
  assert.deepEqual(evidence.map(({ kind, value, how }) => `${kind} ${value}: ${how}`), [
    'serial-snmp  sn1: agent lan1 read it at 192.0.2.50 by SNMPv3',
    'address 192.0.2.50: agent lan1 read its serial there',
    `mac ${mac1}: agent lan1 saw it at 192.0.2.50`,
  ]);
  assert.ok(readings);
  assert.deepEqual(confirmationOf(row), { serial: 'SN1', mac: mac1, address: '192.0.2.50', at: 20, by: 'snmp' });
});

test('read by IPP, and a device whose serial nobody has said', () => {
  const profile = exampleProfile({ evidence: [{ question: 'ipp printer-device-id', value: 'SN1', at: 20 }] });
  const { row, evidence } = judge({ profile }, undefined, { ...device, serial: null });
  assert.equal(row.trust, 'unread', 'it is offered, not believed');
  assert.deepEqual(evidence.map(({ kind, how }) => `${kind}: ${how}`), ['serial-ipp: agent lan1 read it at 192.0.2.50 by IPP', 'address: agent lan1 read its serial there']);
  assert.deepEqual(confirmationOf(row), { serial: 'SN1', mac: null, address: '192.0.2.50', at: 20, by: 'ipp' });
  // Another serial than the last time is another device, whoever asks.
  assert.equal(judge({ profile: exampleProfile({ serial: 'SN9' }) }, good({ trust: 'unread' }), { ...device, serial: null }).row.trust, 'different');
});

test('another serial at the address: what was known stays, nothing of the other is kept, and it is said once', () => {
  const found = { profile: exampleProfile({ serial: 'SN2', model: 'Example 200' }), mac: mac2 };
  const first = judge(found, good());
  assert.deepEqual([first.row.trust, first.row.readAt, first.row.profile?.serial, first.row.mac, first.readings, first.evidence], ['different', 10, 'SN1', mac1, null, []]);
  assert.deepEqual(first.row.failure?.found, { serial: 'SN2', mac: mac2 });
  assert.match(first.row.failure!.message, /at 192\.0\.2\.50 is the serial SN2 \(Example 200\), which is MFP 2; expected was the serial SN1/);
  assert.deepEqual(first.events, [
    { event: 'device.serial-differs', fields: { device: 'd', name: 'MFP 1', address: '192.0.2.50', expected: 'SN1', read: 'SN2', agent: 'lan1' } },
    { event: 'address.taken', fields: { device: 'd', name: 'MFP 1', address: '192.0.2.50', serial: 'SN2', mac: mac2, by: 'o', byName: 'MFP 2' } },
    { event: 'device.moved', fields: { device: 'o', name: 'MFP 2', from: '192.0.2.51', to: '192.0.2.50', by: 'serial' } },
  ]);
  assert.deepEqual(judge(found, first.row).events, []);
  assert.deepEqual(confirmationOf(first.row), { serial: 'SN2', mac: mac2, address: '192.0.2.50', at: 20, by: 'snmp' });
  // Silent after that: still the stranger, or it would become the device by switching SNMP off.
  const after = judge({ failure: silent }, first.row);
  assert.deepEqual([after.row.trust, after.row.failure?.code, confirmationOf(after.row)], ['different', 'silent', { serial: 'SN2', mac: mac2, address: '192.0.2.50', at: 20, by: 'snmp' }]);
  const elsewhere = judge({ failure: { ...silent, address: '192.0.2.60' } }, first.row);
  assert.equal(confirmationOf(elsewhere.row), null, 'nobody was found at the address that it has now');
  // A stranger, and no profile before.
  const stranger = judge({ profile: exampleProfile({ serial: 'SN3' }) });
  assert.deepEqual([stranger.row.profile, stranger.row.trust, stranger.events.map(({ event }) => event)], [null, 'different', ['device.serial-differs', 'address.taken']]);
  // It is back.
  assert.deepEqual([judge({ profile: exampleProfile(), mac: mac1 }, first.row).row.trust, judge({ profile: exampleProfile(), mac: mac1 }, first.row).events.map(({ event }) => event)], ['verified', ['probe.works']]);
});

test('another network card and no serial: somebody else has the address', () => {
  for (const probed of [{ failure: silent, mac: mac2 }, { profile: exampleProfile({ serial: null }), mac: mac2 }]) {
    const { row, events } = judge(probed, good());
    assert.deepEqual([row.trust, row.failure?.code, row.failure?.found], ['different', 'different', { serial: null, mac: mac2 }]);
    assert.deepEqual(events.map(({ event, fields }) => `${event} ${fields['by']}`), ['address.taken o', 'device.moved mac']);
  }
});

test('the same serial behind another card, and a card that was elsewhere', () => {
  const { row, events } = judge({ profile: exampleProfile(), mac: mac2 }, good());
  assert.deepEqual([row.trust, row.mac], ['verified', mac2]);
  assert.deepEqual(events, [
    { event: 'device.mac-changed', fields: { device: 'd', name: 'MFP 1', address: '192.0.2.50', before: mac1, mac: mac2 } },
    { event: 'device.moved', fields: { device: 'o', name: 'MFP 2', from: '192.0.2.51', to: '192.0.2.50', by: 'mac' } },
  ]);
});

test('no answer: the last good one stays, and the reason is said when it is new', () => {
  const first = judge({ failure: silent }, good());
  assert.deepEqual([first.row.readAt, first.row.triedAt, first.row.trust, first.row.failure, first.readings], [10, 20, 'verified', silent, null]);
  assert.deepEqual(first.events.map(({ event, fields }) => `${event} ${fields['code']}`), ['probe.failed silent']);
  assert.deepEqual(judge({ failure: silent }, first.row).events, []);
  assert.equal(judge({ failure: { ...silent, code: 'off' } }, first.row).events.length, 1);
  assert.deepEqual(judge({ profile: exampleProfile(), mac: mac1 }, first.row).events.map(({ event, fields }) => `${event} ${fields['before']}`), ['probe.works silent']);
  assert.deepEqual(judge({ failure: silent }).row.profile, null);
});

test('a verified device that does not say its serial this once: what was known grows old, its readings are kept', () => {
  const { row, readings } = judge({ profile: exampleProfile({ serial: null, model: 'x' }), mac: mac1 }, good());
  assert.deepEqual([row.trust, row.readAt, row.profile?.serial, row.failure?.code, readings?.model], ['verified', 10, 'SN1', 'partial', 'x']);
  // Of one that was never verified it is a profile like any other.
  const never = judge({ profile: exampleProfile({ serial: null }) }, good({ trust: 'unread' }));
  assert.deepEqual([never.row.trust, never.row.readAt, confirmationOf(never.row)?.serial], ['unread', 20, null]);
});

test('a gap beside a profile is no failure of the probe', () => {
  const { row, events } = judge({ profile: exampleProfile(), failure: { ...silent, code: 'unknown-device' }, mac: mac1 }, good());
  assert.deepEqual([row.trust, row.readAt, row.failure?.code, events], ['verified', 20, 'unknown-device', []]);
});

test('serials are compared as people read them', () => {
  assert.ok(isSameSerial('ab12 ', 'AB12'));
  assert.ok(!isSameSerial('AB12', 'AB13'));
});
