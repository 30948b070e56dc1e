// One certificate: what it is, who uses it, what pins it, how it is renewed, where it is handed to.
import type { CertificateDetailView } from '#api/certificate-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { isProblem } from '../api.ts';
import { absolute } from '../format.ts';
import { auditQuery, certificateQuery, itemsOf, meQuery } from '../queries.ts';
import { eventName, text } from '../text.ts';
import { Callout, Card, CopyBlock, Facts, PageHead, Skeleton, Time } from '../ui/bits.tsx';
import { Icon } from '../ui/icons.tsx';
import { Loaded } from '../ui/list.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { CertificateActions } from './certificate-actions.tsx';
import { BackToCertificates } from './certificate-add.tsx';
import { DeliveriesCard } from './certificate-deliveries.tsx';
import { keyName, Life, Names, namesIn, sentence, SourceBadge, StateBadges } from './certificate-parts.tsx';
import { AcmeCard } from './certificate-progress.tsx';
import { RequestBlock } from './certificate-request.tsx';

const route = getRouteApi('/inside/certificates/$certificate');
const words = text.certificates.page;

export function CertificatePage() {
  const { certificate: key } = route.useParams();
  const certificate = useQuery(certificateQuery(key));
  if (certificate.isPending) return <Skeleton lines={8} />;
  if (certificate.data === undefined) {
    return (
      <div className="flex flex-col gap-4">
        <BackToCertificates />
        <ProblemNote problem={certificate.error} {...(isProblem(certificate.error, 404) ? {} : { again: () => void certificate.refetch() })} />
      </div>
    );
  }
  return <Body certificate={certificate.data} />;
}

function Body({ certificate }: { certificate: CertificateDetailView }) {
  const { data: me } = useQuery(meQuery);
  const { source, name } = certificate;
  const isRow = source !== 'leaf' && source !== 'ca';
  return (
    <>
      <PageHead
        name={name}
        before={<BackToCertificates />}
        title={
          <span className="flex min-w-0 flex-wrap items-center gap-x-2.5 gap-y-1">
            <span className="min-w-0 break-words">{name}</span>
            <SourceBadge source={source} />
            <StateBadges certificate={certificate} />
          </span>
        }
        actions={<CertificateActions key={certificate.id} certificate={certificate} />}
      />
      <Notices certificate={certificate} />
      <div className="grid gap-5 xl:grid-cols-[minmax(0,1.5fr)_minmax(0,1fr)]">
        <div className="flex min-w-0 flex-col gap-5">
          {certificate.request ? (
            <Card title={words.request} about={words.requestAbout}>
              <RequestBlock pem={certificate.request.pem} name={name} />
              <div className="mt-3"><Pin label={words.requestPin} value={certificate.request.keyPin.base64} /></div>
            </Card>
          ) : null}
          {certificate.acme ? <AcmeCard acme={certificate.acme} /> : null}
          <LifeCard certificate={certificate} />
          {certificate.fingerprint || certificate.keyPin ? <PinsCard certificate={certificate} /> : null}
          {certificate.chain.length > 0 ? <ChainCard certificate={certificate} /> : null}
          {isRow ? <DeliveriesCard certificate={certificate} /> : null}
        </div>
        <div className="flex min-w-0 flex-col gap-5">
          <UsesCard certificate={certificate} />
          {certificate.previous ? <PreviousCard previous={certificate.previous} /> : null}
          {isRow && me?.may.administerGateway ? <HistoryCard certificate={certificate} /> : null}
        </div>
      </div>
    </>
  );
}

function Notices({ certificate }: { certificate: CertificateDetailView }) {
  const { alarm, state, lastError, lastTriedAt, acme } = certificate;
  const isTold = acme?.progress?.state === 'failed';
  return (
    <div className="mb-5 flex flex-col gap-3 empty:hidden">
      {state === 'unusable' ? <Callout mood="bad" icon="bad" title={text.certificates.states.unusable}>{text.certificates.unusableAbout}</Callout> : null}
      {alarm ? <Callout mood={alarm.step === 30 ? 'accent' : alarm.step === 14 ? 'warn' : 'bad'} icon="warning" title={sentence(alarm.text)}>{alarm.remedy}</Callout> : null}
      {lastError && !isTold ? <Callout mood="bad" icon="warning" title={words.lastError}><span className="break-words">{sentence(lastError)}</span> <span className="text-xs text-ink-3"><Time at={lastTriedAt} /></span></Callout> : null}
    </div>
  );
}

function LifeCard({ certificate }: { certificate: CertificateDetailView }) {
  const { notBefore, notAfter, subject, issuer, keyKind, createdAt, renewedAt, source, renewsItself } = certificate;
  const names = namesIn(certificate);
  const mono = (value: string) => <span className="font-mono text-xs break-all">{value}</span>;
  return (
    <Card title={words.facts}>
      <div className="mb-4">
        <Life certificate={certificate} wide />
        {notBefore !== null && notAfter !== null ? (
          <p className="mt-1.5 flex flex-wrap justify-between gap-x-4 text-xs text-ink-2 num">
            <span>{words.from} {absolute(notBefore)}</span>
            <span>{words.until} {absolute(notAfter)}</span>
          </p>
        ) : null}
      </div>
      <Facts
        rows={[
          [words.factRows.names, names.length > 0 ? <Names names={names} /> : text.certificates.noNames],
          subject ? [words.factRows.subject, mono(subject)] : null,
          issuer ? [words.factRows.issuer, mono(issuer)] : null,
          [words.factRows.key, keyName(keyKind)],
          [words.factRows.source, `${text.certificates.sources[source]}, ${renewsItself ? text.certificates.byItself : text.certificates.byHand}`],
          createdAt === null ? null : [words.factRows.created, <Time at={createdAt} />],
          renewedAt === null ? null : [words.factRows.renewed, <Time at={renewedAt} />],
        ]}
      />
    </Card>
  );
}

function Pin({ label, value }: { label: string; value: string }) {
  return (
    <div className="flex flex-col gap-1">
      <p className="text-sm text-ink-2">{label}</p>
      <CopyBlock value={value} label={label} />
    </div>
  );
}

function PinsCard({ certificate }: { certificate: CertificateDetailView }) {
  const { fingerprint, keyPin, source, renewsItself } = certificate;
  return (
    <Card title={words.pins} about={source === 'ca' ? undefined : words.pinsAbout}>
      <div className="flex flex-col gap-3">
        {fingerprint ? <Pin label={words.sha256} value={fingerprint} /> : null}
        {keyPin ? <Pin label={words.spkiHex} value={keyPin.hex} /> : null}
        {keyPin ? <Pin label={words.spkiBase64} value={keyPin.base64} /> : null}
        {renewsItself ? <p className="text-sm text-ink-2">{words.newKey}</p> : null}
      </div>
    </Card>
  );
}

function ChainCard({ certificate }: { certificate: CertificateDetailView }) {
  return (
    <Card title={words.chain} about={certificate.source === 'ca' ? undefined : words.chainAbout} flush>
      <ol className="border-t border-line">
        {certificate.chain.map((each, step) => (
          <li key={each.fingerprint} className="flex gap-3 border-b border-line px-4 py-3 last:border-b-0 sm:px-5">
            <span aria-hidden="true" className="flex size-6 shrink-0 items-center justify-center rounded-full bg-accent-soft text-xs font-semibold text-accent-ink num">{step + 1}</span>
            <details className="group min-w-0 flex-1 text-sm">
              <summary className="flex list-none items-start gap-2 rounded-md [&::-webkit-details-marker]:hidden">
                <span className="min-w-0 flex-1">
                  <span className="font-mono text-xs font-medium break-all">{each.subject || '–'}</span>
                  <span className="mt-0.5 block text-xs text-ink-2">{keyName(each.keyKind)} · {words.chainUntil(absolute(each.notAfter))}</span>
                </span>
                <Icon name="chevron" size={16} className="mt-0.5 text-ink-3 transition-transform group-open:rotate-90" />
              </summary>
              <div className="mt-3 flex flex-col gap-3">
                <Facts rows={[[words.factRows.issuer, <span className="font-mono text-xs break-all">{each.issuer}</span>]]} />
                <Pin label={words.sha256} value={each.fingerprint} />
                <Pin label={words.spkiHex} value={each.keyPin.hex} />
                <Pin label={words.spkiBase64} value={each.keyPin.base64} />
              </div>
            </details>
          </li>
        ))}
      </ol>
    </Card>
  );
}

type Use = CertificateDetailView['usedBy'][number];

/** Where it is configured, for who may look there. */
function UseName({ use, linked }: { use: Use; linked: boolean }) {
  const look = `min-w-0 break-all ${use.kind === 'host' ? 'font-mono text-xs' : 'font-medium'}`;
  const link = `${look} rounded-sm hover:text-accent-ink hover:underline`;
  if (linked && (use.kind === 'route' || use.kind === 'upstream')) return <Link to="/front-door/routes" search={{ q: use.name }} className={link}>{use.name}</Link>;
  if (linked && use.kind === 'listener') return <Link to="/front-door/listeners" className={link}>{use.name}</Link>;
  if (linked && use.kind === 'tls-policy') return <Link to="/front-door/tls" className={link}>{use.name}</Link>;
  return <span className={look}>{use.name}</span>;
}

function UsesCard({ certificate }: { certificate: CertificateDetailView }) {
  const { data: me } = useQuery(meQuery);
  const { usedBy, usedByMore } = certificate;
  return (
    <Card title={words.usedBy}>
      {usedBy.length === 0 ? <p className="text-sm text-ink-2">{words.usedNowhere}. {words.usedNowhereAbout}</p> : null}
      <ul className="-mt-1 flex max-h-96 flex-col divide-y divide-line overflow-y-auto">
        {usedBy.map((use) => (
          <li key={`${use.kind} ${use.name} ${use.detail ?? ''}`} className="flex flex-wrap items-baseline gap-x-2 py-1.5 text-sm">
            <span className="text-ink-2">{text.certificates.uses[use.kind]}</span>
            <UseName use={use} linked={me?.may.administerGateway === true} />
            {use.detail ? <span className="font-mono text-xs break-all text-ink-3">{use.detail}</span> : null}
          </li>
        ))}
      </ul>
      {usedByMore > 0 ? <p className="mt-2 text-sm text-ink-2">{text.certificates.usedMore(usedByMore)}</p> : null}
    </Card>
  );
}

function PreviousCard({ previous }: { previous: NonNullable<CertificateDetailView['previous']> }) {
  return (
    <Card title={words.previous} about={words.previousAbout}>
      <Facts rows={[[words.factRows.subject, <span className="font-mono text-xs break-all">{previous.subject || '–'}</span>], [text.certificates.swap.whats['valid until'], absolute(previous.notAfter)], [words.sha256, <span className="font-mono text-xs break-all">{previous.fingerprint}</span>]]} />
    </Card>
  );
}

const LINES_SHOWN = 8;

function HistoryCard({ certificate }: { certificate: CertificateDetailView }) {
  const audit = useInfiniteQuery(auditQuery({ subjectId: certificate.id }));
  const lines = (itemsOf(audit.data) ?? []).slice(0, LINES_SHOWN);
  return (
    <Card title={words.history} about={words.historyAbout}>
      <Loaded query={audit} lines={3}>
        {lines.length === 0 ? <p className="text-sm text-ink-2">{words.historyNone}</p> : null}
        <ul className="-mt-1 divide-y divide-line">
          {lines.map((line) => (
            <li key={line.seq} className="flex flex-wrap items-baseline justify-between gap-x-3 py-1.5 text-sm">
              <span className="min-w-0 break-words">{eventName(line.what)} <span className="text-ink-3">{line.actor.name}</span></span>
              <span className="text-xs text-ink-3"><Time at={line.at} /></span>
            </li>
          ))}
        </ul>
        <Link to="/audit" search={{ subjectId: certificate.id, subjectName: certificate.name }} className="mt-2 inline-block rounded-md text-sm font-medium text-accent-ink hover:underline">{words.wholeHistory}</Link>
      </Loaded>
    </Card>
  );
}

