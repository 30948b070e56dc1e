// Doctor's findings: what is wrong first, with what to do about it.
import type { FindingView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { doctorQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Callout, Card, Time, type Mood } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Icon, type IconName } from '../ui/icons.tsx';
import { Loaded } from '../ui/list.tsx';

const looks: Record<FindingView['status'], { readonly mood: Mood; readonly icon: IconName; readonly tint: string; readonly rank: number }> = {
  failure: { mood: 'bad', icon: 'bad', tint: 'text-bad-ink', rank: 0 },
  warning: { mood: 'warn', icon: 'warning', tint: 'text-warn-ink', rank: 1 },
  ok: { mood: 'ok', icon: 'ok', tint: 'text-ok-ink', rank: 3 },
  skipped: { mood: 'neutral', icon: 'info', tint: 'text-ink-3', rank: 2 },
};

export function DoctorCard() {
  const doctor = useQuery(doctorQuery);
  const findings = [...(doctor.data?.findings ?? [])].sort((a, b) => looks[a.status].rank - looks[b.status].rank);
  const failures = findings.filter((finding) => finding.status === 'failure').length;
  const warnings = findings.filter((finding) => finding.status === 'warning').length;
  const passed = findings.filter((finding) => finding.status === 'ok').length;
  return (
    <Card title={text.status.doctor} about={text.status.doctorAbout} flush actions={<Button size="sm" icon="refresh" busy={doctor.isFetching} onClick={() => void doctor.refetch()}>{doctor.isFetching ? text.status.running : text.status.run}</Button>}>
      <Loaded query={doctor}>
        <div className="px-4 pb-4 sm:px-5">
          <Callout mood={failures ? 'bad' : warnings ? 'warn' : findings.length > 0 ? 'ok' : 'neutral'} icon={failures ? 'bad' : warnings ? 'warning' : findings.length > 0 ? 'ok' : 'info'} title={failures || warnings ? text.status.needs(failures, warnings) : passed > 0 ? text.status.allWell(passed) : text.status.noChecks}>
            <span className="text-xs">{text.status.checkedAt} <Time at={doctor.data?.at} /></span>
          </Callout>
        </div>
        <ul className="divide-y divide-line border-t border-line">
          {findings.map((finding) => <Finding key={finding.id} finding={finding} />)}
        </ul>
      </Loaded>
    </Card>
  );
}

function Finding({ finding }: { finding: FindingView }) {
  const look = looks[finding.status];
  return (
    <li>
      <details open={finding.status === 'failure' || finding.status === 'warning'} className="group">
        <summary className="flex items-start gap-3 px-4 py-3 select-none hover:bg-sunken/60 focus-visible:-outline-offset-2 sm:px-5 [&::-webkit-details-marker]:hidden">
          <Icon name={look.icon} className={`mt-0.5 ${look.tint}`} />
          <span className="min-w-0 flex-1 text-sm">
            <span className="font-medium">{finding.title}</span>
            <span className="sr-only"> ({text.status.states[finding.status]})</span>
            <span className="block break-words text-ink-2">{finding.verdict}</span>
          </span>
          <Icon name="chevron" size={14} className="mt-1 text-ink-3 transition-transform group-open:rotate-90" />
        </summary>
        <div className="flex flex-col gap-2 px-4 pb-4 pl-11 text-sm sm:px-5 sm:pl-12">
          {finding.remedy ? (
            <p className="rounded-lg bg-sunken px-3 py-2 break-words">
              <span className="font-medium">{text.status.remedy}: </span>
              {finding.remedy}
            </p>
          ) : null}
          {finding.evidence.length > 0 ? (
            <ul aria-label={text.status.evidence} className="flex flex-col gap-0.5 font-mono text-xs text-ink-2">
              {finding.evidence.map((line) => <li key={line} className="break-words">{line}</li>)}
            </ul>
          ) : null}
        </div>
      </details>
    </li>
  );
}
