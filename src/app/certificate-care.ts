// What the clock does for certificates, daily: those of the private CA anew, a line in the log for each that passes 30, 14 or 7 days or ends, and one in the
// journal each day until it is dealt with.
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Log } from '#base/log.ts';
import { alarmsOf } from '#model/certificate-alarms.ts';
import type { CertificateChanges } from '#model/certificate-changes.ts';
import type { Journal } from '#model/live.ts';
import type { Certificate } from '#model/rows.ts';
import type { Table } from '#model/table.ts';

export interface CareOptions {
  readonly certificates: Table<Certificate>;
  readonly changes: Pick<CertificateChanges, 'renewPrivate'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
}

const hourMs = 3_600_000;

/** Begins at once. Looks each hour, so that a renewal that failed is tried again soon; a step is told once in a process, an alarm once a day. */
export async function keepCertificateCare(options: CareOptions): Promise<{ close(): void }> {
  const { certificates, changes, clock, log, journal } = options;
  let told = new Set<string>();
  const look = async () => {
    await changes.renewPrivate().catch((thrown: unknown) => log.error('certificate.refresh-failed', { why: reasonOf(thrown) }));
    const now = new Set<string>();
    for (const { id, name, step, daysLeft, notAfter, text, remedy } of alarmsOf(certificates.values(), clock.nowMs())) {
      const [passed, today] = [`${id} ${notAfter} ${step}`, `${id} ${notAfter} day ${daysLeft}`];
      for (const key of [passed, today]) now.add(key);
      if (!told.has(passed)) log.warn('certificate.ends', { certificate: name, notAfter: new Date(notAfter).toISOString(), what: text, remedy });
      if (!told.has(today)) journal.note('certificate.ends', { certificate: name, why: text });
    }
    told = now;
  };
  await look();
  const hourly = clock.every(hourMs, () => void look());
  return { close: () => hourly.cancel() };
}
