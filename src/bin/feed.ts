// `postern feed`: one feed, shown or removed.
import type { Client } from '#api/client.ts';
import type { Answer } from '#api/contract.ts';
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { findFeed } from './feed-choice.ts';
import { remarksOf } from './feeds.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatBytes, formatTime, printFacts, printJson, printLine, printTable } from './output.ts';
import { confirm } from './trust.ts';

export const usage = `Usage: postern feed get DEVICE/FEED
       postern feed remove DEVICE/FEED [--yes]

A feed with its epochs and what is lost of it; remove takes it away with all its bytes. DEVICE is an id, a label,
CUSTOMER/NAME or a serial; instead of DEVICE/FEED also the feed's id.
${commonUsage}`;

const gapsShown = 20;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { yes: { type: 'boolean' } }, { min: 2, max: 2 });
  const [act, text] = positionals as [string, string];
  if (act !== 'get' && act !== 'remove') throw usageFault(`there is no "feed ${act}"`);
  using client = await openGateway(io, values);
  const feed = await findFeed(client, text, io.signal);
  if (act === 'remove') return await remove(io, client, feed, values);
  const { items: gaps } = await client.call('listGaps', { params: { feed: feed.id }, query: { limit: 100 }, signal: io.signal });
  if (values.json) printJson(io, { ...feed, lost: gaps });
  else show(io, feed, gaps);
  return exitCodes.ok;
}

async function remove(io: CommandIo, client: Client, feed: Answer<'getFeed'>, { yes, json }: { readonly yes?: boolean | undefined; readonly json?: boolean | undefined }): Promise<number> {
  const named = `${printable(feed.serial)}/${feed.name}`;
  if (!yes) {
    if (!('isTTY' in io.stdin && io.stdin.isTTY)) throw usageFault('remove asks first; without a terminal add --yes');
    if (!(await confirm(io, `Remove ${named} with ${formatBytes(feed.bytes)} for good? [y/N] `))) return exitCodes.ok;
  }
  await client.call('removeFeed', { params: { feed: feed.id }, signal: io.signal });
  if (json) printJson(io, { removed: feed.id });
  else printLine(io, `Removed ${named}, ${formatBytes(feed.bytes)}.`);
  return exitCodes.ok;
}

function show(io: CommandIo, feed: Answer<'getFeed'>, gaps: Answer<'listGaps'>['items']): void {
  const now = Date.now();
  const { said, rate } = feed;
  const remarks = remarksOf(feed);
  printFacts(io, [
    ['feed', feed.name],
    ['id', feed.id],
    ['device', feed.device === null ? `serial ${feed.serial}` : `${feed.device.name} (${feed.device.label}), serial ${feed.serial}`],
    ['kept', `${formatBytes(feed.bytes)}, ${feed.records} records in ${feed.batches} batches`],
    ['last', formatAgo(feed.lastAt, now)],
    ['now', rate.batchesPerMinute === 0 ? 'nothing in the last minutes' : `${formatBytes(rate.bytesPerMinute)} in ${rate.batchesPerMinute} batches a minute`],
    ['at the device', said === null ? 'it says nothing of it' : `${formatBytes(said.pendingBytes)} wait from offset ${said.next} on, ${formatBytes(said.lostBytes)} lost, as it said ${formatAgo(said.at, now)}`],
    ...(remarks.length === 0 ? [] : [['remarks', remarks.join(', ')] as const]),
  ]);
  printLine(io);
  printTable(
    io,
    ['EPOCH', 'FORMAT', 'KEPT FROM', 'NEXT', 'RECORDS', 'REPEATS', 'LOST', 'BEGAN', 'LAST', 'STATE'],
    feed.epochs.map((each) => [
      each.epoch, each.format, each.first, each.next, each.records, each.repeats, each.lostBytes, formatAgo(each.createdAt, now), formatAgo(each.lastAt, now),
      each.sealedAt !== null ? `sealed ${formatAgo(each.sealedAt, now)}${each.sealedTo === null ? '' : `, went on at ${each.sealedTo}`}` : each.unframed ? `cannot be split from ${each.boundary} on` : each.behindBytes > 0 ? `${each.behindBytes} bytes behind its device` : 'open',
    ]),
    'Nothing has come of it yet.',
  );
  if (gaps.length === 0) return;
  printLine(io);
  printTable(io, ['LOST FROM', 'TO', 'BYTES', 'REASON', 'WHEN', 'EPOCH'], gaps.slice(0, gapsShown).map((gap) => [gap.from, gap.to, gap.to - gap.from, gap.reason, formatTime(gap.at), gap.epoch]), '');
  if (gaps.length > gapsShown) printLine(io, 'There are more: --json has them.');
}
