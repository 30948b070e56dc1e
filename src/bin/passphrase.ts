// The passphrase that a backup is sealed with: the first line of a file, because arguments and environments are seen by others.
import { readFile } from 'node:fs/promises';
import { Fault, reasonOf } from '#base/fault.ts';

const charsMin = 12;

/** null: none was given. Fault `bad-input` when the file cannot be read; `isNew`: or when what it holds is too short to seal with. */
export async function readPassphrase(path: string | undefined, isNew: boolean): Promise<string | null> {
  if (path === undefined) return null;
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new Fault('bad-input', `the passphrase file ${path} cannot be read: ${reasonOf(cause)}`, { cause });
  });
  const passphrase = text.split(/\r?\n/, 1)[0]!;
  if (passphrase === '') throw new Fault('bad-input', `the first line of ${path} is empty`);
  if (isNew && Array.from(passphrase).length < charsMin) throw new Fault('bad-input', `the passphrase in ${path} is too short: whoever has the backup can try as long as they like`, { remedy: `Take at least ${charsMin} characters; openssl rand -base64 24 makes good ones.` });
  return passphrase;
}
