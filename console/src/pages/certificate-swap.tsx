// What an upload is worth, what a swap changes, and who trusts what it was: read before the button works.
import type { SwapView, TrustView, VerdictView } from '#api/certificate-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState, type ReactNode } from 'react';
import { call } from '../api.ts';
import { refreshCertificates } from '../queries.ts';
import { text } from '../text.ts';
import { Badge } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Check } from '../ui/choices.tsx';
import { Icon, type IconName } from '../ui/icons.tsx';
import { Loaded } from '../ui/list.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { sentence } from './certificate-parts.tsx';

const words = text.certificates.swap;

const looks: Record<VerdictView['severity'], { icon: IconName; ink: string; box: string }> = {
  error: { icon: 'bad', ink: 'text-bad-ink', box: 'border-bad/30 bg-bad-soft' },
  warning: { icon: 'warning', ink: 'text-warn-ink', box: 'border-warn/40 bg-warn-soft' },
  ok: { icon: 'ok', ink: 'text-ok-ink', box: 'border-line bg-surface' },
};

export function Verdicts({ verdicts }: { verdicts: readonly VerdictView[] }) {
  return (
    <section aria-label={words.verdicts}>
      <h3 className="mb-2 text-sm font-semibold">{words.verdicts}</h3>
      <ul className="flex flex-col gap-1.5">
        {verdicts.map((each) => {
          const { icon, ink, box } = looks[each.severity];
          return (
            <li key={each.text} data-verdict={each.severity} className={`flex items-start gap-2.5 rounded-lg border px-3 py-2 text-sm ${box}`}>
              <Icon name={icon} size={16} className={`mt-0.5 ${ink}`} />
              <div className="min-w-0 flex-1">
                <p className={`break-words ${each.severity === 'ok' ? 'text-ink' : `font-medium ${ink}`}`}>
                  <span className="sr-only">{words.severities[each.severity]}: </span>
                  {sentence(each.text)}
                </p>
                {each.remedy ? <p className="mt-0.5 break-words text-ink-2">{sentence(each.remedy)}</p> : null}
              </div>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function Changes({ changes }: { changes: SwapView['changes'] }) {
  const named = words.whats as Readonly<Record<string, string>>;
  return (
    <section aria-label={words.changes}>
      <h3 className="mb-2 text-sm font-semibold">{words.changes}</h3>
      {changes.length === 0 ? <p className="text-sm text-ink-2">{words.same}</p> : null}
      <ul className="divide-y divide-line rounded-xl border border-line empty:hidden">
        {changes.map(({ what, before, after }) => (
          <li key={what} className="grid gap-x-4 gap-y-0.5 px-3 py-2 text-sm sm:grid-cols-[8rem_minmax(0,1fr)]">
            <span className="text-ink-2">{named[what] ?? what}</span>
            <div className="min-w-0">
              <Value label={words.before} value={before} old />
              <Value label={words.after} value={after} />
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Value({ label, value, old = false }: { label: string; value: string | null; old?: boolean }) {
  return (
    <p className="flex items-baseline gap-2">
      <span className="w-9 shrink-0 text-xs text-ink-3">{label}</span>
      <span className={`min-w-0 font-mono text-xs break-all ${old ? 'text-ink-3' : 'text-ink'}`}>{value ?? words.nobody}</span>
    </p>
  );
}

function Trusts({ trusts, more }: { trusts: readonly TrustView[]; more: number }) {
  return (
    <section aria-label={words.trusts}>
      <h3 className="text-sm font-semibold">{words.trusts}</h3>
      <p className="mb-2 text-sm text-ink-2">{trusts.length === 0 ? words.trustsNone : words.trustsAbout}</p>
      <ul className="flex flex-col gap-1.5">
        {trusts.map((each) => (
          <li key={`${each.kind} ${each.name} ${each.path ?? ''} ${each.text}`} data-trust={each.severity} className={`rounded-lg border px-3 py-2 text-sm ${each.severity === 'change' ? looks.warning.box : looks.ok.box}`}>
            <div className="mb-1 flex flex-wrap items-center gap-x-2 gap-y-1">
              <Badge mood={each.severity === 'change' ? 'warn' : 'neutral'} icon={each.severity === 'change' ? 'warning' : 'info'}>{each.severity === 'change' ? words.mustChange : words.look}</Badge>
              <span className="min-w-0 font-medium break-words">{words.kinds[each.kind]}{each.name && each.kind !== 'clients' ? ` ${each.name}` : ''}</span>
            </div>
            <p className="break-words">{sentence(each.text)}</p>
            {each.remedy ? <p className="mt-0.5 break-words text-ink-2">{sentence(each.remedy)}</p> : null}
            {each.path ? <p className="mt-0.5 font-mono text-xs break-all text-ink-3">{words.at(each.path)}</p> : null}
          </li>
        ))}
      </ul>
      {more > 0 ? <p className="mt-2 text-sm text-ink-2">{words.trustsMore(more)}</p> : null}
    </section>
  );
}

/** Everything that a dry run said. `read` belongs to the button of whoever shows it. */
export function SwapReview({ swap, replaces, read, onRead }: { swap: SwapView; replaces: boolean; read: boolean; onRead: (read: boolean) => void }) {
  const isBroken = swap.verdicts.some((each) => each.severity === 'error');
  return (
    <div className="flex flex-col gap-5" role="status">
      {swap.verdicts.length > 0 ? <Verdicts verdicts={swap.verdicts} /> : null}
      {replaces && !isBroken ? (
        <>
          <Changes changes={swap.changes} />
          <Trusts trusts={swap.trusts} more={swap.trustsMore} />
          {swap.trusts.length > 0 ? <Check label={words.read} hint={words.readHint} checked={read} onChecked={onRead} /> : <p className="text-sm text-ink-2">{words.readHint}</p>}
        </>
      ) : null}
    </div>
  );
}

export const mayBePut = (swap: SwapView, replaces: boolean, read: boolean) => swap.verdicts.every((each) => each.severity !== 'error') && (!replaces || swap.trusts.length === 0 || read);

interface GoBackProps {
  certificate: { readonly id: string; readonly name: string; readonly fingerprint: string | null };
  open: boolean;
  onClose: () => void;
}

export function GoBack({ certificate, open, onClose }: GoBackProps) {
  return (
    <Dialog open={open} onClose={onClose} wide title={text.certificates.goBack.title(certificate.name)} about={text.certificates.goBack.about}>
      <GoBackBody certificate={certificate} onClose={onClose} />
    </Dialog>
  );
}

function GoBackBody({ certificate, onClose }: Omit<GoBackProps, 'open'>) {
  const params = { certificate: certificate.id };
  const tried = useQuery({ queryKey: ['go-back', certificate.id, certificate.fingerprint], queryFn: ({ signal }) => call('goBackCertificate', { params, query: { dryRun: 'true' }, body: {}, signal }), gcTime: 0 });
  return (
    <Loaded query={tried} lines={4}>
      {tried.data ? (
        <SwapButton
          key={certificate.fingerprint}
          swap={tried.data}
          action={text.certificates.goBack.run}
          onClose={onClose}
          run={async () => {
            await call('goBackCertificate', { params, body: { acknowledged: true, against: tried.data.certificate?.fingerprint ?? null } });
            say(text.certificates.goBack.done);
          }}
        />
      ) : null}
    </Loaded>
  );
}

/** The review with its button, where there is nothing to fill in beside it. */
export function SwapButton({ swap, action, run, onClose, before }: { swap: SwapView; action: string; run: () => Promise<void>; onClose: () => void; before?: ReactNode }) {
  const [read, setRead] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await run();
      await refreshCertificates();
      onClose();
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <div className="flex flex-col gap-5">
      <SwapReview swap={swap} replaces read={read} onRead={setRead} />
      <ProblemNote problem={problem} />
      <div className="flex flex-wrap justify-end gap-2">
        {before}
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button tone="primary" busy={busy} disabled={!mayBePut(swap, true, read)} onClick={() => void submit()}>{action}</Button>
      </div>
    </div>
  );
}
