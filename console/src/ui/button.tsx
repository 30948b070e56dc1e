// Everything that is pressed.
import type { ButtonHTMLAttributes, ReactNode } from 'react';
import { Icon, type IconName } from './icons.tsx';

export type Tone = 'plain' | 'primary' | 'danger' | 'quiet';

const base =
  'inline-flex items-center justify-center gap-1.5 rounded-lg font-medium whitespace-nowrap select-none transition-colors duration-100 disabled:opacity-50 aria-disabled:opacity-50';
const tones: Record<Tone, string> = {
  plain: 'bg-surface text-ink border border-line-strong shadow-1 hover:bg-sunken active:bg-line',
  primary: 'bg-accent text-on-accent border border-transparent shadow-1 hover:bg-accent-hover',
  danger: 'bg-bad text-on-accent border border-transparent shadow-1 hover:bg-bad-hover',
  quiet: 'text-ink-2 border border-transparent hover:bg-sunken hover:text-ink active:bg-line',
};
const sizes = { sm: 'h-8 px-2.5 text-sm', md: 'h-9.5 px-3.5 text-sm', lg: 'h-11 px-5 text-base' } as const;

export function buttonClass(tone: Tone = 'plain', size: keyof typeof sizes = 'md'): string {
  return `${base} ${tones[tone]} ${sizes[size]}`;
}

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  tone?: Tone;
  size?: keyof typeof sizes;
  icon?: IconName;
  /** Work is under way: shown, and the button does nothing meanwhile. */
  busy?: boolean;
  children?: ReactNode;
}

export function Button({ tone = 'plain', size = 'md', icon, busy = false, children, className = '', disabled, type = 'button', ...rest }: ButtonProps) {
  return (
    <button {...rest} type={type} disabled={disabled || busy} aria-busy={busy || undefined} className={`${buttonClass(tone, size)} ${className}`}>
      {busy ? <Spinner /> : icon ? <Icon name={icon} size={16} /> : null}
      {children}
    </button>
  );
}

export function IconButton({ icon, label, size = 'md', className = '', ...rest }: Omit<ButtonProps, 'children' | 'tone'> & { icon: IconName; label: string }) {
  const box = size === 'sm' ? 'size-8' : 'size-9.5';
  return (
    <button {...rest} type="button" aria-label={label} title={label} className={`${base} ${tones.quiet} ${box} ${className}`}>
      <Icon name={icon} size={size === 'sm' ? 16 : 18} />
    </button>
  );
}

export function Spinner({ size = 16 }: { size?: number }) {
  return (
    <svg aria-hidden="true" width={size} height={size} viewBox="0 0 20 20" className="animate-spin shrink-0" fill="none" stroke="currentColor" strokeWidth="2.4" strokeLinecap="round">
      <circle cx="10" cy="10" r="7" opacity=".25" />
      <path d="M10 3a7 7 0 0 1 7 7" />
    </svg>
  );
}
