// `postern audit`: what people did, and whether the chain of hashes is whole.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatFields, formatTime, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern audit [--what EVENT] [--limit N]
       postern audit verify

verify walks the whole chain; exit code 1: it is broken. Compare the head with one that left the machine before.

      --what EVENT    only these: device.locked, visit.opened, sign-in.refused …
      --limit N       the newest N (50)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { what: { type: 'string' }, limit: { type: 'string' } }, { min: 0, max: 1 });
  const [act] = positionals;
  if (act !== undefined && act !== 'verify') throw usageFault(`there is no "audit ${act}"`);
  using client = await openGateway(io, values);
  if (act === 'verify') {
    const result = await client.call('verifyAudit', { signal: io.signal });
    if (values.json) printJson(io, result);
    else if (result.brokenAt === null) printLine(io, `${result.lines} lines, the chain is whole${result.droppedThrough === undefined ? '' : ` from line ${result.droppedThrough + 1} on; those before are past their retention`}. Head ${result.headHash}`);
    else printLine(io, `BROKEN at line ${result.brokenAt}: ${result.why ?? 'the hash is wrong'}. ${result.lines} lines in all.`);
    return result.brokenAt === null ? exitCodes.ok : exitCodes.failed;
  }
  const { what } = values;
  const lines = await collect(parseCount(values.limit, 'limit', 50), (query) => client.call('listAudit', { query: { ...query, ...(what === undefined ? {} : { what }) }, signal: io.signal }));
  if (values.json) printJson(io, lines);
  else printTable(io, ['LINE', 'AT', 'WHO', 'FROM', 'WHAT', 'ABOUT', 'DETAIL'], lines.map((line) => [line.seq, formatTime(line.at), line.actor.name || line.actor.kind, line.actor.from, line.what, line.subjectName, formatFields(line.detail)]), 'Nothing yet.');
  return exitCodes.ok;
}
