// X-Postern-Identity: a short signed statement of which device a request comes from and how well that is known (docs/wire/device-identity.md).
// A compact JWS (RFC 7515 §3.1) whose payload is a JWT's claims (RFC 7519): servers have libraries for that.
import { createHash, createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';

/** The field's name as it is written. */
export const assertionField = 'X-Postern-Identity';
/** Where the public key is, on the console's names. */
export const assertionKeysPath = '/.well-known/postern-identity.json';
/** The gateway's key in the data folder, PKCS #8 in PEM. */
export const assertionKeyFile = 'identity.key';
/** RFC 8725 §3.11: a type of its own, so that no other token of ours can be taken for this one. */
const type = 'postern-identity+jwt';
const minuteMs = 60_000;
const validSeconds = 300;
/** RFC 7518 §3.2: a key of the size of the hash output or larger. */
const secretBytesMin = 32;

export interface AssertionKey {
  readonly alg: 'EdDSA' | 'HS256';
  /** EdDSA: the thumbprint of the public key (RFC 7638). HS256: the secret's name. */
  readonly kid: string;
  sign(input: string): Buffer;
}

/** The gateway's own key, with what is published of it. */
export interface GatewayAssertionKey extends AssertionKey {
  readonly alg: 'EdDSA';
  /** A JWK set (RFC 7517 §5, RFC 8037 §2) as JSON text. */
  readonly jwks: string;
}

export interface AssertionFacts {
  /** The name of the application's route. */
  readonly route: string;
  readonly state: 'verified' | 'address-only' | 'ambiguous' | 'unknown';
  /** What the identity rests on: certificate, token, serial … Null where there is none. */
  readonly by: string | null;
  /** Null while it is not known which one it is. */
  readonly device: { readonly id: string; readonly name: string; readonly serial: string | null } | null;
  /** The customer's key. */
  readonly customer: string | null;
  /** The site's name. */
  readonly site: string | null;
  /** The device's own, in its LAN, or the one that its connection came from; null where neither is known. */
  readonly address: string | null;
  readonly virtualAddress: string | null;
}

export interface Assertions {
  /** The value of the field: the same text for the same facts within a minute, so a signature is made at most once a minute for each device. */
  assertionFor(key: AssertionKey, facts: AssertionFacts, nowMs: number): string;
}

/** A new key for the data folder. */
export function makeAssertionKey(): Buffer {
  return Buffer.from(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
}

/** Fault `bad-input` when it is no Ed25519 key. */
export function readAssertionKey(pem: Buffer): GatewayAssertionKey {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch (thrown) {
    throw new Fault('bad-input', `${assertionKeyFile} in the data folder is no private key`, { remedy: 'remove it; a new one is made at the next start, and servers have to read its public part anew', cause: thrown });
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new Fault('bad-input', `${assertionKeyFile} in the data folder is not an Ed25519 key`, { remedy: 'remove it; a new one is made at the next start' });
  const x = createPublicKey(key).export({ format: 'jwk' }).x!;
  // RFC 7638 §3.2: the required members alone, in the order of their names.
  const kid = createHash('sha256').update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x })).digest('base64url');
  return {
    alg: 'EdDSA',
    kid,
    jwks: `${JSON.stringify({ keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid, use: 'sig', alg: 'EdDSA' }] })}\n`,
    sign: (input) => sign(null, Buffer.from(input, 'latin1'), key),
  };
}

/** A secret that gateway and server share. Fault `bad-input` when it is shorter than 32 bytes: shorter ones can be guessed from one signature. */
export function secretAssertionKey(name: string, secret: Buffer): AssertionKey {
  if (secret.length < secretBytesMin) {
    throw new Fault('bad-input', `the secret ${name} has ${secret.length} bytes, and signing needs ${secretBytesMin} at least`, { remedy: `openssl rand -hex 32 | postern secret set ${name}` });
  }
  const kept = Buffer.from(secret);
  return { alg: 'HS256', kid: name, sign: (input) => createHmac('sha256', kept).update(input, 'latin1').digest() };
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Claims without a value are left out, as RFC 7519 §4 has it. */
function claimsOf(issuer: string, facts: AssertionFacts, issuedAt: number): Record<string, unknown> {
  const { device } = facts;
  return {
    iss: issuer,
    aud: facts.route,
    iat: issuedAt,
    exp: issuedAt + validSeconds,
    ...(device === null ? {} : { sub: device.id, name: device.name, ...(device.serial === null ? {} : { serial: device.serial }) }),
    ...(facts.customer === null ? {} : { customer: facts.customer }),
    ...(facts.site === null ? {} : { site: facts.site }),
    ...(facts.address === null ? {} : { address: facts.address }),
    ...(facts.virtualAddress === null ? {} : { vaddr: facts.virtualAddress }),
    state: facts.state,
    ...(facts.by === null ? {} : { by: facts.by }),
  };
}

/** Everything that is said: two devices, or two states of one, never share a text. What others wrote stands last, so that it cannot pass for something else. */
const cacheKeyOf = (issuer: string, key: AssertionKey, { device, ...facts }: AssertionFacts): string =>
  `${issuer}\0${key.kid}\0${facts.route}\0${facts.state}\0${facts.by ?? ''}\0${facts.address ?? ''}\0${facts.virtualAddress ?? ''}\0${facts.customer ?? ''}\0${device?.id ?? ''}\0${facts.site ?? ''}\0${device?.name ?? ''}\0${device?.serial ?? '\0'}`;

/** `issuer`: what people call the gateway, asked for each statement; `entriesMax`: statements kept of one minute. */
export function buildAssertions(issuer: () => string, entriesMax: number = limits.assertionsKeptMax): Assertions {
  // By key object: a secret that was replaced under its name signs anew at once.
  let made = new Map<string, { readonly key: AssertionKey; readonly text: string }>();
  let minute = Number.NaN;
  return {
    assertionFor(key, facts, nowMs) {
      const now = Math.floor(nowMs / minuteMs);
      if (now !== minute) {
        made = new Map();
        minute = now;
      }
      const iss = issuer();
      const cacheKey = cacheKeyOf(iss, key, facts);
      const kept = made.get(cacheKey);
      if (kept?.key === key) return kept.text;
      const input = `${encoded({ alg: key.alg, typ: type, kid: key.kid })}.${encoded(claimsOf(iss, facts, now * (minuteMs / 1000)))}`;
      const text = `${input}.${key.sign(input).toString('base64url')}`;
      if (made.size >= entriesMax) made.clear();
      made.set(cacheKey, { key, text });
      return text;
    },
  };
}

/** The claims of a statement, unverified: for showing what we sent ourselves. Null when it is none. */
export function claimsIn(text: string): Readonly<Record<string, unknown>> | null {
  const parts = text.split('.');
  if (parts.length !== 3 || parts.some((part) => !/^[A-Za-z0-9_-]+$/.test(part))) return null;
  try {
    const claims: unknown = JSON.parse(Buffer.from(parts[1]!, 'base64url').toString('utf8'));
    return typeof claims === 'object' && claims !== null && !Array.isArray(claims) ? (claims as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
