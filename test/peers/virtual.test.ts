// Net-SNMP's tools call devices at their virtual addresses: a snmpd behind an agent on this machine; and two sites with the same network, in
// network namespaces of their own, whose devices have the same address there.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AddressPoolView, VirtualAddressView } from '#api/virtual-shapes.ts';
import { root, until } from '#kit/gateway.ts';
import { removeNamespaces } from '#kit/namespaces.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses, postern, startServe, type Page, type Processes } from '#kit/processes.ts';
import { pool, type Happened, type TwoSites } from '#kit/two-sites.ts';

const peers = findPeers(['snmpd', 'snmpget', 'ip']);
const location = '.1.3.6.1.2.1.1.6.0';

test('snmpget asks a device at its virtual address, without any privilege', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const gateway = await startServe(processes);
  const [port, callback] = [await freePort(), await freePort()];
  const folder = join(processes.folder, 'snmpd');
  mkdirSync(join(folder, 'state'), { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, 'snmpd.conf'), `agentAddress udp:127.0.0.1:${port}\nrocommunity public 127.0.0.1\nsysLocation Rack 7\n`);
  await processes.start(peers.path('snmpd'), ['-f', '-Lo', '-C', '-c', join(folder, 'snmpd.conf'), '-I', '-smux'], { env: { SNMP_PERSISTENT_DIR: join(folder, 'state') } }).says(/NET-SNMP version/);
  const device = await gateway.addDevice({ name: 'printer', ports: [{ number: port, kind: 'udp', name: 'SNMP' }] });
  const { config } = await gateway.ask<{ config: Record<string, unknown> }>('GET', '/config');
  const file = join(processes.folder, 'config.json');
  const application = { tell: 'virtual', assigned: false, callbacks: [{ transport: 'udp', port: callback, to: port }] };
  writeFileSync(file, JSON.stringify({ ...config, addressPool: { networks: ['127.72.0.0/16', pool] }, routes: [{ name: 'scan', host: 'scan.example.test', target: { kind: 'tcp', host: '127.0.0.1', port: 9 }, application }] }));
  const { env } = gateway;
  const cli = async (...args: string[]) => {
    const ran = await processes.run(postern, args, { env });
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout;
  };
  await cli('apply', '-f', file);
  assert.match(await cli('address', 'printer', 'set', '127.72.0.5'), /^Address +127\.72\.0\.5 \(pinned\)$/m);
  const isOpen = () => until('its port to be open', async () => (await gateway.ask<Page<VirtualAddressView>>('GET', '/virtual-addresses')).items[0]?.state === 'open');
  await isOpen();
  const snmpget = () => processes.run(peers.path('snmpget'), ['-v2c', '-c', 'public', '-On', '-t', '5', '-r', '1', `udp:127.72.0.5:${callback}`, location], { env: { MIBS: '' } });
  const got = await snmpget();
  assert.equal(got.code, 0, got.stderr);
  assert.equal(got.stdout, `${location} = STRING: "Rack 7"\n`);

  await t.test('the command line shows it, and the pool', async () => {
    const shown = await cli('address', 'printer');
    assert.match(shown, /^Calls +1, /m);
    assert.match(shown, /^Applications +scan$/m);
    const all = await cli('addresses');
    assert.match(all, /^127\.72\.0\.0\/16 +1 +65023$/m);
    assert.match(all, /^127\.72\.0\.5 +printer +open, pinned +1\/1 +1 /m);
    assert.match(all, /failure: 100\.72\.0\.0\/16 does not lead to this machine.*\n +Run as root: ip route add local 100\.72\.0\.0\/16 dev lo$/m);
    assert.equal((JSON.parse(await cli('addresses', '--json')) as { pool: AddressPoolView }).pool.used, 1);
  });

  await t.test('the unit has the route of the pool, and the privilege', async () => {
    const unit = await processes.run(postern, ['serve', '--print-unit', '--data', gateway.dataDir, '--https', '443']);
    assert.equal(unit.code, 0, unit.stderr);
    assert.match(unit.stdout, /^ExecStartPre=\+\/\S*\/ip route replace local 100\.72\.0\.0\/16 dev lo$/m);
    assert.doesNotMatch(unit.stdout, /^ExecStartPre=.*127\.72/m);
    assert.match(unit.stdout, /^AmbientCapabilities=CAP_NET_BIND_SERVICE$/m);
    assert.match(unit.stdout, /^ExecStart=\S*postern serve --data \S+ --https 443$/m);
    assert.match((await processes.run(postern, ['agent', '--print-unit'])).stdout, /^ExecStart=\S*postern agent --state /m);
  });

  await t.test('locked, it answers nobody; released, it is gone', async () => {
    await gateway.ask('POST', `/devices/${device.id}/lock`);
    const refused = await processes.run(peers.path('snmpget'), ['-v2c', '-c', 'public', '-t', '1', '-r', '0', `udp:127.72.0.5:${callback}`, location]);
    assert.equal(refused.code, 1);
    await gateway.ask('POST', `/devices/${device.id}/unlock`);
    await isOpen();
    assert.equal((await snmpget()).code, 0);
    await cli('address', 'printer', 'release');
    assert.equal((await processes.run(postern, ['address', 'printer'], { env })).code, 1);
  });
});

const isRoot = process.getuid?.() === 0;
const privileges = findPeers(['setpriv']);

test('ports below 1024 take the privilege that the unit grants', { skip: privileges.skip || (isRoot ? false : 'becoming another user needs root') }, async (t) => {
  await using processes = openProcesses(t.signal);
  const nobody = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const script = `import(${JSON.stringify(join(root, 'src', 'net', 'try-bind.ts'))}).then(async ({ tryBind }) => console.log(await tryBind('udp', '127.72.0.9', 161), await tryBind('tcp', '127.72.0.9', 631)))`;
  const tried = async (...more: string[]) => processes.run(privileges.path('setpriv'), [...nobody, ...more, process.execPath, '-e', script]);
  const without = await tried();
  if (/EACCES.*open|Permission denied|ERR_MODULE_NOT_FOUND/.test(without.stderr)) return t.skip('this checkout cannot be read by other users');
  const from = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
  if (from > 631) assert.equal(without.stdout, 'EACCES EACCES\n', without.stderr);
  assert.equal((await tried('--inh-caps', '+net_bind_service', '--ambient-caps', '+net_bind_service')).stdout, 'null null\n');
});

/** Namespaces with names of their own; gone with what runs in them. Says why where they cannot be had. */
async function makeNetworks(processes: Processes): Promise<TwoSites | string> {
  const ip = peers.path('ip');
  const stem = `pv${process.pid.toString(36)}`;
  const made: string[] = [];
  processes.defer(() => removeNamespaces(processes, ip, made));
  const run = async (...args: string[]) => {
    const ran = await processes.run(ip, args);
    assert.equal(ran.code, 0, `ip ${args.join(' ')}: ${ran.stderr}`);
  };
  const add = async (name: string) => {
    const full = `${stem}-${name}`;
    const ran = await processes.run(ip, ['netns', 'add', full]);
    if (ran.code !== 0) return ran.stderr.trim();
    made.push(full);
    await run('-n', full, 'link', 'set', 'lo', 'up');
    return null;
  };
  for (const name of ['gw', 'srv', 's1', 'd1', 's2', 'd2']) {
    const why = await add(name);
    if (why !== null) return why;
  }
  /** A cable between two namespaces; `bridge`: into the gateway's switch. */
  const join = async (a: string, aName: string, aAddress: string | null, b: string, bName: string, bAddresses: readonly string[]) => {
    await run('-n', `${stem}-${a}`, 'link', 'add', aName, 'type', 'veth', 'peer', 'name', bName, 'netns', `${stem}-${b}`);
    if (aAddress === null) await run('-n', `${stem}-${a}`, 'link', 'set', aName, 'master', 'net0');
    else await run('-n', `${stem}-${a}`, 'addr', 'add', aAddress, 'dev', aName);
    for (const address of bAddresses) await run('-n', `${stem}-${b}`, 'addr', 'add', address, 'dev', bName);
    await run('-n', `${stem}-${a}`, 'link', 'set', aName, 'up');
    await run('-n', `${stem}-${b}`, 'link', 'set', bName, 'up');
  };
  await run('-n', `${stem}-gw`, 'link', 'add', 'net0', 'type', 'bridge');
  await run('-n', `${stem}-gw`, 'addr', 'add', '198.51.100.1/24', 'dev', 'net0');
  await run('-n', `${stem}-gw`, 'link', 'set', 'net0', 'up');
  await join('gw', 'to-srv', null, 'srv', 'wan', ['198.51.100.9/24', '198.51.100.77/24']);
  await run('-n', `${stem}-srv`, 'route', 'add', pool, 'via', '198.51.100.1');
  for (const n of ['1', '2']) {
    await join('gw', `to-s${n}`, null, `s${n}`, 'wan', [`198.51.100.1${n}/24`]);
    await join(`s${n}`, 'lan', '192.168.1.1/24', `d${n}`, 'lan', ['192.168.1.50/24']);
  }
  return {
    namespaces: { server: `${stem}-srv`, sites: ['1', '2'].map((n) => ({ agent: `${stem}-s${n}`, device: `${stem}-d${n}`, serial: `SN-SITE-${n}` })) },
    gateway: '198.51.100.1', server: '198.51.100.9',
    programs: { ip, snmpd: peers.path('snmpd'), snmpget: peers.path('snmpget') },
  };
}

test('two sites with the same network: each device answers at its own virtual address', { skip: peers.skip || (isRoot ? false : 'network namespaces need root'), timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const networks = await makeNetworks(processes);
  if (typeof networks === 'string') return t.skip(`network namespaces cannot be made here: ${networks}`);
  const gateway = networks.namespaces.server.replace(/srv$/, 'gw');
  const ran = await processes.run(peers.path('ip'), ['netns', 'exec', gateway, process.execPath, join(root, 'test', 'kit', 'two-sites.ts'), JSON.stringify(networks)], { timeoutMs: 120_000, env: { TMPDIR: processes.folder } });
  assert.equal(ran.code, 0, `${ran.stderr}\n${ran.stdout}`);
  const happened = JSON.parse(ran.stdout.trim().split('\n').at(-1)!) as Happened;
  const check = (checks: Happened['before'], id: string) => checks.find((each) => each.id === id)!;
  assert.equal(check(happened.before, 'address-pool').status, 'failure');
  assert.deepEqual(happened.failedBefore.map(({ code, count, transport, port }) => [code, count, transport, port]), [['EADDRNOTAVAIL', 2, 'udp', 161]]);
  assert.equal(check(happened.after, 'address-pool').status, 'ok', JSON.stringify(happened.after));
  assert.equal(check(happened.after, 'callback-ports').status, 'ok', JSON.stringify(happened.after));
  assert.equal(new Set(happened.addresses).size, 2);
  for (const address of happened.addresses) assert.match(address, /^100\.72\./);
  assert.deepEqual(happened.here, ['"SN-SITE-1"', '"SN-SITE-2"'], 'asked on the gateway\'s machine');
  assert.deepEqual(happened.there, ['"SN-SITE-1"', '"SN-SITE-2"'], 'asked on the server\'s');
  assert.equal(happened.seen, happened.addresses[0], 'and what the gateway sends from there comes from there');
  assert.match(happened.stranger, /Timeout/, 'who is no server of the application is not answered');
});
