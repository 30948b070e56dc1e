// One feed: what of it is here and what is missing, its records, its counters; taken home or removed.
import type { Answer } from '#api/contract.ts';
import type { EpochView } from '#api/feed-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { call, isProblem } from '../api.ts';
import { bytes, count } from '../format.ts';
import { feedQuery, meQuery, refresh, sinksQuery } from '../queries.ts';
import { without } from '../search.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, CopyValue, Facts, PageHead, Skeleton, Time } from '../ui/bits.tsx';
import { Button, buttonClass } from '../ui/button.tsx';
import { Select } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { ActionMenu, Confirm } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { saveFile } from './certificate-files.tsx';
import { readAllBytes } from './feed-bytes.ts';
import { FeedBadges, feedName, Pending, perMinute, Sparkline } from './feed-parts.tsx';
import { RecordsCard } from './feed-records.tsx';
import { TimelineCard } from './feed-timeline.tsx';
import { ReplayDialog } from './replay.tsx';

const route = getRouteApi('/inside/data/feeds/$feed');
const words = text.data.feed;
export type FeedWithEpochs = Answer<'getFeed'>;

export function FeedPage() {
  const { feed: id } = route.useParams();
  const feed = useQuery(feedQuery(id));
  if (feed.isPending) return <Skeleton lines={8} />;
  if (feed.data === undefined) {
    return (
      <div className="flex flex-col gap-4">
        <BackLink />
        <ProblemNote problem={feed.error} {...(isProblem(feed.error, 404) ? {} : { again: () => void feed.refetch() })} />
      </div>
    );
  }
  return <FeedBody feed={feed.data} />;
}

function BackLink() {
  return (
    <Link to="/data/feeds" className="mb-1.5 -ml-1 inline-flex items-center gap-1 rounded-md px-1 text-sm text-ink-2 hover:text-ink">
      <Icon name="left" size={14} />
      {words.back}
    </Link>
  );
}

function FeedBody({ feed }: { feed: FeedWithEpochs }) {
  const search = route.useSearch();
  const navigate = useNavigate({ from: '/data/feeds/$feed' });
  const epoch = feed.epochs.find((each) => each.epoch === search.epoch) ?? feed.epochs[0] ?? null;
  const isNewest = epoch !== null && epoch.epoch === feed.epoch?.epoch;
  const choose = (name: string) => void navigate({ search: () => (name === feed.epochs[0]?.epoch ? {} : { epoch: name }), replace: true });
  const show = (from: number | null) => void navigate({ search: (before) => (from === null ? without(before, 'from', 'q') : { ...without(before, 'q'), from: String(from) }), replace: true, resetScroll: false });
  return (
    <>
      <PageHead
        name={feedName(feed)}
        before={<BackLink />}
        title={
          <span className="flex min-w-0 flex-wrap items-center gap-x-2.5 gap-y-1">
            <span className="min-w-0 break-words">{feed.name}</span>
            <FeedBadges feed={feed} />
          </span>
        }
        about={
          <span className="flex flex-wrap items-center gap-x-2 gap-y-0.5">
            {feed.device ? <Link to="/devices/$device" params={{ device: feed.device.label }} className="rounded-sm text-accent-ink hover:underline">{feed.device.name}</Link> : feed.waiting ? null : <span>{text.data.feeds.gone}</span>}
            <span>{words.serialLabel} <CopyValue value={feed.serial} label={text.device.facts.serial} /></span>
          </span>
        }
        actions={<Actions feed={feed} epoch={epoch} />}
      />
      <Notices feed={feed} epoch={epoch} />
      {epoch ? (
        <div className="flex flex-col gap-5">
          <TimelineCard feed={feed} epoch={epoch} isNewest={isNewest} onShow={show} picker={feed.epochs.length > 1 ? <Select aria-label={words.epoch} value={epoch.epoch} onValue={choose} options={feed.epochs.map(({ epoch: name }, at) => [name, at === 0 ? words.newest(name) : name])} className="w-76 max-w-full" /> : null} />
          <div className="grid items-start gap-5 xl:grid-cols-[minmax(0,1.9fr)_minmax(0,1fr)]">
            {/* Another epoch, another list: nothing of the one before stays. */}
            <RecordsCard key={`${feed.id} ${epoch.epoch}`} feed={feed} epoch={epoch} from={search.from} pattern={search.q ?? ''} onAsk={({ from, pattern }) => void navigate({ search: (before) => ({ ...without(before, 'from', 'q'), ...(from === null ? {} : { from: String(from) }), ...(pattern ? { q: pattern } : {}) }), replace: true, resetScroll: false })} />
            <Counters feed={feed} epoch={epoch} isNewest={isNewest} />
          </div>
        </div>
      ) : null}
    </>
  );
}

function Notices({ feed, epoch }: { feed: FeedWithEpochs; epoch: EpochView | null }) {
  const notices: ReactNode[] = [];
  if (feed.waiting) notices.push(<Callout key="waiting" mood="accent" icon="info" title={words.waitingTitle} action={<Link to="/devices" className={buttonClass('plain', 'sm')}>{words.toWaiting}</Link>}>{words.waitingAbout}</Callout>);
  if (epoch && epoch.behindBytes > 0) notices.push(<Callout key="behind" mood="bad" icon="history" title={words.behindTitle(bytes(epoch.behindBytes))}>{words.behindAbout}</Callout>);
  if (epoch?.unframed) notices.push(<Callout key="unframed" mood="bad" icon="warning" title={words.unframedTitle}>{words.unframedAbout(epoch.format, count(epoch.boundary))}</Callout>);
  if (epoch && epoch.conflicts > 0) notices.push(<Callout key="conflict" mood="warn" icon="warning" title={words.conflictTitle}>{words.conflictAbout}</Callout>);
  if (epoch && epoch.sealedAt !== null) notices.push(<Callout key="sealed" icon="open" title={words.sealedTitle(epoch.sealedTo ?? text.data.states.sealedSomewhere)}>{words.sealedAbout(count(epoch.next))}</Callout>);
  return notices.length > 0 ? <div className="mb-5 flex flex-col gap-3">{notices}</div> : null;
}

function Actions({ feed, epoch }: { feed: FeedWithEpochs; epoch: EpochView | null }) {
  const [removing, setRemoving] = useState(false);
  const [replaying, setReplaying] = useState(false);
  const [taken, setTaken] = useState<number | null>(null);
  const { data: me } = useQuery(meQuery);
  const mayReplay = (me?.may.administerGateway ?? false) && epoch !== null;
  const sinks = useQuery({ ...sinksQuery, enabled: mayReplay, refetchInterval: false });
  const canReplay = mayReplay && (sinks.data?.items.length ?? 0) > 0;
  const navigate = useNavigate();
  const name = feedName(feed);
  const download = async () => {
    if (!epoch) return;
    setTaken(0);
    try {
      const { bytes: content, whole, size } = await readAllBytes(feed.id, epoch.epoch, setTaken);
      saveFile(`${feed.serial.replace(/[^\w.-]/g, '_')}-${feed.name}-${epoch.epoch}.bin`, 'application/octet-stream', content);
      say(words.downloaded(bytes(size)), whole ? undefined : words.downloadTooLong(bytes(size)));
    } catch (thrown) {
      sayProblem(thrown);
    }
    setTaken(null);
  };
  return (
    <>
      <Button icon="download" busy={taken !== null} disabled={!epoch} onClick={() => void download()}>{taken === null || taken === 0 ? words.download : words.downloading(bytes(taken))}</Button>
      {feed.mayRemove || canReplay ? <ActionMenu label={text.data.actions(name)} entries={[...(canReplay ? [{ label: text.data.sinks.toSink, icon: 'refresh' as const, run: () => setReplaying(true) }] : []), ...(feed.mayRemove ? [{ label: words.remove, icon: 'trash' as const, danger: true, run: () => setRemoving(true) }] : [])]} /> : null}
      <ReplayDialog open={replaying} feed={{ id: feed.id, name, epoch: epoch?.epoch ?? null }} onClose={() => setReplaying(false)} />
      <Confirm
        open={removing}
        onClose={() => setRemoving(false)}
        title={words.removeTitle(name)}
        about={words.removeAbout(bytes(feed.bytes), text.data.feeds.records(feed.records))}
        action={words.removeAction}
        typed={feed.name}
        run={async () => {
          await call('removeFeed', { params: { feed: feed.id } });
          say(words.removedSaid(name));
          await navigate({ to: '/data/feeds' });
          await refresh('feeds');
        }}
      />
    </>
  );
}

function Counters({ feed, epoch, isNewest }: { feed: FeedWithEpochs; epoch: EpochView; isNewest: boolean }) {
  const facts = words.facts;
  const fixed = /^fixed:(\d+)$/.exec(epoch.format)?.[1];
  const open = epoch.next - epoch.boundary;
  const said = feed.said?.epoch === epoch.epoch ? feed.said : null;
  return (
    <Card title={words.counters}>
      {isNewest ? (
        <figure className="mb-4">
          <figcaption className="mb-1 flex justify-between gap-3 text-sm text-ink-2"><span>{facts.rate}</span><span className="num">{feed.rate.bytesPerMinute > 0 ? perMinute(feed) : text.data.feeds.quiet}</span></figcaption>
          <Sparkline feed={feed} wide />
        </figure>
      ) : null}
      <Facts
        rows={[
          [facts.kind, <Badge key="kind" mood={epoch.kind === 'offset' ? 'ok' : 'neutral'}>{words.kinds[epoch.kind]}</Badge>],
          [facts.format, fixed ? words.fixed(fixed) : (words.formats[epoch.format] ?? epoch.format)],
          [facts.records, count(epoch.records)],
          [facts.next, count(epoch.next)],
          open > 0 && !epoch.unframed && epoch.format !== 'raw' ? [facts.open, words.openAbout(bytes(open))] : null,
          [facts.batches, count(epoch.batches)],
          epoch.repeats > 0 ? [facts.repeats, words.repeatsAbout(epoch.repeats)] : null,
          epoch.gaps > 0 ? [facts.lost, <span key="lost" className="text-warn-ink">{bytes(epoch.lostBytes)}</span>] : null,
          epoch.conflicts > 0 ? [facts.conflicts, <span key="conflicts" className="text-bad-ink">{count(epoch.conflicts)}</span>] : null,
          isNewest ? [facts.pending, <span key="pending"><Pending said={said} />{said?.at ? <span className="text-ink-3">, {words.saidAt} <Time at={said.at} /></span> : null}</span>] : null,
          said && said.lostBytes > 0 ? [facts.lostAtDevice, <span key="lost-there" className="text-warn-ink">{bytes(said.lostBytes)}</span>] : null,
          [facts.last, <Time key="last" at={epoch.lastAt} />],
          [facts.began, <Time key="began" at={epoch.createdAt} />],
        ]}
      />
    </Card>
  );
}
