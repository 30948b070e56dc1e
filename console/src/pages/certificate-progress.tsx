// How a certificate comes by ACME, and how far its order is.
import type { CertificateView } from '#api/certificate-shapes.ts';
import { text } from '../text.ts';
import { Callout, Card, Facts, Time } from '../ui/bits.tsx';
import { Spinner } from '../ui/button.tsx';
import { Icon } from '../ui/icons.tsx';
import { directoryNameOf } from './certificate-account.tsx';
import { keyName, Names, sentence } from './certificate-parts.tsx';

const words = text.certificates.acme;
type Acme = NonNullable<CertificateView['acme']>;
type Progress = NonNullable<Acme['progress']>;

const STEPS = ['ordering', 'preparing', 'checking', 'finishing', 'fetching'];

export function AcmeCard({ acme }: { acme: Acme }) {
  const { progress, dns } = acme;
  const challenges = words.challenges as Readonly<Record<string, string>>;
  const names = [...acme.names.dns, ...acme.names.ip];
  return (
    <Card title={words.title} about={words.about}>
      <div className="flex flex-col gap-4">
        <OrderProgress progress={progress} />
        <Facts
          rows={[
            [words.rows.authority, <span title={acme.directoryUrl} className="break-all">{directoryNameOf(acme.directoryUrl)}</span>],
            [words.rows.challenge, challenges[acme.challenge] ?? acme.challenge],
            [words.rows.names, <Names names={names} />],
            [words.rows.key, keyName(acme.keyKind)],
            dns ? [words.rows.dns, <span className="font-mono text-xs break-all">{Object.entries(dns).map(([field, value]) => `${field}=${String(value)}`).join(' ')}</span>] : null,
          ]}
        />
      </div>
    </Card>
  );
}

function OrderProgress({ progress }: { progress: Progress | null }) {
  if (!progress || progress.state === 'done') return <p className="text-sm text-ink-2">{words.quiet}</p>;
  const { state, about, since, why, remedy, nextTryAt } = progress;
  if (state === 'failed') {
    return (
      <Callout mood="bad" icon="bad" title={words.failedTitle}>
        {why ? <p className="break-words text-ink">{sentence(why)}</p> : null}
        {remedy ? <p className="mt-0.5 break-words">{sentence(remedy)}</p> : null}
        <p className="mt-1 text-xs text-ink-3"><Time at={since} />{nextTryAt === null ? '' : <> · {words.nextTry} <Time at={nextTryAt} /></>}</p>
      </Callout>
    );
  }
  const at = STEPS.indexOf(state);
  const steps = words.steps as Readonly<Record<string, string>>;
  return (
    <div role="status" aria-label={words.progress} data-progress={state}>
      <p className="mb-2 flex flex-wrap items-center gap-x-2 text-sm font-medium">
        <Spinner />
        {steps[state] ?? state}
        {about ? <span className="font-mono text-xs font-normal break-all text-ink-2">{words.at(about)}</span> : null}
        <span className="text-xs font-normal text-ink-3"><Time at={since} /></span>
      </p>
      <ol className="grid grid-cols-5 gap-1">
        {words.stepsShort.map((label, step) => (
          <li key={label} aria-current={step === at ? 'step' : undefined} className={`min-w-0 text-xs ${step <= at ? 'text-accent-ink' : 'text-ink-3'}`}>
            <span className={`mb-1 block h-1.5 rounded-full ${step < at ? 'bg-accent' : step === at ? 'animate-pulse bg-accent' : 'bg-line'}`} />
            <span className="flex items-center gap-1">{step < at ? <Icon name="check" size={11} /> : null}<span className="truncate">{label}</span></span>
          </li>
        ))}
      </ol>
    </div>
  );
}
