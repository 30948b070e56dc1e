// On every page while a change of the configuration waits to be confirmed: how long it still has, and the two ways out.
import type { ConfigStateView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { call } from './api.ts';
import { configStateQuery, meQuery, refreshConfig } from './queries.ts';
import { text } from './text.ts';
import { Button } from './ui/button.tsx';
import { Icon } from './ui/icons.tsx';
import { useNow } from './ui/now.ts';
import { say, sayProblem } from './ui/toast.tsx';

export function WaitingBanner() {
  const { data: me } = useQuery(meQuery);
  const state = useQuery({ ...configStateQuery, enabled: me?.may.administerGateway ?? false });
  const provisional = state.data?.provisional;
  if (!state.data || !provisional) return null;
  // By the gateway's clock, which need not be this machine's.
  return <Waiting provisional={provisional} aheadMs={state.data.now - state.dataUpdatedAt} />;
}

function clockText(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
}

function Waiting({ provisional, aheadMs }: { provisional: NonNullable<ConfigStateView['provisional']>; aheadMs: number }) {
  const [busy, setBusy] = useState<'confirm' | 'back' | null>(null);
  const { revision, restores, actor, since, confirmBy, summary } = provisional;
  const leftMs = Math.min(confirmBy - since, confirmBy - (useNow() + aheadMs));
  const over = leftMs <= 0;
  useEffect(() => {
    if (over) refreshConfig();
  }, [over]);
  const run = async (what: 'confirm' | 'back') => {
    setBusy(what);
    try {
      if (what === 'confirm') await call('confirmConfig', { body: { revision } });
      else await call('rollBackConfig', { body: { against: revision } });
      say(what === 'confirm' ? text.config.confirmedSaid(revision) : text.config.takenBackSaid(restores));
    } catch (thrown) {
      sayProblem(thrown);
    }
    setBusy(null);
    refreshConfig();
  };
  return (
    <section aria-label={text.config.waiting} className="sticky top-16 z-10 mb-5 rounded-2xl border border-warn/50 bg-warn-soft shadow-2 lg:top-3">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-3 px-4 py-3">
        <Icon name="history" className="text-warn-ink" />
        <div className="min-w-0 flex-1 basis-56 text-sm">
          <p role="status" className="font-semibold text-warn-ink">{text.config.waitingTitle(revision, actor.name || actor.kind)}</p>
          <p className="line-clamp-3 text-ink-2 sm:line-clamp-2">
            {over ? text.config.waitingOver(restores) : <>{text.config.waitingAbout(restores)} <span role="timer" className="font-semibold text-ink num">{clockText(leftMs)}</span>. </>}
            <Link to="/configuration" search={{ show: String(revision) }} className="rounded-sm text-accent-ink underline [overflow-wrap:anywhere]">{summary}</Link>
          </p>
        </div>
        <div className="flex flex-wrap gap-2">
          <Button busy={busy === 'back'} disabled={busy !== null || over} onClick={() => void run('back')}>{text.config.backNow}</Button>
          <Button tone="primary" icon="check" busy={busy === 'confirm'} disabled={busy !== null || over} onClick={() => void run('confirm')}>{text.config.confirm}</Button>
        </div>
      </div>
    </section>
  );
}
