// What list and page of certificates share: days left as they are drawn, source, state, and names.
import type { CertificateView } from '#api/certificate-shapes.ts';
import { absolute } from '../format.ts';
import { text } from '../text.ts';
import { Badge, type Mood } from '../ui/bits.tsx';
import { useNow } from '../ui/now.ts';

const words = text.certificates;
export type Source = CertificateView['source'];
export const SOURCES: readonly Source[] = ['uploaded', 'request', 'acme', 'private-ca', 'leaf', 'ca'];

const DAY_MS = 86_400_000;

/** By what the gateway says of it: 30, 14, 7 days before the end, and after it. */
export function lifeMood({ alarm, notAfter }: Pick<CertificateView, 'alarm' | 'notAfter'>): Mood {
  if (notAfter === null) return 'neutral';
  if (!alarm) return 'ok';
  return alarm.step === 30 ? 'accent' : alarm.step === 14 ? 'warn' : 'bad';
}

const fills: Record<Mood, string> = { neutral: 'bg-line-strong', ok: 'bg-ok', accent: 'bg-accent', warn: 'bg-warn', bad: 'bg-bad' };
const inks: Record<Mood, string> = { neutral: 'text-ink-3', ok: 'text-ink', accent: 'text-accent-ink', warn: 'text-warn-ink', bad: 'text-bad-ink font-medium' };

/** In the list all bars have one measure, so that they can be compared: full from so many days on. */
const FULL_DAYS = 90;

/** What is left, as a bar and in words. `wide`: the bar is its whole life, from the first day to the last. */
export function Life({ certificate, wide = false }: { certificate: Pick<CertificateView, 'alarm' | 'notAfter' | 'notBefore' | 'daysLeft'>; wide?: boolean }) {
  const now = useNow(60_000);
  const { notAfter, notBefore, daysLeft } = certificate;
  if (notAfter === null || notBefore === null || daysLeft === null) return <span className="text-ink-3">{words.noEnd}</span>;
  const mood = lifeMood(certificate);
  const share = Math.min(1, Math.max(0, (notAfter - now) / (wide ? notAfter - notBefore : FULL_DAYS * DAY_MS)));
  const said = words.left(daysLeft);
  return (
    <div className={wide ? '' : 'w-full max-w-36'} title={absolute(notAfter)} data-life={mood}>
      <div className={`${inks[mood]} ${wide ? 'text-base font-semibold' : 'text-sm whitespace-nowrap'} num`}>{wide ? sentence(said) : said}</div>
      <div aria-hidden="true" className={`mt-1 overflow-hidden rounded-full ${wide ? 'h-2' : 'h-1.5'} ${share === 0 ? 'bg-bad' : 'bg-line'}`}>
        {/* What is nearly over is still to be seen. */}
        {share > 0 ? <div className={`h-full rounded-full ${fills[mood]} ${wide ? 'ml-auto' : ''}`} style={{ width: `${Math.max(share * 100, 4)}%` }} /> : null}
      </div>
    </div>
  );
}

export function SourceBadge({ source }: { source: Source }) {
  return <Badge mood={source === 'acme' ? 'accent' : 'neutral'}>{words.sources[source]}</Badge>;
}

export function StateBadges({ certificate }: { certificate: CertificateView }) {
  const { state, enabled, requestWaits } = certificate;
  return (
    <>
      {state === 'unusable' ? <Badge mood="bad" icon="warning">{words.states.unusable}</Badge> : null}
      {state === 'waiting' ? <Badge mood="warn">{words.states.waiting}</Badge> : null}
      {state === 'ready' && requestWaits ? <Badge mood="accent">{words.requestWaits}</Badge> : null}
      {enabled ? null : <Badge mood="warn">{words.off}</Badge>}
    </>
  );
}

export const namesIn = ({ names }: Pick<CertificateView, 'names'>): string[] => [...names.dns, ...names.ip];

export function keyName(kind: string): string {
  return (words.keyKinds as Readonly<Record<string, string>>)[kind] ?? kind;
}

/** Broken between names, and inside one only where it has no room by itself. */
export function Names({ names }: { names: readonly string[] }) {
  return names.map((name, index) => (
    <span key={name}>
      <span className="inline-block max-w-full font-mono text-xs break-all">{name}{index < names.length - 1 ? ',' : ''}</span>{' '}
    </span>
  ));
}

/** The first few names, and how many there are besides. */
export function NamesLine({ certificate, max = 3 }: { certificate: CertificateView; max?: number }) {
  const names = namesIn(certificate);
  if (names.length === 0) return <span className="text-ink-3">{words.noNames}</span>;
  return (
    <span className="text-ink-2" title={names.join('\n')}>
      <Names names={names.slice(0, max)} />
      {names.length > max ? <span className="text-xs text-ink-3"> {words.moreNames(names.length - max)}</span> : null}
    </span>
  );
}

/** The gateway's words begin small, because command lines show them after a colon; names of hosts stay as they are. */
export function sentence(said: string): string {
  return /^[a-z]+(?:[\s,;:']|$)/.test(said) ? said.charAt(0).toUpperCase() + said.slice(1) : said;
}

type Use = CertificateView['usedBy'][number];

export function textOfUse({ kind, name, detail }: Use): string {
  return `${words.uses[kind]} ${name}${detail ? ` (${detail})` : ''}`;
}
