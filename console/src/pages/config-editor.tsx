// The dialogs in which one thing of the configuration is added, changed or removed: a form, then what it changes.
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { sortProblems, type Edit, type FieldProblem, type SortedProblems } from '../config-document.ts';
import { text } from '../text.ts';
import { Skeleton } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { ChangeReview, OtherProblems, useConfigChange } from './config-change.tsx';

interface EditorProps {
  /** What the form says, as an edit. */
  edit: () => Edit;
  /** What is wrong without asking the gateway; paths are those of fields. */
  wrong?: () => readonly FieldProblem[];
  /** Paths of fields below the thing, for problems to be shown at. */
  fields: readonly string[];
  name: string;
  onClose: () => void;
  children: (problems: SortedProblems) => ReactNode;
}

const MEND_PAUSE_MS = 400;
const nothingWrong = () => [];

/** Form and review of one thing. The form stays mounted while its change is looked at, so that nothing typed is lost. */
export function ConfigEditor({ edit, wrong = nothingWrong, fields, name, onClose, children }: EditorProps) {
  const change = useConfigChange(onClose);
  const [local, setLocal] = useState<readonly FieldProblem[]>([]);
  const [typed, setTyped] = useState(0);
  const form = useRef<HTMLFormElement>(null);
  const isWrong = local.length + change.problems.length > 0;
  // Those found here stand in for the gateway's: it was not asked.
  const sorted = local.length > 0 ? sortProblems(local.map((each) => ({ ...each, path: `form.${each.path}` })), 'form', fields) : sortProblems(change.problems, change.place, fields);
  const submit = () => {
    const found = wrong();
    setLocal(found);
    setTyped(0);
    if (found.length === 0) void change.check(edit());
  };
  // While problems are shown, what is mended loses its mark, and nothing else does.
  useEffect(() => {
    if (typed === 0 || !isWrong) return;
    const timer = setTimeout(() => {
      const found = wrong();
      setLocal(found);
      if (found.length === 0) void change.recheck(edit());
    }, MEND_PAUSE_MS);
    return () => clearTimeout(timer);
    // Only typing starts it; what it looks at is what the form says by then.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [typed]);
  const isRefused = isWrong && typed === 0 && !change.busy;
  useEffect(() => {
    if (isRefused) form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [isRefused]);
  return (
    <>
      <form
        ref={form}
        noValidate
        className={change.tried === null ? 'flex flex-col gap-5' : 'hidden'}
        onChange={() => setTyped((count) => count + 1)}
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        {children(sorted)}
        <OtherProblems problems={sorted.rest} fields={change.problems.length > sorted.rest.length} />
        <ProblemNote problem={change.tried === null ? change.problem : null} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{text.common.cancel}</Button>
          <Button type="submit" tone="primary" busy={change.busy}>{text.frontDoor.change.check}</Button>
        </div>
      </form>
      <ChangeReview change={change} name={name} onBack={change.leave} onCancel={onClose} />
    </>
  );
}

/** Removing something: at once to what that changes. */
export function RemoveDialog({ open, edit, title, about, onClose }: { open: boolean; edit: Edit | null; title: string; about: string; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title={title} about={about} wide>
      {edit ? <RemoveBody edit={edit} onClose={onClose} /> : null}
    </Dialog>
  );
}

function RemoveBody({ edit, onClose }: { edit: Edit; onClose: () => void }) {
  const change = useConfigChange(onClose);
  const { check } = change;
  // Once, for what was to be removed when the dialog opened.
  // eslint-disable-next-line react-hooks/exhaustive-deps
  useEffect(() => void check(edit), []);
  if (change.tried) return <ChangeReview change={change} name={edit.name} onCancel={onClose} danger />;
  if (change.busy || (change.problem === null && change.problems.length === 0)) return <Skeleton lines={2} />;
  return (
    <div className="flex flex-col gap-4">
      <OtherProblems problems={change.problems} fields={false} />
      <ProblemNote problem={change.problem} again={() => void check(edit)} />
      <div className="flex justify-end">
        <Button onClick={onClose}>{text.common.close}</Button>
      </div>
    </div>
  );
}
