// Doors in two LANs with the same network, each in network namespaces of its own: devices with the same address reach a server behind one gateway, which hears
// the address, and tells them apart by agent and MAC.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '#kit/gateway.ts';
import { removeNamespaces } from '#kit/namespaces.ts';
import { findPeers } from '#kit/peers.ts';
import { openProcesses, type Processes } from '#kit/processes.ts';
import { lan, type Heard, type TwoLans } from '#kit/two-lans.ts';

const peers = findPeers(['curl', 'ip']);
const isRoot = process.getuid?.() === 0;
const macs = ['02:00:5e:10:00:01', '02:00:5e:10:00:02'];
const gatewayAddress = '198.51.100.1';

/** Namespaces with names of their own; gone with what runs in them. Says why where they cannot be had. */
async function makeLans(processes: Processes): Promise<{ readonly gateway: string; readonly sites: TwoLans['sites'] } | string> {
  const ip = peers.path('ip');
  const full = (name: string) => `pd${process.pid.toString(36)}-${name}`;
  const made: string[] = [];
  processes.defer(() => removeNamespaces(processes, ip, made));
  const run = async (...args: string[]) => {
    const ran = await processes.run(ip, args);
    assert.equal(ran.code, 0, `ip ${args.join(' ')}: ${ran.stderr}`);
  };
  for (const name of ['gw', 's1', 'd1', 's2', 'd2']) {
    const ran = await processes.run(ip, ['netns', 'add', full(name)]);
    if (ran.code !== 0) return ran.stderr.trim();
    made.push(full(name));
    await run('-n', full(name), 'link', 'set', 'lo', 'up');
  }
  const cable = async (a: string, aName: string, b: string, bName: string) => {
    await run('-n', full(a), 'link', 'add', aName, 'type', 'veth', 'peer', 'name', bName, 'netns', full(b));
  };
  const up = async (name: string, device: string, ...addresses: string[]) => {
    for (const address of addresses) await run('-n', full(name), 'addr', 'add', address, 'dev', device);
    await run('-n', full(name), 'link', 'set', device, 'up');
  };
  await run('-n', full('gw'), 'link', 'add', 'net0', 'type', 'bridge');
  await up('gw', 'net0', `${gatewayAddress}/24`);
  for (const [i, mac] of macs.entries()) {
    const [site, device] = [`s${i + 1}`, `d${i + 1}`];
    await cable('gw', `to-${site}`, site, 'wan');
    await run('-n', full('gw'), 'link', 'set', `to-${site}`, 'master', 'net0');
    await up('gw', `to-${site}`);
    await up(site, 'wan', `198.51.100.1${i + 1}/24`);
    await cable(site, 'lan', device, 'lan');
    await run('-n', full(device), 'link', 'set', 'lan', 'address', mac);
    await up(site, 'lan', `${lan.agent}/24`);
    await up(device, 'lan', `${lan.device}/24`);
  }
  return { gateway: full('gw'), sites: ['1', '2'].map((n) => ({ agent: full(`s${n}`), device: full(`d${n}`) })) };
}

test('two LANs with the same network: devices keep their address, and agent and MAC tell them apart', { skip: peers.skip || (isRoot ? false : 'network namespaces need root'), timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const lans = await makeLans(processes);
  if (typeof lans === 'string') return t.skip(`network namespaces cannot be made here: ${lans}`);
  const order: TwoLans = { sites: lans.sites, gateway: gatewayAddress, programs: { ip: peers.path('ip'), curl: peers.path('curl') } };
  const ran = await processes.run(peers.path('ip'), ['netns', 'exec', lans.gateway, process.execPath, join(root, 'test', 'kit', 'two-lans.ts'), JSON.stringify(order)], { timeoutMs: 120_000, env: { TMPDIR: processes.folder } });
  assert.equal(ran.code, 0, `${ran.stderr}\n${ran.stdout}`);
  const heard = JSON.parse(ran.stdout.trim().split('\n').at(-1)!) as Heard;
  assert.deepEqual(heard.forwarded, [lan.device, lan.device, lan.device, lan.device]);
  assert.deepEqual(heard.answers, ['http /held', 'http /held', 'https /secure', 'https /secure']);
  const byMac = (a: { readonly mac?: string | null | undefined }, b: { readonly mac?: string | null | undefined }) => String(a.mac).localeCompare(String(b.mac));
  assert.deepEqual([...heard.conns].sort(byMac), heard.agents.map((agentId, i) => ({ from: lan.device, agentId, mac: macs[i] })));
  assert.deepEqual(heard.subnets.filter((each) => each === '192.168.1.0/24').length, 2);
});
