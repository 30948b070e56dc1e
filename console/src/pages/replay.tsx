// Delivering a feed to a sink once more: begun from a sink, where the feed is chosen, or from a feed, where the sink is.
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { count } from '../format.ts';
import { feedsQuery, itemsOf, refresh, sinksQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { Field, inputClass, SelectField, TextField } from '../ui/field.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { feedName } from './feed-parts.tsx';

const words = text.data.sinks;

interface ReplayProps {
  open: boolean;
  onClose: () => void;
  sink?: string;
  feed?: { readonly id: string; readonly name: string; readonly epoch: string | null };
}

export function ReplayDialog({ open, onClose, ...given }: ReplayProps) {
  return (
    <Dialog open={open} onClose={onClose} title={given.feed ? words.replayFeedTitle(given.feed.name) : words.replayTitle(given.sink ?? '')} about={words.replayAbout}>
      <ReplayBody {...given} onClose={onClose} />
    </Dialog>
  );
}

function ReplayBody({ sink, feed, onClose }: Omit<ReplayProps, 'open'>) {
  const sinks = useQuery(sinksQuery);
  const [search, setSearch] = useState('');
  const feeds = useInfiniteQuery({ ...feedsQuery(search.trim() ? { search: search.trim() } : {}), enabled: !feed });
  const found = itemsOf(feeds.data) ?? [];
  const [feedId, setFeedId] = useState('');
  const [sinkName, setSinkName] = useState('');
  const [from, setFrom] = useState<'start' | 'offset'>('start');
  const [offset, setOffset] = useState('');
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const to = sink ?? (sinkName || sinks.data?.items[0]?.name || '');
  const of = feed?.id ?? (found.some(({ id }) => id === feedId) ? feedId : (found[0]?.id ?? ''));
  const wrong = from === 'offset' && !/^\d{1,16}$/.test(offset);
  const submit = async () => {
    setTried(true);
    if (wrong || to === '' || of === '') return;
    setBusy(true);
    setProblem(null);
    try {
      const done = await call('replaySink', { params: { name: to }, body: { feedId: of, ...(feed?.epoch ? { epoch: feed.epoch } : {}), offset: from === 'start' ? 0 : Number(offset) } });
      say(words.replayed(to, count(done.offset)));
      onClose();
      await refresh('sinks');
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
  };
  return (
    <form
      noValidate
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {feed ? (
        <SelectField label={words.sink} value={to} onValue={setSinkName} options={(sinks.data?.items ?? []).map(({ name }) => [name, name])} />
      ) : (
        <Field label={words.feed} error={tried && of === '' ? words.feedMissing : undefined}>
          {({ id, describedBy }) => (
            <div className="flex flex-col gap-2">
              <input value={search} onChange={(event) => setSearch(event.target.value)} aria-label={words.feedSearch} placeholder={words.feedSearch} className={inputClass} />
              <select id={id} aria-describedby={describedBy} size={5} value={of} onChange={(event) => setFeedId(event.target.value)} className={`${inputClass} h-auto py-1.5`}>
                {found.map((each) => <option key={each.id} value={each.id}>{feedName(each)}</option>)}
              </select>
            </div>
          )}
        </Field>
      )}
      <div className="grid gap-4 sm:grid-cols-2">
        <SelectField label={words.from} value={from} onValue={(next) => setFrom(next === 'offset' ? 'offset' : 'start')} options={[['start', words.fromStart], ['offset', words.fromOffset]]} />
        {from === 'offset' ? <TextField label={words.offset} value={offset} onValue={setOffset} inputMode="numeric" autoComplete="off" error={tried && wrong ? text.data.records.offsetWrong : undefined} /> : null}
      </div>
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy}>{words.replayAction}</Button>
      </div>
    </form>
  );
}
