// `postern replay`: has a feed delivered to a sink once more.
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { findFeed } from './feed-choice.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern replay SINK FEED --from OFFSET

Delivers a feed to a sink once more, from that offset of a record on. Rows of a database are made anew; files begin a new one
that ends in -r1, -r2 …; other sinks get everything again. FEED is DEVICE/NAME or an id, as for postern feed.

      --from OFFSET   where it begins; 0: the oldest that is kept
      --epoch EPOCH   of that epoch (the newest)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { from: { type: 'string' }, epoch: { type: 'string' } }, { min: 2, max: 2 });
  const [sink, feed] = positionals as [string, string];
  const text = values.from;
  if (text === undefined || !/^\d{1,15}$/.test(text)) throw usageFault('--from takes an offset');
  using client = await openGateway(io, values);
  const found = await findFeed(client, feed, io.signal);
  const done = await client.call('replaySink', { params: { name: sink }, body: { feedId: found.id, offset: Number(text), ...(values.epoch === undefined ? {} : { epoch: values.epoch }) }, signal: io.signal });
  if (values.json) printJson(io, done);
  else printLine(io, `${sink} begins again at ${done.offset} of epoch ${done.epoch}.`);
  return exitCodes.ok;
}
