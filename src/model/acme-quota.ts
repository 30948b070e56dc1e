// How much is asked of an authority: counted here, so that its own limits, which lock out for a week, are never met. Let's Encrypt's (2025): 50 certificates a
// registered domain and 5 for the same names in 7 days, 5 failed checks of a name in an hour, 300 orders in 3 hours.
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { durationOf } from './acme-problem.ts';
import type { CertificateNames } from './rows.ts';

export interface QuotaLine {
  readonly at: number;
  readonly what: 'ordered' | 'issued' | 'failed';
  readonly directoryUrl: string;
  /** Sorted; of a failure only those that failed. */
  readonly names: readonly string[];
}

const hourMs = 3_600_000;
const weekMs = 7 * 24 * hourMs;
const linesMax = 2_000;

/**
 * What authorities count by, without a list of public suffixes: the last two labels, and one more where those look like `co.uk`. Where that is wrong it is too
 * little, so that more names share one count than need be.
 */
export function registeredDomainOf(name: string): string {
  const labels = name.replace(/^\*\./, '').split('.');
  const [second = '', top = ''] = labels.slice(-2);
  return labels.slice(top.length === 2 && second.length <= 3 ? -3 : -2).join('.');
}

export interface Quota {
  /** Fault `too-many` with detail `retryAfterMs`: one more now could meet a limit. null: go ahead. */
  refuse(order: { readonly directoryUrl: string; readonly names: CertificateNames }, nowMs: number): Fault | null;
  note(line: QuotaLine): void;
  /** Oldest first, at most a week old: what is written to the data folder. */
  lines(nowMs: number): readonly QuotaLine[];
}

const keyOf = (names: readonly string[]) => [...names].sort().join(' ');

export function buildQuota(before: readonly QuotaLine[]): Quota {
  let lines = [...before];
  const tidy = (nowMs: number) => {
    // What lies ahead was written before the clock was set back.
    lines = lines.filter(({ at }) => nowMs - at < weekMs && at <= nowMs + hourMs).slice(-linesMax);
    return lines;
  };
  return {
    note: (line) => void lines.push(line),
    lines: tidy,
    refuse({ directoryUrl, names }, nowMs) {
      const all = [...names.dns, ...names.ip];
      const mine = tidy(nowMs).filter((line) => line.directoryUrl === directoryUrl);
      const full = (why: string, countMax: number, withinMs: number, matches: (line: QuotaLine) => boolean): Fault | null => {
        const recent = mine.filter((line) => nowMs - line.at < withinMs && matches(line));
        if (recent.length < countMax) return null;
        const retryAfterMs = Math.max(1_000, recent[recent.length - countMax]!.at + withinMs - nowMs);
        return new Fault('too-many', `${why}; the next one may be in ${durationOf(retryAfterMs)}`, { remedy: "The gateway stays below the authority's own limits, which lock out for longer.", detail: { retryAfterMs } });
      };
      const equal = keyOf(all);
      const refusals = [
        full(`${limits.acmeOrdersPer3HoursMax} orders were made within three hours`, limits.acmeOrdersPer3HoursMax, 3 * hourMs, (line) => line.what === 'ordered'),
        full(`the same names were given a certificate ${limits.acmeEqualPerWeekMax} times this week`, limits.acmeEqualPerWeekMax, weekMs, (line) => line.what === 'issued' && keyOf(line.names) === equal),
        ...all.map((name) => full(`the check of ${name} failed ${limits.acmeFailuresPerHourMax} times within an hour`, limits.acmeFailuresPerHourMax, hourMs, (line) => line.what === 'failed' && line.names.includes(name))),
        ...[...new Set(names.dns.map(registeredDomainOf))].map((domain) =>
          full(`${limits.acmeDomainPerWeekMax} certificates were given for names of ${domain} this week`, limits.acmeDomainPerWeekMax, weekMs, (line) => line.what === 'issued' && line.names.some((name) => registeredDomainOf(name) === domain)),
        ),
      ];
      return refusals.find((each) => each !== null) ?? null;
    },
  };
}

/** What the data folder holds; what cannot be read counts as nothing. */
export function parseQuota(bytes: Buffer | null): QuotaLine[] {
  try {
    const read: unknown = JSON.parse(bytes?.toString() ?? '[]');
    return Array.isArray(read) ? read.filter(isLine).slice(-linesMax) : [];
  } catch {
    return [];
  }
}

function isLine(value: unknown): value is QuotaLine {
  if (typeof value !== 'object' || value === null) return false;
  const { at, what, directoryUrl, names } = value as Readonly<Record<string, unknown>>;
  return typeof at === 'number' && (what === 'ordered' || what === 'issued' || what === 'failed') && typeof directoryUrl === 'string' && Array.isArray(names) && names.every((each) => typeof each === 'string');
}
