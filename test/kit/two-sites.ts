// Run inside the gateway's network namespace by test/peers/virtual.test.ts: a gateway, two sites with the same network behind it, and a server
// on a machine of its own that calls their devices. Prints what happened as one line of JSON; the test judges.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AddressPoolView, VirtualAddressView } from '#api/virtual-shapes.ts';
import type { DeviceView } from '#api/shapes.ts';
import { dialTcp } from '#net/dial.ts';
import { until } from './gateway.ts';
import { openProcesses, postern, startServe, type Finished, type Page } from './processes.ts';

/** Of Printer-MIB (RFC 3805): prtGeneralSerialNumber. */
export const serialOid = '.1.3.6.1.2.1.43.5.1.1.17.1';
export const device = '192.168.1.50';
export const pool = '100.72.0.0/16';

export interface TwoSites {
  readonly namespaces: { readonly server: string; readonly sites: readonly { readonly agent: string; readonly device: string; readonly serial: string }[] };
  /** Of the gateway and of the server, in the network between them. */
  readonly gateway: string;
  readonly server: string;
  readonly programs: { readonly ip: string; readonly snmpd: string; readonly snmpget: string };
}

export interface Happened {
  /** Before the route was there. */
  readonly before: AddressPoolView['checks'];
  readonly after: AddressPoolView['checks'];
  readonly failedBefore: AddressPoolView['failed'];
  readonly addresses: readonly string[];
  /** What snmpget said, asked on the gateway's machine and on the server's. */
  readonly here: readonly string[];
  readonly there: readonly string[];
  /** From where the server saw a connection come. */
  readonly seen: string;
  /** What snmpget said on a machine that is no server of an application. */
  readonly stranger: string;
}

const callbackPort = 161;

async function main(given: TwoSites): Promise<Happened> {
  await using processes = openProcesses();
  const { ip, snmpd, snmpget } = given.programs;
  const inside = (namespace: string, command: string, ...args: string[]) => ['netns', 'exec', namespace, command, ...args];
  const said = ({ stdout, stderr }: Finished) => (stdout || stderr).trim();

  for (const { device: namespace, serial } of given.namespaces.sites) {
    const folder = join(processes.folder, namespace);
    mkdirSync(join(folder, 'state'), { recursive: true, mode: 0o700 });
    const config = join(folder, 'snmpd.conf');
    writeFileSync(config, `agentAddress udp:${device}:161\nrocommunity public\noverride ${serialOid} octet_str "${serial}"\n`);
    await processes.start(ip, inside(namespace, snmpd, '-f', '-Lo', '-C', '-c', config, '-I', '-smux'), { env: { SNMP_PERSISTENT_DIR: join(folder, 'state') } }).says(/NET-SNMP version/);
  }
  const gateway = await startServe(processes);
  const views: DeviceView[] = [];
  for (const { agent, serial } of given.namespaces.sites) {
    const { secret } = await gateway.ask<{ secret: string }>('POST', '/join-tokens', { deviceName: serial, host: device, ports: [{ number: 161, kind: 'udp', name: 'SNMP' }] });
    const stateDir = join(processes.folder, `agent ${agent}`);
    mkdirSync(stateDir, { mode: 0o700 });
    writeFileSync(join(stateDir, 'policy'), `reach udp ${device} 161\n`);
    const started = processes.start(ip, inside(agent, postern, 'join', `https://${given.gateway}:${gateway.httpsPort}`, '--token-file', '-', '--state', stateDir, '--name', agent));
    started.stdin.end(`${secret}\n`);
    await started.says(/link\.opened/);
    views.push(await until(`${serial} to be there`, async () => (await gateway.ask<Page<DeviceView>>('GET', '/devices')).items.find((each) => each.name === serial)));
  }
  const { config } = await gateway.ask<{ config: Record<string, unknown> }>('GET', '/config');
  const file = join(processes.folder, 'config.json');
  const application = { tell: 'virtual', assigned: false, callbacks: [{ transport: 'udp', port: callbackPort }] };
  writeFileSync(file, JSON.stringify({ ...config, addressPool: { networks: [pool] }, routes: [{ name: 'scan', host: 'scan.example.test', target: { kind: 'tcp', host: given.server, port: 9_191 }, application }] }));
  const applied = await processes.run(postern, ['apply', '-f', file], { env: gateway.env });
  if (applied.code !== 0) throw new Error(applied.stderr);
  const addresses: string[] = [];
  for (const { id } of views) addresses.push((await gateway.ask<VirtualAddressView>('PUT', `/devices/${id}/virtual-address`, { address: null })).address);
  const poolOf = () => gateway.ask<AddressPoolView>('GET', '/address-pool');
  const failed = await until('ports that cannot be opened', async () => {
    const view = await poolOf();
    return view.failed.reduce((sum, each) => sum + each.count, 0) === 2 ? view : null;
  });

  // The command that doctor printed, as it is.
  const [, command] = /^Run as root: (.*)$/.exec(failed.checks.find((each) => each.id === 'address-pool')?.remedy ?? '') ?? [];
  if (command === undefined || !command.startsWith('ip route add ')) throw new Error(`doctor says ${JSON.stringify(failed.checks)}`);
  await processes.run(ip, command.split(' ').slice(1));
  await until('the ports to be open', async () => {
    const view = await poolOf();
    return view.listening.open === 2 ? view : null;
  });
  const ask = (address: string) => [snmpget, '-v2c', '-c', 'public', '-Oqv', '-t', '5', '-r', '1', `udp:${address}:${callbackPort}`, serialOid];
  const here: string[] = [];
  const there: string[] = [];
  for (const address of addresses) {
    const [program, ...args] = ask(address) as [string, ...string[]];
    here.push(said(await processes.run(program, args, { env: { MIBS: '' } })));
    there.push(said(await processes.run(ip, inside(given.namespaces.server, program, ...args), { env: { MIBS: '' } })));
  }
  // Another address of the server's machine: nobody said that it may call.
  const [program, ...args] = ask(addresses[0]!) as [string, ...string[]];
  const stranger = said(await processes.run(ip, inside(given.namespaces.server, program, '--clientaddr=198.51.100.77', '-t', '1', '-r', '0', ...args.filter((each) => !['-t', '5', '-r', '1'].includes(each))), { env: { MIBS: '' } }));

  const listening = processes.start(ip, inside(given.namespaces.server, process.execPath, '-e', "require('node:net').createServer((s) => { console.log(`from ${s.remoteAddress}`); s.end(); }).listen(9191, () => console.log('listens'))"));
  await listening.says(/listens/);
  const dialled = await dialTcp({ kind: 'tcp', host: given.server, port: 9_191 }, { client: '', timeoutMs: 5_000, localAddress: addresses[0]! });
  const [, seen = ''] = await listening.says(/from (\S+)/);
  dialled.destroy();
  return { before: failed.checks, after: (await poolOf()).checks, failedBefore: failed.failed, addresses, here, there, seen: seen.replace('::ffff:', ''), stranger };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await main(JSON.parse(process.argv[2]!) as TwoSites))}\n`);
