// Probes put together: the hub carries them, site/probes runs them, model/probe understands them. Composition only.
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Config } from '#model/config.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import { probeDevice } from '#model/probe/probe.ts';
import type { DriverControl } from '#model/probe-control.ts';
import type { Device } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';
import type { EvidenceSeen, Probed } from '#site/probe-outcome.ts';
import { buildProbes, type ProbeAsked, type Probes } from '#site/probes.ts';
import { askOver } from '#tunnel/gateway-probe.ts';
import type { Hub } from '#tunnel/hub.ts';
import { openDrivers } from './drivers.ts';

export interface ProbePartsOptions {
  readonly tables: Tables;
  readonly operations: Operations;
  readonly hub: Pick<Hub, 'openService' | 'linkOf' | 'watch'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  /** Of the data folder. */
  readonly path: string;
  readonly config: () => Pick<Config, 'probes'>;
  readonly noteEvidence: (seen: EvidenceSeen) => void;
}

export interface ProbeParts extends Probes {
  readonly drivers: DriverControl;
  /** Both User-Agents are of programs that the driver of the device lists: a panel's browser, and what uploads its scans. */
  listsPrograms(deviceId: Id, a: string, b: string): boolean;
}

/** Where SNMP or IPP is asked when it is not where everybody has it: a port of the device that is named so. */
const portNamed = (device: Device, transport: 'udp' | 'tcp', name: RegExp): number | undefined => device.ports.find((port) => (port.kind === 'udp') === (transport === 'udp') && name.test(port.name))?.number;

const minuteMs = 60_000;
const userAgentCharsMax = 1_000;

/** Devices that job sources name, by whatever they name them. */
function* devicesOfSources(tables: Tables): Generator<Id> {
  const places = new Set<string>();
  for (const { customerId, deviceId, serial, siteId, address } of tables.jobSources.values()) {
    if (deviceId !== null) yield deviceId;
    else if (serial !== null) {
      const device = tables.deviceBySerial(customerId, serial);
      if (device) yield device.id;
    } else places.add(`${siteId} ${address}`);
  }
  if (places.size > 0) for (const device of tables.devices.values()) if (places.has(`${device.siteId} ${device.host}`)) yield device.id;
}

export async function openProbes({ tables, operations, hub, clock, log, journal, limits, path, config, noteEvidence }: ProbePartsOptions): Promise<ProbeParts> {
  const drivers = await openDrivers({ ownDir: join(path, 'drivers'), limits, log });
  const probe = async ({ asking, device, address, nowMs, agent }: ProbeAsked): Promise<Probed> => {
    const [snmpPort, ippPort] = [portNamed(device, 'udp', /snmp/i), portNamed(device, 'tcp', /ipp/i)];
    const found = await probeDevice(asking, address, drivers.all(), { depth: 'full', nowMs, agent, ...(snmpPort !== undefined && { snmpPort }), ...(ippPort !== undefined && { ippPort }) });
    if (!('profile' in found)) return { profile: null, failure: found.failure, mac: found.mac, explained: { driver: null, asked: found.asked, gaps: [], requests: found.requests } };
    const { profile, gaps, mac, chosen, asked, requests } = found;
    const driver = chosen && { key: chosen.driver.key, own: chosen.own, by: chosen.by, matched: chosen.matched };
    return { profile, failure: gaps[0] ?? null, mac, explained: { driver, asked, gaps, requests } };
  };
  const probes = buildProbes({
    tables, operations, clock, log, journal, limits, probe,
    settings: () => {
      const { everyMinutes = 15, freshMinutes = 60, perSecond = 20, atOnce = 8 } = config().probes ?? {};
      return { everyMs: everyMinutes * minuteMs, freshMs: freshMinutes * minuteMs, perSecond, atOnce };
    },
    applicationDevices: () => devicesOfSources(tables),
    isOnline: (agentId) => hub.linkOf(agentId) !== undefined,
    watchLinks: (onChange) => hub.watch(onChange),
    openAsking: async (agentId, signal) => askOver(await hub.openService(agentId, 'probe', { timeoutMs: limits.deviceDialTimeoutMs, signal }), { clock, limits, signal }),
    noteEvidence: (seen) => seen.forEach(noteEvidence),
  });
  return {
    ...probes,
    drivers,
    listsPrograms(deviceId, a, b) {
      const key = tables.deviceProfiles.get(deviceId)?.profile?.driver ?? null;
      const driver = key === null ? undefined : drivers.all().find((each) => each.driver.key === key)?.driver;
      return driver !== undefined && [a, b].every((userAgent) => driver.clients.some((pattern) => pattern.test(userAgent.slice(0, userAgentCharsMax))));
    },
  };
}
