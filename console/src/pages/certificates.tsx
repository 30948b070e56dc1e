// The one list of certificates: those of people first, then the private CA with what it made by itself.
import type { CertificateView } from '#api/certificate-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useDeferredValue } from 'react';
import { compact } from '../config-document.ts';
import { certificatesQuery, itemsOf, meQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Callout, Card, Empty, PageHead, Time } from '../ui/bits.tsx';
import { Button, buttonClass } from '../ui/button.tsx';
import { SearchBox, Select } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { isProblem } from '../api.ts';
import { keyName, Life, lifeMood, NamesLine, sentence, SOURCES, SourceBadge, StateBadges, textOfUse } from './certificate-parts.tsx';

const page = getRouteApi('/inside/certificates');
const words = text.certificates;

export function CertificatesPage() {
  const { data: me } = useQuery(meQuery);
  const { q = '', source: given } = page.useSearch();
  const navigate = useNavigate({ from: '/certificates' });
  const source = SOURCES.find((each) => each === given);
  const search = useDeferredValue(q.trim());
  const certificates = useInfiniteQuery(certificatesQuery({ ...(search ? { search } : {}), ...(source ? { source } : {}) }));
  const items = itemsOf(certificates.data) ?? [];
  const own = items.filter((each) => each.source !== 'leaf' && each.source !== 'ca');
  const made = items.filter((each) => each.source === 'leaf' || each.source === 'ca');
  const filtered = Boolean(q.trim() || source);
  const set = (part: { q?: string | undefined; source?: string | undefined }) => void navigate({ search: (before) => compact({ ...before, ...part }) as typeof before, replace: true });
  const mayAdd = me?.may.administerGateway === true;
  const add = mayAdd ? <AddLink primary /> : null;
  if (isProblem(certificates.error, 403)) return <NoRight />;
  return (
    <>
      <PageHead
        title={words.title}
        about={words.about}
        actions={
          <>
            <a href="/ca" target="_blank" rel="noopener" className={buttonClass()}>
              <Icon name="shield" size={16} />
              {words.root}
            </a>
            {mayAdd ? <Link to="/certificates/authorities" className={buttonClass()}>{words.authorities}</Link> : null}
            {add}
          </>
        }
      />
      <Alarms certificates={items} />
      <div className="mb-4 flex flex-wrap items-center gap-2">
        <div className="flex min-w-full flex-1 sm:min-w-60"><SearchBox value={q} onValue={(value) => set({ q: value || undefined })} label={words.searchLabel} placeholder={words.search} maxLength={100} /></div>
        <Select aria-label={words.source} className="w-full sm:w-52" value={source ?? ''} onValue={(value) => set({ source: value || undefined })} options={[['', words.anySource], ...SOURCES.map((each) => [each, words.sources[each]] as const)]} />
      </div>
      {certificates.isPending || certificates.data === undefined ? (
        <Card flush><Loaded query={certificates} lines={5}>{null}</Loaded></Card>
      ) : (
        <div className="flex flex-col gap-5">
          {certificates.isError ? <ProblemNote problem={certificates.error} again={() => void certificates.refetch()} /> : null}
          {filtered && items.length === 0 ? (
            <Card flush>
              <Empty icon="search" title={words.nothing} action={<Button onClick={() => set({ q: undefined, source: undefined })}>{words.clear}</Button>}>{words.nothingAbout}</Empty>
            </Card>
          ) : null}
          {own.length > 0 ? (
            <Card flush title={words.own} about={words.ownAbout}>
              <CertificateTable certificates={own} label={words.own} />
            </Card>
          ) : filtered ? null : (
            <Card flush>
              <Empty icon="key" title={words.none} action={add}>{words.noneAbout}</Empty>
            </Card>
          )}
          {made.length > 0 ? (
            <Card flush title={words.made} about={words.madeAbout}>
              <CertificateTable certificates={made} label={words.made} />
            </Card>
          ) : null}
          {certificates.hasNextPage ? <Card flush><More query={certificates} /></Card> : null}
        </div>
      )}
    </>
  );
}

export function NoRight({ title = words.noRight }: { title?: string }) {
  return (
    <Card>
      <Empty icon="key" title={title}>{words.noRightAbout}</Empty>
    </Card>
  );
}

function AddLink({ primary = false }: { primary?: boolean }) {
  return (
    <Link to="/certificates/add" className={buttonClass(primary ? 'primary' : 'plain')}>
      <Icon name="plus" size={16} />
      {words.add}
    </Link>
  );
}

const URGENT_SHOWN = 5;

function Alarms({ certificates }: { certificates: readonly CertificateView[] }) {
  const byEnd = certificates.toSorted((a, b) => (a.notAfter ?? Infinity) - (b.notAfter ?? Infinity));
  const urgent = byEnd.flatMap(({ id, name, alarm, state, lastError }) => {
    if (state === 'unusable') return [{ id, title: words.unusableOf(name), remedy: words.unusableAbout, isBad: true }];
    if (alarm && alarm.step <= 14) return [{ id, title: sentence(alarm.text), remedy: alarm.remedy, isBad: alarm.step <= 7 }];
    return lastError === null ? [] : [{ id, title: words.failedOf(name), remedy: sentence(lastError), isBad: true }];
  });
  if (urgent.length === 0) return null;
  const isBad = urgent.some((each) => each.isBad);
  return (
    <div className="mb-4">
      <Callout mood={isBad ? 'bad' : 'warn'} icon="warning" title={words.alarmsTitle(urgent.length)}>
        <ul className="mt-0.5 flex flex-col gap-1">
          {urgent.slice(0, URGENT_SHOWN).map(({ id, title, remedy }) => (
            <li key={id} className="break-words">
              <Link to="/certificates/$certificate" params={{ certificate: id }} className="rounded-sm font-medium text-ink underline decoration-line-strong underline-offset-2 hover:text-accent-ink">{title}</Link>. {remedy}
            </li>
          ))}
        </ul>
        {urgent.length > URGENT_SHOWN ? <p className="mt-1">{words.moreUrgent(urgent.length - URGENT_SHOWN)}</p> : null}
      </Callout>
    </div>
  );
}

function CertificateTable({ certificates, label }: { certificates: readonly CertificateView[]; label: string }) {
  const columns = words.columns;
  return (
    <table className="w-full table-fixed border-t border-line text-sm" aria-label={label}>
      <thead>
        <tr className="border-b border-line">
          <th scope="col" className={headClass}>{columns.name}</th>
          <th scope="col" className={`${headClass} w-36 sm:w-40`}>{columns.left}</th>
          <th scope="col" className={`${headClass} hidden w-48 md:table-cell`}>{columns.renewed}</th>
          <th scope="col" className={`${headClass} hidden w-[26%] lg:table-cell`}>{columns.used}</th>
        </tr>
      </thead>
      <tbody className="divide-y divide-line">
        {certificates.map((each) => <Row key={each.id} certificate={each} />)}
      </tbody>
    </table>
  );
}

function Row({ certificate }: { certificate: CertificateView }) {
  const { id, name, source, keyKind, usedBy, usedByMore } = certificate;
  const [first] = usedBy;
  const navigate = useNavigate();
  const mood = lifeMood(certificate);
  const isBad = mood === 'bad' || certificate.state === 'unusable';
  return (
    <tr className={`cursor-pointer hover:bg-sunken/60 ${isBad ? 'bg-bad-soft/40' : ''}`} data-certificate={name} onClick={(event) => (event.target as Element).closest('a') ? undefined : void navigate({ to: '/certificates/$certificate', params: { certificate: id } })}>
      <td className={`${cellClass} align-top`}>
        <div className="flex flex-wrap items-center gap-x-2 gap-y-1">
          <Link to="/certificates/$certificate" params={{ certificate: id }} className="min-w-0 rounded-sm font-medium break-words hover:text-accent-ink hover:underline">{name}</Link>
          <SourceBadge source={source} />
          <StateBadges certificate={certificate} />
        </div>
        <div className="mt-0.5"><NamesLine certificate={certificate} /></div>
        <div className="mt-0.5 text-xs text-ink-3">{keyName(keyKind)}</div>
        {first ? <div className="mt-0.5 text-xs break-words text-ink-2 lg:hidden">{textOfUse(first)}{usedBy.length + usedByMore > 1 ? ` ${words.usedMore(usedBy.length - 1 + usedByMore)}` : ''}</div> : null}
        <div className="mt-1 text-xs text-ink-2 md:hidden"><Renewal certificate={certificate} labelled /></div>
      </td>
      <td className={`${cellClass} align-top`}><Life certificate={certificate} /></td>
      <td className={`${cellClass} hidden align-top md:table-cell`}><Renewal certificate={certificate} /></td>
      <td className={`${cellClass} hidden align-top lg:table-cell`}>
        {usedBy.length === 0 ? <span className="text-ink-3">{certificate.source === 'ca' ? '–' : words.unused}</span> : null}
        <ul className="flex flex-col gap-0.5">
          {usedBy.slice(0, 3).map((use) => <li key={`${use.kind} ${use.name}`} className="truncate" title={textOfUse(use)}>{textOfUse(use)}</li>)}
        </ul>
        {usedBy.length + usedByMore > 3 ? <span className="text-xs text-ink-3">{words.usedMore(usedBy.length - 3 + usedByMore)}</span> : null}
      </td>
    </tr>
  );
}

function Renewal({ certificate, labelled = false }: { certificate: CertificateView; labelled?: boolean }) {
  const { lastError, renewedAt, lastTriedAt, renewsItself, source } = certificate;
  return (
    <div className="min-w-0">
      {source === 'leaf' || source === 'ca' ? null : <div>{labelled ? `${words.columns.renewed}: ` : ''}{renewedAt === null ? <span className="text-ink-3">{words.neverRenewed}</span> : <Time at={renewedAt} />}</div>}
      {source === 'ca' ? <span className="text-ink-3">–</span> : <div className="text-xs text-ink-3">{renewsItself ? words.byItself : words.byHand}</div>}
      {lastError === null ? null : (
        <div className="mt-0.5 flex items-start gap-1 text-xs text-bad-ink" title={lastError}>
          <Icon name="warning" size={13} className="mt-0.5" />
          <span className="line-clamp-3 min-w-0 break-words">{words.failed} <Time at={lastTriedAt} />: {lastError}</span>
        </div>
      )}
    </div>
  );
}
