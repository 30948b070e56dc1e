// What agents said last of their LANs: which addresses are routers there. Asked when a device of that LAN was refused, or when somebody looks; never by a device's
// own request, which waits for nobody.
import type { Clock } from '#base/clock.ts';
import type { Id } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Tables } from '#model/tables.ts';
import type { Hub } from '#tunnel/hub.ts';
import type { LanFacts } from './doors.ts';

export interface LanMemoryOptions {
  readonly tables: Pick<Tables, 'agents'>;
  readonly hub: Pick<Hub, 'linkOf'>;
  readonly clock: Clock;
  readonly limits: Pick<Limits, 'lanAsksMax' | 'lanFactsFreshMs'>;
  lanOf(agentId: Id, signal: AbortSignal): Promise<LanFacts>;
}

export interface LanMemory {
  /** Routers of the site's LANs, as far as they are known. */
  routersOf(siteId: Id): readonly string[];
  /** Has the site's agents asked soon, where what is known is old. */
  want(siteId: Id): void;
  /** Asked now and remembered. Faults of the link. */
  lanOf(agentId: Id, signal: AbortSignal): Promise<LanFacts>;
  close(): void;
}

interface Remembered {
  readonly facts: LanFacts | null;
  readonly at: number;
}

export function keepLanMemory({ tables, hub, clock, limits, lanOf }: LanMemoryOptions): LanMemory {
  const known = new Map<Id, Remembered>();
  const closing = new AbortController();
  let running = 0;
  const ask = async (agentId: Id, signal: AbortSignal): Promise<LanFacts> => {
    const facts = await lanOf(agentId, signal);
    known.set(agentId, { facts, at: clock.monoMs() });
    return facts;
  };
  const agentsOf = (siteId: Id) => Array.from(tables.agents.values()).filter((agent) => agent.siteId === siteId);
  const routers = (siteId: Id): string[] => agentsOf(siteId).flatMap(({ id }) => known.get(id)?.facts?.gateways ?? []);
  return {
    routersOf: (siteId) => (known.size === 0 ? [] : [...new Set(routers(siteId))]),
    want(siteId) {
      for (const { id } of agentsOf(siteId)) {
        const before = known.get(id);
        if (running >= limits.lanAsksMax || closing.signal.aborted || hub.linkOf(id) === undefined || (before !== undefined && clock.monoMs() - before.at < limits.lanFactsFreshMs)) continue;
        // Also what failed is not asked again soon.
        known.set(id, { facts: before?.facts ?? null, at: clock.monoMs() });
        running += 1;
        ask(id, closing.signal).then(() => {}, () => {}).finally(() => (running -= 1));
      }
      for (const id of known.keys()) if (tables.agents.get(id) === undefined) known.delete(id);
    },
    lanOf: ask,
    close: () => closing.abort(),
  };
}
