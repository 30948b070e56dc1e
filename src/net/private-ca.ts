// The private CA's file: read at start, made at the first.
import { createPrivateKey } from 'node:crypto';
import type { Clock } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { SecretFiles } from '#base/secret-files.ts';
import { makeCa } from '#model/certificate.ts';
import type { Ca } from '#model/certificate.ts';
import { readCertificate } from '#model/fingerprint.ts';
import { makeKeyPair, privateKeyPemOf, readKeyPair } from '#model/key-pair.ts';

export interface CaOptions {
  readonly files: SecretFiles;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  domains(): readonly string[];
}

/** Fault `internal` when the kept CA cannot be used: a new one would shut every agent out. */
export async function readOrMakeCa(options: CaOptions): Promise<Ca> {
  const { files, clock, log, random } = options;
  const kept = (await files.read('ca.pem'))?.toString() ?? null;
  if (kept !== null) {
    try {
      const certificate = readCertificate(kept);
      const signingKey = (await readKeyPair(kept)).privateKey;
      if (!certificate.checkPrivateKey(createPrivateKey(kept))) throw new Fault('bad-input', 'certificate and key do not belong together');
      return { certificatePem: certificatePartOf(kept), signingKey };
    } catch (cause) {
      throw new Fault('internal', `the private CA (ca.pem in the data folder) cannot be used: ${reasonOf(cause)}`, {
        remedy: 'Restore the file from a backup. Moved away, a new CA is made at the next start, and every agent has to join again.',
        cause,
      });
    }
  }
  const keys = await makeKeyPair();
  const made = await makeCa({ name: `Postern CA of ${options.domains()[0] ?? 'localhost'}`, keys, now: clock.nowMs(), random });
  await files.write('ca.pem', Buffer.from(made.pem + (await privateKeyPemOf(keys))));
  log.info('ca.made', { keyFingerprint: made.keyFingerprint, notAfter: new Date(made.notAfter).toISOString() });
  return { certificatePem: made.pem, signingKey: keys.privateKey };
}

/** The first certificate in PEM. Fault `bad-input`. */
export function certificatePartOf(pem: string): string {
  const found = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(pem);
  if (!found) throw new Fault('bad-input', 'there is no certificate in it');
  return `${found[0]}\n`;
}
