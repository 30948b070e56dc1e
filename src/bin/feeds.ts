// `postern feeds`: what devices bring.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { feedsOf, type FeedView } from './feed-choice.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatBytes, printJson, printTable } from './output.ts';

export const usage = `Usage: postern feeds [DEVICE] [OPTIONS]

What devices bring: how much is kept, how fast it grows, what is missing. DEVICE is an id, a label, CUSTOMER/NAME or a
serial. postern feed shows one with its epochs, postern records what is in it.

      --search TEXT   only those with it in their name, serial, or the name or label of their device
      --limit N       at most so many (1000)
${commonUsage}`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { search: { type: 'string' }, limit: { type: 'string' } }, { min: 0, max: 1 });
  const limit = parseCount(values.limit, 'limit', 1_000);
  using client = await openGateway(io, values);
  const { search } = values;
  const [device] = positionals;
  const feeds = device === undefined
    ? await collect(limit, (query) => client.call('listFeeds', { query: { ...query, ...(search === undefined ? {} : { search }) }, signal: io.signal }))
    : (await feedsOf(client, device, io.signal)).filter((each) => search === undefined || each.name.includes(search.toLowerCase())).slice(0, limit);
  if (values.json) {
    printJson(io, feeds);
    return exitCodes.ok;
  }
  const now = Date.now();
  printTable(
    io,
    ['DEVICE', 'FEED', 'KEPT', 'RECORDS', 'PER MINUTE', 'LAST', 'AT THE DEVICE', 'REMARKS'],
    feeds.map((feed) => [
      feed.device?.label ?? feed.serial, feed.name, formatBytes(feed.bytes), feed.records,
      feed.rate.batchesPerMinute === 0 ? null : `${formatBytes(feed.rate.bytesPerMinute)} in ${feed.rate.batchesPerMinute}`,
      formatAgo(feed.lastAt, now),
      feed.said === null ? null : `${formatBytes(feed.said.pendingBytes)}${feed.said.lostBytes > 0 ? `, ${formatBytes(feed.said.lostBytes)} lost` : ''}`,
      remarksOf(feed).join(', '),
    ]),
    device === undefined ? 'No device has brought anything yet.' : 'It has brought nothing yet.',
  );
  return exitCodes.ok;
}

export function remarksOf(feed: Pick<FeedView, 'waiting' | 'device' | 'behindBytes' | 'unframed' | 'gaps' | 'conflicts' | 'epoch'>): string[] {
  return [
    feed.waiting ? 'in quarantine' : feed.device === null ? 'device removed' : null,
    feed.behindBytes > 0 ? `${formatBytes(feed.behindBytes)} behind its device` : null,
    feed.unframed ? 'cannot be split into records' : null,
    feed.gaps > 0 ? `${feed.gaps} ${feed.gaps === 1 ? 'gap' : 'gaps'}` : null,
    feed.conflicts > 0 ? `${feed.conflicts} ${feed.conflicts === 1 ? 'conflict' : 'conflicts'}` : null,
    feed.epoch && feed.epoch.sealedAt !== null ? `went on at ${feed.epoch.sealedTo ?? 'another server'}` : null,
    feed.epoch?.kind === 'keyed' ? 'at least once, with a key' : null,
  ].filter((each) => each !== null);
}
