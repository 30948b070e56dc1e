// Certificates: the list, one of them, what a form begins with, downloads, requests that people bring, names and switches.
import type { X509Certificate } from 'node:crypto';
import type { CertificateFormView, CertificateView, DownloadView, SignedView } from '#api/certificate-shapes.ts';
import type { ParsedBody } from '#api/contract.ts';
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import type { SubjectFields } from '#model/certificate-changes.ts';
import { challengeKinds, knownDirectories } from '#model/acme.ts';
import { lineOf, readChain } from '#model/certificate-facts.ts';
import { keyKinds, type KeyKind } from '#model/certificate-key.ts';
import { certificateFor, namesOfCertificate } from '#model/certificate-names.ts';
import { keyCosts } from '#model/key-cost.ts';
import type { Certificate, CertificateNames } from '#model/rows.ts';
import { actorOfAsked, auditOf, mustMay, type Acts, type Anyone } from './asked.ts';
import { detailOf, listCertificates, pinOf, usesNow, type Listed } from './certificate-views.ts';
import { pageOf, sorted } from './pages.ts';
import { defaultCustomer, type Room } from './room.ts';

export const passphraseCharsMin = 8;

/** As people type them: host names and addresses in one list. */
export function namesOfList(list: readonly string[]): CertificateNames {
  const dns = new Set<string>();
  const ip = new Set<string>();
  for (const each of list) {
    const literal = canonicalAddress(each.replace(/^\[(.*)\]$/, '$1'));
    if (literal === null) dns.add(each.toLowerCase().replace(/\.$/, ''));
    else ip.add(literal);
  }
  return { dns: [...dns], ip: [...ip] };
}

/** A row, not what the private CA made by itself. Faults: `not-found`, `conflict`. */
export function findRow(room: Room, asked: Anyone, text: string): Certificate {
  const { row, name } = listCertificates(room, asked).find(text);
  if (!row) throw new Fault('conflict', `${name} is the private CA's own and cannot be changed`, { remedy: 'it renews itself' });
  return row;
}

const mayChange = (asked: Anyone) => mustMay(asked, 'administer', 'gateway', 'change certificates');
/** People's first, by name. */
const order = { keyOf: ({ row, name, id }: Listed) => `${row ? 0 : id === 'ca' ? 2 : 1}${name.toLowerCase()}\0${id}` };

type Names = 'listCertificates' | 'getCertificate' | 'getCertificateForm' | 'signCertificateRequest' | 'downloadCertificate' | 'changeCertificate' | 'removeCertificate';

export function buildCertificateActs(room: Room): Acts<Names> {
  const { certificates, clock } = room;
  return {
    listCertificates(asked) {
      mustMay(asked, 'see', 'gateway', 'see certificates');
      const { search = '', source } = asked.query;
      const needle = search.trim().toLowerCase();
      const { all } = listCertificates(room, asked);
      const fits = ({ name, names, subject, issuer, fingerprint, keyPin }: CertificateView) => [name, ...names.dns, ...names.ip, subject, issuer, fingerprint, keyPin?.hex].join('\n').toLowerCase().includes(needle);
      const wanted = (listed: Listed) => (source === undefined || listed.source === source) && (needle === '' || fits(listed.view()));
      return { ...pageOf(sorted(all, order), order, asked.query, wanted, (listed) => listed.view()), now: clock.nowMs() };
    },
    getCertificate(asked) {
      mustMay(asked, 'see', 'gateway', 'see certificates');
      return detailOf(listCertificates(room, asked).find(asked.params.certificate));
    },
    getCertificateForm(asked) {
      mustMay(asked, 'see', 'gateway', 'see certificates');
      return formOf(room, asked.query.certificate === undefined ? null : findRow(room, asked, asked.query.certificate), asked.query.host);
    },
    async signCertificateRequest(asked) {
      mustMay(asked, 'administer', 'gateway', 'let the private CA sign requests');
      return sign(room, asked, asked.body);
    },
    async downloadCertificate(asked) {
      mustMay(asked, 'see', 'gateway', 'see certificates');
      return download(room, asked, listCertificates(room, asked).find(asked.params.certificate), asked.body);
    },
    async changeCertificate(asked) {
      mayChange(asked);
      const row = findRow(room, asked, asked.params.certificate);
      const { name, enabled, losing } = asked.body;
      if (name !== undefined && name !== row.name) refuseWhileShown(room, row, 'renamed');
      await certificates.changes.change(row.id, { ...(name === undefined ? {} : { name }), ...(enabled === undefined ? {} : { enabled }) }, actorOfAsked(asked), losing);
      return listCertificates(room, asked).find(row.id).view();
    },
    async removeCertificate(asked) {
      mayChange(asked);
      const row = findRow(room, asked, asked.params.certificate);
      refuseWhileShown(room, row, 'removed');
      await certificates.changes.remove(row.id, actorOfAsked(asked), asked.query.losing ?? null);
      return {};
    },
  };
}

/** Routes name it by its name: without it they would reach their servers no longer. */
function refuseWhileShown({ control }: Room, row: Certificate, what: string): void {
  const routes = control.snapshot().config.routes.filter(({ target }) => target.kind === 'tls' && target.certificate === row.name).map((route) => route.name);
  if (routes.length > 0) throw new Fault('conflict', `${row.name} cannot be ${what}: ${routes.slice(0, 5).join(', ')} ${routes.length === 1 ? 'shows' : 'show'} it to ${routes.length === 1 ? 'its server' : 'their servers'}`, { remedy: 'change "certificate" of the target there first' });
}

async function sign(room: Room, asked: Anyone, { csr, kind, names, days }: ParsedBody<'signCertificateRequest'>): Promise<SignedView> {
  const { pem, fingerprint, keyFingerprint, notBefore, notAfter } = await room.certificates.signRequest({ csrPem: csr, kind, ...(names === null ? {} : { names: namesOfList(names) }), ...(days === undefined ? {} : { days }) });
  const certificate = readChain(pem)[0]!;
  const named = namesOfCertificate(certificate);
  const subject = lineOf(certificate.subject);
  // In the audit before it is in anybody's hands.
  await room.operations.addAudit([
    auditOf(room, asked, 'certificate.signed', { customerId: defaultCustomer(room).id, kind: 'certificate', id: null, name: subject || [...named.dns, ...named.ip].join(' ') }, { kind, subject, names: [...named.dns, ...named.ip].join(' ').slice(0, 500), certificateFingerprint: fingerprint, keyFingerprint, notAfter }),
  ]);
  return { pem, chainPem: pem + room.certificates.caPem, fingerprint, keyPin: pinOf(keyFingerprint), subject, names: { dns: [...named.dns], ip: [...named.ip] }, notBefore, notAfter };
}

const fileNameOf = (name: string) => name.replace(/[^A-Za-z0-9._-]+/g, '-');

async function download(room: Room, asked: Anyone, { id, row, name, chainPem }: Listed, { form, passphrase }: ParsedBody<'downloadCertificate'>): Promise<DownloadView> {
  if (form !== 'pem') mustMay(asked, 'administer', 'gateway', 'download keys');
  if (chainPem === null) throw new Fault('conflict', `${name} waits for its certificate: there is nothing to download yet`);
  const noted = () => room.operations.addAudit([auditOf(room, asked, 'certificate.downloaded', { customerId: row?.customerId ?? defaultCustomer(room).id, kind: 'certificate', id, name }, { form, withKey: form !== 'pem' })]);
  const file = fileNameOf(name);
  if (form === 'pem') {
    await noted();
    return { fileName: `${file}.pem`, type: 'application/x-pem-file', encoding: 'text', content: chainPem };
  }
  if (!row) throw new Fault('forbidden', `the key of ${name} never leaves the gateway`);
  if (form === 'pfx' && (passphrase ?? '').length < passphraseCharsMin) throw new Fault('bad-input', `a PFX file needs a passphrase of at least ${passphraseCharsMin} characters`, { detail: { problems: [{ path: 'passphrase', message: `has less than ${passphraseCharsMin} characters` }] } });
  const keyPem = await room.certificates.changes.keyPemOf(row.id);
  if (keyPem === null) throw new Fault('conflict', `the key of ${name} is not in the data folder`, { remedy: 'restore it from a backup, or make a new request' });
  const content = form === 'pem-with-key' ? chainPem + keyPem : (await pfxOf(room, name, chainPem, keyPem, passphrase!)).toString('base64');
  await noted();
  return form === 'pem-with-key' ? { fileName: `${file}.key.pem`, type: 'application/x-pem-file', encoding: 'text', content } : { fileName: `${file}.pfx`, type: 'application/x-pkcs12', encoding: 'base64', content };
}

async function pfxOf({ random }: Room, name: string, chainPem: string, keyPem: string, passphrase: string): Promise<Buffer> {
  // Loaded when somebody needs it, as for uploads.
  const [{ makePkcs12 }, { createPrivateKey }] = await Promise.all([import('#model/pkcs12.ts'), import('node:crypto')]);
  return makePkcs12({ certificates: readChain(chainPem).map((each) => each.raw as Buffer), key: createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' }), friendlyName: name, passphrase, random });
}

const fieldOf = (distinguishedName: string | undefined, field: string) => new RegExp(`^${field}=(.*)$`, 'm').exec(distinguishedName ?? '')?.[1] ?? '';

/** What is there now is what the next one should say: the subject of the certificate that answers to the host, and its names. */
/** Who the certificate in use names, for the next request. */
export function subjectFieldsOf(leaf: X509Certificate | null, { dns, ip }: CertificateNames): SubjectFields {
  const field = (short: string) => fieldOf(leaf?.subject, short);
  const optional = { organization: field('O'), organizationalUnit: field('OU'), locality: field('L'), state: field('ST'), country: field('C') };
  return { commonName: field('CN') || (dns[0] ?? ip[0] ?? null), ...Object.fromEntries(Object.entries(optional).filter(([, text]) => text !== '')) };
}

function formOf(room: Room, asked: Certificate | null, host: string | undefined): CertificateFormView {
  const { tables, control, clock, acme } = room;
  const snapshot = control.snapshot();
  const wanted = host?.trim().toLowerCase() || snapshot.primaryDomain;
  const row = asked ?? certificateFor(tables.certificates.values(), wanted, clock.nowMs());
  const leaf = row?.chainPem ? readChain(row.chainPem)[0]! : null;
  const served = usesNow(room).served.map((each) => each.host);
  const below = snapshot.deviceDomains.includes(wanted) ? [`*.${wanted}`] : [];
  const names = row ? [...row.names.dns, ...row.names.ip] : [wanted, ...below];
  const commonName = fieldOf(leaf?.subject, 'CN') || names[0] || wanted;
  const stem = wanted.replace(/^\*\./, 'wildcard.');
  let name = asked?.name ?? stem;
  if (!asked) for (let turn = 2; tables.certificateByName(name); turn++) name = `${stem}-${turn}`;
  const accounts = new Set(acme?.accounts().map((each) => each.directoryUrl));
  const known = Object.entries(knownDirectories);
  const others = [...accounts].filter((url) => !known.some(([, each]) => each === url));
  return {
    suggestion: {
      name, commonName, names, organization: fieldOf(leaf?.subject, 'O'), organizationalUnit: fieldOf(leaf?.subject, 'OU'), locality: fieldOf(leaf?.subject, 'L'), state: fieldOf(leaf?.subject, 'ST'), country: fieldOf(leaf?.subject, 'C'),
      keyKind: keyKinds.find((each) => each === row?.keyKind) ?? ('ec-p256' satisfies KeyKind), from: row?.name ?? null,
    },
    wantedNames: served.slice(0, limits.certificateNamesMax),
    keyKinds: keyCosts.map((each) => ({ ...each })),
    directories: [...known.map(([key, url]) => ({ key, url, hasAccount: accounts.has(url) })), ...others.map((url) => ({ key: url, url, hasAccount: true }))],
    challenges: [...challengeKinds],
    passphraseCharsMin,
    uploadBytesMax: limits.certificateUploadBytesMax,
    acme: acme !== null,
  };
}
