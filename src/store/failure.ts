// Failures: what SQLite's and PostgreSQL's mean to a caller, and how they cross from a thread to the main one.
import { Fault, type FaultCode } from '#base/fault.ts';

/** A failure as it travels between threads. `fault` false: a bug, which arrives as an ordinary Error. */
export type Failure =
  | { readonly fault: true; readonly code: FaultCode; readonly message: string; readonly remedy: string | undefined; readonly detail: Readonly<Record<string, unknown>> }
  | { readonly fault: false; readonly message: string; readonly stack: string | undefined };

export function packFailure(thrown: unknown): Failure {
  const known = asFault(thrown);
  if (known instanceof Fault) return { fault: true, code: known.code, message: known.message, remedy: known.remedy, detail: cloneable(known.detail) };
  return known instanceof Error ? { fault: false, message: known.message, stack: known.stack } : { fault: false, message: String(known), stack: undefined };
}

export function unpackFailure(failure: Failure): Error {
  if (failure.fault) return new Fault(failure.code, failure.message, { ...(failure.remedy !== undefined && { remedy: failure.remedy }), detail: failure.detail });
  const error = new Error(failure.message);
  if (failure.stack !== undefined) error.stack = failure.stack;
  return error;
}

/** What a structured clone cannot carry (functions, sockets) becomes text. */
function cloneable(detail: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(detail).map(([name, value]) => [name, typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null ? value : String(value)]));
}

interface SqliteError extends Error {
  readonly errcode: number;
}

function isSqliteError(thrown: unknown): thrown is SqliteError {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'ERR_SQLITE_ERROR' && 'errcode' in thrown && typeof thrown.errcode === 'number';
}

/** What the library for PostgreSQL throws when the server said that something failed. */
export interface PostgresError extends Error {
  readonly code: string;
  readonly severity: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
  readonly detail?: string;
}

/** By its SQLSTATE: errors of sockets have codes of letters too, but no severity. */
export function isPostgresError(thrown: unknown): thrown is PostgresError {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' && /^[0-9A-Z]{5}$/.test(thrown.code) && 'severity' in thrown && typeof thrown.severity === 'string';
}

export function asFault(thrown: unknown): unknown {
  return isPostgresError(thrown) ? postgresFault(thrown) : sqliteFault(thrown);
}

/** Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html. `detail` has values of the row, so it stays out of messages. */
function postgresFault(thrown: PostgresError): unknown {
  const { code, message } = thrown;
  const table = thrown.table?.replaceAll('_', ' ') ?? 'row';
  const fault = (kind: FaultCode, text: string, remedy?: string, more: Record<string, unknown> = {}) =>
    new Fault(kind, text, { detail: { postgres: code, reason: message, ...more }, cause: thrown, ...(remedy !== undefined && { remedy }) });
  switch (code) {
    case '23505': {
      // "Key (customer_id, name)=(…) already exists.", in the server's language: the last column is the one that a person chose.
      const field = fieldOf(/\(([^()]+)\)=\(/.exec(thrown.detail ?? '')?.[1]?.split(', ').at(-1) ?? thrown.constraint ?? '');
      return takenFault(table, field, fault);
    }
    case '23503':
      return missingFault(fault);
    case '53100':
      return fault('busy', 'the store cannot write: the disk of the PostgreSQL server is full', 'free space there; nothing that was acknowledged is lost');
    case '53200':
      return fault('busy', 'the PostgreSQL server is out of memory', 'try again, or give it more memory');
    case '55P03':
    case '40001':
    case '40P01':
    case '57014':
      return fault('busy', 'the store is locked by another program', 'find out what else works in the database, and end it');
    case '25006':
      return fault('busy', 'the PostgreSQL server is read-only at the moment', 'see that it is the primary server, and that nobody has switched it to read-only');
    case '42501':
      return fault('forbidden', `the store may not do this in its database: ${message}`, 'make the user of the store the owner of the database: alter database … owner to …');
    case '54000':
    case '22001':
      return fault('too-large', 'a value is too large for the store');
    case 'XX001':
    case 'XX002':
      return fault('internal', `the database is damaged: ${message}`, 'restore it from a backup');
    default:
      if (/^(08|53|57|58)/.test(code)) return fault('busy', `the PostgreSQL server cannot do it now: ${message}`, 'look at the server’s log');
      if (/^(22|23)/.test(code)) return fault('bad-input', `the store does not take this value: ${message}`, undefined, { table, field: fieldOf(thrown.column ?? '') });
      return thrown;
  }
}

/** Result codes: https://sqlite.org/rescode.html. The low byte is the kind, the rest its variety. */
function sqliteFault(thrown: unknown): unknown {
  if (!isSqliteError(thrown)) return thrown;
  const { errcode, message } = thrown;
  const detail = { sqlite: errcode, reason: message };
  const fault = (code: FaultCode, text: string, remedy?: string, more: Record<string, unknown> = {}) => new Fault(code, text, { detail: { ...detail, ...more }, cause: thrown, ...(remedy !== undefined && { remedy }) });
  switch (errcode & 0xff) {
    case 19:
      return constraintFault(errcode, message, fault);
    case 13:
      return fault('busy', 'the store cannot write: the disk is full', 'free space on the disk of the data folder; nothing that was acknowledged is lost');
    case 5:
    case 6:
      return fault('busy', 'the store is locked by another program', 'find out what else has the database of the data folder open, and end it');
    case 7:
      return fault('busy', 'the store is out of memory', 'try again, or give the gateway more memory');
    case 3:
    case 8:
      return fault('busy', 'the store may not write to its file', 'make the data folder writable for the user that the gateway runs as');
    case 10:
    case 14:
      return fault('busy', 'the store cannot read or write its file', 'look at the disk of the data folder and at its permissions');
    case 11:
    case 26:
      return fault('internal', 'the store’s file is damaged or not a database', 'restore the data folder from a backup');
    case 18:
      return fault('too-large', 'a value is too large for the store');
    default:
      return thrown;
  }
}

type MakeFault = (code: FaultCode, text: string, remedy?: string, more?: Record<string, unknown>) => Fault;

function takenFault(table: string, field: string, fault: MakeFault): Fault {
  if (table === 'audit') return fault('internal', 'the audit was changed from outside while the gateway runs', 'restart the gateway and run `postern audit verify`');
  return fault('conflict', `another ${table} has this ${field} already`, 'choose another one', { table, field });
}

const missingFault = (fault: MakeFault) => fault('not-found', 'something that this refers to does not exist, or not any more', 'look again: it may just have been removed');

function constraintFault(errcode: number, message: string, fault: MakeFault): Fault {
  // "UNIQUE constraint failed: site.customer_id, site.name": the last column is the one that a person chose.
  const column = /constraint failed: (?:.*, )?(\w+)\.(\w+)$/.exec(message);
  const table = column?.[1]?.replaceAll('_', ' ') ?? 'row';
  const field = fieldOf(column?.[2] ?? '');
  switch (errcode) {
    case 2067:
    case 1555:
    case 2579:
      return takenFault(table, field, fault);
    case 787:
      return missingFault(fault);
    default:
      return fault('bad-input', `the store does not take this value: ${message}`, undefined, { table, field });
  }
}

/** The name that callers know: `login_key` is about the login. */
function fieldOf(column: string): string {
  if (column === 'login_key') return 'login';
  return column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
