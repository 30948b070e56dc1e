// The contract of the store's operations about probes.
import assert from 'node:assert/strict';
import type { DeviceProfile, ProbeSample, Profile } from '#model/place-rows.ts';
import type { Operations } from '#model/operations.ts';
import type { Rows } from './store.ts';

type Contract = (title: string, run: (store: Operations, rows: Rows) => Promise<void>) => void;

const at = 1_800_000_000_000;
const hourMs = 3_600_000;

export const exampleProfile = (change: Partial<Profile> = {}): Profile => ({
  vendor: 'Example', enterpriseId: 32_473, model: 'Example 100', serial: 'SN1', macs: ['02:00:5e:10:00:01'], addresses: ['192.0.2.50'], firmware: '1.2', hostNames: ['mfp1'], location: 'hall \u00df',
  functions: { print: true, copy: true, scan: null, fax: false }, colour: true, duplex: null, languages: ['PostScript'], protocols: ['snmp-v3'],
  supplies: [{ key: '1', name: 'Black', type: 'toner', colour: 'black', percent: 40, state: 'ok', level: 40, max: 100, unit: 'percent', fills: false }],
  trays: [], counters: { pages: 1_234 }, status: 'idle', errors: [], upSeconds: 77, driver: 'example', confidence: 0.75,
  evidence: [{ question: 'snmp 1.3.6.1.2.1.43.5.1.1.17.1', value: 'SN1', at }], ...change,
});

export function probeContract(contract: Contract): void {
  const deviceIn = async (store: Operations, rows: Rows, label: string) => {
    const device = { ...rows.device('', label, { serial: label }), agentId: null };
    await store.addDevice(device, rows.audit('device.added'));
    return device;
  };
  const profileOf = (deviceId: string, rows: Rows, change: Partial<DeviceProfile> = {}): DeviceProfile => ({
    deviceId, customerId: rows.customerId, profile: exampleProfile(), readAt: at, address: '192.0.2.50', agentId: 'a', trust: 'verified', mac: '02:00:5e:10:00:01', triedAt: at, failure: null, ...change,
  });
  const sampleOf = (deviceId: string, rows: Rows, series: string, after: number, value: number): ProbeSample => ({ deviceId, customerId: rows.customerId, at: at + after, series, value });
  const pointsOf = async (store: Operations, deviceId: string, from: number, to: number, points: number, series = 's') =>
    (await store.readSamples({ deviceId, series, from: at + from, to: at + to, points })).map((each) => [each.at - at, each.value, each.min, each.max]);

  contract('a profile is put over the one before, and goes with its device', async (store, rows) => {
    const { id } = await deviceIn(store, rows, 'one');
    const kept = async () => (await store.loadEverything()).deviceProfiles;
    const lines = (await store.auditHead()).seq;
    const first = profileOf(id, rows, { profile: null, readAt: null, address: null, agentId: null, mac: null, trust: 'unread', failure: { code: 'silent', question: 'snmp', address: '192.0.2.50', agent: 'lan', from: null, message: 'no\0body', remedy: '' } });
    await store.noteProbe({ profile: first, samples: [], superseded: [] });
    assert.deepEqual(await kept(), [first]);
    const second = profileOf(id, rows);
    await store.noteProbe({ profile: second, samples: [sampleOf(id, rows, 's', 0, 1)], superseded: [] });
    assert.deepEqual(await kept(), [second]);
    assert.equal((await store.auditHead()).seq, lines, 'nobody did anything');
    await store.removeDevice(id, rows.audit('device.removed'));
    assert.deepEqual([await kept(), await store.seriesOf(id), await pointsOf(store, id, 0, 9, 9)], [[], [], []]);
    await store.noteProbe({ profile: second, samples: [sampleOf(id, rows, 's', 0, 1)], superseded: [] });
    assert.deepEqual([await kept(), await store.seriesOf(id)], [[], []], 'one that was removed meanwhile stays away');
  });

  contract('series know their newest two readings; a stretch of equal ones has two ends', async (store, rows) => {
    const { id } = await deviceIn(store, rows, 'one');
    const { id: otherId } = await deviceIn(store, rows, 'two');
    const note = (deviceId: string, samples: readonly ProbeSample[], superseded: readonly { series: string; at: number }[] = []) => store.noteProbe({ profile: profileOf(deviceId, rows), samples, superseded });
    await note(id, [sampleOf(id, rows, 'supply b', 0, 50), sampleOf(id, rows, 'supply A', 0, 12.5)]);
    await note(otherId, [sampleOf(otherId, rows, 'supply b', 0, 7)]);
    await note(id, [sampleOf(id, rows, 'supply b', hourMs, 50)]);
    await note(id, [sampleOf(id, rows, 'supply b', 2 * hourMs, 50)], [{ series: 'supply b', at: at + hourMs }]);
    assert.deepEqual(await store.seriesOf(id), [
      { series: 'supply A', last: [{ at, value: 12.5 }] },
      { series: 'supply b', last: [{ at: at + 2 * hourMs, value: 50 }, { at, value: 50 }] },
    ]);
    assert.deepEqual(await pointsOf(store, id, 0, 3 * hourMs, 10, 'supply b'), [[0, 50, 50, 50], [2 * hourMs, 50, 50, 50]]);
    // The same time again: the later one counts.
    await note(id, [sampleOf(id, rows, 'supply b', 2 * hourMs, 49)]);
    assert.equal((await store.seriesOf(id))[1]!.last[0]!.value, 49);
    assert.equal((await store.keptFigures()).samples.count, 4);
    assert.equal((await store.keptFigures()).samples.oldestAt, at);
  });

  contract('readings are joined to so many points, and what lasted into the time is there', async (store, rows) => {
    const { id } = await deviceIn(store, rows, 'one');
    const samples = Array.from({ length: 100 }, (_, i) => sampleOf(id, rows, 's', i * 10, i % 10 === 3 ? 1_000 : i));
    await store.noteProbe({ profile: profileOf(id, rows), samples, superseded: [] });
    assert.equal((await pointsOf(store, id, 0, 999, 200)).length, 100);
    const ten = await pointsOf(store, id, 0, 999, 10);
    assert.deepEqual([ten.length, ten[0], ten[9]], [10, [90, 9, 0, 1_000], [990, 99, 90, 1_000]]);
    assert.deepEqual(await pointsOf(store, id, 985, 2_000, 10), [[980, 98, 98, 98], [990, 99, 99, 99]]);
    assert.deepEqual(await pointsOf(store, id, 5_000, 6_000, 10), [[990, 99, 99, 99]]);
    assert.deepEqual(await pointsOf(store, id, -100, -1, 10), []);
    assert.deepEqual(await pointsOf(store, id, 0, 999, 10, 'none'), []);
    assert.ok((await pointsOf(store, id, 0, 999, 0)).length <= 2, 'never less than two stretches');
  });

  contract('old readings are dropped in steps', async (store, rows) => {
    const { id } = await deviceIn(store, rows, 'one');
    await store.noteProbe({ profile: profileOf(id, rows), samples: Array.from({ length: 10 }, (_, i) => sampleOf(id, rows, `s${i % 2}`, i, i)), superseded: [] });
    assert.equal(await store.dropSamples(at, 100), 0);
    assert.equal(await store.dropSamples(at + 7, 5), 5);
    assert.equal(await store.dropSamples(at + 7, 5), 2);
    assert.deepEqual((await store.seriesOf(id)).map(({ series, last }) => [series, last.length]), [['s0', 1], ['s1', 2]]);
  });
}
