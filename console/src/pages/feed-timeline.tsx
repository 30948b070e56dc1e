// An epoch drawn from its first byte to its last: what is here, what is missing and why, what is still at the device.
import type { EpochView, GapView } from '#api/feed-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { bytes, count } from '../format.ts';
import { gapsQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { gapReason } from './feed-parts.tsx';
import type { FeedWithEpochs } from './feed.tsx';

const words = text.data.feed;
type Kind = keyof typeof words.legend;

interface Segment {
  readonly kind: Kind;
  readonly from: number;
  readonly to: number;
  readonly why?: string;
}

const fills: Record<Kind, string> = {
  stored: 'bg-accent',
  gap: 'bg-bad',
  dropped: 'bg-line-strong',
  elsewhere: 'bg-line-strong',
  pending: 'border border-dashed border-warn bg-warn-soft',
  missing: 'border border-dashed border-bad bg-bad-soft',
};
const GAPS_SHOWN = 8;
/** What is not here may be far more than what is; it is drawn no longer than so much of it. */
const AHEAD_SHARE = 0.3;

export function segmentsOf(epoch: EpochView, gaps: readonly Pick<GapView, 'from' | 'to' | 'reason'>[], pendingBytes: number): Segment[] {
  const segments: Segment[] = [];
  // Bytes before the start were another server's: they are drawn as a stub only.
  if (epoch.first > epoch.start) segments.push({ kind: 'dropped', from: epoch.start, to: epoch.first });
  let at = Math.max(epoch.first, epoch.start);
  for (const gap of [...gaps].sort((a, b) => a.from - b.from)) {
    if (gap.to <= at) continue;
    if (gap.from > at) segments.push({ kind: 'stored', from: at, to: gap.from });
    segments.push({ kind: gap.reason === 'moved' ? 'elsewhere' : 'gap', from: Math.max(at, gap.from), to: gap.to, why: gap.reason });
    at = gap.to;
  }
  if (epoch.next > at) segments.push({ kind: 'stored', from: at, to: epoch.next });
  if (epoch.behindBytes > 0) segments.push({ kind: 'missing', from: epoch.next, to: epoch.next + epoch.behindBytes });
  if (pendingBytes > 0) segments.push({ kind: 'pending', from: epoch.next, to: epoch.next + pendingBytes });
  return segments;
}

interface TimelineProps {
  feed: FeedWithEpochs;
  epoch: EpochView;
  isNewest: boolean;
  onShow: (from: number | null) => void;
  picker: ReactNode;
}

export function TimelineCard({ feed, epoch, isNewest, onShow, picker }: TimelineProps) {
  const gaps = useQuery(gapsQuery(feed.id));
  const own = (gaps.data?.items ?? []).filter((gap) => gap.epoch === epoch.epoch);
  const said = isNewest && feed.said?.epoch === epoch.epoch ? feed.said : null;
  // What it had at its check-in and has delivered since is here.
  const pending = said ? Math.max(0, said.next + said.pendingBytes - epoch.next) : 0;
  const segments = segmentsOf(epoch, own, pending);
  const kinds = [...new Set(segments.map(({ kind }) => kind))];
  const end = segments.at(-1)?.to ?? epoch.next;
  const here = Math.max(1, epoch.next - epoch.start);
  return (
    <Card title={words.here} about={words.hereAbout(epoch.epoch)} actions={picker}>
      <div role="group" aria-label={words.timeline(count(epoch.start), count(end))} className="flex h-7 w-full gap-px overflow-hidden rounded-lg bg-sunken">
        {segments.map((segment) => {
          const size = segment.to - segment.from;
          const label = `${words.segment(words.legend[segment.kind], count(segment.from), count(segment.to), bytes(size))}${segment.why ? ` (${gapReason(segment.why)})` : ''}`;
          const canShow = segment.kind === 'stored' || segment.kind === 'gap' || segment.kind === 'elsewhere';
          // A gap of a few bytes in a gigabyte is still to be seen, and to be hit.
          return <button key={`${segment.kind} ${segment.from}`} type="button" disabled={!canShow} data-segment={segment.kind} title={label} aria-label={label} onClick={() => onShow(segment.from)} style={{ flexGrow: segment.kind === 'pending' || segment.kind === 'missing' ? Math.min(size, here * AHEAD_SHARE) : size, flexBasis: 0 }} className={`min-w-2 disabled:cursor-default enabled:hover:opacity-80 focus-visible:-outline-offset-2 ${fills[segment.kind]}`} />;
        })}
      </div>
      <div className="mt-1 flex justify-between gap-3 text-xs text-ink-3 num"><span>{count(epoch.start)}</span><span>{count(end)}</span></div>
      <ul className="mt-2 flex flex-wrap gap-x-4 gap-y-1 text-xs text-ink-2">
        {kinds.map((kind) => <li key={kind} className="flex items-center gap-1.5"><span aria-hidden="true" className={`size-2.5 rounded-sm ${fills[kind]}`} />{words.legend[kind]}</li>)}
      </ul>
      {own.length > 0 ? (
        <ul aria-label={words.gaps(epoch.gaps)} className="mt-4 divide-y divide-line border-t border-line">
          {own.slice(0, GAPS_SHOWN).map((gap) => (
            <li key={gap.from} data-gap={gap.from} className="flex flex-wrap items-center gap-x-3 gap-y-0.5 py-1.5 text-sm">
              <span className="font-medium text-warn-ink num">{bytes(gap.to - gap.from)}</span>
              <span className="min-w-0 flex-1 basis-40 break-words">{gapReason(gap.reason)}</span>
              <span className="text-xs text-ink-3 num">{text.data.records.gapAt(count(gap.from), count(gap.to))}</span>
              <span className="text-ink-2"><Time at={gap.at} /></span>
              <Button size="sm" tone="quiet" aria-label={words.showGap(bytes(gap.to - gap.from))} onClick={() => onShow(gap.from)}>{words.show}</Button>
            </li>
          ))}
          {epoch.gaps > Math.min(own.length, GAPS_SHOWN) ? <li className="py-1.5 text-sm text-ink-3">{words.gapsMore(epoch.gaps - Math.min(own.length, GAPS_SHOWN))}</li> : null}
        </ul>
      ) : gaps.data && epoch.gaps === 0 && epoch.behindBytes === 0 && epoch.first === epoch.start ? <p className="mt-3 text-sm text-ink-2">{words.noGaps}</p> : null}
    </Card>
  );
}
