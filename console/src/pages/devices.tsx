// The devices: live, found by typing, sorted, opened.
import type { Answer } from '#api/contract.ts';
import type { DeviceView } from '#api/shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { createColumnHelper, createSortedRowModel, rowSortingFeature, sortFn_alphanumeric, sortFn_basic, tableFeatures, useTable, type SortingState } from '@tanstack/react-table';
import { createContext, useContext, useEffect, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from 'react';
import { count, rtt, version } from '../format.ts';
import { devicesQuery, itemsOf, meQuery, profilesQuery, type DeviceFilter } from '../queries.ts';
import { without } from '../search.ts';
import { openAddress } from '../shut.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, Kbd, PageHead, Time, Traffic } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SearchBox, Select } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { AddDevice } from './add-device.tsx';
import { useAllPages } from './all-pages.ts';
import { StateIcon } from './identity-state.tsx';
import { OpenLink } from './open-link.tsx';
import { Presence } from './presence.tsx';
import { LevelBar, needsCare } from './supplies.tsx';
import { WaitingDevices } from './waiting-devices.tsx';
import { WaitingJoins } from './waiting-joins.tsx';

const route = getRouteApi('/inside/devices');
const SEARCH_PAUSE_MS = 200;

const features = tableFeatures({ rowSortingFeature, sortedRowModel: createSortedRowModel(), sortFns: { alphanumeric: sortFn_alphanumeric, basic: sortFn_basic } });
const helper = createColumnHelper<typeof features, DeviceView>();
const traffic = (device: DeviceView) => (device.link ? device.link.bytesIn + device.link.bytesOut : undefined);

const columns = helper.columns([
  helper.accessor('name', { id: 'name', header: text.devices.columns.name, sortFn: 'alphanumeric', sortDescFirst: false, cell: ({ row }) => <NameCell device={row.original} /> }),
  helper.accessor('siteName', { id: 'site', header: text.devices.columns.site, sortFn: 'alphanumeric', sortDescFirst: false, cell: (cell) => <span className="block max-w-32 truncate text-ink-2" title={cell.getValue()}>{cell.getValue()}</span> }),
  helper.accessor((device) => device.link?.rttMs ?? undefined, { id: 'rtt', header: text.devices.columns.rtt, sortFn: 'basic', sortDescFirst: false, sortUndefined: 'last', cell: (cell) => rtt(cell.getValue()) }),
  helper.accessor(traffic, { id: 'bytes', header: text.devices.columns.bytes, sortFn: 'basic', sortUndefined: 'last', cell: ({ row }) => <TrafficCell device={row.original} /> }),
  helper.accessor((device) => device.link?.streams, { id: 'streams', header: text.devices.columns.streams, sortFn: 'basic', sortUndefined: 'last', cell: (cell) => { const value = cell.getValue(); return value === undefined ? '–' : count(value); } }),
  helper.accessor((device) => device.version ?? device.contact?.firmware ?? undefined, { id: 'version', header: text.devices.columns.version, sortFn: 'alphanumeric', sortUndefined: 'last', cell: (cell) => <VersionCell given={cell.getValue()} /> }),
  helper.accessor((device) => (device.online ? Number.MAX_SAFE_INTEGER : (device.lastSeenAt ?? undefined)), { id: 'seen', header: text.devices.columns.seen, sortFn: 'basic', sortUndefined: 'last', cell: ({ row }) => <SeenCell device={row.original} /> }),
]);

const NUMERIC = new Set(['rtt', 'bytes', 'streams']);
const HIDDEN_BELOW: Readonly<Record<string, string>> = { streams: 'hidden xl:table-cell', version: 'hidden xl:table-cell', site: 'hidden md:table-cell', bytes: 'hidden lg:table-cell', rtt: 'hidden sm:table-cell', seen: 'hidden sm:table-cell' };

export function stateBadge(device: DeviceView): ReactNode {
  if (device.agentState === 'revoked') return <Badge mood="bad">{text.devices.waitingForAgent}</Badge>;
  if (device.locked || device.agentState === 'locked') return <Badge mood="warn" icon="lock">{text.devices.locked}</Badge>;
  if (device.agentState === 'none') return <Badge>{text.devices.pushes}</Badge>;
  return null;
}

function NameCell({ device }: { device: DeviceView }) {
  return (
    <div className="flex min-w-0 items-center gap-3">
      <Presence device={device} />
      <div className="min-w-0">
        <div className="flex min-w-0 items-center gap-2">
          <Link to="/devices/$device" params={{ device: device.label }} tabIndex={-1} className="min-w-0 truncate font-medium text-ink hover:text-accent-ink hover:underline">
            {device.name}
          </Link>
          {stateBadge(device)}
          <ProfileSigns deviceId={device.id} />
        </div>
        <div className="flex min-w-0 items-center gap-2 text-xs text-ink-3">
          <span className="truncate font-mono">{device.label}</span>
          <span className="shrink-0 sm:hidden">{device.online ? rtt(device.link?.rttMs) : <Time at={device.lastSeenAt} never={text.devices.neverSeen} />}</span>
        </div>
      </div>
    </div>
  );
}

type ProfileRow = Answer<'listProfiles'>['items'][number];
const Profiles = createContext<ReadonlyMap<string, ProfileRow>>(new Map());

/** Of all devices that were ever asked; page after page, in the background. */
function useProfiles(): ReadonlyMap<string, ProfileRow> {
  const profiles = useInfiniteQuery({ ...profilesQuery, retry: false });
  useAllPages(profiles);
  return useMemo(() => new Map((itemsOf(profiles.data) ?? []).map((row) => [row.deviceId, row])), [profiles.data]);
}

/** What is known of who and how it is, as small signs; where nothing is, nothing stands. */
function ProfileSigns({ deviceId }: { deviceId: string }) {
  const row = useContext(Profiles).get(deviceId);
  if (row === undefined) return null;
  const { identity, trust, lowest } = row;
  return (
    <>
      {trust === 'different' ? <StateIcon state="ambiguous" why={text.profile.trustTitles.different} /> : identity ? <StateIcon state={identity.state} why={identity.why} /> : null}
      {lowest && needsCare(lowest) ? (
        <span data-supply-state={lowest.state} className="w-8 shrink-0"><LevelBar supply={lowest} className="h-2.5" /></span>
      ) : null}
    </>
  );
}

function VersionCell({ given }: { given: string | undefined }) {
  if (given === undefined) return '–';
  return (
    <span title={given} className="block max-w-32 truncate">
      {version(given)}
    </span>
  );
}

function TrafficCell({ device }: { device: DeviceView }) {
  if (!device.link) return '–';
  return (
    <Traffic to={device.link.bytesOut} from={device.link.bytesIn} />
  );
}

function SeenCell({ device }: { device: DeviceView }) {
  if (device.online) return <span className="text-ok-ink">{text.devices.now}</span>;
  return (
    <div className="min-w-0 text-ink-2">
      <Time at={device.lastSeenAt} never={text.devices.neverSeen} />
      {device.lastLeftWhy ? (
        <p className="max-w-36 truncate text-xs text-ink-3 2xl:max-w-64" title={device.lastLeftWhy}>
          {device.lastLeftWhy}
        </p>
      ) : null}
    </div>
  );
}

const toSorting = (sort: string | undefined): SortingState => [{ id: (sort ?? 'name').replace(/^-/, ''), desc: sort?.startsWith('-') ?? false }];

export function DevicesPage() {
  const search = route.useSearch();
  const navigate = useNavigate({ from: '/devices' });
  const { data: me } = useQuery(meQuery);
  const [typed, setTyped] = useState(search.q ?? '');
  const filter: DeviceFilter = { ...(search.q ? { search: search.q } : {}), ...(search.state ? { state: search.state } : {}) };
  const devices = useInfiniteQuery(devicesQuery(filter));
  const items = useMemo(() => itemsOf(devices.data) ?? [], [devices.data]);
  const profiles = useProfiles();
  const searchBox = useRef<HTMLDivElement>(null);
  const filtered = Boolean(search.q || search.state);
  // The address follows what is typed, and what is typed follows the address (back, a bookmark).
  const lastQ = useRef(search.q ?? '');
  useEffect(() => {
    if ((search.q ?? '') !== lastQ.current) {
      lastQ.current = search.q ?? '';
      setTyped(lastQ.current);
    }
  }, [search.q]);
  useEffect(() => {
    if (typed === lastQ.current) return;
    const timer = setTimeout(() => {
      lastQ.current = typed;
      void navigate({ search: (before) => (typed ? { ...before, q: typed } : without(before, 'q')), replace: true });
    }, SEARCH_PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed, navigate]);
  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent) => {
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target instanceof HTMLElement && event.target.closest('input,textarea,select,[role="dialog"]')) return;
      event.preventDefault();
      searchBox.current?.querySelector('input')?.focus();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, []);
  const setAdding = (adding: boolean) => void navigate({ search: (before) => (adding ? { ...before, add: true } : without(before, 'add')), replace: true });
  const clear = () => void navigate({ search: ({ sort }) => (sort ? { sort } : {}), replace: true });
  const mayJoin = me?.may.joinDevices ?? false;
  const online = items.filter((device) => device.online).length;
  const linked = items.filter((device) => device.agentState !== 'none').length;
  return (
    <>
      <PageHead
        title={text.devices.title}
        about={devices.data && items.length > 0 ? <span className="num">{text.devices.counted(online, linked, items.length - linked, devices.hasNextPage)}</span> : ' '}
        actions={mayJoin ? <Button tone="primary" icon="plus" onClick={() => setAdding(true)}>{text.devices.add}</Button> : null}
      />
      <WaitingDevices />
      {mayJoin ? <WaitingJoins /> : null}
      <Card flush>
        {items.length > 0 || filtered || devices.isPending ? (
          <div ref={searchBox} className="flex flex-wrap items-center gap-2 border-b border-line p-3 sm:px-5">
            <div className="min-w-full flex-1 sm:min-w-48">
              <SearchBox
                value={typed}
                onValue={setTyped}
                label={text.devices.searchLabel}
                placeholder={text.devices.search}
                shortcut="/"
                onKeyDown={(event) => {
                  if (event.key === 'ArrowDown') {
                    event.preventDefault();
                    document.querySelector<HTMLElement>('[data-row]')?.focus();
                  } else if (event.key === 'Escape' && typed) setTyped('');
                }}
              />
            </div>
            <Select
              aria-label={text.devices.state}
              value={search.state ?? ''}
              onValue={(state) => void navigate({ search: (before) => (state ? { ...before, state: state as NonNullable<DeviceFilter['state']> } : without(before, 'state')), replace: true })}
              options={[['', text.common.all], ['online', text.devices.online], ['offline', text.devices.offline], ['locked', text.devices.locked]]}
              className="w-32"
            />
          </div>
        ) : null}
        <Loaded query={devices} lines={6}>
          {items.length > 0 ? (
            <Profiles value={profiles}><DeviceTable items={items} sorting={toSorting(search.sort)} onSort={(sort) => void navigate({ search: (before) => (sort === 'name' ? without(before, 'sort') : { ...before, sort }), replace: true })} /></Profiles>
          ) : filtered ? (
            <Empty icon="search" title={text.devices.nothing} action={<Button onClick={clear}>{text.devices.clear}</Button>}>{text.devices.nothingAbout}</Empty>
          ) : mayJoin ? (
            <Empty icon="devices" title={text.devices.empty} action={<Button tone="primary" icon="plus" onClick={() => setAdding(true)}>{text.devices.add}</Button>}>{text.devices.emptyAbout}</Empty>
          ) : (
            <Empty icon="devices" title={text.devices.emptyNoRight}>{text.devices.emptyNoRightAbout}</Empty>
          )}
          <More query={devices} note={text.devices.moreThan(items.length)} />
        </Loaded>
      </Card>
      {items.length > 1 ? (
        <p className="mt-3 hidden text-xs text-ink-3 lg:block">
          <Kbd>/</Kbd> {text.devices.keys}
        </p>
      ) : null}
      <AddDevice open={mayJoin && search.add === true} onClose={() => setAdding(false)} />
    </>
  );
}

function DeviceTable({ items, sorting, onSort }: { items: DeviceView[]; sorting: SortingState; onSort: (sort: string) => void }) {
  const severalSites = new Set(items.map((device) => device.siteId)).size > 1;
  const shown = useMemo(() => (severalSites ? columns : columns.filter((column) => column.id !== 'site')), [severalSites]);
  const table = useTable({
    features,
    columns: shown,
    data: items,
    getRowId: (device) => device.id,
    state: { sorting },
    enableSortingRemoval: false,
    enableMultiSort: false,
    onSortingChange: (change) => {
      const [next] = typeof change === 'function' ? change(sorting) : change;
      onSort(next ? `${next.desc ? '-' : ''}${next.id}` : 'name');
    },
  });
  const rows = table.getRowModel().rows;
  const [active, setActive] = useState(0);
  const body = useRef<HTMLTableSectionElement>(null);
  const navigate = useNavigate();
  const current = Math.min(active, rows.length - 1);
  const onKey = (event: KeyboardEvent, index: number, device: DeviceView) => {
    if (event.target !== event.currentTarget) return;
    const to = event.key === 'ArrowDown' ? index + 1 : event.key === 'ArrowUp' ? index - 1 : event.key === 'Home' ? 0 : event.key === 'End' ? rows.length - 1 : null;
    if (to !== null) {
      event.preventDefault();
      const next = Math.max(0, Math.min(rows.length - 1, to));
      setActive(next);
      body.current?.querySelectorAll<HTMLElement>('[data-row]')[next]?.focus();
    } else if (event.key === 'Enter') void navigate({ to: '/devices/$device', params: { device: device.label } });
    else if (event.key === 'o') {
      const url = openAddress(device);
      if (url) window.open(url, '_blank', 'noopener');
    }
  };
  return (
    <div className="relative overflow-x-auto">
      <table className="w-full text-sm num">
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id} className="border-b border-line">
              {group.headers.map((header) => {
                const sorted = header.column.getIsSorted();
                return (
                  <th key={header.id} scope="col" aria-sort={sorted === 'asc' ? 'ascending' : sorted === 'desc' ? 'descending' : undefined} className={`${headClass} ${HIDDEN_BELOW[header.column.id] ?? ''} ${NUMERIC.has(header.column.id) ? 'text-right' : ''}`}>
                    <button type="button" onClick={header.column.getToggleSortingHandler()} className={`-mx-1.5 inline-flex items-center gap-1 rounded-md px-1.5 py-0.5 whitespace-nowrap hover:bg-sunken hover:text-ink ${NUMERIC.has(header.column.id) ? 'flex-row-reverse' : ''}`}>
                      <table.FlexRender header={header} />
                      <Icon name="down" size={11} className={`transition-transform ${sorted ? '' : 'opacity-0'} ${sorted === 'asc' ? 'rotate-180' : ''}`} />
                    </button>
                  </th>
                );
              })}
              <th scope="col" className={headClass}>
                <span className="sr-only">{text.devices.columns.open}</span>
              </th>
            </tr>
          ))}
        </thead>
        <tbody ref={body} aria-label={text.devices.rows} className="divide-y divide-line">
          {rows.map((row, index) => (
            <tr
              key={row.id}
              data-row
              tabIndex={index === current ? 0 : -1}
              onFocus={() => setActive(index)}
              onKeyDown={(event) => onKey(event, index, row.original)}
              onClick={(event) => {
                if (event.target instanceof HTMLElement && event.target.closest('a,button')) return;
                if (getSelection()?.toString()) return;
                void navigate({ to: '/devices/$device', params: { device: row.original.label } });
              }}
              className="cursor-pointer hover:bg-sunken/60 focus-visible:bg-accent-soft/50 focus-visible:-outline-offset-2"
            >
              {row.getAllCells().map((cell) => (
                <td key={cell.id} className={`${cellClass} ${cell.column.id === 'name' ? 'w-full max-w-0' : ''} ${HIDDEN_BELOW[cell.column.id] ?? ''} ${NUMERIC.has(cell.column.id) ? 'text-right whitespace-nowrap' : ''} ${row.original.online ? '' : NUMERIC.has(cell.column.id) ? 'text-ink-3' : ''}`}>
                  <table.FlexRender cell={cell} />
                </td>
              ))}
              <td className={`${cellClass} w-px text-right`}>
                {row.original.url && row.original.may.includes('open') ? (
                  <OpenLink device={row.original} url={row.original.url} label={text.devices.openNew(row.original.name)} size="sm" className={row.original.online ? '' : 'opacity-60'}>
                    <Icon name="open" size={14} className="sm:max-2xl:hidden" />
                    <span className="hidden sm:inline">{text.device.open}</span>
                  </OpenLink>
                ) : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
