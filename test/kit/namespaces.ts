// Network namespaces of a test's own: gone with whatever still runs in them.
import type { Processes } from './processes.ts';

/** A test that ran out of time killed what started the programs inside, and not the programs. */
export async function removeNamespaces(processes: Processes, ip: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const { stdout } = await processes.run(ip, ['netns', 'pids', name]);
    for (const pid of stdout.split(/\s+/).filter((each) => each !== '')) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // it ended by itself
      }
    }
    await processes.run(ip, ['netns', 'del', name]);
  }
}
