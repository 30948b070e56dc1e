// The connection to the database that all of the store goes through, whatever the database is.

import type { Fault } from '#base/fault.ts';

export type StoreKind = 'sqlite' | 'postgres';

/** One connection to the database: one statement at a time, in order. */
export interface Connection {
  readonly kind: StoreKind;
  /** Statements are kept prepared by their text; placeholders are the dialect's own (`?` or `$1`). Blobs come back as Uint8Array, 64-bit integers as number. */
  query<Row>(sql: string, parameters: readonly unknown[]): Promise<Answered<Row>>;
  /** One or several statements, without parameters and without rows. */
  exec(sql: string): Promise<void>;
  readonly isTransaction: boolean;
  close(): Promise<void>;
}

export interface Answered<Row> {
  readonly rows: Row[];
  /** Rows that were inserted, changed or deleted; a conflict that does nothing counts none. */
  readonly touched: number;
}

/** One that may be lost: it then stays so, and every statement fails. */
export interface Session extends Connection {
  /** Resolves with the reason once it is lost; never after `close`. */
  readonly lost: Promise<Fault>;
  /** The program and its version, and which database: for people. */
  readonly describes: string;
  /** A statement that takes longer ends the session: the server is not there any more. Longer while the schema is brought up to date. */
  answerWithinMs: number;
}

/** What a thread works with: what is lost comes back by itself, in between two turns. */
export interface KeptConnection extends Connection {
  readonly describes: string;
  /** Runs `work` with the connection as it is; one at a time. Throws a Fault `busy` while there is none. */
  turn<Result>(work: () => Promise<Result>): Promise<Result>;
}

/** How transactions begin: one that writes, and one that reads all of one moment. */
export const beginWriting: Readonly<Record<StoreKind, string>> = { sqlite: 'begin immediate', postgres: 'begin' };
export const beginReading: Readonly<Record<StoreKind, string>> = { sqlite: 'begin', postgres: 'begin isolation level repeatable read read only' };
