// What list and page of feeds share: the last minutes as a drawing, what waits at the device, what is wrong.
import type { FeedView } from '#api/feed-shapes.ts';
import { bytes, count, relative } from '../format.ts';
import { text } from '../text.ts';
import { Badge } from '../ui/bits.tsx';

const words = text.data;
const BARS = 20;

export const feedName = (feed: Pick<FeedView, 'name' | 'serial' | 'device'>): string => `${feed.device?.name ?? feed.serial} / ${feed.name}`;
export const perMinute = (feed: Pick<FeedView, 'rate'>): string => words.feeds.perMinute(bytes(feed.rate.bytesPerMinute));
export const gapReason = (reason: string): string => words.gapReasons[reason] ?? reason;

/** Twenty quarters of a minute; the highest is as high as the drawing. */
export function Sparkline({ feed, wide = false }: { feed: Pick<FeedView, 'recentBytes' | 'rate'>; wide?: boolean }) {
  const recent = feed.recentBytes.length > 0 ? feed.recentBytes : Array.from({ length: BARS }, () => 0);
  const most = Math.max(1, ...recent);
  const [width, height] = [recent.length * 5, 24];
  return (
    <svg role="img" aria-label={words.feeds.drawn(bytes(feed.rate.bytesPerMinute))} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" className={`block shrink-0 ${wide ? 'h-12 w-full' : 'h-6 w-24'}`}>
      {recent.map((value, at) => {
        const tall = value === 0 ? 1 : Math.max(3, (value / most) * height);
        // Their order is their time.
        return <rect key={at} x={at * 5} y={height - tall} width={3.6} height={tall} rx={0.8} className={value === 0 ? 'fill-line-strong' : 'fill-accent'} />;
      })}
    </svg>
  );
}

export function Pending({ said }: { said: FeedView['said'] }) {
  if (said === null) return <span className="text-ink-3" title={words.feeds.notSaid}>–</span>;
  const title = said.at === null ? undefined : words.feeds.pendingTitle(relative(said.at, Date.now()));
  return <span title={title} className={said.pendingBytes > 0 ? 'text-warn-ink' : 'text-ink-3'}>{said.pendingBytes > 0 ? bytes(said.pendingBytes) : words.feeds.nothingPending}</span>;
}

export function FeedBadges({ feed }: { feed: FeedView }) {
  const { states } = words;
  const sealed = feed.epoch !== null && feed.epoch.sealedAt !== null;
  return (
    <>
      {feed.waiting ? <Badge mood="accent"><span title={states.waitingTitle}>{states.waiting}</span></Badge> : null}
      {feed.behindBytes > 0 ? <Badge mood="bad" icon="warning"><span title={states.behindTitle(bytes(feed.behindBytes))}>{states.behind}</span></Badge> : null}
      {feed.unframed ? <Badge mood="bad" icon="warning"><span title={states.unframedTitle}>{states.unframed}</span></Badge> : null}
      {feed.conflicts > 0 ? <Badge mood="warn" icon="warning"><span title={states.conflictTitle}>{states.conflict}</span></Badge> : null}
      {sealed ? <Badge><span title={states.sealedTitle(feed.epoch?.sealedTo ?? states.sealedSomewhere)}>{states.sealed}</span></Badge> : null}
    </>
  );
}

export function GapCount({ feed }: { feed: Pick<FeedView, 'gaps'> }) {
  return <span className={feed.gaps > 0 ? 'font-medium text-warn-ink' : 'text-ink-3'}>{count(feed.gaps)}</span>;
}
