// The gateway's table of links: judges handshakes, keeps one link per (agent, slot), opens streams to devices.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import type { Fault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Journal, LiveLink } from '#model/live.ts';
import type { AgentNote } from '#model/rows.ts';
import type { DialBy } from '#net/dial.ts';
import type { Takeover } from '#net/takeover.ts';
import type { Budget } from './budget.ts';

export interface HubOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  readonly random: Random;
  readonly newId: () => Id;
  readonly budget: Budget;
  /** Whose certificate this is (SHA-256 of its DER, hex). Faults: `unauthenticated` (unknown, expired), `forbidden` (locked, revoked). */
  judgeAgent(fingerprint: string): { readonly agentId: Id } | Fault;
  /** A link came, left, or its agent said hello. Fields that this process does not know are null. */
  onAgentSeen(note: AgentNote): void;
  /** What was noted about an agent before this process knew it. */
  noteOf(agentId: Id): AgentNote | undefined;
}

export type Located = { readonly at: 'here' } | { readonly at: 'nowhere'; readonly since: number | null; readonly why: string | null };

export interface Hub {
  /** `GET /link` of the TLS link endpoint. */
  readonly takeover: Takeover;
  /**
   * A byte stream to an address as the agent sees it; half-close works each way.
   * Faults: `offline` (says since when and why), `forbidden` (the agent's local policy, with the line to add), `unreachable`,
   * `timeout`, `busy`, `unsupported`, `closed` (the signal aborted or the link broke), `protocol`.
   */
  dialDevice(agentId: Id, host: string, port: number, by: DialBy): Promise<Duplex>;
  links(): LiveLink[];
  linkOf(agentId: Id): LiveLink | undefined;
  /** Locked, revoked, removed: cuts every link and stream of the agent now. False when it has none. */
  closeLink(agentId: Id, why: string): boolean;
  /** Called when a link came or went, and no more than once a second when only counters changed. */
  watch(onChange: () => void): () => void;
  locate(agentId: Id): Located;
  /** Tells agents to dial again, takes no new links, and resolves when the streams have ended or `drainMs` are over. */
  drain(drainMs: number): Promise<void>;
  close(): void;
}
