// The journal: what traffic did, above all what was refused and why.
import type { JournalLineView } from '#api/shapes.ts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { absolute, shortAbsolute } from '../format.ts';
import { itemsOf, journalQuery } from '../queries.ts';
import { eventName, text } from '../text.ts';
import { Badge, Card, Empty } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Select } from '../ui/field.tsx';
import { Loaded, More } from '../ui/list.tsx';
import { FlatFacts } from './flat-facts.tsx';

const route = getRouteApi('/inside/status');
/** What is asked for most; others come from the lines that are shown. */
const KNOWN = ['api.refused', 'conn.refused', 'exchange.failed', 'exchange.refused', 'head.refused', 'join.refused', 'link.closed', 'link.opened', 'link.refused', 'sign-in.refused', 'stream.refused', 'stream.reset', 'tls.failed'];

export function JournalCard({ dropped }: { dropped: number }) {
  const { event = '' } = route.useSearch();
  const navigate = useNavigate({ from: '/status' });
  const journal = useInfiniteQuery({ ...journalQuery(event), refetchInterval: 10_000 });
  const lines = itemsOf(journal.data) ?? [];
  const kinds = [...new Set([...KNOWN, ...lines.map((line) => line.event), ...(event ? [event] : [])])].sort();
  const choose = (next: string) => void navigate({ search: next ? { event: next } : {}, replace: true });
  return (
    <Card title={text.status.journal} about={text.status.journalAbout} flush actions={<Select aria-label={text.status.journalFilter} value={event} onValue={choose} options={[['', text.common.all], ...kinds.map((kind) => [kind, eventName(kind)] as const)]} className="w-44" />}>
      <Loaded query={journal}>
        {lines.length === 0 ? (
          <Empty icon="shield" title={event ? text.audit.nothing : text.status.journalNone} action={event ? <Button onClick={() => choose('')}>{text.audit.clear}</Button> : null}>
            {event ? null : text.status.journalNoneAbout}
          </Empty>
        ) : (
          <ul className="divide-y divide-line border-t border-line text-sm">
            {lines.map((line) => <JournalRow key={line.seq} line={line} />)}
          </ul>
        )}
        <More query={journal} />
        {dropped > 0 ? <p className="border-t border-line px-5 py-2.5 text-xs text-ink-3">{text.status.journalDropped(dropped)}</p> : null}
      </Loaded>
    </Card>
  );
}

function JournalRow({ line }: { line: JournalLineView }) {
  const { why, rule, ...rest } = line.fields;
  const refused = /refused|reset|failed/.test(line.event);
  return (
    <li className="px-4 py-2.5 sm:px-5">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <Badge mood={refused ? 'bad' : 'neutral'}>{eventName(line.event)}</Badge>
        <time dateTime={new Date(line.at).toISOString()} title={absolute(line.at)} className="ml-auto text-xs whitespace-nowrap text-ink-3 num">
          {shortAbsolute(line.at)}
        </time>
      </div>
      {why || rule ? (
        <p className="mt-1 flex flex-wrap items-baseline gap-x-2.5">
          {why ? <span className="min-w-0 font-medium break-words">{String(why)}</span> : null}
          {rule ? <span className="min-w-0 font-mono text-xs break-words text-ink-2">{String(rule)}</span> : null}
        </p>
      ) : null}
      <div className="mt-1 text-xs text-ink-2">
        <FlatFacts facts={rest} />
      </div>
    </li>
  );
}
