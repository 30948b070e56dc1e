// A change of the configuration on its way: tried first, shown as differences, then applied against the revision that was shown. Whoever was
// quicker meanwhile is not overwritten unseen.
import type { ConfigDiffView, ConfigDocument } from '#api/shapes.ts';
import { useEffect, useRef, useState } from 'react';
import { call, ApiProblem, isProblem } from '../api.ts';
import { documentOf, type Edit, type FieldProblem } from '../config-document.ts';
import { refreshConfig } from '../queries.ts';
import { text } from '../text.ts';
import { Callout } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SelectField } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { DiffView } from './config-diff.tsx';

interface Tried {
  readonly revision: number;
  readonly changed: boolean;
  readonly diff: ConfigDiffView | undefined;
  /** Of the very thing that is edited: somebody else changed or removed it since the form was opened. */
  readonly moved: 'no' | 'changed' | 'gone';
}

export interface ConfigChange {
  readonly tried: Tried | null;
  readonly busy: boolean;
  readonly problem: unknown;
  readonly problems: readonly FieldProblem[];
  /** The revision at which somebody else was quicker than the applying. */
  readonly conflict: number | null;
  /** Where in the document the form's thing stands: problems below are its fields'. */
  readonly place: string;
  /** Dry run; what it would change is shown next. */
  check(edit: Edit): Promise<void>;
  /** Only what is wrong with it is looked at anew, while it is being mended. */
  recheck(edit: Edit): Promise<void>;
  /** Back to the form. */
  leave(): void;
  apply(withinMs: number | null): Promise<void>;
}

const sections: Readonly<Record<string, string>> = text.config.sections;
const sameJson = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
const problemsOf = (thrown: unknown): readonly FieldProblem[] => (thrown instanceof ApiProblem ? (thrown.problem.problems ?? []) : []);

/** `routes[3].host` with the name of the route, which is what people know it by. */
function named(problems: readonly FieldProblem[], config: ConfigDocument): readonly FieldProblem[] {
  return problems.map((problem) => {
    const [, section = '', index, rest = ''] = /^(\w+)\[(\d+)\]\.?(.*)$/.exec(problem.path) ?? [];
    const items = (config as unknown as Record<string, readonly { readonly name?: string; readonly from?: string }[] | undefined>)[section];
    const item = index === undefined ? undefined : items?.[Number(index)];
    return item ? { ...problem, where: [`${sections[section] ?? section} ${item.name ?? item.from ?? ''}`.trim(), rest].filter(Boolean).join(': ') } : problem;
  });
}

type Outcome = { readonly tried: Tried; readonly body: Record<string, unknown> } | { readonly thrown: unknown; readonly problems: readonly FieldProblem[]; readonly place: string };

async function tryIt(edit: Edit): Promise<Outcome> {
  const { revision, config } = documentOf(await call('getConfig'));
  const at = edit.find(config);
  const moved = edit.before === null ? 'no' : at < 0 ? 'gone' : sameJson(edit.current(config), edit.before) ? 'no' : 'changed';
  const next = edit.apply(config);
  const body = next as unknown as Record<string, unknown>;
  try {
    const { changed, diff } = await call('putConfig', { query: { dryRun: 'true', diff: 'true' }, body, headers: { 'if-match': `"${revision}"` } });
    return { tried: { revision, changed, diff, moved }, body };
  } catch (thrown) {
    return { thrown, problems: named(problemsOf(thrown), next), place: edit.place(config) };
  }
}

export function useConfigChange(onDone: () => void): ConfigChange {
  const [state, setState] = useState<Pick<ConfigChange, 'tried' | 'busy' | 'problem' | 'problems' | 'conflict' | 'place'> & { edit: Edit | null; body: Record<string, unknown> }>({ tried: null, busy: false, problem: null, problems: [], conflict: null, place: '', edit: null, body: {} });
  const latest = useRef(0);
  const set = (part: Partial<typeof state>) => setState((before) => ({ ...before, ...part }));
  const run = async (edit: Edit, show: boolean, conflict: number | null) => {
    const turn = ++latest.current;
    set(show ? { busy: true, problem: null, problems: [], edit } : { problem: null });
    const outcome = await tryIt(edit).catch((thrown: unknown): Outcome => ({ thrown, problems: [], place: '' }));
    // Somebody typed on meanwhile, and a later answer counts.
    if (turn !== latest.current) return;
    if ('tried' in outcome) set(show ? { ...outcome, busy: false, conflict } : { problems: [], busy: false });
    else set({ busy: false, tried: null, place: outcome.place, problems: outcome.problems, problem: outcome.problems.length > 0 ? null : outcome.thrown });
  };
  const check = (edit: Edit, conflict: number | null = null) => run(edit, true, conflict);
  return {
    ...state,
    check: (edit) => check(edit),
    recheck: (edit) => run(edit, false, null),
    leave: () => set({ tried: null, conflict: null, problem: null }),
    async apply(withinMs) {
      const { tried, edit, body } = state;
      if (!tried || !edit) return;
      set({ busy: true, problem: null });
      try {
        const done = await call('putConfig', { query: withinMs === null ? {} : { confirmWithinMs: withinMs }, body, headers: { 'if-match': `"${tried.revision}"` } });
        refreshConfig();
        say(done.confirmBy === undefined ? text.frontDoor.change.applied(done.revision) : text.frontDoor.change.appliedFor(done.revision));
        onDone();
      } catch (thrown) {
        if (!isProblem(thrown, 412)) return set({ busy: false, problem: thrown });
        const { revision } = await call('getConfigState').catch(() => ({ revision: tried.revision }));
        await check(edit, revision);
      }
    },
  };
}

/** What would change, for how long, and the last question. `onBack` absent: there is no form to go back to. */
export function ChangeReview({ change, name, onBack, onCancel, danger = false }: { change: ConfigChange; name: string; onBack?: () => void; onCancel: () => void; danger?: boolean }) {
  const [within, setWithin] = useState('60000');
  const { tried, conflict } = change;
  const top = useRef<HTMLFormElement>(null);
  const isShown = tried !== null;
  // The form before it may have been scrolled to its end.
  useEffect(() => {
    void top.current?.scrollIntoView({ block: 'start' });
    if (isShown) top.current?.focus();
  }, [isShown, conflict]);
  if (!tried) return null;
  const words = text.frontDoor.change;
  return (
    <form
      ref={top}
      tabIndex={-1}
      aria-label={text.frontDoor.change.title}
      className="flex scroll-mt-4 flex-col gap-4 outline-none"
      onSubmit={(event) => {
        event.preventDefault();
        void change.apply(within ? Number(within) : null);
      }}
    >
      {change.conflict === null ? null : <Callout mood="warn" icon="warning" title={words.conflict(change.conflict)}>{words.conflictAbout}</Callout>}
      {tried.moved === 'changed' ? <Callout mood="warn" icon="warning" title={words.moved(name)}>{words.movedAbout}</Callout> : null}
      {tried.moved === 'gone' && tried.changed ? <Callout mood="warn" icon="warning" title={words.gone(name)}>{words.goneAbout}</Callout> : null}
      {tried.changed && tried.diff ? (
        <section aria-label={words.title} className="flex flex-col gap-2">
          <h3 className="text-sm font-semibold">{words.title}</h3>
          <p className="text-sm text-ink-2">{words.about(tried.revision)}</p>
          <DiffView diff={tried.diff} />
        </section>
      ) : (
        <Callout icon="info">{words.nothing}</Callout>
      )}
      {tried.changed ? <SelectField label={text.config.within} hint={within ? text.config.withinHint : undefined} value={within} onValue={setWithin} options={text.config.withins} /> : null}
      <ProblemNote problem={change.problem} />
      <div className="flex flex-wrap justify-end gap-2">
        {onBack ? <Button icon="left" className="mr-auto" onClick={onBack}>{words.back}</Button> : null}
        <Button onClick={onCancel}>{text.common.cancel}</Button>
        {tried.changed ? <Button type="submit" tone={danger ? 'danger' : 'primary'} busy={change.busy}>{danger ? text.common.remove : words.apply}</Button> : null}
      </div>
    </form>
  );
}

/** Problems that no field of the form is about: of other places, or of the thing as a whole. */
export function OtherProblems({ problems, fields }: { problems: readonly FieldProblem[]; fields: boolean }) {
  if (problems.length === 0) return null;
  const elsewhere = problems.every(({ path }) => path !== '');
  return (
    <div role="alert" className="flex items-start gap-3 rounded-xl border border-bad/30 bg-bad-soft px-4 py-3 text-sm">
      <Icon name="warning" className="mt-0.5 text-bad-ink" />
      <div className="min-w-0">
        <p className="font-semibold text-bad-ink">{elsewhere && !fields ? text.frontDoor.change.elsewhere : text.frontDoor.change.wrong}</p>
        <ul className="mt-1 flex flex-col gap-1 text-ink">
          {problems.map(({ path, where, message }) => (
            <li key={`${path} ${message}`} className="break-words">
              {path ? <span className="mr-2 font-medium text-ink-2">{where ?? path}</span> : null}
              {message}
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
