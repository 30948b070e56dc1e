// The audit's hash chain: what a line is made of and how a line is checked against the one before it.
// A line's hash is the SHA-256 (hex) of its canonical JSON: the keys in the order of `canonical`, no spaces, the detail's
// keys sorted by code unit, strings as JSON.stringify writes them. Anyone can check an exported audit with that.
import { createHash } from 'node:crypto';
import type { Actor, AuditEntry, AuditLine } from './rows.ts';

/** Where a chain stands: the last line's number and hash. */
export interface AuditHead {
  readonly seq: number;
  readonly hash: string;
}

/** Before the first line. */
export const emptyAuditHead: AuditHead = { seq: 0, hash: '0'.repeat(64) };

/** Numbers the entry, links it to the line before and hashes it. */
export function chainLine(previous: AuditHead, entry: AuditEntry): AuditLine {
  const line = { ...wellFormed(entry), seq: previous.seq + 1, previousHash: previous.hash };
  return { ...line, hash: hashOf(line) };
}

/** Why `line` cannot follow `previous`, or null when it can. */
export function verifyLine(previous: AuditHead, line: AuditLine): string | null {
  if (line.seq !== previous.seq + 1) return `line ${previous.seq + 1} is missing: after line ${previous.seq} comes line ${line.seq}`;
  if (line.previousHash !== previous.hash) return `line ${line.seq} does not continue line ${previous.seq}: a line was changed, inserted or removed here`;
  if (hashOf(line) !== line.hash) return `line ${line.seq} was changed after it was written: its hash does not match its content`;
  return null;
}

function hashOf(line: Omit<AuditLine, 'hash'>): string {
  return createHash('sha256').update(canonical(line)).digest('hex');
}

function canonical(line: Omit<AuditLine, 'hash'>): string {
  const { actor } = line;
  return object([
    ['seq', line.seq],
    ['previousHash', line.previousHash],
    ['at', line.at],
    ['customerId', line.customerId],
    ['actorKind', actor.kind],
    ['actorId', actor.id],
    ['actorName', actor.name],
    ['actorFrom', actor.from],
    ['what', line.what],
    ['subjectKind', line.subjectKind],
    ['subjectId', line.subjectId],
    ['subjectName', line.subjectName],
    // Written by hand: JSON.stringify of an object would move keys that look like numbers to the front.
    ['detail', object(Object.entries(line.detail).sort(([a], [b]) => (a < b ? -1 : 1))), 'json'],
  ]);
}

function object(fields: readonly (readonly [name: string, value: unknown, as?: 'json'])[]): string {
  return `{${fields.map(([name, value, as]) => `${JSON.stringify(name)}:${as === 'json' ? String(value) : JSON.stringify(value)}`).join(',')}}`;
}

/** Half a surrogate pair does not survive UTF-8, so a line that held one would no longer match its hash when read back. */
function wellFormed(entry: AuditEntry): AuditEntry {
  const actor: Actor = { kind: entry.actor.kind, id: entry.actor.id, name: entry.actor.name.toWellFormed(), from: entry.actor.from.toWellFormed() };
  return {
    at: entry.at,
    customerId: entry.customerId,
    actor,
    what: entry.what.toWellFormed(),
    subjectKind: entry.subjectKind.toWellFormed(),
    subjectId: entry.subjectId?.toWellFormed() ?? null,
    subjectName: entry.subjectName.toWellFormed(),
    detail: Object.fromEntries(Object.entries(entry.detail).map(([key, value]) => [key.toWellFormed(), storable(value)])),
  };
}

function storable(value: AuditEntry['detail'][string]): AuditEntry['detail'][string] {
  if (typeof value === 'string') return value.toWellFormed();
  // What JSON has no word for comes back as null (and -0 as 0): hash what will be read back.
  if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : null;
  return value;
}
