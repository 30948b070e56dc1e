// Small steps with files that the store takes in more than one place.
import { chmod, open } from 'node:fs/promises';

/**
 * Makes an empty file for its owner alone; an existing one only gets that mode. A file that SQLite locks must never be
 * opened and closed past SQLite in this process: closing any descriptor of it gives up all of the process's locks on it
 * (POSIX fcntl), unnoticed.
 */
export async function makePrivateFile(path: string): Promise<void> {
  try {
    await (await open(path, 'wx', 0o600)).close();
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown;
    await chmod(path, 0o600);
  }
}

/** A new or renamed file is durable only when the folder that names it is. */
export async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
