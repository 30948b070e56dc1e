// Composition of the agent: its state folder, its link and what it offers.
import type { Clock } from '#base/clock.ts';
import type { Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';

export interface AgentOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Instead of the addresses in the state folder. */
  readonly addresses?: readonly string[];
  /** Default: `policy` in the state folder when it exists. */
  readonly policyFile?: string;
  /** Called each time a link stands. */
  readonly onLinked?: (linkId: string) => void;
}
