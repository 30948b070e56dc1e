// On every page but its own while devices wait to be assigned: somebody stands at a panel that shows a code.
import { useQuery } from '@tanstack/react-query';
import { Link, useLocation } from '@tanstack/react-router';
import { useState } from 'react';
import { meQuery, unassignedQuery } from './queries.ts';
import { text } from './text.ts';
import { buttonClass, IconButton } from './ui/button.tsx';
import { Icon } from './ui/icons.tsx';

const words = text.sources.unassigned;

export function UnassignedBanner() {
  const { data: me } = useQuery(meQuery);
  const unassigned = useQuery({ ...unassignedQuery, enabled: me?.may.administerAnything ?? false, retry: false });
  const { pathname } = useLocation();
  const items = unassigned.data?.items ?? [];
  /** Codes that were seen and put aside here; a new one brings the banner back. */
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const news = items.filter(({ code }) => !hidden.has(code));
  const [first] = news;
  if (first === undefined || pathname === '/applications/sources') return null;
  return (
    <section aria-label={words.region} className="mb-5 flex flex-wrap items-center gap-x-4 gap-y-2 rounded-2xl border border-accent/40 bg-accent-soft px-4 py-3 text-sm">
      <Icon name="printer" className="text-accent-ink" />
      <p role="status" className="min-w-0 flex-1 basis-56">
        <span className="font-semibold text-accent-ink">{words.title(news.length, unassigned.data?.next !== null)}</span>{' '}
        <span className="text-ink-2 break-words">{words.bannerAbout(first.code, first.application, first.address)}</span>
      </p>
      <span className="ml-auto flex items-center gap-1">
        <Link to="/applications/sources" className={buttonClass('plain', 'sm')}>{words.show}</Link>
        <IconButton icon="close" size="sm" label={words.hide} onClick={() => setHidden(new Set([...hidden, ...items.map(({ code }) => code)]))} />
      </span>
    </section>
  );
}
