// The audit: who did what, and whether the chain still holds.
import type { Answer } from '#api/contract.ts';
import type { AuditLineView } from '#api/shapes.ts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { getRouteApi, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { absolute, count, shortAbsolute } from '../format.ts';
import { auditQuery, itemsOf } from '../queries.ts';
import { without } from '../search.ts';
import { eventName, text } from '../text.ts';
import { Callout, Card, CopyValue, Empty, Facts, PageHead, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Select } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { factText, FlatFacts } from './flat-facts.tsx';

const route = getRouteApi('/inside/audit');
/** What can be chosen before a line of it is shown; further ones come from the lines themselves. The gateway compares whole names. */
const KNOWN = [
  'agent.joined', 'agent.locked', 'agent.revoked', 'certificate.added', 'certificate.changed', 'certificate.downloaded', 'certificate.removed', 'certificate.replaced', 'certificate.requested', 'certificate.signed', 'certificate.went-back', 'config.changed', 'config.confirmed', 'config.rolled-back', 'device.added', 'device.changed', 'device.locked', 'device.unlocked', 'device.removed', 'device.certificate-accepted', 'device.certificate-forgotten', 'join-token.created', 'person.set-up', 'person.invited',
  'person.joined', 'person.locked', 'person.removed', 'person.rights-changed', 'person.password-changed', 'sign-in.opened', 'sign-in.ended', 'sign-in.refused', 'token.created', 'token.revoked', 'visit.opened', 'visit.closed',
];

export function AuditPage() {
  const search = route.useSearch();
  const navigate = useNavigate({ from: '/audit' });
  const [shown, setShown] = useState<AuditLineView | null>(null);
  const audit = useInfiniteQuery(auditQuery({ ...(search.what ? { what: search.what } : {}), ...(search.actorId ? { actorId: search.actorId } : {}), ...(search.subjectId ? { subjectId: search.subjectId } : {}) }));
  const lines = itemsOf(audit.data) ?? [];
  const filtered = Boolean(search.what || search.actorId || search.subjectId);
  const clear = () => void navigate({ search: {}, replace: true });
  const kinds = [...new Set([...KNOWN, ...lines.map((line) => line.what), ...(search.what ? [search.what] : [])])].sort();
  return (
    <>
      <PageHead title={text.audit.title} about={text.audit.about} actions={<Verify />} />
      <Card flush>
        <div className="flex flex-wrap items-center gap-2 border-b border-line p-3 sm:px-5">
          <Select
            aria-label={text.audit.filter}
            value={search.what ?? ''}
            onValue={(what) => void navigate({ search: (before) => (what ? { ...before, what } : without(before, 'what')), replace: true })}
            options={[['', text.audit.everything], ...kinds.map((kind) => [kind, eventName(kind)] as const)]}
            className="w-full sm:w-64"
          />
          {search.actorId ? <Chip onRemove={() => void navigate({ search: (before) => without(before, 'actorId', 'actorName') })}>{text.audit.by(search.actorName ?? search.actorId)}</Chip> : null}
          {search.actorId || search.subjectId ? null : <p className="hidden text-xs text-ink-3 sm:block">{text.audit.hint}</p>}
          {search.subjectId ? <Chip onRemove={() => void navigate({ search: (before) => without(before, 'subjectId', 'subjectName') })}>{text.audit.on(search.subjectName ?? search.subjectId)}</Chip> : null}
        </div>
        <Loaded query={audit} lines={8}>
          {lines.length === 0 ? (
            filtered ? <Empty icon="search" title={text.audit.nothing} action={<Button onClick={clear}>{text.audit.clear}</Button>} /> : <Empty icon="audit" title={text.audit.none}>{text.audit.noneAbout}</Empty>
          ) : (
            <div className="relative overflow-x-auto">
              <table className="w-full text-sm num">
                <thead>
                  <tr className="border-b border-line">
                    <th scope="col" className={`${headClass} hidden sm:table-cell`}>{text.audit.columns.when}</th>
                    <th scope="col" className={`${headClass} hidden sm:table-cell`}>{text.audit.columns.who}</th>
                    <th scope="col" className={headClass}>{text.audit.columns.what}</th>
                    <th scope="col" className={`${headClass} hidden lg:table-cell`}>{text.audit.columns.from}</th>
                    <th scope="col" className={`${headClass} hidden md:table-cell`}>{text.audit.columns.facts}</th>
                  </tr>
                </thead>
                <tbody className="divide-y divide-line">
                  {lines.map((line) => <AuditRow key={`${line.seq} ${line.hash}`} line={line} onShow={() => setShown(line)} />)}
                </tbody>
              </table>
            </div>
          )}
          <More query={audit} />
        </Loaded>
      </Card>
      <Dialog open={shown !== null} onClose={() => setShown(null)} wide title={shown ? eventName(shown.what) : ''} about={shown ? text.audit.line(shown.seq) : ''}>
        {shown ? <LineDetails line={shown} /> : null}
      </Dialog>
    </>
  );
}

function Chip({ children, onRemove }: { children: string; onRemove: () => void }) {
  return (
    <button type="button" onClick={onRemove} title={text.audit.clear} className="inline-flex h-8 max-w-60 items-center gap-1.5 rounded-full bg-accent-soft px-3 text-sm font-medium text-accent-ink hover:opacity-80">
      <span className="truncate">{children}</span>
      <Icon name="close" size={12} />
    </button>
  );
}

function moodOf(what: string): string {
  if (/refused|failed|revoked|broken/.test(what)) return 'bg-bad';
  if (/locked|removed|closed|deleted/.test(what) && !/unlocked|visit\.closed/.test(what)) return 'bg-warn';
  return 'bg-line-strong';
}

function AuditRow({ line, onShow }: { line: AuditLineView; onShow: () => void }) {
  const navigate = useNavigate({ from: '/audit' });
  const actorId = line.actor.id;
  const subjectId = line.subjectId;
  const linkClass = 'block max-w-44 truncate text-left rounded-sm hover:text-accent-ink hover:underline';
  return (
    <tr className="align-top hover:bg-sunken/60">
      <td className={`${cellClass} hidden align-top whitespace-nowrap text-ink-2 sm:table-cell`} title={absolute(line.at)}>
        {shortAbsolute(line.at)}
      </td>
      <td className={`${cellClass} hidden align-top sm:table-cell`}>
        {actorId ? (
          <button type="button" title={text.audit.onlyActor(line.actor.name)} onClick={() => void navigate({ search: (before) => ({ ...before, actorId, actorName: line.actor.name }) })} className={`${linkClass} font-medium`}>
            {line.actor.name}
          </button>
        ) : (
          <span className="text-ink-2">{line.actor.name || line.actor.kind}</span>
        )}
      </td>
      <td className={`${cellClass} align-top`}>
        <button type="button" onClick={onShow} className="flex items-center gap-2 rounded-sm text-left font-medium hover:text-accent-ink hover:underline">
          <span className={`size-2 shrink-0 rounded-full ${moodOf(line.what)}`} />
          {eventName(line.what)}
        </button>
        {line.subjectName ? (
          subjectId ? (
            <button type="button" title={text.audit.onlySubject(line.subjectName)} onClick={() => void navigate({ search: (before) => ({ ...before, subjectId, subjectName: line.subjectName }) })} className={`${linkClass} ml-4 text-ink-2`}>
              {line.subjectName}
            </button>
          ) : (
            <span className="ml-4 block max-w-44 truncate text-ink-2">{line.subjectName}</span>
          )
        ) : null}
        <span className="ml-4 block text-xs text-ink-3 sm:hidden">
          {line.actor.name || line.actor.kind} · <Time at={line.at} />
        </span>
      </td>
      <td className={`${cellClass} hidden align-top font-mono text-xs text-ink-2 lg:table-cell`}>{line.actor.from || '–'}</td>
      <td className={`${cellClass} hidden w-2/5 align-top text-xs text-ink-2 md:table-cell`}>
        <FlatFacts facts={line.detail} max={7} />
      </td>
    </tr>
  );
}

function LineDetails({ line }: { line: AuditLineView }) {
  return (
    <Facts
      rows={[
        [text.audit.columns.when, absolute(line.at)],
        [text.audit.columns.who, `${line.actor.name || line.actor.kind} (${line.actor.kind})`],
        [text.audit.columns.from, line.actor.from ? <span key="from" className="font-mono">{line.actor.from}</span> : '–'],
        [text.audit.columns.what, <code key="what" className="font-mono">{line.what}</code>],
        line.subjectName ? [text.audit.columns.on, `${line.subjectName} (${line.subjectKind})`] : null,
        ...Object.entries(line.detail).map(([key, value]) => [key, factText(key, value)] as const),
        [text.audit.hash, <CopyValue key="hash" value={line.hash} shown={`${line.hash.slice(0, 20)}…`} label={text.audit.hash} />],
        [text.audit.previous, <CopyValue key="previous" value={line.previousHash} shown={`${line.previousHash.slice(0, 20)}…`} label={text.audit.previous} />],
      ]}
    />
  );
}

function Verify() {
  const [busy, setBusy] = useState(false);
  const [result, setResult] = useState<Answer<'verifyAudit'> | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const run = async () => {
    setBusy(true);
    try {
      setResult(await call('verifyAudit'));
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
  };
  const close = () => {
    setResult(null);
    setProblem(null);
  };
  return (
    <>
      <Button icon="shield" busy={busy} onClick={() => void run()}>
        {busy ? text.audit.verifying : text.audit.verify}
      </Button>
      <Dialog open={result !== null || problem !== null} onClose={close} title={text.audit.verify}>
        <ProblemNote problem={problem} />
        {result ? (
          result.brokenAt === null ? (
            <Callout mood="ok" icon="ok" title={text.audit.intact}>
              {text.audit.intactAbout(result.lines)}
              <p className="mt-1"><CopyValue value={result.headHash} label={text.audit.hash} /></p>
            </Callout>
          ) : (
            <Callout mood="bad" icon="bad" title={text.audit.broken(result.brokenAt)}>
              {result.why ? <p className="text-ink">{result.why}</p> : null}
              {text.audit.brokenAbout}
              <p className="mt-1 num">{count(result.lines)}</p>
            </Callout>
          )
        ) : null}
      </Dialog>
    </>
  );
}
