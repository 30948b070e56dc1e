// Who is asked, and who waits for it: one run a device, so many at once through each agent and in all, and no more than so many waiting.
import type { Id } from '#base/ids.ts';
import type { ProbeReason, ProbeRun } from '#model/probe-control.ts';

/** A run on its way; what asks counts in it. */
export interface ProbeJob {
  readonly deviceId: Id;
  readonly agentId: Id | null;
  reason: ProbeReason;
  state: ProbeRun['state'];
  since: number;
  asked: number;
  answered: number;
  last: string | null;
  /** Resolves when it is over, however it went. */
  readonly done: Promise<void>;
}

export interface QueueOptions {
  readonly nowMs: () => number;
  /** Through one agent. */
  readonly atOnce: () => number;
  readonly runsMax: number;
  readonly waitingMax: number;
  /** Never rejects. */
  readonly run: (job: ProbeJob) => Promise<void>;
  readonly onChange: (deviceId: Id) => void;
}

export interface ProbeQueue {
  /** The run that waits or runs for it already, else a new one; null: too many wait. Whoever is more urgent passes others. */
  add(deviceId: Id, agentId: Id | null, reason: ProbeReason): ProbeJob | null;
  of(deviceId: Id): ProbeJob | undefined;
  /** Those that run, then those that wait. */
  all(): ProbeJob[];
  ofAgent(agentId: Id): { readonly running: number; readonly waiting: number };
  /** Takes it out if it waits. */
  drop(deviceId: Id): void;
  /** Takes all out that wait and begins none; resolves when those that run are over. */
  close(): Promise<void>;
  readonly running: number;
  readonly waiting: number;
}

interface Lane {
  readonly urgent: Entry[];
  readonly later: Entry[];
  running: number;
}

interface Entry {
  readonly job: ProbeJob;
  readonly settle: () => void;
}

const isUrgent = (reason: ProbeReason) => reason === 'asked' || reason === 'opening';
const ranks: readonly ProbeReason[] = ['asked', 'opening', 'first', 'schedule'];

export function buildProbeQueue({ nowMs, atOnce, runsMax, waitingMax, run, onChange }: QueueOptions): ProbeQueue {
  /** By agent; those that were served last are last. */
  const lanes = new Map<Id | null, Lane>();
  const entries = new Map<Id, Entry>();
  let running = 0;
  let closed = false;

  const leave = (agentId: Id | null, lane: Lane) => {
    if (lane.running === 0 && lane.urgent.length === 0 && lane.later.length === 0) lanes.delete(agentId);
  };
  const start = (lane: Lane, entry: Entry) => {
    const { job, settle } = entry;
    lane.running += 1;
    running += 1;
    job.state = 'running';
    job.since = nowMs();
    onChange(job.deviceId);
    void run(job).finally(() => {
      lane.running -= 1;
      running -= 1;
      entries.delete(job.deviceId);
      leave(job.agentId, lane);
      settle();
      onChange(job.deviceId);
      pump();
    });
  };
  const pump = () => {
    if (closed) return;
    // Of this moment: those that were served are put behind the others meanwhile.
    const inOrder = Array.from(lanes);
    for (const [agentId, lane] of inOrder) {
      if (running >= runsMax) return;
      const before = lane.running;
      const room = Math.min(runsMax - running, atOnce() - lane.running);
      for (let taken = 0; taken < room; taken += 1) {
        const next = lane.urgent.shift() ?? lane.later.shift();
        if (!next) break;
        start(lane, next);
      }
      // Behind the others: no site's thousand devices keep another's waiting.
      if (lane.running > before && lanes.delete(agentId)) lanes.set(agentId, lane);
    }
  };
  const takeOut = (entry: Entry): boolean => {
    const lane = lanes.get(entry.job.agentId);
    for (const list of lane ? [lane.urgent, lane.later] : []) {
      const at = list.indexOf(entry);
      if (at >= 0) return list.splice(at, 1).length > 0;
    }
    return false;
  };
  const drop = (entry: Entry) => {
    if (!takeOut(entry)) return;
    entries.delete(entry.job.deviceId);
    const lane = lanes.get(entry.job.agentId);
    if (lane) leave(entry.job.agentId, lane);
    entry.settle();
    onChange(entry.job.deviceId);
  };
  const laneOf = (agentId: Id | null): Lane => {
    const lane = lanes.get(agentId) ?? { urgent: [], later: [], running: 0 };
    lanes.set(agentId, lane);
    return lane;
  };
  return {
    add(deviceId, agentId, reason) {
      const there = entries.get(deviceId);
      if (there) {
        if (ranks.indexOf(reason) < ranks.indexOf(there.job.reason)) {
          if (there.job.state === 'waiting' && isUrgent(reason) && !isUrgent(there.job.reason) && takeOut(there)) laneOf(there.job.agentId).urgent.push(there);
          there.job.reason = reason;
        }
        return there.job;
      }
      if (closed || entries.size - running >= waitingMax) return null;
      const { promise, resolve } = Promise.withResolvers<void>();
      const job: ProbeJob = { deviceId, agentId, reason, state: 'waiting', since: nowMs(), asked: 0, answered: 0, last: null, done: promise };
      const entry = { job, settle: resolve };
      entries.set(deviceId, entry);
      const lane = laneOf(agentId);
      (isUrgent(reason) ? lane.urgent : lane.later).push(entry);
      onChange(deviceId);
      pump();
      return job;
    },
    of: (deviceId) => entries.get(deviceId)?.job,
    all: () => [...entries.values()].map(({ job }) => job).sort((a, b) => (a.state === b.state ? a.since - b.since : a.state === 'running' ? -1 : 1)),
    ofAgent(agentId) {
      const lane = lanes.get(agentId);
      return { running: lane?.running ?? 0, waiting: lane ? lane.urgent.length + lane.later.length : 0 };
    },
    drop(deviceId) {
      const entry = entries.get(deviceId);
      if (entry) drop(entry);
    },
    async close() {
      closed = true;
      const last = [...entries.values()];
      for (const entry of last) drop(entry);
      await Promise.all(last.map(({ job }) => job.done));
    },
    get running() {
      return running;
    },
    get waiting() {
      return entries.size - running;
    },
  };
}
