// A failure as people need it: what happened, why, what to do, and the id under which the gateway's log has it.
import { useEffect, useRef, type ReactNode } from 'react';
import { problemOf } from '../api.ts';
import { text } from '../text.ts';
import { Button } from './button.tsx';
import { Icon } from './icons.tsx';

export function ProblemNote({ problem, again, children }: { problem: unknown; again?: () => void; children?: ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  // In a long form it may stand below the edge.
  // Chromium answers scrollIntoView with a promise, which would be taken for the effect's end: braces.
  useEffect(() => {
    void box.current?.scrollIntoView({ block: 'nearest' });
  }, [problem]);
  if (problem === null || problem === undefined) return null;
  const what = problemOf(problem);
  return (
    <div ref={box} role="alert" className="flex flex-wrap items-start gap-3 rounded-xl border border-bad/30 bg-bad-soft px-4 py-3">
      <Icon name="warning" className="mt-0.5 text-bad-ink" />
      <div className="min-w-0 flex-1 basis-48 text-sm">
        <p className="font-semibold text-bad-ink">{what.title}</p>
        {what.cause ? <p className="mt-0.5 break-words text-ink">{what.cause}</p> : null}
        {what.remedy ? <p className="mt-0.5 break-words text-ink-2">{what.remedy}</p> : null}
        {what.problems.length > 0 ? (
          <ul className="mt-1 list-disc pl-4 text-ink">
            {what.problems.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        ) : null}
        {what.requestId ? (
          <p className="mt-1.5 text-xs text-ink-3">
            {text.problem.requestId} <code className="font-mono select-all">{what.requestId}</code>
          </p>
        ) : null}
        {children}
      </div>
      {again ? (
        <Button size="sm" icon="refresh" onClick={again}>
          {text.problem.again}
        </Button>
      ) : null}
    </div>
  );
}
