// What somebody uploads for a certificate: files in whatever form, opened into certificates and a key. What they are worth, certificate-verdict says.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { Fault, isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { derAt, derParts } from '#wire/der.ts';

export interface Upload {
  /** In the files' order, each once. */
  readonly certificates: readonly X509Certificate[];
  /** Each once. */
  readonly keys: readonly KeyObject[];
  /** A key is there, but closed: it wants a passphrase, or another one than was given. */
  readonly closedKey: 'passphrase-wanted' | 'passphrase-wrong' | null;
  /** A request (CSR) was among it, which is not its answer. */
  readonly hasRequest: boolean;
  /** Blocks and files that nobody could read, for people. */
  readonly unread: readonly string[];
}

interface Found {
  readonly certificates: Map<string, X509Certificate>;
  readonly keys: Map<string, KeyObject>;
  closedKey: Upload['closedKey'];
  hasRequest: boolean;
  readonly unread: string[];
  parts: number;
}

const pemBlocks = /-----BEGIN ([A-Z0-9 ]{1,40})-----([\s\S]*?)-----END \1-----/g;
const pkcs7Data = '1.2.840.113549.1.7.2';
/** signedData, as DER writes it: recognised without a reader of identifiers. */
const signedData = Buffer.from('2a864886f70d010702', 'hex');

/**
 * Files as PEM (with any line ends, text around the blocks, several in one), DER (certificate, key), PKCS#7 (.p7b) or PKCS#12 (.pfx, .p12).
 * Faults: `too-large`, `too-many`; `unauthenticated` and `bad-input` of a PKCS#12 file. What else cannot be read is listed, not thrown.
 */
export async function readUpload(files: readonly Buffer[], passphrase: string | null): Promise<Upload> {
  if (files.reduce((sum, file) => sum + file.length, 0) > limits.certificateUploadBytesMax) throw new Fault('too-large', `more than ${limits.certificateUploadBytesMax / 1024} KiB for one certificate`);
  const found: Found = { certificates: new Map(), keys: new Map(), closedKey: null, hasRequest: false, unread: [], parts: 0 };
  for (const file of files) {
    const text = file.toString('latin1');
    const blocks = [...text.matchAll(pemBlocks)];
    if (blocks.length > 0) for (const [whole, label = '', body = ''] of blocks) readBlock(found, whole, label, body, passphrase);
    else if (file[0] === 0x30 && isPkcs12(file)) await readPkcs12(found, file, passphrase);
    else if (file[0] === 0x30) readDer(found, file, passphrase);
    else if (text.trim() !== '') found.unread.push(/-----BEGIN/.test(text) ? 'a PEM block without its end' : 'a file that is neither PEM nor DER nor PKCS#12');
  }
  const { certificates, keys, closedKey, hasRequest, unread } = found;
  return { certificates: [...certificates.values()], keys: [...keys.values()], closedKey: keys.size > 0 ? null : closedKey, hasRequest, unread };
}

function count(found: Found): void {
  found.parts += 1;
  if (found.parts > limits.certificateUploadPartsMax) throw new Fault('too-many', `more than ${limits.certificateUploadPartsMax} certificates and keys at once`, { remedy: 'Upload the certificate, its chain and its key, not a whole store.' });
}

function readBlock(found: Found, whole: string, label: string, body: string, passphrase: string | null): void {
  count(found);
  if (label.endsWith('CERTIFICATE REQUEST')) found.hasRequest = true;
  else if (/^(TRUSTED |X509 )?CERTIFICATE$/.test(label)) addCertificate(found, Buffer.from(body, 'base64'));
  else if (label === 'PKCS7' || label === 'CMS') addPkcs7(found, Buffer.from(body, 'base64'));
  // Curve parameters stand before a key of openssl ecparam; the key names its curve itself.
  else if (label === 'EC PARAMETERS' || label === 'DH PARAMETERS' || label === 'PUBLIC KEY') return;
  else if (label.endsWith('PRIVATE KEY')) {
    const isClosed = label === 'ENCRYPTED PRIVATE KEY' || /Proc-Type: *4,ENCRYPTED/.test(body);
    // RFC 7468 §3: nothing but base64 in lines; tolerated are spaces and carriage returns, which mail and editors add.
    const pem = isClosed && label !== 'ENCRYPTED PRIVATE KEY' ? whole.replaceAll('\r', '') : `-----BEGIN ${label}-----\n${(body.replaceAll(/[^A-Za-z0-9+/=]/g, '').match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${label}-----\n`;
    addKey(found, isClosed, passphrase, () => createPrivateKey({ key: pem, ...(passphrase === null ? {} : { passphrase }) }));
  } else found.unread.push(`a PEM block "${label}"`);
}

function readDer(found: Found, file: Buffer, passphrase: string | null): void {
  count(found);
  const [first, second, third] = derParts(derAt(file)?.value ?? Buffer.alloc(0)) ?? [];
  if (first?.tag === 0x06) {
    if (first.value.equals(signedData)) addPkcs7(found, file);
    else found.unread.push('a file that is neither a certificate nor a key');
    return;
  }
  if (first?.tag === 0x02) {
    // An INTEGER first: PKCS#8 when an algorithm follows, SEC 1 when the key does, else PKCS#1.
    const type = second?.tag === 0x30 ? 'pkcs8' : second?.tag === 0x04 ? 'sec1' : 'pkcs1';
    addKey(found, false, passphrase, () => createPrivateKey({ key: file, format: 'der', type }));
    return;
  }
  if (first?.tag === 0x30 && second?.tag === 0x04 && third === undefined) {
    addKey(found, true, passphrase, () => createPrivateKey({ key: file, format: 'der', type: 'pkcs8', passphrase: passphrase ?? '' }));
    return;
  }
  // A request's first part begins with its version, an INTEGER; a certificate's with [0], or with the serial number in version 1.
  const inner = derParts(first?.value ?? Buffer.alloc(0)) ?? [];
  if (inner.length === 4 && inner[0]?.tag === 0x02 && inner[3]?.tag === 0xa0) found.hasRequest = true;
  else addCertificate(found, file);
}

function addCertificate(found: Found, der: Buffer): void {
  try {
    const certificate = new X509Certificate(der);
    // A key of an unknown kind throws here, and there is nothing more to say of such a certificate.
    if (certificate.publicKey.asymmetricKeyType !== undefined) found.certificates.set(certificate.fingerprint256, certificate);
    else found.unread.push('a certificate with a key of an unknown kind');
  } catch {
    found.unread.push('a certificate that is damaged or of an unknown kind');
  }
}

function addKey(found: Found, isClosed: boolean, passphrase: string | null, open: () => KeyObject): void {
  try {
    const key = open();
    found.keys.set(key.export({ type: 'pkcs8', format: 'der' }).toString('base64'), key);
  } catch {
    if (isClosed) found.closedKey = passphrase === null || passphrase === '' ? 'passphrase-wanted' : 'passphrase-wrong';
    else found.unread.push('a private key that is damaged or of an unknown kind');
  }
}

/** RFC 2315 §9.1: SignedData with certificates and without a signature, as Windows hands out chains. */
function addPkcs7(found: Found, der: Buffer): void {
  const outer = derParts(derAt(der)?.value ?? Buffer.alloc(0)) ?? [];
  const signed = derParts(derAt(outer[1]?.value ?? Buffer.alloc(0))?.value ?? Buffer.alloc(0)) ?? [];
  const set = signed.find((part) => part.tag === 0xa0);
  const certificates = set ? derParts(set.value) : null;
  if (!certificates) {
    found.unread.push(`a PKCS#7 file that holds no certificates (${pkcs7Data})`);
    return;
  }
  let at = 0;
  for (const { end } of certificates) {
    count(found);
    addCertificate(found, set!.value.subarray(at, end));
    at = end;
  }
}

/** PFX: version 3, then authSafe (RFC 7292 §4). In BER the length may be left open, and then only the beginning is looked at. */
function isPkcs12(file: Buffer): boolean {
  if (file[1] === 0x80) return file.subarray(2, 5).equals(Buffer.from([2, 1, 3])) && file[5] === 0x30;
  const [version, safe] = derParts(derAt(file)?.value ?? Buffer.alloc(0)) ?? [];
  if (!version) return /^\x30.{1,4}\x02\x01\x03\x30/s.test(file.subarray(0, 16).toString('latin1'));
  return version.tag === 0x02 && version.value.length === 1 && version.value[0] === 3 && safe?.tag === 0x30;
}

async function readPkcs12(found: Found, file: Buffer, passphrase: string | null): Promise<void> {
  // Loaded when somebody needs it: few ever do, and it takes its time.
  const { openPkcs12 } = await import('./pkcs12.ts');
  try {
    const opened = await openPkcs12(file, passphrase);
    for (const der of opened.certificates) {
      count(found);
      addCertificate(found, der);
    }
    for (const der of opened.keys) {
      count(found);
      addKey(found, false, null, () => createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
    }
  } catch (thrown) {
    if (!isFault(thrown, 'unauthenticated')) throw thrown;
    found.closedKey = passphrase === null || passphrase === '' ? 'passphrase-wanted' : 'passphrase-wrong';
  }
}
