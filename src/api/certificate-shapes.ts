// What the API shows and takes of certificates. Keys and passphrases go in and never come out, but for the download that is asked for.
import { z } from 'zod';
import { limits } from '#base/limits.ts';
import { findingView, fingerprint, name as anyName, page, pageQuery, time } from './shapes.ts';

const keyKind = z.enum(['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096']);
const challenge = z.enum(['http-01', 'tls-alpn-01', 'dns-01']);
const certificateName = z.string().regex(/^(?!ca$)[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$/i, 'is 1–100 letters, digits, dots, hyphens and underscores, letters or digits at both ends, and not "ca"');
const hostNames = z.array(z.string().trim().toLowerCase().min(1).max(253)).max(limits.certificateNamesMax).meta({ description: 'host names, `*.name` and addresses' });
const pin = z.object({ hex: z.string(), base64: z.string() }).meta({ description: 'SHA-256 of the public key (SPKI): what devices and HTTP clients pin' });
const namesView = z.object({ dns: z.array(z.string()), ip: z.array(z.string()) });
const query = <Shape extends z.ZodRawShape>(shape: Shape) => z.strictObject(shape);
const body = query;

const dnsSettings = z.record(z.string().max(50), z.union([z.string().max(300), z.number(), z.boolean(), z.null()]));
const acmeProgressView = z.object({
  state: z.string().meta({ description: 'queued, done, failed, or what the order is doing' }),
  about: z.string().meta({ description: 'the name that is being proven' }),
  since: time,
  why: z.string().nullable(),
  remedy: z.string().nullable(),
  nextTryAt: time.nullable().meta({ description: 'null: it is running, or done' }),
});
const acmeView = z.object({ directoryUrl: z.string(), names: namesView, keyKind: z.string(), challenge, dns: dnsSettings.nullable(), progress: acmeProgressView.nullable() });

const alarmView = z.object({
  severity: z.enum(['error', 'warning', 'notice']),
  step: z.union([z.literal(30), z.literal(14), z.literal(7), z.literal(0)]).meta({ description: 'days before the end; 0: it has ended' }),
  text: z.string(),
  remedy: z.string(),
});

const useView = z.object({
  kind: z.enum(['host', 'route', 'listener', 'tls-policy', 'upstream', 'agent']).meta({ description: 'host: a name it answers to; route, listener, tls-policy: where; upstream: a route that shows it to its server; agent: one that is handed it' }),
  name: z.string(),
  detail: z.string().nullable().meta({ description: 'upstream: the server; agent: the name under which it is put in place there' }),
});

const certificateFields = {
  id: z.string().meta({ description: 'of what people configured a UUID; `ca`; `leaf:…` for what the private CA made by itself' }),
  name: z.string(),
  source: z.enum(['uploaded', 'request', 'private-ca', 'acme', 'leaf', 'ca']).meta({ description: 'leaf: made by the private CA by itself; ca: the private CA' }),
  state: z.enum(['ready', 'waiting', 'unusable']).meta({ description: 'waiting: for its first certificate; unusable: its key is missing or another\'s' }),
  enabled: z.boolean().meta({ description: 'false: never shown for a name; a route that names it still shows it to its server' }),
  names: namesView,
  keyKind: z.string(),
  subject: z.string(),
  issuer: z.string().nullable(),
  notBefore: time.nullable(),
  notAfter: time.nullable(),
  daysLeft: z.int().nullable().meta({ description: 'rounded down; negative since it has ended' }),
  fingerprint: z.string().nullable().meta({ description: 'SHA-256 of the certificate, hex' }),
  keyPin: pin.nullable(),
  requestWaits: z.boolean().meta({ description: 'a request was made here whose answer was not uploaded' }),
  canGoBack: z.boolean(),
  renewsItself: z.boolean(),
  createdAt: time.nullable(),
  renewedAt: time.nullable(),
  lastTriedAt: time.nullable(),
  lastError: z.string().nullable(),
  alarm: alarmView.nullable(),
  acme: acmeView.nullable(),
  usedBy: z.array(useView).meta({ description: 'at most 100' }),
  usedByMore: z.int().meta({ description: 'uses beyond those listed' }),
  mayChange: z.boolean(),
  mayDownload: z.boolean(),
  mayDownloadKey: z.boolean(),
};
export const certificateView = z.object(certificateFields);
export type CertificateView = z.infer<typeof certificateView>;

const chainView = z.object({ subject: z.string(), issuer: z.string(), notBefore: time, notAfter: time, keyKind: z.string(), fingerprint: z.string(), keyPin: pin });
export const certificateDetailView = z.object({
  ...certificateFields,
  chain: z.array(chainView).meta({ description: 'leaf first; without the root' }),
  request: z.object({ pem: z.string(), keyPin: pin }).nullable().meta({ description: 'the request whose answer is awaited' }),
  previous: z.object({ subject: z.string(), fingerprint: z.string(), notAfter: time }).nullable().meta({ description: 'what it was before the last replacement' }),
});
export type CertificateDetailView = z.infer<typeof certificateDetailView>;

const verdictView = z.object({ severity: z.enum(['error', 'warning', 'ok']), text: z.string(), remedy: z.string().nullable() });
export type VerdictView = z.infer<typeof verdictView>;
const changeView = z.object({ what: z.string(), before: z.string().nullable(), after: z.string().nullable() });
const trustView = z.object({
  kind: z.enum(['upstream', 'proxy-subject', 'route', 'tls-policy', 'device', 'agent', 'host', 'clients']),
  name: z.string(),
  path: z.string().nullable().meta({ description: 'where the configuration names it' }),
  severity: z.enum(['change', 'look']).meta({ description: 'change: it stops working unless that is changed; look: only where the old one is pinned' }),
  because: z.array(z.enum(['subject', 'issuer', 'key', 'fingerprint', 'names'])),
  text: z.string(),
  remedy: z.string(),
});
export type TrustView = z.infer<typeof trustView>;

/** What a swap did, or would do. */
export const swapView = z.object({
  dryRun: z.boolean(),
  verdicts: z.array(verdictView).meta({ description: 'errors first; with one of them nothing is put in place' }),
  changes: z.array(changeView).meta({ description: 'what differs from the one in use; empty for a new one' }),
  trusts: z.array(trustView).meta({ description: 'who trusts the old subject, key or fingerprint, and what to change there' }),
  trustsMore: z.int(),
  losing: z.int().meta({ description: 'devices that pin the key in use and have not confirmed the new one: they are shut out for good' }),
  certificate: certificateView.nullable().meta({ description: 'as it is now; null for a dry run of a new one, and with errors' }),
});
export type SwapView = z.infer<typeof swapView>;

export const signedView = z.object({ pem: z.string(), chainPem: z.string().meta({ description: 'with the private CA behind it' }), fingerprint: z.string(), keyPin: pin, subject: z.string(), names: namesView, notBefore: time, notAfter: time });
export type SignedView = z.infer<typeof signedView>;
export const downloadView = z.object({ fileName: z.string(), type: z.string(), encoding: z.enum(['text', 'base64']), content: z.string() });
export type DownloadView = z.infer<typeof downloadView>;
export const acmeAccountView = z.object({ directoryUrl: z.string(), contact: z.string().nullable(), accountUrl: z.string(), registeredAt: time, externalKeyId: z.string().nullable(), hasOwnRoot: z.boolean() });
export type AcmeAccountView = z.infer<typeof acmeAccountView>;
export const dnsKeyView = z.object({ name: z.string(), algorithm: z.string(), setAt: time });
export type DnsKeyViewShown = z.infer<typeof dnsKeyView>;

/** Everything that a form for a certificate needs to begin with. */
export const certificateFormView = z.object({
  suggestion: z.object({ name: z.string(), commonName: z.string(), names: z.array(z.string()), organization: z.string(), organizationalUnit: z.string(), locality: z.string(), state: z.string(), country: z.string(), keyKind, from: z.string().nullable().meta({ description: 'the certificate that it is taken from: the one that answers to the host now' }) }),
  wantedNames: z.array(z.string()).meta({ description: 'names of the gateway that should be covered' }),
  keyKinds: z.array(z.object({ kind: keyKind, signsPerSecond: z.number(), relative: z.number().meta({ description: 'time of a handshake\'s signature, ec-p256 being 1' }), text: z.string() })),
  directories: z.array(z.object({ key: z.string(), url: z.string(), hasAccount: z.boolean() })),
  challenges: z.array(challenge),
  passphraseCharsMin: z.int(),
  uploadBytesMax: z.int(),
  acme: z.boolean().meta({ description: 'ACME can be used' }),
});
export type CertificateFormView = z.infer<typeof certificateFormView>;

const pem = z.string().max(limits.certificateUploadBytesMax);
const files = {
  pem: pem.default('').meta({ description: 'certificate, chain and key as PEM, in any order' }),
  files: z.array(z.base64().max(limits.certificateUploadBytesMax * 2)).max(10).default([]).meta({ description: 'files as base64: PEM, DER, PKCS#7, PKCS#12' }),
  passphrase: z.string().max(1_024).nullable().default(null).meta({ description: 'of a key or a PKCS#12 file; used once and not kept' }),
};
const dryRun = query({ dryRun: z.enum(['true', 'false']).default('false') });
const acknowledged = z.boolean().default(false).meta({ description: 'the lines of severity change in `trusts` were read; without it such a swap is refused' });
const against = fingerprint.nullable().default(null).meta({ description: 'the certificate in use as the dry run showed it; null: whatever is in use' });
/** How many devices may be shut out; exactly. */
export const losing = z.int().min(1).nullable().default(null).meta({ description: 'how many devices that pin the key in use, and have not confirmed the new one, may be shut out for good: exactly that number, or the change is refused' });
const swapBody = { acknowledged, against, losing };
const subject = z.strictObject({
  commonName: z.string().trim().max(64).nullable().default(null),
  organization: z.string().max(64).default(''),
  organizationalUnit: z.string().max(64).default(''),
  locality: z.string().max(128).default(''),
  state: z.string().max(128).default(''),
  country: z.string().regex(/^([A-Za-z]{2})?$/, 'is two letters').default(''),
});
const wish = { keyKind: keyKind.default('ec-p256'), names: hostNames.default([]) };
const order = { names: hostNames.min(1), challenge: challenge.default('http-01'), keyKind: keyKind.default('ec-p256'), dns: dnsSettings.nullable().default(null), directory: z.string().min(1).max(500).default('lets-encrypt') };
const account = {
  contact: z.string().max(254).nullable().default(null),
  termsAgreed: z.boolean().default(false),
  externalAccount: z.strictObject({ keyId: z.string().min(1).max(500), hmacKey: z.string().min(1).max(500) }).nullable().default(null),
  rootPem: pem.nullable().default(null).meta({ description: "root of a private ACME server's own certificate" }),
};
const listOf = <Item extends z.ZodType>(item: Item) => z.object({ items: z.array(item) });
const nothing = z.object({});

export const certificateRoutes = {
  listCertificates: {
    summary: "Certificates: of people, requests that wait, by ACME, the private CA and what it made",
    query: query({ ...pageQuery, search: z.string().max(100).optional().meta({ description: 'in name, names, subject, issuer or fingerprint' }), source: certificateFields.source.optional() }),
    answer: page(certificateView).extend({ now: time }),
  },
  getCertificate: { summary: 'One certificate, by id or name, with its chain and request', answer: certificateDetailView },
  getCertificateForm: { summary: 'What a form for a certificate begins with: names, subject, kinds of keys and their cost', query: query({ host: z.string().max(253).optional().meta({ description: 'which name it is for; default: the primary domain' }), certificate: z.string().max(200).optional().meta({ description: 'instead: a certificate that is to be asked for anew' }) }), answer: certificateFormView },
  uploadCertificate: { summary: 'Put a certificate of your own in place; a dry run says what it is worth', query: dryRun, body: body({ name: certificateName, ...files, enabled: z.boolean().default(true).meta({ description: 'false: its key is announced to devices, and it is shown when it is switched on' }), losing }), answer: swapView },
  replaceCertificate: { summary: 'Swap a certificate, or upload the answer to its request; standing connections stay', query: dryRun, body: body({ ...files, ...swapBody }), answer: swapView },
  goBackCertificate: { summary: 'Swap back to what it was before', query: dryRun, body: body(swapBody), answer: swapView },
  requestCertificate: { summary: 'Make a key and a request (CSR); upload the answer later', body: body({ name: certificateName, subject, ...wish }), answer: certificateDetailView },
  requestCertificateAgain: { summary: 'A new key and request for a certificate; what is in use stays until the answer comes', body: body({ subject, ...wish }), answer: certificateDetailView },
  issueCertificate: { summary: 'A certificate by the private CA, at once', body: body({ name: certificateName, kind: z.enum(['server', 'client']).default('server').meta({ description: 'client: to be shown to servers; does not renew itself' }), commonName: z.string().trim().max(64).nullable().default(null).meta({ description: 'client: whom it names' }), ...wish, losing }), answer: certificateDetailView },
  issueCertificateAgain: { summary: 'A new key and certificate by the private CA, perhaps for other names', query: dryRun, body: body({ ...wish, ...swapBody }), answer: swapView },
  signCertificateRequest: { summary: 'Let the private CA sign a request that somebody brings', body: body({ csr: pem.min(1), kind: z.enum(['server', 'client']).default('server'), names: hostNames.min(1).nullable().default(null).meta({ description: 'instead of those in the request' }), days: z.int().min(1).max(396).optional() }), answer: signedView },
  downloadCertificate: {
    summary: 'A certificate as a file, with its key for who administers the gateway',
    body: body({ form: z.enum(['pem', 'pem-with-key', 'pfx']).default('pem'), passphrase: z.string().max(200).nullable().default(null).meta({ description: 'of the PFX, at least 8 characters' }) }),
    answer: downloadView,
  },
  changeCertificate: { summary: 'Rename a certificate, switch it on or off', body: body({ name: certificateName.optional(), enabled: z.boolean().optional(), losing }), answer: certificateView },
  removeCertificate: { summary: 'Remove a certificate with its keys', query: query({ losing: z.coerce.number<number>().int().min(1).optional() }), answer: nothing },
  orderCertificate: { summary: 'Order a certificate by ACME; registers with the authority first where that is needed', body: body({ name: certificateName, ...order, ...account }), answer: certificateDetailView },
  orderCertificateAgain: { summary: 'Order it with other names, key or way; what is in use stays until the new one is there', body: body(order), answer: certificateDetailView },
  checkCertificateOrder: { summary: 'Would the order work? Asks nothing of the authority', body: body({ names: order.names, challenge: order.challenge, dns: order.dns, directory: order.directory, rootPem: account.rootPem }), answer: z.object({ findings: z.array(findingView) }) },
  renewCertificate: { summary: 'Renew one of ACME or of the private CA now; how it goes on is in its progress', answer: certificateDetailView },
  listAcmeAccounts: { summary: 'Accounts with ACME authorities', answer: listOf(acmeAccountView) },
  setAcmeAccount: { summary: 'Register with an authority, or change what is registered', body: body({ directory: order.directory, ...account }), answer: acmeAccountView },
  removeAcmeAccount: { summary: 'Forget the key of an account; the authority is not told', body: body({ directory: z.string().min(1).max(500) }), answer: nothing },
  listDnsKeys: { summary: 'TSIG keys for DNS servers, without their secrets', answer: listOf(dnsKeyView) },
  setDnsKey: { summary: 'Set a TSIG key for a DNS server', body: body({ name: anyName, algorithm: z.string().min(1).max(50).default('hmac-sha256'), secret: z.string().min(1).max(1_000).meta({ description: 'base64' }) }), answer: dnsKeyView },
  removeDnsKey: { summary: 'Remove a TSIG key', answer: nothing },
} as const;

