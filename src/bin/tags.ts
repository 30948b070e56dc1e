// `postern tags`: words on a device that rules can go by.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern tags DEVICE
       postern tags DEVICE TAG… [--add | --remove]
       postern tags DEVICE --none

Shows or replaces a device's tags. DEVICE is an id, a label or CUSTOMER/NAME.

      --add           keep those that it has
      --remove        take these away, keep the others
      --none          take all away
${commonUsage}`;

const wordsMax = 33;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { add: { type: 'boolean' }, remove: { type: 'boolean' }, none: { type: 'boolean' } }, { min: 1, max: wordsMax });
  const [device, ...tags] = positionals as [string, ...string[]];
  if ([values.add, values.remove, values.none].filter(Boolean).length > 1) throw usageFault('--add, --remove and --none do not go together');
  if (values.none && tags.length > 0) throw usageFault('--none takes no tags');
  if ((values.add || values.remove) && tags.length === 0) throw usageFault('name the tags');
  using client = await openGateway(io, values);
  const { signal } = io;
  const params = { device };
  const isShown = tags.length === 0 && !values.none;
  const before = isShown || values.add || values.remove ? (await client.call('getDeviceTags', { params, signal })).tags : [];
  const wanted = values.remove ? before.filter((each) => !tags.includes(each)) : [...new Set([...before, ...tags])];
  const done = isShown ? before : (await client.call('setDeviceTags', { params, body: { tags: wanted }, signal })).tags;
  if (values.json) printJson(io, { tags: done });
  else printLine(io, done.length === 0 ? 'no tags' : done.map((each) => printable(each)).join('\n'));
  return exitCodes.ok;
}
