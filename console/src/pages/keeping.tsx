// What grows here and how long it stays, the disk, and the copy of everything that somebody takes along.
import type { KeepingView } from '#api/keeping-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { absolute, bytes, count } from '../format.ts';
import { keepingQuery, meQuery, queryClient, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, PageHead, Time, type Mood } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { cellClass, headClass, Loaded } from '../ui/list.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { BackupCard } from './backup.tsx';
import { OfGateway } from './data.tsx';

const words = text.data.keeping;
const DAY_MS = 86_400_000;
type Kind = KeepingView['kinds'][number];

export function KeepingPage() {
  return (
    <OfGateway>
      <Keeping />
    </OfGateway>
  );
}

function Keeping() {
  const keeping = useQuery({ ...keepingQuery, refetchInterval: 10_000 });
  const { data: me } = useQuery(meQuery);
  const mayChange = me?.may.administerGateway ?? false;
  return (
    <>
      <PageHead title={words.title} about={words.about} />
      <div className="grid gap-5 xl:grid-cols-[minmax(0,1.6fr)_minmax(0,1fr)]">
        <div className="min-w-0"><Grows keeping={keeping} mayRun={mayChange} /></div>
        <div className="flex min-w-0 flex-col gap-5">
          {keeping.data ? <DiskCard disk={keeping.data.disk} /> : null}
          <BackupCard mayMake={mayChange} />
        </div>
      </div>
    </>
  );
}

function Grows({ keeping, mayRun }: { keeping: { data: KeepingView | undefined; isPending: boolean; isError: boolean; error: unknown; refetch: () => unknown }; mayRun: boolean }) {
  const [busy, setBusy] = useState(false);
  const { data } = keeping;
  const droppedOf = (view: KeepingView) => view.kinds.reduce((sum, each) => sum + each.dropped, 0);
  const run = async () => {
    setBusy(true);
    try {
      const next = await call('runRetention');
      say(words.runSaid(Math.max(0, droppedOf(next) - (data ? droppedOf(data) : 0))));
      queryClient.setQueryData(keepingQuery.queryKey, next);
    } catch (thrown) {
      sayProblem(thrown);
    }
    setBusy(false);
    await refresh('feeds', 'journal');
  };
  return (
    <Card title={words.grows} about={words.growsAbout} flush actions={mayRun ? <Button size="sm" busy={busy} onClick={() => void run()}>{words.run}</Button> : null}>
      <div className="border-t border-line">
        <Loaded query={keeping} lines={8}>
          <table className="w-full text-sm num">
            <thead>
              <tr className="border-b border-line">
                <th scope="col" className={headClass}>{words.columns.kind}</th>
                <th scope="col" className={`${headClass} text-right`}>{words.columns.count}</th>
                <th scope="col" className={`${headClass} hidden text-right md:table-cell`}>{words.columns.size}</th>
                <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.columns.oldest}</th>
                <th scope="col" className={`${headClass} w-44`}>{words.columns.keep}</th>
              </tr>
            </thead>
            <tbody className="divide-y divide-line">{data?.kinds.map((kind) => <KindRow key={kind.kind} kind={kind} now={data.now} />)}</tbody>
          </table>
          <p className="border-t border-line px-4 py-3 text-sm text-ink-2 sm:px-5">
            {data?.retention.running ? words.running : data?.retention.lastAt ? <>{words.lastRun} <Time at={data.retention.lastAt} />. </> : null}
            {data?.retention.failed ? <span className="text-bad-ink">{words.failed}: {data.retention.failed}. </span> : null}
            {words.how}
          </p>
        </Loaded>
      </div>
    </Card>
  );
}

/** The bound that is nearest: its share, and its name. */
function fullest({ count: there, oldestAt, bytes: size, keep }: Kind, now: number): { share: number; what: string } | null {
  const bounds = [
    keep.days === null || oldestAt === null ? null : { share: (now - oldestAt) / (keep.days * DAY_MS), what: words.forDays(keep.days) },
    keep.count === null ? null : { share: there / keep.count, what: words.entries(keep.count) },
    keep.bytes === null || size === null ? null : { share: size / keep.bytes, what: bytes(keep.bytes) },
  ].filter((each) => each !== null);
  return bounds.sort((a, b) => b.share - a.share)[0] ?? null;
}

function keptFor({ keep }: Kind): string {
  const said = [keep.days === null ? '' : words.forDays(keep.days), keep.count === null ? '' : words.upTo(words.entries(keep.count)), keep.bytes === null ? '' : words.upTo(bytes(keep.bytes))].filter(Boolean);
  return said.length > 0 ? said.join(', ') : words.forEver;
}

function KindRow({ kind, now }: { kind: Kind; now: number }) {
  const bound = fullest(kind, now);
  const share = bound ? Math.min(1, Math.max(0, bound.share)) : 0;
  return (
    <tr data-kind={kind.kind}>
      <td className={cellClass}>
        <p className="font-medium">{words.kinds[kind.kind] ?? kind.kind}</p>
        <p className="text-xs text-ink-3">{words.kindsAbout[kind.kind] ?? ''}</p>
      </td>
      <td className={`${cellClass} text-right`}>
        {count(kind.count)}
        {kind.bytes === null ? null : <p className="text-xs text-ink-3 md:hidden">{bytes(kind.bytes)}</p>}
      </td>
      <td className={`${cellClass} hidden text-right whitespace-nowrap md:table-cell`}>{kind.bytes === null ? <span className="text-ink-3">–</span> : bytes(kind.bytes)}</td>
      <td className={`${cellClass} hidden text-right text-ink-2 sm:table-cell`}><Time at={kind.oldestAt} /></td>
      <td className={cellClass}>
        <p>{keptFor(kind)}</p>
        {bound ? <div role="meter" aria-label={words.used(share, bound.what)} aria-valuenow={Math.round(share * 100)} aria-valuemin={0} aria-valuemax={100} title={words.used(share, bound.what)} className="mt-1 h-1.5 overflow-hidden rounded-full bg-line"><div className={`h-full rounded-full ${share > 0.9 ? 'bg-warn' : 'bg-accent'}`} style={{ width: `${share * 100}%` }} /></div> : null}
        {kind.dropped > 0 ? <p className="mt-0.5 text-xs text-ink-3">{words.dropped(kind.dropped)}</p> : null}
      </td>
    </tr>
  );
}

const diskMoods: Record<KeepingView['disk']['level'], Mood> = { ok: 'ok', warn: 'warn', low: 'warn', full: 'bad' };
const diskFills: Record<KeepingView['disk']['level'], string> = { ok: 'bg-accent', warn: 'bg-warn', low: 'bg-warn', full: 'bg-bad' };

function DiskCard({ disk }: { disk: KeepingView['disk'] }) {
  const all = disk.freeBytes === null || disk.usedBytes === null ? null : disk.freeBytes + disk.usedBytes;
  const share = all === null || disk.usedBytes === null ? 0 : disk.usedBytes / all;
  return (
    <Card title={words.disk} actions={<Badge mood={diskMoods[disk.level]}>{words.levels[disk.level]}</Badge>}>
      {all === null ? <p className="text-sm text-ink-2">{words.unseen}</p> : (
        <>
          <div role="meter" aria-label={words.meter(share)} aria-valuenow={Math.round(share * 100)} aria-valuemin={0} aria-valuemax={100} className="relative h-3 overflow-hidden rounded-full bg-line">
            <div className={`h-full ${diskFills[disk.level]}`} style={{ width: `${share * 100}%` }} />
            <span aria-hidden="true" title={words.warnAt} className="absolute inset-y-0 left-[90%] w-px bg-ink-3" />
          </div>
          <p className="mt-2 flex flex-wrap justify-between gap-x-4 text-sm num"><span>{words.free(bytes(disk.freeBytes ?? 0), bytes(all))}</span><span className="text-ink-3">{words.meter(share)}</span></p>
        </>
      )}
      {disk.reusableBytes > 0 ? <p className="mt-1 text-sm text-ink-3 num">{words.reusable(bytes(disk.reusableBytes))}</p> : null}
      {disk.level === 'ok' ? null : (
        <div className="mt-3">
          <Callout mood={diskMoods[disk.level]} icon="warning" title={disk.why ?? words.levels[disk.level]}>{words.levelsAbout[disk.level]} <span className="text-ink-3" title={absolute(disk.since)}>({words.since} <Time at={disk.since} />)</span></Callout>
        </div>
      )}
    </Card>
  );
}
