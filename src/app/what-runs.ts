// What runs, as the API shows it and ends it; and what is ended because a table says so.
import type { Clock } from '#base/clock.ts';
import type { Live } from '#model/live.ts';
import type { Tables } from '#model/tables.ts';
import type { TrafficCounts } from '#proxy/meter.ts';
import type { UpstreamPool } from '#proxy/upstream-pool.ts';
import type { Visits } from '#proxy/visits.ts';
import type { Hub } from '#tunnel/hub.ts';
import type { openDoor } from './front-door.ts';
import { findNamed } from './naming.ts';

export interface WhatRunsDeps extends Pick<Live, 'listeners' | 'legacyClients'> {
  readonly tables: Tables;
  readonly clock: Clock;
  readonly door: Awaited<ReturnType<typeof openDoor>>['door'];
  readonly hub: Hub;
  readonly visits: Visits;
  readonly counts: TrafficCounts;
  readonly pool: UpstreamPool;
  /** What carries connections to devices by their names. */
  readonly relayed: readonly { cutNamed(matches: (device: string) => boolean, why: string): void }[];
}

export function watchWhatRuns({ tables, clock, door, hub, visits, counts, pool, listeners, legacyClients, relayed }: WhatRunsDeps): Live {
  const live: Live = {
    conns: (limit) => door.conns(limit),
    findConns: (wanted, limit) => door.findConns(wanted, limit),
    connCounts: () => ({ open: counts.connsOpen, accepted: counts.connsAccepted, refused: counts.connsRefused }),
    listeners,
    legacyClients,
    closeConn: (id) => door.closeConn(id),
    links: () => hub.links(),
    linkOf: (agentId) => hub.linkOf(agentId),
    visits: () => visits.live(),
    closeVisit: (visitId, why) => visits.closeWhere((visit) => visit.id === visitId, why) > 0,
    closeLink: (agentId, why) => {
      const gone = new Set(tables.devicesOfAgent(agentId).map((device) => device.id));
      visits.closeWhere((visit) => gone.has(visit.deviceId), why);
      return hub.closeLink(agentId, why);
    },
    watch: (onChange) => {
      const stops = [hub.watch(() => onChange('links')), visits.watch(() => onChange('visits'))];
      return () => stops.forEach((stop) => stop());
    },
  };
  // A device or agent that is locked, revoked or gone: what runs is cut as soon as the table says so, whoever said it.
  tables.devices.watch(({ put, removed }) => {
    const cut = new Set([...removed, ...put.filter((device) => device.locked).map((device) => device.id)]);
    // Connections that wait for a route's next exchange were dialled to the device as it was.
    pool.drop((key) => key.startsWith('named '));
    if (cut.size === 0) return;
    visits.closeWhere((visit) => cut.has(visit.deviceId), 'the device was locked or removed');
    const isCut = (text: string) => findNamed(tables, text, clock.nowMs())?.locked !== false;
    for (const each of relayed) each.cutNamed(isCut, 'the device was locked or removed');
  });
  tables.agents.watch(({ put, removed }) => {
    for (const agentId of [...removed, ...put.filter((agent) => agent.state !== 'active').map((agent) => agent.id)]) live.closeLink(agentId, 'the agent was locked, revoked or removed');
    for (const agentId of removed) hub.forget(agentId);
  });
  return live;
}
