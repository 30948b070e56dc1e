// The listeners that the configuration in force asks for: opened before it is published, closed once it is not any more.
import type { Socket } from 'node:net';
import { Fault, isFault } from '#base/fault.ts';
import type { Log } from '#base/log.ts';
import type { Config } from '#model/config.ts';
import type { LiveListener } from '#model/live.ts';
import type { Snapshot } from '#model/snapshot.ts';
import { openListener, type Listener } from '#net/listener.ts';
import type { TrafficCounts } from '#proxy/meter.ts';
import type { Ports } from './addresses.ts';

type Wanted = Config['listeners'][number];

export interface Listeners {
  readonly all: readonly Listener[];
  /** Why a listener of the configuration in force is not open; null when it is. */
  whyMissing(name: string): string | null;
  /** As bound, by the configuration given. */
  ports(snapshot: Snapshot): Ports;
  /** Opens what is new. Faults: those of `openListener`; then nothing has changed. `keepWhatWorks`: names what cannot be opened instead. */
  prepare(next: Snapshot, before: Snapshot | null, keepWhatWorks: boolean): Promise<{ commit(): void; cancel(): Promise<void>; readonly missing: readonly string[] }>;
  /** Accepts nothing more; resolves when the last accepted connection has ended. */
  close(): Promise<void>;
}

const placeOf = (each: Wanted) => `${each.name} ${each.address} ${each.port} ${each.tls}`;

export function keepListeners(log: Log, accept: (socket: Socket, from: string, listener: Wanted) => void): Listeners {
  let all: Listener[] = [];
  let closed: Promise<void> | null = null;
  let whys: ReadonlyMap<string, string> = new Map();

  const open = async (each: Wanted, before: Snapshot | null): Promise<Listener> => {
    try {
      return await openListener({
        name: each.name, address: each.address, port: each.port,
        onSocket: (socket, from) => accept(socket, from, each),
        onError: (error) => log.error('listener.failed', { listener: each.name, why: error.message }),
      });
    } catch (thrown) {
      // In a change `conflict` would mean that somebody else changed the configuration first.
      if (before === null || !isFault(thrown, 'conflict')) throw thrown;
      const holder = before.config.listeners.find((one) => one.port === each.port && each.port !== 0);
      if (!holder) throw new Fault('bad-input', thrown.message, { cause: thrown, ...(thrown.remedy ? { remedy: thrown.remedy } : {}) });
      throw new Fault('bad-input', `port ${each.port} is held by this gateway's own listener "${holder.name}" on ${holder.address}`, { remedy: 'Change it in two steps with another port in between, or at the next start.', cause: thrown });
    }
  };

  return {
    get all() {
      return all;
    },
    whyMissing: (name) => whys.get(name) ?? null,
    ports(snapshot) {
      const of = (tls: boolean) => {
        const wanted = snapshot.config.listeners.find((each) => each.tls === tls && each.protocols.includes('http'));
        return all.find((each) => each.name === wanted?.name)?.port ?? 0;
      };
      return { http: of(false), https: of(true) };
    },
    async prepare(next, before, keepWhatWorks) {
      // Of those that are wanted one may not be open: it is tried again with each change, and refuses it like a new one.
      const isOpen = new Set(all.map((each) => each.name));
      const standing = before?.config.listeners.filter((each) => isOpen.has(each.name)) ?? [];
      const kept = new Set(standing.map(placeOf));
      const opened: Listener[] = [];
      const missing: string[] = [];
      const missingWhys = new Map<string, string>();
      const cancel = async () => {
        for (const each of opened) await each.close();
      };
      try {
        for (const each of next.config.listeners) {
          if (kept.has(placeOf(each))) continue;
          const listener = await open(each, before).catch((thrown: unknown) => {
            if (!keepWhatWorks || !isFault(thrown)) throw thrown;
            missingWhys.set(each.name, thrown.message);
            missing.push(`listener "${each.name}" is not open: ${thrown.message}`);
            return null;
          });
          if (listener) opened.push(listener);
        }
      } catch (thrown) {
        await cancel();
        throw thrown;
      }
      return {
        cancel,
        missing,
        commit() {
          whys = missingWhys;
          const wanted = new Set(next.config.listeners.map(placeOf));
          const stays = new Set(standing.filter((each) => wanted.has(placeOf(each))).map((each) => each.name));
          for (const each of all) if (!stays.has(each.name)) void each.close();
          all = [...all.filter((each) => stays.has(each.name)), ...opened];
        },
      };
    },
    close: () => (closed ??= Promise.allSettled(all.map((each) => each.close())).then(() => {})),
  };
}

/** The configured ones as they are. */
export function describeListeners(snapshot: Snapshot, listeners: Pick<Listeners, 'all' | 'whyMissing'>, counts: TrafficCounts): LiveListener[] {
  return snapshot.config.listeners.map(({ name }) => {
    const bound = listeners.all.find((each) => each.name === name);
    const { open, accepted, refused } = counts.byListener.get(name) ?? { open: 0, accepted: 0, refused: 0 };
    return { name, bound: bound ? { address: bound.address, port: bound.port } : null, why: bound ? null : (listeners.whyMissing(name) ?? 'it is being opened'), open, accepted, refused };
  });
}
