// Who a device is: how it would be judged now and why, what a probe has read, everything that was seen with it, its URLs and its sessions.
import type { EvidenceView, IdentityView } from '#api/source-shapes.ts';
import type { DeviceView } from '#api/shapes.ts';
import { useQueries, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { deviceQuery, identityQuery, sourceConflictsQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, CopyValue, Facts, Skeleton, Time } from '../ui/bits.tsx';
import { Icon } from '../ui/icons.tsx';
import { cellClass, headClass } from '../ui/list.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { DeviceUrlsCard } from './device-urls.tsx';
import { SessionsCard } from './device-sessions.tsx';
import { StateBadge, stateIcons, stateMoods } from './identity-state.tsx';
import { ProbeButton } from './probe-now.tsx';
import { Said } from './said.tsx';
import { sentence } from './sentence.ts';

const words = text.sources.identity;
const CONFLICTS_SHOWN = 8;
const STRONG: ReadonlySet<EvidenceView['kind']> = new Set(['certificate', 'token', 'serial-snmp', 'serial-ipp']);

export function DeviceIdentity({ device }: { device: DeviceView }) {
  const identity = useQuery(identityQuery(device.id));
  if (identity.isPending) return <Skeleton lines={6} />;
  if (identity.data === undefined) return <ProblemNote problem={identity.error} again={() => void identity.refetch()} />;
  const mayChange = device.may.includes('administer');
  return (
    <div className="grid gap-5 xl:grid-cols-[minmax(0,1.65fr)_minmax(0,1fr)]">
      <div className="flex min-w-0 flex-col gap-5">
        <NowCard device={device} identity={identity.data} />
        <EvidenceCard evidence={identity.data.evidence} urls={identity.data.urls} />
        <SessionsCard deviceId={device.id} />
      </div>
      <div className="flex min-w-0 flex-col gap-5">
        <ConfirmationCard device={device} identity={identity.data} />
        {mayChange ? <DeviceUrlsCard device={device} urls={identity.data.urls} /> : null}
      </div>
    </div>
  );
}

const boxes: Record<string, string> = { ok: 'border-ok/40 bg-ok-soft', accent: 'border-accent/30 bg-accent-soft', warn: 'border-warn/50 bg-warn-soft', neutral: 'border-line bg-sunken' };

function NowCard({ device, identity }: { device: DeviceView; identity: IdentityView }) {
  const { now, last } = identity;
  return (
    <Card title={words.title} about={words.about} actions={device.agentId !== null && device.may.includes('administer') && now.state !== 'verified' ? <ProbeButton device={device} size="sm" /> : null}>
      <div className="flex flex-col gap-4">
        <div data-now={now.state} className={`rounded-xl border px-4 py-3 ${boxes[stateMoods[now.state]] ?? ''}`}>
          <p className="flex flex-wrap items-center gap-2 font-semibold" title={text.sources.stateTitles[now.state]}><Icon name={stateIcons[now.state]} />{text.sources.states[now.state]}{now.by ? <span className="text-xs font-normal text-ink-2">{words.byOf(text.sources.by[now.by])}</span> : null}</p>
          <p className="mt-1.5 text-sm break-words"><Said text={sentence(now.why)} /></p>
          {now.state === 'verified' ? null : <p className="mt-1 text-sm text-ink-2">{words.remedies[now.state]}</p>}
          {now.conflict.length > 0 ? <Conflicts ids={now.conflict.filter((id) => id !== device.id)} /> : null}
        </div>
        <Facts
          rows={[
            [words.address, now.address ? <span key="a" className="font-mono">{now.address}</span> : <span key="a" className="text-ink-3">{words.noAddress}</span>],
            [words.virtual, identity.virtualAddress ? <CopyValue key="v" value={identity.virtualAddress} label={words.virtual} /> : <span key="v" className="text-ink-3">{words.virtualNone}</span>],
            [words.serial, identity.serial ? <span key="s" className="font-mono break-all">{identity.serial}</span> : <span key="s" className="text-ink-3">{words.noSerial}</span>],
            [
              words.applications,
              <span key="m" className="inline-flex flex-wrap justify-end gap-1.5">
                {identity.sources.map((source) => <Badge key={source.id} mood="accent">{source.application}{source.as ? <span className="font-mono font-normal">{source.as}</span> : null}</Badge>)}
                {identity.sources.length === 0 ? <span className="text-ink-3">{words.noApplications}</span> : null}
                {device.may.includes('administer') ? <Link to="/applications/sources" search={{ q: device.label }} className="rounded-sm text-accent-ink hover:underline">{words.assign}</Link> : null}
              </span>,
            ],
          ]}
        />
        <SourceConflicts deviceId={device.id} />
        <div className="border-t border-line pt-3 text-sm">
          <p className="font-medium">{words.last}</p>
          {last === null ? <p className="text-ink-2">{words.lastNever}</p> : (
            <>
              <p className="mt-1 flex flex-wrap items-center gap-x-2 gap-y-1"><StateBadge state={last.state} /><span className="text-ink-2"><Time at={last.at} /> {words.lastAt(last.application, last.address)}{last.mac ? `, ${last.mac}` : ''}</span></p>
              <p className="mt-1 break-words text-ink-2">{sentence(last.why)}</p>
            </>
          )}
        </div>
      </div>
    </Card>
  );
}

function Conflicts({ ids }: { ids: readonly string[] }) {
  const known = useQueries({ queries: ids.slice(0, CONFLICTS_SHOWN).map((id) => deviceQuery(id)) }).flatMap(({ data }) => data ?? []);
  if (known.length === 0) return null;
  return (
    <p className="mt-2 flex flex-wrap items-center gap-x-2 gap-y-1 text-sm">
      <span className="text-ink-2">{words.conflict}</span>
      {known.map((each) => <Link key={each.id} to="/devices/$device" params={{ device: each.label }} search={{ tab: 'identity' }} className="rounded-sm font-medium text-accent-ink hover:underline">{each.name}</Link>)}
    </p>
  );
}

function SourceConflicts({ deviceId }: { deviceId: string }) {
  const conflicts = useQuery(sourceConflictsQuery);
  const mine = (conflicts.data?.items ?? []).filter(({ deviceIds }) => deviceIds.includes(deviceId));
  if (mine.length === 0) return null;
  return (
    <Callout mood="warn" icon="warning" title={words.contradicts}>
      <ul className="flex flex-col gap-1.5">
        {mine.map((each) => <li key={`${each.kind} ${each.application} ${each.sourceIds.join()}`} className="[overflow-wrap:anywhere]"><span className="font-medium text-ink">{each.application}:</span> {sentence(each.message)} <Said text={sentence(each.remedy)} /></li>)}
      </ul>
    </Callout>
  );
}

function ConfirmationCard({ device, identity }: { device: DeviceView; identity: IdentityView }) {
  const { confirmation, serial } = identity;
  const same = confirmation?.serial !== null && confirmation?.serial === serial;
  return (
    <Card title={words.confirmation} about={words.confirmationAbout} actions={confirmation ? <Badge mood={confirmation.fresh ? 'ok' : 'warn'} icon={confirmation.fresh ? 'check' : 'history'}>{confirmation.fresh ? words.fresh : words.stale}</Badge> : null}>
      {confirmation === null ? (
        <div className="flex flex-col items-start gap-3">
          <p className="text-sm text-ink-2">{words.confirmationNone}</p>
          {device.agentId !== null && device.may.includes('administer') ? <ProbeButton device={device} size="sm" /> : null}
        </div>
      ) : (
        <Facts
          rows={[
            [
              words.readSerial,
              <span key="s" className="flex flex-wrap items-center justify-end gap-x-2 gap-y-0.5">
                <span className="font-mono break-all">{confirmation.serial ?? words.none}</span>
                {confirmation.serial && serial ? <Badge mood={same ? 'ok' : 'bad'} icon={same ? 'check' : 'warning'}>{same ? words.matches : words.differs(serial)}</Badge> : null}
              </span>,
            ],
            [words.readMac, <span key="m" className="font-mono">{confirmation.mac ?? words.none}</span>],
            [words.readAt, <span key="a" className="font-mono">{confirmation.address}</span>],
            [words.readWhen, <Time key="w" at={confirmation.at} />],
            [words.readBy, confirmation.agent ? words.through(words.protocols[confirmation.by], confirmation.agent) : words.protocols[confirmation.by]],
          ]}
        />
      )}
    </Card>
  );
}

function EvidenceCard({ evidence, urls }: { evidence: readonly EvidenceView[]; urls: IdentityView['urls'] }) {
  // A URL is known by its note, and by its id when it is withdrawn.
  const shown = ({ kind, value }: EvidenceView) => (kind === 'token' ? (urls.find(({ id }) => id === value)?.note ?? `${value.slice(0, 8)}…`) : value);
  const columns = words.columns;
  return (
    <Card title={words.evidence} about={words.evidenceAbout} flush>
      <div className="border-t border-line">
        {evidence.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.evidenceNone}</p> : (
          <table className="w-full text-sm num">
            <thead>
              <tr className="border-b border-line">
                <th scope="col" className={`${headClass} hidden sm:table-cell`}>{columns.kind}</th>
                <th scope="col" className={headClass}>{columns.value}</th>
                <th scope="col" className={`${headClass} hidden text-right md:table-cell`}>{columns.first}</th>
                <th scope="col" className={`${headClass} text-right`}>{columns.last}</th>
              </tr>
            </thead>
            <tbody className="divide-y divide-line">
              {evidence.map((each) => (
                <tr key={`${each.kind} ${each.value}`} data-evidence={each.kind}>
                  <td className={`${cellClass} hidden whitespace-nowrap sm:table-cell`}><Kind kind={each.kind} /></td>
                  <td className={`${cellClass} w-full`}>
                    <p className="sm:hidden"><Kind kind={each.kind} /></p>
                    <p className={each.kind === 'token' ? 'break-words' : 'font-mono break-all'} title={each.value}>{shown(each)}</p>
                    <p className="text-xs break-words text-ink-3">{each.how}{each.kind === 'claimed-serial' ? ` · ${words.claimed}` : ''}</p>
                  </td>
                  <td className={`${cellClass} hidden text-right text-ink-2 md:table-cell`}><Time at={each.firstAt} /></td>
                  <td className={`${cellClass} text-right text-ink-2`}><Time at={each.lastAt} /><p className="text-xs text-ink-3">{words.of(each.count.toLocaleString('en'))}</p></td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    </Card>
  );
}

function Kind({ kind }: { kind: EvidenceView['kind'] }) {
  return (
    <span className="inline-flex items-center gap-1.5">
      {words.kinds[kind]}
      {STRONG.has(kind) ? <span role="img" aria-label={words.strong} title={words.strong} className="text-ok-ink"><Icon name="shield" size={13} /></span> : null}
    </span>
  );
}
