// Checks X-Postern-Identity against the gateway's published key, with nothing but Node from version 18 (docs/wire/device-identity.md).
// As a program: node verify.mjs KEYS.json ISSUER ROUTE < header. Prints the claims; exits 1 with the reason when they are not to be believed.
import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { argv, exit, stdin, stdout, stderr } from 'node:process';
import { pathToFileURL } from 'node:url';

const skewSeconds = 60;

/** `keys`: what /.well-known/postern-identity.json says. Returns the claims, or throws an Error that says why not. */
export function verifyIdentity(header, { keys, issuer, route, nowSeconds = Date.now() / 1000 }) {
  const parts = String(header).trim().split('.');
  if (parts.length !== 3) throw new Error('there is no statement');
  const head = JSON.parse(Buffer.from(parts[0], 'base64url').toString());
  // The algorithm is ours to choose, never the header's.
  if (head.alg !== 'EdDSA' || head.typ !== 'postern-identity+jwt') throw new Error('it is not a statement signed by the gateway\'s own key');
  const key = keys.keys.find((each) => each.kid === head.kid && each.kty === 'OKP' && each.crv === 'Ed25519');
  if (!key) throw new Error('its key is not among the published ones: read them anew');
  if (!verify(null, Buffer.from(`${parts[0]}.${parts[1]}`), createPublicKey({ key, format: 'jwk' }), Buffer.from(parts[2], 'base64url'))) throw new Error('its signature is wrong');
  const claims = JSON.parse(Buffer.from(parts[1], 'base64url').toString());
  if (claims.iss !== issuer) throw new Error('it is another gateway\'s');
  if (claims.aud !== route) throw new Error('it was made for another application');
  if (!(claims.exp > nowSeconds - skewSeconds)) throw new Error('it is too old');
  if (!(claims.iat < nowSeconds + skewSeconds)) throw new Error('it is from the future: compare the clocks');
  return claims;
}

if (argv[1] && import.meta.url === pathToFileURL(argv[1]).href) {
  const [, , file, issuer, route] = argv;
  let header = '';
  for await (const piece of stdin) header += piece;
  try {
    stdout.write(`${JSON.stringify(verifyIdentity(header, { keys: JSON.parse(readFileSync(file, 'utf8')), issuer, route }))}\n`);
  } catch (thrown) {
    stderr.write(`${thrown.message}\n`);
    exit(1);
  }
}
