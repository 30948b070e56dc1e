// Asking devices what they are, over the whole gateway: who is asked now, what became of it, by which drivers, with which credentials, how often.
import type { Answer } from '#api/contract.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { count } from '../format.ts';
import { itemsOf, meQuery, probesQuery, profilesQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, PageHead, Time } from '../ui/bits.tsx';
import { Spinner } from '../ui/button.tsx';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { DriversCard } from './drivers.tsx';
import { StateIcon } from './identity-state.tsx';
import { CredentialsCard } from './probe-credentials.tsx';
import { SettingsCard } from './probe-settings.tsx';
import { LevelBar, stateWord } from './supplies.tsx';

const words = text.profile.probes;
type Probes = Answer<'listProbes'>;
const RUNS_SHOWN = 20;

export function ProbesPage() {
  const { data: me } = useQuery(meQuery);
  const probes = useQuery(probesQuery);
  const mayChange = me?.may.administerGateway ?? false;
  return (
    <>
      <PageHead title={words.title} about={words.about} />
      <div className="grid gap-5 xl:grid-cols-[minmax(0,1.65fr)_minmax(0,1fr)]">
        <div className="flex min-w-0 flex-col gap-5">
          <Card title={words.running} about={words.runningAbout} flush>
            <div className="border-t border-line"><Loaded query={probes} lines={3}>{probes.data ? <Running probes={probes.data} /> : null}</Loaded></div>
          </Card>
          <KnownCard />
        </div>
        <div className="flex min-w-0 flex-col gap-5">
          {mayChange ? <SettingsCard /> : null}
          <CredentialsCard />
          <DriversCard mayChange={mayChange} />
        </div>
      </div>
    </>
  );
}

function Running({ probes }: { probes: Probes }) {
  const { items, agents, counts, more } = probes;
  const hidden = more + Math.max(0, items.length - RUNS_SHOWN);
  return (
    <>
      {counts ? (
        <dl className="grid grid-cols-4 gap-2 border-b border-line px-4 py-3 sm:px-5">
          {(['succeeded', 'failed', 'dropped', 'missed'] as const).map((each) => (
            <div key={each} title={words.countsAbout[each]} className="min-w-0"><dt className="truncate text-xs text-ink-3">{words.counts[each]}</dt><dd className={`text-base font-medium num ${each !== 'succeeded' && counts[each] > 0 ? 'text-warn-ink' : ''}`}>{count(counts[each])}</dd></div>
          ))}
        </dl>
      ) : null}
      {items.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.idle}</p> : (
        <ul className="divide-y divide-line">
          {items.slice(0, RUNS_SHOWN).map((run) => (
            <li key={run.deviceId} data-probing={run.device} className="flex items-center gap-3 px-4 py-2.5 text-sm sm:px-5">
              {run.state === 'running' ? <span className="text-accent-ink"><Spinner size={15} /></span> : <span className="size-[15px] rounded-full border-2 border-dotted border-line-strong" aria-hidden="true" />}
              <div className="min-w-0 flex-1">
                <p className="truncate"><span className="font-medium">{run.device}</span> <span className="text-ink-2">{words.states[run.state]}, {text.profile.reasons[run.reason]}</span></p>
                <p className="truncate text-xs text-ink-3 num">{text.profile.progress(run.asked, run.answered)}{run.last ? <> · <span className="font-mono">{run.last}</span></> : null}</p>
              </div>
              <span className="text-ink-2"><Time at={run.since} /></span>
            </li>
          ))}
          {hidden > 0 ? <li className="px-4 py-2 text-sm text-ink-3 sm:px-5">{words.more(hidden)}</li> : null}
        </ul>
      )}
      {agents.length === 0 ? null : (
        <table className="w-full border-t border-line text-sm num">
          <thead>
            <tr className="border-b border-line">
              <th scope="col" className={headClass}>{words.agentColumns.agent}</th>
              <th scope="col" className={`${headClass} text-right`}>{words.agentColumns.running}</th>
              <th scope="col" className={`${headClass} text-right`}>{words.agentColumns.waiting}</th>
              <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.agentColumns.asked}</th>
              <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.agentColumns.pace}</th>
            </tr>
          </thead>
          <tbody className="divide-y divide-line">
            {agents.map((agent) => (
              <tr key={agent.agentId} data-agent={agent.agent}>
                <td className={`${cellClass} w-full max-w-0 truncate font-medium`} title={agent.agent}>{agent.agent}{agent.perSecond === null || agent.atOnce === null ? null : <span className="block truncate text-xs font-normal text-ink-3 sm:hidden">{words.pace(agent.perSecond, agent.atOnce)}</span>}</td>
                <td className={`${cellClass} text-right`}>{count(agent.running)}</td>
                <td className={`${cellClass} text-right`}>{count(agent.waiting)}</td>
                <td className={`${cellClass} hidden text-right sm:table-cell`}>{count(agent.asked)}</td>
                <td className={`${cellClass} hidden text-right whitespace-nowrap text-ink-2 sm:table-cell`}>{agent.perSecond === null || agent.atOnce === null ? '–' : words.pace(agent.perSecond, agent.atOnce)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function KnownCard() {
  const profiles = useInfiniteQuery(profilesQuery);
  const [failed, setFailed] = useState(false);
  const all = itemsOf(profiles.data) ?? [];
  const items = failed ? all.filter((row) => row.failure !== null || row.trust === 'different' || row.errors.length > 0 || row.lowest?.state === 'low' || row.lowest?.state === 'empty') : all;
  const columns = words.knownColumns;
  return (
    <Card title={words.known} about={words.knownAbout} flush actions={all.length > 1 ? <label className="flex items-center gap-2 text-sm text-ink-2"><input type="checkbox" checked={failed} onChange={(event) => setFailed(event.target.checked)} className="size-4.5 accent-accent" />{words.onlyFailed}</label> : null}>
      <div className="border-t border-line">
        <Loaded query={profiles} lines={4}>
          {items.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.knownNone}</p> : (
            <table className="w-full text-sm num">
              <thead>
                <tr className="border-b border-line">
                  <th scope="col" className={headClass}>{columns.device}</th>
                  <th scope="col" className={`${headClass} hidden md:table-cell`}>{columns.identity}</th>
                  <th scope="col" className={`${headClass} w-36`}>{columns.supply}</th>
                  <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{columns.read}</th>
                </tr>
              </thead>
              <tbody className="divide-y divide-line">
                {items.map((row) => (
                  <tr key={row.deviceId} data-known={row.device}>
                    <td className={`${cellClass} w-full max-w-0`}>
                      <p className="flex min-w-0 items-center gap-1.5">
                        <Link to="/devices/$device" params={{ device: row.deviceId }} search={{ tab: 'profile' }} className="min-w-0 truncate font-medium hover:text-accent-ink hover:underline">{row.device}</Link>
                        {row.trust === 'different' ? <StateIcon state="ambiguous" why={text.profile.trustTitles.different} /> : row.identity ? <StateIcon state={row.identity.state} why={row.identity.why} /> : null}
                      </p>
                      <p className="truncate text-xs text-ink-3">{[row.vendor, row.model].filter(Boolean).join(' ') || '–'}</p>
                      {row.failure || row.errors.length > 0 ? (
                        <p className="mt-1 flex flex-wrap gap-1">
                          {row.failure ? <Badge mood="bad" icon="warning">{text.profile.failed.codes[row.failure] ?? row.failure}</Badge> : null}
                          {row.errors.map((error) => <Badge key={error} mood="warn">{text.profile.errors[error] ?? error}</Badge>)}
                        </p>
                      ) : null}
                    </td>
                    <td className={`${cellClass} hidden max-w-40 truncate font-mono text-xs text-ink-2 md:table-cell`} title={row.serial ?? ''}>{row.serial ?? '–'}</td>
                    <td className={cellClass}>{row.lowest ? <><LevelBar supply={row.lowest} className="h-2.5" /><p className="mt-0.5 max-w-32 truncate text-xs text-ink-3" title={row.lowest.name}>{stateWord(row.lowest)} · {row.lowest.name}</p></> : <span className="text-ink-3">–</span>}</td>
                    <td className={`${cellClass} hidden text-right text-ink-2 sm:table-cell`}><Time at={row.readAt} never={text.common.never} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
          <More query={profiles} />
        </Loaded>
      </div>
    </Card>
  );
}
