// Run inside the gateway's network namespace by test/peers/address-app.test.ts: two sites with the same network, two devices in each, doors, and a server that
// knows devices by their address and asks them back there. Devices swap addresses, and an agent is revoked. Prints what happened as one line of JSON; the
// test judges.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DoorView, SiteDetailView } from '#api/place-shapes.ts';
import type { DeviceView } from '#api/shapes.ts';
import type { IdentityView } from '#api/source-shapes.ts';
import { root, until } from './gateway.ts';
import { openProcesses, postern, startServe, type Page } from './processes.ts';

export const lan = { agent: '192.168.1.1', devices: ['192.168.1.50', '192.168.1.51'] } as const;
export const pool = '100.73.0.0/16';
const serialOid = '.1.3.6.1.2.1.43.5.1.1.17.1';
const communities = { probe: 'asks-what-it-is', server: 'asks-its-serial' };

export interface MovingDevices {
  readonly server: string;
  readonly sites: readonly { readonly agent: string; readonly devices: readonly string[] }[];
  /** Of the gateway and of the server, in the network between them. */
  readonly addresses: { readonly gateway: string; readonly server: string };
  readonly programs: { readonly ip: string; readonly curl: string; readonly snmpd: string; readonly snmpget: string };
}

/** What the server says to a device that opens it, or null: somebody else answered. */
export interface Opened {
  readonly status: number;
  readonly peer: string | null;
  readonly visits: number | null;
  /** What the device says when it is asked at that address, over SNMP and over HTTP. */
  readonly serial: string | null;
  readonly page: string | null;
}

export interface Happened {
  readonly serials: readonly string[];
  /** Of the last device while its agent had no credentials for it, and after. */
  readonly identities: { readonly before: IdentityView['last']; readonly after: IdentityView['last'] };
  readonly opened: readonly Opened[];
  readonly states: readonly IdentityView['last'][];
  /** The first two swapped their addresses. What each got until the gateway said that both are elsewhere. */
  readonly swapped: readonly Opened[];
  /** And what asking back at their virtual addresses told then. */
  readonly askedThen: readonly string[];
  readonly statesThen: readonly IdentityView['last'][];
  /** Journal lines by then: the event, and of which device. */
  readonly events: readonly string[];
  readonly mended: readonly Opened[];
  readonly revoked: { readonly held: string; readonly opened: readonly Opened[]; readonly asked: readonly string[]; readonly other: Opened };
}

const callback = { snmp: 161, web: 80 };
const nothing: Opened = { status: 0, peer: null, visits: null, serial: null, page: null };

async function main(given: MovingDevices): Promise<Happened> {
  await using processes = openProcesses();
  const { ip, curl, snmpd, snmpget } = given.programs;
  const inside = (namespace: string, command: string, ...args: string[]) => ['netns', 'exec', namespace, command, ...args];
  const run = async (...args: string[]) => {
    const ran = await processes.run(ip, args);
    if (ran.code !== 0) throw new Error(`ip ${args.join(' ')}: ${ran.stderr}`);
  };

  const devices = given.sites.flatMap((site, s) => site.devices.map((namespace, d) => ({ namespace, site: s, serial: `SN-${s + 1}0${d + 1}`, host: lan.devices[d]! })));
  for (const { namespace, serial } of devices) {
    const folder = join(processes.folder, namespace);
    mkdirSync(join(folder, 'state'), { recursive: true, mode: 0o700 });
    const config = join(folder, 'snmpd.conf');
    const printer = `override .1.3.6.1.2.1.25.3.2.1.2.1 object_id .1.3.6.1.2.1.25.3.1.5\noverride ${serialOid} octet_str "${serial}"\noverride .1.3.6.1.2.1.43.5.1.1.16.1 octet_str "Press"\n`;
    writeFileSync(config, `agentAddress udp:161\nrocommunity ${communities.probe}\nrocommunity ${communities.server}\n${printer}`);
    await processes.start(ip, inside(namespace, snmpd, '-f', '-Lo', '-C', '-c', config, '-I', '-smux'), { env: { SNMP_PERSISTENT_DIR: join(folder, 'state') } }).says(/NET-SNMP version/);
    await processes.start(ip, inside(namespace, process.execPath, '-e', `require('node:http').createServer((q, a) => a.end(${JSON.stringify(serial)})).listen(80, () => console.log('listens'))`)).says(/listens/);
  }
  const order = { address: given.addresses.server, port: 80, snmpget, community: communities.server };
  await processes.start(ip, inside(given.server, process.execPath, join(root, 'test', 'kit', 'address-app.ts'), JSON.stringify(order))).says(/listens on/);

  const gateway = await startServe(processes);
  const { customerId } = await gateway.ask<SiteDetailView>('GET', '/sites/main');
  const far = await gateway.ask<SiteDetailView>('POST', '/sites', { name: 'Far', customerId, subnets: ['192.168.1.0/24'] });
  await gateway.ask('PATCH', '/sites/main', { subnets: ['192.168.1.0/24'] });
  const { config } = await gateway.ask<{ config: Record<string, unknown> }>('GET', '/config');
  const file = join(processes.folder, 'config.json');
  const application = { tell: 'virtual', session: { jar: true }, callbacks: [{ transport: 'udp', port: callback.snmp }, { transport: 'tcp', port: callback.web }] };
  const target = { kind: 'tcp', host: given.addresses.server, port: 80 };
  const probeEvery = async (everyMinutes: number) => {
    writeFileSync(file, JSON.stringify({
      ...config, addressPool: { networks: [pool] }, probes: { everyMinutes, freshMinutes: 60, perSecond: 200 },
      routes: [{ name: 'scan', host: 'scan.example.test', listeners: ['http'], target, application }],
    }));
    const applied = await processes.run(postern, ['apply', '-f', file], { env: gateway.env });
    if (applied.code !== 0) throw new Error(applied.stderr);
  };
  await probeEvery(0);
  await run('route', 'add', 'local', pool, 'dev', 'lo');

  const agents: string[] = [];
  for (const [i, { agent }] of given.sites.entries()) {
    const { secret } = await gateway.ask<{ secret: string }>('POST', '/join-tokens', { deviceName: `box ${i + 1}`, host: '127.0.0.1', ports: [{ number: 22, kind: 'tcp', name: 'ssh' }] });
    const stateDir = join(processes.folder, `agent ${agent}`);
    mkdirSync(stateDir, { mode: 0o700 });
    writeFileSync(join(stateDir, 'policy'), `listen tcp ${lan.agent} 80\nreach udp 192.168.1.0/24 161\nreach tcp 192.168.1.0/24 80\n`);
    const started = processes.start(ip, inside(agent, postern, 'join', `https://${given.addresses.gateway}:${gateway.httpsPort}`, '--token-file', '-', '--state', stateDir, '--name', agent));
    started.stdin.end(`${secret}\n`);
    await started.says(/link\.opened/);
    const box = await until(`${agent} to be there`, async () => (await gateway.ask<Page<DeviceView>>('GET', '/devices')).items.find((each) => each.name === `box ${i + 1}`));
    agents.push(box.agentId!);
  }
  await gateway.ask('POST', `/agents/${agents[1]}/move`, { siteId: far.id });
  const giveCredentials = (agentId: string) => gateway.ask('PUT', `/agents/${agentId}/probe-credentials`, { put: [{ name: 'site', networks: ['192.168.1.0/24'], version: 'v2c', community: communities.probe }] });
  await giveCredentials(agents[0]!);
  for (const agentId of agents) await gateway.ask('POST', '/doors', { agentId, address: lan.agent, port: 80, listener: 'http' });
  await until('the doors to be open', async () => (await gateway.ask<Page<DoorView>>('GET', '/doors')).items.every((each) => each.bound));
  const ids: string[] = [];
  for (const { site, serial, host } of devices) {
    const { id } = await gateway.ask<DeviceView>('POST', '/devices', { agentId: agents[site], name: serial, serial, host, ports: [{ number: 161, kind: 'udp', name: 'SNMP' }, { number: 80, kind: 'http', name: 'web' }] });
    await gateway.ask('POST', '/job-sources', { application: 'scan', device: id });
    ids.push(id);
  }

  const curled = (n: number, path: string) => processes.run(ip, inside(devices[n]!.namespace, curl, '-s', '--max-time', '8', '-w', '\n%{http_code}', '-H', 'Host: scan.example.test', `http://${lan.agent}${path}`));
  const asked = async (n: number, path: string): Promise<{ status: number; json: Record<string, unknown> }> => {
    const { stdout } = await curled(n, path);
    const at = stdout.lastIndexOf('\n');
    const [body, status] = [stdout.slice(0, at), Number(stdout.slice(at + 1))];
    return { status, json: status === 200 ? (JSON.parse(body) as Record<string, unknown>) : {} };
  };
  const open = async (n: number): Promise<Opened> => {
    const { status, json } = await asked(n, '/');
    if (status !== 200) return { ...nothing, status };
    const { json: bySnmp } = await asked(n, `/serial?port=${callback.snmp}`);
    const { json: byHttp } = await asked(n, `/tcp?port=${callback.web}`);
    return { status, peer: json['peer'] as string, visits: json['visits'] as number, serial: (bySnmp['answer'] ?? null) as string | null, page: (byHttp['answer'] ?? null) as string | null };
  };
  const identityOf = (n: number) => gateway.ask<IdentityView>('GET', `/devices/${ids[n]}/identity`);
  const isVerified = (n: number) => until(`${devices[n]!.serial} to be verified`, async () => (await identityOf(n)).now.state === 'verified', 40_000);
  const addressOf = async (n: number) => (await identityOf(n)).virtualAddress!;
  /** As the server itself asks: `-` for no answer. */
  const askAt = async (address: string) => (await processes.run(ip, inside(given.server, snmpget, '-v2c', '-c', communities.server, '-Oqv', '-t', '1', '-r', '1', `udp:${address}:${callback.snmp}`, serialOid), { env: { MIBS: '' } })).stdout.trim().replaceAll('"', '') || '-';
  const journal = async (event: string) => (await gateway.ask<{ items: { fields: Record<string, unknown> }[] }>('GET', `/journal?event=${event}&limit=100`)).items;

  // At first sight: nobody has opened anything, and there is no schedule.
  for (const n of [0, 1]) await isVerified(n);
  // Nothing but the address speaks for it, as long as its agent cannot ask it.
  const last = devices.length - 1;
  await asked(last, '/');
  const before = (await identityOf(last)).last;
  await giveCredentials(agents[1]!);
  await probeEvery(0.15);
  await isVerified(last);
  await asked(last, '/');
  const identities = { before, after: (await identityOf(last)).last };

  for (const n of devices.keys()) await isVerified(n);
  const opened: Opened[] = [];
  const states: IdentityView['last'][] = [];
  for (const n of devices.keys()) {
    opened.push(await open(n));
    states.push((await identityOf(n)).last);
  }

  // DHCP gave each of them the other's address; a device that starts anew asks who has its gateway's.
  const [first, second] = [devices[0]!, devices[1]!];
  for (const { namespace } of [first, second]) {
    await run('-n', namespace, 'addr', 'flush', 'dev', 'lan');
    await run('-n', namespace, 'link', 'set', 'lan', 'down');
  }
  for (const [{ namespace }, address] of [[first, second.host], [second, first.host]] as const) {
    await run('-n', namespace, 'link', 'set', 'lan', 'up');
    await run('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'lan');
  }
  const swapped: Opened[] = [];
  await until('the gateway to say that both addresses are taken', async () => {
    for (const n of [0, 1]) swapped.push(await open(n));
    await new Promise((done) => setTimeout(done, 250));
    return new Set((await journal('address.taken')).map(({ fields }) => fields['device'])).size === 2;
  }, 60_000);
  for (const n of [0, 1]) swapped.push(await open(n));
  const askedThen = [await askAt(await addressOf(0)), await askAt(await addressOf(1))];
  const statesThen = [(await identityOf(0)).last, (await identityOf(1)).last];
  const nameOf = (id: unknown) => devices[ids.indexOf(String(id))]?.serial ?? '';
  const events: string[] = [];
  for (const event of ['identity.ambiguous', 'address.taken', 'device.moved']) for (const { fields } of await journal(event)) events.push(`${event} ${nameOf(fields['device'])}`.trim());

  await gateway.ask('PATCH', `/devices/${ids[0]}`, { host: second.host });
  await gateway.ask('PATCH', `/devices/${ids[1]}`, { host: first.host });
  for (const n of [0, 1]) await isVerified(n);
  const mended: Opened[] = [];
  for (const n of [0, 1]) mended.push(await open(n));

  const virtual = [await addressOf(0), await addressOf(1)];
  const held = processes.start(ip, inside(given.server, process.execPath, '-e', `const s = require('node:net').connect(${callback.web}, '${virtual[0]}', () => s.write('GET /'), console.log('open')); s.on('error', () => {}).on('close', () => console.log('closed'))`));
  await held.says(/open/);
  await until('the call to be carried', async () => (await gateway.ask<Page<{ deviceId: string; running: number }>>('GET', '/virtual-addresses')).items.some((each) => each.deviceId === ids[0] && each.running > 0));
  await gateway.ask('POST', `/agents/${agents[0]}/revoke`);
  const [heldTill] = await held.says(/closed/);
  const revoked = { held: heldTill, opened: [await open(0), await open(1)], asked: [await askAt(virtual[0]!), await askAt(virtual[1]!)], other: await open(last) };
  return { serials: devices.map(({ serial }) => serial), identities, opened, states, swapped, askedThen, statesThen, events, mended, revoked };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await main(JSON.parse(process.argv[2]!) as MovingDevices))}\n`);
