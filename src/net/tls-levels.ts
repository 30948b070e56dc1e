// What a TLS level means to OpenSSL. Source: Mozilla's guidelines (ssl-config-generator), version 6.0 for modern and intermediate, 5.8 for old.
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import type { TlsLevel } from '#model/tls-level.ts';

const tls13 = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];
const ephemeralAead = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];
/** Without 3DES: OpenSSL is no longer built with it, and 64-bit blocks are broken (Sweet32). */
const old = [
  'DHE-RSA-AES128-GCM-SHA256', 'DHE-RSA-AES256-GCM-SHA384', 'DHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-SHA256', 'ECDHE-RSA-AES128-SHA256', 'ECDHE-ECDSA-AES128-SHA', 'ECDHE-RSA-AES128-SHA',
  'ECDHE-ECDSA-AES256-SHA384', 'ECDHE-RSA-AES256-SHA384', 'ECDHE-ECDSA-AES256-SHA', 'ECDHE-RSA-AES256-SHA',
  'DHE-RSA-AES128-SHA256', 'DHE-RSA-AES256-SHA256',
  'AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'AES128-SHA256', 'AES256-SHA256', 'AES128-SHA', 'AES256-SHA',
];

/** The first keeps what is recorded today from tomorrow's quantum computers; clients that know it not take the second. */
const curves = 'X25519MLKEM768:X25519:prime256v1:secp384r1';

/** Without SHA-1, which OpenSSL would still take below security level 2. */
const signatures = [
  'ecdsa_secp256r1_sha256', 'ecdsa_secp384r1_sha384', 'ecdsa_secp521r1_sha512', 'ed25519',
  'rsa_pss_rsae_sha256', 'rsa_pss_rsae_sha384', 'rsa_pss_rsae_sha512', 'rsa_pss_pss_sha256', 'rsa_pss_pss_sha384', 'rsa_pss_pss_sha512',
  'rsa_pkcs1_sha256', 'rsa_pkcs1_sha384', 'rsa_pkcs1_sha512',
].join(':');

/**
 * No client may renegotiate (RFC 5246 §7.4.1.1 lets us refuse): it costs us more than the client, and would let it change its certificate after it was judged.
 * OpenSSL's SSL_OP_NO_RENEGOTIATION, which Node's types do not name.
 */
const secureOptions = 0x40000000;

/**
 * Our order of suites, but ChaCha20 for whoever prefers it: such a client has no AES in hardware. Mozilla leaves the choice to clients for that
 * reason alone; scanners (testssl.sh) call it a fault of high severity, and customers are asked to explain it.
 */
const ourOrder = { honorCipherOrder: true, secureOptions: secureOptions | constants.SSL_OP_PRIORITIZE_CHACHA } as const;

export const tlsLevelOptions: Readonly<Record<TlsLevel, SecureContextOptions>> = {
  modern: { ...ourOrder, minVersion: 'TLSv1.3', ciphers: tls13.join(':'), ecdhCurve: curves, sigalgs: signatures },
  intermediate: { ...ourOrder, minVersion: 'TLSv1.2', ciphers: [...tls13, ...ephemeralAead].join(':'), ecdhCurve: curves, sigalgs: signatures },
  // Security level 0, because TLS 1.0 and 1.1 sign with MD5 and SHA-1 together. The better suite wins whatever an old client prefers.
  legacy: { secureOptions, minVersion: 'TLSv1', ciphers: [...tls13, ...ephemeralAead, ...old, '@SECLEVEL=0'].join(':'), ecdhCurve: curves, honorCipherOrder: true, dhparam: 'auto' },
};
