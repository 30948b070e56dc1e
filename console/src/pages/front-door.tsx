// The frame of the front door's pages: one title, four parts.
import { useQuery } from '@tanstack/react-query';
import { Link, Outlet, useLocation } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import { meQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card, Empty } from '../ui/bits.tsx';

const parts = [
  ['/front-door/listeners', text.frontDoor.tabs.listeners],
  ['/front-door/routes', text.frontDoor.tabs.routes],
  ['/front-door/tls', text.frontDoor.tabs.tls],
  ['/front-door/connections', text.frontDoor.tabs.connections],
] as const;

export function FrontDoorPage() {
  const { data: me } = useQuery(meQuery);
  const { pathname } = useLocation();
  const nav = useRef<HTMLElement>(null);
  // On a narrow screen the part that one is on may stand beyond the edge.
  useEffect(() => {
    void nav.current?.querySelector('.active')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [pathname, me]);
  if (me && !me.may.administerGateway) {
    return (
      <Card>
        <Empty icon="door" title={text.frontDoor.noRight}>{text.frontDoor.noRightAbout}</Empty>
      </Card>
    );
  }
  return (
    <>
      <nav ref={nav} aria-label={text.frontDoor.tabs.label} className="-mx-4 mb-5 overflow-x-auto border-b border-line px-4 sm:mx-0 sm:px-0">
        <ul className="flex gap-1">
          {parts.map(([to, label]) => (
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
