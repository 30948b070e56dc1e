// PKCS#12 (RFC 7292): opens what Windows, Java, OpenSSL and macOS write, and makes files that they open. The only file that loads node-forge:
// it reads BER, which such files still come in, and RC2, which they still use; keys are derived and everything else is decrypted by node:crypto.
import { createCipheriv, createDecipheriv, createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto';
import forge from 'node-forge';
import { Fault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { integer, octets, derNull, oid, sequence, setOf, tagged, tlv } from '#wire/der.ts';

export interface OpenedPkcs12 {
  /** DER, in the file's order. */
  readonly certificates: readonly Buffer[];
  /** PKCS#8 DER. */
  readonly keys: readonly Buffer[];
}

export const pkcs12BytesMax = 256 * 1024;
/** Java writes 10,000, Firefox up to 600,000 for PBKDF2, which runs on another thread; the older derivation does not. */
const pbkdf2RoundsMax = 1_000_000;
const oldRoundsMax = 200_000;
const bagsMax = 100;
const depthMax = 6;

const ids = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  keyBag: '1.2.840.113549.1.12.10.1.1',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certBag: '1.2.840.113549.1.12.10.1.3',
  safeContentsBag: '1.2.840.113549.1.12.10.1.6',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  localKeyId: '1.2.840.113549.1.9.21',
  friendlyName: '1.2.840.113549.1.9.20',
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
  hmacSha256: '1.2.840.113549.2.9',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha1: '1.3.14.3.2.26',
  old3des: '1.2.840.113549.1.12.1.3',
} as const;

const hashes: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha1', '2.16.840.1.101.3.4.2.1': 'sha256', '2.16.840.1.101.3.4.2.2': 'sha384', '2.16.840.1.101.3.4.2.3': 'sha512',
  // As PRF of PBKDF2.
  '1.2.840.113549.2.7': 'sha1', '1.2.840.113549.2.9': 'sha256', '1.2.840.113549.2.10': 'sha384', '1.2.840.113549.2.11': 'sha512',
};
/** Block sizes for the derivation of RFC 7292 appendix B. */
const blockBytes: Readonly<Record<string, number>> = { sha1: 64, sha256: 64, sha384: 128, sha512: 128 };
const cbcCiphers: Readonly<Record<string, readonly [name: string, keyBytes: number]>> = {
  '2.16.840.1.101.3.4.1.2': ['aes-128-cbc', 16], '2.16.840.1.101.3.4.1.22': ['aes-192-cbc', 24], '2.16.840.1.101.3.4.1.42': ['aes-256-cbc', 32], '1.2.840.113549.3.7': ['des-ede3-cbc', 24],
};
/** pbeWithSHAAnd…: RFC 7292 appendix C. */
const oldCiphers: Readonly<Record<string, readonly [name: '3des' | 'rc2', keyBytes: number]>> = {
  '1.2.840.113549.1.12.1.3': ['3des', 24], '1.2.840.113549.1.12.1.4': ['3des', 16], '1.2.840.113549.1.12.1.5': ['rc2', 16], '1.2.840.113549.1.12.1.6': ['rc2', 5],
};

type Node = forge.asn1.Asn1;

/** What does not have the expected form; always becomes a Fault before it leaves this file. */
class Unreadable extends Error {}

const broken = (why: string): never => {
  throw new Unreadable(why);
};

const bytesIn = (text: string): Buffer => Buffer.from(text, 'latin1');
const child = (node: Node | undefined, index: number): Node => (Array.isArray(node?.value) ? node.value[index] : undefined) ?? broken('an element is missing');
const childrenOf = (node: Node): Node[] => (Array.isArray(node.value) ? node.value : broken('an element is not a list'));
const oidOf = (node: Node): string => (typeof node.value === 'string' ? forge.asn1.derToOid(node.value) : broken('an identifier is missing'));

/** BER cuts long octet strings into pieces (X.690 §8.7.3). */
function contentOf(node: Node): Buffer {
  if (typeof node.value === 'string') return bytesIn(node.value);
  return Buffer.concat(node.value.map(contentOf));
}

function numberOf(node: Node, max: number): number {
  const bytes = contentOf(node);
  if (bytes.length === 0 || bytes.length > 5) return broken('a number is too large');
  const value = bytes.readUIntBE(0, bytes.length);
  return value >= 1 && value <= max ? value : broken(`a count of rounds is not between 1 and ${max}`);
}

function parsed(bytes: Buffer): Node {
  try {
    // Trailing bytes are left alone: some writers pad.
    return forge.asn1.fromDer(forge.util.createBuffer(bytes.toString('latin1')), { strict: false, parseAllBytes: false, decodeBitStrings: false } as unknown as boolean);
  } catch {
    return broken('it is not ASN.1');
  }
}

const derOf = (node: Node): Buffer => bytesIn(forge.asn1.toDer(node).getBytes());

/** RFC 7292 appendix B.2. `purpose`: 1 key, 2 initialisation vector, 3 MAC. */
function derive(hash: string, purpose: 1 | 2 | 3, passphrase: Buffer, salt: Buffer, rounds: number, length: number): Buffer {
  const v = blockBytes[hash]!;
  const stretch = (bytes: Buffer) => (bytes.length === 0 ? bytes : Buffer.alloc(v * Math.ceil(bytes.length / v), bytes));
  const diversifier = Buffer.alloc(v, purpose);
  const input = Buffer.concat([stretch(salt), stretch(passphrase)]);
  const made: Buffer[] = [];
  for (let size = 0; size < length; ) {
    let digest = createHash(hash).update(diversifier).update(input).digest();
    for (let round = 1; round < rounds; round++) digest = createHash(hash).update(digest).digest();
    made.push(digest);
    size += digest.length;
    const addend = Buffer.alloc(v, digest);
    for (let at = 0; at < input.length; at += v) {
      // I = (I + B + 1) mod 2^v
      let carry = 1;
      for (let i = v - 1; i >= 0; i--) {
        const sum = input[at + i]! + addend[i]! + carry;
        input[at + i] = sum & 0xff;
        carry = sum >> 8;
      }
    }
  }
  return Buffer.concat(made).subarray(0, length);
}

/** BMPString with its end (RFC 7292 §B.1). Of an absent passphrase some writers make nothing, others the end alone. */
const bmpOf = (passphrase: string): Buffer => Buffer.from(`${passphrase}\0`, 'utf16le').swap16();

const pbkdf2Of = (passphrase: string, salt: Buffer, rounds: number, length: number, hash: string): Promise<Buffer> =>
  new Promise((resolve, reject) => pbkdf2(Buffer.from(passphrase), salt, rounds, length, hash, (error, key) => (error ? reject(error) : resolve(key))));

async function decrypt(algorithm: Node, encrypted: Buffer, passphrase: string, bmp: Buffer): Promise<Buffer> {
  const id = oidOf(child(algorithm, 0));
  const parameters = child(algorithm, 1);
  if (id === ids.pbes2) {
    const [derivation, encryption] = [child(parameters, 0), child(parameters, 1)];
    if (oidOf(child(derivation, 0)) !== ids.pbkdf2) return broken('it is encrypted in a way that is not known here');
    const fields = childrenOf(child(derivation, 1));
    const prf = fields.slice(2).find((field) => Array.isArray(field.value));
    const hash = prf ? hashes[oidOf(child(prf, 0))] : 'sha1';
    const cipher = cbcCiphers[oidOf(child(encryption, 0))];
    if (!cipher || hash === undefined) return broken('it is encrypted in a way that is not known here');
    const key = await pbkdf2Of(passphrase, contentOf(fields[0] ?? broken('the salt is missing')), numberOf(child(child(derivation, 1), 1), pbkdf2RoundsMax), cipher[1], hash);
    return finish(() => cbc(cipher[0], key, contentOf(child(encryption, 1)), encrypted));
  }
  const old = oldCiphers[id];
  if (!old) return broken('it is encrypted in a way that is not known here');
  const [name, keyBytes] = old;
  const salt = contentOf(child(parameters, 0));
  const rounds = numberOf(child(parameters, 1), oldRoundsMax);
  const key = derive('sha1', 1, bmp, salt, rounds, keyBytes);
  const iv = derive('sha1', 2, bmp, salt, rounds, 8);
  if (name === 'rc2') return finish(() => rc2(key, iv, encrypted));
  // Two keys: the third is the first again.
  return finish(() => cbc('des-ede3-cbc', key.length === 16 ? Buffer.concat([key, key.subarray(0, 8)]) : key, iv, encrypted));
}

function cbc(name: string, key: Buffer, iv: Buffer, encrypted: Buffer): Buffer {
  const decipher = createDecipheriv(name, key, iv);
  return Buffer.concat([decipher.update(encrypted), decipher.final()]);
}

function rc2(key: Buffer, iv: Buffer, encrypted: Buffer): Buffer {
  const decipher = forge.rc2.createDecryptionCipher(key.toString('latin1'), key.length * 8);
  decipher.start(iv.toString('latin1'));
  decipher.update(forge.util.createBuffer(encrypted.toString('latin1')));
  if (!decipher.finish()) throw new Error('padding');
  return bytesIn(decipher.output.getBytes());
}

/** With the right MAC before, a padding that is wrong means a file whose parts have different passphrases. */
function finish(run: () => Buffer): Buffer {
  try {
    return run();
  } catch {
    return broken('a part of it does not open with this passphrase');
  }
}

function macFits(mac: Node, content: Buffer, bmp: Buffer): boolean {
  const digestInfo = child(mac, 0);
  const hash = hashes[oidOf(child(child(digestInfo, 0), 0))] ?? broken('its checksum is of a kind that is not known here');
  const expected = contentOf(child(digestInfo, 1));
  const rounds = childrenOf(mac).length > 2 ? numberOf(child(mac, 2), oldRoundsMax) : 1;
  const key = derive(hash, 3, bmp, contentOf(child(mac, 1)), rounds, createHash(hash).digest().length);
  const made = createHmac(hash, key).update(content).digest();
  return made.length === expected.length && timingSafeEqual(made, expected);
}

/** Faults: `unauthenticated` (the passphrase is wrong, or one is wanted), `bad-input` (not such a file, damaged, or too much), `too-large`. */
export async function openPkcs12(bytes: Buffer, passphrase: string | null): Promise<OpenedPkcs12> {
  if (bytes.length > pkcs12BytesMax) throw new Fault('too-large', `the PKCS#12 file is larger than ${pkcs12BytesMax / 1024} KiB`);
  try {
    return await open(bytes, passphrase);
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    throw new Fault('bad-input', `this PKCS#12 file (.pfx, .p12) cannot be read: ${thrown instanceof Unreadable ? thrown.message : 'it is damaged'}`, { remedy: 'Export it again, or convert it to PEM with openssl pkcs12.' });
  }
}

async function open(bytes: Buffer, passphrase: string | null): Promise<OpenedPkcs12> {
  const pfx = parsed(bytes);
  const parts = childrenOf(pfx);
  const safe = child(pfx, 1);
  if (oidOf(child(safe, 0)) !== ids.data) return broken('it is protected by a public key, not by a passphrase');
  const content = contentOf(child(child(safe, 1), 0));
  const mac = parts[2];
  let bmp = bmpOf(passphrase ?? '');
  if (mac && !macFits(mac, content, bmp)) {
    bmp = Buffer.alloc(0);
    if ((passphrase ?? '') !== '' || !macFits(mac, content, bmp)) {
      throw new Fault('unauthenticated', (passphrase ?? '') === '' ? 'the PKCS#12 file (.pfx, .p12) wants a passphrase' : 'the passphrase does not fit the PKCS#12 file (.pfx, .p12)');
    }
  }
  const found = { certificates: [] as Buffer[], keys: [] as Buffer[] };
  for (const info of childrenOf(parsed(content)).slice(0, bagsMax)) {
    const kind = oidOf(child(info, 0));
    const body = child(child(info, 1), 0);
    if (kind === ids.data) await readSafe(contentOf(body), passphrase ?? '', bmp, found, 0);
    else if (kind === ids.encryptedData) {
      const encrypted = child(body, 1);
      await readSafe(await decrypt(child(encrypted, 1), contentOf(child(encrypted, 2)), passphrase ?? '', bmp), passphrase ?? '', bmp, found, 0);
    }
  }
  return found;
}

async function readSafe(bytes: Buffer, passphrase: string, bmp: Buffer, found: { certificates: Buffer[]; keys: Buffer[] }, depth: number): Promise<void> {
  if (depth > depthMax) return broken('its parts are nested too deeply');
  for (const bag of childrenOf(parsed(bytes))) {
    if (found.certificates.length + found.keys.length >= bagsMax) return broken(`it holds more than ${bagsMax} parts`);
    const kind = oidOf(child(bag, 0));
    const value = child(child(bag, 1), 0);
    if (kind === ids.certBag && oidOf(child(value, 0)) === ids.x509Certificate) found.certificates.push(contentOf(child(child(value, 1), 0)));
    else if (kind === ids.keyBag) found.keys.push(derOf(value));
    else if (kind === ids.shroudedKeyBag) found.keys.push(await decrypt(child(value, 0), contentOf(child(value, 1)), passphrase, bmp));
    else if (kind === ids.safeContentsBag) await readSafe(derOf(value), passphrase, bmp, found, depth + 1);
  }
}

export interface Pkcs12Order {
  /** DER, leaf first. */
  readonly certificates: readonly Buffer[];
  /** PKCS#8 DER. */
  readonly key: Buffer;
  /** What Windows shows in its list. */
  readonly friendlyName: string;
  readonly passphrase: string;
  /** 3DES and SHA-1 instead: for Windows before 10 version 1709 and Server 2019, and for devices that read nothing else. The file is then as safe as its way there. */
  readonly forOldReaders?: boolean;
  readonly random: Random;
}

const rounds = 10_000;
/** Of the older derivation, which holds up everything else: what OpenSSL takes. The passphrase is guarded by the other. */
const macRounds = 2_048;

/** AES-256 with PBKDF2-HMAC-SHA-256, MAC SHA-256: what OpenSSL 3 writes; Windows opens it from 10 version 1709 and Server 2019 on. A passphrase is wanted: Fault `bad-input`. */
export async function makePkcs12(order: Pkcs12Order): Promise<Buffer> {
  const { random, passphrase } = order;
  if (passphrase === '') throw new Fault('bad-input', 'a PKCS#12 file wants a passphrase', { remedy: 'Without one Windows does not open it, and the key lies open.' });
  const localKeyId = createHash('sha1').update(order.certificates[0]!).digest();
  const attributes = setOf(
    sequence(oid(ids.friendlyName), setOf(tlv(0x1e, Buffer.from(order.friendlyName, 'utf16le').swap16()))),
    sequence(oid(ids.localKeyId), setOf(octets(localKeyId))),
  );
  const encrypt = async (plain: Buffer) => {
    if (order.forOldReaders) {
      const salt = random(8);
      const bmp = bmpOf(passphrase);
      const cipher = createCipheriv('des-ede3-cbc', derive('sha1', 1, bmp, salt, macRounds, 24), derive('sha1', 2, bmp, salt, macRounds, 8));
      return { algorithm: sequence(oid(ids.old3des), sequence(octets(salt), integer(macRounds))), encrypted: Buffer.concat([cipher.update(plain), cipher.final()]) };
    }
    const [salt, iv] = [random(16), random(16)];
    const cipher = createCipheriv('aes-256-cbc', await pbkdf2Of(passphrase, salt, rounds, 32, 'sha256'), iv);
    const derivation = sequence(oid(ids.pbkdf2), sequence(octets(salt), integer(rounds), sequence(oid(ids.hmacSha256), derNull)));
    return { algorithm: sequence(oid(ids.pbes2), sequence(derivation, sequence(oid(ids.aes256Cbc), octets(iv)))), encrypted: Buffer.concat([cipher.update(plain), cipher.final()]) };
  };
  const certificateBags = order.certificates.map((der, index) =>
    sequence(oid(ids.certBag), tagged(0, sequence(oid(ids.x509Certificate), tagged(0, octets(der)))), ...(index === 0 ? [attributes] : [])),
  );
  const shown = await encrypt(sequence(...certificateBags));
  const key = await encrypt(order.key);
  const keyBag = sequence(oid(ids.shroudedKeyBag), tagged(0, sequence(key.algorithm, octets(key.encrypted))), attributes);
  const content = sequence(
    // The content of EncryptedData is tagged implicitly, and primitive.
    sequence(oid(ids.encryptedData), tagged(0, sequence(integer(0), sequence(oid(ids.data), shown.algorithm, tlv(0x80, shown.encrypted))))),
    sequence(oid(ids.data), tagged(0, octets(sequence(keyBag)))),
  );
  const salt = random(16);
  const [hash, hashId] = order.forOldReaders ? (['sha1', ids.sha1] as const) : (['sha256', ids.sha256] as const);
  const mac = createHmac(hash, derive(hash, 3, bmpOf(passphrase), salt, macRounds, createHash(hash).digest().length)).update(content).digest();
  return sequence(integer(3), sequence(oid(ids.data), tagged(0, octets(content))), sequence(sequence(sequence(oid(hashId), derNull), octets(mac)), octets(salt), integer(macRounds)));
}
