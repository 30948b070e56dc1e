// Up go two things that the data plane never waits for: what runs now (Live) and what happened (Journal).
import type { Id } from '#base/ids.ts';
import type { Visit } from './rows.ts';

export interface LiveLink {
  readonly id: Id;
  readonly agentId: Id;
  readonly slot: number;
  readonly from: string;
  readonly version: string;
  readonly since: number;
  readonly rttMs: number | null;
  readonly streams: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly can: readonly string[];
}

export interface Live {
  links(): LiveLink[];
  linkOf(agentId: Id): LiveLink | undefined;
  visits(): Visit[];
  /** Closes what is named, now; resolves false when it is not there any more. */
  closeVisit(visitId: Id, why: string): boolean;
  closeLink(agentId: Id, why: string): boolean;
  /** Anything changed: the console's event stream says so. `topic` is links, visits. */
  watch(onChange: (topic: 'links' | 'visits') => void): () => void;
}

export interface JournalLine {
  readonly seq: number;
  readonly at: number;
  /** `conn.refused`, `exchange.refused`, `link.opened`, `link.refused`, `stream.reset` … */
  readonly event: string;
  readonly fields: Readonly<Record<string, string | number | boolean | null>>;
}

export interface Journal {
  note(event: string, fields: JournalLine['fields']): void;
  /** Newest first. */
  lines(query: { limit: number; event?: string; beforeSeq?: number }): JournalLine[];
  readonly dropped: number;
}
