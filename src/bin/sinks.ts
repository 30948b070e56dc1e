// `postern sinks`: where records go from here, and how far they are.
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatBytes, printJson, printLine, printTable } from './output.ts';

export const usage = `Usage: postern sinks
       postern sinks retry NAME

Where records go from here, how far each sink is behind, and what hinders it. retry tries at once, also a target that
wanted no more. postern replay delivers again.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, {}, { min: 0, max: 2 });
  const [act, name] = positionals;
  if (act !== undefined && act !== 'retry') throw usageFault(`there is no "sinks ${act}"`);
  if (act !== undefined && name === undefined) throw usageFault('the sink\'s name is missing');
  using client = await openGateway(io, values);
  if (name !== undefined) {
    await client.call('retrySink', { params: { name }, signal: io.signal });
    if (values.json) printJson(io, {});
    else printLine(io, `${name} is tried now.`);
    return exitCodes.ok;
  }
  const { items } = await client.call('listSinks', { signal: io.signal });
  if (values.json) {
    printJson(io, items);
    return exitCodes.ok;
  }
  const now = Date.now();
  printTable(
    io,
    ['SINK', 'KIND', 'STATE', 'BEHIND', 'RECORDS', 'UNPARSED', 'LAST', 'REMARKS'],
    items.map((each) => [
      each.name, each.kind, each.state,
      each.lagBytes === 0 ? null : `${each.lagIsMore ? 'over ' : ''}${formatBytes(each.lagBytes)} of ${each.lagEpochs}`,
      each.records, each.unparsed === 0 ? null : each.unparsed, formatAgo(each.lastAt, now), each.lastError,
    ]),
    'There are no sinks: records stay here.',
  );
  return exitCodes.ok;
}
