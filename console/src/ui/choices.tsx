// Fields of which several things are chosen, and those that hold several lines.
import { useId, type ReactNode } from 'react';
import { Field, inputClass } from './field.tsx';
import { Icon } from './icons.tsx';

interface AreaProps {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  value: string;
  onValue: (value: string) => void;
  rows?: number;
  placeholder?: string;
  wide?: string;
}

export function TextArea({ label, hint, error, value, onValue, rows = 3, placeholder, wide }: AreaProps) {
  return (
    <Field label={label} hint={hint} error={error} {...(wide ? { className: wide } : {})}>
      {({ id, describedBy, invalid }) => (
        <textarea id={id} value={value} rows={rows} placeholder={placeholder} onChange={(event) => onValue(event.target.value)} aria-describedby={describedBy} aria-invalid={invalid || undefined} autoCapitalize="none" spellCheck={false} className={`${inputClass} h-auto min-h-9.5 py-2 font-mono text-sm sm:text-sm`} />
      )}
    </Field>
  );
}

export function Check({ label, hint, checked, onChecked, disabled = false }: { label: ReactNode; hint?: ReactNode; checked: boolean; onChecked: (checked: boolean) => void; disabled?: boolean }) {
  const id = useId();
  return (
    <div className={`flex items-start gap-2.5 ${disabled ? 'opacity-60' : ''}`}>
      <input id={id} type="checkbox" checked={checked} disabled={disabled} onChange={(event) => onChecked(event.target.checked)} aria-describedby={hint ? `${id}-note` : undefined} className="mt-0.5 size-4.5 shrink-0 accent-accent" />
      <div className="min-w-0 text-sm">
        <label htmlFor={id} className="font-medium">{label}</label>
        {hint ? <p id={`${id}-note`} className="text-ink-2">{hint}</p> : null}
      </div>
    </div>
  );
}

interface ChecksProps<Value extends string> {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  chosen: readonly Value[];
  onChosen: (chosen: Value[]) => void;
  options: readonly (readonly [value: Value, label: string])[];
}

/** Chips that are pressed in or out; the order of what is chosen is that of the options. */
export function Checks<Value extends string>({ label, hint, error, chosen, onChosen, options }: ChecksProps<Value>) {
  const id = useId();
  const toggle = (value: Value, on: boolean) => onChosen(options.map(([each]) => each).filter((each) => (each === value ? on : chosen.includes(each))));
  return (
    <fieldset className="flex min-w-0 flex-col gap-1.5" aria-describedby={error || hint ? `${id}-note` : undefined}>
      <legend className="mb-1.5 text-sm font-medium">{label}</legend>
      <div className="flex flex-wrap gap-1.5">
        {options.map(([value, name]) => (
          <label key={value} className="inline-flex h-8 cursor-pointer items-center gap-1.5 rounded-lg border border-line-strong bg-surface px-2.5 text-sm shadow-1 select-none hover:bg-sunken has-checked:border-accent has-checked:bg-accent-soft has-checked:text-accent-ink has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent">
            <input type="checkbox" checked={chosen.includes(value)} onChange={(event) => toggle(value, event.target.checked)} className="sr-only" />
            {chosen.includes(value) ? <Icon name="check" size={13} /> : null}
            {name}
          </label>
        ))}
      </div>
      {error ? (
        <p id={`${id}-note`} role="alert" className="flex items-start gap-1.5 text-sm text-bad-ink">
          <Icon name="warning" size={15} className="mt-0.5" />
          {error}
        </p>
      ) : hint ? (
        <p id={`${id}-note`} className="text-sm text-ink-2">{hint}</p>
      ) : null}
    </fieldset>
  );
}

interface RadiosProps<Value extends string> {
  label: string;
  error?: string | undefined;
  value: Value;
  onValue: (value: Value) => void;
  options: readonly (readonly [value: Value, label: string, hint?: string])[];
}

/** One of a few that each need a word of explanation. */
export function Radios<Value extends string>({ label, error, value, onValue, options }: RadiosProps<Value>) {
  const id = useId();
  return (
    <fieldset className="flex min-w-0 flex-col" aria-describedby={error ? `${id}-note` : undefined}>
      <legend className="mb-1.5 text-sm font-medium">{label}</legend>
      <div className="flex flex-col overflow-hidden rounded-xl border border-line-strong shadow-1">
        {options.map(([each, name, hint]) => (
          <label key={each} className="flex cursor-pointer items-start gap-2.5 border-b border-line bg-surface px-3 py-2 text-sm last:border-b-0 hover:bg-sunken has-checked:bg-accent-soft has-focus-visible:outline-2 has-focus-visible:-outline-offset-2 has-focus-visible:outline-accent">
            <input type="radio" name={id} value={each} checked={each === value} onChange={() => onValue(each)} aria-describedby={hint ? `${id}-${each}` : undefined} aria-label={name} className="mt-0.5 size-4 shrink-0 accent-accent outline-none" />
            <span className="min-w-0">
              <span className="font-medium">{name}</span>
              {hint ? <span id={`${id}-${each}`} className="block text-ink-2">{hint}</span> : null}
            </span>
          </label>
        ))}
      </div>
      {error ? (
        <p id={`${id}-note`} role="alert" className="mt-1.5 flex items-start gap-1.5 text-sm text-bad-ink">
          <Icon name="warning" size={15} className="mt-0.5" />
          {error}
        </p>
      ) : null}
    </fieldset>
  );
}

/** A part of a long form. */
export function FormPart({ title, about, children }: { title: string; about?: ReactNode; children: ReactNode }) {
  return (
    <section className="flex flex-col gap-4 border-t border-line pt-4">
      <div>
        <h3 className="text-sm font-semibold">{title}</h3>
        {about ? <p className="text-sm text-ink-2">{about}</p> : null}
      </div>
      {children}
    </section>
  );
}
