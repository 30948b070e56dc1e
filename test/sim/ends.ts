// Two sessions that talk to each other over whatever stands between them.
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { realClock } from '#app/real.ts';
import type { Clock } from '#base/clock.ts';
import { limits as allLimits } from '#base/limits.ts';
import type { Limits } from '#base/limits.ts';
import { buildBudget } from '#tunnel/budget.ts';
import type { Budget } from '#tunnel/budget.ts';
import { MuxSession } from '#tunnel/session.ts';
import type { MuxStream } from '#tunnel/stream.ts';

export const testClock: Clock = realClock;

export interface EndOptions {
  readonly limits?: Partial<Limits>;
  readonly clock?: Clock;
  readonly budget?: Budget;
  readonly isSecure?: boolean;
  readonly onStream?: (stream: MuxStream) => void;
}

export const bigBudget = (): Budget => buildBudget(512 * 1024 * 1024, () => {});

export function buildEnd(role: 'client' | 'server', socket: Duplex, options: EndOptions = {}): MuxSession {
  return new MuxSession({
    socket,
    leftover: Buffer.alloc(0),
    role,
    isSecure: options.isSecure ?? false,
    clock: options.clock ?? testClock,
    limits: { ...allLimits, ...options.limits },
    random: randomBytes,
    budget: options.budget ?? bigBudget(),
    onStream: options.onStream ?? ((stream) => void stream.pipe(stream)),
  });
}

/** Resolves when it holds; the deadline only keeps a failing test from hanging. */
export async function until(holds: () => boolean, what: string, deadlineMs = 10_000): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited too long for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
