// `postern server`: lets a server that devices are sent to run empty, or take devices again.
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern server drain NAME [--now | --undo]

A drained server gets no new devices; those that are there leave as their leases end. It is a change of the configuration:
postern history shows it, and a file that is applied later says it again or takes it back.

      --now           they leave at their next request to this gateway
      --undo          it takes devices again
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { now: { type: 'boolean' }, undo: { type: 'boolean' } }, { min: 2, max: 2 });
  const [act, server] = positionals as [string, string];
  if (act !== 'drain') throw usageFault(`there is no "server ${act}"`);
  if (values.now && values.undo) throw usageFault('--now and --undo do not go together');
  using client = await openGateway(io, values);
  const done = await client.call('drainServer', { params: { server }, body: { drain: values.undo ? 'no' : values.now ? 'now' : 'new' }, signal: io.signal });
  if (values.json) printJson(io, done);
  else if (values.undo) printLine(io, `${done.name} takes devices again.`);
  else printLine(io, `${done.name} gets no new devices; ${done.leases === 0 ? 'none is there' : `${done.leases} ${done.leases === 1 ? 'is' : 'are'} there and ${values.now ? 'go elsewhere when they ask here next' : 'leave as their leases end'}`}. postern redirects shows how many are left.`);
  return exitCodes.ok;
}
