// Job sources from CSV: first what would change, or which lines are wrong; then, unless something is, it is done.
import type { SourceImportView } from '#api/source-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useId, useState } from 'react';
import { call } from '../api.ts';
import { customersQuery, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Callout } from '../ui/bits.tsx';
import { Button, buttonClass } from '../ui/button.tsx';
import { Check, TextArea } from '../ui/choices.tsx';
import { SelectField } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { sentence } from './sentence.ts';

const words = text.sources.sources;

export function ImportSources({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} sticky wide title={words.importTitle} about={words.importAbout}>
      {open ? <ImportBody onClose={onClose} /> : null}
    </Dialog>
  );
}

function ImportBody({ onClose }: { onClose: () => void }) {
  const customers = useQuery(customersQuery);
  const [csv, setCsv] = useState('');
  const [customer, setCustomer] = useState('');
  const [replace, setReplace] = useState(false);
  const [tried, setTried] = useState<SourceImportView | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const several = (customers.data?.items.length ?? 0) > 1;
  const customerId = customer || (several ? (customers.data?.items[0]?.id ?? '') : '');
  const file = useId();
  const ask = async (dryRun: boolean) => {
    setBusy(true);
    setProblem(null);
    try {
      const answer = await call('importJobSources', { body: { text: csv, replace, dryRun, ...(customerId ? { customerId } : {}) } });
      if (dryRun || !answer.done) setTried(answer);
      else {
        say(words.imported(answer.added.length, answer.changed.length, answer.removed.length));
        onClose();
        await refresh('job-sources', 'source-conflicts', 'identity');
      }
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
  };
  if (tried) {
    const changes = tried.added.length + tried.changed.length + tried.removed.length;
    return (
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          void ask(false);
        }}
      >
        <Outcome outcome={tried} />
        <ProblemNote problem={problem} />
        <div className="flex flex-wrap justify-end gap-2">
          <Button icon="left" className="mr-auto" onClick={() => setTried(null)}>{words.again}</Button>
          <Button onClick={onClose}>{text.common.cancel}</Button>
          {tried.problems.length === 0 && changes > 0 ? <Button type="submit" tone="primary" busy={busy}>{words.apply}</Button> : null}
        </div>
      </form>
    );
  }
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        void ask(true);
      }}
    >
      {several ? <SelectField label={words.customer} value={customerId} onValue={setCustomer} options={(customers.data?.items ?? []).map((each) => [each.id, each.name])} /> : null}
      <TextArea label={words.csv} hint={words.csvHint} value={csv} onValue={setCsv} rows={9} placeholder={words.sample} />
      <div>
        <label htmlFor={file} className={`${buttonClass('plain', 'sm')} cursor-pointer has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent`}>
          <Icon name="upload" size={16} />
          {words.file}
          <input id={file} type="file" accept=".csv,text/csv,text/plain" className="sr-only" onChange={(event) => void event.target.files?.[0]?.text().then(setCsv)} />
        </label>
      </div>
      <Check label={words.replace} hint={words.replaceHint} checked={replace} onChecked={setReplace} />
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy} disabled={csv.trim() === ''}>{words.check}</Button>
      </div>
    </form>
  );
}

const signs = { added: '+', changed: '~', removed: '−' } as const;
const tints = { added: 'text-ok-ink', changed: 'text-accent-ink', removed: 'text-bad-ink' } as const;

function Outcome({ outcome }: { outcome: SourceImportView }) {
  if (outcome.problems.length > 0) {
    return (
      <div role="alert" className="rounded-xl border border-bad/30 bg-bad-soft px-4 py-3 text-sm">
        <p className="flex items-center gap-2 font-semibold text-bad-ink"><Icon name="warning" />{words.problems(outcome.problems.length)}</p>
        <ul className="mt-2 flex max-h-80 flex-col gap-1 overflow-y-auto">
          {outcome.problems.map((each) => <li key={`${each.line} ${each.message}`} data-line={each.line} className="flex gap-3"><span className="w-16 shrink-0 font-medium text-ink-2 num">{words.line(each.line)}</span><span className="min-w-0 break-words">{sentence(each.message)}</span></li>)}
        </ul>
      </div>
    );
  }
  const parts = [['added', words.wouldAdd], ['changed', words.wouldChange], ['removed', words.wouldRemove]] as const;
  const nothing = parts.every(([part]) => outcome[part].length === 0);
  return (
    <>
      {nothing ? <Callout icon="ok">{words.wouldNothing}</Callout> : null}
      {parts.map(([part, title]) =>
        outcome[part].length === 0 ? null : (
          <section key={part} aria-label={title}>
            <h3 className="text-sm font-semibold">{title} <span className="font-normal text-ink-3 num">{outcome[part].length}</span></h3>
            <ul className="mt-1 max-h-48 divide-y divide-line overflow-y-auto rounded-lg border border-line text-sm">
              {outcome[part].map((each, at) => (
                <li key={at} data-change={part} className="flex gap-3 px-3 py-1.5"><span aria-hidden="true" className={`w-3 shrink-0 font-mono font-semibold ${tints[part]}`}>{signs[part]}</span><span className="min-w-0 break-words"><span className="font-medium">{each.application}</span> {each.who}{each.as ? <span className="text-ink-2"> {words.appears(each.as)}</span> : null}{each.note ? <span className="text-ink-3"> · {each.note}</span> : null}</span></li>
              ))}
            </ul>
          </section>
        ),
      )}
      {outcome.same > 0 && !nothing ? <p className="text-sm text-ink-2">{words.wouldStay(outcome.same)}</p> : null}
      {outcome.conflicts.length > 0 ? (
        <Callout mood="warn" icon="warning" title={words.after}>
          <ul className="flex flex-col gap-1">{outcome.conflicts.map((each) => <li key={`${each.kind} ${each.application} ${each.sourceIds.join()} ${each.message}`} className="break-words">{sentence(each.message)} {sentence(each.remedy)}</li>)}</ul>
        </Callout>
      ) : null}
    </>
  );
}
