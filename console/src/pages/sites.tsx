// The sites: which networks, who is there, how the doors are.
import type { SiteSummaryView } from '#api/shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { count } from '../format.ts';
import { customersQuery, itemsOf, meQuery, siteListQuery } from '../queries.ts';
import { without } from '../search.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, Empty, PageHead } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SearchBox } from '../ui/field.tsx';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { AddSite } from './site-form.tsx';
import { useTypedSearch } from './typed-search.ts';

const route = getRouteApi('/inside/sites');
const words = text.places.sites;
/** Fewer are seen at a glance. */
const SEARCH_FROM = 8;
const SHOWN_NETWORKS = 3;

export function SitesPage() {
  const { q = '', add = false } = route.useSearch();
  const navigate = useNavigate({ from: '/sites' });
  const { data: me } = useQuery(meQuery);
  const sites = useInfiniteQuery(siteListQuery);
  const customers = useQuery({ ...customersQuery, enabled: me?.severalCustomers ?? false });
  const [typed, setTyped] = useTypedSearch(q, (next) => void navigate({ search: (before) => (next ? { ...before, q: next } : without(before, 'q')), replace: true }));
  const all = itemsOf(sites.data) ?? [];
  const needle = q.trim().toLowerCase();
  const found = all.filter((site) => [site.name, ...(site.place?.subnets ?? []), ...(site.place?.egress ?? [])].some((each) => each.toLowerCase().includes(needle)));
  const mayAdd = me?.rights.some((right) => right.action === 'administer' && (right.scopeKind === 'gateway' || right.scopeKind === 'customer')) ?? false;
  const nameOf = (customerId: string) => customers.data?.items.find((each) => each.id === customerId)?.name ?? '';
  const setAdding = (adding: boolean) => void navigate({ search: (before) => (adding ? { ...before, add: true } : without(before, 'add')), replace: true });
  return (
    <>
      <PageHead title={words.title} about={words.about} actions={mayAdd ? <Button tone="primary" icon="plus" onClick={() => setAdding(true)}>{words.add}</Button> : null} />
      <Card flush>
        {all.length >= SEARCH_FROM || q ? (
          <div className="flex border-b border-line p-3 sm:px-5">
            <SearchBox value={typed} onValue={setTyped} label={words.searchLabel} placeholder={words.search} maxLength={100} />
          </div>
        ) : null}
        <Loaded query={sites} lines={4}>
          {found.length > 0 ? (
            <SiteTable sites={found} customerOf={me?.severalCustomers ? nameOf : null} />
          ) : q ? (
            <Empty icon="search" title={words.nothing} action={<Button onClick={() => void navigate({ search: {}, replace: true })}>{words.clear}</Button>}>{words.nothingAbout}</Empty>
          ) : (
            <Empty icon="site" title={words.empty}>{words.emptyAbout}</Empty>
          )}
          <More query={sites} />
        </Loaded>
      </Card>
      {all.length === 1 && mayAdd ? (
        <div className="mt-5">
          <Callout icon="info" title={words.firstTitle}>{words.firstAbout}</Callout>
        </div>
      ) : null}
      <AddSite open={add && mayAdd} onClose={() => setAdding(false)} />
    </>
  );
}

function SiteTable({ sites, customerOf }: { sites: readonly SiteSummaryView[]; customerOf: ((customerId: string) => string) | null }) {
  const navigate = useNavigate();
  return (
    <table className="w-full table-fixed text-sm num">
      <thead>
        <tr className="border-b border-line">
          <th scope="col" className={headClass}>{words.columns.site}</th>
          <th scope="col" className={`${headClass} hidden md:table-cell`}>{words.columns.networks}</th>
          <th scope="col" className={`${headClass} hidden lg:table-cell`}>{words.columns.egress}</th>
          <th scope="col" className={`${headClass} hidden w-28 lg:table-cell`}>{words.columns.agents}</th>
          <th scope="col" className={`${headClass} w-20 text-right`}>{words.columns.devices}</th>
          <th scope="col" className={`${headClass} w-28`}>{words.columns.doors}</th>
        </tr>
      </thead>
      <tbody className="divide-y divide-line">
        {sites.map((site) => (
          <tr
            key={site.id}
            data-site={site.name}
            onClick={(event) => {
              if (site.place === null || (event.target instanceof HTMLElement && event.target.closest('a,button')) || getSelection()?.toString()) return;
              void navigate({ to: '/sites/$site', params: { site: site.id } });
            }}
            className={site.place === null ? '' : 'cursor-pointer hover:bg-sunken/60'}
          >
            <td className={`${cellClass} align-top`}>
              {site.place === null ? (
                <span className="font-medium break-words">{site.name}</span>
              ) : (
                <Link to="/sites/$site" params={{ site: site.id }} className="rounded-sm font-medium [overflow-wrap:anywhere] hover:text-accent-ink hover:underline">{site.name}</Link>
              )}
              {customerOf ? <p className="truncate text-xs text-ink-3">{customerOf(site.customerId)}</p> : null}
              {site.place === null ? <p className="text-xs text-ink-3">{words.partly}</p> : null}
              {site.place ? <Shared overlaps={site.place.overlaps} /> : null}
              {site.place ? <div className="mt-1 md:hidden"><Networks list={site.place.subnets} /></div> : null}
            </td>
            <td className={`${cellClass} hidden align-top md:table-cell`}><Networks list={site.place?.subnets ?? []} /></td>
            <td className={`${cellClass} hidden align-top lg:table-cell`}><Networks list={site.place?.egress ?? []} /></td>
            <td className={`${cellClass} hidden align-top lg:table-cell`}>{site.place ? <span className={site.place.agents > 0 && site.place.agentsOnline < site.place.agents ? 'text-warn-ink' : site.place.agents === 0 ? 'text-ink-3' : ''}>{words.agentsOnline(site.place.agentsOnline, site.place.agents)}</span> : null}</td>
            <td className={`${cellClass} text-right align-top`}>{site.place ? count(site.place.devices) : '–'}</td>
            <td className={`${cellClass} align-top`}>{site.place ? <span className={site.place.doorsOpen < site.place.doors ? 'font-medium text-bad-ink' : site.place.doors === 0 ? 'text-ink-3' : ''}>{words.doorsOpen(site.place.doorsOpen, site.place.doors)}</span> : null}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Shared({ overlaps: { egress, subnets } }: { overlaps: NonNullable<SiteSummaryView['place']>['overlaps'] }) {
  if (egress + subnets === 0) return null;
  return (
    <p className="mt-1 flex flex-wrap gap-1.5">
      {egress > 0 ? <Badge mood="warn"><span title={words.sharesEgressTitle}>{words.sharesEgress}</span></Badge> : null}
      {subnets > 0 ? <Badge><span title={words.sharesSubnetsTitle}>{words.sharesSubnets}</span></Badge> : null}
    </p>
  );
}

function Networks({ list }: { list: readonly string[] }) {
  if (list.length === 0) return <span className="hidden text-ink-3 md:inline">–</span>;
  return (
    <ul className="flex flex-col font-mono text-xs text-ink-2" title={list.join(', ')}>
      {list.slice(0, SHOWN_NETWORKS).map((each) => <li key={each} className="truncate">{each}</li>)}
      {list.length > SHOWN_NETWORKS ? <li className="text-ink-3">{words.more(list.length - SHOWN_NETWORKS)}</li> : null}
    </ul>
  );
}
