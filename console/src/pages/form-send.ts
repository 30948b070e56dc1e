// Sending what a form says: busy meanwhile, what was wrong stays to be shown, and which of it belongs to which field.
import { useState } from 'react';
import { ApiProblem } from '../api.ts';
import { sentence } from './sentence.ts';

export interface Sending {
  readonly busy: boolean;
  readonly problem: unknown;
  /** What the gateway says of one field; undefined: nothing. `lines`: what was filled in, one thing a line, so that it is said which one. */
  at(field: string, lines?: readonly string[]): string | undefined;
  /** Failures no field stands for. */
  readonly rest: unknown;
  send(run: () => Promise<unknown>): Promise<void>;
}

const isBelow = (path: string, field: string) => path === field || path.startsWith(`${field}.`) || path.startsWith(`${field}[`);

/** `fields`: paths in the request's body for which the form has a place. */
export function useSending(fields: readonly string[]): Sending {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const problems = problem instanceof ApiProblem ? (problem.problem.problems ?? []) : [];
  const shown = problems.length > 0 && problems.every(({ path }) => fields.some((field) => isBelow(path, field)));
  return {
    busy, problem,
    at: (field, lines = []) => {
      const found = problems.filter(({ path }) => isBelow(path, field));
      const said = found.map(({ path, message }) => {
        const line = lines[Number(/[.[](\d+)\]?$/.exec(path)?.[1] ?? 0)];
        return sentence(line ? `${line} ${message}` : message);
      });
      return said.length === 0 ? undefined : [...new Set(said)].join(' ');
    },
    rest: shown ? null : problem,
    async send(run) {
      setBusy(true);
      setProblem(null);
      try {
        await run();
      } catch (thrown) {
        setProblem(thrown);
      }
      setBusy(false);
    },
  };
}
