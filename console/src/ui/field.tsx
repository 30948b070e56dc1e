// What is filled in. A label and its hint or error belong to the control by id, so that a screen reader says them together.
import { useId, type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes } from 'react';
import { Icon } from './icons.tsx';

export const inputClass =
  'h-9.5 w-full min-w-0 rounded-lg border border-line-strong bg-surface px-3 text-[1rem] text-ink shadow-1 sm:text-base transition-colors placeholder:text-ink-3 hover:border-ink-3 focus-visible:border-accent focus-visible:outline-2 focus-visible:outline-offset-0 disabled:opacity-60 aria-invalid:border-bad';

interface FieldProps {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  children: (ids: { id: string; describedBy: string | undefined; invalid: boolean }) => ReactNode;
  className?: string;
}

export function Field({ label, hint, error, children, className = '' }: FieldProps) {
  const id = useId();
  const note = error || hint ? `${id}-note` : undefined;
  return (
    <div className={`flex min-w-0 flex-col gap-1.5 ${className}`}>
      <label htmlFor={id} className="text-sm font-medium text-ink">
        {label}
      </label>
      {children({ id, describedBy: note, invalid: error !== undefined })}
      {error ? (
        <p id={note} className="flex items-start gap-1.5 text-sm text-bad-ink">
          <Icon name="warning" size={15} className="mt-0.5" />
          {error}
        </p>
      ) : hint ? (
        <p id={note} className="text-sm text-ink-2">
          {hint}
        </p>
      ) : null}
    </div>
  );
}

export interface TextFieldProps extends Omit<InputHTMLAttributes<HTMLInputElement>, 'onChange' | 'value'> {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  value: string;
  onValue: (value: string) => void;
  wide?: string;
}

export function TextField({ label, hint, error, value, onValue, wide, className = '', ...rest }: TextFieldProps) {
  return (
    <Field label={label} hint={hint} error={error} {...(wide ? { className: wide } : {})}>
      {({ id, describedBy, invalid }) => (
        <input {...rest} id={id} value={value} onChange={(event) => onValue(event.target.value)} aria-describedby={describedBy} aria-invalid={invalid || undefined} className={`${inputClass} ${className}`} />
      )}
    </Field>
  );
}

interface SelectProps extends Omit<SelectHTMLAttributes<HTMLSelectElement>, 'onChange' | 'value'> {
  value: string;
  onValue: (value: string) => void;
  options: readonly (readonly [value: string, label: string])[];
}

/** The browser's own select: on a telephone nothing drawn by us is better. */
export function Select({ value, onValue, options, className = '', ...rest }: SelectProps) {
  return (
    <span className={`relative inline-block min-w-0 ${className}`}>
      <select {...rest} value={value} onChange={(event) => onValue(event.target.value)} className={`${inputClass} appearance-none pr-9`}>
        {options.map(([key, label]) => (
          <option key={key} value={key}>
            {label}
          </option>
        ))}
      </select>
      <Icon name="down" size={14} className="pointer-events-none absolute top-1/2 right-3 -translate-y-1/2 text-ink-3" />
    </span>
  );
}

export function SelectField({ label, hint, wide, ...rest }: SelectProps & { label: string; hint?: ReactNode; wide?: string }) {
  return (
    <Field label={label} hint={hint} {...(wide ? { className: wide } : {})}>
      {({ id, describedBy }) => <Select {...rest} id={id} aria-describedby={describedBy} className="w-full" />}
    </Field>
  );
}

export function SearchBox({ value, onValue, label, placeholder, shortcut, ...rest }: { value: string; onValue: (value: string) => void; label: string; placeholder: string; shortcut?: string } & Omit<InputHTMLAttributes<HTMLInputElement>, 'value' | 'onChange'>) {
  return (
    <div className="relative min-w-0 flex-1">
      <Icon name="search" size={16} className="pointer-events-none absolute top-1/2 left-3 -translate-y-1/2 text-ink-3" />
      <input {...rest} type="search" value={value} onChange={(event) => onValue(event.target.value)} aria-label={label} placeholder={placeholder} className={`${inputClass} pl-9 ${shortcut ? 'pr-3 sm:pr-9' : 'pr-3'} [&::-webkit-search-cancel-button]:hidden`} />
      {shortcut && !value ? <kbd className="pointer-events-none absolute top-1/2 right-2.5 hidden -translate-y-1/2 rounded-md border border-line-strong bg-sunken px-1.5 font-mono text-xs text-ink-3 sm:block">{shortcut}</kbd> : null}
    </div>
  );
}
