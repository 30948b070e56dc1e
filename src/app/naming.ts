// What names mean to the running gateway, told for doctor, explain, certificates and the log.
import { isFault } from '#base/fault.ts';
import { findDevice, parseDeviceHost } from '#model/labels.ts';
import type { Device } from '#model/rows.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { Tables } from '#model/tables.ts';
import type { Ports } from './addresses.ts';

/** A name that several devices have means none. */
export function findNamed(tables: Tables, text: string, nowMs: number): Device | undefined {
  try {
    return findDevice(tables, text, nowMs);
  } catch (thrown) {
    if (isFault(thrown, 'conflict')) return undefined;
    throw thrown;
  }
}

export function isKnownName(tables: Tables, snapshot: Snapshot, serverName: string): boolean {
  if (snapshot.exact.has(serverName)) return true;
  for (const [protocol, table] of snapshot.byProtocol) if (protocol !== 'tls' && table.exact.has(serverName)) return true;
  const dot = serverName.indexOf('.');
  if (!snapshot.deviceDomains.includes(serverName.slice(dot + 1))) return false;
  const named = parseDeviceHost(serverName.slice(0, dot));
  const device = named && (tables.deviceByLabel(named.label) ?? tables.devices.get(tables.oldLabel(named.label)?.deviceId ?? ''));
  // Only its own ports: a leaf is made and kept for each known name, and who knows one label could ask for 65,535.
  return device !== undefined && (named?.port === null || device.ports.some((port) => port.number === named?.port && port.kind !== 'udp'));
}

export function operatorAddress(ports: Ports): string {
  return ports.http > 0 ? `http://127.0.0.1:${ports.http}` : `https://localhost:${ports.https}`;
}

export function startRemarks(snapshot: Snapshot, ports: Ports): string[] {
  const remarks: string[] = [];
  if (!snapshot.local && ports.https !== 443) remarks.push(`TLS is on port ${ports.https}; many sites let devices out on 443 only`);
  if (snapshot.local) remarks.push('the domain is localhost: people reach the gateway from this machine only; npm start -- --domain NAME changes that');
  else if (snapshot.config.deviceDomain === null) remarks.push('devices stand under the console\'s own domain; in production give them another registrable domain with --device-domain NAME');
  return remarks;
}

export function describeLabel(tables: Tables, hub: { locate(agentId: string): { at: string; since?: number | null; why?: string | null } }, text: string, nowMs: number): string[] {
  const parsed = parseDeviceHost(text);
  const device = parsed && tables.deviceByLabel(parsed.label);
  if (!parsed || !device) {
    const old = parsed && tables.oldLabel(parsed.label);
    const now = old && old.until > nowMs ? tables.devices.get(old.deviceId) : undefined;
    return now ? [`"${parsed!.label}" was the label of ${now.name}; redirected to "${now.label}"`] : [`no device has the label "${text}": answered with 404 to whoever is signed in`];
  }
  if (device.agentId === null) return [`device ${device.name} (${device.id}) has no agent: it brings its data by itself, and nobody can open it`];
  const located = hub.locate(device.agentId);
  const agent = tables.agents.get(device.agentId);
  return [
    `device ${device.name} (${device.id}), ${device.host}, ports ${device.ports.map((port) => `${port.number}/${port.kind}`).join(', ') || 'none'}`,
    `rule "right": the visitor needs the right to open it`,
    device.locked || agent?.state !== 'active' ? 'rule "lock": it is locked, every visit is refused' : 'it is not locked',
    located.at === 'here' ? 'its agent has a link' : `its agent is offline${located.since ? ` since ${new Date(located.since).toISOString()}` : ''}${located.why ? ` (${located.why})` : ''}`,
  ];
}
