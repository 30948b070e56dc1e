// The folder of the gateway's keys: small files, readable by their owner alone, written whole or not at all.
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '#base/fault.ts';

export interface KeyFolder {
  /** Null when there is no such file. */
  read(name: string): Promise<string | null>;
  /** Durable (fsync) when it resolves. */
  write(name: string, text: string): Promise<void>;
}

/** Makes the folder (0700). Names are plain file names; a Fault `bad-input` otherwise. */
export async function openKeyFolder(folder: string): Promise<KeyFolder> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const pathOf = (name: string) => {
    if (!/^[a-z0-9][a-z0-9.-]{0,254}$/.test(name)) throw new Fault('bad-input', `"${name}" is no name for a key file`);
    return join(folder, name);
  };
  return {
    async read(name) {
      try {
        return await readFile(pathOf(name), 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    async write(name, text) {
      const path = pathOf(name);
      const beside = `${path}.${randomBytes(6).toString('hex')}.new`;
      try {
        const file = await open(beside, 'wx', 0o600);
        try {
          await file.writeFile(text);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(beside, path);
      } catch (error) {
        await rm(beside, { force: true });
        throw error;
      }
      const directory = await open(folder);
      try {
        await directory.sync();
      } finally {
        await directory.close();
      }
    },
  };
}
