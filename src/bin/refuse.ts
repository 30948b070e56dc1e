// `postern refuse`: serials that wait are turned away, and what they brought is deleted.
import { limits } from '#base/limits.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatBytes, printJson, printLine } from './output.ts';
import { confirm } from './trust.ts';
import { chooseWaiting, inParts } from './waiting-choice.ts';

export const usage = `Usage: postern refuse SERIAL… [--yes]
       postern refuse --all [--yes]

Turns away what waits, and deletes what it has in quarantine. A device that goes on asking waits again; one that shall
not is refused by the configuration: strangers, policy refuse.

      --yes           do not ask where data is deleted
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { all: { type: 'boolean' }, yes: { type: 'boolean' } }, { min: 0, max: 10_000 });
  if ((positionals.length === 0) === (values.all !== true)) throw usageFault('name serials, or --all');
  using client = await openGateway(io, values);
  const chosen = await chooseWaiting(client, positionals, values.all === true, io.signal);
  const bytes = chosen.reduce((sum, row) => sum + row.bytes, 0);
  if (bytes > 0 && !values.yes) {
    if (!('isTTY' in io.stdin && io.stdin.isTTY)) throw usageFault('refuse asks before it deletes data; without a terminal add --yes');
    if (!(await confirm(io, `Delete ${formatBytes(bytes)} of ${chosen.length} devices for good? [y/N] `))) return exitCodes.failed;
  }
  let refused = 0;
  for (const part of inParts(chosen, limits.devicesPerImportMax)) refused += (await client.call('refuseWaitingDevices', { body: { ids: part.map((row) => row.id) }, signal: io.signal })).refused;
  if (values.json) printJson(io, { refused });
  else printLine(io, refused === 0 ? 'No device waits.' : `Refused: ${refused}.`);
  return exitCodes.ok;
}
