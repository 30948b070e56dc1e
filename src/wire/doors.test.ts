import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { seeded } from '../../test/sim/line.ts';
import { parseArpTable } from './arp-table.ts';
import { parseDoorList, parseDoorStates } from './doors.ts';

const bounds = { doorsPerAgentMax: 3, doorIdCharsMax: 8 };
const one = { id: 'd1', address: '192.0.2.1', port: 443 };

test('a list of doors', () => {
  assert.deepEqual(parseDoorList([], bounds), []);
  assert.deepEqual(parseDoorList([one, { ...one, id: 'd2', port: 80 }, { id: 'd3', address: '2001:DB8:0::1', port: 443, later: true }], bounds), [one, { ...one, id: 'd2', port: 80 }, { id: 'd3', address: '2001:db8::1', port: 443 }]);
  const bad: unknown[] = [
    null, {}, 'x', [null], [[]], [{ ...one, id: '' }], [{ ...one, id: 'too long an' }], [{ ...one, id: 7 }], [{ ...one, address: 'printer.example.test' }], [{ ...one, address: '192.0.2.1/24' }], [{ ...one, address: null }],
    [{ ...one, port: 0 }], [{ ...one, port: 65_536 }], [{ ...one, port: 1.5 }], [{ ...one, port: '80' }], [one, { ...one, port: 80 }], [one, { ...one, id: 'd2', address: '::ffff:192.0.2.1' }],
    [1, 2, 3, 4].map((n) => ({ ...one, id: `d${n}`, port: n })),
  ];
  for (const list of bad) assert.throws(() => parseDoorList(list, bounds), (thrown) => isFault(thrown, 'bad-input'), JSON.stringify(list));
});

test('what an agent says of its doors', () => {
  assert.deepEqual(parseDoorStates([{ id: 'd1', bound: true, why: 'x' }, { id: 'd2', bound: false, why: 'in use', remedy: 'stop it' }, { id: 'd3', bound: false }], bounds), [
    { id: 'd1', bound: true }, { id: 'd2', bound: false, why: 'in use', remedy: 'stop it' }, { id: 'd3', bound: false, why: 'the agent does not say why', remedy: '' },
  ]);
  for (const said of [null, 'x', {}, [null], [7], [{ id: 7, bound: true }], [{ id: 'd1' }], [{ id: 'd1', bound: 'true' }]]) assert.deepEqual(parseDoorStates(said, bounds), []);
  assert.equal(parseDoorStates([1, 2, 3, 4].map((n) => ({ id: `d${n}`, bound: true })), bounds).length, 3);
  assert.equal((parseDoorStates([{ id: 'd', bound: false, why: 'w'.repeat(9_000) }], bounds)[0] as { why: string }).why.length, 500);
});

const table = `IP address       HW type     Flags       HW address            Mask     Device
192.0.2.50       0x1         0x2         02:00:5E:10:00:01     *        eth0
192.0.2.51       0x1         0x0         00:00:00:00:00:00     *        eth0
192.0.2.52       0x1         0x6         02:00:5e:10:00:02     *        eth0
192.0.2.53       0x1         0x2         00:00:00:00:00:00     *        eth0
`;

test('the neighbour table', () => {
  const macs = [['192.0.2.50', '02:00:5e:10:00:01'], ['192.0.2.52', '02:00:5e:10:00:02']];
  assert.deepEqual([...parseArpTable(table, 10)], macs);
  assert.deepEqual([...parseArpTable(table, 1)], macs.slice(0, 1));
  assert.equal(parseArpTable('', 10).size, 0);
});

test('any bytes in it, and any cut of it: never thrown, and only MACs come out', () => {
  const random = seeded(4);
  for (let round = 0; round < 1_000; round++) {
    const bytes = Buffer.from(table);
    for (let i = 0; i < 4; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    for (const mac of parseArpTable(bytes.toString('latin1', 0, Math.floor(random() * bytes.length)), 10).values()) assert.match(mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
  }
});
