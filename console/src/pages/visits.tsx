// Visits of one device: live ones with a way to end them, past ones with why they ended.
import type { VisitView } from '#api/shapes.ts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { call } from '../api.ts';
import { duration } from '../format.ts';
import { itemsOf, queryClient, visitsQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, Time, Traffic } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { useNow } from '../ui/now.ts';
import { say, sayProblem } from '../ui/toast.tsx';

const LIVE_REFRESH_MS = 5_000;

export function VisitsCard({ deviceId }: { deviceId: string }) {
  const visits = useInfiniteQuery({ ...visitsQuery({ deviceId }), refetchInterval: (query) => (query.state.data?.pages.some((page) => page.items.some((visit) => visit.live)) ? LIVE_REFRESH_MS : false) });
  const items = itemsOf(visits.data) ?? [];
  return (
    <Card title={text.device.visits} about={text.device.visitsAbout} flush>
      <Loaded query={visits}>
        {items.length === 0 ? (
          <Empty icon="people" title={text.visits.none}>
            {text.visits.noneAbout}
          </Empty>
        ) : (
          <div className="relative overflow-x-auto">
            <table className="w-full text-sm num">
              <thead>
                <tr className="border-y border-line">
                  <th scope="col" className={headClass}>{text.visits.who}</th>
                  <th scope="col" className={`${headClass} hidden 2xl:table-cell`}>{text.visits.what}</th>
                  <th scope="col" className={headClass}>{text.visits.when}</th>
                  <th scope="col" className={`${headClass} hidden text-right md:table-cell`}>{text.visits.traffic}</th>
                  <th scope="col" className={headClass}><span className="sr-only">{text.visits.close}</span></th>
                </tr>
              </thead>
              <tbody className="divide-y divide-line">
                {items.map((visit) => <VisitRow key={visit.id} visit={visit} />)}
              </tbody>
            </table>
          </div>
        )}
        <More query={visits} />
      </Loaded>
    </Card>
  );
}

function VisitRow({ visit }: { visit: VisitView }) {
  const now = useNow(visit.live ? 1_000 : 3_600_000);
  const close = async () => {
    try {
      await call('closeVisit', { params: { id: visit.id } });
      say(text.visits.closed);
    } catch (thrown) {
      sayProblem(thrown);
    }
    await queryClient.invalidateQueries({ queryKey: ['visits'] });
  };
  return (
    <tr>
      <td className={cellClass}>
        <div className="flex items-center gap-2 font-medium">
          <span className="max-w-40 truncate">{visit.who.name}</span>
          {visit.live ? <Badge mood="ok">{text.visits.live}</Badge> : null}
        </div>
        <div className="font-mono text-xs text-ink-3">
          {visit.who.from}
          <span className="block 2xl:hidden">
            {visit.kind} {visit.port}
          </span>
        </div>
      </td>
      <td className={`${cellClass} hidden whitespace-nowrap 2xl:table-cell`}>
        {visit.port} <span className="text-ink-3">{visit.kind}</span>
      </td>
      <td className={cellClass}>
        <Time at={visit.openedAt} />
        <div className="max-w-30 truncate text-xs sm:max-w-40 2xl:max-w-72 text-ink-3" title={visit.why ?? undefined}>
          {text.visits.lasted(duration((visit.closedAt ?? Math.max(now, visit.openedAt)) - visit.openedAt))}
          {visit.why ? ` · ${visit.why}` : ''}
        </div>
      </td>
      <td className={`${cellClass} hidden text-right whitespace-nowrap md:table-cell`}>
        <Traffic to={visit.bytesIn} from={visit.bytesOut} />
        {visit.kind === 'http' ? <div className="text-xs text-ink-3">{text.visits.requests(visit.requests)}</div> : null}
      </td>
      <td className={`${cellClass} w-px text-right`}>
        {visit.live && visit.mayClose ? <Button size="sm" aria-label={text.visits.closeOf(visit.who.name)} onClick={() => void close()}>{text.visits.close}</Button> : null}
      </td>
    </tr>
  );
}
