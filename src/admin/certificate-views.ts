// Certificates as the API shows them: rows, the private CA, and what it made by itself, side by side.
import type { X509Certificate } from 'node:crypto';
import type { CertificateDetailView, CertificateView } from '#api/certificate-shapes.ts';
import { Fault } from '#base/fault.ts';
import { alarmsOf, daysLeftOf } from '#model/certificate-alarms.ts';
import { lineOf, readChain } from '#model/certificate-facts.ts';
import { keyKindOf } from '#model/certificate-key.ts';
import { namesOfCertificate } from '#model/certificate-names.ts';
import { usesOf, type CertificateUse, type Uses } from '#model/certificate-uses.ts';
import { fingerprintOf, keyFingerprintOf } from '#model/fingerprint.ts';
import type { Certificate, CertificateNames } from '#model/rows.ts';
import type { CertificateDescription } from '#net/certificates.ts';
import { may, type Asked } from './asked.ts';
import type { Room } from './room.ts';

const usesShown = 100;
export const caId = 'ca';

export const pinOf = (hex: string) => ({ hex, base64: Buffer.from(hex, 'hex').toString('base64') });
const namesView = ({ dns, ip }: CertificateNames) => ({ dns: [...dns], ip: [...ip] });

/** One line of the list, with what the download of it takes. */
export interface Listed {
  readonly id: string;
  readonly row: Certificate | null;
  readonly name: string;
  readonly source: CertificateView['source'];
  readonly chainPem: string | null;
  view(): CertificateView;
}

export interface Listing {
  readonly all: readonly Listed[];
  /** By id or name; Fault `not-found`. */
  find(text: string): Listed;
}

type Shown = Pick<Room, 'tables' | 'control' | 'certificates' | 'acme' | 'clock'>;

export function usesNow({ control, tables, clock }: Shown): Uses {
  return usesOf(control.snapshot(), tables.certificates.values(), clock.nowMs());
}

function shownUses(uses: readonly CertificateUse[]) {
  return { usedBy: uses.slice(0, usesShown).map((each) => ({ ...each })), usedByMore: Math.max(0, uses.length - usesShown) };
}

/** Agents that put it in place beside an application. */
function agentUses({ tables }: Shown, { id }: Certificate): CertificateUse[] {
  return Array.from(tables.deliveries.values()).flatMap(({ certificateId, agentId, asName }): CertificateUse[] => (certificateId === id ? [{ kind: 'agent', name: tables.agents.get(agentId)?.name ?? agentId, detail: asName }] : []));
}

function acmeViewOf({ acme }: Shown, row: Certificate): CertificateView['acme'] {
  if (row.acme === null) return null;
  const { directoryUrl, names, keyKind, challenge, dns } = row.acme;
  const progress = acme?.progressOf(row.id);
  const shown = progress && { state: progress.state, about: progress.about, since: progress.since, why: progress.why, remedy: progress.remedy, nextTryAt: progress.nextTryAt };
  return { directoryUrl, names: namesView(names), keyKind, challenge, dns: dns === null ? null : { ...dns }, progress: shown ?? null };
}

function rowView(room: Shown, asked: Pick<Asked, 'rights'>, described: CertificateDescription, row: Certificate, uses: Uses): CertificateView {
  const [alarm] = alarmsOf([row], room.clock.nowMs());
  const administers = may(asked, 'administer', 'gateway');
  return {
    id: row.id, name: row.name, source: row.source, state: row.state === 'waiting' ? 'waiting' : described.isUsable ? 'ready' : 'unusable', enabled: row.enabled,
    names: namesView(row.names), keyKind: row.keyKind, subject: row.subject, issuer: row.issuer, notBefore: row.notBefore, notAfter: row.notAfter, daysLeft: described.daysLeft,
    fingerprint: described.fingerprint, keyPin: described.keyPin && { ...described.keyPin }, requestWaits: row.csrPem !== null, canGoBack: row.previousChainPem !== null,
    renewsItself: row.source === 'acme' || row.source === 'private-ca', createdAt: row.createdAt, renewedAt: row.renewedAt, lastTriedAt: row.lastTriedAt, lastError: row.lastError,
    alarm: alarm ? { severity: alarm.severity, step: alarm.step, text: alarm.text, remedy: alarm.remedy } : null,
    acme: acmeViewOf(room, row), ...shownUses([...uses.of(row), ...agentUses(room, row)]),
    mayChange: administers, mayDownload: row.chainPem !== null, mayDownloadKey: administers && row.keyFingerprint !== null,
  };
}

/** What is no row: read from the certificate itself. */
function madeView(room: Shown, id: string, name: string, source: 'leaf' | 'ca', certificate: X509Certificate, uses: readonly CertificateUse[]): CertificateView {
  const notAfter = certificate.validToDate.getTime();
  return {
    id, name, source, state: 'ready', enabled: true, names: namesView(namesOfCertificate(certificate)), keyKind: keyKindOf(certificate.publicKey), subject: lineOf(certificate.subject), issuer: lineOf(certificate.issuer),
    notBefore: certificate.validFromDate.getTime(), notAfter, daysLeft: daysLeftOf(notAfter, room.clock.nowMs()), fingerprint: fingerprintOf(certificate), keyPin: pinOf(keyFingerprintOf(certificate)),
    requestWaits: false, canGoBack: false, renewsItself: source === 'leaf', createdAt: null, renewedAt: null, lastTriedAt: null, lastError: null, alarm: alarmOfMade(source, name, notAfter, room.clock.nowMs()), acme: null, ...shownUses(uses),
    mayChange: false, mayDownload: true, mayDownloadKey: false,
  };
}

const dayMs = 24 * 3_600_000;

/** A leaf renews itself 30 days before: one that has less than 25 left was not renewed. The CA's successor is planned for a year. */
function alarmOfMade(source: 'leaf' | 'ca', name: string, notAfter: number, now: number): CertificateView['alarm'] {
  const left = notAfter - now;
  if (source === 'leaf' && left > 25 * dayMs) return null;
  if (source === 'ca' && left > 30 * dayMs) return null;
  const step = left <= 0 ? 0 : left <= 7 * dayMs ? 7 : left <= 14 * dayMs ? 14 : 30;
  const text = step === 0 ? `${name} has expired` : `${name} ends in ${daysLeftOf(notAfter, now)} days`;
  return { severity: step <= 7 ? 'error' : step === 14 ? 'warning' : 'notice', step, text, remedy: source === 'ca' ? 'Compare the clock. An expired CA must be replaced, and every agent has to join again.' : 'It should have renewed itself: compare the clock, and look for certificate.refresh-failed in the log.' };
}

export function listCertificates(room: Shown, asked: Pick<Asked, 'rights'>): Listing {
  let known: Uses | null = null;
  // Only where something is shown: it goes through every route.
  const uses = () => (known ??= usesNow(room));
  const all: Listed[] = room.certificates.describe().map((described) => {
    const { row, name, chainPem } = described;
    const id = row?.id ?? `leaf:${described.keyKind}:${name}`;
    return { id, row, name, source: row?.source ?? 'leaf', chainPem, view: () => (row ? rowView(room, asked, described, row, uses()) : madeView(room, id, name, 'leaf', readChain(chainPem!)[0]!, described.keyKind === 'ec-p256' ? uses().ofLeaf(described.names) : [])) };
  });
  const { caPem } = room.certificates;
  all.push({ id: caId, row: null, name: 'private CA', source: 'ca', chainPem: caPem, view: () => madeView(room, caId, 'private CA', 'ca', readChain(caPem)[0]!, []) });
  return {
    all,
    find(text) {
      const found = all.find((each) => each.id === text) ?? all.find((each) => each.row?.name === text);
      if (!found) throw new Fault('not-found', `there is no certificate "${text.slice(0, 100)}", or not any more`, { remedy: 'postern certificates lists them' });
      return found;
    },
  };
}

function partView(certificate: X509Certificate): CertificateDetailView['chain'][number] {
  return {
    subject: lineOf(certificate.subject), issuer: lineOf(certificate.issuer), notBefore: certificate.validFromDate.getTime(), notAfter: certificate.validToDate.getTime(),
    keyKind: keyKindOf(certificate.publicKey), fingerprint: fingerprintOf(certificate), keyPin: pinOf(keyFingerprintOf(certificate)),
  };
}

export function detailOf({ row, chainPem, view }: Listed): CertificateDetailView {
  const previous = row?.previousChainPem ? readChain(row.previousChainPem)[0]! : null;
  return {
    ...view(),
    chain: chainPem === null ? [] : readChain(chainPem).map(partView),
    request: row?.csrPem && row.csrKeyFingerprint ? { pem: row.csrPem, keyPin: pinOf(row.csrKeyFingerprint) } : null,
    previous: previous && { subject: lineOf(previous.subject), fingerprint: fingerprintOf(previous), notAfter: previous.validToDate.getTime() },
  };
}
