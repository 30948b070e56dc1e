// Judges an upload in plain language before anything is changed: which is the certificate, is its chain whole, does the key belong to it, when does it
// end, what does it cover. Pure; whoever puts it in place passes on `material`.
import type { KeyObject, X509Certificate } from 'node:crypto';
import { daysLeftOf } from './certificate-alarms.ts';
import type { CertificateMaterial } from './certificate-changes.ts';
import { factsOf, isForClients, isForServers, pemOf, readChain, titleOf, titleOfName, type CertificateFacts } from './certificate-facts.ts';
import { keyKindOf, keyOf, spkiOf } from './certificate-key.ts';
import { coverageOf } from './certificate-names.ts';
import type { Upload } from './certificate-upload.ts';
import { keyRefusal, spkiFingerprintOf } from './fingerprint.ts';
import type { Certificate } from './rows.ts';

export interface CertificateVerdict {
  readonly severity: 'error' | 'warning' | 'ok';
  readonly text: string;
  readonly remedy: string | null;
}

/** A key that the gateway holds, by its fingerprint. */
export interface KnownKey {
  readonly fingerprint: string;
  /** `the request of front` */
  readonly of: string;
  /** It may be used for this upload: it is of the certificate that is replaced. */
  readonly fits: boolean;
}

export interface UploadQuestion {
  readonly upload: Upload;
  readonly knownKeys: readonly KnownKey[];
  /** Intermediates that may complete the chain: of other certificates, and the private CA. */
  readonly knownIssuers: readonly X509Certificate[];
  /** Roots that clients have: the system's. */
  readonly roots: readonly X509Certificate[];
  /** Names of the gateway that should be covered; `*.name` for a domain with devices below. */
  readonly wantedNames: readonly string[];
  readonly now: number;
}

export interface JudgedUpload {
  /** Errors first. With one of them nothing can be put in place. */
  readonly verdicts: readonly CertificateVerdict[];
  /** Null with an error. */
  readonly material: CertificateMaterial | null;
  /** Of the certificate found, also beside errors. */
  readonly facts: CertificateFacts | null;
}

/** What the gateway itself knows, for an upload that is new (`replaces` null) or goes to a certificate that there is. */
export function questionOf(known: {
  readonly upload: Upload;
  readonly certificates: Iterable<Certificate>;
  readonly replaces: Certificate | null;
  readonly caPem: string;
  readonly roots: readonly X509Certificate[];
  readonly wantedNames: readonly string[];
  readonly now: number;
}): UploadQuestion {
  const { upload, replaces, roots, wantedNames, now } = known;
  const rows = [...known.certificates];
  const knownKeys = rows.flatMap((row): KnownKey[] => {
    const fits = row.id === replaces?.id;
    const key = (fingerprint: string | null, of: string): KnownKey[] => (fingerprint === null ? [] : [{ fingerprint, of, fits }]);
    return [...key(row.csrKeyFingerprint, `the request of ${row.name}`), ...key(row.keyFingerprint, `certificate ${row.name}`), ...key(row.previousKeyFingerprint, `what certificate ${row.name} was before`)];
  });
  // A key that several certificates have is the one of this.
  knownKeys.sort((a, b) => Number(b.fits) - Number(a.fits));
  const knownIssuers = [known.caPem, ...rows.flatMap((row) => row.chainPem ?? [])].flatMap((pem) => readChain(pem)).filter((each) => each.ca);
  return { upload, knownKeys, knownIssuers, roots, wantedNames, now };
}

const chainMax = 8;
const dayMs = 24 * 3_600_000;
/** Apple's systems refuse more of any server's certificate that was issued since July 2019. */
const longestDays = 825;
const namesShown = 10;

const error = (text: string, remedy: string | null = null): CertificateVerdict => ({ severity: 'error', text, remedy });
const warning = (text: string, remedy: string | null = null): CertificateVerdict => ({ severity: 'warning', text, remedy });
const ok = (text: string): CertificateVerdict => ({ severity: 'ok', text, remedy: null });
const rank = { error: 0, warning: 1, ok: 2 } as const;
const listed = (names: readonly string[]) => (names.length <= namesShown ? names.join(', ') : `${names.slice(0, namesShown).join(', ')} and ${names.length - namesShown} more`);
const dateOf = (at: number) => new Date(at).toISOString().slice(0, 10);

export function judgeUpload(question: UploadQuestion): JudgedUpload {
  const { upload } = question;
  const verdicts = upload.unread.map((what) => warning(`${what} could not be read and was left out`));
  const leaf = leafOf(question);
  if (!leaf) {
    if (upload.closedKey !== null && upload.certificates.length === 0) verdicts.push(closedVerdict(upload.closedKey));
    else if (upload.hasRequest) verdicts.push(error('this is a request (CSR), not its answer', 'Send it to the authority and upload the certificate that comes back.'));
    else verdicts.push(error('there is no certificate in it', 'Upload the certificate as PEM (.pem, .crt), DER (.cer), PKCS#7 (.p7b) or PKCS#12 (.pfx, .p12).'));
    return { verdicts: sorted(verdicts), material: null, facts: null };
  }
  const { chain, verdicts: ofChain } = chainOf(leaf, question);
  const key = keyFor(leaf, question);
  verdicts.push(...purposeVerdicts(leaf), ...strengthVerdicts(leaf, chain), ...ofChain, key.verdict, ...timeVerdicts(leaf, chain, question.now), ...nameVerdicts(leaf, question.wantedNames));
  const facts = factsOf(leaf);
  const isUsable = !verdicts.some((each) => each.severity === 'error');
  return { verdicts: sorted(verdicts), material: isUsable ? { chainPem: pemOf(chain), keyPem: key.pem } : null, facts };
}

const sorted = (verdicts: readonly CertificateVerdict[]) => verdicts.toSorted((a, b) => rank[a.severity] - rank[b.severity]);

const issued = (certificate: X509Certificate, issuer: X509Certificate): boolean => {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false; // keys of kinds that do not go together
  }
};
const isSelfSigned = (certificate: X509Certificate): boolean => certificate.subject === certificate.issuer && issued(certificate, certificate);

/** The one whose key is at hand; else the one that signed none of the others; of several the one that is good the longest. */
function leafOf({ upload, knownKeys }: UploadQuestion): X509Certificate | null {
  const { certificates } = upload;
  const held = new Set([...upload.keys.map((each) => spkiFingerprintOf(spkiOf(each))), ...knownKeys.filter((each) => each.fits).map((each) => each.fingerprint)]);
  const latest = (some: readonly X509Certificate[]) => some.toSorted((a, b) => b.validToDate.getTime() - a.validToDate.getTime())[0] ?? null;
  const withKey = certificates.filter((each) => held.has(spkiFingerprintOf(spkiOf(each.publicKey))));
  if (withKey.length > 0) return latest(withKey);
  const ends = certificates.filter((each) => !certificates.some((other) => other !== each && issued(other, each)));
  return latest(ends.filter((each) => !each.ca)) ?? latest(ends) ?? latest(certificates);
}

interface JudgedChain {
  readonly chain: readonly X509Certificate[];
  readonly verdicts: readonly CertificateVerdict[];
}

function chainOf(leaf: X509Certificate, { upload, knownIssuers, roots }: UploadQuestion): JudgedChain {
  const chain = [leaf];
  const added: string[] = [];
  const verdicts: CertificateVerdict[] = [];
  let root: X509Certificate | null = isSelfSigned(leaf) ? leaf : null;
  while (!root && chain.length < chainMax) {
    const top = chain.at(-1)!;
    const signedTop = (each: X509Certificate) => each.ca && !chain.includes(each) && issued(top, each);
    const here = upload.certificates.find(signedTop);
    const anchor = roots.find(signedTop);
    if (here && !isSelfSigned(here)) chain.push(here);
    else if (here ?? anchor) root = here ?? anchor!;
    else {
      const known = knownIssuers.find(signedTop);
      if (!known) break;
      if (isSelfSigned(known)) root = known;
      else {
        chain.push(known);
        added.push(titleOf(known));
      }
    }
  }
  const top = chain.at(-1)!;
  if (root === leaf) verdicts.push(warning('it is signed by itself: nobody trusts it who was not told to', 'Fine for devices that pin it; browsers will warn.'));
  else if (root) verdicts.push(ok(`the chain is whole, up to ${titleOf(root)}${upload.certificates.includes(root) ? '; the root itself is left out, because clients have it or do not trust it' : ''}`));
  else if (chain.length === 1) verdicts.push(missingIntermediate(top));
  else verdicts.push(ok(`the chain ends below ${titleOfName(top.issuer)}, which clients have to trust`));
  for (const title of added) verdicts.push(ok(`the intermediate ${title} was missing; the gateway knew it and has added it`));
  const places = chain.map((each) => upload.certificates.indexOf(each)).filter((place) => place >= 0);
  if (places.some((place, index) => index > 0 && place < places[index - 1]!)) verdicts.push(ok('the certificates were not in order, and have been put in order'));
  const left = upload.certificates.filter((each) => !chain.includes(each) && each !== root);
  if (left.length > 0) verdicts.push(warning(`${left.length === 1 ? 'one certificate does' : `${left.length} certificates do`} not belong to the chain and ${left.length === 1 ? 'is' : 'are'} left out: ${listed(left.map(titleOf))}`));
  return { chain, verdicts };
}

function missingIntermediate(top: X509Certificate): CertificateVerdict {
  const address = /CA Issuers - URI:("?)(http[^\s"]+)\1/.exec(top.infoAccess ?? '')?.[2];
  const name = titleOfName(top.issuer);
  return warning(
    `the intermediate ${name}, which signed it, is missing: some browsers find it by themselves, programs and devices do not`,
    `Upload it together with the certificate; the authority offers it as chain or CA bundle${address ? `, or at ${address}` : ''}. If ${name} is a root that your clients trust, nothing is missing.`,
  );
}

const closedVerdict = (closed: NonNullable<Upload['closedKey']>): CertificateVerdict =>
  closed === 'passphrase-wanted' ? error('the private key is encrypted and wants its passphrase', 'Give the passphrase.') : error('the passphrase does not open the private key', 'Try again; upper and lower case count.');

function keyFor(leaf: X509Certificate, { upload, knownKeys }: UploadQuestion): { verdict: CertificateVerdict; pem: string | null } {
  const wanted = spkiFingerprintOf(spkiOf(leaf.publicKey));
  const fitting = upload.keys.find((each) => spkiFingerprintOf(spkiOf(each)) === wanted);
  if (fitting) return { verdict: ok('the private key belongs to it'), pem: keyOf(fitting).pem };
  if (upload.closedKey !== null) return { verdict: closedVerdict(upload.closedKey), pem: null };
  const known = knownKeys.find((each) => each.fingerprint === wanted);
  const [key] = upload.keys;
  if (known?.fits) return { verdict: key ? warning(`the private key in it belongs to ${ownerOf(key, upload, knownKeys)} and is left out; that of ${known.of} is used`) : ok(`its private key is here: that of ${known.of}`), pem: null };
  if (key) return { verdict: error(`the private key does not belong to this certificate; it belongs to ${ownerOf(key, upload, knownKeys)}`, 'Upload the key that was made together with the request.'), pem: null };
  if (known) return { verdict: error(`its key is that of ${known.of}`, `Upload it there.`), pem: null };
  return { verdict: error('the private key is missing, and no request that was made here has this key', 'Upload the key with it: it is where the request was made.'), pem: null };
}

function ownerOf(key: KeyObject, upload: Upload, knownKeys: readonly KnownKey[]): string {
  const fingerprint = spkiFingerprintOf(spkiOf(key));
  const other = upload.certificates.find((each) => spkiFingerprintOf(spkiOf(each.publicKey)) === fingerprint);
  return other ? titleOf(other) : (knownKeys.find((each) => each.fingerprint === fingerprint)?.of ?? `something else (${keyKindOf(key)}, fingerprint ${fingerprint.slice(0, 16)}…)`);
}

function purposeVerdicts(leaf: X509Certificate): CertificateVerdict[] {
  if (leaf.ca) return [error(`${titleOf(leaf)} is the certificate of an authority (CA), not of a server`, 'Upload the certificate that it signed. One made with "openssl req -x509" needs: -addext basicConstraints=critical,CA:FALSE')];
  if (isForServers(leaf)) return [];
  if (isForClients(leaf)) return [warning('it is good for clients only: the gateway can present it to servers, and will not show it under any name')];
  return [error('it is good for neither servers nor clients (extended key usage)', 'Ask the authority for a server certificate.')];
}

function strengthVerdicts(leaf: X509Certificate, chain: readonly X509Certificate[]): CertificateVerdict[] {
  const verdicts: CertificateVerdict[] = [];
  for (const each of chain) {
    const who = each === leaf ? 'its key is' : `the key of the intermediate ${titleOf(each)} is`;
    const refusal = keyRefusal(spkiOf(each.publicKey));
    if (refusal) verdicts.push(error(`${who} too weak or unusual: ${refusal}`, 'Make a new key: EC P-256, or RSA with 2048 bits. Shorter RSA keys are no longer shown by OpenSSL and refused by clients.'));
    else if (each.publicKey.asymmetricKeyType === 'ed25519') verdicts.push(warning(`${who} Ed25519, which browsers do not take`));
    const algorithm = each.signatureAlgorithm ?? '';
    if (/sha1|md[245]/i.test(algorithm) && !isSelfSigned(each)) verdicts.push(error(`${each === leaf ? 'it is' : `the intermediate ${titleOf(each)} is`} signed with ${algorithm}, which nobody accepts any more`, 'Ask the authority for a signature with SHA-256.'));
  }
  return verdicts;
}

function timeVerdicts(leaf: X509Certificate, chain: readonly X509Certificate[], now: number): CertificateVerdict[] {
  const [notBefore, notAfter] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()];
  const verdicts: CertificateVerdict[] = [];
  const days = daysLeftOf(notAfter, now);
  if (now >= notAfter) verdicts.push(error(`it expired on ${dateOf(notAfter)}`, 'Compare the clock, then ask for a new one.'));
  else if (now < notBefore) verdicts.push(warning(`it is not valid before ${dateOf(notBefore)}: until then another that is valid comes first`));
  else if (days < 30) verdicts.push(warning(`it ends in ${days === 1 ? '1 day' : `${days} days`}, on ${dateOf(notAfter)}`));
  else verdicts.push(ok(`it is valid until ${dateOf(notAfter)}, ${days} days`));
  for (const each of chain.slice(1)) {
    const title = titleOf(each);
    if (now >= each.validToDate.getTime()) verdicts.push(error(`the intermediate ${title} expired on ${dateOf(each.validToDate.getTime())}`, 'Get the current chain from the authority.'));
    else if (each.validToDate.getTime() < notAfter) verdicts.push(warning(`the intermediate ${title} ends before it, on ${dateOf(each.validToDate.getTime())}`));
  }
  if (notAfter - notBefore > longestDays * dayMs) verdicts.push(warning(`it is valid for more than ${longestDays} days, which Apple's systems refuse`));
  return verdicts;
}

function nameVerdicts(leaf: X509Certificate, wantedNames: readonly string[]): CertificateVerdict[] {
  if (!isForServers(leaf)) return [];
  const { names } = factsOf(leaf);
  const all = [...names.dns, ...names.ip];
  if (all.length === 0) return [warning('it has no alternative names, and browsers do not look at the common name: it is shown under no name', 'Ask for one with the names as subject alternative names.')];
  const isCovered = (name: string) => (name.startsWith('*.') ? names.dns.includes(name) : coverageOf(names, name) !== null);
  const covered = wantedNames.filter(isCovered);
  const others = wantedNames.filter((name) => !isCovered(name));
  const verdicts = [ok(`it names ${listed(all)}`)];
  if (wantedNames.length > 0 && covered.length === 0) verdicts.push(warning(`it covers none of the gateway's names (${listed(wantedNames)})`, 'It is shown only for a route whose host it names.'));
  else if (others.length > 0) verdicts.push(warning(`of the gateway's names it does not cover ${listed(others)}`, 'For these the private CA answers, or another certificate.'));
  else if (covered.length > 0) verdicts.push(ok(`it covers every name of the gateway: ${listed(covered)}`));
  return verdicts;
}
