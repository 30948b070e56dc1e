// Secrets that the configuration names: files of the data folder that are written and never shown.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Config } from '#model/config.ts';
import { secretsNamed, type SecretControl } from '#model/sinks.ts';
import type { DataFolder } from '#store/data-folder.ts';

export interface Secrets extends SecretControl {
  /** null: there is none of that name. */
  read(name: string): Promise<Buffer | null>;
}

export interface SecretsDeps {
  readonly folder: Pick<DataFolder, 'path' | 'read' | 'write' | 'remove'>;
  readonly config: () => Pick<Config, 'sinks' | 'feeds'> & Partial<Pick<Config, 'routes'>>;
  readonly limits: Limits;
  readonly onChanged: (name: string) => void;
}

const prefix = 'secret-';

export async function openSecrets({ folder, config, limits, onChanged }: SecretsDeps): Promise<Secrets> {
  const names = new Set((await readdir(folder.path)).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)));
  const fileOf = (name: string) => {
    if (!/^[a-z0-9][a-z0-9_.-]{0,63}$/.test(name)) throw new Fault('bad-input', 'a secret\'s name is 1–64 of a-z, 0-9, ".", "-", "_" and begins with a letter or digit');
    return `${prefix}${name}`;
  };
  return {
    read: (name) => folder.read(fileOf(name)),
    missing: () => Array.from(secretsNamed(config()), ([name, where]) => (names.has(name) ? null : `the secret ${name} that ${where.join(', ')} names is not set: postern secret set ${name}`)).filter((each) => each !== null),
    async list() {
      const used = secretsNamed(config());
      const found = await Promise.all([...names].sort().map(async (name) => {
        const { mtimeMs } = await stat(join(folder.path, fileOf(name)));
        return { name, setAt: Math.floor(mtimeMs), usedBy: used.get(name) ?? [] };
      }));
      return found;
    },
    async set(name, value) {
      const file = fileOf(name);
      const bytes = Buffer.from(value);
      if (bytes.length === 0 || bytes.length > limits.secretBytesMax) throw new Fault('bad-input', `a secret has 1 to ${limits.secretBytesMax} bytes`);
      if (!names.has(name) && names.size >= limits.secretsMax) throw new Fault('too-many', `there are ${names.size} secrets already`);
      await folder.write(file, bytes);
      names.add(name);
      onChanged(name);
    },
    async remove(name) {
      const file = fileOf(name);
      if (!names.has(name)) throw new Fault('not-found', `there is no secret "${name}"`);
      await folder.remove(file);
      names.delete(name);
      onChanged(name);
    },
  };
}
