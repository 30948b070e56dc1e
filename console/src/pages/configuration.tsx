// The configuration as it came about: every revision, what it changed, and the way back to it.
import type { RevisionView } from '#api/shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { absolute, shortAbsolute } from '../format.ts';
import { configDiffQuery, configStateQuery, itemsOf, meQuery, refreshConfig, revisionQuery, revisionsQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, Empty, Facts, PageHead, Time, type Mood } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SelectField } from '../ui/field.tsx';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { say } from '../ui/toast.tsx';
import { DiffView } from './config-diff.tsx';

const route = getRouteApi('/inside/configuration');
const moods: Record<RevisionView['state'], Mood> = { 'in-force': 'ok', provisional: 'warn', 'rolled-back': 'bad', past: 'neutral' };

export function ConfigurationPage() {
  const { data: me } = useQuery(meQuery);
  const mayRead = me?.may.administerGateway ?? false;
  const { show } = route.useSearch();
  const navigate = useNavigate({ from: '/configuration' });
  const revisions = useInfiniteQuery({ ...revisionsQuery, enabled: mayRead });
  const state = useQuery({ ...configStateQuery, enabled: mayRead });
  const rows = itemsOf(revisions.data) ?? [];
  const open = (number: number | null) => void navigate({ search: number === null ? {} : { show: String(number) } });
  if (me && !mayRead) {
    return (
      <Card>
        <Empty icon="config" title={text.config.noRight}>{text.config.noRightAbout}</Empty>
      </Card>
    );
  }
  const missing = state.data?.missing ?? [];
  return (
    <>
      <PageHead title={text.config.title} about={text.config.about} />
      {missing.length > 0 ? (
        <div className="mb-5">
          <Callout mood="warn" icon="warning" title={text.config.missing}>
            <ul>{missing.map((line) => <li key={line} className="break-words first-letter:uppercase">{line}</li>)}</ul>
            {text.config.missingAbout}
          </Callout>
        </div>
      ) : null}
      <Card flush>
        <Loaded query={revisions} lines={6}>
          <table className="w-full text-sm num">
            <thead>
              <tr className="border-b border-line">
                <th scope="col" className={headClass}>{text.config.columns.revision}</th>
                <th scope="col" className={`${headClass} hidden sm:table-cell`}>{text.config.columns.when}</th>
                <th scope="col" className={`${headClass} hidden sm:table-cell`}>{text.config.columns.who}</th>
                <th scope="col" className={headClass}>{text.config.columns.what}</th>
              </tr>
            </thead>
            <tbody className="divide-y divide-line">
              {rows.map((row) => <RevisionRow key={row.number} row={row} onShow={() => open(row.number)} />)}
            </tbody>
          </table>
          <More query={revisions} />
        </Loaded>
      </Card>
      <Dialog open={show !== undefined} onClose={() => open(null)} wide title={show === undefined ? '' : text.config.revision(Number(show))}>
        {show === undefined ? null : <RevisionDetails key={show} number={Number(show)} rows={rows} inForce={state.data?.revision ?? rows[0]?.number ?? 0} onDone={() => open(null)} />}
      </Dialog>
    </>
  );
}

function RevisionRow({ row, onShow }: { row: RevisionView; onShow: () => void }) {
  const who = row.actor.name || row.actor.kind;
  return (
    <tr className={`hover:bg-sunken/60 ${row.state === 'rolled-back' ? 'text-ink-2' : ''}`} data-revision={row.number}>
      <td className={`${cellClass} w-24 align-top`}>
        <button type="button" onClick={onShow} aria-label={text.config.show(row.number)} className="rounded-sm font-semibold text-accent-ink hover:underline">
          {row.number}
        </button>
      </td>
      <td className={`${cellClass} hidden w-40 align-top whitespace-nowrap text-ink-2 sm:table-cell`} title={absolute(row.at)}>{shortAbsolute(row.at)}</td>
      <td className={`${cellClass} hidden w-36 max-w-36 truncate align-top sm:table-cell`}>{who}</td>
      <td className={`${cellClass} align-top`}>
        <span className="flex flex-wrap items-center gap-x-2 gap-y-1">
          {row.state === 'past' ? null : <Badge mood={moods[row.state]}>{text.config.states[row.state]}</Badge>}
          {row.restores === null ? null : <Badge>{text.config.backTo(row.restores)}</Badge>}
          <span className="min-w-0 [overflow-wrap:anywhere]">{row.summary ?? text.config.noSummary}</span>
        </span>
        <span className="mt-0.5 block text-xs text-ink-3 sm:hidden">{who} · <Time at={row.at} /></span>
      </td>
    </tr>
  );
}

function RevisionDetails({ number, rows, inForce, onDone }: { number: number; rows: readonly RevisionView[]; inForce: number; onDone: () => void }) {
  const row = rows.find((each) => each.number === number);
  const [other, setOther] = useState(number > 1 ? number - 1 : inForce);
  const [asking, setAsking] = useState(false);
  const diff = useQuery(configDiffQuery(other, number));
  const others = [...new Set([number - 1, inForce, ...rows.map((each) => each.number)])].filter((each) => each > 0 && each !== number);
  const nameOf = (each: number) => (each === inForce ? text.config.otherInForce(each) : each === number - 1 ? text.config.otherBefore(each) : text.config.revision(each));
  return (
    <div className="flex flex-col gap-4">
      {row ? (
        <Facts
          rows={[
            [text.config.columns.when, absolute(row.at)],
            [text.config.columns.who, [row.actor.name || row.actor.kind, row.actor.from].filter(Boolean).join(', ')],
            [text.config.columns.state, <Badge key="state" mood={moods[row.state]}>{text.config.states[row.state]}</Badge>],
            row.restores === null ? null : [text.config.restores, text.config.revision(row.restores)],
          ]}
        />
      ) : null}
      {others.length > 0 ? (
        <>
          <SelectField label={text.config.compare} value={String(other)} onValue={(value) => setOther(Number(value))} options={others.map((each) => [String(each), nameOf(each)] as const)} />
          <Loaded query={diff}>{diff.data ? <DiffView diff={diff.data} /> : null}</Loaded>
        </>
      ) : null}
      <Document number={number} />
      {number === inForce ? null : (
        <div className="flex justify-end">
          <Button tone="primary" icon="history" onClick={() => setAsking(true)}>{text.config.rollBackTo(number)}</Button>
        </div>
      )}
      <RollBack open={asking} number={number} inForce={inForce} onClose={() => setAsking(false)} onDone={onDone} />
    </div>
  );
}

function Document({ number }: { number: number }) {
  const [open, setOpen] = useState(false);
  const revision = useQuery({ ...revisionQuery(number), enabled: open });
  return (
    <details className="rounded-xl border border-line" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="px-3 py-2 text-sm font-medium">{text.config.document}</summary>
      {open ? <Loaded query={revision}><pre tabIndex={0} className="max-h-96 overflow-auto border-t border-line p-3 font-mono text-xs">{revision.data ? JSON.stringify(revision.data.config, null, 2) : ''}</pre></Loaded> : null}
    </details>
  );
}

function RollBack({ open, number, inForce, onClose, onDone }: { open: boolean; number: number; inForce: number; onClose: () => void; onDone: () => void }) {
  const [within, setWithin] = useState('60000');
  const diff = useQuery({ ...configDiffQuery(inForce, number), enabled: open });
  const run = async () => {
    const done = await call('rollBackConfig', { body: { to: number, against: inForce, confirmWithinMs: within ? Number(within) : null } });
    refreshConfig();
    say(done.changed ? text.config.backSaid(number, done.revision) : text.config.sameSaid(number));
    onDone();
  };
  const about = (
    <div className="flex flex-col gap-4">
      <p>{text.config.rollBackAbout(number)}</p>
      <div className="max-h-[40dvh] overflow-y-auto"><Loaded query={diff}>{diff.data ? <DiffView diff={diff.data} /> : null}</Loaded></div>
      <SelectField label={text.config.within} hint={text.config.withinHint} value={within} onValue={setWithin} options={text.config.withins} />
    </div>
  );
  return <Confirm open={open} onClose={onClose} title={text.config.rollBackTitle(number)} about={about} action={text.config.rollBack} tone="primary" run={run} />;
}
