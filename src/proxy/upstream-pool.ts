// Connections to upstreams that wait for their next exchange. One pool a gateway; idle ones expire; counts are bounded.
import type { Clock } from '#base/clock.ts';
import { limits } from '#base/limits.ts';
import type { Sweep } from '#net/sweep.ts';
import { Upstream } from './http1-upstream.ts';

export interface UpstreamPool {
  /** The one used last, which is the least likely to have been closed; undefined when none waits. */
  take(key: string, idleAtMostMs: number): Upstream | undefined;
  /** Gives a connection back; closes it when it cannot be used again or too many wait. */
  give(key: string, upstream: Upstream): void;
  /** Closes all that wait under keys for which this says yes. */
  drop(matches: (key: string) => boolean): void;
  onGone(upstream: Upstream): void;
  readonly idle: number;
  close(): void;
}

export function buildUpstreamPool(clock: Clock, sweep: Sweep): UpstreamPool {
  const waiting = new Map<string, Upstream[]>();
  let idle = 0;
  let closed = false;
  const leave = (upstream: Upstream): Upstream => {
    upstream.poolKey = null;
    idle -= 1;
    return upstream;
  };
  const timer = clock.every(5_000, () => {
    const before = sweep.nowMs - limits.upstreamIdleMs;
    for (const [key, list] of waiting) {
      let expired = 0;
      while (expired < list.length && list[expired]!.idleSinceMs < before) expired += 1;
      for (const upstream of list.splice(0, expired)) leave(upstream).destroy();
      if (list.length === 0) waiting.delete(key);
    }
  });
  return {
    take(key, idleAtMostMs) {
      const list = waiting.get(key);
      if (list === undefined) return undefined;
      const upstream = list.at(-1);
      if (upstream === undefined || sweep.nowMs - upstream.idleSinceMs > idleAtMostMs) return undefined;
      list.length -= 1;
      return leave(upstream);
    },
    give(key, upstream) {
      if (closed || !upstream.isReusable || idle >= limits.upstreamIdleMax) return upstream.destroy();
      let list = waiting.get(key);
      if (list === undefined) waiting.set(key, (list = []));
      if (list.length >= limits.upstreamIdlePerTargetMax) return upstream.destroy();
      upstream.idleSinceMs = sweep.nowMs;
      upstream.poolKey = key;
      idle += 1;
      list.push(upstream);
    },
    drop(matches) {
      for (const [key, list] of waiting) {
        if (!matches(key)) continue;
        waiting.delete(key);
        for (const upstream of list) leave(upstream).destroy();
      }
    },
    onGone(upstream) {
      const key = upstream.poolKey;
      if (key === null) return;
      leave(upstream);
      const list = waiting.get(key)!;
      const at = list.indexOf(upstream);
      if (at >= 0) list.splice(at, 1);
      if (list.length === 0) waiting.delete(key);
    },
    get idle() {
      return idle;
    },
    close() {
      closed = true;
      timer.cancel();
      for (const list of waiting.values()) for (const upstream of list) leave(upstream).destroy();
      waiting.clear();
    },
  };
}
