// The frame of the pages about data of devices: feeds and files for everybody who sees a device, the rest for who sees the gateway.
import { useQuery } from '@tanstack/react-query';
import { Link, Outlet, useLocation } from '@tanstack/react-router';
import { useEffect, useRef, type ReactNode } from 'react';
import { meQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card, Empty } from '../ui/bits.tsx';

const forAll = [
  ['/data/feeds', text.data.tabs.feeds],
  ['/data/files', text.data.tabs.files],
] as const;
const forGateway = [
  ['/data/sinks', text.data.tabs.sinks],
  ['/data/redirects', text.data.tabs.redirects],
  ['/data/pins', text.data.tabs.pins],
  ['/data/keeping', text.data.tabs.keeping],
] as const;

/** undefined: not known yet. */
export function useSeesGateway(): boolean | undefined {
  const { data: me } = useQuery(meQuery);
  return me?.rights.some((right) => right.scopeKind === 'gateway');
}

export function DataPage() {
  const seesGateway = useSeesGateway();
  const { pathname } = useLocation();
  const nav = useRef<HTMLElement>(null);
  // On a narrow screen the part that one is on may stand beyond the edge.
  useEffect(() => {
    void nav.current?.querySelector('.active')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [pathname, seesGateway]);
  return (
    <>
      <nav ref={nav} aria-label={text.data.tabs.label} className="-mx-4 mb-5 overflow-x-auto border-b border-line px-4 sm:mx-0 sm:px-0">
        <ul className="flex gap-1">
          {[...forAll, ...(seesGateway ? forGateway : [])].map(([to, label]) => (
            <li key={to}>
              <Link to={to} className="-mb-px block border-b-2 border-transparent px-3 py-2.5 text-sm font-medium whitespace-nowrap text-ink-2 hover:text-ink focus-visible:-outline-offset-2 [&.active]:border-accent [&.active]:text-accent-ink">
                {label}
              </Link>
            </li>
          ))}
        </ul>
      </nav>
      <Outlet />
    </>
  );
}

/** What only those see who see the whole gateway; whoever comes by an address is told so. */
export function OfGateway({ children }: { children: ReactNode }) {
  const seesGateway = useSeesGateway();
  if (seesGateway === undefined) return null;
  if (seesGateway) return children;
  return (
    <Card>
      <Empty icon="lock" title={text.data.noRight}>{text.data.noRightAbout}</Empty>
    </Card>
  );
}
