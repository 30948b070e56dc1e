// A self-made certificate with its key, as a device in the field would have one.
import { randomBytes } from 'node:crypto';
import { makeCa } from '#model/certificate.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';

export async function testLeaf(name = 'device'): Promise<{ readonly key: string; readonly cert: string }> {
  const keys = await makeKeyPair();
  const made = await makeCa({ name, keys, now: Date.now(), random: randomBytes });
  return { key: await privateKeyPemOf(keys), cert: made.pem };
}
