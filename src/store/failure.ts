// Failures: what SQLite's mean to a caller, and how they cross from a thread to the main one.
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

/** Result codes: https://sqlite.org/rescode.html. The low byte is the kind, the rest its variety. */
export function asFault(thrown: unknown): unknown {
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

function constraintFault(errcode: number, message: string, fault: (code: FaultCode, text: string, remedy?: string, more?: Record<string, unknown>) => Fault): Fault {
  // "UNIQUE constraint failed: site.customer_id, site.name": the last column is the one that a person chose.
  const column = /constraint failed: (?:.*, )?(\w+)\.(\w+)$/.exec(message);
  const table = column?.[1]?.replaceAll('_', ' ') ?? 'row';
  const field = fieldOf(column?.[2] ?? '');
  switch (errcode) {
    case 2067:
    case 1555:
    case 2579:
      if (table === 'audit') return fault('internal', 'the audit was changed from outside while the gateway runs', 'restart the gateway and run `postern audit verify`');
      return fault('conflict', `another ${table} has this ${field} already`, 'choose another one', { table, field });
    case 787:
      return fault('not-found', 'something that this refers to does not exist, or not any more', 'look again: it may just have been removed');
    default:
      return fault('bad-input', `the store does not take this value: ${message}`, undefined, { table, field });
  }
}

/** The name that callers know: `login_key` is about the login. */
function fieldOf(column: string): string {
  if (column === 'login_key') return 'login';
  return column.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
