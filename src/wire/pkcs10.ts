// A certification request (PKCS#10, RFC 2986), written without a library so that the agent stays small.
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { parseAddress } from '#base/cidr.ts';
import { bits, derNull, integer, octets, oid, sequence, setOf, tagged, tlv } from './der.ts';

/** RFC 5280 appendix A: name in this order, OID, and the most characters it takes. */
const subjectFields = {
  country: ['2.5.4.6', 2],
  state: ['2.5.4.8', 128],
  locality: ['2.5.4.7', 128],
  organization: ['2.5.4.10', 64],
  organizationalUnit: ['2.5.4.11', 64],
  commonName: ['2.5.4.3', 64],
} as const;

export type SubjectField = keyof typeof subjectFields;

export interface RequestFields {
  /** What is longer than its field takes is cut. */
  readonly subject: { readonly [Field in SubjectField]?: string | null };
  readonly dns: readonly string[];
  /** Literals; anything else is left out. */
  readonly ip: readonly string[];
}

function nameOf(subject: RequestFields['subject']): Buffer {
  const parts = (Object.keys(subjectFields) as SubjectField[]).flatMap((field) => {
    const text = subject[field];
    if (!text) return [];
    const [id, charsMax] = subjectFields[field];
    // RFC 5280 §4.1.2.4: a country is a PrintableString, everything else UTF-8.
    return [setOf(sequence(oid(id), tlv(field === 'country' ? 0x13 : 0x0c, Buffer.from(text.slice(0, charsMax)))))];
  });
  return sequence(...parts);
}

function bytesOf(literal: string): Buffer[] {
  const address = parseAddress(literal);
  if (!address) return [];
  return [Buffer.from(address.value.toString(16).padStart(address.family === 4 ? 8 : 32, '0'), 'hex')];
}

/** The attribute extensionRequest (RFC 2985 §5.4.2) with the names; empty without any. */
function attributesOf({ dns, ip }: Pick<RequestFields, 'dns' | 'ip'>): Buffer[] {
  const names = [...dns.map((name) => tlv(0x82, Buffer.from(name, 'latin1'))), ...ip.flatMap(bytesOf).map((bytes) => tlv(0x87, bytes))];
  if (names.length === 0) return [];
  const alternativeNames = sequence(oid('2.5.29.17'), octets(sequence(...names)));
  return [sequence(oid('1.2.840.113549.1.9.14'), setOf(sequence(alternativeNames)))];
}

/** Signed by an RSA or EC key. PEM. */
export function encodeRequest(privateKeyPem: string, fields: RequestFields): string {
  const key = createPrivateKey(privateKeyPem);
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const info = sequence(integer(0), nameOf(fields.subject), spki, tagged(0, ...attributesOf(fields)));
  const isRsa = key.asymmetricKeyType === 'rsa';
  const isP384 = key.asymmetricKeyDetails?.namedCurve === 'secp384r1';
  // RFC 4055 §5 wants the NULL, RFC 5758 §3.2 forbids it.
  const algorithm = isRsa ? sequence(oid('1.2.840.113549.1.1.11'), derNull) : sequence(oid(isP384 ? '1.2.840.10045.4.3.3' : '1.2.840.10045.4.3.2'));
  const signature = sign(isP384 ? 'sha384' : 'sha256', info, isRsa ? key : { key, dsaEncoding: 'der' });
  const lines = sequence(info, algorithm, bits(signature)).toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}

/** An agent's: the subject is only for people who look at it; the gateway ignores it. */
export function encodeCertificateRequest(privateKeyPem: string, name: string): string {
  return encodeRequest(privateKeyPem, { subject: { commonName: name }, dns: [], ip: [] });
}
