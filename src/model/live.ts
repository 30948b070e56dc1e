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

/** A connection of a client, whatever it speaks. */
export interface LiveConn {
  readonly id: string;
  readonly from: string;
  readonly listener: string;
  readonly since: number;
  /** `http`, `h2`, `ldap` … ; empty while nothing is known. */
  readonly protocol: string;
  /** `modern`, `intermediate`, `legacy`, `link`; null without TLS of ours. */
  readonly tls: string | null;
  /** SNI, or the domain that the first packet named. */
  readonly name: string | null;
  /** Of a relayed connection; of HTTP each request has its own. */
  readonly route: string | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface Live {
  conns(limit: number): LiveConn[];
  /** False: it is not there any more. */
  closeConn(id: string): boolean;
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
