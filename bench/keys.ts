// node bench/keys.ts [SECONDS]: signatures a CPU second for each kind of key, by the runtime's own OpenSSL: what model/key-cost.ts says and forms show.
import { createPrivateKey, constants, sign } from 'node:crypto';
import { keyKinds, makeKey } from '#model/certificate-key.ts';

const seconds = Number(process.argv[2] ?? '1');
/** What TLS 1.3 signs: 64 spaces, a context and a digest (RFC 8446 §4.4.3). */
const signed = Buffer.alloc(64 + 34 + 32, 0x20);
let first = 0;
for (const kind of keyKinds) {
  const privateKey = createPrivateKey((await makeKey(kind)).pem);
  const key = kind.startsWith('rsa') ? { key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING } : privateKey;
  const hash = kind === 'ec-p384' ? 'sha384' : 'sha256';
  const startUs = process.cpuUsage().user;
  let count = 0;
  while (process.cpuUsage().user - startUs < seconds * 1e6) {
    sign(hash, signed, key);
    count += 1;
  }
  const perSecond = count / seconds;
  first ||= perSecond;
  process.stdout.write(`${kind.padEnd(10)}${Math.round(perSecond).toString().padStart(8)} signatures a second, ${(first / perSecond).toFixed(1)} times the time of ec-p256\n`);
}
process.stdout.write(`OpenSSL ${process.versions.openssl}\n`);
