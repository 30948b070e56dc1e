// The frame of the pages about applications: which devices may use them, their sessions, and how devices are asked what they are.
import { useQuery } from '@tanstack/react-query';
import { Link, Outlet, useLocation } from '@tanstack/react-router';
import { useEffect, useRef, type ReactNode } from 'react';
import { meQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card, Empty } from '../ui/bits.tsx';

const parts = [
  ['/applications/sources', text.sources.tabs.sources],
  ['/applications/sessions', text.sources.tabs.sessions],
  ['/applications/probes', text.sources.tabs.probes],
] as const;
/** Routes, servers and networks are the gateway's, not a customer's. */
const forGateway = [
  ['/applications/servers', text.places.servers.tab, 'administer'],
  ['/applications/addresses', text.places.pool.tab, 'see'],
] as const;

export const tabClass = '-mb-px block border-b-2 border-transparent px-3 py-2.5 text-sm font-medium whitespace-nowrap text-ink-2 hover:text-ink focus-visible:-outline-offset-2 [&.active]:border-accent [&.active]:text-accent-ink';

/** A row of links that scrolls where it is too long; the one that one is on is brought into sight. */
export function Tabs({ label, on, children }: { label: string; on: unknown; children: ReactNode }) {
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    void nav.current?.querySelector('.active')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [on]);
  return (
    <nav ref={nav} aria-label={label} className="-mx-4 mb-5 overflow-x-auto border-b border-line px-4 sm:mx-0 sm:px-0">
      <ul className="flex gap-1">{children}</ul>
    </nav>
  );
}

export function ApplicationsPage() {
  const { data: me } = useQuery(meQuery);
  const { pathname } = useLocation();
  const seesGateway = me?.rights.some((right) => right.scopeKind === 'gateway') ?? false;
  const ofGateway = forGateway.filter(([, , needs]) => (needs === 'see' ? seesGateway : me?.may.administerGateway));
  const administers = me?.may.administerAnything ?? true;
  const shown = [...(administers ? parts : []), ...ofGateway];
  const noRight = (
    <Card>
      <Empty icon="apps" title={text.sources.noRight}>{text.sources.noRightAbout}</Empty>
    </Card>
  );
  if (shown.length === 0) return noRight;
  return (
    <>
      <Tabs label={text.sources.tabs.label} on={pathname}>
        {shown.map(([to, label]) => <li key={to}><Link to={to} className={tabClass}>{label}</Link></li>)}
      </Tabs>
      {shown.some(([to]) => pathname.startsWith(to)) || administers ? <Outlet /> : noRight}
    </>
  );
}
