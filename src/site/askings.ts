// The ways to agents that ask: one stream an agent, whoever asks through it, kept a little while behind the last question. Agents keep few of them open.
import type { Clock, Timer } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import type { Asking } from '#model/probe/asking.ts';

export interface Pace {
  readonly perSecond: number;
  readonly atOnce: number;
}

/** What `tunnel/gateway-probe` makes of a stream. */
export interface PacedAsking extends Asking {
  readonly isOpen: boolean;
  pace(wanted: Pace): Promise<Pace>;
  close(): void;
}

export interface AskingsOptions {
  readonly clock: Clock;
  readonly restMs: number;
  readonly pace: () => Pace;
  /** Faults as of opening a stream to an agent. */
  readonly open: (agentId: Id, signal: AbortSignal) => Promise<PacedAsking>;
}

export interface Askings {
  /** Runs with a way to the agent. */
  through<Result>(agentId: Id, run: (asking: Asking) => Promise<Result>): Promise<Result>;
  /** As the agent said last. */
  paceOf(agentId: Id): Pace | null;
  /** Its link came or went: what was open is no way any more. */
  forget(agentId: Id): void;
  close(): void;
}

interface Way {
  readonly opened: Promise<PacedAsking>;
  asking: PacedAsking | null;
  users: number;
  rest: Timer | null;
  told: Pace;
}

export function keepAskings({ clock, restMs, pace, open }: AskingsOptions): Askings {
  const ways = new Map<Id, Way>();
  const paces = new Map<Id, Pace>();
  const ending = new AbortController();

  const leave = (agentId: Id, way: Way) => {
    if (ways.get(agentId) === way) ways.delete(agentId);
    way.rest?.cancel();
    way.asking?.close();
  };
  const tell = async (agentId: Id, way: Way, asking: PacedAsking, wanted: Pace) => {
    way.told = wanted;
    paces.set(agentId, await asking.pace(wanted));
  };
  const start = (agentId: Id): Way => {
    const wanted = pace();
    const way: Way = { opened: open(agentId, ending.signal), asking: null, users: 0, rest: null, told: wanted };
    ways.set(agentId, way);
    way.opened.then(
      (asking) => {
        way.asking = asking;
        // It came too late for all.
        if (ways.get(agentId) !== way) asking.close();
        else tell(agentId, way, asking, wanted).catch(() => {});
      },
      () => leave(agentId, way),
    );
    return way;
  };
  return {
    async through(agentId, run) {
      if (ending.signal.aborted) throw new Fault('closed', 'the gateway is going down');
      let way = ways.get(agentId);
      if (way?.asking && !way.asking.isOpen) {
        leave(agentId, way);
        way = undefined;
      }
      way ??= start(agentId);
      way.users += 1;
      way.rest?.cancel();
      way.rest = null;
      try {
        const asking = await way.opened;
        const wanted = pace();
        if (wanted.perSecond !== way.told.perSecond || wanted.atOnce !== way.told.atOnce) await tell(agentId, way, asking, wanted);
        return await run(asking);
      } finally {
        const mine = way;
        mine.users -= 1;
        if (mine.users === 0 && ways.get(agentId) === mine) mine.rest = clock.after(restMs, () => leave(agentId, mine));
        else if (mine.users === 0) mine.asking?.close();
      }
    },
    paceOf: (agentId) => paces.get(agentId) ?? null,
    forget(agentId) {
      const way = ways.get(agentId);
      if (way) leave(agentId, way);
      paces.delete(agentId);
    },
    close() {
      ending.abort();
      for (const [agentId, way] of ways) leave(agentId, way);
    },
  };
}
