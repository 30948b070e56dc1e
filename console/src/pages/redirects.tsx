// Which server a device's data belongs to: servers with what is there, rules in order, who was sent where.
import type { LeaseView, RedirectView, ServerView } from '#api/redirect-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { count, duration } from '../format.ts';
import { itemsOf, leasesQuery, meQuery, redirectsQuery, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, CopyBlock, Empty, PageHead, Time, type Mood } from '../ui/bits.tsx';
import { Select } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { useKept } from '../ui/kept.ts';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { ActionMenu, Confirm } from '../ui/overlay.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { OfGateway } from './data.tsx';
import { PreviewCard } from './redirect-preview.tsx';
import { serverName } from './server-name.ts';

const words = text.fleet.redirects;
type Drain = ServerView['drain'];
const moods: Record<Drain, Mood> = { no: 'ok', new: 'warn', now: 'bad' };

/** What a first rule looks like; the rest of the document stays as it is. */
const EXAMPLE = `"servers": [{ "name": "in2", "base": "https://in2.example.test/v1", "pins": ["sha256//…"] }],
"redirects": [{ "name": "new-ones", "serials": ["SN5000..SN5999"], "servers": ["in2"] }]`;

export function RedirectsPage() {
  return (
    <OfGateway>
      <Redirects />
    </OfGateway>
  );
}

function Redirects() {
  const redirects = useQuery(redirectsQuery);
  const { data: me } = useQuery(meQuery);
  const { rules = [], servers = [] } = redirects.data ?? {};
  const isEmpty = redirects.data !== undefined && rules.length === 0 && servers.length === 0;
  return (
    <>
      <PageHead title={words.title} about={words.about} />
      {isEmpty ? (
        <Card>
          <Empty icon="server" title={words.empty}>
            {words.emptyAbout}
            <div className="mt-3 text-left"><CopyBlock value={EXAMPLE} label={words.emptyCommand} /></div>
          </Empty>
        </Card>
      ) : (
        <div className="grid gap-5 xl:grid-cols-[minmax(0,1.6fr)_minmax(0,1fr)]">
          <div className="flex min-w-0 flex-col gap-5">
            <Card title={words.servers} about={words.serversAbout} flush>
              <div className="border-t border-line"><Loaded query={redirects} lines={3}><ServerTable servers={servers} mayDrain={me?.may.administerGateway ?? false} /></Loaded></div>
            </Card>
            <Card title={words.rules} about={words.rulesAbout} flush>
              <div className="border-t border-line"><Loaded query={redirects} lines={3}><Rules rules={rules} /></Loaded></div>
            </Card>
            <LeasesCard servers={servers} />
          </div>
          <div className="min-w-0"><PreviewCard /></div>
        </div>
      )}
    </>
  );
}

function ServerTable({ servers, mayDrain }: { servers: readonly ServerView[]; mayDrain: boolean }) {
  const [draining, setDraining] = useState<{ readonly server: string; readonly drain: 'new' | 'now' } | null>(null);
  const asked = useKept(draining);
  const undo = async (server: string) => {
    try {
      await call('drainServer', { params: { server }, body: { drain: 'no' } });
      say(words.undone(server));
      await refresh('redirects');
    } catch (thrown) {
      sayProblem(thrown);
    }
  };
  return (
    <>
      <table className="w-full text-sm num">
        <thead>
          <tr className="border-b border-line">
            <th scope="col" className={headClass}>{words.columns.server}</th>
            <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.columns.weight}</th>
            <th scope="col" className={`${headClass} text-right`}>{words.columns.leases}</th>
            <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.columns.failed}</th>
            {mayDrain ? <th scope="col" className={headClass}><span className="sr-only">{words.columns.state}</span></th> : null}
          </tr>
        </thead>
        <tbody className="divide-y divide-line">
          {servers.map((server) => (
            <tr key={server.name} data-server={server.name} className="hover:bg-sunken/60">
              <td className={`${cellClass} w-full max-w-0`}>
                <p className="flex min-w-0 flex-wrap items-center gap-x-2 gap-y-1"><span className="min-w-0 truncate font-medium">{server.name}</span><Badge mood={moods[server.drain]}>{words.drains[server.drain]}</Badge></p>
                <p className="truncate font-mono text-xs text-ink-3" title={server.base}>{server.base}</p>
                <p className="text-xs text-ink-3">{server.pins.length > 0 ? words.pins(server.pins.length) : words.noPins}{server.rules.length === 0 ? <span className="text-warn-ink"> · {words.unused}</span> : ` · ${server.rules.join(', ')}`}</p>
              </td>
              <td className={`${cellClass} hidden text-right sm:table-cell`}>{count(server.weight)}</td>
              <td className={`${cellClass} text-right font-medium`}>{count(server.leases)}</td>
              <td className={`${cellClass} hidden text-right sm:table-cell`}><span className={server.failed > 0 ? 'font-medium text-bad-ink' : 'text-ink-3'}>{count(server.failed)}</span></td>
              {mayDrain ? (
                <td className={`${cellClass} w-px`}>
                  <ActionMenu
                    label={text.data.actions(server.name)}
                    entries={[
                      ...(server.drain === 'no' ? [] : [{ label: words.undo, icon: 'play' as const, run: () => void undo(server.name) }]),
                      ...(server.drain === 'new' ? [] : [{ label: words.drainNew, icon: 'pause' as const, run: () => setDraining({ server: server.name, drain: 'new' }) }]),
                      ...(server.drain === 'now' ? [] : [{ label: words.drainNow, icon: 'unplug' as const, danger: true, run: () => setDraining({ server: server.name, drain: 'now' }) }]),
                    ]}
                  />
                </td>
              ) : null}
            </tr>
          ))}
        </tbody>
      </table>
      <Confirm
        open={draining !== null}
        onClose={() => setDraining(null)}
        title={words.drainTitle(asked?.server ?? '')}
        about={asked?.drain === 'now' ? words.drainNowAbout(asked.server) : words.drainNewAbout(asked?.server ?? '')}
        action={asked?.drain === 'now' ? words.drainNow : words.drainNew}
        run={async () => {
          if (!asked) return;
          await call('drainServer', { params: { server: asked.server }, body: { drain: asked.drain } });
          say(words.drained(asked.server));
          await refresh('redirects', 'leases');
        }}
      />
    </>
  );
}

function Rules({ rules }: { rules: readonly RedirectView[] }) {
  return (
    <ol className="divide-y divide-line">
      {rules.map((rule, at) => (
        <li key={rule.name} data-rule={rule.name} className="flex gap-3 px-4 py-3 text-sm sm:px-5">
          <span className="mt-px flex size-5.5 shrink-0 items-center justify-center rounded-full bg-sunken text-xs font-medium text-ink-2 num">{at + 1}</span>
          <div className="min-w-0 flex-1">
            <p className="font-medium break-words">{rule.name}</p>
            <ul className="mt-1 flex flex-wrap gap-1.5">
              {rule.conditions.length === 0 ? <li><Badge>{words.everybody}</Badge></li> : rule.conditions.map(({ field, wanted }) => <li key={`${field} ${wanted}`} className="max-w-full rounded-lg bg-sunken px-2 py-0.5 text-xs break-words"><span className="text-ink-3">{words.fields[field] ?? field}</span> {wanted}</li>)}
            </ul>
            <p className="mt-1.5 flex flex-wrap items-center gap-x-2 gap-y-1 text-ink-2">
              <Icon name="chevron" size={13} className="text-ink-3" />
              {rule.strategy === 'stay' ? words.stays : <>{rule.servers.map((each) => <Badge key={each} mood="accent">{serverName(each)}</Badge>)}{rule.servers.length > 1 ? <span>{words.strategies[rule.strategy]}</span> : null}<span className="text-ink-3">{words.lease(duration(rule.ttlSeconds * 1_000))}</span></>}
            </p>
          </div>
        </li>
      ))}
      <li className="px-4 py-3 text-sm text-ink-3 sm:px-5">{words.otherwise}</li>
    </ol>
  );
}

function LeasesCard({ servers }: { servers: readonly ServerView[] }) {
  const [server, setServer] = useState('');
  const leases = useInfiniteQuery(leasesQuery(server));
  const items = itemsOf(leases.data) ?? [];
  return (
    <Card title={words.leases} about={words.leasesAbout} flush actions={servers.length > 1 ? <Select aria-label={words.server} value={server} onValue={setServer} options={[['', words.allServers], ...servers.map(({ name }) => [name, name] as const)]} className="w-40" /> : null}>
      <div className="border-t border-line">
        <Loaded query={leases} lines={3}>
          {items.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.leasesNone}</p> : <LeaseTable leases={items} />}
          <More query={leases} />
        </Loaded>
      </div>
    </Card>
  );
}

function LeaseTable({ leases }: { leases: readonly LeaseView[] }) {
  const columns = words.leaseColumns;
  const several = new Set(leases.map(({ customer }) => customer)).size > 1;
  return (
    <table className="w-full text-sm num">
      <thead>
        <tr className="border-b border-line">
          <th scope="col" className={headClass}>{columns.device}</th>
          <th scope="col" className={headClass}>{columns.server}</th>
          <th scope="col" className={`${headClass} hidden sm:table-cell`}>{columns.rule}</th>
          <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{columns.given}</th>
          <th scope="col" className={`${headClass} text-right`}>{columns.until}</th>
        </tr>
      </thead>
      <tbody className="divide-y divide-line">
        {leases.map((lease) => (
          <tr key={`${lease.customer} ${lease.serial}`} data-lease={lease.serial}>
            <td className={`${cellClass} w-full max-w-0 truncate font-mono`} title={lease.serial}>{several ? `${lease.customer}/` : ''}{lease.serial}</td>
            <td className={`${cellClass} whitespace-nowrap`}>{serverName(lease.server)}</td>
            <td className={`${cellClass} hidden max-w-40 truncate text-ink-2 sm:table-cell`} title={lease.rule}>{lease.rule}</td>
            <td className={`${cellClass} hidden text-right text-ink-2 sm:table-cell`}><Time at={lease.givenAt} /></td>
            <td className={`${cellClass} text-right text-ink-2`}><Time at={lease.until} /></td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
