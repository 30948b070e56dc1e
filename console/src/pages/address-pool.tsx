// The pool of virtual addresses: how full it is, whether it leads here, who may call, and which device has which address.
import type { AddressPoolView } from '#api/virtual-shapes.ts';
import type { ConfigDocument, FindingView } from '#api/shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { editOfSingle } from '../config-document.ts';
import { absolute, shortAbsolute } from '../format.ts';
import { addressPoolQuery, configQuery, itemsOf, journalQuery, meQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, CopyBlock, Empty, Facts, PageHead, type Mood } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Icon, type IconName } from '../ui/icons.tsx';
import { Loaded } from '../ui/list.tsx';
import { ActionMenu } from '../ui/overlay.tsx';
import { EditPool } from './address-pool-form.tsx';
import { RemoveDialog } from './config-editor.tsx';
import { useSeesGateway } from './data.tsx';
import { VirtualAddressesCard } from './virtual-addresses.tsx';

const words = text.places.pool;
const REFUSED_SHOWN = 6;
type Pool = ConfigDocument['addressPool'];

export function AddressPoolPage() {
  const seesGateway = useSeesGateway();
  if (seesGateway === undefined) return null;
  if (seesGateway) return <PoolBody />;
  return (
    <Card>
      <Empty icon="lock" title={words.noRight}>{words.noRightAbout}</Empty>
    </Card>
  );
}

function PoolBody() {
  const { data: me } = useQuery(meQuery);
  const mayChange = me?.may.administerGateway ?? false;
  const pool = useQuery(addressPoolQuery);
  const document = useQuery({ ...configQuery, enabled: mayChange });
  const [question, setQuestion] = useState<'change' | 'remove' | null>(null);
  const configured: Pool = document.data?.config.addressPool;
  const view = pool.data;
  const isEmpty = view !== undefined && view.networks.length === 0;
  const change = mayChange && document.data ? <Button tone={isEmpty ? 'primary' : 'plain'} icon={isEmpty ? 'plus' : 'edit'} onClick={() => setQuestion('change')}>{isEmpty ? words.setUp : words.change}</Button> : null;
  return (
    <>
      <PageHead
        title={words.title}
        about={words.about}
        actions={isEmpty ? null : (
          <>
            {change}
            {change && configured ? <ActionMenu label={text.places.site.actions} entries={[{ label: words.remove, icon: 'trash', danger: true, run: () => setQuestion('remove') }]} /> : null}
          </>
        )}
      />
      {view === undefined ? <Card flush><Loaded query={pool} lines={6}>{null}</Loaded></Card> : isEmpty && view.used === 0 && view.outside === 0 ? (
        <Card>
          <Empty icon="pool" title={words.empty} action={change}>{words.emptyAbout}</Empty>
        </Card>
      ) : (
        <div className="grid gap-5 xl:grid-cols-[minmax(0,1.65fr)_minmax(0,1fr)]">
          <div className="flex min-w-0 flex-col gap-5">
            <NetworksCard pool={view} />
            <VirtualAddressesCard />
          </div>
          {/* On a narrow screen what is wrong stands above what is there. */}
          <div className={`flex min-w-0 flex-col gap-5 ${view.checks.some(({ status }) => status === 'failure') ? 'max-xl:order-first' : ''}`}>
            <ChecksCard checks={view.checks} />
            <CallersCard pool={view} />
            <ListeningCard pool={view} />
            {mayChange ? <RefusedCard /> : null}
          </div>
        </div>
      )}
      <EditPool open={question === 'change'} pool={configured} onClose={() => setQuestion(null)} />
      <RemoveDialog open={question === 'remove'} edit={configured ? editOfSingle('addressPool', words.title, configured, undefined) : null} title={words.removeTitle} about={words.removeAbout} onClose={() => setQuestion(null)} />
    </>
  );
}

function NetworksCard({ pool }: { pool: AddressPoolView }) {
  const notes: readonly [Mood, string][] = [
    ...(pool.without > 0 ? [['bad', words.without(pool.without)] as const] : []),
    ...(pool.outside > 0 ? [['warn', words.outside(pool.outside)] as const] : []),
    ...(pool.resting > 0 ? [['neutral', words.resting(pool.resting)] as const] : []),
  ].map(([mood, said]) => [mood as Mood, said]);
  return (
    <Card title={words.networks} about={words.networksAbout} actions={<span className="text-sm whitespace-nowrap text-ink-2 num">{words.free(pool.free)}</span>}>
      <ul className="flex flex-col gap-4">
        {pool.networks.map(({ network, used, capacity }) => {
          const share = capacity === 0 ? 0 : Math.min(1, used / capacity);
          return (
            <li key={network} data-network={network}>
              <p className="flex flex-wrap items-baseline justify-between gap-x-4 text-sm num">
                <span className="font-mono">{network}</span>
                <span className="text-ink-2">{words.used(used, capacity)}</span>
              </p>
              <div role="meter" aria-label={words.meter(network, used, capacity)} aria-valuenow={Math.round(share * 100)} aria-valuemin={0} aria-valuemax={100} className="mt-1.5 h-2.5 overflow-hidden rounded-full bg-line">
                {/* One address of 60,000 has to be seen, too. */}
                <div className={`h-full rounded-full ${share > 0.9 ? 'bg-warn' : 'bg-accent'}`} style={{ width: used === 0 ? 0 : `max(${share * 100}%, 0.375rem)` }} />
              </div>
            </li>
          );
        })}
      </ul>
      {notes.length > 0 ? (
        <ul className="mt-4 flex flex-col gap-1 text-sm">
          {notes.map(([mood, said]) => <li key={said} className={mood === 'bad' ? 'text-bad-ink' : mood === 'warn' ? 'text-warn-ink' : 'text-ink-3'}>{said}</li>)}
        </ul>
      ) : null}
    </Card>
  );
}

const looks: Record<FindingView['status'], { readonly mood: Mood; readonly icon: IconName; readonly tint: string }> = {
  failure: { mood: 'bad', icon: 'bad', tint: 'text-bad-ink' },
  warning: { mood: 'warn', icon: 'warning', tint: 'text-warn-ink' },
  ok: { mood: 'ok', icon: 'ok', tint: 'text-ok-ink' },
  skipped: { mood: 'neutral', icon: 'info', tint: 'text-ink-3' },
};
/** Doctor's words before what is to be run. */
const COMMAND = /^(.*?)(?:run )?as root: (.+)$/is;

function ChecksCard({ checks }: { checks: readonly FindingView[] }) {
  return (
    <Card title={words.checks} about={words.checksAbout} flush>
      <ul className="divide-y divide-line border-t border-line">
        {checks.map((check) => <Check key={check.id} check={check} />)}
      </ul>
    </Card>
  );
}

function Check({ check }: { check: FindingView }) {
  const look = looks[check.status];
  const isWrong = check.status === 'failure' || check.status === 'warning';
  const [, before = '', command = ''] = COMMAND.exec(check.remedy ?? '') ?? [];
  const said = command ? before.trim().replace(/[,:]$/, '.') : check.remedy;
  return (
    <li data-check={check.id} className="flex items-start gap-3 px-4 py-3 text-sm sm:px-5">
      <Icon name={look.icon} className={`mt-0.5 ${look.tint}`} />
      <div className="min-w-0 flex-1">
        <p className="font-medium">{check.title}<span className="sr-only"> ({text.status.states[check.status]})</span></p>
        <p className="break-words text-ink-2 first-letter:uppercase">{check.verdict}</p>
        {isWrong && said ? <p className="mt-1.5 break-words">{said}</p> : null}
        {isWrong && command ? (
          <div className="mt-2">
            <p className="mb-1 text-ink-2">{words.command}</p>
            <CopyBlock value={command} label={words.command} />
          </div>
        ) : null}
        {check.evidence.length > 0 ? (
          <details className="group mt-1.5">
            <summary className="inline-flex items-center gap-1 rounded-sm text-ink-3 select-none hover:text-ink [&::-webkit-details-marker]:hidden">
              <Icon name="chevron" size={12} className="transition-transform group-open:rotate-90" />
              {text.status.evidence}
            </summary>
            <ul className="mt-1 flex flex-col gap-1 font-mono text-xs text-ink-2">
              {check.evidence.map((line) => <li key={line} className="break-words">{line}</li>)}
            </ul>
          </details>
        ) : null}
      </div>
    </li>
  );
}

function Names({ list }: { list: readonly ReactNode[] }) {
  // Their order is their key: they are shown as they come.
  return <span className="flex flex-wrap justify-end gap-1.5">{list.map((each, at) => <span key={at} className="max-w-full rounded-lg bg-sunken px-2 py-0.5 font-mono text-xs [overflow-wrap:anywhere]">{each}</span>)}</span>;
}

function CallersCard({ pool: { callers, ports } }: { pool: AddressPoolView }) {
  const nobody = callers.networks.length === 0 && !callers.machine;
  return (
    <Card title={words.callers} about={words.callersAbout}>
      {nobody ? <p className="text-sm text-ink-2">{words.callersNobody}</p> : (
        <div className="flex flex-col gap-3">
          <div className="flex flex-wrap gap-1.5">
            {callers.machine ? <Badge mood="accent">{words.machine}</Badge> : null}
            {callers.networks.map((each) => <span key={each} className="max-w-full rounded-lg bg-sunken px-2 py-0.5 font-mono text-xs [overflow-wrap:anywhere]">{each}</span>)}
          </div>
          <Facts rows={[[words.ports, ports.length === 0 ? <span className="text-ink-3">{words.portsNone}</span> : <Names list={ports.map(({ transport, port }) => `${port}/${transport}`)} />]]} />
        </div>
      )}
      {callers.unresolved.length > 0 ? (
        <div className="mt-3">
          <Callout mood="warn" icon="warning" title={`${words.unresolved}: ${callers.unresolved.join(', ')}`}>{words.unresolvedAbout}</Callout>
        </div>
      ) : null}
    </Card>
  );
}

function ListeningCard({ pool: { listening, failed } }: { pool: AddressPoolView }) {
  if (listening.wanted === 0 && failed.length === 0 && listening.running === 0) return null;
  return (
    <Card title={words.listening}>
      <p className="flex flex-wrap justify-between gap-x-4 text-sm num">
        <span className={listening.open < listening.wanted ? 'font-medium text-bad-ink' : ''}>{words.listeningOf(listening.open, listening.wanted)}</span>
        <span className="text-ink-2">{words.running(listening.running)}</span>
      </p>
      {listening.beyond > 0 ? <p className="mt-1 text-sm text-warn-ink">{words.beyond(listening.beyond, listening.max)}</p> : null}
      {failed.length > 0 ? (
        <ul className="mt-3 flex flex-col gap-2.5 border-t border-line pt-3 text-sm" aria-label={words.failed}>
          {failed.map((each) => (
            <li key={`${each.transport} ${each.port} ${each.network} ${each.code}`}>
              <p className="font-medium">{words.failedLine(each.count, `${each.port}/${each.transport}`, each.network)}</p>
              <p className="break-words text-ink-2 first-letter:uppercase">{each.why}</p>
              {each.count > 1 ? <p className="font-mono text-xs text-ink-3">{words.failedExample(each.address)}</p> : null}
            </li>
          ))}
        </ul>
      ) : null}
    </Card>
  );
}

function RefusedCard() {
  const journal = useInfiniteQuery({ ...journalQuery('callback.refused'), refetchInterval: 10_000 });
  const lines = (itemsOf(journal.data) ?? []).slice(0, REFUSED_SHOWN);
  return (
    <Card title={words.refused} about={words.refusedAbout} flush={lines.length > 0}>
      {lines.length === 0 ? <p className="text-sm text-ink-3">{words.refusedNone}</p> : (
        <ul className="divide-y divide-line border-t border-line text-sm">
          {lines.map(({ seq, at, fields }) => (
            <li key={seq} className="px-4 py-2.5 sm:px-5">
              <p className="flex flex-wrap items-baseline justify-between gap-x-3">
                <span className="min-w-0 font-mono text-xs [overflow-wrap:anywhere]">{words.refusedLine(String(fields['from'] ?? '?'), `${String(fields['address'] ?? '?')} ${String(fields['port'] ?? '')}/${String(fields['transport'] ?? '')}`)}</span>
                <time dateTime={new Date(at).toISOString()} title={absolute(at)} className="text-xs text-ink-3 num">{shortAbsolute(at)}</time>
              </p>
              {fields['why'] ? <p className="break-words text-ink-2 first-letter:uppercase">{String(fields['why'])}</p> : null}
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
