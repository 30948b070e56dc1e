// Why a probe failed, in its parts: which question, where, through whom, what to do, and what was known before.
import type { ProbeFailureView } from '#api/probe-shapes.ts';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { text } from '../text.ts';
import { Time } from '../ui/bits.tsx';
import { buttonClass } from '../ui/button.tsx';
import { Icon } from '../ui/icons.tsx';
import { Said } from './said.tsx';
import { sentence } from './sentence.ts';

const words = text.profile.failed;

/** `partial`: there is a profile of the same try, and this is what of it could not be had. */
export function FailureBox({ failure, lastGoodAt, partial, mayChange }: { failure: ProbeFailureView; lastGoodAt: number | null; partial: boolean; mayChange: boolean }) {
  const isDifferent = failure.code === 'different';
  const mood = partial && !isDifferent ? { box: 'border-warn/40 bg-warn-soft', ink: 'text-warn-ink' } : { box: 'border-bad/30 bg-bad-soft', ink: 'text-bad-ink' };
  const rows: readonly (readonly [string, ReactNode])[] = [
    [words.question, <span key="q" className="font-mono break-all">{failure.question || '–'}</span>],
    [words.address, <span key="a" className="font-mono">{failure.address || '–'}</span>],
    [words.agent, <span key="g">{failure.agent || '–'}{failure.from ? <span className="text-ink-2"> {words.from} <span className="font-mono">{failure.from}</span></span> : null}</span>],
    [words.lastGood, lastGoodAt === null ? words.never : <Time key="t" at={lastGoodAt} />],
  ];
  return (
    <section aria-label={words.title} data-failure={failure.code} className={`rounded-2xl border px-4 py-4 sm:px-5 ${mood.box}`}>
      <div className="flex items-start gap-3">
        <Icon name="warning" className={`mt-0.5 ${mood.ink}`} />
        <div className="min-w-0 flex-1">
          <h2 className={`text-base font-semibold ${mood.ink}`}>{words.codes[failure.code] ?? (partial ? words.titlePartial : words.title)}</h2>
          <p className="mt-0.5 text-sm break-words"><Said text={sentence(failure.message)} /></p>
          <dl className="mt-3 grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1 text-sm">
            {rows.map(([label, value]) => <div key={label} className="contents"><dt className="text-ink-2">{label}</dt><dd className="min-w-0">{value}</dd></div>)}
          </dl>
          {failure.remedy ? <p className="mt-3 text-sm break-words"><span className="font-medium">{words.remedy}:</span> <Said text={sentence(failure.remedy)} /></p> : null}
          {failure.code === 'credentials' && mayChange ? <p className="mt-3"><Link to="/applications/probes" className={buttonClass('plain', 'sm')}>{words.setCredentials}</Link></p> : null}
        </div>
      </div>
    </section>
  );
}
