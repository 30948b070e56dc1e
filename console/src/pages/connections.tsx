// Who is connected now, whatever they speak: looked at again every two seconds, and at once when somebody comes or goes.
import type { ConnView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useDeferredValue, useState } from 'react';
import { call } from '../api.ts';
import { compact, PROTOCOLS } from '../config-document.ts';
import { bytes, duration } from '../format.ts';
import { connsQuery, listenersQuery, queryClient } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, PageHead, type Mood } from '../ui/bits.tsx';
import { Button, IconButton } from '../ui/button.tsx';
import { SearchBox, Select } from '../ui/field.tsx';
import { cellClass, headClass, Loaded } from '../ui/list.tsx';
import { useKept } from '../ui/kept.ts';
import { useNow } from '../ui/now.ts';
import { Confirm } from '../ui/overlay.tsx';
import { say } from '../ui/toast.tsx';

const route = getRouteApi('/inside/front-door/connections');
const words = text.frontDoor.conns;
const short: Readonly<Record<string, string>> = text.frontDoor.short;
const levels: Readonly<Record<string, string>> = words.levels;
const moods: Readonly<Record<string, Mood>> = { legacy: 'warn', modern: 'ok', intermediate: 'ok' };

export function ConnectionsPage() {
  const { q = '', listener, protocol } = route.useSearch();
  const navigate = useNavigate({ from: '/front-door/connections' });
  const search = useDeferredValue(q.trim());
  const conns = useQuery(connsQuery({ ...(search ? { search } : {}), ...(listener ? { listener } : {}), ...(protocol ? { protocol } : {}) }));
  const listeners = useQuery(listenersQuery);
  const [closing, setClosing] = useState<ConnView | null>(null);
  const leaving = useKept(closing);
  const set = (part: { q?: string | undefined; listener?: string | undefined; protocol?: string | undefined }) => void navigate({ search: (before) => compact({ ...before, ...part }) as typeof before, replace: true });
  const filtered = Boolean(search || listener || protocol);
  const close = async () => {
    if (!closing) return;
    await call('closeConn', { params: { id: closing.id } });
    say(words.closed);
    await queryClient.invalidateQueries({ queryKey: ['conns'] });
  };
  const items = conns.data?.items ?? [];
  return (
    <>
      <PageHead title={text.frontDoor.tabs.connections} about={conns.data ? <span className="num">{words.about(conns.data.open)}</span> : ' '} />
      <div className="mb-4 flex flex-wrap gap-2">
        <div className="flex min-w-full flex-1 sm:min-w-60"><SearchBox value={q} onValue={(value) => set({ q: value || undefined })} label={words.searchLabel} placeholder={words.search} maxLength={100} /></div>
        <Select aria-label={words.listener} className="flex-1 sm:w-44 sm:flex-none" value={listener ?? ''} onValue={(value) => set({ listener: value || undefined })} options={[['', words.anyListener], ...(listeners.data?.items ?? []).map(({ name }) => [name, name] as const)]} />
        <Select aria-label={words.protocol} className="flex-1 sm:w-44 sm:flex-none" value={protocol ?? ''} onValue={(value) => set({ protocol: value || undefined })} options={[['', words.anyProtocol], ['h2', short['h2']!], ...PROTOCOLS.map((each) => [each, short[each] ?? each] as const)]} />
      </div>
      <Card flush>
        <Loaded query={conns} lines={5}>
          {items.length === 0 ? (
            <Empty icon="unplug" title={filtered ? words.nothing : words.none} action={filtered ? <Button onClick={() => set({ q: undefined, listener: undefined, protocol: undefined })}>{words.clear}</Button> : undefined}>
              {filtered ? words.nothingAbout : words.noneAbout}
            </Empty>
          ) : (
            <table className="w-full table-fixed text-sm num sm:table-auto">
              <thead>
                <tr className="border-b border-line">
                  <th scope="col" className={headClass}>{words.columns.from}</th>
                  <th scope="col" className={`${headClass} w-[34%] sm:w-auto`}>{words.columns.what}</th>
                  <th scope="col" className={`${headClass} hidden md:table-cell`}>{words.columns.to}</th>
                  <th scope="col" className={`${headClass} hidden lg:table-cell`}>{words.columns.since}</th>
                  <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.columns.traffic}</th>
                  <th scope="col" className={`${headClass} w-15 sm:w-auto`}><span className="sr-only">{words.close}</span></th>
                </tr>
              </thead>
              <tbody className="divide-y divide-line">
                {items.map((conn) => <Row key={conn.id} conn={conn} aheadMs={conns.data ? conns.data.now - conns.dataUpdatedAt : 0} onClose={() => setClosing(conn)} />)}
              </tbody>
            </table>
          )}
          {conns.data && conns.data.matching > items.length && items.length > 0 ? <p className="border-t border-line px-4 py-3 text-center text-sm text-ink-2">{words.more(items.length, conns.data.matching)}</p> : null}
        </Loaded>
      </Card>
      <Confirm open={closing !== null} onClose={() => setClosing(null)} title={words.closeTitle(leaving?.from ?? '')} about={words.closeAbout} action={words.close} run={close} />
    </>
  );
}

function Row({ conn, aheadMs, onClose }: { conn: ConnView; aheadMs: number; onClose: () => void }) {
  const now = useNow(1_000);
  const age = duration(Math.max(1_000, now + aheadMs - conn.since));
  const traffic = (
    <span title={words.traffic(bytes(conn.bytesIn), bytes(conn.bytesOut))}>
      <span className="whitespace-nowrap"><span className="text-ink-3">↓</span> {bytes(conn.bytesIn)}</span>{' '}
      <span className="ml-1 whitespace-nowrap"><span className="text-ink-3">↑</span> {bytes(conn.bytesOut)}</span>
    </span>
  );
  return (
    <tr data-conn={conn.id}>
      <td className={cellClass}>
        <div className="flex flex-wrap items-center gap-x-2 gap-y-1">
          <span className="font-mono break-all">{conn.from}</span>
          {conn.mine ? <Badge mood="accent">{words.mine}</Badge> : null}
        </div>
        <div className="text-xs text-ink-3">
          {conn.listener}
          <span className="lg:hidden"> · {age}</span>
        </div>
        <div className="text-xs text-ink-2 sm:hidden">{traffic}</div>
      </td>
      <td className={cellClass}>
        <div className="flex flex-wrap items-center gap-1.5">
          <span className="font-medium">{conn.protocol ? (short[conn.protocol] ?? conn.protocol) : <span className="font-normal text-ink-3">{words.unknown}</span>}</span>
          {conn.tls === null ? null : <Badge mood={moods[conn.tls] ?? 'neutral'} icon="lock">{levels[conn.tls] ?? conn.tls}</Badge>}
        </div>
        <div className="truncate text-xs text-ink-3 sm:max-w-40 md:hidden" title={conn.name ?? undefined}>{conn.name ?? conn.route ?? ''}</div>
      </td>
      <td className={`${cellClass} hidden md:table-cell`}>
        <div className="max-w-64 truncate" title={conn.name ?? undefined}>{conn.name ?? <span className="text-ink-3">–</span>}</div>
        {conn.route === null ? null : <div className="max-w-64 truncate text-xs text-ink-3">{conn.route}</div>}
      </td>
      <td className={`${cellClass} hidden whitespace-nowrap lg:table-cell`}>{age}</td>
      <td className={`${cellClass} hidden text-right whitespace-nowrap sm:table-cell`}>{traffic}</td>
      <td className={`${cellClass} w-px text-right`}>
        {conn.mine ? null : (
          <>
            <Button size="sm" className="max-sm:hidden" aria-label={words.closeOf(conn.from)} onClick={onClose}>{words.close}</Button>
            <IconButton size="sm" className="sm:hidden" icon="close" label={words.closeOf(conn.from)} onClick={onClose} />
          </>
        )}
      </td>
    </tr>
  );
}
