// Slows guessing down: each key (a network, a login, both) has a few free tries, then waits that double.
// The rows are a passing table of the gateway: memory only, forgotten with time.
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import { buildTable } from './table.ts';

export interface ThrottleKey {
  readonly key: string;
  readonly freeTries: number;
  readonly delayMaxMs: number;
}

interface Row {
  readonly key: string;
  readonly tries: number;
  /** By the clock that only grows. */
  readonly lastAt: number;
}

export interface Throttle {
  /** Fault `too-many` while the keys have to wait; counts nothing. For what is tried far more often rightly than wrongly: `attempt` follows a failure. */
  check(keys: readonly ThrottleKey[]): void;
  /** Counts one try against every key before it is made, so that tries side by side count too. Fault `too-many` with `retryAfterS`. */
  attempt(keys: readonly ThrottleKey[]): void;
  /** The try was good: its keys start anew. */
  succeeded(keys: readonly ThrottleKey[]): void;
  triesOf(key: string): number;
}

const firstDelayMs = 1_000;
const forgetMs = 15 * 60_000;
const rowsMax = 20_000;

export function buildThrottle(clock: Clock): Throttle {
  const rows = buildTable<Row>({ name: 'throttles', kind: 'passing', keyOf: (row) => row.key });
  const now = () => clock.monoMs();
  const standing = (key: string) => {
    const row = rows.get(key);
    return row && now() - row.lastAt < forgetMs ? row : undefined;
  };
  const waitMs = ({ key, freeTries, delayMaxMs }: ThrottleKey) => {
    const row = standing(key);
    if (!row || row.tries < freeTries) return 0;
    const delayMs = Math.min(firstDelayMs * 2 ** Math.min(row.tries - freeTries, 30), delayMaxMs);
    return Math.max(0, row.lastAt + delayMs - now());
  };
  const check = (keys: readonly ThrottleKey[]) => {
    const longestMs = Math.max(0, ...keys.map(waitMs));
    if (longestMs === 0) return;
    const retryAfterS = Math.ceil(longestMs / 1000);
    throw new Fault('too-many', 'too many tries from here or for this login', { remedy: `wait ${retryAfterS} s and try again`, detail: { retryAfterS } });
  };
  return {
    check,
    attempt(keys) {
      check(keys);
      const put = keys.map(({ key }) => ({ key, tries: (standing(key)?.tries ?? 0) + 1, lastAt: now() }));
      const removed: string[] = [];
      // A map keeps the order of insertion; rows that were touched least lately go first.
      for (const row of rows.values()) {
        if (rows.size + put.length - removed.length <= rowsMax) break;
        removed.push(row.key);
      }
      rows.publish({ put, removed: [...removed, ...put.map((row) => row.key)] });
    },
    succeeded(keys) {
      rows.publish({ removed: keys.map(({ key }) => key) });
    },
    triesOf: (key) => standing(key)?.tries ?? 0,
  };
}
