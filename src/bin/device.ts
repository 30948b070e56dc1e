// `postern device`: one device, shown and changed.
import type { Client } from '#api/client.ts';
import type { Answer, Body } from '#api/contract.ts';
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { findAgent } from './find-agent.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatBytes, formatLength, formatTime, printFacts, printJson, printLine } from './output.ts';
import { parsePorts, portUsage } from './ports.ts';
import { confirm } from './trust.ts';

export const usage = `Usage: postern device get DEVICE
       postern device set DEVICE [--name NAME] [--label LABEL] [--serial SERIAL] [--host HOST]
                                 [--port PORT]… [--host-header own|public]
       postern device add NAME --agent AGENT --host ADDRESS [--serial SERIAL] [--label LABEL] [--port PORT]…
                                                 behind an agent that has joined; default port: 80
       postern device add NAME --serial SERIAL [--label LABEL] [--site SITE] [--new-key]
                                                 without an agent: it only pushes and checks in
       postern device label DEVICE LABEL         the former label redirects for 30 days
       postern device lock|unlock DEVICE         locking ends its visits at once
       postern device forget-certificate DEVICE PORT
       postern device remove DEVICE [--yes]

DEVICE is an id, a label or CUSTOMER/NAME; AGENT an id, a name or the label of a device that it stands for. With --port all ports are replaced.
${portUsage}
${commonUsage}`;

type DeviceView = Answer<'getDevice'>;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const options = { name: { type: 'string' }, label: { type: 'string' }, serial: { type: 'string' }, host: { type: 'string' }, port: { type: 'string', multiple: true }, 'host-header': { type: 'string' }, site: { type: 'string' }, agent: { type: 'string' }, 'new-key': { type: 'boolean' }, yes: { type: 'boolean' } } as const;
  const { values, positionals } = parseCommand(args, options, { min: 2, max: 3 });
  const [act, device, third] = positionals as [string, string, string | undefined];
  const takesThird = act === 'label' || act === 'forget-certificate';
  if (takesThird !== (third !== undefined)) throw usageFault(takesThird ? `${act} needs one more word` : `"${third}" is one word too many`);
  using client = await openGateway(io, values);
  const params = { device };
  const changed = async (): Promise<DeviceView | null> => {
    switch (act) {
      case 'add':
        return add(io, client, device, values);
      case 'get':
        return client.call('getDevice', { params, signal: io.signal });
      case 'set':
        return client.call('changeDevice', { params, body: changeOf(values), signal: io.signal });
      case 'label':
        return client.call('changeDevice', { params, body: { label: third! }, signal: io.signal });
      case 'lock':
        return client.call('lockDevice', { params, signal: io.signal });
      case 'unlock':
        return client.call('unlockDevice', { params, signal: io.signal });
      case 'forget-certificate':
        return client.call('forgetFingerprint', { params: { device, port: third! }, signal: io.signal });
      case 'remove':
        return remove(io, client, device, values.yes === true);
      default:
        throw usageFault(`there is no "device ${act}"`);
    }
  };
  const view = await changed();
  if (!view) return act === 'remove' && io.signal.aborted ? exitCodes.failed : exitCodes.ok;
  if (values.json) printJson(io, view);
  else printDevice(io, view);
  return exitCodes.ok;
}

interface Changes {
  readonly name?: string | undefined;
  readonly label?: string | undefined;
  readonly serial?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: string[] | undefined;
  readonly 'host-header'?: string | undefined;
}

function changeOf(values: Changes): Body<'changeDevice'> {
  const hostHeader = values['host-header'];
  if (hostHeader !== undefined && hostHeader !== 'own' && hostHeader !== 'public') throw usageFault('--host-header is own or public');
  const body: Body<'changeDevice'> = {
    ...(values.name === undefined ? {} : { name: values.name }),
    ...(values.label === undefined ? {} : { label: values.label }),
    // An empty one takes it away.
    ...(values.serial === undefined ? {} : { serial: values.serial || null }),
    ...(values.host === undefined ? {} : { host: values.host }),
    ...(values.port === undefined ? {} : { ports: parsePorts(values.port) }),
    ...(hostHeader === undefined ? {} : { hostHeader }),
  };
  if (Object.keys(body).length === 0) throw usageFault('nothing to set was given');
  return body;
}

interface Added extends Pick<Changes, 'label' | 'serial' | 'host' | 'port'> {
  readonly site?: string | undefined;
  readonly agent?: string | undefined;
  readonly 'new-key'?: boolean | undefined;
}

async function add(io: CommandIo, client: Client, name: string, values: Added): Promise<DeviceView> {
  const { serial, label, site, agent, host, port } = values;
  const { signal } = io;
  const common = { name, ...(label === undefined ? {} : { label }), ...(serial === undefined ? {} : { serial }) };
  let body: Body<'addDevice'>;
  if (agent === undefined) {
    if (host !== undefined || port !== undefined) throw usageFault('--host and --port are for a device behind an agent: --agent AGENT');
    if (serial === undefined) throw usageFault('a device without an agent is known by its serial: --serial SERIAL; one behind an agent needs --agent and --host');
    body = { ...common, ...(site === undefined ? {} : { siteId: site }) };
  } else {
    if (host === undefined) throw usageFault('which address the agent dials is missing: --host ADDRESS');
    if (site !== undefined) throw usageFault('it stands at the site of its agent: leave --site out');
    body = { ...common, agentId: (await findAgent(client, agent, signal)).id, host, ports: parsePorts(port ?? ['80']) };
  }
  const made = await client.call('addDevice', { body, signal });
  if (values['new-key']) {
    const { secret } = await client.call('makeDeviceKey', { params: { device: made.id }, body: {}, signal });
    io.stderr.write(`Its key, shown this once: ${secret}\n`);
  }
  return made;
}

async function remove(io: CommandIo, client: Client, device: string, sure: boolean): Promise<null> {
  const { id, name, label } = await client.call('getDevice', { params: { device }, signal: io.signal });
  if (!sure) {
    if (!('isTTY' in io.stdin && io.stdin.isTTY)) throw usageFault('remove asks first; without a terminal add --yes');
    if (!(await confirm(io, `Remove ${printable(name)} (${label}) for good? [y/N] `))) return null;
  }
  await client.call('removeDevice', { params: { device: id }, signal: io.signal });
  printLine(io, `Removed ${printable(name)} (${label}).`);
  return null;
}

/** What it said of itself, of a device that pushes or checks in. */
function contactFacts({ contact }: DeviceView, now: number): (readonly [string, string])[] {
  if (contact === null) return [];
  const { firmware, hardware, clockSkewMs, zone, upSeconds, fingerprints } = contact;
  const said = [
    firmware === null ? null : `firmware ${firmware}`,
    hardware === null ? null : `hardware ${hardware}`,
    upSeconds === null ? null : `up ${formatLength(upSeconds * 1_000)}`,
    clockSkewMs === null ? null : `clock ${clockSkewMs < 0 ? 'behind' : 'ahead'} by ${formatLength(Math.abs(clockSkewMs))}`,
    zone,
    fingerprints.length === 0 ? null : `${fingerprints.length} fingerprints on its list`,
  ].filter((each) => each !== null);
  return [
    ['pushed', `${formatAgo(contact.lastPushAt, now)}${contact.from === null ? '' : `, from ${contact.from}`}`],
    ['checked in', `${formatAgo(contact.lastCheckInAt, now)}${said.length === 0 ? '' : `: ${said.join(', ')}`}`],
  ];
}

function printDevice(io: CommandIo, device: DeviceView): void {
  const { link } = device;
  const now = Date.now();
  printFacts(io, [
    ['name', device.name],
    ['label', device.label],
    ['id', device.id],
    ['serial', device.serial],
    ['address', device.url],
    ['state', device.agentId === null ? `${device.lastSeenAt === null ? 'not seen yet' : `seen ${formatAgo(device.lastSeenAt, now)}`}${device.locked ? ', locked' : ''}` : `${device.online ? 'online' : `offline, seen ${formatAgo(device.lastSeenAt, now)}${device.lastLeftWhy === null ? '' : ` (${device.lastLeftWhy})`}`}${device.locked ? ', locked' : ''}${device.agentState === 'active' ? '' : `, agent ${device.agentState}`}`],
    ...(link === null
      ? []
      : ([
          ['link', `from ${link.from}, since ${formatTime(link.since)}${link.rttMs === null ? '' : `, round trip ${link.rttMs.toFixed(1)} ms`}`],
          ['traffic', `${link.streams} streams, ${formatBytes(link.bytesIn)} to the device, ${formatBytes(link.bytesOut)} from it`],
        ] as const)),
    ['agent', device.agentId === null ? 'none: it pushes and checks in only' : `${device.version ?? 'version unknown'}, dials ${device.host}`],
    ...contactFacts(device, now),
    ['host header', device.agentId === null ? null : device.hostHeader === 'own' ? 'the device sees its own address' : 'the device sees the public name'],
    ...(device.contact === null
      ? []
      : ([
          ['last push', formatAgo(device.contact.lastPushAt, now)],
          ['last check-in', `${formatAgo(device.contact.lastCheckInAt, now)}${device.contact.from === null ? '' : ` from ${device.contact.from}`}${device.contact.pins ? ', pins our keys' : ''}`],
          ['firmware', [device.contact.firmware, device.contact.hardware].filter((each) => each !== null).join(' on ')],
        ] as const)),
    ['site', device.siteName],
    ['visits', device.visitsLive === 0 ? 'none now' : `${device.visitsLive} now`],
  ]);
  for (const port of device.ports) {
    printLine(io, `  port ${port.number}/${port.kind}${port.name ? ` ${printable(port.name)}` : ''}${port.url === null ? '' : `  ${port.url}`}${port.fingerprint === null ? '' : `\n       accepted certificate ${port.fingerprint}`}`);
  }
  if (device.policy !== null) printLine(io, `local policy of the agent:\n${device.policy.map((line) => `  ${printable(line)}`).join('\n')}`);
}
