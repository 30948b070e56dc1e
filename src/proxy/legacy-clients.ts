// Who still needs the lane for old TLS: by address, name and kind of client. Noted, not kept: written every minute, so that a restart does not
// make the list look empty to somebody who is about to close the lane.
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { reasonOf } from '#base/fault.ts';
import type { LegacyUse } from './handshake.ts';

export interface LegacyClient extends LegacyUse {
  readonly firstAt: number;
  readonly lastAt: number;
  readonly count: number;
}

export interface LegacyClients {
  note(use: LegacyUse): void;
  /** Last seen first. */
  list(): LegacyClient[];
  close(): Promise<void>;
}

export interface LegacyClientsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** More than these: the one that was seen longest ago goes. */
  readonly clientsMax: number;
  readonly read: () => Promise<Buffer | null>;
  readonly write: (bytes: Buffer) => Promise<void>;
  /** Seen for the first time, or for the first time today. */
  readonly onNew: (client: LegacyClient) => void;
}

const minuteMs = 60_000;
const dayMs = 24 * 3_600_000;

function readKept(bytes: Buffer | null): LegacyClient[] {
  if (bytes === null) return [];
  try {
    const list = JSON.parse(bytes.toString()) as LegacyClient[];
    return Array.isArray(list) ? list.filter((each) => typeof each.from === 'string' && typeof each.lastAt === 'number' && typeof each.ja4 === 'string') : [];
  } catch {
    return []; // only an inventory: it fills again
  }
}

export async function keepLegacyClients(options: LegacyClientsOptions): Promise<LegacyClients> {
  const { clock, log, clientsMax } = options;
  const keyOf = (use: LegacyUse) => `${use.from} ${use.serverName ?? ''} ${use.ja4}`;
  const clients = new Map(readKept(await options.read()).slice(-clientsMax).map((each) => [keyOf(each), each]));
  let isChanged = false;
  const save = async () => {
    if (!isChanged) return;
    isChanged = false;
    await options.write(Buffer.from(JSON.stringify([...clients.values()]))).catch((thrown: unknown) => log.warn('legacy-clients.not-kept', { why: reasonOf(thrown) }));
  };
  const timer = clock.every(minuteMs, () => void save());
  return {
    note(use) {
      const now = clock.nowMs();
      const key = keyOf(use);
      const before = clients.get(key);
      const client: LegacyClient = { ...use, firstAt: before?.firstAt ?? now, lastAt: now, count: (before?.count ?? 0) + 1 };
      // Deleted first: the map's order is the order of last use.
      clients.delete(key);
      clients.set(key, client);
      if (clients.size > clientsMax) clients.delete(clients.keys().next().value!);
      isChanged = true;
      if (!before || Math.floor(before.lastAt / dayMs) !== Math.floor(now / dayMs)) options.onNew(client);
    },
    list: () => [...clients.values()].reverse(),
    async close() {
      timer.cancel();
      await save();
    },
  };
}
