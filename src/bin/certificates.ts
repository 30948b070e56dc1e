// `postern certificates`: every certificate, with who uses it and what is wrong with it.
import { collect, commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printTable } from './output.ts';

export const usage = `Usage: postern certificates [TEXT]

Certificates of people, requests that wait, ACME, the private CA and what it made by itself. TEXT is looked for in
names, subjects and fingerprints. Exit code 1: one has ended, or ends within 7 days.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, {}, { min: 0, max: 1 });
  const [search] = positionals;
  using client = await openGateway(io, values);
  const all = await collect(10_000, (query) => client.call('listCertificates', { query: { ...query, ...(search === undefined ? {} : { search }) }, signal: io.signal }));
  if (values.json) printJson(io, all);
  else {
    printTable(
      io,
      ['NAME', 'SOURCE', 'STATE', 'LEFT', 'KEY', 'USED', 'NAMES', 'REMARK'],
      all.map((each) => [
        each.name, each.source, each.enabled ? each.state : 'off', each.daysLeft === null ? null : `${each.daysLeft} d`, each.keyKind, each.usedBy.length + each.usedByMore,
        shortList([...each.names.dns, ...each.names.ip]), each.lastError ?? each.alarm?.text ?? (each.requestWaits ? 'its request waits for the answer' : null),
      ]),
      'None fits.',
    );
  }
  return all.some((each) => each.alarm?.severity === 'error') ? exitCodes.failed : exitCodes.ok;
}

const shortList = (names: readonly string[]) => (names.length <= 3 ? names.join(' ') : `${names.slice(0, 3).join(' ')} +${names.length - 3}`);
