// A server that knows devices by the address of their connection, and asks them back there with Net-SNMP's snmpget: two sites with the same network, two devices
// in each that have the same addresses, reached through agents and doors, in network namespaces of their own. Then two devices swap their addresses.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '#kit/gateway.ts';
import { lan, pool, type Happened, type MovingDevices, type Opened } from '#kit/moving-devices.ts';
import { removeNamespaces } from '#kit/namespaces.ts';
import { findPeers } from '#kit/peers.ts';
import { openProcesses, type Processes } from '#kit/processes.ts';

const peers = findPeers(['curl', 'ip', 'snmpd', 'snmpget']);
const isRoot = process.getuid?.() === 0;
const addresses = { gateway: '198.51.100.1', server: '198.51.100.9' };

/** Namespaces with names of their own; gone with what runs in them. Says why where they cannot be had. */
async function makeNetworks(processes: Processes): Promise<(MovingDevices & { readonly gateway: string }) | string> {
  const ip = peers.path('ip');
  const full = (name: string) => `pa${process.pid.toString(36)}-${name}`;
  const made: string[] = [];
  processes.defer(() => removeNamespaces(processes, ip, made));
  const run = async (...args: string[]) => {
    const ran = await processes.run(ip, args);
    assert.equal(ran.code, 0, `ip ${args.join(' ')}: ${ran.stderr}`);
  };
  for (const name of ['gw', 'srv', 's1', 'd11', 'd12', 's2', 'd21', 'd22']) {
    const ran = await processes.run(ip, ['netns', 'add', full(name)]);
    if (ran.code !== 0) return ran.stderr.trim();
    made.push(full(name));
    await run('-n', full(name), 'link', 'set', 'lo', 'up');
  }
  /** A switch in a namespace, with an address of its own. */
  const addSwitch = async (name: string, device: string, address: string) => {
    await run('-n', full(name), 'link', 'add', device, 'type', 'bridge');
    await run('-n', full(name), 'addr', 'add', `${address}/24`, 'dev', device);
    await run('-n', full(name), 'link', 'set', device, 'up');
  };
  const plug = async (name: string, device: string, into: string, port: string, bridge: string, address: string) => {
    await run('-n', full(name), 'link', 'add', device, 'type', 'veth', 'peer', 'name', port, 'netns', full(into));
    await run('-n', full(into), 'link', 'set', port, 'master', bridge);
    await run('-n', full(into), 'link', 'set', port, 'up');
    await run('-n', full(name), 'addr', 'add', `${address}/24`, 'dev', device);
    await run('-n', full(name), 'link', 'set', device, 'up');
  };
  await addSwitch('gw', 'net0', addresses.gateway);
  await plug('srv', 'wan', 'gw', 'to-srv', 'net0', addresses.server);
  await run('-n', full('srv'), 'route', 'add', pool, 'via', addresses.gateway);
  for (const site of ['1', '2']) {
    await plug(`s${site}`, 'wan', 'gw', `to-s${site}`, 'net0', `198.51.100.1${site}`);
    await addSwitch(`s${site}`, 'lan0', lan.agent);
    for (const [i, address] of lan.devices.entries()) await plug(`d${site}${i + 1}`, 'lan', `s${site}`, `to-d${i + 1}`, 'lan0', address);
  }
  return {
    gateway: full('gw'), server: full('srv'), addresses,
    sites: ['1', '2'].map((site) => ({ agent: full(`s${site}`), devices: ['1', '2'].map((n) => full(`d${site}${n}`)) })),
    programs: { ip, curl: peers.path('curl'), snmpd: peers.path('snmpd'), snmpget: peers.path('snmpget') },
  };
}

test('a server that knows devices by address reads from each its own serial, and swapped addresses give nobody the session of another', { skip: peers.skip || (isRoot ? false : 'network namespaces need root'), timeout: 300_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const networks = await makeNetworks(processes);
  if (typeof networks === 'string') return t.skip(`network namespaces cannot be made here: ${networks}`);
  const { gateway, ...order } = networks;
  const ran = await processes.run(peers.path('ip'), ['netns', 'exec', gateway, process.execPath, join(root, 'test', 'kit', 'moving-devices.ts'), JSON.stringify(order)], { timeoutMs: 240_000, env: { TMPDIR: processes.folder } });
  assert.equal(ran.code, 0, `${ran.stderr}\n${ran.stdout}`);
  const happened = JSON.parse(ran.stdout.trim().split('\n').at(-1)!) as Happened;
  const { serials, identities, opened, states, swapped, askedThen, statesThen, events, mended, revoked } = happened;

  await t.test('an address alone is not much; a probe makes it verified', () => {
    assert.deepEqual([identities.before?.state, identities.before?.by], ['address-only', 'address']);
    assert.deepEqual([identities.after?.state, identities.after?.by], ['verified', 'mac'], JSON.stringify(identities));
    assert.deepEqual(states.map((each) => each?.state), serials.map(() => 'verified'));
  });
  await t.test('each has an address of its own, at which SNMP and HTTP reach that very device', () => {
    const seen = opened.map(({ peer }) => peer ?? '');
    assert.equal(new Set(seen).size, serials.length);
    for (const address of seen) assert.match(address, /^100\.73\./);
    assert.deepEqual(opened.map(({ serial }) => serial), serials);
    assert.deepEqual(opened.map(({ page }) => page), serials);
  });
  await t.test('two devices that swapped their addresses are nobody until the rows are mended', () => {
    // 0: its connection was not answered, as long as the network looks for it where it was.
    for (const each of swapped) assert.ok(each.status === 403 || each.status === 0, JSON.stringify(swapped));
    assert.deepEqual(swapped.slice(-2).map(({ status }) => status), [403, 403]);
    assert.deepEqual(statesThen.map((each) => each?.state), ['ambiguous', 'ambiguous']);
    for (const event of ['address.taken', 'device.moved']) for (const serial of serials.slice(0, 2)) assert.ok(events.includes(`${event} ${serial}`), `${event} ${serial} in ${events.join(', ')}`);
    assert.ok(events.includes('identity.ambiguous'));
    assert.deepEqual(askedThen, ['-', '-'], 'nor is one asked for the other');
  });
  await t.test('with rows that say where they are each has its own again', () => {
    const same = ({ peer, serial, page }: Opened) => [peer, serial, page];
    assert.deepEqual(mended.map(same), opened.slice(0, 2).map(same));
    for (const [n, { visits }] of mended.entries()) assert.ok(visits! > opened[n]!.visits!, 'the session at the server went on');
  });
  await t.test('a revoked agent cuts everything, and its site alone', () => {
    assert.equal(revoked.held, 'closed');
    assert.deepEqual(revoked.opened.map(({ status }) => status), [0, 0]);
    assert.deepEqual(revoked.asked, ['-', '-']);
    assert.deepEqual([revoked.other.status, revoked.other.serial], [200, serials.at(-1)]);
  });
});
