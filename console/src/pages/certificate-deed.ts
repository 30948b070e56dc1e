// What the forms of certificates have in common: sending, and each problem at its field.
import { useEffect, useRef, useState, type RefObject } from 'react';
import { isProblem } from '../api.ts';
import { sortProblems, type FieldProblem, type SortedProblems } from '../config-document.ts';

export interface Deed {
  readonly busy: boolean;
  readonly at: SortedProblems['at'];
  /** What belongs to no field, for a ProblemNote; null without. */
  readonly problem: unknown;
  /** What is wrong without asking the gateway comes first; resolves true when `work` went through. */
  run(wrong: readonly (FieldProblem | false)[], work: () => Promise<void>): Promise<boolean>;
  clear(): void;
  readonly form: RefObject<HTMLFormElement | null>;
}

const place = 'form';
const below = (problems: readonly FieldProblem[]) => problems.map((each) => ({ ...each, path: `${place}.${each.path}` }));

/** `fields`: the paths that have a place to be shown at. */
export function useDeed(fields: readonly string[]): Deed {
  const [busy, setBusy] = useState(false);
  const [thrown, setThrown] = useState<unknown>(null);
  const [local, setLocal] = useState<readonly FieldProblem[]>([]);
  const [refusals, setRefusals] = useState(0);
  const form = useRef<HTMLFormElement>(null);
  const told = isProblem(thrown) ? (thrown.problem.problems ?? []) : [];
  const sorted = sortProblems(below(local.length > 0 ? local : told), place, fields);
  useEffect(() => {
    if (refusals > 0) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [refusals]);
  const refuse = () => setRefusals((count) => count + 1);
  return {
    busy,
    at: sorted.at,
    problem: told.length > 0 && sorted.rest.length === 0 ? null : thrown,
    form,
    clear() {
      setThrown(null);
      setLocal([]);
    },
    async run(wrong, work) {
      const found = wrong.filter((each): each is FieldProblem => each !== false);
      setLocal(found);
      setThrown(null);
      if (found.length > 0) {
        refuse();
        return false;
      }
      setBusy(true);
      try {
        await work();
        return true;
      } catch (problem) {
        setThrown(problem);
        refuse();
        return false;
      } finally {
        setBusy(false);
      }
    },
  };
}
