// Doors put together: rows, hub and front door. What an agent accepts in its LAN is a connection of the listener that the door names.
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Journal } from '#model/live.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { Tables } from '#model/tables.ts';
import type { FrontDoor } from '#proxy/serve.ts';
import { buildGatewayDoors, type GatewayDoors } from '#tunnel/gateway-doors.ts';
import { askOver } from '#tunnel/gateway-probe.ts';
import type { Hub, HubOptions } from '#tunnel/hub.ts';

export interface DoorsOptions {
  readonly tables: Pick<Tables, 'siteDoors'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
}

/** What is there once everything stands. */
export interface DoorRoom {
  readonly hub: Hub;
  readonly door: Pick<FrontDoor, 'accept'>;
  readonly snapshot: () => Snapshot;
}

export interface LanFacts {
  readonly subnets: string[];
  readonly gateways: string[];
  readonly resolvers: string[];
  readonly addresses: string[];
}

export interface Doors {
  readonly judge: NonNullable<HubOptions['judgeDoor']>;
  begin(room: DoorRoom): GatewayDoors;
  close(): void;
}

/** What an agent says of its LAN, by the service `probe`. Faults of the link, and `unsupported`. */
export async function askLan(hub: Hub, agentId: Id, signal: AbortSignal, { clock, limits }: Pick<DoorsOptions, 'clock' | 'limits'>): Promise<LanFacts> {
  const asking = askOver(await hub.openService(agentId, 'probe', { timeoutMs: limits.deviceDialTimeoutMs, signal }), { clock, limits, signal });
  try {
    const { addresses, gateways, resolvers } = await asking.info();
    return {
      subnets: [...new Set(addresses.map(({ network }) => network))],
      gateways: [...new Set(gateways.map(({ address }) => address))],
      resolvers: [...resolvers],
      addresses: [...new Set(addresses.map(({ address }) => address))],
    };
  } finally {
    asking.close();
  }
}

/** The hub is built first and asks; until the front door stands the answer is `busy`. */
export function buildDoors(options: DoorsOptions): Doors {
  let begun: GatewayDoors | null = null;
  return {
    judge: (agentId, preface) => begun?.judge(agentId, preface) ?? new Fault('busy', 'the gateway is starting'),
    begin({ hub, door, snapshot }) {
      begun = buildGatewayDoors({
        ...options, hub,
        doors: options.tables.siteDoors,
        hasListener: (name) => snapshot().doorways.has(name),
        accept: (stream, from, listener, via) => door.accept(stream, from, listener, via),
      });
      return begun;
    },
    close: () => begun?.close(),
  };
}
