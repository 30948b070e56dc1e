// `postern export`: the configuration as a file that `postern apply` takes.
import { writeFile } from 'node:fs/promises';
import { Fault, reasonOf } from '#base/fault.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson } from './output.ts';

export const usage = `Usage: postern export [-o FILE]

The configuration as JSON, for version control and postern apply. Devices, people and keys are not part of it.

  -o, --output FILE   instead of standard output
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values } = parseCommand(args, { output: { type: 'string', short: 'o' } }, { min: 0, max: 0 });
  using client = await openGateway(io, values);
  const { revision, config } = await client.call('getConfig', { signal: io.signal });
  if (values.output === undefined) {
    printJson(io, config);
    return exitCodes.ok;
  }
  await writeFile(values.output, `${JSON.stringify(config, null, 2)}\n`).catch((cause: unknown) => {
    throw new Fault('bad-input', `${values.output} cannot be written: ${reasonOf(cause)}`, { cause });
  });
  io.stderr.write(`Revision ${revision} is in ${values.output}\n`);
  return exitCodes.ok;
}
