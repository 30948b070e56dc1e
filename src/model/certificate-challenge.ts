// The certificate that answers TLS-ALPN-01 (RFC 8737 §3): self-signed, one name, and a critical extension with the digest of the key authorisation.
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { parseAddress } from '#base/cidr.ts';
import type { Random } from '#base/ids.ts';
import { bits, octets, oid, sequence, setOf, tagged, tlv } from '#wire/der.ts';

const dayMs = 24 * 3_600_000;
const yes = tlv(0x01, Buffer.from([0xff]));
/** ecdsa-with-SHA256, RFC 5758 §3.2. */
const ecdsaSha256 = sequence(oid('1.2.840.10045.4.3.2'));
const acmeIdentifier = '1.3.6.1.5.5.7.1.31';

/** RFC 5280 §4.1.2.5.1: YYMMDDHHMMSSZ. */
const utcTime = (ms: number): Buffer => tlv(0x17, Buffer.from(`${new Date(ms).toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`));

/** The server name by which a CA asks for an identifier: the name, or of an address its reverse name (RFC 8738 §6). */
export function challengeServerName(identifier: string): string {
  const address = parseAddress(identifier);
  if (!address) return identifier.toLowerCase();
  if (address.family === 4) return `${[3, 2, 1, 0].map((i) => (address.value >> BigInt(24 - 8 * i)) & 255n).join('.')}.in-addr.arpa`;
  return `${[...address.value.toString(16).padStart(32, '0')].reverse().join('.')}.ip6.arpa`;
}

/** `identifier`: a host name or an address literal. `keyPem`: an EC P-256 key. PEM. */
export function makeChallengeCertificate(options: { identifier: string; keyAuthorization: string; keyPem: string; now: number; random: Random }): string {
  const key = createPrivateKey(options.keyPem);
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const address = parseAddress(options.identifier);
  const name = address ? tlv(0x87, Buffer.from(address.value.toString(16).padStart(address.family === 4 ? 8 : 32, '0'), 'hex')) : tlv(0x82, Buffer.from(options.identifier.toLowerCase(), 'latin1'));
  const serial = options.random(16);
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  const subject = sequence(setOf(sequence(oid('2.5.4.3'), tlv(0x0c, Buffer.from('ACME challenge')))));
  const digest = createHash('sha256').update(options.keyAuthorization).digest();
  const extensions = sequence(sequence(oid('2.5.29.17'), octets(sequence(name))), sequence(oid(acmeIdentifier), yes, octets(octets(digest))));
  const signed = sequence(
    tagged(0, tlv(0x02, Buffer.from([2]))), tlv(0x02, serial), ecdsaSha256, subject, sequence(utcTime(options.now - dayMs), utcTime(options.now + 7 * dayMs)), subject, spki, tagged(3, extensions),
  );
  const lines = sequence(signed, ecdsaSha256, bits(sign('sha256', signed, { key, dsaEncoding: 'der' }))).toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
