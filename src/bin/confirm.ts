// `postern confirm`: the configuration that was applied with --confirm stays.
import { Fault } from '#base/fault.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern confirm

Keeps the configuration that postern apply --confirm put in force for the time being. It comes over a connection of
its own, so its getting through shows that the gateway can still be reached. Whoever may change the configuration
may confirm it.
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, {}, { min: 0, max: 0 });
  using client = await openGateway(io, values);
  const { revision, provisional } = await client.call('getConfigState', { signal: io.signal });
  if (!provisional) throw new Fault('conflict', `nothing waits to be confirmed: revision ${revision} is in force`, { remedy: 'Was it rolled back? postern history says.' });
  const done = await client.call('confirmConfig', { body: { revision: provisional.revision }, signal: io.signal });
  if (values.json) printJson(io, done);
  else printLine(io, `Confirmed: revision ${done.revision} stays.`);
  return exitCodes.ok;
}
