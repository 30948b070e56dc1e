// The records of an epoch, in order, with the gaps between them: the newest, from an offset, or those that a pattern finds.
import type { EpochView, RecordItem } from '#api/feed-shapes.ts';
import { useEffect, useLayoutEffect, useRef, useState } from 'react';
import { absolute, bytes, count, shortAbsolute } from '../format.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, Skeleton } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SearchBox, Select, TextField } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { gapReason } from './feed-parts.tsx';
import type { FeedWithEpochs } from './feed.tsx';
import { useRecords } from './use-records.ts';

const words = text.data.records;
type View = keyof typeof words.views;

interface RecordsProps {
  feed: FeedWithEpochs;
  epoch: EpochView;
  /** As the address has it; undefined: the newest. */
  from: string | undefined;
  pattern: string;
  onAsk: (ask: { from: number | null; pattern: string }) => void;
}

export function RecordsCard({ feed, epoch, from, pattern, onAsk }: RecordsProps) {
  const [typed, setTyped] = useState(pattern);
  const [offset, setOffset] = useState(from ?? '');
  const [wantsOffset, setWantsOffset] = useState(false);
  useEffect(() => setTyped(pattern), [pattern]);
  useEffect(() => setOffset(from ?? ''), [from]);
  const at = from === undefined ? null : Number(from);
  const view: View = wantsOffset ? 'offset' : at === null ? 'newest' : at <= epoch.first ? 'start' : 'offset';
  const wrong = offset !== '' && !/^\d{1,16}$/.test(offset);
  const pick = (next: View) => {
    setWantsOffset(next === 'offset');
    if (next === 'newest') onAsk({ from: null, pattern: '' });
    else if (next === 'start') onAsk({ from: 0, pattern });
  };
  // A pattern without a place is looked for in everything.
  const ask = () => {
    setWantsOffset(false);
    onAsk({ from: offset === '' || wrong ? (typed ? (at ?? 0) : null) : Number(offset), pattern: typed });
  };
  return (
    <Card title={words.title} flush>
      <form
        className="flex flex-wrap items-start gap-2 border-y border-line p-3 sm:px-5"
        onSubmit={(event) => {
          event.preventDefault();
          ask();
        }}
      >
        <Select aria-label={words.view} value={view} onValue={(next) => pick(next as View)} options={(Object.keys(words.views) as View[]).map((each) => [each, words.views[each]])} className="w-52" />
        {view === 'offset' ? <div className="w-36 [&_label]:sr-only"><TextField label={words.offset} value={offset} onValue={setOffset} placeholder={words.offset} inputMode="numeric" error={wrong ? words.offsetWrong : undefined} autoComplete="off" /></div> : null}
        <div className="min-w-full flex-1 sm:min-w-48"><SearchBox value={typed} onValue={setTyped} label={words.patternLabel} placeholder={words.pattern} autoCapitalize="none" spellCheck={false} maxLength={1_000} /></div>
        <Button type="submit" icon="search">{words.find}</Button>
      </form>
      <RecordList key={`${at} ${pattern}`} feed={feed} epoch={epoch} from={at} pattern={pattern} onAll={() => onAsk({ from: at, pattern: '' })} />
    </Card>
  );
}

function RecordList({ feed, epoch, from, pattern, onAll }: { feed: FeedWithEpochs; epoch: EpochView; from: number | null; pattern: string; onAll: () => void }) {
  const records = useRecords({ feed: feed.id, epoch: epoch.epoch, from, pattern }, epoch.next);
  const { items, atEnd, busy, problem } = records;
  const box = useRef<HTMLDivElement>(null);
  const stuck = useRef(from === null);
  const last = items.at(-1);
  // Who reads at the end stays there while more comes; who has scrolled up is left alone.
  useLayoutEffect(() => {
    if (stuck.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [last]);
  if (busy && items.length === 0 && pattern === '') return <Skeleton lines={6} />;
  const found = items.filter(({ kind }) => kind === 'record').length;
  return (
    <>
      {items.length > 0 ? (
        <div
          ref={box}
          tabIndex={0}
          role="region"
          aria-label={words.list}
          onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => (stuck.current = from === null && scrollHeight - scrollTop - clientHeight < 24)}
          className="max-h-[34rem] overflow-y-auto focus-visible:-outline-offset-2"
        >
          <ol className="divide-y divide-line">{items.map((item) => (item.kind === 'gap' ? <GapRow key={`gap ${item.from}`} gap={item} /> : <RecordRow key={item.off} record={item} />))}</ol>
        </div>
      ) : problem === null && atEnd && !busy ? (
        pattern ? (
          <Empty icon="search" title={words.nothingFound} action={<Button onClick={onAll}>{words.clear}</Button>} />
        ) : (
          <Empty icon="data" title={epoch.unframed ? words.noneRaw : words.none}>{epoch.unframed ? words.noneRawAbout : words.noneAbout(epoch.next > epoch.first ? bytes(epoch.next - Math.max(epoch.boundary, epoch.first)) : '')}</Empty>
        )
      ) : null}
      {problem === null ? null : <div className="p-4 sm:p-5"><ProblemNote problem={problem} again={records.goOn} /></div>}
      <footer className="flex flex-wrap items-center gap-x-4 gap-y-2 border-t border-line px-4 py-2.5 text-sm text-ink-2 sm:px-5">
        {pattern ? (
          <span role="status" className="num">
            {words.found(found)}. {atEnd ? '' : words.searched(count(records.reached), count(epoch.next))}
          </span>
        ) : null}
        {busy && pattern ? <Button size="sm" onClick={records.stop}>{words.stop}</Button> : null}
        {!busy && !atEnd && problem === null ? <Button size="sm" onClick={records.goOn}>{words.goOn}</Button> : null}
        {busy && !pattern ? <Button size="sm" busy>{words.goOn}</Button> : null}
        {atEnd && !busy && items.length > 0 ? <span>{words.end} {epoch.sealedAt === null && records.follows ? words.following : ''}</span> : null}
        {atEnd && !busy && !records.follows ? <Button size="sm" onClick={records.goOn}>{words.newer}</Button> : null}
        {pattern ? <Button size="sm" tone="quiet" onClick={onAll}>{words.clear}</Button> : null}
      </footer>
    </>
  );
}

function GapRow({ gap }: { gap: Extract<RecordItem, { kind: 'gap' }> }) {
  return (
    <li data-item="gap" className="flex items-start gap-3 bg-bad-soft px-4 py-2 text-sm sm:px-5" title={absolute(gap.at)}>
      <Icon name="warning" size={15} className="mt-0.5 text-bad-ink" />
      <p className="flex min-w-0 flex-wrap items-baseline gap-x-3 gap-y-0.5">
        <span className="font-medium text-bad-ink">{words.gap(bytes(gap.to - gap.from), gapReason(gap.reason))}</span>
        <span className="text-xs text-ink-2 num">{words.gapAt(count(gap.from), count(gap.to))}</span>
      </p>
    </li>
  );
}

function timeOf({ atMs, receivedAt }: { readonly atMs: number | null; readonly receivedAt: number }): readonly [shown: string, title: string] {
  const received = absolute(receivedAt);
  if (atMs === null) return [shortAbsolute(receivedAt), words.received(received)];
  // Negative: the device never learned when that was (docs/wire/device.md §3).
  if (atMs < 0) return [words.noClock, words.beforeClock(received)];
  return [shortAbsolute(atMs), words.stamped(absolute(atMs), received)];
}

function RecordRow({ record }: { record: Extract<RecordItem, { kind: 'record' }> }) {
  const [time, title] = timeOf(record);
  return (
    <li data-item="record" className="grid gap-x-4 px-4 py-1.5 text-sm sm:grid-cols-[8.5rem_minmax(0,1fr)_auto] sm:px-5">
      <span title={title} className="text-xs leading-5 whitespace-nowrap text-ink-3 num">{time}</span>
      <span className="order-3 min-w-0 sm:order-none">
        {record.bytes === 0 ? <span className="text-ink-3">{words.empty}</span> : <code className="font-mono text-[0.8125rem] [overflow-wrap:anywhere] whitespace-pre-wrap">{record.text ?? record.hex}</code>}
        {record.cut ? <span className="ml-2 text-xs text-ink-3">{words.cut(bytes(record.bytes))}</span> : null}
        {record.hex !== null || record.broken ? (
          <span className="ml-2 inline-flex gap-1">
            {record.hex !== null && record.bytes > 0 ? <Badge>{words.hex}</Badge> : null}
            {record.broken ? <Badge mood="warn">{words.broken}</Badge> : null}
          </span>
        ) : null}
      </span>
      <span className="hidden text-right text-xs leading-5 text-ink-3 num sm:block">{count(record.off)}</span>
    </li>
  );
}
