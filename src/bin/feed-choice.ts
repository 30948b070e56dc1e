// `DEVICE/FEED` as people give it: the device by id, label, customer/name or serial, the feed by its name; or a feed's id.
import type { Client } from '#api/client.ts';
import type { Answer } from '#api/contract.ts';
import { Fault, isFault } from '#base/fault.ts';
import { collect } from './arguments.ts';
import { usageFault } from './io.ts';

export type FeedView = Answer<'listFeeds'>['items'][number];

const feedsMax = 10_000;

/** Feeds of a device; of one that is gone, or waits, by its serial. Fault `not-found`. */
export async function feedsOf(client: Client, device: string, signal: AbortSignal): Promise<FeedView[]> {
  const all = (more: { deviceId: string } | { search: string }) => collect(feedsMax, (query) => client.call('listFeeds', { query: { ...query, ...more }, signal }));
  try {
    const { id } = await client.call('getDevice', { params: { device }, signal });
    return await all({ deviceId: id });
  } catch (thrown) {
    if (!isFault(thrown, 'not-found')) throw thrown;
    const bySerial = (await all({ search: device.slice(0, 100) })).filter((each) => each.serial === device);
    if (bySerial.length === 0) throw thrown;
    return bySerial;
  }
}

export async function findFeed(client: Client, text: string, signal: AbortSignal): Promise<Answer<'getFeed'>> {
  const slash = text.lastIndexOf('/');
  if (slash < 0) {
    if (!/^[0-9a-f]{8}-/.test(text)) throw usageFault(`"${text}" names no feed: give DEVICE/FEED, or a feed's id`);
    return client.call('getFeed', { params: { feed: text }, signal });
  }
  const [device, name] = [text.slice(0, slash), text.slice(slash + 1)];
  const feeds = await feedsOf(client, device, signal);
  const named = feeds.filter((each) => each.name === name);
  if (named.length > 1) throw new Fault('conflict', `${named.length} feeds are ${text}: ${named.map((each) => `${each.id} (customer ${each.customer})`).join(', ')}`, { remedy: 'Name it by its id.' });
  if (!named[0]) throw new Fault('not-found', `"${device}" has no feed "${name}"`, { remedy: feeds.length === 0 ? 'Nothing has come from it yet.' : `It has ${feeds.slice(0, 20).map((each) => each.name).join(', ')}.` });
  return client.call('getFeed', { params: { feed: named[0].id }, signal });
}
