// Sessions of devices with applications: who is where, since when; ended, or made to wait until the device is verified again.
import type { DeviceSessionView } from '#api/session-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { count } from '../format.ts';
import { applicationsQuery, deviceSessionsQuery, itemsOf, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, PageHead, Time } from '../ui/bits.tsx';
import { Select } from '../ui/field.tsx';
import { useKept } from '../ui/kept.ts';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { ActionMenu, Confirm } from '../ui/overlay.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { StateBadge } from './identity-state.tsx';

const words = text.sources.sessions;
const route = getRouteApi('/inside/applications/sessions');

export function DeviceSessionsPage() {
  const search = route.useSearch();
  const navigate = useNavigate({ from: '/applications/sessions' });
  const applications = useQuery(applicationsQuery);
  const sessions = useInfiniteQuery(deviceSessionsQuery(search.application ? { application: search.application } : {}));
  const items = itemsOf(sessions.data) ?? [];
  const names = applications.data?.items.map(({ name }) => name) ?? [];
  return (
    <>
      <PageHead
        title={words.title}
        about={words.about}
        actions={names.length > 1 || search.application ? <Select aria-label={words.application} value={search.application ?? ''} onValue={(application) => void navigate({ search: application ? { application } : {}, replace: true })} options={[['', words.all], ...names.map((name) => [name, name] as const)]} className="w-48" /> : null}
      />
      <Card flush>
        <Loaded query={sessions}>
          {items.length === 0 ? <Empty icon="apps" title={words.none}>{words.noneAbout}</Empty> : <SessionTable sessions={items} />}
          <More query={sessions} />
        </Loaded>
      </Card>
    </>
  );
}

export function SessionsCard({ deviceId }: { deviceId: string }) {
  const sessions = useInfiniteQuery(deviceSessionsQuery({ deviceId }));
  const items = itemsOf(sessions.data) ?? [];
  return (
    <Card title={words.ofDevice} about={words.ofDeviceAbout} flush>
      <div className="border-t border-line">
        <Loaded query={sessions} lines={2}>
          {items.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.noneOfDevice}</p> : <SessionTable sessions={items} ofDevice />}
          <More query={sessions} />
        </Loaded>
      </div>
    </Card>
  );
}

function keeps({ cookies, inAddresses, user }: DeviceSessionView): string {
  return [user ? words.user(user) : '', cookies === null ? '' : cookies.length > 0 ? words.cookies(cookies.join(', ')) : words.cookiesNone, inAddresses ? words.inAddresses : ''].filter(Boolean).join(' · ');
}

function SessionTable({ sessions, ofDevice = false }: { sessions: readonly DeviceSessionView[]; ofDevice?: boolean }) {
  const [killing, setKilling] = useState<DeviceSessionView | null>(null);
  const leaving = useKept(killing);
  const columns = words.columns;
  const reverify = async ({ id }: DeviceSessionView) => {
    try {
      await call('reverifyDeviceSession', { params: { id } });
      say(words.reverified);
      await refresh('device-sessions', 'identity', 'profile');
    } catch (thrown) {
      sayProblem(thrown);
    }
  };
  return (
    <>
      <table className="w-full text-sm num">
        <thead>
          <tr className="border-b border-line">
            <th scope="col" className={headClass}>{ofDevice ? columns.application : columns.device}</th>
            <th scope="col" className={`${headClass} hidden sm:table-cell`}>{columns.state}</th>
            <th scope="col" className={`${headClass} hidden md:table-cell`}>{columns.from}</th>
            <th scope="col" className={`${headClass} hidden text-right xl:table-cell`}>{columns.opened}</th>
            <th scope="col" className={`${headClass} text-right`}>{columns.last}</th>
            <th scope="col" className={`${headClass} hidden text-right lg:table-cell`}>{columns.requests}</th>
            <th scope="col" className={headClass}><span className="sr-only">{words.kill}</span></th>
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {sessions.map((session) => (
            <tr key={session.id} data-session={`${session.device.label} ${session.application}`}>
              <td className={`${cellClass} w-full max-w-0 min-w-36`}>
                {ofDevice ? <p className="truncate font-medium">{session.application}</p> : (
                  <>
                    <Link to="/devices/$device" params={{ device: session.device.label }} search={{ tab: 'identity' }} className="block truncate font-medium hover:text-accent-ink hover:underline">{session.device.name}</Link>
                    <p className="truncate text-xs text-ink-2">{session.application}</p>
                  </>
                )}
                <p className="truncate text-xs text-ink-3" title={keeps(session)}>{keeps(session)}</p>
                <p className="mt-0.5 sm:hidden"><State session={session} /></p>
                <p className="truncate font-mono text-xs text-ink-3 md:hidden">{session.address}</p>
              </td>
              <td className={`${cellClass} hidden sm:table-cell`}><State session={session} /></td>
              <td className={`${cellClass} hidden md:table-cell`}>
                <p className="font-mono whitespace-nowrap">{session.address}</p>
                <p className="max-w-44 truncate text-xs text-ink-3">{[session.site ? words.site(session.site) : '', session.virtualAddress ? words.virtual(session.virtualAddress) : ''].filter(Boolean).join(' · ')}</p>
              </td>
              <td className={`${cellClass} hidden text-right text-ink-2 xl:table-cell`}><Time at={session.openedAt} /></td>
              <td className={`${cellClass} text-right text-ink-2`}><Time at={session.lastAt} /></td>
              <td className={`${cellClass} hidden text-right lg:table-cell`}>{count(session.requests)}</td>
              <td className={`${cellClass} w-px`}>
                {session.mayEnd ? (
                  <ActionMenu
                    label={words.actions(session.device.name, session.application)}
                    entries={[{ label: words.reverify, icon: 'refresh', run: () => void reverify(session) }, { label: words.kill, icon: 'close', danger: true, run: () => setKilling(session) }]}
                  />
                ) : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <Confirm
        open={killing !== null}
        onClose={() => setKilling(null)}
        title={words.killTitle(leaving?.device.name ?? '', leaving?.application ?? '')}
        about={words.killAbout}
        action={words.kill}
        run={async () => {
          if (!leaving) return;
          await call('killDeviceSession', { params: { id: leaving.id } });
          say(words.killed);
          await refresh('device-sessions', 'identity');
        }}
      />
    </>
  );
}

function State({ session }: { session: DeviceSessionView }) {
  return (
    <span className="flex flex-wrap items-center gap-1.5">
      <StateBadge state={session.state} />
      {session.pausedAt === null ? null : <Badge mood="warn" icon="pause">{words.paused}</Badge>}
    </span>
  );
}
