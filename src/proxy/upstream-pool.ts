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
  const keyOf = new Map<Upstream, string>();
  let closed = false;
  const timer = clock.every(5_000, () => {
    const before = sweep.nowMs - limits.upstreamIdleMs;
    for (const [key, list] of waiting) {
      let expired = 0;
      while (expired < list.length && list[expired]!.idleSinceMs < before) expired += 1;
      for (const upstream of list.splice(0, expired)) {
        keyOf.delete(upstream);
        upstream.destroy();
      }
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
      keyOf.delete(upstream);
      return upstream;
    },
    give(key, upstream) {
      if (closed || !upstream.isReusable || keyOf.size >= limits.upstreamIdleMax) return upstream.destroy();
      let list = waiting.get(key);
      if (list === undefined) waiting.set(key, (list = []));
      if (list.length >= limits.upstreamIdlePerTargetMax) return upstream.destroy();
      upstream.idleSinceMs = sweep.nowMs;
      keyOf.set(upstream, key);
      list.push(upstream);
    },
    drop(matches) {
      for (const [key, list] of waiting) {
        if (!matches(key)) continue;
        waiting.delete(key);
        for (const upstream of list) {
          keyOf.delete(upstream);
          upstream.destroy();
        }
      }
    },
    onGone(upstream) {
      const key = keyOf.get(upstream);
      if (key === undefined) return;
      keyOf.delete(upstream);
      const list = waiting.get(key)!;
      const at = list.indexOf(upstream);
      if (at >= 0) list.splice(at, 1);
      if (list.length === 0) waiting.delete(key);
    },
    get idle() {
      return keyOf.size;
    },
    close() {
      closed = true;
      timer.cancel();
      for (const upstream of keyOf.keys()) upstream.destroy();
      keyOf.clear();
      waiting.clear();
    },
  };
}
