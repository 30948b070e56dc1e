// Where records go on to, and how far each is; alerts that a pattern raised; the secrets that both need.
import type { AlertView, SinkView } from '#api/sink-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { bytes, count } from '../format.ts';
import { alertsQuery, itemsOf, meQuery, refresh, refreshConfig, sinksQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, CopyBlock, Empty, PageHead, Time, type Mood } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { useKept } from '../ui/kept.ts';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { ActionMenu, Confirm } from '../ui/overlay.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { sentence } from './certificate-parts.tsx';
import { OfGateway } from './data.tsx';
import { ReplayDialog } from './replay.tsx';
import { SecretsCard } from './secrets.tsx';

const words = text.data.sinks;
const moods: Record<SinkView['state'], Mood> = { running: 'ok', waiting: 'warn', paused: 'neutral', refused: 'bad', broken: 'bad' };
const alertMoods: Record<AlertView['state'], Mood> = { waiting: 'warn', done: 'ok', failed: 'bad' };

const stuck = ({ state }: SinkView): boolean => state === 'waiting' || state === 'refused' || state === 'broken';

const EXAMPLE = `"sinks": [{ "name": "archive", "kind": "files", "folder": "archive", "feeds": "*" }]`;

export function SinksPage() {
  return (
    <OfGateway>
      <Sinks />
    </OfGateway>
  );
}

function Sinks() {
  const sinks = useQuery(sinksQuery);
  const { data: me } = useQuery(meQuery);
  const mayChange = me?.may.administerGateway ?? false;
  const isEmpty = sinks.data?.items.length === 0;
  return (
    <>
      <PageHead title={words.title} about={words.about} />
      <div className="flex flex-col gap-5">
        <Card {...(isEmpty ? {} : { title: words.sinks, about: words.sinceStart, flush: true })}>
          {isEmpty ? (
            <Empty icon="data" title={words.empty}>
              {words.emptyAbout}
              <div className="mt-3 text-left"><CopyBlock value={EXAMPLE} label={words.emptyCommand} /></div>
            </Empty>
          ) : (
            <div className="border-t border-line"><Loaded query={sinks} lines={3}><SinkTable sinks={sinks.data?.items ?? []} mayChange={mayChange} /></Loaded></div>
          )}
        </Card>
        <div className="grid items-start gap-5 xl:grid-cols-[minmax(0,1.6fr)_minmax(0,1fr)]">
          <AlertsCard />
          {mayChange ? <SecretsCard /> : null}
        </div>
      </div>
    </>
  );
}

/** A change of the configuration like any other: made to the document that is in force, refused when it is another meanwhile. */
async function enableSink(name: string, enabled: boolean): Promise<void> {
  const { revision, config } = await call('getConfig');
  const document = config as { readonly sinks?: readonly { readonly name: string }[] };
  const next = { ...document, sinks: (document.sinks ?? []).map((each) => (each.name === name ? { ...each, enabled } : each)) };
  await call('putConfig', { body: next, headers: { 'if-match': `"${revision}"` } });
  refreshConfig();
}

function SinkTable({ sinks, mayChange }: { sinks: readonly SinkView[]; mayChange: boolean }) {
  const [replaying, setReplaying] = useState<string | null>(null);
  const [pausing, setPausing] = useState<string | null>(null);
  const replayed = useKept(replaying);
  const paused = useKept(pausing);
  const now = async (run: () => Promise<unknown>, said: string) => {
    try {
      await run();
      say(said);
      await refresh('sinks');
    } catch (thrown) {
      sayProblem(thrown);
    }
  };
  const retry = (name: string) => void now(() => call('retrySink', { params: { name } }), words.retrySaid(name));
  return (
    <>
      <table className="w-full text-sm num">
        <thead>
          <tr className="border-b border-line">
            <th scope="col" className={headClass}>{words.columns.sink}</th>
            <th scope="col" className={`${headClass} text-right`}>{words.columns.lag}</th>
            <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.columns.taken}</th>
            <th scope="col" className={`${headClass} hidden text-right md:table-cell`}>{words.columns.last}</th>
            {mayChange ? <th scope="col" className={headClass}><span className="sr-only">{words.retry}</span></th> : null}
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {sinks.map((sink) => (
            <tr key={sink.name} data-sink={sink.name} className="align-top">
              <td className={`${cellClass} w-full max-w-0 align-top`}>
                <p className="flex min-w-0 flex-wrap items-center gap-x-2 gap-y-1"><span className="min-w-0 truncate font-medium">{sink.name}</span><Badge mood={moods[sink.state]}><span title={words.stateTitles[sink.state]}>{words.states[sink.state]}</span></Badge></p>
                <p className="text-xs text-ink-3">{words.kinds[sink.kind] ?? sink.kind}</p>
                {sink.lastError ? <p className={`mt-1 text-xs break-words ${sink.state === 'running' ? 'text-ink-2' : 'text-bad-ink'}`}>{sentence(sink.lastError)} {sink.nextTryAt ? <span className="text-ink-3">{words.nextTry} <Time at={sink.nextTryAt} /></span> : null}</p> : null}
                {sink.unparsed > 0 ? <p className="mt-0.5 text-xs text-warn-ink">{words.unparsed(sink.unparsed)}</p> : null}
              </td>
              <td className={`${cellClass} text-right align-top whitespace-nowrap`}>
                {sink.lagBytes === 0 ? <span className="text-ink-3">{words.upToDate}</span> : <><span className={sink.state === 'running' ? '' : 'font-medium text-warn-ink'}>{words.lag(bytes(sink.lagBytes), sink.lagIsMore)}</span><p className="text-xs text-ink-3">{words.lagIn(sink.lagEpochs, sink.lagIsMore)}</p></>}
              </td>
              <td data-taken={sink.records} className={`${cellClass} hidden text-right align-top whitespace-nowrap sm:table-cell`}>{text.data.feeds.records(sink.records)}<p className="text-xs text-ink-3">{words.batches(sink.batches)}{sink.doubles > 0 ? `, ${words.doubles(sink.doubles)}` : ''}</p></td>
              <td className={`${cellClass} hidden text-right align-top text-ink-2 md:table-cell`}><Time at={sink.lastAt} never={text.common.never} /></td>
              {mayChange ? (
                <td className={`${cellClass} w-px align-top`}>
                  <div className="flex items-center justify-end gap-1">
                    {stuck(sink) ? <span className="hidden sm:block"><Button size="sm" onClick={() => retry(sink.name)}>{words.retry}</Button></span> : null}
                    <ActionMenu
                      label={text.data.actions(sink.name)}
                      entries={[
                        ...(stuck(sink) ? [{ label: words.retry, icon: 'play' as const, run: () => retry(sink.name) }] : []),
                        { label: words.replay, icon: 'refresh', run: () => setReplaying(sink.name) },
                        sink.state === 'paused' ? { label: words.resume, icon: 'play', run: () => void now(() => enableSink(sink.name, true), words.resumed(sink.name)) } : { label: words.pause, icon: 'pause', run: () => setPausing(sink.name) },
                      ]}
                    />
                  </div>
                </td>
              ) : null}
            </tr>
          ))}
        </tbody>
      </table>
      <ReplayDialog open={replaying !== null} sink={replayed ?? ''} onClose={() => setReplaying(null)} />
      <Confirm open={pausing !== null} onClose={() => setPausing(null)} tone="primary" title={words.pauseTitle(paused ?? '')} about={words.pauseAbout} action={words.pause} run={() => enableSink(paused ?? '', false).then(() => (say(words.paused(paused ?? '')), refresh('sinks')))} />
    </>
  );
}

function AlertsCard() {
  const alerts = useInfiniteQuery(alertsQuery);
  const items = itemsOf(alerts.data) ?? [];
  return (
    <Card title={words.alerts} about={words.alertsAbout} flush>
      <div className="border-t border-line">
        <Loaded query={alerts} lines={3}>
          {items.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.alertsNone}</p> : null}
          <ul className="divide-y divide-line">
            {items.map((alert) => (
              <li key={alert.id} data-alert={alert.alert} className="px-4 py-2.5 text-sm sm:px-5">
                <p className="flex flex-wrap items-center gap-x-2 gap-y-0.5"><span className="font-medium">{alert.alert}</span><Badge mood={alertMoods[alert.state]}>{words.alertStates[alert.state]}</Badge><Link to="/data/feeds" search={{ q: `${alert.serial}/${alert.feed}` }} title={words.toFeed} className="min-w-0 truncate rounded-sm text-ink-2 hover:text-accent-ink hover:underline">{alert.serial} / {alert.feed}</Link><span className="text-xs text-ink-3 num">{count(alert.off)}</span><span className="ml-auto text-ink-2"><Time at={alert.at} /></span></p>
                <code className="mt-0.5 block font-mono text-[0.8125rem] [overflow-wrap:anywhere] whitespace-pre-wrap">{alert.record}</code>
                {alert.why ? <p className="mt-0.5 text-xs break-words text-bad-ink">{sentence(alert.why)} <span className="text-ink-3">{words.tries(alert.tries)}{alert.dueAt ? <>, {words.nextTry} <Time at={alert.dueAt} /></> : null}</span></p> : null}
              </li>
            ))}
          </ul>
          <More query={alerts} />
        </Loaded>
      </div>
    </Card>
  );
}
