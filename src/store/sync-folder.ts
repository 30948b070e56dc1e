// A new or renamed file is durable only when the folder that names it is.
import { open } from 'node:fs/promises';

export async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
