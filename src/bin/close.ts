// `postern close`: ends a client's connection now.
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern close CONN

Ends a connection now, by the id that postern conns shows. The audit says who did it.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, {}, { min: 1, max: 1 });
  using client = await openGateway(io, values);
  await client.call('closeConn', { params: { id: positionals[0]! }, signal: io.signal });
  if (values.json) printJson(io, { closed: positionals[0] });
  else printLine(io, 'Closed.');
  return exitCodes.ok;
}
