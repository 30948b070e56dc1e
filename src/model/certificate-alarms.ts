// When a certificate wants somebody's attention: 30, 14 and 7 days before it ends, and once it has.
import type { Certificate } from './rows.ts';

const dayMs = 24 * 3_600_000;
/** Days left, and how urgent that is. The narrowest that fits counts. */
const steps = [
  { days: 7, severity: 'error' },
  { days: 14, severity: 'warning' },
  { days: 30, severity: 'notice' },
] as const;

export interface CertificateAlarm {
  readonly id: string;
  readonly name: string;
  readonly severity: 'error' | 'warning' | 'notice';
  /** The threshold that was passed; 0: it has ended. A caller that reports each once keeps (id, notAfter, step). */
  readonly step: 30 | 14 | 7 | 0;
  /** Whole days, rounded down; negative: since then it is over. */
  readonly daysLeft: number;
  readonly notAfter: number;
  readonly text: string;
  readonly remedy: string;
}

export const daysLeftOf = (notAfter: number, now: number): number => Math.floor((notAfter - now) / dayMs);

/** The most urgent first. One that is switched off alarms as well: a route may present it, and somebody may switch it on. */
export function alarmsOf(certificates: Iterable<Certificate>, now: number): CertificateAlarm[] {
  const alarms: CertificateAlarm[] = [];
  for (const certificate of certificates) {
    const { id, name, source, notBefore, notAfter } = certificate;
    if (notAfter === null) continue;
    const left = notAfter - now;
    // By ACME they live ever shorter, down to six days: as for one of ninety days, the first alarm is a third of the life before the end.
    const scale = source === 'acme' && notBefore !== null ? Math.min(1, (notAfter - notBefore) / (90 * dayMs)) : 1;
    const step = left <= 0 ? ({ days: 0, severity: 'error' } as const) : steps.find(({ days }) => left <= days * dayMs * scale);
    if (!step) continue;
    const daysLeft = daysLeftOf(notAfter, now);
    alarms.push({ id, name, severity: step.severity, step: step.days, daysLeft, notAfter, text: textOf(certificate, left, daysLeft), remedy: remedyOf(certificate) });
  }
  return alarms.sort((a, b) => a.notAfter - b.notAfter);
}

function textOf({ name, lastError }: Certificate, left: number, daysLeft: number): string {
  const failed = lastError === null ? '' : `; its last renewal failed: ${lastError}`;
  if (left <= 0) return `certificate ${name} has expired${failed}`;
  return `certificate ${name} ends in ${daysLeft === 0 ? 'less than a day' : daysLeft === 1 ? '1 day' : `${daysLeft} days`}${failed}`;
}

function remedyOf({ source, csrPem }: Certificate): string {
  switch (source) {
    case 'acme':
      return 'It renews itself: look at its last error and at what the authority needs to reach.';
    case 'private-ca':
      return 'It renews itself: look for certificate.renewal-failed in the log; is the disk full?';
    case 'request':
    case 'uploaded':
      return csrPem === null ? 'Make a new request for it, or upload its successor.' : 'Its request is waiting: have it signed and upload the answer.';
  }
}
