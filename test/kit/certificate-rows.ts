// Rows of certificates for tests that look at little of them.
import { randomBytes } from 'node:crypto';
import type { Certificate } from '#model/rows.ts';

let made = 0;

export function certificateRow(change: Partial<Certificate> = {}): Certificate {
  made += 1;
  return {
    id: `019a2b3c-4d5e-7f60-8123-${String(made).padStart(12, '0')}`, customerId: 'c1', name: `certificate-${made}`, source: 'uploaded', state: 'ready', enabled: true,
    names: { dns: [], ip: [] }, keyKind: 'ec-p256', keyFingerprint: randomBytes(32).toString('hex'), chainPem: 'chain', certificateFingerprint: randomBytes(32).toString('hex'),
    subject: 'CN=example', issuer: 'CN=Authority', notBefore: 0, notAfter: Date.UTC(2027, 0, 1), csrPem: null, csrKeyFingerprint: null, previousChainPem: null, previousKeyFingerprint: null,
    acme: null, createdAt: 0, renewedAt: null, lastTriedAt: null, lastError: null, ...change,
  };
}
