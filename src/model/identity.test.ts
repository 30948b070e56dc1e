import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Asked, type Confirmation, identify, type Identity, type Known, type Marks, type Origin, type StrongSeen } from './identity.ts';
import type { Device } from './rows.ts';

const now = 1_800_000_000_000;
const minute = 60_000;

const device = (id: string, siteId: string, host: string, serial: string | null, more: Partial<Device> = {}): Device => ({
  id, customerId: siteId.startsWith('x') ? 'xena' : 'anna', siteId, agentId: `agent-${siteId}`, serial, label: id, name: id, host, ports: [], hostHeader: 'own', locked: false, createdAt: 0, ...more,
});

const press = device('press', 'north', '192.0.2.50', 'SN-100');
const other = device('other', 'north', '192.0.2.51', 'SN-101');
const bare = device('bare', 'north', '192.0.2.52', null);
const twinA = device('twin-a', 'north', '192.0.2.60', 'SN-160');
const twinB = device('twin-b', 'north', '192.0.2.60', 'SN-161');
const southern = device('southern', 'south', '192.0.2.50', 'SN-200');
const foreign = device('foreign', 'xeast', '192.0.2.50', 'SN-100');
const own = device('own', 'north', '127.0.0.1', 'SN-300');
const all = [press, other, bare, twinA, twinB, southern, foreign, own];

interface World {
  readonly confirmations?: Readonly<Record<string, Partial<Confirmation>>>;
  readonly strong?: readonly StrongSeen[];
  readonly shapes?: readonly string[];
  readonly egress?: readonly string[];
  readonly inside?: readonly string[];
  readonly programs?: readonly string[];
  readonly devices?: readonly Device[];
}

function knownOf({ confirmations = {}, strong = [], shapes = [], egress = [], inside = [], programs = [], devices = all }: World): Known {
  return {
    devicesAt: (siteId, address) => devices.filter((row) => (siteId === null || row.siteId === siteId) && row.host === address),
    deviceById: (id) => devices.find((row) => row.id === id),
    deviceBySerial: (customerId, serial) => devices.find((row) => row.customerId === customerId && row.serial === serial),
    confirmationOf(id) {
      const row = devices.find((each) => each.id === id);
      const given = confirmations[id];
      return row === undefined || given === undefined ? null : { serial: row.serial, mac: null, address: row.host, at: now - minute, by: 'snmp', ...given };
    },
    strongAt: () => strong,
    shapesAt: () => shapes,
    sitesOfAddress: () => ({ egress, inside }),
    sameProgram: (_, a, b) => programs.includes(a) && programs.includes(b),
    freshMs: 60 * minute,
  };
}

const door: Origin = { siteId: 'north', customerId: 'anna', address: '192.0.2.50', viaAgentId: 'agent-north', mac: null };
const direct: Origin = { siteId: null, customerId: null, address: '192.0.2.50', viaAgentId: null, mac: null };
const noMarks: Marks = { certificateDeviceId: null, tokenDeviceId: null, sessionDeviceId: null, sessionVerified: false, claimedSerial: null, shape: null };
const ask = (origin: Partial<Origin> & { readonly from?: 'direct' } = {}, marks: Partial<Marks> = {}): Asked => {
  const { from, ...rest } = origin;
  return { origin: { ...(from === 'direct' ? direct : door), ...rest }, marks: { ...noMarks, ...marks } };
};

const confirmed = { press: {} };
const mac = '02:00:5e:10:00:01';

interface Row {
  readonly name: string;
  readonly asked: Asked;
  readonly world: World;
  /** state, device, by. */
  readonly is: readonly [Identity['state'], string | null, Identity['by']];
  readonly why?: RegExp;
  readonly conflict?: readonly string[];
}

const rows: readonly Row[] = [
  // strong marks
  { name: 'certificate', asked: ask({}, { certificateDeviceId: 'other' }), world: { confirmations: confirmed }, is: ['verified', 'other', 'certificate'] },
  { name: 'certificate before token', asked: ask({}, { certificateDeviceId: 'other', tokenDeviceId: 'press' }), world: {}, is: ['verified', 'other', 'certificate'], why: /copied/, conflict: ['press'] },
  { name: 'token', asked: ask({}, { tokenDeviceId: 'other' }), world: {}, is: ['verified', 'other', 'token'], conflict: [] },
  { name: 'token before session', asked: ask({}, { tokenDeviceId: 'other', sessionDeviceId: 'press', sessionVerified: true }), world: {}, is: ['verified', 'other', 'token'] },
  { name: 'token at the confirmed address of another: settings were copied', asked: ask({}, { tokenDeviceId: 'other' }), world: { confirmations: confirmed }, is: ['verified', 'other', 'token'], why: /copied/, conflict: ['press'] },
  { name: 'token at the address of another that nothing confirms', asked: ask({}, { tokenDeviceId: 'other' }), world: { confirmations: { press: { at: now - 61 * minute } } }, is: ['verified', 'other', 'token'], conflict: [] },
  { name: 'token of a device that is gone', asked: ask({ address: '192.0.2.99' }, { tokenDeviceId: 'gone' }), world: {}, is: ['unknown', null, null] },
  { name: 'token of another site', asked: ask({}, { tokenDeviceId: 'southern' }), world: { confirmations: confirmed }, is: ['ambiguous', null, null], why: /another site/, conflict: ['southern'] },
  { name: 'certificate of another customer names nobody', asked: ask({}, { certificateDeviceId: 'foreign' }), world: { confirmations: confirmed }, is: ['ambiguous', null, null], why: /^its certificate belongs to a device of another customer$/ },
  { name: 'token directly, from an egress address', asked: ask({ from: 'direct', address: '198.51.100.7' }, { tokenDeviceId: 'southern' }), world: { egress: ['south'] }, is: ['verified', 'southern', 'token'] },
  // sessions
  { name: 'session that began verified', asked: ask({}, { sessionDeviceId: 'other', sessionVerified: true }), world: {}, is: ['verified', 'other', 'session'] },
  { name: 'session that began by address', asked: ask({}, { sessionDeviceId: 'other' }), world: {}, is: ['address-only', 'other', 'session'] },
  { name: 'session of another site is no mark', asked: ask({}, { sessionDeviceId: 'southern', sessionVerified: true }), world: {}, is: ['address-only', 'press', 'address'] },
  { name: 'session by address says nothing behind NAT', asked: ask({ from: 'direct' }, { sessionDeviceId: 'press' }), world: { egress: ['north'] }, is: ['ambiguous', null, null], why: /hairpin or NAT/ },
  { name: 'verified session behind NAT', asked: ask({ from: 'direct' }, { sessionDeviceId: 'press', sessionVerified: true }), world: { egress: ['north'] }, is: ['verified', 'press', 'session'] },
  // claimed serials
  { name: 'claimed serial, confirmed here', asked: ask({}, { claimedSerial: 'SN-100' }), world: { confirmations: confirmed }, is: ['verified', 'press', 'serial'], why: /SNMP read that at 192\.0\.2\.50/ },
  { name: 'claimed serial of a device that was confirmed elsewhere', asked: ask({ address: '192.0.2.99' }, { claimedSerial: 'SN-100' }), world: { confirmations: confirmed }, is: ['unknown', null, null] },
  { name: 'claimed serial that another device was confirmed with', asked: ask({}, { claimedSerial: 'SN-101' }), world: { confirmations: confirmed }, is: ['ambiguous', null, null], conflict: ['press', 'other'] },
  { name: 'claimed serial settles two that have the address', asked: ask({ address: '192.0.2.60' }, { claimedSerial: 'SN-161' }), world: { confirmations: { 'twin-b': {} } }, is: ['verified', 'twin-b', 'serial'] },
  { name: 'claimed serial, confirmation too old', asked: ask({}, { claimedSerial: 'SN-100' }), world: { confirmations: { press: { at: now - 61 * minute } } }, is: ['address-only', 'press', 'address'] },
  { name: 'claimed serial of another customer with the same serial', asked: ask({}, { claimedSerial: 'SN-100' }), world: { confirmations: { foreign: {} } }, is: ['address-only', 'press', 'address'] },
  { name: 'claimed serial, other MAC at the door', asked: ask({ mac: '02:00:5e:10:00:02' }, { claimedSerial: 'SN-100' }), world: { confirmations: { press: { mac } } }, is: ['ambiguous', null, null], why: /MAC/ },
  { name: 'claimed serial where another device proved itself', asked: ask({}, { claimedSerial: 'SN-100' }), world: { confirmations: confirmed, strong: [{ deviceId: 'other', shapes: [] }] }, is: ['ambiguous', null, null] },
  { name: 'claimed serial with a maker\'s prefix speaks against nobody', asked: ask({}, { claimedSerial: 'ZZSN100' }), world: {}, is: ['address-only', 'press', 'address'] },
  { name: 'claimed serial of nobody, where a probe confirms', asked: ask({}, { claimedSerial: 'QQ-777' }), world: { confirmations: confirmed }, is: ['verified', 'press', 'serial'] },
  { name: 'claimed serial of nobody, where nothing confirms', asked: ask({}, { claimedSerial: 'QQ-777' }), world: {}, is: ['ambiguous', null, null], conflict: ['press'] },
  // addresses
  { name: 'address with a fresh probe', asked: ask(), world: { confirmations: confirmed }, is: ['verified', 'press', 'serial'] },
  { name: 'address with a fresh probe and the MAC', asked: ask({ mac }), world: { confirmations: { press: { mac, by: 'ipp' } } }, is: ['verified', 'press', 'mac'], why: /IPP/ },
  { name: 'address with a probe that is too old', asked: ask(), world: { confirmations: { press: { at: now - 61 * minute } } }, is: ['address-only', 'press', 'address'], why: /too old/ },
  { name: 'address alone', asked: ask(), world: {}, is: ['address-only', 'press', 'address'], why: /no probe/ },
  { name: 'address of a device without a serial', asked: ask({ address: '192.0.2.52' }), world: { confirmations: { bare: { serial: 'ANY-1' } } }, is: ['address-only', 'bare', 'address'], why: /no serial to compare/ },
  { name: 'address where a probe read no serial', asked: ask(), world: { confirmations: { press: { serial: null } } }, is: ['address-only', 'press', 'address'] },
  { name: 'probe of another address is no confirmation', asked: ask(), world: { confirmations: { press: { address: '192.0.2.77' } } }, is: ['address-only', 'press', 'address'] },
  { name: 'two devices have it', asked: ask({ address: '192.0.2.60' }), world: { confirmations: { 'twin-a': {} } }, is: ['ambiguous', null, null], why: /both have the address/, conflict: ['twin-a', 'twin-b'] },
  { name: 'devices of two customers have it, who are not to read of each other', asked: ask({ from: 'direct' }), world: { inside: [] }, is: ['ambiguous', null, null], why: /^3 devices of several customers all have the address 192\.0\.2\.50;/, conflict: ['press', 'southern', 'foreign'] },
  { name: 'two devices proved themselves there', asked: ask(), world: { confirmations: confirmed, strong: [{ deviceId: 'press', shapes: [] }, { deviceId: 'other', shapes: [] }] }, is: ['ambiguous', null, null], why: /router or a proxy/, conflict: ['press', 'other'] },
  { name: 'another device proved itself there', asked: ask(), world: { confirmations: confirmed, strong: [{ deviceId: 'other', shapes: ['a'] }] }, is: ['ambiguous', null, null], conflict: ['press', 'other'] },
  { name: 'another MAC is there', asked: ask({ mac: '02:00:5e:10:00:02' }), world: { confirmations: { press: { mac, at: now - 600 * minute } } }, is: ['ambiguous', null, null], why: /02:00:5e:10:00:02 is there/ },
  { name: 'another serial is there', asked: ask(), world: { confirmations: { press: { serial: 'SN-101' } } }, is: ['ambiguous', null, null], why: /belongs to another device now \(DHCP\)/, conflict: ['press', 'other'] },
  { name: 'a serial that nobody has is there', asked: ask(), world: { confirmations: { press: { serial: 'SN-999' } } }, is: ['ambiguous', null, null], conflict: ['press'] },
  { name: 'two kinds of programs, not verified', asked: ask({}, { shape: 'a' }), world: { shapes: ['a', 'b'] }, is: ['ambiguous', null, null], why: /two kinds/ },
  { name: 'two kinds of programs before it shows its own', asked: ask(), world: { shapes: ['a', 'b'] }, is: ['ambiguous', null, null] },
  { name: 'two kinds of programs, verified', asked: ask({}, { shape: 'a' }), world: { shapes: ['a', 'b'], confirmations: confirmed }, is: ['verified', 'press', 'serial'] },
  { name: 'two programs of one driver', asked: ask({}, { shape: 'a' }), world: { shapes: ['a', 'b'], programs: ['a', 'b'] }, is: ['address-only', 'press', 'address'] },
  { name: 'another program than the one that proved itself', asked: ask({}, { shape: 'b' }), world: { strong: [{ deviceId: 'press', shapes: ['a'] }] }, is: ['ambiguous', null, null] },
  { name: 'the same program without its token', asked: ask({}, { shape: 'a' }), world: { strong: [{ deviceId: 'press', shapes: ['a'] }] }, is: ['address-only', 'press', 'address'] },
  { name: 'a device that proved itself at a new address, and its other program', asked: ask({ address: '192.0.2.99' }, { shape: 'b' }), world: { strong: [{ deviceId: 'press', shapes: ['a'] }], programs: ['a', 'b'] }, is: ['address-only', 'press', 'address'] },
  { name: 'a stranger at an address where a device proved itself', asked: ask({ address: '192.0.2.99' }, { shape: 'b' }), world: { strong: [{ deviceId: 'press', shapes: ['a'] }] }, is: ['unknown', null, null] },
  { name: 'nobody', asked: ask({ address: '192.0.2.99' }), world: {}, is: ['unknown', null, null], why: /no device is known at 192\.0\.2\.99 of this site/ },
  // where it comes from
  { name: 'the same address at another site', asked: ask({ siteId: 'south' }), world: { confirmations: { press: {}, southern: {} } }, is: ['verified', 'southern', 'serial'] },
  { name: 'egress: every device looks alike', asked: ask({ from: 'direct' }), world: { egress: ['north'], confirmations: confirmed }, is: ['ambiguous', null, null], why: /hairpin or NAT: every device of the site/ },
  { name: 'egress, whatever it claims', asked: ask({ from: 'direct' }, { claimedSerial: 'SN-100' }), world: { egress: ['north'], inside: ['north'], confirmations: confirmed }, is: ['ambiguous', null, null] },
  { name: 'directly, inside one site', asked: ask({ from: 'direct' }), world: { inside: ['north'], confirmations: confirmed }, is: ['verified', 'press', 'serial'] },
  { name: 'directly, two sites have that network', asked: ask({ from: 'direct' }), world: { inside: ['north', 'south'], confirmations: confirmed }, is: ['ambiguous', null, null], why: /2 sites have the network/ },
  { name: 'directly, no site has that network', asked: ask({ from: 'direct', address: '192.0.2.51' }), world: { confirmations: { other: {} } }, is: ['address-only', 'other', 'address'], why: /subnets/ },
  { name: 'directly, several devices have that address', asked: ask({ from: 'direct' }), world: {}, is: ['ambiguous', null, null] },
  { name: 'the agent\'s own machine at its door', asked: ask({ address: '127.0.0.1' }), world: {}, is: ['address-only', 'own', 'address'] },
  { name: 'the machine of another agent', asked: ask({ address: '127.0.0.1', viaAgentId: 'agent-2' }), world: {}, is: ['unknown', null, null] },
  { name: 'our own machine', asked: ask({ from: 'direct', address: '127.0.0.1' }), world: { inside: ['north'] }, is: ['unknown', null, null] },
];

for (const { name, asked, world, is, why, conflict } of rows) {
  test(`identity: ${name}`, () => {
    const found = identify(asked, knownOf(world), now);
    assert.deepEqual([found.state, found.device?.id ?? null, found.by], is, found.why);
    if (why) assert.match(found.why, why);
    if (conflict) assert.deepEqual(found.conflict, conflict);
  });
}

/** xorshift32, so that a failure can be repeated. */
function drawer(seed: number): <Item>(items: readonly Item[]) => Item {
  let state = seed;
  return (items) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return items[(state >>> 0) % items.length]!;
  };
}

test('whatever is asked: verified rests on a proof or a fresh confirmation here, and nobody becomes a device of another site or customer', () => {
  const seed = 20_261_120;
  const draw = drawer(seed);
  const ids = [null, null, ...all.map((row) => row.id), 'gone'];
  const counts: Record<string, number> = {};
  for (let turn = 0; turn < 40_000; turn++) {
    const siteId = draw([null, 'north', 'south', 'xeast']);
    const asked: Asked = {
      origin: { siteId, customerId: siteId === null ? null : siteId === 'xeast' ? 'xena' : 'anna', address: draw([...all.map((row) => row.host), '192.0.2.99']), viaAgentId: siteId === null ? null : `agent-${siteId}`, mac: draw([null, mac, '02:00:5e:10:00:02']) },
      marks: { certificateDeviceId: draw([null, null, null, ...ids]), tokenDeviceId: draw([null, null, null, ...ids]), sessionDeviceId: draw([null, null, ...ids]), sessionVerified: draw([true, false]), claimedSerial: draw([null, 'SN-100', 'SN-101', 'SN-160', 'X-1234']), shape: draw([null, 'a', 'b']) },
    };
    const confirmations: Record<string, Partial<Confirmation>> = {};
    for (const row of all) {
      if (draw([true, false])) confirmations[row.id] = { serial: draw([row.serial, row.serial, 'SN-101', null]), mac: draw([null, mac]), at: now - draw([1, 61, 10_000]) * minute, address: draw([row.host, row.host, '192.0.2.99']) };
    }
    const world: World = { confirmations, strong: draw([[], [], [{ deviceId: 'press', shapes: ['a'] }], [{ deviceId: 'press', shapes: [] }, { deviceId: 'foreign', shapes: ['b'] }]]), shapes: draw([[], ['a'], ['a', 'b']]), egress: draw([[], [], ['north']]), inside: draw([[], ['north'], ['north', 'south']]), programs: draw([[], ['a', 'b']]) };
    const known = knownOf(world);
    const found = identify(asked, known, now);
    const { origin, marks } = asked;
    // The text is long and rarely wanted.
    const must: (holds: boolean) => asserts holds = (holds) => void (holds || assert.fail(`seed ${seed} turn ${turn}: ${JSON.stringify({ asked, world, found })}`));
    counts[`${found.state} ${found.by}`] = (counts[`${found.state} ${found.by}`] ?? 0) + 1;
    must((found.device === null) === (found.state === 'ambiguous' || found.state === 'unknown'));
    must((found.by === null) === (found.device === null));
    const { device: is } = found;
    if (is === null) continue;
    if (origin.siteId !== null) must(is.siteId === origin.siteId && is.customerId === origin.customerId);
    if (found.state !== 'verified') continue;
    const confirmation = known.confirmationOf(is.id);
    const proofs = { certificate: marks.certificateDeviceId === is.id, token: marks.tokenDeviceId === is.id, session: marks.sessionDeviceId === is.id && marks.sessionVerified };
    if (found.by === 'certificate' || found.by === 'token' || found.by === 'session') must(proofs[found.by]);
    else {
      must(confirmation !== null && confirmation.serial === is.serial && confirmation.address === origin.address && now - confirmation.at <= known.freshMs);
      must(origin.mac === null || confirmation.mac === null || origin.mac === confirmation.mac);
      must(origin.siteId !== null || (world.egress!.length === 0 && world.inside!.length > 0));
      must(world.strong!.every((each) => each.deviceId === is.id));
    }
  }
  for (const outcome of ['verified certificate', 'verified token', 'verified session', 'verified serial', 'verified mac', 'address-only address', 'address-only session', 'ambiguous null', 'unknown null']) assert.ok((counts[outcome] ?? 0) > 0, `${outcome}: ${counts[outcome]}`);
});
