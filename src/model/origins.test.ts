import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Asked, Identity, Marks } from './identity.ts';
import { originKeyOf } from './identity.ts';
import { buildOrigins, type OriginLimits } from './origins.ts';
import type { Device } from './rows.ts';

const minute = 60_000;
const at = 1_800_000_000_000;
const small: OriginLimits = { originsMax: 3, originMarksMax: 2, originWindowMs: 10 * minute, siteCodeMs: 10 * minute, siteCodesMax: 4, siteCodesPerAddressMax: 2 };
const press: Device = { id: 'press', customerId: 'anna', siteId: 'north', agentId: null, serial: 'SN-1', label: 'press', name: 'Press', host: '192.0.2.50', ports: [], hostHeader: 'own', locked: false, createdAt: 0 };
const noMarks: Marks = { certificateDeviceId: null, tokenDeviceId: null, sessionDeviceId: null, sessionVerified: false, claimedSerial: null, shape: null };
const ask = (address: string, shape: string | null = null, siteId: string | null = 'north'): Asked => ({ origin: { siteId, customerId: siteId === null ? null : 'anna', address, viaAgentId: siteId === null ? null : 'agent', mac: null }, marks: { ...noMarks, shape } });
const is = (state: Identity['state'], by: Identity['by'] = null, device: Device | null = null): Identity => ({ state, device, by, why: `it is ${state}`, conflict: [] });
const strong = is('verified', 'token', press);

function room(limits: Partial<OriginLimits> = {}) {
  const lines: [string, Record<string, unknown>][] = [];
  let drawn = 0;
  const draws: number[] = [];
  const origins = buildOrigins({
    random: (bytes) => {
      const value = Buffer.alloc(bytes);
      value.writeUInt32BE(draws.shift() ?? 7 * ++drawn);
      return value;
    },
    journal: { note: (event, fields) => void lines.push([event, fields]) },
    limits: { ...small, ...limits },
  });
  return { origins, lines, draws };
}

test('shapes are remembered for ten minutes since they were seen last', () => {
  const { origins } = room();
  const key = originKeyOf(ask('192.0.2.1').origin);
  assert.deepEqual(origins.shapesAt(key, at), []);
  origins.observe(ask('192.0.2.1', 'a'), is('unknown'), 'scans', at);
  origins.observe(ask('192.0.2.1', 'b'), is('unknown'), 'scans', at + 6 * minute);
  assert.deepEqual(origins.shapesAt(key, at + 9 * minute), ['a', 'b']);
  assert.deepEqual(origins.shapesAt(key, at + 11 * minute), ['b']);
  origins.observe(ask('192.0.2.1', 'b'), is('unknown'), 'scans', at + 15 * minute);
  assert.deepEqual(origins.shapesAt(key, at + 24 * minute), ['b']);
  assert.deepEqual(origins.shapesAt(key, at + 26 * minute), []);
  assert.deepEqual(origins.shapesAt(originKeyOf(ask('192.0.2.1', null, 'south').origin), at), [], 'the same address of another site');
});

test('devices that proved themselves are told apart from kinds of programs', () => {
  const { origins } = room();
  const key = originKeyOf(ask('192.0.2.1').origin);
  origins.observe(ask('192.0.2.1', 'a'), strong, 'scans', at);
  origins.observe(ask('192.0.2.1', 'b'), is('verified', 'serial', press), 'scans', at);
  origins.observe(ask('192.0.2.1'), { ...strong, device: { ...press, id: 'second' } }, 'scans', at + 5 * minute);
  assert.deepEqual(origins.strongAt(key, at + 6 * minute), [{ deviceId: 'press', shapes: ['a'] }, { deviceId: 'second', shapes: [] }]);
  assert.deepEqual(origins.shapesAt(key, at + 6 * minute), ['b']);
  assert.deepEqual(origins.strongAt(key, at + 11 * minute), [{ deviceId: 'second', shapes: [] }]);
  origins.forget(key);
  assert.deepEqual(origins.strongAt(key, at + 11 * minute), []);
});

test('what is remembered is bounded: origins, and marks of each', () => {
  const { origins } = room();
  for (const shape of ['a', 'b', 'a', 'c']) origins.observe(ask('192.0.2.1', shape), is('unknown'), 'scans', at + shape.charCodeAt(0));
  assert.deepEqual([...origins.shapesAt(originKeyOf(ask('192.0.2.1').origin), at + 200)].sort(), ['b', 'c'], 'the one that was seen least lately made room');
  for (const n of [2, 3, 4]) origins.observe(ask(`192.0.2.${n}`, 'a'), is('unknown'), 'scans', at);
  assert.deepEqual(origins.shapesAt(originKeyOf(ask('192.0.2.1').origin), at), []);
  assert.deepEqual(origins.shapesAt(originKeyOf(ask('192.0.2.4').origin), at), ['a']);
  for (const n of [1, 2, 3]) origins.observe(ask('192.0.2.4'), { ...strong, device: { ...press, id: `d${n}` } }, 'scans', at);
  assert.deepEqual(origins.strongAt(originKeyOf(ask('192.0.2.4').origin), at).map((each) => each.deviceId), ['d2', 'd3']);
});

test('addresses of nobody push off no address of a device', () => {
  const { origins } = room();
  const key = originKeyOf(ask('192.0.2.50').origin);
  origins.observe(ask('192.0.2.50', 'a'), is('unknown'), 'scans', at);
  origins.observe(ask('192.0.2.50', 'b'), strong, 'scans', at + 1);
  for (let n = 0; n < 30; n++) origins.observe(ask(`2001:db8::${n + 1}`, 'a', null), is('unknown'), 'scans', at + 2);
  assert.deepEqual([origins.strongAt(key, at + 3).map((each) => each.deviceId), origins.shapesAt(key, at + 3)], [['press'], ['a']]);
  origins.forget(key);
  assert.deepEqual([origins.strongAt(key, at + 3), origins.shapesAt(key, at + 3)], [[], []]);
});

test('the journal has one line in a window for each origin', () => {
  const { origins, lines } = room();
  const events = () => lines.splice(0).map(([event, fields]) => [event, fields['from']]);
  for (let n = 0; n < 3; n++) origins.observe(ask('192.0.2.1', 'a'), is('ambiguous'), 'scans', at + n);
  origins.observe(ask('192.0.2.2', 'a'), is('ambiguous'), 'scans', at);
  assert.deepEqual(events(), [['identity.ambiguous', '192.0.2.1'], ['identity.ambiguous', '192.0.2.2']]);
  origins.observe(ask('192.0.2.1', 'a'), is('ambiguous'), 'scans', at + 10 * minute);
  assert.deepEqual(events(), [['identity.ambiguous', '192.0.2.1']]);
  origins.observe(ask('192.0.2.50'), strong, 'scans', at);
  origins.observe(ask('192.0.2.50', null, null), strong, 'scans', at);
  origins.observe(ask('192.0.2.77'), is('verified', 'serial', press), 'scans', at);
  assert.deepEqual(events(), [], 'it is where it is expected, or comes from outside, or is known by that address');
  origins.observe(ask('192.0.2.77'), strong, 'scans', at);
  origins.observe(ask('192.0.2.77'), strong, 'scans', at + 1);
  assert.deepEqual(lines.map(([event, fields]) => [event, fields['from'], fields['expected'], fields['device']]), [['identity.moved', '192.0.2.77', '192.0.2.50', 'press']]);
});

const refuse = (origins: ReturnType<typeof room>['origins'], asked: Asked, nowMs: number, application = 'scans', userAgent: string | null = 'Panel/1.0') =>
  origins.refuse({ asked, identity: is('unknown'), application, customerId: null, userAgent, why: null }, nowMs);

test('a device keeps its code as long as it asks; each application and kind of program has its own', () => {
  const { origins, lines } = room({ siteCodesPerAddressMax: 10, siteCodesMax: 10 });
  const code = refuse(origins, ask('192.0.2.1', 'a'), at);
  assert.match(code, /^\d{6}$/);
  assert.equal(refuse(origins, ask('192.0.2.1', 'a'), at + 9 * minute), code);
  assert.equal(refuse(origins, ask('192.0.2.1', 'a'), at + 18 * minute), code);
  const others = [refuse(origins, ask('192.0.2.1', 'b'), at + 18 * minute), refuse(origins, ask('192.0.2.1', 'a'), at + 18 * minute, 'faxes'), refuse(origins, ask('192.0.2.1', 'a', 'south'), at + 18 * minute)];
  assert.equal(new Set([code, ...others]).size, 4);
  const entry = origins.byCode(code, at + 20 * minute);
  assert.deepEqual([entry?.firstAt, entry?.lastAt, entry?.count, entry?.application, entry?.customerId, entry?.why], [at, at + 18 * minute, 3, 'scans', 'anna', 'it is unknown']);
  assert.deepEqual(origins.unassigned(at + 20 * minute).map((each) => each.code), [...others.reverse(), code]);
  assert.equal(origins.byCode(code, at + 29 * minute), undefined);
  assert.deepEqual(origins.unassigned(at + 29 * minute), []);
  assert.deepEqual(lines.map(([event, fields]) => [event, fields['application'], fields['siteId']]), [['source.unassigned', 'scans', 'north'], ['source.unassigned', 'scans', 'north'], ['source.unassigned', 'faxes', 'north'], ['source.unassigned', 'scans', 'south']]);
});

test('a settled entry is gone, and its device gets another code', () => {
  const { origins } = room();
  const code = refuse(origins, ask('192.0.2.1', 'a'), at);
  origins.settle(code);
  origins.settle('000000');
  assert.equal(origins.byCode(code, at), undefined);
  assert.notEqual(refuse(origins, ask('192.0.2.1', 'a'), at), code);
});

test('codes are even, and never two of one', () => {
  const { origins, draws } = room();
  draws.push(4_294_967_295, 4_294_000_000, 4_293_999_999, 999_999, 42);
  assert.equal(refuse(origins, ask('192.0.2.1', 'a'), at), '999999', 'draws beyond the last whole million are drawn again');
  assert.equal(refuse(origins, ask('192.0.2.2', 'a'), at), '000042', '999999 is taken');
});

test('the list is bounded, and one address crowds out only itself', () => {
  const { origins } = room();
  const kept = refuse(origins, ask('192.0.2.9', 'a'), at);
  const codes = ['a', 'b', 'c', 'd'].map((shape, i) => refuse(origins, ask('192.0.2.1', shape), at + i));
  assert.deepEqual(origins.unassigned(at + 9).map((each) => each.code), [codes[3], codes[2], kept]);
  assert.equal(origins.dropped, 2);
  for (const n of [2, 3]) refuse(origins, ask(`192.0.2.${n}`, 'a'), at + 10);
  assert.equal(origins.unassigned(at + 11).length, 4);
  assert.equal(origins.byCode(kept, at + 11), undefined, 'the one that asked least lately made room');
});

test('neither the addresses of one IPv6 client nor those of one site push others off the list', () => {
  const { origins } = room({ siteCodesMax: 8 });
  const kept = refuse(origins, ask('2001:db8:1::9', 'a', null), at);
  for (let n = 0; n < 20; n++) refuse(origins, ask(`2001:db8:2:3::${n + 1}`, 'a', null), at + n);
  assert.deepEqual(origins.unassigned(at + 30).map((each) => each.address), ['2001:db8:2:3::20', '2001:db8:2:3::19', '2001:db8:1::9']);
  const southern = refuse(origins, ask('192.0.2.9', 'a', 'south'), at + 40);
  for (let n = 0; n < 50; n++) refuse(origins, ask(`192.0.2.${n + 10}`, 'a', 'north'), at + 50 + n);
  for (const code of [kept, southern]) assert.ok(origins.byCode(code, at + 200), 'an agent that names a new address each time pushes off its own alone');
  assert.equal(origins.unassigned(at + 200).length, 8);
});

test('what a stranger sends is shown printable and short', () => {
  const { origins } = room();
  const code = refuse(origins, ask('192.0.2.1', 'a'), at, 'scans', `<b>\u0000\u2028${'x'.repeat(900)}`);
  const shown = origins.byCode(code, at)!.userAgent!;
  assert.ok(shown.startsWith('<b>\\x00\\x2028x') && shown.length < 230, shown);
});

test('how a device was judged last is remembered, also where it may have been another', () => {
  const { origins } = room();
  assert.equal(origins.latestOf('press'), undefined);
  origins.observe(ask('192.0.2.50'), strong, 'scans', at);
  origins.observe(ask('192.0.2.51'), { ...is('ambiguous'), conflict: ['press', 'second'] }, 'faxes', at + 1);
  assert.deepEqual(origins.latestOf('press'), { state: 'ambiguous', by: null, why: 'it is ambiguous', at: at + 1, address: '192.0.2.51', siteId: 'north', mac: null, application: 'faxes' });
  for (const n of [1, 2]) origins.observe(ask('192.0.2.50'), { ...strong, device: { ...press, id: `d${n}` } }, 'scans', at);
  assert.equal(origins.latestOf('press'), undefined, 'the one that came least lately makes room');
  assert.equal(origins.latestOf('second')?.state, 'ambiguous');
});

test('what a device proved itself by is withdrawn: where it did so counts no more', () => {
  const { origins } = room();
  const key = originKeyOf(ask('192.0.2.1').origin);
  origins.observe(ask('192.0.2.1', 'a'), strong, 'scans', at);
  origins.observe(ask('192.0.2.1'), { ...strong, device: { ...press, id: 'second' } }, 'scans', at);
  assert.equal(origins.strongAt(key, at).length, 2);
  origins.forgetDevice('second');
  assert.deepEqual(origins.strongAt(key, at), [{ deviceId: 'press', shapes: ['a'] }]);
});
