// What people, devices and programs call this gateway by: every printed address comes from here and follows the name that was used.
import { networkInterfaces } from 'node:os';
import type { Addresses } from '#admin/deps.ts';
import type { Device } from '#model/rows.ts';
import type { Snapshot } from '#model/snapshot.ts';
import { hostNameOf, portOf } from '#wire/http1.ts';

export interface Ports {
  /** Of the first plain and the first TLS listener, as bound; 0 without one. */
  readonly http: number;
  readonly https: number;
}

const withPort = (name: string, port: number, secure: boolean) => `${secure ? 'https' : 'http'}://${name}${port === (secure ? 443 : 80) ? '' : `:${port}`}`;

/** This machine's addresses that others may reach, IPv4 first. */
export function reachableAddresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const usable = all.filter((each) => !each.internal && !each.address.startsWith('fe80:'));
  return [...usable.filter((each) => each.family === 'IPv4'), ...usable.filter((each) => each.family === 'IPv6')].map((each) => each.address);
}

export function describeAddresses(snapshot: Snapshot, ports: Ports, asked?: { readonly host: string; readonly secure: boolean }): Addresses {
  const name = asked ? hostNameOf(asked.host) : undefined;
  const known = name !== undefined && snapshot.domains.has(name);
  // Over loopback by a bare address, people go on under the primary name, which is `localhost` on a fresh gateway.
  const domain = known ? name : snapshot.primaryDomain;
  const secure = known && asked ? asked.secure : !snapshot.local;
  const port = (known && asked ? portOf(asked.host) : undefined) ?? (known ? (secure ? 443 : 80) : secure ? ports.https : ports.http);
  const deviceDomain = snapshot.deviceDomains.includes(domain) ? domain : snapshot.deviceDomains[0]!;
  return {
    domains: [...snapshot.domains],
    console: withPort(domain, port, secure),
    devicePattern: `${withPort(`{label}.${deviceDomain}`, port, secure)}/`,
    deviceHost(host) {
      const full = hostNameOf(host);
      const under = full === undefined ? undefined : snapshot.deviceDomains.find((each) => full.endsWith(`.${each}`));
      return under === undefined ? undefined : full!.slice(0, full!.length - under.length - 1);
    },
  };
}

/** Where agents may dial, the likeliest to work first. */
export function agentAddresses(snapshot: Snapshot, ports: Ports): string[] {
  const hosts = snapshot.local ? [...reachableAddresses(), 'localhost'] : snapshot.config.domains.map((domain) => domain.name);
  return hosts.slice(0, 8).map((host) => withPort(host.includes(':') ? `[${host}]` : host, ports.https, true));
}

export function deviceUrlOf(addresses: Addresses, device: Pick<Device, 'label' | 'ports'>): string {
  return addresses.devicePattern.replace('{label}', device.label);
}
