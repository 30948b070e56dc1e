// How a difference between two configurations is written to a terminal: one line a thing, one a field.
import type { ConfigDiffView } from '#api/shapes.ts';
import { printable } from '#base/log.ts';
import { formatLength, formatTime, printLine } from './output.ts';
import type { CommandIo } from './io.ts';

const signs = { added: '+', removed: '-', changed: '~' } as const;

function valueText(value: unknown): string {
  return printable(value === undefined ? '(absent)' : JSON.stringify(value), 120);
}

export function printDiff(io: CommandIo, { differences, omitted }: ConfigDiffView): void {
  for (const { section, name, kind, fields } of differences) {
    printLine(io, `${signs[kind]} ${printable(section)}${name === null ? '' : ` ${printable(name)}`}${kind === 'changed' ? '' : ` (${kind})`}`);
    for (const { path, before, after } of fields) {
      const what = path ? `${printable(path)}: ` : '';
      if (kind === 'added') printLine(io, `    ${what}${valueText(after)}`);
      else if (kind === 'removed') printLine(io, `    ${what}${valueText(before)}`);
      else printLine(io, `    ${what}${valueText(before)} -> ${valueText(after)}`);
    }
  }
  if (omitted > 0) printLine(io, `… and ${omitted} more.`);
}

/** What to do about a revision that is in force for a while. `now` by the gateway's clock. */
export function printWaiting(io: CommandIo, waiting: { readonly restores: number; readonly confirmBy: number }, now: number): void {
  printLine(io, `Unless it is confirmed within ${formatLength(waiting.confirmBy - now)} (by ${formatTime(waiting.confirmBy)}), revision ${waiting.restores} comes back by itself.`);
  printLine(io, '  keep it        postern confirm     (a connection of its own: that it gets through is the proof)');
  printLine(io, '  back at once   postern rollback');
}
