// The small parts that every page is made of.
import { useEffect, useState, type ReactNode } from 'react';
import { copyText } from '../copy.ts';
import { absolute, bytes, relative } from '../format.ts';
import { text } from '../text.ts';
import { Icon, type IconName } from './icons.tsx';
import { useNow } from './now.ts';

export function Card({ title, about, actions, children, flush = false, id }: { title?: ReactNode; about?: ReactNode; actions?: ReactNode; children: ReactNode; flush?: boolean; id?: string }) {
  return (
    <section id={id} className="min-w-0 scroll-mt-20 rounded-2xl border border-line bg-surface shadow-1">
      {title ? (
        <header className="flex flex-wrap items-center gap-x-3 gap-y-2 px-4 pt-4 pb-3 sm:px-5">
          <div className="min-w-40 flex-1">
            <h2 className="text-base font-semibold">{title}</h2>
            {about ? <p className="mt-0.5 text-sm text-ink-2">{about}</p> : null}
          </div>
          {actions ? <div className="flex shrink-0 items-center gap-2">{actions}</div> : null}
        </header>
      ) : null}
      <div className={flush ? 'overflow-hidden rounded-b-2xl' : `px-4 pb-4 sm:px-5 sm:pb-5 ${title ? '' : 'pt-4 sm:pt-5'}`}>{children}</div>
    </section>
  );
}

export function PageHead({ title, name, about, actions, before }: { title: ReactNode; name?: string; about?: ReactNode; actions?: ReactNode; before?: ReactNode }) {
  const called = typeof title === 'string' ? title : name;
  useEffect(() => {
    document.title = called ? `${called} · ${text.product}` : text.product;
  }, [called]);
  return (
    <header className="mb-5 flex flex-wrap items-end gap-x-4 gap-y-3">
      <div className="min-w-0 flex-1 basis-40">
        {before}
        <h1 className="flex min-w-0 items-center gap-2.5 text-xl font-semibold tracking-tight break-words">{title}</h1>
        {about ? <div className="mt-1 text-sm text-ink-2">{about}</div> : null}
      </div>
      {actions ? <div className="flex flex-wrap items-center gap-2">{actions}</div> : null}
    </header>
  );
}

export type Mood = 'neutral' | 'ok' | 'warn' | 'bad' | 'accent';

const badgeMoods: Record<Mood, string> = {
  neutral: 'bg-sunken text-ink-2',
  ok: 'bg-ok-soft text-ok-ink',
  warn: 'bg-warn-soft text-warn-ink',
  bad: 'bg-bad-soft text-bad-ink',
  accent: 'bg-accent-soft text-accent-ink',
};

export function Badge({ mood = 'neutral', icon, children }: { mood?: Mood; icon?: IconName; children: ReactNode }) {
  return (
    <span className={`inline-flex items-center gap-1 rounded-full px-2 py-0.5 text-xs font-medium whitespace-nowrap ${badgeMoods[mood]}`}>
      {icon ? <Icon name={icon} size={12} /> : null}
      {children}
    </span>
  );
}

const dotMoods: Record<Mood, string> = { neutral: 'bg-line-strong', ok: 'bg-ok', warn: 'bg-warn', bad: 'bg-bad', accent: 'bg-accent' };

/** The word is for those who cannot see the colour. */
export function Dot({ mood, label, live = false }: { mood: Mood; label: string; live?: boolean }) {
  return (
    <span className="inline-flex size-2.5 shrink-0 items-center justify-center" role="img" aria-label={label} title={label}>
      <span className={`size-2.5 rounded-full ${dotMoods[mood]} ${live ? 'pulse' : ''}`} />
    </span>
  );
}

/** Relative for reading, absolute on pointing and for machines. */
export function Time({ at, never = '–' }: { at: number | null | undefined; never?: string }) {
  const now = useNow(at && Date.now() - at < 60_000 ? 1_000 : 10_000);
  if (at === null || at === undefined) return <span className="text-ink-3">{never}</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={absolute(at)} className="whitespace-nowrap">
      {relative(at, now)}
    </time>
  );
}

/** Bytes to the device and from it, with arrows as the person at the screen sees them. */
export function Traffic({ to, from }: { to: number; from: number }) {
  return (
    <span title={text.common.traffic(bytes(to), bytes(from))} className="whitespace-nowrap num">
      <span className="text-ink-3">↑</span> {bytes(to)} <span className="ml-1 text-ink-3">↓</span> {bytes(from)}
    </span>
  );
}

export function Empty({ icon, title, children, action }: { icon: IconName; title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="flex flex-col items-center px-6 py-12 text-center">
      <span className="mb-4 flex size-12 items-center justify-center rounded-2xl bg-accent-soft text-accent-ink">
        <Icon name={icon} size={24} />
      </span>
      <p className="text-base font-semibold">{title}</p>
      {children ? <div className="mt-1 max-w-md text-sm text-balance text-ink-2">{children}</div> : null}
      {action ? <div className="mt-5 flex flex-wrap justify-center gap-2">{action}</div> : null}
    </div>
  );
}

export function Skeleton({ lines = 4 }: { lines?: number }) {
  return (
    <div role="status" aria-label={text.common.loading} className="flex flex-col gap-3.5 p-5">
      {Array.from({ length: lines }, (_, line) => (
        <div key={line} className="flex items-center gap-4">
          <div className="skeleton size-2.5 rounded-full" />
          <div className="skeleton h-3.5 flex-[3]" />
          <div className="skeleton h-3.5 flex-[2]" />
          <div className="skeleton hidden h-3.5 flex-1 sm:block" />
        </div>
      ))}
    </div>
  );
}

export function Callout({ mood = 'neutral', icon, title, children, action }: { mood?: Mood; icon: IconName; title?: ReactNode; children?: ReactNode; action?: ReactNode }) {
  const look: Record<Mood, string> = {
    neutral: 'border-line bg-sunken [--tint:var(--ink-2)]',
    ok: 'border-ok/30 bg-ok-soft [--tint:var(--ok-ink)]',
    warn: 'border-warn/40 bg-warn-soft [--tint:var(--warn-ink)]',
    bad: 'border-bad/30 bg-bad-soft [--tint:var(--bad-ink)]',
    accent: 'border-accent/25 bg-accent-soft [--tint:var(--accent-ink)]',
  };
  return (
    <div className={`flex flex-wrap items-start gap-3 rounded-xl border px-4 py-3 ${look[mood]}`}>
      <Icon name={icon} className="mt-0.5 text-(--tint)" />
      <div className="min-w-0 flex-1 basis-52 text-sm">
        {title ? <p className="font-semibold text-(--tint)">{title}</p> : null}
        <div className="text-ink-2">{children}</div>
      </div>
      {action}
    </div>
  );
}

/** Facts in pairs. */
export function Facts({ rows }: { rows: readonly (readonly [label: string, value: ReactNode] | null)[] }) {
  return (
    <dl className="flex flex-col divide-y divide-line">
      {rows.map((row) =>
        row ? (
          <div key={row[0]} className="flex flex-wrap items-baseline justify-between gap-x-6 gap-y-0.5 py-2 first:pt-0 last:pb-0">
            <dt className="text-sm text-ink-2">{row[0]}</dt>
            <dd className="min-w-0 text-right text-sm break-words num">{row[1]}</dd>
          </div>
        ) : null,
      )}
    </dl>
  );
}

function useCopy(value: string): readonly [state: 'idle' | 'done' | 'failed', copy: () => void] {
  const [state, setState] = useState<'idle' | 'done' | 'failed'>('idle');
  const copy = () => {
    void copyText(value).then((done) => {
      setState(done ? 'done' : 'failed');
      setTimeout(() => setState('idle'), 2_000);
    });
  };
  return [state, copy];
}

/** A command or a secret to take along: whole, selectable, one press to copy. */
export function CopyBlock({ value, label, secret = false }: { value: string; label: string; secret?: boolean }) {
  const [state, copy] = useCopy(value);
  return (
    <div className={`@container flex items-stretch overflow-hidden rounded-xl border ${secret ? 'border-accent/40 bg-accent-soft' : 'border-line bg-sunken'}`}>
      <code
        tabIndex={0}
        role="textbox"
        aria-readonly="true"
        aria-label={label}
        onFocus={(event) => {
          const range = document.createRange();
          range.selectNodeContents(event.currentTarget);
          getSelection()?.removeAllRanges();
          getSelection()?.addRange(range);
        }}
        className="min-w-0 flex-1 px-3.5 py-2.5 font-mono text-sm [overflow-wrap:anywhere] whitespace-pre-wrap select-all focus-visible:-outline-offset-2"
      >
        {value}
      </code>
      <button type="button" onClick={copy} className="flex w-11 shrink-0 items-center @sm:w-21 justify-center gap-1.5 self-stretch border-l border-inherit px-3 text-sm font-medium text-ink-2 hover:bg-line/40 hover:text-ink focus-visible:-outline-offset-2" aria-label={text.copy.copyOf(label)}>
        <Icon name={state === 'done' ? 'check' : 'copy'} size={15} className={state === 'done' ? 'text-ok-ink' : ''} />
        <span aria-live="polite" className="sr-only @sm:not-sr-only">{state === 'done' ? text.copy.done : state === 'failed' ? text.copy.failed : text.copy.copy}</span>
      </button>
    </div>
  );
}

/** Lines of a file to take along: as they are, longer ones scroll. */
export function CodeBlock({ value, label }: { value: string; label: string }) {
  const [state, copy] = useCopy(value);
  return (
    <figure className="overflow-hidden rounded-xl border border-line bg-sunken">
      <figcaption className="flex items-center gap-2 border-b border-line py-1 pr-1 pl-3.5 text-sm text-ink-2">
        <span className="min-w-0 flex-1 break-words">{label}</span>
        <button type="button" onClick={copy} aria-label={text.copy.copyOf(label)} className="flex h-8 shrink-0 items-center gap-1.5 rounded-lg px-2.5 font-medium hover:bg-line/60 hover:text-ink focus-visible:-outline-offset-2">
          <Icon name={state === 'done' ? 'check' : 'copy'} size={15} className={state === 'done' ? 'text-ok-ink' : ''} />
          <span aria-live="polite">{state === 'done' ? text.copy.done : state === 'failed' ? text.copy.failed : text.copy.copy}</span>
        </button>
      </figcaption>
      <pre tabIndex={0} aria-label={label} className="overflow-x-auto px-3.5 py-2.5 font-mono text-sm focus-visible:-outline-offset-2">{value}</pre>
    </figure>
  );
}

/** A short value that is copied by pressing it: ids, fingerprints. */
export function CopyValue({ value, shown, label }: { value: string; shown?: string; label: string }) {
  const [state, copy] = useCopy(value);
  return (
    <button type="button" onClick={copy} title={text.copy.copyOf(label)} className="group inline-flex max-w-full items-center gap-1.5 rounded-md px-1 font-mono text-sm hover:bg-sunken">
      <span className="min-w-0 truncate">{shown ?? value}</span>
      <Icon name={state === 'done' ? 'check' : 'copy'} size={13} className={state === 'done' ? 'text-ok-ink' : 'text-ink-3'} />
      <span className="sr-only" aria-live="polite">
        {state === 'done' ? text.copy.done : state === 'failed' ? text.copy.failed : ''}
      </span>
    </button>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd className="rounded-md border border-line-strong bg-sunken px-1.5 font-mono text-xs text-ink-2">{children}</kbd>;
}
