// The page in front of the door: setup, sign-in, invite and the like.
import { useEffect, type FormEvent, type ReactNode } from 'react';
import { text } from '../text.ts';
import { Logo } from './icons.tsx';

export function Gate({ title, about, children, foot }: { title: ReactNode; about?: ReactNode; children?: ReactNode; foot?: ReactNode }) {
  const called = typeof title === 'string' ? title : '';
  useEffect(() => {
    document.title = called ? `${called} · ${text.product}` : text.product;
  }, [called]);
  return (
    <main className="flex min-h-dvh flex-col items-center px-4 py-10 sm:pt-[11dvh]">
      <div className="mb-6 flex items-center gap-3">
        <Logo size={36} />
        <span className="text-xl font-semibold tracking-tight">{text.product}</span>
      </div>
      <div className="w-full max-w-md rounded-2xl border border-line bg-surface px-5 py-6 shadow-2 sm:px-8 sm:py-8">
        <h1 className="text-lg font-semibold break-words">{title}</h1>
        {about ? <div className="mt-1 text-sm text-ink-2">{about}</div> : null}
        {children ? <div className="mt-5 flex flex-col gap-4">{children}</div> : null}
      </div>
      {foot ? <div className="mt-5 max-w-md text-center text-sm text-balance text-ink-2">{foot}</div> : null}
    </main>
  );
}

export function Form({ onSubmit, children, label }: { onSubmit: () => void; children: ReactNode; label?: string }) {
  const submit = (event: FormEvent) => {
    event.preventDefault();
    onSubmit();
  };
  return (
    <form noValidate onSubmit={submit} aria-label={label} className="flex flex-col gap-4">
      {children}
    </form>
  );
}
