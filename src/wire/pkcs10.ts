// A certification request (PKCS#10, RFC 2986) for an EC P-256 key, written without a library so that the agent stays small.
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';

function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const { length } = value;
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), value]);
}

const sequence = (...parts: readonly Buffer[]) => tlv(0x30, ...parts);
/** ecdsa-with-SHA256, RFC 5758 §3.2. */
const ecdsaWithSha256 = Buffer.from('06082a8648ce3d040302', 'hex');
/** id-at-commonName, RFC 5280 appendix A. */
const commonName = Buffer.from('0603550403', 'hex');

/** PEM. The subject is only for people who look at the request; the gateway ignores it. */
export function encodeCertificateRequest(privateKeyPem: string, name: string): string {
  const key = createPrivateKey(privateKeyPem);
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const text = Buffer.from(name.slice(0, 64));
  const subject = sequence(tlv(0x31, sequence(commonName, tlv(0x0c, text))));
  const info = sequence(Buffer.from([0x02, 1, 0]), subject, spki, tlv(0xa0));
  const signature = sign('sha256', info, { key, dsaEncoding: 'der' });
  const der = sequence(info, sequence(ecdsaWithSha256), tlv(0x03, Buffer.from([0]), signature));
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
