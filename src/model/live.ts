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
  /** The agent at whose door it was accepted, in whose LAN `from` is; null or absent: here. */
  readonly agentId?: Id | null;
  /** The client's in that LAN. */
  readonly mac?: string | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** A listener as it is: what is bound, and what came there since the process began. */
export interface LiveListener {
  readonly name: string;
  /** Null: it is not open. */
  readonly bound: { readonly address: string; readonly port: number } | null;
  /** Why it is not open; null when it is. */
  readonly why: string | null;
  readonly open: number;
  readonly accepted: number;
  /** Connections refused at the door, or by what they asked for later. Requests that HTTP refuses are not among them. */
  readonly refused: number;
}

/** Somebody who still needs TLS older than level intermediate. */
export interface LegacyClientSeen {
  readonly from: string;
  readonly serverName: string | null;
  /** The TLS policy whose lane let it in. */
  readonly policy: string;
  /** The best that it offered: 0x0301 is TLS 1.0. */
  readonly bestVersion: number | null;
  readonly ja4: string;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly count: number;
}

/** Of all listeners, for the whole process; moves whenever a connection comes, goes or is refused. */
export interface ConnCounts {
  readonly open: number;
  readonly accepted: number;
  readonly refused: number;
}

export interface Live {
  conns(limit: number): LiveConn[];
  /** The newest of those that are wanted; `wanted` sees them without their bytes. */
  findConns(wanted: (conn: Omit<LiveConn, 'bytesIn' | 'bytesOut'>) => boolean, limit: number): { readonly conns: LiveConn[]; readonly matching: number };
  connCounts(): ConnCounts;
  /** In the order of the configuration in force. */
  listeners(): LiveListener[];
  /** Last seen first. */
  legacyClients(): LegacyClientSeen[];
  /** False: it is not there any more. */
  closeConn(id: string): boolean;
  links(): LiveLink[];
  linkOf(agentId: Id | null): LiveLink | undefined;
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
