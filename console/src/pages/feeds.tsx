// Feeds: what comes, what waits at the device, what is missing.
import type { FeedView } from '#api/feed-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { bytes } from '../format.ts';
import { feedsQuery, itemsOf, meQuery } from '../queries.ts';
import { without } from '../search.ts';
import { text } from '../text.ts';
import { Card, Empty, PageHead, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SearchBox } from '../ui/field.tsx';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { FeedBadges, GapCount, Pending, perMinute, Sparkline } from './feed-parts.tsx';
import { FirstBatch } from './first-batch.tsx';
import { useTypedSearch } from './typed-search.ts';

const route = getRouteApi('/inside/data/feeds');
const words = text.data.feeds;

export function FeedsPage() {
  const search = route.useSearch();
  const navigate = useNavigate({ from: '/data/feeds' });
  const { data: me } = useQuery(meQuery);
  const feeds = useInfiniteQuery(feedsQuery(search.q ? { search: search.q } : {}));
  const items = itemsOf(feeds.data) ?? [];
  const [typed, setTyped] = useTypedSearch(search.q ?? '', (q) => void navigate({ search: (before) => (q ? { ...before, q } : without(before, 'q')), replace: true }));
  return (
    <>
      <PageHead title={words.title} about={words.about} />
      <Card flush>
        {items.length > 0 || search.q || feeds.isPending ? (
          <div className="flex border-b border-line p-3 sm:px-5">
            <SearchBox value={typed} onValue={setTyped} label={words.searchLabel} placeholder={words.search} />
          </div>
        ) : null}
        <Loaded query={feeds} lines={6}>
          {items.length > 0 ? (
            <FeedTable feeds={items} />
          ) : search.q ? (
            <Empty icon="search" title={words.nothing} action={<Button onClick={() => void navigate({ search: {}, replace: true })}>{words.clear}</Button>}>{words.nothingAbout}</Empty>
          ) : me?.may.joinDevices ? (
            <Empty icon="data" title={words.empty}>
              {words.emptyAbout}
              <FirstBatch />
              <p className="mt-3">{words.emptyNext}</p>
            </Empty>
          ) : (
            <Empty icon="data" title={words.emptyNoRight}>{words.emptyNoRightAbout}</Empty>
          )}
          <More query={feeds} />
        </Loaded>
      </Card>
    </>
  );
}

/** `ofDevice`: on a device's page, where its name need not be said. */
export function FeedTable({ feeds, ofDevice = false }: { feeds: readonly FeedView[]; ofDevice?: boolean }) {
  const navigate = useNavigate();
  return (
    <div className="relative overflow-x-auto">
      <table className="w-full text-sm num">
        <thead>
          <tr className="border-b border-line">
            <th scope="col" className={headClass}>{words.columns.feed}</th>
            <th scope="col" className={`${headClass} hidden sm:table-cell`}>{words.columns.rate}</th>
            <th scope="col" className={`${headClass} hidden text-right md:table-cell`}>{words.columns.pending}</th>
            <th scope="col" className={`${headClass} text-right`}>{words.columns.gaps}</th>
            <th scope="col" className={`${headClass} hidden text-right ${ofDevice ? '2xl:table-cell' : 'lg:table-cell'}`}>{words.columns.kept}</th>
            <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.columns.last}</th>
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {feeds.map((feed) => (
            <tr
              key={feed.id}
              data-feed={`${feed.serial}/${feed.name}`}
              onClick={(event) => {
                if (event.target instanceof HTMLElement && event.target.closest('a,button')) return;
                if (getSelection()?.toString()) return;
                void navigate({ to: '/data/feeds/$feed', params: { feed: feed.id } });
              }}
              className="cursor-pointer hover:bg-sunken/60"
            >
              <td className={`${cellClass} w-full max-w-0`}>
                <div className="flex min-w-0 flex-wrap items-center gap-x-2 gap-y-1">
                  <Link to="/data/feeds/$feed" params={{ feed: feed.id }} className="min-w-0 truncate font-medium text-ink hover:text-accent-ink hover:underline">{feed.name}</Link>
                  <FeedBadges feed={feed} />
                </div>
                <p className="flex min-w-0 items-center gap-2 text-xs text-ink-3">
                  {ofDevice ? null : <span className="truncate" title={feed.serial}>{feed.device?.name ?? feed.serial}</span>}
                  <span className="shrink-0 sm:hidden"><Time at={feed.lastAt} never={text.common.never} /></span>
                </p>
                {feed.said && feed.said.pendingBytes > 0 ? <p className="text-xs md:hidden"><span className="text-ink-3">{words.columns.pending}: </span><Pending said={feed.said} /></p> : null}
              </td>
              <td className={`${cellClass} hidden sm:table-cell`}>
                <div className="flex items-center gap-3">
                  <Sparkline feed={feed} />
                  <span className={`hidden w-20 whitespace-nowrap xl:inline ${feed.rate.bytesPerMinute > 0 ? 'text-ink-2' : 'text-ink-3'}`}>{feed.rate.bytesPerMinute > 0 ? perMinute(feed) : words.quiet}</span>
                </div>
              </td>
              <td className={`${cellClass} hidden text-right whitespace-nowrap md:table-cell`}><Pending said={feed.said} /></td>
              <td className={`${cellClass} text-right`}><GapCount feed={feed} /></td>
              <td className={`${cellClass} hidden text-right whitespace-nowrap ${ofDevice ? '2xl:table-cell' : 'lg:table-cell'}`}>
                {bytes(feed.bytes)}
                <p className="text-xs text-ink-3">{words.records(feed.records)}</p>
              </td>
              <td className={`${cellClass} hidden text-right text-ink-2 sm:table-cell`}><Time at={feed.lastAt} never={text.common.never} /></td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
