// Job sources as a table for spreadsheets: RFC 4180, read strictly. A file is taken whole or not at all, and what it would change is said first.
import type { Id } from '#base/ids.ts';
import { limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import { type SourceDraft, sourceKeyOf, sourceProblem } from './job-sources.ts';
import type { JobSource } from './place-rows.ts';

export const sourceColumns = ['application', 'serial', 'device', 'site', 'address', 'as', 'note'] as const;
type Column = (typeof sourceColumns)[number];

export interface CsvProblem {
  /** From 1, the header included. */
  readonly line: number;
  readonly message: string;
}

export interface CsvRow {
  readonly line: number;
  readonly values: readonly string[];
}

/**
 * Rows of separated values: quoted ones may have line breaks in them, lines end with LF or CRLF, empty ones are passed over. A quote within an
 * unquoted value, text behind a closing quote, and a quote that is left open are problems; the reading ends at the first.
 */
export function readCsv(text: string, delimiter: string, rowsMax: number): readonly CsvRow[] | CsvProblem {
  const rows: CsvRow[] = [];
  let at = text.startsWith('\ufeff') ? 1 : 0;
  let line = 1;
  while (at < text.length) {
    const begun = line;
    const values: string[] = [];
    for (;;) {
      if (text[at] === '"') {
        const opened = line;
        let value = '';
        for (at += 1; ; ) {
          const end = text.indexOf('"', at);
          if (end < 0) return { line: opened, message: 'a quote is opened and not closed' };
          const part = text.slice(at, end);
          for (let i = part.indexOf('\n'); i >= 0; i = part.indexOf('\n', i + 1)) line += 1;
          value += part;
          at = end + 1;
          if (text[at] !== '"') break;
          value += '"';
          at += 1;
        }
        values.push(value);
        if (at < text.length && text[at] !== delimiter && !isLineEnd(text, at)) return { line, message: 'something stands behind a closing quote' };
      } else {
        const from = at;
        while (at < text.length && text[at] !== delimiter && !isLineEnd(text, at)) {
          if (text[at] === '"') return { line, message: 'a quote stands inside a value that does not begin with one; write the value in quotes, and "" for each quote in it' };
          if (text[at] === '\r') return { line, message: 'a carriage return without a line feed' };
          at += 1;
        }
        values.push(text.slice(from, at));
      }
      if (text[at] !== delimiter) break;
      at += 1;
    }
    if (at < text.length) at += text[at] === '\r' ? 2 : 1;
    line += 1;
    if (values.length === 1 && values[0] === '') continue;
    if (rows.length >= rowsMax) return { line: begun, message: `a file has at most ${rowsMax} lines` };
    rows.push({ line: begun, values });
  }
  return rows;
}

const isLineEnd = (text: string, at: number): boolean => text[at] === '\n' || (text[at] === '\r' && text[at + 1] === '\n');

/** Names in the file, as ids. */
export interface SourceNames {
  /** An id, a label, or a name that one device of the customer has; `many`: several have it. */
  device(text: string): Id | 'many' | undefined;
  /** An id or a name. */
  site(text: string): Id | 'many' | undefined;
  isApplication(name: string): boolean;
}

/** What spreadsheets would take for a formula begins so; we put an apostrophe before it, and take one away (OWASP, CSV injection). */
const formula = /^['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]/;
const guarded = /^'['\s]*[=+\-@\uff1d\uff0b\uff0d\uff20]/;
const unguard = (value: string): string => (guarded.test(value) ? value.slice(1) : value);

function columnsOf(row: CsvRow): readonly Column[] | string {
  const names = row.values.map((value) => value.trim().toLowerCase());
  for (const [i, name] of names.entries()) {
    if (!(sourceColumns as readonly string[]).includes(name)) return `the column "${printable(name, 40)}" is not known; there are ${sourceColumns.join(', ')}`;
    if (names.indexOf(name) < i) return `the column "${name}" is there twice`;
  }
  return names.includes('application') ? (names as Column[]) : 'the first line has the names of the columns, "application" among them';
}

function draftOf(row: CsvRow, columns: readonly Column[], names: SourceNames): SourceDraft | string {
  if (row.values.length !== columns.length) return `${row.values.length} values for ${columns.length} columns`;
  const of = (column: Column) => unguard((row.values[columns.indexOf(column)] ?? '').trim());
  const some = (column: Column) => of(column) || null;
  const [device, site] = [some('device'), some('site')];
  const deviceId = device === null ? null : names.device(device);
  if (deviceId === undefined) return `no device "${printable(device!, 80)}"`;
  if (deviceId === 'many') return `several devices are called "${printable(device!, 80)}"; write the label`;
  const siteId = site === null ? null : names.site(site);
  if (siteId === undefined) return `no site "${printable(site!, 80)}"`;
  if (siteId === 'many') return `several sites are called "${printable(site!, 80)}"; write the id`;
  const draft: SourceDraft = { application: of('application'), deviceId, serial: some('serial'), siteId, address: some('address'), as: some('as'), note: of('note') };
  const problem = sourceProblem(draft);
  if (problem !== null) return problem;
  return names.isApplication(draft.application) ? draft : `there is no application "${printable(draft.application, 80)}"`;
}

export interface SourcesRead {
  readonly drafts: readonly SourceDraft[];
  /** With any of them nothing is taken. */
  readonly problems: readonly CsvProblem[];
}

const problemsMax = 100;

/** Columns in any order, separated by commas, or by semicolons where the header is. */
export function readSources(text: string, names: SourceNames): SourcesRead {
  const firstLine = text.slice(0, 200).split(/[\r\n]/, 1)[0]!;
  const rows = readCsv(text, firstLine.includes(';') && !firstLine.includes(',') ? ';' : ',', limits.jobSourcesPerImportMax + 1);
  if (!Array.isArray(rows)) return { drafts: [], problems: [rows as CsvProblem] };
  const [header, ...rest] = rows as readonly CsvRow[];
  const columns = header === undefined ? 'the file is empty' : columnsOf(header);
  if (typeof columns === 'string') return { drafts: [], problems: [{ line: header?.line ?? 1, message: columns }] };
  const drafts: SourceDraft[] = [];
  const problems: CsvProblem[] = [];
  const lineOf = new Map<string, number>();
  for (const row of rest) {
    const draft = draftOf(row, columns, names);
    const before = typeof draft === 'string' ? undefined : lineOf.get(sourceKeyOf(draft));
    if (typeof draft !== 'string' && before === undefined) {
      drafts.push(draft);
      lineOf.set(sourceKeyOf(draft), row.line);
    } else if (problems.length < problemsMax) problems.push({ line: row.line, message: typeof draft === 'string' ? draft : `the same as line ${before}` });
  }
  return { drafts: problems.length === 0 ? drafts : [], problems };
}

function cell(value: string): string {
  const safe = formula.test(value) ? `'${value}` : value;
  return /[",;\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** `read` gives the same rows again. CRLF, as RFC 4180 wants it. */
export function writeSources(sources: Iterable<JobSource>, nameOf: { device(deviceId: Id): string; site(siteId: Id): string }): string {
  const lines = [sourceColumns.join(',')];
  for (const { application, serial, deviceId, siteId, address, as, note } of sources) {
    lines.push([application, serial ?? '', deviceId === null ? '' : nameOf.device(deviceId), siteId === null ? '' : nameOf.site(siteId), address ?? '', as ?? '', note].map(cell).join(','));
  }
  return `${lines.join('\r\n')}\r\n`;
}

export interface SourceDiff {
  readonly added: readonly SourceDraft[];
  readonly changed: readonly { readonly before: JobSource; readonly after: SourceDraft }[];
  readonly removed: readonly JobSource[];
  readonly same: number;
}

/** `replace`: what the file does not have goes; else it stays. `standing`: the customer's rows. */
export function diffSources(standing: Iterable<JobSource>, drafts: readonly SourceDraft[], replace: boolean): SourceDiff {
  const before = new Map(Array.from(standing, (row) => [sourceKeyOf(row), row]));
  const added: SourceDraft[] = [];
  const changed: { before: JobSource; after: SourceDraft }[] = [];
  let same = 0;
  for (const after of drafts) {
    const row = before.get(sourceKeyOf(after));
    before.delete(sourceKeyOf(after));
    if (row === undefined) added.push(after);
    else if (row.as !== after.as || row.note !== after.note) changed.push({ before: row, after });
    else same += 1;
  }
  return { added, changed, removed: replace ? [...before.values()] : [], same };
}
