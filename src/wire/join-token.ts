// The text that joins an agent (docs/wire/tunnel.md §1): where the gateway is, which key it has, and a one-time secret.
import { Fault } from '#base/fault.ts';

export interface JoinTokenText {
  /** `https://host:port`, tried in this order; at least one. */
  readonly addresses: readonly string[];
  /** SHA-256 of the CA's public key (SPKI DER), hex. */
  readonly caFingerprint: string;
  readonly secret: string;
}

export const joinTokenPrefix = 'postern-join-1.';
const textBytesMax = 4_096;
const addressesMax = 16;

export function encodeJoinToken(token: JoinTokenText): string {
  return joinTokenPrefix + Buffer.from(JSON.stringify({ a: token.addresses, f: token.caFingerprint, s: token.secret })).toString('base64url');
}

/** Where to connect; `path`, user and query are not allowed in a gateway's address. Fault `bad-input`. */
export function parseGatewayAddress(address: string): { host: string; port: number; isSecure: boolean } {
  const match = /^(https?):\/\/(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9_.-]{1,253}))(?::(\d{1,5}))?\/?$/.exec(address);
  const isSecure = match?.[1] === 'https';
  const port = match?.[4] === undefined ? (isSecure ? 443 : 80) : Number(match[4]);
  if (!match || port < 1 || port > 65_535) throw new Fault('bad-input', `"${address.slice(0, 100)}" is not a gateway's address`, { remedy: 'Write it as https://gw.example.test:8443' });
  return { host: (match[2] ?? match[3])!, port, isSecure };
}

/** Fault `bad-input` without the token in it. */
export function parseJoinToken(text: string): JoinTokenText {
  const bad = (why: string, cause?: unknown) => new Fault('bad-input', `this is not a join token: ${why}`, { remedy: 'Copy the whole line that the console shows under "Add a device".', cause });
  const token = text.trim();
  if (!token.startsWith(joinTokenPrefix)) throw bad(`it does not begin with ${joinTokenPrefix}`);
  if (token.length > textBytesMax) throw bad('it is too long');
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(token.slice(joinTokenPrefix.length), 'base64url').toString('utf8'));
  } catch {
    throw bad('a part of it is missing'); // the cause would quote the secret
  }
  const { a, f, s } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  if (!Array.isArray(a) || a.length === 0 || a.length > addressesMax || !a.every((item): item is string => typeof item === 'string')) throw bad('it names no address');
  for (const address of a) if (!parseGatewayAddress(address).isSecure) throw bad('its address is not https');
  if (typeof f !== 'string' || !/^[0-9a-f]{64}$/.test(f)) throw bad('its fingerprint is malformed');
  if (typeof s !== 'string' || s.length < 16 || s.length > 200) throw bad('its secret is malformed');
  return { addresses: a, caFingerprint: f, secret: s };
}
