// What the rest of the gateway may ask of probes: whom to ask now, what runs, what is known; and of drivers and credentials. Its carrier is site/probes.
import type { Id } from '#base/ids.ts';
import type { Confirmation } from './identity.ts';
import type { DeviceProfile, ProbeFailure } from './place-rows.ts';
import type { CredentialsSent, CredentialsShown } from './probe/asking.ts';

/** asked: somebody wants it now · opening: it opens an application and its profile is old · first: nothing is known of it · schedule: it is its turn. */
export type ProbeReason = 'asked' | 'opening' | 'first' | 'schedule';

export interface ProbeRun {
  readonly deviceId: Id;
  readonly agentId: Id | null;
  readonly reason: ProbeReason;
  readonly state: 'waiting' | 'running';
  /** Since it waits, or runs; milliseconds since 1970. */
  readonly since: number;
  /** Questions that were put, and that have an answer. */
  readonly asked: number;
  readonly answered: number;
  /** What was asked last: `walk 1.3.6.1.2.1.43.11`; null: nothing yet. */
  readonly last: string | null;
}

/** What the last probe of a device asked, and what it got. */
export interface ProbeExplained {
  /** The driver that was chosen, and what decided; null: none was needed, or nothing answered. */
  readonly driver: { readonly key: string; readonly own: boolean; readonly by: string; readonly matched: string } | null;
  readonly asked: readonly { readonly question: string; readonly value: string | null; readonly why: string | null }[];
  /** What was not answered, though the device as such did. */
  readonly gaps: readonly ProbeFailure[];
  /** Datagrams by SNMP. */
  readonly requests: number;
}

export interface ProbeAgent {
  readonly agentId: Id;
  readonly running: number;
  readonly waiting: number;
  /** As the agent says; null: it was not asked yet. */
  readonly pace: { readonly perSecond: number; readonly atOnce: number } | null;
  /** Questions that were put since the start. */
  readonly asked: number;
}

/** Since the gateway started. */
export interface ProbeCounts {
  readonly succeeded: number;
  readonly failed: number;
  /** Too many waited. */
  readonly dropped: number;
  /** It was a device's turn, and its agent was not there. */
  readonly missed: number;
}

export interface DriverShown {
  readonly key: string;
  readonly name: string;
  /** The owner's own, in the data folder; else it comes with the gateway. */
  readonly own: boolean;
  /** It is there, and is not used: one of the owner's has its key. */
  readonly replaced: boolean;
  /** What it is chosen by: prefixes of sysObjectID. */
  readonly prefixes: readonly string[];
  /** Why it cannot be used; null: it can. */
  readonly problem: string | null;
}

export interface DriverControl {
  list(): readonly DriverShown[];
  /** Makes it, or replaces the owner's of that key. Faults: `bad-input` (it is no driver), `too-many`. */
  put(key: string, text: string): Promise<DriverShown>;
  /** Fault `not-found`: the owner has none of that key. */
  remove(key: string): Promise<void>;
}

export interface ProbeControl {
  /**
   * Asks now, or joins who asks already; resolves when that is over, with what is known then. Fails as a profile does: in its `failure`.
   * Faults: `not-found` (the device), `too-many` (too many wait), `closed`.
   */
  probe(deviceId: Id): Promise<DeviceProfile>;
  runOf(deviceId: Id): ProbeRun | undefined;
  /** Of the devices that were asked last; null: it is not among them. */
  explanationOf(deviceId: Id): ProbeExplained | null;
  /** Those that run, then those that wait. */
  runs(): readonly ProbeRun[];
  agents(): readonly ProbeAgent[];
  readonly counts: ProbeCounts;
  /** The last reading at the device's address, its own or another's; null: there is none. */
  confirmationOf(deviceId: Id): Confirmation | null;
  /** A run began to wait or to run, or ended. */
  watch(onChange: (deviceId: Id) => void): () => void;
  /** Names and what else may be shown. Faults as of the way to the agent. */
  readCredentials(agentId: Id): Promise<{ readonly credentials: readonly CredentialsShown[]; readonly defaultCredentials: boolean }>;
  /** What is secret of it goes to the agent and is kept nowhere here. */
  changeCredentials(agentId: Id, change: { readonly put: readonly CredentialsSent[]; readonly remove: readonly string[] }): Promise<readonly CredentialsShown[]>;
}
