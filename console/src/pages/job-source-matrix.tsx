// Devices by applications: a press lets a device use one, another takes that away.
import type { DeviceView } from '#api/shapes.ts';
import type { ApplicationView, JobSourceView } from '#api/source-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { call } from '../api.ts';
import { devicesQuery, itemsOf, refresh, sitesQuery, sourceConflictsQuery } from '../queries.ts';
import { without } from '../search.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty } from '../ui/bits.tsx';
import { Button, Spinner } from '../ui/button.tsx';
import { SearchBox, Select } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { Loaded, More } from '../ui/list.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { useTypedSearch } from './typed-search.ts';

const words = text.sources.sources;
const route = getRouteApi('/inside/applications/sources');
const KEYS = ['job-sources', 'source-conflicts', 'identity'];
const cellKey = (application: string, deviceId: string) => `${application} ${deviceId}`;

/** `isWhole`: all rows are there; before that an empty cell says nothing, and cannot be pressed. */
export function SourceMatrix({ applications, sources, isWhole }: { applications: readonly ApplicationView[]; sources: readonly JobSourceView[]; isWhole: boolean }) {
  const search = route.useSearch();
  const navigate = useNavigate({ from: '/applications/sources' });
  const [typed, setTyped] = useTypedSearch(search.q ?? '', (q) => void navigate({ search: (before) => (q ? { ...before, q } : without(before, 'q')), replace: true }));
  const sites = useQuery(sitesQuery);
  const devices = useInfiniteQuery(devicesQuery(search.q ? { search: search.q } : {}));
  const conflicts = useQuery(sourceConflictsQuery);
  const all = itemsOf(devices.data) ?? [];
  const shown = search.site ? all.filter((device) => device.siteId === search.site) : all;
  const bySite = sites.data?.items ?? [];
  // A row that names several devices, or none, is nobody's cell: the list has it.
  const cells = useMemo(() => new Map(sources.flatMap((row) => (row.device ? [[cellKey(row.application, row.device.id), row] as const] : []))), [sources]);
  const wrong = useMemo(() => new Set(conflicts.data?.items.flatMap(({ sourceIds }) => sourceIds)), [conflicts.data]);
  const counted = (application: string) => sources.filter((row) => row.application === application && row.device !== null).length;
  const filtered = Boolean(search.q || search.site);
  const severalSites = new Set(all.map(({ siteId }) => siteId)).size > 1;
  return (
    <Card flush>
      <div className="flex flex-wrap items-center gap-2 border-b border-line p-3 sm:px-5">
        <div className="min-w-full flex-1 sm:min-w-48"><SearchBox value={typed} onValue={setTyped} label={words.searchLabel} placeholder={words.search} /></div>
        {bySite.length > 1 ? <Select aria-label={words.site} value={search.site ?? ''} onValue={(site) => void navigate({ search: (before) => (site ? { ...before, site } : without(before, 'site')), replace: true })} options={[['', words.allSites], ...bySite.map((site) => [site.id, site.name] as const)]} className="w-44" /> : null}
      </div>
      <Loaded query={devices} lines={6}>
        {shown.length === 0 ? (
          filtered ? <Empty icon="search" title={words.nothing} action={<Button onClick={() => (setTyped(''), void navigate({ search: {}, replace: true }))}>{words.clear}</Button>} /> : <Empty icon="devices" title={words.noDevices}>{words.noDevicesAbout}</Empty>
        ) : (
          <div className="overflow-x-auto">
            <table className="w-full border-separate border-spacing-0 text-sm">
              <thead>
                <tr>
                  <th scope="col" className="sticky left-0 z-1 border-b border-line bg-surface px-4 py-2.5 text-left align-bottom text-xs font-medium text-ink-3 sm:px-5">{words.device}</th>
                  {applications.map((application) => (
                    <th key={application.name} scope="col" data-application={application.name} className="max-w-44 min-w-28 border-b border-line px-2 py-2.5 text-center align-bottom font-normal">
                      <span className="block truncate font-medium" title={application.host ?? application.name}>{application.name}</span>
                      <span className="block truncate text-xs text-ink-3">{application.protocol === '' ? '–' : words.tells[application.tell]}</span>
                      {application.assigned ? <span className="block text-xs text-ink-3 num">{words.count(counted(application.name))}</span> : <span title={words.open}><Badge mood="accent">{words.toOpen}</Badge></span>}
                    </th>
                  ))}
                  <th aria-hidden="true" className="w-full border-b border-line" />
                </tr>
              </thead>
              <tbody>
                {shown.map((device) => (
                  <tr key={device.id} data-device={device.label} className="group">
                    <th scope="row" className="sticky left-0 z-1 max-w-44 min-w-36 border-b border-line bg-surface px-4 py-1.5 text-left font-normal group-last:border-b-0 group-hover:bg-sunken sm:max-w-72 sm:min-w-48 sm:px-5">
                      <Link to="/devices/$device" params={{ device: device.label }} search={{ tab: 'identity' }} className="block truncate font-medium hover:text-accent-ink hover:underline" title={device.name}>{device.name}</Link>
                      <span className="block truncate text-xs text-ink-3">{[severalSites ? device.siteName : '', device.serial ?? ''].filter(Boolean).join(' · ') || device.label}</span>
                    </th>
                    {applications.map((application) => (
                      <td key={application.name} className="border-b border-line p-1 text-center align-middle group-last:border-b-0 group-hover:bg-sunken">
                        <Cell isWhole={isWhole} device={device} application={application} source={cells.get(cellKey(application.name, device.id))} isWrong={wrong.has(cells.get(cellKey(application.name, device.id))?.id ?? '')} />
                      </td>
                    ))}
                    <td aria-hidden="true" className="border-b border-line group-last:border-b-0 group-hover:bg-sunken" />
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
        <More query={devices} note={words.moreDevices(all.length)} />
      </Loaded>
    </Card>
  );
}

function Cell({ isWhole, device, application, source, isWrong }: { isWhole: boolean; device: DeviceView; application: ApplicationView; source: JobSourceView | undefined; isWrong: boolean }) {
  const [busy, setBusy] = useState(false);
  const may = (isWhole || source !== undefined) && device.may.includes('administer') && (source?.mayChange ?? true) && (application.protocol !== '' || source !== undefined);
  const toggle = async () => {
    setBusy(true);
    try {
      if (source) await call('removeJobSource', { params: { id: source.id } });
      else await call('addJobSource', { body: { application: application.name, device: device.id } });
      say(source ? words.removed(device.name, application.name) : words.added(device.name, application.name));
    } catch (thrown) {
      sayProblem(thrown);
    }
    await refresh(...KEYS);
    setBusy(false);
  };
  const named = source ? (source.serial !== null ? words.bySerial : source.address !== null ? words.byAddress : '') : '';
  const about = source ? [words.assigned(device.name, application.name), named, source.appears ? words.appears(source.appears) : '', isWrong ? words.conflicted : ''].filter(Boolean).join(', ') : application.assigned ? words.unassigned(device.name, application.name) : words.openCell(device.name, application.name);
  return (
    <button
      type="button"
      role="switch"
      aria-checked={source !== undefined}
      aria-label={about}
      title={about}
      disabled={!may}
      // Not disabled meanwhile: the focus would be lost to whoever goes on by keyboard.
      aria-busy={busy || undefined}
      onClick={() => void (busy || toggle())}
      className={`${isWhole || source ? '' : 'skeleton'} mx-auto flex min-h-11 w-full max-w-40 flex-col items-center justify-center gap-0.5 rounded-lg border px-1.5 py-1 transition-colors disabled:cursor-default ${source ? (isWrong ? 'border-warn bg-warn-soft text-warn-ink' : 'border-accent/40 bg-accent-soft text-accent-ink') : (application.assigned ? 'border-dashed border-line text-transparent' : 'border-transparent text-ink-3') + ' enabled:hover:border-accent enabled:hover:text-accent-ink enabled:focus-visible:text-accent-ink'}`}
    >
      {busy ? <Spinner size={15} /> : source === undefined && !application.assigned ? null : <Icon name={source ? (isWrong ? 'warning' : 'check') : 'plus'} size={15} />}
      {source === undefined && !application.assigned ? <span className="text-[0.6875rem] leading-tight">{words.toOpen}</span> : null}
      {source?.appears ? <span className="max-w-full truncate font-mono text-[0.6875rem] leading-tight">{source.appears}</span> : named ? <span className="max-w-full truncate text-[0.6875rem] leading-tight">{named}</span> : null}
    </button>
  );
}
