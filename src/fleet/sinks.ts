// Feeds every sink from where it stands: reads chunks, makes batches of them, hands them over, moves the position. Each sink has a
// pace of its own, and none of them touches intake: they read what is stored.
import { createHash } from 'node:crypto';
import type { Timer } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { ConfigSink } from '#model/config.ts';
import { compileParser } from '#model/parsers/compile.ts';
import { meansFeed } from '#model/retention.ts';
import { reachOf, type SinkControl, type SinkStatus } from '#model/sinks.ts';
import { runSink, type RunningSink, type SinksDeps } from './sink-run.ts';

export interface StoredNews {
  readonly epochNumber: number;
  /** Its customer's key. */
  readonly customer: string;
  readonly serial: string;
  readonly feed: string;
}

export interface Sinks extends SinkControl {
  /** Something was stored. Costs nothing when no sink means it. */
  wake(news: StoredNews): void;
  /** The configuration changed, or that secret. */
  reconfigure(secret?: string): Promise<void>;
  close(): Promise<void>;
}

interface Open {
  readonly sink: ConfigSink;
  readonly text: string;
  readonly running: RunningSink | null;
}

const backlogPage = 500;
const lagPages = 20;

export function openSinks(deps: SinksDeps): Sinks {
  const { operations, clock, limits } = deps;
  const open = new Map<string, Open>();
  let turn: Promise<void> = Promise.resolve();
  let closed = false;
  let sweeping: Timer | null = null;

  const start = (sink: ConfigSink): RunningSink =>
    runSink({ ...deps, sink, parser: sink.parser ? compileParser(sink.parser) : null, goneName: goneNameOf(sink) });

  const reconfigure = (secret?: string) =>
    (turn = turn.then(async () => {
      if (closed) return;
      const wanted = new Map((deps.config().sinks ?? []).map((sink) => [sink.name, sink]));
      for (const [name, { text, running }] of open) {
        const sink = wanted.get(name);
        const namesIt = secret !== undefined && sink !== undefined && sink.kind !== 'files' && sink.secret === secret;
        if (sink && !namesIt && JSON.stringify(sink) === text) continue;
        await running?.close();
        open.delete(name);
      }
      for (const sink of wanted.values()) if (!open.has(sink.name)) open.set(sink.name, { sink, text: JSON.stringify(sink), running: sink.enabled ? start(sink) : null });
    }));

  const statusOf = async ({ sink, running }: Open): Promise<SinkStatus> => {
    const lag = await lagOf(deps, sink);
    const common = { name: sink.name, kind: sink.kind, ...lag };
    return running ? { ...common, ...running.status() } : { ...common, state: 'paused', lastError: null, nextTryAt: null, lastAt: null, records: 0, batches: 0, unparsed: 0, doubles: 0 };
  };
  const named = (name: string): Open => {
    const found = open.get(name);
    if (!found) throw new Fault('not-found', `there is no sink "${name.slice(0, 64)}" in the configuration`, { remedy: 'postern sinks lists them' });
    return found;
  };
  // Whoever was not woken is found by what the store says.
  sweeping = clock.every(limits.sinkSweepEveryMs, () => {
    for (const { running } of open.values()) running?.sweep();
  });
  return {
    wake({ epochNumber, customer, serial, feed }) {
      for (const { sink, running } of open.values()) if (running && meansFeed(sink, { name: feed, serial, customerKey: customer })) running.wake(epochNumber);
    },
    reconfigure,
    status: () => Promise.all(Array.from(open.values(), statusOf)),
    async replay({ sink, feedId, epoch, off }, audit) {
      const { running } = named(sink);
      const state = await operations.findFeed(feedId);
      const found = state && (epoch === null ? state.epochs[0] : state.epochs.find((each) => each.epoch === epoch));
      if (!state || !found) throw new Fault('not-found', 'there is no such epoch of that feed');
      if (!meansFeed(named(sink).sink, { name: state.feed.name, serial: state.feed.serial, customerKey: deps.customerKey(state.feed.customerId) })) throw new Fault('bad-input', `the sink ${sink} does not mean this feed`);
      const reach = reachOf(found);
      if (off > reach) throw new Fault('bad-input', `offset ${off} is behind what is here: ${reach}`);
      const from = Math.max(off, found.first);
      await operations.replaySink({ sink, epoch: found.number, off: from, at: clock.nowMs() }, audit(found.epoch, from));
      running?.forget(found.number);
      running?.wake(found.number);
      return { epoch: found.epoch, off: from };
    },
    async retry(name) {
      const { sink, running } = named(name);
      await operations.noteNumbers({ [goneNameOf(sink)]: 0 });
      running?.retry();
    },
    async close() {
      closed = true;
      sweeping?.cancel();
      await turn;
      await Promise.all(Array.from(open.values(), ({ running }) => running?.close()));
      open.clear();
    },
  };
}

/** What the store notes when the target wants no more; another address is another target. */
function goneNameOf(sink: ConfigSink): string {
  const where = createHash('sha256').update(JSON.stringify(sink.kind === 'webhook' ? sink.url : sink)).digest('hex').slice(0, 16);
  return `sink ${sink.name} refused ${where}`;
}

async function lagOf({ operations, customerKey }: SinksDeps, sink: ConfigSink): Promise<Pick<SinkStatus, 'lagBytes' | 'lagEpochs' | 'lagIsMore'>> {
  let [lagBytes, lagEpochs, after] = [0, 0, 0];
  for (let page = 0; page < lagPages; page += 1) {
    const works = await operations.sinkBacklog(sink.name, after, backlogPage);
    for (const { epoch, feed, position } of works) {
      after = epoch.number;
      if (!meansFeed(sink, { name: feed.name, serial: feed.serial, customerKey: customerKey(feed.customerId) })) continue;
      lagEpochs += 1;
      lagBytes += Math.max(0, reachOf(epoch) - Math.max(epoch.first, position?.off ?? 0));
    }
    if (works.length < backlogPage) return { lagBytes, lagEpochs, lagIsMore: false };
  }
  return { lagBytes, lagEpochs, lagIsMore: true };
}
