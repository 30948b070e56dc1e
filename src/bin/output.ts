// What commands print: tables and facts for people, JSON for programs. Everything that came from a peer is made printable, so that a
// device's name cannot play with the terminal.
import { printable } from '#base/log.ts';
import type { CommandIo } from './io.ts';

export function printJson(io: CommandIo, value: unknown): void {
  io.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

export function printLine(io: CommandIo, text = ''): void {
  io.stdout.write(`${text}\n`);
}

type Cell = string | number | boolean | null | undefined;

const shown = (cell: Cell): string => (cell === null || cell === undefined || cell === '' ? '-' : typeof cell === 'boolean' ? (cell ? 'yes' : 'no') : printable(String(cell), 500));
const widthOf = (text: string): number => Array.from(text).length;

/** Columns as wide as they need to be; on a terminal the last one is cut to what is left. `nothing` is said for no rows. */
export function printTable(io: CommandIo, heads: readonly string[], rows: readonly (readonly Cell[])[], nothing: string): void {
  if (rows.length === 0) {
    printLine(io, nothing);
    return;
  }
  const cells = [heads, ...rows].map((row) => row.map(shown));
  const widths = heads.map((_, column) => Math.max(...cells.map((row) => widthOf(row[column] ?? ''))));
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const room = io.isTerminal ? Math.max(12, io.columns - before) : Infinity;
  for (const row of cells) {
    const parts = row.map((text, column) => {
      if (column < row.length - 1) return text + ' '.repeat(widths[column]! - widthOf(text) + 2);
      return widthOf(text) > room ? `${Array.from(text).slice(0, room - 1).join('')}…` : text;
    });
    printLine(io, parts.join('').trimEnd());
  }
}

/** Name and value, one a line. */
export function printFacts(io: CommandIo, facts: readonly (readonly [name: string, value: Cell])[]): void {
  const width = Math.max(...facts.map(([name]) => name.length));
  for (const [name, value] of facts) printLine(io, `${name.padEnd(width)}  ${shown(value)}`);
}

/** `3 min`, `2 h`, `5 d`; one unit says enough. */
export function formatLength(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 120) return `${s} s`;
  if (s < 120 * 60) return `${Math.round(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86_400)} d`;
}

export function formatAgo(at: number | null, now: number): string {
  return at === null ? 'never' : `${formatLength(now - at)} ago`;
}

/** Local time to the second, without a zone: `2026-11-20 09:12:03`. */
export function formatTime(at: number): string {
  const date = new Date(at);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

export function formatBytes(bytes: number): string {
  let size = bytes;
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (size < 1000) return `${unit === 'B' || size >= 100 ? Math.round(size) : size.toFixed(1)} ${unit}`;
    size /= 1000;
  }
  return `${size.toFixed(1)} TB`;
}

/** Flat facts of a journal or audit line: `port=80 why="device is offline"`. */
export function formatFields(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== null)
    .map(([name, value]) => (typeof value === 'string' && /[\s"=]|^$/.test(value) ? `${name}=${JSON.stringify(value)}` : `${name}=${String(value)}`))
    .join(' ');
}
