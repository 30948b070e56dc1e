// Certificates of the made-up gateway: every source, every alarm, an order under way, and verdicts for whatever is uploaded.
import type { CertificateDetailView, CertificateFormView, CertificateView, SwapView } from '#api/certificate-shapes.ts';
import type { DeliveryView } from '#api/delivery-shapes.ts';
import { fakeId } from './fake-data.ts';

interface FakeAsked {
  readonly query: URLSearchParams;
  readonly part: readonly string[];
}

const DAY = 86_400_000;
const hex = (seed: string) => Array.from({ length: 64 }, (_, i) => ((seed.charCodeAt(i % seed.length) * (i + 7)) % 16).toString(16)).join('');
const pin = (seed: string) => ({ hex: hex(seed), base64: Buffer.from(hex(seed), 'hex').toString('base64') });

function fake(name: string, days: number | null, part: Partial<CertificateView> = {}): CertificateView {
  const now = Date.now();
  const notAfter = days === null ? null : now + days * DAY;
  const step = days === null || days > 30 ? null : days > 14 ? 30 : days > 7 ? 14 : days > 0 ? 7 : 0;
  return {
    id: fakeId(), name, source: 'uploaded', state: days === null ? 'waiting' : 'ready', enabled: true, names: { dns: [`${name}.example.test`], ip: [] }, keyKind: 'ec-p256', subject: `CN=${name}.example.test, O=Example`, issuer: days === null ? null : 'CN=Example Authority R3, O=Example Authority',
    notBefore: notAfter === null ? null : notAfter - 90 * DAY, notAfter, daysLeft: days === null ? null : Math.floor(days), fingerprint: days === null ? null : hex(name), keyPin: days === null ? null : pin(name), requestWaits: days === null, canGoBack: false, renewsItself: false, createdAt: now - 40 * DAY,
    renewedAt: null, lastTriedAt: null, lastError: null, alarm: step === null ? null : { severity: step === 30 ? 'notice' : step === 14 ? 'warning' : 'error', step, text: step === 0 ? `certificate ${name} has expired` : `certificate ${name} ends in ${Math.floor(days ?? 0)} days`, remedy: 'Make a new request for it, or upload its successor.' },
    acme: null, usedBy: [{ kind: 'host', name: `${name}.example.test`, detail: null }, { kind: 'listener', name: 'https', detail: null }], usedByMore: 0, mayChange: true, mayDownload: days !== null, mayDownloadKey: true, ...part,
  };
}

const acme = (progress: NonNullable<CertificateView['acme']>['progress']): CertificateView['acme'] => ({ directoryUrl: 'https://acme-v02.api.letsencrypt.org/directory', names: { dns: ['www.example.test'], ip: [] }, keyKind: 'ec-p256', challenge: 'http-01', dns: null, progress });
const made: Partial<CertificateView> = { createdAt: null, usedBy: [], mayChange: false, mayDownloadKey: false };

const certificates: readonly CertificateView[] = [
  fake('pbx', 89, { canGoBack: true, usedBy: [{ kind: 'host', name: 'pbx.example.test', detail: null }, { kind: 'upstream', name: 'pbx', detail: '192.0.2.7:443' }, { kind: 'agent', name: 'Mail server', detail: 'mail' }] }),
  fake('shop', 26), fake('mail', 12), fake('old-door', 3.4), fake('gone', -2.5), fake('asked', null, { source: 'request', keyKind: 'rsa-2048' }),
  fake('www', 61, { source: 'acme', renewsItself: true, acme: acme({ state: 'checking', about: 'www.example.test', since: Date.now() - 4_000, why: null, remedy: null, nextTryAt: null }) }),
  fake('app', 20, { source: 'acme', renewsItself: true, lastTriedAt: Date.now() - 3_600_000, lastError: 'the authority could not connect to this gateway', acme: acme({ state: 'failed', about: 'app.example.test', since: Date.now() - 3_600_000, why: 'the authority could not connect to this gateway', remedy: 'Let port 80 lead here.', nextTryAt: Date.now() + 3_600_000 }) }),
  fake('towards-pbx', 300, { source: 'private-ca', names: { dns: [], ip: [] }, enabled: false, usedBy: [] }),
  fake('gw.example.test', 395, { ...made, id: 'leaf:ec-p256:gw.example.test', source: 'leaf', renewsItself: true }), fake('private CA', 3_600, { ...made, id: 'ca', source: 'ca', names: { dns: [], ip: [] } }),
];

const find = (key: string) => certificates.find((each) => each.id === decodeURIComponent(key) || each.name === decodeURIComponent(key)) ?? certificates[0]!;

function detail(certificate: CertificateView): CertificateDetailView {
  const { name, notBefore, notAfter, fingerprint, keyPin, subject, issuer, requestWaits, canGoBack } = certificate;
  return {
    ...certificate,
    chain: notBefore === null || notAfter === null || !fingerprint || !keyPin ? [] : [{ subject, issuer: issuer ?? '', notBefore, notAfter, keyKind: 'ec-p256', fingerprint, keyPin }, { subject: issuer ?? '', issuer: 'CN=Example Root', notBefore, notAfter: notAfter + 900 * DAY, keyKind: 'rsa-2048', fingerprint: hex('issuer'), keyPin: pin('issuer') }],
    request: requestWaits ? { pem: `-----BEGIN CERTIFICATE REQUEST-----\n${`${'MIIC'.repeat(16)}\n`.repeat(12)}-----END CERTIFICATE REQUEST-----\n`, keyPin: pin(name) } : null,
    previous: canGoBack ? { subject: 'CN=before.example.test', fingerprint: hex('before'), notAfter: Date.now() + 2 * DAY } : null,
  };
}

const form: CertificateFormView = {
  suggestion: { name: 'gw.example.test', commonName: 'gw.example.test', names: ['gw.example.test', '*.gw.example.test'], organization: '', organizationalUnit: '', locality: '', state: '', country: '', keyKind: 'ec-p256', from: null }, wantedNames: ['gw.example.test', 'pbx.example.test', 'shop.example.test'],
  keyKinds: [{ kind: 'ec-p256', signsPerSecond: 41_000, relative: 1, text: 'the cheapest, and what everything since 2013 takes' }, { kind: 'rsa-2048', signsPerSecond: 3_870, relative: 10.6, text: 'for devices that know RSA alone' }, { kind: 'rsa-4096', signsPerSecond: 657, relative: 62.4, text: 'dear: a burst of connections is felt' }],
  directories: [{ key: 'lets-encrypt', url: 'https://acme-v02.api.letsencrypt.org/directory', hasAccount: true }, { key: 'zerossl', url: 'https://acme.zerossl.com/v2/DV90', hasAccount: false }], challenges: ['http-01', 'tls-alpn-01', 'dns-01'], passphraseCharsMin: 8, uploadBytesMax: 256 * 1024, acme: true,
};

const swap = (query: URLSearchParams, certificate: CertificateView | null): SwapView => ({
  dryRun: query.get('dryRun') === 'true', trustsMore: 0, losing: 0, certificate,
  verdicts: [{ severity: 'warning', text: 'the intermediate Example R3, which signed it, is missing: some browsers find it by themselves, programs and devices do not', remedy: 'Upload it together with the certificate.' }, { severity: 'ok', text: 'the private key belongs to it', remedy: null }],
  changes: certificate ? [{ what: 'subject', before: certificate.subject, after: 'CN=new.example.test' }, { what: 'fingerprint', before: certificate.fingerprint, after: hex('new') }] : [],
  trusts: certificate ? [{ kind: 'upstream', name: 'pbx', path: 'routes[0].target.certificate', severity: 'change', because: ['subject'], text: '192.0.2.7:443, behind route pbx, is shown this certificate', remedy: 'On that server: change the subject that it expects.' }, { kind: 'clients', name: '', path: null, severity: 'look', because: ['key'], text: 'devices and programs may have pinned it', remedy: `There: the key's pin is ${hex('new')}.` }] : [],
});

const delivery = (certificate: CertificateView): DeliveryView => ({
  id: fakeId(), certificateId: certificate.id, certificate: certificate.name, agentId: fakeId(), agent: 'Mail server', online: true, as: 'mail', state: 'failed', waitsFor: null, why: 'the command reload failed', exitCode: 1, output: 'nginx: [emerg] cannot load certificate', digest: null, deliveredAt: null,
  triedAt: Date.now() - 60_000, nextTryAt: Date.now() + 240_000, createdAt: Date.now() - DAY,
});

const listed = (query: URLSearchParams) => certificates.filter((each) => (!query.get('source') || each.source === query.get('source')) && `${each.name} ${each.names.dns.join(' ')} ${each.subject} ${each.fingerprint ?? ''}`.toLowerCase().includes((query.get('search') ?? '').toLowerCase()));

/** Method, path, and what is answered. */
export const certificateRoutes: readonly (readonly [method: string, path: RegExp, run: (asked: FakeAsked) => { readonly json: unknown }])[] = [
  ['GET', /^\/certificates$/, ({ query }) => ({ json: { items: listed(query), next: null, now: Date.now() } })],
  ['GET', /^\/certificate-form$/, () => ({ json: form })],
  ['POST', /^\/certificates\/upload$/, ({ query }) => ({ json: swap(query, query.get('dryRun') === 'true' ? null : certificates[0]!) })],
  ['POST', /^\/certificates\/check-order$/, () => ({ json: { findings: [{ id: 'address', title: 'Addresses of the names', status: 'failure', evidence: ['www.example.test: 192.0.2.9'], verdict: 'www.example.test leads elsewhere', remedy: 'Let it lead here.', ms: 3 }] } })],
  ['POST', /^\/certificates\/(?:request|issue|order)$/, () => ({ json: detail(certificates[5]!) })],
  ['GET', /^\/certificates\/([^/]+)$/, ({ part }) => ({ json: detail(find(part[0] ?? '')) })],
  ['POST', /^\/certificates\/([^/]+)\/(?:replace|go-back|issue)$/, ({ query, part }) => ({ json: swap(query, find(part[0] ?? '')) })],
  ['GET', /^\/certificates\/([^/]+)\/deliveries$/, ({ part }) => ({ json: { items: find(part[0] ?? '').name === 'pbx' ? [delivery(find('pbx'))] : [], next: null } })],
  ['GET', /^\/acme\/accounts$/, () => ({ json: { items: [{ directoryUrl: 'https://acme-v02.api.letsencrypt.org/directory', contact: 'admin@example.test', accountUrl: 'https://acme-v02.api.letsencrypt.org/acme/acct/1', registeredAt: Date.now() - 90 * DAY, externalKeyId: null, hasOwnRoot: false }] } })],
  ['GET', /^\/acme\/dns-keys$/, () => ({ json: { items: [{ name: 'acme-key', algorithm: 'hmac-sha256', setAt: Date.now() - 9 * DAY }] } })],
];
